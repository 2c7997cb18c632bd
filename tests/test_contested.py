"""A plan begins on a map with overlaps: what several claim is kept apart until a step gives it (M5)."""

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.errors import BadInput, Emptied, NotFound
from gis.plan_diff import applied, diff
from gis.plan_faults import _errors, new_errors
from gis.redraw import apply
from gis.settle import Coverage, Grid, claimants, is_grid
from gis.spare import cover, spare_keys


def box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """A rectangle by hundredths of a degree from 113 E, 27 N."""
    return shapely.box(113 + west / 100, 27 + south / 100, 113 + east / 100, 27 + north / 100)


def line(*places: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [(113 + x / 100, 27 + y / 100) for x, y in places]}


def at(x: float, y: float) -> list[float]:
    return [113 + x / 100, 27 + y / 100]


A, B, D = box(0, 0, 1.2, 1), box(1, 0, 2, 1), box(2, 0, 3, 1)
ROWS = {"C": None, "P": "C", "Q": "C", "A": "P", "B": "P", "D": "Q"}
LEVELS = {"C": 1, "P": 2, "Q": 2, "A": 3, "B": 3, "D": 3}


def town(**otherwise: BaseGeometry) -> Coverage:
    """P holds A and B, which both claim 1.0-1.2; Q holds D."""
    shapes = {"C": box(0, 0, 3, 1), "P": box(0, 0, 2, 1), "Q": D, "A": A, "B": B, "D": D} | otherwise
    return cover([Grid(code, LEVELS[code], parent) for code, parent in ROWS.items()], shapes)


def area(cov: Coverage, code: str) -> float:
    """The area of a grid by shapely, in square hundredths of a degree."""
    return round(cov.geometry(code).area * 1e4, 6)


def areas(cov: Coverage) -> dict[str, float]:
    return {code: area(cov, code) for code in sorted(cov.grids)}


def overlaps(cov: Coverage) -> list[tuple[str, ...]]:
    return sorted(fault.codes for fault in _errors(cov) if fault.kind in {"overlap", "duplicate"})


def test_a_faulty_base_keeps_every_outline_and_tells_its_overlap() -> None:
    cov = town()
    assert areas(cov) == {"A": 1.2, "B": 1.0, "C": 3.0, "D": 1.0, "P": 2.0, "Q": 1.0}
    (fault,) = _errors(cov)
    assert (fault.kind, fault.codes) == ("overlap", ("A", "B"))
    assert fault.geometry.symmetric_difference(box(1, 0, 1.2, 1)).area == pytest.approx(0, abs=1e-12)


