"""Codes: what is seen of a text, and the digits of a number that a file keeps, or that they are lost.

A double holds whole numbers exactly below 2^53. Any other double, in a field of text, is a code whose digits
were lost (a spreadsheet's 4.30202E+19) or a number where none belongs. It is written with `e+`, as no code
is: parsers of numbers read it as the number it is, parsers of text refuse it by `LOST`.
"""

import re
import unicodedata

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

LOST = r"^-?\d+(?:\.\d+)?[eE]\+\d{2,3}$"
"""A number written with an exponent: what spreadsheets make of long codes, and `written` of such doubles."""
TOLD = "is a number whose digits were lost; write the column as text in its source"
_EXACT = {pa.float16(): 2.0**11, pa.float32(): 2.0**24, pa.float64(): 2.0**53}
"""Below these, a whole number in such a column has all its digits."""


_WIDTHS = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
"""Signs of full width, by number, and what they are in half (Unicode, Halfwidth and Fullwidth Forms)."""
_WIDTHS |= dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63), 0x2D)
"""Dashes and minuses that nobody tells from a hyphen."""
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")


def _is_invisible(sign: str) -> bool:
    """Tell whether a sign shows nothing: a format control (U+200B, U+FEFF …), a variation, a filler."""
    return unicodedata.category(sign) == "Cf" or "\ufe00" <= sign <= "\ufe0f" or sign in _FILLERS


_STRANGE = (
    (0x00, 0x1F), (0x7F, 0x9F), (0x2028, 0x202E), (0x2066, 0x2069), (0xFDD0, 0xFDEF),
    *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)),
)  # fmt: skip
"""Signs that no line of text has: controls, ends of lines, what turns text round, no characters."""
STRANGE = "[" + "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in _STRANGE) + "]"
"""The same for Arrow's expressions."""
_IN_PROSE = frozenset("\t\n\r\x85\u2028\u2029")


def strange(text: str, *, prose: bool = False) -> str | None:
    """Return the name of the first sign that a line of text, or prose of several, cannot have, or None."""
    for sign in text:
        if any(first <= ord(sign) <= last for first, last in _STRANGE) and not (prose and sign in _IN_PROSE):
            return f"U+{ord(sign):04X} ({_named(sign)})"
    return None


def _named(sign: str) -> str:
    """Return what people call a sign that shows nothing."""
    known = {"\n": "a line break", "\r": "a line break", "\t": "a tab", "\x85": "a line break"}
    usual = "no character" if unicodedata.category(sign) == "Cn" else "a control sign"
    return known.get(sign, unicodedata.name(sign, usual).lower())


def seen(word: str) -> str:
    """Return a code as it is seen: in half width, composed (NFC), without signs that show nothing.

    Blanks of any kind and number are one, and a radical that looks like a character (⼭) is that character.
    """
    shown = "".join(_as_character(sign) for sign in word if not _is_invisible(sign))
    return re.sub(" {2,}", " ", unicodedata.normalize("NFC", shown.translate(_WIDTHS))).strip()


def _as_character(sign: str) -> str:
    if unicodedata.category(sign) == "Zs":
        return " "
    return unicodedata.normalize("NFKC", sign) if "\u2e80" <= sign <= "\u2fdf" else sign


WHOLE = r"^(0|[1-9]\d{0,15})\.0+$"
"""A number that a spreadsheet made of an id, which is its first group."""


def identified(word: str) -> str:
    """Return an id or a code as the store keeps it: as it is seen; `7.0` of a spreadsheet is `7`."""
    return re.sub(WHOLE, r"\1", seen(word))


def number_text(value: float, exact: float = 2.0**53) -> str:
    """Return a finite double as text: a whole number below `exact` in digits, any other one with `e+`."""
    if value.is_integer() and abs(value) < exact:
        return str(int(value))
    if not np.isfinite(value):
        return "-9e+999" if value < 0 else "9e+999"
    shown = repr(value)
    return shown if "e+" in shown else f"{np.format_float_positional(value, trim='-')}e+00"


def written(values: pa.Array) -> pa.Array:
    """Return any column as texts, shape (n,); NaN is a gap. Numbers are written as `number_text` does."""
    of = values.type
    if pa.types.is_dictionary(of):
        return written(values.cast(of.value_type))
    if of in _EXACT:
        return _doubles(values.cast(pa.float64()), _EXACT[of])
    if pa.types.is_decimal(of):
        return pc.replace_substring_regex(_plain_decimals(values), r"\.0*$", "")
    return values.cast(pa.string())


def _plain_decimals(values: pa.Array) -> pa.Array:
    """Return decimals as texts without exponents."""
    return pa.array([None if one is None else f"{one:f}" for one in values.to_pylist()], pa.string())


def _doubles(values: pa.Array, exact: float) -> pa.Array:
    numbers: npt.NDArray[np.float64] = values.to_numpy(zero_copy_only=False)
    whole = (np.abs(numbers) < exact) & (numbers == np.floor(numbers))
    digits = pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole).cast(pa.string())
    others = np.flatnonzero(~whole & ~np.isnan(numbers))
    if not len(others):
        return digits
    shown = digits.to_numpy(zero_copy_only=False).copy()
    shown[others] = [number_text(float(one), exact) for one in numbers[others]]
    return pa.array(shown, pa.string())
