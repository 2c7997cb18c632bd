"""Mending: proposals put right what was seeded, list every square metre, and leave what may be meant."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from gis import coverage, faults, mend

SIDE = 100_000
ORIGIN = np.array([1_130_000_000, 270_000_000])


def block(x: float, y: float, width: float = 1, height: float = 1) -> BaseGeometry:
    """A box in blocks of some kilometre (units)."""
    low = ORIGIN + np.round(np.array([x, y]) * SIDE)
    return shapely.box(*low, *(low + np.round(np.array([width, height]) * SIDE)))


def town(columns: int, rows: int) -> dict[str, BaseGeometry]:
    return {f"{x}-{y}": block(x, y) for x in range(columns) for y in range(rows)}


def errors(shapes: dict[str, BaseGeometry]) -> list[str]:
    degrees = {code: coverage.to_degrees(shape) for code, shape in shapes.items() if not shape.is_empty}
    return [f"{f.kind} {f.codes} {f.area_m2}" for f in faults.check(degrees) if f.severity == "error"]


def moved_m2(before: dict[str, BaseGeometry], after: dict[str, BaseGeometry]) -> float:
    """Square metres that each grid lost or gained, by shapely's symmetric difference."""
    sums = [shapely.symmetric_difference(before[code], after[code]) for code in before]
    return float(coverage.areas_m2(coverage.to_degrees(np.array(sums, dtype=object))).sum())


NUDGES = np.array([[0, 0], [7, 3], [0, 0], [-4, 5], [0, 0]])
CROSSING = [tuple(ORIGIN + np.array([150_000, 120_000])), tuple(ORIGIN + np.array([250_000, 110_000]))]
SEEDED = {
    "overlap": lambda g: {"1-1": g["1-1"].union(block(2, 1, 0.2, 0.5))},
    "thin overlap": lambda g: {"1-1": g["1-1"].union(block(2, 1, 0.0003, 1))},
    "gap": lambda g: {"1-1": g["1-1"].difference(block(1.9, 1.2, 0.1, 0.0005))},
    "hole": lambda g: {"1-1": g["1-1"].difference(block(1.4, 1.4, 0.3, 0.0004))},
    "loose piece": lambda g: {
        "0-0": g["0-0"].union(block(2.2, 2.2, 0.3, 0.0004)),
        "2-2": g["2-2"].difference(block(2.2, 2.2, 0.3, 0.0004)),
    },
    "stray part": lambda g: {"0-0": g["0-0"].union(block(2.2, 2.2, 0.3, 0.0004))},
    "three owners": lambda g: {
        "0-0": g["0-0"].union(block(1, 1, 0.1, 0.1)),
        "1-0": g["1-0"].union(block(1, 1, 0.1, 0.1)),
    },
    "duplicate": lambda g: {"copy": g["1-1"]},
    "near vertices": lambda g: {"1-1": shapely.transform(g["1-1"], lambda xy: xy + NUDGES)},
    "bow tie": lambda g: {"1-1": shapely.Polygon([*g["1-1"].exterior.coords[:-1], *CROSSING])},
}


@pytest.mark.parametrize("kind", SEEDED)
def test_what_was_seeded_is_mended(kind: str) -> None:
    sound = town(4, 4)
    broken = sound | SEEDED[kind](sound)
    assert errors(broken)
    arranged = mend.arrange(broken)
    found = mend.proposals(arranged)
    after = mend.mended(arranged, found)
    assert errors(after) == []
    left = shapely.union_all([shape for shape in after.values() if not shape.is_empty])
    assert sum(shape.area for shape in after.values()) == pytest.approx(left.area, rel=1e-12)
    assert found == mend.proposals(mend.arrange(broken))


def test_every_square_metre_that_moves_is_listed() -> None:
    sound = town(4, 4)
    broken = sound
    for kind in ("overlap", "gap", "hole"):
        broken = broken | SEEDED[kind](sound if kind == "overlap" else broken)
    arranged = mend.arrange(broken)
    found = mend.proposals(arranged)
    after = mend.mended(arranged, found)
    listed = sum(p.area_m2 * (len(p.codes) - 1 if p.kind == "overlap" else 1) for p in found)
    assert moved_m2(broken, after) == pytest.approx(listed, rel=1e-9)


def test_what_is_not_accepted_stays_with_all_who_had_it() -> None:
    sound = town(3, 3)
    broken = sound | {"1-1": sound["1-1"].union(block(2, 1, 0.2, 0.5)).difference(block(1, 1, 0.001, 0.5))}
    arranged = mend.arrange(broken)
    one, other = mend.proposals(arranged)
    assert {one.kind, other.kind} == {"overlap", "gap"}
    after = mend.mended(arranged, [])
    assert all(after[code].equals(broken[code]) for code in broken)
    after = mend.mended(arranged, [other])
    assert after[one.codes[0]].intersects(one.shape)
    assert moved_m2(broken, after) == pytest.approx(other.area_m2, rel=1e-9)


def test_a_lake_may_be_meant_and_a_slit_cannot() -> None:
    sound = town(3, 3)
    broken = sound | {
        "1-1": sound["1-1"].difference(block(1, 1.2, 0.3, 0.3)).difference(block(1.6, 1.5, 0.002, 0.002))
    }
    found = mend.proposals(mend.arrange(broken))
    assert [(p.kind, p.sure) for p in found] == [("gap", False), ("hole", True)]


