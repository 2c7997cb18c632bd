"""Risk over HTTP: what each cell should expect, with its intervals, and how well that has worked."""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api import tables
from api.access import Who, audience, demand_export
from api.deps import Looked, Transaction, told_silent, view
from api.limits import heavy
from gis import cells, city
from gis.access import Principal
from gis.clocks import rfc3339
from gis.db import Record
from gis.errors import BadInput
from layers import promotion
from layers import risk as risks

router = APIRouter(dependencies=[Depends(heavy)])
_AUDIENCE = audience("commander", "learns from and speaks of incidents inside it")


class RiskCell(BaseModel):
    """One H3 cell; `rank` 1 is the densest expectation per area."""

    cell: str
    expected: float
    low: int
    high: int
    low95: int
    high95: int
    baseline: float
    rank: int
    baseline_rank: int
    with_all: float


class Measure(BaseModel):
    """How well the forecasts of a model (live or baseline) worked at a share of the area.

    `pai` is the share of incidents that came there over that share (1 is chance), `pei` the same over the
    best that hindsight could have had; with 95 % intervals over the forecasts, null for fewer than 6.
    """

    model: Literal["live", "baseline"]
    share: float
    pai: float
    pai_low: float | None
    pai_high: float | None
    pei: float
    pei_low: float | None
    pei_high: float | None


class Skill(BaseModel):
    """Forecasts of the latest `origins` periods of `days` against what came; `live`, `baseline`: PAI.

    `area_km2` is what the shares are of, the same at every `res`: all of what `of` names, the city, `area` or
    the scope, with places that never held an incident. In a city without grids `of` is `hexagons`: those that
    ever held anything.
    """

    days: int
    origins: int
    area_km2: float
    of: str
    live: dict[str, float | None]
    baseline: dict[str, float | None]
    measures: list[Measure]


class Trial(BaseModel):
    """How a challenger did against the baseline on the city's own past: PAI at 1 % and the gain in it."""

    model: str
    horizon_days: int
    origins: int
    pai: float
    gain: float
    low: float
    high: float
    live: bool
    decided_at: str


class Told(BaseModel):
    """The live model, what it learned from, its expectation per cell; no trials: the past is too short."""

    model: str
    trials: list[Trial]
    version: str
    horizon_days: int
    start: str
    res: int
    interval: float
    trained_on: int
    """0 where nothing of the kind ever happened in the part of the city asked about: 0 is expected, and
    intervals say what half an incident in all days recorded (Jeffreys' prior) leaves possible."""
    left_out: int
    left_out_sources: list[str]
    expected_total: float
    """A mean, with decimals; what follows are whole counts, around it at least."""
    total_low: int
    total_high: int
    total_low95: int
    total_high95: int
    with_all_total: float
    began: str | None
    """First day of the category, source or area, where it came into use later than the records begin."""
    ended: str | None
    """Its last day, where it was not recorded any more since: 0 is expected; intervals reach to what would
    come were it taken up again, which nobody can foretell."""
    paused: list[dict[str, str]]
    """First and last day of each pause of it since then: of these days nothing is learned."""
    silent: list[dict[str, Any]]
    """When the area asked about (`area` null) or areas inside it were silent: first and last day, null for
    open. Nothing is expected of one that has ended."""
    skill: Skill
    data_version: int
    cells: list[RiskCell]


Horizon = Annotated[int, Query(ge=1, le=90, description="Days from the last incident on.")]
Res = Annotated[int, Query(description="H3 resolution, 6 to 10.")]
Include = Annotated[
    str,
    Query(max_length=40, pattern="^[a-z,]*$", description="Sources to learn from too: patrol, sensor."),
]


@router.get("/risk", response_model=Told, openapi_extra=_AUDIENCE)
def risk(
    transaction: Transaction,
    look: Looked,
    who: Who,
    horizon_days: Horizon = 7,
    res: Res = 8,
    include: Include = "",
    cell: Annotated[str | None, Query(max_length=20, description="Tell of this cell alone.")] = None,
    format: Annotated[Literal["json", "csv"], Query()] = "json",  # noqa: A002 - as elsewhere
) -> Response:
    """Answer the incidents to expect per cell, with 80 and 95 % intervals and the baseline beside it.

    What patrols and sensors found is left out of training unless included; `with_all` is the expectation
    with everything, so that the difference shows.
    """
    if format != "json":
        demand_export(who)
    found, whole = _found(transaction, look, who, res, horizon_days, include)
    if cell is not None:
        found = found.only(found.cells == np.uint64(cells.from_text(cell)))
    columns = {"cell": cells.to_text(found.cells)} | _columns(found)
    return tables.plain(whole, "cells", columns, format)


