"""What of a period is provisional, because reports of it are still to come."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.record_span import Span, incident_span
from gis.schema import incidents
from layers.view import View, wanted_incidents


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


def settled_part(view: View, span: Span) -> View:
    """Return a closed period without its provisional days, unless they are asked for or all that it has."""
    assert view.start
    assert view.end
    delay = span.delay
    if view.provisional or delay is None or not view.start < delay.settled < view.end:
        return view
    return replace(view, end=delay.settled)


def provisional(conn: Connection, view: View) -> Provisional | None:
    """Return what of a view's period, as it was asked for, is provisional; None for nothing."""
    span = incident_span(conn) if not view.suppressed else Span()
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
