"""Plans on small random towns with every kind of fault: what is proposed and accepted is publishable."""

from collections.abc import Iterator

import numpy as np
import pytest
import shapely
from sqlalchemy.engine import Connection, Engine

from gis import coverage, mend, plan_faults, plan_mend, plans, publishing
from tests import recorded
from tests.test_plan_mend_borders import CHIEF, PLANNER, SCHEME, m2, m2_whole, stored

SIDE = 40_000
"""Units along a cell: some 400 m."""
Cells = dict[str, shapely.Geometry]
Quarters = dict[str, str]
SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 150))]


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    yield from recorded.with_scheme(engine, SCHEME, 3)


def units(x: float, y: float, wide: float, high: float) -> shapely.Geometry:
    return shapely.set_precision(shapely.box(x, y, x + wide, y + high), 1.0)


def disc(x: float, y: float, radius: float) -> shapely.Geometry:
    return shapely.set_precision(shapely.Point(x, y).buffer(radius, 8), 1.0)


def laid(cells: Cells, parent: Quarters) -> recorded.Rows:
    """Cells with quarters and a town dissolved of them, as `--dissolve` makes them."""
    quarters = mend.dissolved(cells, parent)
    top = mend.dissolved(quarters, dict.fromkeys(quarters, "t"))
    rows = [("t", None, top["t"]), *((code, "t", shape) for code, shape in quarters.items())]
    rows += [(code, parent[code], shape) for code, shape in cells.items()]
    return [(code, above, coverage.to_degrees(shape)) for code, above, shape in rows]


def two_by_two() -> tuple[Cells, Quarters]:
    """Cells a1, a2 of quarter A on the left, b1, b2 of B on the right."""
    at = {"a1": (0, 0), "a2": (0, 1), "b1": (1, 0), "b2": (1, 1)}
    cells = {code: units(x * SIDE, y * SIDE, SIDE, SIDE) for code, (x, y) in at.items()}
    return cells, {code: code[0].upper() for code in cells}


def published(conn: Connection, cells: Cells, parent: Quarters) -> tuple[list[mend.Proposal], dict]:
    """What mending proposed of a town, and what is stored once all of it was taken and published."""
    recorded.lay(conn, SCHEME, laid(cells, parent))
    before = stored(conn)
    plan = plans.create(conn, PLANNER, "t", "t", None, SCHEME).id
    base = plans.draft(conn, plan).cov
    found = plan_mend.proposals(base)
    assert found, "there are faults"
    done = plan_mend.accept(conn, PLANNER, plan, "all")
    assert done.skipped == {}
    here = plans.draft(conn, plan)
    assert plan_mend.proposals(here.cov) == []
    faults = plan_faults.of_all(conn, here.base.cov, here.cov, plans.changed(here))
    assert [(one.kind, one.codes) for one in faults if one.severity == "error"] == []
    publishing.submit(conn, plan)
    publishing.approve(conn, CHIEF, plan)
    publishing.publish(conn, plan)
    after = stored(conn)
    recount(before, after, found, {above for one in found for above in plan_mend.uppers(base, one)})
    return found, after


def recount(before: dict, after: dict, found: list[mend.Proposal], told: set[str]) -> None:
    """Shapely's own: no overlap, uppers are their children, and nothing but what was proposed moved."""
    assert set(after) == set(before)
    parents = {parent for parent, _ in after.values()} - {None}
    lowest = [shape for code, (_, shape) in after.items() if code not in parents]
    whole = shapely.union_all(lowest)
    assert sum(map(m2_whole, lowest)) == pytest.approx(m2_whole(whole), abs=0.01)
    for parent in parents:
        below = shapely.union_all([shape for above, shape in after.values() if above == parent])
        assert m2(after[parent][1].symmetric_difference(below)) == 0, parent
    there = shapely.union_all([coverage.to_degrees(one.shape) for one in found])
    for code, (_, shape) in after.items():
        differs = shape.symmetric_difference(before[code][1])
        assert m2(differs.difference(there)) == 0, code
        assert code not in parents or code in told or m2(differs) == 0, f"{code} was to stay"


def test_an_overlap_as_large_as_a_gap_that_touches_it_is_no_sound_map(conn: Connection) -> None:
    cells, parent = two_by_two()
    bite, arm = disc(SIDE, 20_720, 450), disc(SIDE, 20_000, 450)
    cells["a1"] = cells["a1"].difference(bite)
    cells["b1"] = cells["b1"].union(shapely.intersection(arm, units(0, 0, SIDE, SIDE)))
    found, _ = published(conn, cells, parent)
    assert {(one.kind, one.codes) for one in found} == {("overlap", ("a1", "b1")), ("gap", ("a1", "b1"))}


def test_a_part_of_one_quarter_within_another_is_not_dissolved_away() -> None:
    cells, parent = two_by_two()
    exclave = disc(60_000, 20_000, 300)
    cells["a1"], cells["b1"] = cells["a1"].union(exclave), cells["b1"].difference(exclave)
    quarters = mend.dissolved(cells, parent)
    for code in "AB":
        own = shapely.union_all([cells[one] for one in cells if parent[one] == code])
        assert quarters[code].equals(own), code
    assert not shapely.get_num_interior_rings(mend.dissolved(quarters, dict.fromkeys(quarters, "t"))["t"])


@pytest.mark.parametrize("whose", ["a1", "b2"])
def test_a_loose_piece_within_a_hole_goes_where_the_hole_does(conn: Connection, whose: str) -> None:
    cells, parent = two_by_two()
    cells["b1"] = cells["b1"].difference(disc(60_000, 20_000, 450))
    cells[whose] = cells[whose].union(disc(60_000, 20_000, 36))
    found, _ = published(conn, cells, parent)
    assert {(one.kind, one.to) for one in found} >= {("loose_piece", "b1")}


