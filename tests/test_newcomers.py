"""Categories that came into use in many grids make neither all together nor what is above them depart."""

import re
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import schema
from layers.stats.change import change, change_of_whole, with_and_without
from tests import town

FIRST = datetime(2024, 1, 1, tzinfo=town.ZONE)
LAST = datetime(2026, 1, 1, tzinfo=town.ZONE)
BEGAN = datetime(2025, 6, 1, tzinfo=town.ZONE)
"""Of N (six a day, all grids), and of A2 (three a day), which is below A."""
SPLIT = datetime(2025, 9, 1, tzinfo=town.ZONE)
"""From then on half of what was B1 is recorded as B2: in all, B stays as it was."""
OUTBREAK = datetime(2025, 11, 3, tzinfo=town.ZONE)
"""Of O, which never was: 60 a day for eight days in one grid."""
OVER = datetime(2025, 12, 1, tzinfo=town.ZONE)
"""E, two a day, is recorded no more."""
DAY = timedelta(days=1)
Asked = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    rng = np.random.default_rng(14)
    grids = shapely.union_all(list(town.draw().values()))

    def add(
        category: str, a_day: float, first: datetime, end: datetime, box: tuple[int, int] = (6, 5)
    ) -> None:
        number = int(a_day * ((end - first) // DAY))
        places = [town.at(*place) for place in rng.uniform((0.01, 0.01), box, (2 * number, 2))]
        inside = [place for place in places if grids.contains(shapely.Point(place))][:number]
        assert len(inside) == number
        town.add_incidents(conn, batch, inside, category, first, (end - first) / number)

    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        parents = {
            "A": None,
            "A1": "A",
            "A2": "A",
            "B": None,
            "B1": "B",
            "B2": "B",
            "N": None,
            "O": None,
            "E": None,
        }
        rows = [
            {"code": code, "parent": up, "name_zh": code, "name_en": code} for code, up in parents.items()
        ]
        conn.execute(schema.categories.insert(), rows)
        add("A1", 4, FIRST, LAST)
        add("B1", 6, FIRST, SPLIT)
        add("B1", 3, SPLIT, LAST)
        add("B2", 3, SPLIT, LAST)
        add("N", 6, BEGAN, LAST)
        add("A2", 3, BEGAN, LAST)
        add("E", 2, FIRST, OVER)
        add("O", 60, OUTBREAK, OUTBREAK + 8 * DAY, (1, 1))


def ask(asker: TestClient, path: str, **query: Any) -> Asked:
    answer = asker.get(path, params={name.rstrip("_"): value for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: Asked = answer.json()
    return found


def counted(engine: Engine, start: str, end: str, like: str = "%") -> int:
    """Count in SQL of its own."""
    query = (
        "SELECT count(*) FROM incidents WHERE category LIKE :c "
        "AND timezone('Asia/Shanghai', occurred_at)::date BETWEEN CAST(:a AS date) AND CAST(:b AS date) - 1"
    )
    with engine.begin() as conn:
        return int(conn.execute(sa.text(query), {"a": start, "b": end, "c": like}).scalar_one())


NEW = {"N", "A2"}
PERIODS = [
    ("2025-06-01", "2025-07-01"),
    ("2025-05-15", "2025-06-15"),
    ("2025-06-10", "2025-06-20"),
    ("2025-07-01", "2025-08-01"),
]


@pytest.mark.parametrize(("start", "end"), PERIODS)
def test_all_together_depart_by_no_new_category(
    asker: TestClient, engine: Engine, start: str, end: str
) -> None:
    found = ask(asker, "/situation", from_=start, to=end)
    assert set(found["without"]) == NEW
    assert NEW.issubset(one["category"] for one in found["began"])
    of_all = [row for row in found["situation"] if row["category"] is None]
    assert {row["departs"] for row in of_all} == {None}
    (whole,) = (row for row in of_all if row["level"] == 1)
    assert whole["count"] == counted(engine, start, end), "the table's"
    expected = (
        counted(engine, start, end) - counted(engine, start, end, "N") - counted(engine, start, end, "A2")
    )
    assert whole["compared"] == expected
    assert whole["ratio"] == pytest.approx(whole["compared"] / whole["expected"])
    assert 0.6 <= whole["ratio"] <= 1.4
    assert sum(row["count"] for row in of_all if row["level"] == 3) == whole["count"]


@pytest.mark.parametrize(("start", "end"), PERIODS)
def test_what_is_above_a_new_one_departs_by_none_either(
    asker: TestClient, engine: Engine, start: str, end: str
) -> None:
    for query in ({}, {"category": "A"}, {"categories": "all"}):
        found = ask(asker, "/situation", from_=start, to=end, **query)
        rows = {row["category"]: row for row in found["situation"] if row["level"] == 1}
        assert rows["A"]["departs"] is None
        assert rows["A"]["compared"] == counted(engine, start, end, "A1")
        assert rows["A"]["count"] == counted(engine, start, end, "A%")
        assert rows.get("A2", {"p": None})["p"] is None, "in use too short a time itself"


@pytest.mark.parametrize(("start", "end"), PERIODS)
def test_no_letter_is_drafted_of_it(asker: TestClient, start: str, end: str) -> None:
    found = ask(asker, "/letters", from_=start, to=end)
    assert set(found["without"]) == NEW
    assert found["drafts"] == []


@pytest.mark.parametrize(
    ("start", "end", "names"),
    [
        ("2025-06-01", "2025-07-01", ("before", "year", "weekdays")),
        ("2025-05-15", "2025-06-15", ("before", "year", "weekdays")),
        ("2025-08-01", "2025-09-01", ("year", "weekdays")),
    ],
)
def test_changes_are_told_without_it(
    asker: TestClient, engine: Engine, start: str, end: str, names: tuple[str, ...]
) -> None:
    for query, like, new in (({}, "%", NEW), ({"category": "A"}, "A%", {"A2"})):
        for by in ({"level": 1}, {"level": 3}, {"res": 8}):
            found = ask(asker, "/changes", from_=start, to=end, **query, **by)
            assert new <= {one["category"] for one in found["began"]}
            for name in names:
                assert set(found[name]["without"]) == new
                assert (found[name]["told"], found[name]["percent"]) == ("same", None)
                assert {row[f"{name}_told"] for row in found["rows"]} == {"same"}
            assert found["now"] == counted(engine, start, end, like)
            assert sum(row["now"] for row in found["rows"]) == found["now"]
    if "before" not in names:
        assert ask(asker, "/changes", from_=start, to=end, level=1)["before"]["without"] == [], "both hold it"


@pytest.mark.parametrize(
    ("start", "end"),
    [("2025-09-01", "2025-10-01"), ("2025-08-20", "2025-09-20"), ("2025-10-01", "2025-11-01")],
)
def test_what_took_over_from_another_is_no_fall(asker: TestClient, start: str, end: str) -> None:
    rows = ask(asker, "/situation", from_=start, to=end, category="B")["situation"]
    (whole,) = (row for row in rows if row["level"] == 1 and row["category"] == "B")
    assert (whole["departs"], whole["compared"]) == (None, whole["count"])
    found = ask(asker, "/changes", from_=start, to=end, category="B", level=1)
    assert found["year"]["without"] == ["B2"]
    assert {found["before"]["told"], found["year"]["told"]} == {"same"}


@pytest.mark.parametrize(
    ("start", "end"),
    [("2025-11-01", "2025-12-01"), ("2025-11-03", "2025-11-17"), ("2025-10-20", "2025-11-20")],
)
def test_an_outbreak_in_one_grid_of_what_never_was_shows_in_all_together(
    asker: TestClient, start: str, end: str
) -> None:
    found = ask(asker, "/situation", from_=start, to=end)
    assert "O" not in found["without"]
    (whole,) = (row for row in found["situation"] if row["level"] == 1 and row["category"] is None)
    (part,) = (row for row in found["situation"] if row["code"] == "T1a" and row["category"] is None)
    assert (whole["departs"], part["departs"]) == ("above", "above")
    assert ask(asker, "/changes", from_=start, to=end, level=1)["year"]["told"] == "more"


@pytest.mark.parametrize(
    ("start", "end", "category", "code"),
    [
        ("2025-06-01", "2025-07-01", None, "A2"), ("2025-06-01", "2025-07-01", "A", "A2"),
        ("2025-09-01", "2025-10-01", None, "B2"), ("2025-05-20", "2025-06-10", None, "A2"),
        ("2025-11-20", "2025-12-20", None, "E"), ("2025-12-05", "2025-12-31", None, "E"),
    ],
)  # fmt: skip
def test_no_measure_is_judged_by_it(
    asker: TestClient, start: str, end: str, category: str | None, code: str
) -> None:
    query = {"from": start, "to": end, "area": "T2d", "control": "T1a"} | (
        {"category": category} if category else {}
    )
    answer = asker.get("/evaluation", params=query)
    assert answer.status_code == 422, answer.text
    assert re.search(
        f"{code} came into use or ended on 2025-.*, or a filter that leaves {code} out", answer.text
    )
    rest = {"filter": "category <> 'N' AND category <> 'A2' AND category <> 'B2' AND category <> 'E'"}
    if category is None and code != "E":
        assert ask(asker, "/evaluation", **{"from_": start, **query, **rest})["difference"] is not None


def test_measures_are_judged_where_nothing_began(asker: TestClient) -> None:
    for start, end in (
        ("2025-04-01", "2025-05-01"),
        ("2025-08-01", "2025-08-20"),
        ("2025-11-01", "2025-11-15"),
    ):
        found = ask(asker, "/evaluation", from_=start, to=end, area="T2d", control="T1b")
        assert found["difference"] is not None


@pytest.mark.parametrize(
    ("whole", "rest", "told"),
    [
        ((370, 186), (184, 186), 0),  # it added
        ((180, 184), (90, 184), 0),  # it took over
        ((300, 186), (90, 186), 0),  # both, and nobody can say
        ((500, 186), (320, 186), 1),  # the others rose as well
        ((110, 184), (90, 184), -1),  # all fell, with it as well
    ],
)
def test_a_rise_is_one_without_it_and_a_fall_one_with_it_too(
    whole: tuple[int, int], rest: tuple[int, int], told: int
) -> None:
    past = [180, 190, 184, 188, 179, 186, 191]
    found = with_and_without(*(change_of_whole(*one, past) for one in (whole, rest)))
    assert (found.q[0] <= 0.05) * np.sign(found.difference[0]) == told
    assert np.isnan(found.percent[0])
    same = change([3, 20], [20, 3])
    assert np.array_equal(with_and_without(same, same).p, same.p)
