"""A map of a city is that of its parts: what cells expect stays in the part they lie in, whatever changed."""

import numpy as np
import pytest

from layers.stats.forecast import Past, baseline
from layers.stats.nested import nested
from layers.stats.shrink import shrink

COUNTY, DAYS = 60, 690
"""Cells of a county, four to a small part and twenty to a wide one."""
CUTS = (20, 4)


def _city(seed: int, change: float, days: int, a_cell: float = 0.06) -> tuple[Past, np.ndarray]:
    """Return six counties of which the first changed so many days ago, and what each cell has now."""
    rng = np.random.default_rng(seed)
    rates = np.repeat(rng.gamma(0.7, a_cell, (6 * COUNTY, 1)), DAYS, axis=1)
    rates[:COUNTY, -days:] *= change
    counts = rng.poisson(rates)
    cell, day = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    within = np.stack([np.arange(len(rates)) // each for each in CUTS], axis=1)
    part = np.column_stack([within[cell], cell])
    return Past(cell, day, np.arange(DAYS), len(rates), part=part, within=within), rates[:, -1] * 30


def _area(past: Past, county: int) -> Past:
    """Return what is known of a county asked about by itself."""
    cells = np.arange(county * COUNTY, (county + 1) * COUNTY)
    mine = np.isin(past.cell, cells)
    assert past.within is not None
    return Past(
        past.cell[mine] - cells[0], past.day[mine], past.observed, COUNTY, past.day, past.part, mine,
        past.within[cells] - past.within[cells[0]],
    )  # fmt: skip


CHANGES = [(8.0, 31), (8, 104), (8, DAYS), (5, 66), (0.1, 31)]
FEW = 0.02
"""Of a cell and day, by which a county has about one a day: where little is known much is lent."""


@pytest.mark.parametrize(("change", "days"), CHANGES)
def test_the_map_of_the_city_is_that_of_its_counties(change: float, days: int) -> None:
    """Were cells shrunk towards all others, some county would be 5 to 30 % off."""
    past, _ = _city(3, change, days, FEW)
    whole = baseline(past, DAYS, 30).mean
    for county in range(6):
        shown = whole[county * COUNTY : (county + 1) * COUNTY]
        alone = baseline(_area(past, county), DAYS, 30).mean
        assert shown.sum() == pytest.approx(alone.sum(), rel=0.045)
        assert np.abs(shown - alone).sum() < 0.12 * alone.sum(), "cell by cell"


@pytest.mark.parametrize("change", [8.0, 12, 20])
def test_cells_of_quiet_counties_are_as_they_were(change: float) -> None:
    """Judged by the rates that made the city; the mean of three cities, a month after an outbreak."""
    off = []
    for seed in range(3):
        past, true = _city(seed, change, 31, FEW)
        shown = baseline(past, DAYS, 30).mean
        off.append(shown[COUNTY:].sum() / true[COUNTY:].sum())
    assert 0.9 < np.mean(off) < 1.1


@pytest.mark.parametrize("change", [1.0, 8, 0.1])
def test_intervals_of_cells_cover(change: float) -> None:
    """Where the places in the distribution are even, as whole counts filled at random."""
    inside = []
    for seed in range(4):
        past, true = _city(seed, change, 66)
        came = np.random.default_rng(seed).poisson(true)
        inside.append(np.abs(baseline(past, DAYS, 30).pit(came, seed) - 0.5) < 0.45)
    assert 0.88 <= np.mean(inside) <= 0.93


def test_parts_keep_what_they_hold() -> None:
    """Of many incidents nothing is lent; an empty part takes what half-known ones leave open, and no more."""
    rng = np.random.default_rng(1)
    within = np.stack([np.arange(120) // each for each in CUTS], axis=1)
    seen = rng.poisson(np.repeat([9.0, 2, 0.5, 0.5, 0.05, 0], 20)).astype(float)
    share, size = nested(seen, seen, within)
    assert share.sum() == pytest.approx(1)
    assert (share > 0).all()
    held = np.bincount(within[:, 0], seen) / seen.sum()
    np.testing.assert_allclose(np.bincount(within[:, 0], share), held, atol=0.01)
    assert np.isfinite(size).all()


@pytest.mark.parametrize("weight", [1.0, 0.25, 3])
def test_without_parts_it_is_the_shrinkage_of_rates(weight: float) -> None:
    """Weights of all incidents alike say nothing, so the counts say what they always did."""
    counts = np.random.default_rng(2).negative_binomial(0.6, 0.3, 300).astype(float)
    share, size = nested(counts * weight, counts * weight**2, None)
    found = shrink(counts, np.ones(300))
    np.testing.assert_allclose(share, found.mean / found.mean.sum(), rtol=1e-9)
    unsure = (found.prior_shape / (found.prior_shape + counts.mean())) ** 2 / counts.sum()
    np.testing.assert_allclose(size, 1 / (1 / found.shape + unsure), rtol=1e-9)
