"""The effect of a measure: published vectors, level and power, and counts by hand over the drawn town."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import ArrayLike
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from api.cli import app
from api.main import make_app
from gis import access, db
from layers.stats.displacement import difference
from tests import town

START = datetime(2025, 3, 1, tzinfo=town.ZONE)
PERIOD = {"from": "2025-03-01", "to": "2025-03-20"}


@pytest.mark.parametrize(
    ("control", "area", "value", "error"),
    [((20, 20), (20, 10), -10, 8.3666), ((0, 0), (0, 5), 5, 2.2361), ((10, 20), (20, 30), 0, 8.9443)],
)
def test_published_vectors(
    control: tuple[int, int], area: tuple[int, int], value: float, error: float
) -> None:
    found = difference(area, control)
    assert found
    assert found.value == value
    assert found.error == pytest.approx(error, abs=1e-4)


def test_weights_scale_both_parts() -> None:
    found = difference([[20, 10], [4, 1]], [[20, 20], [4, 4]], [1.0, 5.0])
    assert found
    assert found.value == -10 + 5 * -3
    assert found.error == pytest.approx(np.sqrt(70 + 25 * 13))


def test_quiet_measures_are_told_in_one_of_twenty() -> None:
    rng = np.random.default_rng(1)
    area, control = rng.poisson(30.0, (2, 4000, 2))
    found = [difference(a, c) for a, c in zip(area, control, strict=True)]
    assert 0.04 <= np.mean([one is not None and one.p <= 0.05 for one in found]) <= 0.06


@pytest.mark.parametrize(
    ("area", "control", "weight"),
    [((0, 0), (0, 0), 1), ([[0, 0], [3, 5]], [[0, 0], [2, 2]], [1, 0]), ([[0, 0]] * 3, [[0, 0]] * 3, 2)],
)
def test_of_nothing_nothing_is_said(area: ArrayLike, control: ArrayLike, weight: ArrayLike) -> None:
    assert difference(area, control, weight) is None


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="kinds"):
        difference([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        difference([1, -2], [1, 2])


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """Twelve in T2d before, four after; in T1a eight and eight; beside T2d two before and five after."""
    before, after = START - timedelta(days=18), START + timedelta(hours=1)
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(5.5, 4.5)] * 2, first=START - timedelta(days=20))
        for place, counts in ((2.5, 4.5), (12, 4)), ((0.5, 0.5), (8, 8)):
            for first, count in zip((before, after), counts, strict=True):
                town.add_incidents(conn, batch, [town.at(*place)] * count, first=first)
        for first, count in ((before, 2), (after, 5)):
            town.add_incidents(conn, batch, [town.at(3.05, 4.5)] * count, "02", first=first)
        town.add_incidents(conn, batch, [town.at(5.5, 0.5)], first=START + timedelta(days=40))
    with TestClient(
        make_app(lambda: service_engine, tmp_path_factory.mktemp("data")),
        "http://127.0.0.1",
        client=("127.0.0.1", 5),
    ) as client:
        yield client


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, dict[str, str]]:
    with engine.begin() as conn:
        made = {
            scope: access.create_key(conn, "commander", scope, scheme="safety", label=f"of {scope}").key
            for scope in (None, "T2")
        }
    return {scope or "all": {"Authorization": f"Bearer {key}"} for scope, key in made.items()}


def test_counts_are_those_of_area_control_and_ring(
    asker: TestClient, keys: dict[str, dict[str, str]]
) -> None:
    asked = PERIOD | {"area": "T2d", "control": "T1a", "ring_m": "100"}
    answer = asker.get("/evaluation", params=asked, headers=keys["all"])
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["area"]["blue"] == [12, 4]
    assert found["control"]["blue"] == [8, 8]
    assert found["difference"]["value"] == -8
    assert found["difference"]["error"] == pytest.approx(np.sqrt(32))
    assert found["harm"]["value"] == -8
    assert found["ring"]["blue"] == [2, 5]
    assert found["displaced"]["value"] == -5


@pytest.mark.parametrize("ring", [{}, {"ring_m": "100"}])
def test_two_periods_without_incidents_say_nothing(
    asker: TestClient,
    keys: dict[str, dict[str, str]],
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    ring: dict[str, str],
) -> None:
    asked = PERIOD | {"area": "T1c", "control": "T2e", "category": "0102"} | ring
    found = asker.get("/evaluation", params=asked, headers=keys["all"]).json()
    assert (found["difference"], found["harm"], found["displaced"]) == (None, None, None)
    assert found["empty"] == ["area", "control", *(["ring"] if ring else [])]
    monkeypatch.setattr(db, "work_engine", lambda: engine)
    words = ["evaluate", "T1c", "T2e", "--since", "2025-03-01", "--to", "2025-03-20", "--category", "0102"]
    done = CliRunner().invoke(app, words + [part for name in ring for part in ("--ring-m", ring[name])])
    assert done.exit_code == 0, done.output
    assert done.output.count("nothing can be said of it") == 2 + len(ring)
    assert "p 1" not in done.output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"control": "T2d"}, "control"),
        ({"control": "T2"}, "control"),
        ({"area": None}, "area"),
        ({"from": None}, "from"),
        ({"from": "2020-01-01"}, "from"),
    ],
)
def test_what_compares_nothing_is_refused(
    asker: TestClient, keys: dict[str, dict[str, str]], change: dict[str, str | None], told: str
) -> None:
    asked = {k: v for k, v in (PERIOD | {"area": "T2d", "control": "T1a"} | change).items() if v}
    answer = asker.get("/evaluation", params=asked, headers=keys["all"])
    assert answer.status_code == 422, answer.text
    assert told in answer.text


def test_a_scope_compares_what_it_holds(asker: TestClient, keys: dict[str, dict[str, str]]) -> None:
    asked = PERIOD | {"area": "T2d", "control": "T2e"}
    assert asker.get("/evaluation", params=asked, headers=keys["T2"]).status_code == 200
    for change in ({"control": "T1a"}, {"ring_m": "100"}):
        answer = asker.get("/evaluation", params=asked | change, headers=keys["T2"])
        assert answer.status_code == 422, answer.text
    assert asker.get("/evaluation", params=asked | {"control": "ZZ"}, headers=keys["all"]).status_code == 404


def test_the_command_says_what_the_service_says(
    asker: TestClient, keys: dict[str, dict[str, str]], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "work_engine", lambda: engine)
    words = ["evaluate", "T2d", "T1a", "--since", "2025-03-01", "--to", "2025-03-20", "--ring-m", "100"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "area T2d: 12 to 4 (blue 12 to 4, yellow 0 to 0, red 0 to 0)" in done.output
    assert "control T1a: 8 to 8" in done.output
    assert "ring: 2 to 5" in done.output
    asked = PERIOD | {"area": "T2d", "control": "T1a", "ring_m": "100"}
    told = asker.get("/evaluation", params=asked, headers=keys["all"]).json()
    for name, key in (("difference", "difference"), ("harm", "harm"), ("with the ring", "displaced")):
        one = told[key]
        line = f"{name}: {one['value']:+g} ({one['low']:+.1f} to {one['high']:+.1f}), p {one['p']:.3g}"
        assert line in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["T2d", "T2d", "--since", "2025-03-01"], "control"),
        (["T2d", "T9", "--since", "2025-03-01"], "there is no grid T9"),
        (["T9", "T2d", "--since", "2025-03-01"], "T9"),
        (["T2d", "T1a", "--since", "2025-03-01", "--to", "2025-02-01"], "to"),
        (["T2d", "T1a", "--since", "2025-03-01", "--to", "2025-03-01"], "first day after"),
        (["T2d", "T1a", "--since", "2025-03-01", "--ring-m", "-5"], "ring-m"),
        (["T2d", "T1a", "--since", "2025-03-01", "--category", "99"], "99"),
    ],
)
def test_the_command_refuses_in_one_line(
    asker: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    assert asker
    monkeypatch.setattr(db, "work_engine", lambda: engine)
    done = CliRunner().invoke(app, ["evaluate", *words])
    assert done.exit_code == 1, done.output
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
