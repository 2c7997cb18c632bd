"""Suggestions on every scope of a loaded city: what is torn or faulty, what comes into range, and why not.

`uv run --with gerrychain python -m bench.suggestions [--database URL] [--levels 2,3] [--low 300 --high 500]
[--only CODE] [--gerrychain SECONDS] [--chicago]`. Each scope is planned, balanced and submitted; all is
rolled back. Torn grids and overlaps are counted by shapely on the polygons as they would be published, apart
from the code that draws them. `--gerrychain` lets GerryChain draw each scope anew from the same atoms, for so
many seconds at most. `--chicago` takes the beats of Chicago's districts in the place of the city's grids; no
open data has its households: the incidents of 2018 stand for them, by the place they are known by.
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bench.gerrychain_peer import Drawn, drawn
from bench.publications import rolled_back
from gis import cells, db, plan_faults, plan_suggest, plans
from gis.access import COMMAND, Principal, enter
from gis.errors import Problem
from gis.schema import batches, grids, schemes
from gis.settings import settings
from gis.settle import Coverage, is_grid
from tests import recorded

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


def by_child(
    conn: Connection,
    base: Coverage,
    now: Coverage,
    scope: str,
    span: tuple[float, float],
    out: dict[str, str],
) -> None:
    """One line for each grid below a scope: its grids, in range before and after, and why the rest is not.

    `out` are the reasons by code. Households before are counted from the site, after by what is told.
    """
    codes = sorted(base.leaves(scope))
    site = plan_suggest.site_of(conn, base, codes)
    homes = dict(zip(codes, np.bincount(site.grid, site.households, len(codes)).tolist(), strict=True))
    for child in now.children[scope]:
        was, there = base.leaves(child), now.leaves(child)
        fit = sum(span[0] <= homes[code] <= span[1] for code in was)
        left = Counter(out[code] for code in there if code in out)
        good = len(there) - left.total()
        print(f"   {child}: {len(was)} -> {len(there)} grids, in range {fit} -> {good}; {dict(left)}")


def parts(cov: Coverage) -> dict[str, int]:
    """How many parts each lowest grid has."""
    return {
        code: int(shapely.get_num_geometries(shape)) for code, shape in cov.shapes.items() if is_grid(code)
    }


def doubled(cov: Coverage) -> float:
    """Square units that the grids cover twice or not at all: what their areas and their union differ by."""
    shapes = np.array(list(cov.shapes.values()), dtype=object)
    return abs(float(shapely.area(shapes).sum() - shapely.union_all(shapes).area))


def outcome(
    conn: Connection, scope: str, scheme: str | None, low: float, high: float, *, across: bool
) -> Outcome:
    """Balance one scope and say what came of it."""
    plan = plans.create(conn, PLANNER, scope, "bench", None, scheme).id
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
    if base.children[scope][0] in base.children:
        by_child(conn, base, now, scope, (low, high), {one.code: one.reason for one in done.unresolved})
    for one in done.skipped[:2]:
        print("   skipped:", one[:160])
    print("  ", Counter(step["op"] for step in done.taken), len(done.skipped), "skipped")
    twice = doubled(now) > doubled(base) + 1
    return Outcome(
        done.grids[1], done.in_range[0], done.in_range[1], torn, len(new) + twice, told, seconds,
        done.moved_share, reasons,
    )  # fmt: skip


def peer(conn: Connection, scope: str, scheme: str | None, low: float, high: float, limit_s: float) -> Drawn:
    """What GerryChain makes of the same atoms."""
    plan = plans.create(conn, PLANNER, scope, "bench", None, scheme).id
    here = plans.draft(conn, plan)
    codes = sorted(here.cov.leaves(scope))
    site = plan_suggest.site_of(conn, here.cov, codes)
    ground = plan_suggest.Work(conn, here, codes, site, np.arange(len(codes))).ground
    return drawn(ground.households, ground.pairs, low, high, limit_s)


def scopes(conn: Connection, level: int, scheme: str | None, only: str | None) -> list[str]:
    """The codes of the grids of a level in force today, of a scheme (the default one)."""
    g = grids.c
    now = sa.and_(sa.func.upper_inf(g.known), g.valid.contains(sa.func.current_date()))
    named = scheme or sa.select(schemes.c.name).where(schemes.c.is_default).scalar_subquery()
    query = sa.select(g.code).where(now, g.level == level, g.scheme == named).order_by(g.code)
    return [code for code in conn.execute(query).scalars() if only is None or code.startswith(only)]


CHICAGO = "chicago"


def lay_chicago(conn: Connection) -> str:
    """Record Chicago's districts and beats, and places of incidents in 2018 as buildings; the scheme."""
    folder = settings().realdata / "chicago"
    frame = gpd.read_parquet(folder / "grids.parquet").set_index("grid_id")
    rows = [
        (row.code, None if row.level == "city" else frame.code[row.parent_id], row.geometry)
        for level in ("city", "district", "sector", "beat")
        for row in frame[frame.level == level].itertuples()
    ]
    recorded.add_scheme(conn, CHICAGO, 4)
    recorded.lay(conn, CHICAGO, rows)
    known = pd.read_parquet(folder / "incidents.parquet", columns=["source_set", "lon", "lat"])
    places = (
        known[known.source_set == "cpd2018"].groupby(["lon", "lat"]).size().reset_index(name="households")
    )
    stamped = cells.stamp(places.lon.to_numpy(), places.lat.to_numpy())
    points = [f"SRID=4326;POINT({x} {y})" for x, y in zip(places.lon, places.lat, strict=True)]
    batch = conn.execute(sa.select(sa.func.max(batches.c.id))).scalar_one()
    made = places.assign(origin=CHICAGO, origin_id=places.index.astype(str), batch_id=batch, point=points)
    made = made.assign(geom=points, **{f"cell_{res}": column for res, column in stamped.items()})
    made = made.drop(columns=["lon", "lat"])
    with conn.connection.cursor().copy(f"COPY buildings ({', '.join(made.columns)}) FROM STDIN") as copy:
        for row in made.itertuples(index=False):
            copy.write_row(row)
    return CHICAGO


