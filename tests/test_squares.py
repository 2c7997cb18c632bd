"""Squares: Python and the database number them alike; each point lies in one, as do its tile's."""

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from gis import squares
from tiles.tile import Tile

PLACES = st.integers(0, squares.FINEST).flatmap(
    lambda depth: st.tuples(st.just(depth), st.integers(0, 2**depth - 1), st.integers(0, 2**depth - 1))
)


def _number(conn: Connection, lon: float, lat: float) -> int:
    point = sa.func.ST_SetSRID(sa.func.ST_MakePoint(lon, lat), 4326)
    return conn.execute(sa.select(sa.func.square_of(point))).scalar_one()


@given(PLACES)
def test_a_parent_holds_its_four_children(place: squares.Place) -> None:
    depth, x, y = place
    children = {squares.number((depth + 1, 2 * x + i, 2 * y + j)) for i in (0, 1) for j in (0, 1)}
    assert children == set(range(*squares.descendants(place, depth + 1)))
    assert max(children) < 2**53 * 4


@pytest.mark.parametrize(
    "place", [(0, 0, 0), (1, 1, 0), (9, 417, 216), (14, 13350, 6914), (22, 0, 2**22 - 1)]
)
def test_the_database_numbers_squares_alike(conn: Connection, place: squares.Place) -> None:
    west, south, east, north = Tile(*place).bounds(0)
    low, high = squares.descendants(place, squares.FINEST)
    assert low <= _number(conn, (west + east) / 2, (south + north) / 2) < high
    assert _number(conn, west, north) == low


@pytest.mark.parametrize(
    ("lon", "lat", "x", "y"),
    [(-180, 85.06, 0, 0), (180, 85.06, 1, 0), (-180, -90, 0, 1), (180, -90, 1, 1), (0, 0, 0.5, 0.5)],
)
def test_the_ends_of_the_plane_are_in_its_outermost_squares(
    conn: Connection, lon: float, lat: float, x: float, y: float
) -> None:
    side = 1 << squares.FINEST
    place = (squares.FINEST, min(side - 1, int(x * side)), min(side - 1, int(y * side)))
    assert _number(conn, lon, lat) == squares.number(place)


def test_the_centre_of_a_square_lies_in_it(conn: Connection) -> None:
    side = 1 << squares.FINEST
    some = [int(one) for one in np.random.default_rng(4).integers(0, side, 200)] + [0, side - 1]
    for x, y in zip(some, reversed(some), strict=True):
        point = squares.centre(sa.literal(x), sa.literal(y))
        found = conn.execute(sa.select(sa.func.square_of(point))).scalar_one()
        assert found == squares.number((squares.FINEST, x, y))
