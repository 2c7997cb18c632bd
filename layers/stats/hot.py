"""Which cells hold more incidents than chance allows: exact disc tails, false-discovery control."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special, stats

from layers.stats.expectation import dispersion_elsewhere
from layers.stats.tails import disc_size, upper_tail

Floats = NDArray[np.float64]

ALONE = ((1.0, 1.5), (0.0, 0.1))
"""Weights of the tests of cells alone, by the incidents expected at least; that of a disc is 2 less so much.

They depend on what is expected, never on what came. Where little is expected, a cell by itself shows only
what is far out, and most of the power is left to discs.
"""


@dataclass(frozen=True)
class HotCells:
    """What `hot` found, one entry per cell, in the order the cells came in."""

    n: Floats
    """Incidents in the cell and its disc of neighbours; in the cell itself where it is hot `alone`."""
    expected: Floats
    """Incidents expected in the same."""
    ratio: Floats
    """n / expected; NaN where nothing is expected and nothing came."""
    p: Floats
    """Chance of n or more if the expectation held."""
    q: Floats
    """p adjusted for the number of tests (Benjamini-Hochberg)."""
    significant: NDArray[np.bool_]
    """q <= alpha."""
    alone: NDArray[np.bool_]
    """Whether the cell by itself stands out, and its disc does not."""


def hot(
    counts: ArrayLike,
    expected: ArrayLike,
    disc: sparse.csr_array,
    alpha: float = 0.05,
    size: ArrayLike | None = None,
    skew: ArrayLike = 1.0,
) -> HotCells:
    """Test every cell, by itself and with its disc, for more incidents than expected.

    `counts` and `expected` have shape (n,), incidents per cell in the period; `disc` is the (n, n)
    0/1 matrix whose row i marks the cells of disc i, itself included (a cell at the edge of the
    served area simply has fewer). `size`, shape (n,) or one number, is the negative-binomial size
    of each cell's count (variance = expected + expected**2 / size), as `expectation` and
    `dispersion` give it; None means Poisson. `skew` (n,): `Expected.skew`.

    The tail is exact for Poisson, and for the negative binomial where expected / size is the same
    in all cells of a disc and skew 1 (then sums stay negative binomial); otherwise three moments are matched
    (`tails.disc_size`): by its variance alone the tail of unlike cells was half as great as it is.
    Benjamini-Hochberg needs the tests to be positively dependent (PRDS),
    and they are: discs are sums of independent counts with log-concave distributions, and such sums are
    stochastically increasing in one another (Efron 1965; Benjamini & Yekutieli 2001, section 3.1).
    So on pure noise at most a share `alpha` of the maps shows any hot cell, and the harsher
    Benjamini-Yekutieli correction would only cost power. Cells alone and discs are adjusted together, the
    cells with weights ALONE (weighted Benjamini-Hochberg: Genovese, Roeder & Wasserman 2006, Biometrika
    93:509), for what a single house brings drowns in its neighbourhood.

    Raises ValueError for arrays that do not match, negative or non-finite values, and for
    incidents in a disc where none are expected (give the cells a positive expectation first).
    """
    n, mean = _discs(counts, expected, disc)
    y, e = (np.asarray(each, dtype=np.float64) for each in (counts, expected))
    single, around = _tails(y, e, n, mean, disc, np.inf if size is None else size, skew)
    weight = disc_weight(e)
    q = _adjusted(np.minimum(np.concatenate([around / weight, single / (2 - weight)]), 1.0))
    of_disc, of_cell = np.split(q, 2)
    alone = (of_cell <= alpha) & (of_disc > alpha)
    pairs = ((y, n), (e, mean), (single, around), (of_cell, of_disc))
    n, mean, p, q = (np.where(alone, cell, around_it) for cell, around_it in pairs)
    return HotCells(n, mean, _ratio(n, mean), p, q, q <= alpha, alone)


def _tails(
    y: Floats, e: Floats, n: Floats, mean: Floats, disc: sparse.csr_array, size: ArrayLike, skew: ArrayLike
) -> tuple[Floats, Floats]:
    """Return the chance of so many or more in each cell (`y` of `e`) and in its disc (`n` of `mean`)."""
    itself = sparse.eye_array(e.size, format="csr")
    sizes = np.broadcast_to(np.asarray(size, dtype=np.float64), e.shape)
    single = np.where(e > 0, upper_tail(y, e, *disc_size(e, sizes, itself, skew)), 1.0)
    return single, upper_tail(n, mean, *disc_size(e, sizes, disc, skew))


def disc_weight(expected: Floats) -> Floats:
    """Return the weight of each disc's test, by what is expected in its middle; the cell's own has 2 less it.

    There are two tests a cell: one that is hot alone needs a p of alpha * weight / (2 * cells).
    """
    alone = np.select([expected >= least for least, _ in ALONE], [weight for _, weight in ALONE])
    return np.asarray(2 - alone, dtype=np.float64)


def states(counts: ArrayLike, disc: sparse.csr_array, alpha: float = 0.05) -> NDArray[np.int64]:
    """Return 1 (hot), -1 (cold) or 0 for every cell and step, for `emerging.classify`.

    `counts` (n, steps). What a disc holds over all steps is given, and a step's share of it is the share that
    the step has of everything: a disc is held against itself, and against how the whole moved. The scatter
    from step to step that cells elsewhere show comes on top. Each side has half of `alpha`, and is
    controlled over all cells and steps together, since all of them are looked at.
    """
    y = np.asarray(counts, dtype=np.float64)
    if disc.shape != y.shape[:1] * 2:
        raise ValueError(f"counts: shape {y.shape} does not match a disc of {disc.shape}")
    if not y.any():
        return np.zeros(y.shape, dtype=np.int64)
    n, share = disc @ y, y.sum(axis=0) / y.sum() * np.ones_like(y)
    given = n.sum(axis=1, keepdims=True) * np.ones_like(y)
    size = _scatter(y, disc)
    hot_cells, cold_cells = (
        stats.false_discovery_control(p, axis=None, method="bh").reshape(p.shape) <= alpha / 2
        for p in (share_upper(n, given, share, size), share_lower(n, given, share, size))
    )
    return hot_cells.astype(np.int64) - cold_cells


def _scatter(y: Floats, disc: sparse.csr_array) -> Floats:
    """Return the negative-binomial size of every disc and step, inf where cells scatter by chance alone."""
    expected = y.sum(axis=1, keepdims=True) * y.sum(axis=0) / y.sum()
    alpha = dispersion_elsewhere(y, (disc @ disc > 0).astype(np.float64))
    extra = alpha[:, None] * (disc @ expected**2)
    size: Floats = np.divide((disc @ expected) ** 2, extra, out=np.full_like(y, np.inf), where=extra > 0)
    return size


def share_upper(n: Floats, given: Floats, share: Floats, size: Floats) -> Floats:
    """Return P(N >= n) of incidents among `given` ones of which `share` is expected, element by element.

    `size` is the negative-binomial size of the expected count before the total is given. Infinite, N is
    binomial, exactly. Else it is close to beta-binomial (tests hold them together): given the total, the
    variance of the expected count is 1 - share of what it was, and that of the count 1 - its own share, and
    the two Gammas behind the negative binomial get so much more shape.
    """
    tail = _share_tail(special.betainc, np.maximum(n, 1), given, share, size)
    return np.asarray(np.where(n > given, 0.0, np.where(n > 0, tail, 1.0)), dtype=np.float64)


def share_lower(n: Floats, given: Floats, share: Floats, size: Floats) -> Floats:
    """Return P(N <= n); otherwise as `share_upper`."""
    tail = _share_tail(special.betaincc, n + 1, given, share, size)
    return np.asarray(np.where(n >= given, 1.0, tail), dtype=np.float64)


def _share_tail(beta: np.ufunc, k: Floats, given: Floats, share: Floats, size: Floats) -> Floats:
    exact = beta(k, np.maximum(given - k, 0) + 1, share)
    free_k, free = np.maximum(1 - k / (given + 1), 1e-9), np.maximum(1 - share, 1e-9)
    known = np.where(np.isfinite(size), size, 1.0)
    at = share * (given + 1) / free_k
    some = beta(k / free_k, known / free, at / (at + known / free))
    return np.asarray(np.where(np.isfinite(size), some, exact), dtype=np.float64)


def _discs(counts: ArrayLike, expected: ArrayLike, disc: sparse.csr_array) -> tuple[Floats, Floats]:
    """Return what is in every disc, and what is expected there."""
    y, e = _per_cell("counts", counts, disc), _per_cell("expected", expected, disc)
    if y.shape != e.shape:
        raise ValueError(f"expected: shape {e.shape} does not match counts of {y.shape}")
    n, mean = disc @ y, disc @ e
    impossible = np.argwhere((n > 0) & (mean <= 0))
    if impossible.size:
        raise ValueError(
            f"expected: cell {impossible[0, 0]} has incidents in its disc but expects none; "
            "shrink the expectation towards the area's rate"
        )
    return n, mean


def _adjusted(p: Floats) -> Floats:
    return np.asarray(stats.false_discovery_control(p, method="bh") if p.size else p, dtype=np.float64)


def _ratio(n: Floats, mean: Floats) -> Floats:
    return np.divide(n, mean, out=np.full_like(mean, np.nan), where=mean > 0)


def _per_cell(name: str, values: ArrayLike, disc: sparse.csr_array) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if disc.shape != array.shape[:1] * 2:
        raise ValueError(f"{name}: shape {array.shape} does not match a disc of {disc.shape}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name}: every value must be finite and not negative")
    return array
