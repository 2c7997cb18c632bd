"""Incidents known to lie in a span of time, spread evenly over it (aoristic analysis)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
HOURS, DAYS = 24, 7
WEEK = HOURS * DAYS
_BATCH = 10_000


def week_shares(begin: ArrayLike, end: ArrayLike, weight: ArrayLike) -> Floats:
    """Return how much of the spans lies in each weekday (row, Monday first) and hour, shape (7, 24).

    `begin` < `end` (n,) are hours of a local clock since a Monday's midnight; `weight` (n,) is what each span
    adds up to: an incident between 22:00 and 02:00 is a quarter of one in each of four hours (Ratcliffe 2000,
    International Journal of Geographical Information Science 14:669). Raises ValueError for a span that does
    not end after it begins.
    """
    first, last, whole = (np.asarray(each, dtype=np.float64) for each in (begin, end, weight))
    if not (first < last).all():
        raise ValueError("end: every span must end after it begins")
    table = np.zeros(WEEK)
    for at in range(0, len(first), _BATCH):
        a, b, w = (each[at : at + _BATCH] for each in (first, last, whole))
        table += (w / (b - a)) @ (_hours_until(b) - _hours_until(a))
    return table.reshape(DAYS, HOURS)


def _hours_until(at: Floats) -> Floats:
    """Return how many hours of each slot of the week have passed, shape (n, 168)."""
    weeks, rest = np.divmod(at[:, None], WEEK)
    passed: Floats = weeks + np.clip(rest - np.arange(WEEK), 0, 1)
    return passed


def day_counts(begin: ArrayLike, end: ArrayLike, edges: ArrayLike) -> Floats:
    """Return how many incidents lie between each two `edges`, the parts of spans beyond them left out.

    `begin` <= `end` (n,) and the rising `edges` are moments of one clock; where both are one the incident is
    known to the moment, and at an edge it belongs to what begins there.
    """
    first, last = (np.asarray(each, dtype=np.float64) for each in (begin, end))
    length = np.where(last > first, last - first, 1.0)

    def before(edge: float) -> float:
        share = np.clip((edge - first) / length, 0, 1)
        return float(np.where(last > first, share, edge > first).sum())

    return np.diff([before(float(edge)) for edge in np.asarray(edges, dtype=np.float64)])
