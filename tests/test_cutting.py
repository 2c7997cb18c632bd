"""Cutting tiles: a bounded number at a time, on connections that forget who asked and never hang."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from starlette.types import Message, Scope

from api import cutting, door
from api.deps import Look
from api.tiling import Desk
from gis import access
from gis.grids import Wish
from gis.settings import settings
from layers.catalogue import CATALOG, LAYERS, Layer
from layers.view import View
from tests import town
from tests.serving import HOUSE, Z, desk_of, path, serving, settle, wait
from tiles import encoding, mvt
from tiles.cache import Asked
from tiles.tile import Tile

LOOK = Look(Wish(), None, None, None, None, None, None)


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    settle(engine)


@pytest.fixture
def client(service_engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    with serving(service_engine, tmp_path) as made:
        yield made


def test_too_many_are_told_at_once_to_come_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "tile_queue", 2)
    go, render = threading.Event(), mvt.Cut.fetch

    async def held(*words: object) -> bytes:
        await asyncio.to_thread(go.wait, 60)
        return await render(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(mvt.Cut, "fetch", held)
    tiles = [f"/tiles/buildings/{Z}/{x}/9.mvt" for x in range(settings().tile_queries + 2)]
    with ThreadPoolExecutor(len(tiles)) as many:
        waiting = [many.submit(client.get, one) for one in tiles]
        wait(desk_of(client).is_full)
        began = time.monotonic()
        refused = client.get("/tiles/buildings/15/77/9.mvt")
        assert time.monotonic() - began < 1
        go.set()
        assert {one.result().status_code for one in waiting} == {204}
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) >= 1
    assert client.get("/tiles/buildings/15/77/9.mvt").status_code == 204


def test_who_come_in_one_moment_find_no_more_places(
    service_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place is taken before the task that cuts has begun: the rest cost nothing but their refusal."""
    monkeypatch.setattr(settings(), "tile_queue", 2)
    monkeypatch.setattr(mvt.Cut, "fetch", _sleeping(0.1))
    passed, statuses = [], []

    async def play() -> None:
        desk = Desk(lambda: service_engine, lambda: True)

        async def app(scope: Scope, *_: object) -> None:
            passed.append(
                await desk.answer(LAYERS["buildings"], scope["at"], LOOK, access.ANYBODY, "identity")
            )

        async def send(message: Message) -> None:
            statuses.append(message.get("status"))

        async def ask(x: int) -> None:
            scope = {"type": "http", "path": f"/tiles/buildings/15/{x}/1.mvt", "at": Tile(15, x, 1)}
            await door.Shed(app, desk)(scope, asyncio.Queue().get, send)

        await ask(0)  # from now on it is known what anybody sees
        await asyncio.gather(*map(ask, range(1, 41)))
        await desk.stop()

    asyncio.run(play())
    assert len(passed) == 1 + settings().tile_queries + 2
    assert statuses.count(503) == 40 - settings().tile_queries - 2


def _sleeping(seconds: float) -> Callable[..., Awaitable[bytes]]:
    async def sleep(_: mvt.Cut, cursor: "psycopg.AsyncCursor[object]", __: object) -> bytes:
        await cursor.execute("SELECT pg_sleep(%s)", [seconds])
        return b""

    return sleep


def test_a_tile_that_takes_too_long_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "tile_timeout_ms", 100)
    monkeypatch.setattr(mvt.Cut, "fetch", _sleeping(5))
    answer = client.get(HOUSE)
    assert answer.status_code == 503
    assert "buildings took longer than 0.1 s" in answer.json()["detail"]
    assert "retry-after" in answer.headers


ADMIN = access.Principal("admin")
BROKEN = replace(
    LAYERS["incidents"],
    select=lambda _: sa.select(sa.literal(1).label("id"), (sa.literal(1) / sa.literal(0)).label("geom")),
)
LOST = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%ST_AsMVT%'
"""


def _order(layer: Layer, who: access.Principal) -> cutting.Order:
    square = Tile(15, 1, 1)
    asked = Asked("key", square, (layer.name, 15), frozenset(), 0.0)
    seen = cutting.looking_at(View("safety", town.FOUNDED, 1), 15)
    return cutting.Order(asked, cutting.statement(layer, seen), who, encoding.IDENTITY)


SLEEPING = """
SELECT count(*) FROM pg_stat_activity
WHERE query LIKE '%pg_sleep($1)%' AND state = 'active' AND pid <> pg_backend_pid()
"""


def _sleepers(engine: Engine) -> int:
    with engine.connect() as conn:
        return int(conn.execute(sa.text(SLEEPING)).scalar_one())


def test_a_query_that_nobody_waits_for_is_cancelled(
    service_engine: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two wait for one query: when one leaves it goes on, when both have left its connection is free."""
    monkeypatch.setattr(mvt.Cut, "fetch", _sleeping(7))
    layer = next(layer for layer in CATALOG if layer.name == "buildings")

    async def play() -> None:
        desk = Desk(lambda: service_engine, lambda: False)
        ask = (layer, Tile(15, 1, 1), LOOK, access.ANYBODY, "identity")
        first, second = (asyncio.create_task(desk.answer(*ask)) for _ in range(2))
        await _until(lambda: _sleepers(engine) == 1 and _waiting(desk) == 2)
        first.cancel()
        await asyncio.sleep(0.3)
        assert _sleepers(engine) == 1
        second.cancel()
        await _until(lambda: _sleepers(engine) == 0 and not desk.cutters._gate.locked() and not desk._flights)
        assert len(desk.cutters._idle) == 1
        await desk.stop()

    asyncio.run(play())


def test_a_connection_forgets_who_asked(service_engine: Engine) -> None:
    """What was told to the database ends with the tile, also when the tile failed."""

    async def play() -> list[str]:
        cutters = cutting.Cutters(lambda: service_engine)
        for layer, who in ((LAYERS["incidents"], access.Principal("admin")), (BROKEN, ADMIN)):
            with suppress(psycopg.Error):
                await cutters.cut(_order(layer, who))
        found = [row for cursor in cutters._idle for row in await _told(cursor)]
        await cutters.close()
        return found

    assert asyncio.run(play()) == [""]


async def _told(cursor: cutting.Cursor) -> list[str]:
    await cursor.execute("SELECT current_setting('safetymap.rank', true)")
    return [(row[0] or b"").decode() for row in await cursor.fetchall()]


def test_lost_connections_are_replaced(client: TestClient, engine: Engine) -> None:
    """A restarted database costs one answer, which says so; the next tile is cut on a new connection."""
    client.get(path("buildings", town.at(1, 1), 20))
    with engine.begin() as conn:
        ended = conn.execute(sa.text(LOST)).rowcount
    assert ended
    answers = [client.get(path("buildings", town.at(1, 1), z)).status_code for z in (19, 18, 17)]
    assert answers[0] in {200, 503}
    assert answers[1:] == [200, 200]


async def _until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not await asyncio.to_thread(met):
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.02)


def _waiting(desk: Desk) -> int:
    return sum(flight.waiting for flight in desk._flights.values())


def test_a_client_that_hangs_up_ends_the_work() -> None:
    async def play() -> tuple[object, bool]:
        ended = False

        async def work() -> int:
            nonlocal ended
            try:
                await asyncio.sleep(60)
            finally:
                ended = True
            return 1

        class Gone:
            async def receive(self) -> dict[str, str]:
                return {"type": "http.disconnect"}

        found = await door.unless_gone(Gone(), work())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return found, ended

    assert asyncio.run(play()) == (None, True)
