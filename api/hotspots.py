"""Hotspots over HTTP: cells against expectation as JSON, GeoJSON, CSV or Arrow, or as compact columns."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from itertools import groupby
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api import tables
from api.access import Who, audience, demand_export
from api.deps import DatumName, Tested, Transaction, told_records, view
from api.limits import heavy
from gis import cells, city, clocks, crs
from gis.access import Principal
from gis.cells import Cells
from gis.errors import BadInput
from layers import hotspots as spots
from layers import scanning
from layers.expecting import COVERED
from layers.public import Bounds
from layers.served import OF, Per
from layers.spots import Spot
from layers.spots import spots as spots_of
from layers.stats.scan import Cluster as Scanned

router = APIRouter()


class Cell(BaseModel):
    """One H3 cell; n, n_expected, ratio, p, q and significant speak of the cell with its neighbours.

    Of the cell by itself where it is hot `alone`.

    The public's counts are of whole months, not tested: what rests on a test is null, significant false.
    """

    cell: str
    count: int
    expected: float | None
    ratio: float | None
    p: float | None
    significant: bool
    alone: bool
    trend: Literal["rising", "falling", "steady"] | None
    n: float | None
    n_expected: float | None
    q: float | None
    served: float | None
    rate: float | None = None
    rate_shrunk: float | None = None
    rate_low: float | None = None
    rate_high: float | None = None
    z: float | None = None
    cluster: int | None = None
    stability: float | None = None


class Cluster(BaseModel):
    """Cells that together hold more than chance explains, by Kulldorff's scan."""

    cluster: int
    centre: str
    members: list[str]
    observed: int
    expected: float
    ratio: float
    relative_risk: float | None
    llr: float
    p: float


class SpotAnswer(BaseModel):
    """Hot cells that touch, by the lowest grid that owns 60 % of their incidents, null without one.

    So a spot keeps name and identity at every resolution. `within` are the grids above, highest first.
    """

    cells: list[str]
    count: int
    grid: str | None
    name: str | None
    level: int | None
    within: list[str]


class Detectable(BaseModel):
    """What could have been seen: the smallest relative risk that a usual place shows with 80 % power.

    The place expects `n_expected` (half of all that is expected lies in places that expect no more), and is
    significant from `n` on.
    """

    ratio: float
    n: int
    n_expected: float


class Whole(BaseModel):
    """The cells with incidents, and what they are part of.

    For the public, `withheld` are the months of which nothing is told, since they hold fewer than 3 incidents
    (or none: it looks the same) or the city fewer than 8 addresses, or are not over: 2025-03, or
    2026-01..2199-12 for more than twelve one after another. `released` are the first and last month of 3
    incidents or more. `incidents` is null where no month of the period is told, and for an area whose count
    does not follow from the public's hexagons: then it lies between `at_least` and `at_most`, and `wider` is
    the nearest grid around the area of which something is told for certain, null where only the whole city
    is; `note` says so. All these are null for all others.
    """

    incidents: int | None
    without_place: int
    res: int
    method: str
    methods: dict[str, str]
    per: str
    of: int
    start: str | None
    end: str | None
    judged: int
    detectable: Detectable | None
    housed: float | None
    """Share of the incidents in cells whose households are known."""
    expected_by: Literal["households", "area"] | None
    """What cells are held against besides their past: area where less than 80 % are housed."""
    data_version: int
    withheld: list[str] | None = None
    released: list[str] | None = None
    at_least: int | None = None
    at_most: int | None = None
    wider: str | None = None
    note: str | None = None
    provisional: dict[str, Any] | None = None
    unrecorded: dict[str, Any] | None = None
    began: list[dict[str, Any]] = []
    silent: list[dict[str, Any]] = []
    """Areas that were silent at times that are looked at: counted, not tested. Null: all asked for."""
    """Days of the period that reports still fill up: since when, how many incidents, left out or not."""
    clusters: list[Cluster] | None = None
    spots: list[SpotAnswer]
    """Least likely first; the first 50 have names."""
    cells: list[Cell]


class HotspotValues(BaseModel):
    """The same as columns: `id` is the last 13 hexadecimal digits of a cell's name, as a number."""

    res: int
    incidents: int | None
    without_place: int
    method: str
    detectable: Detectable | None
    housed: float | None
    expected_by: Literal["households", "area"] | None
    data_version: int
    withheld: list[str] | None = None
    released: list[str] | None = None
    at_least: int | None = None
    at_most: int | None = None
    wider: str | None = None
    note: str | None = None
    provisional: dict[str, Any] | None = None
    unrecorded: dict[str, Any] | None = None
    began: list[dict[str, Any]] = []
    silent: list[dict[str, Any]] = []
    """Areas that were silent at times that are looked at: counted, not tested. Null: all asked for."""
    spots: list[SpotAnswer]
    id: list[int]
    count: list[int]
    significant: list[int]


