"""Plans: a tree of steps in the store; undo restores byte for byte, and nothing is lost by a logout."""

import pytest
import shapely
from sqlalchemy.engine import Connection, Engine

from gis import plan_base, plan_store, plans
from gis.access import COMMAND, Principal, enter
from gis.errors import Problem
from gis.settle import Coverage
from tests import town

PLANNER = Principal("planner", name="planner", full_role="planner")


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for n, place in enumerate([(0.5, 0.5), (1.5, 0.5), (2.5, 0.5), (4.5, 1.5)]):
            town.add_building(conn, batch, f"{n}", town.at(*place))


@pytest.fixture
def asking(conn: Connection) -> Connection:
    enter(conn, COMMAND)
    return conn


def begin(conn: Connection, scope: str = "T") -> int:
    return plans.create(conn, PLANNER, scope, "t", None, None).id


def halve(code: str, column: float) -> dict[str, object]:
    ends = [town.at(column, -1), town.at(column, 6)]
    return {"op": "split", "code": code, "line": {"type": "LineString", "coordinates": ends}}


def wkb(cov: Coverage) -> dict[str, bytes]:
    return {code: bytes(shapely.to_wkb(shape)) for code, shape in cov.shapes.items()}


def test_a_step_is_stored_and_survives_the_process(asking: Connection) -> None:
    plan = begin(asking)
    done = plans.take(asking, PLANNER, plan, halve("T1a", 1))
    (new,) = set(done.changes) - {"T1a"}
    assert done.changes[new][0] is None
    kept = wkb(plans.draft(asking, plan).cov)
    plan_base._KEPT._kept.clear()
    assert wkb(plans.draft(asking, plan).cov) == kept
    assert plan_store.ids_of(asking, "safety", [new])[new]


def test_undo_and_redo_restore_byte_for_byte(asking: Connection) -> None:
    plan = begin(asking)
    seen = [wkb(plans.draft(asking, plan).cov)]
    for step in (halve("T1a", 1), {"op": "merge", "codes": ["T1b", "T1c"]}, halve("T2e", 4)):
        plans.take(asking, PLANNER, plan, step)
        seen.append(wkb(plans.draft(asking, plan).cov))
    for before in reversed(seen[:-1]):
        plans.undo(asking, plan)
        plan_base._KEPT._kept.clear()
        assert wkb(plans.draft(asking, plan).cov) == before
    assert plan_store.grids_of(asking, plan) == {}
    with pytest.raises(Problem, match="nothing is left to undo"):
        plans.undo(asking, plan)
    for after in seen[1:]:
        plans.redo(asking, plan)
        plan_base._KEPT._kept.clear()
        assert wkb(plans.draft(asking, plan).cov) == after
