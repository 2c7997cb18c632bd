"""Which days a source recorded: empty days are quiet unless their run is too long to believe."""

from dataclasses import dataclass, field, replace
from math import exp, lgamma

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Run = tuple[int, int]
"""First and end (exclusively) of a run of days."""
UNBELIEVABLE = 1e-4
"""A run of empty days is a gap in the records where its chance anywhere in the span is at most this."""
ENOUGH = 30
"""Records of a day from which on more of them say nothing new: counts are known up to so many."""
SPREAD = 3
"""Lowest grids from which on what came into use is no outbreak of one place."""
_WEEK = 7
_AROUND = 4 * _WEEK
"""Days before a run of empty ones, and after it, whose counts say what was usual then."""
_REACH = 2 * _AROUND
"""Days on each side among which they are looked for."""


@dataclass(frozen=True)
class Records:
    """The days on which a whole source, unfiltered, holds records: numbers since 1970-01-01, rising."""

    days: Integers
    counts: Integers
    """Records of each of them, ENOUGH at most."""
    off: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Announced days off, whether they hold records or not; none where no calendar is known."""

    def and_one_on(self, day: int) -> "Records":
        """Return the same with one record on a later day."""
        return replace(self, days=np.append(self.days, day), counts=np.append(self.counts, 1))


def recorded_days(records: Records) -> Integers:
    """Return every day number from the first record to the last that was recorded, rising.

    A run of empty days is a gap where its chance is UNBELIEVABLE by either of two rates: how often the
    source's days are empty, which finds months that are lost, and how much it recorded around the run
    (`_unusual`), which finds days that are lost in a source that is never quiet. An announced day off is
    held against the others of the span: of an office that is closed on them it says nothing.
    Raises ValueError where there is no record at all.
    """
    held = records.days
    if not held.size:
        raise ValueError("records: there is no record at all")
    counts = np.zeros(held[-1] - held[0] + 1, dtype=np.int64)
    counts[held - held[0]] = records.counts
    is_off = np.isin(np.arange(held[0], held[-1] + 1), records.off)
    empty = np.diff(held) - 1
    before = np.append(0, is_off.cumsum())
    off = before[held[1:] - held[0]] - before[held[:-1] - held[0] + 1]
    of_off = _surprise_of_off(counts[is_off], off)
    needed = np.log(len(counts) / UNBELIEVABLE)
    ordinary = _surprise_of_each((~is_off).sum(), (counts[~is_off] > 0).sum(), empty - off)
    gap = (empty > 0) & ((empty - off) * ordinary + of_off >= needed)
    known = _without(len(counts), held - held[0], gap)
    # No day near the run was busier: most runs of a small city are done with that.
    most = np.lib.stride_tricks.sliding_window_view(np.pad(counts, _REACH), 2 * _REACH + 1).max(axis=1)
    nearby = np.maximum(most[held[:-1] - held[0]], most[held[1:] - held[0]])
    for run in np.flatnonzero(~gap & ((empty - off) * nearby + of_off >= needed)):
        first = int(held[run] + 1 - held[0])
        gap[run] = of_off[run] + _unusual(counts, known, is_off, first, first + int(empty[run])) >= needed
    return np.asarray(np.flatnonzero(_without(len(counts), held - held[0], gap)) + held[0], dtype=np.int64)


def _surprise_of_off(counts: Integers, empty: Integers) -> Floats:
    """Return minus the logarithm of the chance of so many `empty` days off in a run, by all days off.

    Where every other one holds records, each is taken to be as busy as the quietest of them.
    """
    some = counts[counts > 0]
    least = some.min() if some.size >= _WEEK else 0
    quietest = np.where(empty == counts.size - some.size, least, 0)
    return np.asarray(empty * np.maximum(_surprise_of_each(counts.size, some.size, empty), quietest))


def _surprise_of_each(days: int, held: int, empty: Integers) -> Floats:
    """Return minus the logarithm of the chance that a day is empty, for runs of so many `empty` ones.

    Of the `days` of a span so many are `held`: it is the share of empty ones outside the run in question
    (half a day added, so that a source without any quiet day has a share as well). Days are taken to be
    independent; the chance of a run counts every day on which it could have begun.
    """
    return np.asarray(-np.log((days - held - empty + 0.5) / (days - empty + 1)))


def _without(span: int, held: Integers, gap: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which days of a span are not in the runs of empty days that are gaps."""
    opened = np.zeros(span + 1, dtype=np.int64)
    opened[held[:-1][gap] + 1] += 1
    opened[held[1:][gap]] -= 1
    return np.asarray(np.cumsum(opened[:-1]) == 0)


