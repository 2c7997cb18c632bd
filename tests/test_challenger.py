"""Challengers: no better than the baseline where there is nothing to learn, better where there is."""

import numpy as np
import pytest

from layers.stats.challenger import CHALLENGERS, Fit, challenger, row
from layers.stats.forecast import Past, hindcast_origins
from tests.lattice import discs

SIDE, DAYS = 20, 540
DISCS = [discs(SIDE)]


def city(moving: bool, seed: int = 0) -> Past:
    """Return incidents of a city that is steady, or whose hot place moves on every 40 days."""
    rng, cells = np.random.default_rng(seed), SIDE * SIDE
    rate = np.full((DAYS, cells), 0.01)
    for start in range(0, DAYS, 40):
        place = DISCS[0][[int(rng.integers(cells)) if moving else 210]].indices
        rate[start : start + 60, place] += 0.25
    counts = rng.poisson(rate)
    day, cell = np.nonzero(counts)
    many = counts[day, cell]
    return Past(np.repeat(cell, many), np.repeat(day, many), np.arange(DAYS), cells)


def log_loss(mean: np.ndarray, came: np.ndarray) -> float:
    share = mean / mean.sum()
    return float(-(came @ np.log(share)) / came.sum())


@pytest.mark.parametrize(("name", "fit"), CHALLENGERS)
@pytest.mark.parametrize("moving", [True, False])
def test_a_challenger_learns_what_there_is(name: str, fit: Fit, moving: bool) -> None:
    gains = []
    for seed in range(2):
        past, origin = city(moving, seed), 510
        rows = [row(past, start, 30, DISCS) for start in hindcast_origins(past, origin, 30)]
        now = row(past, origin, 30, DISCS)
        forecast = challenger(rows, now, fit)
        assert forecast.mean.sum() == pytest.approx(now.offset.mean.sum())
        gains.append(log_loss(now.offset.mean, now.came) - log_loss(forecast.mean, now.came))
    assert np.mean(gains) > (0.02 if moving else -0.05), name


def test_features_know_nothing_of_the_days_to_come() -> None:
    past = city(True)
    keep = past.day < 400
    cut = Past(past.cell[keep], past.day[keep], past.observed[:400], past.cells)
    np.testing.assert_array_equal(row(past, 400, 30, DISCS).features, row(cut, 400, 30, DISCS).features)


def test_places_become_features() -> None:
    past = city(False)
    plain = row(past, 400, 30, DISCS).features
    with_places = row(past, 400, 30, DISCS, np.ones((past.cells, 3))).features
    assert with_places.shape[1] == plain.shape[1] + 3


def test_too_few_past_periods_are_refused() -> None:
    past = city(False)
    with pytest.raises(ValueError, match="past periods"):
        challenger([row(past, 100, 30, DISCS)], row(past, 130, 30, DISCS), CHALLENGERS[0][1])
