"""Undo in a plan of 10,000 steps: milliseconds against the 150 that are allowed, and what it restores.

`uv run python -m bench.undo [--steps 10000] [--undos 100]`, in a database of its own. The plan begins with
renamings written at once, as taking them would have left them; the last steps are random redrawing. Timed is
what the route does: the transaction, the changed grids as GeoJSON, and their faults; wall and own CPU time.
"""

import argparse
import json
import time
import uuid
from dataclasses import replace

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url

from api import planning
from bench.prove_interleavings import as_json, prepare
from gis import db, plan_base, plan_store, plans
from gis.access import COMMAND, Principal, enter
from gis.errors import Problem
from gis.migrate import migrate
from gis.plan_diff import version_of
from gis.settle import Coverage
from tests.steps import random_step

LIMIT_MS = 150.0
PLANNER = Principal("planner", name="bench", full_role="planner")


def state(cov: Coverage) -> dict[str, bytes]:
    """The ground of every lowest grid, byte for byte."""
    return {code: bytes(shapely.to_wkb(shape)) for code, shape in cov.shapes.items()}


RENAMED = sa.text(
    """
WITH chain AS (SELECT n, nextval(pg_get_serial_sequence('plan_steps', 'id')) AS id
               FROM generate_series(1, :count) n ORDER BY n),
steps AS (INSERT INTO plan_steps (id, plan_id, parent, op, params, author)
  SELECT id, :plan, lag(id) OVER (ORDER BY n), 'rename',
    jsonb_build_object('code', 'T1c', 'name', n::text), 'b'
  FROM chain),
changes AS (INSERT INTO plan_changes
    (step_id, code, plan_id, before, before_shape, after, after_shape, was_base)
  SELECT id, 'T1c', :plan,
    CASE WHEN n = 1 THEN CAST(:grid AS jsonb) ELSE :grid || jsonb_build_object('name', (n - 1)::text) END,
    :shape, CAST(:grid AS jsonb) || jsonb_build_object('name', n::text), :shape, n = 1 FROM chain)
UPDATE plans SET head = (SELECT max(id) FROM chain) WHERE id = :plan
""".replace(":grid ||", "CAST(:grid AS jsonb) ||")
)


def rename(conn: Connection, plan: int, count: int) -> None:
    """Write so many renamings of one grid as steps."""
    there = version_of(plans.draft(conn, plan).cov, "T1c")
    assert there is not None
    grid = json.dumps(there.fields())
    conn.execute(RENAMED, {"plan": plan, "count": count, "grid": grid, "shape": shapely.to_wkb(there.shape)})
    plan_store.set_grids(conn, plan, {"T1c": replace(there, grid=replace(there.grid, name=str(count)))})


def draw(conn: Connection, plan: int, steps: int) -> list[dict[str, bytes]]:
    """Take random steps, and return the states before each."""
    rng, seen = np.random.default_rng(5), []
    while len(seen) < steps:
        cov = plans.draft(conn, plan).cov
        try:
            with conn.begin_nested():
                plans.take(conn, PLANNER, plan, as_json(random_step(cov, rng, 40)))
        except Problem:
            continue
        seen.append(state(cov))
    return seen


def undone(conn: Connection, plan: int) -> tuple[float, float]:
    """Milliseconds of one undo with its answer, by the wall and of our own CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    with conn.begin():
        enter(conn, COMMAND)
        planning.answer(conn, plans.undo(conn, plan), "wgs84")
    return (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000


def measure(conn: Connection, plan: int, seen: list[dict[str, bytes]], *, cold: bool) -> np.ndarray:
    """Milliseconds per undo, wall and CPU; each must restore what was there."""
    times = []
    for wanted in reversed(seen):
        if cold:
            for key in [key for key in plan_base._KEPT._kept if key[0] == "draft"]:  # noqa: SLF001
                del plan_base._KEPT._kept[key]  # noqa: SLF001
        times.append(undone(conn, plan))
        with conn.begin():
            enter(conn, COMMAND)
            assert state(plans.draft(conn, plan).cov) == wanted, "undo did not restore what was there"
    return np.array(times)


def main() -> None:
    """Draw, undo with the draft kept by the process and with it read anew, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--undos", type=int, default=100)
    args = parser.parse_args()
    name, server = f"bench_{uuid.uuid4().hex[:8]}", make_url(db.url())
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    engine = db.make_engine(server.set(database=name).render_as_string(hide_password=False))
    try:
        with engine.begin() as conn:
            migrate(conn)
        prepare(engine)
        with engine.connect() as conn:
            with conn.begin():
                enter(conn, COMMAND)
                plan = plans.create(conn, PLANNER, "T", "bench", None, None).id
                began = time.perf_counter()
                rename(conn, plan, args.steps - args.undos)
                seen = draw(conn, plan, args.undos)
            print(f"{args.steps} steps drawn in {time.perf_counter() - began:.0f} s")
            half = len(seen) // 2
            for told, part in (("kept", seen[half:]), ("read anew", seen[:half])):
                times = measure(conn, plan, part, cold=told != "kept")
                for kind, column in zip(("wall", "CPU"), times.T, strict=True):
                    p50, p95 = np.percentile(column, [50, 95])
                    print(f"draft {told}, {kind}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, n={len(column)}; "
                          f"limit {LIMIT_MS:.0f} ms, ratio {LIMIT_MS / p95:.1f}")  # fmt: skip
    finally:
        engine.dispose()
        with admin.connect() as conn:
            conn.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


if __name__ == "__main__":
    main()
