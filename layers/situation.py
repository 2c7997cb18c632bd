"""The situation: every grid at every level and every category, against its own past."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.city import the_city
from layers import periods
from layers.began import narrowed, uses
from layers.delays import view_span
from layers.expecting import bounds, closed_period, period_before, periods_before
from layers.newcomers import Newcomer, codes_of, newcomers, topmost, with_below
from layers.owning import points
from layers.silence import Silence
from layers.silent_sources import SilentSource, silent_sources, source_uses
from layers.situation_categories import ALL, is_in, parents_of, shown_rows
from layers.situation_delays import RowDelays, row_delays
from layers.situation_grids import Aside, Grids, areas_aside, grids_of, window, with_whole
from layers.situation_waiting import Waiting, places, waiting
from layers.stats.situation import (
    ALONE,
    FEWEST_PERIODS,
    Departure,
    Share,
    departures,
    median_time,
    share,
    with_and_without,
)  # fmt: skip
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
SERIOUS = ("yellow", "red")


@dataclass(frozen=True)
class Situation:
    """Rows of grids by categories, in the order of grid, then category; arrays of shape (rows,)."""

    view: View
    periods: int
    grids: Grids
    categories: list[str]
    known: list[str]
    """Categories of incidents."""
    row_grid: Integers
    row_category: Integers
    family: Integers
    """Which rows were held against what they hold together; ALONE for those held against their own past."""
    departure: Departure | None
    """None where the data do not reach back FEWEST_PERIODS periods."""
    serious: Departure | None
    """The same of red and yellow incidents alone."""
    count: Integers
    before: Integers | None
    """Counts of the period before; None where it was not recorded."""
    ever: Bools
    """Whether a row held an incident in the period or in those before."""
    within: Bools
    """(categories of rows, categories of incidents): which belong to which."""
    waiting: Waiting
    without_grid: int
    """Incidents of the period that no grid owns; they are in no row."""
    silent: list[Silence | None]
    """When each of `categories` was silent in some of the periods, None for never: its rows are untested."""
    left_out: list[Newcomer]
    """What was silent in some of the periods in many grids: the rows above it are tested without it."""
    tested: Bools
    """As `within`: which are counted where a row is tested."""
    aside: Aside
    """Areas that were silent in some of the periods: what lies in them is not tested, nor tested with."""
    delays: RowDelays
    """Rows that reports are still expected of are not tested."""
    sources: list[SilentSource]
    """Those that were silent in some of the periods in many grids: all rows are tested without them."""
    mixed: Bools
    """Rows that hold incidents of them in the period or the one before."""

    @property
    def without(self) -> list[str]:
        """Return the categories left out, without those below them, and the sources."""
        return [*(one.category for one in topmost(self.left_out)), *(one.source for one in self.sources)]

    @property
    def silences(self) -> dict[str, Silence]:
        """Return when categories were silent, of those shown and of those left out."""
        shown = {code: one for code, one in zip(self.categories, self.silent, strict=True) if one}
        return shown | {one.category: one.silence for one in topmost(self.left_out)}

    @property
    def is_silent(self) -> Bools:
        """Say of which of `categories` the rows are not tested, for their silence."""
        return np.array([each is not None for each in self.silent])

    @cached_property
    def incomparable(self) -> Bools:
        """Say which rows hold what was silent just before, or is still to be reported: no change is told."""
        now, before = bounds(self.view), bounds(period_before(self.view))
        fresh = codes_of(one for one in self.left_out if one.silence.parts(before, now))
        with_fresh = self.within[:, [code in fresh for code in self.known]].any(axis=1)
        rows: Bools = (self.is_silent | with_fresh)[self.row_category] | ~self.delays.reported
        rows |= self.aside.meets[self.row_grid] | self.mixed
        return rows

    @property
    def comparisons(self) -> int:
        """Return how many rows were tested at once; all, where none could be."""
        tested = ~self.is_silent[self.row_category] & ~self.aside.inside[self.row_grid]
        return int((tested & self.delays.reported).sum())

    @cached_property
    def order(self) -> Integers:
        """Rows that ever held an incident: departures first, the surest first, then by their p and count."""
        ever = np.flatnonzero(self.ever)
        if self.departure is None:
            return ever[np.argsort(-self.count[ever], kind="stable")]
        d = self.departure
        return ever[np.lexsort((-self.count[ever], d.p[ever], d.departs[ever] == 0))]

    def codes(self, row: int) -> list[str]:
        """Return the unified codes of the incidents that a row was tested by, in their order."""
        of_category = self.tested[self.row_category[row], self.waiting.category]
        kept = of_category & ~self.aside.owned[self.waiting.owner] & self.waiting.compared
        return sorted(self.waiting.code[self.members(row) & kept].tolist())

    def _owned_by(self, row: int) -> Bools:
        inside, holds, grid = (
            np.zeros(len(self.grids.owners.place), dtype=bool),
            self.grids.holds,
            self.row_grid[row],
        )
        inside[holds.indices[holds.indptr[grid] : holds.indptr[grid + 1]]] = True
        return inside

    def members(self, row: int) -> Bools:
        """Say which of the period's incidents a row counts."""
        of_category = self.within[self.row_category[row], self.waiting.category]
        counted: Bools = self._owned_by(row)[self.waiting.owner] & of_category
        return counted

    def closure(self, rows: Integers) -> Share:
        """Return the share of incidents that are closed, with its interval."""
        closed = [int(self.waiting.closed[self.members(row)].sum()) for row in rows.tolist()]
        return share(closed, self.count[rows])

    def response(self, rows: Integers) -> Floats:
        """Return the median response in seconds with its interval, shape (rows, 3); NaN where unknown."""
        times = []
        for row in rows.tolist():
            those = self.members(row)
            times.append(median_time(self.waiting.seconds[those], self.waiting.responded[those]))
        return np.array(times).reshape(len(rows), 3)


