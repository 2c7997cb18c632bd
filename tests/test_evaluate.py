"""Measures of forecasts: by hand, at their ends, and as a judge that is not fooled by luck."""

import numpy as np
import pytest

from layers.stats.evaluate import Outcome, calibration, flag, hit_rate, interval, judge, outcome, pai, pei
from layers.stats.forecast import Forecast


def made(hits: float, total: float = 100, best: float = 50, promised: float = 10) -> Outcome:
    return Outcome(0.01, hits, best, total, promised, 100, 0.9, 0.9)


def test_measures_by_hand() -> None:
    outcomes = [made(6), made(10, total=300, best=30)]
    assert hit_rate(outcomes) == 16 / 400
    assert pai(outcomes) == pytest.approx(4)
    assert pei(outcomes) == 16 / 80
    assert calibration(outcomes) == pytest.approx(16 / (10 + 30))


def test_an_outcome_by_hand() -> None:
    forecast = Forecast(np.array([4.0, 3.0, 2.0, 1.0]), np.full(4, 1e9))
    answer = outcome(forecast, [1, 0, 5, 0], np.ones(4), 0.5)
    assert (answer.hits, answer.best, answer.total) == (1, 6, 6)
    assert (answer.promised, answer.promised_total, answer.area_share) == (7, 10, 0.5)


def test_a_random_order_has_a_pai_of_one() -> None:
    rng = np.random.default_rng(0)
    outcomes = [
        outcome(Forecast(rng.uniform(size=2000), np.ones(2000)), rng.poisson(1, 2000), np.ones(2000), 0.05)
        for _ in range(30)
    ]
    assert pai(outcomes) == pytest.approx(1, abs=0.1)


def test_hindsight_has_a_pei_of_one() -> None:
    came = np.random.default_rng(1).poisson(0.3, 500)
    assert pei([outcome(Forecast(came + 1e-6, np.ones(500)), came, np.ones(500), 0.05)]) == 1


def test_cells_are_flagged_by_score_per_area() -> None:
    assert flag([3, 2, 2], [4, 1, 5], 0.1).tolist() == [False, True, False]
    assert flag([3, 2, 1, 0], [1, 1, 1, 1], 0.5).sum() == 2
    with pytest.raises(ValueError, match="share"):
        flag([1], [1], 0)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(100):
        low, high = interval(pai, [made(h) for h in rng.poisson(8, 30)], resamples=200)
        held.append(low <= 8 <= high)
    assert np.mean(held) >= 0.86


def test_overlapping_origins_widen_the_interval() -> None:
    levels = np.repeat(np.random.default_rng(3).poisson(8, 8), 4)
    outcomes = [made(h) for h in levels]
    alone, together = interval(pai, outcomes, block=1), interval(pai, outcomes, block=4)
    assert together[1] - together[0] > alone[1] - alone[0]


def test_only_a_clear_gain_is_promoted() -> None:
    rng = np.random.default_rng(4)
    standing = rng.poisson(50, 30)
    better = judge([made(h * 1.1) for h in standing], [made(h) for h in standing])
    assert better.promoted
    assert better.gain == pytest.approx(0.1)
    assert not judge([made(h * 1.04) for h in standing], [made(h) for h in standing]).promoted
    lucky = rng.poisson(50, 30) + 40 * (np.arange(30) == 3) + 60 * (np.arange(30) == 4)
    assert not judge([made(h) for h in lucky], [made(h) for h in standing]).promoted


def test_the_best_of_many_must_be_clearer() -> None:
    rng = np.random.default_rng(5)
    standing, other = rng.poisson(50, 30), rng.poisson(54, 30)
    alone, among = (
        judge([made(h) for h in other], [made(h) for h in standing], comparisons=c) for c in (1, 10)
    )
    assert among.low < alone.low < alone.gain < alone.high < among.high


def test_other_origins_are_refused() -> None:
    with pytest.raises(ValueError, match="origins"):
        judge([made(1, total=10)], [made(1, total=11)])


@pytest.mark.parametrize(
    ("whole", "hits", "share"), [(4.0, 1, 0.25), (8, 2, 0.25), (40, 4, 0.25), (None, 1, 0.25)]
)
def test_a_share_is_of_the_whole_area(whole: float | None, hits: int, share: float) -> None:
    """Four places of 1 m² that held something, of a whole that reaches further: the rest is flagged last."""
    forecast = Forecast(np.array([4.0, 3.0, 2.0, 1.0]), np.full(4, 1e9))
    answer = outcome(forecast, [1, 1, 1, 1], np.ones(4), 0.25, whole_m2=whole)
    assert (answer.hits, answer.best) == (hits, hits)
    assert answer.area_share == pytest.approx(share)
