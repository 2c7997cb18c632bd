"""The prospective space-time permutation scan: places that hold more of late than their share of the days."""

from collections.abc import Iterator
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
    place, days, lengths = (np.asarray(each, dtype=np.int64) for each in (cell, ago, np.unique(windows)))
    if place.shape != days.shape or place.ndim != 1 or (days < 0).any():
        raise ValueError(f"ago: {days.shape} must match the cells {place.shape} and not be negative")
    if not len(place):
        return []
    study = _study(zones, place, days, lengths, min_cases)
    ratio = study.ratios(days[:, None])[0]
    chosen = _apart(ratio, zones.members, limit)
    if not chosen:
        return []
    greatest = [study.greatest(drawn) for drawn in _exchanged(days, permutations, seed)]
    return [study.cylinder(days, *one, ratio[one], np.concatenate(greatest)) for one in chosen]


@dataclass(frozen=True)
class _Study:
    """What stays as it is while days are exchanged."""

    members: sparse.csr_array
    place: Integers
    lengths: Integers
    expected: Floats
    """Shape (zones, windows), as `usable`."""
    usable: NDArray[np.bool_]
    min_cases: int

    def ratios(self, days: Integers) -> Floats:
        """Return log-likelihood ratios (maps, zones, windows) where `days` (n, maps) are the incidents'."""
        counts = _counts(self.members, self.place, days, self.lengths)
        ratio = log_likelihood_ratio(counts, self.expected[None], float(len(self.place)), self.min_cases)
        return np.asarray(ratio * self.usable)

    def greatest(self, days: Integers) -> Floats:
        """Return the greatest ratio of each map."""
        return np.asarray(self.ratios(days).reshape(days.shape[1], -1).max(axis=1))

    def cylinder(self, days: Integers, zone: int, k: int, ratio: float, greatest: Floats) -> Cylinder:
        """Return one cylinder with its p against the greatest ratios of permutations."""
        n = _counts(self.members[[zone]], self.place, days[:, None], self.lengths)[0, 0, k]
        p = (1 + (greatest >= ratio * (1 - 1e-9)).sum()) / (1 + len(greatest))
        return Cylinder(
            zone, int(self.lengths[k]), int(n), float(self.expected[zone, k]), float(ratio), float(p)
        )


def _study(zones: Zones, place: Integers, days: Integers, lengths: Integers, min_cases: int) -> _Study:
    held = zones.members @ np.bincount(place, minlength=zones.members.shape[1])
    expected = np.outer(held, (days[:, None] < lengths).sum(axis=0)) / len(place)
    usable = (held <= len(place) / 2)[:, None] & (expected > 0)
    members = sparse.csr_array(zones.members.astype(np.float32))
    return _Study(members, place, lengths, expected, usable, min_cases)


def _exchanged(days: Integers, permutations: int, seed: int) -> Iterator[Integers]:
    """Yield batches of days exchanged among incidents, shape (n, maps)."""
    rng = np.random.default_rng(seed)
    for start in range(0, permutations, _BATCH):
        yield rng.permuted(np.tile(days[:, None], min(_BATCH, permutations - start)), axis=0)


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
