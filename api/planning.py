"""Plans: drafts of new boundaries, taken step by step, checked, weighed, approved and published."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
import orjson
import shapely
from fastapi import APIRouter, Body, Depends, Path, Query
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.engine import Connection

from api import planning_told
from api.access import Who, audience
from api.codes import Code, Flag, Real
from api.deps import DatumName, Transaction
from api.limits import heavy
from api.once import Made, RunOnce
from api.planning_bodies import Again, Back, NewPlan, Step, believed
from gis import (
    crs,
    plan_faults,
    plan_features,
    plan_input,
    plan_snap,
    plan_store,
    plan_suggest,
    plan_table,
    plans,
)
from gis.case import HouseholdRange
from gis.errors import BadInput
from gis.plan_features import Json
from gis.plan_impact import LISTS, Impact
from gis.plan_prospect import prospect
from gis.plans import Done, Draft
from gis.schema_plans import STATES

router = APIRouter()
MOST_FAULTS = 2000
_INSIDE = "only plans whose scope lies inside it"
READ, EDIT, DECIDE = (
    audience("commander", _INSIDE),
    audience("planner", _INSIDE),
    audience("approver", _INSIDE),
)

Id = Annotated[int, Path(ge=1, lt=2**53)]


@router.post("/plans", status_code=201, openapi_extra=EDIT)
def create(once: RunOnce, who: Who, body: NewPlan) -> Response:
    """Begin a draft within a grid, on the newest revision."""

    def work(conn: Connection) -> Made:
        made = plans.create(conn, who, body.scope, body.title, body.effective_on, body.scheme)
        return Made(planning_told.whole(conn, made), 201, f"/plans/{made.id}")

    return once(work)


@router.get("/plans", openapi_extra=READ)
def listed(
    transaction: Transaction,
    state: Annotated[Literal[STATES] | None, Query()] = None,  # type: ignore[valid-type]
    before: Annotated[
        int | None, Query(ge=1, lt=2**53, description="Only plans older than this one.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Json:
    """Answer plans, newest first; `more` says whether there are older ones."""
    with transaction() as conn:
        found = plan_store.listed(conn, state, before, limit + 1)
        told = [planning_told.brief(conn, plan) for plan in found[:limit]]
    return {"plans": told, "limit": limit, "more": len(found) > limit}


@router.get("/plans/{plan_id}", openapi_extra=READ)
def plan(transaction: Transaction, plan_id: Id) -> Json:
    """Answer one plan."""
    with transaction() as conn:
        return planning_told.whole(conn, plan_store.get(conn, plan_id))


@router.post("/plans/{plan_id}/steps", openapi_extra=EDIT)
def step(once: RunOnce, who: Who, plan_id: Id, body: Step, datum: DatumName = "wgs84") -> Response:
    """Take a step: answers the grids it changed, and what is wrong with them and their siblings.

    `line` is what a split or a reshape has used of the line drawn; `area` tells what an assignment took
    beyond the area, as borders go through vertices within half a metre.
    """
    params = {
        name: value for name, value in body.model_dump().items() if value is not None and name != "head"
    }

    def work(conn: Connection) -> Made:
        done = plans.take(conn, who, plan_id, _on_wgs84(params, datum), believed(body))
        told = answer(conn, done, datum)
        used = {"line": plan_features.line_used(told["step"], done.changes, datum)}
        return Made(told | used | {"area": plan_features.area_used(told["step"], done.changes)})

    return once(work)


@router.post("/plans/{plan_id}/undo", openapi_extra=EDIT)
def undo(
    once: RunOnce,
    who: Who,
    plan_id: Id,
    body: Annotated[Back | None, Body()] = None,
    datum: DatumName = "wgs84",
) -> Response:
    """Go back by one step."""

    def work(conn: Connection) -> Made:
        done = plans.undo(conn, plan_id, believed(body))
        plan_store.add_hand(conn, plan_id, who)
        return Made(answer(conn, done, datum))

    return once(work)


@router.post("/plans/{plan_id}/redo", openapi_extra=EDIT)
def redo(
    once: RunOnce,
    who: Who,
    plan_id: Id,
    body: Annotated[Again | None, Body()] = None,
    datum: DatumName = "wgs84",
) -> Response:
    """Do a step again that was undone."""

    def work(conn: Connection) -> Made:
        done = plans.redo(conn, plan_id, body.step if body else None, believed(body))
        plan_store.add_hand(conn, plan_id, who)
        return Made(answer(conn, done, datum))

    return once(work)


def _on_wgs84(params: Json, datum: crs.Datum) -> Json:
    """Return a step's parameters with their coordinates on WGS-84."""
    if datum == "wgs84":
        return params
    moved = dict(params)
    for name in {"line", "area"} & params.keys():
        shape = plan_input.shape(name, params[name])
        there = shapely.transform(shape, lambda xy: np.column_stack(crs.to_wgs84(xy[:, 0], xy[:, 1], datum)))
        moved[name] = orjson.loads(shapely.to_geojson(there))
    for name in {"at", "to", "edge"} & params.keys():
        if not isinstance(params[name], str):
            moved[name] = _places(params[name], datum)
    return moved


