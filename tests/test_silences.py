"""A part of the records is silent before it began, in pauses and after it ended; a quiet one is not."""

import numpy as np
import pytest

from gis.silences import silences

DAYS = np.arange(20_000, 21_275)
NONE = np.zeros(0, dtype=np.int64)
Rates = np.ndarray


def of(rates: Rates, rng: np.random.Generator) -> list[tuple[int, int]]:
    counts = rng.poisson(rates)
    return silences(DAYS[counts > 0], DAYS, NONE)


@pytest.mark.parametrize(("a_day", "long"), [(0.3, 150), (1, 60), (3, 21), (3, 114), (9, 10), (9, 400)])
def test_a_pause_is_found_with_its_days(a_day: float, long: int) -> None:
    rng, found = np.random.default_rng(14), 0
    for start in range(300, 700, 4):
        rates = a_day * rng.gamma(7, 1 / 7, len(DAYS))
        rates[start : start + long] = 0
        runs = of(rates, rng)
        (first, end) = next(((a, b) for a, b in runs if a > DAYS[0] and b <= DAYS[-1]), (0, 0))
        near = 8 / a_day + 2
        found += abs(first - DAYS[start]) <= near and abs(end - DAYS[start] - long) <= near and len(runs) == 1
    assert found >= 95


def test_one_part_has_a_beginning_several_pauses_and_an_end() -> None:
    rates = np.full(len(DAYS), 4.0)
    for first, end in ((0, 200), (400, 430), (600, 700), (1200, 1275)):
        rates[first:end] = 0
    found = of(rates, np.random.default_rng(1))
    wanted = [(0, 200), (400, 430), (600, 700), (1200, 1275)]
    np.testing.assert_allclose(np.array(found) - DAYS[0], wanted, atol=1)


def _quiet(kind: str, a_day: float, rng: np.random.Generator) -> Rates:
    day = np.arange(len(DAYS))
    return (
        a_day
        * {
            "constant": np.ones(len(DAYS)),
            "season": (1 + 0.5 * np.sin(2 * np.pi * day / 365)) * rng.gamma(2, 0.5, len(DAYS)),
            "office": np.where(day % 7 < 5, 1.4, 0.0),
            "summer": 4.0 * ((day % 365 > 150) & (day % 365 < 240)),
        }[kind]
    )


@pytest.mark.parametrize("kind", ["constant", "season", "office", "summer"])
@pytest.mark.parametrize("a_day", [0.01, 0.05, 0.14, 0.4, 1, 3, 8])
def test_what_is_rare_quiet_or_seasonal_has_no_silence(kind: str, a_day: float) -> None:
    rng = np.random.default_rng(5)
    assert sum(bool(of(_quiet(kind, a_day, rng), rng)) for _ in range(100)) <= 2


@pytest.mark.parametrize(("a_day", "most"), [(0.05, 2), (0.4, 6), (1, 6), (8, 6)])
def test_busy_and_quiet_weeks_make_few(a_day: float, most: int) -> None:
    """Weeks that are three times as busy as others, at random."""
    rng = np.random.default_rng(6)
    weeks = [np.repeat(rng.gamma(3, 1 / 3, len(DAYS) // 7 + 1), 7)[: len(DAYS)] for _ in range(100)]
    assert sum(bool(of(a_day * week, rng)) for week in weeks) <= most


@pytest.mark.parametrize("before", [1, 2, 3, 10])
def test_an_outbreak_of_what_was_rare_ends_no_pause(before: int) -> None:
    rng = np.random.default_rng(before)
    for _ in range(50):
        rare = rng.choice(DAYS[:1200], before, replace=False)
        held = np.union1d(rare, DAYS[1240:1268])
        assert [run for run in silences(held, DAYS, NONE) if run[0] > DAYS[0]] == []


def test_days_off_are_no_pause() -> None:
    rates = np.full(len(DAYS), 5.0)
    off = DAYS[600:614]
    rates[600:614] = 0
    counts = np.random.default_rng(2).poisson(rates)
    assert silences(DAYS[counts > 0], DAYS, off) == []
    assert silences(DAYS[counts > 0], DAYS, NONE) == [(off[0], off[-1] + 1)]


def test_nothing_held_is_not_silent() -> None:
    assert silences(NONE, DAYS, NONE) == []
