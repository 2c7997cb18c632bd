"""The situation: quiet without news, awake to departures, honest about what still waits."""

import warnings

import numpy as np
import pytest
from scipy import stats

from layers.stats.situation import departures, median_time, share


def grids(rng: np.random.Generator, scatter: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return 200 rates of two levels and 13 periods of counts, with or without scatter between periods."""
    rate = np.r_[rng.gamma(1, 2, 180), rng.gamma(5, 40, 20)]
    factor = rng.gamma(1 / scatter, scatter, (200, 13)) if scatter else np.ones((200, 13))
    return np.r_[np.zeros(180), np.ones(20)], rng.poisson(rate[:, None] * factor)


@pytest.mark.parametrize("scatter", [0.0, 0.2])
def test_without_news_hardly_anything_departs(scatter: float) -> None:
    rng = np.random.default_rng(0)
    alarms = []
    for _ in range(60):
        level, counts = grids(rng, scatter)
        alarms.append((departures(counts[:, -1], counts[:, :-1], level).departs != 0).any())
    assert np.mean(alarms) <= 0.15


def test_departures_are_found_in_their_direction() -> None:
    level, counts = grids(np.random.default_rng(1))
    counts[0, -1], counts[190, -1] = counts[0, :-1].mean() * 3 + 15, 0
    answer = departures(counts[:, -1], counts[:, :-1], level)
    assert (answer.departs[0], answer.departs[190]) == (1, -1)


def test_intervals_cover() -> None:
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(20):
        level, counts = grids(rng, 0.1)
        answer = departures(counts[:, -1], counts[:, :-1], level)
        low, high = answer.interval(np.arange(level.size))
        inside.append((low <= answer.count) & (answer.count <= high))
    assert 0.94 <= np.mean(inside) <= 0.99


def test_the_ratio_covers_one_where_nothing_changed() -> None:
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(20):
        level, counts = grids(rng)
        rows = np.arange(180, 200)
        ratio, low, high = departures(counts[:, -1], counts[:, :-1], level).ratio(rows)
        assert ((low <= ratio) & (ratio <= high)).all()
        inside.append((low <= 1) & (high >= 1))
    assert 0.91 <= np.mean(inside) <= 0.99


def test_a_first_incident_in_a_quiet_group_is_no_alarm_but_many_are() -> None:
    answer = departures([0, 1, 8], np.zeros((3, 12)))
    assert answer.departs.tolist() == [0, 0, 1]


def test_shares_have_exact_intervals() -> None:
    answer = share([0, 5, 10, 0], [10, 10, 10, 0])
    exact = stats.binomtest(5, 10).proportion_ci()
    assert answer.low[1] == pytest.approx(exact.low)
    assert answer.high[1] == pytest.approx(exact.high)
    assert (answer.low[0], answer.high[2]) == (0, 1)
    assert np.isnan(answer.value[3])
    assert (answer.low[3], answer.high[3]) == (0, 1)
    with pytest.raises(ValueError, match="part"):
        share([2], [1])


def test_the_median_counts_what_still_waits() -> None:
    seconds = np.arange(1.0, 101.0)
    done = np.ones(100, dtype=bool)
    assert median_time(seconds, done)[0] == 50
    done[:40] = False  # the first forty gave no answer yet when they were last looked at
    assert median_time(seconds, done)[0] > 60
    assert np.isnan(median_time(seconds, np.arange(100) < 10)[0])
    assert np.isnan(median_time(seconds, np.zeros(100, dtype=bool))).all()


def test_the_medians_interval_covers() -> None:
    rng = np.random.default_rng(3)
    held = []
    for _ in range(200):
        response, waited = rng.exponential(600, 60), rng.exponential(1500, 60)
        _, low, high = median_time(np.minimum(response, waited), response <= waited)
        held.append(low <= 600 * np.log(2) <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.05)


def test_waiting_equals_scipys_curve_and_band() -> None:
    rng = np.random.default_rng(5)
    for size in (3, 12, 80):
        t, done = rng.integers(1, 30, size).astype(float), rng.random(size) < 0.8
        done[0] = True
        curve = stats.ecdf(stats.CensoredData(uncensored=t[done], right=t[~done])).sf
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            band = curve.confidence_interval(method="log-log")
        wanted = []
        for each in (curve, band.low, band.high):
            reached = np.flatnonzero(np.nan_to_num(each.probabilities, nan=1.0) <= 0.5)
            wanted.append(float(curve.quantiles[reached[0]]) if reached.size else np.nan)
        assert median_time(t, done) == pytest.approx(tuple(wanted), nan_ok=True)
