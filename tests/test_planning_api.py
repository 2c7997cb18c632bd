"""Plans over HTTP: who may do what, what each question answers, and how a refusal is told."""

from typing import Any

import numpy as np
import pyproj
import pytest
import schemathesis
import shapely
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance
from sqlalchemy.engine import Engine

from api.access import who
from api.main import make_app
from gis import access
from gis.access import Principal
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
def client(here: TestClient) -> TestClient:
    return here


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, Ask]:
    """What each sends: a role, and the role with a scope."""
    made = {"public": {}}
    with engine.begin() as conn:
        for name in (
            "field",
            "commander",
            "planner",
            "approver",
            "planner T1",
            "approver T1",
            "approver T2",
            "approver T",
        ):
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


def test_the_way_back_and_forth_is_from_where_the_plan_is_believed_to_stand(
    client: TestClient, keys: dict[str, Ask]
) -> None:
    """Elsewhere it is refused and nothing is changed: the newest step may be another's by now."""
    ask = keys["planner"]
    plan = begin(client, ask)
    first, second = (
        client.post(f"/plans/{plan}/steps", headers=ask, json=one).json()["plan"]["head"]
        for one in (HALVE, {"op": "rename", "code": "T2d", "name": "d"})
    )

    def move(way: str, **body: Any) -> Any:
        return client.post(f"/plans/{plan}/{way}", headers=ask, json=body)

    def refused(way: str, there: str, **body: Any) -> None:
        before = client.get(f"/plans/{plan}", headers=ask).json(), drawn()
        answer = move(way, **body)
        assert (answer.status_code, there in answer.json()["detail"]) == (409, True), answer.text
        assert (client.get(f"/plans/{plan}", headers=ask).json(), drawn()) == before

    def drawn() -> Any:
        return client.get(f"/plans/{plan}/grids", headers=ask).json()["features"]

    for head in (first, None, second + 1):
        refused("undo", f"moved on to step {second};", head=head)
    assert move("undo", head=second).json()["plan"]["head"] == first
    for head in (second, None):
        refused("undo", f"moved on to step {first};", head=head)
        refused("redo", f"moved on to step {first};", head=head)
        refused("redo", f"moved on to step {first};", head=head, step=second)
    assert move("undo", head=first).json()["plan"]["head"] is None
    for way in ("undo", "redo"):
        refused(way, "moved on to its base;", head=first)
    assert move("redo", head=None).json()["plan"]["head"] == first
    assert move("redo", head=first, step=second).json()["plan"]["head"] == second
    assert move("undo").json()["plan"]["head"] == first, "wherever it stands"
    for way in ("undo", "redo"):
        assert move(way, head=0).status_code == move(way, heads=1).status_code == 422
    client.post(f"/plans/{plan}/withdraw", headers=ask)


def test_only_what_truly_changed_is_told_as_changed(client: TestClient, keys: dict[str, Ask]) -> None:
    """M10: a split of one grid changes it and makes its half; a neighbour that got a vertex is bent."""
    ask = keys["planner"]
    plan = begin(client, ask)
    split = {"op": "split", "code": "T1a", "line": line((-1, 1.5003), (2.5, 1.5017))}
    done = client.post(f"/plans/{plan}/steps", headers=ask, json=split).json()
    marks = {f["properties"]["code"]: f["properties"]["change"] for f in done["grids"]["features"]}
    (half,) = [code for code, mark in marks.items() if mark == "new"]
    assert sorted(code for code, mark in marks.items() if mark == "changed") == ["T1a"]
    assert marks["T1b"] == "bent"
    assert done["plan"]["changed"] == 2
    told = client.get(f"/plans/{plan}/grids?changed=true", headers=ask).json()["features"]
    assert {f["properties"]["code"] for f in told} == {"T1a", half}
    both = client.get(f"/plans/{plan}/compare", headers=ask).json()["grids"]
    assert {one["code"] for one in both if one["change"] in {"new", "changed"}} == {"T1a", half}
    (step,) = client.get(f"/plans/{plan}/steps", headers=ask).json()["steps"]
    assert (step["codes"], step["bent"]) == (
        sorted(["T1a", half]),
        sorted(c for c in marks if marks[c] == "bent"),
    )
    undone = client.post(f"/plans/{plan}/undo", headers=ask).json()
    back = {f["properties"]["code"]: f["properties"]["change"] for f in undone["grids"]["features"]}
    assert back == {code: marks[code] for code in marks if code != half}, (
        "what lost a vertex again is bent, too"
    )
    client.post(f"/plans/{plan}/withdraw", headers=ask)


