"""What a weekly count should expect of its own past years: Farrington's method as Noufaily improved it.

Farrington, Andrews, Beale & Catchpole 1996 (JRSS A 159:547); Noufaily et al. 2013 (Statistics in Medicine
32:1206). Tests hold forecasts and thresholds against those of R's surveillance 1.20.3.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from layers.stats.quasi_poisson import Fit, fit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_LEAST_YEARS_OF_A_TREND = 3
_ROUNDS = 3
"""By which phi without the weights' bias stands still to a percent."""
_TOGETHER = 100
"""Series whose chances are summed in one array."""
_FAR = 12.0
"""Standard deviations up to which they are summed."""
_POISSON = 1e-4
"""A negative binomial of a smaller phi - 1 is taken for one of this: its size would be lost to rounding."""


@dataclass(frozen=True)
class Method:
    """Which past weeks are used, and how."""

    years: int = 4
    half_window: int = 3
    """Weeks on each side of the same week in past years that are thought to be like it."""
    seasons: int = 10
    """Parts of the year, the window included; 1 takes the windows alone (Farrington 1996)."""
    skipped: int = 26
    """Last weeks before the one judged that are left out, lest a slow rise hide itself."""
    doubtful: float = 2.58
    """Standardised residuals above it count less: past outbreaks."""
    trend_level: float = 1.0
    """A trend is kept where its p is less."""


FARRINGTON = Method(seasons=1, skipped=3, doubtful=1.0, trend_level=0.05)
NOUFAILY = Method()


@dataclass(frozen=True)
class Forecast:
    """What each series expects in the week judged, each of shape (series,)."""

    mean: Floats
    error: Floats
    """Standard error of the logarithm of the mean."""
    phi: Floats
    """Variance over mean, at least 1."""
    has_trend: NDArray[np.bool_]
    freedom: Floats
    """Degrees of freedom that phi is known with."""
    misfit: Floats
    """Phi as Pearson's statistic gives it, which may be less than 1."""


def same_weeks(weeks: NDArray[np.datetime64], at: int, years: int) -> Integers:
    """Return the places in `weeks` (first days, 7 days apart) of that week a year ago, two years ago, ...

    Of the weeks on the same weekday the one nearest to the date is meant.
    """
    day, month = weeks[at].astype("datetime64[D]"), weeks[at].astype("datetime64[M]")
    dates = (month - 12 * np.arange(1, years + 1)).astype("datetime64[D]") + (
        day - month.astype("datetime64[D]")
    )
    ago = (day - dates).astype(np.int64)
    return np.asarray(at - np.round(ago / 7), dtype=np.int64)


def seasons(at: int, same: Integers, method: Method) -> Integers:
    """Return the part of the year of each week before `at`, shape (at,); -1 for those that are not used.

    Weeks around the same week of past years are part 0; what lies between two of them is cut into
    method.seasons - 1 parts of equal length, the first ones a week longer where that does not divide.
    """
    half = method.half_window
    part = np.full(at + half + 1, -1)
    part[at - half :] = 0
    for later, here in zip(np.r_[at, same[:-1]], same, strict=True):
        part[max(here - half, 0) : here + half + 1] = 0
        between = np.arange(here + half + 1, later - half)
        if method.seasons > 1:
            pieces = np.array_split(between, method.seasons - 1)
            part[between] = np.repeat(np.arange(1, method.seasons), [piece.size for piece in pieces])
    part[at - method.skipped :] = -1
    return part[:at]


