"""The texts of a Shapefile: which encoding its table is in, by what is said beside it and by its bytes."""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyogrio

from gis.errors import BadInput
from gis.importing import columns, encodings
from gis.importing.encodings import Declared
from gis.importing.files import File
from gis.importing.source import CHUNK

Texts: TypeAlias = npt.NDArray[np.object_]
RAW = "ISO-8859-1"
"""In this encoding GDAL hands over each byte as one sign, so that nothing is lost before we decide."""
_LANGUAGES = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x13: "cp932", 0x4D: "gb18030", 0x4E: "cp949",
    0x4F: "big5hkscs", 0x78: "big5hkscs", 0x79: "cp949", 0x7A: "gb18030", 0x7B: "cp932", 0x57: "",
    0x64: "cp852", 0x65: "cp866", 0xC8: "cp1250", 0xC9: "cp1251", 0xCA: "cp1254", 0xCB: "cp1253",
}  # fmt: skip
"""Language drivers, byte 29 of a .dbf (ESRI's list); 0x57 is ANSI, of whichever country."""


def encoding(file: File, layer: str | int, said: Declared | None) -> str:
    """Return the encoding of a Shapefile's names and texts.

    What the operator says goes before the .cpg, that before the language driver of the .dbf; without any the
    bytes decide. Raises BadInput when they contradict it, or do not suffice.
    """
    declared = said or _by_cpg(file) or _by_table(file)
    return encodings.settle(encodings.sample(_bytes(file, layer)), declared, file.name)


def check_whole(file: File) -> None:
    """Raise BadInput when a Shapefile is shorter than its heads say, or its parts are of two.

    GDAL would give fewer rows, or the shapes of some with the values of others.
    """
    table, index = file.beside(".dbf"), file.beside(".shx")
    if table is None or index is None:
        lacks = ".dbf" if table is None else ".shx"
        raise BadInput("file", f"{file.name} has no {lacks} beside it; bring its .shp, .shx, .dbf and .prj")
    head = _head(table)
    count, first, width = (int.from_bytes(head[at:to], "little") for at, to in ((4, 8), (8, 10), (10, 12)))
    wanted = {part: int.from_bytes(_head(part)[24:28], "big") * 2 for part in (file, index)}
    for part, size in (wanted | {table: first + count * width}).items():
        if part.size() < size:
            raise BadInput("file", f"{part.name} is cut short: {part.size()} bytes of {size}; bring it again")
    if (shapes := (wanted[index] - 100) // 8) != count:
        raise BadInput(
            "file", f"{file.name} has {shapes} shapes, {table.name} {count} rows: they are of two files"
        )


_PLAIN = re.compile(rb"[ \0]*(?:[-+]?(?:\d+\.?\d*|\.\d+)[ \0]*)?")
_WITH_EXPONENT = re.compile(rb"[ \0]*(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[ \0]*)?")
_FIELD, _FIRST, _ENDED = 32, 32, 0x0D
"""Bytes of a field in the head of a .dbf, where the first one begins, what stands behind the last (dBASE)."""


def misread(file: File) -> dict[int, Texts]:
    """Return the numbers of a Shapefile's table as written, for the fields in which GDAL would misread some.

    By the place of the field; shape (n,), a text a record. GDAL takes `5e2` of a whole number for 5,
    and `****`, which is what writers put where a number has no room, for nothing.
    """
    beside = file.beside(".dbf")
    if beside is None:
        return {}
    table = beside.content()
    count, first, width = (int.from_bytes(table[at:to], "little") for at, to in ((4, 8), (8, 10), (10, 12)))
    records = np.frombuffer(table, f"V{width}", count, first) if count else np.zeros(0, f"V{max(width, 1)}")
    found, begin = {}, 1  # behind the mark of deletion
    for at, start in enumerate(range(_FIRST, first - _FIELD, _FIELD)):
        if table[start] == _ENDED:
            break
        kind, size, decimals = table[start + 11 : start + 12], table[start + 16], table[start + 17]
        if kind in (b"N", b"F"):
            texts = np.ndarray(count, f"S{size}", records, begin, (width,)) if count else records.astype("S1")
            notation = _WITH_EXPONENT if decimals or kind == b"F" else _PLAIN
            if not all(notation.fullmatch(one) for one in np.unique(texts).tolist()):
                found[at] = np.array([one.decode(RAW).strip(" \0") for one in texts.tolist()], object)
        begin += size
    return found


def _head(file: File) -> bytes:
    with file.open() as stream:
        return stream.read(32)


def _by_cpg(file: File) -> Declared | None:
    beside = file.beside(".cpg")
    written = beside.content()[:100].decode("ascii", "ignore").strip() if beside else ""
    return _known(written, "its .cpg")


def _by_table(file: File) -> Declared | None:
    beside = file.beside(".dbf")
    if beside is None:
        return None
    start = _head(beside)
    return _known(_LANGUAGES.get(start[29], "") if len(start) == 32 else "", "the head of its .dbf")


def _known(written: str, by: str) -> Declared | None:
    """Return what a file declares, None where nobody knows what it means (`ANSI`, `OEM`)."""
    try:
        encodings.named(written)
    except BadInput:
        return None
    return Declared(written, by)


def _bytes(file: File, layer: str | int) -> Iterator[bytes]:
    """Yield the names of a table's columns and the values of its texts, as they lie in it."""
    opened: Any = pyogrio.raw.open_arrow(
        file.gdal, layer=layer, encoding=RAW, batch_size=CHUNK, read_geometry=False, use_pyarrow=True
    )
    with opened as (_, reader):
        yield from (name.encode(RAW, "replace") for name in reader.schema.names)
        for batch in reader:
            table = pa.Table.from_batches([batch])
            for name in columns.texts_of(table):
                yield from (one.encode(RAW) for one in table[name].unique().to_pylist() if one is not None)
