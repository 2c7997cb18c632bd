"""Tiles at the antimeridian and at the plane's edges: what crosses is on both sides, and counted once."""

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bench.walk import features
from gis import schema as t
from layers.catalogue import LAYERS
from layers.view import View
from tests import town
from tiles import mvt
from tiles.tile import Tile

LAST = (1 << 14) - 1
SHAPES = {
    1: "MULTIPOLYGON(((179.99 0,180 0,180 0.01,179.99 0.01,179.99 0)),"
    "((-180 0,-179.99 0,-179.99 0.01,-180 0.01,-180 0)))",
    2: "POLYGON((10 85.045,10.001 85.045,10.001 85.06,10 85.06,10 85.045))",
    3: "POLYGON((10 -85.045,10.001 -85.045,10.001 -85.2,10 -85.2,10 -85.045))",
    4: "POLYGON((0 -0.001,0.001 -0.001,0.001 0.001,0 0.001,0 -0.001))",
}


@pytest.fixture
def world(conn: Connection) -> Connection:
    """Buildings that cross every edge of the plane and of tiles; rolled back after the test."""
    town.add_grids(conn)
    batch = town.add_city(conn)
    for ident, shape in SHAPES.items():
        row = {
            "id": ident,
            "origin": "t",
            "origin_id": str(ident),
            "batch_id": batch,
            "geom": f"SRID=4326;{shape}",
        }
        point = sa.func.ST_PointOnSurface(sa.func.ST_GeomFromText(shape, 4326))
        conn.execute(t.buildings.insert().values(row | {"point": point}))
    return conn


def _found(conn: Connection, z: int, x: int, y: int) -> set[int]:
    square = Tile(z, x, y)
    view = View("safety", town.FOUNDED, 1, zoom=z, of_tile=True)
    return {ident for ident, _ in features(mvt.render(conn, LAYERS["buildings"].select(view), "b", square))}


def _column(lon: float) -> int:
    return int((lon + 180) / 360 * (LAST + 1))


def test_what_crosses_an_edge_is_on_both_sides(world: Connection) -> None:
    middle = (LAST + 1) // 2
    assert _found(world, 14, LAST, middle - 1) == _found(world, 14, 0, middle - 1) == {1}
    assert _found(world, 14, LAST - 1, middle - 1) == set()
    assert _found(world, 14, _column(10), 0) == {2}
    assert _found(world, 14, _column(10), LAST) == {3}
    both = {(x, y): _found(world, 14, x, y) for x in (middle - 1, middle) for y in (middle - 1, middle)}
    assert both[middle, middle - 1] == both[middle, middle] == {4}


@pytest.mark.parametrize("zoom", [0, 1, 5, 13])
def test_each_is_counted_once(world: Connection, zoom: int) -> None:
    side = 1 << zoom
    ends = {
        (x, y)
        for x in (0, side // 2, _column(10) * side // (LAST + 1), side - 1)
        for y in (0, side // 2, side - 1)
    }
    ends |= {(x, max(0, side // 2 - 1)) for x, _ in ends}
    total = 0
    for x, y in ends:
        square = Tile(zoom, x, y)
        view = View("safety", town.FOUNDED, 1, zoom=zoom, of_tile=True)
        body = mvt.render(world, LAYERS["buildings"].select(view), "b", square)
        total += sum(count for _, count in features(body))
    assert total == len(SHAPES)


def test_a_road_too_short_for_its_zoom_is_still_there(conn: Connection) -> None:
    """Once, in the tile that it begins in, though less than a unit long."""
    batch = town.add_city(conn)
    short = "SRID=4326;LINESTRING(10.0001 10.0001,10.0002 10.0001)"
    row = {"origin": "t", "origin_id": "1", "batch_id": batch, "class": "primary", "length_m": 11}
    conn.execute(t.roads.insert().values(row | {"id": 1, "geom": short, "u": 1, "v": 2}))
    view = View("safety", town.FOUNDED, 1, zoom=9, of_tile=True)
    rows, west, north = LAYERS["roads"].select(view), 270, 241
    around = [Tile(9, x, y) for x in range(west - 1, west + 2) for y in range(north - 1, north + 2)]
    found = {one.place: list(features(mvt.render(conn, rows, "roads", one))) for one in around}
    assert {place: each for place, each in found.items() if each} == {(9, west, north): [(1, 1)]}
