"""Rates of small cells, shrunk towards the area's rate by how little each cell knows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]
Loss = Callable[[float], float]


@dataclass(frozen=True)
class Shrunk:
    """Gamma posterior of each cell's rate (incidents per unit of exposure)."""

    mean: Floats
    shape: Floats
    """Posterior shape: prior shape + incidents."""
    rate: Floats
    """Posterior rate: prior rate + exposure."""
    centre: Floats
    """Posterior mean once the prior's own shape and mean are uncertain."""
    variance: Floats
    """Posterior variance likewise; never zero."""
    prior_mean: float
    prior_shape: float
    """inf when the cells do not differ beyond chance; every cell then has the area's rate."""

    def interval(self, coverage: float = 0.95) -> tuple[Floats, Floats]:
        """Return the lower and upper end of the equal-tailed credible interval of the rate.

        The posterior is averaged over what the prior may be (`_averaged`), and its quantiles are those of the
        Gamma with that average's mean and variance.
        """
        tail, shape = (1 - coverage) / 2, self.centre**2 / self.variance
        ends = (stats.gamma.ppf(t, shape, scale=self.variance / self.centre) for t in (tail, 1 - tail))
        low, high = (np.asarray(end) for end in ends)
        return low, high

    def only(self, places: NDArray[np.int64]) -> "Shrunk":
        """Return the same answer with some of its cells."""
        names = ("mean", "shape", "rate", "centre", "variance")
        return replace(self, **{name: getattr(self, name)[places] for name in names})


# A prior shape beyond this is a spread of rates under 0.1 %: indistinguishable from no spread.
MAX_PRIOR_SHAPE = 1e6
_SPREADS = 40
"""Values of the prior's coefficient of variation over which the posterior is averaged."""
_WIDEST = 1e3
"""No rates of a city scatter more than so many times their mean."""
_UNLIKELY = 8.0
"""A spread whose log-likelihood lies so far below the best one's adds nothing that would be seen."""


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
    far = np.full_like(y, np.inf)
    if overall == 0:
        # One rate for all, of which only its exposure is known (Jeffreys' prior).
        whole = np.full_like(y, t.sum())
        return Shrunk(np.zeros_like(y), far, far, 0.5 / whole, 0.5 / whole**2, 0.0, np.inf)
    loss = _loss(y, t * overall)
    a = _prior_shape(loss)
    centre, variance = _averaged(y, t, overall, loss, a)
    if a >= MAX_PRIOR_SHAPE:
        return Shrunk(np.full_like(y, overall), far, far, centre, variance, overall, np.inf)
    shape, rate = a + y, a / overall + t
    return Shrunk(shape / rate, shape, rate, centre, variance, overall, a)


def prior_shape(counts: Floats, expected: Floats) -> float:
    """Return the most likely shape of a Gamma prior with mean 1 of counts / expected, shape (n,) both.

    At most MAX_PRIOR_SHAPE, where they do not differ beyond chance.
    """
    return _prior_shape(_loss(counts, expected))


def _averaged(y: Floats, t: Floats, overall: float, loss: Loss, best: float) -> tuple[Floats, Floats]:
    """Return mean and variance of each cell's posterior, averaged over the prior's shape and mean.

    The coefficient of variation of the prior has a density that grows in proportion to it (Chung et al. 2013,
    Psychometrika 78:685: groups that do not differ at all are not believed in) times its likelihood; the
    logarithm of the mean is normal with the variance that the negative binomial's information gives it.
    Moments add by the law of total variance (Kass & Steffey 1989, JASA 84:717).
    """
    spreads, weights = _spreads(loss, best)
    first, second = np.zeros_like(y), np.zeros_like(y)
    for spread, weight in zip(spreads, weights, strict=True):
        a = 1 / spread**2
        shape, rate = a + y, a / overall + t
        mean = shape / rate
        unsure_mean = 1 / np.sum(t * overall / (1 + t * overall / a))
        by_mean = mean * (a / overall) / rate
        first += weight * mean
        second += weight * (mean**2 + shape / rate**2 + by_mean**2 * unsure_mean)
    return first, second - first**2


def _spreads(loss: Loss, best: float) -> tuple[Floats, Floats]:
    """Return coefficients of variation that are not unlikely, and their weights, which add up to one."""
    least, top = MAX_PRIOR_SHAPE**-0.5, best**-0.5
    floor = loss(best)

    def unlikely(spread: float) -> bool:
        return loss(spread**-2) > floor + _UNLIKELY

    high = max(2 * top, 0.05)
    while not unlikely(high) and high < _WIDEST:
        high *= 2
    low = top
    while not unlikely(low) and low > least:
        low = max(low / 2, least)
    spreads = np.linspace(low, high, _SPREADS)
    weights = spreads * np.exp(floor - np.array([loss(each**-2) for each in spreads]))
    return spreads, weights / weights.sum()


def _loss(y: Floats, expected: Floats) -> Loss:
    """Return the negative log-likelihood of NB(size a, mean expected) as a function of a.

    Counts and expectations repeat a lot over a city (most cells are empty), so the likelihood is
    summed over distinct pairs only; expectations are told apart to four digits, which is finer than
    the shape can be known.
    """
    digits = 10.0 ** (3 - np.floor(np.log10(np.maximum(expected, 1e-300))))
    pairs, times = np.unique(y + 1j * (np.round(expected * digits) / digits), return_counts=True)
    n, e = pairs.real, pairs.imag

    def loss(a: float) -> float:
        each = special.gammaln(a + n) - special.gammaln(a)
        each += n * np.log(np.maximum(e, 1e-300) / (a + e)) - a * np.log1p(e / a)
        return -float(times @ each)

    return loss


def _prior_shape(loss: Loss) -> float:
    """Return the most likely shape, at most MAX_PRIOR_SHAPE."""
    limit = float(np.log(MAX_PRIOR_SHAPE))
    best = optimize.minimize_scalar(
        lambda log_a: loss(np.exp(log_a)), bounds=(-12.0, limit), method="bounded"
    )
    # Without extra scatter the likelihood only flattens towards the limit and the search stops short.
    flat = loss(MAX_PRIOR_SHAPE) <= float(best.fun) + 1e-3
    return MAX_PRIOR_SHAPE if flat else float(np.exp(best.x))
