"""Quiet days are told from days that nobody recorded."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from gis.recorded import ENOUGH, Records, begun, none_of, recorded_days


def records(counts: np.ndarray) -> Records:
    days = np.flatnonzero(counts)
    return Records(days, np.minimum(counts[days], ENOUGH))


def ones(days: np.ndarray | list[int]) -> Records:
    return Records(np.array(days, dtype=np.int64), np.ones(len(days), dtype=np.int64))


@pytest.mark.parametrize("a_year", [50, 150, 400])
def test_a_small_city_has_quiet_days_and_no_gaps(a_year: int) -> None:
    rng = np.random.default_rng(a_year)
    whole = 0
    for _ in range(200):
        held = records(rng.poisson(a_year / 365, 365))
        whole += recorded_days(held).size == held.days[-1] - held.days[0] + 1
    assert whole >= 198, "a gap is seen by chance alone in one year of a thousand or so"


def test_a_busy_source_that_stops_for_months_has_a_gap() -> None:
    days = np.concatenate([np.arange(0, 243), np.arange(365, 608)])
    np.testing.assert_array_equal(recorded_days(ones(days)), days)


def test_one_record_of_long_ago_is_no_quiet_century() -> None:
    days = np.concatenate([[-2557], np.arange(20000, 20365)])
    np.testing.assert_array_equal(recorded_days(ones(days)), days)


def test_weekends_off_are_quiet_days() -> None:
    days = np.flatnonzero(np.arange(700) % 7 < 5)
    assert recorded_days(ones(days)).size == 700 - 2 - (700 - 1 - days[-1] - 2)


def test_one_day_alone_and_none_at_all() -> None:
    assert recorded_days(ones([7])).tolist() == [7]
    with pytest.raises(ValueError, match="no record"):
        recorded_days(ones([]))


@pytest.mark.parametrize(
    ("held", "first"),
    [
        ([0] * 30 + [1] * 20, 30), ([0] * 3 + [1] * 20, 0), ([0] * 60 + [1] + [0] * 40, 0),
        ([1] * 20 + [0] * 60 + [1] * 20, 0), ([0] * 10, 0), ([1] * 10 + [0] * 50, 0),
    ],
)  # fmt: skip
def test_a_series_begins_with_its_first_record_where_silence_before_is_too_long(
    held: list[int], first: int
) -> None:
    """Silences behind the first record are a season's, or of a time without the thing."""
    assert begun(np.array([[*held, 0]], dtype=bool)) == first


def test_the_chance_that_none_falls_on_the_empty_ones_is_hypergeometric() -> None:
    for steps, empty, held in ((100, 30, 20), (50, 3, 20), (2000, 900, 5), (10, 5, 5)):
        wanted = hypergeom.pmf(0, steps, empty, held)
        assert none_of(steps, empty, held) == pytest.approx(wanted, rel=1e-9)


def _years(rng: np.random.Generator, a_day: float, days: int = 1000) -> np.ndarray:
    """Draw counts with seasons of the week and the year, that scatter."""
    day = np.arange(days)
    mean = a_day * (1 + 0.5 * np.sin(2 * np.pi * day / 365)) * np.where(day % 7 < 5, 1.2, 0.5)
    return rng.poisson(mean * rng.gamma(10, 0.1, days))


@pytest.mark.parametrize("a_day", [0.14, 0.4, 1.1, 3, 8, 20, 60])
def test_seasons_and_scatter_alone_make_no_gap(a_day: float) -> None:
    rng, gaps = np.random.default_rng(3), 0
    for _ in range(100):
        held = records(_years(rng, a_day))
        gaps += recorded_days(held).size < held.days[-1] - held.days[0] + 1
    assert gaps <= 1


@pytest.mark.parametrize(("a_day", "lost"), [(40, 2), (60, 2), (60, 1), (12, 4), (6, 8)])
def test_days_lost_in_a_source_that_is_never_quiet_are_a_gap(a_day: float, lost: int) -> None:
    """Days alone cannot say so: one or two empty ones among a thousand are what a small city has too."""
    rng, found = np.random.default_rng(4), 0
    for first in range(103, 903, 8):
        counts = _years(rng, a_day)
        counts[first : first + lost] = 0
        known = recorded_days(records(counts))
        is_gap = not np.isin(np.arange(first, first + lost), known).any()
        found += is_gap and len(known) >= 1000 - lost - 3  # a quiet day beside it is none of its own
    assert found >= 90


def test_days_off_are_no_gap_however_busy_the_others_are() -> None:
    rng = np.random.default_rng(5)
    for off in ([5, 6], [6], [0, 2, 4]):
        counts = rng.poisson(40, 700) * ~np.isin(np.arange(700) % 7, off)
        held = records(counts)
        assert recorded_days(held).size == held.days[-1] - held.days[0] + 1


@pytest.mark.parametrize("clump", [10, 20, 30])
def test_records_that_come_in_clumps_have_quiet_months(clump: int) -> None:
    counts = np.zeros(260, dtype=int)
    counts[[0, 182, 200, 240]] = [2, clump, clump, 1]
    assert recorded_days(records(counts)).size == 241
