"""The scan statistic against SaTScan's published answers, brute force and its own null."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from layers.stats import scan as scan_module
from layers.stats.scan import Zones, circle_zones, log_likelihood_ratio, ring_zones, scan
from tests.lattice import discs


def great_circle_km(lonlat: np.ndarray) -> np.ndarray:
    lon, lat = np.radians(lonlat).T
    half = np.sin((lat[:, None] - lat) / 2) ** 2
    half += np.cos(lat)[:, None] * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(half))


def plane(xy: np.ndarray) -> np.ndarray:
    return np.hypot(*(xy[:, None, :] - xy[None, :, :]).transpose(2, 0, 1))


# SaTScan 9.3.1 and 9.6 on New York leukaemia: ratio, cases, location numbers of each cluster.
SECOND = (9.019716, 38, [89, 88, 87, 84, 90, 86, 92, 85])
FIRST_PLANE = [52, 50, 37, 49, 38, 48, 53, 39, 15, 47, 51, 1, 40, 44, 16, 2, 55, 36, 14, 43, 13, 45, 3, 35]
FIRST_SPHERE = [52, 50, 53, 38, 49, 48, 15, 39, 37, 1, 16, 44, 47, 40, 14, 2, 51, 13, 43, 45, 17, 55, 11, 3]
FIRST_TENTH = [49, 48, 50, 47, 1, 15, 51, 2, 13, 14, 3, 35, 16, 52, 36, 37, 12, 11, 5, 17, 10, 4, 6, 38, 18]
THIRD_SPHERE = [113, 117, 116, 112, 220, 118, 115, 123, 124, 111, 114, 125, 219, 122, 126, 119]
ORACLES = {
    "sphere": (
        great_circle_km,
        0.5,
        [
            (14.780276, 106, [*FIRST_SPHERE, 12, 46, 36, 35, 54, 10, 5]),
            (8.287056, 42, [88, 87, 92, 86, 89, 91, 93, 85, 90]),
            (7.199672, 44, THIRD_SPHERE),
        ],
    ),
    "plane": (plane, 0.5, [(14.083511, 100, [*FIRST_PLANE, 17, 11, 12, 46]), SECOND]),
    "tenth": (plane, 0.1, [(11.577255, 85, [*FIRST_TENTH, 9]), SECOND]),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", ORACLES)
def test_new_york_leukaemia_as_satscan_found_it(name: str, realdata: Path) -> None:
    distance, max_share, expected = ORACLES[name]
    tracts = pd.read_csv(realdata / "oracles/ny_leukaemia_281_tracts.csv")
    population = tracts["population"].to_numpy()
    zones = circle_zones(distance(tracts[["longitude", "latitude"]].to_numpy()), population, max_share)
    cases = np.floor(tracts["cases"].to_numpy())  # as the published runs took them: 552 in all
    found = scan(cases, population, zones, max_share=max_share, simulations=99, limit=3)
    for cluster, (llr, n, members) in zip(found, expected, strict=False):
        assert cluster.llr == pytest.approx(llr, abs=1e-6)
        assert cluster.n == n
        assert set(cluster.members + 1) == set(members)
    assert found[0].p == 0.01
    assert found[1].p < 0.1


def test_ratio_by_hand() -> None:
    # 10 cases where 4 of 40 are expected: 10 ln 2.5 + 30 ln (30 / 36)
    answer = log_likelihood_ratio(np.array([10.0, 3.0, 40.0, 1.0]), np.array([4.0, 4.0, 4.0, 0.1]), 40)
    by_hand = [10 * np.log(2.5) + 30 * np.log(30 / 36), 0, 40 * np.log(10), 0]
    np.testing.assert_allclose(answer, by_hand)


def test_the_best_zone_is_the_best_of_all_zones() -> None:
    rng = np.random.default_rng(0)
    zones = ring_zones([discs(7, k) for k in range(3)])
    counts, weight = rng.poisson(2, 49), rng.uniform(1, 3, 49)
    best = scan(counts, weight, zones, simulations=9)[0]
    expected = weight / weight.sum() * counts.sum()
    every = []
    for row in range(zones.members.shape[0]):
        inside = zones.members[[row]].indices
        every.append(log_likelihood_ratio(counts[inside].sum(), expected[inside].sum(), counts.sum()))
    assert best.llr == pytest.approx(max(every))
    assert set(best.members) == set(discs(7, best.step)[[best.centre]].indices)


def test_clusters_do_not_overlap_and_fall_in_strength() -> None:
    counts = np.random.default_rng(1).poisson(1, 400)
    found = scan(counts, np.ones(400), ring_zones([discs(20, k) for k in range(3)]), simulations=9, limit=5)
    members = np.concatenate([cluster.members for cluster in found])
    assert len(found) == 5
    assert len(set(members)) == len(members)
    assert [c.llr for c in found] == sorted((c.llr for c in found), reverse=True)


def alarms(maps: int, size: float | None, simulated_size: float | None, side: int = 15) -> float:
    """Return the share of maps without a cluster whose best zone has p <= 0.05."""
    rng = np.random.default_rng(3)
    zones = ring_zones([discs(side, k) for k in range(3)])
    p = []
    for seed in range(maps):
        rate = 1.0 if size is None else rng.gamma(size, 1 / size, side * side)
        counts = rng.poisson(rate, side * side)
        sizes = None if simulated_size is None else np.full(side * side, simulated_size)
        p.append(
            scan(counts, np.ones(side * side), zones, simulations=39, seed=seed, limit=1, size=sizes)[0].p
        )
    return float(np.mean(np.array(p) <= 0.05))


def test_noise_is_called_a_cluster_once_in_twenty() -> None:
    assert alarms(100, None, None) <= 0.11


def test_overdispersed_noise_needs_overdispersed_simulation() -> None:
    assert alarms(60, size=1.0, simulated_size=None) > 0.5
    assert alarms(60, size=1.0, simulated_size=1.0) <= 0.12


@pytest.mark.slow
def test_noise_is_called_a_cluster_once_in_twenty_over_500_maps() -> None:
    assert alarms(500, None, None) <= 0.07


def test_a_planted_cluster_is_found_where_it_lies() -> None:
    zones = ring_zones([discs(30, k) for k in range(4)])
    mean = np.full(900, 0.3)
    planted = discs(30, 2)[[465]].indices
    mean[planted] *= 5
    best = scan(np.random.default_rng(2).poisson(mean), np.ones(900), zones, simulations=99)[0]
    assert best.p == 0.01
    assert len(set(best.members) & set(planted)) >= 10


def test_p_is_repeatable_by_seed() -> None:
    zones, counts = ring_zones([discs(8)]), np.random.default_rng(4).poisson(1, 64)
    once, again, other = (scan(counts, np.ones(64), zones, simulations=99, seed=s)[0].p for s in (1, 1, 2))
    assert once == again
    assert once != other


def test_zones_above_the_share_are_left_out() -> None:
    zones = circle_zones([[0, 1, 1, 9], [1, 0, 2, 9], [1, 2, 0, 9], [9, 9, 9, 0]], [1, 1, 1, 3], 0.5)
    # Location 0's neighbours are equally far: {0} then {0, 1, 2}, never {0, 1}.
    assert [list(zones.members[[i]].indices) for i in np.flatnonzero(zones.centre == 0)] == [[0], [0, 1, 2]]


def test_an_empty_map_has_no_cluster() -> None:
    assert scan(np.zeros(9), np.ones(9), ring_zones([discs(3)])) == []


def test_cases_where_none_are_expected_are_refused() -> None:
    zones: Zones = ring_zones([discs(3)])
    with pytest.raises(ValueError, match="location 0 has incidents but expects none"):
        scan(np.ones(9), np.r_[0, np.ones(8)], zones)
    with pytest.raises(ValueError, match="must match 9 locations"):
        scan(np.ones(8), np.ones(8), zones)
    with pytest.raises(ValueError, match="whole"):
        scan(np.full(9, 0.5), np.ones(9), zones)


def test_the_urn_draws_what_gamma_rates_would() -> None:
    """Dirichlet-multinomial: mean and variance of the counts, by the formulas."""
    shape, total, many = np.array([0.5, 1.0, 2.5, 4.0]), 30, 40_000
    place = scan_module._urn(np.random.default_rng(6), shape, total, many)
    counts = np.stack([(place == location).sum(axis=0) for location in range(4)])
    share = shape / shape.sum()
    np.testing.assert_allclose(counts.mean(axis=1), total * share, rtol=0.02)
    scatter = total * share * (1 - share) * (total + shape.sum()) / (1 + shape.sum())
    np.testing.assert_allclose(counts.var(axis=1), scatter, rtol=0.03)


def test_sparse_and_dense_maps_have_the_same_maxima(monkeypatch: pytest.MonkeyPatch) -> None:
    zones, counts = ring_zones([discs(9, k) for k in range(3)]), np.random.default_rng(8).poisson(0.6, 81)
    found = []
    for limit in (0.0, np.inf):
        monkeypatch.setattr(scan_module, "SPARSE", limit)
        found.append(scan(counts, np.ones(81), zones, simulations=199, limit=3))
    assert [each.p for each in found[0]] == [each.p for each in found[1]]


def test_simulation_ends_early_without_changing_what_is_told() -> None:
    zones = ring_zones([discs(12, k) for k in range(3)])
    rng, told = np.random.default_rng(9), []
    for seed in range(12):
        counts = rng.poisson(1, 144)
        counts[60] += seed // 2
        early, full = (
            scan(counts, np.ones(144), zones, simulations=199, seed=seed, limit=1, level=level)[0].p
            for level in (0.05, 1.0)
        )
        assert (early <= 0.05) == (full <= 0.05)
        told.append(full <= 0.05)
    assert any(told)
    assert not all(told)
