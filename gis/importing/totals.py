"""Totals among the data: a row that sums up others is none of them."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing.parsing import is_text, mask
from gis.importing.refusals import Sieve
from gis.importing.source import Chunk, one_array
from gis.importing.spoken import EMPTY

WORDS = (
    "total", "totals", "grand total", "sub total", "subtotal", "sub-total", "sum", "sums",
    "合计", "总计", "小计", "共计", "总数", "累计", "汇总", "summe", "gesamt", "итого", "всего",
)  # fmt: skip
_BLANKS = "[\\s\u3000]*"
_SPELLED = "|".join(_BLANKS.join(map(re.escape, word.replace(" ", ""))) for word in WORDS)
_WORD = rf"(?i)^{_BLANKS}(?:{_SPELLED}){_BLANKS}[:：]?{_BLANKS}(?:[\d.,]+[^\d,;|]{{0,12}})?$"
_SUM = re.compile(r"[+-]?(?:\d{1,9}|\d{1,3}(?:[ ,]\d{3})+)(?:[.,]\d+)?(?:\s*[^\d\s]{0,12})?")
"""A number of fewer digits than a telephone's, with or without a unit: `3 persons`."""
_WHY = (
    "is a total: its first cell is a word for one, the others are sums or mostly empty; take the row out, or "
    "fill it in where it is none"
)


def refuse(chunk: Chunk, sieve: Sieve) -> None:
    """Refuse rows that sum up others.

    The first filled cell is a word for a total, perhaps with a number behind it; and of the other cells at
    least half are empty, or all that are filled are sums. Who is called Sum and has a full row stays.
    """
    if chunk.geometry is not None:
        return
    arrays = [one_array(chunk.table[name]) for name in chunk.table.column_names]
    found = np.zeros(len(chunk), bool)
    for values in arrays:
        if is_text(values.type):
            found |= mask(pc.match_substring_regex(values, _WORD))
    totals = [at for at in np.flatnonzero(found).tolist() if _is_total([values[at] for values in arrays])]
    rows = np.isin(np.arange(len(chunk)), totals)
    sieve.refuse(rows, "row", _WHY, lambda at: _texts([values[at] for values in arrays])[0])


def _texts(row: list[pa.Scalar]) -> list[str]:
    """Return the filled cells of a row."""
    texts = [str(cell) for cell in row if cell.is_valid]
    return [text.strip() for text in texts if text.strip() and text.strip() not in EMPTY]


def _is_total(row: list[pa.Scalar]) -> bool:
    first, *others = _texts(row) or [""]
    if not re.fullmatch(_WORD, first):
        return False
    return 2 * len(others) <= len(row) - 1 or all(_SUM.fullmatch(text) for text in others)
