"""A publication changes no area that no step draws: unowned ground, stray children, contested outlines."""

from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection, Engine

from gis import coverage, plan_faults, plans, publishing, publishing_proof, schema_plans
from gis.access import COMMAND, Principal, enter
from gis.errors import PublicationSlow, Unexplained
from gis.importing import staging
from gis.plan_impact import Impact
from gis.settings import settings
from gis.settle import Coverage
from tests import recorded
from tests.recorded import Rows

SCHEME = "proof"
ANN = Principal("planner", name="ann", full_role="planner")
CHIEF = Principal("approver", name="chief", full_role="approver")


def box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """A rectangle by hundredths of a degree from 113 E, 27 N."""
    return shapely.box(113 + west / 100, 27 + south / 100, 113 + east / 100, 27 + north / 100)


def line(*places: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [(113 + x / 100, 27 + y / 100) for x, y in places]}


@pytest.fixture
def asking(conn: Connection) -> Connection:
    recorded.add_scheme(conn, SCHEME, 3, default=True)
    enter(conn, COMMAND)
    return conn


def published(conn: Connection, scope: str, *steps: dict[str, Any]) -> publishing.Published:
    plan = plans.create(conn, ANN, scope, "t", None, SCHEME).id
    for step in steps:
        plans.take(conn, ANN, plan, step)
    plans.submit(conn, plan)
    plans.approve(conn, CHIEF, plan)
    return publishing.publish(conn, plan)


P1, P2 = ("A", "P", box(0, 0, 1, 1)), ("B", "P", box(1, 0, 2, 1))
MAPS: dict[str, Rows] = {
    "a third of the parent is nobody's": [("P", None, box(0, 0, 3, 1)), P1, P2],
    "a hole in the middle": [
        ("P", None, box(0, 0, 2, 1)), ("A", "P", box(0, 0, 1, 1).difference(box(0.2, 0.2, 0.4, 0.4))), P2,
    ],
    "nobody's ground of the county": [
        ("C", None, box(0, 0, 4, 1)), ("P", "C", box(0, 0, 2, 1)), P1, P2,
    ],
    "nobody's ground at two levels, side by side": [
        ("C", None, box(0, 0, 5, 1)), ("P", "C", box(0, 0, 3, 1)), P1, P2,
    ],
    "the parent does not reach its child": [
        ("C", None, box(0, 0, 4, 1)), ("P", "C", box(0, 0.1, 2, 1)), P1, P2, ("Q", "C", box(2, 0, 4, 1)),
        ("D", "Q", box(2, 0, 4, 1)),
    ],
    "two parents contest their border": [
        ("C", None, box(0, 0, 4, 1)), ("P", "C", box(0, 0, 2.3, 1)), P1, P2, ("Q", "C", box(2, 0, 4, 1)),
        ("D", "Q", box(2, 0, 4, 1)),
    ],
    "the county does not reach its child, with nobody's ground beside": [
        ("C", None, box(0, 0.1, 4, 1)), ("P", "C", box(0, 0, 3, 1)), P1, P2,
    ],
}  # fmt: skip
SPLIT = {"op": "split", "code": "A", "line": line((0.4, -1), (0.5003, 2))}
BEND = {"op": "split", "code": "B", "line": line((0.5, 0.30001), (2.5, 0.70003))}


def by_metres(one: dict[str, BaseGeometry], other: dict[str, BaseGeometry]) -> dict[str, float]:
    """By how many m² grids differ, those that are on both sides."""
    both = sorted(set(one) & set(other))
    odd = [shapely.symmetric_difference(one[code], other[code]) for code in both]
    return dict(zip(both, coverage.areas_m2(odd).tolist(), strict=True))


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("steps", [[SPLIT], [BEND], [SPLIT, BEND]], ids=["A", "B", "A and B"])
def test_upper_grids_keep_their_ground(asking: Connection, name: str, steps: list[dict[str, Any]]) -> None:
    """M1 and its kind: P fell from 3,275,898 m² to 2,183,932 as soon as its outline got a vertex."""
    recorded.lay(asking, SCHEME, MAPS[name])
    before = recorded.polygons(asking, SCHEME)
    published(asking, MAPS[name][0][0], *steps)
    after = recorded.polygons(asking, SCHEME)
    named = {str(step["code"]) for step in steps}
    differ = by_metres(before, after)
    assert {code: m2 for code, m2 in differ.items() if code not in named and m2 > 20} == {}
    whole = {code: coverage.areas_m2(shape)[0] for code, shape in before.items()}
    assert all(differ[code] < 1e-5 * whole[code] for code in set(differ) - named)
    new = set(after) - set(before)
    for code in named:
        halves = shapely.union_all([after[c] for c in {code, *new}]) if len(steps) == 1 else None
        assert halves is None or coverage.areas_m2(halves.symmetric_difference(before[code]))[0] < 20


