"""Sources that began, paused or ended in many grids make nothing of what they add to depart."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import schema
from tests import town

DAY = timedelta(days=1)
Query = dict[str, Any]


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=town.ZONE)


FIRST, LAST = _day("2024-01-01"), _day("2026-01-01")
SERIES: list[tuple[str, float, list[tuple[datetime, datetime]], tuple[float, float]]] = [
    ("sensor", 6, [(_day("2025-08-01"), LAST)], (6, 5)),
    ("hotline", 6, [(FIRST, _day("2025-03-01")), (_day("2025-05-01"), LAST)], (6, 5)),
    ("superior", 6, [(FIRST, _day("2025-11-01"))], (6, 5)),
    ("patrol", 60, [(_day("2025-12-03"), _day("2025-12-11"))], (1, 1)),
    ("citizen", 12, [(FIRST, LAST)], (6, 5)),
]
"""Source, incidents a day of both categories, when it is in use, and where: one begins, one pauses, one ends;
patrols have an outbreak in one grid, and residents report all along."""
SHARE = {"0101": 0.5, "02": 0.5}


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    rng = np.random.default_rng(15)
    grids = shapely.union_all(list(town.draw().values()))
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        for source, a_day, spans, box in SERIES:
            for start, end in spans:
                for category, share in SHARE.items():
                    number = int(share * a_day * ((end - start) // DAY))
                    places = [town.at(*one) for one in rng.uniform((0.01, 0.01), box, (3 * number, 2))]
                    inside = [one for one in places if grids.contains(shapely.Point(one))][:number]
                    town.add_incidents(conn, batch, inside, category, start, (end - start) / number)
            fresh = schema.incidents.c.source == "citizen"
            conn.execute(schema.incidents.update().where(fresh).values(source=source))


def ask(asker: TestClient, path: str, **query: Any) -> Query:
    answer = asker.get(path, params={name.rstrip("_"): value for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: Query = answer.json()
    return found


def counted(engine: Engine, start: str, end: str, without: str = "", category: str = "%") -> int:
    """Count in SQL of its own."""
    query = (
        "SELECT count(*) FROM incidents WHERE source <> :s AND category LIKE :c AND "
        "timezone('Asia/Shanghai', occurred_at)::date BETWEEN CAST(:a AS date) AND CAST(:b AS date) - 1"
    )
    given = {"a": start, "b": end, "s": without, "c": category}
    with engine.begin() as conn:
        return int(conn.execute(sa.text(query), given).scalar_one())


CASES = [
    ("sensor", "2025-08-01", "2025-09-01", (None, "2025-07-31")),
    ("sensor", "2025-07-15", "2025-08-15", (None, "2025-07-31")),
    ("hotline", "2025-03-01", "2025-04-01", ("2025-03-01", "2025-04-30")),
    ("hotline", "2025-05-01", "2025-06-01", ("2025-03-01", "2025-04-30")),
    ("superior", "2025-11-01", "2025-12-01", ("2025-11-01", None)),
    ("superior", "2025-10-20", "2025-11-20", ("2025-11-01", None)),
]
"""Source, a period that its silence meets or bounds, and the first and last silent day."""


def names(found: Query, source: str, days: tuple[str | None, str | None]) -> bool:
    one = {"category": None, "source": source, "area": None, "area_name": None}
    began = {"category": None, "source": source, "since": "2025-08-01"}
    says = one | dict(zip(("first", "last"), days, strict=True)) in found["silent"]
    return says and (began in found["began"]) == (source == "sensor")


@pytest.mark.parametrize(("source", "start", "end", "days"), CASES)
def test_no_row_departs_by_a_source(
    asker: TestClient, engine: Engine, source: str, start: str, end: str, days: tuple[str, str]
) -> None:
    for query in ({}, {"category": "01"}, {"area": "T2"}, {"categories": "all"}):
        found = ask(asker, "/situation", from_=start, to=end, **query)
        assert names(found, source, days)
        assert source in found["without"]
        assert found["departing"] == 0
        rows = [row for row in found["situation"] if row["category"] in {None, query.get("category")}]
        assert sum(row["count"] for row in rows if row["level"] == 3) == max(row["count"] for row in rows)
    (whole,) = (
        row
        for row in ask(asker, "/situation", from_=start, to=end)["situation"]
        if (row["level"], row["category"]) == (1, None)
    )
    assert whole["count"] == counted(engine, start, end), "the table's"
    left_out = [one for one, *_ in CASES if one in found["without"]]
    rest = counted(engine, start, end) - sum(
        counted(engine, start, end) - counted(engine, start, end, one) for one in set(left_out)
    )
    assert whole["compared"] == rest
    assert 0.7 < whole["ratio"] < 1.4
    letters = ask(asker, "/letters", from_=start, to=end)
    assert (letters["drafts"], source in letters["without"]) == ([], True)


@pytest.mark.parametrize(("source", "start", "end", "days"), CASES)
def test_no_change_is_told_by_a_source(
    asker: TestClient, engine: Engine, source: str, start: str, end: str, days: tuple[str, str]
) -> None:
    for by in ({"level": 1}, {"level": 3}, {"res": 8}):
        found = ask(asker, "/changes", from_=start, to=end, **by)
        assert names(found, source, days)
        assert any(found[one] and source in found[one]["without"] for one in ("before", "year"))
        for one in ("before", "year", "weekdays"):
            if found[one]:
                assert found[one]["told"] == "same"
                assert {row[f"{one}_told"] for row in found["rows"]} <= {"same", None}
        assert found["now"] == counted(engine, start, end) == sum(row["now"] for row in found["rows"])


@pytest.mark.parametrize(("source", "start", "end"), [case[:3] for case in CASES])
def test_no_measure_is_judged_by_a_source(asker: TestClient, source: str, start: str, end: str) -> None:
    query = {"from": start, "to": end, "area": "T2d", "control": "T1a"}
    answer = asker.get("/evaluation", params=query)
    assert answer.status_code == 422, answer.text
    assert source in answer.text
    rest = ask(asker, "/evaluation", **query, filter=f"source <> '{source}'")
    assert rest["difference"] is not None


def test_no_place_emerges_by_a_source(asker: TestClient) -> None:
    for to, source in (("2025-10-01", "sensor"), ("2025-06-01", "hotline"), ("2025-12-01", "superior")):
        found = ask(asker, "/emerging", to=to, res=8)
        assert source in {one["source"] for one in found["silent"]}
        assert not any(kind.startswith(("new", "consecutive")) for kind in found["classes"])


def test_an_outbreak_of_one_grid_shows_whatever_source_reports_it(asker: TestClient) -> None:
    found = ask(asker, "/situation", from_="2025-12-01", to="2025-12-31")
    assert "patrol" not in found["without"]
    (grid,) = (row for row in found["situation"] if (row["code"], row["category"]) == ("T1a", None))
    assert grid["departs"] == "above"


def test_a_source_by_itself_is_held_against_its_own_days(asker: TestClient) -> None:
    found = ask(asker, "/situation", from_="2025-12-01", to="2025-12-31", source="sensor")
    assert (found["without"], found["began"][0]["category"]) == ([], None)


def test_nothing_is_left_out_where_all_is_recorded(asker: TestClient) -> None:
    found = ask(asker, "/changes", from_="2025-10-01", to="2025-11-01", level=1)
    assert found["before"]["without"] == []
    assert "sensor" in found["year"]["without"]
