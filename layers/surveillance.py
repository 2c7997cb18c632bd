"""Weekly surveillance of every grid and category: alarms that are kept, acknowledged and silenced."""

from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from gis.city import the_city
from gis.clocks import in_city
from gis.db import Record
from gis.errors import BadInput, Forbidden, NotFound, Problem
from gis.record_span import Span
from gis.recorded import begun, is_wide
from gis.schema import grid_codes
from gis.schema_situation import alarms
from layers import periods
from layers.delays import view_span
from layers.expecting import bounds, periods_before
from layers.silent_areas import SilentArea
from layers.situation import series
from layers.situation_grids import Aside, Grids, areas_aside, window
from layers.stats.surveillance import FEWEST_WEEKS, MOST_YEARS, Watch, watch
from layers.view import View

RECURRENCE_WEEKS = 13
"""Over all series together, chance alone alarms at most once in so many weeks."""
SURE_WEEKS = 156
"""With three years of past or more, quiet series alarmed 0.83 to 1.19 times as often as stated; with two, 0.6
to 1.0 times (docs/proofs.md), and with less nobody has measured it."""
MOST_SILENT_DAYS = 366
"""Whoever wants to hear nothing for longer says so again every year."""
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Began:
    """A category that came into use within the weeks looked at."""

    category: str
    since: date
    """Monday of its first week."""
    tested: bool
    """Whether FEWEST_WEEKS of it are recorded, so that its own series are judged."""


@dataclass(frozen=True)
class Surveyed:
    """The series judged of one week: those that held an incident in the weeks before it."""

    view: View
    """Closed: the week, Monday to Monday."""
    weeks: int
    """Weeks of past."""
    unjudged: int
    """Series that never held an incident before the week, or of a category that has been recorded for less
    than FEWEST_WEEKS: nobody can say what is usual there."""
    began: list["Began"]
    """Categories that came into use within these weeks, in their order."""
    grids: list[str]
    """Code of the grid of each series judged, shape (series,); the category beside it, None for all."""
    categories: list[str | None]
    found: Watch
    silent: list[SilentArea]
    """Areas that were silent in some of the weeks: those above them are judged without them, they themselves
    by the weeks of their records alone, once FEWEST_WEEKS of these are."""

    @property
    def expected_false(self) -> float:
        """Return how many alarms chance alone would have raised in this week."""
        return float(self.found.attained.sum())


