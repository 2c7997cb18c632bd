"""A grid of a draft drawn anew from streets and buildings, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.engine import Connection

from api import planning
from api.access import Who, audience
from api.codes import Code, Whole
from api.limits import heavy
from api.once import Made, RunOnce
from api.planning_bodies import Back, believed
from gis import plan_drawing

router = APIRouter()


class Area(Back):
    """Which grid to draw anew, and how many households each unit should have."""

    code: Code
    low: Annotated[Whole, Field(ge=1, le=100_000)] = 300
    high: Annotated[Whole, Field(ge=1, le=100_000)] = 500


@router.post(
    "/plans/{plan_id}/draw",
    dependencies=[Depends(heavy)],
    openapi_extra=audience("planner", "only plans whose scope lies inside it"),
)
def draw(once: RunOnce, who: Who, plan_id: planning.Id, body: Area) -> Response:
    """Put units bounded by streets in the place of a lowest grid; answers as a step does, and their sizes."""

    def work(conn: Connection) -> Made:
        newly = plan_drawing.draw(conn, who, plan_id, body.code, body.low, body.high, believed(body))
        told = planning.answer(conn, newly.done, "wgs84")
        return Made(told | {"households": newly.households, "unresolved": newly.unresolved})

    return once(work)
