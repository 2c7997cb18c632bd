"""The published skill of the baseline on real cities, and that its intervals hold there."""

from pathlib import Path

import pytest

from bench.risk_evaluation import HALF_LIFE, HORIZON, chicago_burglary, evaluated, nyc_vehicle_thefts
from layers.stats.evaluate import calibration, covered, covered_flagged, pai
from layers.stats.forecast import baseline

# To match or beat: PAI at 1 % of the area over 24 origins.
AT_LEAST = [
    (chicago_burglary, None, 5.86),
    (nyc_vehicle_thefts, None, 6.30),
    (nyc_vehicle_thefts, HALF_LIFE, 6.56),
]


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize(("make", "half_life", "least"), AT_LEAST)
def test_the_baseline_is_as_good_as_published(
    make: type, half_life: float | None, least: float, realdata: Path
) -> None:
    place = make(realdata)
    assert len(place.origins) >= 24
    outcomes = evaluated(place, lambda origin: baseline(place.past, origin, HORIZON, half_life))
    assert pai(outcomes[0.01]) >= least
    for share in outcomes:
        assert 0.90 <= calibration(outcomes[share]) <= 1.10
        assert 0.88 <= covered(outcomes[share]) <= 0.92
        assert 0.88 <= covered_flagged(outcomes[share]) <= 0.92
