"""How many incidents a cell should expect: from what is exposed there, or from its own past."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from layers.stats.shrink import shrink

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """An expectation per cell and how uncertain it is."""

    mean: Floats
    """Incidents expected in the period, shape (n,)."""
    size: Floats
    """Negative-binomial size per cell, for `hot`; inf where the expectation is taken as exact."""
    skew: Floats
    """Third moment of the uncertain mean over that of the Gamma with this size; 1 where it is that Gamma."""


def from_exposure(total: float, exposure: ArrayLike, area_m2: ArrayLike, blend: float = 0.1) -> Expected:
    """Spread `total` incidents over the cells in proportion to what is exposed in them.

    `exposure` (n,) is households, buildings or residents; `area_m2` (n,) the cells' areas. A share
    `blend` of the total is spread by area instead, because incidents also happen where nobody
    lives; 1.0 gives the plain density per area, 0.0 trusts the exposure alone (and then an
    incident in a cell without exposure is an error in `hot`). Raises ValueError for a blend
    outside 0..1 or an area or exposure that is negative or sums to zero.
    """
    if not 0 <= blend <= 1:
        raise ValueError(f"blend: {blend} is not between 0 and 1")
    parts = [(1 - blend, "exposure", exposure), (blend, "area_m2", area_m2)]
    mean = sum(total * w * _share(name, values) for w, name, values in parts if w > 0)
    return Expected(np.asarray(mean), np.full(np.shape(mean), np.inf), np.ones(np.shape(mean)))


def from_history(
    past: ArrayLike,
    past_days: float,
    days: float,
    total: float | None = None,
    alpha: float = 0.0,
    prior: ArrayLike | None = None,
) -> Expected:
    """Expect of each cell what its own past shows, shrunk towards the rate of the area.

    `prior` (n,), positive, is what each cell would be thought to hold without a past, on any scale
    (`from_exposure`): a cell is then shrunk towards its own prior, not towards the mean cell. Cells alike
    lie side by side in a city, so that with a short past and one prior for all, whole discs of houses
    would seem as empty as the fields.

    `past` (n,) counts of `past_days` days; the answer is for a period of `days` days. A cell with
    an empty past expects a little, never zero. With `total` the means are scaled to add up to it,
    so that a general rise of the city makes no cell hot. The predictive distribution of a
    Gamma-Poisson cell is negative binomial with the posterior's shape as its size; `alpha`
    (see `dispersion`) adds the scatter from period to period that a constant rate does not explain.
    Raises ValueError when there is no past at all.
    """
    own = np.asarray(np.ones(np.shape(past)) if prior is None else prior, dtype=np.float64)
    weight = own / own.mean()
    seen, exposed = np.asarray(past, dtype=np.float64), weight * (past_days / days)
    posterior = shrink(seen, exposed)
    if alpha:
        # Counts that scatter say less: as many Poisson ones as have the same relative variance.
        tells = 1 / (1 + alpha * posterior.mean * weight)
        posterior = shrink(seen * tells, exposed * tells)
    mean = posterior.mean * weight
    if not mean.sum() > 0:
        raise ValueError("past: no incidents in the whole area; take from_exposure instead")
    scale = 1.0 if total is None else total / mean.sum()
    with np.errstate(divide="ignore"):  # cells that differ by chance alone: a size of infinity, a Poisson
        size = 1 / (1 / posterior.shape * (1 + alpha) + alpha)
    return Expected(mean * scale, size, product_skew(1 / posterior.shape, alpha))


def product_skew(unsure: Floats, alpha: float) -> Floats:
    """Return the third moment of a Gamma rate of variance `unsure` times a Gamma factor of variance `alpha`.

    Both of mean 1; over the third moment of the one Gamma that has the product's variance.
    """
    variance = (1 + unsure) * (1 + alpha) - 1
    both = unsure * alpha
    third = 2 * (unsure**2 + alpha**2 + 2 * both**2) + 6 * both * (1 + unsure + alpha)
    return np.divide(third, 2 * variance**2, out=np.ones_like(unsure), where=variance > 0)


@dataclass(frozen=True)
class Dispersion:
    """Whether counts of one cell scatter more from period to period than a Poisson's."""

    alpha: float
    """Extra variance: variance = mean + alpha * mean**2; 0 where the test finds none."""
    z: float
    p: float
    estimate: float
    """`alpha` without the test, for few counts show no scatter where there is one, and a tenth more: by so
    much it errs where there are many."""
    upper: float
    """The estimate and one standard error (_UNSURE at most), for a scan: the larger a zone, the more a map
    that takes scatter for too little alarms."""