def _level(engine: sa.Engine, level: int, args: argparse.Namespace) -> None:
    """One line per scope of a level, then their sum."""
    found, peers, over = list[Outcome](), list[Drawn](), list[str]()
    with engine.connect() as conn:
        scheme = lay_chicago(conn) if args.chicago else None
        codes = scopes(conn, level, scheme, args.only)
        enter(conn, COMMAND)
        for scope in codes:
            with rolled_back(conn):
                try:
                    found.append(outcome(conn, scope, scheme, args.low, args.high, across=args.across))
                except Problem as problem:
                    over.append(scope)
                    print(f"{scope}: {problem}", flush=True)
                    continue
                print(f"{scope}: {found[-1]}", flush=True)
                if args.gerrychain:
                    peers.append(peer(conn, scope, scheme, args.low, args.high, args.gerrychain))
                    print(f"   GerryChain: {peers[-1]}", flush=True)
        conn.rollback()
    whole = sum((one.reasons for one in found), Counter[str]())
    print(
        f"level {level}: {len(found)} scopes of {len(codes)}; {sum(o.grids for o in found)} grids;"
        f" torn {sum(o.torn for o in found)}, faults {sum(o.faults for o in found)},"
        f" refused {sum(bool(o.told) for o in found)}; in range {sum(o.before for o in found)}"
        f" -> {sum(o.after for o in found)}; {sum(o.seconds for o in found):.0f} s; {dict(whole)}"
    )
    ended = [one for one in peers if not one.failed]
    print(
        f"GerryChain: {len(ended)} scopes of {len(peers)}; {sum(o.grids for o in ended)} grids,"
        f" {sum(o.in_range for o in ended)} in range; {Counter(one.failed for one in peers if one.failed)}"
    )


def main() -> None:
    """Balance every scope of some levels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database")
    parser.add_argument("--levels", default="3")
    parser.add_argument("--only")
    parser.add_argument("--low", type=float, default=300)
    parser.add_argument("--high", type=float, default=500)
    parser.add_argument("--across", action="store_true")
    parser.add_argument("--gerrychain", type=float, default=0, help="seconds for each scope")
    parser.add_argument("--chicago", action="store_true")
    args = parser.parse_args()
    engine = db.make_engine(args.database or db.url())
    for level in map(int, args.levels.split(",")):
        _level(engine, level, args)


if __name__ == "__main__":
    main()
