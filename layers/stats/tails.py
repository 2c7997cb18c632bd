"""Tails of counts whose mean is uncertain: Poisson, negative binomial, or Delaporte's for skewed ones."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special, stats

Floats = NDArray[np.float64]
_NOT_FIXED = 1e-9
"""A smaller fixed share of a mean is rounding: the count is then negative binomial."""
_REACH = 12.0
"""Standard deviations of a Poisson count beyond which it adds less than 1e-30 to a tail."""


def disc_size(
    expected: Floats, size: ArrayLike, disc: sparse.csr_array, skew: ArrayLike = 1.0
) -> tuple[Floats, Floats]:
    """Return size and fixed share of each disc's sum, from sizes and skews of its independent cells.

    The sum's mean is uncertain with the cells' summed variances (`expected**2 / size`) and third moments
    (`skew` times the Gamma's, `2 * expected**3 / size**2`). A certain part and a Gamma of `size` match all
    three (Delaporte 1959, Bulletin de l'Institut des Actuaires Francais 60:3). Where expected / size is the
    same in all cells of a disc, and skew 1, nothing is certain, and the sum is exactly negative binomial. A
    size of inf is a Poisson.
    """
    sizes = np.asarray(size, dtype=np.float64)
    mean, variance = disc @ expected, disc @ (expected**2 / sizes)
    third = disc @ (2 * np.asarray(skew) * expected**3 / sizes**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        gamma = 4 * variance**3 / third**2
        fixed = np.maximum(1 - gamma * third / (2 * variance * mean), 0)
        plain = mean**2 / variance
    some = np.isfinite(gamma) & (fixed > _NOT_FIXED)
    whole = np.where(variance > 0, plain, np.inf)
    return np.where(some, gamma, whole), np.where(some, fixed, 0.0)


def upper_tail(n: Floats, mean: Floats, size: Floats | None = None, fixed: ArrayLike = 0.0) -> Floats:
    """Return P(N >= n), element by element, for a Poisson or negative-binomial N of that mean.

    `size` inf or None is Poisson. A share `fixed` of the mean is certain, and the rest Gamma of `size`
    (Delaporte). A mean of zero with n of zero gives 1.
    """
    tail = _upper(n, mean, size)
    share = np.broadcast_to(np.asarray(fixed, dtype=np.float64), tail.shape)
    some = (share > 0) & (n > 0)
    if size is not None and some.any():
        tail[some] = _delaporte(n[some], mean[some], size[some], share[some])
    return tail


def lower_tail(n: Floats, mean: Floats, size: Floats | None = None) -> Floats:
    """Return P(N <= n), element by element; otherwise as `upper_tail`, nothing of the mean fixed."""
    poisson = np.asarray(stats.poisson.cdf(n, mean), dtype=np.float64)
    if size is None:
        return poisson
    bounded = np.where(np.isfinite(size), size, 1.0)
    tail = special.betaincc(n + 1, bounded, mean / (bounded + mean))
    return np.where(np.isfinite(size), tail, poisson)


def _upper(n: Floats, mean: Floats, size: Floats | None) -> Floats:
    poisson = np.asarray(stats.poisson.sf(n - 1, mean), dtype=np.float64)
    if size is None:
        return poisson
    bounded = np.where(np.isfinite(size), size, 1.0)
    # The incomplete beta function itself: nbinom.sf takes 1 - x, which is lost to rounding when
    # the size is large.
    tail = special.betainc(np.maximum(n, 1), bounded, mean / (bounded + mean))
    return np.where(np.isfinite(size), np.where(n > 0, tail, 1.0), poisson)


def _delaporte(n: Floats, mean: Floats, size: Floats, fixed: Floats) -> Floats:
    """Return P(N >= n > 0), summed over how many come of the fixed part; all rows' terms in one array."""
    sure = fixed * mean
    first = np.floor(np.maximum(sure - _REACH * np.sqrt(sure) - 1, 0))
    first = np.minimum(first, n)
    last = np.minimum(np.ceil(sure + _REACH * (np.sqrt(sure) + 3)), n - 1)
    terms = np.maximum(last - first + 1, 0).astype(np.int64)
    row = np.repeat(np.arange(len(n)), terms)
    number = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(terms) - terms, terms)
    rest = _upper((n[row] - number), (mean - sure)[row], size[row])
    sums = np.bincount(row, stats.poisson.pmf(number, sure[row]) * rest, len(n))
    return np.asarray(np.minimum(sums + stats.poisson.sf(last, sure), 1.0), dtype=np.float64)
