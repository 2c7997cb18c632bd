"""Redrawing keeps every piece of ground with exactly one owner, and says clearly why it will not."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.errors import BadInput, Emptied, NotDrawable, NotFound, Problem
from gis.redraw import STEPS, apply
from gis.settle import NOBODY, Coverage, Grid, changed, total
from gis.spare import cover
from gis.splitting import fresh_codes
from tests.steps import random_step
from tests.towns import Grids, archipelago, chicago, outline, town

U = coverage.UNITS_PER_DEGREE


def block() -> Coverage:
    """Two communities of two unit grids, a street apart: A1 A2 | B1 B2, each 0.01 degrees wide and high."""
    west = {
        code: shapely.box(113 + i / 100, 27, 113 + (i + 1) / 100, 27.01)
        for i, code in enumerate(["A1", "A2", "B1", "B2"])
    }
    above = [Grid("T", 3), Grid("A", 4, "T"), Grid("B", 4, "T")]
    return cover([Grid(c, 5, c[0]) for c in west] + above, west)


def two_levels(grids: Grids, frame: BaseGeometry | None = None) -> Coverage:
    """Grids under two parents, west and east of their middle."""
    middle = np.median([g.centroid.x for g in grids.values()])
    rows = [Grid(c, 5, "W" if g.centroid.x <= middle else "E") for c, g in grids.items()]
    shapes = {c: coverage.to_degrees(g) for c, g in grids.items()}
    return cover(
        [*rows, Grid("W", 4, "C"), Grid("E", 4, "C"), Grid("C", 3)],
        shapes,
        None if frame is None else coverage.to_degrees(frame),
    )


def doubled(cov: Coverage, *codes: str) -> int:
    return int(coverage.doubled_areas(np.array([cov.shape(code) for code in codes], dtype=object)).sum())


def exact(cov: Coverage) -> None:
    """No gap, no overlap, areas that sum to the unit, by integers and by shapely."""
    shapes = np.array(list(cov.shapes.values()), dtype=object)
    whole = cov.outline()
    assert shapely.is_valid(shapes).all()
    assert not shapely.is_empty(shapes).any()
    assert coverage.doubled_areas(shapes).sum() == coverage.doubled_areas(np.array([whole], dtype=object))[0]
    union = shapely.union_all(shapes)
    assert whole.difference(union).area == union.difference(whole).area == 0
    for code in cov.grids:
        if code not in cov.shapes:
            assert doubled(cov, code) == doubled(cov, *cov.leaves(code))


def line(*points: tuple[float, float]) -> dict[str, object]:
    return {"type": "LineString", "coordinates": points}


def test_split_by_an_open_line_keeps_the_code_with_the_larger_part() -> None:
    new = apply(block(), {"op": "split", "code": "A1", "line": line((112.99, 27.003), (113.02, 27.003))})
    exact(new)
    assert sorted(new.shapes) == ["A1", "A2", "A3", "B1", "B2"]
    assert doubled(new, "A1", "A3") == doubled(block(), "A1")
    assert doubled(new, "A1") > doubled(new, "A3") > 0
    assert new.grids["A3"].parent == "A"
    assert changed(block(), new) == ["A1", "A2", "A3"]  # A2 takes over the vertex where the line ends


def test_split_by_a_closed_line_makes_an_enclave() -> None:
    ring = [(113.004, 27.004), (113.006, 27.004), (113.006, 27.006), (113.004, 27.006), (113.004, 27.004)]
    new = apply(block(), {"op": "split", "code": "A1", "line": line(*ring), "into": ["A9"]})
    exact(new)
    assert new.geometry("A9").equals(shapely.box(113.004, 27.004, 113.006, 27.006))
    assert shapely.get_num_interior_rings(new.shapes["A1"]) == 1


def test_split_leads_a_line_that_ends_just_short_to_the_border() -> None:
    short = 3e-5  # three metres
    new = apply(
        block(), {"op": "split", "code": "A1", "line": line((113.004, 27 + short), (113.004, 27.01 - short))}
    )
    exact(new)
    assert len(new.shapes) == 5


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        (
            {"op": "split", "code": "A1", "line": line((113.004, 27.004), (113.006, 27.006))},
            BadInput,
            "does not divide",
        ),
        (
            {"op": "split", "code": "A1", "line": line((113.02, 27.02), (113.03, 27.03))},
            BadInput,
            "does not divide",
        ),
        ({"op": "split", "code": "ZZ", "line": line((113, 27), (113.1, 27.1))}, NotFound, "'ZZ'"),
        (
            {"op": "split", "code": "A1", "line": line((112.99, 27.003), (113.02, 27.003)), "into": ["B1"]},
            BadInput,
            "used",
        ),
        (
            {
                "op": "split",
                "code": "A1",
                "line": line((112.99, 27.003), (113.02, 27.003)),
                "into": ["X", "Y"],
            },
            BadInput,
            "1 new",
        ),
        (
            {"op": "split", "code": "A1", "line": {"type": "Point", "coordinates": (113, 27)}},
            BadInput,
            "Point",
        ),
        (
            {"op": "split", "code": "A", "line": line((113.005, 26.9), (113.005, 27.1))},
            BadInput,
            "cuts grids A1",
        ),
        ({"op": "merge", "codes": ["A1"]}, BadInput, "two grids"),
        ({"op": "merge", "codes": ["A1", "A"]}, BadInput, "level"),
        ({"op": "merge", "codes": ["A1", "A2"], "into": "B1"}, BadInput, "B1"),
        ({"op": "merge", "codes": ["A1", "B1", "B2"]}, Emptied, "grid B "),
        (
            {"op": "reshape", "codes": ["A1", "B2"], "line": line((113.01, 27), (113.03, 27))},
            BadInput,
            "border between",
        ),
        (
            {
                "op": "reshape",
                "codes": ["A1", "A2"],
                "line": line((113.01, 27.001), (113.025, 27.005), (113.01, 27.009)),
            },
            BadInput,
            "leaves",
        ),
        ({"op": "move_vertex", "at": [113.005, 27.005], "to": [113, 27]}, NotFound, "no vertex"),
        ({"op": "move_vertex", "at": [113, 27], "to": [113.001, 27.001]}, BadInput, "outer border"),
        (
            {"op": "assign", "to": "A", "area": shapely.box(113.01, 27, 113.02, 27.01)},
            BadInput,
            "grids below",
        ),
        ({"op": "assign", "to": "A1", "area": shapely.box(113.009, 26.99, 113.021, 27.02)}, Emptied, "A2"),
        (
            {"op": "assign", "to": "A1", "area": shapely.box(113.001, 27.001, 113.002, 27.002)},
            BadInput,
            "nothing",
        ),
        ({"op": "take_in", "at": [113.005, 27.005], "to": "A2"}, NotFound, "has an owner"),
        ({"op": "transfer", "code": "A1", "parent": "B2"}, BadInput, "level above"),
        ({"op": "rename", "code": "A1", "name": " "}, BadInput, "empty"),
        ({"op": "paint", "code": "A1"}, BadInput, "none of split"),
        ({"op": "rename", "code": "A1"}, BadInput, "name"),
    ],
)
def test_refusals_say_why_and_change_nothing(
    step: dict[str, object], error: type[Problem], words: str
) -> None:
    cov = block()
    before = {code: shape.wkb for code, shape in cov.shapes.items()}
    with pytest.raises(error, match=words):
        apply(cov, step)
    assert before == {code: shape.wkb for code, shape in cov.shapes.items()}


def test_merge_and_codes_never_given_twice() -> None:
    new = apply(block(), {"op": "merge", "codes": ["A1", "A2"], "into": "A2"})
    exact(new)
    assert new.geometry("A2").equals(shapely.box(113, 27, 113.02, 27.01))
    assert new.retired == {"A1"}
    assert fresh_codes(new, "A0", 2) == ["A3", "A4"]
    with pytest.raises(BadInput, match="used before"):
        apply(new, {"op": "split", "code": "A2", "line": line((113.005, 26), (113.005, 28)), "into": ["A1"]})


def test_merging_communities_keeps_their_grids() -> None:
    new = apply(block(), {"op": "merge", "codes": ["A", "B"], "into": "B"})
    exact(new)
    assert new.leaves("B") == ["A1", "A2", "B1", "B2"]
    assert changed(block(), new) == []


def test_reshape_lets_the_neighbour_follow() -> None:
    new = apply(
        block(),
        {
            "op": "reshape",
            "codes": ["A1", "A2"],
            "line": line((113.01, 27.002), (113.013, 27.005), (113.01, 27.008)),
        },
    )
    exact(new)
    triangle = shapely.Polygon([(113.01, 27.002), (113.013, 27.005), (113.01, 27.008)])
    assert (
        new.geometry("A1").symmetric_difference(block().geometry("A1")).symmetric_difference(triangle).area
        < 1e-16
    )
    assert changed(block(), new) == ["A1", "A2"]


def test_reshape_across_the_old_border_swaps_both_ways() -> None:
    wave = line((113.01, 27.0), (113.008, 27.0025), (113.012, 27.0075), (113.01, 27.01))
    new = apply(block(), {"op": "reshape", "codes": ["A2", "A1"], "line": wave})
    exact(new)
    assert doubled(new, "A1", "A2") == doubled(block(), "A1", "A2")
    assert doubled(new, "A1") == doubled(block(), "A1")  # the wave is symmetric


def test_the_border_of_an_enclave_is_reshaped_on_the_nearer_side() -> None:
    ring = [(113.004, 27.004), (113.006, 27.004), (113.006, 27.006), (113.004, 27.006), (113.004, 27.004)]
    cov = apply(block(), {"op": "split", "code": "A1", "line": line(*ring), "into": ["A9"]})
    new = apply(
        cov,
        {
            "op": "reshape",
            "codes": ["A1", "A9"],
            "line": line((113.006, 27.004), (113.007, 27.005), (113.006, 27.006)),
        },
    )
    exact(new)
    assert new.geometry("A9").area == pytest.approx(0.002**2 + 0.001**2, rel=1e-6)


def test_reshaping_communities_takes_their_grids_along() -> None:
    bulge = line((113.02, 27.002), (113.017, 27.005), (113.02, 27.008))
    new = apply(block(), {"op": "reshape", "codes": ["A", "B"], "line": bulge})
    exact(new)
    assert changed(block(), new) == ["A2", "B1"]
    assert new.geometry("B1").area == pytest.approx(0.0001 + 0.003 * 0.006 / 2, rel=1e-6)
    whole = line((113.02, 27.0), (113.0095, 27.0), (113.0095, 27.01), (113.02, 27.01))
    moved = apply(block(), {"op": "reshape", "codes": ["A", "B"], "line": whole})
    exact(moved)
    assert moved.grids["A2"].parent == "B"  # wholly within what changed sides: it keeps its code
    assert moved.geometry("A2").equals(shapely.box(113.0095, 27, 113.02, 27.01))  # the part of A1 joins it
    assert moved.leaves("A") == ["A1"]


def test_splitting_a_community_shares_out_its_grids() -> None:
    new = apply(
        block(), {"op": "split", "code": "A", "line": line((113.01, 26.9), (113.01, 27.1)), "into": ["C"]}
    )
    exact(new)
    assert {new.grids["A1"].parent, new.grids["A2"].parent} == {"A", "C"}
    assert changed(block(), new) == []


def test_a_vertex_moves_every_border_through_it() -> None:
    cov = two_levels(town(4, 1))
    corner = next(
        p
        for p in shapely.get_coordinates(cov.shapes["0101"])
        if sum(shapely.Point(p).touches(s) for s in cov.shapes.values()) == 4
    )
    new = apply(
        cov,
        {
            "op": "move_vertex",
            "at": (corner / U).tolist(),
            "to": ((corner + np.array([900, 700])) / U).tolist(),
        },
    )
    exact(new)
    assert len(changed(cov, new)) == 4


def test_an_edge_moves_with_both_its_ends() -> None:
    cov = two_levels(town(4, 1))
    ends = shapely.get_coordinates(shapely.line_merge(cov.shapes["0101"].intersection(cov.shapes["0201"])))[
        1:3
    ]
    new = apply(
        cov,
        {"op": "move_edge", "edge": (ends / U).tolist(), "to": ((ends + np.array([800, 0])) / U).tolist()},
    )
    exact(new)
    assert changed(cov, new) == ["0101", "0201"]


def test_assign_an_area_and_buildings() -> None:
    new = apply(block(), {"op": "assign", "to": "A1", "area": shapely.box(113.005, 27.004, 113.015, 27.006)})
    exact(new)
    assert new.geometry("A1").area == pytest.approx(0.0001 + 0.005 * 0.002, rel=1e-6)
    house = shapely.box(113.0125, 27.005, 113.0127, 27.0052)
    new = apply(block(), {"op": "assign", "to": "A1", "buildings": [house]})
    exact(new)
    assert new.geometry("A1").covers(house)
    assert new.geometry("A1").geom_type == "Polygon"  # a strip joins it


def test_unowned_ground_is_kept_until_taken_in() -> None:
    lake = shapely.box(113.004, 27.004, 113.006, 27.006)
    frame = shapely.box(113, 27, 113.02, 27.01)
    left, right = shapely.box(113, 27, 113.01, 27.01).difference(lake), shapely.box(113.01, 27, 113.02, 27.01)
    cov = cover([Grid("L", 5), Grid("R", 5)], {"L": left, "R": right}, frame)
    exact(cov)
    assert NOBODY in cov.shapes
    new = apply(cov, {"op": "take_in", "at": [113.005, 27.005], "to": "L"})
    exact(new)
    assert NOBODY not in new.shapes
    assert new.geometry("L").equals(shapely.box(113, 27, 113.01, 27.01))


def test_grids_with_faults_make_no_coverage() -> None:
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    with pytest.raises(NotDrawable, match="border of L would cross"):
        cover([Grid("L", 5)], {"L": bow})


def test_names_order_and_parents_leave_the_ground_alone() -> None:
    cov = block()
    new = apply(
        apply(cov, {"op": "rename", "code": "A1", "name": " 东一网格 "}),
        {"op": "renumber", "codes": ["B2", "A1"]},
    )
    new = apply(new, {"op": "transfer", "code": "A1", "parent": "B"})
    assert changed(cov, new) == []
    assert (new.grids["A1"].name, new.grids["A1"].order, new.grids["A1"].parent) == ("东一网格", 2, "B")
    rows = new.frame().set_index("code")
    assert rows.loc["B2", "display_order"] == 1
    assert rows.loc["A", "geometry"].equals(cov.geometry("A2"))
    with pytest.raises(Emptied, match="grid A "):
        apply(new, {"op": "transfer", "code": "A2", "parent": "B"})


def test_steps_replay_to_the_byte() -> None:
    cov, steps = two_levels(town(4, 3)), []
    rng, now = np.random.default_rng(7), two_levels(town(4, 3))
    while len(steps) < 25:
        step = random_step(now, rng, 20)
        try:
            now = apply(now, step)
        except Problem:
            continue
        steps.append(
            {k: shapely.geometry.mapping(v) if isinstance(v, BaseGeometry) else v for k, v in step.items()}
        )
    for step in steps:
        step["buildings"] = (
            [shapely.geometry.mapping(b) for b in step["buildings"]] if "buildings" in step else None
        )
        cov = apply(cov, json.loads(json.dumps({k: v for k, v in step.items() if v is not None})))
    assert {c: s.wkb for c, s in cov.shapes.items()} == {c: s.wkb for c, s in now.shapes.items()}
    assert cov.grids == now.grids


def _wander(cov: Coverage, seed: int, steps: int, size: int) -> None:
    """Random steps with undo and redo; exact throughout, and what is undone comes back to the byte."""
    rng, history, at = np.random.default_rng(seed), [cov], 0
    kept = [{c: s.wkb for c, s in cov.shapes.items()}]
    for _ in range(steps):
        if rng.random() < 0.2:
            at = int(np.clip(at + rng.integers(-3, 4), 0, len(history) - 1))
            assert {c: s.wkb for c, s in history[at].shapes.items()} == kept[at]
            continue
        try:
            new = apply(history[at], random_step(history[at], rng, size))
        except Problem:
            continue
        history, kept = (
            [*history[: at + 1], new],
            [*kept[: at + 1], {c: s.wkb for c, s in new.shapes.items()}],
        )
        at += 1
    exact(history[at])
    assert len(history) > 1


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_random_steps_keep_a_town_exact(seed: int) -> None:
    _wander(two_levels(town(3, seed % 7)), seed, 20, 9)  # of few steps none may be possible


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_sums_taken_over_between_coverages_are_those_made_anew(seed: int) -> None:
    rng, cov = np.random.default_rng(seed), two_levels(town(3, seed % 7))
    for _ in range(8):
        uppers = [code for code in cov.grids if code not in cov.shapes]
        assert all(cov.shape(code).area for code in uppers)
        try:
            new = apply(cov, random_step(cov, rng, 9))
        except Problem:
            continue
        new.borrow(cov)
        for code in (code for code in new.grids if code not in new.shapes):
            assert new.shape(code).equals_exact(total(new.shapes[key] for key in new.ground(code)))
        cov = new


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_random_steps_keep_lake_enclave_and_island_exact(seed: int) -> None:
    grids = archipelago(4, seed % 7)
    frame = outline(grids)
    del grids["0102"]  # ground for somebody to take in
    _wander(two_levels(grids, frame), seed, 12, 16)


@pytest.mark.realdata
def test_random_steps_keep_beats_of_chicago_exact(realdata: Path) -> None:
    _wander(two_levels(chicago(realdata, "beat", "2012-12-19")), 1, 60, 275)


def test_every_step_is_drawn_at_random_somewhere() -> None:
    rng, seen = np.random.default_rng(0), set()
    cov = two_levels(town(3, 0))
    for _ in range(300):
        seen.add(random_step(cov, rng, int(rng.integers(4, 20)))["op"])
    # `adopt` takes a map drawn elsewhere (tests/test_plan_files.py), `group` several steps as one
    # (tests/test_plan_suggest.py), `recode` gives codes at submission (tests/test_plans.py), and
    # `snap` needs a faulty base (tests/test_contested.py).
    assert seen == {step.__name__ for step in STEPS} - {"adopt", "group", "recode", "snap"}
