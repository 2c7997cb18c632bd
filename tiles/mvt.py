"""Mapbox vector tiles, cut by PostGIS in one statement."""

import math
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy.engine import Connection

from gis.crs import WEB_MERCATOR, WGS84
from gis.db import Query
from tiles.tile import BUFFER, EXTENT, Tile

STRAIGHT_FROM = 14
"""From this zoom on mercator is straight within a tile: off by 1/5 of a unit at 60° of latitude, by nothing
at the seams."""
PLANE_M = 2 * math.pi * 6378137
"""Width of the mercator plane in metres."""
MEDIA_TYPE = "application/vnd.mapbox-vector-tile"


def statement(rows: Query, name: str, tile: Tile) -> Query:
    """Return the one statement that cuts `rows` (id, geom and properties) to the tile named `name`.

    Rows whose geom is declared a point are in exactly one tile, at 0..4095 in both directions; others are in
    every tile that their shape or its margin touches. Rows are in WGS-84, or in web mercator where so
    declared; those declared a polygon in WGS-84 are small and are not cut at the tile's edge when near.
    """
    inner = rows.subquery("inner")
    others = [column for column in inner.c if column.name != "geom"]
    cut = _way(inner.c.geom.type, tile)(inner, others, tile)
    # Policies give others other plans; in one order the same rows are the same bytes, in archives too.
    ordered = sa.select(cut).order_by(cut.c.id).subquery("ordered")
    # ST_AsMVT leaves out rows without geometry. Asked to do so ourselves, the planner cuts each row twice.
    return sa.select(sa.func.ST_AsMVT(ordered.table_valued(), name, EXTENT, "geom", "id"))


def _way(kind: Any, tile: Tile) -> Callable[[sa.Subquery, list[Any], Tile], sa.Subquery]:
    declared = kind.geometry_type if isinstance(kind, Geometry) else None
    if declared == "POINT":
        return _points
    if declared == "POLYGON" and kind.srid == WGS84 and tile.z >= STRAIGHT_FROM:
        return _outlines
    return _shapes


def _shapes(inner: sa.Subquery, others: list[Any], tile: Tile) -> sa.Subquery:
    """The envelope is brought to the rows' CRS, never the column, so that its index is used."""
    square = sa.func.ST_TileEnvelope(tile.z, tile.x, tile.y)
    flat: sa.ColumnElement[Any] = inner.c.geom
    if getattr(inner.c.geom.type, "srid", WGS84) == WEB_MERCATOR:
        box = sa.func.ST_Expand(square, PLANE_M / (1 << tile.z) * BUFFER / EXTENT)
    else:
        flat = sa.func.ST_Transform(inner.c.geom, WEB_MERCATOR)
        box = sa.func.ST_MakeEnvelope(*tile.bounds(), WGS84)
    cut = sa.func.ST_AsMVTGeom(flat, square, EXTENT, BUFFER, True).label("geom")
    return sa.select(cut, *others).where(inner.c.geom.op("&&")(box)).subquery("cut")


def _outlines(inner: sa.Subquery, others: list[Any], tile: Tile) -> sa.Subquery:
    """Move each shape by one linear map, whole: a third of what clipping and mending it would cost.

    Shapes that reach beyond the tiles around this one are clipped as any other, since renderers keep
    coordinates in 16 bits.
    """
    geom = inner.c.geom
    west, south, east, north = tile.bounds(0)
    across, down = EXTENT / (east - west), EXTENT / (north - south)
    # Clockwise, and turned over with the axis: outer rings have a positive area in a tile (MVT 2.1, 4.3.4.4).
    turned = sa.func.ST_ForcePolygonCW(geom)
    moved = sa.func.ST_Affine(turned, across, 0.0, 0.0, -down, -west * across, north * down)
    square = sa.func.ST_TileEnvelope(tile.z, tile.x, tile.y)
    clipped = sa.func.ST_AsMVTGeom(sa.func.ST_Transform(geom, WEB_MERCATOR), square, EXTENT, BUFFER, True)
    is_near = geom.op("@")(sa.func.ST_MakeEnvelope(*tile.bounds(1), WGS84))
    placed = sa.case((is_near, sa.func.ST_SnapToGrid(moved, 1.0)), else_=clipped).label("geom")
    touching = geom.op("&&")(sa.func.ST_MakeEnvelope(*tile.bounds(), WGS84))
    # OFFSET 0 keeps the planner from placing each shape again for the test below.
    found = sa.select(placed, *others).where(touching).offset(0).subquery("placed")
    has_area = sa.or_(sa.func.ST_Dimension(found.c.geom) < 2, sa.func.ST_Area(found.c.geom) > 0)
    return sa.select(found).where(has_area).subquery("cut")


def _points(inner: sa.Subquery, others: list[Any], tile: Tile) -> sa.Subquery:
    """Reckon the place of each point within the tile; the functions are those that number its square."""
    size = EXTENT << tile.z
    column = sa.func.floor(sa.func.plane_x(sa.func.ST_X(inner.c.geom)) * size) - EXTENT * tile.x
    row = sa.func.floor(sa.func.plane_y(sa.func.ST_Y(inner.c.geom)) * size) - EXTENT * tile.y
    near = inner.c.geom.op("&&")(sa.func.ST_MakeEnvelope(*tile.bounds(), WGS84))
    # OFFSET 0 keeps the planner from reckoning each place again wherever it is used.
    reckoned = sa.select(column.label("column"), row.label("row"), *others).where(near).offset(0)
    placed = reckoned.subquery("placed")
    point = sa.func.ST_MakePoint(placed.c.column, placed.c.row).label("geom")
    within = [axis >= 0 for axis in placed.c[:2]] + [axis < EXTENT for axis in placed.c[:2]]
    return sa.select(point, *placed.c[2:]).where(*within).subquery("cut")


def render(conn: Connection, rows: Query, name: str, tile: Tile) -> bytes:
    """Return the tile as MVT 2 bytes, empty when nothing lies in it."""
    return bytes(conn.execute(statement(rows, name, tile)).scalar_one() or b"")
