"""`POST /plans/{id}/mend`: who should have ground of a draft that several grids claim, or none."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.engine import Connection

from api import planning_told
from api.access import Who
from api.codes import Whole
from api.deps import DatumName
from api.limits import heavy
from api.once import Made, RunOnce
from api.planning import EDIT, Id, answer
from api.planning_bodies import Back, believed
from gis import coverage, plan_features, plan_mend, plans
from gis.crs import Datum
from gis.mend import Proposal
from gis.plan_features import Json
from gis.settle import Coverage

router = APIRouter()
Number = Annotated[Whole, Field(ge=1, le=10**6)]


class Mending(Back):
    """Which proposals to take: sure ones, all, or by number; none: they are only listed.

    `head`: where the plan is believed to stand; the numbers hold for that step.
    """

    accept: (
        Literal["sure", "all"] | Annotated[list[Number], Field(min_length=1, max_length=10_000)] | None
    ) = None
    limit: Annotated[Whole, Field(ge=1, le=10_000)] = 2000


@router.post("/plans/{plan_id}/mend", dependencies=[Depends(heavy)], openapi_extra=EDIT)
def mend(once: RunOnce, who: Who, plan_id: Id, body: Mending, datum: DatumName = "wgs84") -> Response:
    """Propose who should have contested ground, nobody's and loose pieces, and take what is accepted.

    Proposals come largest first, at most `limit`. Those accepted are one step of the draft, undone as one.
    """

    def work(conn: Connection) -> Made:
        if body.accept is None:
            here = plans.draft(conn, plan_id)
            told = _listed(here.cov, plan_mend.proposals(here.cov), set(), body.limit, datum)
            return Made({"plan": planning_told.whole(conn, here.plan), "proposals": told})
        before = plans.draft(conn, plan_id).cov
        done = plan_mend.accept(conn, who, plan_id, body.accept, believed(body))
        taken = {one.number for one in done.taken}
        told = _listed(before, done.taken, taken, body.limit, datum)
        skipped = [{"number": number, "reason": why} for number, why in done.skipped.items()]
        return Made(answer(conn, done.done, datum) | {"proposals": told, "skipped": skipped})

    return once(work)


def _listed(cov: Coverage, found: list[Proposal], accepted: set[int], limit: int, datum: Datum) -> Json:
    """Proposals as a collection of at most so many features, and the sum of all.

    `uppers` of each are the upper grids that would get or lose its ground.
    """
    first = found[:limit]
    shapes = plan_features.shapes([coverage.to_degrees(one.shape) for one in first], datum)
    features: list[dict[str, Any]] = [
        {"type": "Feature", "geometry": shape, "properties": _told(cov, one, accepted)}
        for one, shape in zip(first, shapes, strict=True)
    ]
    area = round(sum(one.area_m2 for one in found), 2)
    counts = {"count": len(found), "area_m2": area, "limit": limit, "more": len(found) > limit}
    return plan_features.collection(features, **counts)


def _told(cov: Coverage, one: Proposal, accepted: set[int]) -> Json:
    return one.properties(accepted=one.number in accepted) | {"uppers": plan_mend.uppers(cov, one)}