def _places(value: Any, datum: crs.Datum) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [_places(one, datum) for one in value]
    return list(crs.point_to_wgs84(*plan_input.place("at", value), datum))


def answer(conn: Connection, done: Done, datum: crs.Datum) -> Json:
    """Return what a step, an undo or a redo did."""
    here = done.draft
    grids, gone = plan_features.changed(conn, here.plan.scheme, plans.shown(done), datum)
    found = plan_faults.of_changed(conn, here.cov, done.changes)
    found += plan_faults.of_uppers(here.base.cov, here.cov)
    return {
        "plan": planning_told.whole(conn, here.plan),
        "step": _step(dict(plan_store.step(conn, here.plan.id, done.step)._mapping)),
        "grids": grids,
        "gone": gone,
        "faults": plan_features.faults(found, datum, MOST_FAULTS),
    }


@router.get("/plans/{plan_id}/snap", openapi_extra=READ)
def snap(
    transaction: Transaction,
    plan_id: Id,
    lon: Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False)],
    lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)],
    reach_m: Annotated[float, Query(gt=0, le=1000, allow_inf_nan=False)] = 15,
    datum: DatumName = "wgs84",
) -> Json:
    """Answer the nearest vertex, border and road within reach; `snap` is the one meant, or null."""
    x, y = crs.point_to_wgs84(lon, lat, datum)
    with transaction() as conn:
        found = plan_snap.snap(conn, plans.draft(conn, plan_id).cov, x, y, reach_m)
    for one in found:
        one["lon"], one["lat"] = crs.point_from_wgs84(one["lon"], one["lat"], datum)
    return {"snap": found[0] if found else None, "candidates": found, "reach_m": reach_m}


def _step(row: Json) -> Json:
    return {name: value for name, value in row.items() if name != "plan_id"}


