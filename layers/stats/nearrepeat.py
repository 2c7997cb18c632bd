"""Near repeats: whether incidents follow each other in space and time more than by chance (Knox)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SAME_PLACE = 5e-324
"""The edge that ends the band of distance exactly zero: [0, SAME_PLACE) holds nothing but 0."""


@dataclass(frozen=True)
class Knox:
    """Pairs of incidents by band of distance (row) and band of time (column)."""

    observed: Integers
    """Pairs in each band, shape (space bands, time bands); each pair is counted once."""
    expected: Floats
    """Mean of the same under random exchange of the times (exact, not simulated)."""
    ratio: Floats
    """observed / expected; NaN where nothing is expected."""
    p: Floats
    """(1 + permutations with as many pairs) / (1 + permutations)."""
    p_adjusted: Floats
    """p that allows for all bands looked at: permutations with any band so far beyond its mean."""
    spread: Floats
    """Standard deviation over the permutations."""


def knox(
    xy: ArrayLike,
    t: ArrayLike,
    space_edges: Sequence[float],
    time_edges: Sequence[float],
    *,
    permutations: int = 99,
    seed: int = 0,
) -> Knox:
    """Count pairs of incidents that are near in space and time, and hold them against chance.

    `xy` (n, 2) in metres of a projected CRS, `t` (n,) in days (whole days for dates). Edges are
    rising, and every band is half open: edges (0, 100, 200) mean [0, 100) and [100, 200), so
    a pair 100 m apart belongs to the second. Start the distances with (0, SAME_PLACE, ...) to count
    repeats at the very same point on their own. The null keeps places and times and exchanges which
    goes with which (Knox 1964; Besag & Diggle 1977), and `seed` makes it repeatable.

    The Near Repeat Calculator names its bands otherwise: its "a to b" holds [a - 1, b).
    Raises ValueError for edges that do not rise or shapes that do not match.
    """
    places, times = np.asarray(xy, dtype=np.float64), np.asarray(t, dtype=np.float64)
    if places.shape != (times.size, 2) or times.ndim != 1:
        raise ValueError(f"xy: shape {places.shape} does not match {times.size} times")
    rows, columns = _edges("space_edges", space_edges), _edges("time_edges", time_edges)
    left, right, row = _near_pairs(places, rows)
    shape = (len(rows) - 1, len(columns) - 1)

    def table(when: Floats) -> Integers:
        column = _band(np.abs(when[left] - when[right]), columns)
        inside = (column >= 0) & (column < shape[1])
        flat = row[inside] * shape[1] + column[inside]
        return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)

    observed, draw = table(times), np.random.default_rng(seed).permutation
    drawn = np.array([table(draw(times)) for _ in range(permutations)]).reshape(-1, *shape)
    expected = _mean_pairs(times, np.bincount(row, minlength=shape[0]), columns)
    ratio = np.divide(observed, expected, out=np.full(shape, np.nan), where=expected > 0)
    p = (1 + (drawn >= observed).sum(axis=0)) / (1 + permutations)
    spread = drawn.std(axis=0, ddof=1) if permutations > 1 else np.full(shape, np.nan)
    return Knox(observed, expected, ratio, p, _adjusted(observed, drawn, expected, spread), spread)


def _adjusted(observed: Integers, drawn: Integers, mean: Floats, spread: Floats) -> Floats:
    """Return each band's p against the greatest excess of any band (Westfall & Young 1993, max T).

    An excess is counted in the standard deviations of its band: under the null of no band at all, any
    adjusted p of 5 % or less comes in 5 % of all tables, however the bands hang together.
    """
    scale = np.where(spread > 0, spread, np.inf)
    most = ((drawn - mean) / scale).reshape(len(drawn), -1).max(axis=1, initial=0.0)
    excess = (observed - mean) / scale
    return np.asarray((1 + (most[:, None, None] >= excess).sum(axis=0)) / (1 + len(drawn)))


def _near_pairs(places: Floats, edges: Floats) -> tuple[Integers, Integers, Integers]:
    """Return every pair nearer than the last edge, as (left, right, band of distance)."""
    pairs = KDTree(places).query_pairs(edges[-1], output_type="ndarray")
    apart = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    band = _band(apart, edges)
    inside = (band >= 0) & (band < len(edges) - 1)
    return pairs[inside, 0], pairs[inside, 1], band[inside]


def _mean_pairs(times: Floats, near: Integers, edges: Floats) -> Floats:
    """Return near pairs x share of all pairs in each band of time: the mean over all permutations."""
    n, ordered = times.size, np.sort(times)
    later = np.arange(n) + 1
    below = [(np.searchsorted(ordered, ordered + edge, side="left") - later).clip(0).sum() for edge in edges]
    return np.outer(near, np.diff(below)) / max(n * (n - 1) / 2, 1)


def _band(values: Floats, edges: Floats) -> Integers:
    return np.searchsorted(edges, values, side="right") - 1


def _edges(name: str, edges: Sequence[float]) -> Floats:
    array = np.asarray(edges, dtype=np.float64)
    if array.size < 2 or (np.diff(array) <= 0).any() or array[0] < 0 or not np.isfinite(array).all():
        raise ValueError(f"{name}: {list(edges)} must rise from 0 or more and end somewhere")
    return array
