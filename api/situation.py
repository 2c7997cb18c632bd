"""The situation over HTTP: every grid and category against its past, the stability index, notice letters."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

from api import tables
from api.access import Who, audience, demand_export
from api.codes import Code
from api.deps import Look, Looked, Tested, Transaction, told_series, view
from api.limits import heavy
from api.once import Made, RunOnce
from api.situation_rows import index_columns, late_rows, situation_columns
from api.times import Time
from gis import city
from gis.access import Principal
from gis.clocks import rfc3339
from gis.db import Record
from gis.grids import Wish
from gis.schema_situation import LETTER_KINDS
from layers import letters, situation, stability
from layers.expecting import PERIODS
from layers.stats.index import Formula
from layers.view import View

router = APIRouter()
_INSIDE = "speaks of the grids inside it and their incidents"
Level = Annotated[int | None, Query(ge=1, le=20, description="Level of grids; all of them.")]
Id = Annotated[int, Path(ge=1, lt=2**53)]
_METHOD = {
    "expected": f"mean of up to {PERIODS} equal periods before, shrunk within level and category, by as much "
    "more or less as the others moved; of the whole: the mean of those periods",
    "compared": "count as it is tested: without what is new (`without`)",
    "unreported": "share still to be reported, by the delay of the row's own incidents (of fewer than 50: of "
    "its category's); a row with more than 0.05, and more than the whole has, is not tested",
    "ratio": "compared over expected, 95 % interval; ratio_high null beside a ratio: the past holds too "
    "little, less than about one incident, for any upper end",
    "p": "two-sided, negative binomial: the larger of those against the own past, as it was and by the swing "
    "of the others; of the whole: the larger of Poisson's and that of a t test over the periods before",
    "q": "p for all comparisons (Benjamini-Hochberg, the whole and its parts apart); departs: q <= 0.05",
    "change_p": "E-test against the period before (Krishnamoorthy & Thomson 2004), of one row alone",
    "closed": "share closed, exact 95 % interval (Clopper & Pearson 1934)",
    "response": "median seconds, what still waits counted as waiting (Kaplan & Meier 1958), 95 % interval",
}


@dataclass(frozen=True)
class Page:
    """Which of the rows are wanted, and in which form."""

    limit: int
    offset: int
    form: tables.Plain


async def page(
    who: Who,
    limit: Annotated[int, Query(ge=1, le=2000, description="Rows at most; `rows` says how many.")] = 200,
    offset: Annotated[int, Query(ge=0, le=10**7)] = 0,
    format: Annotated[tables.Plain, Query()] = "json",  # noqa: A002 - as elsewhere
) -> Page:
    """Return which rows are wanted. Raises Forbidden for a file without the right to export."""
    if format != "json":
        demand_export(who)
    return Page(limit, offset, format)


Paged = Annotated[Page, Depends(page)]


class Told(BaseModel):
    """What the rows are part of; `rows` counts them all, `offset` and `limit` say which of them are here."""

    start: datetime
    end: datetime
    rows: int
    offset: int
    limit: int
    data_version: int
    provisional: dict[str, Any] | None
    """Days of the period that reports still fill up: since when, how many incidents, left out or not."""
    unrecorded: dict[str, Any] | None
    """Days of the period asked for that nobody recorded, those to come included: left out, or inside it."""
    began: list[dict[str, Any]]
    """Categories that came into use within the periods, and since when: not tested. Null: all asked for."""
    silent: list[dict[str, Any]]
    """The same with those that paused or ended: first and last silent day, null for open; not tested."""
    without: list[str]
    """Those of them in many grids: what holds them is tested without them, and with them too if it fell."""
    unreported: dict[str, Any] | None
    """How many `rows` are not tested since more than 5 % of them is still to be reported, some `named`."""


class SituationTold(Told):
    """`comparisons` were tested at once; `quiet` of them never held an incident and are not listed.

    With fewer than 6 past `periods` of equal length nothing is `tested`: all that rests on a test is null.
    """

    periods: int
    tested: bool
    comparisons: int
    departing: int
    quiet: int
    without_grid: int
    method: dict[str, str]
    situation: list[dict[str, Any]]


@router.get(
    "/situation", response_model=SituationTold, dependencies=[Depends(heavy)],
    openapi_extra=audience("commander", _INSIDE),
)  # fmt: skip
def answer_situation(
    transaction: Transaction,
    look: Tested,
    who: Who,
    page: Paged,
    level: Level = None,
    categories: Annotated[Literal["top", "all"], Query(description="Of the highest level, or all.")] = "top",
    only: Annotated[Literal["departures"] | None, Query(description="Only what departs.")] = None,
) -> Response:
    """Answer each grid's count by category against its own past, the surest departures first."""
    with transaction() as conn:
        seen = _latest(conn, look, who)
        found = situation.situation(conn, seen, level, fine=categories == "all")
        data = _data(conn, seen, found)
    listed = found.order
    departs = np.zeros(len(found.count)) if found.departure is None else found.departure.departs
    if only:
        listed = listed[departs[listed] != 0]
    whole = _whole(found.view, len(listed), page, data) | {
        "periods": found.periods,
        "tested": found.departure is not None,
        "comparisons": found.comparisons,
        "departing": int((departs != 0).sum()),
        "quiet": len(found.count) - len(found.order),
        "without_grid": found.without_grid,
        "method": _METHOD,
    }
    rows = listed[page.offset : page.offset + page.limit]
    return _paged(whole, "situation", situation_columns(found, rows), page.form)


