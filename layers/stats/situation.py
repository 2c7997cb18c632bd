"""The state of every grid: counts against their own past, closure and response, with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from layers.stats.expectation import dispersion, from_history
from layers.stats.hot import lower_tail, upper_tail

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Departure:
    """Counts of the period against what the past of each row expects, each field of shape (n,)."""

    count: Floats
    expected: Floats
    size: Floats
    """Negative-binomial size of the expected count; inf is Poisson."""
    p: Floats
    """Two-sided."""
    q: Floats
    """p adjusted for the number of rows (Benjamini-Hochberg)."""
    departs: Integers
    """1 above its past, -1 below, 0 neither, at `alpha` after adjustment."""

    def interval(self, rows: Integers) -> tuple[Floats, Floats]:
        """Return the ends of the 95 % interval of the expected count of some rows, shape (rows,) each."""
        known = np.where(np.isfinite(self.size[rows]), self.size[rows], 1e12)
        chance = known / (known + self.expected[rows])
        low, high = (np.asarray(stats.nbinom.ppf(tail, known, chance)) for tail in (0.025, 0.975))
        return low, high

    def ratio(self, rows: Integers) -> tuple[Floats, Floats, Floats]:
        """Return count over expected of some rows with its 95 % interval, shape (rows,) each.

        Both are uncertain: a Gamma of the count (Jeffreys' prior) over the Gamma of what was expected, which
        is the F distribution scaled.
        """
        count, expected, size = self.count[rows], self.expected[rows], self.size[rows]
        known = np.where(np.isfinite(size), size, 1e12)
        low, high = (
            (count + 0.5) / expected * np.asarray(stats.f.ppf(tail, 2 * count + 1, 2 * known))
            for tail in (0.025, 0.975)
        )
        return count / expected, np.minimum(low, count / expected), high


def departures(
    counts: ArrayLike, history: ArrayLike, group: ArrayLike | None = None, alpha: float = 0.05
) -> Departure:
    """Tell which rows (grids x categories) depart from their past.

    `counts` (n,) of the period, `history` (n, periods) of past periods of equal length. Rows of one
    `group` (n,) (a level and a category) lend each other strength: their rates are shrunk towards
    the group's, and scatter between periods is estimated over the group. The adjustment runs over
    all rows of all groups. Raises ValueError for shapes that do not match.
    """
    y, past = np.asarray(counts, dtype=np.float64), np.asarray(history, dtype=np.float64)
    groups = np.zeros(y.size, dtype=np.int64) if group is None else np.asarray(group)
    if past.ndim != 2 or not y.shape == groups.shape == past.shape[:1]:
        raise ValueError(f"history: shape {past.shape} does not match {y.size} counts and their groups")
    mean, size = np.zeros_like(y), np.ones_like(y)
    for each in np.unique(groups):
        rows = groups == each
        mean[rows], size[rows] = _expected(past[rows])
    one_sided = np.minimum(upper_tail(y, mean, size), lower_tail(y, mean, size))
    p = np.minimum(1.0, 2 * one_sided)
    q = stats.false_discovery_control(p, method="bh") if p.size else p
    departs = np.where(q <= alpha, np.sign(y - mean), 0).astype(np.int64)
    return Departure(y, mean, size, p, q, departs)


def _expected(past: Floats) -> tuple[Floats, Floats]:
    """Return mean and negative-binomial size of the next period for rows of one group."""
    if past.sum() == 0:
        # Nothing ever happened here: half an incident in all this time, the usual prior of a rate.
        rows, periods = past.shape
        return np.full(rows, 0.5 / periods), np.full(rows, 0.5)
    scatter = dispersion(past).alpha if min(past.shape) > 1 else 0.0
    expected = from_history(past.sum(axis=1), past.shape[1], 1, alpha=scatter)
    return expected.mean, expected.size


@dataclass(frozen=True)
class Share:
    """A share of incidents with its exact 95 % interval (Clopper & Pearson 1934), each of shape (n,)."""

    value: Floats
    """NaN where there were none."""
    low: Floats
    high: Floats


def share(part: ArrayLike, whole: ArrayLike) -> Share:
    """Return part / whole, such as closed of all incidents; ValueError if a part exceeds its whole."""
    k, n = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    if (k > n).any() or (k < 0).any():
        raise ValueError("part: must lie between 0 and the whole")
    value = np.divide(k, n, out=np.full(k.shape, np.nan), where=n > 0)
    low = np.where(k > 0, stats.beta.ppf(0.025, np.maximum(k, 1), n - k + 1), 0.0)
    high = np.where(k < n, stats.beta.ppf(0.975, k + 1, np.maximum(n - k, 1)), 1.0)
    return Share(value, low, high)


def median_time(seconds: ArrayLike, done: ArrayLike) -> tuple[float, float, float]:
    """Return the median time until something is done, with its 95 % interval, in seconds.

    `seconds` (n,) is the time until it was done, or until now where `done` (n,) is false: what
    still waits counts as waiting, or slow grids would look fast (Kaplan & Meier 1958; interval by
    the log-log band). NaN where less than half is done (the end is then open).
    """
    t, finished = np.asarray(seconds, dtype=np.float64), np.asarray(done, dtype=bool)
    if t.shape != finished.shape or (t < 0).any():
        raise ValueError(f"seconds: shape {t.shape} must match done {finished.shape}, and none be negative")
    if not finished.any():
        return np.nan, np.nan, np.nan
    times, waiting, error = _still_waiting(t, finished)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = stats.norm.ppf(0.975) * error / np.log(waiting)
        ends = (waiting ** np.exp(sign * spread) for sign in (-1, 1))
    median, low, high = (_half(times, curve) for curve in (waiting, *ends))
    return median, low, high


def _still_waiting(t: Floats, finished: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return the times, the share that still waits after each, and Greenwood's error of its logarithm.

    scipy.stats.ecdf gives the same (and a test holds them equal) at twenty times the cost, which tells where
    thousands of grids are asked for.
    """
    times, number = np.unique(t, return_inverse=True)
    done = np.bincount(number, finished)
    at_risk = t.size - np.searchsorted(np.sort(t), times, side="left")
    waiting = np.asarray(np.cumprod(1 - done / at_risk), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(np.cumsum(done / (at_risk * (at_risk - done))))
    return np.asarray(times, dtype=np.float64), waiting, np.asarray(error, dtype=np.float64)


def _half(times: Floats, waiting: Floats) -> float:
    """Return the first time at which at most half still waits; NaN if that never comes."""
    reached = np.flatnonzero(np.nan_to_num(waiting, nan=1.0) <= 0.5)
    return float(times[reached[0]]) if reached.size else float("nan")
