"""Times and days as sources write them: read by one grammar or the mapping's formats, set on UTC."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gis.importing import day_words, fixed_widths, unread_times
from gis.importing.parsing import Bools, Parsed, Rules, as_text, by_value, folded, mask, plain_numbers
from gis.importing.unread_times import COUNTED

Moments = npt.NDArray[np.datetime64]
"""datetime64[us], shape (n,), NaT where there is none; UTC or local as the name says."""
_ZONE = r"(?:UTC|GMT)?(?P<sign>[+-])(?P<zh>\d{1,2})(?::?(?P<zm>\d{2}))?|(?P<utc>Z|z|UTC|GMT)"
_CLOCK = (
    r"(?P<h>\d{1,2})(?:[:时点](?P<mi>\d{1,2})(?:[:分](?P<s>\d{1,2})(?:[.,](?P<f>\d{1,9}))?秒?|分)?"
    r"|[时点](?P<sharp>[整正])|[时点](?P<half>半))"
)
_DATE = r"(?P<y>\d{4})[-/.年](?P<mo>\d{1,2})[-/.月](?P<d>\d{1,2})日?"
_BLANK_CLOCK = r"(?:[T\s]+0{1,2}:00(?::00(?:\.0+)?)?)?"
_BLANK_DATE = r"(?:(?:1899-12-3[01]|1900-01-0[01])[T\s]+)?"
"""A cell of a time alone comes with the day that a spreadsheet counts from, one of a date with midnight."""
_GRAMMARS = (
    rf"^{_DATE}(?:(?:{_BLANK_CLOCK}\s+{_BLANK_DATE}|\s*T\s*|\s*){_CLOCK}\s*(?:{_ZONE})?)?$",
    rf"^{_DATE}(?:{_BLANK_CLOCK}\s+{_BLANK_DATE}|\s*)(?P<word>{day_words.WORD})\s*{_CLOCK}\s*(?:{_ZONE})?$",
    rf"^{_DATE}(?:{_BLANK_CLOCK}\s+{_BLANK_DATE}|\s*){_CLOCK}\s*(?P<word>{day_words.WORD})\s*(?:{_ZONE})?$",
    rf"^{_DATE}[T\s]+{_CLOCK}\s*(?:{_ZONE})?$",
    r"^(?P<y>\d{4})(?P<mo>\d{2})(?P<d>\d{2})(?:T?(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})?(?P<utc>Z)?)?$",
)
_MOST_OFFSET = 14 * 60
"""Minutes: no place on Earth is further from UTC."""
_FIRST, _LAST = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-31", "us")
_HAS_DATE = re.compile(r"(?=.*%[Yy])(?:(?=.*%[mbB])(?=.*%d)|(?=.*%j))|.*%[cx]")
_HAS_HOUR, _HAS_MINUTE = re.compile(r"%[HIcX]"), re.compile(r"%[McX]")


class Read(NamedTuple):
    """Times as written, shape (n,): the clock's reading, its offset from UTC and whether it has one."""

    clock: Moments
    offset: npt.NDArray[np.int64]
    """Minutes east of UTC, 0 where none is written."""
    zoned: Bools
    dated: Bools
    """A day without a time of day."""


class Local(NamedTuple):
    """Local times on UTC: what is meant, and the other reading (or NaT) where clocks repeat or skip it."""

    utc: Moments
    other: Moments


