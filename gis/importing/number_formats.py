"""What is seen of a number in a workbook's cell, by its format (ECMA-376, 18.8.30), as far as codes need.

Whole numbers only: `00042`, `INC-0043`, `00-05` and the like are rendered. A format that shows digits and
nothing else (General, `0`, `#,##0`, `0.00`) changes nothing: thousands signs and zeros behind the point are
no part of a code.
"""

import operator
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

BUILT_IN = {9: "0%", 10: "0.00%", 12: "# ?/?", 13: "# ??/??"}
"""Formats that a workbook does not spell out and that show more than digits, by their number."""
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|(?P<space>_.|\*.)|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<general>General)|(?P<exponent>[Ee][+-])|(?P<digit>[0#?])|(?P<end>;)|(?P<sign>.)",
    re.DOTALL,
)
_DATE = re.compile(r"[ymdhsbge]", re.IGNORECASE)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)$")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<>": operator.ne, "<": operator.lt, ">": operator.gt,
    "=": operator.eq,
}  # fmt: skip
_DEFAULTS: tuple[tuple[str, ...], ...] = ((), ("",), (">=", ""), (">", "<", ""))
"""What the sections of a format without conditions are for, compared with 0; "" for whatever is left."""


class _Section(NamedTuple):
    """One section: texts and digit places in their order; `applies` to which numbers; `odd` beyond us."""

    parts: tuple[tuple[str, str], ...]
    applies: tuple[str, float] | None
    odd: bool


def changes(code: str) -> bool:
    """Tell whether a format may show of a whole number other than its digits; of dates it does not."""
    sections = _sections(code)
    if not code or code == "@" or any(kind == "date" for section in sections for kind, _ in section.parts):
        return False
    return any(_is_rich(section) for section in sections) or len(sections) > 2


def shown(code: str, value: float) -> str | None:
    """Return what is seen of a whole number, None where that is beyond us or nothing is seen."""
    sections = _sections(code)[:3]
    at = _which(sections, value)
    if sections[at].odd:
        return None
    text = _filled(sections[at], str(abs(int(value))))
    minus = value < 0 and (at == 0 or sections[at].applies is not None)
    return text and f"{'-' * minus}{text}"


def _sections(code: str) -> list[_Section]:
    sections: list[list[re.Match[str]]] = [[]]
    for token in _TOKEN.finditer(code):
        if token["end"]:
            sections.append([])
        else:
            sections[-1].append(token)
    return [_section(tokens) for tokens in sections]


def _section(tokens: list[re.Match[str]]) -> _Section:
    parts: list[tuple[str, str]] = []
    applies, odd, fraction = None, _is_scaled(tokens), False
    for token in tokens:
        kind, text = str(token.lastgroup), token[str(token.lastgroup)]
        if kind == "bracket":
            parts += [("text", text[1:].partition("-")[0])] * text.startswith("$")
            condition = _CONDITION.match(text)
            applies = (condition[1], float(condition[2])) if condition else applies
        elif kind in ("quoted", "escaped"):
            parts.append(("text", text))
        elif kind in ("digit", "general") and not fraction:
            parts.append((kind, text))
        elif kind == "sign" and text == ".":
            fraction = True
        elif kind == "sign" and text != ",":
            is_date = bool(_DATE.match(text))
            odd |= is_date or text in "%/"
            parts.append(("date" if is_date else "text", text))
        elif kind == "sign":
            parts.append(("group", text))
    return _Section(tuple(parts), applies, odd)


def _is_scaled(tokens: list[re.Match[str]]) -> bool:
    """Tell whether a section shows a number in thousands: a comma behind a digit place, none behind it."""
    places = [at for at, token in enumerate(tokens) if token["digit"] or token["general"]]
    behind = tokens[places[0] :] if places else []
    return any(
        token["sign"] == "," and not (after and after["digit"])
        for token, after in zip_longest(behind, behind[1:])
    )


def _is_rich(section: _Section) -> bool:
    """Tell whether a section shows more than digits: texts beside them, or zeros before them."""
    kinds = "".join("0" if kind in ("digit", "general") else " " for kind, _ in section.parts)
    inner = section.parts[kinds.find("0") : kinds.rfind("0")]
    zeros = sum(part == ("digit", "0") for part in section.parts)
    beside = any(kind == "text" and text.strip(" ()-+") for kind, text in section.parts)
    within = any(kind == "text" and text.strip() for kind, text in inner)
    return zeros > 1 or beside or within or section.odd or section.applies is not None


def _which(sections: list[_Section], value: float) -> int:
    """Return the section that a number is shown by: the first whose condition it meets, else the last."""
    usual = _DEFAULTS[len(sections)]
    for at, section in enumerate(sections):
        sign, bound = section.applies or (usual[at], 0.0)
        if not sign or _COMPARE[sign](value, bound):
            return at
    return len(sections) - 1


def _filled(section: _Section, digits: str) -> str | None:
    """Return digits in a section's places, from the last: those that are left go before the first."""
    places = [at for at, (kind, _) in enumerate(section.parts) if kind in ("digit", "general")]
    if not places:
        return None
    zeros = sum(section.parts[at][1] == "0" for at in places)
    if any(kind == "group" for kind, _ in section.parts) and zeros > len(digits):
        return None
    padded = digits.rjust(len(places))
    taken = dict(zip(places, padded[-len(places) :], strict=True))
    taken[places[0]] = padded[: len(padded) - len(places)] + taken[places[0]]
    return "".join(_part(*part, taken.get(at, "")) for at, part in enumerate(section.parts)).strip()


def _part(kind: str, text: str, digit: str) -> str:
    if kind == "text":
        return text
    return "0" if digit == " " and text == "0" else digit.strip()
