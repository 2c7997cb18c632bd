"""Tiles over HTTP: fresh after every commit, told apart by who asks, cheap when kept, bounded under load."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api import cutting, door, tiling
from api.deps import Look
from api.main import make_app
from api.tiling import Desk
from gis import access, schema
from gis.changes import Change, Tables
from gis.grids import Wish
from gis.settings import settings
from layers.catalogue import CATALOG, LAYERS, Layer
from layers.view import View
from tests import town
from tiles import encoding, mvt
from tiles.cache import Asked
from tiles.tile import Tile

LOOK = Look(Wish(), None, None, None, None, None, None)
HERE = ("127.0.0.1", 5)
Z = 16


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_building(conn, batch, "1", town.at(1, 1))
        town.add_building(conn, batch, "2", town.at(4, 4))
        town.add_incidents(conn, batch, [town.at(1, 1), town.at(1, 1.5), town.at(1, 4)])


@contextmanager
def serving(engine: Engine, data_dir: Path) -> Iterator[TestClient]:
    """The service as one process of it runs, once it hears of changes."""
    with TestClient(make_app(lambda: engine, data_dir), "http://127.0.0.1", client=HERE) as client:
        _wait(lambda: bool(desk_of(client).cache.watched))
        yield client


@pytest.fixture
def client(service_engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    with serving(service_engine, tmp_path) as made:
        yield made


def desk_of(client: TestClient) -> Desk:
    assert isinstance(client.app, FastAPI)
    desk = client.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def _wait(until: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def path(layer: str, place: tuple[float, float], z: int = Z) -> str:
    lon, lat = place
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return f"/tiles/{layer}/{z}/{int((lon + 180) / 360 * (1 << z))}/{int(y * (1 << z))}.mvt"


def key_of(engine: Engine, role: str, scope: str | None = None) -> dict[str, str]:
    with engine.begin() as conn:
        key = access.create_key(conn, role, scope, scheme="safety", label="")
    return {"Authorization": f"Bearer {key.key}"}


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile, by an engine and by the connections that cut tiles."""
    sent: list[str] = []
    execute = psycopg.AsyncCursor.execute

    def note(*said: object) -> None:
        sent.append(str(said[2]))

    async def noted(cursor: Any, query: Any, *rest: Any, **more: Any) -> Any:
        sent.append(str(query))
        return await execute(cursor, query, *rest, **more)

    sa.event.listen(engine, "before_cursor_execute", note)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.AsyncCursor, "execute", noted)
        yield sent
    sa.event.remove(engine, "before_cursor_execute", note)


HOUSE, OTHER = path("buildings", town.at(1, 1)), path("buildings", town.at(4, 4))


def test_a_kept_tile_asks_the_database_nothing(client: TestClient, service_engine: Engine) -> None:
    with statements(service_engine) as sent:
        first = client.get(HOUSE)
    assert any("ST_AsMVT" in one for one in sent)
    with statements(service_engine) as sent:
        second = client.get(HOUSE)
        third = client.get(HOUSE, headers={"If-None-Match": second.headers["etag"]})
    assert sent == []
    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 304)
    assert first.content == second.content
    assert third.content == b""
    assert first.headers["cache-status"].startswith("tiles; fwd=miss")
    assert second.headers["cache-status"] == third.headers["cache-status"] == "tiles; hit"
    assert third.headers["etag"] == second.headers["etag"] == first.headers["etag"]


def test_an_empty_tile_is_kept_too(client: TestClient, service_engine: Engine) -> None:
    empty = path("buildings", (20.0, 20.0))
    assert client.get(empty).status_code == 204
    with statements(service_engine) as sent:
        assert client.get(empty).status_code == 204
    assert sent == []


def test_each_encoding_has_its_own_tag_and_the_same_content(client: TestClient) -> None:
    grids, tags, bodies = path("grids", town.at(1, 1), 12), set(), set()
    for accepted in ("identity", "gzip", "br", "zstd"):
        for _ in range(2):
            with client.stream("GET", grids, headers={"Accept-Encoding": accepted}) as answer:
                body = b"".join(answer.iter_raw())
            assert answer.headers.get("content-encoding", "identity") == accepted
            assert "accept-encoding" in answer.headers["vary"].lower()
            tags.add(answer.headers["etag"])
            bodies.add(encoding.decode(body, accepted))
    assert (len(tags), len(bodies)) == (4, 1)
    mine = next(tag for tag in tags if "gzip" in tag)
    for accepted, status in (("gzip", 304), ("br", 200)):
        asked = {"Accept-Encoding": accepted, "If-None-Match": f'"x", W/{mine}'}
        assert client.get(grids, headers=asked).status_code == status


