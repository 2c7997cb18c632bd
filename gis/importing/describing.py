"""What each kind takes, as a table of fields, words and bounds; for people and for the docs."""

from datetime import UTC, datetime

import pyarrow as pa

from gis.importing import parsing, road_words, times
from gis.importing.kinds import KINDS, Field, Kind

_WORDS: dict[object, str] = {
    parsing.text: "text, one line",
    parsing.identifier: "id or code, one line, as it is seen: `Ａ１` is `A1`",
    parsing.prose: "text, several lines",
    times.moment: "time: 2024-03-05 14:30, 2024-03-05T14:30:00+08:00, 2024年3月5日 下午2点30分",
    times.day: "day: 2024-03-05",
    parsing.category: "code or name of a category",
    parsing.bearings: "bearings 0–360, several by `|`",
    parsing.words: "words, several by `|`",
    road_words.direction: "both, with, against; true, false; 1, -1, 0",
    road_words.parity: "odd, even, both",
}
_SHAPES = {
    "point": "`lon` and `lat` in degrees, or a shape (point)",
    "polygon": "a shape (polygon), or `geometry` as WKT",
    "line": "a shape (line), or `geometry` as WKT",
    "any": "a shape of any type, or `lon` and `lat`",
    None: "no place",
}
_DEFAULTS = {
    ("incidents", "code"): "origin and id",
    ("incidents", "occurred_precision"): "day, where `occurred_at` has no time of day",
    ("incidents", "occurred_until"): "none: at `occurred_at`; a day is meant whole",
    ("incidents", "reported_at"): "occurred_until, or occurred_at",
    ("incidents", "datum"): "what --datum or the mapping says", ("responders", "skills"): "none",
    ("roads", "oneway"): "both ways", ("roads", "length_m"): "measured",
    ("roads", "u"): "the start's place", ("roads", "v"): "the end's place",
    ("roads", "left_parity"): "of the numbers", ("roads", "right_parity"): "of the numbers",
    ("grids", "scheme"): "the default scheme", ("staff", "scheme"): "the default scheme",
    ("roads", "part"): "0, or from 1 where the row is several lines", ("grids", "valid_from"): "see Grids",
    ("grids", "display_order"): "what is known",
    ("staff", "post"): "refused where the row has a `grid_code`",
    ("staff", "grid_code"): "no post, or the end of all on `valid_to`",
}  # fmt: skip
"""What a row gets that says nothing."""


def takes(field: Field) -> str:
    """Return in words what a field takes: its own reason for refusing says what would have been right."""
    if field.parse in _WORDS:
        return _WORDS[field.parse]
    nothing = parsing.Rules("UTC", (), *_SPAN, {})
    reason = parsing.same_for_all(field.parse(pa.array([], pa.string()), nothing)).partition(";")[0]
    for opening in ("is none of ", "is no "):
        reason = reason.removeprefix(opening)
    return reason


_SPAN = (datetime(1950, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def rows(kind: Kind) -> list[tuple[str, str, str, str]]:
    """Return name, needed or not, what it takes and what a row without it gets, of each field."""
    return [
        (
            field.name, "yes" if field.required else "", takes(field),
            "the mapping's origin" if field.name == "origin" else _DEFAULTS.get((kind.name, field.name), ""),
        )
        for field in kind.fields
    ]  # fmt: skip


def place(kind: Kind) -> str:
    """Return in words how a kind says where a row lies."""
    told = _SHAPES[kind.shape]
    return f"{told}; without: by `address`" if kind.name == "incidents" else told


def plain(kind: Kind) -> str:
    """Return a kind's table for a terminal."""
    lines = [("field", "needed", "takes", "without it"), *rows(kind)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return f"{body}\nplace: {place(kind)}"


def markdown() -> str:
    """Return the page of all kinds, which the docs hold."""
    return _HEAD + "\n".join(_section(kind) for kind in KINDS.values())


_HEAD = (
    "# Fields of each kind\n\n"
    "Made from `gis/importing/kinds.py` by `safetymap import KIND --fields`; a test holds both equal. "
    "Columns that bear these names need no mapping.\n\n"
)


def _section(kind: Kind) -> str:
    cells: list[tuple[str, ...]] = [("field", "needed", "takes", "without it"), ("---",) * 4]
    cells += [(f"`{name}`", *others) for name, *others in rows(kind)]
    table = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in cells)
    return f"## {kind.name}\n\nPlace: {place(kind)}.\n\n{table}\n"
