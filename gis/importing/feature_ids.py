"""Ids of GeoJSON's features: texts or numbers; GDAL makes texts of all else, and invents those missing."""

import re
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from gis.errors import BadInput
from gis.importing import textfiles, wholeness
from gis.importing.files import File
from gis.importing.source import Ints

_A_NUMBER = re.compile(rb'"id"\s*:\s*-?\d+\s*[,}]')


def numbers(file: File, given: str | bytes, info: dict[str, Any]) -> Ints | None:
    """Return the numbers that features have as ids, None where GDAL has no such ids.

    Of a file too large to look into it is an empty array when its first features have some. Raises BadInput
    for an id that is none.
    """
    if info["driver"] not in ("GeoJSON", "GeoJSONSeq"):
        return None
    inside = wholeness.members(file, given)
    if inside is None:
        return np.zeros(0, np.int64) if "id" not in info["fields"] and _begins_with_some(file) else None
    ids = [one.get("id") if isinstance(one, dict) else None for one in inside]
    strange = [at for at, one in enumerate(ids, 1) if not _is_one(one)]
    if strange:
        places = ", ".join(map(str, strange[:5])) + " …" * (len(strange) > 5)
        first = orjson.dumps(ids[strange[0] - 1]).decode()[:40]
        told = f"{len(strange)} features (number {places}) have an id that is none ({first})"
        raise BadInput("id", f"{told}; give each a text, or a whole number of at most 18 digits")
    there = [one for one in ids if isinstance(one, int)]
    return np.array(there, np.int64) if there and "id" not in info["fields"] else None


def said(fids: pa.Array, known: Ints) -> pa.Array:
    """Return GDAL's numbers of features that are ids of the file, null for those that it has counted."""
    if not len(known):
        return fids
    values = fids.to_numpy()
    return pa.array(values, pa.int64(), mask=~np.isin(values, known))


def _is_one(value: object) -> bool:
    """Tell whether a feature may have it; a number beyond 64 bits is read as a fraction."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, str) or (isinstance(value, float) and abs(value) < 2**53)


def _begins_with_some(file: File) -> bool:
    with file.open() as stream:
        return bool(_A_NUMBER.search(stream.read(textfiles.BLOCK).replace(b"\x00", b"")))
