"""Mapbox vector tiles, cut by PostGIS in one statement."""

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy.dialects.postgresql import psycopg as postgresql
from sqlalchemy.engine import Connection

from gis.crs import WEB_MERCATOR, WGS84
from gis.db import Query
from gis.squares import OfPlace, Place, bounds, box_here, column_and_row, fixed
from tiles.tile import BUFFER, EXTENT, Tile

STRAIGHT_FROM = 14
"""From this zoom on mercator is straight within a tile: off by 1/5 of a unit at 60° of latitude, by nothing
at the seams."""
PLANE_M = 2 * math.pi * 6378137
"""Width of the mercator plane in metres."""
MEDIA_TYPE = "application/vnd.mapbox-vector-tile"


_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Cut:
    """A statement that cuts the tiles of a zoom, compiled: it is run by the driver, prepared."""

    sql: str
    fixed: Mapping[str, Any]
    """What is asked for in words; with any, the statement is planned anew each time."""
    reckoned: Mapping[str, Callable[[Place], Any]]
    """Values that follow from the tile, by their parameters' names."""
    is_light: bool
    """Whether they are reckoned in no time."""
    margin: float
    """Sides of the tile beyond which nothing is seen in it, two units for rounding among them."""

    def values(self, tile: Tile) -> dict[str, Any]:
        """Return the statement's parameters for a tile."""
        place = tile.place
        return {**self.fixed, **{name: reckon(place) for name, reckon in self.reckoned.items()}}

    def run(self, driver: "psycopg.Connection[Any]", tile: Tile) -> bytes:
        """Return the tile as MVT 2 bytes, empty when nothing lies in it."""
        with driver.cursor(binary=True) as cursor:
            row = cursor.execute(self.sql, self.values(tile), prepare=not self.fixed).fetchone()
        return bytes(row[0] or b"") if row else b""

    async def fetch(self, cursor: "psycopg.AsyncCursor[Any]", tile: Tile) -> bytes:
        """Do the same with a cursor, for binary answers, that is awaited."""
        values = self.values(tile) if self.is_light else await asyncio.to_thread(self.values, tile)
        await cursor.execute(self.sql, values, prepare=not self.fixed)
        row = await cursor.fetchone()
        return bytes(row[0] or b"") if row else b""


def cut(rows: Query, name: str, zoom: int) -> Cut:
    """Return `statement` compiled, for all tiles of a zoom."""
    compiled = statement(rows, name, zoom).compile(dialect=_DIALECT)
    of_place = {name: one for name, one in compiled.binds.items() if isinstance(one, OfPlace)}
    reckoned = {name: one.reckon for name, one in of_place.items()}
    is_light = not any(isinstance(one.type, sa.ARRAY) for one in of_place.values())
    state = compiled.construct_expanded_state(dict.fromkeys(reckoned))
    values = {
        name: state.processors[name](value) if name in state.processors else value
        for name, value in state.parameters.items()
        if name not in reckoned
    }
    written = {name: text for name, value in values.items() if (text := _written(value)) is not None}
    sql = re.sub(r"%\((\w+)\)s", lambda found: written.get(found[1], found[0]), state.statement)
    margin = 2 if _declared(rows.selected_columns.geom.type) == "POINT" else BUFFER + 2
    fixed = {name: value for name, value in values.items() if name not in written}
    return Cut(sql, fixed, reckoned, is_light, margin / EXTENT)


def _written(value: Any) -> str | None:
    """Return a number or a day as it is written in a statement, None for what could hold anything else.

    Planned once for all tiles, the statement is planned by these values; unknown, they misled it to read a
    grid's tile by its days instead of by its place (25 ms instead of 0.5).
    """
    if isinstance(value, bool):
        return str(value).lower()
    if type(value) in {int, float}:  # these very types, whose text is a number and nothing else
        return f"({value!r})"
    return f"'{value.isoformat()}'" if type(value) is date else None


def statement(rows: Query, name: str, zoom: int) -> Query:
    """Return the one statement that cuts `rows` (id, geom and properties) to a tile named `name`.

    Which tile of the zoom, its parameters tell (`OfPlace`).

    Rows whose geom is declared a point are in exactly one tile, at 0..4095 in both directions; others are in
    every tile that their shape or its margin touches. Rows are in WGS-84, or in web mercator where so
    declared; those declared a polygon in WGS-84 are small and are not cut at the tile's edge when near.
    Rows declared without a CRS are those of the tile, in its units.
    """
    inner = rows.subquery("inner")
    others = [column for column in inner.c if column.name != "geom"]
    cut = _way(inner.c.geom.type, zoom)(inner, others, zoom)
    # Policies give others other plans; in one order the same rows are the same bytes, in archives too.
    ordered = sa.select(cut).order_by(cut.c.id).subquery("ordered")
    # ST_AsMVT leaves out rows without geometry. Asked to do so ourselves, the planner cuts each row twice.
    return sa.select(
        sa.func.ST_AsMVT(ordered.table_valued(), fixed(name), EXTENT, fixed("geom"), fixed("id"))
    )


def _way(kind: Any, zoom: int) -> Callable[[sa.Subquery, list[Any], int], sa.Subquery]:
    if isinstance(kind, Geometry) and kind.srid == 0:
        return _placed
    if _declared(kind) == "POINT":
        return _points
    if _declared(kind) == "POLYGON" and kind.srid == WGS84 and zoom >= STRAIGHT_FROM:
        return _outlines
    return _shapes


def _declared(kind: Any) -> str | None:
    """Return what shapes a column is declared to hold."""
    return kind.geometry_type if isinstance(kind, Geometry) else None


