"""What a view's cells should expect: their own past where there is enough of it, else homes, else area."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.db import columns
from gis.record_span import Period, Span
from layers import periods
from layers.counts import cell_column, counts
from layers.provisional import recorded_part, settled_part
from layers.served import Served, exposure
from layers.stats.expectation import Expected, dispersion, from_exposure, from_history
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
Basis = Literal["history", "households", "area"]
SECOND = timedelta(seconds=1)
PERIODS = 12
"""Past periods of equal length that a count is held against, at most."""
_ENOUGH_DAYS = 28
"""A shorter past says more about weekdays than about places."""
COVERED = 0.8
"""Households are believed where at least this share of the incidents lies in cells that have any; less means
that buildings were loaded for a part of the city only."""


@dataclass(frozen=True)
class Ground:
    """What an expectation rests on, so that it can be worked out again on other cells."""

    basis: Basis
    inside_m2: Floats
    homes: Floats | None
    """Households of each cell; None where they are not known well enough."""
    housed: float = 0
    """Share of the period's incidents that lie in cells whose households are known."""
    past: Floats | None = None
    """Incidents of each cell before the period; None where there are too few days of them."""
    past_since: datetime | None = None
    past_days: float = 0
    days: float = 0
    alpha: float = 0
    """By how much counts of a cell scatter from period to period beyond chance (`stats.expectation`)."""
    most_alpha: float = 0
    """By how much they may scatter, given how little is known of it."""

    def cautious(self, total: float) -> Expected:
        """Return the expectation were counts to scatter as much as they may."""
        return replace(self, alpha=self.most_alpha).expected(total)

    def expected(self, total: float) -> Expected:
        """Return the expectation of `total` incidents over the cells."""
        if self.past is None:
            homes = self.inside_m2 if self.homes is None else self.homes
            exact = from_exposure(total, homes, self.inside_m2)
            return replace(exact, size=np.full_like(exact.mean, 1 / self.alpha)) if self.alpha else exact
        # Area alone says too little of where nothing happened yet: hills and lakes are served as well.
        prior = None if self.homes is None else from_exposure(1.0, self.homes, self.inside_m2).mean
        return from_history(self.past, self.past_days, self.days, total, self.alpha, prior)


def closed_period(view: View, span: Span) -> View:
    """Give an open period the ends of the records in use, so that its length is known and more than nothing.

    What ends before those begin goes back to the earliest record. Days before its first recorded day and
    after its last, as those to come, are left out, and so are provisional ones. Raises BadInput where none is
    left.
    """
    now = datetime.now().astimezone()
    first, last = span.first or now, periods.shifted(span.last or now, SECOND)
    if view.end is not None and view.end <= first:
        first = min(span.earliest or now, periods.shifted(view.end, -SECOND))
    start = view.start or first
    closed = replace(view, start=start, end=view.end or max(last, periods.shifted(start, SECOND)))
    return settled_part(recorded_part(closed, span), span)


def periods_before(view: View, span: Span, most: int = PERIODS) -> list[int]:
    """Return which periods of equal length before a closed one were recorded: 1 is the one just before.

    The latest ones, `most` at most; none where the period itself was not: it cannot be compared. One that
    meets a gap of the records is left out, those before the gap count.
    """
    assert view.start
    assert view.end
    if not span.holds(view.start, view.end):
        return []
    found, begin, back = list[int](), view.start, 0
    # One after another: so many periods of centuries lie before the first year there is.
    while len(found) < most and span.reaches(earlier := periods.earlier(view.start, view.end, back + 1)):
        back += 1
        found += [back] if span.holds(earlier, begin) else []
        begin = earlier
    return found


def follows(view: View, span: Span) -> bool:
    """Say whether a closed period and the one just before it were recorded."""
    return periods_before(view, span, 1) == [1]


def bounds(view: View) -> Period:
    """Return the start and the end of a closed period."""
    assert view.start
    assert view.end
    return view.start, view.end


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
    alpha, most = _scatter(conn, view, res, of, span)
    known = replace(exposed(conn, view, res, of, found), alpha=alpha, most_alpha=most)
    past_days = span.days(span.first, view.start) if span.first else 0.0
    if past_days < _ENOUGH_DAYS:
        return known
    past = of.spread(*counts(conn, past_of(view, span.first), res))
    if not past.sum() > 0:
        return known
    return replace(
        known, basis="history", past=past, past_since=span.first, past_days=past_days, days=days_of(view)
    )


def _scatter(conn: Connection, view: View, res: int, of: Served, span: Span) -> tuple[float, float]:
    """Return the scatter of cells over the periods before a closed one, and how great it may be.

    Both are 0 where there are fewer than two periods.
    """
    before = periods_before(view, span)
    if len(before) < 2:
        return 0.0, 0.0
    assert view.start
    assert view.end
    edges = periods.edges(view.start, view.end, before[-1])[:-1]
    past = replace(view, start=edges[0].astimezone(view.start.tzinfo), end=view.start)
    seen = dispersion(by_step(conn, past, res, of, edges)[:, before[-1] - np.array(before)])
    return seen.estimate, seen.upper


def by_step(conn: Connection, view: View, res: int, of: Served, edges: list[datetime]) -> Floats:
    """Count a view's incidents by cell and step between `edges`, shape (n, steps), oldest step first."""
    column, back = cell_column(res), periods.back(t.incidents.c.occurred_at, edges).label("back")
    query = (
        sa.select(column.label("cell"), back, sa.func.count().label("count"))
        .where(column.is_not(None), *wanted_incidents(view))
        .group_by(column, back)
    )
    cells, ago, number = columns(conn, query, np.uint64, np.int64, np.float64)
    table = np.zeros((len(of.cells), len(edges) - 1))
    table[np.searchsorted(of.cells, cells), len(edges) - 2 - ago] = number
    return table


def exposed(conn: Connection, view: View, res: int, of: Served, found: Floats) -> Ground:
    """Return what is expected from who lives in a cell, or from its area where that is not known."""
    homes = exposure(conn, res, view, of, "household")
    housed = float(found[homes > 0].sum() / found.sum()) if found.any() else float(homes.any())
    if homes.any() and housed >= COVERED:
        return Ground("households", of.inside_m2, homes, housed)
    return Ground("area", of.inside_m2, None, housed)
