"""Emerging hot spots: how a place became hot or cold, by Esri's published rules."""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

LASTING = 9, 10
"""Nine steps in ten: from this share on a place counts as hot throughout."""
MIN_STEPS = 10


class Emerging(StrEnum):
    """The class of a place, hot or cold alike."""

    NONE = "none"
    NEW = "new"
    CONSECUTIVE = "consecutive"
    INTENSIFYING = "intensifying"
    PERSISTENT = "persistent"
    DIMINISHING = "diminishing"
    SPORADIC = "sporadic"
    OSCILLATING = "oscillating"
    HISTORICAL = "historical"


def classify(state: ArrayLike, trend: ArrayLike) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return the class of every place and whether it is a hot (1) or cold (-1) one, shape (n,) each.

    `state` (n, steps) is 1 where a step is significantly hot, -1 where cold, 0 otherwise, oldest
    first; `trend` (n,) the significant direction of the intensity over all steps (1, 0, -1, see
    `trend.mann_kendall`). The rules are those of Esri's page "How Emerging Hot Spot Analysis
    works", taken in the order of that page, so that a place that was once cold and is hot for the
    first time is new rather than oscillating. A place is judged by its final state; where that is
    neither, by what it was in 90 % of the steps. Intensity of a cold spot grows as values fall.
    Raises ValueError for fewer than 10 steps (Esri's own minimum) or other values.
    """
    s, t = np.asarray(state, dtype=np.int64), np.asarray(trend, dtype=np.int64)
    if s.ndim != 2 or s.shape[1] < MIN_STEPS or t.shape != s.shape[:1]:
        raise ValueError(f"state: shape {s.shape} must be (n, at least {MIN_STEPS} steps), trend (n,)")
    if not np.isin(s, (-1, 0, 1)).all() or not np.isin(t, (-1, 0, 1)).all():
        raise ValueError("state and trend hold only -1, 0 and 1")
    hot, cold = _classify_hot(s, t), _classify_hot(-s, -t)
    by_past = (hot != Emerging.NONE).astype(np.int64) - (cold != Emerging.NONE)
    side = np.where(s[:, -1] != 0, s[:, -1], by_past)
    return np.where(side == -1, cold, hot), side


def _classify_hot(state: NDArray[np.int64], trend: NDArray[np.int64]) -> NDArray[np.str_]:
    hot, steps = state == 1, state.shape[1]
    final, times = hot[:, -1], hot.sum(axis=1)
    run = np.cumprod(hot[:, ::-1], axis=1).sum(axis=1)
    lasting = times * LASTING[1] >= steps * LASTING[0]
    ever_cold = (state == -1).any(axis=1)
    rules = [
        (Emerging.NEW, final & (times == 1)),
        (Emerging.CONSECUTIVE, final & (run == times) & (run >= 2) & ~lasting),
        (Emerging.INTENSIFYING, final & lasting & (trend == 1)),
        (Emerging.PERSISTENT, final & lasting & (trend == 0)),
        (Emerging.DIMINISHING, final & lasting & (trend == -1)),
        (Emerging.SPORADIC, final & ~lasting & ~ever_cold),
        (Emerging.OSCILLATING, final & ~lasting & ever_cold),
        (Emerging.HISTORICAL, ~final & lasting),
    ]
    return np.select([rule for _, rule in rules], [name.value for name, _ in rules], Emerging.NONE.value)
