"""A category that came into use raises no alarms at first; an outbreak of one that was rare does."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from api.cli import app
from gis import db, schema
from gis.grids import Wish, resolve
from gis.recorded import begun
from layers.surveillance import FEWEST_WEEKS, Surveyed, survey
from layers.view import View
from tests import town

FIRST = datetime(2023, 1, 2, tzinfo=town.ZONE)
WEEKS, BEGAN = 150, 110
WEEK = timedelta(days=7)
NEW = {"C": 40.0, "F": 8.0, "G": 2.5}
"""Incidents a week of what came into use with week BEGAN."""
RARE = {"Q": 3, "R": 1, "S": 6}
"""Incidents a year of what was always rare, and has twelve in one grid in the week of OUTBREAK."""
OUTBREAK = {"Q": 115, "R": 118, "S": 121}


def monday(week: int) -> datetime:
    return datetime.combine(FIRST.date() + week * WEEK, FIRST.time(), town.ZONE)


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    rng = np.random.default_rng(14)

    def add(category: str, number: int, first: int, end: int, corner: tuple[int, int] | None = None) -> None:
        low, high = ((0.2, 0.2), (5.8, 4.8)) if corner is None else (np.add(corner, 0.2), np.add(corner, 0.8))
        places = [town.at(*place) for place in rng.uniform(low, high, (number, 2))]
        town.add_incidents(conn, batch, places, category, monday(first), (end - first) * WEEK / number)

    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        codes = [*NEW, *RARE]
        rows = [{"code": code, "parent": None, "name_zh": code, "name_en": code} for code in codes]
        conn.execute(schema.categories.insert(), rows)
        for week in range(WEEKS):
            add("0101", int(rng.poisson(60)), week, week + 1)
            for category, a_week in NEW.items():
                number = 0 if week < BEGAN else int(rng.poisson(a_week))
                if number:
                    add(category, number, week, week + 1)
        for category, a_year in RARE.items():
            add(category, a_year * 3, 0, WEEKS)
            add(category, 12, OUTBREAK[category], OUTBREAK[category] + 1, (4, 0))


def judged(conn: Connection, week: int) -> Surveyed:
    asked = resolve(conn, Wish())
    return survey(conn, View(asked.scheme, asked.on, asked.known), monday(week).date())


def alarms(found: Surveyed) -> set[tuple[str, str | None]]:
    at = np.flatnonzero(found.found.alarm).tolist()
    return {(found.grids[one], found.categories[one]) for one in at}


@pytest.mark.parametrize("week", [BEGAN, BEGAN + 1, BEGAN + 2, BEGAN + 3, BEGAN + 12])
def test_what_came_into_use_is_not_tested_yet_and_says_so(conn: Connection, week: int) -> None:
    found = judged(conn, week)
    assert not {category for _, category in alarms(found)} & {*NEW, None}
    seen = {"C", "F"} if week < BEGAN + 2 else set(NEW)  # of G one or two came so far
    told = {one.category: (one.since, one.tested) for one in found.began}
    assert {code: told[code] for code in seen} == dict.fromkeys(seen, (monday(BEGAN).date(), False))
    assert not {*found.categories} & seen


def test_it_is_tested_once_half_a_year_of_it_is_recorded(conn: Connection) -> None:
    found = judged(conn, BEGAN + FEWEST_WEEKS)
    assert {one.category: one.tested for one in found.began} == dict.fromkeys(NEW, True)
    assert set(NEW) < set(found.categories)
    assert not alarms(found)
    assert {one.category for one in judged(conn, BEGAN + FEWEST_WEEKS - 1).began if not one.tested} == {*NEW}


@pytest.mark.parametrize("category", list(RARE))
def test_an_outbreak_of_what_was_always_rare_alarms(conn: Connection, category: str) -> None:
    found = judged(conn, OUTBREAK[category])
    assert category not in {one.category for one in found.began}
    assert {("T1", category), ("T", category)} <= alarms(found)
    is_known = ("T1c", category) in zip(found.grids, found.categories, strict=True)
    assert is_known == (("T1c", category) in alarms(found)), "a grid that never held any is not judged"


def test_the_rest_of_all_categories_is_watched_meanwhile(conn: Connection) -> None:
    found = judged(conn, BEGAN + 2)
    at = [*zip(found.grids, found.categories, strict=True)].index(("T", None))
    assert 40 <= found.found.count[at] <= 90, "without the fifty of what came into use"
    assert found.found.expected[at] == pytest.approx(61, rel=0.1)


def test_the_answer_and_the_command_name_it(
    engine: Engine, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.post("/alarms", json={"week": monday(BEGAN + 2).date().isoformat()})
    assert answer.status_code == 201, answer.text
    began = monday(BEGAN).date().isoformat()
    assert answer.json()["began"] == [
        {"category": category, "since": began, "tested": False} for category in sorted(NEW)
    ]
    monkeypatch.setattr(db, "work_engine", lambda: engine)
    said = CliRunner().invoke(app, ["surveil", "--week", answer.json()["start"][:10]]).output
    assert f"not tested yet: C (since {began})" in " ".join(said.split())


@pytest.mark.parametrize("long", [60, 110, 160, 265])
@pytest.mark.parametrize("a_year", [1, 3, 10, 50])
def test_what_was_always_rare_did_not_come_into_use(long: int, a_year: int) -> None:
    """Outbreaks of up to four weeks in one grid of twenty, after 1,000 pasts of chance."""
    rng, wrong = np.random.default_rng(a_year), 0
    for _ in range(1000):
        held = rng.poisson(a_year / 52 / 20, (20, long)) > 0
        held[3, -int(rng.integers(1, 5)) :] = True
        wrong += held[:, : long // 2].any() and begun(held) > 0
    assert wrong <= 3


@pytest.mark.parametrize(("long", "weeks"), [(43, 3), (110, 3), (160, 2), (265, 2)])
def test_an_outbreak_of_what_never_was_in_one_grid_did_not_come_into_use(long: int, weeks: int) -> None:
    held = np.zeros((20, long), dtype=bool)
    held[3, -weeks:] = True
    assert begun(held) == 0


@pytest.mark.parametrize(
    ("long", "grids", "is_new"),
    [(141, 1, False), (90, 2, False), (141, 2, True), (60, 2, False), (60, 3, True)],
)
def test_the_bound_is_two_grids_at_once_after_a_hundred_silent_weeks(
    long: int, grids: int, is_new: bool
) -> None:
    held = np.zeros((20, long), dtype=bool)
    held[:grids, -1] = True
    assert begun(held) == (long - 1 if is_new else 0)