def test_a_grid_all_of_whose_ground_is_anothers_gets_it() -> None:
    arranged = mend.arrange({"big": block(0, 0, 3, 3), "small": block(1, 1)})
    (piece,) = mend.proposals(arranged)
    assert (piece.kind, piece.to) == ("overlap", "small")


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_random_maps_are_mended(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grids = town(4, 4)
    for code in rng.choice(sorted(grids), 6, replace=False):
        x, y, w, h = rng.uniform(0, 3.5, 2).tolist() + rng.uniform(0.0003, 0.6, 2).tolist()
        change = block(x, y, w, h)
        grids[code] = grids[code].union(change) if rng.random() < 0.6 else grids[code].difference(change)
    grids = {code: shape for code, shape in grids.items() if not shape.is_empty}
    arranged = mend.arrange(grids)
    after = mend.mended(arranged, mend.proposals(arranged))
    assert errors(after) == []


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_ground_is_sorted_out_as_by_pairs(seed: int) -> None:
    """By shapely, pair by pair: corners that poke in, bars that cross, islands within, copies."""
    rng = np.random.default_rng(seed)
    grids = town(4, 4)
    for code in rng.choice(sorted(grids), 4, replace=False):
        x, y, w, h = [*rng.uniform(0, 3.5, 2).tolist(), *(10 ** rng.uniform(-2.5, 0.4, 2)).tolist()]
        bar = shapely.transform(shapely.affinity.rotate(block(x, y, w, h), rng.uniform(0, 90)), np.round)
        grids[code] = bar if rng.random() < 0.3 else grids[code].union(bar, grid_size=1.0)
    arranged = mend.arrange(grids)
    twice = [piece for owners, piece in arranged.pieces() if owners]
    shapes = list(grids.values())
    both = [a.intersection(b) for i, a in enumerate(shapes) for b in shapes[:i]]
    common = shapely.union_all([part for one in both for part in shapely.get_parts(one) if part.area > 0])
    bent = 3 * sum(shape.length for shape in shapes)
    assert shapely.symmetric_difference(shapely.union_all(twice), common).area <= bent
    found = sum(piece.area for owners, piece in arranged.pieces() if not owners)
    union = shapely.union_all(shapes)
    holes = sum(shapely.Polygon(r).area for part in shapely.get_parts(union) for r in part.interiors)
    islands = [p for p in shapely.get_parts(union) if any(
        shapely.Polygon(r).contains(p) for q in shapely.get_parts(union) for r in q.interiors)]  # fmt: skip
    assert found == pytest.approx(holes - sum(one.area for one in islands), abs=bent)


def test_parents_are_the_union_of_their_children_without_slits() -> None:
    grids = town(4, 2)
    grids["0-0"] = grids["0-0"].difference(block(0.4, 0.4, 0.002, 0.002))
    parents = mend.dissolved(grids, {code: (code[0] > "1" and "east") or "west" for code in grids})
    assert parents["west"].equals(block(0, 0, 2, 2))
    assert parents["east"].equals(block(2, 0, 2, 2))


CASES = Path("/work/shared/cases/valid_but_collapses.geojson")
FLAT = [(-71.323148555, 41.5228618370001), (-71.323146191, 41.5228542), (-71.323148476, 41.522861483),
        (-71.323214476, 41.5228944840001)]  # fmt: skip
COLLAPSING = shapely.Polygon(FLAT)
HOUSE = shapely.box(-71.33, 41.51, -71.32, 41.53)


@pytest.mark.parametrize(
    ("shape", "left"),
    [
        (COLLAPSING, None),
        (shapely.MultiPolygon([shapely.box(-71.4, 41.5, -71.39, 41.51), COLLAPSING]), None),
        (shapely.Polygon(HOUSE.exterior, [FLAT]), 1),
        (shapely.Polygon([(0, 0), (2e-8, 0), (2e-8, 2e-8)]), 0),
        (shapely.Polygon([(0, 0), (1, 0), (1, 4e-8), (0, 4e-8)]), 0),
        (shapely.Polygon([(0, 0), (1, 0), (1, 1), (0.5, 3e-8), (0, 1)]), None),
        (shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 0, 2.00000001, 1)]), 1),
    ],
)
def test_a_valid_shape_that_rounding_breaks_is_mended_or_empty(shape: BaseGeometry, left: int | None) -> None:
    """R20: nothing raises, what is left is valid and has the area it had but for rounding."""
    assert shape.is_valid
    (after,), told = coverage.snap([shape])
    assert after.is_valid
    assert left is None or (0 if after.is_empty else shapely.get_num_geometries(after)) == left
    assert abs(after.area - shape.area) <= 1e-7 * shape.length
    assert len(told.rings_dropped) == 1


@pytest.mark.realdata
def test_the_case_from_the_field_is_mended_per_part() -> None:
    if not CASES.is_file():
        pytest.skip(f"no {CASES}")
    shape = shapely.geometry.shape(json.loads(CASES.read_text())["features"][0]["geometry"])
    (after,), told = coverage.snap([shape])
    assert after.is_valid
    assert told.repaired.any() or told.rings_dropped.any()