def test_a_split_shows_what_it_used_of_its_line(client: TestClient, keys: dict[str, Ask]) -> None:
    """The line of HALVE begins and ends beyond the grid, through another; only what lies within counts."""
    ask = keys["planner"]
    plan = begin(client, ask)
    done = client.post(f"/plans/{plan}/steps", headers=ask, json=HALVE).json()
    assert done["line"]["type"] == "LineString"
    south, north = sorted(done["line"]["coordinates"], key=lambda place: float(place[1]))
    assert south == pytest.approx(town.at(1, 3), abs=1e-7)
    assert north == pytest.approx(town.at(1, 0), abs=1e-7)
    client.post(f"/plans/{plan}/withdraw", headers=ask)


@pytest.mark.parametrize("layer", ["grids", "labels"])
def test_a_tile_shows_the_draft_to_whom_it_may(layer: str, client: TestClient, keys: dict[str, Ask]) -> None:
    ask = keys["planner"]
    plan = begin(client, ask)
    lon, lat = town.at(1, 1.5)
    tile = f"/tiles/{layer}/13/{int((lon + 180) / 360 * 2**13)}/{_row(lat, 13)}.mvt?plan={plan}"
    before = client.get(tile, headers=ask)
    done = client.post(f"/plans/{plan}/steps", headers=ask, json=HALVE).json()
    (new,) = {f["properties"]["code"] for f in done["grids"]["features"]} - {"T1a"}
    after = client.get(tile, headers=ask)
    assert before.status_code == after.status_code == 200, after.text
    assert new.encode() not in before.content
    assert new.encode() in after.content
    assert new.encode() not in client.get(tile.partition("?")[0], headers=ask).content
    assert client.get(tile).status_code == 401
    assert client.get(tile, headers=keys["field"]).status_code == 403


def _row(lat: float, zoom: int) -> int:
    return int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * 2**zoom)


PLANS = ("/plans", "/plans/{}", "/plans/{}/steps", "/plans/{}/grids", "/plans/{}/faults", "/plans/{}/impact",
         "/plans/{}/conflicts", "/plans/{}/compare")  # fmt: skip


def test_who_may_do_what(client: TestClient, keys: dict[str, Ask]) -> None:
    """Commanders read, planners draw, approvers decide, each within their scope; others learn nothing."""
    plan = begin(client, keys["planner T1"], "T1")
    step = client.post(f"/plans/{plan}/steps", headers=keys["planner T1"], json=HALVE)
    assert step.status_code == 200
    for question in PLANS:
        path = question.format(plan)
        assert client.get(path).status_code == 401
        assert client.get(path, headers=keys["field"]).status_code == 403
        for reader in ("commander", "planner", "planner T1", "approver T1"):
            assert client.get(path, headers=keys[reader]).status_code == 200, (reader, path)
        outside = client.get(path, headers=keys["approver T2"])
        if question == "/plans":
            assert plan not in [one["id"] for one in outside.json()["plans"]]
        else:
            assert outside.status_code == 404
    assert (
        client.post("/plans", headers=keys["planner T1"], json={"scope": "T2", "title": "t"}).status_code
        == 403
    )
    assert (
        client.post("/plans", headers=keys["planner T1"], json={"scope": "T", "title": "t"}).status_code
        == 403
    )
    assert client.post(f"/plans/{plan}/steps", headers=keys["commander"], json=HALVE).status_code == 403
    assert client.post(f"/plans/{plan}/approve", headers=keys["planner T1"]).status_code == 403
    assert client.post(f"/plans/{plan}/publish", headers=keys["planner T1"]).status_code == 403


