"""The situation: every grid at every level and every category, against its own past."""

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy import sparse
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.city import category_tree, incident_span, the_city
from gis.db import Query, columns
from gis.errors import BadInput
from gis.grids import current
from layers.expecting import closed_period
from layers.stats.situation import Departure, Share, departures, median_time, share
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
ALL = ""
"""The code under which all categories together are told."""
PERIODS = 12
"""Past periods of equal length that a count is held against, at most."""
SERIOUS = ("yellow", "red")


@dataclass(frozen=True)
class Grids:
    """The grids that are spoken of, in the order of their codes, and which leaves lie in which."""

    codes: list[str]
    names: list[str]
    levels: Integers
    leaf: dict[str, int]
    """Place of each leaf's code among the leaves."""
    holds: sparse.csr_array
    """(grids, leaves)."""


@dataclass(frozen=True)
class Waiting:
    """The incidents of the period, one by one."""

    leaf: Integers
    category: Integers
    closed: Bools
    responded: Bools
    seconds: Floats
    """From report to response, or to now where there was none."""


@dataclass(frozen=True)
class Situation:
    """Rows of grids by categories, in the order of grid, then category; arrays of shape (rows,)."""

    view: View
    periods: int
    grids: Grids
    categories: list[str]
    row_grid: Integers
    row_category: Integers
    departure: Departure | None
    """None where the data do not reach back one period."""
    serious: Departure | None
    """The same of red and yellow incidents alone."""
    count: Integers
    before: Integers
    """Counts of the period before; zeros where there is none."""
    ever: Bools
    """Whether a row held an incident in the period or in those before."""
    known: list[str]
    """Codes of the categories of incidents."""
    within: Bools
    """(categories of rows, categories of incidents): which belong to which."""
    waiting: Waiting
    without_grid: int
    """Incidents of the period that no grid owns; they are in no row."""

    @cached_property
    def order(self) -> Integers:
        """Rows that ever held an incident: departures first, the surest first, then by their p and count."""
        ever = np.flatnonzero(self.ever)
        if self.departure is None:
            return ever[np.argsort(-self.count[ever], kind="stable")]
        d = self.departure
        return ever[np.lexsort((-self.count[ever], d.p[ever], d.departs[ever] == 0))]

    def leaves_of(self, row: int) -> list[str]:
        """Return the codes of the leaves in a row's grid."""
        inside = self._leaves(row)
        return [code for code, place in self.grids.leaf.items() if inside[place]]

    def categories_of(self, row: int) -> list[str]:
        """Return the codes of the categories that a row counts."""
        return [code for code, of in zip(self.known, self.within[self.row_category[row]], strict=True) if of]

    def _leaves(self, row: int) -> Bools:
        inside, holds, grid = np.zeros(len(self.grids.leaf), dtype=bool), self.grids.holds, self.row_grid[row]
        inside[holds.indices[holds.indptr[grid] : holds.indptr[grid + 1]]] = True
        return inside

    def members(self, row: int) -> Bools:
        """Say which of the period's incidents a row counts."""
        of_category = self.within[self.row_category[row], self.waiting.category]
        counted: Bools = self._leaves(row)[self.waiting.leaf] & of_category
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
    has it and those directly below. A scope or area has only the grids inside it. Raises
    BadInput where nothing of the level is to be seen.
    """
    view = closed_period(view, incident_span(conn))
    grids, tree = _grids(conn, view, level), _tree(conn)
    known, shown = list(tree), _shown(tree, view, fine=fine)
    within = np.array([[_is_in(tree, code, row) for code in known] for row in shown])
    history, without = _history(conn, view, grids, known)
    every, grave = (_rolled(each, grids, within) for each in history)
    group = (grids.levels[:, None] * len(shown) + np.arange(len(shown))).ravel()
    counts = every.astype(np.int64)
    return Situation(
        view=view,
        periods=every.shape[1] - 1,
        grids=grids,
        categories=shown,
        row_grid=np.repeat(np.arange(len(grids.codes)), len(shown)),
        row_category=np.tile(np.arange(len(shown)), len(grids.codes)),
        departure=_tested(every, group),
        serious=_tested(grave, group),
        count=counts[:, 0],
        before=counts[:, 1] if every.shape[1] > 1 else np.zeros(len(counts), dtype=np.int64),
        ever=every.sum(axis=1) > 0,
        known=known,
        within=within,
        waiting=_waiting(conn, view, grids, known),
        without_grid=without,
    )


def _tree(conn: Connection) -> dict[str, str | None]:
    """Return each category's parent."""
    return {str(row["code"]): str(row["parent"]) if row["parent"] else None for row in category_tree(conn)}


