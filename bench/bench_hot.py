"""Hot cells: 30,000 cells by exact disc tails, against esda's Gi* with 999 permutations on the same map."""

import warnings

import numpy as np
from esda import G_Local
from libpysal.weights import W
from scipy import stats

from bench.measure import HEADER, ratio
from layers.stats.expectation import from_exposure
from layers.stats.hot import hot
from tests.lattice import discs

SIDE, LAMBDA, PERMUTATIONS = 174, 0.3, 999


def main() -> None:
    """Print how many cells each calls hot on pure noise, and the ratio."""
    warnings.simplefilter("ignore")  # esda and numba talk while they warm up
    cells = SIDE * SIDE
    disc = discs(SIDE)
    counts = np.random.default_rng(1).poisson(LAMBDA, cells)
    area = np.ones(cells)
    weights = W({i: disc.indices[disc.indptr[i] : disc.indptr[i + 1]].tolist() for i in range(cells)})

    def ours() -> int:
        expected = from_exposure(counts.sum(), area, area)
        return int(hot(counts, expected.mean, disc).significant.sum())

    def theirs() -> int:
        found = G_Local(counts, weights, "B", PERMUTATIONS, star=None, seed=1, n_jobs=1)
        return int((found.p_sim <= 0.05).sum())

    def normal() -> int:
        found = G_Local(counts, weights, "B", 0, star=None)
        return int((stats.false_discovery_control(found.p_norm) <= 0.05).sum())

    print(
        f"hot cells on a map of pure noise, {cells:,} cells at {LAMBDA}: ours {ours()}, "
        f"esda's default {theirs()}, its normal approximation with false-discovery control {normal()}\n"
    )
    print(HEADER)
    print(
        ratio(f"hot cells of {cells:,}, against esda G_Local, 999 permutations", ours, theirs, 10, 3).line()
    )


if __name__ == "__main__":
    main()
