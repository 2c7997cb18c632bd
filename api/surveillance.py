"""Surveillance over HTTP: alarms of the week, raised every night or on demand, acknowledged and silenced."""

from datetime import UTC, date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

from api.access import Who, audience
from api.deps import Look, TestedBack, Transaction, told_records, told_silent, view
from api.limits import heavy
from api.once import Made, RunOnce
from api.times import Time
from gis import cells, city
from gis.clocks import rfc3339
from gis.db import Record
from gis.grids import Wish
from gis.recorded import SPREAD
from layers import rising, surveillance
from layers.stats.space_time import Cylinder
from layers.stats.surveillance import FEWEST_WEEKS

router = APIRouter()
_INSIDE = "alarms of grids inside it"
_WHOLE = "none: judged for the whole city, which a scope does not see"
Id = Annotated[int, Path(ge=1, lt=2**53)]
_EVERYTHING = Look(Wish(), None, None, None, None, None, None)
METHOD = {
    "categories": "of a category that came into use (`began`) only weeks since then count; it is tested once "
    f"{FEWEST_WEEKS} of them are recorded; all together leave it out once {SPREAD} of the "
    "lowest grids hold it",
    "expected": "Noufaily et al. 2013 from up to 5 years of weeks; of few incidents the share of the whole's",
    "p": "chance of so many incidents or more: negative binomial, the mean's uncertainty included",
    "recurrence_weeks": "weeks in which chance alone shows one so unlikely, over all series of the whole "
    "city; in a part of it rarer still",
    "recurrence_sure": f"false where the past is shorter than {surveillance.SURE_WEEKS} weeks: with two "
    "years alarms of chance came at 0.6 to 1.0 times the stated rate, with three or more at 0.8 to 1.2 times",
    "raised": f"where that is more than {surveillance.RECURRENCE_WEEKS} weeks",
}


class Alarms(BaseModel):
    """Alarms that were kept; `total` counts them all."""

    total: int
    limit: int
    offset: int
    method: dict[str, str]
    alarms: list[dict[str, Any]]


@router.get("/alarms", response_model=Alarms, openapi_extra=audience("commander", _INSIDE))
def list_alarms(
    transaction: Transaction,
    state: Annotated[
        Literal["unanswered", "all"], Query(description="Not acknowledged yet, or all.")
    ] = "all",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=10**7)] = 0,
) -> dict[str, Any]:
    """Answer the alarms of the weekly surveillance, the newest week first, in it the least likely first."""
    with transaction() as conn:
        rows, total = surveillance.kept(conn, limit, offset, unanswered=state == "unanswered")
    listed = [_alarm(row) for row in rows]
    return {"total": total, "limit": limit, "offset": offset, "method": METHOD, "alarms": listed}


class RisingAnswer(BaseModel):
    """Places where incidents gather before the period's end, the least likely first, ten at most."""

    start: str
    end: str
    res: int
    study_days: int
    incidents: int
    clusters: list[dict[str, Any]]
    method: dict[str, str]
    data_version: int
    provisional: dict[str, Any] | None
    unrecorded: dict[str, Any] | None
    began: list[dict[str, Any]]
    silent: list[dict[str, Any]]
    """Areas that were silent in a part of the days studied, with first and last day: left out. Null: what is
    asked for as a whole."""


_RISING = {
    "scan": "prospective space-time permutation scan (Kulldorff et al. 2005): discs of up to 37 cells and "
    "the last 1 to 28 of up to 84 days, against their share of what came everywhere in those days",
    "p": "the greatest of all cylinders in each of 999 exchanges of days among incidents; told to 0.05",
    "recurrence_days": "who looks once a day sees one so unlikely by chance in one of so many days",
}


@router.get(
    "/alarms/clusters", response_model=RisingAnswer, dependencies=[Depends(heavy)],
    openapi_extra=audience("commander", "incidents inside it"),
)  # fmt: skip
def rising_clusters(
    transaction: Transaction,
    look: TestedBack,
    who: Who,
    res: Annotated[int, Query(description="H3 resolution, 6 to 10.")] = 8,
) -> dict[str, Any]:
    """Answer where incidents gather in the days before `to` (there is no `from`), across all grids."""
    with transaction() as conn:
        found = rising.rising(conn, seen := view(conn, look, who), res)
        version, known = city.data_version(conn), told_records(conn, seen, found.aside)
    return {
        "start": rfc3339(found.start), "end": rfc3339(found.end), "res": res,
        "study_days": found.study_days, "incidents": found.incidents,
        "clusters": [_cluster(*one) for one in found.found], "method": _RISING, "data_version": version,
        **known,
    }  # fmt: skip


