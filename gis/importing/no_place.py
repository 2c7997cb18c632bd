"""Coordinates that mean nothing: what a mapping's `nulls` name, empty shapes, and 0, 0 in the ocean."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from gis.importing.coordinates import degrees, pairs
from gis.importing.drafting import Draft
from gis.importing.mapping import Mapping
from gis.importing.parsing import Bools, Floats, as_text, is_text, mask
from gis.importing.placing import Placed
from gis.importing.source import Chunk, one_array

_EMPTY = r"(?i)^(?:SRID=\d+;\s*)?[a-z]+(?:\s+Z?M?)?\s+EMPTY$"
_POINT = r"(?i)^(?:SRID=\d+;\s*)?POINT\s*Z?\s*\("
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
Numbers = list[float]


def blanked(chunk: Chunk, mapping: Mapping) -> Chunk:
    """Return a chunk without the coordinates that mean nothing, so that those rows have no place.

    A word of the mapping's `nulls` means nothing in any of them; a number only where both coordinates are
    such numbers: 0 alone is a longitude of London.
    """
    words = [word for word in mapping.nulls if not _NUMBER.fullmatch(word)]
    numbers = [float(word) for word in mapping.nulls if _NUMBER.fullmatch(word)]
    columns = chunk.table.column_names
    pair = [found for name in ("lon", "lat") if (found := mapping.found(name, columns))]
    if len(pair) == 2 and numbers:
        read = [
            _degrees(chunk, column, axis, mapping) for column, axis in zip(pair, ("lon", "lat"), strict=True)
        ]
        chunk = _without(chunk, pair, _are(read[0], numbers) & _are(read[1], numbers))
    for order in ("lonlat", "latlon"):
        if numbers and (column := mapping.found(order, columns)):
            lon, lat, _ = pairs(_bare(chunk, column), order, mapping.decimal)
            chunk = _without(chunk, [column], _are(lon, numbers) & _are(lat, numbers))
    whole = [found for name in ("geometry", "lonlat", "latlon") if (found := mapping.found(name, columns))]
    for column in [*pair, *whole]:
        chunk = _without(chunk, [column], _say_nothing(chunk, column, words))
    return _without_points(chunk, numbers)


def _values(chunk: Chunk, column: str) -> pa.Array:
    values = one_array(chunk.table[column])
    return values.storage if isinstance(values.type, pa.JsonType) else values


def _degrees(chunk: Chunk, column: str, axis: str, mapping: Mapping) -> Floats:
    return degrees(_values(chunk, column), axis, mapping.decimal)[0]


def _bare(chunk: Chunk, column: str) -> pa.Array:
    """Return a column of pairs without `POINT` in front."""
    return pc.replace_substring_regex(as_text(_values(chunk, column)), _POINT, "(")


def _are(values: Floats, numbers: Numbers) -> Bools:
    return np.isin(values, numbers)


def _say_nothing(chunk: Chunk, column: str, words: list[str]) -> Bools:
    values = _values(chunk, column)
    if not is_text(values.type):
        return np.zeros(len(chunk), bool)
    texts = pc.utf8_trim_whitespace(as_text(values))
    return mask(pc.is_in(texts, pa.array(words, pa.string()))) | mask(pc.match_substring_regex(texts, _EMPTY))


def _without(chunk: Chunk, columns: list[str], rows: Bools) -> Chunk:
    """Return a chunk with nothing in some cells."""
    if not rows.any():
        return chunk
    table = chunk.table
    for column in columns:
        values = _values(chunk, column)
        emptied = pc.if_else(pa.array(rows), pa.scalar(None, values.type), values)
        table = table.set_column(table.column_names.index(column), column, emptied)
    return replace(chunk, table=table)


def _without_points(chunk: Chunk, numbers: Numbers) -> Chunk:
    """Return a chunk without the points of a format with shapes whose coordinates are such numbers."""
    if chunk.geometry is None or not numbers:
        return chunk
    shapes = chunk.geometry.copy()
    shapes[shapely.is_empty(shapes)] = None
    rows = _are(shapely.get_x(shapes), numbers) & _are(shapely.get_y(shapes), numbers)
    shapes[rows] = None
    return replace(chunk, geometry=shapes)


def refuse_island(made: Draft, where: Placed) -> None:
    """Refuse 0, 0: no city lies there, in the ocean off Africa, and files write it for no place."""
    told = "lies at 0, 0 in the ocean: correct it, leave it empty, or say nulls in the mapping"
    made.sieve.refuse((where.lon == 0) & (where.lat == 0), "lon/lat", told, where.pair)
