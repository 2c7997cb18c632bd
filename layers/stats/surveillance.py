"""Weekly surveillance: which of many series of counts alarm in the last week, and how often chance would."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from layers.stats.expectation import dispersion
from layers.stats.farrington import NOUFAILY, Forecast, Method, forecast, same_weeks, unweighted, usual
from layers.stats.tails import upper_tail

Floats = NDArray[np.float64]
MOST_YEARS = 5
FEWEST_WEEKS = 26
"""With fewer weeks of past nobody can say what a usual week is."""
_FEWEST_YEARS = 2
"""With fewer past years there is no season to be seen: the weeks before are the past."""
_YEARS_OF_SEASONS = 3
_LAST = 3
"""Weeks before the one judged that are left out of a past without seasons, lest a slow rise hide itself."""
_ENOUGH = 100
"""Incidents from which on a series has a season of its own; with fewer it has its share of the whole's."""
_UNKNOWN = float(np.log1p(2))
"""Variance of a mean's logarithm from which on nothing is known of the mean."""
_ROUNDS = 3
"""By which what all series show stands still."""
WINDOWS = replace(NOUFAILY, seasons=1)
"""The weeks around the same week of past years alone."""


@dataclass(frozen=True)
class Expectation:
    """What each series expects in the last week, each of shape (series,)."""

    mean: Floats
    size: Floats
    """Negative-binomial size of the count, the uncertainty of its mean included."""


@dataclass(frozen=True)
class Watch:
    """The last week of each series against its past, each of shape (series,)."""

    count: Floats
    expected: Floats
    threshold: Floats
    """The least count that alarms."""
    p: Floats
    """Chance of so many incidents or more."""
    attained: Floats
    """Chance of an alarm: at most the level, and less where counts are small."""
    alarm: NDArray[np.bool_]


def watch(
    counts: ArrayLike, weeks: NDArray[np.datetime64], level: float, recorded: NDArray[np.bool_] | None = None
) -> Watch:
    """Judge the last week of `counts` (series, weeks), whose first days are `weeks`, one after another.

    A count alarms whose chance is at most `level`, against the forecast of Noufaily et al. 2013 from up to
    MOST_YEARS years. `recorded` says which weeks were recorded, all if None: the others tell nothing. Raises
    ValueError for fewer than FEWEST_WEEKS weeks before the last.
    """
    y = np.asarray(counts, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] != len(weeks) or y.shape[1] <= FEWEST_WEEKS:
        raise ValueError(
            f"counts: {y.shape} must be series by {len(weeks)} weeks, {FEWEST_WEEKS + 1} at least"
        )
    known = expectation(y, weeks, np.ones(len(weeks), bool) if recorded is None else recorded)
    now, threshold = y[:, -1], thresholds(known, level)
    p = upper_tail(now, known.mean, known.size)
    return Watch(
        now, known.mean, threshold, p, upper_tail(threshold, known.mean, known.size), now >= threshold
    )


def expectation(y: Floats, weeks: NDArray[np.datetime64], recorded: NDArray[np.bool_]) -> Expectation:
    """Return what each series expects of its last week.

    Series with ENOUGH of a past are forecast each by itself. The others expect their share of what all of
    them together do: a week of a single beat shows no season.
    """
    at = y.shape[1] - 1
    whole, used = _whole(y.sum(axis=0, keepdims=True), weeks, recorded)
    past = y[:, used]
    known = _shares(past, whole) if len(y) > 1 else whole
    enough, same = past.sum(axis=1) >= _ENOUGH, _same(weeks, at, recorded)
    if len(y) > 1 and same.size >= _FEWEST_YEARS and enough.any():
        own = forecast(y[enough], at, same, _method(same.size), recorded)
        each = _predicted(past[enough], own)
        known.mean[enough], known.size[enough] = each.mean, each.size
    return known


def _method(years: int) -> Method:
    """Return the method for series with enough of a past: of few years ten seasons are too many to know."""
    return NOUFAILY if years >= _YEARS_OF_SEASONS else WINDOWS