STEPS: list[tuple[dict[str, Any], dict[str, float], list[tuple[str, ...]]]] = [
    ({"op": "give", "at": at(1.1, 0.5), "to": "A"}, {"A": 1.2, "B": 0.8}, []),
    ({"op": "give", "at": at(1.1, 0.5), "to": "B"}, {"A": 1.0, "B": 1.0}, []),
    ({"op": "give", "at": at(1.1, 0.5), "to": "D"}, {"A": 1, "B": 0.8, "D": 1.2, "P": 1.8, "Q": 1.2}, []),
    ({"op": "give", "area": shapely.geometry.mapping(box(1, 0, 1.2, 1)), "to": "B"}, {"A": 1.0}, []),
    ({"op": "merge", "codes": ["A", "B"]}, {"A": 2.0}, []),
    ({"op": "merge", "codes": ["B", "D"], "into": "D"}, {"D": 2.0, "P": 1.2, "Q": 2.0}, [("A", "D")]),
    ({"op": "split", "code": "A", "line": line((0.4, -1), (0.4, 2)), "into": ["E"]}, {"A": 0.8, "E": 0.4},
     [("A", "B")]),
    ({"op": "split", "code": "A", "line": line((0.6, -1), (0.6, 2)), "into": ["E"]}, {"A": 0.6, "E": 0.6},
     [("B", "E")]),
    ({"op": "split", "code": "B", "line": line((1.1, 0.5), (3, 0.5)), "into": ["E"]}, {"B": 0.6, "E": 0.4},
     [("A", "B")]),
    ({"op": "split", "code": "D", "line": line((2.5, -1), (2.5, 2)), "into": ["E"]}, {"D": 0.5, "E": 0.5},
     [("A", "B")]),
    ({"op": "reshape", "codes": ["B", "D"], "line": line((2, 0), (2.2, 0.5), (2, 1))},
     {"B": 1.1, "D": 0.9, "P": 2.1, "Q": 0.9}, [("A", "B")]),
    ({"op": "recode", "codes": {"A": "Z"}}, {}, [("B", "Z")]),
]  # fmt: skip


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_step_changes_what_it_names_and_undo_brings_all_back(step: int) -> None:
    done, expected, left = STEPS[step]
    cov = town()
    after = apply(cov, done)
    told = areas(after)
    assert {code: told[code] for code in expected} == pytest.approx(expected)
    rest = {code: m2 for code, m2 in areas(cov).items() if code in told and code not in expected}
    assert {code: told[code] for code in rest} == pytest.approx(rest)
    assert overlaps(after) == left
    assert new_errors(cov, after) == []
    changes = diff(cov, after)
    again = applied(cov, {code: new for code, (_, new) in changes.items()})
    assert prints(again) == prints(after)
    assert prints(applied(after, {code: old for code, (old, _) in changes.items()})) == prints(cov)


def prints(cov: Coverage) -> dict[str, bytes]:
    return {key: shape.wkb for key, shape in cov.shapes.items()}


def test_who_loses_a_claim_is_changed_and_who_only_got_a_vertex_is_not() -> None:
    cov = town()
    after = apply(cov, {"op": "give", "at": at(1.1, 0.5), "to": "A"})
    changes = diff(cov, after)
    assert sorted(filter(is_grid, changes)) == ["A", "B"]
    old, new = changes["B"]
    assert old is not None
    assert new is not None
    assert (old.whole.area - new.whole.area) / 1e10 == pytest.approx(0.2)
    assert old.whole.equals(coverage.to_units(B))


def test_a_grid_that_has_only_contested_ground_can_get_it_or_be_merged() -> None:
    cov = town(B=box(0.2, 0.2, 0.6, 0.6))
    assert area(cov, "B") == pytest.approx(0.16)
    assert area(apply(cov, {"op": "give", "at": at(0.3, 0.3), "to": "B"}), "A") == pytest.approx(1.04)
    with pytest.raises(Emptied, match="grid B would lose all its ground"):
        apply(cov, {"op": "give", "at": at(0.3, 0.3), "to": "A"})
    assert area(apply(cov, {"op": "merge", "codes": ["A", "B"]}), "A") == pytest.approx(1.2)
    twins = town(A=B)
    assert overlaps(twins) == [("A", "B")]
    assert areas(twins)["A"] == areas(twins)["B"] == pytest.approx(1)
    assert area(apply(twins, {"op": "merge", "codes": ["A", "B"], "into": "B"}), "B") == pytest.approx(1)


def test_three_claimants_and_two_parents() -> None:
    cov = town(D=box(1.1, 0, 3, 1))
    assert overlaps(cov) == [("A", "B"), ("A", "D"), ("B", "D")]
    assert {claimants(key) for key in spare_keys(cov)} == {("A", "B"), ("A", "B", "D"), ("B", "D")}
    assert areas(cov) == {"A": 1.2, "B": 1.0, "C": 3.0, "D": 1.9, "P": 2.0, "Q": 1.9}
    for x, to in ((1.05, "A"), (1.15, "A"), (1.5, "B")):
        cov = apply(cov, {"op": "give", "at": at(x, 0.5), "to": to})
    assert areas(cov) == {"A": 1.2, "B": 0.8, "C": 3.0, "D": 1.0, "P": 2.0, "Q": 1.0}
    assert overlaps(cov) == []


