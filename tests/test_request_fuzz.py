"""Mutated values in every parameter and field of every operation: answered, or refused by name; never 5xx."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine
from starlette.types import ASGIApp, Receive, Scope, Send

from api.demo_access import DemoAccess
from api.main import make_app
from api.packing import pack
from gis import demo_keys
from gis.access import ANYBODY
from layers.catalogue import LAYERS
from tests import spoiling, town
from tests.operations import LAT, LON, Document, Operation, Request

SEED, SHORT, LONG = 20261128, 300, 20_000
RISE = datetime(2025, 3, 3, tzinfo=town.ZONE)
ROLES = (*["admin"] * 5, "approver", "planner", "commander", "commander:T1", "field", None)
"""Whose key is sent; None is the public. Most may everything, so that what lies behind the guard is asked."""
NEEDS_MORE = {"POST /plans/{plan_id}/resolve", "POST /plans/{plan_id}/draw"}
"""What chance does not bring about: two plans in conflict (tests/test_publishing.py), streets to draw by
(tests/test_drawing.py)."""
UNSEEN = ("/planner", "/docs", "/openapi.json")
"""Routes that the document leaves out."""


@dataclass(frozen=True)
class Target:
    """What of an operation is spoiled: a parameter or field by its name, or the request as a whole."""

    operation: Operation
    kind: str
    name: str = ""

    def request(self, rng: Random, document: Document) -> Request:
        """A request that is bad just there."""
        asked = document.request(rng, self.operation, self.name)
        if self.kind:
            spoiling.SPOILERS[self.kind](rng, asked, self.name)
        return asked


def targets(document: Document) -> list[Target]:
    """Everything that can be spoiled, in the document's order; and each operation with nothing spoiled."""
    unseen = [Operation("GET", path, {}) for path in UNSEEN]
    return [one for operation in (*document.operations(), *unseen) for one in _of(document, operation)]


def _of(document: Document, operation: Operation) -> Iterator[Target]:
    wholes = ["", "odd header", "unknown", "repeated"]
    wholes += ["body"] * bool(operation.media()) + ["unknown field"] * bool(document.fields(operation))
    yield from (Target(operation, kind) for kind in wholes)
    for place in ("path", "query", "header"):
        yield from (Target(operation, place, name) for name in operation.parameters(place))
    yield from (Target(operation, "field", name) for name in document.fields(operation))


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def fault(answer: httpx.Response, method: str) -> str | None:
    """What is wrong with an answer; None with one that is right."""
    if answer.status_code >= 500:
        return str(answer.status_code)
    if method == "HEAD":
        return "a body" if answer.content else None
    media = answer.headers.get("content-type", "")
    if answer.status_code >= 400 and media != "application/problem+json":
        return f"{answer.status_code} is no problem document"
    if "json" not in media or answer.status_code == 204:
        return None
    try:
        told = json.loads(answer.content, parse_constant=_no_number)
    except ValueError as error:
        return f"{answer.status_code} is no JSON: {error}"
    return _unnamed(told) if answer.status_code in {400, 422} else None


def _unnamed(told: dict[str, Any]) -> str | None:
    named = [one["name"] for one in told.get("errors", ())]
    if all(named) and (named or told.keys() & {"faults", "changes", "conflicts"}):
        return None
    return f"{told['status']} names nothing: {told['detail'][:80]}"


@dataclass
class Fuzz:
    """What was asked and answered so far."""

    client: TestClient
    document: Document
    keys: dict[str, str]
    statuses: Counter[int] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)
    """Answers below 400 by operation."""
    faults: dict[str, str] = field(default_factory=dict)
    """An example of each."""

    def send(self, rng: Random, target: Target) -> None:
        """Ask, and judge the answer."""
        asked = target.request(rng, self.document)
        key = self.keys.get(rng.choice(ROLES) or "")
        answer = asked.send(self.client, key)
        self.statuses[answer.status_code] += 1
        self.good[str(target.operation)] += answer.status_code < 400
        self.document.learn(answer)
        if wrong := fault(answer, asked.method):
            self.faults.setdefault(f"{target.operation}: {wrong}", f"{asked} -> {answer.text[:300]}")

    def told(self) -> str:
        """The faults, each with its example."""
        return "\n".join(f"{name}\n    {example}" for name, example in self.faults.items())


class FromEverywhere:
    """Gives each request an address of its own on this machine: logins are counted by it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self._asked = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as from another address."""
        self._asked += 1
        scope["client"] = (f"127.{self._asked >> 16}.{self._asked >> 8 & 255}.{self._asked & 255}", 5)
        await self.app(scope, receive, send)


def _settle(conn: Connection) -> None:
    """Fill the store with the town: ten quiet periods of four weeks, then one in which 02 rises in T2d."""
    town.add_grids(conn)
    batch = town.add_city(conn)
    town.add_keeper(conn, batch, "T1a")
    for block in range(4):
        town.add_building(conn, batch, f"幸福路{block + 1}号", town.at(0.3 + block / 5, 0.5))
    rng = np.random.default_rng(7)
    quiet, risen = rng.uniform((0, 0), (6, 5), (300, 2)), rng.uniform((0.2, 3.2), (2.8, 4.8), (30, 2))
    past = RISE - timedelta(days=280)
    town.add_incidents(
        conn, batch, [town.at(*place) for place in quiet], first=past, apart=timedelta(hours=24.5)
    )
    town.add_incidents(conn, batch, [town.at(1, 1)], "02", past)
    town.add_incidents(conn, batch, [town.at(*place) for place in risen], "02", RISE, timedelta(hours=20))
    town.add_responders(conn, batch, {"near": town.at(1, 1)})


