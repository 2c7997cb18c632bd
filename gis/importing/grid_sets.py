"""A file of grids as it is, faulty or not: codes, parents and shapes, read as the import reads them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage, mend
from gis.crs import to_degrees
from gis.errors import BadInput
from gis.importing import shapes as written
from gis.importing.drafting import draft
from gis.importing.kinds import KINDS
from gis.importing.mapping import Mapping, pick, plain, ready
from gis.importing.parsing import Rules
from gis.importing.source import Chunk, Geoms, Source

_ANY = Rules("UTC", (), datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), {})
"""Rules for columns that are looked at, not kept."""


_WHOLE: dict[pa.DataType, Any] = {
    pa.bool_(): pd.BooleanDtype(), pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(), pa.uint32(): pd.UInt32Dtype(), pa.uint64(): pd.UInt64Dtype(),
}  # fmt: skip
"""Kinds of columns in which pandas else makes doubles or texts of all values where one is empty."""


@dataclass(frozen=True)
class GridSet:
    """Rows of a file of grids.

    `frame` has the file's columns and shapes in degrees, on whole units; `parents` ("" for none) and `codes`
    go with its rows; `left_out` names the rows without a shape; `snapped` says what whole units changed.
    """

    frame: gpd.GeoDataFrame
    codes: tuple[str, ...]
    parents: tuple[str, ...]
    left_out: tuple[str, ...]
    snapped: coverage.Snapped

    @property
    def shapes(self) -> dict[str, BaseGeometry]:
        """The shapes in units, by code."""
        units = coverage.to_units(self.frame.geometry.to_numpy())
        return dict(zip(self.codes, units, strict=True))

    @property
    def lowest(self) -> dict[str, BaseGeometry]:
        """The grids that have none below them (units): those that a mending is about."""
        above = set(self.parents)
        return {code: shape for code, shape in self.shapes.items() if code not in above}

    def with_uppers(self, lowest: dict[str, BaseGeometry]) -> dict[str, BaseGeometry]:
        """Return every grid (units): the lowest as given, those above made of the ones below them."""
        made, parent = dict(lowest), dict(zip(self.codes, self.parents, strict=True))
        waiting = {code for code in self.codes if code not in made}
        while waiting:
            whole = {code for code in waiting if all(of in made for of in self._below(code))}
            if not whole:
                raise BadInput("parent_code", f"{min(waiting)} lies above itself; correct it")
            below = {code: made[code] for code, above in parent.items() if above in whole}
            made |= mend.dissolved(below, parent)
            waiting -= whole
        return made

    def _below(self, code: str) -> Iterator[str]:
        return (one for one, above in zip(self.codes, self.parents, strict=True) if above == code)


def read(source: Source, code: str | None) -> GridSet:
    """Return the grids of a file; `code` names the column of their codes (None: the one that a mapping has).

    Raises BadInput where there is no such column or nothing with shapes.
    """
    mapping = _mapping(source, code)
    column = code or mapping.found("code", source.columns) or "code"
    placed = source.has_geometry or mapping.found("geometry", source.columns)
    columns = ", ".join(source.columns) or "no columns"
    if not placed:
        named = "geometry, geom, wkt, 边界 or 几何"
        raise BadInput("file", f"it needs polygons, or a column of WKT called {named}; it has {columns}")
    if column not in source.columns:
        raise BadInput("--code", f"it needs polygons and a column {column!r}; it has {columns}")
    chunks = list(source.chunks())
    table = pd.concat([_frame(chunk) for chunk in chunks], ignore_index=True)
    shapes = np.concatenate([_shapes(chunk, mapping) for chunk in chunks])
    codes, parents = _named(chunks, mapping)
    # What the import would refuse as a code still names its row here.
    raw = ["" if pd.isna(one) else str(one) for one in table[column]]
    codes = [one or text for one, text in zip(codes, raw, strict=True)]
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    left_out = tuple(f"{i + 1} ({codes[i]})" for i in np.flatnonzero(~there))
    degrees = shapes[there] if source.crs is None else to_degrees(shapes[there], source.crs)
    snapped, changed = coverage.snap(degrees)
    texts = table.drop(columns=[mapping.found("geometry", source.columns)] * (not source.has_geometry))
    frame = gpd.GeoDataFrame(texts[there].reset_index(drop=True), geometry=snapped, crs=4326)
    kept = [at for at, one in enumerate(there) if one]
    return GridSet(
        frame, _distinct([codes[at] for at in kept]), _known(codes, [parents[at] for at in kept]),
        left_out, changed,
    )  # fmt: skip


def _mapping(source: Source, code: str | None) -> Mapping:
    """Return the mapping that finds the codes in a file and reads most of it; our own names otherwise."""
    known = [plain("grids"), *(of["grids"] for of in ready().values() if "grids" in of)]
    fits = [one for one in known if code or pick(one.columns.get("code"), source.columns)]
    best = max(fits, key=lambda one: len(one.used(source.columns)), default=known[0])
    return best if code is None else best.model_copy(update={"columns": {**best.columns, "code": code}})


def _frame(chunk: Chunk) -> pd.DataFrame:
    """Return the columns of rows as they are, beside empty cells too; lists become JSON."""
    table = chunk.table
    for at, column in enumerate(table.columns):
        if pa.types.is_nested(column.type):
            values = [None if one is None else json.dumps(one, ensure_ascii=False, default=str)
                      for one in column.to_pylist()]  # fmt: skip
            table = table.set_column(at, table.column_names[at], pa.array(values, pa.string()))
    frame: pd.DataFrame = table.to_pandas(types_mapper=_WHOLE.get)
    return frame


def _shapes(chunk: Chunk, mapping: Mapping) -> Geoms:
    column = mapping.found("geometry", chunk.table.column_names)
    if chunk.geometry is not None or column is None:
        return np.asarray(chunk.geometry, dtype=object)
    shapes = np.full(len(chunk), None, dtype=object)
    shapes[:] = [written.read_shape(one) if one.is_valid else None for one in chunk.table[column]]
    return shapes


def _named(chunks: list[Chunk], mapping: Mapping) -> tuple[list[str], list[str]]:
    """Return the code and the parent's of each row, as the import reads them."""
    made = [draft(chunk, KINDS["grids"], mapping, _ANY) for chunk in chunks]
    columns = [[one.text(name).to_pylist() for one in made] for name in ("code", "parent_code")]
    codes, parents = ([value or "" for of in column for value in of] for column in columns)
    return codes, parents


def _known(codes: list[str], parents: list[str]) -> tuple[str, ...]:
    """Return parents that are in the file themselves, "" for others."""
    there = set(codes)
    return tuple(one if one in there else "" for one in parents)


def _distinct(codes: list[str]) -> tuple[str, ...]:
    """Return codes, those that occur again with the number of their row."""
    seen: set[str] = set()
    return tuple(
        one if one not in seen and not seen.add(one) else f"{one} (row {i})"  # type: ignore[func-returns-value]
        for i, one in enumerate(codes, start=1)
    )
