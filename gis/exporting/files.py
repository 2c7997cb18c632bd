"""Tables as files, by their suffix: no spreadsheet runs what is in them, and all of it imports again."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyogrio
import shapely
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from gis.clocks import rfc3339
from gis.errors import BadInput
from gis.importing.quoting import quoted

LONGEST_CELL, MOST_ROWS = 32_000, 1_048_575
"""What a workbook's cell (characters) and sheet (rows below the heading) hold; longer shapes go on beside."""
_SURE_DIGITS = 10**15
"""Whole numbers from here on are written as text in workbooks, whose programs keep 15 digits."""
SHEETS = (".csv", ".xlsx")
_ESCAPED = re.compile(r"\r|_(?=x[0-9A-Fa-f]{4}_)")
"""What a workbook would lose or take for an escape: `_x000D_` (ECMA-376, 22.4.2.4, ST_Xstring)."""
GDAL = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON"}


def plain(value: Any) -> Any:
    """Return a value as formats without lists and zones hold it: lists as JSON, times in ISO 8601."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False) if value else None
    if isinstance(value, datetime):
        return rfc3339(value) if value.tzinfo else value.isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _arrow(values: Sequence[Any]) -> pa.Array:
    """Return values as one typed column, texts safe to open; of several types all become text."""
    given = list(values)
    if any(isinstance(value, str) for value in given):
        return quoted(pa.array([None if pd.isna(value) else str(value) for value in given], pa.string()))
    typed = pa.array(given, from_pandas=True)
    return typed.cast(pa.string()) if pa.types.is_null(typed.type) else typed


def _table(rows: pd.DataFrame) -> pa.Table:
    """Return rows without geometry."""
    kept = [name for name in rows.columns if name != _geometry_of(rows)]
    return pa.table({name: _arrow([plain(value) for value in rows[name]]) for name in kept})


def _geometry_of(rows: pd.DataFrame) -> str | None:
    return str(rows.geometry.name) if isinstance(rows, gpd.GeoDataFrame) else None


def _sheet(rows: pd.DataFrame) -> pa.Table:
    """Return rows with points as lon and lat, other shapes as WKT, to the last digit."""
    table = _table(rows)
    if not isinstance(rows, gpd.GeoDataFrame):
        return table
    shapes = rows.geometry.to_numpy()
    if (shapely.is_missing(shapes) | (shapely.get_type_id(shapes) == shapely.GeometryType.POINT)).all():
        for name, of in (("lon", shapely.get_x), ("lat", shapely.get_y)):
            table = table.append_column(name, pa.array(of(shapes), from_pandas=True))
        return table
    wkt = shapely.to_wkt(shapes, rounding_precision=-1, trim=True)
    return table.append_column("geometry", pa.array(wkt, pa.string()))


def write_csv(rows: pd.DataFrame, file: Path) -> None:
    """Write CSV in UTF-8 with its mark, which Excel wants."""
    with file.open("wb") as stream:
        stream.write(b"\xef\xbb\xbf")
        pa.csv.write_csv(_sheet(rows), stream)


def write_xlsx(rows: pd.DataFrame, file: Path) -> None:
    """Write one sheet; a shape longer than a cell goes on in the columns `geometry 2`, `geometry 3`.

    Raises BadInput for more rows than a sheet holds, or a text that a cell does not.
    """
    if len(rows) > MOST_ROWS:
        raise BadInput(
            "FILE", f"a workbook's sheet holds {MOST_ROWS:,} rows, these are {len(rows):,}; use .csv"
        )
    columns = [column for name, values in _columns(_sheet(rows)) for column in _widened(name, values)]
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("data")
    made = BytesIO()  # on a full disk openpyxl's writer leaves errors behind that nobody can catch
    try:
        sheet.append([name for name, _ in columns])
        for row in zip(*(values for _, values in columns), strict=True):
            sheet.append(row)
        book.save(made)
    except OSError:
        with suppress(OSError):  # its temporary file, which would fail once more as it is collected
            sheet._writer.xf.close()  # noqa: SLF001 - openpyxl has no other way to it
        raise
    file.write_bytes(made.getbuffer())


def _columns(table: pa.Table) -> list[tuple[str, list[Any]]]:
    return [(name, table[name].to_pylist()) for name in table.column_names]


def _widened(name: str, values: list[Any]) -> list[tuple[str, list[Any]]]:
    """Return a column as what cells hold, and those beside it that take what is too long for one."""
    cells = [_cell(name, value) for value in values]
    longest = max((len(value) for value in cells if isinstance(value, str)), default=0)
    if longest > LONGEST_CELL and name != "geometry":
        raise BadInput("FILE", f"{name} has a text of {longest:,} characters, too long for a cell; use .csv")
    pieces = range(max(1, -(-longest // LONGEST_CELL)))
    return [(f"{name} {at + 1}" if at else name, [_piece(value, at) for value in cells]) for at in pieces]


def _piece(value: Any, at: int) -> Any:
    if not isinstance(value, str):
        return value
    return value[at * LONGEST_CELL : (at + 1) * LONGEST_CELL] or None


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SURE_DIGITS:
        return str(value)
    if isinstance(value, float) and np.isfinite(value) and float(f"{value:.16g}") != value:
        return repr(value)  # openpyxl writes 16 digits
    if isinstance(value, str) and _ESCAPED.search(value):
        return _ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", value)
    if isinstance(value, str) and ILLEGAL_CHARACTERS_RE.search(value):
        raise BadInput("FILE", f"{name} has a text with a control sign, which no workbook holds; use .csv")
    return value


def write_parquet(rows: pd.DataFrame, file: Path) -> None:
    """Write GeoParquet, or Parquet of rows without shapes; times and lists stay what they are."""
    safe = rows.copy()
    for name in rows.columns:
        if name != _geometry_of(rows):
            safe[name] = pd.Series(_typed(rows[name].tolist()), index=rows.index, dtype=None)
    safe.to_parquet(file, index=False)


def _typed(values: list[Any]) -> Any:
    """Return values as pandas keeps them by their own type, whole numbers with gaps whole."""
    kept = values if any(isinstance(value, list) for value in values) else _arrow(values)
    return pd.array(kept, dtype=pd.ArrowDtype(kept.type)) if isinstance(kept, pa.Array) else kept


def write_gdal(rows: pd.DataFrame, file: Path) -> None:
    """Write a GeoPackage or FlatGeobuf with whatever shapes there are, to the last digit."""
    table = _table(rows)
    shapes = rows.geometry.to_numpy() if isinstance(rows, gpd.GeoDataFrame) else None
    driver = GDAL[file.suffix.lower()]
    if shapes is not None:
        wkb = pa.array(shapely.to_wkb(shapes, include_srid=False), pa.binary())
        table = table.append_column("geometry", wkb)
    whole = shapes is not None and not shapely.is_missing(shapes).any()
    options = {} if whole or driver != "FlatGeobuf" else {"SPATIAL_INDEX": "NO"}
    pyogrio.write_arrow(
        table, file, layer="data", driver=driver, layer_options=options,
        geometry_name="geometry" if shapes is not None else None,
        geometry_type="Unknown" if shapes is not None else None,
        crs="EPSG:4326" if shapes is not None else None,
    )  # fmt: skip


def write_geojson(rows: pd.DataFrame, file: Path) -> None:
    """Write GeoJSON (RFC 7946), a feature a line, every number to its last digit: GDAL's driver keeps 15."""
    table = _table(rows)
    shapes = rows.geometry.to_numpy() if isinstance(rows, gpd.GeoDataFrame) else np.full(len(rows), None)
    places = ["null" if one is None else one for one in shapely.to_geojson(shapes)]
    with file.open("w", encoding="utf-8") as stream:
        stream.write('{"type":"FeatureCollection","features":[')
        for at, (values, place) in enumerate(zip(table.to_pylist(), places, strict=True)):
            told = json.dumps(values, ensure_ascii=False, allow_nan=False)
            stream.write(f'{"," * bool(at)}\n{{"type":"Feature","properties":{told},"geometry":{place}}}')
        stream.write("\n]}\n")


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": write_csv,
    ".xlsx": write_xlsx,
    ".parquet": write_parquet,
    ".gpkg": write_gdal,
    ".fgb": write_gdal,
    ".geojson": write_geojson,
}
"""What writes a file, by its suffix."""