def _add_archive(engine: Engine, folder: Path) -> None:
    (folder / "archives").mkdir()
    with engine.execution_options(isolation_level="REPEATABLE READ").begin() as conn:
        pack(conn, LAYERS["grids"], folder / "archives/town.pmtiles", ANYBODY, range(12, 14))


@pytest.fixture(scope="module")
def fuzz(engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzz]:
    """The service over the town, with a key for every role and three plans."""
    folder = tmp_path_factory.mktemp("data")
    with engine.begin() as conn:
        _settle(conn)
        keys = json.loads(demo_keys.ensure(conn, folder).read_text())
    _add_archive(engine, folder)
    app = make_app(lambda: service_engine, folder)
    app.state.demo = DemoAccess(folder)
    with TestClient(FromEverywhere(app), "http://127.0.0.1", raise_server_exceptions=False) as client:
        head = {"Authorization": f"Bearer {keys['planner']}"}
        for _ in range(3):
            made = client.post("/plans", json={"scope": "T", "title": "t"}, headers=head)
            assert made.status_code == 201
        drawn = client.get("/plans/1/export?format=geojson", headers=head).content
        yield Fuzz(client, Document(app.openapi(), renamed(drawn)), keys)


def renamed(drawn: bytes) -> bytes:
    """A plan's file with another name for each grid, which a draft can take over."""
    told = json.loads(drawn)
    for feature in told["features"]:
        feature["properties"]["name"] += "甲"
    return json.dumps(told).encode()


LIFE: dict[str, tuple[str, ...]] = {
    "undo": ("steps",), "redo": ("steps", "undo"), "submit": ("steps",), "withdraw": ("steps", "submit"),
    "approve": ("steps", "submit"), "reject": ("steps", "submit"), "publish": ("steps", "submit", "approve"),
    "reopen": ("steps", "submit", "reject"), "import": (), "draw": (),
}  # fmt: skip
"""What a plan must have gone through before it is decided on so."""


def _stage(fuzz: Fuzz) -> None:
    """Make a plan ready for each decision on one, and a step of an incident's life that can be corrected."""
    for deed, past in LIFE.items():
        plan = _posted(fuzz, "planner", "/plans", {"scope": "T", "title": deed}).json()["id"]
        for before in past:
            body = {"op": "rename", "code": "T1a", "name": f"{deed} {plan}"} if before == "steps" else None
            who = "admin" if before in {"approve", "reject"} else "planner"
            _posted(fuzz, who, f"/plans/{plan}/{before}", body)
        fuzz.document.staged[f"/plans/{{plan_id}}/{deed}", "plan_id"] = plan
    report = {
        "category": "01",
        "source": "hotline",
        "occurred_at": "2025-06-01T08:00:00Z",
        "lon": LON,
        "lat": LAT,
    }
    made = _posted(fuzz, "field", "/incidents", report).json()["id"]
    moved = _posted(fuzz, "field", f"/incidents/{made}/transitions", {"to": "dispatched"}).json()
    path = "/incidents/{incident_id}/transitions/{step_id}/correction"
    step = moved["properties"]["transitions"][-1]["id"]
    fuzz.document.staged.update({(path, "incident_id"): made, (path, "step_id"): step})


def _posted(fuzz: Fuzz, role: str, path: str, body: Any) -> httpx.Response:
    answer = fuzz.client.post(path, json=body, headers={"Authorization": f"Bearer {fuzz.keys[role]}"})
    assert answer.is_success, (path, answer.text)
    return answer


def _asked(fuzz: Fuzz, seed: int, count: int) -> None:
    """Spoil each target in turn, in an order of the seed; what some need is made anew before each round."""
    rng = Random(seed)
    found = targets(fuzz.document)
    rng.shuffle(found)
    for number, target in enumerate(islice(cycle(found), count)):
        if number % len(found) == 0:
            _stage(fuzz)
        fuzz.send(rng, target)


def test_bad_values_are_refused_by_name(fuzz: Fuzz) -> None:
    _asked(fuzz, SEED, SHORT)
    assert not fuzz.faults, fuzz.told()
    assert {200, 201, 400, 401, 403, 404, 422} <= fuzz.statuses.keys()


@pytest.mark.slow
def test_every_target_many_times(fuzz: Fuzz) -> None:
    """Each operation is answered well as well: what never passes the outer wall tests nothing behind it."""
    _asked(fuzz, SEED + 1, LONG)
    print(LONG, sorted(fuzz.statuses.items()))  # noqa: T201 - figures for docs/proofs.md
    assert not fuzz.faults, fuzz.told()
    never = {str(one) for one in fuzz.document.operations() if not fuzz.good[str(one)]}
    assert never <= NEEDS_MORE
