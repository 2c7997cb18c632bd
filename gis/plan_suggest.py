"""A suggestion as steps of a draft: unit grids brought into the wanted number of households."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import coverage, locate, plans, suggest
from gis.access import Principal
from gis.errors import BadInput, Problem
from gis.plan_around import near, surroundings
from gis.plans import Draft
from gis.schema import buildings

MOST_BUILDINGS = 20_000
"""Buildings that one suggestion looks at: a few seconds' work."""


@dataclass(frozen=True)
class Suggested:
    """The steps taken, why others were not, the share of households moved, and grids still out of range."""

    steps: list[int]
    skipped: list[str]
    moved_share: float
    unresolved: list[str]


def rebalance(
    conn: Connection, who: Principal, plan_id: int, under: str | None, low: float, high: float
) -> Suggested:
    """Take the steps that bring the lowest grids under a grid (the scope) into a range of households.

    Raises BadInput for an empty range, or where there are more than MOST_BUILDINGS buildings.
    """
    here = plans.draft(conn, plan_id, lock=True)
    plans.demand(here.plan, "draft")
    codes = sorted(here.cov.leaves(under or here.plan.scope))
    lon, lat, weight, unit = _houses(conn, here, codes)
    shapes = {code: here.cov.geometry(code) for code in codes}
    barriers = surroundings(conn, shapes.values()).barriers
    pairs = suggest.adjacency(lon, lat, list(barriers))
    parents = {parent: n for n, parent in enumerate(sorted({here.cov.grids[c].parent or "" for c in codes}))}
    above = np.array([parents[here.cov.grids[code].parent or ""] for code in codes])
    found = suggest.rebalance(weight, unit, pairs, low, high, above)
    before, after = (np.array(codes, dtype=object)[of] for of in (unit, found.unit))
    proposed = suggest.as_steps(list(before), list(after), lon, lat, shapes)
    steps, skipped = _taken(conn, who, plan_id, proposed)
    return Suggested(steps, skipped, found.moved_share, [codes[i] for i in found.unresolved])


def _houses(conn: Connection, here: Draft, codes: list[str]) -> tuple[Any, Any, Any, Any]:
    """The buildings of grids: lon, lat, households, and the place of their grid among `codes`."""
    b = buildings.c
    shapes = [here.cov.geometry(code) for code in codes]
    columns = (sa.func.ST_X(b.point), sa.func.ST_Y(b.point), sa.func.coalesce(b.households, 0))
    rows = near(conn, b.point, columns, shapes)
    _, lon, lat, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True)) if rows else (
        np.zeros(0) for _ in range(4)
    )  # fmt: skip
    unit, _ = locate.locate(shapes, codes, lon, lat)
    mine = unit >= 0
    if not 3 < np.count_nonzero(mine) <= MOST_BUILDINGS:
        told = f"{np.count_nonzero(mine)} buildings stand there; name a grid with 4 to {MOST_BUILDINGS}"
        raise BadInput("under", told)
    if set(unit[mine].tolist()) != set(range(len(codes))):
        empty = codes[min(set(range(len(codes))) - set(unit[mine].tolist()))]
        raise BadInput("under", f"grid {empty} holds no building; merge it first, or name another grid")
    return lon[mine], lat[mine], weight[mine], unit[mine]


def _taken(
    conn: Connection, who: Principal, plan_id: int, proposed: Sequence[dict[str, Any]]
) -> tuple[list[int], list[str]]:
    """Take steps one after the other; those that cannot be drawn are left out, with the reason."""
    steps, skipped = [], []
    for step in proposed:
        area = orjson.loads(shapely.to_geojson(shapely.set_precision(step["area"], coverage.PRECISION)))
        try:
            with conn.begin_nested():
                steps.append(plans.take(conn, who, plan_id, {**step, "area": area}).step)
        except Problem as problem:
            skipped.append(f"to {step['to']}: {problem}")
    return steps, skipped
