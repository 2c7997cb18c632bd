"""How long a publication takes: a grid split at its county's outline, and a coast in a map of 8,000 grids.

`uv run python -m bench.publications [--scope 430202] [--rounds 3] [--coast 8000] [--old]`, on a loaded demo;
all is rolled back. `--old` also finds the neighbours by the whole outline, as was done before. Seconds by the
wall and of the process's own CPU: on a busy machine only the second says something, and not what PostgreSQL
takes.
"""

import argparse
import cProfile
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import coverage, db, plans, publishing
from gis.access import COMMAND, Principal, enter
from gis.schema import grids
from gis.settle import Coverage, Grid
from gis.spare import cover
from gis.tolerances import MATCH_UNITS
from tests import recorded
from tests.towns import town

LIMITS_S = {"county": 2.0, "coast": 5.0}
AUTHOR = Principal("planner", name="bench", full_role="planner")
APPROVER = Principal("approver", name="bench too", full_role="approver")
SCHEME = "bench"


@contextmanager
def rolled_back(conn: Connection) -> Iterator[None]:
    """Take back whatever is written."""
    inner = conn.begin_nested()
    yield
    inner.rollback()


def across(cov: Coverage, code: str) -> dict[str, object]:
    """A step that splits a grid from its middle to the outline of the coverage, and beyond."""
    shape = cov.shapes[code]
    outer = shapely.intersection(shape.boundary, cov.outline().boundary)
    edge = max(shapely.get_parts(shapely.line_merge(outer)), key=shapely.length)
    at = np.array(edge.interpolate(0.5, normalized=True).coords[0])
    middle = np.array(shape.point_on_surface().coords[0])
    line = shapely.LineString([at + (at - middle) * 0.05, middle + (middle - at) * 30])
    return {"op": "split", "code": code, "line": shapely.geometry.mapping(coverage.to_degrees(line))}


def at_the_border(cov: Coverage) -> str:
    """The lowest grid with the longest stretch of the coverage's outline."""
    line = cov.outline().boundary
    near = [c for c in cov.near(line) if c in cov.grids]
    return max(near, key=lambda c: shapely.intersection(cov.shapes[c].boundary, line).length)


def timed(conn: Connection, scope: str, scheme: str | None, *, profile: bool) -> dict[str, float]:
    """Seconds of beginning a plan, of its step, of handing it over and of publishing it."""
    spent = {}
    began = time.perf_counter()

    def stop(name: str) -> None:
        nonlocal began
        spent[name] = time.perf_counter() - began
        began = time.perf_counter()

    plan = plans.create(conn, AUTHOR, scope, "bench", None, scheme).id
    cov = plans.draft(conn, plan).cov
    stop("begin")
    step = across(cov, at_the_border(cov))
    stop("choose")
    plans.take(conn, AUTHOR, plan, step)
    stop("step")
    plans.submit(conn, plan)
    plans.approve(conn, APPROVER, plan)
    stop("submit")
    profiler, cpu = cProfile.Profile(), time.process_time()
    if profile:
        profiler.enable()
    publishing.publish(conn, plan)
    profiler.disable()
    spent["publish, CPU"] = time.process_time() - cpu
    stop("publish")
    if profile:
        profiler.print_stats("cumulative")
    return spent


def by_outline(conn: Connection, cov: Coverage, scheme: str) -> tuple[float, int]:
    """Seconds of finding the neighbours by the whole outline, and how many candidates that reads."""
    edge = sa.func.ST_GeomFromWKB(shapely.to_wkb(coverage.to_degrees(cov.outline()).boundary), 4326)
    reach = MATCH_UNITS * coverage.PRECISION
    query = sa.select(sa.func.count()).where(
        grids.c.scheme == scheme, sa.func.upper_inf(grids.c.known),
        grids.c.geom.op("&&")(sa.func.ST_Expand(edge, reach)), sa.func.ST_DWithin(grids.c.geom, edge, reach),
    )  # fmt: skip
    began = time.perf_counter()
    return (count := int(conn.execute(query).scalar_one())) and (time.perf_counter() - began, count)


def coast(conn: Connection, count: int) -> str:
    """A made map of so many grids of 24 vertices with a ragged coast, in two counties; the western one."""
    side = int(np.ceil(np.sqrt(count)))
    made = {code: coverage.to_degrees(shape) for code, shape in town(side, bends=5).items()}
    lowest = [Grid(code, 3, "W" if int(code[:2]) < side // 2 else "E") for code in made]
    cov = cover([*lowest, Grid("W", 2, "C"), Grid("E", 2, "C"), Grid("C", 1)], made)
    rows = [(code, grid.parent, cov.geometry(code)) for code, grid in cov.grids.items()]
    recorded.add_scheme(conn, SCHEME, 3)
    recorded.lay(conn, SCHEME, sorted(rows, key=lambda row: cov.grids[row[0]].level))
    return "W"


def main() -> None:
    """Publish several times, and say the median against the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scope", default="430202")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--coast", type=int, default=8000)
    parser.add_argument("--old", action="store_true", help="also ask by the whole outline")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    with db.make_engine(db.url()).connect() as conn:
        enter(conn, COMMAND)
        for name, scope, scheme in (("county", args.scope, None), ("coast", None, SCHEME)):
            if (name == "county" and not args.scope) or (name == "coast" and not args.coast):
                continue
            with rolled_back(conn):
                there = scope or coast(conn, args.coast)
                _say(conn, name, there, scheme, args)
        conn.rollback()


def _say(conn: Connection, name: str, scope: str, scheme: str | None, args: argparse.Namespace) -> None:
    rounds = []
    for _ in range(args.rounds):
        with rolled_back(conn):
            rounds.append(timed(conn, scope, scheme, profile=args.profile))
    middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    print(name, scope, {key: round(value, 3) for key, value in middle.items()}, f"limit {LIMITS_S[name]} s")
    if args.old:
        plan = plans.create(conn, AUTHOR, scope, "bench", None, scheme)
        seconds, count = by_outline(conn, plans.draft(conn, plan.id).cov, plan.scheme)
        print(f"  by the whole outline: {seconds:.3f} s, {count} candidates")


if __name__ == "__main__":
    main()
