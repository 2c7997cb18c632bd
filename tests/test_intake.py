"""An incident over HTTP: reported, counted at once, moved through its life, withdrawn."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from tests import town

LON, LAT = town.at(0.7, 0.7)
NEW = {"category": "0101", "source": "citizen", "occurred_at": "2025-05-01T08:00", "lon": LON, "lat": LAT}


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """The town without incidents."""
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


def _counted(client: TestClient) -> int:
    return sum(cell["count"] for cell in client.get("/hotspots", params={"res": 9}).json()["cells"])


def test_the_closed_loop(client: TestClient) -> None:
    before = _counted(client)
    answer = client.post("/incidents", json=NEW)
    assert answer.status_code == 201
    where = answer.headers["location"]
    told = client.get(where).json()
    assert told == answer.json()
    assert told["geometry"]["coordinates"] == pytest.approx([LON, LAT], abs=1e-7)
    assert told["properties"]["grid_code"] == "T1a"
    occurred = datetime.fromisoformat(told["properties"]["occurred_at"])
    assert occurred == datetime(2025, 5, 1, 8, tzinfo=town.ZONE), "a naive time is in the city's zone"
    assert _counted(client) == before + 1
    for state in ("dispatched", "handling", "verifying", "closed"):
        moved = client.post(f"{where}/transitions", json={"to": state, "note": "ok"})
        assert moved.json()["properties"]["state"] == state
    done = client.get(where).json()["properties"]
    assert [step["to_state"] for step in done["transitions"]][-4:] == [
        "dispatched", "handling", "verifying", "closed",
    ]  # fmt: skip
    assert done["closed_at"]
    assert done["responded_at"]
    refused = client.post(f"{where}/transitions", json={"to": "handling"})
    assert refused.status_code == 422


def test_a_withdrawn_incident_is_counted_nowhere(client: TestClient) -> None:
    before = _counted(client)
    where = client.post("/incidents", json=NEW).headers["location"]
    assert _counted(client) == before + 1
    assert client.post(f"{where}/transitions", json={"to": "withdrawn", "note": "twice"}).status_code == 200
    assert _counted(client) == before


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"category": "99"}, "category"),
        ({"source": "gossip"}, "source"),
        ({"lon": LAT, "lat": 89.0}, "lat"),
        ({"occurred_at": "1900-01-01T00:00"}, "occurred_at"),
        ({"occurred_at": (datetime.now(town.ZONE) + timedelta(days=9)).isoformat()}, "occurred_at"),
        ({"lon": "NaN"}, "lon"),
        ({"colour": "green"}, "colour"),
        ({"reporter_id": "430202199001011234"}, "reporter_id"),
    ],
)
def test_what_cannot_be_is_refused_by_name(client: TestClient, change: dict[str, object], name: str) -> None:
    answer = client.post("/incidents", json=NEW | change)
    assert answer.status_code == 422
    assert name in answer.json()["errors"][0]["name"]


def test_an_unknown_incident_is_a_404(client: TestClient) -> None:
    assert client.get("/incidents/999999").status_code == 404


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"code": "=x"}, "code"), ({"code": "a\nb"}, "code"), ({"code": "4.30202E+19"}, "code"),
        ({"origin_id": "=x"}, "origin_id"), ({"origin_id": "@x", "code": "A-7"}, "origin_id"),
        ({"code": "\u200b"}, "code"), ({"origin_id": "\ufeff\u3000"}, "origin_id"),
        ({"recorded_grid": "=x"}, "recorded_grid"),
    ],
)  # fmt: skip
def test_the_refusal_of_a_code_names_the_field_that_was_given(
    client: TestClient, change: dict[str, Any], name: str
) -> None:
    refused = client.post("/incidents", json=NEW | change)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["name"].endswith(name), refused.text


@pytest.mark.parametrize("spelt", ["A－1", "Ａ-1", "A\u200b-1", "\ufeffA-1\u00ad", "Ａ－１"])
def test_codes_that_look_alike_are_one(client: TestClient, spelt: str) -> None:
    name = f"A-1 {spelt!a}"
    first = client.post("/incidents", json=NEW | {"code": name})
    assert first.status_code == 201, first.text
    again = client.post("/incidents", json=NEW | {"code": name.replace("A-1", spelt)})
    assert again.status_code == 422
    assert "is taken" in again.text
    assert again.json()["errors"][0]["name"] == "code"
    same = [client.post("/incidents", json=NEW | {"origin_id": one + name}) for one in ("A-1", spelt)]
    assert [one.status_code for one in same] == [201, 201]
    assert same[0].json()["id"] == same[1].json()["id"]


def test_grids_and_categories_are_asked_for_in_any_width(client: TestClient) -> None:
    for path in ("/grids/Ｔ1a", "/grids/T1\u200ba", "/grids/Ｔ１/children"):
        assert client.get(path).status_code == 200, path
    told = client.post("/incidents", json=NEW | {"category": "０1\u200b01"})
    assert told.json()["properties"]["category"] == "0101"
    for asked in ({"area": "Ｔ1a"}, {"category": "０１０１"}):
        assert client.get("/hotspots", params={"res": 9} | asked).status_code == 200
