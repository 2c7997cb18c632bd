"""The state of every grid: counts against their own past, closure and response, with intervals."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from layers.stats.expectation import dispersion, from_history
from layers.stats.swing import Swing, swings
from layers.stats.tails import lower_tail, upper_tail

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FEWEST_PERIODS = 6
"""With fewer past periods nobody can say how much the counts of a whole city swing from one to the next."""
ALONE = -1
"""The family of a row that has none beside it to be held against."""
_CERTAIN = 1e12
"""The size that stands for infinity where a formula wants a number."""
_HAS_MEAN = 2
"""An F distribution has a mean where its denominator has more degrees of freedom than these."""
_SURE = stats.norm.ppf(0.975)


@dataclass(frozen=True)
class Departure:
    """Counts of the period against what the past of each row expects, each field of shape (n,)."""

    count: Floats
    expected: Floats
    """The mean of a row's past; of one with a family, by as much more or less as the others moved."""
    size: Floats
    """Negative-binomial size of the expected count; inf is Poisson."""
    whole: Floats
    """1 where a row is all of its family, which holds what it holds: that is expected of it; else 0."""
    usual: Floats
    """Mean of the past periods of a row that is ALONE, on the scale of `root`; NaN for others."""
    swing: Floats
    """Standard deviation of the same over those periods; NaN for others."""
    periods: int
    """Past periods."""
    p: Floats
    """Two-sided."""
    q: Floats
    """p adjusted for the number of rows (`_adjusted`)."""
    departs: Integers
    """1 above its past, -1 below, 0 neither, at `alpha` after adjustment."""

    def among(self, rows: NDArray[np.bool_]) -> "Departure":
        """Return the same as the marked ones of many rows: NaN for the others, which do not depart."""
        spread: dict[str, Any] = {
            field.name: np.full(rows.size, np.nan) for field in fields(self) if field.name != "periods"
        }
        for name, values in spread.items():
            values[rows] = getattr(self, name)
        departs = np.nan_to_num(spread.pop("departs")).astype(np.int64)
        return replace(self, departs=departs, **spread)

    def interval(self, rows: Integers) -> tuple[Floats, Floats]:
        """Return the ends of the 95 % interval of the expected count of some rows, shape (rows,) each."""
        size, mean, part = (each[rows] for each in (self.size, self.expected, self.whole))
        known = np.where(np.isfinite(size), size, _CERTAIN)
        chance = known / (known + mean)
        low, high = (np.asarray(stats.nbinom.ppf(tail, known, chance)) for tail in (0.025, 0.975))
        # A row that is all of its family is expected to hold what that holds.
        given = np.sqrt(1 - part)
        # Outwards: inwards, an interval of 0 to 0 around .06 would turn upside down.
        low, high = np.floor(mean - (mean - low) * given), np.ceil(mean + (high - mean) * given)
        around, half = self.usual[rows], self._half(rows)
        far = [(np.maximum(around + sign * half, 0) / 2) ** 2 - 3 / 8 for sign in (-1, 1)]
        alone = np.isfinite(around)
        low = np.where(alone, np.minimum(low, np.maximum(np.floor(far[0]), 0)), low)
        return low, np.where(alone, np.maximum(high, np.ceil(far[1])), high)

    def ratio(self, rows: Integers) -> tuple[Floats, Floats, Floats]:
        """Return count over expected of some rows with its 95 % interval, shape (rows,) each.

        Both are uncertain: a Gamma of the count (Jeffreys' prior) over that of what was expected, which is
        the F distribution scaled. A row that is ALONE swings with the city as it did before, on the scale of
        roots. NaN where nothing is expected. No upper end (inf) where so little is known of what was expected
        that the ratio has no mean: it would be one of any size, made by the prior alone.
        """
        count, mean, part = (each[rows] for each in (self.count, self.expected, self.whole))
        size, free = self.size[rows], np.maximum(1 - part, 1e-9)
        known = np.where(np.isfinite(size), size, _CERTAIN)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.where(mean > 0, count / mean, np.nan)
            ends = [
                (count + 0.5) / mean * np.asarray(stats.f.ppf(tail, (2 * count + 1) / free, 2 * known / free))
                for tail in (0.025, 0.975)
            ]
        ends[1] = np.where(2 * known / free > _HAS_MEAN, ends[1], np.inf)
        around, half = self.usual[rows], np.maximum(self._half(rows), self._least(_SURE))
        swung = [(np.maximum(root(count) + sign * half, 0) / around) ** 2 for sign in (-1, 1)]
        low, high = (np.where(np.isfinite(around), *each) for each in zip(swung, ends, strict=True))
        low, high = (np.where(mean > 0, end, np.nan) for end in (low, high))
        return ratio, np.fmin(low, ratio), np.fmax(high, ratio)

    def _half(self, rows: Integers) -> Floats:
        """Return half the width of the interval of a row that is ALONE, on the scale of roots."""
        return self.swing[rows] * self._least(float(stats.t.ppf(0.975, self.periods - 1)))

    def _least(self, quantile: float) -> float:
        return quantile * float(np.sqrt(1 + 1 / self.periods))