def test_a_recorded_polygon_takes_over_vertices_within_it(asking: Connection) -> None:
    """P ends where its second child begins; a line from that border back to it leaves P's ground alone."""
    a = shapely.Polygon([(113, 27), (113.01, 27), (113.0111113, 27.01), (113, 27.01)])
    b = shapely.Polygon([(113.01, 27), (113.02, 27), (113.02, 27.01), (113.0111113, 27.01)])
    rows = [("C", None, box(0, 0, 2, 1)), ("P", "C", a), ("A", "P", a), ("B", "P", b)]
    recorded.lay(asking, SCHEME, rows)
    round_about = line((1.2, 0.3), (0.5, 0.3), (0.5, 0.7), (1.2, 0.7))
    published(asking, "C", {"op": "split", "code": "A", "line": round_about})
    after = recorded.polygons(asking, SCHEME)
    halves = shapely.union_all([after[code] for code in set(after) - {"B", "C", "P"}])
    assert len(after) == 5
    assert after["P"].symmetric_difference(halves).area == 0
    assert after["P"].intersection(after["B"]).area == 0


def test_what_an_upper_grid_gains_is_in_impact_lineage_and_faults(asking: Connection) -> None:
    rows = [*MAPS["two parents contest their border"]]
    rows[1] = ("P", "C", box(0, 0, 2, 1))
    recorded.lay(asking, SCHEME, rows)
    plan = plans.create(asking, ANN, "C", "t", None, SCHEME).id
    step = {"op": "reshape", "codes": ["B", "D"], "line": line((2, 0), (2.4, 0.5), (2, 1))}
    plans.take(asking, ANN, plan, step)
    here = plans.draft(asking, plan)
    uppers = Impact(asking, here).uppers
    assert {one["code"]: one["area_m2_after"] - one["area_m2_before"] for one in uppers} == {
        "P": pytest.approx(219_400, rel=0.01), "Q": pytest.approx(-219_400, rel=0.01)}  # fmt: skip
    moved = plan_faults.of_uppers(here.base.cov, here.cov)
    assert sorted(fault.codes for fault in moved) == [("P",), ("Q",)]
    plans.submit(asking, plan)
    plans.approve(asking, CHIEF, plan)
    done = publishing.publish(asking, plan)
    table = schema_plans.lineage.c
    found = asking.execute(
        sa.select(table.before_code, table.after_code).where(table.revision == done.revision)
    )
    assert {("Q", "P"), ("D", "B")} <= {tuple(row) for row in found}


def test_a_publication_that_would_take_ground_is_refused(
    asking: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is independent of how shapes are derived: with the old rule it refuses with code and area."""
    recorded.lay(asking, SCHEME, MAPS["a third of the parent is nobody's"])
    bare = Coverage.ground
    monkeypatch.setattr(
        Coverage, "ground", lambda self, code: [k for k in bare(self, code) if not k.startswith("\x1f")]
    )
    monkeypatch.setattr(Coverage, "_summed", lambda self, code: [self.shape(k) for k in self.children[code]])
    with pytest.raises(Unexplained, match=r"grid P would change by -10997\d\d") as refused:
        published(asking, "P", SPLIT)
    (one,) = refused.value.told["changes"]
    assert one["code"] == "P"
    assert one["difference_m2"] == pytest.approx(-1_099_731, rel=0.01)


def test_a_lowest_grid_that_no_step_draws_is_refused() -> None:
    was, grown = (coverage.to_units(shape) for shape in (box(0, 0, 1, 1), box(0, 0, 1, 1.0001)))
    proof = publishing_proof.Proof(frozenset())
    proof.follows("N", was, grown)
    with pytest.raises(Unexplained, match="grid N would change by"):
        proof.refuse()


def test_a_publication_has_its_own_limit_and_words(
    asking: Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.lay(asking, SCHEME, MAPS["a hole in the middle"])
    monkeypatch.setattr(settings(), "publication_timeout_ms", 20)
    with engine.begin() as other:
        staging.lock(other, "grids")
        with pytest.raises(PublicationSlow, match="nothing was written"):
            published(asking, "P", SPLIT)