def test_from_draft_to_revision_within_a_scope(
    client: TestClient, keys: dict[str, Ask], engine: Engine
) -> None:
    """Under the service's role, whose policies let an approver write no farther than the scope."""
    ask, chief = keys["planner T1"], keys["approver T1"]
    plan, other = begin(client, ask, "T1"), begin(client, ask, "T1")
    client.post(f"/plans/{plan}/steps", headers=ask, json=HALVE)
    client.post(f"/plans/{other}/steps", headers=ask, json={"op": "merge", "codes": ["T1a", "T1b"]})
    for one in (plan, other):
        assert client.post(f"/plans/{one}/submit", headers=ask).status_code == 200
        assert client.post(f"/plans/{one}/approve", headers=chief).json()["state"] == "approved"
    outside = client.post(f"/plans/{plan}/publish", headers=keys["approver T2"])
    assert outside.status_code == 404
    done = client.post(f"/plans/{plan}/publish", headers=chief)
    assert done.status_code == 200, done.text
    refused = client.post(f"/plans/{other}/publish", headers=chief)
    assert refused.status_code == 409
    assert {one["code"] for one in refused.json()["conflicts"]} == {"T1a"}
    for body in ({}, {"against": done.json()["revision"]}, None):
        again = client.post(f"/plans/{other}/approve", headers=chief, json=body)
        assert (again.status_code, {one["code"] for one in again.json()["conflicts"]}) == (409, {"T1a"})
    lon, lat = town.at(0.5, 1)
    owner = client.get("/grids/at", params={"lon": lon, "lat": lat}).json()
    assert owner["revision"] == done.json()["revision"]
    (west,) = (one["code"] for one in owner["chain"] if one["level"] == 3)
    assert west in done.json()["changed"]
    with engine.connect() as conn:
        said = (
            conn.execute(sa.text("SELECT entry FROM audit WHERE entry LIKE '%plan published%'"))
            .scalars()
            .all()
        )
    assert any(f'"plan":{plan}' in entry for entry in said)
    chosen = client.post(f"/plans/{other}/resolve", headers=ask, json={"code": "T1a", "take": "theirs"})
    assert chosen.json()["conflicts"] == []
    assert chosen.json()["plan"]["state"] == "draft"


def test_a_suggestion_is_steps_like_any_other(
    client: TestClient, keys: dict[str, Ask], engine: Engine
) -> None:
    """Twenty houses in d, four in e: half of what is too many passes, the rest stays."""
    rng = np.random.default_rng(2)
    with engine.begin() as conn:
        batch = conn.execute(sa.text("SELECT max(id) FROM batches")).scalar_one()
        for n in range(24):
            column = rng.uniform(0.2, 2.8) if n < 20 else rng.uniform(3.3, 5.8)
            town.add_building(conn, batch, f"s{n}", town.at(column, rng.uniform(3.2, 4.8)))
    ask = keys["planner"]
    plan = begin(client, ask, "T2")
    done = client.post(f"/plans/{plan}/suggest", headers=ask, json={"low": 100, "high": 200}).json()
    assert done["skipped"] == []
    assert done["steps"]
    assert done["unresolved"] == []
    assert done["moved_share"] < 0.3
    work = client.get(f"/plans/{plan}/impact", headers=ask).json()["workload"]
    assert all(100 <= row["after"]["households"] <= 200 for row in work)
    assert client.post(f"/plans/{plan}/undo", headers=ask).status_code == 200


@pytest.mark.parametrize("off_m", [0.3, 40])
def test_an_assignment_tells_what_it_takes_beyond_the_area(
    client: TestClient, keys: dict[str, Ask], off_m: float
) -> None:
    """An edge that meets the border of two grids near a vertex goes through that."""
    ask = keys["planner"]
    plan = begin(client, ask)
    (left, high), (right, low) = town.at(1, 0), town.at(2.3, 1)
    high -= off_m / 111_000
    ring = [(left, low), (right, low), (right, high), (left, high), (left, low)]
    area = {"type": "Polygon", "coordinates": [ring]}
    step = {"op": "assign", "to": "T1b", "area": area}
    before = shapes_of(client, ask, plan)
    told = client.post(f"/plans/{plan}/steps", headers=ask, json=step).json()["area"]
    gained = shapes_of(client, ask, plan)["T1b"].difference(before["T1b"])
    beyond = gained.difference(shapely.geometry.shape(area))
    recount, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(beyond)
    assert told["beyond_m2"] == pytest.approx(abs(recount), rel=0.005, abs=0.05)
    assert (told["beyond_m2"] > 0.5) == (off_m < 0.5)
    assert told["farthest_m"] <= 0.5


def shapes_of(client: TestClient, ask: Ask, plan: object) -> dict[str, Any]:
    told = client.get(f"/plans/{plan}/grids", headers=ask).json()["features"]
    return {one["properties"]["code"]: shapely.geometry.shape(one["geometry"]) for one in told}


