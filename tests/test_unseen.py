"""A report changes nothing for who may not see it, not even that a hexagon is there."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import access, incidents, schema
from layers.public import release_months
from layers.refresh import coarsest_cells
from tests import town
from tests.serving import path, serving

EMPTY = town.at(4.4, 4.6)
"""In T2, far from all that was recorded."""
SEEN = [
    "/layers",
    "/layers?area=T2",
    "/city",
    "/collections",
    "/hotspots?res=10",
    "/hotspots?res=6",
    "/tiles/hotspots.json",
    "/styles/hotspots.json",
    *(path("hotspots", EMPTY, z) for z in (1, 3, 5, 6, 8, 14)),
]


@pytest.fixture(scope="module")
def client(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(0.5, 0.5)] * 3 + [town.at(1.5, 4.2)])
        coarsest_cells(conn)
        release_months(conn)
    with serving(service_engine, tmp_path_factory.mktemp("data")) as made:
        yield made


def _answers(client: TestClient, ask: dict[str, str]) -> dict[str, tuple[int, bytes]]:
    said = {url: client.get(url, headers=ask) for url in SEEN}
    return {url: (one.status_code, one.content) for url, one in said.items()}


def test_a_report_elsewhere_changes_no_answer(client: TestClient, engine: Engine) -> None:
    asks = {"public": dict[str, str]()}
    with engine.begin() as conn:
        for name, scope in (("T1", "T1"), ("city", None)):
            key = access.create_key(conn, "commander", scope, scheme="safety", label=name).key
            asks[name] = {"Authorization": f"Bearer {key}"}
    before = {name: _answers(client, ask) for name, ask in asks.items()}
    with engine.begin() as conn:
        cells = conn.execute(sa.select(sa.func.count()).select_from(schema.cells)).scalar_one()
        category = conn.execute(sa.select(sa.func.min(schema.categories.c.code))).scalar_one()
        (lon, lat), last = (
            EMPTY,
            conn.execute(sa.select(sa.func.max(schema.incidents.c.occurred_at))).scalar_one(),
        )
        incidents.add(
            conn,
            incidents.Report(
                category, source="patrol", occurred_at=last + timedelta(minutes=7), lon=lon, lat=lat
            ),
        )
        assert conn.execute(sa.select(sa.func.count()).select_from(schema.cells)).scalar_one() > cells
    after = {name: _answers(client, ask) for name, ask in asks.items()}
    for name in ("public", "T1"):
        changed = [url for url in SEEN if before[name][url] != after[name][url]]
        assert changed == [], [(before[name][url][1], after[name][url][1]) for url in changed]
    assert before["city"]["/layers"] != after["city"]["/layers"]
