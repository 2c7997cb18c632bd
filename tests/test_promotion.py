"""Promotion: a challenger that truly knows more goes live, one that does not stays out."""

from datetime import date

import numpy as np
import pytest
from scipy import sparse
from sqlalchemy.engine import Connection

from layers import promotion
from layers.promotion import HORIZON, ORIGINS, Ground, chosen, forecaster, keep, kept, live, origins_of, tried
from layers.stats.challenger import linear
from layers.stats.evaluate import Verdict
from layers.stats.forecast import Past, baseline

CELLS, DAYS = 900, 480


def city(rng: np.random.Generator, *, places_matter: bool) -> tuple[Past, Ground]:
    """A city in which bars draw incidents, each in its own months; or in which they do not matter.

    The bars' incidents move from one third of the bars to the next every month, so that counts of a cell say
    little while bars nearby say much.
    """
    bars = (rng.random(CELLS) < 0.08) * rng.integers(1, 6, CELLS)
    third = rng.integers(0, 3, CELLS)
    cell, day = [], []
    for number in range(DAYS):
        rate = np.full(CELLS, 0.002)
        if places_matter:
            rate = rate + 0.012 * bars * (third != number // 30 % 3)
        else:
            rate = rate + 0.01 * (third == 0)
        came = rng.poisson(rate)
        cell.append(np.repeat(np.arange(CELLS), came))
        day.append(np.full(came.sum(), number))
    past = Past(np.concatenate(cell), np.concatenate(day), np.arange(DAYS), CELLS)
    nobody = sparse.csr_array((CELLS, CELLS))
    return past, Ground(np.full(CELLS, 1e5), [nobody], np.column_stack([bars]).astype(float))


@pytest.fixture(scope="module")
def drawn() -> dict[bool, tuple[Past, Ground]]:
    rng = np.random.default_rng(1)
    return {matters: city(rng, places_matter=matters) for matters in (True, False)}


def test_origins_are_many_apart_and_leave_enough_to_train(drawn: dict[bool, tuple[Past, Ground]]) -> None:
    past, _ = drawn[True]
    origins = origins_of(past)
    assert len(origins) == ORIGINS
    assert (np.diff(origins) >= promotion.LEAST_STEP).all()
    assert origins[-1] + HORIZON == DAYS
    assert origins_of(past.before(400)) == [], "too short a past for two dozen origins a week apart"
    assert origins_of(past.before(0)) == []


def test_a_model_that_knows_more_is_promoted(drawn: dict[bool, tuple[Past, Ground]]) -> None:
    past, of = drawn[True]
    (trial,) = tried(past, of, {"linear": linear})
    assert trial.verdict.promoted, trial
    assert trial.verdict.gain >= 0.05
    assert trial.verdict.low > 0
    assert chosen([trial]) == "linear"


def test_a_model_that_knows_no_more_is_not(drawn: dict[bool, tuple[Past, Ground]]) -> None:
    past, of = drawn[False]
    (trial,) = tried(past, of, {"linear": linear})
    assert not trial.verdict.promoted, trial
    assert chosen([trial]) is None


@pytest.mark.parametrize("hole", [(DAYS - 60, DAYS - 2), (DAYS - 200, DAYS - 140)])
def test_records_that_stood_still_try_no_model(
    drawn: dict[bool, tuple[Past, Ground]], hole: tuple[int, int]
) -> None:
    """A system was changed, or the demo's year is over and somebody reports: no trial, and no error."""
    past, of = drawn[True]
    kept = (past.day < hole[0]) | (past.day >= hole[1])
    still = Past(past.cell[kept], past.day[kept], past.observed, past.cells)
    still_but_two = Past(still.cell, still.day, np.append(past.observed, [DAYS, DAYS + 1]), past.cells)
    assert tried(still, of, {"linear": linear}) == []
    assert tried(still_but_two, of, {"linear": linear}) == []


@pytest.mark.parametrize(("a_year", "years"), [(80, 7), (75, 4), (50, 3), (160, 6)])
def test_a_thin_past_tries_no_model_and_raises_nothing(a_year: int, years: int) -> None:
    """Where the baseline hits nothing in some draws there is no ratio to it."""
    rng, days = np.random.default_rng(a_year), 365 * years
    came = rng.poisson(a_year / 365, days)
    day = np.repeat(np.arange(days), came)
    past = Past(rng.integers(0, CELLS, day.size), day, np.arange(days), CELLS)
    nobody = sparse.csr_array((CELLS, CELLS))
    found = tried(past, Ground(np.full(CELLS, 1e5), [nobody], rng.random((CELLS, 1))), {"linear": linear})
    assert not any(trial.verdict.promoted for trial in found)
    assert np.isfinite([[one.verdict.gain, one.verdict.low, one.verdict.high] for one in found]).all()


def test_the_greatest_gain_goes_live_and_replaces_the_one_before(conn: Connection) -> None:
    def trial(name: str, gain: float, low: float) -> promotion.Trial:
        return promotion.Trial(name, 24, 6.0, Verdict(gain, low, 0.2, gain >= 0.05 and low > 0))

    keep(conn, 9, "2025-01 1", [trial("boosting", 0.08, 0.01), trial("linear", 0.06, 0.02)])
    found = live(conn, 9)
    assert found is not None
    assert (found.model, found.gain) == ("boosting", 0.08)
    assert live(conn, 8) is None
    assert promotion.is_known(conn, 9, "2025-01 1")
    keep(conn, 9, "2025-02 2", [trial("boosting", 0.08, -0.01), trial("linear", 0.04, 0.02)])
    assert live(conn, 9) is None, "neither is sure and 5 % better any more"
    assert len(kept(conn, 9)) == 2


def test_a_short_past_is_forecast_by_the_baseline(drawn: dict[bool, tuple[Past, Ground]]) -> None:
    past, of = drawn[True]
    short = past.before(120)
    promoted, standing = forecaster("linear", short, of)(120, HORIZON), baseline(short, 120, HORIZON)
    assert promoted.mean == pytest.approx(standing.mean)
    assert forecaster("linear", past, of)(DAYS, HORIZON).mean != pytest.approx(
        baseline(past, DAYS, HORIZON).mean
    )


def test_there_is_a_trial_a_month_not_a_day() -> None:
    first = (date(2025, 1, 1) - date(1970, 1, 1)).days
    days = np.arange(first, first + 40)
    past = Past(np.zeros(40, dtype=np.int64), days, days, 1)
    settled, fingerprint = promotion.settled(past)
    assert settled.observed[-1] == first + 30
    assert fingerprint == promotion.settled(past.before(first + 38))[1] == "2025-02 31"
