"""Ground within a scope that a grid outside of it owns: no step, file or publication draws a grid over it.

Judged by shapely on the polygons in the store: no two grids of a level get ground in common.
"""

from collections.abc import Iterator
from datetime import date
from functools import partial
from itertools import combinations
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection, Engine

from gis import (
    coverage,
    plan_faults,
    plan_files,
    plan_mend,
    plan_outside,
    plan_store,
    plans,
    publishing,
    schema,
)
from gis.errors import BadInput, Faulty, NotFound, Problem
from gis.settle import Coverage, is_grid
from gis.spare import spare_keys
from tests import recorded
from tests.steps import random_step
from tests.test_plan_mend_borders import CHIEF, PLANNER
from tests.test_town_publications import _as_json, cell

SCHEME = "outside"


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    yield from recorded.with_scheme(engine, SCHEME, 3)


def block(x: float, y: float, to_x: float, to_y: float) -> BaseGeometry:
    return shapely.box(12 + x / 100, 50 + y / 100, 12 + to_x / 100, 50 + to_y / 100)


STRAY = block(10, 4, 12, 6)
IN_STRAY = [12.11, 50.05]
WHOLE_Q = shapely.Polygon([(12.1, 50), (12.2, 50), (12.2, 50.1), (12.1, 50.1), (12.1, 50.06), (12.1, 50.04)])


def toy(*, whole: bool = False) -> recorded.Rows:
    """P left and Q right in U; P's only grid strays into Q, whose only grid leaves that out, or not."""
    p, q = block(0, 0, 10, 10), block(10, 0, 20, 10)
    return [
        ("U", None, block(0, 0, 20, 10)), ("P", "U", p), ("Q", "U", q),
        ("P1", "P", p | STRAY), ("Q1", "Q", q if whole else q - STRAY),
    ]  # fmt: skip


def begin(conn: Connection, scope: str, on: date | None = None) -> int:
    return plans.create(conn, PLANNER, scope, "t", on, SCHEME).id


def through(conn: Connection, plan: int) -> None:
    publishing.submit(conn, plan)
    publishing.approve(conn, CHIEF, plan)
    publishing.publish(conn, plan)


def overlaps(conn: Connection) -> dict[tuple[str, str], float]:
    """The square metres that each two grids of a level of today have in common, above a rounding."""
    g = schema.grids.c
    rows = conn.execute(sa.select(g.code, g.level).where(g.scheme == SCHEME))
    level = {row.code: row.level for row in rows}
    shapes = recorded.polygons(conn, SCHEME)
    found = {}
    for one, other in combinations(sorted(shapes), 2):
        if level[one] == level[other] and shapes[one].intersects(shapes[other]):
            common = shapes[one].intersection(shapes[other])
            if not common.buffer(-2e-7).is_empty:
                found[one, other] = float(coverage.areas_m2(common)[0])
    return found


TAKING: list[dict[str, Any]] = [
    {"op": "take_in", "to": "Q1", "at": IN_STRAY},
    {"op": "give", "to": "Q1", "at": IN_STRAY},
    {"op": "give", "to": "Q1", "area": mapping(block(9, 3, 13, 7))},
    {"op": "adopt", "grids": [{"code": "Q1", "parent": "Q", "name": "Q1", "shape": mapping(WHOLE_Q)}]},
]


@pytest.mark.parametrize("step", TAKING, ids="-".join)
def test_a_step_that_takes_ground_of_a_grid_outside_names_its_owner(
    conn: Connection, step: dict[str, Any]
) -> None:
    recorded.lay(conn, SCHEME, toy())
    plan = begin(conn, "Q")
    with pytest.raises(Faulty, match=r"outside the scope: P1 \(31865\d\d\.\d\d m²\)") as refused:
        plans.take(conn, PLANNER, plan, step)
    (fault,) = refused.value.told["faults"]["features"]
    assert (fault["properties"]["kind"], fault["properties"]["codes"]) == ("overlap", ["P1", "Q1"])
    assert shapely.geometry.shape(fault["geometry"]).symmetric_difference(STRAY).area < 1e-12


def test_ground_of_a_grid_outside_is_not_proposed_and_not_called_unowned(conn: Connection) -> None:
    recorded.lay(conn, SCHEME, toy())
    here = plans.draft(conn, begin(conn, "Q"))
    assert plan_mend.proposals(here.cov) == []
    found = plan_faults.of_all(conn, here.base.cov, here.cov, [])
    assert [(one.kind, one.codes) for one in found] == [("outside_parent", ("P1",))]
    with pytest.raises(BadInput, match="nothing to mend"):
        plan_mend.accept(conn, PLANNER, here.plan.id, "all")


