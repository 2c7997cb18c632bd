"""Spans of time spread over hours and days: a case by hand, brute force by minutes, and the whole way in."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api.main import make_app
from gis import access, incidents, schema
from layers.spans import Spans
from layers.stats.aoristic import day_counts, week_shares
from tests import town

MONDAY = datetime(2025, 3, 3, tzinfo=town.ZONE)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Spanned = tuple[timedelta, timedelta | None]
BY_HAND: list[Spanned] = [
    (22 * HOUR, 26 * HOUR),  # Monday 22:00 to Tuesday 02:00: a quarter in each of four hours
    (DAY + 10.5 * HOUR, DAY + 11.5 * HOUR),  # Tuesday, half and half
    (2 * DAY + 8 * HOUR, None),  # Wednesday 08:00, known to the moment
    (3 * DAY, 3 * DAY + 24 * HOUR),  # some time on Thursday
    (-2 * HOUR, 2 * HOUR),  # begins before the period: half of it lies inside
    (6 * DAY + 23 * HOUR, 7 * DAY + HOUR),  # half of it lies behind the period
]
Headers = dict[str, str]


@pytest.fixture(scope="module")
def key(engine: Engine) -> Headers:
    """The town, its records a week longer on both sides, and the incidents of BY_HAND."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for first in (MONDAY - 200 * DAY, MONDAY + 20 * DAY):
            town.add_incidents(conn, batch, [town.at(1, 1)], "02", first=first)
        for begin, end in BY_HAND:
            town.add_incidents(conn, batch, [town.at(1, 1)], first=MONDAY + begin)
            i = schema.incidents
            newest = sa.select(sa.func.max(i.c.id)).scalar_subquery()
            until = None if end is None else MONDAY + end
            conn.execute(i.update().where(i.c.id == newest).values(occurred_until=until))
        made = access.create_key(conn, "commander", scheme="safety", label="desk").key
    return {"Authorization": f"Bearer {made}"}


