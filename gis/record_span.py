"""From when to when the city has records: a few that lie far before all others do not stretch it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import days_with_records, the_city
from gis.reporting_delay import Delay, reporting_delay
from gis.schema import incidents

FAR = 10
"""How many times as far before the next day with records a stray day lies as any two days behind it apart."""
FEW = 5
"""How many times as many days with records there must be behind stray ones."""
_EPOCH = date(1970, 1, 1)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """The city's records, `first` to `last`; `earlier` of them lie far before, from `earliest` on."""

    count: int | None = None
    """All of them; None where the public is told of none."""
    first: datetime | None = None
    last: datetime | None = None
    earliest: datetime | None = None
    earlier: int | None = 0
    """None for the public, who is told no count so small."""
    delay: Delay | None = None
    """How long reports take, where that leaves days unsettled; None for the public."""

    def reaches(self, start: datetime) -> bool:
        """Say whether records reach back to a period from `start` on: its first day may begin before them."""
        return self.first is not None and start.astimezone(UTC) > self.first.astimezone(UTC) - _DAY


def first_in_use(days: npt.NDArray[np.int64]) -> int:
    """Return how many of the days with records (numbers, rising) are stray: FAR before FEW times as many.

    One record of 1963 before five years of daily ones is stray; the first of twelve monthly ones is not.
    """
    apart = np.diff(days)
    before = np.arange(1, len(days))
    behind = np.append(np.maximum.accumulate(apart[:0:-1])[::-1], 1) if len(apart) else apart
    stray = (apart > FAR * np.maximum(before, behind)) & (FEW * before <= len(days) - before)
    return int(before[stray].max(initial=0))


def incident_span(conn: Connection) -> Span:
    """Return the span of the live incidents that may be seen."""
    at, live = incidents.c.occurred_at, incidents.c.state != "withdrawn"
    found = sa.select(sa.func.count(), sa.func.min(at), sa.func.max(at)).where(live)
    count, earliest, last = conn.execute(found).one()
    since = since_in_use(conn)
    if earliest is None or since is None or earliest >= since:
        return Span(count, earliest, last, earliest, delay=reporting_delay(conn))
    later = sa.select(sa.func.count(), sa.func.min(at)).where(live, at >= since)
    behind, first = conn.execute(later).one()
    stray = count - behind if first else 0
    return Span(count, first or earliest, last, earliest, stray, reporting_delay(conn))


def since_in_use(conn: Connection) -> datetime | None:
    """Return the first moment of the first day in use; None where no day has records."""
    days = days_with_records(conn)
    if not len(days):
        return None
    day = _EPOCH + timedelta(days=int(days[first_in_use(days)]))
    return datetime.combine(day, time(), ZoneInfo(the_city(conn).timezone))