def departures(
    counts: ArrayLike,
    history: ArrayLike,
    group: ArrayLike | None = None,
    family: ArrayLike | None = None,
    alpha: float = 0.05,
) -> Departure:
    """Tell which rows (grids x categories) depart from their past.

    `counts` (n,) of the period, `history` (n, periods) of past periods of equal length, FEWEST_PERIODS at
    least. Rows of one `group` (n,) (a level and a category) lend each other strength: their rates are shrunk
    towards the group's, and scatter between periods is estimated over the group. Rows of one `family` (n,)
    (the children of one grid, in one category; ALONE for none, as for all if not given) are held against
    their past and against that past times the swing of the others (`swings`), in which they have no part,
    and depart where they depart from both. So a swing of the whole city, or of a county, is told once, by
    the row that holds it all, and the rise of one is not hidden by itself. The whole is ALONE, and the
    variance of its own past says what is usual. Raises ValueError for shapes that do not match and for too
    few periods.
    """
    y, past = np.asarray(counts, dtype=np.float64), np.asarray(history, dtype=np.float64)
    groups = np.zeros(y.size, dtype=np.int64) if group is None else np.asarray(group)
    families = np.full(y.size, ALONE) if family is None else np.asarray(family)
    if past.ndim != 2 or not y.shape == groups.shape == families.shape == past.shape[:1]:
        raise ValueError(f"history: shape {past.shape} does not match {y.size} counts, groups and families")
    if past.shape[1] < FEWEST_PERIODS:
        raise ValueError(f"history: {past.shape[1]} periods; {FEWEST_PERIODS} are needed")
    alone = families == ALONE
    own, mean, size, whole, of_others = _expectations(y, past, groups, families)
    usual, swing = np.full_like(y, np.nan), np.full_like(y, np.nan)
    usual[alone], swing[alone] = root(past[alone]).mean(axis=1), root(past[alone]).std(axis=1, ddof=1)
    p = np.maximum(_two_sided(y, *own), of_others)
    p[alone] = np.maximum(p[alone], against_swing(y[alone], usual[alone], swing[alone], past.shape[1]))
    # Where the others fell and a row did not, it did not rise; nor the other way round.
    p = np.where((y - own[0]) * (y - mean) >= 0, p, 1.0)
    q = _adjusted(p, alone)
    departs = np.where(q <= alpha, np.sign(y - mean), 0).astype(np.int64)
    return Departure(y, mean, size, whole, usual, swing, past.shape[1], p, q, departs)


def with_and_without(
    whole: Departure, rest: Departure, known: NDArray[np.bool_], alpha: float = 0.05
) -> Departure:
    """Return of each `known` row what may be said where a part of it was not recorded in all of the past.

    `whole` is the test with that part and `rest` the one without it. A rise without it is a rise, whatever
    it added. A fall without it may be no more than what it took over: a row fell where it did with it as
    well, by the less sure of both tests, and p is 1 where they point apart.
    """
    falls = rest.count < rest.expected
    takes, apart = falls & (whole.p > rest.p), falls & (whole.count >= whole.expected)
    of_row = [field.name for field in fields(Departure) if field.name != "periods"]
    merged = {name: np.where(takes, getattr(whole, name), getattr(rest, name)) for name in of_row}
    p, q = np.where(apart, 1.0, merged["p"]), np.full(known.size, np.nan)
    q[known] = _adjusted(p[known], np.isfinite(merged["usual"][known]))
    away = np.sign(merged["count"] - merged["expected"])
    departs = np.where(q <= alpha, away, 0).astype(np.int64)
    return replace(rest, **merged | {"p": p, "q": q, "departs": departs})


def _expectations(
    y: Floats, past: Floats, groups: Integers, families: Integers
) -> tuple[tuple[Floats, Floats], Floats, Floats, Floats, Floats]:
    """Return of each row mean and size by its own past, and with the swing of the others, whether it is all.

    Beside them the two-sided p against the latter.
    """
    alone = families == ALONE
    own, known, p = np.zeros_like(y), np.ones_like(y), np.zeros_like(y)
    own[alone], known[alone] = _of_itself(past[alone])
    mean, size, whole = own.copy(), known.copy(), np.zeros_like(y)
    for each in np.unique(groups[~alone]):
        rows = (groups == each) & ~alone
        own[rows], known[rows], alpha = _expected(past[rows], families[rows])
        # What never happened before has no swing yet: it is held against that past alone.
        if not past[rows].any():
            mean[rows], size[rows] = own[rows], known[rows]
            continue
        shown, tested = swings(y[rows], own[rows], past[rows], families[rows], alpha)
        mean[rows], size[rows] = shown.grown(own[rows], known[rows])
        p[rows] = _against(y[rows], own[rows], known[rows], shown, tested)
        only = rows & _is_only(families, rows)
        mean[only], whole[only], p[only] = y[only], 1.0, 1.0
    return (own, known), mean, size, whole, p


