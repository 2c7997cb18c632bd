"""A plan on the map of a later day, on which what a neighbour drew has ended: no conflict."""

import numpy as np
import pytest
import shapely

from gis import coverage
from gis.errors import BadInput
from gis.plan_merge import merge
from gis.redraw import apply
from gis.settle import Coverage, Grid
from gis.spare import cover

SIDE = 40_000


def three() -> Coverage:
    """Grids a, b and c from left to right below P."""
    cells = {code: shapely.box(x * SIDE, 0, (x + 1) * SIDE, SIDE) for x, code in enumerate(("a", "b", "c"))}
    shapes = dict(zip(cells, coverage.to_degrees(np.array(list(cells.values()), dtype=object)), strict=True))
    return cover([Grid("P", 1), *(Grid(code, 2, "P") for code in cells)], shapes)


def line(*places: tuple[int, int]) -> dict[str, object]:
    told: dict[str, object] = shapely.geometry.mapping(coverage.to_degrees(shapely.LineString(places)))
    return told


def test_a_border_that_is_straight_again_is_no_conflict_with_a_split() -> None:
    later = three()
    upright = line((SIDE + 20_000, -9), (SIDE + 20_000, SIDE + 9))
    for at in (SIDE // 2, SIDE // 3):
        today = apply(later, {"op": "split", "code": "a", "line": line((-9, at), (SIDE, at)), "into": ["a2"]})
        assert not today.shapes["b"].equals_exact(later.shapes["b"]), "a vertex came into its border"
        mine = apply(today, {"op": "split", "code": "b", "line": upright, "into": ["b2"]})
        merged = merge(today, mine, later)
        assert merged.conflicts == ()
        assert {code: shape.area for code, shape in merged.cov.shapes.items()} == {
            "a": SIDE**2, "b": SIDE**2 / 2, "b2": SIDE**2 / 2, "c": SIDE**2,
        }  # fmt: skip


def test_a_border_that_is_straight_again_takes_a_reshape_across_it() -> None:
    later = three()
    cut = {"op": "split", "code": "a", "line": line((-9, 17_777), (SIDE, 17_777)), "into": ["a2"]}
    today = apply(later, cut)
    mine = apply(
        today, {"op": "split", "code": "b", "line": line((SIDE, 17_777), (2 * SIDE, 9_999)), "into": ["b2"]}
    )
    merged = merge(today, mine, later)
    assert merged.conflicts == ()
    assert shapely.union_all([merged.cov.shapes["b"], merged.cov.shapes["b2"]]).equals(later.shapes["b"])
    assert merged.cov.shapes["a"].equals(later.shapes["a"])


def test_grids_decided_together_and_otherwise_are_named_with_the_way_out() -> None:
    """Ground passes from a to b in the draft; others renamed all three, of which c stands alone."""
    today = three()
    moved = line((SIDE, SIDE), (SIDE - 9_000, SIDE // 2), (SIDE, 0))
    mine = apply(today, {"op": "reshape", "codes": ["a", "b"], "line": moved})
    mine = apply(mine, {"op": "rename", "code": "c", "name": "mine"})
    later = today
    for code in ("a", "b", "c"):
        later = apply(later, {"op": "rename", "code": code, "name": "theirs"})
    assert {one.code for one in merge(today, mine, later).conflicts} == {"a", "b", "c"}
    for a, b, c in (("mine", "theirs", "mine"), ("theirs", "mine", "theirs"), ("mine", "theirs", "theirs")):
        with pytest.raises(
            BadInput, match=r"^take: [ab] is .* with [ab] .* otherwise; take the same .* undo or redraw"
        ) as found:
            merge(today, mine, later, {"a": a, "b": b, "c": c})
        assert " c " not in str(found.value)
    for a, c in (("mine", "theirs"), ("theirs", "mine")):
        assert merge(today, mine, later, {"a": a, "b": a, "c": c}).conflicts == ()
