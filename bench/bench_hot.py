"""Hot cells by disc tails and by scan, and a whole answer, against esda's Gi* with 999 permutations."""

import warnings
from datetime import timedelta
from functools import partial

import numpy as np
from esda import G_Local
from libpysal.weights import W
from scipy import sparse, stats
from sqlalchemy.engine import Connection

from bench.measure import HEADER, Ratio, ratio
from gis import city, db, grids, record_span
from layers.counts import counts as counts_of
from layers.hotspots import hotspots
from layers.scanning import RINGS
from layers.served import served
from layers.stats.expectation import from_exposure
from layers.stats.hot import hot
from layers.stats.scan import ring_zones, scan
from layers.view import View
from tests.lattice import discs

SIDE, LAMBDA, PERMUTATIONS = 174, 0.3, 999
RES, CATEGORY = 9, "city"


def main() -> None:
    """Print how many cells each calls hot on pure noise, and the ratios."""
    warnings.simplefilter("ignore")  # esda and numba talk while they warm up
    cells = SIDE * SIDE
    near = [discs(SIDE, k) for k in range(RINGS + 1)]
    counts = np.random.default_rng(1).poisson(LAMBDA, cells)
    area = np.ones(cells)

    def ours() -> int:
        expected = from_exposure(counts.sum(), area, area)
        return int(hot(counts, expected.mean, near[1]).significant.sum())

    def scanned() -> float:
        return scan(counts, area, ring_zones(near), limit=1)[0].p

    peer = partial(permuted, counts, near[1])
    print(
        f"hot cells on a map of pure noise, {cells:,} cells at {LAMBDA}: ours {ours()}, "
        f"esda's default {peer()}, its normal approximation with false-discovery control "
        f"{normal(counts, near[1])}; p of the strongest cluster {scanned():.3f}\n"
    )
    print(HEADER)
    print(ratio(f"hot cells of {cells:,}, against esda G_Local, 999 permutations", ours, peer, 10, 3).line())
    print(ratio(f"scan of {cells:,}, 999 simulations, against the same", scanned, peer, 1, 3).line())
    with db.work_engine().connect() as conn:
        print(whole_answer(conn).line())


def weights(disc: sparse.csr_array) -> W:
    """Return a disc matrix as esda takes it."""
    each = range(disc.shape[0])
    return W({i: disc.indices[disc.indptr[i] : disc.indptr[i + 1]].tolist() for i in each})


def permuted(counts: np.ndarray, disc: sparse.csr_array) -> int:
    """Return how many cells esda calls hot by its usual permutations."""
    found = G_Local(counts, weights(disc), "B", PERMUTATIONS, star=None, seed=1, n_jobs=1)
    return int((found.p_sim <= 0.05).sum())


def normal(counts: np.ndarray, disc: sparse.csr_array) -> int:
    """Return how many it calls hot by its normal approximation and false-discovery control."""
    found = G_Local(counts, weights(disc), "B", 0, star=None)
    return int((stats.false_discovery_control(found.p_norm) <= 0.05).sum())


def whole_answer(conn: Connection) -> Ratio:
    """Compare a whole answer (read, counted, expected, tested, rates) with esda on counts in memory."""
    asked, span = grids.resolve(conn, grids.Wish()), record_span.incident_span(conn)
    view = View(
        asked.scheme, asked.on, asked.known, start=span.last - timedelta(days=47),
        end=span.last - timedelta(days=5), categories=city.with_descendants(conn, CATEGORY),
    )  # fmt: skip
    of = served(conn, RES, view)
    found = of.spread(*counts_of(conn, view, RES))
    name = f"GET /hotspots of {len(of.cells):,} cells, 42 days of {CATEGORY}, against esda on the same counts"

    def answer() -> int:
        return int(hotspots(conn, view, RES).tested.significant.sum())

    return ratio(name, answer, partial(permuted, found, of.disc()), 10, 3)


if __name__ == "__main__":
    main()