_UNSURE, _MARGIN = 0.5, 1.1


def dispersion(history: ArrayLike, level: float = 0.01, family: ArrayLike | None = None) -> Dispersion:
    """Test past counts, shape (cells, periods), for overdispersion and estimate it.

    The mean of an entry is its cell's total times its period's share, so lasting differences
    between cells (which are what a hotspot map should show) and city-wide seasons do not count as
    scatter. With a `family` (cells,), the period's share is that of the cell's family. Dean's score
    statistic with leverage correction (Dean 1992, JASA 87:451, P_B); `alpha` is the moment estimate
    and 0 unless the test's p <= `level`. Squared means are estimated without bias, by the pairs of a cell's
    incidents: the squares of its totals are twice as great where a cell holds one on average. Raises
    ValueError for fewer than two periods.
    """
    parts = [np.asarray(part.sum()) for part in _scatter(history, family)]
    raw, error, z, p = _estimate(parts, np.shape(history)[1])
    found = max(float(raw), 0)
    upper = _MARGIN * found + min(float(error), _UNSURE)
    return Dispersion(found if p <= level else 0.0, float(z), float(p), _MARGIN * found, upper)


def dispersion_elsewhere(history: ArrayLike, near: sparse.csr_array, level: float = 0.01) -> Floats:
    """Return for each cell the alpha of `dispersion` that all others show, shape (cells,).

    `near` (cells, cells) marks what is left out for each cell, itself included: what stands out there would
    otherwise pass for scatter and hide itself.
    """
    kept = [part.sum() - near @ part for part in _scatter(history, None)]
    raw, _, _, p = _estimate(kept, np.shape(history)[1])
    return np.where(p <= level, np.maximum(raw, 0), 0.0)


def _scatter(history: ArrayLike, family: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Return each cell's part of Dean's statistic, of its variance, and of what alpha is divided by."""
    y = np.asarray(history, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] < 2:
        raise ValueError(f"history: shape {y.shape} is not (cells, at least 2 periods)")
    held = y.sum(axis=1) > 0
    of = np.zeros(len(y), dtype=np.int64) if family is None else np.unique(family, return_inverse=True)[1]
    # A family of one has no scatter of its own, nor has what fell into one period alone.
    held &= np.bincount(of, held)[of] > 1
    columns = np.zeros((int(of.max(initial=0)) + 1, y.shape[1]))
    np.add.at(columns, of[held], y[held])
    held &= (columns > 0).sum(axis=1)[of] > 1
    row, column, total = y.sum(axis=1, keepdims=True), columns[of], columns.sum(axis=1, keepdims=True)[of]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = row * column / total
        leverage = np.where(column > 0, mean * (1 / row + 1 / column - 1 / total), 0.0)
        parts = (
            ((y - mean) ** 2 - y + leverage * mean).sum(axis=1),
            2 * (mean**2).sum(axis=1),
            (mean**2 * (1 - 1 / row) * (1 - leverage)).sum(axis=1),
        )
    excess, variance, weight = (np.where(held, part, 0.0) for part in parts)
    return excess, variance, weight


def _estimate(parts: list[Floats], periods: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return alpha, its standard error were it 0, z and p of the summed parts."""
    excess, variance, weight = parts
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(variance > 0, excess / np.sqrt(np.maximum(variance, 0)), 0.0)
        alpha = np.where(weight > 0, excess / weight, 0.0)
        error = np.where(weight > 0, np.sqrt(np.maximum(variance, 0)) / weight, np.inf)
    # A cell's total holds those factors as well: its pairs are 1 + alpha / periods times as many.
    alpha = alpha / (1 - np.minimum(alpha / periods, 0.5))
    return alpha, error, z, np.where(variance > 0, stats.norm.sf(z), 1.0)


def _share(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if (array < 0).any() or not array.sum() > 0 or not np.isfinite(array).all():
        raise ValueError(f"{name}: values must be finite, not negative, and not all zero")
    share: Floats = array / array.sum()
    return share
