"""Outlines of two sides: the same but for vertices, or not; and a merge where corners differ by a unit."""

import numpy as np
import pytest
import shapely

from gis import coverage
from gis.plan_merge import merge
from gis.plan_outlines import directed, inserted, inserted_between, meanders, welds
from gis.settle import Coverage, Grid
from gis.spare import cover

SQUARE = [(0, 0), (900, 0), (900, 900), (0, 900)]


def _edges(points: list[tuple[int, int]]) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    return directed([shapely.Polygon(points)])


def test_the_same_outline_meanders_nowhere() -> None:
    assert meanders(_edges(SQUARE), _edges(SQUARE)) == {}


def test_vertices_on_both_sides_are_found() -> None:
    one = _edges([SQUARE[0], (300, 1), *SQUARE[1:]])
    other = _edges([SQUARE[0], (500, -1), *SQUARE[1:3], (450, 902), SQUARE[3]])
    expected = {((0, 0), (900, 0)): {(300, 1), (500, -1)}, ((0, 900), (900, 900)): {(450, 902)}}
    assert meanders(one, other) == meanders(other, one) == expected


@pytest.mark.parametrize(
    "other",
    [
        [(0, 0), (450, 40), (900, 0), (900, 900), (0, 900)],
        [(0, 0), (900, 0), (900, 1800), (0, 900)],
        [(0, 0), (600, 2), (300, 3), (900, 0), (900, 900), (0, 900)],
        [(5000, 5000), (5900, 5000), (5000, 5900)],
    ],
    ids=["another border", "a corner elsewhere", "there and back", "elsewhere"],
)
def test_another_outline_is_told(other: list[tuple[int, int]]) -> None:
    assert meanders(_edges(SQUARE), _edges(other)) is None


def test_vertices_are_welded_once() -> None:
    mine, theirs = {(-3, 0), (0, 0), (-2, 0), (50, 50)}, {(1, 1), (50, 52), (90, 90)}
    assert welds(mine, theirs) == {(0, 0): (1, 1), (50, 50): (50, 52)}
    assert welds({(0, 0)}, {(9, 9)}) == {}
    assert welds(set(), {(9, 9)}) == {}


def _town(corner: tuple[int, int], far: int) -> Coverage:
    """Three grids in a row: the first border has a corner, the second lies at `far`."""
    shapes = {
        "a": [(0, 0), (10_000, 0), corner, (10_000, 9_000), (0, 9_000)],
        "b": [(10_000, 0), (far, 0), (far, 9_000), (10_000, 9_000), corner],
        "c": [(far, 0), (30_000, 0), (30_000, 9_000), (far, 9_000)],
    }
    degrees = {code: coverage.to_degrees(shapely.Polygon(np.array(s))) for code, s in shapes.items()}
    return cover([Grid(code, 1) for code in shapes], degrees)


def test_corners_a_unit_apart_are_no_conflict() -> None:
    base = _town((10_000, 4_000), 20_000)
    merged = merge(base, _town((12_000, 4_001), 20_000), _town((12_001, 4_000), 20_000))
    assert merged.conflicts == ()
    assert merged.cov.shapes["a"].equals(_town((12_001, 4_000), 20_000).shapes["a"])


def test_corners_too_far_apart_to_be_welded_are_theirs() -> None:
    """A junction of lines at a small angle moves far along them, and the ground is the same."""
    base = _town((10_000, 4_000), 20_000)
    ours, theirs = _town((10_030, 8_000), 20_000), _town((10_030, 8_040), 20_000)
    assert merge(base, ours, theirs).conflicts == ()
    assert merge(base, ours, theirs).cov.shapes["b"].equals(theirs.shapes["b"])


def test_only_the_grid_that_differs_is_in_conflict() -> None:
    base = _town((10_000, 4_000), 20_000)
    merged = merge(base, _town((12_000, 4_001), 22_000), _town((12_001, 4_000), 24_000))
    assert [one.code for one in merged.conflicts] == ["b", "c"]


def test_a_vertex_is_found_in_an_edge_beside_shapes_that_overlap() -> None:
    """An upper grid as recorded overlaps ground that passes: they run the same way, twice."""
    beside = shapely.Polygon([(300, 1), (900, 0), (900, 400)])
    lacks, has = (shapely.Polygon([SQUARE[0], *of, *SQUARE[1:]]) for of in ([], [(300, 1)]))
    assert inserted_between([lacks, beside], [has, beside]) == {((0, 0), (900, 0)): {(300, 1)}}
    assert inserted_between([has, beside], [lacks, beside]) is None
    assert inserted_between([lacks, beside], [has, beside, beside]) is None


@pytest.mark.parametrize("thin", [(0, 0), (4, 0), (9, 9)])
def test_edges_from_a_point_to_itself_are_passed_over(thin: tuple[int, int]) -> None:
    before = [((0, 0), (4, 0)), (thin, thin)]
    assert inserted(before, [((0, 0), (2, 0)), ((2, 0), (4, 0))]) == {((0, 0), (4, 0)): {(2, 0)}}
    assert inserted(before, [((0, 0), (4, 0))]) == {}
