"""Quasi-Poisson regression with a logarithmic link, of many series on one design at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
_STEPS = 25
_ENOUGH = 1e-8
"""Steps, and the relative change of the deviance that ends them: those of R's glm, so that series without a
maximum (a season in which nothing ever happened) end where they do there."""


@dataclass(frozen=True)
class Fit:
    """Fits of all series."""

    coefficients: Floats
    """(series, parameters)"""
    unscaled: Floats
    """Their covariance over phi, (series, parameters, parameters)."""
    mean: Floats
    """(series, n)"""
    leverage: Floats
    """(series, n)"""
    misfit: Floats
    """Terms of Pearson's statistic, (series, n)."""
    freedom: int
    converged: NDArray[np.bool_]

    @property
    def phi(self) -> Floats:
        """Return variance over mean: Pearson's statistic over the degrees of freedom, (series,)."""
        return np.asarray(self.misfit.sum(axis=1) / self.freedom, dtype=np.float64)


def fit(x: Floats, y: Floats, weight: Floats) -> Fit:
    """Fit `y` (series, n) with prior `weight` (series, n) on the design `x` (n, parameters).

    Iteratively reweighted least squares, every series until its deviance stands still. It is written out
    here because statsmodels fits one series at a time: a city holds thousands.
    """
    mean, converged = y + 0.1, np.zeros(len(y), dtype=bool)
    eta, deviance = np.log(mean), _deviance(y, mean, weight)
    coefficients, root = np.zeros((len(y), x.shape[1])), np.sqrt(weight * mean)
    for _ in range(_STEPS):
        rows = np.flatnonzero(~converged)
        if not rows.size:
            break
        root[rows] = np.sqrt(weight[rows] * mean[rows])
        working = eta[rows] + (y[rows] - mean[rows]) / mean[rows]
        q, r = np.linalg.qr(x * root[rows][:, :, None])
        coefficients[rows] = _solved(r, np.einsum("snp,sn->sp", q, root[rows] * working))
        eta[rows] = np.clip(coefficients[rows] @ x.T, -700, 700)
        mean[rows] = np.maximum(np.exp(eta[rows]), np.finfo(float).eps)
        new = _deviance(y[rows], mean[rows], weight[rows])
        converged[rows] = np.abs(new - deviance[rows]) / (np.abs(new) + 0.1) < _ENOUGH
        deviance[rows] = new
    return _fit(x, y, mean, root, coefficients, converged)


def _fit(
    x: Floats, y: Floats, mean: Floats, root: Floats, coefficients: Floats, converged: NDArray[np.bool_]
) -> Fit:
    q, r = np.linalg.qr(x * root[:, :, None])
    inverse = _solved(r, np.broadcast_to(np.eye(x.shape[1]), r.shape))
    # By the weights of the last step, as R has them: nearer than the steps' end is.
    misfit, unscaled = (root * (y - mean) / mean) ** 2, inverse @ inverse.swapaxes(1, 2)
    freedom = x.shape[0] - x.shape[1]
    return Fit(coefficients, unscaled, mean, (q**2).sum(axis=2), misfit, freedom, converged)


def _solved(r: Floats, b: Floats) -> Floats:
    """Solve triangular systems; what has no solution (an empty column) becomes NaN."""
    vector = b.ndim == r.ndim - 1
    try:
        solved = np.linalg.solve(r, b[..., None] if vector else b)
    except np.linalg.LinAlgError:
        solved = np.full((*r.shape[:-1], 1 if vector else r.shape[-1]), np.nan)
    return np.asarray(solved[..., 0] if vector else solved, dtype=np.float64)


def _deviance(y: Floats, mean: Floats, weight: Floats) -> Floats:
    each = special.xlogy(y, y / mean) - (y - mean)
    return np.asarray(2 * (weight * each).sum(axis=1), dtype=np.float64)
