"""How often any test at the map's level can see a planted cluster: the most powerful beside the page's."""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import sparse, stats

from bench.noise import PERIODS, SEED, City, city, looked_at, of_past
from layers.scanning import clusters_of

RISK, LEVEL, SHAPE = 5.0, 0.05, 1.5
PLANTED = ((0.3, 1), (0.3, 2), (2.0, 0))
"""Incidents a cell and rings around the middle of what is planted: 7, 19 and 1 cells."""
Floats = np.ndarray


def drawn(mean: float, shape: float, maps: int, cells: int, rng: np.random.Generator) -> Floats:
    """Return lasting rates of cells: alike, or Gamma with that shape."""
    if np.isinf(shape):
        return np.full((maps, cells), mean)
    return rng.gamma(shape, mean / shape, (maps, cells))


def planted(rate: Floats, zones: sparse.csr_array, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the rates of maps with RISK times the risk in one zone each, and which cells those are."""
    inside = zones[rng.integers(zones.shape[0], size=len(rate))].toarray() > 0
    return np.where(inside, RISK, 1.0) * rate, inside


def evidence(y: Floats, mean: Floats, size: Floats, zones: sparse.csr_array) -> Floats:
    """Return each map's likelihood that some zone has RISK over that none has: the most powerful test of it.

    By Neyman and Pearson's lemma no test of the same level sees more, were the zone drawn with equal chance,
    its size and risk told beforehand. Counts are negative binomial, Poisson where `size` is inf.
    """
    known = np.where(np.isfinite(size), size, 1.0)
    gamma = y * np.log(RISK) - (y + known) * np.log((RISK * mean + known) / (mean + known))
    poisson = y * np.log(RISK) - (RISK - 1) * mean
    each = np.where(np.isfinite(size), gamma, poisson) @ zones.T
    top = each.max(axis=1, keepdims=True)
    value: Floats = top[:, 0] + np.log(np.exp(each - top).mean(axis=1))
    return value


def least_tail(y: Floats, mean: Floats, zones: sparse.csr_array) -> Floats:
    """Return minus the log of each map's smallest Poisson tail over all zones, rates being known."""
    n, e = y @ zones.T, mean @ zones.T
    value: Floats = -stats.poisson.logsf(n - 1, e).min(axis=1)
    return value


def power(mean: float, rings: int, shape: float, maps: int) -> dict[str, float]:
    """Return the share of planted maps that each test sees, at LEVEL on maps of noise."""
    place, rng = city(), np.random.default_rng([SEED, 6, int(mean * 100), rings])
    zones = zones_of(place, rings)
    rate = drawn(mean, shape, maps, len(place.served.cells), rng)
    risen, _ = planted(rate, zones, rng)
    quiet, loud = rng.poisson(rate), rng.poisson(risen)
    exact, learnt, size = np.full_like(rate, np.inf), rate, np.full_like(rate, np.inf)
    if np.isfinite(shape):
        size = shape + rng.poisson(rate * PERIODS)
        learnt = size / (shape / mean + PERIODS)

    def shares(seen: Callable[[Floats], Floats]) -> float:
        noise, found = np.sort(seen(quiet)), seen(loud)
        return float((found > noise[int(np.ceil((1 - LEVEL) * maps)) - 1]).mean())

    return {
        "most powerful, rates known": shares(lambda y: evidence(y, rate, exact, zones)),
        "smallest tail, rates known": shares(lambda y: least_tail(y, rate, zones)),
        "most powerful, 12 periods of past": shares(lambda y: evidence(y, learnt, size, zones)),
    }


def of_page(mean: float, rings: int, shape: float, maps: int) -> dict[str, float]:
    """Return the share of planted maps on which the page finds the place, and how many hot cells are true."""
    place, rng = city(), np.random.default_rng([SEED, 7, int(mean * 100), rings])
    zones, around = zones_of(place, rings), place.served.disc()
    hot, true, found, shown = 0, 0, 0, 0
    for _ in range(maps):
        counts, inside = one_map(place, mean, shape, zones, rng)
        significant = looked_at(place, counts).tested.significant
        right = significant & (around @ inside.astype(float) > 0)
        hot, true, found = hot + significant.sum(), true + right.sum(), found + right.any()
        shown += right.any() or scanned(place, counts, inside)
    return {"hot cell": found / maps, "or cluster": shown / maps, "true": true / max(hot, 1)}


def scanned(place: City, counts: Floats, inside: Floats) -> bool:
    """Say whether a cluster of the page's scan reaches into what is planted."""
    now = counts[:, -1].astype(float)
    expected = of_past(place, counts[:, :-1]).cautious(float(now.sum()))
    return any(inside[each.members].any() for each in clusters_of(place.served, now, expected))


def one_map(
    place: City, mean: float, shape: float, zones: sparse.csr_array, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return counts of PERIODS periods and a planted one, and where it is planted."""
    rate = drawn(mean, shape, 1, len(place.served.cells), rng)
    risen, inside = planted(rate, zones, rng)
    past = rng.poisson(np.repeat(rate.T, PERIODS, axis=1))
    return np.hstack([past, rng.poisson(risen).T]), inside[0]


def zones_of(place: City, rings: int) -> sparse.csr_array:
    """Return the zones that may be planted, one around each cell."""
    return place.served.disc(rings) if rings else sparse.eye_array(len(place.served.cells), format="csr")


def main() -> None:
    """Print the table of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=2000)
    parser.add_argument("--page", type=int, default=200)
    given = parser.parse_args()
    for shape in (np.inf, SHAPE):
        for mean, rings in PLANTED:
            bound, page = power(mean, rings, shape, given.maps), of_page(mean, rings, shape, given.page)
            told = " | ".join(f"{share:.0%}" for share in (*bound.values(), *page.values()))
            cells = "alike" if np.isinf(shape) else "unlike"
            print(f"| {1 + 3 * rings * (rings + 1)} of {mean}, {cells} | {told} |", flush=True)


if __name__ == "__main__":
    main()
