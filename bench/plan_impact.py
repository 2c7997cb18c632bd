"""The impact of a draft of 100 grids over a whole city, in seconds against the two that are allowed.

`SAFETYMAP_DATA_DIR=… uv run python -m bench.plan_impact [--grids 100] [--rounds 5]`; everything is rolled
back. The draft moves ground across borders between unit grids spread over the city.
"""

import argparse
import cProfile
import statistics
import time

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import coverage, db, plan_base, plans
from gis.access import COMMAND, Principal, enter
from gis.errors import Problem
from gis.plan_impact import Impact
from gis.schema import buildings, cameras, grids, incidents
from gis.settle import Coverage, is_grid

LIMIT_S = 2.0
PLANNER = Principal("planner", name="bench", full_role="planner")


def crossing(cov: Coverage, rng: np.random.Generator) -> dict[str, object] | None:
    """A step that gives the ground around the middle of a border to the neighbour."""
    leaves = sorted(filter(is_grid, cov.shapes))
    one = leaves[rng.integers(len(leaves))]
    near = [c for c in cov.near(cov.shapes[one]) if c != one and is_grid(c)]
    other = near[rng.integers(len(near))]
    border = shapely.line_merge(shapely.intersection(cov.shapes[one].boundary, cov.shapes[other].boundary))
    if border.is_empty or border.length < 1:
        return None
    place = coverage.to_degrees(border.interpolate(0.5, normalized=True))
    disc = shapely.geometry.mapping(place.buffer(0.0006, quad_segs=4))
    return {"op": "assign", "to": other, "area": disc}


def draft(conn: Connection, wanted: int) -> int:
    """A plan over the city that changes so many grids."""
    top = conn.execute(sa.select(grids.c.code).where(grids.c.parent_code.is_(None))).scalar_one()
    plan = plans.create(conn, PLANNER, top, "bench", None, None).id
    rng, there = np.random.default_rng(1), set[str]()
    while len(there) < wanted:
        step = crossing(plans.draft(conn, plan).cov, rng)
        try:
            with conn.begin_nested():
                there |= set(plans.take(conn, PLANNER, plan, step).changes) if step else set()
        except Problem:
            continue
    return plan


def weigh(conn: Connection, plan: int) -> tuple[float, float, dict[str, int]]:
    """Seconds by the wall and of our own CPU for counts, lists, work and lineage together, and the counts."""
    began, cpu = time.perf_counter(), time.process_time()
    found = Impact(conn, plans.draft(conn, plan))
    counts = found.counts()
    for kind in counts:
        if kind != "households":
            found.listed(kind, 0, 100)
    found.workload()
    return time.perf_counter() - began, time.process_time() - cpu, counts


def main() -> None:
    """Draw once, weigh several times: with the draft kept by the process, and read from the store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    with db.make_engine(db.url()).connect() as conn:
        enter(conn, COMMAND)
        sizes = {t.name: conn.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in (
            buildings, cameras, incidents, grids)}  # fmt: skip
        print(sizes)
        began = time.perf_counter()
        plan = draft(conn, args.grids)
        there = len(plans.changed(plans.draft(conn, plan)))
        print(f"drawn in {time.perf_counter() - began:.1f} s, {there} grids")
        if args.profile:
            cProfile.runctx("weigh(conn, plan)", globals(), {"conn": conn, "plan": plan}, sort="cumtime")
        kept = [weigh(conn, plan) for _ in range(args.rounds)]
        for drafts in [key for key in plan_base._KEPT._kept if key[0] == "draft"]:  # noqa: SLF001
            del plan_base._KEPT._kept[drafts]  # noqa: SLF001
        cold, _, counts = weigh(conn, plan)
        times, cpu = sorted(s for s, _, _ in kept), statistics.median(s for _, s, _ in kept)
        print(counts)
        print(f"{statistics.median(times):.2f} s ({times[0]:.2f}-{times[-1]:.2f}, n={len(times)}), "
              f"{cold:.2f} s with the draft read anew; limit {LIMIT_S} s, "
              f"ratio {LIMIT_S / statistics.median(times):.1f}; {cpu:.2f} s of our own CPU")  # fmt: skip
        conn.rollback()


if __name__ == "__main__":
    main()