def known_zone(name: str) -> str:
    """Return the name of a time zone. Raises ValueError when there is none such."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; write it as Asia/Shanghai") from error
    return name


def known_format(form: str) -> str:
    """Return a format of times that names whole days, hours with minutes. Raises ValueError for others."""
    if form in COUNTED:
        return form
    if not _HAS_DATE.match(form):
        raise ValueError(
            f"{form!r} names no year, month and day (%Y-%m-%d); numbers are read by {', '.join(COUNTED)}"
        )
    if bool(_HAS_HOUR.search(form)) != bool(_HAS_MINUTE.search(form)):
        raise ValueError(f"{form!r} has hours without minutes or the reverse; use %H:%M")
    pd.to_datetime(pd.Series(["x"]), format=form, errors="coerce")
    return form


@by_value
def moment(values: pa.Array, rules: Rules) -> Parsed:
    """Parse a time to UTC; a naive one is in the zone of the rules, a day alone is the city's.

    Of an hour that the clocks repeat the first is meant, of one that they skip the time as the clock before
    would have shown it; `other` holds the other reading, for a row whose times would else run backwards. What
    lies in the future by no more than the clocks' skew is taken as now.
    """
    read = _read(values, rules)
    there = _there(values)
    utc, other = _on_utc(read, rules)
    now = np.datetime64(rules.now.astimezone(UTC).replace(tzinfo=None), "us")
    ahead = utc > now
    late = ahead & (utc > _naive(rules.latest))
    early = utc < _naive(rules.earliest)
    bad = there & (np.isnat(utc) | late | early)
    utc[ahead & ~late] = now
    return Parsed(
        _array(utc), bad, lambda at: unread_times.why(_shown(values[at]), rules), _array(other),
        dated=read.dated, clamped=ahead & ~late,
    )  # fmt: skip


@by_value
def day(values: pa.Array, rules: Rules) -> Parsed:
    """Parse a calendar day, as it is written: the day of a time is that of its own clock."""
    read = _read(values, rules)
    bad = _there(values) & np.isnat(read.clock)
    days = pa.array(read.clock.astype("datetime64[D]"))
    return Parsed(days, bad, lambda at: unread_times.why_no_day(_shown(values[at]), rules))


def _there(values: pa.Array) -> Bools:
    """Return which rows hold something; a double that is no number is a gap."""
    there = mask(pc.is_valid(values))
    return there & ~mask(pc.is_nan(values)) if pa.types.is_floating(values.type) else there


def _shown(cell: pa.Scalar) -> str:
    """Return a cell as it is told of; "" for what Python has no type for."""
    try:
        return str(cell.as_py())
    except (ValueError, OverflowError):
        return ""


def in_order(
    columns: dict[str, pa.Array], others: dict[str, pa.Array], names: Sequence[str],
    dated: Mapping[str, Bools],
) -> dict[str, pa.Array]:  # fmt: skip
    """Return the columns `names`, where the other readings of times let a row run forwards and it did not.

    Each time then is the earliest of its readings that is not before the one that precedes it. What is
    `dated`, a day without a time of day, is in order with any time of that day and decides nothing.
    """
    there = [name for name in names if name in columns]
    if not any(name in others and others[name].null_count < len(others[name]) for name in there):
        return columns
    first = np.array([_numpy(columns[name]) for name in there])
    days = np.array([dated.get(name, np.zeros(first.shape[1], bool)) for name in there])
    given, first[days] = first.copy(), np.datetime64("NaT")
    second = np.full(first.shape, "NaT", "M8[us]")
    for at, name in enumerate(there):
        second[at] = _numpy(others[name]) if name in others else second[at]
    second[days] = np.datetime64("NaT")
    for at in np.flatnonzero(_backwards(first) & ~np.isnat(second).all(axis=0)).tolist():
        first[:, at] = _forwards(first[:, at], second[:, at])
    first[days] = given[days]
    return columns | {name: _array(of) for name, of in zip(there, first, strict=True)}


def _backwards(times: Moments) -> Bools:
    """Tell which columns of (k, n) times are not in order, gaps left out."""
    last = np.full(times.shape[1:], np.datetime64("0001-01-01", "us"))
    wrong = np.zeros(len(last), bool)
    for row in times:
        wrong |= row < last
        last = np.where(np.isnat(row), last, row)
    return wrong


def _forwards(first: Moments, second: Moments) -> Moments:
    """Choose for each time of a row the earliest reading not before the last, the first where none is."""
    chosen, last = first.copy(), np.datetime64("0001-01-01", "us")
    for at, pair in enumerate(zip(first, second, strict=True)):
        fits = sorted(one for one in pair if not np.isnat(one) and one >= last)
        if fits:
            chosen[at] = last = fits[0]
    return chosen


def to_utc(clock: Moments, zone: str) -> Local:
    """Set local times of a zone on UTC.

    The offsets a day before and a day after decide: a time that both fit is repeated, one that neither fits
    is skipped (RFC 5545 and PEP 495 read it by the offset before). No place changes its clocks twice in two
    days.
    """
    day_ = np.timedelta64(1, "D")
    before, after = _offset(clock - day_, zone), _offset(clock + day_, zone)
    one, two = clock - before, clock - after
    fits_one, fits_two = _offset(one, zone) == before, _offset(two, zone) == after
    unsure = (before != after) & (fits_one == fits_two)
    utc = np.where(fits_one | ~fits_two, one, two)
    other = np.where(unsure, two, np.datetime64("NaT", "us"))
    return Local(utc, other)


def _offset(utc: Moments, zone: str) -> npt.NDArray[np.timedelta64]:
    moments = pa.array(utc, pa.timestamp("us")).cast(pa.timestamp("us", zone))
    local: npt.NDArray[np.timedelta64] = _numpy(pc.local_timestamp(moments)) - utc
    return local


def _on_utc(read: Read, rules: Rules) -> Local:
    """Set times as read on UTC; far from the rules' span they become none, so that nothing overflows."""
    margin = timedelta(days=2)
    near = (read.clock > _naive(rules.earliest - margin)) & (read.clock < _naive(rules.latest + margin))
    clock = np.where(near, read.clock, np.datetime64("NaT", "us"))
    fixed = clock - read.offset * np.timedelta64(60_000_000, "us")
    local = to_utc(clock, rules.zone)
    if rules.home not in ("", rules.zone) and read.dated.any():
        for times, days in zip(local, to_utc(clock, rules.home), strict=True):
            times[read.dated] = days[read.dated]
    return Local(
        np.where(read.zoned, fixed, local.utc), np.where(read.zoned, np.datetime64("NaT", "us"), local.other)
    )


