"""The effect of a measure over HTTP: an area's change beside a control's, with its interval."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from api.access import Who, audience
from api.codes import Code
from api.deps import Tested, Transaction, told_period, view
from api.limits import heavy
from gis import city
from gis.clocks import rfc3339
from gis.schema import COLOURS
from layers import evaluation
from layers.stats.displacement import Difference
from layers.view import View

router = APIRouter(dependencies=[Depends(heavy)])
METHOD = {
    "difference": "weighted displacement difference (Wheeler & Ratcliffe 2018): the area's change from the "
    "period of equal length before, less the control's; 95 % interval, counts taken as Poisson",
    "harm": "the same of incidents times the weight of their colour (layers/settings/harm_weights.toml)",
    "displaced": "the same with what happened in the ring around the area added to the area",
}


class EvaluationAnswer(BaseModel):
    """Counts by colour, each as [before, after], and the differences that they come to."""

    start: str
    end: str
    area: dict[str, list[int]]
    control: dict[str, list[int]]
    ring: dict[str, list[int]] | None
    empty: list[Literal["area", "control", "ring"]]
    """Which hold no incident in either period: an empty control only hands on the area's own change."""
    weights: dict[str, float]
    difference: dict[str, float] | None
    """As `harm` and `displaced` null where nothing happened in either period, area or control: nothing can be
    said of a change then, not that there was none."""
    harm: dict[str, float] | None
    displaced: dict[str, float] | None
    method: dict[str, str]
    data_version: int
    provisional: dict[str, Any] | None
    unrecorded: dict[str, Any] | None


@router.get(
    "/evaluation", response_model=EvaluationAnswer,
    openapi_extra=audience("commander", "area and control must lie inside it"),
)  # fmt: skip
def evaluate(
    transaction: Transaction,
    look: Tested,
    who: Who,
    control: Annotated[Code, Query(description="Code of the grid that the area is held against.")],
    ring_m: Annotated[
        float | None,
        Query(gt=0, le=evaluation.MOST_RING_M, description="Width of a ring around the area, m."),
    ] = None,
) -> dict[str, Any]:
    """Answer whether incidents of `area` fell since `from` by more than those of a control area."""
    with transaction() as conn:
        found = evaluation.evaluate(conn, seen := view(conn, look, who), control, ring_m)
        version, told = city.data_version(conn), _told(conn, seen, control)
    assert found.view.start
    assert found.view.end
    return {
        "start": rfc3339(found.view.start), "end": rfc3339(found.view.end),
        "area": _by_colour(found.area), "control": _by_colour(found.control),
        "ring": None if found.ring is None else _by_colour(found.ring), "weights": found.harm,
        "empty": found.empty,
        "difference": _difference(found.plain), "harm": _difference(found.weighted),
        "displaced": _difference(found.displaced),
        "method": METHOD, "data_version": version, **told,
    }  # fmt: skip


def _told(conn: Connection, seen: View, control: str) -> dict[str, Any]:
    """Return what is told of the period: of area and control that whose reports take longer."""
    both = [told_period(conn, each) for each in (seen, replace(seen, area=control))]
    late = [each for each in both if each["provisional"]]
    return min(late, key=lambda each: each["provisional"]["since"]) if late else both[0]


def _by_colour(counts: evaluation.Counts) -> dict[str, list[int]]:
    return dict(zip(COLOURS, counts.tolist(), strict=True))


def _difference(found: Difference | None) -> dict[str, float] | None:
    if found is None:
        return None
    low, high = found.interval
    return {"value": found.value, "error": found.error, "low": low, "high": high, "p": found.p}
