"""Whether this period differs from another: two counts, an exact test, and percent only when earned."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

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
    """Two-sided E-test."""
    q: Floats
    """p adjusted for the number of comparisons (Benjamini-Hochberg)."""


def change(now: ArrayLike, before: ArrayLike, now_days: float = 1.0, before_days: float = 1.0) -> Change:
    """Compare counts of two periods, shape (n,) each, whose lengths may differ.

    Raises ValueError for counts that are not whole or negative, and for periods without length.
    """
    a, b = _counts("now", now), _counts("before", before)
    if a.shape != b.shape or now_days <= 0 or before_days <= 0:
        raise ValueError(f"now {a.shape} and before {b.shape} must match, and both periods need days")
    p = np.array([e_test(int(x), int(y), now_days, before_days) for x, y in zip(a, b, strict=True)])
    q = stats.false_discovery_control(p, method="bh") if p.size else p
    scaled = b * (now_days / before_days)
    enough = (a >= FEW) & (b >= FEW)
    percent = np.divide(100 * (a - scaled), scaled, out=np.full(a.shape, np.nan), where=enough)
    return Change(a, b, a - scaled, percent, p, q)


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
