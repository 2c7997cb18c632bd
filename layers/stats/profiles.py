"""When incidents happen: by hour and weekday, as rates with intervals and a test for any pattern."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
HOURS, DAYS = 24, 7
_ROUNDING = 1e-9
FEW = 50
"""With fewer incidents chi-square's limit says little: p is counted from simulated profiles."""
SIMULATIONS = 9999


@dataclass(frozen=True)
class Profile:
    """Incidents by slot of the day or week."""

    count: Floats
    slots: Floats
    """How many such hours, or days of 24 hours, the period holds; parts of them count as such."""
    rate: Floats
    """Incidents per hour or day of that kind; NaN where the period holds none."""
    low: Floats
    high: Floats
    """Exact 95 % Poisson interval of the rate (Garwood 1936)."""
    p: float
    """Chance of so uneven a profile if the rate were the same throughout."""


def by_hour(occurred: ArrayLike, held: ArrayLike, spread: ArrayLike = 0.0) -> Profile:
    """Profile local wall-clock times (datetime64) over the 24 hours of a period.

    `held` are the hours that it holds of every weekday and hour, shape (7, 24). `spread` of the same shape is
    what came of incidents known to lie in spans (`aoristic.week_shares`). Parts of them even a profile out,
    so that its p is rather too great, and intervals are those of as many whole incidents.
    """
    count = np.bincount(_week_hours(occurred) % HOURS, minlength=HOURS) + _week(spread).sum(axis=0)
    return _profile(count, np.asarray(held, dtype=np.float64).sum(axis=0))


def by_weekday(occurred: ArrayLike, held: ArrayLike, spread: ArrayLike = 0.0) -> Profile:
    """Profile local times over Monday (0) to Sunday (6); otherwise as `by_hour`."""
    count = np.bincount(_week_hours(occurred) // HOURS, minlength=DAYS) + _week(spread).sum(axis=1)
    return _profile(count, np.asarray(held, dtype=np.float64).sum(axis=1) / HOURS)


def _week(spread: ArrayLike) -> Floats:
    return np.broadcast_to(np.asarray(spread, dtype=np.float64), (DAYS, HOURS))


def by_week_hour(occurred: ArrayLike) -> NDArray[np.int64]:
    """Count local times by weekday (row, Monday first) and hour (column), shape (7, 24)."""
    return np.bincount(_week_hours(occurred), minlength=DAYS * HOURS).reshape(DAYS, HOURS)


def _week_hours(occurred: ArrayLike) -> NDArray[np.int64]:
    hours = np.asarray(occurred, dtype="datetime64[h]")
    return np.asarray(_monday_based(hours.astype("datetime64[D]")) * HOURS + hours.astype(np.int64) % HOURS)


def _monday_based(day: NDArray[np.datetime64] | np.datetime64) -> NDArray[np.int64]:
    # 1970-01-01 was a Thursday, the fourth day of a week that begins on Monday.
    return np.asarray((day.astype(np.int64) + 3) % DAYS)


def _profile(count: Floats, slots: Floats) -> Profile:
    count = np.asarray(count, dtype=np.float64)
    if (count[slots == 0] > _ROUNDING).any():
        raise ValueError("occurred: incidents lie outside the period")
    rate, low, high = (
        np.divide(value, slots, out=np.full(slots.shape, np.nan), where=slots > 0)
        for value in (
            count,
            stats.gamma.ppf(0.025, np.maximum(count, 1e-9)),
            stats.gamma.ppf(0.975, count + 1),
        )
    )
    p = _evenness(count[slots > 0], slots[slots > 0])
    return Profile(count, slots, rate, np.where(count > 0, low, 0 * rate), high, p)


def _evenness(count: Floats, slots: Floats) -> float:
    """Return the p of Pearson's chi-square for one rate throughout, by Monte Carlo for FEW incidents.

    The p counts the profile itself among those simulated, so that it is never too small (Davison & Hinkley
    1997, section 4.2).
    """
    total, share = count.sum(), slots / slots.sum()
    if not total > 0:
        return 1.0
    if total >= FEW:
        return float(stats.chisquare(count, share * total).pvalue)
    whole = max(round(total), 1)
    drawn = np.random.default_rng(0).multinomial(whole, share, SIMULATIONS)
    by = ((count, total), (drawn, whole))
    uneven = [((one - share * n) ** 2 / (share * n)).sum(axis=-1) for one, n in by]
    return float((1 + (uneven[1] >= uneven[0] - 1e-9).sum()) / (1 + SIMULATIONS))
