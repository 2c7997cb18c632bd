"""Change, emergence, near repeats and profiles over HTTP: rows as JSON or CSV, each with its test."""

from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from api import tables
from api.access import Who, audience, demand_export
from api.deps import Tested, TestedBack, Transaction, told_records, told_series, view
from api.limits import heavy
from gis import cells, city
from gis.calendar import Festival
from gis.clocks import rfc3339
from gis.errors import BadInput
from layers import comparing, emergence, timing
from layers.comparing import Compared
from layers.stats.change import Change
from layers.stats.profiles import Profile
from layers.view import View

router = APIRouter(dependencies=[Depends(heavy)])
_AUDIENCE = audience("commander", "counts incidents inside it")
Form = Annotated[tables.Plain, Query()]
_CHANGE = {
    "test": "two-sided; of the whole the larger p of the E-test (Krishnamoorthy & Thomson 2004) "
    "and of a t test against how it swung over up to 12 equal periods before, null with fewer than "
    "6; of a row the larger p of the E-test and of its share beside all other rows (beta-binomial)",
    "q": "p adjusted for the number of rows (Benjamini-Hochberg); more or fewer where q <= 0.05",
    "percent": f"given only where both counts are {comparing.FEW} or more",
}
_EMERGING = {
    "state": "disc tails (negative binomial) against the disc's own mean step times how all moved, "
    "Benjamini-Hochberg over all cells and steps, half of 5 % for each side",
    "trend": "Mann-Kendall with ties, its variance calibrated by the memory all series share, "
    "Benjamini-Hochberg over all cells",
    "steps": "those that records hold whole: one that meets a gap is left out, those before and after count",
    "classes": "Esri's published rules of emerging hot spots, hot and cold, over the steps used",
}
_KNOX = {
    "bands": "half open: a pair at the upper edge belongs to the next; the first row is the very same place",
    "p": "(1 + permutations with as many pairs) / (1 + permutations), times exchanged among places",
    "p_adjusted": "p for all bands of the table together (Westfall & Young 1993, max T)",
}
_BAND = ("expected", "ratio", "p", "p_adjusted")
_PROFILE = {
    "spans": "incidents with an occurred_until count for the part of their span in each slot (aoristic, "
    "Ratcliffe 2000) and in the period",
    "interval": "exact 95 % Poisson interval of the rate (Garwood 1936)",
    "slots": "hours, or days of 24 hours, that the period holds of each kind; parts count as such",
    "p": "Pearson's chi-square, one rate throughout; by 9,999 simulated profiles below 50 incidents",
}


class Told(BaseModel):
    """Bounds, method and data version of an answer, and its rows."""

    start: str
    end: str
    method: dict[str, str]
    data_version: int
    provisional: dict[str, Any] | None
    """Days of the period that reports still fill up: since when, how many incidents, left out or not."""
    unrecorded: dict[str, Any] | None
    """Days of the period asked for that nobody recorded, those to come included: left out, or inside it."""


class ChangesTold(Told):
    """Each compared is null where the data do not reach back so far, or no festival is known.

    `days_off` are the announced holidays of the period, in each compared those of that one. `without` in each
    are categories that came into use after its start in many grids: tests leave them out. A row that is not
    `reported`, more than 5 % of its incidents being still to come, is not tested.
    """

    began: list[dict[str, Any]]
    silent: list[dict[str, Any]]
    """Since when what the view is filtered by (`category` null) is recorded, where that is later than the
    records' begin, and each category that is named in `without`."""
    now: int
    days_off: int | None
    before: dict[str, Any] | None
    year: dict[str, Any] | None
    weekdays: dict[str, Any] | None
    festival: dict[str, Any] | None
    celebrated: dict[str, Any] | None
    """The festival that most of the period belongs to, whether or not it can be compared."""
    rows: list[dict[str, Any]]


@router.get("/changes", response_model=ChangesTold, openapi_extra=_AUDIENCE)
def changes(
    transaction: Transaction,
    look: Tested,
    who: Who,
    res: Annotated[int | None, Query(description="H3 resolution, 6 to 10; 8 unless level is given.")] = None,
    level: Annotated[int | None, Query(ge=1, le=20, description="Level of grids instead of cells.")] = None,
    format: Form = "json",  # noqa: A002 - as elsewhere
) -> Response:
    """Answer each cell's or grid's count beside those of earlier periods."""
    if format != "json":
        demand_export(who)
    if res is not None and level is not None:
        raise BadInput("level", "give either res (cells) or level (grids)")
    with transaction() as conn:
        found = comparing.changes(conn, seen := view(conn, look, who), res, level)
        data = {"data_version": city.data_version(conn)}
        data |= told_series(conn, seen, found.silent, found.aside, found.silent_sources)
    keys = {"cell": found.keys} if found.names is None else {"code": found.keys, "name": found.names}
    columns: tables.Columns = {**keys, "now": found.now.tolist(), "reported": found.reported.tolist()}
    compared = {name: getattr(found, name) for name in _EARLIER}
    for name, then in compared.items():
        columns |= _compared_columns(name, then, len(found.keys))
    whole = _whole(found.start, found.end, _CHANGE, data) | {
        "now": found.incidents,
        "days_off": found.days_off[0],
        **{
            name: _compared(then, off)
            for (name, then), off in zip(compared.items(), found.days_off[1:], strict=True)
        },
        "celebrated": _celebrated(found.celebrated),
    }
    return tables.plain(whole, "rows", columns, format)


