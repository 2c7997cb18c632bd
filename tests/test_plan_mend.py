"""A plan on a broken map over HTTP: it begins, tells its faults, is mended and published (M5)."""

from typing import Any

import numpy as np
import pytest
import shapely
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from gis import access, coverage, plan_base, plans
from gis.errors import Faulty
from gis.settle import Grid
from tests import recorded
from tests.test_contested import box, line

SCHEME = "broken"
MAP: recorded.Rows = [
    ("C", None, box(0, 0, 4, 2)),
    ("P", "C", box(0, 0, 2.2, 1)),
    ("Q", "C", box(2, 0, 4, 1)),
    ("A", "P", box(0, 0, 1.2, 1)),
    ("B", "P", box(1, 0, 2.2, 1).difference(box(1.5, 0.5, 1.50045, 0.9))),
    ("D", "Q", box(2, 0, 3, 1)),
    ("E", "Q", box(3, 0, 4, 1) | box(0.5, 0.4, 0.50045, 0.6)),
    ("F", "Q", box(3, 0, 4, 1)),
]
"""A and B, B and D overlap, E and F are one, a slit in B is nobody's, E has a slit of A's, and half of C is
nobody's."""


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        recorded.add_scheme(conn, SCHEME, 3, default=True)
        recorded.lay(conn, SCHEME, MAP)


@pytest.fixture(scope="module")
def client(here: TestClient) -> TestClient:
    return here


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, dict[str, str]]:
    with engine.begin() as conn:
        made = {
            role: access.create_key(conn, role, None, scheme=SCHEME, label=role, demo=True)
            for role in ("planner", "approver")
        }
    return {role: {"Authorization": f"Bearer {key.key}"} for role, key in made.items()}


def post(client: TestClient, ask: dict[str, str], path: str, body: dict[str, Any] | None = None) -> Any:
    answer = client.post(path, headers=ask, json=body or {})
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


def begin(client: TestClient, ask: dict[str, str]) -> str:
    return f"/plans/{post(client, ask, '/plans', {'scope': 'C', 'title': 't'})['id']}"


def listed(client: TestClient, ask: dict[str, str], plan: str) -> list[dict[str, Any]]:
    return [one["properties"] for one in post(client, ask, f"{plan}/mend")["proposals"]["features"]]


def shapes(client: TestClient, ask: dict[str, str], plan: str) -> dict[str, Any]:
    told = client.get(f"{plan}/grids", headers=ask).json()["features"]
    return {one["properties"]["code"]: shapely.geometry.shape(one["geometry"]) for one in told}


def test_a_plan_begins_on_a_broken_map_and_says_what_is_wrong(
    client: TestClient, keys: dict[str, dict[str, str]]
) -> None:
    ask = keys["planner"]
    plan = begin(client, ask)
    found = client.get(f"{plan}/faults", headers=ask).json()["features"]
    told = {(one["properties"]["kind"], tuple(one["properties"]["codes"])) for one in found}
    assert {("overlap", ("A", "B")), ("overlap", ("B", "D")), ("hole", ("B",))} <= told
    assert {kind for kind, codes in told if codes == ("E", "F")} <= {"duplicate", "overlap"}
    there = shapes(client, ask, plan)
    for code, _, shape in (row for row in MAP if row[0] in there):
        assert coverage.areas_m2(there[code].symmetric_difference(shape))[0] < 0.2, code
    assert client.get(f"{plan}/grids?changed=true", headers=ask).json()["features"] == []


def test_the_proposals_are_listed_taken_one_by_one_or_together_and_undone(
    client: TestClient, keys: dict[str, dict[str, str]]
) -> None:
    ask = keys["planner"]
    plan = begin(client, ask)
    found = listed(client, ask, plan)
    assert [one["number"] for one in found] == list(range(1, len(found) + 1))
    assert not any(one["accepted"] for one in found)
    by_codes = {tuple(one["codes"]): one for one in found if one["kind"] == "overlap"}
    assert by_codes["A", "B"]["area_m2"] == pytest.approx(219_400, rel=0.01)
    before = client.get(f"{plan}/grids", headers=ask).json()
    first = post(client, ask, f"{plan}/mend", {"accept": [by_codes["A", "B"]["number"]], "head": None})
    assert {f["properties"]["code"]: f["properties"]["change"] for f in first["grids"]["features"]} == {
        "A": "changed", "B": "changed"}  # fmt: skip
    assert [one["properties"]["accepted"] for one in first["proposals"]["features"]] == [True]
    late = client.post(f"{plan}/mend", headers=ask, json={"accept": "all", "head": None})
    assert late.status_code == 409, late.text
    rest = listed(client, ask, plan)
    assert len(rest) == len(found) - 1
    done = post(client, ask, f"{plan}/mend", {"accept": "sure", "head": first["step"]["id"]})
    assert done["skipped"] == []
    assert first["gone"] == []
    assert done["gone"] == ["F"], "of codes alone: contested ground has none"
    assert done["step"]["op"] == "group"
    assert done["step"]["params"]["title"].startswith("mend: ")
    (left,) = listed(client, ask, plan)
    assert not left["sure"], "half of the county is nobody's, and may be meant"
    faults = client.get(f"{plan}/faults", headers=ask).json()["features"]
    assert {f["properties"]["kind"] for f in faults if f["properties"]["severity"] == "error"} == {"orphan"}
    for _ in range(2):
        post(client, ask, f"{plan}/undo")
    assert client.get(f"{plan}/grids", headers=ask).json() == before
    unknown = client.post(f"{plan}/mend", headers=ask, json={"accept": [99]})
    assert (unknown.status_code, "there is no proposal 99" in unknown.text) == (422, True)