def _tested(counts: Floats, group: Integers) -> Departure | None:
    return departures(counts[:, 0], counts[:, 1:], group) if counts.shape[1] > 1 and len(counts) else None


def _rolled(history: Floats, grids: Grids, within: Bools) -> Floats:
    """Sum (leaves, categories, periods) over the leaves of each grid and the categories of each row."""
    leaves, categories, periods = history.shape
    by_grid = (grids.holds @ history.reshape(leaves, -1)).reshape(-1, categories, periods)
    rolled: Floats = np.einsum("gcp,rc->grp", by_grid, within.astype(np.float64)).reshape(-1, periods)
    return rolled


def _shown(tree: dict[str, str | None], view: View, *, fine: bool) -> list[str]:
    """Return the categories that have rows, ALL first."""
    if view.categories is None:
        return [ALL, *(code for code, parent in tree.items() if fine or parent is None)]
    asked = [code for code in tree if code in view.categories]
    top = next(code for code in asked if tree[code] not in view.categories)
    return [top, *(code for code in asked if code != top and (fine or tree[code] == top))]


def _is_in(tree: dict[str, str | None], code: str, row: str) -> bool:
    above: str | None = code
    while above is not None and above != row:
        above = tree[above]
    return row in {ALL, above}


def _grids(conn: Connection, view: View, level: int | None) -> Grids:
    g = t.grids.c
    found = conn.execute(
        sa.select(g.code, g.name, g.level, g.parent_code).where(current(view.asked)).order_by(g.code)
    ).all()
    parent = {row.code: row.parent_code for row in found}
    leaves = sorted(parent.keys() - set(parent.values()))
    inside = [code for _, code in [view.scope or (None, None)] if code] + [
        code for code in [view.area] if code
    ]
    chains = {code: _chain(parent, code) for code in parent}
    shown = [
        row
        for row in found
        if level in {None, row.level} and all(code in chains[row.code] for code in inside)
    ]
    if not shown:
        raise BadInput("level", f"there is no grid of level {level} to be seen here" if level else "no grids")
    place = {row.code: number for number, row in enumerate(shown)}
    pairs = [
        (place[code], number) for number, leaf in enumerate(leaves) for code in chains[leaf] if code in place
    ]
    rows, cols = np.array(pairs).T if pairs else np.empty((2, 0), dtype=np.int64)
    holds = sparse.csr_array((np.ones(len(rows)), (rows, cols)), shape=(len(shown), len(leaves)))
    return Grids(
        [row.code for row in shown], [row.name for row in shown], np.array([row.level for row in shown]),
        {code: number for number, code in enumerate(leaves)}, holds,
    )  # fmt: skip


def _chain(parent: dict[str, str | None], code: str) -> list[str]:
    chain, above = [], code if code in parent else None
    while above is not None and above not in chain:
        chain.append(above)
        above = parent.get(above)
    return chain


