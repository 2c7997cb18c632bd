"""This period against earlier ones: the whole by its swing, its parts beside it."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import calendar
from gis import cells as h3
from gis import schema as t
from gis.calendar import Festival
from gis.city import the_city
from gis.errors import BadInput
from gis.grids import current
from gis.record_span import Span
from layers import periods
from layers.began import comparable, narrowed, uses
from layers.by_grid import grid_counts, reported_grids
from layers.counts import counts
from layers.expecting import bounds, closed_period, days_of, periods_before
from layers.newcomers import Newcomer, codes_of, newcomers, topmost, with_below
from layers.silence import Silence
from layers.silent_areas import SilentArea, set_aside
from layers.silent_sources import SilentSource, silent_sources, source_uses
from layers.stats.change import FEW, Change, change_of_parts, change_of_whole, with_and_without
from layers.stats.expectation import dispersion
from layers.stats.situation import FEWEST_PERIODS
from layers.view import View, wanted_incidents

ALPHA, USUAL_RES = 0.05, 8
"""Changes whose p (adjusted for the number of rows) is at most this are told as such."""
MATCHED_DAYS = 364
"""52 weeks: the same weekdays of the year before."""
Integers = npt.NDArray[np.int64]
Left = tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]
"""Categories, areas and sources that are left out."""
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
    aside: list[SilentArea]
    """Areas that were silent in a part of either period: tested without them, and not tested themselves."""
    without: list[Newcomer]
    """What was silent in either period in many grids: tested without it, and falls with it as well."""
    sources: list[SilentSource]
    """Sources that were so: likewise."""

    def told(self, change: Change) -> list[str | None]:
        """Return more, fewer or same for each comparison, by its adjusted p; None where it is not tested."""
        away = (change.q <= ALPHA) * np.sign(change.difference)
        ways = [("same", "more", "fewer")[int(way)] for way in away]
        return [None if np.isnan(q) else way for way, q in zip(ways, change.q, strict=True)]


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
    reported: npt.NDArray[np.bool_]
    """Whether so much of a grid is reported that it is tested; of cells nobody can say."""
    incidents: int
    before: Compared | None
    """None where the data do not reach back so far."""
    year: Compared | None
    weekdays: Compared | None
    """The same weekdays of the year before: MATCHED_DAYS earlier."""
    festival: Compared | None
    """The days that lay alike to the festival of the period in the year before."""
    celebrated: Festival | None
    """The festival that most of the period belongs to."""
    days_off: list[int | None]
    """Announced days off in this period and in each compared, in the order of the fields."""

    @property
    def silent(self) -> dict[str, Silence]:
        """Return when the categories were silent that any comparison is tested without."""
        every = [self.before, self.year, self.weekdays, self.festival]
        return {one.category: one.silence for each in every if each for one in each.without}

    @property
    def silent_sources(self) -> dict[str, Silence]:
        """Return when the sources were silent that any comparison is tested without."""
        every = [self.before, self.year, self.weekdays, self.festival]
        return {one.source: one.silence for each in every if each for one in each.sources}

    @property
    def aside(self) -> list[SilentArea]:
        """Return the areas that any comparison is tested without."""
        every = [self.before, self.year, self.weekdays, self.festival]
        return list(dict.fromkeys(one for each in every if each for one in each.aside))


def changes(conn: Connection, view: View, res: int | None, level: int | None) -> Changes:
    """Return counts of a view's period by cells at `res`, or by grids of a `level`, against earlier ones.

    How much the whole swings, and its parts beside it, is taken from up to twelve periods of equal length
    before. None is compared in which a category or source was not in use yet; one that holds such in many
    grids is tested without them. Raises BadInput for a resolution or level that is not there.
    """
    span, _ = narrowed(conn, view)
    now = closed_period(view, span)
    assert now.start
    assert now.end
    span = comparable(conn, view)
    backs = periods_before(now, span)
    past = [_earlier(now, back) for back in backs]
    zone = ZoneInfo(the_city(conn).timezone)
    celebrated, festival = _at_festival(now, zone)
    years = [_year_ago(now, zone), _days_earlier(now, zone, MATCHED_DAYS), festival]
    reached = [each if each and _comparable(now, each, span) else None for each in years]
    known = [now, *past, *(each for each in reached if each)]
    at = [1 if backs[:1] == [1] else None, *(None if each is None else known.index(each) for each in reached)]
    new = _new(conn, now, {each: known[each] for each in at if each is not None})
    aside = {each: set_aside(conn, now, bounds(known[each]), bounds(now)) for each in new}
    uses = source_uses(conn, now) if new else {}
    sources = {each: silent_sources(conn, now, uses, bounds(known[each]), bounds(now)) for each in new}
    lefts = {
        each: (
            codes_of(new[each]), tuple(one.code for one in aside[each]),
            tuple(one.source for one in sources[each]),
        )
        for each in new
    }  # fmt: skip
    nothing: Left = (frozenset(), (), ())
    out = list(dict.fromkeys([nothing, *lefts.values()]))
    blocks = [_without(conn, known, left) for left in out]
    keys, names, counted = _counted(conn, blocks, len(past), res, level)
    tables = dict(zip(out, counted, strict=True))
    all_of_it = counted[0]
    some = np.flatnonzero(all_of_it.parts[[0, *new]].any(axis=0))
    reported = np.ones(len(keys), dtype=bool) if level is None else reported_grids(conn, now, level)

    def compare(place: int) -> Compared:
        rest = tables[lefts[place]] if lefts[place] != nothing else None
        found = _compared(known, place, all_of_it, rest, some, new[place])
        found = replace(found, aside=aside[place], sources=sources[place])
        is_tested = reported[some]
        if rest is not None and aside[place]:
            left, every = (each.parts[[0, place]].sum(axis=0) for each in (rest, all_of_it))
            is_tested = is_tested & ((left > 0) | (every == 0))[some]
        return replace(found, rows=found.rows.among(is_tested))

    before, year, weekdays, same = (None if each is None else compare(each) for each in at)
    off = [_days_off(known[each], zone) if each is not None else None for each in (0, *at)]
    return Changes(
        now.start, now.end, [keys[i] for i in some], names and [names[i] for i in some],
        all_of_it.parts[0, some], reported[some], int(all_of_it.totals[0]), before, year, weekdays, same,
        celebrated, off,
    )  # fmt: skip


@dataclass(frozen=True)
class Swing:
    """Counts of periods of equal length before: how much the whole and its parts swing."""

    totals: Integers
    """Shape (periods,)."""
    parts: Integers
    """Shape (periods, parts)."""

    def of_whole(self, totals: Integers, days: tuple[float, float]) -> Change:
        now, before = totals.tolist()
        return change_of_whole(now, before, _enough(self.totals), *days)

    def of_parts(self, rows: Integers, days: tuple[float, float]) -> Change:
        """Compare parts beside all others; a single one, which has none beside it, against its own past."""
        if self.parts.shape[1] == 1 and len(rows[0]):
            return self._of_one(rows, days)
        alpha = dispersion(self.parts.T).alpha if len(self.parts) > 1 else 0.0
        now, before = rows
        return change_of_parts(now, before, *days, alpha)

    def _of_one(self, rows: Integers, days: tuple[float, float]) -> Change:
        now, before = rows[:, 0].tolist()
        return change_of_whole(now, before, _enough(self.parts[:, 0]), *days)


def _enough(past: Integers) -> Integers:
    return past if len(past) >= FEWEST_PERIODS else past[:0]


def _comparable(now: View, then: View, span: Span) -> bool:
    """Say whether both periods were recorded from their first day to their last."""
    return all(span.holds(*bounds(each)) for each in (now, then))


def _earlier(view: View, back: int) -> View:
    """Return the view of the period of equal length that lies so many periods before a closed one."""
    assert view.start
    assert view.end
    start, end = (periods.earlier(view.start, view.end, each) for each in (back, back - 1))
    return replace(view, start=start, end=end)


@dataclass(frozen=True)
class Counted:
    """Counts of the present period, of `past` periods before it and of others compared, in this order."""

    totals: Integers
    """Shape (views,)."""
    parts: Integers
    """Shape (views, parts)."""
    past: int

    def against(self, then: int, some: Integers, days: tuple[float, float]) -> tuple[Change, Change]:
        """Compare some of the parts, and the whole, with a period by its place."""
        behind, both = slice(1, self.past + 1), [0, then]
        swing = Swing(self.totals[behind], self.parts[behind])
        return swing.of_parts(self.parts[both][:, some], days), swing.of_whole(self.totals[both], days)


def _counted(
    conn: Connection, blocks: list[list[View]], past: int, res: int | None, level: int | None
) -> tuple[list[str], list[str] | None, list[Counted]]:
    """Return keys and names of the parts, and the counts of each block of views."""
    every = [view for views in blocks for view in views]
    by_part = _by_cell(conn, every, res or USUAL_RES) if level is None else _by_grid(conn, every, level)
    keys, names, table = by_part
    totals = np.array([_total(conn, each) for each in every])
    halves = zip(np.split(totals, len(blocks)), np.split(table, len(blocks)), strict=True)
    return keys, names, [Counted(whole, parts, past) for whole, parts in halves]


def _new(conn: Connection, now: View, compared: dict[int, View]) -> dict[int, list[Newcomer]]:
    """Return what many grids hold that was silent in a part of the present period and of each compared."""
    if not compared:
        return {}
    below = with_below(conn)
    silent = dict(zip(below, uses(conn, now, list(below.values())), strict=True))

    def of(then: View) -> list[Newcomer]:
        assert then.start
        both = bounds(then), bounds(now)
        changed = {code: one for code, each in silent.items() for one in each if one.parts(*both)}
        return topmost(newcomers(conn, now, then.start, changed))

    return {place: of(then) for place, then in compared.items()}


def _without(conn: Connection, views: list[View], leave: Left) -> list[View]:
    """Return the views without some categories, areas and sources."""
    codes, areas, sources = leave
    views = [replace(view, without=areas, without_sources=sources) for view in views]
    if not codes:
        return views
    left = [tuple(view.categories or with_below(conn)) for view in views]
    kept = [tuple(one for one in codes_left if one not in codes) for codes_left in left]
    return [replace(view, categories=some) for view, some in zip(views, kept, strict=True)]


def _compared(
    views: list[View], place: int, whole: Counted, rest: Counted | None, some: Integers,
    new: list[Newcomer],
) -> Compared:  # fmt: skip
    """Compare the first view with another: of all, and of the `rest` without what is new."""
    now, then = views[0], views[place]
    assert then.start
    assert then.end
    days = days_of(now), days_of(then)
    found = whole.against(place, some, days)
    if rest is not None:
        pairs = zip(found, rest.against(place, some, days), strict=True)
        of_parts, of_whole = (with_and_without(*pair) for pair in pairs)
        found = of_parts, of_whole
    return Compared(then.start, then.end, *found, [], new, [])


def _days_earlier(view: View, zone: ZoneInfo, days: int) -> View:
    """Return the view of so many days of the city's calendar earlier, at the same time of day."""

    def earlier(moment: datetime | None) -> datetime:
        assert moment
        return moment.astimezone(zone) - timedelta(days=days)

    return replace(view, start=earlier(view.start), end=earlier(view.end))