class IndexTold(Told):
    """The formula, and each grid's index with its parts; a rank is given only where no interval overlaps."""

    formula: dict[str, Any]
    lights: dict[str, int]
    index: list[dict[str, Any]]


@router.get(
    "/stability-index", response_model=IndexTold, dependencies=[Depends(heavy)],
    openapi_extra=audience("commander", _INSIDE),
)  # fmt: skip
def answer_index(
    transaction: Transaction,
    look: Tested,
    who: Who,
    page: Paged,
    level: Annotated[int, Query(ge=1, le=20, description="Level of grids.")] = 2,
) -> Response:
    """Answer the stability index (平安指数) of a level's grids, lowest first, with its parts and interval."""
    with transaction() as conn:
        seen = _latest(conn, look, who)
        found = stability.standings(conn, seen, level)
        data = _data(conn, seen, found.situation)
    lights = [each.light for each in found.indexes if each]
    whole = _whole(found.situation.view, len(found.rows), page, data) | {
        "formula": _formula(found.formula),
        "lights": {light: lights.count(light) for light in ("green", "yellow", "red")},
    }
    value = np.array([each.value if each else np.inf for each in found.indexes])
    places = np.argsort(value, kind="stable")[page.offset : page.offset + page.limit]
    return _paged(whole, "index", index_columns(found, places), page.form)


def _formula(formula: Formula) -> dict[str, Any]:
    return asdict(formula) | {"valid_from": formula.valid_from.isoformat()}


def _latest(conn: Connection, look: Look, who: Principal) -> View:
    """Return the view asked for; without a period, the last 30 days that hold incidents."""
    seen = view(conn, look, who)
    return seen if seen.start or seen.end else situation.last_days(conn, seen)


def _data(conn: Connection, seen: View, found: situation.Situation) -> dict[str, Any]:
    return {"data_version": city.data_version(conn)} | _series(conn, seen, found)


def _series(conn: Connection, seen: View, found: situation.Situation) -> dict[str, Any]:
    told = {"without": found.without, "unreported": late_rows(found)}
    sources = {one.source: one.silence for one in found.sources}
    return told_series(conn, seen, found.silences, found.aside.areas, sources) | told


def _whole(seen: View, rows: int, page: Page, data: dict[str, Any]) -> dict[str, Any]:
    assert seen.start
    assert seen.end
    ends = {"start": rfc3339(seen.start), "end": rfc3339(seen.end)}
    return ends | {"rows": rows, "offset": page.offset, "limit": page.limit} | data


def _paged(whole: dict[str, Any], name: str, columns: tables.Columns, form: tables.Plain) -> Response:
    answer = tables.plain(whole, name, columns, form)
    answer.headers["X-Rows"] = str(whole["rows"])
    return answer


