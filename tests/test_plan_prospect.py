"""What is told before approval is what the publication writes, whatever others published meanwhile."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import db, grids, plan_store, plans, publishing, schema, schema_plans
from gis.access import COMMAND, Principal, enter
from gis.errors import BadInput, Conflicted, Problem
from gis.grids import Asked, Wish
from gis.plan_impact import Impact
from gis.plan_prospect import prospect
from tests.steps import take_steps

ANN = Principal("planner", name="ann", full_role="planner")
BOB = Principal("planner", name="bob", full_role="planner")
CHIEF = Principal("approver", name="chief", full_role="approver")


@pytest.fixture(scope="module")
def city(demo: str) -> Iterator[Engine]:
    made = db.make_engine(demo)
    yield made
    made.dispose()


@pytest.fixture
def conn(city: Engine) -> Iterator[Connection]:
    with city.connect() as connection:
        enter(connection, COMMAND)
        yield connection
        connection.rollback()


def scope_of(conn: Connection) -> str:
    """The upper grid two levels above the lowest with the most of them below."""
    g = schema.grids.c
    deepest = sa.select(sa.func.max(g.level)).scalar_subquery()
    below = sa.select(g.parent_code).where(g.level == deepest).group_by(g.parent_code)
    fullest = below.order_by(sa.func.count().desc(), g.parent_code).limit(1).scalar_subquery()
    return str(conn.execute(sa.select(g.parent_code).where(g.code == fullest).limit(1)).scalar_one())


def drawn(conn: Connection, who: Principal, scope: str, seed: int, steps: int, **more: object) -> int:
    plan = plans.create(conn, who, scope, "t", more.get("on"), None).id  # type: ignore[arg-type]
    # Renumbering is of every grid: all of them would be in conflict, and nothing else.
    take_steps(conn, who, plan, steps, seed=seed, size=300, without="renumber")
    return plan


def publish(conn: Connection, plan: int) -> int:
    plans.submit(conn, plan)
    plans.approve(conn, CHIEF, plan)
    return publishing.publish(conn, plan).revision


def owners(conn: Connection, asked: Asked) -> dict[int, tuple[str, int]]:
    """Every building's lowest grid, and its households: by PostGIS, the lesser code on a border."""
    g, b = schema.grids.c, schema.buildings.c
    deepest = sa.select(sa.func.max(g.level)).where(grids.current(asked)).scalar_subquery()
    owner = sa.func.min(g.code)
    joined = schema.buildings.join(schema.grids, sa.func.ST_Covers(g.geom, b.point))
    query = sa.select(b.id, owner, sa.func.coalesce(b.households, 0)).select_from(joined)
    rows = conn.execute(query.where(grids.current(asked), g.level == deepest).group_by(b.id))
    return {row[0]: (row[1], row[2]) for row in rows}


def decide(conn: Connection, plan: int, takes: list[str]) -> set[str]:
    """Decide all conflicts, by turns; the takes that were used."""
    used = set()
    for turn in range(60):
        left = publishing.conflicts(conn, plan)
        if not left:
            return used
        one, _ = left[0]
        for choice in (takes[turn % len(takes)], "theirs", "mine"):
            try:
                with conn.begin_nested():
                    publishing.resolve(conn, plan, one.code, choice)
                used.add(choice)
                break
            except BadInput:
                continue
    raise AssertionError("conflicts without end")


CASES = [
    pytest.param(1, [], 0, False, id="nobody else"),
    pytest.param(2, ["mine"], 1, False, id="mine"),
    pytest.param(3, ["theirs"], 1, False, id="theirs"),
    pytest.param(4, ["mine", "theirs"], 3, False, id="mixed, three publications"),
    pytest.param(5, ["mine", "theirs"], 2, True, id="a later map too"),
]


