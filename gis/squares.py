"""Squares of the web mercator plane, halved `depth` times: each has a number, and every point lies in one."""

from typing import Any

import sqlalchemy as sa
from geoalchemy2 import Geometry

from gis.crs import WGS84

FINEST = 26
"""Depth at which points are numbered: 0.6 m at the equator."""
KEPT = (6, 8, 10, 12, 14, 16, 18)
"""Depths at which counts are kept: a depth between is added up from at most four squares."""

Place = tuple[int, int, int]
"""Depth, column from the west, row from the north: as z/x/y of a tile."""


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
