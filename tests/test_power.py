"""The smallest relative risk that a map shows: what is told is what maps with that risk show."""

import numpy as np
import pytest
from scipy import stats

from layers.stats.hot import hot
from layers.stats.power import detectable
from tests.lattice import discs


def test_a_published_sample() -> None:
    """A mean of 3 at 5 %: significant from 7 on (P = 0.0335); 80 % power needs a mean of 9.08."""
    found = detectable(3.0, np.inf, 0.05)
    assert found
    assert found.n == 7
    assert stats.poisson.sf(found.n - 1, 3.0) <= 0.05 < stats.poisson.sf(found.n - 2, 3.0)
    # 2 * mean is the 80 % quantile of a chi-square of 2 * 7 degrees of freedom.
    assert 2 * found.ratio * 3.0 == pytest.approx(stats.chi2.ppf(0.8, 14))


@pytest.mark.parametrize(("mean", "size"), [(0.4, np.inf), (2.0, 3.0), (50.0, 20.0)])
def test_power_is_what_was_asked_for(mean: float, size: float) -> None:
    found = detectable(mean, size, 1e-4, power=0.9)
    assert found
    drawn = np.random.default_rng(1)
    rate = found.ratio * mean * (1.0 if np.isinf(size) else drawn.gamma(size, 1 / size, 40_000))
    assert (drawn.poisson(rate, 40_000) >= found.n).mean() == pytest.approx(0.9, abs=0.01)


def test_a_map_shows_that_risk_in_four_of_five() -> None:
    side, disc, rng = 30, discs(30), np.random.default_rng(2)
    found = detectable(7 * 0.5, np.inf, 0.05 * 1.9 / (2 * side * side))
    assert found
    shown = 0
    for _ in range(200):
        mean = np.full(side * side, 0.5)
        at = 465
        mean[disc[[at]].indices] *= found.ratio
        shown += hot(rng.poisson(mean), np.full(side * side, 0.5), disc).significant[at]
    # Others beside it are hot as well, which lowers what Benjamini-Hochberg asks of each.
    assert 0.75 <= shown / 200 <= 0.95


def test_where_nothing_is_expected_nothing_is_told() -> None:
    assert detectable(0.0, np.inf, 0.05) is None
    assert detectable(1.0, 0.01, 1e-12) is None
