"""When incidents happen: by hour and weekday, as rates with intervals and a test for any pattern."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
HOURS, DAYS = 24, 7


@dataclass(frozen=True)
class Profile:
    """Incidents by slot of the day or week."""

    count: Floats
    slots: Floats
    """How many such hours or days the period holds."""
    rate: Floats
    """Incidents per hour or day of that kind; NaN where the period holds none."""
    low: Floats
    high: Floats
    """Exact 95 % Poisson interval of the rate (Garwood 1936)."""
    p: float
    """Chance of so uneven a profile if the rate were the same throughout."""


def by_hour(occurred: ArrayLike, days: int) -> Profile:
    """Profile local wall-clock times (datetime64) over the 24 hours of `days` whole days."""
    return _profile(_week_hours(occurred) % HOURS, np.full(HOURS, float(days)))


def by_weekday(occurred: ArrayLike, first: date, days: int) -> Profile:
    """Profile local times over Monday (0) to Sunday (6) of the `days` days from date `first` on."""
    weekdays = (_monday_based(np.datetime64(first, "D")) + np.arange(days)) % DAYS
    return _profile(_week_hours(occurred) // HOURS, np.bincount(weekdays, minlength=DAYS).astype(np.float64))


def by_week_hour(occurred: ArrayLike) -> NDArray[np.int64]:
    """Count local times by weekday (row, Monday first) and hour (column), shape (7, 24)."""
    return np.bincount(_week_hours(occurred), minlength=DAYS * HOURS).reshape(DAYS, HOURS)


def _week_hours(occurred: ArrayLike) -> NDArray[np.int64]:
    hours = np.asarray(occurred, dtype="datetime64[h]")
    return np.asarray(_monday_based(hours.astype("datetime64[D]")) * HOURS + hours.astype(np.int64) % HOURS)


def _monday_based(day: NDArray[np.datetime64] | np.datetime64) -> NDArray[np.int64]:
    # 1970-01-01 was a Thursday, the fourth day of a week that begins on Monday.
    return np.asarray((day.astype(np.int64) + 3) % DAYS)


def _profile(slot: NDArray[np.int64], slots: Floats) -> Profile:
    count = np.bincount(slot, minlength=slots.size).astype(np.float64)
    if (count[slots == 0] > 0).any():
        raise ValueError("occurred: incidents lie outside the period given by first and days")
    rate, low, high = (
        np.divide(value, slots, out=np.full(slots.shape, np.nan), where=slots > 0)
        for value in (
            count,
            stats.gamma.ppf(0.025, np.maximum(count, 1e-9)),
            stats.gamma.ppf(0.975, count + 1),
        )
    )
    held = slots > 0
    expected = slots[held] / slots.sum() * count.sum()
    p = float(stats.chisquare(count[held], expected).pvalue) if count.sum() else 1.0
    return Profile(count, slots, rate, np.where(count > 0, low, 0 * rate), high, p)
