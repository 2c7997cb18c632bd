"""Times in answers: RFC 3339, also before zones counted in whole minutes."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import ROUTERS
from gis.clocks import rfc3339
from gis.schema import city
from layers.public import release_months
from tests import town

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
LOOKS_LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
ZONES = ("Asia/Shanghai", "America/New_York", "Europe/Amsterdam")


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    """The drawn town with two months of incidents, some of the first days of 1900."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(1, 1)] * 400, apart=timedelta(hours=4))
        early = datetime(1900, 1, 1, 12, tzinfo=town.ZONE)
        town.add_incidents(conn, batch, [town.at(1, 1)] * 30, first=early)
        for number in range(9):
            town.add_building(conn, batch, f"{number}", town.at(1, 1))
        release_months(conn)


def _texts(told: object) -> Iterator[str]:
    """Every text of an answer, at any depth."""
    if isinstance(told, dict):
        for value in told.values():
            yield from _texts(value)
    elif isinstance(told, list):
        for value in told:
            yield from _texts(value)
    elif isinstance(told, str):
        yield told


def _times(answer: Any) -> list[str]:
    return [text for text in _texts(answer.json()) if LOOKS_LIKE_A_TIME.match(text)]


PERIODS = [
    route.path
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    and "GET" in route.methods
    and "{" not in route.path
    and "from" in {param.alias for param in get_flat_params(route.dependant)}
]
"""Questions that take a period."""
_OF_THEIR_OWN = ("/risk", "/alarms/clusters")
"""They begin elsewhere: a horizon after the period, and so many days before its end."""


def test_there_are_questions_with_periods() -> None:
    assert {"/hotspots", "/profiles", "/situation", "/changes"} <= set(PERIODS)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("path", PERIODS)
def test_every_answer_about_a_period_before_whole_minutes_is_rfc3339(
    client: TestClient, public: TestClient, engine: Engine, path: str, zone: str
) -> None:
    with engine.begin() as conn:
        conn.execute(city.update().values(timezone=zone))
    try:
        for asking in (client, public):
            answer = asking.get(f"{path}?from=1900-01-01&to=1900-12-01")
            if answer.headers["content-type"] == "application/json" and answer.status_code == 200:
                told = _times(answer)
                assert all(RFC3339.fullmatch(one) for one in told), told
                bounds = answer.json()
                if "start" in bounds and not path.startswith(_OF_THEIR_OWN):
                    start = datetime.fromisoformat(bounds["start"])
                    assert (start.year, start.month) in {(1899, 12), (1900, 1)}
    finally:
        with engine.begin() as conn:
            conn.execute(city.update().values(timezone="Asia/Shanghai"))


@pytest.mark.parametrize("path", ["/city", "/collections/incidents/items?datetime=../1900-12-01", "/layers"])
def test_the_span_and_features_of_those_years_are_rfc3339(
    client: TestClient, public: TestClient, path: str
) -> None:
    answers = [one for asking in (client, public) if (one := asking.get(path)).status_code == 200]
    assert answers
    for answer in answers:
        assert all(RFC3339.fullmatch(one) for one in _times(answer))
    if path != "/layers":
        assert _times(answers[0])


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("1900-01-01T00:00:00+08:05:43", "1899-12-31T15:54:17+00:00"),
        ("1900-01-01T00:00:00-00:44:30", "1900-01-01T00:44:30+00:00"),
        ("2025-01-01T00:00:00+05:45", "2025-01-01T00:00:00+05:45"),
        ("2025-01-01T00:00:00.5+00:00", "2025-01-01T00:00:00.500000+00:00"),
    ],
)
def test_a_moment_keeps_its_zone_where_rfc3339_can_write_it(given: str, written: str) -> None:
    assert rfc3339(datetime.fromisoformat(given)) == written
