"""Rates of small cells, shrunk towards the area's rate by how little each cell knows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shrunk:
    """Gamma posterior of each cell's rate (incidents per unit of exposure)."""

    mean: Floats
    shape: Floats
    """Posterior shape: prior shape + incidents."""
    rate: Floats
    """Posterior rate: prior rate + exposure."""
    prior_mean: float
    prior_shape: float
    """inf when the cells do not differ beyond chance; every cell then has the area's rate."""

    def interval(self, coverage: float = 0.95) -> tuple[Floats, Floats]:
        """Return the lower and upper end of the equal-tailed credible interval of the rate."""
        tail = (1 - coverage) / 2
        if not np.isfinite(self.shape).all():
            return self.mean, self.mean
        ends = (stats.gamma.ppf(t, self.shape, scale=1 / self.rate) for t in (tail, 1 - tail))
        low, high = (np.asarray(end) for end in ends)
        return low, high


# A prior shape beyond this is a spread of rates under 0.1 %: indistinguishable from no spread.
MAX_PRIOR_SHAPE = 1e6


def shrink(counts: ArrayLike, exposure: ArrayLike) -> Shrunk:
    """Shrink counts / exposure towards the overall rate (empirical Bayes, Gamma-Poisson).

    `counts` and `exposure` have shape (n,). The prior Gamma(a, a / m) is fitted by maximum
    likelihood of the negative-binomial margins (Clayton & Kaldor 1987, Biometrics 43:671); the
    mean m is the overall rate, so totals stay where they were. A cell without exposure gets the
    prior alone. Raises ValueError for negative values or no exposure at all.
    """
    y, t = np.asarray(counts, dtype=np.float64), np.asarray(exposure, dtype=np.float64)
    if y.shape != t.shape or y.ndim != 1:
        raise ValueError(f"exposure: shape {t.shape} does not match counts of {y.shape}")
    if (y < 0).any() or (t < 0).any() or not t.sum() > 0:
        raise ValueError("counts and exposure must not be negative, and some exposure is needed")
    overall = float(y.sum() / t.sum())
    if overall == 0:
        return Shrunk(np.zeros_like(y), np.full_like(y, np.inf), np.full_like(y, np.inf), 0.0, np.inf)
    a = _prior_shape(y, t * overall)
    if a >= MAX_PRIOR_SHAPE:
        far = np.full_like(y, np.inf)
        return Shrunk(np.full_like(y, overall), far, far, overall, np.inf)
    shape, rate = a + y, a / overall + t
    return Shrunk(shape / rate, shape, rate, overall, a)


def _prior_shape(y: Floats, expected: Floats) -> float:
    """Return the shape a that makes NB(size a, mean expected) most likely, at most MAX_PRIOR_SHAPE.

    Counts and expectations repeat a lot over a city (most cells are empty), so the likelihood is
    summed over distinct pairs only; expectations are told apart to four digits, which is finer than
    the shape can be known.
    """
    digits = 10.0 ** (3 - np.floor(np.log10(np.maximum(expected, 1e-300))))
    pairs, times = np.unique(y + 1j * (np.round(expected * digits) / digits), return_counts=True)
    n, e = pairs.real, pairs.imag

    def loss(log_a: float) -> float:
        a = np.exp(log_a)
        each = special.gammaln(a + n) - special.gammaln(a)
        each += n * np.log(np.maximum(e, 1e-300) / (a + e)) - a * np.log1p(e / a)
        return -float(times @ each)

    limit = float(np.log(MAX_PRIOR_SHAPE))
    best = optimize.minimize_scalar(loss, bounds=(-12.0, limit), method="bounded")
    # Without extra scatter the likelihood only flattens towards the limit and the search stops short.
    flat = loss(limit) <= float(best.fun) + 1e-3
    return MAX_PRIOR_SHAPE if flat else float(np.exp(best.x))
