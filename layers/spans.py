"""When a view's incidents happened, those that are known by a span alone spread evenly over it."""

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta, tzinfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.db import columns
from layers.stats.aoristic import day_counts, week_shares
from layers.view import View, wanted_incidents
from layers.week_hours import hours_held

Floats = npt.NDArray[np.float64]
_HOUR_S, _MONDAY_H = 3600.0, 72.0
"""Seconds of an hour; hours from a Monday's midnight to that of 1970-01-01, a Thursday."""


@dataclass(frozen=True)
class Spans:
    """When incidents happened, shape (n,) each; times in seconds since 1970, UTC."""

    begin: Floats
    end: Floats
    """The same as `begin` where the incident is known to the moment."""
    timed: npt.NDArray[np.bool_]
    """Whether more than the day is known."""
    begun: int
    """How many begin within the period; the others reach into it."""

    @property
    def is_span(self) -> npt.NDArray[np.bool_]:
        """Return which incidents are known by a span alone."""
        return self.end > self.begin

    def local_hours(self, zone: str) -> npt.NDArray[np.datetime64]:
        """Return the local hour of each incident that is no span."""
        return _local(self.begin[~self.is_span], zone).astype("datetime64[us]").astype("datetime64[h]")

    def week(self, start: datetime, end: datetime, zone: tzinfo) -> Floats:
        """Return the spans' parts within a period by weekday and hour, shape (7, 24)."""
        a, b = self.begin[self.is_span], self.end[self.is_span]
        first, last = np.maximum(a, start.timestamp()), np.minimum(b, end.timestamp())
        some = last > first
        a, b, first, last = (each[some] for each in (a, b, first, last))
        weight = (last - first) / (b - a)
        local = [_local(each, str(zone)).astype(np.float64) / 1e6 / _HOUR_S for each in (first, last)]
        shifted = np.abs(local[1] - local[0] - (last - first) / _HOUR_S) > 1e-6
        usual = [each[~shifted] for each in (local[0] + _MONDAY_H, local[1] + _MONDAY_H, weight)]
        table = week_shares(*usual)
        for begin, until, share in zip(first[shifted], last[shifted], weight[shifted], strict=True):
            a_moment, another = (datetime.fromtimestamp(each, zone) for each in (begin, until))
            held = hours_held(a_moment, another, zone)
            table += share * held / held.sum()
        return table

    def daily(self, start: datetime, end: datetime, days: int, zone: tzinfo) -> Floats:
        """Return counts by the `days` local days that a period touches, of the parts that lie in it."""
        first = start.astimezone(zone).date()
        inner = [datetime.combine(first + timedelta(days=day), time(), zone) for day in range(1, days)]
        return day_counts(self.begin, self.end, [each.timestamp() for each in (start, *inner, end)])


def read(conn: Connection, view: View) -> Spans:
    """Read the incidents of a view with a closed period, and those whose span reaches into it."""
    i = t.incidents.c
    within = sa.or_(i.occurred_at >= view.start, i.occurred_until > view.start)
    begin = sa.extract("epoch", i.occurred_at)
    end = sa.extract("epoch", sa.func.coalesce(i.occurred_until, i.occurred_at))
    query = sa.select(
        sa.cast(begin, sa.Double).label("begin"), sa.cast(end, sa.Double).label("end"),
        (i.occurred_precision == "second").label("timed"), (i.occurred_at >= view.start).label("begun"),
    ).where(within, *wanted_incidents(replace(view, start=None)))  # fmt: skip
    first, last, timed, begun = columns(conn, query, np.float64, np.float64, np.bool_, np.bool_)
    return Spans(first, last, timed, int(begun.sum()))


def _local(seconds: Floats, zone: str) -> npt.NDArray[np.int64]:
    """Return microseconds since 1970 on the local clock."""
    moments = pa.array(np.round(seconds * 1e6).astype(np.int64), pa.timestamp("us", zone))
    clock = pc.local_timestamp(moments).cast(pa.int64())
    return np.asarray(clock.to_numpy(zero_copy_only=False), dtype=np.int64)
