"""Shapes too long for a workbook's cell, which our own exports go on with in the columns beside it."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from gis.importing.parsing import as_text
from gis.importing.source import Chunk, Source

_MORE = re.compile(r"geometry [1-9]\d*$")


def joined(source: Source) -> Source:
    """Return a source whose columns `geometry`, `geometry 2` … are one."""
    more = [name for name in source.columns if _MORE.match(name)]
    if "geometry" not in source.columns or not more:
        return source

    def chunks() -> Iterator[Chunk]:
        return (_joined(chunk, more) for chunk in source.chunks())

    return replace(source, columns=tuple(one for one in source.columns if one not in more), chunks=chunks)


def _joined(chunk: Chunk, more: list[str]) -> Chunk:
    parts: list[pa.Array] = [as_text(chunk.table[name].combine_chunks()) for name in ("geometry", *more)]
    whole = pc.binary_join_element_wise(*parts, "", null_handling="skip")
    at = chunk.table.column_names.index("geometry")
    table = chunk.table.drop_columns(more).set_column(
        at, "geometry", pc.if_else(pc.is_valid(parts[0]), whole, None)
    )
    return replace(chunk, table=table)
