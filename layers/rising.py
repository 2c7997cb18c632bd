"""Places that hold more of late than their own past and the city's days would bring, across all grids."""

from dataclasses import dataclass, replace
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.cells import Cells
from gis.city import the_city
from gis.db import columns
from gis.errors import BadInput
from layers.began import comparable
from layers.counts import cell_column
from layers.expecting import closed_period
from layers.periods import DAY, last_moment, length
from layers.served import Served
from layers.silent_areas import SilentArea, set_aside
from layers.stats.scan import ring_zones
from layers.stats.space_time import Cylinder, space_time
from layers.view import View, wanted_incidents

STUDY_DAYS, FEWEST_DAYS = 84, 28
"""Days whose order is exchanged; fewer say too little of what is usual in a place."""
WINDOWS = (1, 2, 3, 5, 7, 14, 28)
RINGS, PERMUTATIONS, LEVEL = 3, 999, 0.05
_ROUNDED = 1e-6
MOST = 20_000
"""More incidents are not exchanged."""


@dataclass(frozen=True)
class Rising:
    """Cylinders that chance does not explain, with the cells of each, its centre first."""

    found: list[tuple[Cylinder, Cells]]
    incidents: int
    """With a place, in the study."""
    study_days: int
    start: datetime
    end: datetime
    aside: list[SilentArea]
    """Areas that were silent in a part of the study: they are left out."""


def rising(conn: Connection, view: View, res: int) -> Rising:
    """Return where incidents gather in the days before a view's end, by the space-time permutation scan.

    Local days are studied, STUDY_DAYS of them or as many as there are records after the first, those of a
    pause not counted. Raises BadInput for fewer than FEWEST_DAYS, or for more than MOST incidents.
    """
    span, zone = comparable(conn, view), ZoneInfo(the_city(conn).timezone)
    closed = closed_period(replace(view, start=None), span)
    assert closed.start
    assert closed.end
    last = last_moment(closed.end).astimezone(zone).date()
    known_from = closed.start.astimezone(zone).date() + DAY
    first = max(last - (STUDY_DAYS - 1) * DAY, known_from)
    days = (last - first).days + 1
    start, end = datetime.combine(first, time(), zone), closed.end
    if days > 0:
        days -= int(length(start, end) / DAY - span.days(start, end) + _ROUNDED)
    if days < FEWEST_DAYS:
        raise BadInput("to", f"records hold {max(days, 0)} whole days before this; {FEWEST_DAYS} are needed")
    aside = set_aside(conn, view, (start, end))
    kept = replace(closed, start=start, end=end, without=tuple(one.code for one in aside))
    cell, ago = _read(conn, kept, res, last)
    if len(cell) > MOST:
        told = f"{len(cell):,} incidents are more than {MOST:,}"
        raise BadInput("category", f"{told}; ask for a category or an area")
    return Rising(_scanned(cell, ago), len(cell), days, start, end, aside)


def _read(conn: Connection, view: View, res: int, last: date) -> tuple[Cells, np.ndarray]:
    """Return the cell of each placed incident of a view, and how many local days before the last it was."""
    zone = the_city(conn).timezone
    day = sa.cast(sa.func.timezone(zone, t.incidents.c.occurred_at), sa.Date)
    column = cell_column(res)
    query = sa.select(column.label("cell"), (sa.cast(last, sa.Date) - day).label("ago"))
    cell, ago = columns(conn, query.where(column.is_not(None), *wanted_incidents(view)), np.uint64, np.int64)
    return cell, ago


def _scanned(cell: Cells, ago: np.ndarray) -> list[tuple[Cylinder, Cells]]:
    """Scan zones around the cells that held an incident lately."""
    known, place = np.unique(cell, return_inverse=True)
    if not len(known):
        return []
    of = Served(known, h3.areas_m2(known), np.ones(len(known)))
    lately = np.unique(place[ago < WINDOWS[-1]])
    zones = ring_zones([of.disc(k)[lately] for k in range(RINGS + 1)])
    found = space_time(place, ago, zones, WINDOWS, permutations=PERMUTATIONS)
    told = [one for one in found if one.p <= LEVEL]
    return [(one, _members(one, zones.members[[one.zone]].indices, known, lately)) for one in told]


def _members(one: Cylinder, inside: np.ndarray, known: Cells, lately: np.ndarray) -> Cells:
    centre = known[lately[one.zone % len(lately)]]
    rest = np.setdiff1d(known[inside], [centre])
    return np.concatenate([[centre], rest]).astype(np.uint64)
