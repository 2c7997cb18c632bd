"""Parsers: a column of texts or native values to a typed column, and which rows are unusable and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing import codes

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Rules:
    """What parsing depends on: the zone of naive times, their formats, the plausible span, the categories.

    `categories`: what may be written for a category (its code, or a name that only it has) → its code.
    `home` is the city's zone, in which a day without a time of day lies ("": that of the other times);
    `excel` is what the format of that name is: `excel_1904` in workbooks that count from there.
    `latest` lies after `now` by what a clock may be ahead; `decimal` is the sign before a number's fraction.
    """

    zone: str
    formats: tuple[str, ...]
    earliest: datetime
    latest: datetime
    categories: dict[str, str]
    now: datetime = field(default_factory=_now)
    decimal: str = "."
    home: str = ""
    excel: str = "excel"


Reason = str | Callable[[int], str]
"""Why rows are refused: for all of them, or by their place in the column."""


class Parsed(NamedTuple):
    """A typed column, null where there is no value; `bad` rows hold something unusable for `reason`.

    Of times: `other` is a second reading that the clocks allow, `dated` tells days without a time of day,
    `clamped` those that were a little ahead of our clock and are taken as now. `converted`: in another unit.
    """

    values: pa.Array
    bad: Bools
    reason: Reason
    other: pa.Array | None = None
    dated: Bools | None = None
    clamped: Bools | None = None
    converted: Bools | None = None


def same_for_all(parsed: Parsed) -> str:
    """Return the reason for refusing any row; "" where it depends on the row."""
    return parsed.reason if isinstance(parsed.reason, str) else ""


Parser = Callable[[pa.Array, Rules], Parsed]
BY_VALUE: set[Parser] = set()
"""Parsers to which a cell's value counts, not what is seen of it: of numbers and times."""
CODES: set[Parser] = set()
"""Parsers of ids and codes."""


def by_value(parse: Parser) -> Parser:
    """Note that a parser reads the values of cells."""
    BY_VALUE.add(parse)
    return parse


def code(parse: Parser) -> Parser:
    """Note that a parser reads ids or codes."""
    CODES.add(parse)
    return parse


def mask(condition: pa.Array) -> Bools:
    """Return an Arrow condition as booleans, null as false."""
    found: Bools = pc.fill_null(condition, False).to_numpy(zero_copy_only=False)
    return found


def objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Return values as an array of objects, whatever they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def as_text(values: pa.Array) -> pa.Array:
    """Return any column as texts; lists and other nested values as Python writes them."""
    try:
        return codes.written(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())


def is_text(of: pa.DataType) -> bool:
    """Tell whether a column holds texts."""
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of))


def is_bytes(of: pa.DataType) -> bool:
    """Tell whether a column holds bytes."""
    return bool(pa.types.is_binary(of) or pa.types.is_large_binary(of) or pa.types.is_fixed_size_binary(of))


def folded(texts: pa.Array) -> pa.Array:
    """Return texts in one width, without blanks at the ends, the minus of typesetters as a hyphen."""
    plain = pc.utf8_trim_whitespace(pc.utf8_normalize(texts, "NFKC"))
    return pc.replace_substring(plain, "\u2212", "-")


LONGEST, LONGEST_ID, LONGEST_PROSE = 400, 200, 20_000
"""Characters of a line of text, of an id or code (both are indexed, and an index has a bound), of prose."""


def _limited(texts: pa.Array, longest: int, given: pa.Array | None = None, *, prose: bool = False) -> Parsed:
    """Refuse texts that are too long, or that have, as `given`, a sign that no such text has."""
    whole = texts if given is None else given
    signs = strange(whole, prose=prose)
    long = mask(pc.greater(pc.utf8_length(texts), longest))
    return Parsed(
        texts,
        signs | long,
        lambda at: (
            f"has the sign {codes.strange(str(whole[at]), prose=prose)}; a quote may be open, or take it out"
            if signs[at]
            else f"is longer than {longest} characters; shorten it"
        ),
    )


def strange(texts: pa.Array, *, prose: bool = False) -> Bools:
    """Return which texts have a sign that no line of text has, or no prose."""
    found = mask(pc.match_substring_regex(texts, codes.STRANGE)).copy()
    for at in np.flatnonzero(found).tolist() if prose else ():
        found[at] = codes.strange(str(texts[at]), prose=True) is not None
    return found


def safely(parse: Parser, values: pa.Array, rules: Rules) -> Parsed:
    """Parse a column; a value on which the parser itself fails makes its row bad, and only that row."""
    try:
        return parse(values, rules)
    except Exception:  # noqa: BLE001 - whatever a foreign value sets off is a fault of that value
        if len(values) == 1:
            empty, _, _, *more = parse(pa.nulls(1, pa.string()), rules)
            return Parsed(empty, np.ones(1, bool), "cannot be read; correct it", *more)
        half = len(values) // 2
        return _together(
            safely(parse, values.slice(0, half), rules), safely(parse, values.slice(half), rules), half
        )


