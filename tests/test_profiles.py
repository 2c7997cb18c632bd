"""Profiles by hour and weekday: right slots, right rates, a test that keeps its level."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from layers.stats.profiles import by_hour, by_week_hour, by_weekday
from layers.week_hours import hours_held

# A Monday at 00:00, the Sunday after at 23:59, the next Monday at 05:30.
THREE = np.array(["2024-01-01T00:00", "2024-01-07T23:59", "2024-01-08T05:30"], dtype="datetime64[s]")


def days(number: int) -> np.ndarray:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return hours_held(start, start + timedelta(days=number), UTC)


def test_weeks_begin_on_monday() -> None:
    table = by_week_hour(THREE)
    assert table.shape == (7, 24)
    assert table[0, 0] == table[6, 23] == table[0, 5] == 1
    assert table.sum() == 3


def test_weekdays_are_divided_by_how_often_they_come() -> None:
    answer = by_weekday(THREE, days(8))  # two Mondays, one of every other day
    assert answer.slots.tolist() == [2, 1, 1, 1, 1, 1, 1]
    assert answer.rate.tolist() == [1, 0, 0, 0, 0, 0, 1]


def test_days_that_never_come_have_no_rate() -> None:
    answer = by_weekday(THREE[:1], days(2))
    assert np.isnan(answer.rate[2:]).all()
    with pytest.raises(ValueError, match="outside the period"):
        by_weekday(THREE, days(2))


def test_intervals_are_garwoods() -> None:
    answer = by_hour(np.repeat(THREE[:1], 7), days(10))
    assert answer.rate[0] == 0.7
    assert answer.low[0] == pytest.approx(stats.chi2.ppf(0.025, 14) / 2 / 10)
    assert answer.high[0] == pytest.approx(stats.chi2.ppf(0.975, 16) / 2 / 10)
    assert answer.low[1] == 0
    assert answer.high[1] == pytest.approx(-np.log(0.025) / 10)


def test_an_even_profile_is_not_called_a_pattern() -> None:
    rng, start = np.random.default_rng(0), np.datetime64("2024-01-01T00:00", "s")
    p = [by_hour(start + rng.integers(0, 30 * 86400, 500), days(30)).p for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) <= 0.09


def test_a_peak_is() -> None:
    rng, start = np.random.default_rng(1), np.datetime64("2024-01-01T10:00", "s")
    times = start + 86400 * rng.integers(0, 30, 200) + rng.integers(0, 36000, 200)
    assert by_hour(times, days(30)).p < 1e-6


def test_nothing_has_no_pattern() -> None:
    assert by_hour(THREE[:0], days(30)).p == 1


def counted(start: datetime, end: datetime, zone: ZoneInfo) -> np.ndarray:
    """Count the minutes of a period one by one."""
    held = np.zeros((7, 24))
    moment = start.astimezone(UTC)
    while moment < end.astimezone(UTC):
        local = moment.astimezone(zone)
        held[local.weekday(), local.hour] += 1 / 60
        moment += timedelta(minutes=1)
    return held


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Asia/Shanghai", (2025, 3, 3, 17, 20), (2025, 3, 9, 5, 47)),
        ("America/Chicago", (2025, 3, 7, 12), (2025, 3, 11)),
        ("America/Chicago", (2025, 11, 1), (2025, 11, 4, 1, 30)),
        ("Australia/Lord_Howe", (2025, 4, 5, 9), (2025, 4, 7)),
        ("America/Havana", (2025, 3, 8), (2025, 3, 10, 3)),
        ("Asia/Kathmandu", (2025, 1, 1, 3, 3), (2025, 1, 1, 3, 4)),
    ],
)
def test_hours_of_a_period_are_those_of_its_minutes(
    zone: str, start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    there = ZoneInfo(zone)
    ends = [datetime(*each, tzinfo=there) for each in (start, end)]  # type: ignore[arg-type, misc]
    assert hours_held(*ends, there) == pytest.approx(counted(*ends, there), abs=1e-9)


def test_part_of_a_day_is_no_whole_one() -> None:
    """Ten an hour from 18:00 on, three evenings and two whole days: one rate throughout."""
    start, end = datetime(2025, 3, 3, 18, tzinfo=UTC), datetime(2025, 3, 6, tzinfo=UTC)
    hours = np.arange(54) * 3600 + 18 * 3600
    times = np.datetime64("2025-03-03T00:00", "s") + np.repeat(hours, 10)
    answer = by_hour(times, hours_held(start, end, UTC))
    assert answer.slots.tolist() == [2.0] * 18 + [3.0] * 6
    assert answer.rate.tolist() == [10.0] * 24
    assert answer.p > 0.999
    by_days = by_weekday(times, hours_held(start, end, UTC))
    assert by_days.slots[:4].tolist() == [0.25, 1, 1, 0]
    assert by_days.rate[:3].tolist() == [240.0] * 3


def test_p_of_a_few_is_exact() -> None:
    """Three incidents by hour: all in one (24 of 24**3 ways), two in one, or none together."""
    same = by_hour(np.repeat(THREE[:1], 3), days(20)).p
    assert same == pytest.approx(1 / 24**2, abs=0.0015)
    assert by_hour(THREE, days(20)).p == 1.0
    pair = by_hour(THREE[[0, 0, 1]], days(20)).p
    assert pair == pytest.approx(1 - 23 * 22 / 24**2, abs=0.01)


@pytest.mark.parametrize("number", [3, 12, 49])
def test_the_test_keeps_its_level_with_few(number: int) -> None:
    rng, start = np.random.default_rng(number), np.datetime64("2024-01-01T00:00", "s")
    p = [by_hour(start + rng.integers(0, 30 * 86400, number), days(30)).p for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.08
