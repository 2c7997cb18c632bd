"""Centre lines as cities publish them become the road graph: parts, ways, nodes and house numbers."""

from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from shapely import LineString, MultiLineString
from sqlalchemy.engine import Connection

from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.schema import roads
from tests import town

EAST = LineString([town.at(1, 1), town.at(2, 1)])
NORTH = LineString([town.at(2, 1), town.at(2, 0.5)])


def frame(shapes: list[Any], **columns: list[Any]) -> gpd.GeoDataFrame:
    data = {"origin_id": [str(number) for number in range(len(shapes))], "class": ["local"] * len(shapes)}
    return gpd.GeoDataFrame(pd.DataFrame(data | columns), geometry=shapes, crs=4326)


def bring(conn: Connection, data: gpd.GeoDataFrame, **settings: Any) -> Outcome:
    chosen = mapping.plain("roads", "test").model_copy(update=settings)
    return run(conn, "roads", from_frame(data, "lines"), Options(mapping=chosen, datum="wgs84"))


def stored(conn: Connection) -> list[Any]:
    geom = sa.func.ST_AsBinary(roads.c.geom).label("wkb")
    return list(conn.execute(sa.select(roads, geom).order_by(roads.c.origin_id, roads.c.part)).all())


def test_ends_that_meet_are_one_node(conn: Connection) -> None:
    bring(conn, frame([EAST, NORTH]))
    first, second = stored(conn)
    assert first.v == second.u
    assert len({first.u, first.v, second.v}) == 3


def test_ends_on_other_levels_do_not_meet(conn: Connection) -> None:
    bring(conn, frame([EAST, NORTH], u_level=[0, 1], v_level=[0, 0]))
    first, second = stored(conn)
    assert first.v != second.u
    assert max(abs(n) for row in (first, second) for n in (row.u, row.v)) < 2**53


def test_nodes_that_are_given_stay(conn: Connection) -> None:
    bring(conn, frame([EAST, NORTH], u=[7, None], v=[None, 9]))
    first, second = stored(conn)
    assert (first.u, second.v) == (7, 9)
    assert first.v == second.u


@pytest.mark.parametrize(
    ("word", "oneway", "is_turned"),
    [
        ("1", True, False), ("-1", True, True), ("0", False, False), (None, False, False),
        ("with", True, False), ("AGAINST", True, True), ("Two Way", False, False), ("FT", True, False),
        ("TF", True, True), ("B", False, False), ("是", True, False), ("逆向", True, True),
        ("双向", False, False),
        ("-1.0", True, True), ("One-way", True, False),
        ("One way (Against digitizing direction)", True, True),
    ],
)  # fmt: skip
def test_ways_in_the_words_of_publishers(
    conn: Connection, word: str | None, oneway: bool, is_turned: bool
) -> None:
    numbers = {"left_from": [1], "left_to": [9], "right_from": [2], "right_to": [12]}
    bring(conn, frame([EAST], oneway=pd.array([word], "string"), **numbers))
    (row,) = stored(conn)
    assert row.oneway is oneway
    line = shapely.from_wkb(bytes(row.wkb))
    assert line.equals_exact(shapely.reverse(EAST) if is_turned else EAST, 1e-9)
    told = (row.left_from, row.left_to, row.left_parity, row.right_from, row.right_to, row.right_parity)
    assert told == ((12, 2, "even", 9, 1, "odd") if is_turned else (1, 9, "odd", 2, 12, "even"))


@pytest.mark.parametrize("word", ["t", "F", "maybe", "2"])
def test_words_that_mean_two_things_are_refused(conn: Connection, word: str) -> None:
    outcome = bring(conn, frame([EAST, NORTH], oneway=[word, "0"]))
    assert outcome.refused == 1
    assert [row.origin_id for row in stored(conn)] == ["1"]


def test_a_turned_line_exchanges_its_nodes(conn: Connection) -> None:
    bring(conn, frame([EAST], oneway=[-1], u=[5], v=[6]))
    (row,) = stored(conn)
    assert (row.u, row.v) == (6, 5)


@pytest.mark.parametrize("none", [0, -1])
def test_sides_without_numbers_have_none_and_mixed_sides_say_so(conn: Connection, none: int) -> None:
    data = frame([EAST], left_from=[none], left_to=[none], right_from=[2], right_to=[11])
    bring(conn, data)
    (row,) = stored(conn)
    assert (row.left_from, row.left_to, row.left_parity) == (None, None, None)
    assert (row.right_from, row.right_to, row.right_parity) == (2, 11, "both")


def test_lines_that_continue_each_other_are_one(conn: Connection) -> None:
    outcome = bring(conn, frame([MultiLineString([EAST, NORTH])]))
    assert outcome.rows == outcome.inserted == 1
    assert shapely.get_num_points(shapely.from_wkb(bytes(stored(conn)[0].wkb))) == 3


def test_separate_lines_become_rows_with_their_share_of_numbers(conn: Connection) -> None:
    far = LineString([town.at(3, 1), town.at(6, 1)])
    data = frame([MultiLineString([EAST, far]), NORTH, None], left_from=[1, 1, 1], left_to=[81, 3, 3])
    outcome = bring(conn, data)
    assert (outcome.rows, outcome.refused, outcome.inserted) == (4, 1, 3)
    assert "1 rows more" in " ".join(outcome.notes)
    told = {(row.origin_id, row.part): (row.left_from, row.left_to) for row in stored(conn)}
    assert told == {("0", 1): (1, 19), ("0", 2): (21, 81), ("1", 0): (1, 3)}
    again = bring(conn, data)
    assert (again.unchanged, again.updated, again.inserted) == (3, 0, 0)
    data["name"] = ["Long Lane", None, None]
    assert bring(conn, data).updated == 2