def _moves(conn: Connection, column: float, row: float) -> None:
    x, y = town.at(column, row)
    conn.execute(
        schema.buildings.update()
        .where(schema.buildings.c.origin_id == "1")
        .values(geom=f"SRID=4326;POINT({x} {y})", point=f"SRID=4326;POINT({x} {y})")
    )


def test_a_commit_is_seen_where_it_was_and_where_it_is_and_nowhere_else(
    client: TestClient, engine: Engine
) -> None:
    there = path("buildings", town.at(3, 1))
    assert [client.get(one).status_code for one in (HOUSE, OTHER, there)] == [200, 200, 204]
    tag = client.get(HOUSE).headers["etag"]
    with engine.begin() as conn:
        _moves(conn, 3, 1)
        time.sleep(0.1)
        assert client.get(HOUSE).headers["cache-status"] == "tiles; hit", "not committed yet"
    _wait(lambda: client.get(HOUSE, headers={"If-None-Match": tag}).status_code == 204, 1)
    assert client.get(there).status_code == 200
    assert client.get(OTHER).headers["cache-status"] == "tiles; hit"
    with engine.begin() as conn:
        _moves(conn, 1, 1)
    _wait(lambda: client.get(there).status_code == 204, 1)


def test_a_tile_cut_while_a_commit_came_is_given_out_but_not_kept(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, render = threading.Event(), mvt.Cut.fetch

    async def slowly(*words: object) -> bytes:
        body = await render(*words)  # type: ignore[arg-type]
        cut.set()
        await asyncio.sleep(0.6)
        return body

    monkeypatch.setattr(mvt.Cut, "fetch", slowly)
    with ThreadPoolExecutor(1) as other:
        early = other.submit(client.get, HOUSE)
        assert cut.wait(5)
        monkeypatch.setattr(mvt.Cut, "fetch", render)
        with engine.begin() as conn:
            conn.execute(schema.buildings.update().values(name="renamed"))
        _wait(lambda: b"renamed" in client.get(HOUSE).content, 1)
        assert b"renamed" not in early.result().content
    assert b"renamed" in client.get(HOUSE).content
    assert client.get(HOUSE).headers["cache-status"] == "tiles; hit"


CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'safetymap listener'
"""


def test_cut_off_nothing_is_served_from_memory_and_then_it_starts_clean(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get(HOUSE)
    listener = client.app.state.wire.listener  # type: ignore[attr-defined]
    ended, begun = threading.Event(), threading.Event()
    end, begin = listener._ended, listener._begun

    def cut_off() -> None:
        end()
        ended.set()

    def begins(tables: Tables) -> None:
        begun.wait(10)
        begin(tables)

    monkeypatch.setattr(listener, "_ended", cut_off)
    monkeypatch.setattr(listener, "_begun", begins)
    with engine.begin() as conn:
        conn.execute(sa.text(CUT))
    assert ended.wait(5)
    with engine.begin() as conn:
        conn.execute(schema.buildings.update().values(name="unheard"))
    for _ in range(2):
        answer = client.get(HOUSE)
        assert b"unheard" in answer.content
        assert answer.headers["cache-status"] != "tiles; hit"
    begun.set()
    _wait(lambda: client.get(HOUSE).headers["cache-status"] == "tiles; hit")


def test_equal_questions_are_one_query(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    render, count = mvt.Cut.fetch, 0

    async def slowly(*words: object) -> bytes:
        nonlocal count
        count += 1
        await asyncio.sleep(0.5)
        return await render(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(mvt.Cut, "fetch", slowly)
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: client.get(HOUSE), range(8)))
    assert count == 1
    assert len({answer.content for answer in answers}) == 1


def test_a_county_is_never_given_what_another_was(client: TestClient, engine: Engine) -> None:
    """Kept tiles are told apart by what may be seen; a tag of more than that opens nothing."""
    incidents = path("incidents", town.at(1, 1), 12)
    one, two = key_of(engine, "field", "T1"), key_of(engine, "field", "T2")
    counts = []
    for ask in (one, two, one, two):
        found = mapbox_vector_tile.decode(client.get(incidents, headers=ask).content)
        counts.append(sum(feature["properties"]["count"] for feature in found["incidents"]["features"]))
    assert counts == [2, 1, 2, 1]
    tag = client.get(incidents, headers=one).headers["etag"]
    assert client.get(incidents, headers=one | {"If-None-Match": tag}).status_code == 304
    assert client.get(incidents, headers=two | {"If-None-Match": tag}).status_code == 200
    refused = client.get(incidents, headers={"If-None-Match": tag})
    assert refused.status_code == 401
    assert "etag" not in refused.headers
    assert client.get(incidents, headers=one).headers["cache-control"] == "private, no-store"
    assert client.get(HOUSE).headers["cache-control"] == "public, no-cache"
    assert client.get(HOUSE, headers=one).headers["cache-control"] == "private, no-cache"


def test_a_revoked_key_gets_no_kept_tile(client: TestClient, engine: Engine) -> None:
    ask = key_of(engine, "field")
    incidents = path("incidents", town.at(1, 1))
    for _ in range(2):
        assert client.get(incidents, headers=ask).status_code == 200
    with engine.begin() as conn:
        access.revoke_key(conn, access.keys(conn)[-1].id)
    _wait(lambda: client.get(incidents, headers=ask).status_code == 401, 1)


def test_kept_tiles_of_protected_layers_are_audited(client: TestClient, engine: Engine) -> None:
    ask, incidents = key_of(engine, "field"), path("incidents", town.at(1, 1), 17)
    hits = [client.get(incidents, headers=ask).headers["cache-status"] for _ in range(3)]
    assert hits[1:] == ["tiles; hit"] * 2
    _wait(lambda: _recorded(engine, incidents) == 3, 5)


def _recorded(engine: Engine, what: str) -> int:
    with engine.connect() as conn:
        wanted = sa.text("SELECT count(*) FROM audit WHERE entry LIKE :what")
        return int(conn.execute(wanted, {"what": f"%GET {what}%"}).scalar_one())


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
        _wait(lambda: desk_of(client).cutters._queued == 2)
        began = time.monotonic()
        refused = client.get("/tiles/buildings/15/77/9.mvt")
        assert time.monotonic() - began < 1
        go.set()
        assert {one.result().status_code for one in waiting} == {204}
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) >= 1
    assert client.get("/tiles/buildings/15/77/9.mvt").status_code == 204


def _sleeping(seconds: float) -> Callable[..., Awaitable[bytes]]:
    async def sleep(_: mvt.Cut, driver: "psycopg.AsyncConnection[object]", __: object) -> bytes:
        await driver.execute("SELECT pg_sleep(%s)", [seconds])
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
        found = [row for conn in cutters._idle for row in await _told(conn)]
        await cutters.close()
        return found

    assert asyncio.run(play()) == [""]


async def _told(conn: cutting.Connection) -> list[str]:
    cursor = await conn.execute("SELECT current_setting('safetymap.rank', true)")
    return [row[0] or "" for row in await cursor.fetchall()]


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


def test_every_table_that_a_layer_reads_announces_its_changes(client: TestClient) -> None:
    """Otherwise its tiles are never kept: `SELECT announce_changes_of('table')` in the table's revision."""
    view = View("safety", town.FOUNDED, 1, scope=None)
    watched = desk_of(client).cache.watched
    for layer in CATALOG:
        for z in (layer.minzoom, (layer.minzoom + layer.maxzoom) // 2, layer.maxzoom):
            _, reads = tiling.question(layer, cutting.looking_at(view, z))
            assert reads or layer.constant_from is not None
            assert reads <= watched, f"{layer.name} at zoom {z} reads {sorted(reads - watched)} unheard"


def test_many_rows_are_announced_in_boxes_that_hold_them(
    engine: Engine, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Change] = []
    monkeypatch.setattr(desk_of(client), "hear", heard.append)
    with engine.begin() as conn:
        conn.execute(
            sa.text("""
            INSERT INTO cells (cell, res, geom, area_m2)
            SELECT -n, 9, ST_MakeEnvelope(x, y, x + .2, y + .2, 4326), 1
            FROM (SELECT n, -170 + n % 83 * 4 x, -80 + n % 29 * 5.5 y FROM generate_series(1, 3000) n) p""")
        )
        wanted = conn.execute(
            sa.text(
                "SELECT ST_XMin(geom), ST_YMin(geom), ST_XMax(geom), ST_YMax(geom) FROM cells WHERE cell < 0"
            )
        ).all()
        conn.execute(sa.text("DELETE FROM cells WHERE cell < 0"))
    _wait(lambda: len(heard) == 2)
    for change in heard:
        assert change.table == "cells"
        assert change.boxes is not None
        assert 20 < len(change.boxes) <= 144
        for w, s, e, n in wanted:
            assert any(b[0] <= w and b[1] <= s and b[2] >= e and b[3] >= n for b in change.boxes)


def test_a_new_revision_leaves_layers_without_history_alone(client: TestClient, engine: Engine) -> None:
    grids = path("grids", town.at(1, 1))
    for one in (HOUSE, grids):
        client.get(one)
    with engine.begin() as conn:
        conn.execute(schema.revisions.insert().values(scheme="safety", note="redrawn"))
    _wait(lambda: client.get(grids).headers["cache-status"] != "tiles; hit", 1)
    assert client.get(HOUSE).headers["cache-status"].startswith("tiles")
    assert client.get(HOUSE).headers["cache-status"] == "tiles; hit"
