"""The prospective space-time permutation scan: places that hold more of late than their share of the days."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from layers.stats.scan import Zones, log_likelihood_ratio

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_BATCH = 8


@dataclass(frozen=True)
class Cylinder:
    """A zone and the last days in which it holds more than its share."""

    zone: int
    """Its place among the zones."""
    days: int
    n: int
    expected: float
    llr: float
    p: float
    """Monte Carlo p against the greatest ratio of any cylinder in each permutation."""


def space_time(
    cell: ArrayLike,
    ago: ArrayLike,
    zones: Zones,
    windows: ArrayLike,
    *,
    permutations: int = 999,
    seed: int = 0,
    min_cases: int = 3,
    limit: int = 10,
) -> list[Cylinder]:
    """Return the cylinders that chance explains least and whose zones do not overlap, strongest first.

    `cell` (n,) is the location of each incident among those of `zones`, `ago` (n,) how many whole days before
    the last day of the study it happened; `windows` (k,) are lengths in days, all ending with that day. A
    cylinder expects its zone's share of what came everywhere in its days, so neither busy places nor busy
    days nor the week's rhythm stand out, and no exposure is needed (Kulldorff et al. 2005, PLoS Medicine
    2:e59). The null exchanges the days among incidents; `seed` makes p repeatable. A zone that holds more
    than half of all incidents is not looked at. Raises ValueError for arrays that do not match.
    """
    place, days = np.asarray(cell, dtype=np.int64), np.asarray(ago, dtype=np.int64)
    lengths = np.unique(np.asarray(windows, dtype=np.int64))
    if place.shape != days.shape or place.ndim != 1 or (days < 0).any():
        raise ValueError(f"ago: {days.shape} must match the cells {place.shape} and not be negative")
    if not len(place):
        return []
    total = len(place)
    held = zones.members @ np.bincount(place, minlength=zones.members.shape[1])
    lately = (days[:, None] < lengths).sum(axis=0)
    expected = np.outer(held, lately) / total
    usable = (held <= total / 2)[:, None] & (expected > 0)
    members = sparse.csr_array(zones.members.astype(np.float32))
    ratio = _ratios(members, place, days[:, None], lengths, expected, usable, min_cases)[0]
    chosen = _apart(ratio, zones.members, limit)
    rng, maxima = np.random.default_rng(seed), list[float]()
    for start in range(0, permutations if chosen else 0, _BATCH):
        many = min(_BATCH, permutations - start)
        drawn = rng.permuted(np.tile(days[:, None], many), axis=0)
        each = _ratios(members, place, drawn, lengths, expected, usable, min_cases)
        maxima += each.reshape(many, -1).max(axis=1).tolist()
    counts = _counts(members, place, days[:, None], lengths)[0]
    top = np.array(maxima)
    return [
        Cylinder(
            zone, int(lengths[k]), int(counts[zone, k]), float(expected[zone, k]), float(ratio[zone, k]),
            float((1 + (top >= ratio[zone, k] * (1 - 1e-9)).sum()) / (1 + len(top))),
        )
        for zone, k in chosen
    ]  # fmt: skip


def _counts(members: sparse.csr_array, place: Integers, days: Integers, lengths: Integers) -> Floats:
    """Return counts (maps, zones, windows) where `days` (n, maps) are those of each incident."""
    many, width = days.shape[1], len(lengths)
    band = np.searchsorted(lengths, days, side="right")
    late = band < width
    column = np.arange(many) * width + band
    rows = np.broadcast_to(place[:, None], days.shape)[late]
    ones = np.ones(len(rows), dtype=np.float32)
    table = sparse.csr_array((ones, (rows, column[late])), shape=(members.shape[1], many * width))
    by_band = (members @ table).toarray().reshape(-1, many, width)
    return np.asarray(by_band.cumsum(axis=2).transpose(1, 0, 2), dtype=np.float64)


def _ratios(
    members: sparse.csr_array, place: Integers, days: Integers, lengths: Integers, expected: Floats,
    usable: NDArray[np.bool_], min_cases: int,
) -> Floats:  # fmt: skip
    counts = _counts(members, place, days, lengths)
    return log_likelihood_ratio(counts, expected[None], float(len(place)), min_cases) * usable


def _apart(ratio: Floats, members: sparse.csr_array, limit: int) -> list[tuple[int, int]]:
    """Return (zone, window) by falling ratio, skipping zones that share a place with one already taken."""
    taken, chosen = np.zeros(members.shape[1], dtype=bool), list[tuple[int, int]]()
    best = ratio.argmax(axis=1)
    most = ratio[np.arange(len(ratio)), best]
    for zone in np.argsort(-most, kind="stable").tolist():
        if len(chosen) == limit or most[zone] <= 0:
            break
        inside = members.indices[members.indptr[zone] : members.indptr[zone + 1]]
        if not taken[inside].any():
            taken[inside] = True
            chosen.append((zone, int(best[zone])))
    return chosen
