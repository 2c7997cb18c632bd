"""Risk over HTTP: what each cell should expect, with its interval, and how well that has worked."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api.access import Who, audience
from api.deps import Looked, Transaction, view
from api.limits import heavy
from gis import cells, city
from layers import risk as risks

router = APIRouter()


class RiskCell(BaseModel):
    """One H3 cell; `rank` 1 is the densest expectation per area."""

    cell: str
    expected: float
    low: int
    high: int
    baseline: float
    rank: int


class Skill(BaseModel):
    """Prediction accuracy index of the last `days`, by share of the area watched; 1 is chance."""

    days: int
    live: dict[str, float | None]
    baseline: dict[str, float | None]


class Told(BaseModel):
    """The live model, what it learned from, and its expectation per cell."""

    model: str
    version: str
    horizon_days: int
    res: int
    interval: float
    trained_on: int
    left_out: int
    left_out_sources: list[str]
    skill: Skill
    data_version: int
    cells: list[RiskCell]


@router.get(
    "/risk",
    response_model=Told,
    dependencies=[Depends(heavy)],
    openapi_extra=audience("commander", "learns from and speaks of incidents inside it"),
)
def risk(
    transaction: Transaction,
    look: Looked,
    who: Who,
    horizon_days: Annotated[int, Query(ge=1, le=90, description="Days from the last incident on.")] = 7,
    res: Annotated[int, Query(description="H3 resolution, 6 to 10.")] = 8,
) -> Response:
    """Answer the incidents to expect per cell, with an 80 % interval and the baseline beside it."""
    with transaction() as conn:
        found, version = risks.risk(conn, view(conn, look, who), res, horizon_days), city.data_version(conn)
    body = {
        "model": risks.MODEL,
        "version": risks.VERSION,
        "horizon_days": horizon_days,
        "res": res,
        "interval": risks.COVERAGE,
        "trained_on": found.trained_on,
        "left_out": found.left_out,
        "left_out_sources": [] if look.source else risks.LEFT_OUT,
        "skill": {"days": risks.SKILL_DAYS} | found.skill,
        "data_version": version,
        "cells": _rows(found),
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _rows(found: risks.Risk) -> list[dict[str, Any]]:
    columns = {
        "cell": cells.to_text(found.cells),
        "expected": found.expected.tolist(),
        "low": found.low.astype(int).tolist(),
        "high": found.high.astype(int).tolist(),
        "baseline": found.baseline.tolist(),
        "rank": found.rank.tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
