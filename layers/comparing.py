"""This period against the one before and the same a year ago, per cell or grid, by an exact test."""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.city import the_city
from gis.errors import BadInput
from gis.record_span import incident_span
from layers.by_grid import grid_counts
from layers.counts import counts
from layers.expecting import closed_period, days_of, period_before
from layers.stats.change import FEW, Change, change
from layers.view import View, wanted_incidents

ALPHA, USUAL_RES = 0.05, 8
"""Changes whose p (adjusted for the number of rows) is at most this are told as such."""
Integers = npt.NDArray[np.int64]
__all__ = ["FEW", "Changes", "Compared", "changes"]


@dataclass(frozen=True)
class Compared:
    """One earlier period beside the present one."""

    start: datetime
    end: datetime
    rows: Change
    """Per row."""
    whole: Change
    """Everything, shape (1,), incidents without a place included."""

    def told(self, change: Change) -> list[str]:
        """Return more, fewer or same for each comparison, by its adjusted p."""
        away = (change.q <= ALPHA) * np.sign(change.difference)
        return [("same", "more", "fewer")[int(way)] for way in away]


@dataclass(frozen=True)
class Changes:
    """Counts of the present period by cell or grid, and what they were."""

    start: datetime
    end: datetime
    keys: list[str]
    """Names of cells, or codes of grids."""
    names: list[str] | None
    """Of grids."""
    now: Integers
    incidents: int
    before: Compared | None
    """None where the data do not reach back so far."""
    year: Compared | None


def changes(conn: Connection, view: View, res: int | None, level: int | None) -> Changes:
    """Return counts of a view's period by cells at `res`, or by grids of a `level`, against earlier ones.

    Raises BadInput for a resolution or level that is not there.
    """
    span = incident_span(conn)
    now = closed_period(view, span)
    wished = (period_before(now), _year_ago(conn, now))
    earlier = [each if each.start and span.reaches(each.start) else None for each in wished]
    views = [now, *(each for each in earlier if each is not None)]
    keys, names, table = (
        _by_cell(conn, views, res or USUAL_RES) if level is None else _by_grid(conn, views, level)
    )
    totals = [_total(conn, each) for each in views]

    def against(then: View | None) -> Compared | None:
        if then is None:
            return None
        row = views.index(then)
        return _compared(now, then, table[[0, row]], [totals[0], totals[row]])

    assert now.start
    assert now.end
    before, year = (against(each) for each in earlier)
    return Changes(now.start, now.end, keys, names, table[0], totals[0], before, year)


def _compared(now: View, then: View, rows: Integers, totals: list[int]) -> Compared:
    assert then.start
    assert then.end
    days, days_then = days_of(now), days_of(then)
    whole = change([totals[0]], [totals[1]], days, days_then)
    return Compared(then.start, then.end, change(rows[0], rows[1], days, days_then), whole)


def _year_ago(conn: Connection, view: View) -> View:
    """Return the same days of the year before, by the city's calendar."""
    zone = ZoneInfo(the_city(conn).timezone)

    def earlier(moment: datetime | None) -> datetime:
        assert moment
        local = moment.astimezone(zone)
        leap = (local.month, local.day) == (2, 29)
        return local.replace(year=local.year - 1, day=28 if leap else local.day)

    return replace(view, start=earlier(view.start), end=earlier(view.end))


def _total(conn: Connection, view: View) -> int:
    query = sa.select(sa.func.count()).select_from(t.incidents).where(*wanted_incidents(view))
    return int(conn.execute(query).scalar_one())


def _by_cell(conn: Connection, views: list[View], res: int) -> tuple[list[str], None, Integers]:
    found = [counts(conn, each, res) for each in views]
    every = np.unique(np.concatenate([cells for cells, _ in found]))
    table = np.zeros((len(views), len(every)), dtype=np.int64)
    for row, (cells, number) in zip(table, found, strict=True):
        row[np.searchsorted(every, cells)] = number
    return h3.to_text(every), None, table


def _by_grid(conn: Connection, views: list[View], level: int) -> tuple[list[str], list[str], Integers]:
    codes, names, table = grid_counts(conn, views, level)
    if not codes:
        raise BadInput("level", f"there is no grid of level {level}; GET /city names the levels")
    some = np.flatnonzero(table.any(axis=0))
    return [codes[i] for i in some], [names[i] for i in some], table[:, some]
