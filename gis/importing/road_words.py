"""Parsers of what roads alone have: which way one may drive, and which house numbers stand on a side."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing.parsing import Bools, Parsed, Rules, as_text, mask
from gis.schema import PARITIES

BOTH, WITH, AGAINST = 0, 1, -1
_DIRECTIONS = {
    BOTH: ("false", "0", "no", "n", "否", "无", "both", "b", "two way", "twoway", "tf ft", "双向", "双行"),
    WITH: (
        "true", "1", "yes", "y", "是", "有", "with", "forward", "ft", "one way", "oneway", "单向", "单行",
        "顺向", "one way digitizing direction", "with digitizing direction",
    ),
    AGAINST: (
        "-1", "against", "reverse", "backward", "tf", "逆向", "反向",
        "one way against digitizing direction", "against digitizing direction",
    ),
}  # fmt: skip
"""What publishers write. A lone t or f is true and false to some, to and from to others: neither is here."""
_PARITY = {
    "odd": ("odd", "o", "单", "单号", "奇"),
    "even": ("even", "e", "双", "双号", "偶"),
    "both": ("both", "b", "mixed", "m", "all", "单双号"),
}


def _folded(values: pa.Array) -> pa.Array:
    """Return texts in lower case, with single spaces for all punctuation but a sign before a digit."""
    texts = pc.utf8_lower(pc.utf8_normalize(as_text(values), "NFKC"))
    texts = pc.replace_substring_regex(texts, r"^\s*([-+]?\d+)\.0*\s*$", r"\1")
    spaced = pc.replace_substring_regex(texts, r"[()_./,]+|-(\D)", r" \1")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(spaced, r"\s+", " "))


def direction(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse which way a road runs, against its drawn line (-1), with it (1), or both ways (0)."""
    folded = _folded(values)
    result, bad = pa.nulls(len(values), pa.int8()), mask(pc.is_valid(values))
    for way, words in _DIRECTIONS.items():
        hits = pc.is_in(folded, pa.array(words))
        result, bad = pc.if_else(hits, pa.scalar(way, pa.int8()), result), bad & ~mask(hits)
    reason = (
        "is none of both, with, against (the drawn line), true, false, 1, -1, 0; map it in [values.oneway]"
    )
    return Parsed(result, bad, reason)


def parity(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse which house numbers stand on a side: odd, even or both; N or NONE says that there are none."""
    folded = _folded(values)
    none: Bools = mask(pc.is_in(folded, pa.array(["n", "none", "无"])))
    result, bad = pa.nulls(len(values), pa.string()), np.asarray(mask(pc.is_valid(values)) & ~none)
    for word, words in _PARITY.items():
        hits = pc.is_in(folded, pa.array(words))
        result, bad = pc.if_else(hits, word, result), bad & ~mask(hits)
    return Parsed(result, bad, f"is none of {', '.join(PARITIES)}; map it in [values]")
