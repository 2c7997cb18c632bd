"""Arithmetic on periods, in one place: whole local days by the calendar, all else in UTC.

`end - start` of two times of one ZoneInfo is what a wall clock shows: an hour off where the clocks change.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


def utc(moment: datetime) -> datetime:
    """Return the same moment in UTC, in which alone times may be added and subtracted."""
    return moment.astimezone(UTC)


def length(start: datetime, end: datetime) -> timedelta:
    """Return how much time passes from `start` to `end`."""
    return utc(end) - utc(start)


def shifted(moment: datetime, by: timedelta) -> datetime:
    """Return the moment so much time later, on the same clock."""
    return (utc(moment) + by).astimezone(moment.tzinfo)


def _local_days(start: datetime, end: datetime) -> int | None:
    """Return the whole days between two readings of one local clock; None where they are not whole days."""
    zone = start.tzinfo
    if not isinstance(zone, ZoneInfo):
        return None
    local = end.astimezone(zone)
    return (local.date() - start.date()).days if local.time() == start.time() else None


def days(start: datetime, end: datetime) -> float:
    """Return the length of a period in days: local ones where it is made of whole ones."""
    whole = _local_days(start, end)
    return length(start, end) / DAY if whole is None else float(whole)


def earlier(start: datetime, end: datetime, periods: int = 1) -> datetime:
    """Return where the period of equal length begins that lies so many periods before one.

    Of whole local days: at the same time of day, so many days before; else by the time that passes.
    """
    whole = _local_days(start, end)
    if whole is None:
        return shifted(start, -periods * length(start, end))
    return datetime.combine(start.date() - periods * whole * DAY, start.time(), start.tzinfo)


def edges(start: datetime, end: datetime, before: int) -> list[datetime]:
    """Return the ends of a period and of so many of equal length before it, oldest first, in UTC."""
    return [utc(earlier(start, end, back)) for back in range(before, -1, -1)] + [utc(end)]


def steps(end: datetime, of_days: int, count: int) -> list[datetime]:
    """Return the ends of so many steps of days before `end`, oldest first, with where the first begins."""
    return edges(days_before(end, of_days), end, count - 1)


def days_before(end: datetime, number: int) -> datetime:
    """Return the same time of day so many local days before; without a local clock, so many times 24 h."""
    if not isinstance(end.tzinfo, ZoneInfo):
        return end - number * DAY
    return datetime.combine(end.date() - number * DAY, end.time(), end.tzinfo)


def last_moment(end: datetime) -> datetime:
    """Return the last moment before an end, on the same clock."""
    return shifted(end, -INSTANT)


def back(at: sa.ColumnElement[datetime], of: Sequence[datetime]) -> sa.ColumnElement[Any]:
    """Return how many periods of `edges` a moment lies before the last one: 0 in it, from <= t < to."""
    bounds = sa.cast(list(of), ARRAY(sa.DateTime(timezone=True)))
    return sa.cast(len(of) - 1 - sa.func.width_bucket(at, bounds), sa.Integer)
