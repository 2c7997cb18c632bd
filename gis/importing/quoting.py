"""One way to keep spreadsheets from running text as formulas, and to take it back without loss."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FORMULA = r"^[=@]|^[+\-](?:[^\d\s.(+\-]|.*[A-Za-z(].*[(!])"
"""What an import refuses as a formula; signed numbers, telephone numbers and a lone dash are none."""
_RISKY = r"^'*[=+\-@\t\r]"
"""What some spreadsheet would run (OWASP, CSV injection), and what would be taken for such, quoted."""
_NUMBER = r"^[+\-](?:\d+\.?\d*|\.\d+)(?:[eE][+\-]?\d+)?$"


def quoted(texts: pa.Array) -> pa.Array:
    """Return texts none of which a spreadsheet runs: an apostrophe goes before those that it might."""
    risky = pc.match_substring_regex(texts, _RISKY)
    risky = pc.and_(risky, pc.invert(pc.match_substring_regex(texts, _NUMBER)))
    return pc.if_else(risky, pc.binary_join_element_wise("'", texts, ""), texts)


def quoted_cells(values: Sequence[Any]) -> list[Any]:
    """Return the cells of a column, its texts quoted, all others as they are."""
    texts = quoted(pa.array([value if isinstance(value, str) else None for value in values], pa.string()))
    return [value if text is None else text for value, text in zip(values, texts.to_pylist(), strict=True)]


def disarmed(texts: pa.Array) -> pa.Array:
    """Return cells of a sheet as they were, with an apostrophe before those that would run as formulas."""
    return pc.if_else(pc.match_substring_regex(texts, r"^'"), texts, quoted(texts))


def unquoted(texts: pa.Array) -> pa.Array:
    """Return the texts that `quoted` was given."""
    return pc.replace_substring_regex(texts, r"^'('*[=+\-@\t\r])", r"\1")