def situation(conn: Connection, view: View, level: int | None = None, *, fine: bool = False) -> Situation:
    """Return the situation of a view's period, of one level or of all, against up to PERIODS periods before.

    Rows are all categories together and those of the highest level, `fine` every one; a view with a category
    has it and those directly below. Rows of a category that was silent in some of the periods are untested;
    those that hold one which many grids have are tested without it, and with it where they fell.
    A scope or area has only the grids inside it; a city of several highest grids has a row of the whole where
    no level is chosen. Raises BadInput where nothing of the level is to be seen.
    """
    span, _ = narrowed(conn, view)
    view = closed_period(view, span)
    before = periods_before(view, span)
    grids, tree = grids_of(conn, view, level), parents_of(conn)
    grids = with_whole(conn, view, grids) if level is None else grids
    known, shown = list(tree), shown_rows(tree, view, fine=fine)
    within = np.array([[is_in(tree, code, row) for code in known] for row in shown], dtype=bool)
    sources = _silent_sources(conn, view, before[-1] if before else 0)
    history = _history(conn, view, grids, known, before, [one.source for one in sources])
    group = (grids.levels[:, None] * len(shown) + np.arange(len(shown))).ravel()
    family = _by_category(grids.family, len(shown))
    found, new = _silent(conn, view, before[-1] if before else 0)
    silent = [found.get(code) for code in shown]
    delays = row_delays(conn, view, grids, known, within)
    known_rows = np.tile([each is None for each in silent], len(grids.codes)) & delays.reported
    aside = areas_aside(conn, window(view, before[-1] if before else 0), grids)
    known_rows &= ~np.repeat(aside.inside, len(shown))
    tested = _without(within, [code in codes_of(new) for code in known], silent)
    (every, departure), (_, serious) = (
        _compared(history, each, grids, aside, (within, tested), group, family, known_rows)
        for each in (history.count, history.serious)
    )
    counts = every[:, :2].astype(np.int64)
    mixed = _rolled(history, history.count * ~history.compared, grids, within)[:, :2].sum(axis=1) > 0
    return Situation(
        view=view,
        periods=len(before),
        grids=grids,
        categories=shown,
        known=known,
        row_grid=np.repeat(np.arange(len(grids.codes)), len(shown)),
        row_category=np.tile(np.arange(len(shown)), len(grids.codes)),
        family=family,
        departure=departure,
        serious=serious,
        count=counts[:, 0],
        before=counts[:, 1] if before[:1] == [1] else None,
        ever=every.sum(axis=1) > 0,
        within=within,
        waiting=waiting(conn, view, grids, known, [one.source for one in sources]),
        without_grid=history.without,
        silent=silent,
        left_out=new,
        tested=tested,
        aside=aside,
        delays=delays,
        sources=sources,
        mixed=mixed,
    )


