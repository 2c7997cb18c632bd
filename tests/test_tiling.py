"""Tiles over HTTP: fresh after every commit, told apart by who asks, cheap when kept, bounded under load."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api import cutting, tiling
from api.deps import Look
from gis import access, schema
from gis.changes import Change, Tables
from gis.grids import Wish
from layers.catalogue import CATALOG
from layers.view import View
from tests import town
from tests.serving import HOUSE, OTHER, desk_of, path, serving, settle, wait
from tiles import encoding, mvt

LOOK = Look(Wish(), None, None, None, None, None, None)


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    settle(engine)


@pytest.fixture
def client(service_engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    with serving(service_engine, tmp_path) as made:
        yield made


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
    wait(lambda: client.get(HOUSE, headers={"If-None-Match": tag}).status_code == 204, 1)
    assert client.get(there).status_code == 200
    assert client.get(OTHER).headers["cache-status"] == "tiles; hit"
    with engine.begin() as conn:
        _moves(conn, 1, 1)
    wait(lambda: client.get(there).status_code == 204, 1)


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
        wait(lambda: b"renamed" in client.get(HOUSE).content, 1)
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
    wait(lambda: client.get(HOUSE).headers["cache-status"] == "tiles; hit")


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
    wait(lambda: client.get(incidents, headers=ask).status_code == 401, 1)


def test_kept_tiles_of_protected_layers_are_audited(client: TestClient, engine: Engine) -> None:
    ask, incidents = key_of(engine, "field"), path("incidents", town.at(1, 1), 17)
    hits = [client.get(incidents, headers=ask).headers["cache-status"] for _ in range(3)]
    assert hits[1:] == ["tiles; hit"] * 2
    wait(lambda: _recorded(engine, incidents) == 3, 5)


def _recorded(engine: Engine, what: str) -> int:
    with engine.connect() as conn:
        wanted = sa.text("SELECT count(*) FROM audit WHERE entry LIKE :what")
        return int(conn.execute(wanted, {"what": f"%GET {what}%"}).scalar_one())


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
    wait(lambda: len(heard) == 2)
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
    wait(lambda: client.get(grids).headers["cache-status"] != "tiles; hit", 1)
    assert client.get(HOUSE).headers["cache-status"].startswith("tiles")
    assert client.get(HOUSE).headers["cache-status"] == "tiles; hit"
