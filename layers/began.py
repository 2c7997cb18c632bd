"""Since when, and until when, a category or a filtered view is recorded: the same wherever in the city."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import records_by_day, the_city
from gis.db import Record
from gis.record_span import Span, incident_span, midnight
from gis.recorded import reach, recorded_days
from gis.schema import incidents
from layers.view import View, wanted_incidents

Integers = npt.NDArray[np.int64]
Days = dict[str, set[int | None]]
"""Day numbers by category; None for any day before the first that was asked for."""
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

    Days before a category, a source or a colour came into use are not recorded ones of it.
    """
    span = incident_span(conn)
    if not is_filtered(view) or span.first is None:
        return span, None
    (began,) = since(conn, view, span, span.first, [None])
    return (span, None) if began is None else (span.since(began), began)


def since(
    conn: Connection, view: View, span: Span, start: datetime, rows: Sequence[Collection[str] | None]
) -> list[datetime | None]:
    """Return when each row's categories (None: all of the view's) came into use, None for before `start`.

    `start` lies within the records. A local midnight each.
    """
    if span.first is None:
        return [None] * len(rows)
    zone, days = ZoneInfo(the_city(conn).timezone), recorded_days(records_by_day(conn))
    days = days[days >= _number(span.first, zone)]
    held = days_held(conn, replace(view, start=None, end=None), span.first, start)
    begins = [_begin(_of_row(held, row), days) for row in rows]
    return [None if day is None else midnight(day, zone) for day in begins]


def _of_row(held: Days, row: Collection[str] | None) -> set[int | None]:
    wanted = held if row is None else [code for code in row if code in held]
    return set().union(*(held[code] for code in wanted))


def _begin(held: set[int | None], days: Integers) -> int | None:
    if None in held:
        return None
    some = [day for day in held if day is not None]
    begin, _ = reach(np.flatnonzero(np.isin(days, some)), len(days))
    return int(days[begin]) if begin else None


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