def series(conn: Connection, view: View, before: int) -> tuple[Grids, list[str], Counts]:
    """Return grids, categories (ALL, those of the highest level) and counts of a closed period and before.

    Counts have the shape (grids * categories, before + 1), oldest first, rows in the order of grid, category.
    """
    grids, tree = grids_of(conn, view, None), parents_of(conn)
    known, shown = list(tree), shown_rows(tree, view, fine=False)
    found = counted(conn, view, grids, known, before)
    within = np.array([[is_in(tree, one, code) for one in known] for code in shown], dtype=bool)
    newest_first = _rolled(found, found.count, grids, within)
    return grids, shown, np.ascontiguousarray(newest_first[:, ::-1])


def _silent(conn: Connection, view: View, before: int) -> tuple[dict[str, Silence], list[Newcomer]]:
    """Return which categories, and all together, were silent in a part of so many periods and this one.

    Beside it those of them that were so in many grids.
    """
    if not before:
        return {}, []
    below, seen = with_below(conn), bounds(window(view, before))
    every = zip([ALL, *below], uses(conn, view, [None, *below.values()]), strict=True)
    found = {code: one for code, each in every for one in each if one.parts(seen)}
    rest = {code: one for code, one in found.items() if code != ALL}
    return found, newcomers(conn, view, seen[0], rest)


def _silent_sources(conn: Connection, view: View, before: int) -> list[SilentSource]:
    """Return the sources that were silent in a part of so many periods and this one, in many grids."""
    uses = source_uses(conn, view) if before else {}
    return silent_sources(conn, view, uses, bounds(window(view, before)))


def _without(within: Bools, new: list[bool], silent: list[Silence | None]) -> Bools:
    """Return `within` without the categories left out, but in rows that are silent themselves."""
    tested, known = within.copy(), [each is None for each in silent]
    tested[np.ix_(known, new)] = False
    return tested


def _compared(
    history: "Counted", weights: Counts, grids: Grids, aside: Aside, within: tuple[Bools, Bools],
    group: Integers, family: Integers, known: Bools,
) -> tuple[Counts, Departure | None]:  # fmt: skip
    """Return counts of rows (rows, periods) and their test: of all `within`, and of what is comparable."""
    of_all, comparable = within
    counts = _rolled(history, weights, grids, of_all)
    kept = np.where(aside.owned[history.owner], 0, weights)
    compared = kept * history.compared
    whole = _tested(_rolled(history, kept, grids, of_all), group, family, known)
    if whole is None or (np.array_equal(of_all, comparable) and np.array_equal(kept, compared)):
        return counts, whole
    rest = _tested(_rolled(history, compared, grids, comparable), group, family, known)
    assert rest
    return counts, with_and_without(whole, rest, known)


def _tested(counts: Counts, group: Integers, family: Integers, known: Bools) -> Departure | None:
    """Test the rows that are `known` in all periods, whose arrays have NaN for the others."""
    if counts.shape[1] <= FEWEST_PERIODS or not known.any():
        return None
    some = counts[known]
    return departures(some[:, 0], some[:, 1:], group[known], family[known]).among(known)


