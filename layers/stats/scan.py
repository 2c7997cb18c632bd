"""Kulldorff's spatial scan: the one zone, of any size, that chance explains least."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SPARSE = 0.3
"""Below this many cases per zone and map, only zones that hold a case are looked at."""
BATCH = 32  # simulated maps at a time: (zones x BATCH) floats stay near 40 MB for a city of 30,000 cells


@dataclass(frozen=True)
class Zones:
    """Candidate zones over n locations."""

    members: sparse.csr_array
    """(zones, n) 0/1 matrix; within a row the indices keep the order in which locations entered."""
    centre: Integers
    """Location each zone is centred on, shape (zones,)."""
    step: Integers
    """Ring number k, or rank of the circle, shape (zones,)."""


@dataclass(frozen=True)
class Cluster:
    """One zone that holds more than its share."""

    members: Integers
    """Locations inside, nearest to the centre first."""
    centre: int
    step: int
    n: float
    expected: float
    ratio: float
    """n / expected."""
    relative_risk: float
    """Rate inside divided by rate outside."""
    llr: float
    p: float
    """Monte Carlo p of the zone's llr against the greatest llr of each simulated map."""


def ring_zones(discs: Sequence[sparse.csr_array]) -> Zones:
    """Return one zone per cell and disc: `discs[k]` is the (n, n) matrix of the k-discs.

    Raises ValueError when no disc is given.
    """
    if not discs:
        raise ValueError("discs: give at least one matrix of neighbours")
    n = discs[0].shape[0]
    step = np.repeat(np.arange(len(discs)), n)
    return Zones(sparse.vstack(discs, format="csr"), np.tile(np.arange(n), len(discs)), step)


