"""Who decides on a plan, or moves it, does so from what they saw: else it is refused and nothing changes."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.test_planning_api import Ask, begin, client, keys, rename, settled, told

__all__ = ["client", "keys", "settled"]


def test_what_was_not_seen_is_not_decided(client: TestClient, keys: dict[str, Ask]) -> None:
    """Between a look and the decision the planner draws on: neither submitted, approved nor published."""
    planner, approver = keys["planner"], keys["approver"]
    plan = begin(client, planner)
    seen = told(client, planner, plan, "steps", rename("T2d")).json()["plan"]["head"]
    assert told(client, planner, plan, "steps", rename("T1c")).status_code == 200
    late = told(client, planner, plan, "submit", {"head": seen})
    assert (late.status_code, "has moved on to step" in late.text) == (409, True)
    handed = told(client, planner, plan, "submit").json()["head"]
    assert told(client, planner, plan, "reopen").status_code == 200
    assert told(client, planner, plan, "steps", rename("T1b")).status_code == 200
    again = told(client, planner, plan, "submit").json()["head"]
    late = told(client, approver, plan, "approve", {"head": handed})
    assert (late.status_code, "has moved on to step" in late.text) == (409, True)
    assert client.get(f"/plans/{plan}", headers=planner).json()["state"] == "submitted"
    assert told(client, approver, plan, "approve", {"head": again}).status_code == 200
    late = told(client, approver, plan, "publish", {"head": handed})
    assert (late.status_code, "has moved on to step" in late.text) == (409, True)
    assert told(client, approver, plan, "withdraw").status_code in {403, 409}
    assert told(client, approver, plan, "reject").status_code == 200


def test_a_conflict_is_decided_as_it_was_seen(client: TestClient, keys: dict[str, Ask]) -> None:
    planner, approver = keys["planner"], keys["approver"]

    def published(name: str) -> int:
        plan = begin(client, planner)
        assert told(client, planner, plan, "steps", rename("T1b") | {"name": name}).status_code == 200
        for asker, what in ((planner, "submit"), (approver, "approve"), (approver, "publish")):
            done = told(client, asker, plan, what)
            assert done.status_code == 200, done.text
        return int(done.json()["revision"])

    mine = begin(client, planner)
    head = told(client, planner, mine, "steps", rename("T1b")).json()["plan"]["head"]
    first = published("甲")
    second = published("乙")
    choice = {"code": "T1b", "take": "mine", "head": head}
    late = told(client, planner, mine, "resolve", choice | {"against": first})
    assert (late.status_code, f"revision {second}" in late.text) == (409, True), late.text
    assert client.get(f"/plans/{mine}/conflicts", headers=planner).json()["merged"] is False
    assert told(client, planner, mine, "resolve", choice | {"against": second}).status_code == 200


def _moves(client: TestClient, ask: Ask, plan: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every request that moves a draft, by the word of its path, with what it sends beside `head`."""
    drawn = client.get(f"/plans/{plan}/export?format=geojson", headers=ask).json()
    for grid in drawn["features"]:
        grid["properties"]["name"] += "改"
    return {
        "steps": ("json", rename("T2d")),
        "draw": ("json", {"code": "T2d", "low": 1, "high": 2}),
        "suggest": ("json", {"low": 1, "high": 2}),
        "mend": ("json", {"accept": "sure"}),
        "undo": ("json", {}),
        "redo": ("json", {}),
        "import": ("file", drawn),
    }


def test_nothing_moves_a_draft_that_has_moved_on(client: TestClient, keys: dict[str, Ask]) -> None:
    """Whatever moves it: where it stands at another step, or at its base, the answer is 409 and it stays."""
    ask = keys["planner"]
    plan = begin(client, ask)
    first = told(client, ask, plan, "steps", rename("T1b")).json()["plan"]["head"]
    there = told(client, ask, plan, "steps", rename("T1c")).json()["plan"]["head"]
    for what, (how, body) in _moves(client, ask, plan).items():
        for head in (None, first):
            path = f"/plans/{plan}/{what}"
            if how == "file":
                answer = client.post(f"{path}?name=a.geojson&head={head or 0}", headers=ask, json=body)
            else:
                answer = client.post(path, headers=ask, json=body | {"head": head})
            assert (what, answer.status_code) == (what, 409), answer.text
            assert f"has moved on to step {there}" in answer.text
            assert client.get(f"/plans/{plan}", headers=ask).json()["head"] == there
    _, drawn = _moves(client, ask, plan)["import"]
    done = client.post(f"/plans/{plan}/import?name=a.geojson&head={there}", headers=ask, json=drawn)
    assert done.status_code == 200, done.text


@pytest.mark.parametrize(
    ("whose", "before", "what"),
    [
        ("planner", [], "submit"),
        ("planner", [], "withdraw"),
        ("planner", ["submit"], "reopen"),
        ("approver", ["submit"], "approve"),
        ("approver", ["submit"], "reject"),
        ("approver", ["submit", "approve"], "publish"),
    ],
)
def test_no_decision_is_on_what_was_not_seen(
    client: TestClient, keys: dict[str, Ask], whose: str, before: list[str], what: str
) -> None:
    planner, approver = keys["planner"], keys["approver"]
    plan = begin(client, planner)
    told(client, planner, plan, "steps", rename("T2d"))
    for one in before:
        done = told(client, approver if one == "approve" else planner, plan, one)
        assert done.status_code == 200, done.text
    stands = client.get(f"/plans/{plan}", headers=planner).json()
    for head in (None, stands["head"] + 1000):
        refused = told(client, keys[whose], plan, what, {"head": head})
        assert (refused.status_code, "has moved on" in refused.text) == (409, True), refused.text
        assert client.get(f"/plans/{plan}", headers=planner).json()["state"] == stands["state"]
    done = told(client, keys[whose], plan, what, {"head": stands["head"]})
    assert done.status_code == 200, done.text
