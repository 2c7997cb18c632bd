"""A time in which a part of the records was silent, and what it means for periods that are compared."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from gis.record_span import Period, Span, midnight
from gis.recorded import Run
from layers import periods


@dataclass(frozen=True)
class Silence:
    """A time in which a part of the records was silent, between local midnights."""

    since: datetime | None
    """None: it had not begun."""
    until: datetime | None
    """None: it has ended."""

    def touches(self, start: datetime, end: datetime) -> bool:
        """Say whether it meets a period."""
        begins = self.since is None or periods.utc(self.since) < periods.utc(end)
        return begins and (self.until is None or periods.utc(self.until) > periods.utc(start))

    def covers(self, start: datetime, end: datetime) -> bool:
        """Say whether it holds a whole period."""
        begins = self.since is None or periods.utc(self.since) <= periods.utc(start)
        return begins and (self.until is None or periods.utc(self.until) >= periods.utc(end))

    def parts(self, *periods_: Period) -> bool:
        """Say whether it meets some of the time that is compared, and not all of it: that changes counts."""
        return any(self.touches(*one) for one in periods_) and not all(self.covers(*one) for one in periods_)

    @property
    def days(self) -> tuple[str | None, str | None]:
        """Return its first and last day, None for open."""
        last = None if self.until is None else periods.last_moment(self.until)
        first, last_day = (None if one is None else f"{one:%Y-%m-%d}" for one in (self.since, last))
        return first, last_day

    @property
    def turn(self) -> datetime:
        """Return the day that names it: on which it ended, or began where it goes on."""
        day = self.until or self.since
        assert day
        return day


def silence_of(run: Run, days: npt.NDArray[np.int64], zone: ZoneInfo) -> Silence:
    """Return the silence of a run of recorded days (first, end exclusively)."""
    first, end = run
    return Silence(
        None if first <= days[0] else midnight(first, zone), None if end > days[-1] else midnight(end, zone)
    )


def without(span: Span, silent: list[Silence]) -> Span:
    """Return a span without the days before a beginning and those of pauses; those behind an end are left."""
    for one in silent:
        if one.since is None and one.until is not None:
            span = span.since(one.until)
        elif one.since is not None and one.until is not None:
            span = span.without(one.since, one.until)
    return span
