"""What the public may know of incidents: whole months, counted once, small places with those around them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.cells import RESOLUTIONS, Cells
from gis.city import UNSET, category_tree, is_set, the_city
from gis.db import Query, Record, columns
from gis.errors import Unknown
from gis.grids import grid
from gis.importing.staging import add_cells
from gis.record_span import Span, since_in_use
from gis.reporting_delay import reporting_delay
from gis.schema_situation import public_counts, public_months
from layers.reach import lies_inside, reaches_into
from layers.stats import privacy
from layers.stats.privacy import ALL, MIN_INCIDENTS, Tree
from layers.view import View

FINEST = RESOLUTIONS[-1]
"""The resolution whose cells are merged; coarser answers are made of these, never counted anew: cells of two
resolutions do not nest, and the slivers between them would tell single incidents."""


def refuse_detail(conn: Connection, view: View) -> None:
    """Raise Unknown for filters that the public has not; its only one is a category of the highest level."""
    for name, value in (("source", view.source), ("colour", view.colour)):
        if value is not None:
            raise Unknown(f"filtering by {name} is for role field and above; send an access key")
    if view.categories is not None and conn.execute(sa.select(_top(view))).scalar() is None:
        raise Unknown(
            "finer categories are for role field and above; send an access key, or ask for their parent"
        )


def counts_of(view: View, res: int) -> Query:
    """Select cell and count of the months that a view's period touches, cells no finer than `res`.

    A cell coarser than `res` tells what was too little for those in it. An area has the cells that reach into
    it, each with all that is told of it.
    """
    if view.filter is not None:
        raise Unknown("filtering what is counted is for role field and above; send an access key")
    told = _told_by(view, public_counts.c[f"cell_{res}"])
    if view.area is None:
        return told
    every = told.subquery("told")
    near = t.cells.c.cell == every.c.cell
    return sa.select(every).join(t.cells, near).where(reaches_into(view))


def _told_by(view: View, cell: sa.Column[int]) -> Query:
    """Select what the public is told of a view's months and category, by a column of cells."""
    query = sa.select(cell.label("cell"), sa.func.sum(public_counts.c.count).label("count")).group_by(cell)
    return query.where(*_months(view, public_counts.c.month), public_counts.c.category == _top(view))


@dataclass(frozen=True)
class Bounds:
    """Between which numbers a count lies, as far as the public is told."""

    at_least: int
    at_most: int
    wider: str | None = None
    """Where nothing is told for certain: the nearest grid around the area of which something is, if any."""


@dataclass(frozen=True)
class Released:
    """What the public is told of a view's months, and of which it is told nothing."""

    span: tuple[date, date] | None
    """First days of the city's first and last month of 3 incidents or more; None where there is none."""
    untold: list[date]
    """Months of the view of which nothing is told, even of the whole city, in this category."""
    bounds: Bounds | None
    """Of the incidents in the months told; None where nothing is told of any."""


_ENOUGH = public_months.c.incidents >= MIN_INCIDENTS
"""Of other months nobody learns that anything was recorded in them."""


def public_span(conn: Connection) -> Span:
    """Return the span of the months that the public is told of; of all of 3 incidents or more, if of none."""
    told = sa.func.cardinality(public_months.c.told) > 0
    enough = sa.select(public_months.c.month, told.label("told")).where(_ENOUGH)
    months = conn.execute(enough.order_by(public_months.c.month)).all()
    if not months:
        return Span()
    zone, since = ZoneInfo(the_city(conn).timezone), since_in_use(conn)
    of_all = public_counts.c.category == ALL
    count = conn.execute(sa.select(sa.func.sum(public_counts.c.count)).where(of_all)).scalar()
    known = [row.month for row in months if row.told] or [row.month for row in months]
    used = [day for day in known if since is None or day >= since.date().replace(day=1)] or known
    after = (used[-1] + timedelta(days=31)).replace(day=1)
    first, end, earliest = (datetime.combine(day, time(), zone) for day in (used[0], after, known[0]))
    return Span(None if count is None else int(count), first, end - timedelta(seconds=1), earliest, None)


