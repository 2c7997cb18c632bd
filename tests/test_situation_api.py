"""The situation, the index and letters over HTTP: a planted rise is found, told, kept, printed and issued."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api.demo_access import DemoAccess
from api.main import make_app
from gis import access, schema
from gis.grids import Wish, resolve
from layers.situation import situation
from layers.situation_categories import ALL
from layers.situation_grids import WHOLE
from layers.view import View
from tests import town

START = datetime(2025, 3, 3, tzinfo=town.ZONE)
MONTH = {"from": "2025-03-03", "to": "2025-03-31"}
LONG_PAST, A_WEEK = 280, timedelta(days=7)
Keys = dict[str, dict[str, str]]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Ten quiet periods of four weeks, then one in which category 02 rises in T2d."""
    rng = np.random.default_rng(7)
    quiet = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (1100, 2))]
    usual = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (110, 2))]
    usual[0] = town.at(3.5, 2.5)
    risen = [town.at(*place) for place in rng.uniform((0.2, 3.2), (2.8, 4.8), (30, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        past = START - timedelta(days=LONG_PAST)
        town.add_incidents(conn, batch, quiet, first=past, apart=timedelta(days=LONG_PAST) / 1100)
        town.add_incidents(conn, batch, usual[:1], "02", first=past)
        town.add_incidents(conn, batch, usual, first=START, apart=timedelta(days=28) / 111)
        town.add_incidents(conn, batch, risen, "02", first=START, apart=timedelta(hours=20))
        i = schema.incidents
        done = i.update().where(i.c.id % 2 == 0)
        conn.execute(done.values(state="closed", responded_at=i.c.reported_at + timedelta(minutes=40)))


@pytest.fixture(scope="module")
def keys(engine: Engine) -> Keys:
    who = {"all": ("commander", None), "T1": ("commander", "T1"), "T2": ("commander", "T2")}
    who |= {"field": ("field", None), "approver": ("approver", None)}
    with engine.begin() as conn:
        made = {
            name: access.create_key(
                conn, role, scope, scheme="safety", label=f"desk {name}", demo=role == "approver"
            ).key
            for name, (role, scope) in who.items()
        }
    return {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}


@pytest.fixture(scope="module")
def asker(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("data")
    app = make_app(lambda: service_engine, folder)
    app.state.demo = DemoAccess(folder)
    with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        yield client


def told(asker: TestClient, keys: Keys, who: str = "all", path: str = "/situation", **more: Any) -> Any:
    answer = asker.get(path, headers=keys[who], params=MONTH | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_rise_comes_first_and_nothing_else_departs(asker: TestClient, keys: Keys) -> None:
    whole = told(asker, keys)
    rows = whole["situation"]
    assert [(row["code"], row["category"]) for row in rows[:3]] == [("T", "02"), ("T2", "02"), ("T2d", "02")]
    assert all(row["departs"] == "above" and row["ratio_low"] > 1 for row in rows[:3])
    assert {row["category"] for row in rows if row["departs"]} <= {"02", None}
    assert whole["comparisons"] == 8 * 3
    assert whole["rows"] + whole["quiet"] == whole["comparisons"]
    assert whole["periods"] == 10


def test_counts_add_up_over_levels_and_to_the_table(asker: TestClient, keys: Keys, engine: Engine) -> None:
    whole = told(asker, keys)
    count = {(row["code"], row["category"]): row["count"] for row in whole["situation"]}
    assert count["T", None] == count["T1", None] + count["T2", None]
    assert count["T2", None] == count["T2d", None] + count["T2e", None]
    assert count["T", None] == count["T", "01"] + count["T", "02"]
    i = schema.incidents.c
    with engine.connect() as conn:
        inside = (i.occurred_at >= START) & (i.occurred_at < START + timedelta(days=28))
        number = conn.execute(sa.select(sa.func.count()).where(inside)).scalar_one()
    assert count["T", None] + whole["without_grid"] == number
    assert whole["without_grid"] > 0, "the hole belongs to nobody"


def test_pages_hold_every_row_once(asker: TestClient, keys: Keys) -> None:
    every = told(asker, keys)["situation"]
    pages = [told(asker, keys, limit=5, offset=offset) for offset in range(0, len(every), 5)]
    assert [row for one in pages for row in one["situation"]] == every
    assert {one["rows"] for one in pages} == {len(every)}


def test_only_departures_and_one_level(asker: TestClient, keys: Keys) -> None:
    rows = told(asker, keys, only="departures", level=3)["situation"]
    assert [row["code"] for row in rows if row["category"] == "02"] == ["T2d"]
    assert told(asker, keys, categories="all", level=3)["comparisons"] == 5 * 5
    of_one = told(asker, keys, category="01", level=1)["situation"]
    assert [row["category"] for row in of_one] == ["01", "0101"]


def test_csv_needs_the_right_to_export_and_says_how_many(
    asker: TestClient, keys: Keys, engine: Engine
) -> None:
    assert asker.get("/situation?format=csv", headers=keys["all"]).status_code == 403
    with engine.begin() as conn:
        key = access.create_key(conn, "commander", scheme="safety", label="", may_export=True).key
    answer = asker.get(
        "/situation",
        params=MONTH | {"format": "csv", "limit": "2"},
        headers={"Authorization": f"Bearer {key}"},
    )
    lines = answer.text.strip().splitlines()
    assert len(lines) == 3
    assert int(answer.headers["x-rows"]) > 2


def test_a_scope_sees_its_grids_only(asker: TestClient, keys: Keys) -> None:
    mine = told(asker, keys, "T1")
    assert {row["code"] for row in mine["situation"]} == {"T1", "T1a", "T1b", "T1c"}
    every = {(row["code"], row["category"]): row["count"] for row in told(asker, keys)["situation"]}
    assert all(every[row["code"], row["category"]] == row["count"] for row in mine["situation"])
    assert told(asker, keys, "T1", "/letters")["drafts"] == []
    assert {row["code"] for row in told(asker, keys, "T1", "/stability-index", level=2)["index"]} == {"T1"}
    assert asker.get("/situation?level=1", headers=keys["T1"]).status_code == 422


@pytest.mark.parametrize("path", ["/situation", "/stability-index", "/letters", "/letters/1"])
def test_field_and_public_have_none_of_it(asker: TestClient, keys: Keys, path: str) -> None:
    assert asker.get(path).status_code == 401
    assert asker.get(path, headers=keys["field"]).status_code == 403


def test_the_index_shows_formula_parts_interval_and_honest_ranks(asker: TestClient, keys: Keys) -> None:
    whole = told(asker, keys, path="/stability-index", level=3)
    assert whole["formula"]["version"] == "1"
    assert sum(part["weight"] for part in whole["formula"]["part"]) == pytest.approx(1)
    assert sum(whole["lights"].values()) == 5
    for row in whole["index"]:
        assert row["low"] <= row["value"] <= row["high"]
        parts, weights = row["parts"], {part["name"]: part["weight"] for part in whole["formula"]["part"]}
        mean = sum(weights[name] * parts[name]["points"] for name in parts) / sum(
            weights[name] for name in parts
        )
        assert row["value"] == pytest.approx(mean)
        assert (row["rank"] is None) == (row["rank_first"] != row["rank_last"])
    assert whole["index"][0]["code"] == "T2d"


def test_where_nothing_happened_nothing_is_red(asker: TestClient, keys: Keys) -> None:
    """Hours in which a quarter was quiet: nothing over nothing was scored as the worst, without any width."""
    quiet = 0
    for hour in range(0, 24, 3):
        hours = {"from": f"2025-03-10T{hour:02d}:00:00", "to": f"2025-03-10T{hour + 2:02d}:00:00"}
        for row in told(asker, keys, path="/stability-index", level=3, **hours)["index"]:
            for name, part in (row["parts"] or {}).items():
                assert part["measured"] is not None, (row["code"], name)
            if "closure" in row["missing"]:
                quiet += 1
                assert row["light"] != "red", row["code"]
    assert quiet, "no quarter was quiet: the test asks nothing"


def test_an_old_period_has_no_formula(asker: TestClient, keys: Keys) -> None:
    answer = asker.get("/stability-index?from=2024-05-01&to=2024-06-01", headers=keys["all"])
    assert answer.status_code == 404
    assert "formula" in answer.json()["detail"]


def draft_of(asker: TestClient, keys: Keys, grid: str = "T2d") -> dict[str, Any]:
    drafts: list[dict[str, Any]] = told(asker, keys, path="/letters")["drafts"]
    return next(one for one in drafts if (one["grid"], one["category"]) == (grid, "02"))


BODY = {
    "grid": "T2d",
    "category": "02",
    "start": "2025-03-03T00:00:00+08:00",
    "end": "2025-03-31T00:00:00+08:00",
}


def test_a_draft_carries_its_evidence_and_nobodys_name(asker: TestClient, keys: Keys) -> None:
    draft = draft_of(asker, keys)
    evidence = draft["evidence"]
    assert evidence["observed"] == 30 == len(evidence["incidents"])
    assert evidence["q"] <= 0.05
    assert draft["kind"] == "warning"
    assert draft["texts"]["zh"]["title"] == "风险预警函"
    for text in draft["texts"].values():
        assert "网格T2d" in text["body"]
        assert "30" in text["body"]
        assert not {"甲", "000"} & {text["body"][i : i + n] for n in (1, 3) for i in range(len(text["body"]))}
        assert "$" not in text["body"]
        assert not [word for word in ("q =", "Benjamini", "95") if word in text["body"]], (
            "tests are in the annex"
        )


def test_a_letter_is_kept_printed_and_issued_once(asker: TestClient, keys: Keys) -> None:
    made = asker.post("/letters", headers=keys["T2"], json=BODY)
    assert made.status_code == 201, made.text
    where, letter = made.headers["location"], made.json()
    assert (letter["state"], letter["author"], letter["grid"]) == ("draft", "desk T2", "T2d")
    assert asker.get(where, headers=keys["T1"]).status_code == 404
    printed = asker.get(f"{where}/print?lang=en", headers=keys["all"])
    assert printed.headers["content-type"].startswith("text/html")
    assert "Risk warning" in printed.text
    assert letter["evidence"]["incidents"][0] in printed.text
    assert asker.post(f"{where}/issue", headers=keys["all"]).status_code == 403
    issued = asker.post(f"{where}/issue", headers=keys["approver"])
    assert (issued.json()["state"], issued.json()["issuer"]) == ("issued", "desk approver")
    assert asker.post(f"{where}/issue", headers=keys["approver"]).status_code == 404
    assert [one["id"] for one in told(asker, keys, path="/letters")["kept"]] == [letter["id"]]


@pytest.mark.parametrize("change", [{"grid": "T1a"}, {"category": "01"}, {"grid": "nowhere"}])
def test_no_letter_without_evidence(asker: TestClient, keys: Keys, change: dict[str, str]) -> None:
    answer = asker.post("/letters", headers=keys["all"], json=BODY | change)
    assert answer.status_code == 422
    assert "did not rise" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/situation", "/stability-index", "/letters"])
@pytest.mark.parametrize("area", ["T1", "T1a", "T1c"])
def test_an_area_outside_of_a_scope_is_named(asker: TestClient, keys: Keys, path: str, area: str) -> None:
    (problem,) = asker.get(path, headers=keys["T2"], params={"area": area}).json()["errors"]
    assert problem["name"] == "area"
    assert problem["reason"] == f"{area} does not lie inside your scope, T2; name a grid inside it"
    (problem,) = asker.get("/situation", headers=keys["T2"], params={"level": 1}).json()["errors"]
    assert problem["reason"] == "there is no grid of level 1 to be seen here"


def test_the_database_keeps_letters_from_other_scopes(
    asker: TestClient, keys: Keys, service_engine: Engine
) -> None:
    assert asker.post("/letters", headers=keys["all"], json=BODY).status_code == 201
    for scope, rank, seen in (("T1", 2, False), ("T2", 2, True), (None, 1, False), (None, 2, True)):
        with service_engine.begin() as conn:
            role = ("public", "field", "commander")[rank]
            access.enter(conn, access.Principal(role, "safety" if scope else None, scope))
            assert bool(conn.execute(sa.text("SELECT EXISTS (SELECT FROM letters)")).scalar()) is seen
    with service_engine.connect() as conn:
        access.enter(conn, access.Principal("commander"))
        changed = conn.execute(sa.text("UPDATE letters SET issuer = 'x', issued_at = now()"))
        assert changed.rowcount == 0, "a commander issues nothing"


_OTHER_SCHEME = """
INSERT INTO schemes (name, title_zh, title_en, is_default) VALUES ('fire', '消防', 'Fire', false);
INSERT INTO levels (scheme, level, name_zh, name_en) VALUES ('fire', 1, '站', 'station');
INSERT INTO grid_codes (scheme, code) VALUES ('fire', 'T1a'), ('fire', 'S');
INSERT INTO grids (grid_id, scheme, code, level, name, geom, area_m2, valid, known)
  SELECT c.id, 'fire', c.code, 1, c.code, g.geom, g.area_m2, g.valid, g.known
  FROM grids g JOIN (VALUES ('T2', 'T1a'), ('T1', 'S')) AS o (was, now) ON o.was = g.code
  JOIN grid_codes c ON c.scheme = 'fire' AND c.code = o.now
"""
_EXCHANGED = """
UPDATE grids g SET geom = o.geom FROM grids o
WHERE (g.code, o.code) IN (('T1b', 'T1c'), ('T1c', 'T1b'))
"""


@pytest.mark.parametrize(
    ("scheme", "change"),
    [
        ("safety", "UPDATE incidents SET grid_code = 'T1a'"),
        ("safety", "UPDATE incidents SET grid_code = NULL"),
        ("safety", _EXCHANGED),
        ("safety", "DELETE FROM grids WHERE code = 'T1b'"),
        ("safety", "DELETE FROM grids WHERE code IN ('T2d', 'T2e', 'T1c')"),
        ("fire", _OTHER_SCHEME),
    ],
    ids=[
        "wrong at intake",
        "none at intake",
        "boundaries that come later",
        "spare",
        "spares",
        "a scheme's own",
    ],
)
def test_counts_are_of_the_places_within_the_boundaries_that_are_asked_for(
    conn: Connection, scheme: str, change: str
) -> None:
    conn.execute(sa.text(change))
    asked = resolve(conn, Wish(scheme=scheme))
    view = View(asked.scheme, asked.on, asked.known, start=START, end=START + timedelta(days=28))
    counted = sa.text(
        "SELECT g.code, count(i.id) FROM grids g LEFT JOIN incidents i ON ST_Covers(g.geom, i.geom) "
        "AND i.occurred_at >= :start AND i.occurred_at < :end WHERE g.scheme = :scheme GROUP BY 1"
    )
    by_place = conn.execute(counted, {"scheme": scheme, "start": view.start, "end": view.end}).all()
    found = situation(conn, view)
    assert found.categories == [ALL, "01", "02"]
    counts = found.count.reshape(-1, 3)[:, 0].astype(int).tolist()
    whole = {WHOLE: sum(row.count for row in by_place)} if scheme == "fire" else {}
    expected = whole | {row.code: row.count for row in by_place}
    assert dict(zip(found.grids.codes, counts, strict=True)) == expected
    assert sum(counts) > 100
    i = schema.incidents.c
    inside = (i.occurred_at >= START) & (i.occurred_at < START + timedelta(days=28))
    number = conn.execute(sa.select(sa.func.count()).where(inside)).scalar_one()
    for level in {1, 2, 3} if scheme == "safety" else {1}:
        one = situation(conn, view, level)
        rows = one.count.reshape(-1, 3)[:, 0].sum()
        assert rows + one.without_grid == number, level


@pytest.mark.parametrize("code", ["T1a", "T1", "T2e"])
def test_a_scope_of_another_scheme_is_a_place_not_a_code(conn: Connection, code: str) -> None:
    conn.execute(sa.text(_OTHER_SCHEME))
    own, fire = resolve(conn, Wish()), resolve(conn, Wish(scheme="fire"))
    view = View("fire", fire.on, fire.known, start=START, end=START + timedelta(days=28), scope=(own, code))
    counted = sa.text(
        "SELECT g.code, count(i.id) FROM grids g LEFT JOIN incidents i ON ST_Covers(g.geom, i.geom) "
        "AND i.occurred_at >= :start AND i.occurred_at < :end AND ST_Covers((SELECT geom FROM grids s "
        "WHERE s.scheme = 'safety' AND s.code = :code), i.geom) WHERE g.scheme = 'fire' GROUP BY 1"
    )
    asked = {"code": code, "start": view.start, "end": view.end}
    by_place = {row.code: row.count for row in conn.execute(counted, asked)}
    found = situation(conn, view)
    counts = found.count.reshape(len(found.grids.codes), -1)[:, 0].astype(int).tolist()
    assert dict(zip(found.grids.codes, counts, strict=True)) == by_place