METHODS = {
    "test": "exact tail of the cell with its neighbours and of the cell alone, Poisson or negative binomial; "
    "weighted Benjamini-Hochberg over both",
    "shrunk": "empirical Bayes (Gamma-Poisson), 95 % credible interval",
    "gistar": "Getis-Ord Gi* z-score, a description: no p is drawn from it, it calls noise hot",
    "scan": f"Kulldorff's scan over rings of 0 to {scanning.RINGS} steps, {scanning.SIMULATIONS} simulations",
    "stability": "share of 5 moved lattices under which the place stays significant",
}
"""What each part of an answer is, in a line."""
With = Annotated[
    str,
    Query(
        alias="with", max_length=80, pattern="^[a-z,]*$",
        description=f"Parts beside the test, by commas: {', '.join(spots.EXTRAS)}.",
    ),
]  # fmt: skip
PerUnit = Annotated[Per, Query(description="What rates are told per: 1,000 households or buildings, km².")]
Res = Annotated[int, Query(description="H3 resolution, 6 to 10.")]
USUAL = ",".join(spots.USUAL)


async def wanted(with_: With = USUAL, per: PerUnit = "km2") -> tuple[set[str], Per]:
    """Return the parts wanted beside the test, and what rates are told per. Raises BadInput."""
    return _extras(with_), per


Parts = Annotated[tuple[set[str], Per], Depends(wanted)]
_COMPACT = ("count", "expected", "ratio", "p")
"""What is told of each cell when its colour is all that is wanted, and what was asked for besides."""


@router.get(
    "/hotspots",
    response_model=Whole,
    dependencies=[Depends(heavy)],
    openapi_extra=audience(
        "public", "counts incidents inside it; the public gets months, small cells merged"
    ),
)
def hotspots(
    transaction: Transaction,
    look: Tested,
    who: Who,
    parts: Parts,
    res: Res = 8,
    cell: Annotated[str | None, Query(max_length=20, description="Tell of this cell alone.")] = None,
    format: Annotated[tables.Format, Query()] = "json",  # noqa: A002 - the contract's name
    datum: DatumName = "wgs84",
) -> Response:
    """Answer the cells that hold incidents, each against expectation, with a test that noise passes."""
    if format != "json":
        demand_export(who)
    found, whole = _found(transaction, look, who, res, *parts)
    if cell is not None:
        found = found.only(found.cells == np.uint64(cells.from_text(cell)))
    columns = {"cell": cells.to_text(found.cells)} | _columns(found)
    answer = tables.cells(whole, columns, partial(_outlines, found.cells, datum), format)
    answer.headers.update(_headers(whole))
    return answer


def _headers(whole: dict[str, Any]) -> dict[str, str]:
    """Return what CSV, which has rows alone, cannot say of what is withheld."""
    told = {"X-Withheld": ",".join(whole.get("withheld") or ())}
    if whole.get("note"):
        told |= {"X-At-Least": str(whole["at_least"]), "X-At-Most": str(whole["at_most"])}
    return {name: value for name, value in told.items() if value}


@router.get(
    "/hotspots/values",
    response_model=HotspotValues,
    dependencies=[Depends(heavy)],
    openapi_extra=audience(
        "public", "counts incidents inside it; the public gets months, small cells merged"
    ),
)
def values(
    transaction: Transaction,
    look: Tested,
    who: Who,
    res: Res = 8,
    with_: With = "",
    per: PerUnit = "km2",
) -> Response:
    """Answer what colours the map as columns of numbers, for hexagons that are drawn already."""
    found, whole = _found(transaction, look, who, res, _extras(with_), per)
    columns: tables.Columns = {"id": cells.to_numbers(found.cells)}
    for name, column in _columns(found).items():
        if name in _COMPACT or name in found.extra:
            columns[name] = column if name in ("count", "cluster") else tables.short(column)
    columns["significant"] = found.tested.significant.astype(int).tolist()
    columns["trend"] = [None if way is None else _WAYS[way] for way in found.trend]
    return tables.json(whole | columns)


_WAYS = {"falling": -1, "steady": 0, "rising": 1}


