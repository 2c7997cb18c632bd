"""What GDAL loses of GeoJSON without a word: ends of texts, parts of shapes, unknown systems, truth."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pyproj

from gis.errors import BadInput
from gis.importing.files import File

_CUTS = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SHAPES = frozenset({
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
})  # fmt: skip

_DEPTH = {"Polygon": 1, "MultiLineString": 1, "MultiPolygon": 2}
"""How many lists of lists stand above the positions, of shapes of which GDAL drops a part that is none."""


def check_texts(file: File, content: bytes) -> None:
    """Raise BadInput for a zero byte, at which GDAL ends a text."""
    if found := _CUTS.search(content):
        line = content.count(b"\n", 0, found.start()) + 1
        raise BadInput("file", f"{file.name} holds \\u0000 within a text in line {line}; take it out")


def check_features(file: File, features: list[Any]) -> None:
    """Raise BadInput for a shape of which GDAL would drop a part, and for a system of one feature alone."""
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict):
            continue
        geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
        if strange := next(_strange(geometry), None):
            raise BadInput(
                "geometry", f"feature {number} of {file.name} holds {strange}; correct it or take it out"
            )
        if "crs" in feature or (isinstance(geometry, dict) and "crs" in geometry):
            told = f"feature {number} of {file.name} has a system of coordinates of its own"
            raise BadInput(
                "crs", f"{told}, which is not read; write all in one, and say it with --crs EPSG:…"
            )


def check_system(file: File, said: Any, read: str | None) -> None:
    """Raise BadInput for a system of coordinates that GDAL has `read` as WGS-84, not knowing it."""
    if said is None:
        return
    properties = said.get("properties") if isinstance(said, dict) else None
    inside = properties if isinstance(properties, dict) else {}
    name = f"EPSG:{inside['code']}" if "code" in inside else inside.get("name", inside.get("urn"))
    if not _is_one(name, read):
        told = f"{file.name} names a system of coordinates that is not known ({str(name or said)[:60]})"
        raise BadInput("crs", f"{told}; say it with --crs EPSG:…")


def _is_one(name: Any, read: str | None) -> bool:
    try:
        one, other = (pyproj.CRS.from_user_input(each) for each in (name, read))
    except (pyproj.exceptions.CRSError, TypeError):
        return False
    return bool(one.equals(other, ignore_axis_order=True))


def _strange(geometry: Any) -> Iterator[str]:
    """Yield the members of collections and the parts of shapes that are none."""
    if not isinstance(geometry, dict):
        return
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        members = geometry.get("geometries")
        for number, one in enumerate(members if isinstance(members, list) else [], 1):
            inner = one.get("type") if isinstance(one, dict) else one
            if inner not in _SHAPES:
                yield f"a collection whose member {number} is no shape ({str(inner)[:40]})"
            yield from _strange(one)
    elif kind in _DEPTH and isinstance(parts := geometry.get("coordinates"), list):
        yield from _no_parts(kind, parts, _DEPTH[kind])


def _no_parts(kind: str, parts: list[Any], depth: int) -> Iterator[str]:
    """Yield the parts that are no lists of positions, down to a depth."""
    for number, part in enumerate(parts, 1):
        if not isinstance(part, list):
            yield f"a {kind} whose part {number} is none ({json.dumps(part)[:40]})"
        elif depth > 1:
            yield from _no_parts(kind, part, depth - 1)


def truths_beside_numbers(features: Iterable[Any]) -> frozenset[str]:
    """Return the properties that are true or false in one feature and a number in another.

    GDAL makes numbers of all of them.
    """
    truths, numbers = set(), set()
    for feature in features:
        properties = feature.get("properties") if isinstance(feature, dict) else None
        for name, value in properties.items() if isinstance(properties, dict) else ():
            if isinstance(value, bool):
                truths.add(name)
            elif isinstance(value, int | float):
                numbers.add(name)
    return frozenset(truths & numbers)