def _together(first: Parsed, second: Parsed, half: int) -> Parsed:
    """Join what two halves of a column gave."""

    def both(one: Any, other: Any) -> Any:
        if one is None:
            return None
        return pa.concat_arrays([one, other]) if isinstance(one, pa.Array) else np.concatenate([one, other])

    def reason(at: int) -> str:
        why, place = (first.reason, at) if at < half else (second.reason, at - half)
        return why if isinstance(why, str) else why(place)

    merged = [
        both(one, other)
        for one, other in zip(first, second, strict=True)
        if not isinstance(one, str) and not callable(one)
    ]
    values, bad, *more = merged
    return Parsed(values, bad, reason, *more)


def text(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse one line of text."""
    return _limited(as_text(values), LONGEST)


def seen(texts: pa.Array) -> pa.Array:
    """Return codes as they are seen, null where nothing is; ① and 1 stay two, since anyone sees it."""
    texts = pc.replace_substring_regex(texts, r" {2,}", " ")
    foreign = np.flatnonzero(mask(pc.invert(pc.string_is_ascii(texts))))
    if not len(foreign):
        return texts
    changed = texts.to_numpy(zero_copy_only=False).copy()
    changed[foreign] = [codes.seen(changed[at]) or None for at in foreign]
    return pa.array(changed, pa.string())


@code
def identifier(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse an id or a code; `7.0` of a spreadsheet is the id `7`, and so is `７`."""
    given = as_text(values)
    texts = pc.replace_substring_regex(seen(given), codes.WHOLE, r"\1")
    return _limited(texts, LONGEST_ID, given)


def prose(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse text of several lines."""
    return _limited(as_text(values), LONGEST_PROSE, prose=True)


def pattern(expression: str, meaning: str) -> Parser:
    """Return a parser of codes that match an expression as a whole."""

    @code
    def parse(values: pa.Array, _rules: Rules) -> Parsed:
        texts = seen(as_text(values))
        return Parsed(texts, mask(pc.invert(pc.match_substring_regex(texts, f"^(?:{expression})$"))), meaning)

    return parse


def one_of(allowed: Sequence[str], spoken: Mapping[str, Sequence[str]] | None = None) -> Parser:
    """Return a parser of one of a few words, in any case and width; `spoken`: ours → other words for it."""
    known = {fold_word(word): ours for ours in allowed for word in (ours, *(spoken or {}).get(ours, ()))}
    keys, ours = pa.array(list(known), pa.string()), pa.array(list(known.values()), pa.string())

    def parse(values: pa.Array, _rules: Rules) -> Parsed:
        texts = as_text(values)
        found = pc.take(ours, pc.index_in(fold_words(texts), keys))
        bad = mask(pc.is_valid(texts)) & ~mask(pc.is_valid(found))
        return Parsed(found, bad, f"is none of {', '.join(allowed)}; map it in [values] of the mapping")

    return parse


def fold_words(texts: pa.Array) -> pa.Array:
    """Return words without width, case, blanks, hyphens and underscores."""
    return pc.replace_substring_regex(pc.utf8_lower(folded(texts)), r"[\s_\-]+", "")


def fold_word(word: str) -> str:
    """Return one word as `fold_words` does."""
    return str(fold_words(pa.array([word]))[0])


def category(values: pa.Array, rules: Rules) -> Parsed:
    """Parse a category that is in the tree, written by its code or its name."""
    texts = as_text(values)
    known = pa.array(list(rules.categories), pa.string())
    at = pc.coalesce(pc.index_in(texts, known), pc.index_in(seen(texts), known))
    found = pc.take(pa.array(list(rules.categories.values()), pa.string()), at)
    bad = mask(pc.is_valid(texts)) & ~mask(pc.is_valid(found))
    reason = "is an unknown category; name a known one, import it as one, or map it in [values.category]"
    return Parsed(found, bad, reason)


_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"


def plain_numbers(texts: pa.Array, decimal: str = ".") -> Floats:
    """Return texts as floats, NaN for what is no finite number written with this decimal sign."""
    plain = folded(texts)
    if decimal != ".":
        plain = pc.replace_substring(pc.replace_substring(plain, ".", "?"), decimal, ".")
    plain = pc.if_else(pc.match_substring_regex(plain, _NUMBER), plain, None)
    floats = pd.to_numeric(plain.to_pandas(), errors="coerce").to_numpy(float)
    return np.where(np.isfinite(floats), floats, np.nan)


def numbers(values: pa.Array, decimal: str = ".") -> tuple[Floats, Bools]:
    """Return floats, NaN where there is none, and which rows hold something that is no finite number."""
    there = mask(pc.is_valid(values))
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    else:
        floats = plain_numbers(as_text(values), decimal)
    return np.where(np.isfinite(floats), floats, np.nan), there & ~np.isfinite(floats)


_LEAST = 1e-9
"""A measure nearer to nothing is none: a column of single precision cannot hold it either."""


def number(low: float, high: float, unit: str) -> Parser:
    """Return a parser of numbers from `low` to `high`, both included."""

    @by_value
    def parse(values: pa.Array, rules: Rules) -> Parsed:
        floats, bad = numbers(values, rules.decimal)
        bad |= (floats < low) | (floats > high) | (floats != 0) & (np.abs(floats) < _LEAST)
        reason = f"is no number from {low:g} to {high:g} ({unit})"
        return Parsed(pa.array(floats, mask=np.isnan(floats)), bad, reason)

    return parse


def integer(low: int, high: int) -> Parser:
    """Return a parser of whole numbers from `low` to `high`, both included; exact to 18 digits."""

    @by_value
    def parse(values: pa.Array, _rules: Rules) -> Parsed:
        reason = f"is no whole number from {low} to {high}; give words their numbers in the mapping's values"
        if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
            values = _whole(values.cast(pa.float64()))
        texts = pc.replace_substring_regex(folded(as_text(values)), r"\.0*$", "")
        whole = pc.if_else(pc.match_substring_regex(texts, r"^[+-]?\d{1,18}$"), texts, None)
        wide = pc.replace_substring_regex(whole, r"^\+", "").cast(pa.int64())
        bad = mask(pc.is_valid(values)) & ~mask(pc.is_valid(wide))
        outside = mask(pc.or_(pc.less(wide, low), pc.greater(wide, high)))
        bad |= outside
        return Parsed(pc.if_else(pa.array(bad), None, wide), bad, reason)

    return parse


def _whole(floats: pa.Array) -> pa.Array:
    """Return doubles as texts of whole numbers; one that is not whole, or lost digits, as what it is."""
    exact = mask(pc.less(pc.abs(floats), 2.0**53)) & mask(pc.equal(floats, pc.floor(floats)))
    digits = pc.if_else(pa.array(exact), floats, 0.0).cast(pa.int64()).cast(pa.string())
    return pc.if_else(
        pc.is_valid(floats), pc.if_else(pa.array(exact), digits, floats.cast(pa.string())), None
    )


def words(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse a list of texts to PostgreSQL's array notation."""
    lists = _lists(values)
    items = as_text(lists.flatten())
    wrong = strange(items) | mask(pc.greater(pc.utf8_length(items), LONGEST))
    escaped = items
    for sign in ("\\", '"'):
        escaped = pc.replace_substring(escaped, sign, f"\\{sign}")
    quoted = pc.binary_join_element_wise('"', escaped, '"', "")
    reason = f"has a control sign, or a word of over {LONGEST} characters"
    return Parsed(_array_text(lists, quoted), _rows_of(lists, wrong), reason)


@by_value
def bearings(values: pa.Array, rules: Rules) -> Parsed:
    """Parse a list of compass bearings, degrees clockwise from north, to PostgreSQL's array notation.

    Kept to a thousandth, so that none becomes 360 in single precision.
    """
    lists = _lists(values)
    degrees, wrong = numbers(lists.flatten(), rules.decimal)
    wrong |= (degrees < 0) | (degrees > 360) | np.isnan(degrees)
    texts = as_text(pa.array(np.round(np.where(wrong, 0, degrees), 3) % 360))
    reason = "holds something other than bearings from 0 to 360 degrees"
    return Parsed(_array_text(lists, texts), _rows_of(lists, wrong), reason)


def _rows_of(lists: pa.Array, wrong: Bools) -> Bools:
    """Return which lists hold a wrong item."""
    bad = np.zeros(len(lists), bool)
    bad[np.repeat(np.arange(len(lists)), _lengths(lists))[wrong]] = True
    return bad


def _lists(values: pa.Array) -> pa.Array:
    """Return lists without their empty items, and single values as lists of one."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        if not values.flatten().null_count:
            return values
        kept = [one and [item for item in one if item is not None] for one in values.to_pylist()]
        return pa.array(kept, pa.list_(values.type.value_type))
    there = pc.is_valid(values).cast(pa.int32())
    offsets = pc.cumulative_sum(pa.concat_arrays([pa.array([0], pa.int32()), there]))
    return pa.ListArray.from_arrays(offsets, as_text(values.drop_null()))


def _array_text(lists: pa.Array, items: pa.Array) -> pa.Array:
    """Return `{a,b}` for each list of already escaped items, null for an empty one."""
    joined = pc.binary_join(relisted(lists, items), ",")
    return pc.if_else(pa.array(_lengths(lists) > 0), pc.binary_join_element_wise("{", joined, "}", ""), None)


def relisted(lists: pa.Array, items: pa.Array) -> pa.Array:
    """Return lists of the same lengths with other items; one that is null becomes empty."""
    offsets = np.concatenate([[0], np.cumsum(_lengths(lists))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(
        zero_copy_only=False
    )
    return lengths.astype(np.int64)
