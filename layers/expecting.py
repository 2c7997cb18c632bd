"""What a view's cells should expect: their own past where there is enough of it, else homes, else area."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from gis.record_span import Span
from layers import periods
from layers.counts import counts
from layers.served import Served, exposure
from layers.stats.expectation import Expected, from_exposure, from_history
from layers.view import View

Floats = npt.NDArray[np.float64]
Basis = Literal["history", "households", "area"]
SECOND = timedelta(seconds=1)
_ENOUGH_DAYS = 28
"""A shorter past says more about weekdays than about places."""
_COVERED = 0.8
"""Households are believed where at least this share of the incidents lies in cells that have any; less means
that buildings were loaded for a part of the city only."""


@dataclass(frozen=True)
class Ground:
    """What an expectation rests on, so that it can be worked out again on other cells."""

    basis: Basis
    inside_m2: Floats
    homes: Floats | None
    """Households of each cell; None where they are not known well enough."""
    past: Floats | None = None
    """Incidents of each cell before the period; None where there are too few days of them."""
    past_since: datetime | None = None
    past_days: float = 0
    days: float = 0

    def expected(self, total: float) -> Expected:
        """Return the expectation of `total` incidents over the cells."""
        if self.past is None:
            homes = self.inside_m2 if self.homes is None else self.homes
            return from_exposure(total, homes, self.inside_m2)
        # Area alone says too little of where nothing happened yet: hills and lakes are served as well.
        prior = None if self.homes is None else from_exposure(1.0, self.homes, self.inside_m2).mean
        return from_history(self.past, self.past_days, self.days, total, prior=prior)


def closed_period(view: View, span: Span) -> View:
    """Give an open period the ends of the records in use, so that its length is known and more than nothing.

    What ends before those begin goes back to the earliest record.
    """
    now = datetime.now().astimezone()
    first, last = span.first or now, periods.shifted(span.last or now, SECOND)
    if view.end is not None and view.end <= first:
        first = min(span.earliest or now, periods.shifted(view.end, -SECOND))
    start = view.start or first
    return replace(view, start=start, end=view.end or max(last, periods.shifted(start, SECOND)))


def days_of(view: View) -> float:
    """Return the length of a closed period in days."""
    assert view.start
    assert view.end
    return periods.days(view.start, view.end)


def period_before(view: View) -> View:
    """Return the view of the period of equal length before a closed one."""
    assert view.start
    assert view.end
    return replace(view, start=periods.earlier(view.start, view.end), end=view.start)


def past_of(view: View, since: datetime | None) -> View:
    """Return the view of what came before a closed period, from the first record in use on."""
    return replace(view, start=since, end=view.start)


def ground(conn: Connection, view: View, res: int, of: Served, found: Floats, span: Span) -> Ground:
    """Choose what is expected of `of`'s cells, which hold `found` incidents in the closed period of `view`.

    `span` is that of all incidents (`gis.record_span`).
    """
    assert view.start
    known = exposed(conn, view, res, of, found)
    past_days = periods.length(span.first or view.start, view.start) / periods.DAY
    if past_days < _ENOUGH_DAYS:
        return known
    past = of.spread(*counts(conn, past_of(view, span.first), res))
    if not past.sum() > 0:
        return known
    return replace(
        known, basis="history", past=past, past_since=span.first, past_days=past_days, days=days_of(view)
    )


def exposed(conn: Connection, view: View, res: int, of: Served, found: Floats) -> Ground:
    """Return what is expected from who lives in a cell, or from its area where that is not known."""
    homes = exposure(conn, res, view, of, "household")
    if homes.any() and found[homes > 0].sum() >= _COVERED * found.sum():
        return Ground("households", of.inside_m2, homes)
    return Ground("area", of.inside_m2, None)
