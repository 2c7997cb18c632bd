"""Random towns with unowned, contested and stray ground: no area moves that no step names.

Planned, published and undone; judged by the polygons in the store before and after, by shapely.
"""

from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis import coverage, plan_mend, plan_store, plans, publishing
from gis.access import COMMAND, enter
from gis.errors import Problem
from gis.plan_features import kind_of
from gis.plan_impact import Impact
from gis.plan_prospect import prospect
from gis.settle import is_grid
from tests import recorded
from tests.steps import random_step
from tests.test_publishing_proof import ANN, CHIEF

SCHEME = "towns"
BENT_M = 10 * 0.0111
"""A vertex may lie so far beside the edge that it came into (`plan_outlines.BEND_UNITS`)."""


@pytest.fixture
def asking(conn: Connection) -> Connection:
    recorded.add_scheme(conn, SCHEME, 3, default=True)
    enter(conn, COMMAND)
    return conn


def cell(x: float, y: float, width: float = 1, height: float = 1) -> BaseGeometry:
    """A block of a kilometre or so."""
    return shapely.box(113 + x / 100, 27 + y / 100, 113 + (x + width) / 100, 27 + (y + height) / 100)


def town(rng: np.random.Generator) -> recorded.Rows:
    """A county of two townships of four villages, some of which have bites taken out or added."""
    villages = {f"{p}{i}": cell(2 * (p == "Q") + i % 2, i // 2) for p in "PQ" for i in range(4)}
    whole = shapely.box(113, 27, 113.04 + rng.choice([0, 0.003]), 27.02)
    for code in rng.choice(sorted(villages), rng.integers(1, 5), replace=False):
        x, y, (w, h) = rng.uniform(-0.1, 3.7), rng.uniform(-0.1, 1.7), 10 ** rng.uniform(-2.5, -0.3, 2)
        bite = shapely.affinity.rotate(cell(x, y, w, h), rng.uniform(0, 90))
        grown = villages[code].union(bite) if rng.random() < 0.6 else villages[code].difference(bite)
        villages[code] = grown if grown.area > 0.2 * villages[code].area else villages[code]
    parents: dict[str, BaseGeometry] = {
        p: shapely.union_all([s for c, s in villages.items() if c[0] == p]) if rng.random() < 0.5
        else cell(2 * (p == "Q"), 0, 2, 2) for p in "PQ"
    }  # fmt: skip
    rows: recorded.Rows = [("C", None, whole), *((p, "C", parents[p]) for p in "PQ")]
    return [*rows, *((code, code[0], shape) for code, shape in villages.items())]


def drawn(conn: Connection, plan: int, rng: np.random.Generator) -> None:
    """A step at random, half of the time after some of what is proposed to mend."""
    if rng.random() < 0.5 and (found := plan_mend.proposals(plans.draft(conn, plan).cov)):
        chosen = [one.number for one in found if rng.random() < 0.5] or [1]
        _tried(lambda: plan_mend.accept(conn, ANN, plan, chosen), conn)
    for _ in range(6):
        step = random_step(plans.draft(conn, plan).cov, rng, 8)
        if _tried(lambda step=step: plans.take(conn, ANN, plan, _as_json(step)), conn):
            return


def _as_json(step: dict[str, Any]) -> dict[str, Any]:
    """A step as it comes over HTTP; buildings are given as the ground under them."""
    geometries = {k: shapely.geometry.mapping(v) for k, v in step.items() if isinstance(v, BaseGeometry)}
    if "buildings" in step:
        return {"op": "assign", "to": step["to"], "area": shapely.geometry.mapping(step["buildings"][0])}
    return step | geometries


def _tried(act: Any, conn: Connection) -> bool:
    try:
        with conn.begin_nested():
            act()
    except Problem:
        return False
    return True


def publication(conn: Connection, rng: np.random.Generator) -> bool:
    """Lay a town, plan, undo and draw again, publish, and judge; whether it could be published."""
    recorded.lay(conn, SCHEME, town(rng))
    before = recorded.polygons(conn, SCHEME)
    plan = plans.create(conn, ANN, "C", "t", None, SCHEME).id
    drawn(conn, plan, rng)
    here = plans.draft(conn, plan)
    if here.plan.head is not None:
        for _ in iter(lambda: plan_store.get(conn, plan).head, None):
            plans.undo(conn, plan)
        assert plans.changed(plans.draft(conn, plan)) == {}
        while plan_store.get(conn, plan).head != here.plan.head:
            plans.redo(conn, plan)
    again = plans.draft(conn, plan).cov
    assert {k: s.wkb for k, s in again.shapes.items()} == {k: s.wkb for k, s in here.cov.shapes.items()}
    changes = plans.changed(plans.draft(conn, plan))
    named = {code for code, change in changes.items() if is_grid(code) and kind_of(change) != "bent"}

    def publish() -> None:
        plans.submit(conn, plan)
        plans.approve(conn, CHIEF, plan)
        publishing.publish(conn, plan)

    told = {one["code"]: one for one in Impact(conn, prospect(conn, plan).here).uppers}
    published = _tried(publish, conn)
    after = recorded.polygons(conn, SCHEME)
    if published:
        uppers_as_told(told, before, after)
    for code in sorted(set(before) & set(after) - named if published else before):
        odd = coverage.areas_m2(shapely.symmetric_difference(before[code], after[code]))[0]
        assert odd <= BENT_M * shapely.length(before[code]) * coverage.METRES_PER_DEGREE, code
    if not published:
        assert {c: s.wkb for c, s in after.items()} == {c: s.wkb for c, s in before.items()}
    return published


def uppers_as_told(told: dict[str, Any], before: recorded.Polygons, after: recorded.Polygons) -> None:
    """Of each upper grid the areas told before the approval are those of the store; others merely bend."""
    for code in sorted(code for code in {*before, *after} if len(code) == 1):
        sides = [side.get(code) for side in (before, after)]
        if code in told:
            areas = [None if one is None else float(coverage.areas_m2(one)[0]) for one in sides]
            said = [told[code][f"area_m2_{side}"] for side in ("before", "after")]
            assert said == pytest.approx(areas, abs=0.01), code
        else:
            odd = coverage.areas_m2(shapely.symmetric_difference(*sides))[0]
            assert odd <= BENT_M * shapely.length(before[code]) * coverage.METRES_PER_DEGREE, code


def run(conn: Connection, seeds: range) -> float:
    """The share of towns whose plan was published."""
    done = []
    for seed in seeds:
        nested = conn.begin_nested()
        done.append(publication(conn, np.random.default_rng(seed)))
        nested.rollback()
    return float(np.mean(done))


def test_no_area_moves_that_no_step_names(asking: Connection) -> None:
    assert run(asking, range(12)) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("hundreds", range(2, 102, 2))
def test_no_area_moves_in_ten_thousand_towns(asking: Connection, hundreds: int) -> None:
    assert run(asking, range(hundreds * 100, hundreds * 100 + 200)) > 0.4
