"""Parsers: a column of texts or native values to a typed column, and which rows are unusable and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing import codes

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rules:
    """What parsing depends on: the zone of naive times, their formats, the plausible span, the categories.

    `categories`: what may be written for a category (its code, or a name that only it has) → its code.
    """

    zone: str
    formats: tuple[str, ...]
    earliest: datetime
    latest: datetime
    categories: dict[str, str]


class Parsed(NamedTuple):
    """A typed column, null where there is no value; `bad` rows hold something unusable for `reason`."""

    values: pa.Array
    bad: Bools
    reason: str


Parser = Callable[[pa.Array, Rules], Parsed]


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
    """Return any column as texts."""
    return codes.written(values)


def text(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse one line of text."""
    texts = as_text(values)
    bad = pc.match_substring_regex(texts, r"[\x00-\x1f\x7f]")
    return Parsed(texts, mask(bad), "has a line break or control sign; a quote may be open, or take it out")


def prose(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse text of several lines."""
    texts = as_text(values)
    bad = pc.match_substring_regex(texts, r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
    return Parsed(texts, mask(bad), "has a control sign; take it out")


def pattern(expression: str, meaning: str) -> Parser:
    """Return a parser of texts that match an expression as a whole."""

    def parse(values: pa.Array, _rules: Rules) -> Parsed:
        texts = as_text(values)
        return Parsed(texts, mask(pc.invert(pc.match_substring_regex(texts, f"^(?:{expression})$"))), meaning)

    return parse


def one_of(allowed: Sequence[str]) -> Parser:
    """Return a parser of one of a few words."""

    def parse(values: pa.Array, _rules: Rules) -> Parsed:
        texts = as_text(values)
        known = pc.is_in(texts, pa.array(allowed, pa.string()))
        bad = mask(pc.is_valid(texts)) & ~mask(known)
        return Parsed(texts, bad, f"is none of {', '.join(allowed)}; map it in [values] of the mapping")

    return parse


def category(values: pa.Array, rules: Rules) -> Parsed:
    """Parse a category that is in the tree, written by its code or its name."""
    texts = as_text(values)
    at = pc.index_in(texts, pa.array(list(rules.categories), pa.string()))
    codes = pc.take(pa.array(list(rules.categories.values()), pa.string()), at)
    bad = mask(pc.is_valid(texts)) & ~mask(pc.is_valid(codes))
    reason = "is an unknown category; map it in [values.category] or import it as one of categories"
    return Parsed(codes, bad, reason)


def numbers(values: pa.Array) -> tuple[Floats, Bools]:
    """Return floats, NaN where there is none, and which rows hold something that is no finite number."""
    there = mask(pc.is_valid(values))
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    else:
        folded = pc.utf8_normalize(as_text(values), "NFKC")
        floats = pd.to_numeric(folded.to_pandas(), errors="coerce").to_numpy(float)
    return np.where(np.isfinite(floats), floats, np.nan), there & ~np.isfinite(floats)


def number(low: float, high: float, unit: str) -> Parser:
    """Return a parser of numbers from `low` to `high`, both included."""

    def parse(values: pa.Array, _rules: Rules) -> Parsed:
        floats, bad = numbers(values)
        bad |= (floats < low) | (floats > high)
        reason = f"is no number from {low:g} to {high:g} ({unit})"
        return Parsed(pa.array(floats, mask=np.isnan(floats)), bad, reason)

    return parse


def integer(low: int, high: int) -> Parser:
    """Return a parser of whole numbers from `low` to `high`, both included."""

    def parse(values: pa.Array, _rules: Rules) -> Parsed:
        if pa.types.is_integer(values.type):
            wide = values.cast(pa.int64())
            outside = pc.or_(pc.less(wide, low), pc.greater(wide, high))
            return Parsed(wide, mask(outside), f"is no whole number from {low} to {high}")
        floats, bad = numbers(values)
        bad |= (floats < low) | (floats > high) | (floats != np.round(floats)) & ~np.isnan(floats)
        whole = np.where(np.isnan(floats) | bad, 0, floats).astype(np.int64)
        return Parsed(pa.array(whole, mask=np.isnan(floats)), bad, f"is no whole number from {low} to {high}")

    return parse


def moment(values: pa.Array, rules: Rules) -> Parsed:
    """Parse a time to UTC; a naive one is in the zone of the rules.

    Of an hour that the clocks repeat the first is meant; of one that they skip, the hour after.
    """
    times = _times(values, rules)
    there = mask(pc.is_valid(values))
    bad = there & (times.isna() | (times < rules.earliest) | (times > rules.latest)).to_numpy()
    reason = (
        f"is no time from {rules.earliest:%Y-%m-%d} to {rules.latest:%Y-%m-%d}; "
        "write it as 2024-03-05 14:30 or tell its format in the mapping's formats"
    )
    return Parsed(pa.Array.from_pandas(times), bad, reason)


def _times(values: pa.Array, rules: Rules) -> "pd.Series[Any]":
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        zoned = pa.types.is_timestamp(values.type) and values.type.tz is not None
        moments = values.cast(pa.timestamp("us", values.type.tz if zoned else None)).to_pandas()
        utc: pd.Series[Any] = moments.dt.tz_convert("UTC") if zoned else _localized(moments, rules.zone)
        return utc
    texts = as_text(values)
    zoned_rows = mask(pc.match_substring_regex(texts, r"(?:[Zz]|[+-]\d\d:?\d\d)$"))
    series = texts.to_pandas()
    result = _localized(_naive(series.mask(zoned_rows), rules.formats), rules.zone)
    if zoned_rows.any():
        aware = pd.to_datetime(series[zoned_rows], format="ISO8601", utc=True, errors="coerce")
        result[zoned_rows] = aware.astype(result.dtype)
    return result


def _naive(texts: "pd.Series[Any]", formats: Sequence[str]) -> "pd.Series[Any]":
    result = pd.to_datetime(texts, format="ISO8601", errors="coerce").astype("datetime64[us]")
    for form in formats:
        left = result.isna() & texts.notna()
        if not left.any():
            break
        result[left] = pd.to_datetime(texts[left], format=form, errors="coerce").astype("datetime64[us]")
    return result


def _localized(naive: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    first = np.ones(len(naive), bool)
    hour = pd.Timedelta(hours=1)
    local = naive.dt.tz_localize(ZoneInfo(zone), ambiguous=first, nonexistent=hour)
    utc: pd.Series[Any] = local.dt.tz_convert("UTC")
    return utc


def day(values: pa.Array, rules: Rules) -> Parsed:
    """Parse a calendar day."""
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        days = values.cast(pa.timestamp("us")).to_pandas()
    else:
        days = _naive(as_text(values).to_pandas(), rules.formats)
    there = mask(pc.is_valid(values))
    dates = pa.Array.from_pandas(days).cast(pa.date32(), safe=False)
    return Parsed(dates, there & days.isna().to_numpy(), "is no day; write it as 2024-03-05")


def words(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse a list of texts to PostgreSQL's array notation."""
    lists = _lists(values)
    escaped = as_text(lists.flatten())
    for sign in ("\\", '"'):
        escaped = pc.replace_substring(escaped, sign, f"\\{sign}")
    quoted = pc.binary_join_element_wise('"', escaped, '"', "")
    return Parsed(_array_text(lists, quoted), np.zeros(len(values), bool), "is no list")


def bearings(values: pa.Array, _rules: Rules) -> Parsed:
    """Parse a list of compass bearings, degrees clockwise from north, to PostgreSQL's array notation."""
    lists = _lists(values)
    degrees, wrong = numbers(lists.flatten())
    wrong |= (degrees < 0) | (degrees > 360) | np.isnan(degrees)
    bad = np.zeros(len(values), bool)
    bad[np.repeat(np.arange(len(values)), _lengths(lists))[wrong]] = True
    texts = as_text(pa.array(np.where(wrong, 0, degrees) % 360))
    return Parsed(_array_text(lists, texts), bad, "holds something other than bearings from 0 to 360 degrees")


def _lists(values: pa.Array) -> pa.Array:
    """Return lists as they are, and single values as lists of one."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return values
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
