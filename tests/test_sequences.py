"""Sequences of requests by several keys: no failure, and nothing that the OpenAPI document does not say.

Each sequence begins on what the one before has left. Values come from the town (`tests.operations`) and from
the corners: years 1 and 9999, cells of 20 digits, filters that are valid for one layer of a tile only, codes
and origins that exist already.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis.schema_access import ROLES
from tests import town
from tests.operations import Document, Operation, Request
from tests.test_request_fuzz import FromEverywhere

SHORT, LONG, SEED = 120, 5_000, 15
_MOMENTS = tuple(
    f"{moment}{zone}"
    for moment in ("0001-01-01T00:00:00", "0001-01-01T23:59:59", "9999-12-31T00:00:00", "9999-12-31T23:59:59")
    for zone in ("Z", "+14:00", "-12:00", "+08:00")
)
_CORNERS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("start", "end", "at", "occurred_at", "reported_at"), _MOMENTS),
    **dict.fromkeys(("from", "to", "on", "effective_on", "until"), ("0001-01-01", "9999-12-31")),
    "datetime": ("0001-01-01T00:00:00+14:00/..", "../9999-12-31T23:59:59-12:00", "0001-01-01/9999-12-31"),
    "cell": ("1" * 20, "9" * 20, str(2**63), str(2**64 - 1), "-" + "9" * 20, "8" * 15),
    "filter": ("colour = 'blue'", "kind = 'patrol'", "level = 3", "floors > 2", "state = 'online'"),
    "layer": ("grids,incidents", "incidents,cameras,buildings", "hotspots,grids", "nothing"),
    "code": ("T1a", "T1", "T"), "origin_id": ("1", "same"),
    "known": (0, 1, 2**31 - 1, 2**31), "incident_id": (1, 2**63 - 1, 2**63), "plan_id": (1, 2, 2**63),
}  # fmt: skip
"""Values at the corners, by the name of a parameter or field."""


@dataclass
class Walk:
    """A service that is walked through, and what it answered."""

    client: TestClient
    document: Document
    keys: dict[str, str]
    statuses: Counter[int] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    def walk(self, seed: int) -> None:
        """Send a sequence of three to five requests, each by a key of its own or by nobody."""
        rng = Random(seed)
        operations = self.document.operations()
        about = rng.choice(operations).path.split("/")[1]
        beside = [one for one in operations if one.path.split("/")[1] == about]
        past: list[Request] = []
        for _ in range(rng.randint(3, 5)):
            # Once more, by somebody else: what is unique meets itself.
            if not past or rng.random() >= 0.25:
                operation = rng.choice(beside if rng.random() < 0.7 else operations)
                asked = _cornered(rng, self.document.request(rng, operation))
            past.append(asked)
            answer = asked.send(self.client, self.keys.get(rng.choice(ROLES)))
            self.statuses[answer.status_code] += 1
            self.document.learn(answer)
            if wrong := _undocumented(operation, answer):
                told = " | ".join(map(str, past))
                self.faults.setdefault(f"{operation}: {wrong}", f"seed {seed}: {told} -> {answer.text[:300]}")


def _cornered(rng: Random, made: Request) -> Request:
    """Put corners in the place of some of a request's values."""
    made.query = [(name, _corner(rng, name, value)) for name, value in made.query]
    for values in (made.names, made.body):
        if isinstance(values, dict):
            values.update({name: _corner(rng, name, value) for name, value in values.items()})
    return made


def _corner(rng: Random, name: str, value: Any) -> Any:
    return rng.choice(_CORNERS[name]) if name in _CORNERS and rng.random() < 0.5 else value


def _undocumented(operation: Operation, answer: httpx.Response) -> str | None:
    """Say what of an answer the document does not say, None where all is as it says."""
    if answer.status_code >= 500:
        return f"status {answer.status_code}"
    responses = operation.told["responses"]
    said = responses.get(str(answer.status_code))
    if said is None:
        return f"status {answer.status_code} is not documented"
    media = answer.headers.get("content-type", "").split(";")[0]
    kinds = said.get("content", {})
    if answer.content and answer.status_code != 304 and kinds and not _is_one_of(media, kinds):
        return f"content type {media} of status {answer.status_code} is not documented"
    return None


def _is_one_of(media: str, kinds: dict[str, Any]) -> bool:
    return any(kind in (media, "*/*") for kind in (one.split(";")[0] for one in kinds))


@pytest.fixture(scope="module")
def walk(engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The service over the town, with a key for each role."""
    with engine.begin() as conn:
        batch = town.furnish(conn, [(1, 1), (4, 4)])
        town.add_incidents(conn, batch, [town.at(0.4 + n / 50, 0.4) for n in range(40)])
        town.add_responders(conn, batch, {"near": town.at(1, 1)})
        keys = {role: key.key for role, key in town.make_keys(conn, *ROLES[1:]).items()}
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(FromEverywhere(app), "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield Walk(client, Document(client.get("/openapi.json").json(), b"code,name\n1,a\n"), keys)


def _walked(walk: Walk, seed: int, count: int) -> None:
    for number in range(count):
        walk.walk(seed * 1_000_000 + number)
    assert not walk.faults, "\n".join(f"{name}\n    {example}" for name, example in walk.faults.items())
    assert {200, 401, 403, 404, 422} <= walk.statuses.keys()


def test_sequences_are_answered_as_documented(walk: Walk) -> None:
    _walked(walk, SEED, SHORT)


@pytest.mark.slow
def test_five_thousand_sequences_are_answered_as_documented(walk: Walk) -> None:
    _walked(walk, SEED + 1, LONG)
    print(LONG, sorted(walk.statuses.items()))  # noqa: T201 - figures for docs/proofs.md
