"""How many of a demo city's planted clusters hotspots find, and how much of what they call hot is planted."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import city, schema
from gis.cells import Cells
from gis.grids import Asked
from gis.record_span import incident_span
from layers.hotspots import Hotspots, hotspots
from layers.view import View

Planted = dict[str, Any]
"""A planted cluster as the demo stores it: category, lon, lat, radius_m, start, end, expected, extra."""
EARTH_M = 111_195.0
"""Metres of a degree of latitude."""
MONTHS = 12


@dataclass(frozen=True)
class Trial:
    """One map of one category and period, held against what was planted."""

    category: str
    start: date
    end: date
    """The day after the last."""
    method: str
    incidents: int
    planted: tuple[int, ...]
    """Clusters of this category that were going on, as places in the list of all."""
    found: tuple[int, ...]
    """Those of them that have a significant cell."""
    hot: int
    """Significant cells."""
    true: int
    """Of these, how many lie at a planted cluster."""


@dataclass(frozen=True)
class Score:
    """What the trials come to."""

    planted: int
    """Clusters that any of the maps could show."""
    found: int
    """Of these, how many some map shows."""
    hot: int
    true: int
    quiet: int
    """Maps with nothing planted."""
    alarms: int
    """Of these, how many show any significant cell."""

    def __str__(self) -> str:
        recall = self.found / self.planted if self.planted else float("nan")
        precision = self.true / self.hot if self.hot else float("nan")
        return (
            f"recall {recall:.0%} ({self.found} of {self.planted} clusters), precision {precision:.0%} "
            f"({self.true} of {self.hot} hot cells), {self.alarms} of {self.quiet} quiet maps with a hot cell"
        )


def score(trials: list[Trial]) -> Score:
    """Add trials up."""
    quiet = [each for each in trials if not each.planted]
    going, found = ({k for each in trials for k in getattr(each, name)} for name in ("planted", "found"))
    hot, true = (sum(getattr(each, name) for each in trials) for name in ("hot", "true"))
    return Score(len(going), len(found), hot, true, len(quiet), sum(each.hot > 0 for each in quiet))


def planted(conn: Connection) -> list[Planted]:
    """Return what was planted; nothing in a city that is not synthetic."""
    return conn.execute(sa.select(schema.city.c.planted)).scalar() or []


def as_known(conn: Connection, asked: Asked, res: int) -> list[Trial]:
    """Look at each planted cluster's own category and days, as somebody would who was told of it."""
    every = planted(conn)
    return [
        _trial(conn, asked, res, each["category"], *_days(each), every) for each in every
    ]  # fmt: skip


def by_month(conn: Connection, asked: Asked, res: int) -> Iterator[Trial]:
    """Look at every calendar month of the data's last year for each category with something planted.

    This is how a commander looks, who knows neither the place nor the days; most maps hold nothing.
    """
    every = planted(conn)
    newest = incident_span(conn).last
    assert newest, "planted in incidents"
    last = newest.astimezone(ZoneInfo(city.the_city(conn).timezone)).date()
    months = [
        date(last.year - (last.month - k <= 0), (last.month - k - 1) % 12 + 1, 1) for k in range(MONTHS)
    ]
    for category in sorted({each["category"] for each in every}):
        for start in sorted(months):
            end = (start + timedelta(days=32)).replace(day=1)
            yield _trial(conn, asked, res, category, start, end, every)


def _days(of: Planted) -> tuple[date, date]:
    return date.fromisoformat(of["start"]), date.fromisoformat(of["end"]) + timedelta(days=1)


def _trial(
    conn: Connection, asked: Asked, res: int, category: str, start: date, end: date, every: list[Planted]
) -> Trial:
    zone = ZoneInfo(city.the_city(conn).timezone)
    first, last = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in (start, end))
    view = View(
        asked.scheme, asked.on, asked.known, start=first, end=last,
        categories=city.with_descendants(conn, category),
    )  # fmt: skip
    told = hotspots(conn, view, res, ())
    assert told.incidents is not None, "withheld from the public alone"
    there = [k for k, each in enumerate(every) if each["category"] == category and _goes_on(each, start, end)]
    hits = {k: _at(told, every[k]) for k in there}
    true = np.any(list(hits.values()), axis=0) if hits else np.zeros(len(told.cells), dtype=bool)
    return Trial(
        category, start, end, told.method, told.incidents, tuple(there),
        tuple(k for k, hit in hits.items() if hit.any()), int(told.tested.significant.sum()), int(true.sum()),
    )  # fmt: skip


def _goes_on(of: Planted, start: date, end: date) -> bool:
    first, after = _days(of)
    return first < end and after > start


def _at(told: Hotspots, of: Planted) -> npt.NDArray[np.bool_]:
    """Say which significant cells have the cluster's circle in their disc."""
    lon, lat = h3.centres(told.cells)
    east = (lon - of["lon"]) * np.cos(np.radians(of["lat"]))
    away = np.hypot(east, lat - of["lat"]) * EARTH_M
    at: npt.NDArray[np.bool_] = told.tested.significant & (away <= of["radius_m"] + _reach(told.cells))
    return at


def _reach(cells: Cells) -> npt.NDArray[np.float64]:
    """How far a cell's disc reaches from its centre, metres: one and a half steps of the lattice."""
    step: npt.NDArray[np.float64] = np.sqrt(h3.areas_m2(cells) * 2 / np.sqrt(3))
    return 1.5 * step