def test_in_a_scope_that_holds_both_it_has_an_owner(conn: Connection) -> None:
    recorded.lay(conn, SCHEME, toy())
    with pytest.raises(NotFound, match="has an owner"):
        plans.take(conn, PLANNER, begin(conn, "U"), TAKING[0])


def test_a_file_that_draws_over_a_grid_outside_is_refused(conn: Connection) -> None:
    recorded.lay(conn, SCHEME, toy())
    cov = plans.draft(conn, begin(conn, "Q")).cov
    columns = {"code": ["Q1"], "parent": ["Q"], "name": ["Q1"]}
    found = plan_files.bring(cov, gpd.GeoDataFrame(columns, geometry=[block(10, 0, 20, 10)], crs=4326))
    assert found.step is None
    ((kind, codes, area),) = [(one.kind, one.codes, one.area_m2) for one in found.faults]
    assert (kind, codes) == ("overlap", ("P1", "Q1"))
    assert area == pytest.approx(coverage.areas_m2(STRAY)[0], rel=1e-6)


def test_grids_outside_that_were_split_since_are_both_named(conn: Connection) -> None:
    recorded.lay(conn, SCHEME, toy())
    mine = begin(conn, "Q")
    plan = begin(conn, "P")
    line = {"type": "LineString", "coordinates": [[11.99, 50.0501], [12.14, 50.05]]}
    plans.take(conn, PLANNER, plan, {"op": "split", "code": "P1", "line": line})
    through(conn, plan)
    again = begin(conn, "Q")
    halves = {
        "op": "split",
        "code": "Q1",
        "line": {"type": "LineString", "coordinates": [[12.15, 49], [12.15, 51]]},
    }
    for one in (mine, again):
        assert plan_mend.proposals(plans.draft(conn, one).cov) == []
        plans.take(conn, PLANNER, one, halves)
    with pytest.raises(Faulty, match=r"P\w+ \(15\d+\.\d\d m²\), P\w+ \(15\d+\.\d\d m²\)"):
        plans.take(conn, PLANNER, again, {**TAKING[0], "to": max(plans.changed(plans.draft(conn, again)))})
    through(conn, again)
    assert overlaps(conn) == {}


