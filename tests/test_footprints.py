"""Footprints kept for tiles of zoom 14: the very bytes that cutting them would give, after every change."""

from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import grids, schema
from layers import filters
from layers.catalogue import BUILDINGS_FROM, LAYERS
from layers.view import View
from tests import town
from tiles import mvt
from tiles.tile import Tile

WHATEVER = "floors >= 0 OR floors IS NULL"
"""A filter that every building passes: with one, footprints are cut from the buildings."""
EAST, NORTH = town.at(2, 2)


@pytest.fixture
def built(conn: Connection) -> Connection:
    """The town, with buildings of every shape and size, at the plane's edges too."""
    town.add_grids(conn)
    batch = town.add_city(conn)
    rng = np.random.default_rng(7)
    shapes = [_around(rng, place, size) for size in (1e-6, 1e-4, 2e-3, 0.08) for place in _places(rng, 60)]
    shapes += [shapely.Point(EAST, NORTH), shapely.LineString([(EAST, NORTH), (EAST + 0.01, NORTH)])]
    shapes += [shapely.Polygon([(EAST, NORTH), (EAST + 1e-3, NORTH), (EAST + 2e-3, NORTH)])]
    shapes += [shapely.box(179.999, -1e-3, 180, 1e-3), shapely.box(-180, 85, -179.99, 85.05)]
    shapes += [shapely.box(20, 85.2, 20.1, 85.3), shapely.box(20, -85.06, 20.1, -85.04)]
    sides = [shapely.box(179.99, 0, 180, 0.01), shapely.box(-180, 0, -179.99, 0.01)]
    parts = [shapely.box(EAST + x, NORTH, EAST + x + 1e-4, NORTH + 1e-4) for x in (0, 0.15)]
    shapes += [shapely.multipolygons(sides), shapely.multipolygons(parts)]
    _add(conn, batch, shapes)
    return conn


def _places(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    return [(EAST + x, NORTH + y) for x, y in rng.uniform(-0.05, 0.05, (count, 2))]


def _around(rng: np.random.Generator, place: tuple[float, float], size: float) -> shapely.Polygon:
    """A polygon of either turn around a place, some with a hole."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
    ring = np.array(place) + size * np.column_stack([np.cos(angles), np.sin(angles)])
    holes = [np.array(place) + 0.1 * (ring - np.array(place))] if rng.random() < 0.3 else []
    return shapely.Polygon(ring[:: rng.choice([1, -1])], holes)


def _add(conn: Connection, batch: int, shapes: list[shapely.Geometry]) -> None:
    rows = [
        {
            "origin": "shapes", "origin_id": str(n), "batch_id": batch, "floors": n % 7, "kind": f"{n % 3}",
            "geom": f"SRID=4326;{shape.wkt}", "point": f"SRID=4326;{shapely.Point(EAST, NORTH).wkt}",
        }
        for n, shape in enumerate(shapes)
    ]  # fmt: skip
    conn.execute(schema.buildings.insert(), rows)


KEPT = sa.text(
    "SELECT x, y, id, kind, floors, households, ST_AsBinary(geom) FROM footprints ORDER BY 1, 2, 3"
)
MADE_ANEW = sa.text(
    "SELECT d.x, d.y, b.id, b.kind, b.floors, b.households, ST_AsBinary(d.geom) "
    "FROM buildings b, drawn_in_tiles(b.geom) d ORDER BY 1, 2, 3"
)


def _rows(conn: Connection, query: sa.TextClause) -> list[tuple[object, ...]]:
    return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in conn.execute(query)]


def test_a_tile_of_kept_footprints_is_the_one_that_is_cut(built: Connection) -> None:
    asked = grids.resolve(built, grids.Wish())
    seen = View(asked.scheme, asked.on, asked.known, zoom=BUILDINGS_FROM, of_tile=True)
    other = replace(seen, filter=filters.read(WHATEVER, UTC))
    kept, cut = (mvt.cut(LAYERS["buildings"].select(view), "b", seen.zoom) for view in (seen, other))
    assert ("footprints" in kept.sql, "footprints" in cut.sql) == (True, False)
    driver = mvt.driver_of(built)
    held = {(x, y) for x, y, *_ in _rows(built, KEPT)}
    around = {(x + i, y + j) for x, y in held for i in (-1, 0, 1) for j in (-1, 0, 1)}
    tiles = [Tile(BUILDINGS_FROM, int(x), int(y)) for x, y in around if 0 <= min(x, y) <= max(x, y) < 16384]
    assert len(held) > 100
    for tile in tiles:
        body = kept.run(driver, tile)
        assert body == cut.run(driver, tile), tile
        assert bool(body) == ((tile.x, tile.y) in held)


def test_every_change_is_followed(built: Connection) -> None:
    before = _rows(built, KEPT)
    assert before == _rows(built, MADE_ANEW)
    for change in (
        "UPDATE buildings SET geom = ST_Translate(geom, 0.03, -0.02) WHERE id % 5 = 0 AND ST_YMax(geom) < 80",
        "UPDATE buildings SET kind = 'school', households = 3 WHERE id % 7 = 0",
        "UPDATE buildings SET id = id + 100000 WHERE id % 11 = 0",
        "DELETE FROM buildings WHERE id % 3 = 0",
    ):
        built.execute(sa.text(change))
        now = _rows(built, KEPT)
        assert now == _rows(built, MADE_ANEW), change
        assert now != before
        before = now
    built.execute(sa.text("TRUNCATE buildings CASCADE"))
    assert _rows(built, KEPT) == []


def test_what_is_no_building_is_refused(conn: Connection) -> None:
    batch = town.add_city(conn)
    with pytest.raises(sa.exc.IntegrityError, match="no_wider_than_one_is"):
        _add(conn, batch, [shapely.box(1, 0, 1.3, 1e-4)])


def test_the_service_reads_footprints_and_changes_none(service_engine: Engine) -> None:
    with service_engine.connect() as conn:
        conn.execute(sa.text("SELECT count(*) FROM footprints"))
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            conn.execute(sa.text("DELETE FROM footprints"))
