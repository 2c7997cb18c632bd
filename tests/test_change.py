"""Change between two counts: the published values, the level of the test, and no cheap percent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from layers.stats.change import MANY, change, change_of_parts, change_of_whole, e_test


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


def test_a_swing_of_the_whole_is_judged_by_its_past() -> None:
    """Every period moves by 7 %: the E-test alone calls a third of quiet months a change."""
    rng = np.random.default_rng(5)
    months = rng.poisson(3000 * rng.lognormal(0, 0.07, (600, 13)))
    p = [change_of_whole(row[0], row[1], row[1:]).p[0] for row in months]
    assert np.mean([e_test(row[0], row[1]) <= 0.05 for row in months]) > 0.3
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.065
    assert change_of_whole(6000, 3000, months[0, 1:]).p[0] < 0.001, "twice as many still stand out"
    assert np.isnan(change_of_whole(6000, 3000, []).q[0]), "nobody can say how much it swings"


def test_parts_do_not_change_with_the_whole_nor_by_each_other() -> None:
    rng = np.random.default_rng(6)
    alarms = [
        (change_of_parts(rng.poisson(rates * 1.5), rng.poisson(rates)).q <= 0.05).any()
        for rates in rng.gamma(2, 25, (200, 60))
    ]
    assert np.mean(alarms) <= 0.05
    before = np.array([100, 100, 100, 100])
    rose = change_of_parts([240, 104, 95, 101], before)
    assert (rose.q <= 0.05).tolist() == [True, False, False, False]
    for row in ([130, 100, 110, 95], [70, 100, 97, 104], [12, 3, 300, 290]):
        few = change_of_parts(row[::2], row[1::2])
        exact = 2 * min(
            stats.fisher_exact([row[::2], row[1::2]], alternative=side).pvalue for side in ("less", "greater")
        )
        assert few.p[0] == pytest.approx(max(exact, e_test(*row[:2])), rel=0.15)


def test_scatter_of_parts_is_no_change() -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(200):
        counts = rng.poisson(40 * rng.gamma(1 / 0.15, 0.15, (2, 60)))
        found.append([(change_of_parts(*counts, alpha=alpha).q <= 0.05).any() for alpha in (0.0, 0.15)])
    plain, allowed = np.mean(found, axis=0)
    assert plain > 0.9
    assert allowed <= 0.08
