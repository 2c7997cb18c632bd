"""How long incidents take to be reported, and from which day on the record is therefore still filling up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import the_city
from gis.schema import incidents

COMPLETE = 0.9
"""A day is settled once so large a share of its incidents is to be expected in the record."""
FEWEST, NEWEST = 50, 20_000
"""With fewer incidents nobody can say how long they take; of more, the newest that are old enough tell."""
RIPE = timedelta(days=60)
"""Incidents must be so old to tell: of newer ones only those reported soon are in the record."""
SHORT = timedelta(hours=12)
"""A shorter delay leaves no day unsettled."""
_DAY = timedelta(days=1)
Conditions = Sequence[sa.ColumnElement[bool]]
"""On `incidents`."""


@dataclass(frozen=True)
class Delay:
    """The observed delay from occurrence to report."""

    usual: timedelta
    """Within which the share COMPLETE of incidents was reported."""
    settled: datetime
    """The first moment, a local midnight, of the days that are still filling up."""


def reporting_delay(conn: Connection, parts: Sequence[Conditions] = ()) -> Delay | None:
    """Return the delay of the live incidents that may be seen; None where none is known, or it is SHORT.

    It is that of the first of some `parts`, by their conditions on `incidents`, of which FEWEST are known; of
    the whole where none is. The record is as of the last report in all of it. Of what is known by its day
    alone, the delay counts from the day's end.
    """
    as_of = reported_until(conn)
    if as_of is None:
        return None
    for conditions in (*parts, ()):
        newest = ripe(as_of, conditions, waited().label("waited")).subquery()
        usual = sa.func.percentile_disc(COMPLETE).within_group(newest.c.waited)
        number, delay = conn.execute(sa.select(sa.func.count(), usual).select_from(newest)).one()
        if number >= FEWEST:
            break
    if number < FEWEST or delay < SHORT:
        return None
    return Delay(delay, _midnight(as_of - delay + _DAY / 2, ZoneInfo(the_city(conn).timezone)))


def settled_days(conn: Connection, conditions: Conditions) -> dict[str, datetime]:
    """Return by category since when its reports are still coming in; those not known are left out."""
    as_of = reported_until(conn)
    if as_of is None:
        return {}
    newest = ripe(as_of, conditions, incidents.c.category, waited().label("waited")).subquery()
    usual = sa.func.percentile_disc(COMPLETE).within_group(newest.c.waited)
    known = sa.select(newest.c.category, usual.label("usual")).group_by(newest.c.category)
    rows = conn.execute(known.having(sa.func.count() >= FEWEST)).all()
    return {row.category: as_of - row.usual for row in rows if row.usual >= SHORT}


def reported_until(conn: Connection) -> datetime | None:
    """Return the moment that the record is as of: the last report of a live incident; None without any."""
    live = incidents.c.state != "withdrawn"
    found: datetime | None = conn.execute(
        sa.select(sa.func.max(incidents.c.reported_at)).where(live)
    ).scalar()
    return found


def waited() -> sa.ColumnElement[timedelta]:
    """Return from occurrence to report; of what is known by its day alone, from that day's end."""
    i = incidents.c
    by_day = sa.case((i.occurred_precision == "second", timedelta(0)), else_=_DAY)
    return i.reported_at - i.occurred_at - by_day


def ripe(
    as_of: datetime, conditions: Conditions, *columns: sa.ColumnElement[Any]
) -> sa.Select[tuple[Any, ...]]:
    """Return the query of the NEWEST live incidents that are old enough to tell how long they take."""
    i = incidents.c
    old = (i.state != "withdrawn", i.occurred_at < as_of - RIPE)
    return sa.select(*columns).where(*old, *conditions).order_by(i.occurred_at.desc()).limit(NEWEST)


def _midnight(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the last local midnight before a moment."""
    return datetime.combine(moment.astimezone(zone).date(), time(), zone)
