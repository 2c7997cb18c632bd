"""Since when, and until when, a category or a filtered view is recorded: the same wherever in the city."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import category_tree, records_by_day, the_city
from gis.db import Record
from gis.record_span import Span, midnight
from gis.recorded import reach, recorded_days
from gis.schema import incidents
from layers.delays import view_span
from layers.view import View, wanted_incidents

Integers = npt.NDArray[np.int64]
Days = dict[str, set[int | None]]
"""Day numbers by category; None for any day before the first that was asked for."""
_MOST_ANDS = 3
"""Conditions joined by AND in a filter that are looked at one by one."""
_ANCIENT = datetime(1900, 1, 1, tzinfo=UTC)
_EVER = datetime(2200, 1, 1, tzinfo=UTC)
_OF_CITY = sa.text(
    "SELECT category, day - date '1970-01-01' FROM days_of_series(:categories, :source, :but, :colour, "
    "CAST(:earliest AS timestamptz), CAST(:since AS timestamptz), CAST(:until AS timestamptz))"
)


def is_filtered(view: View) -> bool:
    """Say whether a view leaves out incidents for what they are, not for where or when they happened."""
    return any(one is not None for one in (view.categories, view.source, view.colour, view.filter))


def narrowed(conn: Connection, view: View) -> tuple[Span, datetime | None]:
    """Return the span of the records of what a view is filtered by, and when they began if later than others.

    Days before a category, a source or a colour came into use are not recorded ones of it, nor of any part.
    """
    span = view_span(conn, view)
    if not is_filtered(view) or span.first is None:
        return span, None
    rows = _holding(conn, view)
    begins = [day for whole in _wholes(view) for day in since(conn, whole, span, span.first, rows)]
    found = [day for day in begins if day is not None]
    return (span.since(max(found)), max(found)) if found else (span, None)


def comparable(conn: Connection, view: View) -> Span:
    """Return the span of `narrowed` up to the day from which on what the view is filtered by had ended.

    Two periods say of a change only where both lie within it.
    """
    span, _ = narrowed(conn, view)
    days = recorded_days(records_by_day(conn)) if is_filtered(view) and span.recorded else None
    if days is None:
        return span
    found = in_use(conn, replace(view, start=None, end=None), days, _ANCIENT, ())
    if found is None or found[1] == days.size:
        return span
    return span.until(midnight(days[found[1]], ZoneInfo(the_city(conn).timezone)))


def in_use(
    conn: Connection, view: View, days: Integers, start: datetime, but: Collection[str]
) -> tuple[int, int] | None:
    """Return from which to which (exclusively) of some recorded days a view's filters were in use.

    A part was in use no longer than what holds all of it: of a sensor that was switched off the rarest kind
    ended as well. Sources in `but` are left out. None where the whole city held none from `start` on; of a
    filter in CQL2 who sees a part of the city cannot say so.
    """
    rows, begin, end = _holding(conn, view), 0, len(days)
    for whole in _wholes(view):
        held = days_held(conn, whole, _ANCIENT, start, but)
        for row in rows:
            on = [day for day in _of_row(held, row) if day is not None]
            if not on and (whole.scope is None or whole.filter is None):
                return None
            first, last = reach(np.flatnonzero(np.isin(days, on)), len(days))
            begin, end = max(begin, first), min(end, last)
    return begin, max(begin, end)


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


def since(
    conn: Connection, view: View, span: Span, start: datetime, rows: Sequence[Collection[str] | None]
) -> list[datetime | None]:
    """Return when each row's categories (None: all of the view's) came into use, None for before `start`.

    `start` lies within the records. A local midnight each.
    """
    return [begin for begin, _ in uses(conn, view, span, start, rows)]


def uses(
    conn: Connection, view: View, span: Span, start: datetime, rows: Sequence[Collection[str] | None]
) -> list[tuple[datetime | None, datetime | None]]:
    """Return the same with the day from which on each row had ended, None for not ended.

    Of what was in use before `start` only the days from then on say that.
    """
    if span.first is None:
        return [(None, None)] * len(rows)
    zone, days = ZoneInfo(the_city(conn).timezone), recorded_days(records_by_day(conn))
    days = days[days >= _number(span.first, zone)]
    held = days_held(conn, replace(view, start=None, end=None), span.first, start)
    late = days[days >= _number(start, zone)]
    found = [_ends(_of_row(held, row), days, late) for row in rows]
    return [(_midnight(begin, zone), _midnight(end, zone)) for begin, end in found]


def _midnight(day: int | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else midnight(day, zone)


def _of_row(held: Days, row: Collection[str] | None) -> set[int | None]:
    wanted = held if row is None else [code for code in row if code in held]
    return set().union(*(held[code] for code in wanted))


def _ends(held: set[int | None], days: Integers, late: Integers) -> tuple[int | None, int | None]:
    """Return the days on which what is `held` began and had ended, None for neither within the days."""
    known = late if None in held else days
    some = [day for day in held if day is not None]
    begin, end = reach(np.flatnonzero(np.isin(known, some)), len(known))
    is_late = begin and None not in held
    return int(known[begin]) if is_late else None, int(known[end]) if end < len(known) else None


def days_held(
    conn: Connection, view: View, earliest: datetime, start: datetime, but: Collection[str] = ()
) -> Days:
    """Return the days from `start` to the records' end on which the whole city recorded a view's incidents.

    Those before `start`, from `earliest` on, are told as None; sources in `but` are left out. A filter in
    CQL2 is asked of what the asker may see.
    """
    ask = _of_city if view.filter is None else _of_filter
    found = Days()
    for category, day in ask(conn, view, earliest, start, list(but)):
        found.setdefault(category, set()).add(day)
    return found


def _of_city(
    conn: Connection, view: View, earliest: datetime, start: datetime, but: list[str]
) -> Iterable[Record]:
    given = {
        "categories": None if view.categories is None else list(view.categories), "source": view.source,
        "but": but, "colour": view.colour, "earliest": earliest, "since": start, "until": view.end or _EVER,
    }  # fmt: skip
    return conn.execute(_OF_CITY, given)


def _of_filter(
    conn: Connection, view: View, earliest: datetime, start: datetime, but: list[str]
) -> Iterable[Record]:
    i, zone = incidents.c, the_city(conn).timezone
    local = sa.cast(sa.func.timezone(zone, i.occurred_at), sa.Date) - sa.cast("1970-01-01", sa.Date)
    day = sa.case((i.occurred_at >= start, local)).label("day")
    seen = wanted_incidents(replace(view, start=earliest, area=None))
    return conn.execute(sa.select(i.category, day).where(*seen, i.source.not_in(but)).distinct())


def _number(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