def _found(
    transaction: Transaction, look: Tested, who: Principal, res: int, extras: set[str], per: Per
) -> tuple[spots.Hotspots, dict[str, Any]]:
    """Return the hotspots and what they are part of."""
    with transaction() as conn:
        found = spots.hotspots(conn, seen := view(conn, look, who), res, extras, per)
        period = replace(seen, start=found.start, end=found.end)
        places = spots_of(conn, period, res, found)
        version, known = city.data_version(conn), told_records(conn, seen, found.aside)
    told = {"test", *extras} if found.method != "counts-only" else set()
    names = cells.to_text(found.cells)
    told_clusters = [_cluster(n, each, names) for n, each in enumerate(found.clusters or (), 1)]
    return found, {
        "incidents": found.incidents,
        "without_place": found.without_place,
        "res": res,
        "method": found.method,
        "methods": {name: said for name, said in METHODS.items() if name in told},
        "per": per,
        "of": OF[per],
        "start": clocks.rfc3339(found.start) if found.start else None,
        "end": clocks.rfc3339(found.end) if found.end else None,
        "judged": found.judged,
        "detectable": found.detectable and asdict(found.detectable),
        "housed": found.housed,
        "expected_by": None if found.housed is None else "households" if found.housed >= COVERED else "area",
        **known,
        "data_version": version,
        "spots": [_spot(one) for one in places],
    } | _released(found) | ({} if found.clusters is None else {"clusters": told_clusters})


def _released(found: spots.Hotspots) -> dict[str, Any]:
    """Return what the public is told of a count that it may not be told, and of which months none."""
    if (known := found.released) is None:
        return {}
    told = {"withheld": _as_months(known.untold), "released": _as_months(known.span or ())}
    bounds = known.bounds
    if bounds is None:
        return told | dict.fromkeys(("at_least", "at_most", "wider", "note"))
    return told | asdict(bounds) | {"note": _note(found.incidents, bounds)}


def _note(incidents: int | None, bounds: Bounds) -> str | None:
    if incidents is not None:
        return None
    told = f"the public's hexagons reach beyond the area: it holds {bounds.at_least} to {bounds.at_most}"
    if bounds.at_least:
        return told
    return f"{told}; more is told of {f'area={bounds.wider}' if bounds.wider else 'the city, without area'}"


_ONE_BY_ONE = 12
"""So many months one after another are named one by one; more by the first and the last."""


def _as_months(days: Iterable[date]) -> list[str]:
    """Return months by name in their order; long runs as first..last."""
    told: list[str] = []
    for _, run in groupby(enumerate(days), key=lambda one: one[1].year * 12 + one[1].month - one[0]):
        names = [f"{day:%Y-%m}" for _, day in run]
        told += names if len(names) <= _ONE_BY_ONE else [f"{names[0]}..{names[-1]}"]
    return told


def _extras(wanted: str) -> set[str]:
    """Read `with`. Raises BadInput for a part that is none."""
    parts = {part for part in wanted.split(",") if part}
    unknown = sorted(parts - set(spots.EXTRAS))
    if unknown:
        raise BadInput("with", f"{unknown[0]!r} is none of {', '.join(spots.EXTRAS)}")
    return parts


def _columns(found: spots.Hotspots) -> tables.Columns:
    tested, known = found.tested, tables.known
    return {
        "count": found.count.tolist(),
        "expected": known(found.expected),
        "ratio": known(tested.ratio),
        "p": known(tested.p),
        "significant": tested.significant.tolist(),
        "alone": tested.alone.tolist(),
        "trend": found.trend,
        "n": known(tested.n),
        "n_expected": known(tested.expected),
        "q": known(tested.q),
        "served": known(found.served),
    } | {name: _extra(name, column) for name, column in found.extra.items()}


def _extra(name: str, column: npt.NDArray[np.float64]) -> list[Any]:
    if name == "cluster":
        return [int(number) or None for number in column]
    return tables.known(column)


def _spot(one: Spot) -> dict[str, Any]:
    named = {name: getattr(one, name) for name in ("count", "grid", "name", "level", "within")}
    return {"cells": cells.to_text(one.cells), **named}


def _cluster(number: int, of: Scanned, names: list[str]) -> dict[str, Any]:
    return {
        "cluster": number,
        "centre": names[of.centre],
        "members": [names[place] for place in of.members],
        "observed": int(of.n),
        "expected": of.expected,
        "ratio": of.ratio,
        "relative_risk": of.relative_risk if np.isfinite(of.relative_risk) else None,
        "llr": of.llr,
        "p": of.p,
    }


def _outlines(of: Cells, datum: DatumName) -> npt.NDArray[np.object_]:
    return crs.shapes_from_wgs84(cells.boundaries(of), datum)