def _against(y: Floats, own: Floats, size: Floats, shown: Swing, tested: Swing) -> Floats:
    """Return the two-sided p of counts by the swing of the others, the greater one of both."""
    return np.maximum(*(_two_sided(y, *each.grown(own, size)) for each in (shown, tested)))


def _is_only(families: Integers, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which of the marked rows are all of their family."""
    names, members = np.unique(families[rows], return_counts=True)
    only: NDArray[np.bool_] = np.isin(families, names[members == 1])
    return only


def _adjusted(p: Floats, alone: NDArray[np.bool_]) -> Floats:
    """Adjust for the number of rows (Benjamini-Hochberg), the few that are ALONE and the many others apart.

    Each side gets half of alpha (Bonferroni), lest the row that tells of the city's swing drown in thousands.
    """
    q, sides = p.copy(), [side for side in (alone, ~alone) if side.any()]
    for side in sides:
        q[side] = np.minimum(1.0, len(sides) * stats.false_discovery_control(p[side], method="bh"))
    return q


def root(count: Floats) -> Floats:
    """Return 2 sqrt(count + 3/8): a Poisson count has variance 1 there (Anscombe 1948, Biometrika 35:246)."""
    return np.asarray(2 * np.sqrt(count + 3 / 8), dtype=np.float64)


def _of_itself(past: Floats) -> tuple[Floats, Floats]:
    """Return mean and negative-binomial size of a row's next count, if nothing but chance moves it."""
    shape = past.sum(axis=1) + 0.5  # Jeffreys' prior of a rate
    return shape / past.shape[1], shape


def against_swing(
    y: Floats, usual: Floats, swing: ArrayLike, periods: int, freedom: int | None = None
) -> Floats:
    """Return the two-sided p of a count against the variance that its own past shows, as one more of it.

    `usual` is the mean root of so many periods, `swing` the standard deviation of a period's root, known with
    so many degrees of `freedom`, `periods` - 1 where it comes from the same ones.
    """
    away = np.abs(root(y) - usual)
    spread = swing * np.sqrt(1 + 1 / periods)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(away > 0, away / spread, 0.0)
    return np.asarray(2 * stats.t.sf(t, periods - 1 if freedom is None else freedom), dtype=np.float64)


def _expected(past: Floats, family: Integers) -> tuple[Floats, Floats, float]:
    """Return mean and negative-binomial size of the next period for rows of one group, and their scatter."""
    if past.sum() == 0:
        # Nothing ever happened here: half an incident in all this time, the usual prior of a rate.
        rows, periods = past.shape
        return np.full(rows, 0.5 / periods), np.full(rows, 0.5), 0.0
    alpha = dispersion(past, family=family).alpha
    expected = from_history(past.sum(axis=1), past.shape[1], 1, alpha=alpha)
    return expected.mean, expected.size, alpha


def _two_sided(y: Floats, mean: Floats, size: Floats) -> Floats:
    """Return twice the smaller tail of a count."""
    tails = np.minimum(upper_tail(y, mean, size), lower_tail(y, mean, size))
    return np.asarray(np.minimum(1.0, 2 * tails), dtype=np.float64)


@dataclass(frozen=True)
class Share:
    """A share of incidents with its exact 95 % interval (Clopper & Pearson 1934), each of shape (n,)."""

    value: Floats
    """NaN where there were none."""
    low: Floats
    high: Floats


def share(part: ArrayLike, whole: ArrayLike) -> Share:
    """Return part / whole, such as closed of all incidents, NaN of nothing.

    Raises ValueError if a part exceeds its whole.
    """
    k, n = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    if (k > n).any() or (k < 0).any():
        raise ValueError("part: must lie between 0 and the whole")
    value = np.divide(k, n, out=np.full(k.shape, np.nan), where=n > 0)
    low = np.where(k > 0, stats.beta.ppf(0.025, np.maximum(k, 1), n - k + 1), 0.0)
    high = np.where(k < n, stats.beta.ppf(0.975, k + 1, np.maximum(n - k, 1)), 1.0)
    return Share(value, np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan))


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