class RiskValues(BaseModel):
    """The same as columns: `id` is the last 13 hexadecimal digits of a cell's name, as a number."""

    model: str
    res: int
    horizon_days: int
    data_version: int
    id: list[int]
    expected: list[float]
    low: list[int]
    high: list[int]
    rank: list[int]
    baseline_rank: list[int]


@router.get("/risk/values", response_model=RiskValues, openapi_extra=_AUDIENCE)
def values(
    transaction: Transaction,
    look: Looked,
    who: Who,
    horizon_days: Horizon = 7,
    res: Res = 8,
    include: Include = "",
) -> Response:
    """Answer the same as columns of numbers, for hexagons that are drawn already."""
    found, whole = _found(transaction, look, who, res, horizon_days, include)
    columns = _columns(found)
    expected = {"expected": tables.short(columns["expected"])}
    compact = {name: columns[name] for name in ("low", "high", "rank", "baseline_rank")}
    return tables.json(whole | {"id": cells.to_numbers(found.cells)} | expected | compact)


def _found(
    transaction: Transaction, look: Looked, who: Principal, res: int, horizon_days: int, include: str
) -> tuple[risks.Risk, dict[str, Any]]:
    """Return the risk and what it is part of."""
    sources = {part for part in include.split(",") if part}
    if unknown := sorted(sources - set(risks.LEFT_OUT)):
        raise BadInput("include", f"{unknown[0]!r} is none of {', '.join(risks.LEFT_OUT)}")
    with transaction() as conn:
        seen = view(conn, look, who)
        found = risks.risk(conn, seen, res, horizon_days, sources)
        version = city.data_version(conn)
        (low, high), (low95, high95) = found.total_intervals
        trials = [_trial(row) for row in promotion.kept(conn, res)]
    return found, {
        "model": found.model,
        "trials": trials,
        "version": risks.VERSION,
        "horizon_days": horizon_days,
        "start": found.start.isoformat(),
        "res": res,
        "interval": risks.COVERAGES[0],
        "trained_on": found.trained_on,
        "left_out": found.left_out,
        "left_out_sources": found.left_out_sources,
        "expected_total": found.total,
        "total_low": low,
        "total_high": high,
        "total_low95": low95,
        "total_high95": high95,
        "with_all_total": float(found.expected.sum() if found.with_all is None else found.with_all.sum()),
        "began": found.began and found.began.isoformat(),
        "ended": found.ended and found.ended.isoformat(),
        "paused": [{"first": first.isoformat(), "last": last.isoformat()} for first, last in found.paused],
        "silent": told_silent(((None, one) for one in found.silent), found.silent_inside),
        "skill": _skill(found.skill, seen.area or (seen.scope and seen.scope[1]) or "city"),
        "data_version": version,
    }


def _skill(of: risks.Skill, area: str) -> dict[str, Any]:
    ends = ("", "_low", "_high")
    named = area if of.is_bounded else "hexagons"
    rows = [
        {"model": each.model, "share": each.share}
        | {f"pai{end}": value for end, value in zip(ends, each.pai, strict=True)}
        | {f"pei{end}": value for end, value in zip(ends, each.pei, strict=True)}
        for each in of.measured
    ]
    return {
        "days": risks.SKILL_DAYS, "origins": of.origins, "area_km2": of.area_m2 / 1e6, "of": named,
        "live": of.pai("live"), "baseline": of.pai("baseline"), "measures": rows,
    }  # fmt: skip


def _trial(row: Record) -> dict[str, Any]:
    names = ("model", "horizon_days", "origins", "pai", "gain", "low", "high", "live")
    return {name: row._mapping[name] for name in names} | {"decided_at": rfc3339(row.decided_at)}


def _columns(found: risks.Risk) -> tables.Columns:
    (low, high), (low95, high95) = found.intervals
    return {
        "expected": found.expected.tolist(),
        "low": low.astype(int).tolist(),
        "high": high.astype(int).tolist(),
        "low95": low95.astype(int).tolist(),
        "high95": high95.astype(int).tolist(),
        "baseline": found.baseline.tolist(),
        "rank": found.rank.tolist(),
        "baseline_rank": found.baseline_rank.tolist(),
        "with_all": (found.expected if found.with_all is None else found.with_all).tolist(),
    }
