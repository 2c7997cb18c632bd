"""The stability index (平安指数) of each grid, its parts measured; ranks only where they hold."""

import math
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from gis.city import the_city
from gis.errors import NotFound
from layers import periods
from layers.situation import Situation, situation
from layers.stats.index import Formula, Index, Measured, Part, formula_on, formulas, index
from layers.stats.situation import Departure
from layers.view import View

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Measurements = dict[str, Measured | None]


@dataclass(frozen=True)
class Standings:
    """Grids with their index, the least stable first where that can be told."""

    situation: Situation
    formula: Formula
    rows: Integers
    """Rows of the situation, all categories together."""
    measured: list[Measurements]
    """What was measured of each part, before scoring."""
    indexes: list[Index | None]
    """None where nothing could be measured."""
    first: Integers
    last: Integers
    """The best and the worst rank that a grid may have: equal only where no interval touches its own."""


def standings(conn: Connection, view: View, level: int | None = None) -> Standings:
    """Return the index of every grid of a level (None: of all), by the formula of the period's last day.

    Raises BadInput for a level that is not there, NotFound while no formula is in force.
    """
    found = situation(conn, view, level)
    rows = np.flatnonzero(found.row_category == 0)
    formula = _formula(conn, found)
    measured = _measured(found, rows, formula)
    indexes = [index(formula, each) if any(each.values()) else None for each in measured]
    first, last = ranks(
        np.array([each.low if each else 0.0 for each in indexes]),
        np.array([each.high if each else 100.0 for each in indexes]),
    )
    return Standings(found, formula, rows, measured, indexes, first, last)


def ranks(low: Floats, high: Floats) -> tuple[Integers, Integers]:
    """Return the best and the worst rank that each interval (n,) allows; 1 is the highest index.

    A grid stands surely above another only where its whole interval does.
    """
    better = len(low) - np.searchsorted(np.sort(low), high, side="right")
    worse = np.searchsorted(np.sort(high), low, side="left")
    return 1 + better, len(low) - worse


def _formula(conn: Connection, found: Situation) -> Formula:
    assert found.view.end
    last = periods.last_moment(found.view.end).astimezone(ZoneInfo(the_city(conn).timezone))
    try:
        return formula_on(last.date(), formulas())
    except ValueError as error:
        raise NotFound(f"{error}; ask for a later period") from error


def _measured(found: Situation, rows: Integers, formula: Formula) -> list[Measurements]:
    """Return what each part of the formula is for each row: value and 95 % interval."""
    parts = {part.name: part for part in formula.part}
    columns = {
        "incidents": _ratio(found.departure, rows),
        "serious": _ratio(found.serious, rows),
        "closure": _closure(found, rows),
        "response": _response(found, rows, parts["response"]),
    }
    return [{name: columns[name][number] for name in parts} for number in range(len(rows))]


def _ratio(of: Departure | None, rows: Integers) -> list[Measured | None]:
    if of is None:
        return [None] * len(rows)
    return [_known(*ends) for ends in zip(*of.ratio(rows), strict=True)]


def _known(value: float, low: float, high: float) -> Measured | None:
    """Return a measurement; None where there is none, as of nothing over nothing."""
    return None if math.isnan(value) else Measured(value, low, high)


def _closure(found: Situation, rows: Integers) -> list[Measured | None]:
    closed = found.closure(rows)
    ends = zip(closed.value, closed.low, closed.high, strict=True)
    return [_known(*each) for each in ends]


def _response(found: Situation, rows: Integers, part: Part) -> list[Measured | None]:
    """An end of the interval that never comes is as bad as can be."""
    measured: list[Measured | None] = []
    for value, low, high in (found.response(rows) / part.target).tolist():
        known = Measured(value, 0.0 if math.isnan(low) else low, math.inf if math.isnan(high) else high)
        measured.append(None if math.isnan(value) else known)
    return measured