def survey(conn: Connection, view: View, week: date | None = None) -> Surveyed:
    """Judge every grid and category of a view in the week of a day, in the last one that is whole if None.

    Raises BadInput where the week is not over, not yet reported or before the records, or too few precede it,
    and Forbidden for a part of the city: how rare an alarm is, all of its series say.
    """
    if view.scope is not None:
        raise Forbidden("alarms are judged for the whole city, each night or by who sees all of it")
    span = view_span(conn, view)
    view = _of_week(conn, view, span, week)
    backs = periods_before(view, span, 53 * MOST_YEARS)
    if len(backs) < FEWEST_WEEKS:
        told = f"records hold {len(backs)} weeks before this one; {FEWEST_WEEKS} are needed"
        raise BadInput("week", told)
    assert view.start
    before = backs[-1]
    grids, categories, counts = series(conn, view, before)
    recorded = np.isin(before - np.arange(before + 1), [0, *backs])
    is_leaf = np.isin(grids.codes, grids.owners.tiers[0])
    aside = areas_aside(conn, window(view, before), grids)
    table = _without(counts.reshape(len(grids.codes), len(categories), -1), grids, aside)
    counts, begins = _in_use(table, is_leaf, recorded)
    known = recorded & _in_record(grids, aside, periods.edges(view.start, bounds(view)[1], before))
    since = np.maximum(np.tile(begins, len(grids.codes)), np.repeat(known.argmax(axis=1), len(categories)))
    behind = np.append(recorded[:-1][::-1].cumsum()[::-1], 0)  # recorded weeks from each one on
    of_row = np.repeat(known, len(categories), axis=0)
    held = of_row & (np.arange(before + 1) >= since[:, None])
    is_known = held[:, -1] & (held[:, :-1].sum(axis=1) >= FEWEST_WEEKS)
    judged = np.flatnonzero(counts[:, :-1].any(axis=1) & is_known)
    monday = view.start.date() - before * _WEEK
    weeks: npt.NDArray[np.datetime64] = np.datetime64(monday) + 7 * np.arange(before + 1)
    level = 1 / (RECURRENCE_WEEKS * max(len(judged), 1))
    return Surveyed(
        view, len(backs), len(counts) - len(judged),
        [
            Began(category, monday + int(begin) * _WEEK, bool(behind[begin] >= FEWEST_WEEKS))
            for category, begin in zip(categories, begins, strict=True) if begin and category
        ],
        [grids.codes[row // len(categories)] for row in judged.tolist()],
        [categories[row % len(categories)] or None for row in judged.tolist()],
        _watched(counts[judged].astype(np.float64), weeks, of_row[judged], since[judged], level),
        aside.areas,
    )  # fmt: skip


def _in_use(
    counts: npt.NDArray[np.int32], is_leaf: npt.NDArray[np.bool_], recorded: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return counts (series, weeks) of (grids, categories, weeks), and each category's first week in use.

    A category came into use where the weeks that hold it, or the first ones of the lowest grids, the week
    judged included, lie too far from the first week to be chance (`gis.recorded`). The first category, which
    holds all others, leaves out those of them that are wide.
    """
    known, counts = np.flatnonzero(recorded), counts.copy()

    def first_week(row: int) -> int:
        return int(known[begun(counts[is_leaf, row][:, known] > 0)])

    begins = [first_week(row) for row in range(1, counts.shape[1])]
    wide = is_wide(np.asarray((counts[is_leaf, 1:] > 0).any(axis=2)))
    counts[:, 0] -= counts[:, 1:][:, (np.array(begins) > 0) & wide].sum(axis=1)
    return counts.reshape(-1, counts.shape[2]), np.array([first_week(0), *begins])


def _without(counts: npt.NDArray[np.int32], grids: Grids, aside: Aside) -> npt.NDArray[np.int32]:
    """Return counts (grids, ...) without those of the areas set aside, but in what lies in them."""
    counts, found = counts.copy(), counts
    for one in aside.areas:
        area = grids.codes.index(one.code)
        inside = np.asarray(grids.holds[[area]].todense()).ravel() > 0
        holds = np.asarray((grids.holds[:, np.flatnonzero(inside)]).sum(axis=1)).ravel() == inside.sum()
        counts[holds & ~aside.inside] -= found[area]
    return counts


def _in_record(grids: Grids, aside: Aside, edges: list[datetime]) -> npt.NDArray[np.bool_]:
    """Return in which weeks between `edges` each grid was recorded, shape (grids, weeks)."""
    known = np.ones((len(grids.codes), len(edges) - 1), dtype=bool)
    for one in aside.areas:
        area = np.asarray(grids.holds[[grids.codes.index(one.code)]].todense()).ravel() > 0
        within = np.asarray((grids.holds[:, np.flatnonzero(~area)]).sum(axis=1)).ravel() == 0
        silent = [one.silence.touches(*week) for week in pairwise(edges)]
        known[np.ix_(within, silent)] = False
    return known


def _watched(
    counts: npt.NDArray[np.float64], weeks: npt.NDArray[np.datetime64], recorded: npt.NDArray[np.bool_],
    since: npt.NDArray[np.int64], level: float,
) -> Watch:  # fmt: skip
    """Judge the last week of each series against its `recorded` weeks (series, weeks) `since` it has been."""
    names = [field.name for field in fields(Watch)]
    found = {name: np.zeros(len(counts)) for name in names}
    kinds, kind = np.unique(np.column_stack((since, recorded)), axis=0, return_inverse=True)
    for number, week in enumerate(kinds[:, 0].tolist()):
        rows = kind.ravel() == number
        one = watch(counts[rows, week:], weeks[week:], level, kinds[number, 1 + week :].astype(bool))
        for name in names:
            found[name][rows] = getattr(one, name)
    return Watch(**found | {"alarm": found["alarm"].astype(bool)})


def _of_week(conn: Connection, view: View, span: Span, week: date | None) -> View:
    """Return the view of a week that is over and whose reports have come."""
    zone = ZoneInfo(the_city(conn).timezone)
    settled = span.recorded[-1][1] if span.recorded else datetime.now(zone)
    if span.delay is not None:
        settled = min(settled, span.delay.settled, key=periods.utc)
    # The day of this moment is not over, or still filling up; those before it are in the record.
    latest = _monday(settled.astimezone(zone).date())
    if week is not None and week >= latest:
        raise BadInput("week", f"the last week that is over and reported began on {latest - _WEEK}")
    if week is not None and span.first and week < span.first.date() - _WEEK:
        raise BadInput("week", f"records begin on {span.first.astimezone(zone).date()}")
    end = latest if week is None else _monday(week) + _WEEK
    start, until = (datetime.combine(day, time(), zone) for day in (end - _WEEK, end))
    if span.recorded and not span.holds(start, until):
        raise BadInput("week", _unrecorded(start, until, span))
    return replace(view, start=start, end=until)


def _unrecorded(start: datetime, end: datetime, span: Span) -> str:
    """Say which days of a week nobody recorded."""
    bounds = [start, *(moment for part in span.parts(start, end) for moment in part), end]
    gaps = [
        f"{since:%Y-%m-%d} to {periods.last_moment(until):%Y-%m-%d}"
        for since, until in zip(bounds[::2], bounds[1::2], strict=True)
        if periods.utc(since) < periods.utc(until)
    ]
    return f"nobody recorded {', '.join(gaps)}; of a week with such days nothing can be said, name another"


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def keep(conn: Connection, found: Surveyed) -> int:
    """Raise the alarms of a survey that were not raised yet and are not silenced; return how many."""
    silent, of = _silenced(conn), _numbers(conn, found)
    rows = [_row(found, place, of) for place in np.flatnonzero(found.found.alarm).tolist()]
    loud = [row for row in rows if (row["grid_id"], row["category"]) not in silent]
    if not loud:
        return 0
    done = insert(alarms).values(loud).on_conflict_do_nothing().returning(alarms.c.id)
    return len(conn.execute(done).all())


def _row(found: Surveyed, place: int, of: dict[str, int]) -> dict[str, Any]:
    watched = found.found
    return {
        "grid_id": of[found.grids[place]], "category": found.categories[place],
        "since": found.view.start, "until": found.view.end, "count": int(watched.count[place]),
        "expected": float(watched.expected[place]), "threshold": int(watched.threshold[place]),
        "p": float(watched.p[place]), "series": len(found.grids), "weeks": found.weeks,
    }  # fmt: skip


def _silenced(conn: Connection) -> set[tuple[int, str | None]]:
    """Return the grids and categories whose alarms somebody wants to hear nothing of for now."""
    a = alarms.c
    query = sa.select(a.grid_id, a.category).where(a.silenced_until > sa.func.now())
    return {(row.grid_id, row.category) for row in conn.execute(query)}


def _numbers(conn: Connection, found: Surveyed) -> dict[str, int]:
    g = grid_codes.c
    query = sa.select(g.code, g.id).where(g.scheme == found.view.scheme, g.code.in_(set(found.grids)))
    return {row.code: row.id for row in conn.execute(query)}


def kept(conn: Connection, limit: int, offset: int, *, unanswered: bool) -> tuple[list[Record], int]:
    """Return alarms that the asker may see, newest week and least chance first, and how many there are."""
    a = alarms.c
    some = [a.acknowledged_at.is_(None)] if unanswered else []
    total = conn.execute(sa.select(sa.func.count()).select_from(alarms).where(*some)).scalar_one()
    rows = _with_code().where(*some).order_by(a.until.desc(), a.p, a.id).limit(limit).offset(offset)
    return list(conn.execute(rows)), int(total)


def acknowledge(conn: Connection, alarm: int, by: str) -> Record:
    """Say that somebody has seen to an alarm; the first one stands. Raises NotFound."""
    a = alarms.c
    one = alarms.update().where(a.id == alarm, a.acknowledged_at.is_(None))
    conn.execute(one.values(acknowledged_by=by, acknowledged_at=sa.func.now()))
    return _one(conn, alarm)


def silence(conn: Connection, alarm: int, by: str, until: datetime, *, overrule: bool = False) -> Record:
    """Raise no alarm of this grid and category until a moment; a silence in force may only grow.

    A moment without a zone is in the city's.
    With `overrule` it may be cut short as well. Raises NotFound, BadInput for the past or more than
    MOST_SILENT_DAYS, and Problem where the alarm is silent for longer already.
    """
    _one(conn, alarm)
    a, now, until = alarms.c, datetime.now().astimezone(), in_city(conn, until, "until")
    if not now < until <= now + MOST_SILENT_DAYS * periods.DAY:
        raise BadInput("until", f"must lie in the future, by {MOST_SILENT_DAYS} days at most")
    grows = sa.or_(sa.literal(overrule), a.silenced_until.is_(None), a.silenced_until < until)
    one = alarms.update().where(a.id == alarm, grows).values(silenced_by=by, silenced_until=until)
    done, row = conn.execute(one).rowcount, _one(conn, alarm)
    if not done and row.silenced_until != until:
        told = f"{row.silenced_by} silenced this alarm until {row.silenced_until.isoformat()}"
        raise Problem(f"{told}; ask for longer, or with overrule: true to cut it short")
    return row


def _one(conn: Connection, alarm: int) -> Record:
    row = conn.execute(_with_code().where(alarms.c.id == alarm)).one_or_none()
    if row is None:
        raise NotFound(f"there is no alarm {alarm}")
    return row


def _with_code() -> sa.Select[Any]:
    g = grid_codes.c
    return sa.select(alarms, g.code.label("grid")).join(grid_codes, g.id == alarms.c.grid_id)