def _read(values: pa.Array, rules: Rules) -> Read:
    """Read a column by the mapping's formats in their order, then by our grammar."""
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return _native(values)
    texts = folded(as_text(values))
    read = _nothing(len(texts))
    formats = [rules.excel if form == "excel" else form for form in rules.formats]
    for way in [*(_by_format(form) for form in formats), *(_by_grammar(one) for one in _GRAMMARS)]:
        left = np.flatnonzero(np.isnat(read.clock) & mask(pc.is_valid(texts)))
        if not len(left):
            break
        for mine, found in zip(read, way(texts.take(pa.array(left))), strict=True):
            mine[left] = found
    outside = (read.clock < _FIRST) | (read.clock >= _LAST + np.timedelta64(1, "D"))
    read.clock[outside] = np.datetime64("NaT")
    return read


def _nothing(count: int) -> Read:
    return Read(
        np.full(count, "NaT", "M8[us]"),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
        np.zeros(count, bool),
    )


def _native(values: pa.Array) -> Read:
    """Read Arrow's own times and days; what lies outside of the years 1 to 9999 becomes none."""
    read = _nothing(len(values))
    dated = bool(pa.types.is_date(values.type))
    unit = "D" if pa.types.is_date32(values.type) else "ms" if dated else values.type.unit
    clock, inside = _clock_within(values, unit)
    read.clock[inside] = clock[inside]
    read.dated[:] = dated
    zone = None if dated else values.type.tz
    if zone is not None:
        # Their own clock is what is written; its offset brings it back.
        moments = pa.array(read.clock, pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))
        local = _numpy(pc.local_timestamp(moments))
        read.offset[inside] = ((local - read.clock)[inside] / np.timedelta64(1, "m")).astype(np.int64)
        read.clock[inside] = local[inside]
        read.zoned[:] = True
    return read