_EARLIER = ("before", "year", "weekdays", "festival")


def _celebrated(festival: Festival | None) -> dict[str, Any] | None:
    if festival is None:
        return None
    days = {name: getattr(festival, name).isoformat() for name in ("day", "first", "last")}
    return {"name_zh": festival.name_zh, "name_en": festival.name_en, **days}


_COMPARED = ("", "_difference", "_percent", "_p", "_q", "_told")


def _compared_columns(name: str, then: Compared | None, rows: int) -> tables.Columns:
    if then is None:
        return {f"{name}{part}": [None] * rows for part in _COMPARED}
    values = _values(then.rows, then.told(then.rows))
    return {f"{name}{part}": column for part, column in zip(_COMPARED, values, strict=True)}


def _values(change: Change, told: list[str | None]) -> list[list[Any]]:
    known = tables.known
    return [
        change.before.astype(int).tolist(), known(change.difference), known(change.percent),
        known(change.p), known(change.q), told,
    ]  # fmt: skip


def _compared(then: Compared | None, days_off: int | None) -> dict[str, Any] | None:
    if then is None:
        return None
    values = _values(then.whole, then.told(then.whole))
    names = ("count", "difference", "percent", "p", "q", "told")
    bounds = {"start": rfc3339(then.start), "end": rfc3339(then.end)}
    told = {name: column[0] for name, column in zip(names, values, strict=True)}
    without = [*(one.category for one in then.without), *(one.source for one in then.sources)]
    return bounds | told | {"days_off": days_off, "without": without}


class EmergingTold(Told):
    """Cells that are, or lastingly were, hot or cold; `states` oldest step first.

    `steps` were used of those `asked`; from `start` to `end`. `step_starts`: when each of them begins.
    """

    began: list[dict[str, Any]]
    silent: list[dict[str, Any]]
    """Since when what the view is filtered by is recorded, where that is later than the records' begin."""
    res: int
    steps: int
    step_starts: list[str]
    asked: int
    step_days: int
    basis: Literal["own"] = "own"
    judged: int
    classes: dict[str, int]
    cells: list[dict[str, Any]]


@router.get("/emerging", response_model=EmergingTold, openapi_extra=_AUDIENCE)
def emerging(
    transaction: Transaction,
    look: TestedBack,
    who: Who,
    res: Annotated[int, Query(description="H3 resolution, 6 to 10.")] = 8,
    steps: Annotated[int, Query(ge=10, le=60, description="Equal steps looked back on.")] = 12,
    step_days: Annotated[int, Query(ge=1, le=366, description="Days of a step.")] = 28,
    format: Form = "json",  # noqa: A002 - as elsewhere
) -> Response:
    """Answer how cells became hot or cold over the steps before `to` (there is no `from`)."""
    if format != "json":
        demand_export(who)
    with transaction() as conn:
        found = emergence.emerging(conn, seen := view(conn, look, who), res, steps, step_days)
        data = {"data_version": city.data_version(conn)} | told_records(
            conn, seen, found.aside, {one.source: one.silence for one in found.sources}
        )
    sides = ["hot" if side > 0 else "cold" for side in found.side.tolist()]
    kinds = [f"{kind} {side}" for kind, side in zip(found.kind, sides, strict=True)]
    columns: tables.Columns = {
        "cell": cells.to_text(found.cells), "id": cells.to_numbers(found.cells), "class": found.kind,
        "side": sides, "trend": found.trend.tolist(), "trend_p": tables.known(found.trend_p),
        "count": found.counts.sum(axis=1).tolist(), "latest": found.counts[:, -1].tolist(),
    }  # fmt: skip
    if format == "json":
        columns |= {"states": found.state.tolist(), "counts": found.counts.tolist()}
    whole = _whole(found.start, found.end, _EMERGING, data) | {
        "res": res, "steps": found.steps, "step_starts": [rfc3339(one) for one in found.starts],
        "asked": steps, "step_days": step_days, "basis": "own",
        "judged": found.judged,
        "classes": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    }  # fmt: skip
    return tables.plain(whole, "cells", columns, format)


class OfRecords(Told):
    """The same of an answer of the days alone on which what the view is filtered by was in use."""

    began: list[dict[str, Any]]
    silent: list[dict[str, Any]]
    """When it was not, with first and last silent day, null for open."""


class RepeatsTold(OfRecords):
    """Pairs by band of distance (m) and time (days)."""

    incidents: int
    permutations: int
    rows: list[dict[str, Any]]


