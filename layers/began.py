"""When a category or a filtered view was silent, wherever in the city: not begun, paused or ended."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import category_tree, records_by_day, the_city
from gis.db import Record
from gis.record_span import Span, first_in_use, midnight
from gis.recorded import recorded_days
from gis.reporting_delay import settled_days
from gis.schema import incidents
from gis.silences import silences
from layers.delays import view_span
from layers.silence import Silence, silence_of, without
from layers.silent_areas import of_the_area
from layers.view import View, wanted_incidents

Integers = npt.NDArray[np.int64]
Days = dict[str, set[int]]
"""Day numbers by category."""
_MOST_ANDS = 3
"""Conditions joined by AND in a filter that are looked at one by one."""
_EVER = datetime(2200, 1, 1, tzinfo=UTC)
_OF_CITY = sa.text(
    "SELECT category, day - date '1970-01-01' FROM days_of_series(:categories, :source, :but, :colour, "
    "CAST(:earliest AS timestamptz), CAST(:since AS timestamptz), CAST(:until AS timestamptz))"
)

_OF_SOURCES = sa.text(
    "SELECT source, day - date '1970-01-01' FROM days_of_sources(:categories, :colour, "
    "CAST(:since AS timestamptz))"
)


def is_filtered(view: View) -> bool:
    """Say whether a view leaves out incidents for what they are, not for where or when they happened."""
    return any(one is not None for one in (view.categories, view.source, view.colour, view.filter))


def narrowed(conn: Connection, view: View) -> tuple[Span, list[Silence]]:
    """Return the span of the records of what a view is filtered by, or of its area, and when that was silent.

    Days before a category, a source or a colour came into use, and those of a pause, are not recorded ones of
    it, nor of any part. Of what ended the days behind its last are left: it holds nothing there.
    """
    silent = [*silences_of(conn, view), *of_the_area(conn, view)]
    return without(view_span(conn, view), silent), silent


def in_records(conn: Connection, view: View) -> tuple[Span, list[Silence]]:
    """Return the same with the span only up to the day from which on what the view is of had ended.

    It holds the days on which an incident of the view would be on record: of others no rate is told, and no
    change where they lie in either period.
    """
    span, silent = narrowed(conn, view)
    for one in silent:
        if one.until is None and (end := one.since or span.first) is not None:
            span = span.until(end)
    return span, silent


def comparable(conn: Connection, view: View) -> Span:
    """Return the span of `in_records` alone."""
    return in_records(conn, view)[0]


def silences_of(conn: Connection, view: View) -> list[Silence]:
    """Return when what a view is filtered by was silent, rising; nothing of a view of everything."""
    if not is_filtered(view):
        return []
    zone, records = ZoneInfo(the_city(conn).timezone), records_by_day(conn)
    if not records.days.size:
        return []
    days = recorded_days(records)
    days = days[first_in_use(days) :]
    used = in_use(conn, replace(view, start=None, end=None), days, midnight(days[0], zone), ())
    return [] if used is None else _silent(np.flatnonzero(~used), days, zone)


def _silent(places: Integers, days: Integers, zone: ZoneInfo) -> list[Silence]:
    """Return the silences of recorded days by their places."""
    runs = [run for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if run.size]
    ends = [(int(run[0]), int(run[-1]) + 1) for run in runs]
    return [silence_of((int(days[a]), int(np.append(days, days[-1] + 1)[b])), days, zone) for a, b in ends]


def in_use(
    conn: Connection, view: View, days: Integers, start: datetime, but: Collection[str]
) -> npt.NDArray[np.bool_] | None:
    """Say on which of some recorded days a view's filters were in use, by the records from `start` on.

    A part was in use no longer than what holds all of it: of a sensor that was switched off the rarest kind
    ended as well. Sources in `but` are left out. None where the whole city held none from `start` on; of a
    filter in CQL2 who sees a part of the city cannot say so.
    """
    rows, used, off = _holding(conn, view), np.ones(len(days), dtype=bool), records_by_day(conn).off
    for whole in _wholes(view):
        held, settled = days_held(conn, whole, start, but), SettledDays(conn, whole)
        for row in rows:
            on = _of_row(held, row)
            if not on.size and (whole.scope is None or whole.filter is None):
                return None
            for first, end in silences(on, days, off, settled.of(row)):
                used[(days >= first) & (days < end)] = False
    return used


def _wholes(view: View) -> list[View]:
    """Return the views, of all categories, that hold all of a view's incidents: of fewer conditions."""
    ands = view.filter[1:] if view.filter is not None and view.filter[0] == "and" else ()
    if not 2 <= len(ands) <= _MOST_ANDS:
        ands = () if view.filter is None else (view.filter,)
    named = [(name, getattr(view, name)) for name in ("source", "colour")]
    every: list[tuple[str, Any]] = [(name, value) for name, value in named if value is not None]
    every += [("filter", one) for one in ands]
    sizes = {1, len(every) - 1} if every else {0}
    sizes |= {0} if view.categories is not None else set()
    wide = replace(view, categories=None, source=None, colour=None, filter=None)
    some = [replace(wide, **dict(kept)) for size in sorted(sizes) for kept in combinations(every, size)]
    return list(dict.fromkeys([replace(view, categories=None), *some]))


