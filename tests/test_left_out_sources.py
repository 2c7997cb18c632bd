"""What patrols and sensors alone recorded is learned from where it is named, and else refused: never a 0."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access, schema
from tests import town

FIRST, DAYS, ROUNDS = datetime(2024, 1, 1, tzinfo=town.ZONE), 400, 4
SERIES = {("0101", "citizen"): 1, ("0101", "patrol"): 2, ("0102", "patrol"): 1, ("02", "sensor"): 1}
"""Incidents a day by category and source, in each quarter; nobody but the sensor records 02."""
Asker = dict[str | None, TestClient]


@pytest.fixture(scope="module")
def askers(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asker]:
    """Commanders of the whole town (None) and of each quarter; T1 holds no incident of 0102."""
    rng, i = np.random.default_rng(4), schema.incidents
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for (category, source), number in SERIES.items():
            for column, row, share in ((0.2, 0.2, 0), (0.2, 3.2, 1)):
                if (category, share) == ("0102", 0):
                    continue
                spread = rng.uniform((column, row), (column + 1.6, row + 1.6), (DAYS * number, 2))
                places = [town.at(*place) for place in spread]
                known = sa.select(sa.func.coalesce(sa.func.max(i.c.id), 0)).scalar_subquery()
                before = conn.execute(sa.select(known)).scalar_one()
                town.add_incidents(
                    conn, batch, places, category, FIRST + timedelta(hours=8), timedelta(days=1) / number
                )
                conn.execute(i.update().where(i.c.id > before).values(source=source))
        made = {
            scope: access.create_key(conn, "commander", scope, scheme="safety", label=f"desk {scope}").key
            for scope in (None, "T1", "T2")
        }
    with TestClient(make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))) as client:
        found = {}
        for scope, key in made.items():
            found[scope] = TestClient(client.app, headers={"Authorization": f"Bearer {key}"})
        yield found


def ask(askers: Asker, scope: str | None = None, **query: Any) -> Any:
    return askers[scope].get("/risk", params={"horizon_days": 30, "res": 8, "to": "2025-02-04"} | query)


NAMED = [
    ({"filter": "source = 'patrol'"}, {"source": "patrol"}),
    ({"filter": "'patrol' = source"}, {"source": "patrol"}),
    ({"filter": "source = 'patrol' AND category = '0101'"}, {"source": "patrol", "category": "0101"}),
    ({"filter": "source = 'patrol'", "category": "01"}, {"source": "patrol", "category": "01"}),
    ({"filter": "source IN ('sensor')", "category": "02"}, {"source": "sensor", "category": "02"}),
    ({"filter": "source = 'sensor' OR source = 'sensor'"}, {"source": "sensor"}),
]


@pytest.mark.parametrize(("query", "same"), NAMED)
@pytest.mark.parametrize("scope", [None, "T1", "T2"])
def test_a_filter_that_names_sources_is_as_the_parameter(
    askers: Asker, scope: str | None, query: dict[str, str], same: dict[str, str]
) -> None:
    answer, other = ask(askers, scope, **query), ask(askers, scope, **same)
    assert answer.status_code == other.status_code == 200, answer.text
    found, known = answer.json(), other.json()
    assert found["trained_on"] == known["trained_on"] > 0
    assert (found["left_out"], found["left_out_sources"]) == (0, [])
    for name in ("expected_total", "total_low95", "total_high95", "with_all_total", "start"):
        assert found[name] == pytest.approx(known[name]), name
    assert found["expected_total"] > 20


def test_several_named_sources_are_all_learned_from(askers: Asker) -> None:
    found = ask(askers, "T2", filter="source IN ('citizen', 'patrol') AND category = '0101'").json()
    assert found["trained_on"] == 3 * DAYS
    found = ask(askers, "T2", filter="source = 'patrol' OR category = '0101'").json()
    assert (found["trained_on"], found["left_out"]) == (DAYS, 3 * DAYS), "that names no source alone"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"category": "02"}, "sensor"),
        ({"filter": "category = '02'"}, "sensor"),
        ({"filter": "category LIKE '02%'"}, "sensor"),
        ({"filter": "source <> 'citizen' AND category = '02'"}, "sensor"),
        ({"filter": "source LIKE 'pat%'"}, "patrol"),
        ({"filter": "source <> 'citizen'"}, "patrol,sensor"),
        ({"filter": "source <> 'citizen'", "include": "sensor"}, None),
    ],
)
def test_what_is_left_with_nothing_is_refused_alike_and_names_the_way_out(
    askers: Asker, query: dict[str, str], names: str | None
) -> None:
    for scope, area in ((None, {}), (None, {"area": "T1"}), ("T1", {}), ("T2", {}), ("T2", {"area": "T2d"})):
        answer = ask(askers, scope, **query, **area)
        if names is None:
            assert answer.json()["trained_on"] > 0
            continue
        assert answer.status_code == 404, answer.text
        assert f"only {names} recorded" in answer.text
        assert f"include={names}" in answer.text
        answer = ask(askers, scope, **query | {"include": names}, **area)
        assert answer.status_code == 200
        assert answer.json()["expected_total"] > 20


def test_a_quiet_part_of_what_a_patrol_alone_recorded(askers: Asker) -> None:
    """Nothing of it ever was in T1: 0 once the source is named, and else refused, not 'widen the area'."""
    for scope, area in ((None, {"area": "T1"}), ("T1", {})):
        refused = ask(askers, scope, category="0102", **area)
        assert refused.status_code == 404
        assert "include=patrol" in refused.text
        found = ask(askers, scope, category="0102", source="patrol", **area).json()
        assert (found["trained_on"], found["expected_total"]) == (0, 0)


def test_what_nobody_recorded_says_so(askers: Asker) -> None:
    for query in ({"category": "02", "colour": "red"}, {"source": "hotline", "category": "02"}):
        answer = ask(askers, **query)
        assert answer.status_code in {404, 422}
        assert "include=" not in answer.text
