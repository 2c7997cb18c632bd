"""Hotspots over HTTP: cells against expectation as JSON, GeoJSON, CSV or Arrow."""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa
import shapely
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api.access import Who, audience, demand_export
from api.deps import DatumName, Looked, Transaction, view
from api.limits import heavy
from gis import cells, city, crs
from gis.cells import Cells
from layers import hotspots as spots

router = APIRouter()


class Cell(BaseModel):
    """One H3 cell; ratio, p and significant speak of the cell with its neighbours.

    The public's counts are cut to steps and not tested: what rests on a test is null, significant false.
    """

    cell: str
    count: int
    expected: float | None
    ratio: float | None
    p: float | None
    significant: bool
    trend: Literal["rising", "falling", "steady"] | None


class Whole(BaseModel):
    """The cells with incidents, and what they are part of."""

    incidents: int
    without_place: int
    res: int
    method: str
    data_version: int
    cells: list[Cell]


Format = Literal["json", "geojson", "csv", "arrow"]
Outlines = Callable[[], npt.NDArray[np.object_]]
"""Draws the cells, in their order; only GeoJSON needs them drawn."""
_SCHEMA = pa.schema([
    ("cell", pa.string()), ("count", pa.int64()), ("expected", pa.float64()), ("ratio", pa.float64()),
    ("p", pa.float64()), ("significant", pa.bool_()), ("trend", pa.string()),
])  # fmt: skip
"""The same whatever is found: a column of nulls keeps its type."""


@router.get(
    "/hotspots",
    response_model=Whole,
    dependencies=[Depends(heavy)],
    openapi_extra=audience("public", "counts incidents inside it; the public gets cells of 5 and more"),
)
def hotspots(
    transaction: Transaction,
    look: Looked,
    who: Who,
    res: Annotated[int, Query(description="H3 resolution, 6 to 10.")] = 8,
    format: Annotated[Format, Query()] = "json",  # noqa: A002 - the contract's name
    datum: DatumName = "wgs84",
) -> Response:
    """Answer the cells that hold incidents, each against expectation, with a test that noise passes."""
    if format != "json":
        demand_export(who)
    with transaction() as conn:
        found, version = spots.hotspots(conn, view(conn, look, who), res), city.data_version(conn)
    whole = {
        "incidents": found.incidents,
        "without_place": found.without_place,
        "res": res,
        "method": found.method,
        "data_version": version,
    }
    return _WRITERS[format](whole, _columns(found), partial(_outlines, found.cells, datum))


def _columns(found: spots.Hotspots) -> dict[str, list[Any]]:
    return {
        "cell": cells.to_text(found.cells),
        "count": found.count.tolist(),
        "expected": _known(found.expected),
        "ratio": _known(found.tested.ratio),
        "p": _known(found.tested.p),
        "significant": found.tested.significant.tolist(),
        "trend": found.trend,
    }


def _known(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _outlines(of: Cells, datum: DatumName) -> npt.NDArray[np.object_]:
    return crs.shapes_from_wgs84(cells.boundaries(of), datum)


def _as_json(whole: dict[str, Any], columns: dict[str, list[Any]], _: Outlines) -> Response:
    return Response(orjson.dumps(whole | {"cells": _rows(columns)}), media_type="application/json")


def _as_geojson(whole: dict[str, Any], columns: dict[str, list[Any]], outlines: Outlines) -> Response:
    shapes = shapely.to_geojson(outlines())
    features = [
        {"type": "Feature", "geometry": orjson.Fragment(shape), "properties": row}
        for shape, row in zip(shapes, _rows(columns), strict=True)
    ]
    body = {"type": "FeatureCollection", **whole, "features": features}
    return Response(orjson.dumps(body), media_type="application/geo+json")


def _as_csv(_: dict[str, Any], columns: dict[str, list[Any]], __: Outlines) -> Response:
    return Response(pd.DataFrame(columns).to_csv(index=False), media_type="text/csv; charset=utf-8")


def _as_arrow(whole: dict[str, Any], columns: dict[str, list[Any]], _: Outlines) -> Response:
    table = pa.table(columns, schema=_SCHEMA).replace_schema_metadata(
        {key: str(value) for key, value in whole.items()}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return Response(sink.getvalue().to_pybytes(), media_type="application/vnd.apache.arrow.stream")


_WRITERS: dict[Format, Callable[[dict[str, Any], dict[str, list[Any]], Outlines], Response]] = {
    "json": _as_json,
    "geojson": _as_geojson,
    "csv": _as_csv,
    "arrow": _as_arrow,
}
