"""The lowest grids of a draft as a table: what each has, and how far it lies from the wanted range."""

from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import impact
from gis.case import HouseholdRange
from gis.impact import Points
from gis.plan_around import near
from gis.plan_base import ground_of
from gis.plans import Draft
from gis.schema import buildings
from gis.settle import is_grid


def rows(conn: Connection, here: Draft, wanted: HouseholdRange | None = None) -> list[dict[str, Any]]:
    """Return each lowest grid's code, households, buildings, area in m², and households out of the range.

    `off` is negative below the range, positive above it, 0 within. Buildings are counted by their points.
    """
    bounds = wanted or HouseholdRange()
    all_ground = ground_of(here.cov, here.base.ground, here.base.cov)
    ground = {code: shape for code, shape in all_ground.items() if is_grid(code)}
    points = _houses(conn, list(ground.values()))
    table = impact.workload(ground, {"households": points, "buildings": Points(points.lon, points.lat)})
    homes = table["households"]
    table["off"] = (homes - bounds.high).clip(lower=0) + (homes - bounds.low).clip(upper=0)
    found = table.round(2).reset_index().sort_values("code").to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]


def _houses(conn: Connection, shapes: list[Any]) -> Points:
    """The points of the buildings near shapes (EPSG:4326), weighed by their households."""
    at, homes = buildings.c.point, sa.func.coalesce(buildings.c.households, 0)
    found = near(conn, at, (sa.func.ST_X(at), sa.func.ST_Y(at), homes), shapes)
    lon, lat, weights = (np.array([row[n] for row in found], dtype=float) for n in (1, 2, 3))
    return Points(lon, lat, weights)