def test_a_draft_read_anew_is_the_one_that_was_drawn(
    client: TestClient, keys: dict[str, dict[str, str]], engine: Engine
) -> None:
    ask = keys["planner"]
    plan = begin(client, ask)
    post(client, ask, f"{plan}/mend", {"accept": "sure"})
    number = int(plan.rpartition("/")[2])
    with engine.begin() as conn:
        access.enter(conn, access.COMMAND)
        kept = plans.draft(conn, number).cov
        plan_base._KEPT._kept.clear()
        again = plans.draft(conn, number).cov
    assert {k: s.wkb for k, s in again.shapes.items()} == {k: s.wkb for k, s in kept.shapes.items()}
    assert np.all([again.grids[code] == kept.grids[code] for code in kept.grids])


def test_what_is_not_named_keeps_its_recorded_polygon_and_what_is_mended_is_published(
    client: TestClient, keys: dict[str, dict[str, str]], conn: Connection
) -> None:
    ask, chief = keys["planner"], keys["approver"]
    before = recorded.polygons(conn, SCHEME)
    plan = begin(client, ask)
    split = {"op": "split", "code": "A", "line": line((0.3, -1), (0.3, 2)), "names": ["half"]}
    post(client, ask, f"{plan}/steps", split)
    post(client, ask, f"{plan}/submit")
    post(client, chief, f"{plan}/approve")
    post(client, chief, f"{plan}/publish")
    conn.rollback()
    halves = recorded.polygons(conn, SCHEME)
    (new,) = set(halves) - set(before)
    assert differing(before, halves, but={"A", new}) == {}
    assert coverage.areas_m2((halves["A"] | halves[new]).symmetric_difference(before["A"]))[0] < 1
    plan = begin(client, ask)
    done = post(client, ask, f"{plan}/mend", {"accept": "sure"})
    moved = {
        f["properties"]["code"] for f in done["grids"]["features"] if f["properties"]["change"] != "bent"
    }
    post(client, ask, f"{plan}/submit")
    post(client, chief, f"{plan}/approve")
    told = post(client, chief, f"{plan}/publish")
    assert {*told["changed"], *told["gone"]} >= moved
    conn.rollback()
    after = recorded.polygons(conn, SCHEME)
    assert differing(halves, after, but={*moved, *told["gone"]}) == {}
    lowest = [shape for code, shape in after.items() if code not in {"C", "P", "Q"}]
    assert shapely.union_all(lowest).area == pytest.approx(sum(one.area for one in lowest), rel=1e-9)
    for upper, below in {"P": ("A", "B", new), "Q": ("D", "E", "F")}.items():
        sums = shapely.union_all([after[code] for code in below if code in after])
        assert coverage.areas_m2(after[upper].symmetric_difference(sums))[0] < 5, upper


def differing(one: dict[str, Any], other: dict[str, Any], but: set[str]) -> dict[str, float]:
    """By how many m² grids differ that should not, by more than bent vertices explain."""
    both = sorted((set(one) & set(other)) - but)
    odd = coverage.areas_m2([shapely.symmetric_difference(one[c], other[c]) for c in both]).tolist()
    long = {c: shapely.length(one[c]) * 111_320 for c in both}
    return {c: m2 for c, m2 in zip(both, odd, strict=True) if m2 > 0.02 * long[c]}


def test_faults_in_the_way_of_a_plan_are_told_with_codes_places_and_areas() -> None:
    """What no arrangement of ground can be made of (here: a frame of one colour) is refused as faults are."""
    bow = shapely.Polygon([(113, 27), (113.01, 27.01), (113.01, 27), (113, 27.01)])
    shapes = {"P": box(0, 0, 2, 1), "A": bow, "B": box(0.5, 0, 2, 1)}
    rows = [Grid("P", 1), Grid("A", 2, "P"), Grid("B", 2, "P")]
    with pytest.raises(Faulty, match="cross") as refused:
        plan_base.laid(rows, shapes)
    told = [one["properties"] for one in refused.value.told["faults"]["features"]]
    assert {one["kind"] for one in told} == {"bow_tie", "overlap"}
    assert all(one["codes"] for one in told)