def forecast(
    counts: Floats, at: int, same: Integers, method: Method = NOUFAILY,
    recorded: NDArray[np.bool_] | None = None,
) -> Forecast:  # fmt: skip
    """Forecast week `at` of every series, shape (series, weeks), from the weeks before it.

    `same` are the places of that week in past years (`same_weeks`), the earliest at least method.half_window.
    Weeks that were not `recorded` are left out, all used if None; of the windows some must be.
    Raises ValueError where the past does not reach so far.
    """
    if not same.size or same.min() < method.half_window:
        raise ValueError(f"counts: {at} weeks of past are too few for {same.size} years")
    part = seasons(at, same, method)
    used = np.flatnonzero(part >= 0 if recorded is None else (part >= 0) & recorded[:at])
    plain = (part[used][:, None] == np.unique(part[used])).astype(np.float64)
    y = np.asarray(counts, dtype=np.float64)[:, used]
    now = np.eye(1, plain.shape[1])[0]
    if same.size < _LEAST_YEARS_OF_A_TREND:
        return _predicted(_reweighted(plain, y, method), now, np.zeros(len(y), dtype=bool))
    when = (used - at) / 52.0
    fitted = _reweighted(np.column_stack([plain, when]), y, method)
    trended = _predicted(fitted, np.r_[now, 0.0], np.ones(len(y), dtype=bool))
    keep = fitted.converged & (_trend_p(fitted) < method.trend_level) & (trended.mean <= y.max(axis=1))
    if keep.all():
        return trended
    without = _predicted(_reweighted(plain, y[~keep], method), now, np.zeros((~keep).sum(), dtype=bool))
    return _merged(trended, without, ~keep)


def usual(past: Floats, method: Method = NOUFAILY) -> Forecast:
    """Forecast the next week of series, shape (series, weeks), that have neither season nor trend."""
    plain = np.ones((past.shape[1], 1))
    return _predicted(_reweighted(plain, past, method), np.ones(1), np.zeros(len(past), dtype=bool))


def _reweighted(x: Floats, y: Floats, method: Method) -> Fit:
    """Fit twice, the second time believing less in weeks far above the first (Farrington's omega)."""
    first = fit(x, y, np.ones_like(y))
    spread = np.sqrt(np.maximum(first.phi, 1)[:, None] * (1 - first.leverage))
    weight = _belief(y, first.mean, spread, method)
    return fit(x, y, weight * (y.shape[1] / weight.sum(axis=1, keepdims=True)))


