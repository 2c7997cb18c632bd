"""Squares of the web mercator plane, halved `depth` times: each has a number, and every point lies in one."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from geoalchemy2 import Geometry

from gis.crs import MERCATOR_MAX_LAT, WGS84

FINEST = 26
"""Depth at which points are numbered: 0.6 m at the equator."""
KEPT = (6, 8, 10, 12, 14, 16, 18)
"""Depths at which counts are kept: a depth between is added up from at most four squares."""

Place = tuple[int, int, int]
"""Depth, column from the west, row from the north: as z/x/y of a tile."""


MARGIN = 1 / 64
"""Sides of a tile that are drawn beyond it, so that strokes and labels do not break at the seam."""
Box = tuple[float, float, float, float]
"""West, south, east, north in WGS-84 degrees."""


class OfPlace(sa.BindParameter[Any]):
    """A value that follows from the square that a statement is run for: bound when it runs, by its name.

    So a statement is built and compiled once for all squares, which took longer than to run it.
    """

    inherit_cache = True

    def __init__(self, name: str, reckon: Callable[[Place], Any], kind: Any) -> None:
        super().__init__(name, type_=kind, required=True)
        self.reckon = reckon


def fixed(word: str) -> sa.BindParameter[str]:
    """Return a word of ours as it is written in the statement, which then can be planned once."""
    return sa.literal(word, literal_execute=True)


def number(place: Place) -> int:
    """Return a square's number: a one, then for each halving two binary digits, south and east.

    The parent's number is this one shifted by two, so a square's descendants are a range; below 2^53 at any
    depth served, as ids of tiles must be.
    """
    depth, x, y = place
    digits = (((y >> i & 1) << 1 | (x >> i & 1)) << 2 * i for i in range(depth))
    return 1 << 2 * depth | sum(digits)


def descendants(place: Place, depth: int) -> tuple[int, int]:
    """Return the first number of the square's descendants at `depth`, and the first beyond them."""
    steps = 2 * (depth - place[0])
    return number(place) << steps, number(place) + 1 << steps


def here(depth: int) -> tuple[OfPlace, OfPlace]:
    """Return what `descendants` does, of the square that the statement is run for."""
    return (
        OfPlace(f"square_from_{depth}", lambda place: descendants(place, depth)[0], sa.BigInteger),
        OfPlace(f"square_before_{depth}", lambda place: descendants(place, depth)[1], sa.BigInteger),
    )


def column_and_row() -> tuple[OfPlace, OfPlace]:
    """Return the column and the row of the square that the statement is run for."""
    return (
        OfPlace("tile_x", lambda place: place[1], sa.Integer),
        OfPlace("tile_y", lambda place: place[2], sa.Integer),
    )


@lru_cache(maxsize=256)
def bounds(place: Place, margin: float) -> Box:
    """Return a square's box, widened by `margin` of its sides.

    Clamped to the mercator plane: PostGIS before 3.6 lets an edge tile's margin leave it, and there
    longitudes wrap.
    """
    depth, x, y = place
    return (
        max(-180.0, _longitude(x - margin, depth)),
        max(-MERCATOR_MAX_LAT, _latitude(y + 1 + margin, depth)),
        min(180.0, _longitude(x + 1 + margin, depth)),
        min(MERCATOR_MAX_LAT, _latitude(y - margin, depth)),
    )


def box_here(name: str = "near", margin: float = MARGIN) -> sa.ColumnElement[Any]:
    """Return the box, as a geometry, of the square that the statement is run for; `name` is its margin's."""
    return sa.func.ST_MakeEnvelope(*(_side(name, at, margin) for at in range(4)), WGS84)


def _side(name: str, at: int, margin: float) -> OfPlace:
    return OfPlace(f"{name}_{at}", lambda place: bounds(place, margin)[at], sa.Double)


def _longitude(x: float, depth: int) -> float:
    return x / (1 << depth) * 360.0 - 180.0


def _latitude(y: float, depth: int) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / (1 << depth)))))


def ancestor(square: sa.ColumnElement[int], depth: int, above: int) -> sa.ColumnElement[int]:
    """Return the number of the square at depth `above` that holds one at `depth`."""
    return square.op(">>")(sa.cast(2 * (depth - above), sa.Integer))


def centre(x: sa.ColumnElement[Any], y: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the WGS-84 point in the middle of the finest square of a column and row."""
    east = (x + 0.5) * (360 / (1 << FINEST)) - 180
    north = sa.func.degrees(sa.func.atan(sa.func.sinh(sa.func.pi() * (1 - (y + 0.5) * (2 / (1 << FINEST))))))
    return as_point(sa.func.ST_SetSRID(sa.func.ST_MakePoint(east, north), WGS84))


def as_point(shape: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Say of an expression that it is a WGS-84 point, for which a tile needs no clipping."""
    return sa.type_coerce(shape, Geometry("POINT", srid=WGS84))


def as_outline(shape: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Say of an expression that it is the outline of something small, for which a tile needs no clipping."""
    return sa.type_coerce(shape, Geometry("POLYGON", srid=WGS84))


def as_placed(shape: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Say of a shape that it lies in the units of the tile asked for, which then has nothing left to do."""
    return sa.type_coerce(shape, Geometry("POLYGON", srid=0))
