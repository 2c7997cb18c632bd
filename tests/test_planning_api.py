"""Plans over HTTP: who may do what, what each question answers, and how a refusal is told."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access
from tests import town

Ask = dict[str, str]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1b")
        for n, place in enumerate([(0.5, 0.5), (1.5, 0.5), (2.5, 0.5), (4.5, 1.5)]):
            town.add_building(conn, batch, f"{n}", town.at(*place))


@pytest.fixture(scope="module")
def client(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 5), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, Ask]:
    """What each sends: a role, and the role with a scope."""
    made = {"public": {}}
    with engine.begin() as conn:
        for name in ("field", "commander", "planner", "approver", "planner T1", "approver T1", "approver T2"):
            role, _, scope = name.partition(" ")
            demo = role == "approver"
            key = access.create_key(conn, role, scope or None, scheme="safety", label=name, demo=demo)
            made[name] = {"Authorization": f"Bearer {key.key}"}
    return made


def line(*places: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [town.at(*place) for place in places]}


HALVE = {"op": "split", "code": "T1a", "line": line((1, -1), (1, 6))}


def begin(client: TestClient, ask: Ask, scope: str = "T") -> int:
    answer = client.post("/plans", headers=ask, json={"scope": scope, "title": "t"})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/plans/{answer.json()['id']}"
    return int(answer.json()["id"])


def test_a_step_answers_what_it_changed(client: TestClient, keys: dict[str, Ask]) -> None:
    ask = keys["planner"]
    plan = begin(client, ask)
    done = client.post(f"/plans/{plan}/steps", headers=ask, json=HALVE)
    assert done.status_code == 200, done.text
    told = done.json()
    marks = {f["properties"]["code"]: f["properties"]["change"] for f in told["grids"]["features"]}
    assert marks.pop("T1a") == "changed"
    assert list(marks.values()) == ["new"]
    assert told["plan"]["head"] == told["step"]["id"]
    assert told["faults"]["errors"] == 0
    back = client.post(f"/plans/{plan}/undo", headers=ask).json()
    assert back["gone"] == list(marks)
    assert back["plan"]["head"] is None
    again = client.post(f"/plans/{plan}/redo", headers=ask).json()
    assert again["grids"] == told["grids"]