def owned_incidents(conn: Connection, view: View) -> sa.Subquery:
    """Select a view's incidents with the leaf that owns their place on the boundaries asked for.

    The owner found at intake holds where its boundary is still the same; else the place is asked again.
    """
    i, g, inner = t.incidents.c, t.grids.alias("leaf"), t.grids.alias("covering")
    zone = the_city(conn).timezone
    since = sa.func.timezone(zone, sa.cast(sa.func.lower(g.c.valid), sa.DateTime))
    same = (sa.func.lower_inf(g.c.valid)) | (i.occurred_at >= since)
    asked = view.asked
    child = t.grids.alias("child")
    has_child = sa.exists().where(
        child.c.scheme == asked.scheme, child.c.valid.contains(asked.on), child.c.known.contains(asked.known),
        child.c.parent_code == inner.c.code,
    )  # fmt: skip
    again = (
        sa.select(sa.func.min(inner.c.code))
        .where(
            inner.c.scheme == asked.scheme, inner.c.valid.contains(asked.on),
            inner.c.known.contains(asked.known), inner.c.geom.op("&&")(i.geom),
            sa.func.ST_Covers(inner.c.geom, i.geom), ~has_child,
        )
        .scalar_subquery()
    )  # fmt: skip
    joined = t.incidents.outerjoin(
        g, (g.c.scheme == asked.scheme) & g.c.valid.contains(asked.on) & g.c.known.contains(asked.known)
        & (g.c.code == i.grid_code) & same,
    )  # fmt: skip
    return (
        sa.select(
            sa.case((g.c.code.is_not(None), g.c.code), else_=again).label("leaf"),
            i.code, i.category, i.colour, i.state, i.occurred_at, i.reported_at, i.responded_at,
        )
        .select_from(joined)
        .where(*wanted_incidents(view))
        .subquery("owned")
    )  # fmt: skip


def _history(
    conn: Connection, view: View, grids: Grids, known: list[str]
) -> tuple[tuple[Floats, Floats], int]:
    """Return counts (leaves, categories, periods) of all and of SERIOUS, the present period first."""
    assert view.start
    assert view.end
    length, first = view.end - view.start, incident_span(conn).first or view.start
    periods = min(PERIODS, max(0, (view.start - first) // length))
    past = replace(view, start=view.start - periods * length)
    owned = owned_incidents(conn, past)
    age = sa.func.extract("epoch", sa.cast(view.end, sa.DateTime(timezone=True)) - owned.c.occurred_at)
    # The period is from <= t < to: a moment before the end lies in the present one.
    period = sa.cast(sa.func.ceil(age / (length / timedelta(seconds=1))) - 1, sa.Integer).label("period")
    serious = sa.func.count().filter(owned.c.colour.in_(SERIOUS))
    rows = conn.execute(
        sa.select(owned.c.leaf, owned.c.category, period, sa.func.count(), serious).group_by(
            owned.c.leaf, owned.c.category, period
        )
    ).all()
    place, without = {code: number for number, code in enumerate(known)}, 0
    shape = (len(grids.leaf), len(known), periods + 1)
    every, grave = np.zeros(shape), np.zeros(shape)
    for leaf, category, number, count, of_these in rows:
        if leaf is None:
            without += count if number == 0 else 0
            continue
        every[grids.leaf[leaf], place[category], number] += count
        grave[grids.leaf[leaf], place[category], number] += of_these
    return (every, grave), without


def _waiting(conn: Connection, view: View, grids: Grids, known: list[str]) -> Waiting:
    owned = owned_incidents(conn, view)
    until = sa.func.coalesce(owned.c.responded_at, sa.func.now())
    waited = sa.func.greatest(0, sa.func.extract("epoch", until - owned.c.reported_at))
    query: Query = sa.select(
        owned.c.leaf, owned.c.category, owned.c.state == "closed", owned.c.responded_at.is_not(None),
        sa.cast(waited, sa.Double),
    ).where(owned.c.leaf.is_not(None))  # fmt: skip
    leaf, category, closed, responded, seconds = columns(conn, query, object, object, bool, bool, float)
    place = {code: number for number, code in enumerate(known)}
    return Waiting(
        np.array([grids.leaf[code] for code in leaf], dtype=np.int64),
        np.array([place[code] for code in category], dtype=np.int64), closed, responded, seconds,
    )  # fmt: skip


def last_days(conn: Connection, view: View, days: int = 30) -> View:
    """Return a view of the last days that hold incidents: to the end of the day of the last one."""
    zone = ZoneInfo(the_city(conn).timezone)
    last = incident_span(conn).last or datetime.now(zone)
    end = datetime.combine(last.astimezone(zone).date() + timedelta(days=1), time(), zone)
    return replace(view, start=end - timedelta(days=days), end=end)
