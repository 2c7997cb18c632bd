"""Whether a series rises or falls: Mann-Kendall, calibrated for ties and for series that remember."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trend:
    """Mann-Kendall of every series, each field of shape (n,)."""

    s: Floats
    """Pairs of steps that rise minus pairs that fall."""
    tau: Floats
    """s over the number of pairs."""
    z: Floats
    p: Floats
    """Two-sided."""

    def direction(self, alpha: float = 0.05) -> NDArray[np.int64]:
        """Return 1 where a series rises, -1 where it falls, 0 where neither, controlled for their number.

        By Benjamini & Hochberg: series of neighbours are alike, which it bears (Benjamini & Yekutieli 2001).
        """
        q = stats.false_discovery_control(self.p, method="bh") if self.p.size else self.p
        return np.where(q <= alpha, np.sign(self.s), 0).astype(np.int64)


def mann_kendall(series: ArrayLike, correlation: ArrayLike | None = None) -> Trend:
    """Test series of shape (n, steps) for a monotone trend (Mann 1945; Kendall 1975).

    The variance is corrected for ties. Without `correlation` the steps of a series are taken as
    independent, which neighbours in space do not disturb: series that share incidents of the same
    step are like each other, but each keeps its own level. Steps that share incidents with the
    step before, or remember it, are not independent; hand over `correlation` (steps,), the
    correlation at lags 0, 1, 2 ..., from `overlap` (known by construction) or `memory` (estimated).
    Raises ValueError for fewer than 4 steps or values that are not finite.
    """
    x = np.asarray(series, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] < 4 or not np.isfinite(x).all():
        raise ValueError(f"series: shape {x.shape} is not (n, at least 4 steps) of finite values")
    steps = x.shape[1]
    s, equals = np.zeros(len(x)), np.zeros_like(x)
    for lag in range(1, steps):
        later = np.sign(x[:, lag:] - x[:, :-lag])
        s += later.sum(axis=1)
        equals[:, lag:] += later == 0
        equals[:, :-lag] += later == 0
    # A group of t equal values takes t (t - 1) (2 t + 5) off; here each of its members takes its part.
    ties = (equals * (2 * equals + 7)).sum(axis=1)
    variance = (steps * (steps - 1) * (2 * steps + 5) - ties) / 18
    if correlation is not None:
        variance = variance * inflation(steps, correlation)
    z = np.divide(s - np.sign(s), np.sqrt(variance), out=np.zeros_like(s), where=variance > 0)
    return Trend(s, s / (steps * (steps - 1) / 2), z, 2 * stats.norm.sf(np.abs(z)))


def sen_slope(series: ArrayLike) -> Floats:
    """Return the median slope per step between all pairs of steps, shape (n,) (Sen 1968)."""
    x = np.asarray(series, dtype=np.float64)
    first, second = np.triu_indices(x.shape[1], 1)
    return np.asarray(np.median((x[:, second] - x[:, first]) / (second - first), axis=1))


def overlap(steps: int, window: int) -> Floats:
    """Return the correlation at each lag when every step counts the last `window` periods."""
    return np.asarray(np.clip(1 - np.arange(steps) / window, 0, None))


def memory(series: ArrayLike) -> Floats:
    """Return the correlation at each lag that series (n, steps) have in common.

    One series of a year says almost nothing about its memory, so it is estimated from all of them
    together, up to a third of the steps and to the first lag without any. Taking each series' own
    mean off lowers every autocovariance by about the variance of that mean, which follows from the
    autocovariances themselves, so it is solved for and put back. Series that differ much in level
    should be standardised first, or the largest decide. All constant: no memory.
    """
    x = np.asarray(series, dtype=np.float64)
    steps, lags = x.shape[1], np.arange(x.shape[1] // 3 + 1)
    centred = x - x.mean(axis=1, keepdims=True)
    raw = np.array([(centred[:, k:] * centred[:, : steps - k]).sum() / (steps - k) for k in lags])
    correlation = np.zeros(steps)
    correlation[0] = 1.0
    if raw[0] > 0:
        weight = np.where(lags > 0, 2 * (1 - lags / steps), 1) / steps
        own = raw + (weight @ raw) / (1 - weight.sum())
        lasting = np.cumprod(own > 0).astype(bool)
        correlation[lags[lasting]] = own[lasting] / own[0]
    return correlation


def inflation(steps: int, correlation: ArrayLike) -> float:
    """Return how many times the variance of S grows when steps are correlated so.

    Sum over all pairs of pairs of (2 / pi) asin(r), the covariance of the signs of two differences
    of a normal series (Hamed & Rao 1998, J. Hydrology 204:182; Hamed 2008, 349:350).
    """
    rho = np.asarray(correlation, dtype=np.float64)
    if rho.shape != (steps,) or rho[0] != 1:
        raise ValueError(f"correlation: shape {rho.shape} must be ({steps},) and begin with 1")
    return _variance(tuple(rho)) / _variance((1.0, *[0.0] * (steps - 1)))


@lru_cache(maxsize=32)
def _variance(correlation: tuple[float, ...]) -> float:
    rho, steps = np.array(correlation), len(correlation)
    first, second = np.triu_indices(steps, 1)
    scale = np.sqrt(2 - 2 * rho[second - first])
    total = 0.0
    for i, j, s in zip(first, second, scale, strict=True):
        shared = rho[abs(second - j)] - rho[abs(first - j)] - rho[abs(second - i)] + rho[abs(first - i)]
        total += float(np.arcsin(np.clip(shared / (s * scale), -1, 1)).sum())
    return total * 2 / np.pi
