"""Two days without any record in a city that is never quiet are lost, not quiet, in every answer."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from gis.record_span import incident_span
from tests import town

FIRST, DAY = datetime(2025, 1, 1, tzinfo=town.ZONE), timedelta(days=1)
DAYS, A_DAY = 200, 24
LOST = (150, 151)
QUESTIONS = ("/changes", "/situation", "/profiles", "/hotspots", "/repeat-places")


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    """An incident every hour, but on two days."""
    places = [town.at(1 + number % 5, 1 + number % 4) for number in range(DAYS * A_DAY)]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for first, end in ((0, LOST[0]), (LOST[-1] + 1, DAYS)):
            some = places[first * A_DAY : end * A_DAY]
            town.add_incidents(conn, batch, some, first=FIRST + first * DAY, apart=DAY / A_DAY)


def _ask(client: TestClient, path: str, first: int, end: int) -> dict[str, Any]:
    period = {"from": (FIRST + first * DAY).isoformat(), "to": (FIRST + end * DAY).isoformat()}
    answer = client.get(path, params=period)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_span_has_the_gap(conn: Connection) -> None:
    runs = [(since - FIRST) / DAY for run in incident_span(conn).recorded for since in run]
    assert runs == [0, LOST[0], LOST[-1] + 1, DAYS]


@pytest.mark.parametrize("path", QUESTIONS)
def test_answers_name_the_lost_days(client: TestClient, path: str) -> None:
    assert _ask(client, path, 120, 148)["unrecorded"] is None
    assert _ask(client, path, 140, 168)["unrecorded"]["inside"] == len(LOST)


def test_nothing_fell_for_lost_days(client: TestClient) -> None:
    across = _ask(client, "/changes", 145, 155)
    assert across["before"] is None
    assert _ask(client, "/changes", 155, 165)["before"] is None, "the ten days before hold them"
    assert _ask(client, "/situation", 145, 155)["tested"] is False
    slots = [row["slots"] for row in _ask(client, "/profiles", 145, 155)["rows"] if row["kind"] == "hour"]
    assert slots == [8.0] * 24


def test_the_forecast_is_of_the_recorded_days(client: TestClient) -> None:
    told = client.get("/risk", params={"horizon_days": 10}).json()
    assert told["expected_total"] == pytest.approx(10 * A_DAY, rel=0.005)
