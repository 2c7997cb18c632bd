"""A city of which nothing is recorded yet, or one incident: each question is answered or refused in words."""

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from tests import town

KNOWN = {
    "layer": "incidents", "z": 14, "x": 0, "y": 0, "collection": "incidents", "lon": 113.03, "lat": 27.025,
    "area": "T1a", "control": "T1b", "from": "2025-01-01", "to": "2025-02-01", "q": "T", "address": "T",
    "bbox": "113,27,113.1,27.1",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def city(engine: Engine) -> None:
    """Grids, and nothing else, not even a category."""
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)
        conn.execute(sa.text("DELETE FROM categories"))


def test_every_question_is_answered_or_refused(client: TestClient, engine: Engine) -> None:
    """Without any category, with one, and with one incident of it."""
    _ask_everything(client)
    with engine.begin() as conn:
        conn.execute(sa.text("INSERT INTO categories (code, name_zh, name_en) VALUES ('0101', '一', 'one')"))
    _ask_everything(client)
    with engine.begin() as conn:
        batch = conn.execute(sa.text("SELECT max(id) FROM batches")).scalar_one()
        town.add_incidents(conn, batch, [town.at(1, 1)])
    _ask_everything(client)


def _ask_everything(client: TestClient) -> None:
    asked = 0
    for path, ways in client.get("/openapi.json").json()["paths"].items():
        takes = {one["name"]: one for one in ways.get("get", {}).get("parameters", [])}
        needed = {name for name, one in takes.items() if one.get("required")}
        if "get" not in ways or path == "/events" or not needed <= set(KNOWN):
            continue
        query = {name: KNOWN[name] for name in needed if takes[name]["in"] == "query"}
        for more in ({}, {name: KNOWN[name] for name in ("area", "from", "to") if name in takes}):
            answer = client.get(path.format_map(KNOWN), params=query | more)
            assert (path, answer.status_code < 500) == (path, True), answer.text
            asked += 1
    assert asked > 60
