"""Shrunk rates: between the cell's own rate and the area's, with intervals that cover."""

import numpy as np
import pytest
from scipy import stats

from layers.stats.shrink import shrink


def test_the_prior_is_recovered_and_intervals_cover() -> None:
    rng = np.random.default_rng(2)
    exposure = rng.uniform(5, 200, 4000)
    rate = rng.gamma(2.0, 0.05 / 2.0, 4000)
    answer = shrink(rng.poisson(rate * exposure), exposure)
    assert answer.prior_shape == pytest.approx(2.0, rel=0.1)
    assert answer.prior_mean == pytest.approx(0.05, rel=0.05)
    low, high = answer.interval(0.9)
    assert np.mean((low <= rate) & (rate <= high)) == pytest.approx(0.9, abs=0.02)


def test_small_cells_move_more_than_large_ones() -> None:
    counts, exposure = np.array([3, 300, 10, 400, 0]), np.array([10, 1000, 100, 9000, 5.0])
    answer = shrink(counts, exposure)
    raw = counts / exposure
    moved = np.abs(answer.mean - raw) / np.abs(raw - answer.prior_mean)
    assert moved[0] > moved[1]
    assert (np.minimum(raw, answer.prior_mean) <= answer.mean).all()
    assert (answer.mean <= np.maximum(raw, answer.prior_mean)).all()


def test_equal_rates_shrink_all_the_way() -> None:
    rng = np.random.default_rng(4)
    shapes = [shrink(rng.poisson(5, 500), np.full(500, 50.0)).prior_shape for _ in range(20)]
    assert np.median(shapes) > 200


def test_no_spread_at_all_gives_the_areas_rate() -> None:
    answer = shrink(np.full(30, 5), np.full(30, 50.0))
    assert np.isinf(answer.prior_shape)
    np.testing.assert_allclose(answer.mean, 0.1)
    low, high = answer.interval()
    assert ((low < 0.1) & (high > 0.1)).all(), "the rate itself is known from 150 incidents only"


def test_no_incidents_give_rate_zero_and_tell_how_far_that_is_known() -> None:
    answer = shrink(np.zeros(3), np.ones(3))
    assert (answer.mean == 0).all()
    # Jeffreys' interval of a rate with no event in an exposure of 3.
    np.testing.assert_allclose(answer.interval()[1], stats.gamma.ppf(0.975, 0.5) / 3)


def test_three_cells_have_an_interval() -> None:
    low, high = shrink([1, 0, 1], [1, 1, 1]).interval()
    assert (high - low > 0.5).all()


@pytest.mark.parametrize("sd", [0.3, 0.5, 0.8])
@pytest.mark.parametrize(("cells", "exposure"), [(60, 3.0), (200, 1.0), (1000, 0.5), (3000, 3.0)])
def test_intervals_cover_though_the_prior_is_guessed(cells: int, exposure: float, sd: float) -> None:
    """Where little is known the interval covers more: it cannot tell a spread of 0.3 from one of 0.8."""
    rng = np.random.default_rng(7)
    inside = []
    for _ in range(max(12, 3000 // cells)):
        rate = rng.gamma(1 / sd**2, sd**2, cells)
        low, high = shrink(rng.poisson(rate * exposure), np.full(cells, exposure)).interval()
        inside.append(np.mean((low <= rate) & (rate <= high)))
    assert 0.90 <= np.mean(inside) <= 0.995


def test_a_cell_without_exposure_gets_the_prior() -> None:
    answer = shrink([0, 4, 30, 2], [0, 10, 20, 30.0])
    assert answer.mean[0] == pytest.approx(answer.prior_mean)


def test_no_exposure_is_refused() -> None:
    with pytest.raises(ValueError, match="exposure"):
        shrink([1], [0])