def circle_zones(distance: ArrayLike, weight: ArrayLike, max_share: float = 0.5) -> Zones:
    """Return every circle around every location that holds at most `max_share` of the weight.

    `distance` (n, n) is the distance from centre (row) to location, in any unit; `weight` (n,) the
    population at risk. Locations equally far enter together.
    """
    far, w = np.asarray(distance, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    n = len(w)
    indices, length, centre, step = [], [], [], []
    for i in range(n):
        order = np.argsort(far[i], kind="stable")
        last_of_ties = np.append(np.diff(far[i][order]) > 0, True)
        inside = np.cumsum(w[order]) <= max_share * w.sum()
        for end in np.flatnonzero(last_of_ties & inside) + 1:
            indices.append(order[:end])
            length.append(end)
            centre.append(i)
            step.append(end)
    pointer = np.append(0, np.cumsum(length))
    flat = np.concatenate(indices) if indices else np.empty(0, np.int64)
    members = sparse.csr_array((np.ones(flat.size), flat, pointer), shape=(len(length), n))
    return Zones(members, np.array(centre), np.array(step))


def scan(
    counts: ArrayLike,
    expected: ArrayLike,
    zones: Zones,
    *,
    max_share: float = 0.5,
    simulations: int = 999,
    seed: int = 0,
    min_cases: int = 2,
    limit: int = 10,
    size: ArrayLike | None = None,
    fixed: ArrayLike = 0.0,
    level: float = 1.0,
) -> list[Cluster]:
    """Return the zones with the greatest likelihood ratio that do not overlap, strongest first.

    `counts` and `expected` have shape (n,); the expectation is scaled to the total of the counts, and zones
    holding more than `max_share` of it are left out. The statistic is the Poisson log-likelihood ratio for
    high rates (Kulldorff 1997, Communications in Statistics 26:1481); p is (1 + simulated maps whose maximum
    is as great) / (1 + simulations), the same for secondary zones. Simulated maps spread the same total
    multinomially; with `size` (n,), the negative-binomial size of each count, and the share `fixed` (n,) of
    each rate (`tails.upper_tail`), maps scatter as the counts do. `seed` makes p repeatable. Simulation ends
    early when so many maps are as great as the strongest zone that its p must exceed `level` (Besag &
    Clifford 1991, Biometrika 78:301). At most `limit` zones come back. Raises ValueError for shapes that do
    not match, negative values, and incidents where none are expected.
    """
    y, e = _matching(counts, expected, zones)
    if not y.any():
        return []
    e = e * (y.sum() / e.sum())
    zone_e = zones.members @ e
    usable = zone_e <= max_share * y.sum() * (1 + 1e-12)
    llr = log_likelihood_ratio(zones.members @ y, zone_e, y.sum(), min_cases) * usable
    chosen = _without_overlap(llr, zones.members, limit)
    kept = zones.members[np.flatnonzero(usable)] if chosen else zones.members[:0]
    maps = _maps(e, int(y.sum()), simulations, seed, size, np.asarray(fixed, dtype=np.float64))
    enough = int(np.ceil(level * (simulations + 1))) if level < 1 else simulations + 1
    strongest = float(llr.max()) if chosen else np.inf
    maxima = np.sort(_simulated_maxima(kept, zone_e[usable], y.sum(), min_cases, maps, strongest, enough))
    return [_cluster(z, y, e, zones, llr[z], maxima) for z in chosen]


def log_likelihood_ratio(c: Floats, e: Floats, total: float, min_cases: int = 2) -> Floats:
    """Return Kulldorff's Poisson ratio for c cases where e of `total` are expected; 0 if not high."""
    answer = np.zeros(np.broadcast_shapes(np.shape(c), np.shape(e)))
    high = (c > e) & (c >= min_cases)
    inside, mean = c[high], np.broadcast_to(e, answer.shape)[high]
    outside = total - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(outside > 0, outside * np.log(outside / (total - mean)), 0.0)
    answer[high] = inside * np.log(inside / mean) + rest
    return answer


def _simulated_maxima(
    members: sparse.csr_array,
    zone_e: Floats,
    total: float,
    min_cases: int,
    maps: Iterator[sparse.csr_array],
    strongest: float,
    enough: int,
) -> Floats:
    """Return the greatest ratio of each simulated map, until `enough` of them reach `strongest`."""
    single = members.astype(np.float32)  # counts below 2**24 stay exact, at half the memory
    maxima = np.empty(0)
    for batch in maps:
        maxima = np.concatenate([maxima, _greatest(single, batch, zone_e, total, min_cases)])
        reached = np.flatnonzero(maxima >= strongest * (1 - 1e-9))
        if len(reached) >= enough:
            return maxima[: reached[enough - 1] + 1]
    return maxima


def _greatest(
    members: sparse.csr_array, maps: sparse.csr_array, zone_e: Floats, total: float, min_cases: int
) -> Floats:
    """Return the greatest ratio of each map, shape (maps,)."""
    zones, columns = members.shape[0], maps.shape[1]
    if not zones:
        return np.zeros(columns)
    if maps.nnz * members.nnz > SPARSE * zones * columns * members.shape[1]:
        dense = members @ maps.toarray()
        most: Floats = log_likelihood_ratio(dense, zone_e[:, None], total, min_cases).max(axis=0)
        return most
    held = sparse.csr_array(members @ maps)  # zones without any case need no logarithm
    zone = np.repeat(np.arange(zones), np.diff(held.indptr))
    greatest = np.zeros(columns)
    np.maximum.at(greatest, held.indices, log_likelihood_ratio(held.data, zone_e[zone], total, min_cases))
    return greatest


def _maps(
    e: Floats, total: int, simulations: int, seed: int, size: ArrayLike | None, fixed: Floats
) -> Iterator[sparse.csr_array]:
    """Yield batches of simulated maps, shape (n, up to BATCH)."""
    rng = np.random.default_rng(seed)
    shape = None if size is None else np.asarray(size, dtype=np.float64)
    is_common = shape is not None and not fixed.any() and np.ptp(e / shape) <= 1e-9 * np.max(e / shape)
    for start in range(0, simulations, BATCH):
        many = min(BATCH, simulations - start)
        if shape is None:
            place = _drawn(rng, e, (total, many))
        elif is_common:
            place = _urn(rng, shape, total, many)
        else:
            free = rng.gamma(shape[:, None], 1 / shape[:, None], (len(e), many)).T
            rates = (e * (fixed + (1 - fixed) * free)).T
            place = np.column_stack([_drawn(rng, rate, (total,)) for rate in rates.T])
        ones = np.ones(total * many, dtype=np.float32)
        column = np.broadcast_to(np.arange(many), (total, many)).ravel()
        yield sparse.csr_array((ones, (place.ravel(), column)), shape=(len(e), many))


def _drawn(rng: np.random.Generator, weight: Floats, shape: tuple[int, ...]) -> Integers:
    """Draw locations in proportion to their weight."""
    edges = np.cumsum(weight)
    place: Integers = np.searchsorted(edges, rng.random(shape) * edges[-1], side="right")
    return np.minimum(place, len(edges) - 1)


def _urn(rng: np.random.Generator, shape: Floats, total: int, many: int) -> Integers:
    """Draw locations whose rates are gamma of one scale, without drawing the rates: Polya's urn.

    Each case takes a location by its shape, or that of an earlier case, in proportion to shapes' sum and
    number of cases before it; the counts are then Dirichlet-multinomial (Blackwell & MacQueen 1973).
    """
    own = shape.sum()
    before = np.arange(total)[:, None]
    drawn = rng.random((total, many)) * (own + before)
    source = np.where(drawn < own, before, (drawn - own).astype(np.int64).clip(max=before - 1))
    while True:
        further = np.take_along_axis(source, source, axis=0)
        if (further == source).all():
            break
        source = further
    return np.take_along_axis(_drawn(rng, shape, (total, many)), source, axis=0)


def _without_overlap(llr: Floats, members: sparse.csr_array, limit: int) -> list[int]:
    """Return zones by falling ratio, skipping those that share a location with one already taken."""
    taken = np.zeros(members.shape[1], dtype=bool)
    chosen: list[int] = []
    for zone in np.argsort(-llr, kind="stable"):
        if len(chosen) == limit or llr[zone] <= 0:
            break
        inside = members.indices[members.indptr[zone] : members.indptr[zone + 1]]
        if not taken[inside].any():
            taken[inside] = True
            chosen.append(int(zone))
    return chosen


def _cluster(zone: int, y: Floats, e: Floats, zones: Zones, llr: float, maxima: Floats) -> Cluster:
    inside = zones.members.indices[zones.members.indptr[zone] : zones.members.indptr[zone + 1]]
    n, mean, total = float(y[inside].sum()), float(e[inside].sum()), float(y.sum())
    outside = (total - n) / (total - mean)
    as_great = len(maxima) - np.searchsorted(maxima, llr * (1 - 1e-9))
    return Cluster(
        members=inside.astype(np.int64),
        centre=int(zones.centre[zone]),
        step=int(zones.step[zone]),
        n=n,
        expected=mean,
        ratio=n / mean,
        relative_risk=n / mean / outside if outside > 0 else float("inf"),
        llr=float(llr),
        p=float((1 + as_great) / (1 + len(maxima))),
    )


def _matching(counts: ArrayLike, expected: ArrayLike, zones: Zones) -> tuple[Floats, Floats]:
    y, e = np.asarray(counts, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if not y.shape == e.shape == (zones.members.shape[1],):
        raise ValueError(
            f"counts {y.shape} and expected {e.shape} must match {zones.members.shape[1]} locations"
        )
    if (y < 0).any() or (e < 0).any() or (y != np.floor(y)).any():
        raise ValueError("counts must be whole and not negative, expected not negative")
    nowhere = np.flatnonzero((y > 0) & (e == 0))
    if nowhere.size:
        raise ValueError(f"expected: location {nowhere[0]} has incidents but expects none")
    return y, e
