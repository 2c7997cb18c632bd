"""What each cell should expect next: its own counts so far, shrunk, with an interval that covers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from layers.stats.shrink import shrink

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVEL_HALF_LIFE = 60.0
"""Days after which an incident counts half for how busy the whole city is now."""
HINDCASTS = 12
"""Past periods of one horizon each on which a forecast is calibrated."""
MIN_HINDCASTS = 3
"""With fewer past periods nothing is calibrated."""
MIN_PAST_DAYS = 60
"""Recorded days that a hindcast needs before it."""


@dataclass(frozen=True)
class Past:
    """Incidents so far: which cell (0 .. cells - 1) and which day, and the days that were recorded."""

    cell: Integers
    day: Integers
    observed: Integers
    """Day numbers with records, rising; days missing here are gaps in the source, not quiet days."""
    cells: int
    city_day: Integers | None = None
    """Days of the whole city's incidents under the same filters: they tell how busy it is of late. Were each
    area judged by its own, areas would not add up to the city. None: `day` is that of the whole city."""

    @property
    def level_day(self) -> Integers:
        """Days of the incidents that tell how busy the city is of late."""
        return self.day if self.city_day is None else self.city_day

    def before(self, origin: int) -> "Past":
        """Return only what was known at the start of day `origin`."""
        known = self.day < origin
        city = None if self.city_day is None else self.city_day[self.city_day < origin]
        return Past(
            self.cell[known], self.day[known], self.observed[self.observed < origin], self.cells, city
        )

    def counts(self, start: int, end: int) -> Integers:
        """Return incidents per cell on days [start, end), shape (cells,)."""
        inside = (self.day >= start) & (self.day < end)
        return np.bincount(self.cell[inside], minlength=self.cells)


@dataclass(frozen=True)
class Forecast:
    """Expected incidents of each cell over the horizon, as a negative binomial."""

    mean: Floats
    size: Floats

    def interval(self, coverage: float) -> tuple[Floats, Floats]:
        """Return the smallest and largest count of the equal-tailed interval, shape (cells,) each.

        Counts are whole, so an interval of small counts covers more than it promises. Most cells of a
        city expect the same as many others, so each expectation is worked out once.
        """
        tail = (1 - coverage) / 2
        pairs, place = np.unique(self.mean + 1j * self.size, return_inverse=True)
        once = Forecast(pairs.real, pairs.imag)
        low, high = (np.asarray(stats.nbinom.ppf(t, once.size, once._p())) for t in (tail, 1 - tail))
        return low[place], high[place]

    def pit(self, observed: Integers, seed: int = 0) -> Floats:
        """Return where each count fell in its forecast, uniform on 0..1 if the forecast is right.

        The step of a whole count is filled at random (Czado, Gneiting & Held 2009, Biometrics 65:1254).
        """
        below, at = (np.asarray(stats.nbinom.cdf(observed - k, self.size, self._p())) for k in (1, 0))
        random: Floats = np.random.default_rng(seed).uniform(size=below.shape)
        filled: Floats = below + random * (at - below)
        return filled

    def _p(self) -> Floats:
        p: Floats = self.size / (self.size + self.mean)
        return p


@dataclass(frozen=True)
class Calibration:
    """What past forecasts taught about how far to trust the next."""

    power: float
    """Exponent of the means: below 1 the extremes fall back further than they were thought to."""
    scatter: float
    """Variance beyond what the forecast knew of, as a share of mean**2."""


def baseline(past: Past, origin: int, horizon: int, half_life: float | None = None) -> Forecast:
    """Expect of each cell what all its counts so far show, for days [origin, origin + horizon).

    Counts are weighted by 0.5 ** (age / half_life) if given and shrunk towards the area's rate
    (`plain`), then calibrated on the baseline's own forecasts of up to HINDCASTS past periods.
    The order of the cells is that of the counts. Raises ValueError when nothing was recorded
    before `origin`.
    """
    starts = hindcast_origins(past, origin, horizon)
    forecasts = [plain(past, start, horizon, half_life) for start in starts]
    came = [past.counts(start, start + horizon) for start in starts]
    return calibrated(plain(past, origin, horizon, half_life), calibrate(forecasts, came))


def plain(past: Past, origin: int, horizon: int, half_life: float | None = None) -> Forecast:
    """Return the baseline as the past alone gives it, before calibration.

    Weighted counts are put on the scale of as many plain ones as carry the same information,
    (sum w)**2 / sum w**2 days, and the means are scaled to how busy the city is of late.
    """
    known = past.before(origin)
    if not known.observed.size or not known.day.size:
        raise ValueError(f"past: nothing recorded before day {origin}")
    weight, day_weight = (_weights(origin - days, half_life) for days in (known.day, known.observed))
    effective = day_weight.sum() / (day_weight**2).sum()
    seen = np.bincount(known.cell, weight * effective, known.cells)
    days = day_weight.sum() * effective
    posterior = shrink(seen, np.full(known.cells, days / horizon))
    level = _rate(known, origin, LEVEL_HALF_LIFE) / _rate(known, origin, half_life)
    return Forecast(posterior.mean * level, np.minimum(posterior.shape, 1e9))


def of_nothing(past: Past, horizon: int) -> Forecast:
    """Return what may come to cells none of which ever held an incident: half a one in all days observed.

    That is Jeffreys' prior of a rate, for all cells together: each has an equal part of mean and size.
    """
    mean, size = 0.5 * horizon / past.observed.size, 0.5
    return Forecast(*(np.full(past.cells, each / max(past.cells, 1)) for each in (mean, size)))


def hindcast_origins(past: Past, origin: int, horizon: int) -> list[int]:
    """Return the first days of the latest periods before `origin` that were recorded in full.

    What is looked at must have happened before, if only once: a forecast from nothing teaches nothing.
    """
    known = past.observed[past.observed < origin]
    since = int(past.day.min(initial=origin))
    starts = range(origin - horizon, int(known[0]) if known.size else origin, -horizon)
    full = [
        start
        for start in starts
        if start > since
        and np.searchsorted(known, start + horizon) - np.searchsorted(known, start) == horizon
        and np.searchsorted(known, start) >= MIN_PAST_DAYS
    ]
    return full[:HINDCASTS]


def calibrate(forecasts: Sequence[Forecast], came: Sequence[Integers]) -> Calibration:
    """Learn from forecasts of the past and what came how to correct the next one.

    The power is the most likely one given each period's total, so that the level of the city does
    not matter to it; the scatter is what is left of the squared errors (method of moments).
    """
    if len(forecasts) < MIN_HINDCASTS:
        return Calibration(1.0, 0.0)
    logs = [np.log(f.mean) for f in forecasts]

    def loss(power: float) -> float:
        pairs = zip(logs, came, strict=True)
        return float(sum(y.sum() * special.logsumexp(power * x) - power * (y @ x) for x, y in pairs))

    power = float(optimize.minimize_scalar(loss, bounds=(0.3, 2.0), method="bounded").x)
    left = spread = 0.0
    for forecast, y in zip(forecasts, came, strict=True):
        f = calibrated(forecast, Calibration(power, 0.0))
        left += float(((y - f.mean) ** 2 - f.mean - f.mean**2 / f.size).sum())
        spread += float((f.mean**2 * (1 + 1 / f.size)).sum())
    return Calibration(power, max(0.0, left / spread))


def calibrated(forecast: Forecast, calibration: Calibration) -> Forecast:
    """Return the forecast corrected; its total and the order of its cells stay as they were."""
    mean = forecast.mean**calibration.power
    mean *= forecast.mean.sum() / mean.sum()
    size = 1 / (1 / forecast.size * (1 + calibration.scatter) + calibration.scatter)
    return Forecast(mean, size)


def _weights(age: Integers, half_life: float | None) -> Floats:
    if half_life is None:
        return np.ones(age.shape)
    return np.asarray(0.5 ** (age / half_life))


def _rate(known: Past, origin: int, half_life: float | None) -> float:
    """Return incidents per recorded day in the whole city, recent days counting more."""
    days = _weights(origin - known.observed, half_life).sum()
    return float(_weights(origin - known.level_day, half_life).sum() / days)


@dataclass(frozen=True)
class Total:
    """What all cells together should expect, as a negative binomial."""

    mean: float
    size: float

    def interval(self, coverage: float) -> tuple[int, int]:
        """Return the smallest and largest count of the equal-tailed interval."""
        tail, p = (1 - coverage) / 2, self.size / (self.size + self.mean)
        low, high = (int(stats.nbinom.ppf(t, self.size, p)) for t in (tail, 1 - tail))
        return low, high


def total(past: Past, forecast: Forecast, origin: int, horizon: int) -> Total:
    """Return the forecast of the sum over all cells, with the uncertainty of the whole.

    It is that of the whole's own series, the same however the city is cut into cells: what cells do not know
    of their shares evens out. Left are the level, known from some (sum w)**2 / sum w**2 recent days alone, of
    an area its share of the city, known from its own incidents, and the swings from one horizon to the next,
    estimated from the totals of past periods (`hindcast_origins`) by the method of moments. Where the past is
    too short for that, swings count as none, and the interval is a least one. Without any incident it
    is that of `of_nothing`.
    """
    if not past.day.size:
        return Total(float(forecast.mean.sum()), 0.5)
    unsure = _unsure_level(past.before(origin), origin) + _swing(past, origin, horizon)
    return Total(float(forecast.mean.sum()), 1 / max(unsure, 1e-9))


def _unsure_level(known: Past, origin: int) -> float:
    """Return the squared coefficient of variation of the level, and of an area's share of it."""
    weight = _weights(origin - known.level_day, LEVEL_HALF_LIFE)
    share = 1 / known.day.size - 1 / known.level_day.size
    return float((weight**2).sum() / weight.sum() ** 2) + share


def _swing(past: Past, origin: int, horizon: int) -> float:
    """Return the variance of past totals beyond what their forecasts knew of, as a share of mean**2."""
    starts = hindcast_origins(past, origin, horizon)
    if len(starts) < MIN_HINDCASTS:
        return 0.0
    excess = square = 0.0
    for start in starts:
        known = past.before(start)
        mean = horizon * _rate(known, start, LEVEL_HALF_LIFE) * known.day.size / known.level_day.size
        came = float(past.counts(start, start + horizon).sum())
        excess += (came - mean) ** 2 - mean - mean**2 * _unsure_level(known, start)
        square += mean**2
    return max(0.0, excess / square)
