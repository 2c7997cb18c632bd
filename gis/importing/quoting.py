"""One way to keep spreadsheets from running text as formulas, and to take it back without loss."""

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gis.importing.spoken import EMPTY

FORMULA = r"^[=@]|^[+\-](?:[^\d\s.(+\-]|.*[A-Za-z(].*[(!])"
"""What an import refuses as a formula; signed numbers, telephone numbers and a lone dash are none."""
_RISKY = r"^'*[=+\-@\t\r]"
"""What some spreadsheet would run (OWASP, CSV injection), and what would be taken for such, quoted."""
_NUMBER = r"^[+\-](?:\d+\.?\d*|\.\d+)(?:[eE][+\-]?\d+)?$"


_NOTHING = f"'*(?:{'|'.join(re.escape(word) for word in EMPTY)})"
"""A word that would be read as nothing, or such a one quoted."""


def quoted(texts: pa.Array) -> pa.Array:
    """Return texts that an import reads as they are, and no spreadsheet runs: some with an apostrophe before.

    It goes before what would run as a formula, and before words that an import takes for nothing.
    """
    return _marked(texts, pc.or_(_runs(texts), pc.match_substring_regex(texts, f"^{_NOTHING}$")))


def quoted_cells(values: Sequence[Any]) -> list[Any]:
    """Return the cells of a column, an apostrophe before texts that would run, all others as they are."""
    given = pa.array([value if isinstance(value, str) else None for value in values], pa.string())
    texts = _marked(given, _runs(given))
    return [value if text is None else text for value, text in zip(values, texts.to_pylist(), strict=True)]


def disarmed(texts: pa.Array) -> pa.Array:
    """Return cells of a sheet as they were, with an apostrophe before those that would run as formulas."""
    return _marked(texts, pc.and_(_runs(texts), pc.invert(pc.match_substring_regex(texts, r"^'"))))


def _runs(texts: pa.Array) -> pa.Array:
    risky = pc.match_substring_regex(texts, _RISKY)
    return pc.and_(risky, pc.invert(pc.match_substring_regex(texts, _NUMBER)))


def _marked(texts: pa.Array, which: pa.Array) -> pa.Array:
    return pc.if_else(which, pc.binary_join_element_wise("'", texts, ""), texts)


def unquoted(texts: pa.Array) -> pa.Array:
    """Return the texts that `quoted` was given."""
    return pc.replace_substring_regex(texts, rf"(?s)^'('*[=+\-@\t\r].*|{_NOTHING})$", r"\1")