def _unusual(
    counts: Integers, known: NDArray[np.bool_], is_off: NDArray[np.bool_], first: int, end: int
) -> float:
    """Return minus the logarithm of the chance of a run of empty days, `first` to `end` exclusively.

    It is that of its days that are not off, by the days around it: the four weeks before and those after, as
    far as they are `known` and not off, tell the usual count of each day of the week, so that season and
    weekends are in it; of the two the quieter decides, since a source may change at the run. Counts scatter
    as they do there (negative binomial), days on their own, and the mean is known from so many records alone.
    """
    known = known & ~is_off
    before = _nearest(known[:first][::-1])
    sides = [first - 1 - before, end + _nearest(known[end:])]
    sides = [side for side in sides if side.size >= _WEEK]
    run = first + np.flatnonzero(~is_off[first:end])
    if not sides or not run.size:
        return 0.0
    together = np.concatenate(sides)
    alpha = _scatter(counts[together], together)
    return min(_surprise(counts[side], side, run, alpha) for side in sides)


def _nearest(known: NDArray[np.bool_]) -> Integers:
    """Return the places of the first known days within reach."""
    return np.flatnonzero(known[:_REACH])[:_AROUND]


def _surprise(counts: Integers, days: Integers, run: Integers, alpha: float) -> float:
    """Return minus the logarithm of the chance of a run of empty days, by the counts of some days."""
    weekday = days % _WEEK
    some = np.isin(weekday, run % _WEEK)
    total = counts[some].sum()
    if not total:
        return 0.0
    number = np.bincount(weekday, minlength=_WEEK)
    usual = np.bincount(weekday, counts, _WEEK) / np.maximum(number, 1)
    mean = usual[run % _WEEK]
    needed = float((np.log1p(alpha * mean) / alpha if alpha > 0 else mean).sum())
    # Records that come in clumps say less of the mean than so many single ones.
    clumps = total / (1 + alpha * (mean**2).sum() / mean.sum()) if mean.any() else total
    return float(clumps * np.log1p(needed / clumps))


def _scatter(counts: Integers, days: Integers) -> float:
    """Return alpha (variance = mean + alpha * mean**2) of counts by the mean of their day of the week."""
    weekday = days % _WEEK
    number = np.bincount(weekday, minlength=_WEEK)[weekday]
    mean = np.bincount(weekday, counts, _WEEK)[weekday] / number
    several = number > 1
    excess = (counts - mean) ** 2 * number / np.maximum(number - 1, 1) - mean
    square = (mean[several] ** 2).sum()
    return max(float(excess[several].sum() / square), 0.0) if square else 0.0


def reach(held: ArrayLike, steps: int, places: int = 1) -> tuple[int, int]:
    """Return from which of so many steps on a series was recorded, and with which it ended, exclusively.

    `held` are the steps (0 to `steps` - 1: days, weeks) that hold a record, or the first ones of so many
    `places`. Empty ones before the first and after the last are quiet, unless they are more than lie between
    any two records (a season comes back) and too many to believe: were each step (and place) as likely to
    hold one, the chance that none of them did is at most UNBELIEVABLE (hypergeometric). A series without any
    record reaches over all steps.
    """
    some = np.sort(np.asarray(held, dtype=np.int64))
    if not some.size:
        return 0, steps
    longest = int(np.diff(some).max(initial=1)) - 1
    before, behind = int(some[0]), int(steps - 1 - some[-1])
    begin, end = (
        empty > longest and none_of(steps * places, empty * places, some.size) <= UNBELIEVABLE
        for empty in (before, behind)
    )
    return before if begin else 0, steps - behind if end else steps


def none_of(steps: int, empty: int, held: int) -> float:
    """Return the chance that none of `held` of so many steps falls on the `empty` ones (hypergeometric)."""
    left = lgamma(steps - empty + 1) - lgamma(steps - empty - held + 1)
    return exp(left - lgamma(steps + 1) + lgamma(steps - held + 1))


def begun(held: NDArray[np.bool_]) -> int:
    """Return from which step on a series was recorded; `held` (places, steps) says where and when it was.

    Either the steps before the last one say so, or in how many places it first came how near the end: what
    is new in many at once came into use, what goes on in one place may be an outbreak.
    """
    by_step, _ = reach(np.flatnonzero(held[:, :-1].any(axis=0)), held.shape[1] - 1)
    by_place, _ = reach(held.argmax(axis=1)[held.any(axis=1)], held.shape[1], len(held))
    return max(by_step, by_place)


def is_wide(held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which series SPREAD places or more hold; `held` (places, series) is of the lowest grids.

    A category that came into use and is wide is left out where all categories together are tested: the city
    did not become worse by what nobody recorded before. What is new in fewer may be an outbreak, and stays.
    """
    return np.asarray(held.sum(axis=0) >= SPREAD)
