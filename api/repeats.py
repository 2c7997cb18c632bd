"""Places where incidents repeat, over HTTP: buildings, addresses and street segments."""

from typing import Annotated, Any

import numpy as np
import pandas as pd
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api import tables
from api.access import Who, audience, demand_export
from api.deps import DatumName, Tested, Transaction, told_records, view
from api.limits import heavy
from gis import city, crs
from gis.clocks import rfc3339
from layers import repeats
from layers.stats.concentration import TOP, Concentration

router = APIRouter(dependencies=[Depends(heavy)])
METHOD = {
    "place": "the nearest building within 30 m or street segment within 50 m, or the address, folded as "
    "for search",
    "top": "share of the incidents in the fullest 1, 5 and 20 % of all places; by_chance with low and high: "
    "mean and 95 % of 199 cities in which incidents fall on places at random (on segments by their length)",
    "gini": "generalised Gini coefficient (Bernasco & Steenbeek 2017): 0 as even as so few incidents can be",
    "rate": "incidents per 100 m of street: exact 95 % interval (Garwood 1936); shrunk: empirical Bayes mean",
}
_RATES = ("length_m", "rate", "low", "high", "shrunk")


class RepeatPlacesAnswer(BaseModel):
    """How concentrated incidents are over all `units`, and the places of two incidents or more."""

    start: str
    end: str
    by: repeats.By
    incidents: int
    without_place: int
    units: int
    repeated: int
    """Places of two incidents or more, of which `rows` has the first `limit`."""
    repeated_incidents: int
    top: list[dict[str, float | None]]
    gini: float | None
    method: dict[str, str]
    data_version: int
    provisional: dict[str, Any] | None
    unrecorded: dict[str, Any] | None
    began: list[dict[str, Any]]
    silent: list[dict[str, Any]]
    """When what the view is filtered by was silent: days of which no incident is counted."""
    rows: list[dict[str, Any]]


@router.get(
    "/repeat-places", response_model=RepeatPlacesAnswer,
    openapi_extra=audience("commander", "counts incidents and places inside it"),
)  # fmt: skip
def repeat_places(
    transaction: Transaction,
    look: Tested,
    who: Who,
    by: Annotated[repeats.By, Query(description="What a place is.")] = "building",
    limit: Annotated[int, Query(ge=1, le=2000)] = 100,
    datum: DatumName = "wgs84",
    format: tables.Plain = "json",  # noqa: A002 - as elsewhere
) -> Response:
    """Answer which places have repeated incidents, and how few places hold how many of all."""
    if format != "json":
        demand_export(who)
    with transaction() as conn:
        found = repeats.repeats(conn, seen := view(conn, look, who), by)
        version, known = city.data_version(conn), told_records(conn, seen)
    whole = {
        "start": rfc3339(found.start), "end": rfc3339(found.end), "by": by,
        "incidents": found.incidents, "without_place": found.without_place, "units": found.units,
        "repeated": len(found.places), "repeated_incidents": int(found.places["count"].sum()),
        "top": _top(found.concentration), "gini": _known(found.concentration.gini),
        "method": METHOD, "data_version": version, **known,
    }  # fmt: skip
    answer = tables.plain(whole, "rows", _rows(found.places.head(limit), datum), format)
    answer.headers["X-Rows"] = str(len(found.places))
    return answer


def _top(found: Concentration) -> list[dict[str, float | None]]:
    parts = {"of_places": np.array(TOP), "share": found.share, "by_chance": found.by_chance}
    columns = parts | {"low": found.low, "high": found.high}
    return tables.rows({name: tables.known(values) for name, values in columns.items()})


def _known(value: float) -> float | None:
    return tables.known(np.array([value]))[0]


def _rows(places: pd.DataFrame, datum: crs.Datum) -> tables.Columns:
    """Return the places as columns; what only segments have is null of others."""
    lon, lat = crs.from_wgs84(places["lon"].to_numpy(float), places["lat"].to_numpy(float), datum)
    empty = [None] * len(places)
    measured = {
        name: tables.known(places[name].to_numpy(float)) if name in places else empty for name in _RATES
    }
    return {
        "id": [str(one) for one in places["id"]],
        "name": [None if pd.isna(one) else one for one in places["name"]],
        "count": places["count"].astype(int).tolist(),
        "first": [rfc3339(one.to_pydatetime()) for one in places["first"]],
        "last": [rfc3339(one.to_pydatetime()) for one in places["last"]],
        "lon": tables.known(lon), "lat": tables.known(lat), **measured,
    }  # fmt: skip