Edges = Annotated[str, Query(max_length=120, pattern=r"^[0-9.,]*$")]


@router.get("/near-repeat", response_model=RepeatsTold, openapi_extra=_AUDIENCE)
def near_repeat(
    transaction: Transaction,
    look: Tested,
    who: Who,
    space: Annotated[Edges, Query(description="Upper edges in metres, rising.")] = "100,200,400",
    time: Annotated[Edges, Query(description="Upper edges in days, rising.")] = "7,14,28",
    permutations: Annotated[int, Query(ge=19, le=999)] = 199,
    format: Form = "json",  # noqa: A002 - as elsewhere
) -> Response:
    """Answer whether incidents follow one another nearby more often than chance would have it."""
    if format != "json":
        demand_export(who)
    far, long = _edges("space", space), _edges("time", time)
    with transaction() as conn:
        found = timing.near_repeats(conn, seen := view(conn, look, who), far, long, permutations)
        data = _data(conn, seen)
    spaces = [(0.0, 0.0), *zip(found.space_edges, found.space_edges[1:], strict=False)]
    times = list(zip(found.time_edges, found.time_edges[1:], strict=False))
    bands = [(*one, *other) for one in spaces for other in times]
    names = ("space_from_m", "space_to_m", "time_from_d", "time_to_d")
    columns: tables.Columns = {
        **{name: list(edge) for name, edge in zip(names, zip(*bands, strict=True), strict=True)},
        "observed": found.table.observed.ravel().tolist(),
        **{name: tables.known(getattr(found.table, name).ravel()) for name in _BAND},
    }
    whole = _whole(found.start, found.end, _KNOX, data)
    whole |= {"incidents": found.incidents, "permutations": permutations}
    return tables.plain(whole, "rows", columns, format)


def _edges(name: str, text: str) -> list[float]:
    """Read rising edges. Raises BadInput naming the parameter."""
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInput(name, f"{text!r} is no list of numbers such as 100,200") from error
    if not 1 <= len(edges) <= _BANDS or (np.diff([0, *edges]) <= 0).any() or edges[-1] > _FARTHEST:
        raise BadInput(
            name, f"edges must rise from above 0, at most {_BANDS} of them, none above {_FARTHEST}"
        )
    return edges


_BANDS, _FARTHEST = 12, 5_000


class ProfilesTold(OfRecords):
    """Rates by hour (0-23) and weekday (Monday 1 to Sunday 7), and the counts of the week by both."""

    incidents: int
    """Incidents that begin in the period."""
    counted: float
    """How many lie in it, spans counted by the part of them that does: what weekdays and days add up to."""
    without_hour: int
    """Incidents known by the day alone: counted by weekday, not by hour."""
    spread: int
    """Incidents known to lie in a span that reaches into the period: counted by the parts in each slot."""
    first: date
    days: int
    hours_p: float
    weekdays_p: float
    week: list[list[float]]
    daily: list[float] | None
    """Counts by day from `first` on; null for more than 3,660 days."""
    rows: list[dict[str, Any]]


@router.get("/profiles", response_model=ProfilesTold, openapi_extra=_AUDIENCE)
def profiles(transaction: Transaction, look: Tested, who: Who, format: Form = "json") -> Response:  # noqa: A002
    """Answer when incidents happen, in the city's own time."""
    if format != "json":
        demand_export(who)
    with transaction() as conn:
        found = timing.profiles(conn, seen := view(conn, look, who))
        data = _data(conn, seen)
    parts = [("hour", 0, found.hours), ("weekday", 1, found.weekdays)]
    slots = [(kind, slot + begin) for kind, begin, part in parts for slot in range(len(part.count))]
    columns: tables.Columns = {
        "kind": [kind for kind, _ in slots],
        "slot": [slot for _, slot in slots],
        **{
            name: _joined(name, found.hours, found.weekdays)
            for name in ("count", "slots", "rate", "low", "high")
        },
    }
    whole = _whole(found.start, found.end, _PROFILE, data) | {
        "incidents": found.incidents, "counted": found.counted, "without_hour": found.without_hour,
        "first": found.first,
        "days": found.days, "spread": found.spread,
        "daily": None if found.daily is None else found.daily.tolist(),
        "hours_p": found.hours.p, "weekdays_p": found.weekdays.p, "week": found.week.tolist(),
    }  # fmt: skip
    return tables.plain(whole, "rows", columns, format)


def _joined(name: str, *of: Profile) -> list[float | None]:
    return tables.known(np.concatenate([getattr(each, name) for each in of]))


def _data(conn: Connection, seen: View) -> dict[str, Any]:
    return {"data_version": city.data_version(conn)} | told_records(conn, seen)


def _whole(start: Any, end: Any, method: dict[str, str], data: dict[str, Any]) -> dict[str, Any]:
    return {"start": rfc3339(start), "end": rfc3339(end), "method": method} | data
