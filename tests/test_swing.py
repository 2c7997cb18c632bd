"""A grid's rise is no part of what it is held against, and moves little that is expected of others."""

import numpy as np
import pytest

from layers.stats.situation import ALONE, Departure, departures

TOWNS, COUNTIES = 48, 12
"""Four towns in each of the counties, four grids in each of the towns."""
TOWN, COUNTY = np.repeat(np.arange(TOWNS), 4), np.repeat(np.arange(COUNTIES), 16)
LEVELS = np.r_[0, np.ones(COUNTIES), np.full(TOWNS, 2), np.full(192, 3)].astype(int)
FAMILIES = np.r_[ALONE, np.zeros(COUNTIES), 1 + np.arange(TOWNS) // 4, 100 + TOWN].astype(int)
FIRST = 1 + COUNTIES + TOWNS
"""The row of the first grid."""
BUSY = np.array([3, 1, 3, 3, 4, 8, 5, 5, 6, 9, 5, 6])
"""What a grid held in twelve periods; RARE another one."""
RARE = np.array([1, 0, 2, 6, 1, 3, 0, 2, 1, 4, 1, 2])


def quiet(seed: int = 5, scatter: float = 0.3, mean: float = 2.5) -> np.ndarray:
    """Return counts (192 grids, 13 periods) of a city where nothing but chance happens, this period first."""
    rng = np.random.default_rng(seed)
    own = rng.gamma(1 / scatter, scatter, (192, 13))
    return rng.poisson(rng.gamma(3, mean / 3, (192, 1)) * own)


def judged(grids: np.ndarray) -> Departure:
    """Judge grids with their towns, counties and the whole."""
    towns, counties = (
        np.array([grids[of == one].sum(axis=0) for one in range(of[-1] + 1)]) for of in (TOWN, COUNTY)
    )
    rows = np.vstack([grids.sum(axis=0), counties, towns, grids])
    return departures(rows[:, 0], rows[:, 1:], LEVELS, FAMILIES)


@pytest.mark.parametrize(("past", "now"), [(BUSY, 70), (RARE, 27), (RARE, 218)])
@pytest.mark.parametrize("seed", range(5))
def test_a_rise_is_none_of_its_own_yardstick(past: np.ndarray, now: int, seed: int) -> None:
    """A large share of a small family: nearly all that the family holds is this rise."""
    counts = quiet(seed)
    counts[140:144] = [[now, *past], [3, *np.full(12, 3)], [2, *([1, 2] * 6)], [2, *([1, 2, 2] * 4)]]
    found, row = judged(counts), FIRST + 140
    assert found.departs[row] == 1
    assert found.expected[row] == pytest.approx(past.mean(), rel=0.4)
    low, high = found.interval(np.array([row]))
    assert low <= past.mean() <= high < now
    ratio = found.ratio(np.array([row]))[0]
    assert ratio > now / past.mean() / 1.5
    beside = np.arange(row + 1, row + 4)
    assert not found.departs[beside].any()
    assert (np.abs(found.expected[beside] - [3, 1.5, 5 / 3]) < 1.5).all()
    assert (found.ratio(beside)[0] > 0.5).all(), "they did not fall"


@pytest.mark.parametrize("mean", [2.5, 40])
@pytest.mark.parametrize("times", [3, 30])
def test_what_is_expected_of_the_others_hardly_moves_by_one(mean: float, times: int) -> None:
    counts = quiet(1, 0.1, mean)
    before = judged(counts).expected[FIRST:]
    counts[8, 0] = times * max(counts[8].mean(), 5)
    after = judged(counts).expected[FIRST:]
    assert after[8] == pytest.approx(before[8], rel=1e-9), "nor does its own"
    assert np.abs(np.log(after / before)).max() < 0.15


@pytest.mark.parametrize("factor", [0.5, 1.5, 2])
def test_a_county_that_swings_as_a_whole_is_told_by_the_county(factor: float) -> None:
    counts = quiet(3, 1e-6, 60)
    counts[COUNTY == 4, 0] = np.rint(counts[COUNTY == 4, 0] * factor)
    found = judged(counts)
    assert found.departs[1 + 4] == np.sign(factor - 1)
    assert not found.departs[1 + COUNTIES :].any(), "neither its towns nor their grids"
    assert not np.delete(found.departs, [0, 5]).any()


def test_of_two_that_move_alike_neither_departs_and_one_that_moves_does() -> None:
    rng = np.random.default_rng(2)
    past, family = rng.poisson(50, (80, 12)), np.arange(80) // 2
    now = past.mean(axis=1).round()
    now[:2] *= 2.5
    assert not departures(now, past, np.zeros(80), family).departs.any()
    now[1] = past[1].mean().round()
    assert np.flatnonzero(departures(now, past, np.zeros(80), family).departs).tolist() == [0]


def test_a_swing_without_counts_is_none() -> None:
    """Next to nothing is known of the rest of a family that hardly ever held anything: the group's counts."""
    counts = quiet(4, 1e-6, 20)
    counts[17:20] = 0
    counts[:, 0] = 2 * counts[:, 1:].mean(axis=1).round()
    found = judged(counts)
    assert found.expected[FIRST + 16] == pytest.approx(2 * counts[16, 1:].mean(), rel=0.15)
    assert not found.departs[1:].any()
