"""Other people's clocks: one bound on the future for reports and steps, and what a small skew is taken as."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Connection

from gis import city
from gis.errors import BadInput
from gis.settings import settings


def skew() -> timedelta:
    """Return by how much another clock may be ahead of ours, or behind the one before it."""
    return timedelta(seconds=settings().clock_skew_s)


def rfc3339(moment: datetime) -> str:
    """Return a moment as answers write it: in its zone, or in UTC where that was no whole minutes off it.

    RFC 3339 has no seconds in an offset, as the local mean times before zones have (`+08:05:43`).
    """
    offset = moment.utcoffset()
    is_whole = offset is not None and not offset % timedelta(minutes=1)
    return (moment if is_whole else moment.astimezone(UTC)).isoformat()


def check_years(given: Mapping[str, Any]) -> None:
    """Raise BadInput naming a time whose year no incident has: at the calendar's ends nothing is reckoned."""
    first, last = settings().earliest.year, datetime.now(UTC).year
    for name, moment in given.items():
        if isinstance(moment, datetime) and not first - 1 <= moment.year <= last + 1:
            raise BadInput(name, f"{moment.isoformat()} is no time from {first} to now; correct it")


def in_city(conn: Connection, at: datetime, name: str = "at") -> datetime:
    """Return a time of a body with a zone: the city's, where it has none; `name` is that of its field.

    Raises BadInput for one that the city's clocks show twice, or skip, as they are changed.
    """
    if at.tzinfo is not None:
        return at
    zoned = at.replace(tzinfo=ZoneInfo(city.the_city(conn).timezone))
    check_years({name: zoned})
    if zoned.utcoffset() != zoned.replace(fold=1).utcoffset():
        raise BadInput(
            name, f"{at.isoformat()} is twice or never on the city's clocks; write it with its zone"
        )
    return zoned


def moments(conn: Connection, *times: datetime | None) -> list[datetime | None]:
    """Return times in UTC; one without a zone is in the city's.

    Of two moments that the city's clocks show alike it is the first, or the second where the first lies
    before the time that precedes it, as imports read it.
    """
    zone, read, last = ZoneInfo(city.the_city(conn).timezone), list[datetime | None](), None
    for at in times:
        moment = at and _read(at, zone, last)
        read.append(moment)
        last = moment or last
    return read


def _read(at: datetime, zone: ZoneInfo, last: datetime | None) -> datetime:
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    first, second = (at.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return second if last is not None and first < last <= second else first


def of_step(at: datetime | None, last: datetime) -> tuple[datetime, list[str]]:
    """Return the moment of a step that follows one at `last`, and what was done to what was given.

    `at` has a zone. Raises BadInput for one further in the future than the skew, or further before `last`.
    """
    now = datetime.now(UTC)
    if at is None:
        return max(now, last), []
    check_years({"at": at})
    if at > now:
        return max(now, last), [_ahead("at", at, now)]
    if at < last - skew():
        raise BadInput("at", f"{at.isoformat()} is before the last step, {last.isoformat()}")
    if at < last:
        behind = (last - at).total_seconds()
        return last, [f"at was {behind:.0f} s before the last step and is taken as its time"]
    return at, []


def _ahead(name: str, at: datetime, now: datetime) -> str:
    """Return what is told of a time a little ahead. Raises BadInput when it is more than a little."""
    if at > now + skew():
        raise BadInput(
            name,
            f"{at.isoformat()} lies in the future; by our clock it is {now.isoformat(timespec='seconds')}",
        )
    return f"{name} was {(at - now).total_seconds():.0f} s ahead of our clock and is taken as now"


def notes(given: Mapping[str, Any], kept: Mapping[str, datetime]) -> list[str]:
    """Return what was done to the times of a report, from those given and those kept."""
    moved = [
        (name, (at - kept[name]).total_seconds())
        for name, at in given.items()
        if isinstance(at, datetime) and at.tzinfo is not None and name in kept and at > kept[name]
    ]
    return [f"{name} was {ahead:.0f} s ahead of our clock and is taken as now" for name, ahead in moved]
