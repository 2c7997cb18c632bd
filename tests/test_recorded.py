"""Quiet days are told from days that nobody recorded."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from gis.recorded import _none_of, begun, recorded_days


@pytest.mark.parametrize("a_year", [50, 150, 400])
def test_a_small_city_has_quiet_days_and_no_gaps(a_year: int) -> None:
    rng = np.random.default_rng(a_year)
    whole = 0
    for _ in range(200):
        days = np.flatnonzero(rng.poisson(a_year / 365, 365))
        whole += recorded_days(days).size == days[-1] - days[0] + 1
    assert whole >= 198, "a gap is seen by chance alone in one year of a thousand or so"


def test_a_busy_source_that_stops_for_months_has_a_gap() -> None:
    days = np.concatenate([np.arange(0, 243), np.arange(365, 608)])
    np.testing.assert_array_equal(recorded_days(days), days)


def test_one_record_of_long_ago_is_no_quiet_century() -> None:
    days = np.concatenate([[-2557], np.arange(20000, 20365)])
    np.testing.assert_array_equal(recorded_days(days), days)


def test_weekends_off_are_quiet_days() -> None:
    days = np.flatnonzero(np.arange(700) % 7 < 5)
    assert recorded_days(days).size == 700 - 2 - (700 - 1 - days[-1] - 2)


def test_one_day_alone_and_none_at_all() -> None:
    assert recorded_days([7]).tolist() == [7]
    with pytest.raises(ValueError, match="no record"):
        recorded_days([])


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
    assert begun(np.array(held, dtype=bool)) == first


def test_the_chance_that_none_falls_on_the_empty_ones_is_hypergeometric() -> None:
    for steps, empty, held in ((100, 30, 20), (50, 3, 20), (2000, 900, 5), (10, 5, 5)):
        wanted = hypergeom.pmf(0, steps, empty, held)
        assert _none_of(steps, empty, held) == pytest.approx(wanted, rel=1e-9)