class Drafts(BaseModel):
    """Letters that could be sent (`total` of them) and the newest that were kept."""

    total: int
    limit: int
    provisional: dict[str, Any] | None
    unrecorded: dict[str, Any] | None
    began: list[dict[str, Any]]
    silent: list[dict[str, Any]]
    without: list[str]
    unreported: dict[str, Any] | None
    drafts: list[dict[str, Any]]
    kept: list[dict[str, Any]]


class NewLetter(BaseModel):
    """Which draft to keep: about which grid and category (none: all), and of which period."""

    model_config = ConfigDict(extra="forbid")

    grid: Code
    category: Code | None = None
    start: Time
    end: Time
    kind: Literal[LETTER_KINDS] | None = None  # type: ignore[valid-type]


@router.get(
    "/letters", response_model=Drafts, dependencies=[Depends(heavy)],
    openapi_extra=audience("commander", "drafts and letters about grids inside it"),
)  # fmt: skip
def list_letters(
    transaction: Transaction,
    look: Looked,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=100, description="Drafts and letters answered at most.")] = 20,
) -> Response:
    """Answer drafts of 平安提示函 and 风险预警函 for what rose above its past, each with its evidence."""
    with transaction() as conn:
        seen = _latest(conn, look, who)
        rows = situation.situation(conn, seen)
        drafts, total = letters.drafts(conn, rows, limit)
        known = _series(conn, seen, rows)
        kept = [_kept(row) for row in letters.kept(conn, limit)]
    found = [asdict(draft) for draft in drafts]
    return tables.json({"total": total, "limit": limit, **known, "drafts": found, "kept": kept})


@router.post(
    "/letters", status_code=201, dependencies=[Depends(heavy)],
    openapi_extra=audience("commander", "only about grids inside it"),
)  # fmt: skip
def keep_letter(once: RunOnce, who: Who, body: NewLetter) -> Response:
    """Keep a draft with its evidence as of now; a letter that nothing speaks for is refused (422)."""

    def work(conn: Connection) -> Made:
        seen = view(conn, _look(body), who)
        number = letters.keep(conn, seen, body.grid, body.category, who.name, body.kind)
        return Made(_kept(letters.letter(conn, number)), 201, f"/letters/{number}")

    return once(work)


def _look(body: NewLetter) -> Look:
    return Look(Wish(), body.start.isoformat(), body.end.isoformat(), None, None, None, None)


@router.get("/letters/{number}", openapi_extra=audience("commander", "letters about grids inside it"))
def read_letter(transaction: Transaction, number: Id) -> dict[str, Any]:
    """Answer a kept letter with its evidence."""
    with transaction() as conn:
        return _kept(letters.letter(conn, number))


@router.get(
    "/letters/{number}/print", response_class=HTMLResponse,
    openapi_extra=audience("commander", "letters about grids inside it"),
)  # fmt: skip
def print_letter(
    transaction: Transaction, number: Id, lang: Annotated[Literal["zh", "en"], Query()] = "zh"
) -> HTMLResponse:
    """Answer a kept letter as a page to print."""
    with transaction() as conn:
        return HTMLResponse(letters.printable(letters.letter(conn, number), lang))


@router.post("/letters/{number}/issue", openapi_extra=audience("approver", "letters about grids inside it"))
def issue_letter(once: RunOnce, who: Who, number: Id) -> Response:
    """Issue a kept letter; an issued one changes no more."""

    def work(conn: Connection) -> Made:
        letters.issue(conn, number, who.name)
        return Made(_kept(letters.letter(conn, number)))

    return once(work)


def _kept(row: Record) -> dict[str, Any]:
    """Return a kept letter as it is told."""
    moments = ("since", "until", "drafted_at", "issued_at")
    plain = ("id", "kind", "grid", "category", "evidence", "texts", "author", "issuer")
    told = {name: row._mapping[name] for name in plain}
    for name in moments:
        value = row._mapping[name]
        told[name] = rfc3339(value.astimezone(UTC)) if value else None
    return told | {"state": "issued" if row.issued_at else "draft"}
