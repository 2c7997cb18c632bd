"""Files as sources: Parquet, Arrow, CSV, xlsx, every vector format of GDAL; plain, gzipped, in an archive."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from gis.errors import BadInput, NotFound, Problem
from gis.importing import columns, encodings, files, not_data, sheets, vectors, workbooks
from gis.importing.files import File
from gis.importing.source import CHUNK, Chunk, Geoms, ReadOptions, Source, digest, numbered

Floats = npt.NDArray[np.float64]
_MOSTLY = 0.9
"""The share of shapes whose coordinates must deny a coordinate system before a file is refused."""
_FARTHEST = 2e8
"""Metres that no system reaches, even with a zone's number before its eastings; what is more is broken."""
_PLAIN = ReadOptions()


def read(path: Path, options: ReadOptions = _PLAIN) -> Source:
    """Return the file at `path` as a source.

    Raises NotFound when there is no such file, BadInput when it cannot be read as what its name says; so do
    its chunks, where that shows only later.
    """
    if not path.exists():
        raise NotFound(f"no file at {path}")
    if options.encoding:
        encodings.named(options.encoding)
    try:
        not_data.check(path)
        file, layer = files.find(path, options.layer)
        opener = _OPENERS.get(file.suffix, vectors.open_vector)
        source = opener(file, replace(options, layer=layer))
    except Exception as error:
        raise _as_problem(path, error) from error
    return replace(source, chunks=lambda: _guarded(path, source))


def _guarded(path: Path, source: Source) -> Iterator[Chunk]:
    """Yield a source's chunks; whatever a reader stumbles over is told as the file's fault."""
    try:
        for chunk in source.chunks():
            _doubt_crs(chunk, source)
            yield chunk
    except Exception as error:
        raise _as_problem(path, error) from error


def _as_problem(path: Path, error: Exception) -> Exception:
    known = isinstance(error, Problem | MemoryError)
    return error if known else BadInput("file", f"{path.name} cannot be read: {_plain(error)}")


_HINTS = {
    "not recognized as being in a supported file format": (
        "it is none of CSV, xlsx, Parquet, Arrow, GeoJSON, GeoPackage, shapefile …"
    ),
    "straddling object": "a cell is larger than 8 MB; a quote may be open and never closed",
    "Cannot detect file format": "it is no workbook, or one with a password; save it as xlsx without one",
    "Bad password": "it is locked with a password; save it without one",
    "password": "it is locked with a password; save it without one",
}
"""What libraries say, and what it means to whoever has the file."""


def _plain(error: Exception) -> str:
    """Return the first line of a reader's complaint; GDAL's hints at its own programs help nobody here."""
    told = (str(error).splitlines() or [""])[0] or type(error).__name__
    return next((hint for sign, hint in _HINTS.items() if sign in told), told)


def _doubt_crs(chunk: Chunk, source: Source) -> None:
    """Refuse a file whose coordinates cannot be in the system it says: degrees as metres, or the reverse."""
    bounds = _bounds(chunk.geometry)
    if not len(bounds):
        return
    degrees = np.abs(bounds) <= [180, 90, 180, 90]
    largest = np.abs(bounds).max(axis=1)
    metres = (largest > 360) & (largest < _FARTHEST)
    said = source.crs or "degrees, as no coordinate system is named"
    if _is_projected(source.crs) and degrees.all(axis=1).mean() > _MOSTLY:
        fix = "which is in metres, but its coordinates are degrees; say --crs EPSG:4326, or what they are in"
    elif not _is_projected(source.crs) and metres.mean() > _MOSTLY:
        fix = "but its coordinates are metres; say in which system with --crs, such as EPSG:4547"
    else:
        return
    raise BadInput("crs", f"{source.name} says {_short(said)}, {fix}")


def _bounds(shapes: Geoms | None) -> Floats:
    if shapes is None:
        return np.zeros((0, 4))
    bounds = np.asarray(shapely.bounds(shapes), float)
    finite: Floats = bounds[np.isfinite(bounds).all(axis=1)]
    return finite


def _is_projected(system: str | None) -> bool:
    try:
        return system is not None and bool(CRS.from_user_input(system).is_projected)
    except CRSError:
        return False


def _short(system: str) -> str:
    return system if len(system) < 60 else CRS.from_user_input(system).name


def _open_parquet(file: File, _options: ReadOptions) -> Source:
    with pq.ParquetFile(file.seekable()) as opened:
        schema, rows = opened.schema_arrow, opened.metadata.num_rows
    return _arrow_source(file, _options, schema, rows, lambda: _parquet_tables(file))


def _parquet_tables(file: File) -> Iterator[pa.Table]:
    with pq.ParquetFile(file.seekable()) as opened:
        for batch in opened.iter_batches(batch_size=CHUNK):
            yield pa.Table.from_batches([batch])


def _open_arrow(file: File, options: ReadOptions) -> Source:
    table = pa.feather.read_table(file.seekable(), memory_map=file.plain)
    return _arrow_source(file, options, table.schema, table.num_rows, lambda: iter([table]))


def _arrow_source(
    file: File, options: ReadOptions, schema: pa.Schema, rows: int, tables: Callable[[], Iterator[pa.Table]]
) -> Source:
    column, crs = _geo_metadata(schema)
    return Source(
        name=file.name,
        sha256=digest(file.path),
        columns=tuple(name for name in schema.names if name != column),
        chunks=lambda: numbered(_apart(table, column, options.encoding) for table in tables()),
        has_geometry=column is not None,
        crs=options.crs or crs,
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


def _apart(table: pa.Table, column: str | None, encoding: str | None) -> tuple[pa.Table, Geoms | None]:
    """Split a table into its readable columns and its shapes; broken WKB becomes None."""
    wkb = None if column is None else table[column].to_numpy()
    plain = table if column is None else table.drop_columns([column])
    readable = columns.readable(plain, encodings.named(encoding) if encoding else "utf-8")
    return readable, None if wkb is None else vectors.shapes(wkb)


_OPENERS: dict[str, Callable[[File, ReadOptions], Source]] = {
    ".parquet": _open_parquet,
    ".geoparquet": _open_parquet,
    ".arrow": _open_arrow,
    ".feather": _open_arrow,
    ".csv": sheets.open_csv,
    ".tsv": sheets.open_csv,
    ".txt": sheets.open_csv,
    ".xlsx": workbooks.open_xlsx,
    ".xlsm": workbooks.open_xlsx,
}
