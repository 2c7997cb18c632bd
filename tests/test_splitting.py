"""Splitting: a line cuts what it crosses, other parts stay near, many pieces are asked about."""

import re

import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.errors import BadInput, Unconfirmed
from gis.redraw import apply
from gis.settle import Coverage, Grid
from gis.spare import cover

WEST, MIDDLE, EAST = ((x, 0, x + 1, 1) for x in (0, 3, 10))


def box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """A rectangle by hundredths of a degree from 113 E, 27 N."""
    return shapely.box(113 + west / 100, 27 + south / 100, 113 + east / 100, 27 + north / 100)


def line(*places: tuple[float, float]) -> dict[str, object]:
    return {"type": "LineString", "coordinates": [(113 + x / 100, 27 + y / 100) for x, y in places]}


def islands() -> Coverage:
    """A grid of three islands, and its neighbour around the western one's shore."""
    shape = shapely.union_all([box(*one) for one in (WEST, MIDDLE, EAST)])
    return cover([Grid("A1", 5, None, "三岛")], {"A1": shape})


def split(cov: Coverage, drawn: dict[str, object], **more: object) -> Coverage:
    return apply(cov, {"op": "split", "code": "A1", "line": drawn, **more})


def within(cov: Coverage, code: str) -> set[str]:
    """The islands that a grid has ground of."""
    names = {"west": WEST, "middle": MIDDLE, "east": EAST}
    shape = cov.geometry(code)
    return {name for name, one in names.items() if shape.intersection(box(*one)).area > 1e-8}


@pytest.mark.parametrize(
    ("drawn", "parts"),
    [
        # Cuts the western island: the others stay with the piece that is nearest, the eastern half.
        (line((0.5, -1), (0.5, 2)), {frozenset({"west"}), frozenset({"west", "middle", "east"})}),
        # Cuts the eastern island: the others stay with its western half.
        (line((10.5, -1), (10.5, 2)), {frozenset({"east"}), frozenset({"west", "middle", "east"})}),
        # Cuts the middle one across: north and south are as near; the others go with one of them.
        (line((2, 0.5), (5, 0.5)), {frozenset({"middle"}), frozenset({"west", "middle", "east"})}),
        # A closed line within one island.
        (
            line((3.2, 0.2), (3.8, 0.2), (3.8, 0.8), (3.2, 0.2)),
            {frozenset({"middle"}), frozenset({"west", "middle", "east"})},
        ),
        # Overshoots by far, with a loop out at sea.
        (
            line((-9, -5), (-8, -5), (-9, -4), (-8, -6), (0.5, -1), (0.5, 9), (2, 9)),
            {frozenset({"west"}), frozenset({"west", "middle", "east"})},
        ),
    ],
)
def test_a_line_cuts_what_it_crosses_and_the_rest_stays_near(
    drawn: dict[str, object], parts: set[frozenset[str]]
) -> None:
    before = islands()
    after = split(before, drawn)
    assert {frozenset(within(after, code)) for code in after.grids} == parts
    whole = coverage.doubled_areas(np.array(list(after.shapes.values()), dtype=object)).sum()
    assert whole == coverage.doubled_areas(np.array([before.shapes["A1"]], dtype=object))[0]


def test_a_line_across_two_islands_cuts_both() -> None:
    after = split(islands(), line((-1, 0.5), (5, 0.5)))
    assert len(after.shapes) == 4
    assert sum("east" in within(after, code) for code in after.shapes) == 1


@pytest.mark.parametrize(
    "drawn",
    [
        line((2, -1), (2, 2)),  # between two islands
        line((20, -1), (20, 2)),  # out at sea
        line((1, -1), (1, 2)),  # along a shore
        line((2.5, -0.5), (4.5, -0.5), (4.5, 1.5), (2.5, 1.5), (2.5, -0.5)),  # around an island
        line((0.2, 0.2), (0.8, 0.8)),  # within one, from shore to no shore
        line((0.5, -1), (0.5, 0.5)),  # half way in
    ],
)
def test_a_line_that_cuts_nothing_is_refused(drawn: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="does not divide"):
        split(islands(), drawn)


def comb(teeth: int) -> dict[str, object]:
    """A zigzag that cuts a square into some more than so many pieces."""
    xs = np.linspace(0.1, 0.9, teeth + 1)
    return line((-1, 0.5), *((x, 0.5 + (-1) ** i) for i, x in enumerate(xs)), (2, 0.5))


def test_many_pieces_are_asked_about_in_a_draft() -> None:
    cov = cover([Grid("A1", 5)], {"A1": box(0, 0, 1, 1)})
    with pytest.raises(Unconfirmed, match="confirm_pieces") as refused:
        split(cov, comb(9), draft=True)
    pieces = refused.value.told["pieces"]
    assert pieces > 5
    for confirm in (pieces, pieces + 3, True):
        assert len(split(cov, comb(9), draft=True, confirm_pieces=confirm).shapes) == pieces
    with pytest.raises(Unconfirmed):
        split(cov, comb(9), draft=True, confirm_pieces=pieces - 1)
    into = [f"~{n}" for n in range(1, pieces)]
    assert len(split(cov, comb(9), into=into).shapes) == pieces, "a stored step is taken again as it was"


def test_new_grids_of_a_draft_have_labels_and_running_names() -> None:
    halve = line((0.5, -1), (0.5, 2))
    one = split(islands(), halve, draft=True)
    assert {code: grid.name for code, grid in one.grids.items()} == {"A1": "三岛", "~1": "三岛 2"}
    two = apply(one, {"op": "split", "code": "A1", "line": line((10.5, -1), (10.5, 2)), "draft": True})
    assert {code: grid.name for code, grid in two.grids.items()} == {
        "A1": "三岛", "~1": "三岛 2", "~2": "三岛 3"}  # fmt: skip
    named = split(islands(), halve, draft=True, names=["西岛"])
    assert named.grids["~1"].name == "西岛"
    with pytest.raises(BadInput, match=re.escape("names: the line makes 1 new grids")):
        split(islands(), halve, draft=True, names=["西岛", "东岛"])


def test_labels_become_codes_and_nothing_else_changes() -> None:
    drafted = split(islands(), line((0.5, -1), (0.5, 2)), draft=True)
    after = apply(drafted, {"op": "recode", "codes": {"~1": "A2"}})
    assert sorted(after.grids) == ["A1", "A2"]
    assert after.grids["A2"].code == "A2"
    assert after.shapes["A2"].wkb == drafted.shapes["~1"].wkb
    with pytest.raises(BadInput, match="given twice"):
        apply(drafted, {"op": "recode", "codes": {"~1": "A1"}})
