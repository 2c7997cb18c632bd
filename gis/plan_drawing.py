"""A lowest grid of a draft drawn anew from the streets and buildings of the store, as one step."""

from dataclasses import dataclass, replace

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import drawing, plan_store, plans
from gis.access import Principal
from gis.case import HouseholdRange
from gis.errors import BadInput
from gis.plan_around import BARRIERS, near
from gis.plans import Done
from gis.schema import buildings, roads

MOST_BUILDINGS = 20_000
"""Buildings that one drawing looks at: some seconds' work."""


@dataclass(frozen=True)
class Newly:
    """The step taken, the new grids with their households, and those out of range."""

    done: Done
    households: dict[str, int]
    unresolved: list[str]


def draw(
    conn: Connection,
    who: Principal,
    plan_id: int,
    code: str,
    low: int,
    high: int,
    head: int | None = plans.ANYWHERE,
) -> Newly:
    """Put units of `low` to `high` households, bounded by streets, in the place of one lowest grid.

    `head`: where whoever asks believes the plan to stand; a Problem where it has moved on. Raises BadInput
    for an empty range, a grid with others below it, or too many buildings.
    """
    here = plans.locked(conn, plan_id, head)
    if here.cov.grid(code).code not in here.cov.shapes:
        raise BadInput("code", f"grid {code} has grids below it; name one of those")
    if not 0 < low <= high:
        raise BadInput("low", "the range of households must not be empty")
    area = here.cov.geometry(code)
    b, r = buildings.c, roads.c
    at = (sa.func.ST_X(b.point), sa.func.ST_Y(b.point), sa.func.coalesce(b.households, 0))
    houses = np.array([row[1:] for row in near(conn, b.point, at, [area])], dtype=float).reshape(-1, 3)
    houses = houses[shapely.intersects_xy(area, houses[:, 0], houses[:, 1])]
    if len(houses) > MOST_BUILDINGS:
        raise BadInput("code", f"it has {len(houses)} buildings, more than {MOST_BUILDINGS}; split it first")
    lines = near(conn, r.geom, [sa.func.ST_AsBinary(r.geom), r["class"]], [area])
    streets, walls = (
        list(shapely.from_wkb([bytes(row[1]) for row in lines if (row[2] in BARRIERS) is wall]))
        for wall in (False, True)
    )
    drawn = drawing.new_area(area, streets, drawing.Houses(*houses.T), walls, HouseholdRange(low, high))
    used = plan_store.used_codes(conn, here.plan.scheme) - set(here.cov.grids)
    step, codes = drawing.as_step(replace(here.cov, retired=used), code, drawn)
    done = plans.take(conn, who, plan_id, step)
    counts = dict(zip(codes, drawn.households.round().astype(int).tolist(), strict=True))
    return Newly(done, counts, [codes[i] for i in drawn.unresolved])