def _placed(inner: sa.Subquery, _: list[Any], __: int) -> sa.Subquery:
    return sa.select(inner).subquery("cut")


def _shapes(inner: sa.Subquery, others: list[Any], zoom: int) -> sa.Subquery:
    """The envelope is brought to the rows' CRS, never the column, so that its index is used."""
    square, box = _envelope(zoom), box_here()
    flat: sa.ColumnElement[Any] = inner.c.geom
    if getattr(inner.c.geom.type, "srid", WGS84) == WEB_MERCATOR:
        box = sa.func.ST_Expand(square, PLANE_M / (1 << zoom) * BUFFER / EXTENT)
    else:
        flat = sa.func.ST_Transform(inner.c.geom, WEB_MERCATOR)
    cut = sa.func.ST_AsMVTGeom(flat, square, EXTENT, BUFFER, True)
    if _declared(inner.c.geom.type) == "LINESTRING":
        cut = sa.func.coalesce(cut, _dash(inner.c.geom, zoom))
    return sa.select(cut.label("geom"), *others).where(inner.c.geom.op("&&")(box)).subquery("cut")


def _dash(line: sa.ColumnElement[Any], zoom: int) -> sa.ColumnElement[Any]:
    """Return a line of one unit, where it begins, for one of which nothing would be left."""
    column, row = _units(sa.func.ST_StartPoint(line), zoom)
    within = [axis >= 0 for axis in (column, row)] + [axis < EXTENT for axis in (column, row)]
    ends = [sa.func.ST_MakePoint(column + step, row) for step in (0, 1)]
    return sa.case((sa.and_(*within), sa.func.ST_MakeLine(*ends)))


def _outlines(inner: sa.Subquery, others: list[Any], zoom: int) -> sa.Subquery:
    """Move each shape by one linear map, whole: a third of what clipping and mending it would cost.

    Shapes that reach beyond the tiles around this one are clipped as any other, since renderers keep
    coordinates in 16 bits.
    """
    geom = inner.c.geom
    # Clockwise, and turned over with the axis: outer rings have a positive area in a tile (MVT 2.1, 4.3.4.4).
    turned = sa.func.ST_ForcePolygonCW(geom)
    across, down, east, south = (
        OfPlace(f"affine_{at}", lambda place, at=at: _affine(place)[at], sa.Double)  # type: ignore[misc]
        for at in range(4)
    )
    moved = sa.func.ST_Affine(turned, across, 0.0, 0.0, down, east, south)
    square = _envelope(zoom)
    clipped = sa.func.ST_AsMVTGeom(sa.func.ST_Transform(geom, WEB_MERCATOR), square, EXTENT, BUFFER, True)
    is_near = geom.op("@")(box_here("around", 1))
    placed = sa.case((is_near, sa.func.ST_SnapToGrid(moved, 1.0)), else_=clipped).label("geom")
    touching = geom.op("&&")(box_here())
    # OFFSET 0 keeps the planner from placing each shape again for the test below.
    found = sa.select(placed, *others).where(touching).offset(0).subquery("placed")
    has_area = sa.or_(sa.func.ST_Dimension(found.c.geom) < 2, sa.func.ST_Area(found.c.geom) > 0)
    return sa.select(found).where(has_area).subquery("cut")


def _affine(place: Place) -> tuple[float, float, float, float]:
    """Return scale and offset that bring degrees to a tile's units: x = lon * a + c, y = lat * b + d."""
    west, south, east, north = bounds(place, 0)
    across, down = EXTENT / (east - west), EXTENT / (north - south)
    return across, -down, -west * across, north * down


def _envelope(zoom: int) -> sa.ColumnElement[Any]:
    """Return the square of the tile in web mercator."""
    return sa.func.ST_TileEnvelope(zoom, *column_and_row())


def _points(inner: sa.Subquery, others: list[Any], zoom: int) -> sa.Subquery:
    """Reckon the place of each point within the tile; the functions are those that number its square."""
    column, row = _units(inner.c.geom, zoom)
    near = inner.c.geom.op("&&")(box_here())
    # OFFSET 0 keeps the planner from reckoning each place again wherever it is used.
    reckoned = sa.select(column.label("column"), row.label("row"), *others).where(near).offset(0)
    placed = reckoned.subquery("placed")
    point = sa.func.ST_MakePoint(placed.c.column, placed.c.row).label("geom")
    within = [axis >= 0 for axis in placed.c[:2]] + [axis < EXTENT for axis in placed.c[:2]]
    return sa.select(point, *placed.c[2:]).where(*within).subquery("cut")


def _units(point: sa.ColumnElement[Any], zoom: int) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """Return a point's column and row within the tile."""
    size = EXTENT << zoom
    return (
        sa.func.floor(sa.func.plane_x(sa.func.ST_X(point)) * size) - _first("x", 1),
        sa.func.floor(sa.func.plane_y(sa.func.ST_Y(point)) * size) - _first("y", 2),
    )


def _first(axis: str, at: int) -> OfPlace:
    """Return the tile's first unit, counted from the plane's edge."""
    return OfPlace(f"first_{axis}", lambda place: EXTENT * place[at], sa.BigInteger)


def render(conn: Connection, rows: Query, name: str, tile: Tile) -> bytes:
    """Return one tile, with the connection's transaction; for many of a zoom, make one `cut`."""
    return cut(rows, name, tile.z).run(driver_of(conn), tile)


def driver_of(conn: Connection) -> "psycopg.Connection[Any]":
    """Return the driver's connection, which takes part in the engine's transaction."""
    driver = conn.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
