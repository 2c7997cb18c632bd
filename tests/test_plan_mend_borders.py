"""Mending across upper grids: what lies between two of them, and ground that passes from one to another."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import coverage, grids, mend, plan_faults, plan_mend, plans, publishing, schema
from gis.access import Principal
from gis.grids import Wish
from gis.plan_mend import Accepted
from tests import recorded

SCHEME = "borders"
PLANNER = Principal("planner", name="ann", full_role="planner")
CHIEF = Principal("approver", name="chief", full_role="approver")
CELL_M = 300


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    yield from recorded.with_scheme(engine, SCHEME, 3)


def broken(seed: int) -> recorded.Rows:
    """Eight by four cells in two by two quarters that were dissolved of them; faults at chance borders.

    Every kind lies at least once between two quarters: a gap, an overlap, and a loose piece in a slot.
    """
    rng = np.random.default_rng(seed)
    side = round(CELL_M / 111_320 * 1e7)
    at = {
        (x, y): shapely.box(x * side, y * side, (x + 1) * side, (y + 1) * side)
        for x in range(8)
        for y in range(4)
    }
    where = [((x, y), (x + 1, y)) for y in range(4) for x in range(7)]
    between, inner = [p for p in where if p[0][0] == 3], [p for p in where if p[0][0] in {0, 2, 4, 6}]
    rng.shuffle(between)
    rng.shuffle(inner)
    for kind, (one, other) in zip("gos" + "gosgo", [*between[:3], *inner[:5]], strict=True):
        x, y = at[other].bounds[0], (at[one].bounds[1] + at[one].bounds[3]) // 2
        a, b = (int(v) for v in rng.integers(20, 120, 2))
        if kind == "g":
            hole = shapely.box(x - a, y - 300, x + b, y + 300)
            at[one], at[other] = at[one].difference(hole), at[other].difference(hole)
        elif kind == "o":
            at[one] = at[one].union(shapely.box(x - a, y - 300, x + b, y + 300))
        else:
            slot = shapely.box(x + 8000, y - 20, x + 8900, y + 20)
            at[one], at[other] = at[one].union(slot), at[other].difference(slot)
    name = {key: f"c{key[0]}{key[1]}" for key in at}
    parent = {name[x, y]: f"q{x // 4}{y // 2}" for x, y in at}
    lowest = {name[key]: shape for key, shape in at.items()}
    quarters = mend.dissolved(lowest, parent)
    top = mend.dissolved(quarters, dict.fromkeys(quarters, "t"))
    rows = [("t", None, top["t"]), *((q, "t", shape) for q, shape in quarters.items())]
    rows += [(code, parent[code], shape) for code, shape in lowest.items()]
    return [(code, above, coverage.to_degrees(shape)) for code, above, shape in rows]


def stored(conn: Connection) -> dict[str, tuple[str | None, shapely.Geometry]]:
    g = schema.grids.c
    rows = conn.execute(
        sa.select(g.code, g.parent_code, sa.func.ST_AsBinary(g.geom)).where(
            grids.current(grids.resolve(conn, Wish(SCHEME)))
        )
    )
    return {row[0]: (row[1], shapely.from_wkb(bytes(row[2]))) for row in rows}


def m2(shape: shapely.Geometry) -> float:
    """Square metres of what is wider than a unit."""
    return float(coverage.areas_m2(np.array([shapely.buffer(shape, -1e-7)], dtype=object)).sum())


@pytest.mark.parametrize("accepted", ["sure", "all"])
@pytest.mark.parametrize("seed", range(4))
def test_a_plan_of_accepted_proposals_is_sound_and_publishable(
    conn: Connection, seed: int, accepted: Accepted
) -> None:
    recorded.lay(conn, SCHEME, broken(seed))
    before = stored(conn)
    plan = plans.create(conn, PLANNER, "t", "t", None, SCHEME).id
    cov = plans.draft(conn, plan).cov
    done = plan_mend.accept(conn, PLANNER, plan, accepted)
    assert done.skipped == {}
    kinds = {(p.kind, len({before[c][0] for c in (*p.codes, p.to)})) for p in done.taken}
    assert kinds >= {("gap", 2), ("overlap", 2), ("loose_piece", 2)}, "between two quarters as well"
    for one in done.taken:
        losing, gains = {before[code][0] for code in one.codes}, {before[one.to][0]}
        if one.kind != "gap":
            wanted = losing - gains if one.kind == "overlap" else losing ^ gains
            assert plan_mend.uppers(cov, one) == sorted(wanted)
    here = plans.draft(conn, plan)
    found = plan_faults.of_all(conn, here.base.cov, here.cov, plans.changed(here))
    assert [f.kind for f in found if f.severity == "error"] == []
    assert plan_mend.proposals(here.cov) == []
    publishing.submit(conn, plan)
    publishing.approve(conn, CHIEF, plan)
    publishing.publish(conn, plan)
    _recount(before, stored(conn), [p.shape for p in done.taken])


def _recount(before: dict, after: dict, proposed: Sequence[shapely.Geometry]) -> None:
    """Shapely's own: no overlap, upper grids are their children, and nothing else moved."""
    assert set(after) == set(before)
    parents = {parent for parent, _ in after.values()}
    lowest = {code: shape for code, (_, shape) in after.items() if code not in parents}
    whole = shapely.union_all(list(lowest.values()))
    assert m2(after["t"][1].symmetric_difference(whole)) == 0
    assert sum(map(m2_whole, lowest.values())) == pytest.approx(m2_whole(whole), abs=0.01)
    for parent in parents - {None}:
        children = shapely.union_all([shape for above, shape in after.values() if above == parent])
        assert m2(after[parent][1].symmetric_difference(children)) == 0, parent
    there = shapely.union_all([coverage.to_degrees(shape) for shape in proposed])
    for code, (_, shape) in after.items():
        assert m2(shape.symmetric_difference(before[code][1]).difference(there)) == 0, code


def m2_whole(shape: shapely.Geometry) -> float:
    return float(coverage.areas_m2(np.array([shape], dtype=object)).sum())
