"""Rows of an answer as JSON, GeoJSON, CSV or Arrow, from the same columns."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa
import shapely
from fastapi.responses import Response

from gis.importing.quoting import quoted_cells

Format = Literal["json", "geojson", "csv", "arrow"]
Plain = Literal["json", "csv"]
Columns = dict[str, list[Any]]
Outlines = Callable[[], npt.NDArray[np.object_]]
"""Draws the cells, in their order; only GeoJSON needs them drawn."""
_KINDS = {
    "cell": pa.string(), "count": pa.int64(), "significant": pa.bool_(), "trend": pa.string(),
    "cluster": pa.int64(),
}  # fmt: skip
"""The same whatever is found: a column of nulls keeps its type; all others are numbers."""


def known(values: npt.NDArray[np.floating[Any]]) -> list[float | None]:
    """Return numbers with null for what is not known (NaN, infinite)."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def short(column: list[Any]) -> list[Any]:
    """Return numbers at four digits, for the colours of a map."""
    return [None if value is None else float(f"{value:.4g}") for value in column]


def rows(columns: Columns) -> list[dict[str, Any]]:
    """Return the columns as rows."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def json(body: object) -> Response:
    """Answer a body as JSON."""
    return Response(orjson.dumps(body), media_type="application/json")


def plain(whole: dict[str, Any], name: str, columns: Columns, form: Plain) -> Response:
    """Answer rows under `name` beside the whole they are part of; CSV has rows alone, headers the period."""
    if form != "csv":
        return json(whole | {name: rows(columns)})
    answer = as_csv(columns)
    answer.headers.update(_period(whole))
    return answer


def _period(whole: dict[str, Any]) -> dict[str, str]:
    """Return as headers which period the rows of a CSV are of: it may be less than was asked for."""
    told = {"X-Start": whole.get("start"), "X-End": whole.get("end")}
    if missing := whole.get("unrecorded"):
        told |= {"X-Unrecorded-Days": missing["days"], "X-Unrecorded-Inside": missing["inside"]}
    return {name: str(value) for name, value in told.items() if value is not None}


def cells(whole: dict[str, Any], columns: Columns, outlines: Outlines, form: Format) -> Response:
    """Answer cells and the whole they are part of."""
    if form == "geojson":
        return _as_geojson(whole, columns, outlines)
    return _as_arrow(whole, columns) if form == "arrow" else plain(whole, "cells", columns, form)


def as_csv(columns: Columns) -> Response:
    """Answer rows as CSV with a header, nothing where a value is not known, no text a formula."""
    safe = {name: quoted_cells(values) for name, values in columns.items()}
    return Response(pd.DataFrame(safe).to_csv(index=False), media_type="text/csv; charset=utf-8")


def _as_geojson(whole: dict[str, Any], columns: Columns, outlines: Outlines) -> Response:
    shapes = shapely.to_geojson(outlines())
    features = [
        {"type": "Feature", "geometry": orjson.Fragment(shape), "properties": row}
        for shape, row in zip(shapes, rows(columns), strict=True)
    ]
    body = {"type": "FeatureCollection", **whole, "features": features}
    return Response(orjson.dumps(body), media_type="application/geo+json")


def _as_arrow(whole: dict[str, Any], columns: Columns) -> Response:
    schema = pa.schema([(name, _KINDS.get(name, pa.float64())) for name in columns])
    table = pa.table(columns, schema=schema).replace_schema_metadata(
        {key: str(value) for key, value in whole.items()}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return Response(sink.getvalue().to_pybytes(), media_type="application/vnd.apache.arrow.stream")
