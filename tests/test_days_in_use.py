"""Rates, repeats and hexagons of what is filtered know the days on which it was not in use: no quiet ones."""

import re
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy import stats
from sqlalchemy.engine import Engine

from gis import schema
from gis.errors import BadInput
from gis.record_span import Span
from layers.provisional import recorded_part
from layers.view import View
from tests import town

DAY = timedelta(days=1)
Query = dict[str, Any]


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=town.ZONE)


FIRST, LAST = _day("2024-07-01"), _day("2026-01-01")
SERIES: list[tuple[int, str, str, list[tuple[datetime, datetime]]]] = [
    (3, "02", "grid_worker", [(FIRST, _day("2025-03-01")), (_day("2025-04-01"), LAST)]),
    (2, "0101", "sensor", [(_day("2025-07-01"), LAST)]),
    (3, "0102", "hotline", [(FIRST, _day("2025-06-01"))]),
    (6, "0101", "citizen", [(FIRST, LAST)]),
]
"""Incidents a day, category, source, and when it is in use: with a pause, from or up to a day, always."""
CASES: list[tuple[Query, str, str, str, str]] = [
    ({"category": "02"}, "2025-02-17", "2025-03-10", "2025-02-17", "2025-03-01"),
    ({"category": "02"}, "2025-02-15", "2025-04-15", "2025-02-15", "2025-04-15"),
    ({"filter": "category = '02'"}, "2025-03-20", "2025-04-20", "2025-04-01", "2025-04-20"),
    ({"source": "sensor"}, "2025-06-24", "2025-07-08", "2025-07-01", "2025-07-08"),
    ({"category": "0101", "source": "sensor"}, "2025-06-01", "2025-08-01", "2025-07-01", "2025-08-01"),
    ({"category": "0102"}, "2025-05-20", "2025-07-01", "2025-05-20", "2025-06-01"),
]
"""What is filtered, the period asked for, and the days of it between the first and last in use."""
NEVER: list[tuple[Query, str, str, str]] = [
    ({"category": "02"}, "2025-03-05", "2025-03-25", "no record was kept on any day"),
    ({"filter": "category = '02'"}, "2025-03-01", "2025-04-01", "no record was kept on any day"),
    ({"source": "sensor"}, "2025-05-01", "2025-06-01", "records begin on 2025-07-01"),
    ({"category": "0102"}, "2025-10-01", "2025-11-01", "records end on 2025-05-31"),
    ({"source": "hotline"}, "2025-06-01", "2025-07-01", "records end on 2025-05-31"),
]
"""Periods of which no day was in use, and why nothing is said of them."""
PATHS = ["/profiles", "/hotspots", "/hotspots/values", "/near-repeat", "/repeat-places"]


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    rng = np.random.default_rng(41)
    with engine.begin() as conn:
        batch = town.furnish(conn, [(column + 0.5, row + 0.5) for column in range(6) for row in range(5)])
        for a_day, category, source, spans in SERIES:
            for start, end in spans:
                number = a_day * ((end - start) // DAY)
                places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (number, 2))]
                town.add_incidents(conn, batch, places, category, start, DAY / a_day)
                fresh = schema.incidents.c.source == "citizen"
                conn.execute(schema.incidents.update().where(fresh).values(source=source))


def in_use(part: Query, start: date, end: date) -> list[date]:
    """Return the days of a period on which a part was in use, by how the records were made."""
    [spans] = [
        spans
        for _, category, source, spans in SERIES
        if part.get("source", source) == source
        and part.get("category", part.get("filter", category)[-4:].strip("= '")) == category
    ]
    days = [start + number * DAY for number in range((end - start).days)]
    return [day for day in days if any(a.date() <= day < b.date() for a, b in spans)]


@pytest.mark.parametrize(("part", "start", "end", "first", "last"), CASES)
def test_rates_are_of_the_days_in_use(
    asker: TestClient, part: Query, start: str, end: str, first: str, last: str
) -> None:
    found = asker.get("/profiles", params=part | {"from": start, "to": end}).json()
    days = in_use(part, date.fromisoformat(start), date.fromisoformat(end))
    slots = Counter(day.isoweekday() for day in days)
    a_day = 2 if "source" in part else 3
    rows = [row for row in found["rows"] if row["kind"] == "weekday"]
    assert [row["slots"] for row in rows] == [slots[row["slot"]] for row in rows]
    for row in rows:
        if row["slots"]:
            assert row["rate"] == pytest.approx(a_day)
            assert row["low"] == pytest.approx(stats.gamma.ppf(0.025, row["count"]) / row["slots"])
    assert found["weekdays_p"] > 0.5, "as many a day on every day in use"
    assert (found["start"][:10], found["end"][:10]) == (first, last)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("part", "start", "end", "first", "last"), CASES)
def test_the_days_in_use_are_named(
    asker: TestClient, path: str, part: Query, start: str, end: str, first: str, last: str
) -> None:
    found = asker.get(path, params=part | {"from": start, "to": end}).json()
    days = in_use(part, date.fromisoformat(start), date.fromisoformat(end))
    held, of = _day(last) - _day(first), _day(end) - _day(start)
    assert found["unrecorded"]["days"] == (of - held) / DAY
    assert found["unrecorded"]["inside"] == held / DAY - len(days)
    assert [one["category"] for one in found["silent"]] == [None]
    assert [one["since"] for one in found["began"]] == (["2025-07-01"] if "source" in part else [])
    if path in {"/hotspots", "/near-repeat", "/repeat-places"}:
        cut = asker.get(path, params=part | {"from": first, "to": last}).json()
        told = {"unrecorded", "start", "end"}
        assert {k: v for k, v in found.items() if k not in told} == {
            k: v for k, v in cut.items() if k not in told
        }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("part", "start", "end", "why"), NEVER)
def test_of_days_not_in_use_nothing_is_said(
    asker: TestClient, path: str, part: Query, start: str, end: str, why: str
) -> None:
    answer = asker.get(path, params=part | {"from": start, "to": end})
    assert answer.status_code == 422, answer.text
    assert re.search(why, answer.text)


def test_of_a_part_that_was_over_before_it_began_no_day_is_recorded() -> None:
    span = Span(9, FIRST, LAST, FIRST, recorded=((FIRST, LAST),))
    never = span.since(_day("2025-07-01")).until(_day("2025-06-01"))
    assert never.parts(FIRST, LAST) == []
    assert (never.part(FIRST, LAST), never.days(FIRST, LAST)) == (None, 0)
    view = View("safety", FIRST.date(), 1, start=FIRST, end=LAST)
    with pytest.raises(BadInput, match="no record was kept on any day"):
        recorded_part(view, never)
    assert Span().parts(FIRST, LAST) == [(FIRST, LAST)], "where nothing is known at all, nothing is left out"


def test_everything_together_is_told_of_all_days(asker: TestClient) -> None:
    for path in PATHS:
        found = asker.get(path, params={"from": "2025-03-05", "to": "2025-03-25"}).json()
        assert (found["unrecorded"], found["silent"], found["began"]) == (None, [], [])
