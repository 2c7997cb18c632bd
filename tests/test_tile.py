"""Tiles: which exist, and what ground they stand for."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from gis.errors import TileOutside
from tiles.tile import MAX_ZOOM, Tile

TILES = st.integers(0, MAX_ZOOM).flatmap(
    lambda z: st.tuples(st.just(z), st.integers(0, 2**z - 1), st.integers(0, 2**z - 1))
)


@given(TILES)
def test_neighbours_share_their_edge(place: tuple[int, int, int]) -> None:
    z, x, y = place
    west, south, east, north = Tile(z, x, y).bounds(0)
    assert west < east
    assert south < north
    if x + 1 < 2**z:
        assert Tile(z, x + 1, y).bounds(0)[0] == east
    if y + 1 < 2**z:
        assert Tile(z, x, y + 1).bounds(0)[3] == south


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 1, 0), (14, 13307, 6935), (22, 0, 2**22 - 1)])
def test_bounds_are_those_of_postgis(conn: Connection, place: tuple[int, int, int]) -> None:
    square = sa.func.ST_Transform(sa.func.ST_TileEnvelope(*place), 4326)
    corners = [f(square) for f in (sa.func.ST_XMin, sa.func.ST_YMin, sa.func.ST_XMax, sa.func.ST_YMax)]
    assert Tile(*place).bounds(0) == pytest.approx(tuple(conn.execute(sa.select(*corners)).one()), abs=1e-9)


@given(TILES)
def test_a_buffer_never_leaves_the_plane(place: tuple[int, int, int]) -> None:
    west, south, east, north = Tile(*place).bounds(0.25)
    assert -180 <= west < east <= 180
    assert -85.0512 < south < north < 85.0512


@pytest.mark.parametrize("place", [(-1, 0, 0), (99, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0), (3, 0, -1)])
def test_what_is_no_tile_is_refused(place: tuple[int, int, int]) -> None:
    with pytest.raises(TileOutside):
        Tile(*place)
