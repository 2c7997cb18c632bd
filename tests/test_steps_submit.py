"""Maps whose children stray, overlap and leave ground: what a step takes can be handed over, uppers as well.

Judged by shapely on the polygons that would be written.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry import mapping
from sqlalchemy.engine import Connection, Engine

from gis import coverage, plan_base, plan_faults, plans, publishing
from gis.errors import Faulty, Problem
from gis.grids import Wish, resolve
from gis.plan_outlines import is_bent
from gis.settle import Coverage
from tests import recorded
from tests.steps import random_step
from tests.test_plan_mend_borders import PLANNER
from tests.test_plan_outside import block, strayed
from tests.test_town_publications import _as_json, cell, town

SCHEME = "handing"
MOVES = {"move_vertex", "move_edge"}
"""May widen a gap or an overlap at whose corner they pull, which their answer says."""


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    yield from recorded.with_scheme(engine, SCHEME, 3)


def taken(conn: Connection, scope: str, step: dict[str, Any]) -> int:
    plan = plans.create(conn, PLANNER, scope, "t", None, SCHEME).id
    plans.take(conn, PLANNER, plan, step)
    return plan


def written(conn: Connection, plan: int, code: str) -> shapely.Geometry:
    """The polygon (EPSG:4326) that would be written of a grid."""
    return coverage.to_degrees(plans.versions(plans.draft(conn, plan), [code])[code].shape)


def m2(one: shapely.Geometry, other: shapely.Geometry) -> float:
    return float(coverage.areas_m2(one.symmetric_difference(other))[0])


def split(code: str, *line: tuple[float, float]) -> dict[str, Any]:
    there = {"type": "LineString", "coordinates": [(12 + x / 100, 50 + y / 100) for x, y in line]}
    return {"op": "split", "code": code, "line": there, "confirm_pieces": True}


SLANTED = shapely.Polygon([(12.0, 50.0), (12.1, 50.0), (12.1312, 50.1), (12.0, 50.1)])
"""Its right side is crossed by lines beside whole units."""


@pytest.mark.parametrize("y", [1.7, 3.3, 5.9, 7.7, 8.3])
def test_a_split_of_a_stray_grid_changes_its_uppers_by_rounding_alone(conn: Connection, y: float) -> None:
    parent = shapely.Polygon([(12.0, 50.0), (12.1, 50.0), (12.1201, 50.07), (12.0, 50.1)])
    rows = [("C", None, block(0, 0, 20, 10)), ("P", "C", parent), ("P1", "P", SLANTED)]
    recorded.lay(conn, SCHEME, rows)
    before = recorded.polygons(conn, SCHEME)
    for scope in "CP":
        plan = taken(conn, scope, split("P1", (-1, y), (4.1, y + 0.7), (15, y + 0.013)))
        publishing.submit(conn, plan)
        for code in {"C", "P"} & {scope, "P"}:
            assert m2(written(conn, plan, code), before[code]) < 1200, code


def only_child() -> recorded.Rows:
    """A county recorded as its one township, whose villages stray and leave ground."""
    whole = block(0, 0, 10, 10)
    stray = block(0, 0, 5, 10) | block(-1, 4, 0, 6)
    return [("C", None, whole), ("P", "C", whole), ("P1", "P", stray), ("P2", "P", block(5, 0, 9, 10))]


def two_children() -> recorded.Rows:
    """A county that is its two townships, of which the left one's village strays beyond both."""
    whole, p, q = block(0, 0, 20, 10), block(0, 0, 10, 10), block(10, 0, 20, 10)
    return [("C", None, whole), ("P", "C", p), ("Q", "C", q), ("P1", "P", p | block(4, 9, 6, 12)),
            ("Q1", "Q", q - block(19, 3, 20, 5))]  # fmt: skip


def overlapping() -> recorded.Rows:
    """A county that is its two townships, whose villages overlap across their border."""
    whole, p, q = block(0, 0, 20, 10), block(0, 0, 10, 10), block(10, 0, 20, 10)
    return [("C", None, whole), ("P", "C", p), ("Q", "C", q), ("P1", "P", p | block(9, 3, 12, 5)),
            ("Q1", "Q", q | block(8, 7, 11, 8))]  # fmt: skip


