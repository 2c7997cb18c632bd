"""Times that are not read: what each may be, and what to write instead."""

import re
from datetime import datetime, timedelta

import pyarrow as pa

from gis.importing import day_words
from gis.importing.parsing import Rules, plain_numbers

COUNTED = {
    "excel": ("1899-12-30", 86_400_000_000),
    "excel_1904": ("1904-01-01", 86_400_000_000),
    "unix": ("1970-01-01", 1_000_000),
    "unix_ms": ("1970-01-01", 1_000),
}
"""Formats that are counts: since when, and microseconds per step (Excel's calendar holds from March 1900)."""
_PARTIAL = (
    r"^\d{4}(?:[-/.年]\d{1,2}月?)?年?$|"
    rf"^\d{{4}}[-/.年]\d{{1,2}}[-/.月]\d{{1,2}}(?:日|\s|T|{day_words.WORD})+\d{{1,2}}[时点]?$"
)


def why(text: str, rules: Rules) -> str:
    """Return why a text is no time, and how to write it."""
    span = f"is no time from {rules.earliest:%Y-%m-%d} to now"
    if re.match(_PARTIAL, text):
        return f"is a part of a time: {text!r} has no time of day; write the day as 2024-03-05, or with 14:30"
    known = _counts(text, rules) or _zone_by_name(text) or day_words.doubt(text) or _day_before_month(text)
    return f"{span}; {known or _HOW}"


DAY_BEFORE_MONTH = (
    'it has its day before its month: say formats = ["%Y-%d-%m"], with its hours, in the mapping'
)


def _day_before_month(text: str) -> str | None:
    """Return what is told of a text such as `2025-27-01`."""
    found = re.match(r"\d{4}[-/.](?:1[3-9]|2\d|3[01])[-/.](?:0?[1-9]|1[0-2])(?!\d)", text)
    return DAY_BEFORE_MONTH if found else None


SPAN = r"(?:^|[^T\d:])\d{1,2}:\d{2}\s*[-‐–—]\s*\d{1,2}(?::?\d{2})?$"
"""`8:00-10:00` behind a blank: clerks mean from eight to ten, RFC 3339 would write a T, programs seconds."""
_BRACKETS = re.compile(r"\[!?([A-Za-z_+\-/0-9=]+)\]\s*$")
"""A zone behind a time as RFC 9557 writes it."""
_SHORT_ZONE = re.compile(r"\d\s*\(?([A-Z]{2,5})\)?\s*$")


def _zone_by_name(text: str) -> str | None:
    """Return what is told of a time with the name of a zone behind it, or a span; None for any other."""
    if re.search(SPAN, text):
        return "it may be a span of hours or a time before UTC: write one, such as 2024-03-05 14:30:00-05:00"
    if found := _BRACKETS.search(text):
        return (
            f"[{found[1]}] behind it is not read: write the difference to UTC alone, such as -05:00, or "
            "neither and name the zone in the mapping"
        )
    if (found := _SHORT_ZONE.search(text)) and found[1] not in {"AM", "PM"}:
        return (
            f"{found[1]} behind it may be several zones: write the difference to UTC, such as -05:00, or "
            "leave it out and name the zone in the mapping"
        )
    return None


_HOW = "write it as 2024-03-05 14:30 or tell its format in the mapping's formats"


def why_no_day(text: str, rules: Rules) -> str:
    """Return why a text is no day, and how to write it."""
    return f"is no day; {_counts(text, rules) or _day_before_month(text) or 'write it as 2024-03-05'}"


def _counts(text: str, rules: Rules) -> str | None:
    """Return what a number where a time should be looks like, None for what is no number of a time."""
    number = float(plain_numbers(pa.array([text]))[0])
    for form, low, high in (("excel", 14_000, 80_000), ("unix", 1e8, 6e9), ("unix_ms", 1e11, 6e12)):
        if low <= number <= high:
            since, step = COUNTED[rules.excel if form == "excel" else form]
            meant = datetime.fromisoformat(since) + timedelta(microseconds=number * step)
            return (
                f"it may be {_NAMES[form]}, {meant:%Y-%m-%d %H:%M}: if it is, say "
                f'formats = ["{form}"] in the mapping'
            )
    return None


_NAMES = {
    "excel": "a day number of Excel",
    "unix": "seconds since 1970 (UTC)",
    "unix_ms": "milliseconds since 1970 (UTC)",
}
