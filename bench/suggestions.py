"""Suggestions on every scope of a loaded city: what is torn or faulty, what comes into range, and why not.

`python -m bench.suggestions [--database URL] [--levels 2,3] [--low 300 --high 500] [--only CODE]`. Each scope
is planned, balanced and submitted in a transaction that is rolled back. Torn grids and overlaps are counted
by shapely on the polygons as they would be published, apart from the code that draws them.
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import db, plan_faults, plan_suggest, plans
from gis.access import COMMAND, Principal, enter
from gis.errors import Problem
from gis.schema import grids
from gis.settle import Coverage, is_grid

PLANNER = Principal("planner", name="bench", full_role="planner")


@dataclass(frozen=True)
class Outcome:
    """What came of one scope; `told` is why it could not be submitted, "" if it could."""

    grids: int
    before: int
    after: int
    torn: int
    faults: int
    told: str
    seconds: float
    moved: float
    reasons: Counter[str]


def parts(cov: Coverage) -> dict[str, int]:
    """How many parts each lowest grid has."""
    return {
        code: int(shapely.get_num_geometries(shape)) for code, shape in cov.shapes.items() if is_grid(code)
    }


def doubled(cov: Coverage) -> float:
    """Square units that the grids cover twice or not at all: what their areas and their union differ by."""
    shapes = np.array(list(cov.shapes.values()), dtype=object)
    return abs(float(shapely.area(shapes).sum() - shapely.union_all(shapes).area))


def outcome(conn: Connection, scope: str, low: float, high: float, *, across: bool) -> Outcome:
    """Balance one scope and say what came of it."""
    plan = plans.create(conn, PLANNER, scope, "bench", None, None).id
    base = plans.draft(conn, plan).cov
    began = time.process_time()
    done = plan_suggest.rebalance(conn, PLANNER, plan, None, low, high, across=across)
    seconds = time.process_time() - began
    now = plans.draft(conn, plan).cov
    was, told = parts(base), ""
    torn = sum(count > was.get(code, 1) for code, count in parts(now).items())
    new = plan_faults.new_errors(base, now)
    if done.steps:
        try:
            plans.submit(conn, plan)
        except Problem as problem:
            told = str(problem)
    reasons = Counter(one.reason for one in done.unresolved)
    for one in done.skipped[:2]:
        print("   skipped:", one[:160])
    print("  ", Counter(step["op"] for step in done.taken), len(done.skipped), "skipped")
    twice = doubled(now) > doubled(base) + 1
    return Outcome(
        done.grids[1], done.in_range[0], done.in_range[1], torn, len(new) + twice, told, seconds,
        done.moved_share, reasons,
    )  # fmt: skip


def scopes(conn: Connection, levels: list[int], only: str | None) -> list[str]:
    """The codes of the grids of some levels in force today."""
    g = grids.c
    now = sa.and_(sa.func.upper_inf(g.known), g.valid.contains(sa.func.current_date()))
    query = sa.select(g.code).where(now, g.level.in_(levels)).order_by(g.code)
    return [code for code in conn.execute(query).scalars() if only is None or code.startswith(only)]


def main() -> None:
    """One line per scope, then the sum of each level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database")
    parser.add_argument("--levels", default="3")
    parser.add_argument("--only")
    parser.add_argument("--low", type=float, default=300)
    parser.add_argument("--high", type=float, default=500)
    parser.add_argument("--across", action="store_true")
    args = parser.parse_args()
    engine = db.make_engine(args.database or db.url())
    for level in map(int, args.levels.split(",")):
        found: list[Outcome] = []
        with engine.connect() as conn:
            codes = scopes(conn, [level], args.only)
        for scope in codes:
            with engine.connect() as conn:
                enter(conn, COMMAND)
                try:
                    one = outcome(conn, scope, args.low, args.high, across=args.across)
                except Problem as problem:
                    print(f"{scope}: {problem}")
                    continue
                finally:
                    conn.rollback()
            found.append(one)
            print(f"{scope}: {one}", flush=True)
        whole = sum((one.reasons for one in found), Counter[str]())
        print(
            f"level {level}: {len(found)} scopes of {len(codes)}; {sum(o.grids for o in found)} grids;"
            f" torn {sum(o.torn for o in found)}, faults {sum(o.faults for o in found)},"
            f" refused {sum(bool(o.told) for o in found)}; in range {sum(o.before for o in found)}"
            f" -> {sum(o.after for o in found)}; {sum(o.seconds for o in found):.0f} s; {dict(whole)}"
        )


if __name__ == "__main__":
    main()
