"""How few places hold how many incidents: the share in the top places, beside what chance concentrates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
TOP = (0.01, 0.05, 0.2)
"""Shares of all places that are looked at."""


@dataclass(frozen=True)
class Concentration:
    """What the fullest places hold, one entry for each share of TOP."""

    share: Floats
    """Share of the incidents in so many of the places; NaN without incidents."""
    by_chance: Floats
    """Mean of the same were places alike, each by its weight: few incidents fill few of many places."""
    low: Floats
    high: Floats
    """What lies around it in 95 of 100 simulated cities."""
    gini: float
    """Generalised Gini coefficient: 0 as even as so few incidents can be, 1 all in one place."""


def concentration(
    counts: ArrayLike, weight: ArrayLike, *, simulations: int = 199, seed: int = 0
) -> Concentration:
    """Return how concentrated incidents are over all places, those without any included.

    `counts` and `weight` have shape (n,); by chance an incident falls on a place in proportion to its weight,
    such as a length. Places are ordered by their counts; where a share of them is no whole number, a part of
    the next counts; without places all is NaN. Raises ValueError for arrays that do not match, negative
    values, or places without any weight.
    """
    y, w = np.asarray(counts, dtype=np.int64), np.asarray(weight, dtype=np.float64)
    if y.shape != w.shape or y.ndim != 1 or (y < 0).any() or (w < 0).any() or (y.any() and not w.sum() > 0):
        raise ValueError(
            f"counts {y.shape} and weight {w.shape} must match, not be negative, and weigh something"
        )
    if not y.any():
        nothing = np.full(len(TOP), np.nan)
        return Concentration(nothing, nothing, nothing, nothing, float("nan"))
    total, upto, rng = int(y.sum()), np.cumsum(w) / w.sum(), np.random.default_rng(seed)
    fallen = (np.searchsorted(upto, rng.random(total), side="right") for _ in range(simulations))
    drawn = np.array([top_shares(np.unique(each, return_counts=True)[1], len(y)) for each in fallen])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return Concentration(top_shares(y, len(y)), drawn.mean(axis=0), low, high, gini(y, len(y)))


def top_shares(counts: ArrayLike, places: int) -> Floats:
    """Return the share of the incidents in the fullest TOP of `places`; those not in `counts` hold none."""
    held = np.append(0, np.cumsum(np.sort(np.asarray(counts))[::-1]))
    if not held[-1]:
        return np.full(len(TOP), np.nan)
    return np.asarray(np.interp(np.array(TOP) * places, np.arange(len(held)), held) / held[-1])


def gini(counts: ArrayLike, places: int) -> float:
    """Return the Gini coefficient that allows for fewer incidents than places; NaN without incidents.

    Bernasco & Steenbeek 2017, Journal of Quantitative Criminology 33:449, equation 3.
    """
    held = np.sort(np.asarray(counts, dtype=np.float64))
    total = held.sum()
    if not total:
        return float("nan")
    rank = np.arange(places - len(held), places) + 1
    spread = 2 * (rank * held).sum() / total - places - 1
    return float(max(1 / total, 1 / places) * spread - max(places / total, 1) + 1)
