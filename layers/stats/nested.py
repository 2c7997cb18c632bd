"""Shares of cells in a whole, each shrunk towards the rate of the part that holds it, level by level."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from layers.stats.shrink import prior_shape

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_MOST: Final = 1e9
"""No cell is known better than from so many incidents."""


def nested(seen: Floats, squares: Floats, within: Integers | None) -> tuple[Floats, Floats]:
    """Return each cell's share of the whole, adding to 1, and the size of its Gamma, shape (cells,) each.

    `seen` and `squares` are sums of the weights of each cell's incidents and of their squares, `within` the
    parts that hold each cell (cells, levels), the widest first, each within the one before. A part is
    expected to have the rate of what holds it by its number of cells; how far it may differ is fitted over
    all parts of its size (`prior_shape`), and its incidents say as much as so many plain ones, (sum w)**2 /
    sum w**2 (Kish), by the weights in what holds it. Parts are scaled to add up to what holds them, so that
    nothing is lent from one to another. The size is from a posterior's own variance and from that of what it
    is shrunk towards.
    """
    cells = len(seen)
    levels = [*(() if within is None else within.T), np.arange(cells)]
    holder = np.zeros(cells, dtype=np.int64)
    mean, many = seen.sum(keepdims=True), np.array([float(cells)])
    plain = mean / squares.sum()
    unsure = 1 / (mean * plain)
    for part in levels:
        of = np.zeros(int(part.max()) + 1, dtype=np.int64)
        of[part] = holder
        held = np.bincount(part).astype(np.float64)
        expected = mean[of] * held / many[of]
        n, e = np.bincount(part, seen) * plain[of], expected * plain[of]
        shape = prior_shape(n, e)
        posterior = expected * (shape + n) / (shape + e)
        unsure = 1 / (shape + n) + (shape / (shape + e)) ** 2 * unsure[of]
        mean = posterior * (mean / np.bincount(of, posterior))[of]
        total, square = np.bincount(part, seen), np.bincount(part, squares)
        plain = np.divide(total, square, out=plain[of], where=square > 0)
        holder, many = part, held
    return mean / mean.sum(), np.minimum(1 / unsure, _MOST)


def by_part(values: Floats, part: Integers) -> Floats:
    """Return for each cell the sum over the part it lies in, shape (cells,)."""
    return np.asarray(np.bincount(part, values)[part])
