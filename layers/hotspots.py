"""Hotspots: incidents per cell against what was to be expected, told apart from noise."""

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy import sparse, stats
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.cells import Cells
from gis.city import incident_span
from gis.db import Record, columns
from gis.grids import shape
from layers.counts import cell_column, counts
from layers.stats.expectation import Expected, from_exposure, from_history
from layers.stats.hot import HotCells, hot
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
ALPHA = 0.05
"""The share of noise-only maps that may show any hot cell."""
DISC = 1
"""Steps of neighbours that are tested together with a cell."""
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_ENOUGH_DAYS = 28
"""A shorter past says more about weekdays than about places."""
_COVERED = 0.8
"""Households are believed where at least this share of the incidents lies in cells that have any; less means
that buildings were loaded for a part of the city only."""


@dataclass(frozen=True)
class Hotspots:
    """Cells with incidents, in the order of their indexes, and the whole they are part of."""

    cells: Cells
    count: npt.NDArray[np.int64]
    expected: Floats
    """Incidents expected in the cell alone."""
    tested: HotCells
    """The test of each cell's disc."""
    trend: list[str] | list[None]
    """rising, falling or steady against the period of equal length before, exact at ALPHA; None where the
    data do not reach back so far."""
    method: str
    incidents: int
    """All incidents of the view, those without a place included."""
    without_place: int


@dataclass(frozen=True)
class Served:
    """The cells that a map of hotspots covers: every cell that ever held a feature of the city."""

    cells: Cells
    area_m2: Floats
    households: Floats


def hotspots(conn: Connection, view: View, res: int) -> Hotspots:
    """Return the hotspots of a view at resolution `res`.

    What the public may know is counted but not tested: counts cut to steps, with small ones left out, bias
    any expectation. Raises BadInput for a resolution that is not served.
    """
    if view.suppressed:
        return _only_counted(*counts(conn, view, res), *_totals(conn, view, res))
    span = incident_span(conn)
    view = _closed_period(view, span)
    served = _served(conn, res, view)
    if not len(served.cells):
        return _only_counted(*counts(conn, view, res), *_totals(conn, view, res))
    found = _spread(served, *counts(conn, view, res))
    expected, method = _expectation(conn, view, res, served, found)
    disc = _disc(served.cells)
    tested = hot(found, expected.mean, disc, ALPHA, expected.size)
    total, unplaced = _totals(conn, view, res)
    shown = np.flatnonzero((found > 0) | tested.significant)
    before = _period_before(view)
    known = span.first is not None and before.start is not None and before.start >= span.first
    past = _spread(served, *counts(conn, before, res)) if known else None
    return Hotspots(
        served.cells[shown], found[shown].astype(np.int64), expected.mean[shown], _pick(tested, shown),
        [None] * len(shown) if past is None else trends(found[shown], past[shown]), method, total, unplaced,
    )  # fmt: skip


def _only_counted(cells: Cells, count: npt.NDArray[np.int64], incidents: int, without_place: int) -> Hotspots:
    unknown = np.full(len(cells), np.nan)
    tested = HotCells(unknown, unknown, unknown, unknown, unknown, np.zeros(len(cells), dtype=bool))
    trend = [None] * len(cells)
    return Hotspots(cells, count, unknown, tested, trend, "counts-only", incidents, without_place)


def trends(now: Floats, before: Floats) -> list[str]:
    """Tell counts of two periods of equal length apart: given their sum, half would fall in each.

    The exact conditional test of two Poisson means (Przyborowski & Wilenski 1940), two-sided at ALPHA.
    """
    total = now + before
    up = np.asarray(stats.binom.sf(now - 1, total, 0.5))
    down = np.asarray(stats.binom.cdf(now, total, 0.5))
    told: list[str] = np.select(
        [up <= ALPHA / 2, down <= ALPHA / 2], ["rising", "falling"], "steady"
    ).tolist()
    return told


def _closed_period(view: View, span: Record) -> View:
    """Give an open period the ends of the data, so that its length is known and more than nothing."""
    now = datetime.now().astimezone()
    first, last = span.first or now, (span.last or now) + _SECOND
    start = view.start or (first if view.end is None else min(first, view.end - _SECOND))
    return replace(view, start=start, end=view.end or max(last, start + _SECOND))


def _period_before(view: View) -> View:
    assert view.start
    assert view.end
    return replace(view, start=view.start - (view.end - view.start), end=view.start)


def _served(conn: Connection, res: int, view: View) -> Served:
    column = t.buildings.c[cell_column(res).name]
    homes = (
        sa.select(column.label("cell"), sa.func.sum(t.buildings.c.households).label("households"))
        .group_by(column)
        .subquery("homes")
    )
    c = t.cells.c
    query = (
        sa.select(c.cell, c.area_m2, sa.func.coalesce(homes.c.households, 0))
        .outerjoin(homes, homes.c.cell == c.cell)
        .where(c.res == res)
        .order_by(c.cell)
    )
    if view.area is not None:
        query = query.where(sa.func.ST_Intersects(c.geom, shape(view.asked, view.area)))
    if view.scope is not None:
        query = query.where(sa.func.ST_Intersects(c.geom, shape(*view.scope)))
    return Served(*columns(conn, query, np.uint64, np.float64, np.float64))


def _spread(served: Served, cells: Cells, found: npt.NDArray[np.int64]) -> Floats:
    """Lay counts over the served cells; every cell with an incident is one of them."""
    values = np.zeros(len(served.cells))
    values[np.searchsorted(served.cells, cells)] = found
    return values


def _expectation(
    conn: Connection, view: View, res: int, served: Served, found: Floats
) -> tuple[Expected, str]:
    """Take the cells' own past where there is enough of it, else their households, else their area."""
    total = float(found.sum())
    first = incident_span(conn, suppressed=view.suppressed).first
    assert view.start
    assert view.end
    days, past_days = (view.end - view.start) / _DAY, (view.start - (first or view.start)) / _DAY
    past = _spread(served, *counts(conn, replace(view, start=None, end=view.start), res))
    if past_days >= _ENOUGH_DAYS and past.sum() > 0:
        return from_history(past, past_days, days, total), "poisson-disc-bh/history"
    homes = served.households > 0
    if homes.any() and found[homes].sum() >= _COVERED * total:
        return from_exposure(total, served.households, served.area_m2), "poisson-disc-bh/households"
    return from_exposure(total, served.area_m2, served.area_m2), "poisson-disc-bh/area"


def _disc(cells: Cells) -> sparse.csr_array:
    """Return the (n, n) matrix of which served cells lie within DISC steps of each."""
    rows, near = h3.disc_pairs(cells, DISC)
    place = np.minimum(np.searchsorted(cells, near), len(cells) - 1)
    served = cells[place] == near
    rows, place = rows[served], place[served]
    return sparse.csr_array((np.ones(len(rows)), (rows, place)), shape=(len(cells), len(cells)))


def _totals(conn: Connection, view: View, res: int) -> tuple[int, int]:
    """Return a view's incidents and those without a place; the public's are those of its cells."""
    if view.suppressed:
        return int(counts(conn, view, res)[1].sum()), 0
    everything, placed = conn.execute(
        sa.select(sa.func.count(), sa.func.count(t.incidents.c.geom)).where(*wanted_incidents(view))
    ).one()
    return everything, everything - placed


def _pick(tested: HotCells, shown: npt.NDArray[np.int64]) -> HotCells:
    return HotCells(**{field.name: getattr(tested, field.name)[shown] for field in fields(tested)})