def test_ground_passes_into_a_quarter_recorded_with_anothers_part(conn: Connection) -> None:
    """Such a map stands in the store since imports dissolved parts of others away."""
    cells, parent = two_by_two()
    exclave = disc(60_000, 20_000, 300)
    cells["a1"], cells["b1"] = cells["a1"].union(exclave), cells["b1"].difference(exclave)
    rows = laid(cells, parent)
    faulty = [(c, p, s.union(coverage.to_degrees(exclave)) if c == "B" else s) for c, p, s in rows]
    recorded.lay(conn, SCHEME, faulty)
    before = stored(conn)
    plan = plans.create(conn, PLANNER, "t", "t", None, SCHEME).id
    line = shapely.LineString(
        [(SIDE, 11_111), (SIDE - 5_000, 11_111), (SIDE - 5_000, 15_555), (SIDE, 15_555)]
    )
    step = {"op": "reshape", "codes": ["a1", "b1"], "line": coverage.to_degrees(line)}
    step["line"] = shapely.geometry.mapping(step["line"])
    plans.take(conn, PLANNER, plan, step)
    plans.submit(conn, plan)
    publishing.approve(conn, CHIEF, plan)
    publishing.publish(conn, plan)
    after = stored(conn)
    passed = m2_whole(coverage.to_degrees(units(SIDE - 5_000, 11_111, 5_000, 4_444)))
    for code, sign in (("A", -1), ("B", 1), ("t", 0)):
        grown = m2_whole(after[code][1]) - m2_whole(before[code][1])
        assert grown == pytest.approx(sign * passed, abs=0.5), code


def faulty(seed: int) -> tuple[Cells, Quarters]:
    """Six by four cells in three to six quarters, with faults of every kind at random places."""
    rng = np.random.default_rng(seed)
    at = {f"c{x}{y}": (x, y) for x in range(6) for y in range(4)}
    cells = {code: units(x * SIDE, y * SIDE, SIDE, SIDE) for code, (x, y) in at.items()}
    wide, high = [(2, 4), (3, 2), (2, 2)][rng.integers(3)]
    parent = {code: f"q{x // wide}{y // high}" for code, (x, y) in at.items()}
    for fault in rng.permutation([*FAULTS, *rng.choice(FAULTS, 3)]):
        x, y = int(rng.integers(5)), int(rng.integers(4))
        place = (x + 1) * SIDE, y * SIDE + int(rng.integers(3_000, SIDE - 3_000))
        fault(rng, cells, (f"c{x}{y}", f"c{x + 1}{y}"), place)
    return cells, parent


Pair = tuple[str, str]
"""A cell and that on its right."""
Place = tuple[int, int]
"""A place on the border between them."""


def _gap(rng: np.random.Generator, cells: Cells, pair: Pair, place: Place) -> None:
    bite = disc(place[0] + int(rng.integers(-400, 400)), place[1], int(rng.integers(200, 450)))
    for code in pair:
        cells[code] = cells[code].difference(bite)


def _overlap(rng: np.random.Generator, cells: Cells, pair: Pair, place: Place) -> None:
    cells[pair[0]] = cells[pair[0]].union(disc(*place, int(rng.integers(200, 900))))


def _touching(rng: np.random.Generator, cells: Cells, pair: Pair, place: Place) -> None:
    """A bite out of one, and an arm of the other as large, that touch or cross."""
    (one, other), (x, y) = pair, place
    radius = int(rng.integers(200, 450))
    left = units(x - SIDE, y - SIDE, SIDE, 2 * SIDE)
    cells[one] = cells[one].difference(disc(x, y, radius))
    arm = disc(x, y + int(radius * rng.choice([1.6, 2, 2.2])), radius).intersection(left)
    cells[other] = cells[other].union(arm)


def _exclave(rng: np.random.Generator, cells: Cells, pair: Pair, place: Place) -> None:
    """A part of another cell, legitimate, within one."""
    part = disc(place[0] + SIDE // 2, place[1], int(rng.integers(200, 600)))
    cells[pair[1]] = cells[pair[1]].difference(part)
    far = rng.choice(sorted(set(cells) - {pair[1]}))
    cells[far] = cells[far].union(part)


def _hole(rng: np.random.Generator, cells: Cells, pair: Pair, place: Place) -> None:
    bite = disc(place[0] + SIDE // 4, place[1], int(rng.integers(100, 450)))
    cells[pair[1]] = cells[pair[1]].difference(bite)


def _loose(rng: np.random.Generator, cells: Cells, pair: Pair, place: Place) -> None:
    slot = units(place[0] + 8_000, place[1], 900, int(rng.integers(20, 60)))
    cells[pair[0]], cells[pair[1]] = cells[pair[0]].union(slot), cells[pair[1]].difference(slot)


def _loose_in_hole(rng: np.random.Generator, cells: Cells, pair: Pair, place: Place) -> None:
    x, y = place[0] + 3 * SIDE // 4, place[1]
    cells[pair[1]] = cells[pair[1]].difference(disc(x, y, 440))
    cells[pair[0]] = cells[pair[0]].union(disc(x, y, int(rng.integers(20, 45))))


FAULTS = [_gap, _overlap, _touching, _exclave, _hole, _loose, _loose_in_hole]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_town_is_mended_by_one_acceptance_and_published(conn: Connection, seed: int) -> None:
    published(conn, *faulty(seed))
