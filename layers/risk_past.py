"""What a forecast of risk learns from: incidents and days, without those of what was silent."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import city
from gis.cells import Cells
from gis.db import columns
from gis.grids import owned
from gis.record_span import known_days, midnight
from gis.schema import incidents
from layers.began import in_use, is_filtered
from layers.counts import cell_column
from layers.silence import Silence
from layers.silent_areas import SilentArea, of_the_area, silent_areas
from layers.stats.forecast import MIN_PAST_DAYS, Past
from layers.view import View, wanted_incidents

Integers = npt.NDArray[np.int64]
_ANCIENT = datetime(1900, 1, 1, tzinfo=UTC)
PARTS = (5, 6, 7, 8)
"""Resolutions of the parts that may change by themselves, on any boundaries: of 250, 36, 5 and 0.7 km²."""


def past_of(conn: Connection, view: View, res: int, known: Cells, left_out: Collection[str]) -> Past:
    """Read which cell and which local day each incident belongs to; days without any record are gaps.

    Nothing is learned from areas that have ended, but of one that is asked about itself: what it held up to
    its end. Incidents of the whole city are read whatever the area, so that areas add up to it.
    """
    zone, i = ZoneInfo(city.the_city(conn).timezone), incidents.c
    observed = days_in_use(conn, view, left_out)
    end = _own_end(conn, view, observed)
    used = _without_silent_areas(conn, view, observed if end is None else observed[observed < end])
    gone: tuple[str, ...] = ()
    if end is None and observed.size:
        silent = silent_areas(conn, view)
        gone = tuple(one.code for one in silent if _has_ended(one.silence, int(observed[-1]), zone))
    day = sa.cast(sa.func.timezone(zone.key, i.occurred_at), sa.Date) - sa.cast("1970-01-01", sa.Date)
    inside = sa.true() if view.area is None else owned(i.geom, view.asked, view.area)
    rows = sa.select(
        cell_column(res).label("cell"), cell_column(PARTS[-1]).label("part"), day.label("day"),
        sa.cast(sa.func.coalesce(inside, sa.false()), sa.Integer).label("inside"),
    ).where(
        cell_column(res).is_not(None), *wanted_incidents(replace(view, area=None, without=gone)),
        *([i.source.not_in(left_out)] if left_out else []),
    )  # fmt: skip
    cell, part, days, own = columns(conn, rows, np.uint64, np.uint64, np.int64, np.int64)
    taught = np.isin(days, used)
    cell, part, days, mine = cell[taught], part[taught], days[taught], own[taught] > 0
    place = np.searchsorted(known, cell[mine])
    return Past(place, days[mine], used, len(known), days, parts_of(part), mine, within(known, res))


def parts_of(cells: Cells, sizes: Sequence[int] = PARTS) -> Integers:
    """Return the numbers of the cells of `sizes` that hold cells at least as fine, shape (n, levels)."""
    finest, place = np.unique(cells, return_inverse=True)
    columns_ = [np.unique(h3.parents(finest, res), return_inverse=True)[1][place] for res in sizes]
    return np.stack(columns_, axis=1)


def within(cells: Cells, res: int) -> Integers:
    """Return the numbers of the parts that hold cells of resolution `res`, shape (n, levels)."""
    return parts_of(cells, [size for size in PARTS if size < res])


def silent_in(conn: Connection, view: View, days: Integers) -> tuple[list[Silence], list[SilentArea]]:
    """Return when what is asked about was silent in a time of recorded days, and which areas inside were."""
    if not days.size:
        return [], []
    zone = ZoneInfo(city.the_city(conn).timezone)
    time = midnight(int(days[0]), zone), midnight(int(days[-1]) + 1, zone)
    return [one for one in of_the_area(conn, view) if one.touches(*time)], [
        one for one in silent_areas(conn, view)
        if one.silence.touches(*time) and all(code in one.chain[1:] for code in view.narrowest)
    ]  # fmt: skip


def days_of(conn: Connection, view: View, left_out: Collection[str]) -> Integers:
    """Return the days on which what a view asks about was in use: its filters, and its area."""
    days, zone = days_in_use(conn, view, left_out), ZoneInfo(city.the_city(conn).timezone)
    for one in of_the_area(conn, view):
        since = -np.inf if one.since is None else _day_number(one.since, zone)
        until = np.inf if one.until is None else _day_number(one.until, zone)
        left = days[(days < since) | (days >= until)]
        days = left if left.size else days
    return days


def _own_end(conn: Connection, view: View, days: Integers) -> int | None:
    """Return the first silent day of the area asked about, where it has ended."""
    zone = ZoneInfo(city.the_city(conn).timezone)
    ends = [
        _day_number(one.since, zone) for one in of_the_area(conn, view)
        if one.since is not None and days.size and _has_ended(one, int(days[-1]), zone)
    ]  # fmt: skip
    return min((end for end in ends if end > days[0]), default=None)


def _has_ended(one: Silence, last: int, zone: ZoneInfo) -> bool:
    """Say whether it goes on behind the last recorded day."""
    begun = one.since is not None and _day_number(one.since, zone) <= last
    return begun and (one.until is None or _day_number(one.until, zone) > last)


def _without_silent_areas(conn: Connection, view: View, observed: Integers) -> Integers:
    """Return the observed days on which no area had yet to join the records, or paused.

    Whatever area is asked about, so that areas add up. One that joined so lately that fewer than
    MIN_PAST_DAYS are left behind it is left as it is.
    """
    if not observed.size:
        return observed
    zone, used = ZoneInfo(city.the_city(conn).timezone), observed
    for one in silent_areas(conn, view):
        since, until = one.silence.since, one.silence.until
        if until is None or (first := _day_number(until, zone)) > observed[-1]:
            continue
        begin = observed[0] if since is None else _day_number(since, zone)
        left = used[(used < begin) | (used >= first)]
        used = left if (left >= first).sum() >= MIN_PAST_DAYS else used
    return used


def days_in_use(conn: Connection, view: View, left_out: Collection[str]) -> Integers:
    """Return the days observed from when what a view is filtered by came into use to when it ended.

    Both are those of the whole city, so that areas add up to it. None where that never held any.
    """
    days = days_observed(conn, view)
    if not days.size or not (left_out or is_filtered(view)):
        return days
    # What went on up to the last record did not end in the quiet days behind it: offices may be closed.
    held = days[days <= city.records_by_day(conn).days[-1]]
    found = in_use(conn, view, held, view.start or _ANCIENT, left_out)
    if found is None:
        return days[:0]
    # Quiet days behind the last record are in use as the day of that record is.
    behind = days[held.size :] if found[-1] else days[:0]
    return np.concatenate([held[found], behind])


def days_observed(conn: Connection, view: View) -> Integers:
    """Return the days of the view's period that the city recorded, whatever else the view leaves out."""
    zone = ZoneInfo(city.the_city(conn).timezone)
    days = known_days(city.records_by_day(conn), _day_number(datetime.now(zone), zone))
    if view.start is not None:
        days = days[days >= _day_number(view.start, zone)]
    if view.end is not None:
        days = days[days <= _day_number(view.end - timedelta(microseconds=1), zone)]
    return days


def _day_number(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).date() - date(1970, 1, 1)).days
