"""What of a period is not known: days that nobody recorded, and days that reports are still filling up."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.record_span import Span
from gis.schema import incidents
from layers import periods
from layers.view import View, wanted_incidents

_LEAST_DAYS = 1e-4
"""Less is the rest of a second, no part of a day that anybody asked for."""


@dataclass(frozen=True)
class Provisional:
    """The days of a period that are still filling up."""

    since: datetime
    delay: timedelta
    """Within which nine of ten incidents are reported."""
    incidents: int
    """Of the view, known so far."""
    left_out: bool
    """Whether the answer leaves them out; never of a period that has no other days."""


@dataclass(frozen=True)
class Unrecorded:
    """The days of a period of which there is no record: nobody kept one, or they are still to come."""

    start: datetime
    end: datetime
    """Bounds of the period as it was asked for."""
    records_end: datetime
    """Of all records that the answer rests on."""
    days: float
    """Of 24 hours, before the first recorded day of the period and after its last: left out."""
    inside: float
    """Between recorded ones: they cannot be left out, and a period that holds any is not compared."""


def recorded_part(view: View, span: Span) -> View:
    """Return a closed period from its first recorded day to its last. Raises BadInput where none is."""
    assert view.start
    assert view.end
    found = span.part(view.start, view.end)
    if found is None:
        raise _refusal(view.start, view.end, span)
    return replace(view, start=found[0], end=found[1])


def _refusal(start: datetime, end: datetime, span: Span) -> BadInput:
    runs = span.recorded
    if runs and not end > (first := runs[0][0]):
        return BadInput("to", f"records begin on {first:%Y-%m-%d}; ask for a period that reaches beyond")
    if runs and start >= (last := runs[-1][1]):
        return BadInput("from", f"records end on {_day_before(last)}; ask for a period that begins before")
    return BadInput("from", "no record was kept on any day of this period; ask for a longer or another one")


def _day_before(end: datetime) -> str:
    """Return the last day before an end."""
    return f"{end - timedelta(microseconds=1):%Y-%m-%d}"


def unrecorded(view: View, span: Span) -> Unrecorded | None:
    """Return which days of a view's period, as it was asked for, nobody recorded; None for none."""
    start, end = view.start or span.first, view.end or span.last
    if not span.recorded or start is None or end is None or not (found := span.part(start, end)):
        return None
    kept = periods.length(*found) / periods.DAY
    left, inside = periods.length(start, end) / periods.DAY - kept, kept - span.days(*found)
    told = Unrecorded(start, end, span.recorded[-1][1], left, inside)
    return told if max(left, inside) > _LEAST_DAYS else None


def settled_part(view: View, span: Span) -> View:
    """Return a closed period without its provisional days, unless they are asked for or all that it has."""
    assert view.start
    assert view.end
    delay = span.delay
    if view.provisional or delay is None or not view.start < delay.settled < view.end:
        return view
    return replace(view, end=delay.settled)


def provisional(conn: Connection, view: View, span: Span) -> Provisional | None:
    """Return what of a view's period, as it was asked for, is provisional; None for nothing."""
    delay, last = span.delay, span.last
    if delay is None or last is None or delay.settled > last:
        return None
    if view.end is not None and view.end <= delay.settled:
        return None
    begins = view.start is not None and view.start >= delay.settled
    since = view.start if begins and view.start else delay.settled
    late = wanted_incidents(replace(view, start=since))
    number = conn.execute(sa.select(sa.func.count()).select_from(incidents).where(*late)).scalar_one()
    return Provisional(since, delay.usual, number, not (begins or view.provisional))
