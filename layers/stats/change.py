"""Whether this period differs from another: two counts, an exact test, percent only when earned."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from layers.stats.situation import against_swing, root

Floats = NDArray[np.float64]

FEW = 10
"""Below this count no percentage is given: from 3 to 6 is not a rise of 100 %."""
MANY = 4000
"""Above this total the E-test's sums are replaced by its normal limit; p then differs by < 0.001."""


@dataclass(frozen=True)
class Change:
    """One count against another, each field of shape (n,)."""

    now: Floats
    before: Floats
    difference: Floats
    """now - before, with `before` scaled to the length of now."""
    percent: Floats
    """100 * difference / before; NaN where either count is below FEW."""
    p: Floats
    """Two-sided; NaN where nobody can say how much such a count swings."""
    q: Floats
    """p adjusted for the number of comparisons (Benjamini-Hochberg)."""

    def among(self, rows: NDArray[np.bool_]) -> "Change":
        """Return the same with the tests of the marked ones alone; the others are not tested."""
        p, q = (np.where(rows, values, np.nan) for values in (self.p, self.q))
        q[rows] = _adjusted(p[rows])
        return replace(self, percent=np.where(rows, self.percent, np.nan), p=p, q=q)


def change(now: ArrayLike, before: ArrayLike, now_days: float = 1.0, before_days: float = 1.0) -> Change:
    """Compare counts of two periods, shape (n,) each, whose lengths may differ, by the E-test alone.

    Raises ValueError for counts that are not whole or negative, and for periods without length.
    """
    a, b = _counts("now", now), _counts("before", before)
    if a.shape != b.shape or now_days <= 0 or before_days <= 0:
        raise ValueError(f"now {a.shape} and before {b.shape} must match, and both periods need days")
    p = np.array([e_test(int(x), int(y), now_days, before_days) for x, y in zip(a, b, strict=True)])
    return _change(a, b, p, now_days, before_days)


def change_of_parts(
    now: ArrayLike, before: ArrayLike, now_days: float = 1.0, before_days: float = 1.0, alpha: float = 0.0
) -> Change:
    """Compare the parts of a whole, shape (n,): one changed where it did, and not as the others did.

    p is the larger of that of the E-test and that of the part's share beside all other parts, so that a swing
    of the whole is no change of each part, and the rise of one no fall of those beside it. `alpha` is how
    much counts of a part scatter from period to period beyond chance (`expectation.dispersion`).
    """
    plain = change(now, before, now_days, before_days)
    a, b = plain.now, plain.before
    # A part that rose while its share fell, or the other way, did not change beside the others.
    apart = _beside_others(a, b, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        goes_along = plain.difference * (a * (b.sum() - b) - b * (a.sum() - a)) < 0
    return _change(a, b, np.where(goes_along, 1.0, np.maximum(plain.p, apart)), now_days, before_days)


def change_of_whole(
    now: int, before: int, past: ArrayLike, now_days: float = 1.0, before_days: float = 1.0
) -> Change:
    """Compare two counts of a whole, `past` (periods,) being its counts of equal periods before.

    p is the larger of that of the E-test and that of a t test, on roots of counts, of their difference
    against the variance of the past; NaN where there are no past periods to know that from.
    """
    plain = change([now], [before], now_days, before_days)
    roots = root(np.asarray(past, dtype=np.float64))
    if roots.size < 2:
        return _change(plain.now, plain.before, np.array([np.nan]), now_days, before_days)
    # Against one period alone, whose own swing is as wide as today's: as a past of one.
    swung = against_swing(
        plain.now * (before_days / now_days), root(plain.before), roots.std(ddof=1), 1, roots.size - 1
    )
    return _change(plain.now, plain.before, np.maximum(plain.p, swung), now_days, before_days)


def with_and_without(whole: Change, rest: Change) -> Change:
    """Return what may be said of counts that hold something which was not recorded in all of both periods.

    `whole` compares with it and `rest` without it. A rise without it is a rise, whatever it added. A fall
    without it may be no more than what it took over, and has to be one with it as well: p is the larger,
    and 1 where both point apart. Counts are the whole's, without a percentage where it is in them.
    """
    apart = whole.difference * rest.difference < 0
    p = np.where(rest.difference > 0, rest.p, np.maximum(rest.p, whole.p))
    q = _adjusted(p := np.where(apart & ~np.isnan(p), 1.0, p))
    is_held = (whole.now != rest.now) | (whole.before != rest.before)
    return replace(whole, percent=np.where(is_held, np.nan, whole.percent), p=p, q=q)


def _beside_others(a: Floats, b: Floats, alpha: float) -> Floats:
    """Return the two-sided p of a part's counts, given their sum and what all other parts hold.

    Beta-binomial about the others' share of now, with the variance of that share's logit: both counts of the
    others are random, and each of the part's two counts scatters by alpha. 1 where others hold nothing.
    """
    others, of_then = a.sum() - a, b.sum() - b
    known = (others > 0) & (of_then > 0) & (a + b > 0)
    p = np.ones_like(a)
    x, n = a[known], (a + b)[known]
    share = others[known] / (others + of_then)[known]
    weight = 1 / ((2 * alpha + 1 / others[known] + 1 / of_then[known]) * share * (1 - share))
    drawn = stats.betabinom(n, share * weight, (1 - share) * weight)
    p[known] = np.minimum(1.0, 2 * np.minimum(drawn.cdf(x), drawn.sf(x - 1)))
    return p


def _change(a: Floats, b: Floats, p: Floats, now_days: float, before_days: float) -> Change:
    scaled = b * (now_days / before_days)
    enough = (a >= FEW) & (b >= FEW)
    percent = np.divide(100 * (a - scaled), scaled, out=np.full(a.shape, np.nan), where=enough)
    return Change(a, b, a - scaled, percent, p, _adjusted(p))


def _adjusted(p: Floats) -> Floats:
    return p if np.isnan(p).any() or not p.size else stats.false_discovery_control(p, method="bh")


@lru_cache(maxsize=65536)
def e_test(now: int, before: int, now_days: float = 1.0, before_days: float = 1.0) -> float:
    """Return the two-sided p of the E-test that two Poisson rates are equal.

    Krishnamoorthy & Thomson 2004, J. Statistical Planning and Inference 119:23.
    """
    if now + before > MANY:
        z = (now / now_days - before / before_days) / np.sqrt(now / now_days**2 + before / before_days**2)
        return float(2 * stats.norm.sf(abs(z)))
    # Its sums of probabilities can pass 1 by a rounding error.
    return min(1.0, float(stats.poisson_means_test(now, now_days, before, before_days).pvalue))


def _counts(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or (array < 0).any() or (array != np.floor(array)).any():
        raise ValueError(f"{name}: counts must be whole numbers, not negative, one per row")
    return array
