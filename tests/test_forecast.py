"""The baseline forecast: honest about level, gaps, falling back and its own uncertainty."""

import numpy as np
import pytest

from layers.stats.evaluate import calibration, outcome
from layers.stats.forecast import Forecast, Past, baseline, calibrate, hindcast_origins, plain, total


def city(days: int = 600, cells: int = 800, seed: int = 0, drift: float = 0.0) -> Past:
    """Return incidents of a city whose cells differ, and whose rates wander from day to day by `drift`."""
    rng = np.random.default_rng(seed)
    rate = np.log(rng.gamma(0.8, 0.02 / 0.8, cells) + 1e-4)
    cell, day = [], []
    for today in range(days):
        rate = rate + drift * rng.normal(size=cells)
        counts = rng.poisson(np.exp(rate))
        cell.append(np.repeat(np.arange(cells), counts))
        day.append(np.full(counts.sum(), today))
    return Past(np.concatenate(cell), np.concatenate(day), np.arange(days), cells)


def test_the_order_is_that_of_the_counts_so_far() -> None:
    past = city()
    forecast = baseline(past, 500, 30)
    seen = past.counts(0, 500)
    assert (np.diff(forecast.mean[np.argsort(seen, kind="stable")]) >= -1e-12).all()
    assert (forecast.mean > 0).all()


def test_nothing_after_the_origin_is_looked_at() -> None:
    past = city()
    cut = Past(past.cell[past.day < 400], past.day[past.day < 400], past.observed[:400], past.cells)
    np.testing.assert_array_equal(baseline(past, 400, 30).mean, baseline(cut, 400, 30).mean)


@pytest.mark.parametrize("drift", [0.0, 0.02])
def test_intervals_cover_and_promises_hold(drift: float) -> None:
    outcomes, inside = [], []
    for seed in range(6):
        past = city(seed=seed, drift=drift)
        forecast, came = baseline(past, 570, 30), past.counts(570, 600)
        outcomes.append(outcome(forecast, came, np.ones(past.cells), 0.05, seed))
        inside.append(np.abs(forecast.pit(came, seed) - 0.5) < 0.45)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
    assert np.mean([o.covered_flagged for o in outcomes]) == pytest.approx(0.9, abs=0.05)
    assert calibration(outcomes) == pytest.approx(1, abs=0.1)


def test_wandering_rates_need_calibration() -> None:
    past = city(drift=0.04)
    flagged = [
        outcome(f, past.counts(570, 600), np.ones(past.cells), 0.05).covered_flagged
        for f in (plain(past, 570, 30), baseline(past, 570, 30))
    ]
    assert flagged[0] < flagged[1]


def test_whole_counts_cover_at_least_what_they_promise() -> None:
    past = city()
    low, high = baseline(past, 570, 30).interval(0.8)
    came = past.counts(570, 600)
    assert ((low <= came) & (came <= high)).mean() >= 0.8
    assert (low <= high).all()


def test_a_gap_in_the_records_is_not_a_quiet_time() -> None:
    past = city()
    gap = (past.day < 200) | (past.day >= 350)
    days = past.observed[(past.observed < 200) | (past.observed >= 350)]
    gapped = Past(past.cell[gap], past.day[gap], days, past.cells)
    assert baseline(gapped, 570, 30).mean.sum() == pytest.approx(baseline(past, 570, 30).mean.sum(), rel=0.05)
    starts = hindcast_origins(gapped, 570, 30)
    assert not any(170 < start < 350 for start in starts)
    assert min(starts) >= 60


def test_a_half_life_follows_a_move() -> None:
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(400), 2)
    cell = np.where(day < 300, 0, 1) + 2 * rng.integers(0, 2, day.size)
    past = Past(cell, day, np.arange(400), 50)
    assert baseline(past, 400, 30).mean[0] > baseline(past, 400, 30).mean[1]
    assert baseline(past, 400, 30, half_life=30).mean[1] > baseline(past, 400, 30, half_life=30).mean[0]


def test_calibration_finds_extremes_that_fall_back() -> None:
    rng = np.random.default_rng(2)
    thought = rng.gamma(0.5, 2, 5000)
    truth = thought**0.6
    came = [rng.poisson(truth) for _ in range(4)]
    found = calibrate([Forecast(thought, np.full(5000, 1e9))] * 4, came)
    assert found.power == pytest.approx(0.6, abs=0.03)


def test_nothing_known_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing recorded before day 0"):
        baseline(city(days=100), 0, 30)


def test_what_first_happened_yesterday_is_forecast_from_that() -> None:
    """The city recorded long before: there is nothing of it to learn from, and nothing to stumble over."""
    past = Past(np.array([3]), np.array([599]), np.arange(600), 800)
    assert hindcast_origins(past, 600, 30) == []
    assert 0 < baseline(past, 600, 30).mean.sum() < 30


@pytest.mark.parametrize("of_area", [False, True])
def test_the_total_does_not_hang_on_how_the_city_is_cut(of_area: bool) -> None:
    rng = np.random.default_rng(5)
    shock = np.repeat(np.exp(rng.normal(0, 0.2, 15)), 30)
    counts = rng.poisson(4 * shock)
    day = np.repeat(np.arange(len(counts)), counts)
    city_day = np.sort(np.concatenate([day, rng.integers(0, len(counts), 900)])) if of_area else None
    found = []
    for cells in (1, 7, 50, 400, 3000):
        cell = rng.integers(0, cells, len(day))
        past = Past(cell, day, np.arange(len(counts)), cells, city_day)
        found.append(total(past, baseline(past, 420, 30), 420, 30))
    assert [one.mean for one in found] == pytest.approx([found[0].mean] * 5)
    assert [one.size for one in found] == [found[0].size] * 5


@pytest.mark.parametrize(("a_day", "shock"), [(0.15, 0.0), (1, 0.0), (1, 0.07), (15, 0.0), (15, 0.07)])
def test_the_interval_of_the_total_covers(a_day: float, shock: float) -> None:
    """Of 150 cities whose level swings from month to month; whole counts cover rather more."""
    inside = np.zeros(2)
    for seed in range(150):
        rng = np.random.default_rng(seed)
        level = np.repeat(np.exp(rng.normal(0, shock, 14)), 30)
        counts = rng.poisson(a_day * level)
        day = np.repeat(np.arange(len(counts)), counts)
        past = Past(np.zeros(len(day), dtype=np.int64), day, np.arange(len(counts)), 1)
        known = total(past, plain(past, 390, 30), 390, 30)
        ends = [known.interval(coverage) for coverage in (0.8, 0.95)]
        inside += [low <= counts[390:].sum() <= high for low, high in ends]
    assert 0.74 <= inside[0] / 150 <= 0.93
    assert inside[1] / 150 >= 0.9
