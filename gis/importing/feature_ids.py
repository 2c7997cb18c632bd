"""Ids of GeoJSON's features: texts or numbers; GDAL makes texts of all else, and invents those missing."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gis.errors import BadInput
from gis.importing import textfiles
from gis.importing.files import File
from gis.importing.source import Ints

_A_NUMBER = re.compile(rb'"id"\s*:\s*-?\d+\s*[,}]')


def check(ids: Sequence[Any]) -> None:
    """Raise BadInput for an id that is none; None stands for a feature without."""
    strange = [at for at, one in enumerate(ids, 1) if not _is_one(one)]
    if strange:
        places = ", ".join(map(str, strange[:5])) + " …" * (len(strange) > 5)
        first = json.dumps(ids[strange[0] - 1])[:40]
        told = f"{len(strange)} features (number {places}) have an id that is none ({first})"
        raise BadInput("id", f"{told}; give each a text, or a whole number of at most 18 digits")


def of_several_kinds(ids: Sequence[Any]) -> bool:
    """Tell whether GDAL would not read each id as what it says: texts beside numbers, numbers like `1e3`."""
    return len({type(one) for one in ids if one is not None}) > 1 or any(
        isinstance(one, float) for one in ids
    )


def spelt(said: Any) -> str | None:
    """Return an id as a text, a whole number without fraction or exponent."""
    if said is None or isinstance(said, str):
        return said
    return str(int(said)) if said == int(said) else repr(said)


def numbers(file: File, ids: list[Any] | None, info: dict[str, Any]) -> Ints | None:
    """Return the numbers that features have as ids, None where GDAL has no such ids.

    `ids`: those of the features, None of a file too large to look into it; of that is an empty array when
    its first features have some.
    """
    if info["driver"] not in ("GeoJSON", "GeoJSONSeq") or "id" in info["fields"]:
        return None
    if ids is None:
        return np.zeros(0, np.int64) if _begins_with_some(file) else None
    there = [one for one in ids if isinstance(one, int)]
    return np.array(there, np.int64) if there else None


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
