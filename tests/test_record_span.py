"""A few records far before all others: every answer is that of the span in use, which is told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import schema
from gis.record_span import first_in_use
from layers.public import release_months
from tests import town

FIRST = datetime(2025, 1, 20, tzinfo=town.ZONE)
LONG_AGO = datetime(1963, 5, 5, 10, tzinfo=town.ZONE)
QUESTIONS = (
    "/hotspots", "/hotspots?from=2025-03-01&to=2025-03-31", "/hotspots?to=2025-03-31",
    "/hotspots/values?res=9", "/situation?from=2025-03-01&to=2025-03-31", "/situation?level=3",
    "/stability-index?level=2",
    "/changes?from=2025-03-01&to=2025-03-31", "/changes", "/profiles", "/near-repeat?permutations=99",
    "/emerging?steps=10&step_days=7", "/risk?from=2025-01-20", "/risk/values?from=2025-01-20",
    "/letters?from=2025-03-01&to=2025-03-31",
)  # fmt: skip


@pytest.mark.parametrize(
    ("days", "stray"),
    [
        ([], 0), ([5], 0), ([-2432, 20000], 0), ([-2432, *range(20000, 20100)], 1),
        ([-2432, -900, *range(20000, 20100)], 2), ([-2432, *range(0, 900, 30)], 1), (range(0, 360, 30), 0),
        ([*range(100), *range(190, 300)], 0), ([0, *range(60, 300)], 1), ([0, *range(60, 300), 900], 0),
        ([*range(30), *range(395, 425)], 0), ([0, 400, 401, 402], 0), ([0, 7, 8, 20, 21, 30, 45, 46], 0),
    ],
)  # fmt: skip
def test_what_is_stray_by_days(days: list[int], stray: int) -> None:
    """A season, an outage, a slow beginning and a source that records seldom are none."""
    assert first_in_use(np.array(list(days), dtype=np.int64)) == stray


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    rng = np.random.default_rng(11)
    places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (300, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for number, place in enumerate(places[:40]):
            town.add_building(conn, batch, str(number), place)
        town.add_incidents(conn, batch, places, first=FIRST, apart=timedelta(hours=8))


@pytest.fixture(scope="module")
def stranger(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def _answers(client: TestClient) -> dict[str, Any]:
    answers = {path: client.get(path) for path in QUESTIONS}
    assert {path: one.text for path, one in answers.items() if one.status_code != 200} == {}
    return {path: one.json() for path, one in answers.items()}


def _release(engine: Engine) -> None:
    with engine.begin() as conn:
        release_months(conn)


def test_one_record_of_1963_changes_no_answer(
    client: TestClient, stranger: TestClient, engine: Engine
) -> None:
    _release(engine)
    before, public = _answers(client), stranger.get("/city").json()["incidents"]
    risk = client.get("/risk").json()
    span = client.get("/city").json()["incidents"]
    assert (span["count"], span["earlier"], span["first"], span["earliest"]) == (300, 0, *[span["first"]] * 2)
    with engine.begin() as conn:
        town.add_incidents(conn, None, [town.at(1, 1)], first=LONG_AGO)
    _release(engine)
    assert _answers(client) == before
    now = client.get("/risk").json()
    assert now["start"] == risk["start"]
    assert now["expected_total"] == pytest.approx(risk["expected_total"], rel=0.02), (
        "decades are no quiet days"
    )
    after = client.get("/city").json()["incidents"]
    assert (after["count"], after["earlier"]) == (301, 1)
    assert (after["first"], after["last"]) == (span["first"], span["last"])
    assert datetime.fromisoformat(after["earliest"]) == LONG_AGO
    assert stranger.get("/city").json()["incidents"] == public
    assert public["count"] == 300


def test_who_asks_for_1963_gets_it(client: TestClient) -> None:
    for period in ("from=1963-01-01&to=1964-01-01", "to=1970-01-01"):
        assert client.get(f"/hotspots?{period}").json()["incidents"] == 1
    assert client.get("/hotspots?from=1960-01-01").json()["incidents"] == 301


def test_data_that_ended_long_ago_are_answered_for_their_last_days(
    client: TestClient, engine: Engine
) -> None:
    """Without a period the situation is that of the last days with records, not of today."""
    told = client.get("/situation").json()
    with engine.connect() as conn:
        last = conn.execute(sa.select(sa.func.max(schema.incidents.c.occurred_at))).scalar_one()
    assert datetime.fromisoformat(told["start"]) <= last < datetime.fromisoformat(told["end"])
    assert client.get("/risk").json()["start"] == "2025-04-30"
