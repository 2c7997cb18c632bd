"""Plans: a tree of steps in the store; undo restores byte for byte, and nothing is lost by a logout."""

from importlib import import_module

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import plan_base, plan_store, plans
from gis.access import COMMAND, Principal, enter
from gis.errors import BadInput, Problem, Unconfirmed
from gis.schema_plans import plan_changes
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
    assert plan_store.ids_of(asking, "safety", [new]) == {}


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


def test_steps_of_before_get_their_mark(asking: Connection) -> None:
    """Revision 18 finds in SQL what `plan_outlines.is_bent` does: what merely got vertices."""
    plan = begin(asking)
    slanted = [town.at(-1, 1.5003), town.at(2.5, 1.5017)]
    plans.take(
        asking, PLANNER, plan, halve("T1a", 1) | {"line": shapely.LineString(slanted).__geo_interface__}
    )
    plans.take(asking, PLANNER, plan, {"op": "rename", "code": "T2d", "name": "d"})
    told = plan_store.steps(asking, plan, None, 9)
    assert told[1]["bent"]
    asking.execute(plan_changes.update().values(bent=False))
    assert not plan_store.steps(asking, plan, None, 9)[1]["bent"]
    asking.execute(sa.text(import_module("gis.migrations.versions.0018_bent_grids")._BENT))
    assert plan_store.steps(asking, plan, None, 9) == told


def codes(conn: Connection) -> set[str]:
    return set(plan_store.used_codes(conn, "safety"))


def zigzag(pieces: int) -> dict[str, object]:
    xs = np.linspace(0.05, 1.95, 2 * pieces).tolist()
    places = [(-1, -0.4), *((x, 0.4 * (-1) ** i) for i, x in enumerate(xs)), (2.5, -0.4)]
    return {
        "op": "split",
        "code": "T1a",
        "line": {"type": "LineString", "coordinates": [town.at(*p) for p in places]},
    }


def test_an_undone_try_costs_no_code(asking: Connection) -> None:
    before = codes(asking)
    plan = begin(asking)
    for _ in range(3):
        with pytest.raises(Unconfirmed):
            plans.take(asking, PLANNER, plan, zigzag(60))
        made = plans.take(asking, PLANNER, plan, zigzag(60) | {"confirm_pieces": 100}).changes
        assert sum(old is None for old, _ in made.values()) > 50
        plans.undo(asking, plan)
    plans.take(asking, PLANNER, plan, halve("T1a", 1))
    assert codes(asking) == before
    plans.submit(asking, plan)
    (new,) = codes(asking) - before
    assert not new.startswith("~")
    assert {new, "T1a"} <= set(plans.draft(asking, plan).cov.grids)
    assert plan_store.steps(asking, plan, None, 1)[0]["op"] == "recode"


def test_two_drafts_get_different_codes_and_one_keeps_its_own(asking: Connection) -> None:
    one, other = begin(asking), begin(asking)
    for plan, code in ((one, "T1a"), (other, "T1c")):
        plans.take(asking, PLANNER, plan, halve(code, 1 if code == "T1a" else 5))
    plans.submit(asking, one)
    plans.submit(asking, other)
    new = [
        set(plans.draft(asking, plan).cov.grids) - set(plans.draft(asking, plan, at=0).cov.grids)
        for plan in (one, other)
    ]
    assert all(len(codes) == 1 for codes in new)
    assert new[0] != new[1]
    plans.reopen(asking, one)
    plans.take(asking, PLANNER, one, halve("T2e", 4))
    before = codes(asking)
    plans.submit(asking, one)
    assert new[0] <= set(plans.draft(asking, one).cov.grids)
    assert len(codes(asking) - before) == 1


def test_a_code_that_was_named_is_refused_where_it_was_given(asking: Connection) -> None:
    one, other = begin(asking), begin(asking)
    for plan in (one, other):
        plans.take(asking, PLANNER, plan, halve("T1a", 1) | {"into": ["X1"]})
    plans.submit(asking, one)
    with pytest.raises(Problem, match="X1 was given elsewhere"):
        plans.submit(asking, other)
    late = begin(asking)
    for name in ("X1", "T1c", "a\x1fb"):
        with pytest.raises(BadInput, match="used before"):
            plans.take(asking, PLANNER, late, halve("T1a", 1) | {"into": [name]})


def test_names_of_new_grids_run_on_or_are_given(asking: Connection) -> None:
    plan = begin(asking)
    plans.take(asking, PLANNER, plan, halve("T1a", 1))
    plans.take(asking, PLANNER, plan, halve("T1c", 5) | {"names": ["东区"]})
    names = {grid.name for code, grid in plans.draft(asking, plan).cov.grids.items() if code.startswith("~")}
    assert names == {"网格T1a 2", "东区"}
