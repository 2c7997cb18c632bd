"""The live stream: each is told what they may see, in time, and never silently less."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from itertools import product
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import uvicorn
from sqlalchemy.engine import Connection, Engine

from api import events
from api.demo_access import DemoAccess
from api.events import Hub, Stream, Touched
from api.main import make_app
from gis import access, incidents, plans, schema
from gis.changes import Change
from gis.errors import Busy
from gis.schema_access import ROLES, WITH_SECOND_FACTOR
from gis.schema_situation import alarms
from tests import town

INSIDE, OUTSIDE, EDGE = town.at(0.5, 0.5), town.at(1.5, 4.2), town.at(0.7, 3)
EMPTY = town.at(1.7, 1.8)
"""In T1."""


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [INSIDE, OUTSIDE, EDGE])
        town.add_responders(conn, batch, {"in": INSIDE, "out": OUTSIDE})


@pytest.fixture(scope="module")
def url(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service on a real socket: a stream has no end that a test client could wait for."""
    folder = tmp_path_factory.mktemp("data")
    app = make_app(lambda: service_engine, folder)
    app.state.demo = DemoAccess(folder)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(events, "STREAMS_OF_ONE", 100)
    thread.start()
    _wait(lambda: server.started and app.state.hub.is_hearing)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    monkeypatch.undo()


def _wait(until: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


Told = list[tuple[str, dict[str, Any]]]


@contextmanager
def following(url: str, ask: dict[str, str]) -> Iterator[Told]:
    """What a client is told while the block runs; a last event `end` when the stream ends."""
    told: Told = []
    live = threading.Event()
    wires: list[socket.socket] = []

    def read() -> None:
        event = ""
        with httpx2.stream("GET", f"{url}/events", headers=ask, timeout=60) as answer:
            wires.append(answer.extensions["network_stream"].get_extra_info("socket"))
            assert answer.status_code == 200
            try:
                for line in answer.iter_lines():
                    if line.startswith(":"):
                        live.set()
                    elif line.startswith("event: "):
                        event = line[7:]
                    elif line.startswith("data: "):
                        told.append((event, json.loads(line[6:])))
            except httpx2.TransportError:  # hung up
                return
        told.append(("end", {}))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert live.wait(30)
    yield told
    with suppress(OSError):
        wires[0].shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, dict[str, str]]:
    made: dict[str, dict[str, str]] = {"public": {}}
    with engine.begin() as conn:
        for role, (name, scope) in product(ROLES[1:], (("city", None), ("T1", "T1"), ("T2", "T2"))):
            demo = role in WITH_SECOND_FACTOR
            key = access.create_key(conn, role, scope, scheme="safety", label=name, demo=demo)
            made[name if role == "field" else f"{role} {name}"] = {"Authorization": f"Bearer {key.key}"}
    return made


@contextmanager
def all_following(url: str, keys: dict[str, dict[str, str]]) -> Iterator[dict[str, Told]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(following(url, ask)) for name, ask in keys.items()}


def _end(engine: Engine, told: dict[str, Told]) -> None:
    """Wait until everybody has been told of a revision, which all are told, and so of all before it."""
    with engine.begin() as conn:
        conn.execute(schema.revisions.insert().values(scheme="safety", note="a sign"))
    for one in told.values():
        _wait(lambda one=one: any(event == "revision" for event, _ in one))  # type: ignore[misc]


def _ids(told: Told, event: str) -> set[int]:
    return {data["id"] for name, data in told if name == event}


def test_each_is_told_of_incidents_and_crews_where_they_may_see(
    url: str, keys: dict[str, dict[str, str]], engine: Engine
) -> None:
    with all_following(url, keys) as told:
        with engine.begin() as conn:
            conn.execute(schema.incidents.update().values(colour="red"))
            conn.execute(schema.responders.update().values(status="busy"))
        _end(engine, told)
    seen = {"city": ({1, 2, 3}, {1, 2}), "T1": ({1, 3}, {1}), "T2": ({2}, {2}), "public": (set(), set())}
    for name, one in told.items():  # the third lies on the border, where the lower code owns it
        assert (_ids(one, "incident"), _ids(one, "responder")) == seen[name.split()[-1]], name
    assert {event for event, _ in told["public"]} <= {"revision", "layer"}
    assert ("layer", {"layer": "incidents"}) not in told["public"]
    assert ("layer", {"layer": "incidents"}) in told["T1"]
    reds = [data["colour"] for event, data in told["T1"] if event == "incident"]
    assert set(reds) == {"red"}


