"""Clocks of others: a little ahead is taken as now and told, more is refused; a wrong step is put right."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import schema
from tests import town

LON, LAT = town.at(0.7, 0.7)


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """The town without incidents."""
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


def from_now(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


def when(text: str) -> str:
    """A time as it is, or so many seconds from now."""
    return from_now(seconds=float(text)) if text.startswith("+") else text


def report(client: TestClient, **changes: Any) -> Any:
    new = {"category": "0101", "source": "citizen", "occurred_at": from_now(hours=-5), "lon": LON, "lat": LAT}
    return client.post("/incidents", json=new | changes)


def moved(client: TestClient, number: int, to: str, **more: Any) -> Any:
    return client.post(f"/incidents/{number}/transitions", json={"to": to, **more})


def seconds_from_now(text: str) -> float:
    return (datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("ahead", [60, 120, 240, 299])
def test_a_phone_a_little_ahead_reports_and_its_crew_is_sent_at_once(
    client: TestClient, ahead: float
) -> None:
    answer = report(client, occurred_at=from_now(seconds=ahead), reported_at=from_now(seconds=ahead))
    assert answer.status_code == 201
    told = answer.json()
    assert len(told["notes"]) == 2
    assert all("ahead of our clock" in note for note in told["notes"])
    assert seconds_from_now(told["properties"]["reported_at"]) <= 0
    sent = moved(client, told["id"], "dispatched", at=from_now(seconds=ahead))
    assert sent.status_code == 200
    assert "ahead of our clock" in sent.json()["notes"][0]
    assert moved(client, told["id"], "handling").status_code == 200


@pytest.mark.parametrize("field", ["occurred_at", "reported_at"])
@pytest.mark.parametrize(
    "text",
    [
        "+72000", "+330", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00",
        "9999-12-31T23:59:59-14:00", "2094-01-01T00:00:00Z", "1900-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_a_report_of_a_time_that_cannot_be_is_a_422(client: TestClient, field: str, text: str) -> None:
    answer = report(client, **{field: when(text)})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == field


@pytest.mark.parametrize(
    "at",
    [
        "2094-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "+3600",
        "2020-01-01T00:00:00Z", "2025-01-01T00:00:00",
    ],
)  # fmt: skip
def test_a_step_of_a_time_that_cannot_be_is_a_422_and_the_next_one_goes_on(
    client: TestClient, at: str
) -> None:
    number = report(client).json()["id"]
    answer = moved(client, number, "dispatched", at=when(at))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "at"
    assert moved(client, number, "dispatched").status_code == 200


def test_a_step_a_little_before_the_last_one_is_taken_as_its_time(client: TestClient) -> None:
    number = report(client).json()["id"]
    first = moved(client, number, "dispatched").json()["properties"]["transitions"][-1]["at"]
    answer = moved(client, number, "handling", at=from_now(seconds=-60))
    assert answer.status_code == 200
    assert answer.json()["properties"]["transitions"][-1]["at"] == first
    assert "before the last step" in answer.json()["notes"][0]


def corrected(client: TestClient, number: int, step: int, **body: Any) -> Any:
    body = {"note": "typed wrongly"} | body
    return client.post(f"/incidents/{number}/transitions/{step}/correction", json=body)


def test_a_wrong_step_is_taken_back_and_the_trace_stays(client: TestClient) -> None:
    number = report(client).json()["id"]
    for to in ("dispatched", "handling", "verifying", "closed"):
        life = moved(client, number, to).json()["properties"]
    assert life["closed_at"] is not None
    last = life["transitions"][-1]["id"]
    assert corrected(client, number, life["transitions"][1]["id"]).status_code == 422  # not the last one
    told = corrected(client, number, last).json()["properties"]
    assert (told["state"], told["closed_at"]) == ("verifying", None)
    assert [step["to_state"] for step in told["transitions"]][-2:] == ["closed", "verifying"]
    assert told["transitions"][-1]["corrects"] == last
    assert corrected(client, number, last).status_code == 404  # it stands no more
    assert moved(client, number, "closed").status_code == 200


def test_a_step_is_put_at_its_right_time_between_its_neighbours(client: TestClient) -> None:
    number = report(client).json()["id"]
    for to in ("dispatched", "handling", "verifying"):
        life = moved(client, number, to).json()["properties"]
    steps = life["transitions"]
    handled = steps[2]["id"]
    told = corrected(client, number, steps[1]["id"], at=from_now(hours=-3)).json()["properties"]
    told = corrected(client, number, handled, at=from_now(hours=-2)).json()["properties"]
    assert seconds_from_now(told["responded_at"]) == pytest.approx(-7200, abs=60)
    newest = told["transitions"][-1]["id"]
    assert corrected(client, number, newest, at=from_now(hours=-4)).status_code == 422  # before dispatched
    assert corrected(client, number, newest, at=from_now(hours=1)).status_code == 422  # future
    assert corrected(client, number, steps[0]["id"], at=from_now(hours=-4)).status_code == 422  # the report
    assert corrected(client, number, newest, at=from_now(hours=-1)).status_code == 200
    assert corrected(client, 999_999, newest).status_code == 404


def test_an_incident_stuck_in_the_future_moves_again_once_corrected(
    client: TestClient, engine: Engine
) -> None:
    number = report(client).json()["id"]
    step = moved(client, number, "dispatched").json()["properties"]["transitions"][-1]["id"]
    t = schema.transitions
    with engine.begin() as conn:  # as the product let it in before
        conn.execute(sa.update(t).where(t.c.id == step).values(at=datetime(2094, 1, 1, tzinfo=UTC)))
    assert corrected(client, number, step, at=from_now(hours=-1)).status_code == 200
    assert moved(client, number, "handling").status_code == 200


NO_TIMES = [
    2025, 20261128, "2025", "20261128", "202611281030", -1, 1.5, 1764355200000, True, "2026-11-28", "now",
    "2026-11-28T10", "2026-11-28T10Z", "2026-11-28T1030", "20261128T103000Z",
    "2026-W48-6", "2026-11-28T24:00:00Z",
    "2026-11-28T10:30:00+0800", "2026-02-30T10:00:00Z",
    " 2026-11-28T10:30:00Z", "２０２６-11-28T10:30:00Z", "",
    "2026-11-28T10:30:00+99:00",
]  # fmt: skip


@pytest.mark.parametrize("given", NO_TIMES)
def test_what_is_no_rfc_3339_time_is_refused_in_every_body_by_name(client: TestClient, given: Any) -> None:
    number = report(client).json()["id"]
    step = moved(client, number, "dispatched").json()["properties"]["transitions"][-1]["id"]
    letter = {"grid": "T1a", "start": from_now(days=-2), "end": from_now()}
    for name, answer in (
        ("occurred_at", report(client, occurred_at=given)),
        ("reported_at", report(client, reported_at=given)),
        ("at", moved(client, number, "handling", at=given)),
        ("at", corrected(client, number, step, at=given)),
        ("start", client.post("/letters", json=letter | {"start": given})),
        ("end", client.post("/letters", json=letter | {"end": given})),
    ):  # fmt: skip
        assert answer.status_code == 422, (name, answer.text)
        assert answer.json()["errors"][0]["name"].endswith(name)
        assert "RFC 3339" in answer.text or "2026-02-30" in str(given) or "+99" in str(given)


def test_a_naive_time_is_in_the_citys_zone_on_reports_and_steps_alike(client: TestClient) -> None:
    def local(**delta: float) -> str:
        return (datetime.now(town.ZONE) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%S")

    told = report(client, occurred_at=local(hours=-5), reported_at=local(hours=-4)).json()
    assert seconds_from_now(told["properties"]["reported_at"]) == pytest.approx(-4 * 3600, abs=60)
    sent = moved(client, told["id"], "dispatched", at=local(hours=-3))
    assert sent.status_code == 200, sent.text
    step = sent.json()["properties"]["transitions"][-1]
    assert seconds_from_now(step["at"]) == pytest.approx(-3 * 3600, abs=60)
    right = corrected(client, told["id"], step["id"], at=local(hours=-2)).json()["properties"]
    assert seconds_from_now(right["transitions"][-1]["at"]) == pytest.approx(-2 * 3600, abs=60)


@pytest.mark.parametrize("at", ["2025-11-02T01:30:00", "2026-03-08T02:30:00"])
def test_a_step_at_a_time_that_the_clocks_show_twice_or_never_is_refused(
    client: TestClient, engine: Engine, at: str
) -> None:
    long_ago = {"occurred_at": "2025-10-01T00:00:00Z", "reported_at": "2025-10-01T00:00:00Z"}
    number = report(client, **long_ago).json()["id"]
    there = schema.city.update()
    try:
        with engine.begin() as conn:
            conn.execute(there.values(timezone="America/Chicago"))
        answer = moved(client, number, "dispatched", at=at)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["name"] == "at"
        assert moved(client, number, "dispatched", at=f"{at}-06:00").status_code == 200
    finally:
        with engine.begin() as conn:
            conn.execute(there.values(timezone="Asia/Shanghai"))


def test_the_only_step_of_an_imported_incident_is_taken_back(client: TestClient, engine: Engine) -> None:
    """It has no step of its report: the state that came with it stands again."""
    number = imported(engine, state="reported")
    life = moved(client, number, "dispatched").json()["properties"]["transitions"]
    told = corrected(client, number, life[-1]["id"], note="wrong one")
    assert told.status_code == 200, told.text
    assert told.json()["properties"]["state"] == "reported"
    assert moved(client, number, "dispatched").status_code == 200


def test_the_response_that_was_imported_outlives_a_step_taken_back(
    client: TestClient, engine: Engine
) -> None:
    answered = datetime.now(UTC) - timedelta(hours=3)
    number = imported(engine, state="verifying", responded_at=answered)
    life = moved(client, number, "handling").json()["properties"]["transitions"]
    told = corrected(client, number, life[-1]["id"], note="wrong one").json()["properties"]
    assert told["state"] == "verifying"
    assert datetime.fromisoformat(told["responded_at"]) == answered


def imported(engine: Engine, **values: Any) -> int:
    """An incident as an import leaves it, without steps."""
    i = schema.incidents
    with engine.begin() as conn:
        before = datetime.now(UTC) - timedelta(hours=5)
        town.add_incidents(conn, None, [(LON, LAT)], first=before)
        number = int(conn.execute(sa.select(i.c.id).where(i.c.occurred_at == before)).scalar_one())
        conn.execute(i.update().where(i.c.id == number).values(**values))
    return number
