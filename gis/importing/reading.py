"""Files as sources: Parquet, Arrow, CSV in UTF-8 or GBK, xlsx, and every vector format of GDAL."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pyogrio
import shapely

from gis.errors import BadInput, NotFound
from gis.importing import sheets
from gis.importing.source import CHUNK, Chunk, Geoms, Source, digest, numbered

_NO_CRS = ("OGC:CRS84", "EPSG:4326")
"""Coordinate systems that are longitude and latitude as they stand."""


# The driver's own way to Arrow gives corrupt offsets behind a feature without geometry (GDAL 3.12).
pyogrio.set_gdal_config_options({"OGR_FLATGEOBUF_STREAM_BASE_IMPL": True})


def read(path: Path, layer: str | None = None) -> Source:
    """Return the file at `path` as a source; `layer` names a layer or sheet where a file has several.

    Raises NotFound when there is no such file, BadInput when it cannot be read as what its name says.
    """
    if not path.exists():
        raise NotFound(f"no file at {path}")
    opener = _OPENERS.get(path.suffix.lower(), _open_vector)
    try:
        return opener(path, layer)
    except (pa.ArrowException, pyogrio.errors.DataSourceError, OSError, ValueError) as error:
        raise BadInput("file", f"{path.name} cannot be read: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """Return the first line of a reader's complaint; GDAL's hints at its own programs help nobody here."""
    told = (str(error).splitlines() or [type(error).__name__])[0]
    unknown = "not recognized as being in a supported file format" in told
    return "it is none of CSV, xlsx, Parquet, Arrow, GeoJSON, GeoPackage, shapefile …" if unknown else told


def _open_parquet(path: Path, _layer: str | None) -> Source:
    with pq.ParquetFile(path) as opened:
        schema, rows = opened.schema_arrow, opened.metadata.num_rows
    return _arrow_source(path, schema, rows, lambda: _parquet_tables(path))


def _parquet_tables(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as opened:
        for batch in opened.iter_batches(batch_size=CHUNK):
            yield pa.Table.from_batches([batch])


def _open_arrow(path: Path, _layer: str | None) -> Source:
    table = pa.feather.read_table(path, memory_map=True)
    return _arrow_source(path, table.schema, table.num_rows, lambda: iter([table]))


def _arrow_source(
    path: Path, schema: pa.Schema, rows: int, tables: Callable[[], Iterator[pa.Table]]
) -> Source:
    column, crs = _geo_metadata(schema)
    return Source(
        name=path.name,
        sha256=digest(path),
        columns=tuple(name for name in schema.names if name != column),
        chunks=lambda: numbered(_apart(table, column) for table in tables()),
        has_geometry=column is not None,
        crs=crs,
        total=rows,
    )


def _geo_metadata(schema: pa.Schema) -> tuple[str | None, str | None]:
    """Return the geometry column and its coordinate system from GeoParquet metadata (version 1.1)."""
    raw = (schema.metadata or {}).get(b"geo")
    if raw is None:
        return None, None
    geo = json.loads(raw)
    column = geo["primary_column"]
    told = geo["columns"][column]
    if told.get("encoding", "WKB") != "WKB":
        raise BadInput("geometry", f"GeoParquet encoding {told['encoding']} is not read; write it as WKB")
    crs = told.get("crs", "OGC:CRS84")
    return column, json.dumps(crs) if isinstance(crs, dict) else crs


def _apart(table: pa.Table, column: str | None) -> tuple[pa.Table, Geoms | None]:
    """Split a table into its plain columns and its shapes; broken WKB becomes None."""
    if column is None:
        return table, None
    wkb = table[column].to_numpy()
    return table.drop_columns([column]), np.asarray(shapely.from_wkb(wkb, on_invalid="ignore"), dtype=object)


def _open_vector(path: Path, layer: str | None) -> Source:
    """Open a file through GDAL; of several layers one must be named."""
    layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    if layer is None and len(layers) > 1:
        raise BadInput("layer", f"{path.name} has several; choose one with --layer: {', '.join(layers)}")
    if layer is not None and layer not in layers:
        raise BadInput("layer", f"{path.name} has no {layer!r}; it has {', '.join(layers)}")
    encoding = sheets.dbf_encoding(path)
    info = pyogrio.read_info(path, layer=layer, encoding=encoding)
    return Source(
        name=path.name,
        sha256=digest(path),
        columns=tuple(info["fields"]),
        chunks=lambda: _vector_chunks(path, layer, encoding),
        has_geometry=info["geometry_type"] is not None,
        crs=info["crs"],
        total=info["features"] if info["features"] >= 0 else None,
    )


def _vector_chunks(path: Path, layer: str | None, encoding: str | None) -> Iterator[Chunk]:
    def tables() -> Iterator[tuple[pa.Table, Geoms | None]]:
        opened: Any = pyogrio.raw.open_arrow(
            path, layer=layer, encoding=encoding, batch_size=CHUNK, use_pyarrow=True
        )
        with opened as (meta, reader):
            column = (meta["geometry_name"] or "wkb_geometry") if meta["geometry_type"] else None
            for batch in reader:
                yield _apart(pa.Table.from_batches([batch]), column)

    return numbered(tables())


_OPENERS: dict[str, Callable[[Path, str | None], Source]] = {
    ".parquet": _open_parquet,
    ".geoparquet": _open_parquet,
    ".arrow": _open_arrow,
    ".feather": _open_arrow,
    ".csv": sheets.open_csv,
    ".tsv": sheets.open_csv,
    ".txt": sheets.open_csv,
    ".xlsx": sheets.open_xlsx,
    ".xlsm": sheets.open_xlsx,
}