def _holding(conn: Connection, view: View) -> list[Collection[str] | None]:
    """Return the categories of a view, and those of each category above them; None (all) for all."""
    if view.categories is None:
        return [None]
    rows = category_tree(conn)
    above = {str(row["code"]): str(row["parent"]) if row["parent"] else None for row in rows}

    def chain(code: str | None) -> Iterator[str]:
        while code is not None:
            yield code
            code = above[code]

    below = {code: {one for one in above if code in chain(one)} for code in above}
    holding = [codes for codes in below.values() if codes > set(view.categories)]
    return [set(view.categories), *holding, None]


def uses(
    conn: Connection, view: View, rows: Sequence[Collection[str] | None]
) -> list[list[Silence]]:  # fmt: skip
    """Return when each row's categories (None: all of the view's) were silent, rising."""
    zone, records = ZoneInfo(the_city(conn).timezone), records_by_day(conn)
    if not records.days.size:
        return [[] for _ in rows]
    days = recorded_days(records)
    days = days[first_in_use(days) :]
    held = days_held(conn, replace(view, start=None, end=None), midnight(days[0], zone))
    settled = SettledDays(conn, view)
    found = [silences(_of_row(held, row), days, records.off, settled.of(row)) for row in rows]
    return [[silence_of(run, days, zone) for run in runs] for runs in found]


class SettledDays:
    """From which day on reports of a view's categories, in the whole city, are still coming in."""

    def __init__(self, conn: Connection, view: View) -> None:
        zone = ZoneInfo(the_city(conn).timezone)
        ever = replace(view, start=None, end=None, area=None, categories=None)
        self._days = {
            category: _number(since, zone)
            for category, since in settled_days(conn, wanted_incidents(ever)).items()
        }

    def of(self, row: Collection[str] | None) -> int | None:
        """Return the earliest day (number since 1970-01-01) of a row's categories, None for none."""
        return min((day for one, day in self._days.items() if row is None or one in row), default=None)


def _number(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).date() - date(1970, 1, 1)).days


def _of_row(held: Days, row: Collection[str] | None) -> Integers:
    some = held if row is None else [code for code in row if code in held]
    return np.unique(np.array(sorted(set[int]().union(*(held[code] for code in some))), dtype=np.int64))


def days_held(conn: Connection, view: View, start: datetime, but: Collection[str] = ()) -> Days:
    """Return the days from `start` to the records' end on which the whole city recorded a view's incidents.

    Sources in `but` are left out. A filter in CQL2 is asked of what the asker may see.
    """
    ask = _of_city if view.filter is None else _of_filter
    found = Days()
    for category, day in ask(conn, view, start, list(but)):
        found.setdefault(category, set()).add(day)
    return found


def source_days(conn: Connection, view: View, start: datetime) -> dict[str, Integers]:
    """Return by source the days from `start` on on which the whole city recorded a view's incidents, rising.

    A filter in CQL2 is asked of what the asker may see.
    """
    given = {"categories": view.categories and list(view.categories), "colour": view.colour, "since": start}
    rows = (
        conn.execute(_OF_SOURCES, given)
        if view.filter is None
        else _seen_days(conn, view, start, incidents.c.source)
    )
    found = Days()
    for source, day in rows:
        found.setdefault(source, set()).add(day)
    return {source: np.array(sorted(days), dtype=np.int64) for source, days in found.items()}


def _of_city(conn: Connection, view: View, start: datetime, but: list[str]) -> Iterable[Record]:
    given = {
        "categories": None if view.categories is None else list(view.categories), "source": view.source,
        "but": but, "colour": view.colour, "earliest": start, "since": start, "until": view.end or _EVER,
    }  # fmt: skip
    return conn.execute(_OF_CITY, given)


def _of_filter(conn: Connection, view: View, start: datetime, but: list[str]) -> Iterable[Record]:
    return _seen_days(conn, view, start, incidents.c.category, incidents.c.source.not_in(but))


def _seen_days(
    conn: Connection, view: View, start: datetime, by: sa.Column[str], *where: sa.ColumnElement[bool]
) -> Iterable[Record]:
    i, zone = incidents.c, the_city(conn).timezone
    local = sa.cast(sa.func.timezone(zone, i.occurred_at), sa.Date) - sa.cast("1970-01-01", sa.Date)
    seen = wanted_incidents(replace(view, start=start, area=None))
    return conn.execute(sa.select(by, local.label("day")).where(*seen, *where).distinct())
