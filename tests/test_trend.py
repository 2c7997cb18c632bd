"""Mann-Kendall: equal to pymannkendall where that is right, and calibrated where series remember."""

import numpy as np
import pymannkendall
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.stats.trend import inflation, mann_kendall, memory, overlap, sen_slope
from tests.lattice import discs

SIDE = 30


def false_alarms(kind: str, steps: int, lam: float, maps: int) -> float:
    """Return the share of trendless series with p <= 0.05, each the sum of a disc that others share."""
    rng, disc = np.random.default_rng(steps), discs(SIDE)
    shares = []
    for _ in range(maps):
        if kind == "remembering":
            level, rates = np.zeros(SIDE * SIDE), []
            for _ in range(steps + 30):
                level = 0.6 * level + rng.normal(0, 0.4, level.size)
                rates.append(level)
            series = disc @ rng.poisson(lam * np.exp(np.transpose(rates[30:])))
            answer = mann_kendall(series, memory(series))
        else:
            periods = disc @ rng.poisson(lam, (SIDE * SIDE, steps + 1))
            shared = kind == "sharing the step before"
            series = periods[:, 1:] + periods[:, :-1] if shared else periods[:, 1:]
            answer = mann_kendall(series, overlap(steps, 2) if shared else None)
        shares.append((answer.p <= 0.05).mean())
    return float(np.mean(shares))


KINDS = ["sharing neighbours", "sharing the step before", "remembering"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [12, 24])
def test_false_alarms_stay_at_six_percent(kind: str, steps: int) -> None:
    assert false_alarms(kind, steps, 0.5, maps=5) <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [10, 12, 24, 52])
@pytest.mark.parametrize("lam", [0.05, 0.3, 2.0])
def test_false_alarms_stay_at_six_percent_over_60_maps(kind: str, steps: int, lam: float) -> None:
    assert false_alarms(kind, steps, lam, maps=60) <= 0.06


def test_the_correction_is_needed() -> None:
    periods = discs(SIDE) @ np.random.default_rng(0).poisson(0.5, (SIDE * SIDE, 25))
    assert (mann_kendall(periods[:, 1:] + periods[:, :-1]).p <= 0.05).mean() > 0.1


@pytest.mark.parametrize("seed", range(20))
def test_statistics_are_pymannkendalls(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = rng.poisson(rng.uniform(0.3, 20), (1, rng.integers(8, 60)))  # with many ties
    ours, theirs = mann_kendall(series), pymannkendall.original_test(series[0])
    assert ours.s[0] == theirs.s
    assert ours.tau[0] == pytest.approx(theirs.Tau)
    assert ours.z[0] == pytest.approx(theirs.z, abs=1e-6)
    assert ours.p[0] == pytest.approx(theirs.p, abs=1e-6)
    assert sen_slope(series)[0] == pytest.approx(theirs.slope)


def test_pymannkendalls_own_series() -> None:
    # From its README and tests: a rising, a constant and an arbitrary series.
    rising, constant = np.arange(360.0), np.ones(360)
    answer = mann_kendall([rising, constant])
    assert answer.direction().tolist() == [1, 0]
    assert answer.p[1] == 1
    assert answer.s[0] == 64620
    assert answer.z[0] == pytest.approx(pymannkendall.original_test(rising).z, abs=1e-6)


def test_inflation_of_independent_steps_is_one_and_the_variance_is_kendalls() -> None:
    assert inflation(12, [1, *[0] * 11]) == pytest.approx(1)
    drawn = mann_kendall(np.random.default_rng(1).normal(size=(20000, 12)))
    assert drawn.s.var() == pytest.approx(12 * 11 * 29 / 18, rel=0.03)


def test_inflation_is_the_variance_of_s_under_overlap() -> None:
    x = np.random.default_rng(2).normal(size=(20000, 14))
    s = mann_kendall(x[:, 2:] + x[:, 1:-1] + x[:, :-2]).s
    assert s.var() / (12 * 11 * 29 / 18) == pytest.approx(inflation(12, overlap(12, 3)), rel=0.03)


def test_memory_is_recovered_from_short_series() -> None:
    rng = np.random.default_rng(3)
    x = [rng.normal(size=3000)]
    for _ in range(11):
        x.append(0.5 * x[-1] + rng.normal(0, np.sqrt(0.75), 3000))
    assert memory(np.transpose(x))[:4] == pytest.approx([1, 0.5, 0.25, 0.125], abs=0.04)
    assert memory(np.ones((5, 12))).tolist() == [1, *[0] * 11]


@given(st.lists(st.integers(0, 9), min_size=4, max_size=15))
def test_a_series_read_backwards_has_the_opposite_trend(values: list[int]) -> None:
    forwards, backwards = mann_kendall([values]), mann_kendall([values[::-1]])
    assert forwards.s[0] == -backwards.s[0]
    assert forwards.p[0] == backwards.p[0]


def test_a_true_trend_is_found_despite_the_correction() -> None:
    rng = np.random.default_rng(4)
    rising = rng.poisson(np.linspace(2, 12, 24), (500, 24))
    assert (mann_kendall(rising, overlap(24, 2)).direction() == 1).mean() > 0.9


def test_too_short_series_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 steps"):
        mann_kendall([[1, 2, 3]])
    with pytest.raises(ValueError, match="must be"):
        inflation(12, [1, 0])
