"""How much of every hour of the week a period holds, on a local clock."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo

import numpy as np
import numpy.typing as npt

from layers import periods

Floats = npt.NDArray[np.float64]
_HOUR, _QUARTER = timedelta(hours=1), timedelta(minutes=15)
_WEEK = 7


def hours_held(start: datetime, end: datetime, zone: tzinfo) -> Floats:
    """Return the hours that a period holds of every weekday (row, Monday first) and hour, shape (7, 24).

    Days that begin or end within the period count with the part of them that lies in it, and those on which
    the clocks change with the hours that they have.
    """
    held = np.zeros((_WEEK, 24))
    day, last = (each.astimezone(zone).date() for each in (start, periods.last_moment(end)))
    start, end = periods.utc(start), periods.utc(end)
    begins = _midnight(day, zone)
    while day <= last:
        day += periods.DAY
        ends = _midnight(day, zone)
        if start <= begins and ends <= end and ends - begins == periods.DAY:
            held[(day.weekday() - 1) % _WEEK] += 1
        else:
            _add(held, max(start, begins), min(end, ends), zone)
        begins = ends
    return held


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _add(held: Floats, begins: datetime, ends: datetime, zone: tzinfo) -> None:
    """Add a part of a day by quarters of an hour, of which differences to UTC are made."""
    while begins < ends:
        until = min(ends, begins + _QUARTER - (begins - datetime.min.replace(tzinfo=UTC)) % _QUARTER)
        local = begins.astimezone(zone)
        held[local.weekday(), local.hour] += (until - begins) / _HOUR
        begins = until
