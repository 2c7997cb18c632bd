"""Vector files cut short: GDAL gives the features before the cut and says nothing."""

import io
import re
from collections.abc import Callable
from typing import IO, Any
from xml.parsers import expat

import numpy as np

from gis.errors import BadInput
from gis.importing import json_texts
from gis.importing.files import File

_BLOCK = 1 << 20
_MIF_OBJECT = re.compile(
    rb"\s*(?:none|point|line|pline|region|arc|text|rect|roundrect|ellipse|multipoint)\b", re.IGNORECASE
)
_MIF_GROUP = re.compile(rb"\s*collection\b", re.IGNORECASE)
_CUT = "it is cut short or broken; get it again"


def check(file: File, given: str | bytes) -> None:
    """Raise BadInput when the end of a file is missing, as far as its format says where that is.

    `given`: what GDAL opens; bytes are the file itself as UTF-8.
    """
    if file.suffix in _ENDS:
        _ENDS[file.suffix](file, given)


def promised(file: File, info: dict[str, Any]) -> int | None:
    """Return how many features a layer must give, None where its format does not tell."""
    count = _COUNTS.get(info["driver"])
    return None if count is None else count(file, info)


_JSON = frozenset({".geojson", ".json", ".topojson"})
_MORE = re.compile(rb'"exceededTransferLimit"\s*:\s*true')
_OF = re.compile(rb'"(?:numberMatched|totalFeatures)"\s*:\s*(\d+)')
_EDGE = 1 << 16
_NOT_LOOKED_AT = "is larger than 256 MB: members of it that are no features would be left out without a word"


def parts(file: File, count: int) -> tuple[str, ...]:
    """Return what a server's answer says of itself when it is a part of what there is, and what was not seen.

    `count`: features in it. ArcGIS says `exceededTransferLimit`, OGC API Features `numberMatched`, WFS of
    GeoServer `totalFeatures`, before the features or behind them.
    """
    if file.suffix not in _JSON:
        return ()
    with file.open() as stream:
        first, last = stream.read(_EDGE), b""
        size = len(first)
        while block := stream.read(_BLOCK):
            last, size = (last + block)[-_EDGE:], size + len(block)
    edges = first + last
    notes = (_NOT_LOOKED_AT,) * (size > json_texts.MOST_READ)
    of = max((int(number) for number in _OF.findall(edges)), default=0)
    if not _MORE.search(edges) and of <= count:
        return notes
    share = f"{count} of {of}" if of > count else f"{count}, and there are more"
    part = f"says itself that it is a part: {share}; ask its server for the other pages and import them too"
    return (part, *notes)


def refuse_short(file: File, wanted: int | None, read: int) -> None:
    """Raise BadInput when fewer or more features came than a file must give."""
    if wanted not in (None, read):
        raise BadInput("file", f"{file.name} holds {wanted} features, {read} can be read: {_CUT}")


def _stream(file: File, given: str | bytes) -> IO[bytes]:
    return io.BytesIO(given) if isinstance(given, bytes) else file.open()


def _check_xml(file: File, given: str | bytes) -> None:
    parser = expat.ParserCreate("utf-8")
    try:
        with _stream(file, given) as stream:
            parser.ParseFile(stream)
    except expat.ExpatError as error:
        told = f"is no whole XML: {expat.ErrorString(error.code)} in line {error.lineno}"
        raise BadInput("file", f"{told}; {_CUT}") from error


def _check_dxf(file: File, _given: str | bytes) -> None:
    with file.open() as stream:
        end = b""
        while block := stream.read(_BLOCK):
            end = (end + block)[-200:]
    if end.split()[-1:] != [b"EOF"]:
        raise BadInput("file", f"does not end with EOF, as a DXF file does; {_CUT}")


def _check_tab(file: File, _given: str | bytes) -> None:
    """Compare the parts of a MapInfo table: rows of .dat, their objects in .id, and these in .map."""
    table, ids, shapes = (file.beside(suffix) for suffix in (".dat", ".id", ".map"))
    if table is None:
        return
    with table.open() as stream:
        head = stream.read(32)
    rows, first, width = (int.from_bytes(head[at:to], "little") for at, to in ((4, 8), (8, 10), (10, 12)))
    _require(table, first + rows * width)
    if ids is None or shapes is None:
        return
    _require(ids, 4 * rows)
    places = np.frombuffer(ids.content(), "<u4", rows)
    _require(shapes, int(places.max(initial=0)) + 1)
    if shapes.size() % 512:  # a .map consists of blocks of this size
        _require(shapes, -(-shapes.size() // 512) * 512)


def _require(part: File, size: int) -> None:
    if part.size() < size:
        raise BadInput("file", f"{part.name} is cut short: {part.size()} bytes of {size}; get it again")


def _check_mif(file: File, _given: str | bytes) -> None:
    """Compare the objects of a .mif with the rows of its .mid; not of collections, which hold objects."""
    rows = _mid_rows(file)
    with file.open() as stream:
        lines = iter(stream)
        # What stands before DATA are the names of columns.
        next((line for line in lines if line.strip().lower() == b"data"), None)
        body = list(lines)
    objects = sum(bool(_MIF_OBJECT.match(line)) for line in body)
    if rows not in (None, objects) and not any(_MIF_GROUP.match(line) for line in body):
        raise BadInput("file", f"{file.name} has {objects} objects, its .mid {rows} rows: {_CUT}")


def _mid_rows(file: File, *_: Any) -> int | None:
    table = file.beside(".mid")
    if file.suffix != ".mif" or table is None:
        return None
    with table.open() as stream:
        return sum(bool(line.strip()) for line in stream) or None


def _header(_file: File, info: dict[str, Any]) -> int | None:
    """Return what a FlatGeobuf's header says; 0 says that its writer did not know."""
    return int(info["features"]) if info["features"] > 0 else None


_ENDS: dict[str, Callable[[File, str | bytes], None]] = {
    ".gml": _check_xml,
    ".kml": _check_xml,
    ".gpx": _check_xml,
    ".dxf": _check_dxf,
    ".tab": _check_tab,
    ".mif": _check_mif,
}
_COUNTS: dict[str, Callable[[File, dict[str, Any]], int | None]] = {
    "FlatGeobuf": _header,
    "MapInfo File": _mid_rows,
}
"""Drivers that pass over a cut; the others refuse such a file as they open it."""