def test_slivers_between_grids_snap_together() -> None:
    """Borders drawn twice, some decimetres apart: a thin overlap, a thin gap, and a wide overlap beside."""
    crooked = shapely.Polygon([at(1, 0), at(2, 0), at(2, 1), at(1.00005, 1), at(0.99995, 0.5)])
    cov = town(A=box(0, 0, 1, 1), B=crooked)
    after = apply(cov, {"op": "snap", "codes": ["A", "B"]})
    assert [key for key in spare_keys(after) if after.shapes[key].area > 0] == []
    assert _errors(after) == []
    assert area(after, "A") + area(after, "B") == pytest.approx(2)
    with pytest.raises(NotFound, match="nothing narrower than 1 m"):
        apply(after, {"op": "snap", "codes": ["A", "B"]})
    with pytest.raises(NotFound, match="nothing narrower"):
        apply(town(), {"op": "snap", "codes": ["A", "B"]})
    wide = apply(town(), {"op": "snap", "codes": ["A", "B"], "reach_m": 500})
    assert overlaps(wide) == []


def test_only_contested_and_nobodys_ground_is_given() -> None:
    cov = town(P=box(0, 0, 2, 1.5), C=box(0, 0, 3, 1.5))
    assert area(apply(cov, {"op": "give", "at": at(0.5, 1.2), "to": "A"}), "A") == pytest.approx(2.2)
    with pytest.raises(NotFound, match="has an owner"):
        apply(cov, {"op": "give", "at": at(0.5, 0.5), "to": "B"})
    with pytest.raises(NotFound, match="has an owner"):
        apply(cov, {"op": "take_in", "at": at(1.1, 0.5), "to": "B"})
    with pytest.raises(BadInput, match="either a place"):
        apply(cov, {"op": "give", "to": "B"})
    with pytest.raises(BadInput, match="grids below it"):
        apply(cov, {"op": "give", "at": at(0.5, 1.2), "to": "P"})


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_random_overlaps_are_laid_apart_exactly(seed: int) -> None:
    """By shapely: each grid is its recorded polygon but for bent vertices, no ground is counted twice."""
    rng = np.random.default_rng(seed)
    shapes = {f"g{x}{y}": box(x, y, x + 1, y + 1) for x in range(4) for y in range(4)}
    for code in rng.choice(sorted(shapes), 5, replace=False):
        x, y, turn = rng.uniform(0, 3.5), rng.uniform(0, 3.5), rng.uniform(0, 90)
        extra = shapely.affinity.rotate(box(x, y, x + rng.uniform(0.01, 1), y + 0.4), turn)
        shapes[code] = coverage.snap([shapely.intersection(shapes[code] | extra, box(0, 0, 4, 4))])[0][0]
    rows = [Grid("P", 1), *(Grid(code, 2, "P") for code in shapes)]
    cov = cover(rows, {"P": box(0, 0, 4, 4)} | shapes)
    union = shapely.union_all(list(shapes.values()))
    owned = [shape for key, shape in cov.shapes.items() if is_grid(key) or claimants(key)]
    bent = 4 * sum(shapely.length(list(shapes.values()))) * 1e-7
    assert sum(shape.area for shape in owned) / 1e14 == pytest.approx(union.area, abs=bent)
    for code, shape in shapes.items():
        assert shapely.symmetric_difference(cov.geometry(code), shape).area <= 4e-7 * shape.length
    for key in [key for key in spare_keys(cov) if claimants(key)]:
        point = shapely.point_on_surface(cov.shapes[key])
        code = claimants(key)[0]
        cov = apply(cov, {"op": "give", "at": (point.x / 1e7, point.y / 1e7), "to": code})
    assert cov.outline().equals(coverage.to_units(box(0, 0, 4, 4)))
