"""Surveillance over HTTP: a planted rise alarms once, is acknowledged and silenced, each in its scope."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from api.cli import app
from api.main import make_app
from gis import access, db
from gis.errors import BadInput
from gis.grids import Wish, resolve
from gis.schema import grid_codes
from gis.schema_situation import alarms
from layers.refresh import alarms as nightly
from layers.surveillance import survey
from layers.view import View
from tests import town

MONDAY = datetime(2025, 3, 3, tzinfo=town.ZONE)
WEEKS = 40
Keys = dict[str, dict[str, str]]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Forty quiet weeks, then one in which category 02 rises in T2d, and a day of the next."""
    rng, past = np.random.default_rng(7), MONDAY - timedelta(days=7 * WEEKS)
    quiet = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (WEEKS * 30, 2))]
    usual = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (34, 2))]
    risen = [town.at(*place) for place in rng.uniform((0.2, 3.2), (2.8, 4.8), (25, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        town.add_incidents(conn, batch, quiet, first=past, apart=timedelta(days=7 * WEEKS) / len(quiet))
        town.add_incidents(conn, batch, usual[:20], "02", first=past, apart=timedelta(days=10))
        town.add_incidents(conn, batch, usual, first=MONDAY, apart=timedelta(days=8) / 35)
        town.add_incidents(conn, batch, risen, "02", first=MONDAY, apart=timedelta(hours=6))


@pytest.fixture(scope="module")
def keys(engine: Engine) -> Keys:
    who = {"all": ("commander", None), "T1": ("commander", "T1"), "T2": ("commander", "T2")}
    with engine.begin() as conn:
        made = {
            name: access.create_key(conn, role, scope, scheme="safety", label=f"post {name}").key
            for name, (role, scope) in (who | {"field": ("field", None)}).items()
        }
    return {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}


@pytest.fixture(scope="module")
def asker(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(made, "http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        yield client


@pytest.fixture
def raised(engine: Engine, asker: TestClient, keys: Keys) -> list[dict[str, Any]]:
    with engine.begin() as conn:
        conn.execute(alarms.delete())
    answer = asker.post("/alarms", headers=keys["all"], json={})
    assert answer.status_code == 201, answer.text
    assert answer.json()["raised"] == answer.json()["alarms"] > 0
    listed: list[dict[str, Any]] = asker.get("/alarms", headers=keys["all"]).json()["alarms"]
    return listed


def test_the_rise_alarms_and_nothing_else(raised: list[dict[str, Any]]) -> None:
    assert {(one["grid"], one["category"]) for one in raised} >= {("T2d", "02"), ("T2", "02"), ("T", "02")}
    assert {one["category"] for one in raised} <= {"02", None}
    assert {one["grid"] for one in raised} <= {"T", "T2", "T2d"}
    (one,) = [each for each in raised if (each["grid"], each["category"]) == ("T2d", "02")]
    assert one["since"] == "2025-03-02T16:00:00+00:00"
    assert one["until"] == "2025-03-09T16:00:00+00:00"
    assert one["count"] >= 25 > one["threshold"] > one["expected"]
    assert one["recurrence_weeks"] == pytest.approx(1 / (one["p"] * one["series"]), rel=1e-3)
    assert one["recurrence_weeks"] > 13


def test_a_week_judged_again_raises_none_twice(
    raised: list[dict[str, Any]], asker: TestClient, keys: Keys, engine: Engine
) -> None:
    again = asker.post("/alarms", headers=keys["all"], json={"week": "2025-03-07"}).json()
    assert again["raised"] == 0
    assert again["alarms"] == len(raised)
    with engine.begin() as conn:
        assert nightly(conn).startswith("0 raised")


def test_a_part_of_the_city_judges_nothing(
    raised: list[dict[str, Any]], asker: TestClient, keys: Keys, service_engine: Engine
) -> None:
    """Its own series alone would call common what the whole city calls rare, in alarms that all see."""
    answer = asker.post("/alarms", headers=keys["T2"], json={})
    assert answer.status_code == 403
    assert "whole city" in answer.text
    assert asker.get("/alarms", headers=keys["all"]).json()["total"] == len(raised)
    scoped = access.Principal(role="commander", scheme="safety", scope="T2", name="post T2")
    of = sa.select(grid_codes.c.id).where(grid_codes.c.code == "T2d").scalar_subquery()
    row = alarms.insert().values(
        grid_id=of, since=MONDAY, until=MONDAY, count=1, expected=0, threshold=1, p=0.5, series=1
    )
    with service_engine.connect() as conn:
        access.enter(conn, scoped)
        with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
            conn.execute(row)


def test_a_short_past_says_that_the_rate_is_rough(
    raised: list[dict[str, Any]], asker: TestClient, keys: Keys
) -> None:
    assert {(one["weeks"], one["recurrence_sure"]) for one in raised} == {(WEEKS, False)}
    told = asker.post("/alarms", headers=keys["all"], json={}).json()
    assert told["recurrence_sure"] is False
    assert "0.6 to 1.0" in told["method"]["recurrence_sure"]


def test_the_command_judges_a_week_and_says_what_came(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as conn:
        conn.execute(alarms.delete())
    monkeypatch.setattr(db, "work_engine", lambda: engine)
    done = CliRunner().invoke(app, ["surveil"])
    assert done.exit_code == 0, done.output
    with engine.connect() as conn:
        raised = conn.execute(sa.select(sa.func.count()).select_from(alarms)).scalar_one()
    assert raised > 0
    assert f"{MONDAY:%Y-%m-%d}: " in done.output
    assert f"{raised} alarms raised" in done.output
    assert "0 alarms raised" in CliRunner().invoke(app, ["surveil", "--week", "2025-03-05"]).output
    refused = CliRunner().invoke(app, ["surveil", "--week", "2025-03-12"])
    assert refused.exit_code != 0
    assert "week" in refused.output


def test_an_alarm_is_acknowledged_once_and_by_its_first(
    raised: list[dict[str, Any]], asker: TestClient, keys: Keys
) -> None:
    number = raised[0]["id"]
    first = asker.post(f"/alarms/{number}/acknowledge", headers=keys["T2"]).json()
    again = asker.post(f"/alarms/{number}/acknowledge", headers=keys["all"]).json()
    assert first == again or raised[0]["grid"] == "T"
    assert again["acknowledged_at"]
    left = asker.get("/alarms?state=unanswered", headers=keys["all"]).json()
    assert left["total"] == len(raised) - 1
    assert number not in {one["id"] for one in left["alarms"]}


def test_a_silenced_series_raises_no_more(
    raised: list[dict[str, Any]], asker: TestClient, keys: Keys, engine: Engine
) -> None:
    (one,) = [each for each in raised if (each["grid"], each["category"]) == ("T2d", "02")]
    until = datetime.now().astimezone() + timedelta(days=30)
    answer = asker.post(f"/alarms/{one['id']}/silence", headers=keys["T2"], json={"until": until.isoformat()})
    assert answer.status_code == 200, answer.text
    assert answer.json()["silenced_by"]
    with engine.begin() as conn:
        conn.execute(alarms.update().values(since=alarms.c.since - timedelta(days=700), until=MONDAY))
    again = asker.post("/alarms", headers=keys["all"], json={}).json()
    assert again["raised"] == again["alarms"] - 1
    past = asker.post(
        f"/alarms/{one['id']}/silence", headers=keys["T2"], json={"until": "2020-01-01T00:00:00Z"}
    )
    assert past.status_code == 422


def test_a_silence_is_bounded_and_only_grows(
    raised: list[dict[str, Any]], asker: TestClient, keys: Keys
) -> None:
    path = f"/alarms/{next(each['id'] for each in raised if each['grid'] == 'T2d')}/silence"
    now = datetime.now().astimezone().replace(microsecond=0)

    def ask(who: str, days: float, **more: bool) -> tuple[int, dict[str, Any]]:
        body = {"until": (now + timedelta(days=days)).isoformat(), **more}
        answer = asker.post(path, headers=keys[who], json=body)
        return answer.status_code, answer.json()

    for days in (366.1, 100 * 365):
        status, refused = ask("all", days)
        assert (status, refused["errors"][0]["name"]) == (422, "until")
    first, longer = ask("T2", 10), ask("all", 20)
    assert (first[0], longer[0]) == (200, 200)
    assert ask("all", 20)[0] == 200, "the same again"
    status, refused = ask("T2", 15)
    assert status == 409
    assert longer[1]["silenced_by"] in refused["detail"]
    kept = [
        each for each in asker.get("/alarms", headers=keys["all"]).json()["alarms"] if each["grid"] == "T2d"
    ]
    assert longer[1]["silenced_until"] in {each["silenced_until"] for each in kept}
    status, cut = ask("T2", 15, overrule=True)
    assert status == 200
    assert datetime.fromisoformat(cut["silenced_until"]) == now + timedelta(days=15)


def test_alarms_stay_in_their_scope(
    raised: list[dict[str, Any]], asker: TestClient, keys: Keys, engine: Engine
) -> None:
    assert asker.get("/alarms", headers=keys["T1"]).json()["alarms"] == []
    assert {one["grid"] for one in asker.get("/alarms", headers=keys["T2"]).json()["alarms"]} == {"T2", "T2d"}
    for path, body in (("acknowledge", {}), ("silence", {"until": "2999-01-01T00:00:00Z"})):
        answer = asker.post(f"/alarms/{raised[0]['id']}/{path}", headers=keys["T1"], json=body)
        assert answer.status_code == 404, answer.text
    with engine.connect() as conn:
        assert conn.execute(sa.select(sa.func.count(alarms.c.silenced_by))).scalar_one() == 0
    assert asker.get("/alarms", headers=keys["field"]).status_code == 403
    assert asker.get("/alarms").status_code == 401


def test_a_week_that_is_not_over_or_has_no_past_is_refused(
    asker: TestClient, keys: Keys, engine: Engine
) -> None:
    for week in ("2025-03-10", "2024-06-10", "1900-01-01", "0001-01-01", "9999-12-31"):
        answer = asker.post("/alarms", headers=keys["all"], json={"week": week})
        assert answer.status_code == 422, answer.text
        assert "week" in answer.text
    with engine.connect() as conn:
        asked = resolve(conn, Wish())
        view = View(asked.scheme, asked.on, asked.known)
        assert survey(conn, view).view.start == MONDAY
        with pytest.raises(BadInput, match="26 are needed"):
            survey(conn, view, date(2024, 9, 2))


def test_a_category_that_began_late_has_no_years_of_nothing_behind_it(engine: Engine) -> None:
    """Ten weeks after a code came into use nobody can say what is usual; after thirty its own weeks do."""
    rng = np.random.default_rng(3)
    for weeks, judged in ((10, False), (30, True)):
        with engine.connect() as conn, conn.begin() as passing:
            batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
            places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (8 * (weeks + 1), 2))]
            first = MONDAY - timedelta(days=7 * weeks)
            conn.execute(
                sa.text("INSERT INTO categories (code, name_zh, name_en) VALUES ('77', '新', 'new')")
            )
            town.add_incidents(conn, batch, places, "77", first=first, apart=timedelta(hours=21))
            asked = resolve(conn, Wish())
            found = survey(conn, View(asked.scheme, asked.on, asked.known))
            series = [at for at, one in enumerate(found.categories) if one == "77"]
            assert bool(series) is judged
            assert not found.found.alarm[series].any()
            passing.rollback()


def test_a_gap_of_some_days_takes_its_weeks_and_no_others(engine: Engine) -> None:
    """A server that was down for four days leaves its weeks out: those before still say what is usual."""
    rng = np.random.default_rng(5)
    with engine.connect() as conn, conn.begin() as passing:
        batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
        places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (7 * WEEKS * 6, 2))]
        first = MONDAY - timedelta(days=7 * WEEKS)
        town.add_incidents(conn, batch, places, first=first, apart=timedelta(hours=4))
        asked = resolve(conn, Wish())
        view = View(asked.scheme, asked.on, asked.known)
        whole = survey(conn, view)
        down = MONDAY - timedelta(days=7 * 5 - 2)
        lost = sa.text("DELETE FROM incidents WHERE occurred_at >= :down AND occurred_at < :up")
        conn.execute(lost, {"down": down, "up": down + timedelta(days=4)})
        found = survey(conn, view)
        assert (whole.weeks, found.weeks) == (WEEKS, WEEKS - 1)
        assert found.grids == whole.grids
        assert found.found.expected.sum() == pytest.approx(whole.found.expected.sum(), rel=0.1)
        passing.rollback()