def _belief(y: Floats, mean: Floats, spread: Floats, method: Method) -> Floats:
    """Return the weights of weeks by how far above their means they are (Anscombe's residuals)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = 1.5 * (np.cbrt(y) ** 2 * mean ** (-1 / 6) - np.sqrt(mean)) / spread
        return np.asarray(np.where(raw > method.doubtful, raw**-2.0, 1.0))


def unweighted(known: Forecast, level: Floats, method: Method = NOUFAILY) -> Forecast:
    """Return a forecast with mean and misfit as if quiet weeks far above the mean had counted in full.

    Weeks of chance alone are believed less as well: where counts scatter, phi is a sixth too small. What the
    weights take from a negative binomial without outbreaks is given back; `level` (series,) is the mean week.
    """
    misfit, lost = known.misfit, np.ones_like(known.misfit)
    for _ in range(_ROUNDS):
        lost, kept = _weights_take(level, np.maximum(misfit, 1), method)
        misfit = known.misfit / kept
    return replace(known, mean=known.mean / lost, misfit=misfit)


def _weights_take(level: Floats, phi: Floats, method: Method) -> tuple[Floats, Floats]:
    """Return what share of mean and of phi is left of negative binomials under the weights, exactly."""
    left = np.ones((2, len(level)))
    order = np.argsort(level)
    for rows in np.array_split(order, max(len(order) // _TOGETHER, 1)):
        mean, scatter = level[rows][:, None], phi[rows][:, None]
        y = np.arange(float((mean + _FAR * (np.sqrt(mean * scatter) + scatter)).max(initial=0)))[None, :]
        chance = _chance(y, mean, scatter)
        chance *= _belief(y, mean, np.sqrt(scatter), method)
        whole = chance.sum(axis=1)
        centre = (chance * y).sum(axis=1) / whole
        square = (chance * (y - centre[:, None]) ** 2).sum(axis=1) / whole
        left[:, rows] = centre / mean[:, 0], square / centre / scatter[:, 0]
    return left[0], left[1]


def _chance(y: Floats, mean: Floats, phi: Floats) -> Floats:
    """Return the chance of each count of a negative binomial of that mean and variance phi * mean."""
    size = mean / np.maximum(phi - 1, _POISSON)
    log = special.gammaln(y + size) - special.gammaln(size) - special.gammaln(y + 1)
    log += y * np.log(mean / (size + mean)) - size * np.log1p(mean / size)
    return np.asarray(np.exp(log))


def _predicted(fitted: Fit, now: Floats, has_trend: NDArray[np.bool_]) -> Forecast:
    with np.errstate(over="ignore"):
        mean = np.exp(fitted.coefficients @ now)
    error = np.sqrt(_error_scale(fitted) * np.einsum("p,spq,q->s", now, fitted.unscaled, now))
    freedom = np.full(len(mean), float(fitted.freedom))
    return Forecast(mean, error, np.maximum(fitted.phi, 1), has_trend, freedom, fitted.phi)


def _error_scale(fitted: Fit) -> Floats:
    """Return what squared standard errors are scaled by.

    R's surveillance, having put weights in the place of glm's own, takes them from another sum; the tests
    that hold ours against it do the same.
    """
    return np.maximum(fitted.phi, 1)


def _trend_p(fitted: Fit) -> Floats:
    error = np.sqrt(_error_scale(fitted) * fitted.unscaled[:, -1, -1])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(fitted.coefficients[:, -1]) / error
    return np.asarray(2 * stats.t.sf(np.nan_to_num(t), fitted.freedom), dtype=np.float64)


def _merged(one: Forecast, other: Forecast, at: NDArray[np.bool_]) -> Forecast:
    parts = {name: getattr(one, name).copy() for name in Forecast.__annotations__}
    for name, part in parts.items():
        part[at] = getattr(other, name)
    return replace(one, **parts)


def power_bound(known: Forecast, alpha: float, power: float = 2 / 3) -> Floats:
    """Return the upper 1 - alpha bound of a count whose `power` is about normal (Farrington 1996)."""
    centre, spread = known.mean**power, _power_spread(known, power)
    return np.asarray(np.maximum(centre + stats.norm.ppf(1 - alpha) * spread, 0) ** (1 / power))


def power_tail(y: Floats, known: Forecast, power: float = 2 / 3) -> Floats:
    """Return the chance of a count of y or more, by the same normal."""
    spread = _power_spread(known, power)
    return np.asarray(stats.norm.sf(y**power, known.mean**power, spread), dtype=np.float64)


def _power_spread(known: Forecast, power: float) -> Floats:
    tau = known.phi + known.mean * known.error**2
    return np.asarray(power * known.mean ** (power - 0.5) * np.sqrt(tau), dtype=np.float64)


def count_tail(y: Floats, mean: Floats, phi: Floats) -> Floats:
    """Return P(N >= y) of a negative binomial of variance phi * mean, a Poisson where phi is 1."""
    size = np.where(phi > 1, mean / np.where(phi > 1, phi - 1, 1), 1.0)
    tail = special.betainc(np.maximum(y, 1), size, 1 - 1 / np.where(phi > 1, phi, 2.0))
    exact = np.where(phi > 1, tail, stats.poisson.sf(y - 1, mean))
    return np.asarray(np.where(y > 0, exact, 1.0), dtype=np.float64)


def count_bound(mean: Floats, phi: Floats, alpha: float) -> Floats:
    """Return the 1 - alpha quantile of the same: a count above it alarms."""
    size = np.where(phi > 1, mean / np.where(phi > 1, phi - 1, 1), 1.0)
    scattered = stats.nbinom.ppf(1 - alpha, size, 1 / phi)
    return np.asarray(np.where(phi > 1, scattered, stats.poisson.ppf(1 - alpha, mean)), dtype=np.float64)


def upper_mean(known: Forecast, alpha: float) -> Floats:
    """Return the mean that it exceeds with a chance of alpha alone (Noufaily 2013)."""
    return np.asarray(known.mean * np.exp(stats.norm.ppf(1 - alpha) * known.error), dtype=np.float64)