def _move(conn: Connection, number: int, place: tuple[float, float]) -> None:
    moved = schema.responders.update().where(schema.responders.c.id == number)
    conn.execute(moved.values(geom=f"SRID=4326;POINT({place[0]} {place[1]})"))


def test_a_crew_that_leaves_is_told_as_a_change_of_the_layer_only(
    url: str, keys: dict[str, dict[str, str]], engine: Engine
) -> None:
    with all_following(url, keys) as told:
        with engine.begin() as conn:
            _move(conn, 1, OUTSIDE)
        _end(engine, told)
    assert _ids(told["T2"], "responder") == {1}
    assert _ids(told["T1"], "responder") == set()
    assert ("layer", {"layer": "responders"}) in told["T1"], "its place there is empty now"
    with all_following(url, keys) as told:
        with engine.begin() as conn:
            _move(conn, 1, town.at(2, 4.4))
        _end(engine, told)
    assert ("layer", {"layer": "responders"}) not in told["T1"], "the neighbour's crews are not its business"
    with engine.begin() as conn:
        _move(conn, 1, INSIDE)


def test_grids_are_everybodys(url: str, keys: dict[str, dict[str, str]], engine: Engine) -> None:
    with all_following(url, keys) as told:
        with engine.begin() as conn:
            conn.execute(schema.grids.update().values(name="renamed"))
        _end(engine, told)
    for one in told.values():
        assert ("layer", {"layer": "grids"}) in one
        newest = [data["revision"] for event, data in one if event == "revision"][-1]
        assert newest >= 2


def _alarm(code: str) -> sa.Insert:
    of = sa.select(schema.grid_codes.c.id).where(schema.grid_codes.c.code == code)
    return alarms.insert().values(
        grid_id=of.scalar_subquery(), since=sa.func.now(), until=sa.func.now(), count=9, expected=1,
        threshold=5, p=1e-6, series=10,
    )  # fmt: skip


def test_alarms_that_wait_are_told_to_who_may_see_them(
    url: str, keys: dict[str, dict[str, str]], engine: Engine
) -> None:
    with all_following(url, keys) as told:
        with engine.begin() as conn:
            for code in ("T1a", "T"):
                conn.execute(_alarm(code))
        _end(engine, told)
    waiting = {"commander city": [2], "commander T1": [1], "commander T2": []}
    for name, one in told.items():
        heard = [data["unanswered"] for event, data in one if event == "alarm"]
        if name in waiting:
            assert heard == waiting[name], name
        elif name.split()[0] in {"public", "city", "T1", "T2"}:
            assert heard == [], name


def _alarm_raised(conn: Connection) -> None:
    conn.execute(_alarm("T1a"))


def _alarm_changed(conn: Connection) -> None:
    here = sa.select(schema.grid_codes.c.id).where(schema.grid_codes.c.code == "T1a")
    conn.execute(alarms.update().where(alarms.c.grid_id == here.scalar_subquery()).values(count=10))


def _plan_begun(conn: Connection) -> None:
    planner = access.Principal("planner", name="somebody")
    for name, value in access.telling(planner).items():
        conn.execute(sa.select(sa.func.set_config(name, value, True)))
    plans.create(conn, planner, "T1", "a plan", None, "safety")


def _incident_where_none_had_been(conn: Connection) -> None:
    before = _number_of_cells(conn)
    incidents.add(
        conn,
        incidents.Report(
            category=conn.execute(sa.select(sa.func.min(schema.categories.c.code))).scalar_one(),
            source="patrol", occurred_at=datetime.now(UTC), lon=EMPTY[0], lat=EMPTY[1],
        ),
    )  # fmt: skip
    assert _number_of_cells(conn) > before


def _number_of_cells(conn: Connection) -> int:
    return int(conn.execute(sa.select(sa.func.count()).select_from(schema.cells)).scalar_one())