@pytest.mark.parametrize(("seed", "takes", "others", "later"), CASES)
def test_what_the_approver_reads_is_what_is_written(
    conn: Connection, seed: int, takes: list[str], others: int, later: bool
) -> None:
    scope = scope_of(conn)
    today = grids.resolve(conn, Wish()).on
    plan = drawn(conn, ANN, scope, seed, 6)
    for n in range(others):
        publish(conn, drawn(conn, BOB, scope, 100 * seed + n, 6))
    if later:
        publish(conn, drawn(conn, BOB, scope, 100 * seed + 50, 3, on=today + timedelta(days=40)))
    assert bool(publishing.conflicts(conn, plan)) == bool(takes)
    assert decide(conn, plan, takes) >= set(takes)
    plans.submit(conn, plan)
    there = prospect(conn, plan)
    assert there.is_final
    told = Impact(conn, there.here)
    counts, moved, lineage = told.counts(), told.moved, told.lineage
    loads = {row["code"]: row["after"] and row["after"]["households"] for row in told.workload()}
    plans.approve(conn, CHIEF, plan)
    revision = publishing.publish(conn, plan).revision
    before, after = (owners(conn, Asked("safety", today, known)) for known in (revision - 1, revision))
    wanted = {one: (before[one][0], after[one][0]) for one in after if before[one][0] != after[one][0]}
    mine = moved[moved["layer"] == "buildings"]
    assert dict(zip(mine["id"], zip(mine["before"], mine["after"], strict=True), strict=True)) == wanted
    assert (counts["buildings"], counts["households"]) == (len(wanted), sum(after[one][1] for one in wanted))
    sums: dict[str, int] = {}
    for code, homes in after.values():
        sums[code] = sums.get(code, 0) + homes
    assert {c: n for c, n in loads.items() if n is not None} == {
        c: sums.get(c, 0) for c, n in loads.items() if n is not None
    }
    t = schema_plans.lineage
    rows = conn.execute(sa.select(t).where(t.c.revision == revision)).all()
    written = {(r.before_code, r.after_code): (r.kind, r.area_share, r.household_share) for r in rows}
    columns = [lineage[name] for name in ("before", "after", "kind", "area_share", "household_share")]
    assert {(a, b): rest for a, b, *rest in zip(*columns, strict=True)} == {
        k: list(v) for k, v in written.items()
    }
    assert written
    again = Impact(conn, prospect(conn, plan).here)
    assert {**again.counts(), "staff": 0} == {**counts, "staff": 0}, "a published plan tells what it did"


def _halved(conn: Connection, who: Principal, plan: int, code: str, *, across: bool) -> None:
    x0, y0, x1, y1 = plans.draft(conn, plan).cov.geometry(code).bounds
    x, y, far = (x0 + x1) / 2, (y0 + y1) / 2, 0.001
    ends = [(x0 - far, y), (x1 + far, y)] if across else [(x, y0 - far), (x, y1 + far)]
    line = {"type": "LineString", "coordinates": ends}
    plans.take(conn, who, plan, {"op": "split", "code": code, "line": line, "confirm_pieces": 9})


def _plan(conn: Connection, who: Principal, code: str, *, across: bool, on: object = None) -> int:
    plan = plans.create(conn, who, scope_of(conn), "t", on, None).id  # type: ignore[arg-type]
    _halved(conn, who, plan, code, across=across)
    return plan


def _lowest(conn: Connection) -> list[str]:
    scope = scope_of(conn)
    plan = plans.create(conn, ANN, scope, "t", None, None).id
    cov = plans.draft(conn, plan).cov
    return sorted(cov.leaves(scope), key=lambda code: -cov.shape(code).area)


def test_decisions_hold_when_new_grids_get_their_codes(conn: Connection) -> None:
    """Decided before the plan is handed over, while its halves have labels."""
    one, *_ = _lowest(conn)
    bob, ann = (_plan(conn, who, one, across=who is BOB) for who in (BOB, ANN))
    publish(conn, ann)
    assert publishing.resolve(conn, bob, one, "mine") == []
    plans.submit(conn, bob)
    assert publishing.conflicts(conn, bob) == []


def test_what_is_published_elsewhere_leaves_an_approval_as_it_is(conn: Connection) -> None:
    one, other, *_ = _lowest(conn)
    bob = _plan(conn, BOB, one, across=True)
    plans.submit(conn, bob)
    publishing.approve(conn, CHIEF, bob, plan_store.newest(conn))
    publish(conn, _plan(conn, ANN, other, across=False))
    publishing.publish(conn, bob)


def test_an_approval_does_not_hold_for_another_effect(conn: Connection) -> None:
    """Bob names two grids; once Ann gave one of them the same name, his plan does less than was approved."""
    one, other, *_ = _lowest(conn)
    bob = plans.create(conn, BOB, scope_of(conn), "t", None, None).id
    for code, name in ((one, "甲"), (other, "乙")):
        plans.take(conn, BOB, bob, {"op": "rename", "code": code, "name": name})
    plans.submit(conn, bob)
    seen = plan_store.newest(conn)
    publishing.approve(conn, CHIEF, bob, seen)
    named = plans.create(conn, ANN, scope_of(conn), "t", None, None).id
    plans.take(conn, ANN, named, {"op": "rename", "code": other, "name": "乙"})
    publish(conn, named)
    for act in (lambda: publishing.publish(conn, bob), lambda: publishing.approve(conn, CHIEF, bob, seen)):
        with pytest.raises(Problem, match=f"changed since revision {seen}.*{other} otherwise"):
            act()
    publishing.approve(conn, CHIEF, bob, prospect(conn, bob).known)
    assert one in publishing.publish(conn, bob).changed


def test_a_later_map_is_told_as_one(conn: Connection) -> None:
    one, *_ = _lowest(conn)
    later = grids.resolve(conn, Wish()).on + timedelta(days=30)
    publish(conn, _plan(conn, ANN, one, across=False, on=later))
    bob = _plan(conn, BOB, one, across=True)
    assert not prospect(conn, bob).is_final
    with pytest.raises(Conflicted, match=f"^the map that holds from {later} on, .*has {one} otherwise"):
        publishing.submit(conn, bob)
