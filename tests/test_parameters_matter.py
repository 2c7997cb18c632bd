"""Every parameter that a question of analysis documents changes what it answers: none is ignored."""

from datetime import datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import ROUTERS
from gis import schema
from tests import town

FIRST, DAYS = datetime(2024, 11, 1, tzinfo=town.ZONE), 300
NEEDS = {
    "/evaluation": {"area": "T1", "control": "T2", "from": "2025-05-01"},
    "/emerging": {"steps": "11", "step_days": "14"},
    "/near-repeat": {"permutations": "19"},
}
OTHER = {
    "from": "2025-06-01", "to": "2025-08-01", "category": "0102", "source": "patrol", "colour": "red",
    "area": "T2", "filter": "colour = 'yellow'", "on": "2023-12-31", "known": "0", "scheme": "none",
    "plan": "77", "res": "7", "level": "3", "format": "csv", "limit": "1", "offset": "1", "datum": "gcj02",
    "provisional": "included", "steps": "10", "step_days": "21", "space": "300", "time": "9",
    "permutations": "99", "by": "address", "with": "gistar", "per": "building", "cell": "none",
    "control": "T2d", "ring_m": "700", "categories": "all", "only": "departures", "horizon_days": "9",
    "include": "patrol",
}  # fmt: skip
"""Another value of each than the usual one. A new parameter needs a line here."""
BESIDE = {"on": {"area": "T1"}, "known": {"area": "T1"}}
"""What a parameter is about: boundaries matter where grids are named."""
ASKED = {route.path: route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}
PATHS = (
    "/changes", "/emerging", "/near-repeat", "/profiles", "/repeat-places", "/evaluation", "/situation",
    "/stability-index", "/letters", "/hotspots", "/hotspots/values", "/risk", "/risk/values",
    "/alarms/clusters",
)  # fmt: skip


def _taken(path: str) -> list[str]:
    flat = get_flat_params(ASKED[path].dependant)
    return [one.alias for one in flat if isinstance(one.field_info, Query)]


@pytest.fixture(scope="module", autouse=True)
def varied(engine: Engine) -> None:
    """Three a day of all kinds, the last reported late; houses with addresses where they happen."""
    rng = np.random.default_rng(8)
    number = 3 * DAYS
    homes = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (30, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for row, place in enumerate(homes):
            town.add_building(conn, batch, f"{row}号", place)
        places = [homes[row] for row in rng.integers(0, len(homes), number)]
        for category, part in (("0101", places[::2]), ("0102", places[1::2])):
            apart = timedelta(days=DAYS) / len(part)
            town.add_incidents(conn, batch, part, category=category, first=FIRST, apart=apart)
        i = schema.incidents.c
        for column, values in (("source", ("patrol", "hotline")), ("colour", ("red", "yellow", "blue"))):
            for row, value in enumerate(values):
                some = sa.update(schema.incidents).where(i.id % len(values) == row)
                conn.execute(some.values({column: value}))
        some = sa.update(schema.incidents).where(i.id % 2 == 0)
        conn.execute(some.values(reported_at=i.occurred_at + timedelta(days=5)))
        conn.execute(sa.delete(schema.incidents).where(i.reported_at > FIRST + DAYS * timedelta(days=1)))


@pytest.mark.parametrize(("path", "name"), [(path, name) for path in PATHS for name in _taken(path)])
def test_each_parameter_has_an_effect(client: TestClient, path: str, name: str) -> None:
    needs = NEEDS.get(path, {}) | BESIDE.get(name, {})
    if (path, name) == ("/hotspots", "datum"):
        needs = {"format": "geojson"}
    usual, other = (client.get(path, params=asked) for asked in (needs, needs | {name: OTHER[name]}))
    assert usual.status_code == 200, usual.text
    assert usual.content != other.content, f"{path} answers the same whatever {name} is"


@pytest.mark.parametrize("path", ["/emerging", "/alarms/clusters"])
def test_what_looks_back_from_its_end_takes_no_beginning(client: TestClient, path: str) -> None:
    answer = client.get(path, params={"from": "2025-06-01"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["name"] == "from"
