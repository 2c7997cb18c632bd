"""Since when a part has its present rate: by every way to cut its past, and what it makes of incidents."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from layers.stats import regimes
from layers.stats.forecast import Forecast, Past, Total, plain, total
from layers.stats.regimes import JUMP, LASTING, Blocks, jumps, scatter, since, worth

DAYS = np.array([30.0, 20, 14, 7, 7])
SERIES = [
    [2, 1, 1, 0, 9], [20, 14, 9, 5, 0], [3, 2, 20, 11, 9], [0, 0, 0, 0, 4], [9, 6, 4, 2, 3], [9, 6, 0, 0, 0],
]  # fmt: skip


def _margin(counts: list[int], exposure: np.ndarray, rate: float) -> float:
    """Return the likelihood of counts at one rate drawn from Gamma(0.5) around `rate`, by integration."""
    prior = stats.gamma(0.5, scale=rate / 0.5)

    def of(root: float) -> float:
        each = stats.poisson.pmf(counts, root**2 * exposure)
        return float(np.prod(each) * prior.pdf(root**2) * 2 * root) if root else 0.0

    return float(integrate.quad(of, 0, 3, limit=400, epsabs=0)[0])


@pytest.mark.parametrize("counts", SERIES)
def test_chances_are_those_of_every_way_to_cut_the_past(counts: list[int]) -> None:
    rate, new = sum(counts) / DAYS.sum(), 1 - np.exp(-DAYS / LASTING)
    worth_ = np.zeros(len(DAYS))
    for many in range(len(DAYS)):
        for cuts in combinations(range(1, len(DAYS)), many):
            ends = [0, *cuts, len(DAYS)]
            runs = [(counts[a:b], DAYS[a:b]) for a, b in pairwise(ends)]
            prior = np.prod([new[at] if at in cuts else 1 - new[at] for at in range(1, len(DAYS))])
            worth_[ends[-2]] += prior * np.prod([_margin(*run, rate) for run in runs])
    found = since(np.array([counts], float), DAYS[None], DAYS, 1.0)[0][0]
    np.testing.assert_allclose(found, worth_ / worth_.sum(), rtol=1e-5, atol=1e-9)


def test_what_scatters_says_less() -> None:
    counts = np.array([[20.0, 14, 9, 5, 0]])
    sure, unsure = (since(counts, DAYS[None], DAYS, much)[0][0, 0] for much in (1.0, 4.0))
    assert sure < unsure


@pytest.mark.parametrize(("ratio", "changed"), [(1.5, False), (1 / 1.5, False), (4, True), (1 / 4, True)])
def test_less_than_a_jump_is_drift(ratio: float, changed: bool) -> None:
    counts = np.array([[3000.0, 2000, 1400, 700 * ratio, 700 * ratio]])
    exposure = np.broadcast_to(DAYS, (1, 5))
    found = jumps(since(counts, exposure, DAYS, 1.0)[0], counts, exposure)[0]
    assert found.sum() == pytest.approx(1)
    assert (found[3] > 0.9) == changed
    assert (found[0] > 0.9) == (not changed)
    assert JUMP == 2


@pytest.mark.parametrize("seed", range(3))
def test_scatter_is_that_of_the_counts_and_not_of_one_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for much in (1.0, 3.0):
        rates = rng.gamma(10 / (much - 1), much - 1, (30, 52)) if much > 1 else np.full((30, 52), 10)
        counts = rng.poisson(rates)
        counts[0, :8] *= 5
        part, week = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
        assert scatter(part, week, 52) == pytest.approx(much, rel=0.25)


def _city(rates: np.ndarray, seed: int) -> tuple[Blocks, np.ndarray, np.ndarray]:
    """Return days and parts (wide, near) of incidents at `rates` (parts, days); four near make a wide."""
    counts = np.random.default_rng(seed).poisson(rates)
    near, day = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    return Blocks(np.arange(rates.shape[1])), day, np.stack([near // 4, near], axis=1)


@pytest.mark.parametrize(("change", "days"), [(30, 60), (0.05, 60), (0, 120), (30, 21), (0, 45)])
def test_a_part_that_changed_counts_for_what_it_is_now(change: float, days: int) -> None:
    """What holds it changed by a quarter, which so few days hardly show: its neighbours share the error."""
    rates = np.full((16, 700), 1.5)
    if change > 1:
        rates[5] = 0.05
    rates[5, -days:] *= change
    true = rates[:, -1] / rates[:, -1].sum()
    errors = []
    for seed in range(10):
        blocks, day, place = _city(rates, seed)
        each = worth(blocks, day, place, np.ones(len(day)))
        share = np.bincount(place[:, 1], each, 16)
        assert share.sum() == pytest.approx(1)
        errors.append(share - true)
    off = np.abs(np.mean(errors, axis=0))
    assert off[5] < 0.35 / 16, "of a part like the others"
    assert np.delete(off, 5).max() < 0.3 / 16


OUTBREAKS = [(8.0, 10), (8, 31), (8, 66), (3, 31), (0.1, 31), (0.1, 66)]


@pytest.mark.parametrize("wide", [(20, 4, 1), (120, 20, 4, 1), (240, 4, 1)])
@pytest.mark.parametrize(("change", "days"), OUTBREAKS)
def test_an_outbreak_is_no_news_of_the_rest(change: float, days: int, wide: tuple[int, ...]) -> None:
    """A sixth of the city changes, cut as its parts are or across the widest of them; the rest goes on."""
    errors, covers = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        rates = np.repeat(rng.dirichlet(np.ones(240))[:, None] * 8.4, 690, axis=1)
        rates[:28, -days:] *= change
        counts = rng.poisson(rates)
        cell, day = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
        held = np.stack([np.arange(240) // each for each in wide], axis=1)
        past = Past(cell, day, np.arange(690), 240, part=held[cell], within=held[:, :-1])
        found, true = plain(past, 690, 30), rates[:, -1] * 30
        errors.append([found.mean[part].sum() / true[part].sum() for part in (slice(28, None), slice(28))])
        if days > 30 and len(wide) > 3:
            low, high = total(past, found, 690, 30).interval(0.95)
            come = rng.poisson(true.sum(), 4000)
            covers.append(np.mean((low <= come) & (come <= high)))
    rest, changed_part = np.mean(errors, axis=0)
    assert 0.9 < rest < 1.15
    assert not covers or np.mean(covers) > (0.7 if change == 3 else 0.9)
    if days > 60:
        assert 0.7 < changed_part < 1.1 or true[:28].sum() * abs(changed_part - 1) < 15


@pytest.mark.parametrize("season", [0.3, 0.6])
def test_a_season_of_all_parts_is_common(season: float) -> None:
    rates = np.outer(np.linspace(0.05, 0.4, 48), 1 + season * np.sin(2 * np.pi * np.arange(690) / 365))
    for seed in range(3):
        counts = np.random.default_rng(seed).poisson(rates)
        cell, day = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
        place = np.stack([cell // each for each in (24, 6, 1)], axis=1)
        share = np.bincount(cell, worth(Blocks(np.arange(690)), day, place, np.ones(len(day))), 48)
        plainly = np.bincount(cell, minlength=48) / len(day)
        true = rates[:, -1] / rates[:, -1].sum()
        assert np.abs(share - true).sum() < 1.2 * np.abs(plainly - true).sum()


def test_quiet_parts_keep_all_they_know() -> None:
    """Of a part of one in three days the share is as sure as it was: a tenth more in error at most."""
    rates = np.full((16, 700), 0.3)
    plainly, now = [], []
    for seed in range(40):
        blocks, day, place = _city(rates, seed)
        share = np.bincount(place[:, 1], worth(blocks, day, place, np.ones(len(day))), 16)
        plainly.append(np.bincount(place[:, 1]) / len(day) - 1 / 16)
        now.append(share - 1 / 16)
    assert np.std(now) < 1.1 * np.std(plainly)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_every_interval_holds_its_mean(coverage: float) -> None:
    means, sizes = np.meshgrid(np.geomspace(1e-4, 1e4, 60), np.geomspace(1e-3, 1e9, 60))
    low, high = Forecast(means.ravel(), sizes.ravel()).interval(coverage)
    assert ((low <= means.ravel()) & (means.ravel() <= high)).all()
    for mean, size in zip(means.ravel()[::37], sizes.ravel()[::37], strict=True):
        ends = Total(mean, size).interval(coverage)
        assert ends[0] <= mean <= ends[1]


@pytest.mark.parametrize("cut", [2, 5, 11])
def test_areas_add_up_whatever_changed(cut: int) -> None:
    rates = np.full((16, 400), 0.5)
    rates[3, -40:] = 6
    rates[8:12, -60:] = 0.01
    _, day, place = _city(rates, 5)
    cell = place[:, 1]
    whole = plain(Past(cell, day, np.arange(400), 16, part=place), 400, 30).mean.sum()
    sums = [
        plain(Past(cell[one], day[one], np.arange(400), 16, day, place, one), 400, 30).mean.sum()
        for one in (cell < cut, cell >= cut)
    ]
    assert sum(sums) == pytest.approx(whole, rel=1e-9)


def _county(seed: int, change: float, days: int) -> tuple[Past, float]:
    """Return one of six counties of 2 a day that changed so many days ago, and what it has now in 30 days.

    Parts lie across its borders, as hexagons do.
    """
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.7, 1, (6, 60))
    rates = np.repeat((rates * 2 / rates.sum(1, keepdims=True)).reshape(-1, 1), 690, axis=1)
    rates[120:180, -days:] *= change
    counts = rng.poisson(rates)
    cell, day = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    held = np.stack([(cell + 7 * seed) // each for each in (320, 40, 8, 1)], axis=1)
    part = np.stack([np.unique(each, return_inverse=True)[1] for each in held.T], axis=1)
    own = (cell >= 120) & (cell < 180)
    past = Past(cell[own] - 120, day[own], np.arange(690), 60, day, part, own)
    return past, float(rates[120:180, -1].sum() * 30)


def _ends(past: Past) -> tuple[int, int]:
    return total(past, plain(past, 690, 30), 690, 30).interval(0.95)


@pytest.mark.parametrize(("change", "days"), [(0.1, 31), (0.1, 60), (1 / 3, 60)])
def test_an_area_across_parts_that_fell_is_unsure_of_its_share(change: float, days: int) -> None:
    covers = []
    for seed in range(4):
        past, true = _county(seed, change, days)
        low, high = _ends(past)
        come = np.random.default_rng(seed).poisson(true, 4000)
        covers.append(np.mean((low <= come) & (come <= high)))
    assert np.mean(covers) >= 0.92


def test_an_area_that_goes_on_is_hardly_less_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    pasts = [_county(seed, 1, 60)[0] for seed in range(4)]
    wide = [high - low for low, high in map(_ends, pasts)]
    monkeypatch.setattr(regimes, "unsure_share", lambda *_: 0.0)
    for past in pasts:
        past.kept.clear()
        past.plain.clear()
    assert np.mean(wide) < 1.1 * np.mean([high - low for low, high in map(_ends, pasts)])


@pytest.mark.parametrize("change", [0.1, 1, 5])
def test_all_of_the_whole_has_no_share_to_be_unsure_of(change: float) -> None:
    past, _ = _county(0, change, 60)
    assert past.city_day is not None
    assert past.part is not None
    known = Blocks(past.observed)
    whole = regimes.changed(known, past.city_day, past.part)
    assert regimes.unsure_share(known, past.city_day, whole, 1.0) == 0
