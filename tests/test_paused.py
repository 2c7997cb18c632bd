"""A category or source that paused is not judged across its pause: no gap, no end and no beginning."""

import re
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import schema
from tests import town

DAY = timedelta(days=1)
Query = dict[str, Any]


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=town.ZONE)


FIRST, LAST = _day("2024-01-01"), _day("2026-01-01")
NOISE = (_day("2024-11-04"), _day("2025-02-26"))
"""Category 02, three a day, in nobody's record."""
SENSOR = (_day("2025-05-01"), _day("2025-08-01"))
"""Sensors, two a day of category 0101, are off."""
HOTLINE = (_day("2025-09-01"), _day("2025-11-01"))
"""The hotline, four a day in all, takes nothing of category 0102, of which it had two a day."""
PARTS: list[tuple[Query, tuple[datetime, datetime]]] = [
    ({"category": "02"}, NOISE),
    ({"source": "sensor"}, SENSOR),
    ({"category": "0101", "source": "sensor"}, SENSOR),
    ({"category": "0102", "source": "hotline"}, HOTLINE),
    ({"filter": "category = '02'"}, NOISE),
]


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    """Eight a day of 0101 by citizens all along, and two of 02 by patrols at times."""
    rng = np.random.default_rng(14)

    def add(a_day: int, category: str, source: str, pause: tuple[datetime, datetime] | None = None) -> None:
        spans = [(FIRST, LAST)] if pause is None else [(FIRST, pause[0]), (pause[1], LAST)]
        for start, end in spans:
            number = a_day * ((end - start) // DAY)
            places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (number, 2))]
            town.add_incidents(conn, batch, places, category, start, DAY / a_day)
            fresh = schema.incidents.c.source == "citizen"
            conn.execute(schema.incidents.update().where(fresh).values(source=source))

    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        add(3, "02", "grid_worker", NOISE)
        add(2, "0101", "sensor", SENSOR)
        add(2, "0102", "hotline", HOTLINE)
        add(2, "0101", "hotline")
        add(8, "0101", "citizen")


def ask(asker: TestClient, path: str, **query: Any) -> Query:
    answer = asker.get(path, params={name.rstrip("_"): value for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: Query = answer.json()
    return found


def _text(day: datetime) -> str:
    return f"{day:%Y-%m-%d}"


def periods(pause: tuple[datetime, datetime]) -> list[Query]:
    """Return periods that meet a pause or follow it: into it, across its end, just behind it."""
    first, end = pause
    long = end - first
    return [
        {"from_": _text(first - 20 * DAY), "to": _text(first + 20 * DAY)},
        {"from_": _text(end - 20 * DAY), "to": _text(end + 20 * DAY)},
        {"from_": _text(end), "to": _text(min(end + long, LAST))},
    ]


def silence(pause: tuple[datetime, datetime], category: str | None = None) -> Query:
    of = {"category": category, "source": None, "area": None, "area_name": None}
    return of | {"first": _text(pause[0]), "last": _text(pause[1] - DAY)}


@pytest.mark.parametrize(("part", "pause"), PARTS)
def test_no_measure_is_judged_across_a_pause(
    asker: TestClient, part: Query, pause: tuple[datetime, datetime]
) -> None:
    for period in periods(pause):
        query = {name.rstrip("_"): value for name, value in (part | period).items()}
        answer = asker.get("/evaluation", params=query | {"area": "T2d", "control": "T1a"})
        assert answer.status_code == 422, answer.text
        assert re.search(f"paused from {_text(pause[0])} to {_text(pause[1] - DAY)}", answer.text)
    before = {"from_": _text(pause[0] - 30 * DAY), "to": _text(pause[0])}
    assert ask(asker, "/evaluation", area="T2d", control="T1a", **part, **before)["difference"] is not None


@pytest.mark.parametrize(("code", "pause"), [("02", NOISE)])
def test_no_measure_is_judged_by_a_category_that_paused(
    asker: TestClient, code: str, pause: tuple[datetime, datetime]
) -> None:
    for period in periods(pause):
        query = {name.rstrip("_"): value for name, value in period.items()}
        answer = asker.get("/evaluation", params=query | {"area": "T2d", "control": "T1a"})
        assert answer.status_code == 422, answer.text
        assert re.search(f"{code} paused until {_text(pause[1])}", answer.text)


@pytest.mark.parametrize(("part", "pause"), PARTS)
def test_no_hexagon_rises_or_falls_by_a_pause(
    asker: TestClient, part: Query, pause: tuple[datetime, datetime]
) -> None:
    for period in periods(pause):
        found = ask(asker, "/hotspots", res=7, **part, **period)
        if found["end"][:10] == _text(pause[0]) != period["to"]:
            cut = ask(asker, "/hotspots", res=7, **part, **period | {"to": _text(pause[0])})
            assert found["cells"] == cut["cells"], "of the days in use, held against as many in use"
        else:
            assert {one["trend"] for one in found["cells"]} <= {None}
    before = {"from_": _text(pause[0] - 30 * DAY), "to": _text(pause[0])}
    cells = ask(asker, "/hotspots", res=7, **part, **before)["cells"]
    assert cells
    assert None not in {one["trend"] for one in cells}


@pytest.mark.parametrize(("part", "pause"), PARTS)
@pytest.mark.parametrize("behind", [10, 25, 55])
def test_risk_learns_nothing_of_a_pause(
    asker: TestClient, part: Query, pause: tuple[datetime, datetime], behind: int
) -> None:
    a_day = {"02": 3}.get(part.get("category", part.get("filter", "")[-3:-1]), 2)
    to = _text(pause[1] + behind * DAY)
    found = ask(asker, "/risk", horizon_days=30, to=to, include="sensor", **part)
    assert found["paused"] == [{"first": _text(pause[0]), "last": _text(pause[1] - DAY)}]
    assert (found["began"], found["ended"]) == (None, None)
    assert found["expected_total"] == pytest.approx(30 * a_day, rel=0.15)
    assert found["total_low"] <= 30 * a_day <= found["total_high"]


@pytest.mark.parametrize(("part", "pause"), PARTS)
def test_changes_are_not_told_across_a_pause(
    asker: TestClient, part: Query, pause: tuple[datetime, datetime]
) -> None:
    behind = {"from_": _text(pause[1]), "to": _text(pause[1] + 30 * DAY)}
    found = ask(asker, "/changes", level=1, **part, **behind)
    assert found["before"] is None
    assert silence(pause) in found["silent"]
    across = ask(asker, "/changes", level=1, **part, **periods(pause)[0])
    assert silence(pause) in across["silent"]
    assert across["unrecorded"] is not None


def test_all_together_are_compared_without_what_paused(asker: TestClient) -> None:
    for period in [*periods(NOISE)[:2], {"from_": "2025-03-01", "to": "2025-04-01"}]:
        found = ask(asker, "/situation", **period)
        assert found["without"] == ["02", "grid_worker"]
        assert silence(NOISE, "02") in found["silent"]
        rows = found["situation"]
        assert {row["p"] for row in rows if row["category"] == "02"} <= {None}
        assert {row["departs"] for row in rows if row["category"] in {None, "01"}} == {None}
        changed = ask(asker, "/changes", level=1, **period)
        assert changed["before"] is None or changed["before"]["without"] == ["02", "grid_worker"]
        assert {changed[name] and changed[name]["told"] for name in ("before", "year")} <= {None, "same"}
        assert ask(asker, "/letters", **period)["drafts"] == []
