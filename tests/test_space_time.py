"""The space-time permutation scan against brute force, its level on noise, and what it finds in the town."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access
from gis import cells as h3
from layers.stats.scan import ring_zones
from layers.stats.space_time import space_time
from tests import town
from tests.lattice import discs

WINDOWS = (1, 3, 7)
SIDE = 6
Headers = dict[str, str]


def _drawn(rng: np.random.Generator, number: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Busy and quiet cells, busy and quiet days, and nothing that joins them."""
    busy, days = rng.gamma(1.0, 1.0, SIDE * SIDE), 1 + 0.5 * np.sin(np.arange(42) * 2 * np.pi / 7)
    cell = rng.choice(SIDE * SIDE, number, p=busy / busy.sum())
    return cell, rng.choice(42, number, p=days / days.sum())


def test_ratios_are_those_of_brute_force() -> None:
    cell, ago = _drawn(np.random.default_rng(1))
    near = discs(SIDE)
    zones = ring_zones([near])
    best: dict[tuple[int, int], float] = {}
    for zone, days in product(range(SIDE * SIDE), WINDOWS):
        members = set(near[[zone]].indices.tolist())
        inside = [c in members for c in cell]
        late = [a < days for a in ago]
        n, total = sum(i and d for i, d in zip(inside, late, strict=True)), len(cell)
        mean = sum(inside) * sum(late) / total
        if n >= 3 and n > mean and sum(inside) <= total / 2:
            best[zone, days] = n * np.log(n / mean) + (total - n) * np.log((total - n) / (total - mean))
    (zone, days), most = max(best.items(), key=lambda one: one[1])
    first = space_time(cell, ago, zones, WINDOWS, permutations=19)[0]
    assert (first.zone, first.days, first.llr) == (zone, days, pytest.approx(most))
    for one in space_time(cell, ago, zones, WINDOWS, permutations=19):
        assert one.llr == pytest.approx(best[one.zone, one.days])


def test_zones_that_are_told_do_not_overlap() -> None:
    near = discs(SIDE)
    found = space_time(*_drawn(np.random.default_rng(2)), ring_zones([near]), WINDOWS, permutations=19)
    members = [set(near[[one.zone]].indices.tolist()) for one in found]
    assert len(found) > 1
    assert sum(map(len, members)) == len(set().union(*members))
    assert [one.llr for one in found] == sorted((one.llr for one in found), reverse=True)


def test_noise_is_told_in_one_look_of_twenty() -> None:
    """Of busy cells and days as well; 200 looks at 5 % show more than 17 once in fifty times."""
    rng, zones = np.random.default_rng(3), ring_zones([discs(SIDE)])
    told = 0
    for seed in range(200):
        found = space_time(*_drawn(rng), zones, WINDOWS, permutations=99, seed=seed)
        told += bool(found) and found[0].p <= 0.05
    assert 2 <= told <= 17


def test_a_late_gathering_is_found_where_and_since_when_it_is() -> None:
    rng, near, hits = np.random.default_rng(4), discs(SIDE), 0
    zones, where = ring_zones([near]), near[[14]].indices
    for _ in range(20):
        cell, ago = _drawn(rng)
        cell = np.concatenate([cell, rng.choice(where, 18)])
        ago = np.concatenate([ago, rng.integers(0, 3, 18)])
        first = space_time(cell, ago, zones, WINDOWS, permutations=99)[0]
        hits += first.p <= 0.05 and first.days == 3 and 14 in near[[first.zone]].indices
    assert hits >= 17


def test_nothing_is_found_in_nothing_and_the_wrong_is_refused() -> None:
    zones = ring_zones([discs(SIDE)])
    assert space_time([], [], zones, WINDOWS) == []
    with pytest.raises(ValueError, match="negative"):
        space_time([1], [-1], zones, WINDOWS)


MONDAY = datetime(2025, 3, 3, tzinfo=town.ZONE)
CORNER = (0.5, 4.5)


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, Headers]:
    """Sixty calm days of four a day, and in the last three days fifteen at one corner, across its grids."""
    rng = np.random.default_rng(6)
    calm = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (240, 2))]
    risen = [town.at(*(np.array(CORNER) + rng.normal(0, 0.1, 2))) for _ in range(15)]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, calm, first=MONDAY, apart=timedelta(hours=6))
        first = MONDAY + timedelta(days=57)
        town.add_incidents(conn, batch, risen, "02", first=first, apart=timedelta(hours=4.5))
        made = {
            scope: access.create_key(conn, "commander", scope, scheme="safety", label=f"of {scope}").key
            for scope in (None, "T1", "T2")
        }
    return {scope or "all": {"Authorization": f"Bearer {key}"} for scope, key in made.items()}


@pytest.fixture(scope="module")
def asker(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(made, "http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        yield client


def test_the_corner_is_told_with_its_days(asker: TestClient, keys: dict[str, Headers]) -> None:
    answer = asker.get("/alarms/clusters", params={"res": "8"}, headers=keys["all"])
    assert answer.status_code == 200, answer.text
    told = answer.json()
    (one,) = told["clusters"]
    lon, lat = (np.array([each]) for each in town.at(*CORNER))
    assert h3.to_text(h3.index(lon, lat, 8))[0] in one["members"]
    assert one["centre"] == one["members"][0]
    assert one["days"] in {3, 5}
    assert one["observed"] >= 14 > 3 * one["expected"]
    assert one["recurrence_days"] == pytest.approx(1 / one["p"])
    assert (told["study_days"], told["incidents"]) == (59, 251), "the first day may be a part of one"


def test_a_scope_is_told_of_its_own(asker: TestClient, keys: dict[str, Headers]) -> None:
    for scope, number in (("T1", 0), ("T2", 1)):
        told = asker.get("/alarms/clusters", headers=keys[scope]).json()
        assert len(told["clusters"]) == number
        assert told["incidents"] < 251


def test_before_it_gathered_nothing_is_told(asker: TestClient, keys: dict[str, Headers]) -> None:
    told = asker.get("/alarms/clusters", params={"to": "2025-04-25"}, headers=keys["all"]).json()
    assert told["clusters"] == []
    early = asker.get("/alarms/clusters", params={"to": "2025-03-20"}, headers=keys["all"])
    assert early.status_code == 422
    assert "28 are needed" in early.text
