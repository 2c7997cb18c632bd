"""Which days a source recorded: empty days are quiet unless their run is too long to believe."""

from math import exp, lgamma

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]
UNBELIEVABLE = 1e-4
"""A run of empty days is a gap in the records where its chance anywhere in the span is at most this."""


def recorded_days(days_with_records: ArrayLike) -> Integers:
    """Return every day number from the first record to the last that was recorded, rising.

    `days_with_records` are the day numbers on which the whole source, unfiltered, holds at least one record.
    A day is empty with the share of empty days outside the run in question (half a day added, so that a
    source without any quiet day has a share as well), and days are taken to be independent; the chance of
    a run counts every day on which it could have begun. Raises ValueError where there is no record at all.
    """
    held = np.unique(np.asarray(days_with_records, dtype=np.int64))
    if not held.size:
        raise ValueError("days_with_records: there is no record at all")
    span, empty = int(held[-1] - held[0] + 1), np.diff(held) - 1
    share = (span - held.size - empty + 0.5) / (span - empty + 1)
    gap = (empty > 0) & (span * share**empty <= UNBELIEVABLE)
    days = np.arange(held[0], held[-1] + 1)
    opened = np.zeros(span + 1, dtype=np.int64)
    opened[held[:-1][gap] + 1 - held[0]] += 1
    opened[held[1:][gap] - held[0]] -= 1
    return np.asarray(days[np.cumsum(opened[:-1]) == 0], dtype=np.int64)


def reach(held: ArrayLike, steps: int) -> tuple[int, int]:
    """Return from which of so many steps on a series was recorded, and with which it ended, exclusively.

    `held` are the steps (0 to `steps` - 1: days, weeks) that hold a record. Empty ones before the first and
    after the last are quiet, unless they are more than lie between any two records (a season comes back) and
    too many to believe: were each step as likely to hold one, the chance that none of them did is at most
    UNBELIEVABLE (hypergeometric). A series without any record reaches over all steps.
    """
    some = np.unique(np.asarray(held, dtype=np.int64))
    if not some.size:
        return 0, steps
    longest = int(np.diff(some).max(initial=1)) - 1
    before, behind = int(some[0]), int(steps - 1 - some[-1])
    begin, end = (
        empty > longest and _none_of(steps, empty, some.size) <= UNBELIEVABLE for empty in (before, behind)
    )
    return before if begin else 0, steps - behind if end else steps


def _none_of(steps: int, empty: int, held: int) -> float:
    """Return the chance that none of `held` of so many steps falls on the `empty` ones (hypergeometric)."""
    left = lgamma(steps - empty + 1) - lgamma(steps - empty - held + 1)
    return exp(left - lgamma(steps + 1) + lgamma(steps - held + 1))


def begun(held: NDArray[np.bool_]) -> int:
    """Return from which step on a series was recorded; `held` says which steps (weeks) hold a record."""
    return reach(np.flatnonzero(held), held.size)[0]