@router.get("/plans/{plan_id}/steps", openapi_extra=READ)
def steps(
    transaction: Transaction,
    plan_id: Id,
    before: Annotated[
        int | None, Query(ge=1, lt=2**53, description="Only steps older than this one.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> Json:
    """Answer the tree of steps, newest first, undone ones too."""
    with transaction() as conn:
        there = plan_store.get(conn, plan_id)
        found = plan_store.steps(conn, plan_id, before, limit + 1)
    told = [_step(row) for row in found[:limit]]
    return {"head": there.head, "steps": told, "limit": limit, "more": len(found) > limit}


At = Annotated[int | None, Query(ge=0, lt=2**53, description="A step; 0 is the base; the head.")]


@router.get("/plans/{plan_id}/compare", openapi_extra=READ)
def compare(
    transaction: Transaction,
    plan_id: Id,
    start: Annotated[int, Query(alias="from", ge=0, lt=2**53, description="A step; 0 is the base.")] = 0,
    end: Annotated[At, Query(alias="to")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
    datum: DatumName = "wgs84",
) -> Json:
    """Answer the grids that differ between two points of a plan, each before and after."""
    with transaction() as conn:
        there = plan_store.get(conn, plan_id)
        until = there.head if end is None else end or None
        found = plans.compare(conn, plan_id, start or None, until)
        first = dict(list(found.items())[:limit])
        told = plan_features.pairs(conn, there.scheme, first, datum)
    return {"from": start, "to": until or 0, "grids": told, "limit": limit, "more": len(found) > limit}


@router.get("/plans/{plan_id}/grids", openapi_extra=READ)
def grids(
    transaction: Transaction,
    plan_id: Id,
    level: Annotated[int | None, Query(ge=0, le=100)] = None,
    changed: Annotated[bool, Query(description="Only new and changed grids.")] = False,  # noqa: FBT002
    at: At = None,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 20_000,
    datum: DatumName = "wgs84",
) -> Json:
    """Answer the draft's grids, by level and code, with what the draft did to them; `more` beyond `limit`.

    Once it is handed over they are those of the map as the plan would change it, not as it was drawn.
    """
    with transaction() as conn:
        here = planning_told.shown(conn, plan_id, at)
        return _grids(conn, here, level, limit, datum, only_changed=changed)


def _grids(
    conn: Connection, here: Draft, level: int | None, limit: int, datum: crs.Datum, *, only_changed: bool
) -> Json:
    differ = plans.changed(here)
    marks = {code: plan_features.kind_of(change) for code, change in differ.items()}
    codes = [c for c in here.cov.grids if not only_changed or marks.get(c, "bent") != "bent"]
    codes = [c for c in codes if level is None or here.cov.grids[c].level == level]
    codes.sort(key=lambda c: (here.cov.grids[c].level, c))
    there = plans.versions(here, codes[:limit])
    properties = {c: {"change": marks.get(c)} for c in there}
    told = plan_features.features(plan_store.ids_of(conn, here.plan.scheme, there), there, properties, datum)
    return plan_features.collection(
        told, gone=plan_features.gone(differ), limit=limit, more=len(codes) > limit
    )


Homes = Annotated[int | None, Query(ge=1, le=10**6, description="Households a lowest grid should have.")]


@router.get("/plans/{plan_id}/table", dependencies=[Depends(heavy)], openapi_extra=READ)
def table(transaction: Transaction, plan_id: Id, low: Homes = None, high: Homes = None) -> Json:
    """Answer what each lowest grid has, and by how many households it is out of the wanted range."""
    wanted = HouseholdRange(low or HouseholdRange.low, high or HouseholdRange.high)
    if wanted.low > wanted.high:
        raise BadInput("high", "must not be less than low")
    with transaction() as conn:
        there = prospect(conn, plan_id)
        found = plan_table.rows(conn, there.here, wanted)
    return {
        "low": wanted.low, "high": wanted.high, "rows": found, "against": planning_told.against(there)
    }  # fmt: skip


@router.get("/plans/{plan_id}/faults", openapi_extra=READ)
def faults(
    transaction: Transaction,
    plan_id: Id,
    limit: Annotated[int, Query(ge=1, le=10_000)] = MOST_FAULTS,
    datum: DatumName = "wgs84",
) -> Json:
    """Answer every error of the map with the plan, and advice on what it changes and its siblings."""
    with transaction() as conn:
        there = prospect(conn, plan_id)
        here = there.here
        found = plan_faults.of_all(conn, here.base.cov, here.cov, plans.changed(here))
        found += plan_faults.of_uppers(here.base.cov, here.cov)
        new = len(plan_faults.new_errors(here.base.cov, here.cov))
    told = {"new_errors": new, "against": planning_told.against(there)}
    return plan_features.faults(found, datum, limit) | told


@router.get("/plans/{plan_id}/impact", dependencies=[Depends(heavy)], openapi_extra=READ)
def impact(
    transaction: Transaction,
    plan_id: Id,
    only: Annotated[Literal[LISTS] | None, Query(alias="list", description="Only this list; all.")] = None,  # type: ignore[valid-type]
    after: Annotated[int, Query(ge=0, lt=2**53, description="Only objects of a greater id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    form: Annotated[Literal["json", "geojson"], Query(alias="format")] = "json",
    datum: DatumName = "wgs84",
) -> Json:
    """Answer what changes owner: counts of all, lists of at most `limit` by id, and each grid's work.

    All of it is what a publication would write onto the map as it is now; `against` says which map that is,
    and what stands in the way. `lineage` leaves out what passes between two grids where it is on average less
    than 2.2 cm wide (twice its area over its perimeter): a strip that ends in points, up to 4.4 cm.
    """
    with transaction() as conn:
        there = prospect(conn, plan_id)
        found, told = Impact(conn, there.here), {"against": planning_told.against(there)}
        if form == "geojson":
            return planning_told.impact_map(found, limit, datum) | told
        return planning_told.impact_table(found, (only,) if only else LISTS, after, limit, datum) | told


class Wanted(Back):
    """The range of households that unit grids should have, and under which grid.

    `across`: ground may pass from one parent to another; `keep`: grids that stay as they are.
    """

    low: Annotated[Real, Field(gt=0, le=1e6, allow_inf_nan=False)] = 300
    high: Annotated[Real, Field(gt=0, le=1e6, allow_inf_nan=False)] = 500
    under: Code | None = None
    across: Flag = False
    keep: Annotated[list[Code], Field(max_length=2000)] = Field(default_factory=list)


@router.post("/plans/{plan_id}/suggest", dependencies=[Depends(heavy)], openapi_extra=EDIT)
def suggest(once: RunOnce, who: Who, plan_id: Id, body: Wanted) -> Response:
    """Bring unit grids into a range of households by steps of the draft, taken and undone as one."""
    seen = believed(body)

    def work(conn: Connection) -> Made:
        done = plan_suggest.rebalance(
            conn, who, plan_id, body.under, body.low, body.high, across=body.across, keep=body.keep, head=seen
        )
        return Made({"plan": planning_told.whole(conn, plan_store.get(conn, plan_id)), **asdict(done)})

    return once(work)