def test_a_publication_refuses_what_a_step_let_through(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drafts drawn before grids outside counted, and grids that stray into the scope since."""
    recorded.lay(conn, SCHEME, toy())
    plan = begin(conn, "Q")
    monkeypatch.setattr(plan_outside, "refuse_new", lambda *_: None)
    plans.take(conn, PLANNER, plan, TAKING[0])
    monkeypatch.undo()
    named = r"P1, Q1 overlap by 31865\d\d m²"
    for act in (publishing.submit, plans.submit):
        with pytest.raises(Faulty, match=named):
            act(conn, plan)
    later = {
        "submitted": partial(publishing.approve, conn, CHIEF),
        "approved": partial(publishing.publish, conn),
    }
    for state, act in later.items():
        newest = plan_store.newest(conn)
        plan_store.update(conn, plan, state=state, approved_against=newest)
        with pytest.raises(Faulty, match=named):
            act(plan)
    assert overlaps(conn) == {}


def test_an_overlap_that_stood_before_is_no_new_fault(conn: Connection) -> None:
    recorded.lay(conn, SCHEME, toy(whole=True))
    before = overlaps(conn)
    assert set(before) == {("P1", "Q1")}
    plan = begin(conn, "Q")
    line = {"type": "LineString", "coordinates": [[12.11, 49], [12.11, 51]]}
    plans.take(conn, PLANNER, plan, {"op": "split", "code": "Q1", "line": line})
    through(conn, plan)
    assert sum(overlaps(conn).values()) == pytest.approx(sum(before.values()), rel=1e-6)


def test_a_grid_that_will_have_the_ground_counts_from_now_on(conn: Connection) -> None:
    """A map of a later day is published: the plan would hold on that day as well."""
    rows = [(c, p, block(0, 0, 10, 10) if c == "P1" else s) for c, p, s in toy()]
    recorded.lay(conn, SCHEME, rows)
    assert plan_mend.proposals(plans.draft(conn, begin(conn, "Q")).cov) != []
    plan = begin(conn, "U", date(2099, 1, 1))
    plans.take(conn, PLANNER, plan, {**TAKING[0], "to": "P1"})
    through(conn, plan)
    mine = begin(conn, "Q")
    assert plan_mend.proposals(plans.draft(conn, mine).cov) == []
    with pytest.raises(Faulty, match="owner outside the scope: P1"):
        plans.take(conn, PLANNER, mine, TAKING[0])


def test_an_upper_grid_gets_no_ground_of_its_level_outside(conn: Connection) -> None:
    """P1 strays into W, where its parent does not reach: handed to Q1, the ground would be drawn into Q."""
    stray = block(8, 10, 10, 12)
    rows = [("U", None, block(0, 0, 20, 10)), ("W", None, block(0, 10, 20, 20)),
            ("P", "U", block(0, 0, 10, 10)), ("Q", "U", block(10, 0, 20, 10)),
            ("V", "W", block(0, 10, 20, 20)), ("P1", "P", block(0, 0, 10, 10) | stray),
            ("Q1", "Q", block(10, 0, 20, 10)), ("V1", "V", block(0, 10, 20, 20) - stray)]  # fmt: skip
    recorded.lay(conn, SCHEME, rows)
    plan = begin(conn, "U")
    step = {"op": "assign", "to": "Q1", "area": mapping(block(7.9, 8, 10, 12.1))}
    with pytest.raises(Faulty, match=r"outside the scope: V \(3\d{6}\.\d\d m²\)"):
        plans.take(conn, PLANNER, plan, step)
    below = {**step, "area": mapping(block(7.9, 7, 10, 9.9))}
    plans.take(conn, PLANNER, plan, below)
    through(conn, plan)
    assert overlaps(conn) == {}


def strayed(rng: np.random.Generator) -> recorded.Rows:
    """Two townships of four villages, which stray into each other, leave ground unowned and overlap."""
    villages = {f"{p}{i}": cell(2 * (p == "Q") + i % 2, i // 2) for p in "PQ" for i in range(4)}
    for _ in range(rng.integers(1, 4)):
        x, y, (w, h) = rng.uniform(1.6, 2.1), rng.uniform(-0.1, 1.7), rng.uniform(0.1, 0.6, 2)
        bite = shapely.affinity.rotate(cell(x, y, w, h), rng.uniform(0, 90)) & cell(0, 0, 4, 2)
        left = bite if rng.random() < 0.7 else shapely.affinity.translate(bite, rng.normal(0, 1e-3))
        to = f"{rng.choice(['P', 'Q'])}{rng.integers(4)}" if rng.random() < 0.8 else ""
        beside = bite.intersects(villages[to]) if to else False
        villages = {c: v | bite if c == to and beside else v - left for c, v in villages.items()}
    rows: recorded.Rows = [("C", None, cell(0, 0, 4, 2)), ("P", "C", cell(0, 0, 2, 2))]
    return [*rows, ("Q", "C", cell(2, 0, 2, 2)), *((code, code[0], v) for code, v in villages.items())]


def publication(conn: Connection, rng: np.random.Generator) -> tuple[bool, bool]:
    """Lay a town, draw in a township, publish; whether it was, and whether others had ground there."""
    recorded.lay(conn, SCHEME, strayed(rng))
    before = overlaps(conn)
    plan = begin(conn, str(rng.choice(["P", "Q"])))
    outside = bool(plans.draft(conn, plan).cov.outside)
    for _ in range(4):
        step = _step(plans.draft(conn, plan).cov, rng)
        _tried(conn, partial(plans.take, conn, PLANNER, plan, step))
    _tried(conn, lambda: plan_mend.accept(conn, PLANNER, plan, "all"))
    published = _tried(conn, lambda: through(conn, plan))
    after = overlaps(conn)
    assert sum(after.values()) <= sum(before.values()) + 5, (before, after)
    return published, outside


def _step(cov: Coverage, rng: np.random.Generator) -> dict[str, Any]:
    """A step at random, or one that gives a piece of ground that seems unowned to a grid."""
    spare = [p for key in spare_keys(cov) for p in shapely.get_parts(cov.shapes[key])]
    if not spare or rng.random() < 0.3:
        return _as_json(random_step(cov, rng, 8))
    at = coverage.to_degrees(spare[int(rng.integers(len(spare)))].representative_point())
    to = str(rng.choice([code for code in cov.shapes if is_grid(code)]))
    return {"op": "give", "to": to, "at": [at.x, at.y]}


def _tried(conn: Connection, act: Any) -> bool:
    try:
        with conn.begin_nested():
            act()
    except Problem:
        return False
    return True


SEEDS = [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 300))]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_grids_of_a_level_get_ground_in_common(conn: Connection, seed: int) -> None:
    publication(conn, np.random.default_rng(seed))
