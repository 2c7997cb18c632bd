"""From when to when the city has records, and on which days between them nobody recorded anything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import records_by_day, the_city
from gis.recorded import Records, recorded_days
from gis.reporting_delay import Conditions, Delay, reporting_delay
from gis.schema import incidents

FAR = 10
"""How many times as far before the next day with records a stray day lies as any two days behind it apart."""
FEW = 5
"""How many times as many days with records there must be behind stray ones."""
_EPOCH = date(1970, 1, 1)
_DAY = timedelta(days=1)
Period = tuple[datetime, datetime]


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
    recorded: tuple[Period, ...] = ()
    """The runs of days that the city recorded, quiet ones included, rising, between local midnights; the last
    one ends now where today has records. Empty for the public, and without any record."""

    def part(self, start: datetime, end: datetime) -> Period | None:
        """Return a period without the days before its first and after its last recorded one; None for none.

        Nothing is lost: there is no record on those days.
        """
        parts = self.parts(start, end)
        return (parts[0][0], parts[-1][1]) if parts else None

    def days(self, start: datetime, end: datetime) -> float:
        """Return how many days of a period were recorded, of 24 hours."""
        return sum((_utc(until) - _utc(since)) / _DAY for since, until in self.parts(start, end))

    def parts(self, start: datetime, end: datetime) -> list[Period]:
        """Return the recorded parts of a period; all of it where there is no record at all."""
        if self.first is None:
            return [(start, end)]
        parts = [(max(start, a, key=_utc), min(end, b, key=_utc)) for a, b in self.recorded]
        return [(since, until) for since, until in parts if _utc(since) < _utc(until)]

    def since(self, begin: datetime) -> "Span":
        """Return the span of a part of the records that began then, at a local midnight."""
        runs = [(max(a, begin, key=_utc), b) for a, b in self.recorded if _utc(b) > _utc(begin)]
        return replace(self, first=begin, earliest=begin, earlier=0, recorded=tuple(runs))

    def until(self, end: datetime) -> "Span":
        """Return the span of a part of the records that ended then, at a local midnight."""
        runs = [(a, min(b, end, key=_utc)) for a, b in self.recorded if _utc(a) < _utc(end)]
        return replace(self, recorded=tuple(runs))

    def without(self, since: datetime, until: datetime) -> "Span":
        """Return the span of a part of the records that paused between two local midnights."""
        left = [(a, min(b, since, key=_utc)) for a, b in self.recorded]
        right = [(max(a, until, key=_utc), b) for a, b in self.recorded]
        runs = sorted({(a, b) for a, b in left + right if _utc(a) < _utc(b)}, key=lambda run: _utc(run[0]))
        return replace(self, recorded=tuple(runs))

    def holds(self, start: datetime, end: datetime) -> bool:
        """Say whether a period was recorded from its first day to its last, so that it may be compared."""
        runs = [(_utc(a) - _DAY, _utc(b)) for a, b in self.recorded]
        return self.reaches(start) and any(a < _utc(start) and _utc(end) <= b for a, b in runs)

    def reaches(self, start: datetime) -> bool:
        """Say whether records reach back to a period from `start` on: its first day may begin before them."""
        return self.first is not None and _utc(start) > _utc(self.first) - _DAY


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def first_in_use(days: npt.NDArray[np.int64]) -> int:
    """Return how many of the days with records (numbers, rising) are stray: FAR before FEW times as many.

    One record of 1963 before five years of daily ones is stray; the first of twelve monthly ones is not.
    """
    apart = np.diff(days)
    before = np.arange(1, len(days))
    behind = np.append(np.maximum.accumulate(apart[:0:-1])[::-1], 1) if len(apart) else apart
    stray = (apart > FAR * np.maximum(before, behind)) & (FEW * before <= len(days) - before)
    return int(before[stray].max(initial=0))


def incident_span(conn: Connection, parts: Sequence[Conditions] = ()) -> Span:
    """Return the span of the live incidents that may be seen, and the runs of days that the city recorded.

    The delay is that of the first of some `parts` of which enough is known (`gis.reporting_delay`).
    """
    at, live = incidents.c.occurred_at, incidents.c.state != "withdrawn"
    found = sa.select(sa.func.count(), sa.func.min(at), sa.func.max(at)).where(live)
    count, earliest, last = conn.execute(found).one()
    records, delay = records_by_day(conn), reporting_delay(conn, parts)
    since = _since_in_use(conn, records)
    recorded = recorded_runs(records, datetime.now(since.tzinfo)) if since else ()
    if earliest is None or since is None or earliest >= since:
        return Span(count, earliest, last, earliest, delay=delay, recorded=recorded)
    later = sa.select(sa.func.count(), sa.func.min(at)).where(live, at >= since)
    behind, first = conn.execute(later).one()
    stray = count - behind if first else 0
    return Span(count, first or earliest, last, earliest, stray, delay, recorded)


def recorded_runs(records: Records, now: datetime) -> tuple[Period, ...]:
    """Return the runs of recorded days (`known_days`), by the city's clock.

    Today is recorded, up to now, once it has a record.
    """
    zone, today = now.tzinfo, (now.date() - _EPOCH).days
    assert isinstance(zone, ZoneInfo)
    known = known_days(records, today)
    if not known.size:
        return ()
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    bounds = [(midnight(run[0], zone), midnight(run[-1] + 1, zone)) for run in runs]
    if known[-1] == today:
        bounds[-1] = (bounds[-1][0], now)
    return tuple(bounds)


def known_days(records: Records, today: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the recorded days, rising; none without any record.

    Empty days after the last record are quiet ones up to yesterday, unless their run is too long to believe
    (`gis.recorded`): then the records end with their last day.
    """
    days = records.days
    if not days.size:
        return days
    known = recorded_days(records)
    if days[-1] < today and today - 1 in recorded_days(records.and_one_on(today)):
        known = np.union1d(known, np.arange(days[-1], today))
    return known


def midnight(day: int, zone: ZoneInfo) -> datetime:
    """Return the first moment of a day (number since 1970-01-01) on the city's clock."""
    return datetime.combine(_EPOCH + timedelta(days=int(day)), time(), zone)


def since_in_use(conn: Connection) -> datetime | None:
    """Return the first moment of the first day in use; None where no day has records."""
    return _since_in_use(conn, records_by_day(conn))


def _since_in_use(conn: Connection, records: Records) -> datetime | None:
    days = records.days
    if not len(days):
        return None
    return midnight(days[first_in_use(days)], ZoneInfo(the_city(conn).timezone))
