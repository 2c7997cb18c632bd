"""Columns of texts made readable: bytes of another encoding decoded, what cannot be read marked by U+FFFD."""

from collections.abc import Callable

import pyarrow as pa

from gis.importing import encodings

MARK = "\ufffd"
"""Put where bytes are no text; rows that hold it in a field are refused."""


def texts_of(table: pa.Table) -> list[str]:
    """Return the names of the columns of texts."""
    wanted = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return [field.name for field in table.schema if any(is_of(field.type) for is_of in wanted)]


def readable(table: pa.Table, encoding: str = "utf-8") -> pa.Table:
    """Return a table whose texts, which are bytes in `encoding`, are valid UTF-8."""
    return _changed(table, lambda column: _decoded(column, encoding))


def from_latin1(table: pa.Table, encoding: str) -> pa.Table:
    """Return a table whose bytes were each taken for a sign of Latin-1, read in their true encoding."""

    def decode(column: pa.ChunkedArray) -> pa.Array:
        return _by_value(column, lambda value: read(str(value).encode("latin-1"), encoding))

    return _changed(table, decode)


def without_misread(table: pa.Table, encoding: str) -> pa.Table:
    """Return a table in which values that were UTF-8 in a file of another encoding are marked."""
    if encoding == "utf-8":
        return table
    return _changed(table, lambda column: _by_value(column, lambda value: _marked(value, encoding)))


def read(raw: bytes, encoding: str) -> str:
    """Return bytes as text, with marks where they cannot be read in their encoding."""
    return _marked(raw.decode(encoding, "replace"), encoding)


def _marked(value: str, encoding: str) -> str:
    misread = encoding != "utf-8" and not value.isascii() and encodings.is_misread(value, encoding)
    return MARK + value if misread else value


def _changed(table: pa.Table, change: Callable[[pa.ChunkedArray], pa.Array]) -> pa.Table:
    for name in texts_of(table):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, change(table.column(at)))
    return table


def _decoded(column: pa.ChunkedArray, encoding: str) -> pa.Array:
    raw = column.cast(pa.large_binary())
    if encoding == "utf-8":
        try:
            return raw.cast(pa.large_string()).cast(pa.string())
        except pa.ArrowInvalid:
            pass
    return _by_value(raw, lambda value: read(value, encoding))


def _by_value(column: pa.ChunkedArray, change: Callable[..., str]) -> pa.Array:
    """Return texts changed one by one, each different one once."""
    coded = column.combine_chunks().dictionary_encode()
    changed = pa.array([change(value) for value in coded.dictionary.to_pylist()], pa.string())
    return changed.take(coded.indices)
