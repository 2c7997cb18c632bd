"""When incidents happen and whether they follow each other: profiles by hour and weekday, near repeats."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy.spatial import KDTree
from sqlalchemy.engine import Connection

from gis import crs
from gis import schema as t
from gis.city import the_city
from gis.db import columns
from gis.errors import BadInput
from layers import periods, spans
from layers.began import comparable
from layers.expecting import closed_period
from layers.stats.nearrepeat import SAME_PLACE, Knox, knox
from layers.stats.profiles import Profile, by_hour, by_week_hour, by_weekday
from layers.view import View, wanted_incidents
from layers.week_hours import hours_held

MOST_POINTS = 20_000
"""More incidents are not paired: the pairs near each other grow with the square."""
MOST_PAIRS = 1_000_000
MOST_DAYS = 3_660
"""Longer periods are not counted by day."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profiles:
    """Incidents by hour and weekday, in the city's own time."""

    hours: Profile
    weekdays: Profile
    week: Floats
    """Counts by weekday (row, Monday first) and hour, shape (7, 24)."""
    daily: Floats | None
    """Counts by local day from `first` on; None for more than MOST_DAYS."""
    first: date
    days: int
    """Local days that the period touches, from `first` on."""
    incidents: int
    """Those that begin in the period, spans included."""
    counted: float
    """What lies in the period, spans by the part of them: the sum of weekdays and of days."""
    without_hour: int
    """Of those that begin in it, known by the day alone: in `weekdays`, not in `hours` and `week`."""
    spread: int
    """Incidents known to lie in a span that reaches into the period, spread evenly over it."""
    start: datetime
    end: datetime


def profiles(conn: Connection, view: View) -> Profiles:
    """Return when a view's incidents happened, by the hours and days that its period holds."""
    zone = the_city(conn).timezone
    span = comparable(conn, view)
    view = closed_period(view, span)
    assert view.start
    assert view.end
    first, last = (_local(moment, zone) for moment in (view.start, periods.last_moment(view.end)))
    days = (last - first).days + 1
    held = sum(hours_held(*part, ZoneInfo(zone)) for part in span.parts(view.start, view.end))
    found = spans.read(conn, view)
    at, known = found.local_hours(zone), found.timed[~found.is_span]
    week = found.week(view.start, view.end, ZoneInfo(zone))
    daily = found.daily(view.start, view.end, days, ZoneInfo(zone)) if days <= MOST_DAYS else None
    weekdays = by_weekday(at, held, week)
    return Profiles(
        by_hour(at[known], held, week), weekdays, by_week_hour(at[known]) + week, daily,
        first, days, found.begun, float(weekdays.count.sum()),
        int((~known).sum()), int(found.is_span.sum()), view.start, view.end,
    )  # fmt: skip


def _local(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


@dataclass(frozen=True)
class Repeats:
    """Pairs of incidents by distance and time; the first row of `table` is the very same place."""

    table: Knox
    space_edges: list[float]
    time_edges: list[float]
    incidents: int
    start: datetime
    end: datetime


def near_repeats(
    conn: Connection, view: View, space: Sequence[float], time: Sequence[float], permutations: int
) -> Repeats:
    """Return how often incidents follow one another nearby, against chance, in half-open bands.

    `space` are the upper edges in metres, rising, `time` those in days; bands are [0, 0], (0, space[0]),
    [space[0], space[1]) ... and [0, time[0]) ... in whole local days, as an incident's hour is often unsure.
    Raises BadInput where there are more incidents or pairs than can be held against each other.
    """
    zone = the_city(conn).timezone
    view = closed_period(view, comparable(conn, view))
    i = t.incidents.c
    day = sa.cast(sa.func.timezone(zone, i.occurred_at), sa.Date) - sa.cast("1970-01-01", sa.Date)
    query = sa.select(sa.func.ST_X(i.geom).label("x"), sa.func.ST_Y(i.geom).label("y"), day.label("day"))
    wanted = [i.geom.is_not(None), *wanted_incidents(view)]
    number = conn.execute(sa.select(sa.func.count()).where(*wanted)).scalar_one()
    if number > MOST_POINTS:
        raise BadInput(
            "to",
            f"{number:,} incidents are more than {MOST_POINTS:,}; ask for a category, an area or less time",
        )
    lon, lat, days = columns(conn, query.where(*wanted), np.float64, np.float64, np.int64)
    xy = crs.to_metres(lon, lat)
    _check_pairs(xy, space[-1])
    table = knox(xy, days, (0, SAME_PLACE, *space), (0, *time), permutations=permutations)
    assert view.start
    assert view.end
    return Repeats(table, [0.0, *space], [0.0, *time], number, view.start, view.end)


def _check_pairs(xy: npt.NDArray[np.float64], reach: float) -> None:
    if not len(xy):
        return
    tree = KDTree(xy)
    pairs = (int(tree.count_neighbors(tree, reach)) - len(xy)) // 2
    if pairs > MOST_PAIRS:
        raise BadInput(
            "space", f"{pairs:,} pairs lie within {reach:g} m, more than {MOST_PAIRS:,}; ask for less"
        )
