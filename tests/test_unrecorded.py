"""Days that nobody recorded, or that are still to come, are no quiet days: every question leaves them out."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api.main import ROUTERS
from gis import schema
from gis.record_span import Span, incident_span, recorded_runs
from gis.recorded import Records
from layers.expecting import follows, periods_before
from layers.view import View
from tests import town

FIRST, DAY = datetime(2024, 1, 1, tzinfo=town.ZONE), timedelta(days=1)
LAST = datetime(2026, 1, 1, tzinfo=town.ZONE)
LONE = datetime(2026, 3, 2, 9, tzinfo=town.ZONE)
DAYS = (LAST - FIRST) // DAY
NEEDS = {
    "/evaluation": {"area": "T1", "control": "T2"},
    "/emerging": {"steps": "10", "step_days": "28"},
    "/near-repeat": {"permutations": "19"},
}


def _routes() -> list[APIRoute]:
    every = (one for router in ROUTERS for one in router.routes if isinstance(one, APIRoute))
    return [one for one in every if "GET" in one.methods and one.response_model]


def _asked_of(route: APIRoute) -> set[str]:
    return {one.alias for one in get_flat_params(route.dependant)}


TOLD = sorted(
    one.path for one in _routes() if "unrecorded" in getattr(one.response_model, "model_fields", ())
)
"""Questions whose answer says which days of its period are not known."""
BACK = {"/emerging", "/alarms/clusters"}
"""Those that look back from `to`."""


@pytest.fixture(scope="module", autouse=True)
def ended(engine: Engine) -> None:
    """Four a day for two years, a third of them in one place."""
    rng = np.random.default_rng(2)
    places = rng.uniform((0, 0), (6, 5), (4 * DAYS, 2))
    places[::3] = (1.2, 1.2)
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        at = [town.at(*place) for place in places]
        town.add_incidents(conn, batch, at, first=FIRST + timedelta(hours=1), apart=timedelta(hours=6))
        for number, place in enumerate(rng.uniform((0, 0), (6, 5), (40, 2))):
            town.add_building(conn, batch, f"{number}号", town.at(*place))


@pytest.fixture
def lone(engine: Engine) -> Iterator[None]:
    """One more, two months after all others."""
    with engine.begin() as conn:
        town.add_incidents(conn, None, [town.at(1, 1)], first=LONE)
    yield
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.incidents).where(schema.incidents.c.occurred_at >= LAST))


def _ask(client: TestClient, path: str, start: str, end: str, status: int = 200) -> dict[str, Any]:
    period = {"to": end} if path in BACK else {"from": start, "to": end}
    answer = client.get(path, params=period | NEEDS.get(path, {}))
    assert answer.status_code == status, f"{path}: {answer.text[:300]}"
    found: dict[str, Any] = answer.json()
    return found


def test_every_question_with_provisional_days_tells_of_unrecorded_ones() -> None:
    late = {one.path for one in _routes() if "provisional" in _asked_of(one)}
    assert late | {"/letters"} == set(TOLD)
    assert len(TOLD) >= 12


@pytest.mark.parametrize("path", TOLD)
def test_days_after_the_records_change_nothing_and_are_told(client: TestClient, path: str) -> None:
    whole = _ask(client, path, "2025-12-04", "2026-01-01")
    assert whole["unrecorded"] is None
    for end, days in (("2026-01-20", 19.0), ("2030-01-01", 1461.0)):
        cut = _ask(client, path, "2025-12-04", end)
        told = cut.pop("unrecorded")
        assert told["days"] == days
        assert (told["inside"], told["records_end"]) == (0, "2026-01-01T00:00:00+08:00")
        assert cut == {name: value for name, value in whole.items() if name != "unrecorded"}


@pytest.mark.parametrize("path", sorted(set(TOLD) - BACK))
def test_a_period_of_which_nothing_is_known_is_refused(client: TestClient, path: str) -> None:
    for start, end, name in (
        ("2026-01-01", "2026-02-01", "from"), ("2030-01-01", "2030-02-01", "from"),
        ("2023-01-01", "2024-01-01", "to"),
    ):  # fmt: skip
        refused = _ask(client, path, start, end, status=422)["errors"][0]
        assert refused["name"] == name
        assert "records" in refused["reason"]


def test_the_whole_is_not_told_fewer_for_days_to_come(client: TestClient) -> None:
    told = _ask(client, "/changes", "2025-12-15", "2026-01-15")
    assert [told[name]["told"] for name in ("before", "year", "weekdays")] == ["same"] * 3
    spans = [
        [datetime.fromisoformat(told[name][end]) for end in ("start", "end")]
        for name in ("before", "year", "weekdays")
    ]
    assert {end - start for start, end in spans} == {17 * DAY}, "like is compared with like"
    city = _ask(client, "/situation", "2025-12-15", "2026-01-15")
    assert (city["departing"], city["periods"]) == (0, 12)


@pytest.mark.usefixtures("lone")
def test_a_lone_late_record_makes_no_quarter_recorded(client: TestClient) -> None:
    december = _ask(client, "/changes", "2025-12-15", "2026-01-15")
    assert (december["end"], december["unrecorded"]["days"]) == ("2026-01-01T00:00:00+08:00", 14.0)
    quarter = _ask(client, "/changes", "2026-01-01", "2026-04-01")
    assert (quarter["start"], quarter["end"]) == ("2026-03-02T00:00:00+08:00", "2026-03-03T00:00:00+08:00")
    assert (quarter["now"], quarter["before"], quarter["unrecorded"]["inside"]) == (1, None, 0)
    across = _ask(client, "/changes", "2025-12-15", "2026-03-15")
    assert (across["before"], across["year"], across["unrecorded"]["inside"]) == (None, None, 60.0)
    assert _ask(client, "/situation", "2025-12-15", "2026-03-15")["tested"] is False
    refused = _ask(client, "/evaluation", "2025-12-15", "2026-03-15", status=422)
    assert refused["errors"][0]["name"] == "from"
    january = _ask(client, "/changes", "2026-01-05", "2026-02-05", status=422)
    assert january["errors"][0]["name"] == "from"
    rates = _ask(client, "/profiles", "2025-12-15", "2026-03-15")
    slots = [row["slots"] for row in rates["rows"] if row["kind"] == "hour"]
    assert slots == [18.0] * 24, "seventeen days of December and one of March"


@pytest.mark.usefixtures("lone")
def test_plain_counts_stay_plain(client: TestClient) -> None:
    asked = {"datetime": "2026-01-01/2030-01-01", "limit": 10}
    found = client.get("/collections/incidents/items", params=asked).json()
    assert len(found["features"]) == 1


def test_files_say_in_their_headers_what_was_cut(client: TestClient) -> None:
    for path in ("/changes", "/situation", "/profiles", "/repeat-places", "/hotspots"):
        asked = {"from": "2025-12-04", "to": "2026-01-20", "format": "csv"}
        headers = client.get(path, params=asked).headers
        assert headers["X-End"] == "2026-01-01T00:00:00+08:00"
        assert headers["X-Unrecorded-Days"] == "19.0"


def test_this_month_is_that_of_the_days_that_were(client: TestClient, engine: Engine) -> None:
    """A city that records as of now, asked on any day for a month that is not over."""
    now = datetime.now(town.ZONE)
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - 5 * DAY
    rng = np.random.default_rng(4)
    hours = int((now - start) / timedelta(hours=1)) + 24 * 120
    with engine.begin() as conn:
        places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (hours, 2))]
        town.add_incidents(
            conn, None, places, first=now - (hours - 1) * timedelta(hours=1), apart=timedelta(hours=1)
        )
    try:
        told = _ask(client, "/changes", start.isoformat(), (start + 31 * DAY).isoformat())
        assert told["before"]["told"] == "same"
        assert now <= datetime.fromisoformat(told["end"]) <= datetime.now(town.ZONE)
        assert 25 < told["unrecorded"]["days"] <= 26
        situation = _ask(client, "/situation", start.isoformat(), (start + 31 * DAY).isoformat())
        assert (situation["tested"], situation["departing"]) == (True, 0)
        assert client.get("/situation").json()["unrecorded"] is None
    finally:
        with engine.begin() as conn:
            conn.execute(sa.delete(schema.incidents).where(schema.incidents.c.occurred_at >= LAST))


NOW = datetime(2026, 11, 29, 16, 30, tzinfo=town.ZONE)
TODAY = (NOW.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days


def _ones(days: np.ndarray) -> Records:
    return Records(days, np.ones_like(days))


@pytest.mark.parametrize(
    ("days", "ends"),
    [
        ([TODAY - 300, *range(TODAY - 299, TODAY - 200)], [-200]),
        (range(TODAY - 300, TODAY), [0]),
        (range(TODAY - 300, TODAY + 1), ["now"]),
        (range(TODAY - 300, TODAY, 10), [0]),
        (range(TODAY - 3000, TODAY - 20, 10), [0]),
        ([*range(TODAY - 300, TODAY - 100), TODAY - 40], [-100, -39]),
        ([*range(TODAY - 300, TODAY - 100), TODAY], [-100, "now"]),
    ],
)
def test_records_end_where_empty_days_cannot_be_believed(days: list[int], ends: list[int | str]) -> None:
    runs = recorded_runs(_ones(np.array(list(days), dtype=np.int64)), NOW)
    midnight = NOW.replace(hour=0, minute=0)
    assert [end for _, end in runs] == [NOW if one == "now" else midnight + int(one) * DAY for one in ends]


@pytest.mark.parametrize("seed", range(20))
def test_a_part_loses_no_record_and_what_is_held_has_no_gap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = np.unique(TODAY - rng.integers(0, 900, 200))
    days = days[(days % 400) > 80]
    runs = recorded_runs(_ones(days), NOW)
    first = runs[0][0]
    span = Span(len(days), first, runs[-1][1], first, recorded=runs)
    epoch = datetime(1970, 1, 1, tzinfo=town.ZONE)
    at = [epoch + int(day) * DAY + timedelta(hours=9) for day in days if day < TODAY]
    for begin, length in zip(rng.integers(-950, 100, 200), rng.integers(1, 200, 200), strict=True):
        start = NOW.replace(hour=0, minute=0) + int(begin) * DAY
        end = start + int(length) * DAY
        inside = [one for one in at if start <= one < end]
        part = span.part(start, end)
        assert part or not inside
        if part:
            assert inside == [one for one in at if part[0] <= one < part[1]]
            assert start <= part[0] < part[1] <= min(end, NOW)
            assert span.holds(*part) == (abs(span.days(*part) - (part[1] - part[0]) / DAY) < 1e-9)


def test_the_runs_are_those_of_all_records(conn: Connection) -> None:
    assert incident_span(conn).recorded == ((FIRST, LAST),)


def test_a_gap_takes_the_periods_that_meet_it_and_no_others() -> None:
    """Four lost days in March cost the comparisons with March, not those with the months before."""
    epoch = datetime(2025, 1, 1, tzinfo=town.ZONE)
    runs = ((epoch, epoch + 70 * DAY), (epoch + 74 * DAY, epoch + 200 * DAY))
    span = Span(1000, runs[0][0], runs[-1][1], runs[0][0], recorded=runs)
    view = View("safety", epoch.date(), 1, start=epoch + 120 * DAY, end=epoch + 130 * DAY)
    assert periods_before(view, span) == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    assert periods_before(view, span, 3) == [1, 2, 3]
    assert follows(view, span)
    after = replace(view, start=epoch + 80 * DAY, end=epoch + 90 * DAY)
    assert periods_before(after, span) == [2, 3, 4, 5, 6, 7, 8]
    assert not follows(after, span)