def test_bad_steps_are_refused_by_name(client: TestClient, keys: dict[str, Ask]) -> None:
    ask = keys["planner"]
    plan = begin(client, ask)
    for step, field in (
        ({"op": "fly"}, "op"),
        ({"op": "split", "code": "T1a"}, "op"),
        ({"op": "split", "code": "T1a", "line": {"type": "Point", "coordinates": [1, 2]}}, "line"),
        ({"op": "move_vertex", "at": [1], "to": [1, 2]}, "at"),
        ({"op": "assign", "to": "T1a", "building_ids": [10**9]}, "building_ids"),
        ({"op": "rename", "code": "T1a", "name": " "}, "name"),
        ({"op": "rename", "code": "T1a", "name": "网格T1a"}, "op"),
    ):
        answer = client.post(f"/plans/{plan}/steps", headers=ask, json=step)
        assert (answer.status_code, answer.json()["errors"][0]["name"]) == (422, field), answer.text
    moved = client.post(f"/plans/{plan}/steps", headers=ask, json=HALVE | {"head": 1})
    assert moved.status_code == 409
    assert client.get(f"/plans/{plan}", headers=ask).json()["steps"] == 0


@pytest.fixture(scope="module")
def app(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The service, asked by an admin."""
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    made.dependency_overrides[who] = lambda: Principal("admin", full_role="admin", may_export=True)
    return made


OPERATIONS = sorted(
    f"{method.upper()} {path}"
    for path, found in make_app().openapi()["paths"].items()
    for method in found
    if path.startswith("/plans/{plan_id}")
)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_generated_requests_to_a_plan_find_no_error(app: FastAPI, operation: str) -> None:
    """The contract's fuzzing seldom names a plan that is there; here it always does."""
    with TestClient(app, raise_server_exceptions=False) as asking:
        plan = begin(asking, {})
        asking.post(f"/plans/{plan}/steps", json={"op": "rename", "code": "T1c", "name": "新"})
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        found = next(one.ok() for one in schema.get_all_operations() if one.ok().label == operation)

        @seed(3)
        @settings(
            max_examples=8, deadline=None, phases=(Phase.generate,), derandomize=False, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=found.as_strategy())
        def fuzz(case: schemathesis.Case) -> None:
            case.path_parameters["plan_id"] = plan
            case.call_and_validate(checks=[not_a_server_error, status_code_conformance])

        fuzz()


def rename(code: str) -> dict[str, str]:
    return {"op": "rename", "code": code, "name": f"another {code}"}


def told(client: TestClient, ask: Ask, plan: int, what: str, body: Any = None) -> Any:
    return client.post(f"/plans/{plan}/{what}", headers=ask, json=body)


HANDS = {
    "drew": [("steps", rename("T2e"))],
    "undid": [("undo", None)],
    "did again": [("undo", None), ("redo", None)],
    "submitted": [("submit", None)],
    "drew and undid": [("steps", rename("T2e")), ("undo", None)],
}


@pytest.mark.parametrize("how", HANDS)
def test_whoever_had_a_hand_in_a_plan_does_not_approve_it(
    client: TestClient, keys: dict[str, Ask], how: str
) -> None:
    planner, approver = keys["planner"], keys["approver"]
    plan = begin(client, planner)
    for code in ("T2d", "T1c"):
        assert told(client, planner, plan, "steps", rename(code)).status_code == 200
    for what, body in HANDS[how]:
        assert told(client, approver, plan, what, body).status_code == 200
    if how != "submitted":
        assert told(client, planner, plan, "submit").status_code == 200
    refused = told(client, approver, plan, "approve")
    assert (refused.status_code, "had a hand in" in refused.text) == (403, True), refused.text
    other = told(client, keys["approver T"], plan, "approve")
    assert other.status_code == 200, other.text
    assert other.json()["hands"] == ["approver", "planner"]


def test_two_keys_of_one_name_are_one_person(
    client: TestClient, keys: dict[str, Ask], engine: Engine
) -> None:
    with engine.begin() as conn:
        made = [
            access.create_key(conn, role, scheme="safety", label="王", demo=role == "approver").key
            for role in ("planner", "approver")
        ]
    planner, approver = ({"Authorization": f"Bearer {key}"} for key in made)
    plan = begin(client, planner)
    assert told(client, planner, plan, "steps", rename("T2d")).status_code == 200
    assert told(client, planner, plan, "submit").status_code == 200
    assert told(client, approver, plan, "approve").status_code == 403
    assert told(client, keys["approver"], plan, "approve").status_code == 200


def test_an_empty_plan_that_the_approver_fills_is_the_approvers(
    client: TestClient, keys: dict[str, Ask]
) -> None:
    plan = begin(client, keys["planner"])
    assert told(client, keys["approver"], plan, "steps", rename("T2d")).status_code == 200
    assert told(client, keys["planner"], plan, "submit").status_code == 200
    assert told(client, keys["approver"], plan, "approve").status_code == 403
