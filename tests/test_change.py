"""Change between two counts: the published values, the level of the test, and no cheap percent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.stats.change import MANY, change, e_test


def test_published_values() -> None:
    # Krishnamoorthy & Thomson 2004, equal exposure.
    assert e_test(6, 2) == pytest.approx(0.1749, abs=5e-5)
    assert e_test(0, 3) == pytest.approx(0.0884, abs=5e-5)


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_test_does_not_mind_the_order(now: int, before: int) -> None:
    assert e_test(now, before) == pytest.approx(e_test(before, now), abs=1e-9)


def test_the_normal_limit_joins_on() -> None:
    exact, normal = e_test(MANY // 2 - 100, MANY // 2 + 100), e_test(MANY // 2 - 99, MANY // 2 + 101)
    assert exact == pytest.approx(normal, abs=2e-3)


@pytest.mark.parametrize("rate", [1.0, 4.0, 30.0])
def test_equal_rates_differ_once_in_twenty(rate: float) -> None:
    rng = np.random.default_rng(0)
    answer = change(rng.poisson(rate, 3000), rng.poisson(rate, 3000))
    assert (answer.p <= 0.05).mean() <= 0.06


def test_no_percent_under_ten() -> None:
    answer = change([6, 9, 10, 30, 8, 12], [3, 10, 10, 20, 80, 0])
    assert np.isnan(answer.percent).tolist() == [True, True, False, False, True, True]
    assert answer.percent[2:4].tolist() == [0, 50]
    assert answer.difference.tolist() == [3, -1, 0, 10, -72, 12]


def test_periods_of_different_length_are_scaled() -> None:
    answer = change([30], [120], now_days=30, before_days=120)
    assert answer.difference[0] == 0
    assert answer.percent[0] == 0
    assert answer.p[0] > 0.9
    assert change([60], [120], 30, 120).p[0] < 0.001


def test_many_comparisons_are_controlled() -> None:
    rng = np.random.default_rng(1)
    alarms = [(change(rng.poisson(8, 200), rng.poisson(8, 200)).q <= 0.05).any() for _ in range(100)]
    assert np.mean(alarms) <= 0.11


@pytest.mark.parametrize(("now", "before"), [([1.5], [1]), ([-1], [1]), ([1, 2], [1])])
def test_bad_counts_are_refused(now: list[float], before: list[float]) -> None:
    with pytest.raises(ValueError, match="now"):
        change(now, before)