@pytest.mark.parametrize(
    "change", [_alarm_raised, _alarm_changed, _plan_begun, _incident_where_none_had_been]
)
def test_nobody_hears_of_what_happens_elsewhere(
    url: str, keys: dict[str, dict[str, str]], engine: Engine, change: Callable[[Connection], None]
) -> None:
    with all_following(url, keys) as told:
        with engine.begin() as conn:
            change(conn)
        _end(engine, told)
    sign = ("revision", "layer")  # with which the others are told that all is told
    heard = {
        name: [one for one in some if one[0] not in sign or one[1].get("layer", "grids") != "grids"]
        for name, some in told.items()
    }
    assert heard["commander T1"], heard
    assert {
        name for name, some in heard.items() if some and (name == "public" or name.endswith("T2"))
    } == set(), heard


def test_nothing_is_told_before_the_commit_nor_of_what_was_taken_back(
    url: str, keys: dict[str, dict[str, str]], engine: Engine
) -> None:
    with following(url, keys["city"]) as told:
        with engine.connect() as conn:
            conn.execute(schema.incidents.update().values(colour="yellow"))
            time.sleep(0.3)
            assert told == []
            conn.rollback()
        _end(engine, {"city": told})
    assert _ids(told, "incident") == set()


def test_a_revoked_key_hears_no_more(url: str, engine: Engine) -> None:
    with engine.begin() as conn:
        key = access.create_key(conn, "field", scheme="safety", label="")
    with following(url, {"Authorization": f"Bearer {key.key}"}) as told:
        with engine.begin() as conn:
            access.revoke_key(conn, access.keys(conn)[-1].id)
        time.sleep(0.6)
        with engine.begin() as conn:
            conn.execute(schema.incidents.update().values(colour="blue"))
        _wait(lambda: told == [("end", {})])


CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'safetymap listener'
"""


def test_a_listener_cut_off_sends_everybody_to_start_anew(url: str, engine: Engine) -> None:
    with following(url, {}) as told:
        with engine.begin() as conn:
            conn.execute(sa.text(CUT))
        _wait(lambda: told == [("reset", {}), ("end", {})])
    _wait(lambda: httpx2.get(f"{url}/health/live").status_code == 200)


def test_streams_are_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "STREAMS_OF_ONE", 1)
    _wait(lambda: _opens(url))
    with following(url, {}):
        refused = httpx2.get(f"{url}/events")
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"


def test_places_are_kept_for_known_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three places one is anybody's, and a key has one; each stranger has an address of their own."""
    monkeypatch.setattr(events, "STREAMS", 3)
    monkeypatch.setattr(events, "STREAMS_FOR_ANYBODY", 1)
    monkeypatch.setattr(events, "STREAMS_OF_ONE", 1)
    hub = events.Hub(lambda: pytest.fail("it asked the database"))
    hub.is_hearing = True

    async def play() -> tuple[list[bool], list[bool]]:
        async with AsyncExitStack() as streams:

            async def opens(who: access.Principal, address: str) -> bool:
                try:
                    await streams.enter_async_context(hub.join(who, address))
                except Busy:
                    return False
                return True

            strangers = [await opens(access.ANYBODY, f"192.0.2.{n}") for n in range(3)]
            keys = [access.Principal("field", name=f"{n}", key_id=n) for n in (1, 1, 2, 3)]
            return strangers, [await opens(key, "192.0.2.1") for key in keys]

    assert asyncio.run(play()) == ([True, False, False], [True, False, True, False])


def _opens(url: str) -> bool:
    """Say whether a stream can be opened: those of earlier tests are given up by and by."""
    with httpx2.stream("GET", f"{url}/events") as answer:
        return answer.status_code == 200


def test_a_client_that_does_not_keep_up_is_sent_to_start_anew() -> None:
    async def play() -> list[object]:
        stream = Stream(access.ANYBODY, "")
        for number in range(events.BUFFER + 1):
            stream.put(("layer", {"layer": str(number)}))
        return [await stream.next()]

    assert asyncio.run(play()) == [None]


def test_more_than_can_be_named_is_told_as_a_whole() -> None:
    touched = Touched()
    for first in range(0, events.MOST + 100, 100):
        ids = tuple(range(first, first + 100))
        touched.add(Change("incidents", "update", tuple((float(n), 0.0, 1.0, 1.0) for n in ids), ids))
    assert touched == Touched(None, None)
    touched.add(Change("incidents", "update", (), (1,)))
    assert touched == Touched(None, None)


def test_changes_that_nobody_follows_cost_nothing() -> None:
    hub = Hub(lambda: pytest.fail("nobody asked"))
    hub.hear(Change("incidents", "update", None, None))
    assert hub._touched == {}