@pytest.mark.parametrize("rows", [only_child(), two_children(), overlapping()])
def test_what_lies_above_grids_that_children_do_not_fit_is_kept_as_recorded(
    conn: Connection, rows: recorded.Rows
) -> None:
    """The county fits its townships as they are recorded, not the ground below."""
    recorded.lay(conn, SCHEME, rows)
    before = recorded.polygons(conn, SCHEME)
    base = plan_base.load(conn, resolve(conn, Wish(SCHEME)), "C").cov
    ground = coverage.to_degrees(base.shape("C"))
    assert ("C" in base.outlines) == (m2(ground, before["C"]) > 1)
    plan = taken(conn, "C", split("P1", (-2, 1.2), (14, 1.3)))
    publishing.submit(conn, plan)
    assert m2(written(conn, plan, "C"), before["C"]) < 20


def test_ground_crosses_a_recorded_border_beside_its_vertices(conn: Connection) -> None:
    """P1 strays into Q, and hands ground on both sides of that border to Q1."""
    p, q = block(0, 0, 10, 10), block(10, 0, 20, 10)
    rows = [("C", None, p | q), ("P", "C", p), ("Q", "C", q), ("P1", "P", p | block(10, 2, 14, 8)),
            ("Q1", "Q", q - block(10, 2, 14, 8))]  # fmt: skip
    recorded.lay(conn, SCHEME, rows)
    area = shapely.Polygon([(12.0913, 50.0307), (12.15, 50.0451), (12.15, 50.0533), (12.0871, 50.0611)])
    plan = taken(conn, "C", {"op": "assign", "to": "Q1", "area": mapping(area)})
    publishing.submit(conn, plan)
    passed = area & p
    assert m2(written(conn, plan, "P"), p - passed) < 5
    assert m2(written(conn, plan, "Q"), q | passed) < 5
    assert m2(written(conn, plan, "C"), p | q) < 5


def test_a_gap_is_not_new_for_having_more_grids_beside_it(conn: Connection) -> None:
    whole, bite = cell(0, 0, 4, 2), cell(0.4, 0.5, 0.2, 0.2)
    left, right = cell(0, 0, 2, 2) - bite, cell(2, 0, 2, 2)
    rows = [("C", None, whole), ("P", "C", whole), ("P1", "P", left), ("P2", "P", right)]
    recorded.lay(conn, SCHEME, rows)
    line = {"type": "LineString", "coordinates": [(112.99, 27.006), (113.03, 27.006)]}
    plan = taken(conn, "P", {"op": "split", "code": "P1", "line": line})
    here = plans.draft(conn, plan)
    kinds = {one.kind for one in plan_faults.of_all(conn, here.base.cov, here.cov, []) if one.area_m2 > 1}
    assert kinds == {"gap"}, "a hole before"
    publishing.submit(conn, plan)


SEEDS = [*range(16), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(16, 400))]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_step_takes_can_be_handed_over(conn: Connection, seed: int) -> None:
    rng = np.random.default_rng(seed)
    recorded.lay(conn, SCHEME, (town if seed % 2 else strayed)(rng))
    for scope in "CP":
        plan = plans.create(conn, PLANNER, scope, "t", None, SCHEME).id
        for _ in range(3):
            step = _as_json(random_step(plans.draft(conn, plan).cov, rng, 8))
            handed_over(conn, plan, step)


def handed_over(conn: Connection, plan: int, step: dict[str, Any]) -> None:
    """Take a step, hand the plan over, and take it back."""
    here = plans.draft(conn, plan).plan.head
    try:
        with conn.begin_nested():
            plans.take(conn, PLANNER, plan, step)
    except Problem:
        return
    try:
        with conn.begin_nested() as tried:
            changes = plans.changed(plans.draft(conn, plan)).values()
            if any(not is_bent(*change) for change in changes):
                publishing.submit(conn, plan)
            tried.rollback()
    except Faulty:
        after = plans.draft(conn, plan)
        assert step["op"] in MOVES or _made(after.base.cov, after.cov), step
    while plans.draft(conn, plan).plan.head != here:
        plans.undo(conn, plan)


def _made(base: Coverage, cov: Coverage) -> bool:
    """Whether all errors that are new are slivers, which a step made of ground as it was drawn."""
    return all(one.kind == "loose_piece" for one in plan_faults.new_errors(base, cov))