def _clock_within(values: pa.Array, unit: str) -> tuple[Moments, Bools]:
    """Return Arrow's times, counts of a unit, and which are there and in the years 1 to 9999."""
    narrow = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
    counts = pc.fill_null(values.cast(narrow).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    if unit == "ns":  # numpy's own way to microseconds overflows at the edges
        counts, unit = counts // 1_000, "us"
    low, high = (edge.astype(f"datetime64[{unit}]").astype(np.int64) for edge in (_FIRST, _LAST))
    inside = mask(pc.is_valid(values)) & (counts >= low) & (counts <= high)
    return np.where(inside, counts, 0).astype(f"datetime64[{unit}]").astype("datetime64[us]"), inside


def _by_format(form: str) -> Callable[[pa.Array], Read]:
    return (
        (lambda texts: _counted(texts, form)) if form in COUNTED else (lambda texts: _formatted(texts, form))
    )


def _counted(texts: pa.Array, form: str) -> Read:
    """Read counts of days, seconds or milliseconds, rounded to the millisecond that doubles still tell."""
    since, step = COUNTED[form]
    counts = plain_numbers(texts)
    usable = np.isfinite(counts) & (np.abs(counts) * step < 2.5e17)
    read = _nothing(len(texts))
    ms = np.round(np.where(usable, counts, 0) * (step / 1_000)).astype(np.int64)
    read.clock[usable] = np.datetime64(since, "us") + ms[usable] * np.timedelta64(1_000, "us")
    by_day = form.startswith("excel")
    read.zoned[:] = not by_day
    read.dated[:] = by_day & (counts == np.floor(counts))
    return read


def _formatted(texts: pa.Array, form: str) -> Read:
    read = _nothing(len(texts))
    zoned = "%z" in form.lower()
    if whole := fixed_widths.guard(form):
        texts = pc.if_else(pc.match_substring_regex(texts, whole), texts, None)
    found = pd.to_datetime(texts.to_pandas(), format=form, errors="coerce", utc=zoned)
    read.clock[:] = (found.dt.tz_localize(None) if zoned else found).to_numpy("datetime64[us]")
    read.zoned[:] = zoned
    read.dated[:] = not _HAS_HOUR.search(form)
    return read


def _by_grammar(grammar: str) -> Callable[[pa.Array], Read]:
    return lambda texts: _parsed(texts, grammar)


def _parsed(texts: pa.Array, grammar: str) -> Read:
    """Read texts by a grammar with named groups; what is no day or time of day becomes none."""
    found = pc.extract_regex(texts, grammar)
    groups = {field.name for field in found.type}

    def part(name: str) -> pa.Array:
        given = pc.struct_field(found, name) if name in groups else pa.nulls(len(texts), pa.string())
        return pc.if_else(pc.equal(given, ""), None, given)

    def number(name: str) -> npt.NDArray[np.int64]:
        counts = pc.fill_null(part(name), "0").cast(pa.int64())
        return np.asarray(counts.to_numpy(zero_copy_only=False), dtype=np.int64)

    hour, minute, second = day_words.hours(part("word"), number("h")), number("mi"), number("s")
    minute = np.where(mask(pc.is_valid(part("half"))), 30, minute)
    day_ = _days(number("y"), number("mo"), number("d"))
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.fill_null(part("f"), "0"), 9, "0"), 0, 6)
    micro = fraction.cast(pa.int64()).to_numpy(zero_copy_only=False)
    offset = (number("zh") * 60 + number("zm")) * np.where(mask(pc.equal(part("sign"), "-")), -1, 1)
    sound = (
        (hour >= 0)
        & (hour < 24)
        & (minute < 60)
        & (second < 60)
        & (np.abs(offset) <= _MOST_OFFSET)
        & (number("zm") < 60)
    )
    clock = (
        day_
        + ((hour * 60 + minute) * 60 + second) * np.timedelta64(1_000_000, "us")
        + micro * np.timedelta64(1, "us")
    )
    span = mask(pc.match_substring_regex(texts, unread_times.SPAN))
    clock[~sound | ~mask(pc.is_valid(found)) | span] = np.datetime64("NaT")
    zoned = mask(pc.is_valid(part("sign"))) | mask(pc.is_valid(part("utc")))
    return Read(clock, offset, zoned, ~mask(pc.is_valid(part("h"))))


def _days(year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day_: npt.NDArray[np.int64]) -> Moments:
    """Return days of the calendar as moments, NaT for those that it has not."""
    possible = (year >= 1) & (month >= 1) & (month <= 12) & (day_ >= 1) & (day_ <= 31)
    months = (np.where(possible, (year - 1970) * 12 + month - 1, 0)).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(possible, day_ - 1, 0)
    possible &= days.astype("datetime64[M]") == months
    moments = days.astype("datetime64[us]")
    moments[~possible] = np.datetime64("NaT")
    return moments


def _naive(moment_: datetime) -> np.datetime64:
    return np.datetime64(moment_.astimezone(UTC).replace(tzinfo=None), "us")


def _numpy(values: pa.Array) -> Moments:
    plain: Any = values.cast(pa.timestamp("us")) if values.type != pa.timestamp("us") else values
    return np.array(plain.to_numpy(zero_copy_only=False), dtype="datetime64[us]")


def _array(utc: Moments) -> pa.Array:
    return pa.array(utc, pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
