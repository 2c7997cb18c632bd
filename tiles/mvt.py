"""Mapbox vector tiles, cut by PostGIS in one statement."""

import math
from typing import Any

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy.engine import Connection

from gis.crs import WEB_MERCATOR, WGS84
from gis.db import Query
from tiles.tile import BUFFER, EXTENT, Tile

PLANE_M = 2 * math.pi * 6378137
"""Width of the mercator plane in metres."""
MEDIA_TYPE = "application/vnd.mapbox-vector-tile"


def statement(rows: Query, name: str, tile: Tile) -> Query:
    """Return the one statement that cuts `rows` (id, geom and properties) to the tile named `name`.

    Rows whose geom is declared a point are in exactly one tile, at 0..4095 in both directions; others are in
    every tile that their shape or its margin touches. Rows are in WGS-84, or in web mercator where so
    declared.
    """
    inner = rows.subquery("inner")
    others = [column for column in inner.c if column.name != "geom"]
    kind = inner.c.geom.type
    is_point = isinstance(kind, Geometry) and kind.geometry_type == "POINT"
    cut = _points(inner, others, tile) if is_point else _shapes(inner, others, tile)
    # Policies give others other plans; in one order the same rows are the same bytes, in archives too.
    ordered = sa.select(cut).order_by(cut.c.id).subquery("ordered")
    # ST_AsMVT leaves out rows without geometry. Asked to do so ourselves, the planner cuts each row twice.
    return sa.select(sa.func.ST_AsMVT(ordered.table_valued(), name, EXTENT, "geom", "id"))


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
