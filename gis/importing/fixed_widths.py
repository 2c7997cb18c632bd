"""Formats whose numbers stand side by side: where a digit is missing, no division of the others is sure."""

import re

_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2, "y": 2, "j": 3}
_DIRECTIVE = re.compile(r"%(.)|(\s+)|([^%\s]+)", re.DOTALL)


def guard(form: str) -> str | None:
    """Return a pattern that texts of a format match whole, None where its numbers stand apart.

    `%H%M` of `130` is 1:30 whose zero a spreadsheet took, or 13:0: side by side they need all their digits.
    """
    parts = list(_DIRECTIVE.finditer(form))
    numeric = [part[1] in _WIDTHS for part in parts]
    beside = [
        one and any(numeric[at + step] for step in (-1, 1) if 0 <= at + step < len(parts))
        for at, one in enumerate(numeric)
    ]
    if not any(beside):
        return None
    return "^" + "".join(_pattern(part, fixed=fixed) for part, fixed in zip(parts, beside, strict=True)) + "$"


def _pattern(part: re.Match[str], *, fixed: bool) -> str:
    directive, blank, literal = part.groups()
    if blank or literal:
        return r"\s*" if blank else re.escape(literal)
    if directive not in _WIDTHS:
        return "%" if directive == "%" else ".+?"
    return rf"\d{{{_WIDTHS[directive]}}}" if fixed else rf"\d{{1,{_WIDTHS[directive]}}}"
