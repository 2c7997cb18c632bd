"""Public holidays, working weekends and festivals of the city's country, as dated settings."""

import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

SETTINGS = Path(__file__).parent / "calendars"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Festival:
    """One festival of one year; `first` to `last` are its days off, else its own day alone."""

    key: str
    name_zh: str
    name_en: str
    day: date
    first: date
    last: date
    is_holiday: bool

    def days_in(self, first: date, last: date) -> int:
        """Return how many of its days lie from `first` to `last`, both included."""
        return max((min(last, self.last) - max(first, self.first)).days + 1, 0)


@dataclass(frozen=True)
class Calendar:
    """What is known of days, of the years that were announced."""

    festivals: tuple[Festival, ...]
    work: frozenset[date]
    """Saturdays and Sundays on which people work."""
    sources: tuple[str, ...]

    @cached_property
    def off(self) -> frozenset[date]:
        """Return all announced days off."""
        off = (one for one in self.festivals if one.is_holiday)
        return frozenset(one.first + n * DAY for one in off for n in range((one.last - one.first).days + 1))

    def days_off(self, first: date, last: date) -> int | None:
        """Return how many announced days off lie from `first` to `last`; None beyond the years known."""
        years = {one.day.year for one in self.festivals}
        if not set(range(first.year, last.year + 1)) <= years:
            return None
        return sum(first <= day <= last for day in self.off)

    def within(self, first: date, last: date) -> Festival | None:
        """Return the festival that most days from `first` to `last` belong to, the first of several."""
        some = [one for one in self.festivals if one.days_in(first, last)]
        return min(
            some, key=lambda one: (-one.days_in(first, last), not one.is_holiday, one.day), default=None
        )

    def year_before(self, festival: Festival) -> Festival | None:
        """Return the same festival of the year before, None where that is not known."""
        same = (one for one in self.festivals if one.key == festival.key)
        return next((one for one in same if one.day.year == festival.day.year - 1), None)


@cache
def of_zone(zone: str) -> Calendar | None:
    """Return the calendar of a city in a time zone, None where there is none."""
    read = (tomllib.loads(path.read_text("utf-8")) for path in sorted(SETTINGS.glob("*.toml")))
    return next((_calendar(one) for one in read if zone in one["zones"]), None)


def _calendar(read: dict[str, Any]) -> Calendar:
    off = [one for notice in read["notices"] for one in notice["off"]]
    festivals = (
        _festival(key, one, day, off) for key, one in read["festivals"].items() for day in one["days"]
    )
    work = frozenset(day for notice in read["notices"] for day in notice["work"])
    ordered = sorted(festivals, key=lambda one: (one.day, one.key))
    return Calendar(tuple(ordered), work, tuple(notice["source"] for notice in read["notices"]))


def _festival(key: str, named: dict[str, Any], day: date, off: list[dict[str, Any]]) -> Festival:
    own = next((one for one in off if key in one["of"] and one["first"] <= day <= one["last"]), None)
    first, last = (own["first"], own["last"]) if own else (day, day)
    return Festival(key, named["zh"], named["en"], day, first, last, own is not None)