def _local_days(view: View, zone: ZoneInfo) -> tuple[date, date]:
    assert view.start
    assert view.end
    return view.start.astimezone(zone).date(), periods.last_moment(view.end).astimezone(zone).date()


def _at_festival(view: View, zone: ZoneInfo) -> tuple[Festival | None, View | None]:
    """Return the festival of a period, and the view of the days that lay alike to it in the year before."""
    known = calendar.of_zone(zone.key)
    festival = None if known is None else known.within(*_local_days(view, zone))
    before = None if known is None or festival is None else known.year_before(festival)
    if festival is None or before is None:
        return festival, None
    return festival, _days_earlier(view, zone, (festival.day - before.day).days)


def _days_off(view: View, zone: ZoneInfo) -> int | None:
    known = calendar.of_zone(zone.key)
    return None if known is None else known.days_off(*_local_days(view, zone))


def _year_ago(view: View, zone: ZoneInfo) -> View:
    """Return the same days of the year before, by the city's calendar."""

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


def _highest(conn: Connection, view: View) -> int:
    """Return the level of the area or scope that a view is of, 1 for the whole city."""
    g = t.grids.c
    found = sa.select(sa.func.max(g.level)).where(current(view.asked), g.code.in_(view.narrowest))
    return conn.execute(found).scalar() or 1


def _by_grid(conn: Connection, views: list[View], level: int) -> tuple[list[str], list[str], Integers]:
    if level < _highest(conn, views[0]):
        raise BadInput("level", f"there is no grid of level {level} within the area; take a lower one")
    codes, names, table = grid_counts(conn, views, level)
    if not codes:
        raise BadInput("level", f"there is no grid of level {level}; GET /city names the levels")
    return codes, names, table
