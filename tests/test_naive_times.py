"""Times without a zone are in the city's, in every field of every body that takes a time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access
from gis.schema_situation import alarms
from tests import town
from tests.operations import Document, Operation

MONDAY = datetime(2025, 3, 3, tzinfo=town.ZONE)
TIMES = ("2025-03-05T10:00", "2025-03-05 10:00:00.5", "0001-01-01T00:00", "9999-12-31T23:59:59")


@pytest.fixture(scope="module")
def alarm(engine: Engine) -> int:
    """An alarm in a town with incidents, and who may do everything."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1a")
        town.add_incidents(conn, batch, [town.at(1, 1)] * 40, first=MONDAY, apart=timedelta(hours=6))
        row = {
            "grid_id": 1, "category": None, "since": MONDAY, "until": MONDAY + timedelta(days=7), "count": 9,
            "expected": 1.0, "threshold": 5, "p": 1e-6, "series": 10, "weeks": 40,
        }  # fmt: skip
        made = conn.execute(alarms.insert().values(row).returning(alarms.c.id))
        return int(made.scalar_one())


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with engine.begin() as conn:
        key = access.create_key(conn, "admin", None, scheme="safety", label="office").key
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(made, "http://127.0.0.1", raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def _moments(document: Document) -> list[tuple[Operation, str]]:
    """Every field of a body that is a time."""
    return [
        (operation, name)
        for operation in document.operations()
        for schema in document._objects(document._body(operation))
        for name, told in schema["properties"].items()
        if "date-time" in str(told)
    ]


def test_no_field_of_any_body_fails_on_a_time_without_a_zone(asker: TestClient, alarm: int) -> None:
    document, rng = Document(asker.get("/openapi.json").json(), b""), Random(14)
    document.staged["/alarms/{number}/silence", "number"] = alarm
    found = _moments(document)
    assert {name for _, name in found} >= {"occurred_at", "reported_at", "at", "until", "start", "end"}
    for operation, name in found:
        for given in TIMES * 3:
            asked = document.request(rng, operation, name)
            asked.body[name] = given
            answer = asked.send(asker, None)
            assert answer.status_code < 500, f"{operation} {name}={given}: {answer.text[:300]}"


def test_a_silence_until_a_time_without_a_zone_ends_by_the_citys_clocks(
    asker: TestClient, alarm: int
) -> None:
    day = datetime.now(town.ZONE).replace(tzinfo=None, second=0, microsecond=0) + timedelta(days=9)
    answer = asker.post(f"/alarms/{alarm}/silence", json={"until": f"{day:%Y-%m-%dT%H:%M}"})
    assert answer.status_code == 200, answer.text
    told = datetime.fromisoformat(answer.json()["silenced_until"])
    assert told == day.replace(tzinfo=town.ZONE).astimezone(UTC)
