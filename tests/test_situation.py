"""The situation: quiet without news, awake to departures, honest about what still waits."""

import warnings
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats

from gis.grids import Asked
from layers.owning import Owners
from layers.situation import Counted, _rolled
from layers.situation_grids import Grids
from layers.stats.situation import ALONE, Departure, departures, median_time, share


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


@pytest.mark.parametrize(("periods", "each"), [(6, 1), (12, 5), (12, 500)])
def test_a_ratio_to_next_to_nothing_has_no_upper_end(periods: int, each: int) -> None:
    """One grid of hundreds holds everything: what is next to nothing in the others is the prior's guess."""
    past = np.zeros((300, periods))
    past[0] = each
    now = np.zeros(300)
    now[[0, 1, 2]] = 1, 3, 1
    answer = departures(now, past, np.zeros(300), np.zeros(300, dtype=int))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ratio, low, high = answer.ratio(np.arange(300))
    assert np.isinf(high[1:]).all()
    assert (ratio[1:3] > 1).all()
    assert np.isfinite(low).all()
    assert np.isfinite(high[0])
    full = departures([3, 1], [[2] * periods, [1] * periods], [0, 0], [0, 0]).ratio(np.arange(2))[2]
    assert np.isfinite(full).all(), "what is known has an end"


def test_a_first_incident_in_a_quiet_group_is_no_alarm_but_many_are() -> None:
    answer = departures([0, 1, 8], np.zeros((3, 12)))
    assert answer.departs.tolist() == [0, 0, 1]


DISTRICTS = np.repeat(np.arange(5), 12)
LEVELS = np.r_[0, np.ones(5), np.full(60, 2)]
FAMILIES = np.r_[ALONE, np.zeros(5), 1 + DISTRICTS].astype(int)


def city(rng: np.random.Generator, mean: float, shock: float, scatter: float) -> np.ndarray:
    """Return 13 periods of a city, 5 districts and 60 grids; every period moves all of them by one factor."""
    rates = rng.gamma(2, mean / 2, 60)
    common, own = rng.lognormal(0, shock, 13), rng.gamma(1 / scatter, scatter, (60, 13))
    grids = rng.poisson(rates[:, None] * common * own)
    return np.vstack([grids.sum(0), *(grids[one == DISTRICTS].sum(0) for one in range(5)), grids])


def judged(counts: np.ndarray) -> Departure:
    return departures(counts[:, 0], counts[:, 1:], LEVELS, FAMILIES)


@pytest.mark.parametrize("shock", [0.0, 0.07, 0.2])
@pytest.mark.parametrize("mean", [0.3, 3, 50])
def test_a_swing_of_all_is_no_departure_of_each(mean: float, shock: float) -> None:
    rng = np.random.default_rng(7)
    found = [judged(city(rng, mean, shock, 0.1)) for _ in range(100)]
    assert np.mean([one.departs[0] != 0 for one in found]) <= 0.08  # 6 % and what 100 cities may show of it
    assert np.mean([one.departs.any() for one in found]) <= 0.12  # likewise 8 %


def test_ratios_cover_under_a_common_swing() -> None:
    rng, rows = np.random.default_rng(8), np.arange(66)
    ends = [judged(city(rng, 20, 0.07, 1e-6)).ratio(rows) for _ in range(300)]
    inside = np.array([(low <= 1) & (high >= 1) for _, low, high in ends])
    assert 0.93 <= inside[:, 0].mean() <= 0.975
    assert 0.93 <= inside[:, 1:6].mean() <= 0.97
    assert 0.93 <= inside[:, 6:].mean() <= 0.97


def test_a_city_that_doubles_is_told_once_and_a_grid_that_does_not_follow_is_told() -> None:
    counts = city(np.random.default_rng(9), 50, 0.03, 1e-6)
    counts[:, 0] *= 2
    departs = judged(counts).departs
    assert departs[0] == 1
    assert not departs[1:].any()
    counts[6 + 3, 0] *= 4
    counts[1, 0] = counts[6:18, 0].sum()
    counts[0, 0] = counts[1:6, 0].sum()
    departs = judged(counts).departs
    assert departs[6 + 3] == 1
    assert not (departs < 0).any(), "those beside it did not fall"


def test_one_that_is_its_whole_family_never_departs_from_it() -> None:
    past = np.full((2, 8), 20)
    answer = departures([60, 60], past, [0, 1], [ALONE, 0])
    assert answer.departs.tolist() == [1, 0]
    assert answer.interval(np.array([1])) == (60, 60)


def test_fewer_than_six_periods_are_refused() -> None:
    with pytest.raises(ValueError, match="6 are needed"):
        departures([1], [[1] * 5])


def test_shares_have_exact_intervals() -> None:
    answer = share([0, 5, 10, 0], [10, 10, 10, 0])
    exact = stats.binomtest(5, 10).proportion_ci()
    assert answer.low[1] == pytest.approx(exact.low)
    assert answer.high[1] == pytest.approx(exact.high)
    assert (answer.low[0], answer.high[2]) == (0, 1)
    assert np.isnan(answer.value[3])
    assert np.isnan([answer.low[3], answer.high[3]]).all()
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


def test_intervals_are_never_upside_down() -> None:
    """Rows of which next to nothing is expected, and rows that hold nearly all of their family."""
    rng = np.random.default_rng(11)
    rates = np.concatenate([rng.uniform(0.001, 0.2, 60), [30.0, 60.0]])
    past, now = rng.poisson(rates[:, None], (62, 12)), rng.poisson(rates)
    found = departures(now, past, family=np.repeat([0, 1], 31))
    low, high = found.interval(np.arange(62))
    assert (low <= high).all()
    assert (low <= found.expected + 1e-9).all()
    assert (high >= np.floor(found.expected)).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 4), st.integers(1, 5))
def test_counts_of_rows_are_those_counted_one_by_one(
    seed: int, incidents: int, categories: int, periods: int
) -> None:
    rng = np.random.default_rng(seed)
    incidents = incidents if categories else 0
    owner, period = rng.integers(0, 6, incidents), rng.integers(0, periods, incidents)
    category = rng.integers(0, max(categories, 1), incidents)
    holds, within = rng.integers(0, 2, (4, 6)), rng.random((3, categories)) < 0.6
    weight = rng.integers(0, 3, incidents).astype(np.int32)
    owners = Owners(Asked("s", date(2025, 1, 1), 1), [], {})
    inside = Grids(
        list("abcd"), list("abcd"), np.ones(4, dtype=np.int64), owners, sparse.csr_array(holds), holds
    )
    counted = Counted(owner, category, period, periods, weight, weight, weight > 0, 0)
    expected = np.zeros((4, 3, periods))
    for grid, row in np.ndindex(4, 3):
        for one in range(incidents):
            if holds[grid, owner[one]] and within[row, category[one]]:
                expected[grid, row, period[one]] += weight[one]
    found = _rolled(counted, weight, inside, within)
    assert (found == expected.reshape(-1, periods)).all()
    assert found.shape == (12, periods)
