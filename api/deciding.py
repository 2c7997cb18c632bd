"""What is decided of a plan: handed over, approved or sent back, conflicts settled, published."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import Connection

from api.access import Who
from api.deps import DatumName, Transaction
from api.planning import DECIDE, EDIT, READ, Code, Id
from api.planning_told import whole
from gis import plan_store, plans, publishing
from gis.access import Principal
from gis.plan_features import Json
from gis.plan_store import Plan

router = APIRouter()


class Note(BaseModel):
    """Why a plan is sent back."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str | None, Field(max_length=2000)] = None


@router.post("/plans/{plan_id}/submit", openapi_extra=EDIT)
def submit(transaction: Transaction, request: Request, who: Who, plan_id: Id) -> Json:
    """Hand a draft over for approval."""
    with transaction() as conn:
        return _decided(conn, request, who, plans.submit(conn, plan_id))


@router.post("/plans/{plan_id}/withdraw", openapi_extra=EDIT)
def withdraw(transaction: Transaction, request: Request, who: Who, plan_id: Id) -> Json:
    """Take one's plan back."""
    with transaction() as conn:
        return _decided(conn, request, who, plans.withdraw(conn, who, plan_id))


@router.post("/plans/{plan_id}/reopen", openapi_extra=EDIT)
def reopen(transaction: Transaction, request: Request, who: Who, plan_id: Id) -> Json:
    """Make a draft of a plan again."""
    with transaction() as conn:
        return _decided(conn, request, who, plans.reopen(conn, plan_id))


@router.post("/plans/{plan_id}/approve", openapi_extra=DECIDE)
def approve(transaction: Transaction, request: Request, who: Who, plan_id: Id) -> Json:
    """Approve another's plan."""
    with transaction() as conn:
        return _decided(conn, request, who, plans.approve(conn, who, plan_id))


@router.post("/plans/{plan_id}/reject", openapi_extra=DECIDE)
def reject(
    transaction: Transaction,
    request: Request,
    who: Who,
    plan_id: Id,
    body: Annotated[Note | None, Body()] = None,
) -> Json:
    """Send a plan back."""
    with transaction() as conn:
        return _decided(conn, request, who, plans.reject(conn, who, plan_id, body.note if body else None))


@router.post("/plans/{plan_id}/publish", openapi_extra=DECIDE)
def publish(transaction: Transaction, request: Request, who: Who, plan_id: Id) -> Json:
    """Publish an approved plan as a new revision; 409 names the grids that others changed since."""
    with transaction() as conn:
        done = publishing.publish(conn, plan_id)
        named = {"revision": done.revision, "changed": done.changed, "gone": done.gone}
        return {**named, "plan": _decided(conn, request, who, done.plan, **named)}


@router.get("/plans/{plan_id}/conflicts", openapi_extra=READ)
def conflicts(transaction: Transaction, plan_id: Id, datum: DatumName = "wgs84") -> Json:
    """Answer the grids that others changed since, with both versions; without any, the plan would merge."""
    with transaction() as conn:
        there = plan_store.get(conn, plan_id)
        found = publishing.conflicts(conn, plan_id)
        return {"conflicts": publishing.told(conn, there.scheme, found, datum), "merged": not found}


class Choice(BaseModel):
    """Which version of a grid in conflict is taken, with all that is decided together with it."""

    model_config = ConfigDict(extra="forbid")

    code: Code
    take: Literal["mine", "theirs"]


@router.post("/plans/{plan_id}/resolve", openapi_extra=EDIT)
def resolve(transaction: Transaction, plan_id: Id, body: Choice, datum: DatumName = "wgs84") -> Json:
    """Decide a conflict; a plan that was submitted becomes a draft again. Answers what is left."""
    with transaction() as conn:
        left = publishing.resolve(conn, plan_id, body.code, body.take)
        there = plan_store.get(conn, plan_id)
        told = publishing.told(conn, there.scheme, left, datum)
        return {"plan": whole(conn, there), "conflicts": told}


def _decided(conn: Connection, request: Request, who: Principal, plan: Plan, **more: Any) -> Json:
    """Write the decision into the audit, in the transaction that makes it, and return the plan."""
    detail = {"plan": plan.id, "scope": plan.scope, "head": plan.head, **more}
    came_from = request.client.host if request.client else ""
    request.app.state.recorder.change(conn, who, f"plan {plan.state}", detail, came_from)
    return whole(conn, plan)
