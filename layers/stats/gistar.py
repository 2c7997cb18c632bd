"""Getis-Ord Gi*, for describing a map only: its p-values call noise hot, so none are given."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]


def gi_star(values: ArrayLike, weights: sparse.csr_array) -> Floats:
    """Return the Gi* z-score of every cell (Ord & Getis 1995, Geographical Analysis 27:286, eq. 14).

    `values` (n,) are counts or rates; `weights` (n, n) counts the cell itself as its neighbour
    (the 0/1 matrix of discs, or rows divided by their sums). Positive where high values gather.
    NaN everywhere when all values are equal, and for a cell neighbouring all others equally.
    Raises ValueError for shapes that do not match or a diagonal that is not all positive.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.size
    if x.ndim != 1 or weights.shape != (n, n):
        raise ValueError(f"values: shape {x.shape} does not match weights of {weights.shape}")
    if not (weights.diagonal() > 0).all():
        raise ValueError("weights: every cell must count itself (a positive diagonal)")
    total = np.asarray(weights.sum(axis=1)).ravel()
    squares = np.asarray(weights.power(2).sum(axis=1)).ravel()
    spread = x.std() * np.sqrt((n * squares - total**2) / (n - 1))
    above: Floats = weights @ x - x.mean() * total
    z: Floats = np.divide(above, spread, out=np.full(n, np.nan), where=spread > 0)
    return z
