"""A part of the records is silent before it began, in pauses and after it ended; a quiet one is not."""

from datetime import date

import numpy as np
import pytest

from gis.silences import silences
from layers.silent_areas import without_strays

DAYS = np.arange(20_000, 21_275)
EPOCH = date(1970, 1, 1)
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


@pytest.mark.parametrize("strays", [0, 1, 2, 5])
@pytest.mark.parametrize("a_day", [0.7, 3.0])
def test_a_few_strays_before_it_joined_do_not_hide_it(strays: int, a_day: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        days, joined = np.arange(19_000, 19_700), 19_500
        held = days[(days >= joined) & (rng.poisson(a_day, len(days)) > 0)]
        before = rng.choice(np.arange(19_000, joined - 40), strays, replace=False)
        found = silences(without_strays(np.union1d(before, held), days), days, NONE)
        assert found[0][0] == 19_000
        assert found[0][1] == held[0]


@pytest.mark.parametrize("left", [0.02, 0.05, 0.1])
def test_what_fell_and_what_grew_is_no_stray(left: float) -> None:
    rng = np.random.default_rng(7)
    days = np.arange(19_000, 19_700)
    fell = days[(days < 19_600) | (rng.random(len(days)) < left)]
    assert np.array_equal(without_strays(fell, days), fell)
    grew = days[rng.random(len(days)) < np.linspace(0.03, 1, len(days))]
    assert len(without_strays(grew, days)) >= 0.97 * len(grew)


@pytest.mark.parametrize(("before", "behind"), [(18, 15), (10, 20), (7, 7)])
def test_a_season_by_the_moon_is_no_pause(before: int, behind: int) -> None:
    """Closed around Spring Festival, which moves by up to three weeks, and at weekends."""
    festivals = [date(2023, 1, 22), date(2024, 2, 10), date(2025, 1, 29), date(2026, 2, 17)]
    days = np.arange((date(2022, 9, 1) - EPOCH).days, (date(2026, 9, 1) - EPOCH).days)
    closed = np.isin((days + 3) % 7, [5, 6])
    for one in festivals:
        at = (one - EPOCH).days
        closed |= (days >= at - before) & (days <= at + behind)
    assert silences(days[~closed], days, NONE) == []


TAILS = [
    (0.73, 35, [7, 13, 17]),
    (0.73, 35, [8, 19]),
    (2.0, 40, [3, 8, 15, 21]),
    (5.0, 30, [2, 3, 7, 12, 16]),
]
"""How many a day there were, how many days ago that fell, and the days since then with records."""


def _fallen(a_day: float, ago: int, left: list[int], seed: int) -> np.ndarray:
    rng, until = np.random.default_rng(seed), DAYS[-1] + 1 - ago
    before = DAYS[(rng.poisson(a_day, len(DAYS)) > 0) & (until > DAYS)]
    return np.concatenate([before, until + np.array(left)])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("a_day", "ago", "left"), TAILS)
def test_what_fell_and_holds_nothing_of_late_has_not_ended(
    a_day: float, ago: int, left: list[int], seed: int
) -> None:
    held = _fallen(a_day, ago, left, seed)
    assert silences(held, DAYS, NONE) == []
    back = DAYS[0] + DAYS[-1] - held[::-1]
    assert silences(back, DAYS, NONE) == [], "nor did what rose begin as it did"
    assert silences(np.append(held, DAYS[-1]), DAYS, NONE) == [], "nor does it pause"


@pytest.mark.parametrize(("a_day", "ago", "most"), [(0.73, 60, 10), (0.73, 120, 4), (1.5, 60, 4), (5, 20, 5)])
def test_a_fall_to_a_tenth_is_seldom_an_end(a_day: float, ago: int, most: int) -> None:
    rng = np.random.default_rng(8)
    rates = np.where(DAYS[-1] - ago < DAYS, 0.1 * a_day, a_day)
    assert sum(any(end > DAYS[-1] for _, end in of(rates, rng)) for _ in range(100)) <= most


@pytest.mark.parametrize(("a_day", "long"), [(1.0, 45), (3.0, 30), (10.0, 20)])
def test_what_ran_out_over_three_weeks_has_ended(a_day: float, long: int) -> None:
    rng = np.random.default_rng(9)
    rates = np.full(len(DAYS), a_day)
    rates[-long - 21 : -long] = np.repeat([0.5, 0.2, 0.1], 7) * a_day
    rates[-long:] = 0
    assert sum(any(end > DAYS[-1] for _, end in of(rates, rng)) for _ in range(100)) >= 85
