"""What is decided of a plan: handed over, approved or sent back, conflicts settled, published."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.engine import Connection

from api.access import Who
from api.codes import Code, Prose, Whole
from api.deps import DatumName, Transaction
from api.once import Made, Once, RunOnce
from api.planning import DECIDE, EDIT, READ, Id
from api.planning_bodies import Back, believed
from api.planning_told import against, whole
from gis import plan_store, plans, publishing
from gis.access import Principal
from gis.errors import Problem
from gis.plan_features import Json
from gis.plan_prospect import prospect
from gis.plan_store import Plan

router = APIRouter()


class Note(Back):
    """Why a plan is sent back."""

    note: Annotated[Prose | None, Field(max_length=2000)] = None


class Seen(Back):
    """The revision that the impact was told against; 409 if the plan does something else to the map now."""

    against: Annotated[Whole, Field(ge=0, lt=2**31)] | None = None


@router.post("/plans/{plan_id}/submit", openapi_extra=EDIT)
def submit(
    once: RunOnce, request: Request, who: Who, plan_id: Id, body: Annotated[Back | None, Body()] = None
) -> Response:
    """Hand a draft over for approval; what a publication would refuse is refused, conflicts by grid (409).

    `against` names the map that impact and faults are told against.
    """

    def work(conn: Connection) -> Made:
        _demand_as_seen(conn, plan_id, body)
        done = publishing.submit(conn, plan_id)
        plan_store.add_hand(conn, plan_id, who)
        told = {"against": against(prospect(conn, plan_id))}
        return Made(_decided(conn, request, who, done) | told)

    return once(work)


@router.post("/plans/{plan_id}/withdraw", openapi_extra=EDIT)
def withdraw(
    once: RunOnce, request: Request, who: Who, plan_id: Id, body: Annotated[Back | None, Body()] = None
) -> Response:
    """Take one's plan back."""
    return _decide(once, request, who, plan_id, body, lambda conn: plans.withdraw(conn, who, plan_id))


@router.post("/plans/{plan_id}/reopen", openapi_extra=EDIT)
def reopen(
    once: RunOnce, request: Request, who: Who, plan_id: Id, body: Annotated[Back | None, Body()] = None
) -> Response:
    """Make a draft of a plan again."""
    return _decide(once, request, who, plan_id, body, lambda conn: plans.reopen(conn, plan_id))


@router.post("/plans/{plan_id}/approve", openapi_extra=DECIDE)
def approve(
    once: RunOnce, request: Request, who: Who, plan_id: Id, body: Annotated[Seen | None, Body()] = None
) -> Response:
    """Approve a plan that one had no hand in; 409 names grids in conflict. The audit has all who had a hand.

    Where the map moved on since, so that the plan would do something else to it, an approved plan is
    published only once it is approved anew.
    """
    seen = body.against if body else None
    return _decide(
        once, request, who, plan_id, body, lambda conn: publishing.approve(conn, who, plan_id, seen)
    )


@router.post("/plans/{plan_id}/reject", openapi_extra=DECIDE)
def reject(
    once: RunOnce,
    request: Request,
    who: Who,
    plan_id: Id,
    body: Annotated[Note | None, Body()] = None,
) -> Response:
    """Send a plan back."""
    note = body.note if body else None
    return _decide(once, request, who, plan_id, body, lambda conn: plans.reject(conn, who, plan_id, note))


@router.post("/plans/{plan_id}/publish", openapi_extra=DECIDE)
def publish(
    once: RunOnce, request: Request, who: Who, plan_id: Id, body: Annotated[Back | None, Body()] = None
) -> Response:
    """Publish an approved plan as a new revision; 409 names the grids that others changed since."""

    def work(conn: Connection) -> Made:
        _demand_as_seen(conn, plan_id, body)
        done = publishing.publish(conn, plan_id)
        named = {"revision": done.revision, "changed": done.changed, "gone": done.gone, "bent": done.bent}
        return Made({**named, "plan": _decided(conn, request, who, done.plan, **named)})

    return once(work)


@router.get("/plans/{plan_id}/conflicts", openapi_extra=READ)
def conflicts(transaction: Transaction, plan_id: Id, datum: DatumName = "wgs84") -> Json:
    """Answer the grids that others changed since, with both versions; without any, the plan would merge.

    `against` is the newest revision, whose versions these are; a decision names it.
    """
    with transaction() as conn:
        there = plan_store.get(conn, plan_id)
        newest = plan_store.newest(conn)  # first: what is published meanwhile has not been looked at
        found = publishing.conflicts(conn, plan_id)
        told = publishing.told(conn, there.scheme, found, datum)
        return {"conflicts": told, "merged": not found, "against": newest}


class Choice(Seen):
    """Which version of a grid in conflict is taken, with all that is decided together with it.

    `against`: the newest revision when the versions were looked at; 409 if others published since.
    """

    code: Code
    take: Literal["mine", "theirs"]


@router.post("/plans/{plan_id}/resolve", openapi_extra=EDIT)
def resolve(once: RunOnce, who: Who, plan_id: Id, body: Choice, datum: DatumName = "wgs84") -> Response:
    """Decide a conflict; a plan that was submitted becomes a draft again. Answers what is left."""

    def work(conn: Connection) -> Made:
        _demand_as_seen(conn, plan_id, body)
        newest = plan_store.newest(conn)
        if body.against is not None and body.against != newest:
            raise Problem(f"others published since (revision {newest}); look at plan {plan_id} again")
        left = publishing.resolve(conn, plan_id, body.code, body.take)
        plan_store.add_hand(conn, plan_id, who)
        there = plan_store.get(conn, plan_id)
        told = publishing.told(conn, there.scheme, left, datum)
        return Made({"plan": whole(conn, there), "conflicts": told})

    return once(work)


def _decide(
    once: Once, request: Request, who: Principal, plan_id: int, body: Back | None,
    decide: Callable[[Connection], Plan],
) -> Response:  # fmt: skip
    """Answer the plan once it is decided on as it was seen."""

    def work(conn: Connection) -> Made:
        _demand_as_seen(conn, plan_id, body)
        return Made(_decided(conn, request, who, decide(conn)))

    return once(work)


def _demand_as_seen(conn: Connection, plan_id: int, body: Back | None) -> None:
    """Raise a Problem where a plan does not stand where whoever decides on it saw it."""
    if body is not None:
        plans.demand_at(plan_store.get(conn, plan_id, lock=True), believed(body))


def _decided(conn: Connection, request: Request, who: Principal, plan: Plan, **more: Any) -> Json:
    """Write the decision into the audit, in the transaction that makes it, and return the plan."""
    hands = sorted(plan_store.hands(conn, plan.id))
    detail = {"plan": plan.id, "scope": plan.scope, "head": plan.head, "hands": hands, **more}
    came_from = request.client.host if request.client else ""
    request.app.state.recorder.change(conn, who, f"plan {plan.state}", detail, came_from)
    return whole(conn, plan)