def released(conn: Connection, view: View) -> Released:
    """Return what the public is told of a view's months.

    A month without a record looks like one with too few: else it would say which months held one or two. Nor
    does a month of one or two begin or end the span. Beyond the span nothing is told of any month.
    """
    m = public_months.c
    ends = sa.select(sa.func.min(m.month), sa.func.max(m.month)).where(_ENOUGH)
    first, last = conn.execute(ends).one()
    start, end = _ends(conn, view, first, last)
    series = (
        sa.func.generate_series(
            sa.cast(start, sa.DateTime), sa.cast(end, sa.DateTime), sa.text("interval '1 month'")
        )
        .table_valued("month")
        .render_derived()
    )
    month = sa.cast(series.c.month, sa.Date)
    told = sa.func.coalesce(sa.func.coalesce(_top(view), "") == sa.any_(m.told), sa.false())
    of_view = (
        sa.select(month.label("month"), told.label("told"))
        .select_from(series.outerjoin(public_months, m.month == month))
        .order_by(month)
    )
    rows = conn.execute(of_view).all()
    untold = [row.month for row in rows if not row.told]
    bounds = _bounds(conn, view) if len(untold) < len(rows) else None
    return Released(None if first is None else (first, last), untold, bounds)


def _ends(
    conn: Connection, view: View, first: date | None, last: date | None
) -> tuple[date | None, date | None]:
    """Return the first days of a view's first and last month; open ends are those of the span."""
    zone = ZoneInfo(the_city(conn).timezone)
    starts = None if view.start is None else _first_day(view.start, zone)
    ends = None if view.end is None else _first_day(view.end.astimezone(UTC) - _INSTANT, zone)
    start = starts or min((day for day in (first, ends) if day), default=None)
    return start, ends or max((day for day in (last, start) if day), default=None)


def widened(conn: Connection, view: View) -> View:
    """Return a view with the whole months that it touches for its period: these are what is counted."""
    zone = ZoneInfo(the_city(conn).timezone)
    start, end = view.start, view.end
    if start is not None:
        start = datetime.combine(_first_day(start, zone), time(), zone)
    if end is not None:
        last = _first_day(end.astimezone(UTC) - _INSTANT, zone)
        end = datetime.combine((last + _A_MONTH).replace(day=1), time(), zone)
    return replace(view, start=start, end=end)


_A_MONTH = timedelta(days=31)
_INSTANT = timedelta(microseconds=1)


def _first_day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date().replace(day=1)


def _bounds(conn: Connection, view: View) -> Bounds:
    """Return the bounds of a view's count: that of an area follows from the hexagons in it and those near.

    They follow from what is told of hexagons, so that they tell nothing more, and are the same whatever the
    resolution shown.
    """
    if view.area is None:
        every = _told_by(view, public_counts.c.cell).subquery("told")
        count = int(conn.execute(sa.select(sa.func.coalesce(sa.func.sum(every.c.count), 0))).scalar_one())
        return Bounds(count, count)
    at_least, at_most = _in_area(conn, view)
    return Bounds(at_least, at_most, _wider(conn, view) if at_least == 0 < at_most else None)


def _in_area(conn: Connection, view: View) -> tuple[int, int]:
    told = _told_by(view, public_counts.c.cell).subquery("told")
    sums = (
        sa.func.coalesce(sa.func.sum(told.c.count).filter(condition(view)), 0)
        for condition in (lies_inside, reaches_into)
    )
    row = conn.execute(sa.select(*sums).join_from(told, t.cells, t.cells.c.cell == told.c.cell)).one()
    return int(row[0]), int(row[1])