def _cluster(one: Cylinder, members: cells.Cells) -> dict[str, Any]:
    names = cells.to_text(members)
    return {
        "centre": names[0], "members": names, "days": one.days, "observed": one.n,
        "expected": one.expected, "ratio": one.n / one.expected, "llr": one.llr, "p": one.p,
        "recurrence_days": 1 / one.p,
    }  # fmt: skip


class Week(BaseModel):
    """Which week to judge: that of a day; by default the last one that is over and reported."""

    model_config = ConfigDict(extra="forbid")

    week: date | None = None


@router.post(
    "/alarms", status_code=201, dependencies=[Depends(heavy)], openapi_extra=audience("commander", _WHOLE)
)
def raise_alarms(once: RunOnce, who: Who, body: Week) -> Response:
    """Judge every grid and category in a week, and keep the alarms; a week judged again raises none twice."""

    def work(conn: Connection) -> Made:
        found = surveillance.survey(conn, view(conn, _EVERYTHING, who), body.week)
        return Made(_surveyed(found, surveillance.keep(conn, found)), 201, "/alarms")

    return once(work)


@router.post("/alarms/{number}/acknowledge", openapi_extra=audience("commander", _INSIDE))
def acknowledge_alarm(once: RunOnce, who: Who, number: Id) -> Response:
    """Say that an alarm was seen to; who said so first stands."""
    return once(lambda conn: Made(_alarm(surveillance.acknowledge(conn, number, who.name))))


class Silence(BaseModel):
    """Until when no alarm of the grid and category is raised, 366 days from now at most.

    A silence in force only grows, whoever asks; with `overrule` it may be cut short.
    """

    model_config = ConfigDict(extra="forbid")

    until: Time
    overrule: bool = False


@router.post("/alarms/{number}/silence", openapi_extra=audience("commander", _INSIDE))
def silence_alarm(once: RunOnce, who: Who, number: Id, body: Silence) -> Response:
    """Raise no more alarms of this one's grid and category until then."""
    return once(
        lambda conn: Made(
            _alarm(surveillance.silence(conn, number, who.name, body.until, overrule=body.overrule))
        )
    )


def _surveyed(found: surveillance.Surveyed, raised: int) -> dict[str, Any]:
    assert found.view.start
    assert found.view.end
    return {
        "start": rfc3339(found.view.start), "end": rfc3339(found.view.end), "weeks": found.weeks,
        "series": len(found.grids), "unjudged": found.unjudged, "alarms": int(found.found.alarm.sum()),
        "raised": raised, "expected_false": found.expected_false,
        "began": [
            {"category": one.category, "since": one.since.isoformat(), "tested": one.tested}
            for one in found.began
        ],
        "silent": told_silent((), found.silent),
        "recurrence_sure": found.weeks >= surveillance.SURE_WEEKS, "method": METHOD,
    }  # fmt: skip


def _alarm(row: Record) -> dict[str, Any]:
    """Return a kept alarm as it is answered."""
    plain = (
        "id",
        "grid",
        "category",
        "count",
        "threshold",
        "p",
        "series",
        "weeks",
        "acknowledged_by",
        "silenced_by",
    )
    answer = {name: row._mapping[name] for name in plain}
    for name in ("since", "until", "raised_at", "acknowledged_at", "silenced_until"):
        moment = row._mapping[name]
        answer[name] = rfc3339(moment.astimezone(UTC)) if moment else None
    # A p below the least number is rounding: the recurrence of a count is never endless.
    weeks = 1 / (max(row.p, 1e-300) * row.series)
    sure = (row.weeks or 0) >= surveillance.SURE_WEEKS
    told = {"recurrence_weeks": float(f"{weeks:.4g}"), "recurrence_sure": sure}
    return answer | {"expected": round(row.expected, 3)} | told