def thresholds(known: Expectation, level: float) -> Floats:
    """Return the least count whose chance is at most `level`."""
    below = np.where(
        np.isfinite(known.size),
        stats.nbinom.isf(level, known.size, known.size / (known.size + known.mean)),
        stats.poisson.isf(level, known.mean),
    )
    return np.asarray(below + 1, dtype=np.float64)


def _same(weeks: NDArray[np.datetime64], at: int, recorded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the same week of past years, MOST_YEARS at most; none where too few of them were recorded."""
    half = NOUFAILY.half_window
    every = same_weeks(weeks, at, MOST_YEARS)
    every = every[every >= half]
    known = sum(bool(recorded[week - half : week + half + 1].any()) for week in every)
    return every if known >= _FEWEST_YEARS else every[:0]


def _whole(
    total: Floats, weeks: NDArray[np.datetime64], recorded: NDArray[np.bool_]
) -> tuple[Expectation, NDArray[np.int64]]:
    """Return what all series together expect, and the places of the weeks that it rests on."""
    at = total.shape[1] - 1
    same = _same(weeks, at, recorded)
    if same.size >= _FEWEST_YEARS:
        used = np.arange(max(same[-1] - NOUFAILY.half_window, 0), at - NOUFAILY.skipped)
        used = used[recorded[used]]
        is_dense = total[:, used].sum() >= _ENOUGH
        known = forecast(total, at, same, _method(same.size) if is_dense else WINDOWS, recorded)
    else:
        used = np.flatnonzero(recorded[: at - _LAST])[-52:]
        known = usual(total[:, used])
    found = _predicted(total[:, used], known)
    return replace(found, mean=np.maximum(found.mean, 0.5 / used.size)), used


def _shares(past: Floats, whole: Expectation) -> Expectation:
    """Return each series' share of the whole's expectation, and how uncertain that is."""
    total = past.sum(axis=1) + 0.5  # Jeffreys' prior of a rate: nothing so far is not never
    share = total / total.sum()
    alpha = dispersion(past).upper if past.any() else 0.0
    unsure = (1 + alpha / past.shape[1] * total) / total
    size = 1 / ((1 + unsure) * (1 + alpha) * (1 + 1 / whole.size) - 1)
    return Expectation(share * whole.mean, size)


def _predicted(past: Floats, known: Forecast) -> Expectation:
    """Return what a forecast leaves to expect: scatter, and a mean whose logarithm errs normally.

    Scatter is taken to grow with the square of the mean, as common causes make it: with its multiple, phi,
    a season's peak alarmed half as often again as stated.
    """
    level = np.maximum(past.mean(axis=1), 0.5 / past.shape[1])
    plain = unweighted(known, level)
    alpha = scatter((plain.misfit - 1) / level, level, plain.freedom)
    error = plain.error**2 * (1 + alpha * level) / plain.phi
    # An error of more than 140 % is that of a mean of which nothing is known (Jeffreys' prior).
    unsure = np.expm1(np.minimum(error, _UNKNOWN))
    with np.errstate(divide="ignore"):
        size = np.asarray(1 / ((1 + alpha) * (1 + unsure) - 1), dtype=np.float64)
    return Expectation(plain.mean * np.sqrt(1 + unsure), size)


def scatter(alpha: Floats, level: Floats, freedom: Floats) -> Floats:
    """Return each series' scatter (variance = mean + alpha * mean**2) from estimates that chance moves.

    They are shrunk towards what all series show together, as far as they differ by no more than chance
    (DerSimonian & Laird 1986, Controlled Clinical Trials 7:177): one by one, where there is no scatter, half
    of them show some, and none shows less than none. `level` are mean weeks.
    """
    centre = 0.0
    for _ in range(_ROUNDS):
        variance = 2 / freedom * ((1 + max(centre, 0) * level) / level) ** 2
        weight = 1 / variance
        centre = float((weight * alpha).sum() / weight.sum())
    excess = (weight * (alpha - centre) ** 2).sum() - (len(alpha) - 1)
    free = weight.sum() - (weight**2).sum() / weight.sum()
    between = max(excess / free, 0.0) if len(alpha) > 1 else 0.0
    return np.asarray(np.maximum(centre + between / (between + variance) * (alpha - centre), 0.0))