def _by_category(family: Integers, categories: int) -> Integers:
    """Return the family of every row: of one grid's children, in one category."""
    rows = family[:, None] * categories + np.arange(categories)
    return np.where(family[:, None] == ALONE, ALONE, rows).ravel()


def _rolled(history: "Counted", weights: Counts, grids: Grids, within: Bools) -> Counts:
    """Sum weights of incidents over each grid, the categories of each row, and each period: (rows, periods).

    Category by category and from the incidents: one table of owners, categories and periods would hold some
    hundred megabytes of zeros.
    """
    shape = (grids.holds.shape[1], history.periods)
    rolled = np.zeros((len(grids.codes), len(within), history.periods), dtype=np.int32)
    for row, belongs in enumerate(within):
        those = belongs[history.category]
        at = (history.owner[those], history.period[those])
        rolled[:, row] = (grids.holds @ sparse.csr_array((weights[those], at), shape=shape)).toarray()
    return rolled.reshape(-1, history.periods)


@dataclass(frozen=True)
class Counted:
    """Incidents of a period and of some before it, by owner, category and period; arrays of shape (n,)."""

    owner: Integers
    category: Integers
    period: Integers
    """0 is the period itself, 1 the one before."""
    periods: int
    """This one and those before it."""
    count: Counts
    """1 of each."""
    serious: Counts
    """1 of those that are SERIOUS."""
    compared: Bools
    """Whether its source is tested with."""
    without: int
    """Incidents of the period that lie in none of the grids which are spoken of."""


def counted(
    conn: Connection, view: View, grids: Grids, known: list[str], before: int, without: Sequence[str] = ()
) -> Counted:
    """Count a closed period and so many before it; `without` are sources that are not tested with."""
    assert view.start
    assert view.end
    i = t.incidents.c
    period = periods.back(i.occurred_at, periods.edges(view.start, view.end, before)).label("period")
    grave, kept = i.colour.in_(SERIOUS).label("grave"), i.source.not_in(without).label("kept")
    lon, lat, category, numbers, serious, compared = points(
        conn, wanted_incidents(window(view, before)), i.category, period, grave, kept
    )
    owner, number = grids.owners.find(conn, lon, lat), numbers.astype(np.int64)
    owned = owner >= 0
    held = np.append(np.asarray(grids.holds.sum(axis=0)).ravel() > 0, False)
    return Counted(
        owner[owned], places(category[owned], known), number[owned], before + 1,
        np.ones(owned.sum(), dtype=np.int32), serious[owned].astype(np.int32), compared[owned].astype(bool),
        int((~held[owner] & (number == 0)).sum()),
    )  # fmt: skip


def _history(
    conn: Connection, view: View, grids: Grids, known: list[str], before: list[int], without: Sequence[str]
) -> Counted:
    """Count the present period and those earlier ones that `before` names, as `periods_before` does.

    They are numbered in its order, the present one first.
    """
    back = max(before, default=0)
    found = counted(conn, view, grids, known, back, without)
    place = np.full(back + 1, -1)
    place[[0, *before]] = np.arange(len(before) + 1)
    period = place[found.period]
    kept = period >= 0
    return replace(
        found, owner=found.owner[kept], category=found.category[kept], period=period[kept],
        periods=len(before) + 1, count=found.count[kept], serious=found.serious[kept],
        compared=found.compared[kept],
    )  # fmt: skip


def last_days(conn: Connection, view: View, days: int = 30) -> View:
    """Return a view of the last days that hold incidents: to the end of the day of the last, or to now."""
    zone = ZoneInfo(the_city(conn).timezone)
    span = view_span(conn, view)
    last = span.last or datetime.now(zone)
    if span.delay is not None and not view.provisional:
        last = min(last, periods.last_moment(span.delay.settled))
    end = datetime.combine(last.astimezone(zone).date() + periods.DAY, time(), zone)
    if span.recorded:
        end = min(end, span.recorded[-1][1], key=periods.utc)
    return replace(view, start=periods.days_before(end, days), end=end)