@pytest.fixture(scope="module")
def asker(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(made, "http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        yield client


def _profiles(asker: TestClient, key: Headers) -> dict[str, Any]:
    asked = {"from": "2025-03-03", "to": "2025-03-10", "category": "01"}
    answer = asker.get("/profiles", params=asked, headers=key)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_the_case_by_hand(asker: TestClient, key: Headers) -> None:
    told = _profiles(asker, key)
    hours = {row["slot"]: row["count"] for row in told["rows"] if row["kind"] == "hour"}
    day = 1 / 24
    wanted = dict.fromkeys(range(24), day) | {22: 0.25 + day, 23: 0.25 + 0.5 + day}
    wanted |= {0: 0.25 + 0.25 + day, 1: 0.25 + 0.25 + day, 10: 0.5 + day, 11: 0.5 + day, 8: 1 + day}
    assert hours == pytest.approx(wanted)
    weekdays = [row["count"] for row in told["rows"] if row["kind"] == "weekday"]
    assert weekdays == pytest.approx([0.5 + 0.5, 0.5 + 1, 1, 1, 0, 0, 0.5])
    assert told["daily"] == pytest.approx(weekdays), "one week: a day of the week is a day"
    assert np.array(told["week"]).sum() == pytest.approx(5)
    assert np.array(told["week"])[2].tolist() == pytest.approx([0] * 8 + [1] + [0] * 15)
    assert (told["incidents"], told["spread"]) == (5, 5)
    assert told["counted"] == pytest.approx(sum(told["daily"]))


def test_counts_elsewhere_are_of_when_a_span_begins(asker: TestClient, key: Headers) -> None:
    asked = {"from": "2025-03-03", "to": "2025-03-10", "category": "01"}
    assert asker.get("/hotspots", params=asked, headers=key).json()["incidents"] == 5


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Chicago", "Australia/Lord_Howe"])
def test_parts_are_those_of_every_minute(zone: str) -> None:
    """Over weeks in which clocks change, by half an hour even: each minute of each span by the clock."""
    place, rng = ZoneInfo(zone), np.random.default_rng(4)
    start, end = (datetime(2025, month, 25, 7, tzinfo=place) for month in (3, 4))
    begin = start.timestamp() + 60 * rng.integers(-3_000, 43_000, 30)
    until = begin + 60 * rng.integers(1, 9_000, 30)
    spans = Spans(begin, until, np.ones(30, bool), 30)
    wanted, days = np.zeros((7, 24)), dict[Any, float]()
    for one, other in zip(begin, until, strict=True):
        for minute in np.arange(one, other, 60):
            if start.timestamp() <= minute < end.timestamp():
                local = datetime.fromtimestamp(minute, place)
                wanted[local.weekday(), local.hour] += 60 / (other - one)
                days[local.date()] = days.get(local.date(), 0) + 60 / (other - one)
    assert spans.week(start, end, place) == pytest.approx(wanted, abs=1e-9)
    number = (end.date() - start.date()).days + 1
    by_day = [days.get(start.date() + n * DAY, 0.0) for n in range(number)]
    assert spans.daily(start, end, number, place) == pytest.approx(by_day, abs=1e-9)


def test_a_moment_at_midnight_is_of_the_day_that_begins() -> None:
    assert day_counts([24.0, 23.9, 48.0], [24.0, 23.9, 48.0], [0, 24, 48]).tolist() == [1, 1]
    with pytest.raises(ValueError, match="end"):
        week_shares([2.0], [2.0], [1.0])


ROW: dict[str, Any] = {
    "category": "0101",
    "source": "citizen",
    "lon": town.at(1, 1)[0],
    "lat": town.at(1, 1)[1],
}


def test_a_report_brings_its_span_and_is_known_again(asker: TestClient, key: Headers) -> None:
    body = ROW | {
        "occurred_at": "2025-02-01T20:00:00+08:00", "occurred_until": "2025-02-02T07:30:00+08:00",
        "origin": "desk", "origin_id": "span",
    }  # fmt: skip
    made = asker.post("/incidents", json=body, headers=key)
    assert made.status_code == 201, made.text
    told = made.json()["properties"]
    assert told["occurred_until"] == "2025-02-01T23:30:00Z" == told["reported_at"]
    assert asker.post("/incidents", json=body, headers=key).json()["id"] == made.json()["id"]
    other = asker.post("/incidents", json=body | {"occurred_until": "2025-02-02T08:30:00+08:00"}, headers=key)
    assert other.status_code == 409
    assert "occurred_until" in other.text


def test_a_span_that_runs_backwards_is_refused_by_name(asker: TestClient, key: Headers) -> None:
    body = ROW | {"occurred_at": "2025-02-03T20:00:00+08:00", "occurred_until": "2025-02-03T19:00:00+08:00"}
    refused = asker.post("/incidents", json=body, headers=key)
    assert refused.status_code == 422
    assert "occurred_until" in refused.text
    late = body | {"occurred_until": "2025-02-05T19:00:00+08:00", "reported_at": "2025-02-04T19:00:00+08:00"}
    assert "reported_at" in asker.post("/incidents", json=late, headers=key).text


def test_a_report_without_a_span_is_as_before(conn: Connection, key: Headers) -> None:
    """The hash of a report without a span is that of the fields that reports had before."""
    assert key
    at = datetime(2025, 2, 1, 12, tzinfo=UTC)
    new = incidents.add(conn, incidents.Report("0101", "citizen", at, ROW["lon"], ROW["lat"], code="A-1"))
    told = dict.fromkeys(("description", "address", "accuracy_m", "recorded_grid", "reported_at"), None)
    told |= {"category": "0101", "source": "citizen", "occurred_at": at, "lon": ROW["lon"], "lat": ROW["lat"]}
    told |= {"colour": "blue", "datum": "wgs84", "code": "A-1", "origin": "intake", "origin_id": None}
    wanted = sha256(json.dumps({name: str(value) for name, value in told.items()}, sort_keys=True).encode())
    i = schema.incidents.c
    assert conn.execute(sa.select(i.report_hash).where(i.id == new)).scalar_one() == wanted.digest()
