"""What is reported late in one category, source or grid alone does not look as if it had become rare."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import schema
from tests import town

FIRST = datetime(2024, 9, 1, tzinfo=town.ZONE)
LAST = datetime(2025, 12, 1, tzinfo=town.ZONE)
"""The record is as of this moment."""
DAY = timedelta(days=1)
MEAN = {"F": 20.0, "hotline": 15.0, "T2d": 12.0}
"""Days that reports of the category F, of the source hotline and from the grid T2d take, exponential; all
others are there at once. Nothing changes but R, which is four times as frequent in the last month."""
NINE_OF_TEN = float(np.log(10))
"""Of an exponential delay so many times its mean."""
BOXES = {"T1a": (0.1, 1.9, 0.1, 2.9), "T1c": (4.1, 5.9, 0.1, 1.9), "T2d": (0.1, 2.9, 3.1, 4.9)}
LATELY = {"from": "2025-11-01", "to": "2025-12-01"}
Asked = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def reported(engine: Engine) -> None:
    rng = np.random.default_rng(31)
    i = schema.incidents.c

    def add(category: str, a_day: float, code: str, *, late: str = "", since: datetime = FIRST) -> None:
        number = int(a_day * (LAST - since).days)
        west, east, north, south = BOXES[code]
        places = [town.at(*each) for each in rng.uniform((west, north), (east, south), (number, 2))]
        known = conn.execute(sa.select(sa.func.coalesce(sa.func.max(i.id), 0))).scalar_one()
        town.add_incidents(conn, batch, places, category, since, (LAST - since) / number)
        if late == "hotline":
            conn.execute(sa.update(schema.incidents).where(i.id > known).values(source="hotline"))
        waits = rng.exponential(MEAN[late], number) * 86400 if late else []
        for place, seconds in enumerate(waits):
            one = sa.update(schema.incidents).where(i.id == known + 1 + place)
            conn.execute(one.values(reported_at=i.occurred_at + timedelta(seconds=seconds)))

    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        rows = [{"code": code, "parent": None, "name_zh": code, "name_en": code} for code in "AFR"]
        conn.execute(schema.categories.insert(), rows)
        add("A", 25, "T1a")
        add("A", 15, "T1c")
        add("A", 1, "T1a", late="hotline")
        add("F", 1, "T1a", late="F")
        add("A", 1, "T2d", late="T2d")
        add("R", 1, "T1c")
        add("R", 3, "T1c", since=LAST - 30 * DAY)
        conn.execute(sa.delete(schema.incidents).where(i.reported_at > LAST))


def ask(asker: TestClient, path: str, **query: Any) -> Asked:
    answer = asker.get(path, params=LATELY | query)
    assert answer.status_code == 200, answer.text
    found: Asked = answer.json()
    return found


PARTS = {"F": {"category": "F"}, "hotline": {"source": "hotline"}, "T2d": {"area": "T2d"}}
FILTER = {"F": {"filter": "category = 'F'"}, "hotline": {"filter": "source = 'hotline'"}}


@pytest.mark.parametrize("part", MEAN)
def test_the_delay_is_that_of_what_is_looked_at(asker: TestClient, part: str) -> None:
    usual = MEAN[part] * NINE_OF_TEN
    for query in (PARTS[part], FILTER.get(part, PARTS[part])):
        for path in ("/situation", "/changes", "/hotspots", "/profiles", "/near-repeat", "/repeat-places"):
            found = ask(asker, path, **query)
            assert found["provisional"]["delay_days"] == pytest.approx(usual, rel=0.2), path
    assert ask(asker, "/changes")["provisional"] is None, "nine of ten of all are there at once"
    assert ask(asker, "/changes", category="R")["provisional"] is None


@pytest.mark.parametrize("part", MEAN)
def test_days_that_are_still_filling_up_are_left_out(asker: TestClient, part: str) -> None:
    settled = LAST - MEAN[part] * NINE_OF_TEN * DAY
    for days in (20, 30, 40):
        start = (settled - days * DAY).date()
        found = ask(asker, "/changes", **PARTS[part] | {"from": str(start)})
        assert found["provisional"]["left_out"]
        assert abs(datetime.fromisoformat(found["end"]) - settled) < 0.2 * (LAST - settled) + DAY
        assert found["before"]["told"] == "same", (part, days, found["before"])


def test_a_row_that_is_reported_late_is_not_tested(asker: TestClient) -> None:
    found = ask(asker, "/situation")
    rows = {(row["code"], row["category"]): row for row in found["situation"]}
    late = [("T", "F"), ("T1", "F"), ("T1a", "F"), ("T2", None), ("T2d", None), ("T2d", "A")]
    for key in late:
        assert rows[key]["unreported"] == pytest.approx(MEAN["F" if key[1] == "F" else "T2d"] / 30, abs=0.15)
        assert rows[key]["q"] is rows[key]["departs"] is rows[key]["change_p"] is None, key
    for key in (("T", None), ("T", "A"), ("T1c", "A"), ("T1c", None)):
        assert rows[key]["unreported"] <= 0.05
        assert rows[key]["q"] is not None, key
    assert rows["T", "R"]["departs"] == "above", "what did become more frequent is seen"
    assert [key for key, row in rows.items() if row["departs"] == "below"] == []
    assert found["silent"] == [], "what is reported late has not ended"
    said = found["unreported"]
    assert said["rows"] == sum(row["unreported"] > 0.05 for row in rows.values())
    assert ("T", "F") in {(one["code"], one["category"]) for one in said["named"]}
    taken_in = ask(asker, "/situation", provisional="included")
    assert taken_in["unreported"] is None
    assert all(row["q"] is not None for row in taken_in["situation"])


def test_letters_speak_of_no_fall(asker: TestClient) -> None:
    drafts = asker.get("/letters", params=LATELY).json()["drafts"]
    assert {draft["category"] for draft in drafts} <= {"R", None}
    assert not [draft for draft in drafts if draft["grid"] in {"T2", "T2d"}]


@pytest.mark.parametrize("level", [2, 3])
def test_a_grid_that_is_reported_late_has_not_changed(asker: TestClient, level: int) -> None:
    found = ask(asker, "/changes", level=level)
    rows = {row["code"]: row for row in found["rows"]}
    late = {2: "T2", 3: "T2d"}[level]
    assert {code: row["reported"] for code, row in rows.items()} == {code: code != late for code in rows}
    assert rows[late]["before_told"] is rows[late]["before_q"] is rows[late]["before_percent"] is None
    assert all(row["before_q"] is not None for code, row in rows.items() if code != late)


def test_an_old_period_is_whole(asker: TestClient) -> None:
    found = ask(asker, "/situation", **{"from": "2025-05-01", "to": "2025-06-01"})
    assert found["unreported"] is None
    assert all(row["unreported"] < 0.01 and row["q"] is not None for row in found["situation"])


@pytest.mark.parametrize(("area", "control"), [("T2d", "T1c"), ("T1c", "T2d")])
def test_an_evaluation_ends_where_both_areas_are_reported(asker: TestClient, area: str, control: str) -> None:
    query = {"area": area, "control": control, "from": "2025-08-01", "to": "2025-12-01"}
    found = ask(asker, "/evaluation", **query)
    usual = LAST - MEAN["T2d"] * NINE_OF_TEN * DAY
    assert abs(datetime.fromisoformat(found["end"]) - usual) < 7 * DAY
    assert found["provisional"]["delay_days"] == pytest.approx(MEAN["T2d"] * NINE_OF_TEN, rel=0.2)
    assert found["difference"]["p"] > 0.05
