"""Maps and lists of pure noise stay quiet where counts scatter and swing as real ones do."""

import numpy as np
import pytest

from bench.noise import ALPHAS, LOOKS, MEANS, city, noise, shares

LIMITS = {name: limit for name, limit, _ in LOOKS}


def test_what_is_drawn_scatters_as_it_says() -> None:
    place, rng = city(), np.random.default_rng(1)
    counts = np.hstack([noise(place, 2.0, 0.3, rng)[:, -1:] for _ in range(200)])
    assert counts.mean() == pytest.approx(2.0, rel=0.05)
    rate = 1 / 1.5
    seasons = 0.07**2 + 0.3**2 / 2 + 0.001
    extra = (1 + rate) * (1 + 0.3) * (1 + seasons) - 1
    assert counts.var(axis=1).mean() == pytest.approx(2 + 4 * extra, rel=0.15)


def test_noise_stays_quiet() -> None:
    # 25 maps at the limit: so many alarms come by chance once in a hundred runs at most.
    found = shares(25, 0.3, 0.3)
    assert {name for name, share in found.items() if share > LIMITS[name] + 0.15} == set()


def test_noise_beside_a_gap_emerges_nowhere() -> None:
    found = shares(100, 0.3, 0.3, ["any emerging class beside a gap"])
    assert list(found.values()) == [pytest.approx(0, abs=0.06)]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("mean", MEANS)
def test_300_noise_maps_stay_quiet(mean: float, alpha: float) -> None:
    """Each share within its limit and what 300 maps may show of it (two standard errors)."""
    found = shares(300, mean, alpha)
    over = {n: s for n, s in found.items() if s > LIMITS[n] + 2 * np.sqrt(LIMITS[n] * (1 - LIMITS[n]) / 300)}
    assert over == {}
