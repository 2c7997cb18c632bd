"""Coordinates as people write them: decimal degrees, degrees with minutes and seconds, a pair in one cell."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing.parsing import Bools, Floats, as_text, folded, mask, numbers, plain_numbers

_HEMISPHERES = {"lon": ("E东", "W西"), "lat": ("N北", "S南")}
"""Letters of each axis: those that count up, those that count down."""
_LETTER = r"[NSEW东西南北](?:经|纬)?"
_N = r"\d{1,3}(?:\.\d+)?"
_SIXTIETHS = (
    rf"^(?P<a>{_LETTER})?\s*(?P<sign>-)?(?P<d>{_N})\s*(?:[°º˚度]|d|deg|\s|:|$|(?P<b0>{_LETTER}))"
    rf"\s*(?:(?P<m>\d{{1,2}}(?:\.\d+)?)\s*(?:['′’‘分]|m|:|\s|$|(?P<b1>{_LETTER}))"
    rf"\s*(?:(?P<s>\d{{1,2}}(?:\.\d+)?)\s*(?:[\"″”“秒]|''|′′|s)?)?)?\s*(?P<b>{_LETTER})?$"
)
_PART = r"[^,;\s()\[\]]+"
_PAIR = rf"^(?P<head>.*[(\[（【]|[(\[]?)\s*(?P<first>{_PART})\s*[,;\s、]\s*(?P<second>{_PART})\s*[)\]】]?$"
_PAIR_WITH_COMMAS = (
    r"^(?P<head>)[(\[]?\s*(?P<first>[^;\s()\[\]]+)\s*[;\s]\s*(?P<second>[^;\s()\[\]]+)\s*[)\]]?$"
)


class Pair(NamedTuple):
    """Longitudes and latitudes, NaN where there is none, and which cells hold no pair."""

    lon: Floats
    lat: Floats
    bad: Bools


def degrees(values: pa.Array, axis: str, decimal: str = ".") -> tuple[Floats, Bools]:
    """Return a column of longitudes ("lon") or latitudes ("lat") as degrees, and which rows hold none.

    Decimal degrees, or degrees with letters, minutes and seconds: 113°10'46.7"E, N27 50.375, 东经113度10分.
    A letter of the other axis, sixty minutes, or a sign beside a letter is none.
    """
    found, bad = numbers(values, decimal)
    left = np.flatnonzero(bad)
    if len(left):
        texts = as_text(values).take(pa.array(left))
        if decimal != ".":
            texts = pc.replace_substring(pc.replace_substring(texts, ".", "?"), decimal, ".")
        found[left] = _sixtieths(texts, axis)
    return found, bad & np.isnan(found)


def _sixtieths(texts: pa.Array, axis: str) -> Floats:
    plain = pc.utf8_upper(folded(texts))
    plain = pc.replace_substring_regex(plain, r"[经纬]度?", "")
    parts = pc.extract_regex(
        plain, _SIXTIETHS.replace("d|deg", "D|DEG").replace("|m|", "|M|").replace("|s)", "|S)")
    )

    def number(name: str) -> Floats:
        texts = pc.struct_field(parts, name)
        return np.nan_to_num(plain_numbers(pc.if_else(pc.equal(texts, ""), None, texts)))

    letters = pc.binary_join_element_wise(
        *(pc.struct_field(parts, name) for name in ("a", "b0", "b1", "b")), ""
    )
    up, down = (mask(pc.match_substring_regex(letters, f"^[{signs}]$")) for signs in _HEMISPHERES[axis])
    minus = mask(pc.equal(pc.struct_field(parts, "sign"), "-"))
    plain_letter = up | down | mask(pc.equal(letters, ""))
    minutes, seconds = number("m"), number("s")
    whole = (minutes == 0) | (number("d") == np.floor(number("d")))
    whole &= (seconds == 0) | (minutes == np.floor(minutes))
    sound = mask(pc.is_valid(parts)) & plain_letter & whole & (minutes < 60) & (seconds < 60)
    sound &= ~(minus & (up | down))
    value = number("d") + minutes / 60 + seconds / 3600
    return np.where(sound, np.where(minus | down, -value, value), np.nan)


def pairs(values: pa.Array, order: str, decimal: str = ".") -> Pair:
    """Read one column of both coordinates, "lonlat" or "latlon" by `order`: `113.18,27.84`, `(41.9, -87.6)`.

    An address before a pair in brackets is passed over, as Socrata writes its places.
    """
    plain = folded(pc.replace_substring_regex(as_text(values), r"[\r\n]+", " "))
    parts = pc.extract_regex(plain, _PAIR if decimal == "." else _PAIR_WITH_COMMAS)
    one, two = (pc.struct_field(parts, name) for name in ("first", "second"))
    lon, lat = (one, two) if order == "lonlat" else (two, one)
    (x, bad_x), (y, bad_y) = degrees(lon, "lon", decimal), degrees(lat, "lat", decimal)
    bad = mask(pc.is_valid(values)) & (~mask(pc.is_valid(parts)) | bad_x | bad_y)
    return Pair(x, y, bad)
