"""What each cell should expect next: its own counts so far, shrunk, with an interval that covers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from layers.stats import regimes
from layers.stats.nested import by_part, nested

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
MOST_SCATTER = 1.0
"""Variance beyond what was known, as a share of mean**2, at most: a period many times its forecast was the
beginning of a new rate, which the next forecast has, and no swing that comes again every time."""


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
    part: Integers | None = None
    """Parts of the city that may change by themselves and hold each incident of the whole city, shape
    (incidents, levels), as `regimes.worth` has them. None: none does."""
    inside: NDArray[np.bool_] | None = None
    """Which incidents of `city_day` are those of `day`, in their order; needed with both."""
    within: Integers | None = None
    """Parts that hold each cell, shape (cells, levels), the widest first, each within the one before: a cell
    is shrunk towards the rate of the part it lies in. None: towards that of all cells."""
    kept: dict[tuple[int, float | None], "Standing"] = field(default_factory=dict, compare=False, repr=False)
    """What is known at origins that were looked at: forecasts, their skill and their total share it."""
    plain: dict[tuple[int, int, float | None], "Forecast"] = field(
        default_factory=dict, compare=False, repr=False
    )
    """Forecasts before calibration by origin, horizon and half-life: hindcasts of each other's share them."""

    @property
    def level_day(self) -> Integers:
        """Days of the incidents that tell how busy the city is of late."""
        return self.day if self.city_day is None else self.city_day

    @property
    def finest(self) -> Integers | None:
        """The smallest part that holds each cell, shape (cells,): calibration lends none another's."""
        return None if self.within is None else self.within[:, -1]

    def before(self, origin: int) -> "Past":
        """Return only what was known at the start of day `origin`."""
        own, city = self.day < origin, self.level_day < origin
        return Past(
            self.cell[own], self.day[own], self.observed[self.observed < origin], self.cells,
            None if self.city_day is None else self.city_day[city],
            None if self.part is None else self.part[city],
            None if self.inside is None else self.inside[city],
            self.within,
        )  # fmt: skip

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
        pairs, place = np.unique(self.mean + 1j * self.size, return_inverse=True)
        once = Forecast(pairs.real, pairs.imag)
        low, high = _ends(once.mean, once.size, coverage)
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

    Counts are weighted by 0.5 ** (age / half_life) if given and shrunk towards the rate of the part
    that holds each (`plain`), then calibrated on its own forecasts of up to HINDCASTS past periods.
    The order of the cells is that of the counts. Raises ValueError when nothing was recorded
    before `origin`.
    """
    starts = hindcast_origins(past, origin, horizon)
    forecasts = [plain(past, start, horizon, half_life) for start in starts]
    came = [past.counts(start, start + horizon) for start in starts]
    found = calibrate(forecasts, came, past.finest)
    return calibrated(plain(past, origin, horizon, half_life), found, past.finest)


def plain(past: Past, origin: int, horizon: int, half_life: float | None = None) -> Forecast:
    """Return the baseline as the past alone gives it, before calibration.

    Cells are shrunk level by level (`nested`), and the means are scaled to how busy the city is of late.
    """
    key = origin, horizon, half_life
    if key not in past.plain:
        past.plain[key] = _plain(past, origin, horizon, half_life)
    return past.plain[key]


def _plain(past: Past, origin: int, horizon: int, half_life: float | None) -> Forecast:
    known = past.before(origin)
    if not known.observed.size or not known.day.size:
        raise ValueError(f"past: nothing recorded before day {origin}")
    now = _standing(past, origin, half_life)
    seen, squares = (
        np.bincount(known.cell, each, known.cells).astype(np.float64) for each in (now.weight, now.weight**2)
    )
    share, size = nested(seen, squares, past.within)
    return Forecast(horizon * now.rate * share, size)


@dataclass(frozen=True)
class Standing:
    """What is known at an origin of what all cells together hold."""

    rate: float
    """Incidents a day."""
    unsure: float
    """Squared coefficient of variation of the rate."""
    weight: Floats
    """What each incident so far stands for."""


def _standing(past: Past, origin: int, half_life: float | None = None) -> Standing:
    """Return the rate of the whole city, of late, times the share of it that the cells have."""
    if (origin, half_life) not in past.kept:
        past.kept[origin, half_life] = _stand(past.before(origin), origin, half_life)
    return past.kept[origin, half_life]


def _stand(known: Past, origin: int, half_life: float | None) -> Standing:
    blocks = regimes.Blocks(known.observed)
    recent, days = (_weights(origin - each, LEVEL_HALF_LIFE) for each in (known.level_day, known.observed))
    parts = None if known.part is None else regimes.changed(blocks, known.level_day, known.part)
    city = regimes.level(blocks, known.level_day, recent, days, parts)
    every = _weights(origin - known.level_day, half_life)
    if known.part is None:
        own = _weights(origin - known.day, half_life)
    else:
        every = regimes.worth(blocks, known.level_day, known.part, every, parts)
        own = every if known.inside is None else every[known.inside]
    share, of_share = float(own.sum() / every.sum()), max(0.0, _told(own) - _told(every))
    if parts is not None and known.day.size:
        of_share = max(of_share, regimes.unsure_share(blocks, known.day, parts, share))
    return Standing(city.rate * share, city.unsure + of_share, own)


def _told(weight: Floats) -> float:
    """Return the squared coefficient of variation of a sum of counts with weights."""
    return float((weight**2).sum() / weight.sum() ** 2)


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


def calibrate(
    forecasts: Sequence[Forecast], came: Sequence[Integers], part: Integers | None = None
) -> Calibration:
    """Learn from forecasts of the past and what came how to correct the next one.

    The power is the most likely one given what came to each `part` in each period, so that the level of
    neither matters to it (None: all cells are one part); the scatter is what is left of the squared errors
    (method of moments).
    """
    if len(forecasts) < MIN_HINDCASTS:
        return Calibration(1.0, 0.0)
    part = np.zeros(len(came[0]), dtype=np.int64) if part is None else part
    logs = [np.log(f.mean / by_part(f.mean, part)) for f in forecasts]
    totals = [np.bincount(part, y) for y in came]

    def loss(power: float) -> float:
        sums = (np.log(np.bincount(part, np.exp(power * x))) for x in logs)
        rows = zip(logs, came, totals, sums, strict=True)
        return float(sum(n @ s - power * (y @ x) for x, y, n, s in rows))

    power = float(optimize.minimize_scalar(loss, bounds=(0.3, 2.0), method="bounded").x)
    left = spread = 0.0
    for forecast, y in zip(forecasts, came, strict=True):
        f = calibrated(forecast, Calibration(power, 0.0), part)
        left += float(((y - f.mean) ** 2 - f.mean - f.mean**2 / f.size).sum())
        spread += float((f.mean**2 * (1 + 1 / f.size)).sum())
    return Calibration(power, min(max(0.0, left / spread), MOST_SCATTER))


def calibrated(forecast: Forecast, calibration: Calibration, part: Integers | None = None) -> Forecast:
    """Return the forecast corrected; what each `part` expects, and the order of cells in it, stay."""
    part = np.zeros(len(forecast.mean), dtype=np.int64) if part is None else part
    mean = forecast.mean**calibration.power
    mean *= by_part(forecast.mean, part) / by_part(mean, part)
    size = 1 / (1 / forecast.size * (1 + calibration.scatter) + calibration.scatter)
    return Forecast(mean, size)


def _weights(age: Integers, half_life: float | None) -> Floats:
    if half_life is None:
        return np.ones(age.shape)
    return np.asarray(0.5 ** (age / half_life))


def _ends(mean: Floats, size: Floats, coverage: float) -> tuple[Floats, Floats]:
    """Return the ends of the equal-tailed interval of counts, widened to the whole numbers around the mean.

    Where 0.04 is expected, 0 alone would cover what is promised, and the mean lie outside.
    """
    tail, p = (1 - coverage) / 2, size / (size + mean)
    low, high = (np.asarray(stats.nbinom.ppf(t, size, p)) for t in (tail, 1 - tail))
    return np.minimum(low, np.floor(mean)), np.maximum(high, np.ceil(mean))


@dataclass(frozen=True)
class Total:
    """What all cells together should expect, as a negative binomial."""

    mean: float
    size: float

    def interval(self, coverage: float) -> tuple[int, int]:
        """Return the smallest and largest count of the equal-tailed interval."""
        low, high = _ends(np.array([self.mean]), np.array([self.size]), coverage)
        return int(low[0]), int(high[0])


def total(past: Past, forecast: Forecast, origin: int, horizon: int) -> Total:
    """Return the forecast of the sum over all cells, with the uncertainty of the whole.

    It is that of the whole's own series, the same however the city is cut into cells: what cells do not know
    of their shares evens out. Left are the level, known from some (sum w)**2 / sum w**2 recent days alone, of
    an area its share of the city, known from its own incidents and unsure where its own course says another
    (`regimes.unsure_share`), and the swings from one horizon to the next, estimated from the totals of past
    periods (`hindcast_origins`) by the method of moments. Where the past is too short for that, swings count
    as none, and the interval is a least one. Without any incident it is that of `of_nothing`.
    """
    if not past.day.size:
        return Total(float(forecast.mean.sum()), 0.5)
    unsure = _standing(past, origin).unsure + _swing(past, origin, horizon)
    return Total(float(forecast.mean.sum()), 1 / max(unsure, 1e-9))


def _swing(past: Past, origin: int, horizon: int) -> float:
    """Return the variance of past totals beyond what their forecasts knew of, as a share of mean**2."""
    starts = hindcast_origins(past, origin, horizon)
    if len(starts) < MIN_HINDCASTS:
        return 0.0
    excess = square = 0.0
    for start in starts:
        known = _standing(past, start)
        mean = horizon * known.rate
        came = float(past.counts(start, start + horizon).sum())
        excess += (came - mean) ** 2 - mean - mean**2 * known.unsure
        square += mean**2
    return min(max(0.0, excess / square), MOST_SCATTER)
