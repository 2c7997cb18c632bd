"""Profiles by hour and weekday: right slots, right rates, a test that keeps its level."""

from datetime import date

import numpy as np
import pytest
from scipy import stats

from layers.stats.profiles import by_hour, by_week_hour, by_weekday

# A Monday at 00:00, the Sunday after at 23:59, the next Monday at 05:30.
THREE = np.array(["2024-01-01T00:00", "2024-01-07T23:59", "2024-01-08T05:30"], dtype="datetime64[s]")


def test_weeks_begin_on_monday() -> None:
    table = by_week_hour(THREE)
    assert table.shape == (7, 24)
    assert table[0, 0] == table[6, 23] == table[0, 5] == 1
    assert table.sum() == 3


def test_weekdays_are_divided_by_how_often_they_come() -> None:
    answer = by_weekday(THREE, date(2024, 1, 1), 8)  # two Mondays, one of every other day
    assert answer.slots.tolist() == [2, 1, 1, 1, 1, 1, 1]
    assert answer.rate.tolist() == [1, 0, 0, 0, 0, 0, 1]


def test_days_that_never_come_have_no_rate() -> None:
    answer = by_weekday(THREE[:1], date(2024, 1, 1), 2)
    assert np.isnan(answer.rate[2:]).all()
    with pytest.raises(ValueError, match="outside the period"):
        by_weekday(THREE, date(2024, 1, 1), 2)


def test_intervals_are_garwoods() -> None:
    answer = by_hour(np.repeat(THREE[:1], 7), 10)
    assert answer.rate[0] == 0.7
    assert answer.low[0] == pytest.approx(stats.chi2.ppf(0.025, 14) / 2 / 10)
    assert answer.high[0] == pytest.approx(stats.chi2.ppf(0.975, 16) / 2 / 10)
    assert answer.low[1] == 0
    assert answer.high[1] == pytest.approx(-np.log(0.025) / 10)


def test_an_even_profile_is_not_called_a_pattern() -> None:
    rng, start = np.random.default_rng(0), np.datetime64("2024-01-01T00:00", "s")
    p = [by_hour(start + rng.integers(0, 30 * 86400, 500), 30).p for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) <= 0.09


def test_a_peak_is() -> None:
    rng, start = np.random.default_rng(1), np.datetime64("2024-01-01T10:00", "s")
    times = start + 86400 * rng.integers(0, 30, 200) + rng.integers(0, 36000, 200)
    assert by_hour(times, 30).p < 1e-6


def test_nothing_has_no_pattern() -> None:
    assert by_hour(THREE[:0], 30).p == 1