def _wider(conn: Connection, view: View) -> str | None:
    """Return the nearest grid around a view's area in which something is told for certain, if any."""
    assert view.area is not None
    here = grid(conn, view.area, view.asked)
    # Upwards only: as levels are finite, a circle forced into the table ends too.
    while here.parent_code is not None:
        above = grid(conn, here.parent_code, view.asked)
        if above.level >= here.level:
            return None
        if _in_area(conn, replace(view, area=above.code))[0]:
            return str(above.code)
        here = above
    return None


def _months(view: View, month: sa.ColumnElement[date]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that a month holds a moment of the view's period."""
    zone = sa.select(t.city.c.timezone).scalar_subquery()
    conditions = []
    if view.start is not None:
        conditions.append(month >= sa.func.date_trunc("month", sa.func.timezone(zone, _moment(view.start))))
    if view.end is not None:
        conditions.append(month < sa.func.timezone(zone, _moment(view.end)))
    return conditions


def _moment(value: object) -> sa.ColumnElement[object]:
    return sa.cast(value, sa.DateTime(timezone=True))


def _top(view: View) -> sa.ColumnElement[str]:
    """The category of the highest level among those of a view; null where there is none."""
    if view.categories is None:
        return sa.literal(ALL)
    c = t.categories.c
    return sa.select(c.code).where(c.parent.is_(None), c.code.in_(view.categories)).scalar_subquery()


def release_months(conn: Connection) -> str:
    """Tell the public of each month that is over and reported, once and for ever.

    Two tellings of a month would differ by what came in between, down to single incidents. A month that was
    too small tells by its silence that it was: it is tried again only where as many have come as may be told
    by themselves. One that held enough, but amid too few buildings, is tried again each time.
    """
    if not is_set(conn):
        return UNSET
    known = {row.month: row for row in conn.execute(sa.select(public_months))}
    found = {row.month: row for row in conn.execute(_numbers(conn))}
    due = [month for month, row in found.items() if month not in known or _may_be_tried(known[month], row)]
    forget_months(conn, due)
    if due:
        on = _tree(conn)
        counted = _counted(conn, due, on.levels[-1][0] if on.parent else 0)
        for month in due:
            _release(conn, on, found[month], counted[month])
    now = {month: found[month].incidents if month in found else 0 for month in known if known[month].told}
    changed = [
        f"{month:%Y-%m} by {number - known[month].incidents:+d}"
        for month, number in sorted(now.items())
        if abs(number - known[month].incidents) > _WORTH_SAYING * known[month].incidents
    ]
    advice = "; changed since they were told (refresh --tell-again MONTH): " + ", ".join(changed)
    return f"{len(found)} months" + (advice if changed else "")


def _may_be_tried(known: Record, found: Record) -> bool:
    """Return whether a month of which nothing is public may be counted again."""
    more = found.incidents - known.incidents
    return not known.told and (known.incidents >= MIN_INCIDENTS or more >= MIN_INCIDENTS)


_WORTH_SAYING = 0.05
"""The share of a month's incidents by which it must have changed."""


def forget_months(conn: Connection, months: Iterable[date]) -> None:
    """Forget what the public was told of months: the next release tells them as they are then."""
    for table in (public_counts, public_months):
        conn.execute(table.delete().where(table.c.month.in_(list(months))))


def _live(conn: Connection) -> sa.Subquery:
    """Month (of the city's zone), category and finest cell of every incident of a month that is over.

    It is over for as long as incidents usually take to be reported.
    """
    zone, i = the_city(conn).timezone, t.incidents.c
    delay = reporting_delay(conn)
    reported = sa.func.now() - (delay.usual if delay else timedelta())
    month = sa.cast(sa.func.date_trunc("month", sa.func.timezone(zone, i.occurred_at)), sa.Date)
    every = sa.select(month.label("month"), i.category, i[f"cell_{FINEST}"].label("cell")).where(
        i.state != "withdrawn"
    ).subquery("every")  # fmt: skip
    today = sa.cast(sa.func.timezone(zone, reported), sa.Date)
    return sa.select(every).where(every.c.month < sa.func.date_trunc("month", today)).subquery("live")


def _numbers(conn: Connection) -> Query:
    """Select month and number of incidents."""
    live = _live(conn)
    return sa.select(live.c.month, sa.func.count().label("incidents")).group_by(live.c.month)


def _tree(conn: Connection) -> Tree:
    """Return the tree of cells by their centres, from the finest to one that stands for the whole city."""
    finest = f"cell_{FINEST}"
    homes = (
        sa.select(t.buildings.c[finest].label("cell"), sa.func.count().label("n")).group_by("cell").subquery()
    )
    c = t.cells.c
    query = sa.select(c.cell, sa.func.coalesce(homes.c.n, 0)).outerjoin(homes, homes.c.cell == c.cell)
    cells, addresses = columns(conn, query.where(c.res == FINEST).order_by(c.cell), np.uint64, np.int64)
    coarser = [h3.parents(cells, res) for res in RESOLUTIONS[-2::-1]]
    return privacy.tree(np.column_stack([cells, *coarser, _whole(cells)]), addresses)


def _whole(cells: Cells) -> Cells:
    """Return one cell for all of them: the finest above RESOLUTIONS that holds most of their centres."""
    for res in range(RESOLUTIONS[0] - 1, -1, -1):
        above, members = np.unique(h3.parents(cells, res), return_counts=True)
        if len(above) == 1 or not res:
            return np.full(len(cells), above[members.argmax()] if len(cells) else 0)
    raise AssertionError("resolution 0 was reached")


Counted = tuple[dict[int, int], dict[str, dict[int, int]]]
"""Incidents by finest cell, of all and by category of the highest level."""


def _counted(conn: Connection, months: list[date], whole: int) -> dict[date, Counted]:
    """Count the incidents of months; those without a place are in no cell but the whole's."""
    live, tops = _live(conn), _tops(conn)
    query = sa.select(live, sa.func.count().label("n")).where(live.c.month.in_(months)).group_by(*live.c)
    counted: dict[date, Counted] = {month: (defaultdict(int), {}) for month in months}
    for row in conn.execute(query):
        total, by_category = counted[row.month]
        cell = whole if row.cell is None else row.cell
        total[cell] += row.n
        by_category.setdefault(tops[row.category], defaultdict(int))[cell] += row.n
    return counted


def _tops(conn: Connection) -> dict[str, str]:
    """Return each category's ancestor of the highest level."""
    above = {str(row["code"]): row["parent"] for row in category_tree(conn)}
    tops = {}
    for code in above:
        top = code
        while above[top] is not None:
            top = str(above[top])
        tops[code] = top
    return tops


def _release(conn: Connection, on: Tree, month: Record, counted: Counted) -> None:
    told = privacy.release(on, *counted) if on.parent else {}
    known = {"month": month.month, "incidents": month.incidents, "told": sorted(told)}
    conn.execute(public_months.insert().values(known))
    rows = [
        (month.month, name, cell, n, *_shown(on, cell))
        for name, counts in told.items()
        for cell, n in counts.items()
    ]
    add_cells(conn, np.unique(np.array([row[4:] for row in rows], dtype=np.uint64)))
    _copy(conn, rows)


def _copy(conn: Connection, rows: list[tuple[object, ...]]) -> None:
    """Write rows in one go: a city of a million houses has a hundred thousand of them."""
    driver: Any = conn.connection.driver_connection
    columns = ", ".join(column.name for column in public_counts.c)
    with driver.cursor() as cursor, cursor.copy(f"COPY public_counts ({columns}) FROM STDIN") as stream:
        for row in rows:
            stream.write_row(row)


def _shown(on: Tree, cell: int) -> list[int]:
    """Return the cell that each resolution shows for a told one: its ancestor there, else itself."""
    path = {(cell >> 52) & 15: cell}
    above = cell
    while above in on.parent:
        above = on.parent[above]
        path[(above >> 52) & 15] = above
    return [path.get(res, cell) for res in RESOLUTIONS]
