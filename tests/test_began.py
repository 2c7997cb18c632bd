"""A category or source that came into use late is not held against days on which nobody could record it."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access, schema
from gis.recorded import reach
from tests import town

FIRST = datetime(2024, 1, 1, tzinfo=town.ZONE)
BEGAN = datetime(2025, 5, 1, tzinfo=town.ZONE)
"""Of category 02: three a day from then on."""
OFF = datetime(2025, 4, 1, tzinfo=town.ZONE)
"""No sensor reports any more; before, two a day."""
LAST = datetime(2025, 8, 1, tzinfo=town.ZONE)
DAY = timedelta(days=1)
Asked = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    """Eight a day all along."""
    rng = np.random.default_rng(14)

    def some(number: int) -> list[tuple[float, float]]:
        return [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (number, 2))]

    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        days = (OFF - FIRST) // DAY
        town.add_incidents(conn, batch, some(2 * days), "0102", first=FIRST, apart=DAY / 2)
        conn.execute(schema.incidents.update().values(source="sensor"))
        town.add_incidents(conn, batch, some(8 * ((LAST - FIRST) // DAY)), first=FIRST, apart=DAY / 8)
        town.add_incidents(conn, batch, some(3 * ((LAST - BEGAN) // DAY)), "02", first=BEGAN, apart=DAY / 3)


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with engine.begin() as conn:
        made = [
            access.create_key(conn, "commander", scope, scheme="safety", label="desk").key
            for scope in (None, "T1")
        ]
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, "http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {made[0]}"
        client.headers["X-Scoped"] = made[1]
        yield client


def _ask(asker: TestClient, path: str, *, scoped: bool = False, **query: Any) -> Asked:
    query = {"from_": None} | query
    told = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    head = {"Authorization": f"Bearer {asker.headers['X-Scoped']}"} if scoped else {}
    answer = asker.get(path, params=told, headers=head)
    assert answer.status_code == 200, answer.text
    found: Asked = answer.json()
    return found


MAY: Asked = {"from_": "2025-05-01", "to": "2025-06-01"}
SINCE = {"category": "02", "source": None, "since": "2025-05-01"}


@pytest.mark.parametrize("scoped", [False, True])
def test_rows_of_a_late_category_are_named_and_not_tested(asker: TestClient, scoped: bool) -> None:
    found = _ask(asker, "/situation", scoped=scoped, **MAY)
    rows = found["situation"]
    late = [row for row in rows if row["category"] == "02"]
    assert found["began"] == [SINCE]
    assert late
    assert {(row["p"], row["expected"], row["departs"], row["before"], row["change_p"]) for row in late} == {
        (None,) * 5
    }
    assert all(row["p"] is not None and row["before"] is not None for row in rows if row["category"] == "01")
    assert found["comparisons"] + len(late) <= found["rows"] + found["quiet"]


def test_no_letter_is_drafted_of_a_late_category(asker: TestClient) -> None:
    found = _ask(asker, "/letters", **MAY)
    assert found["began"] == [SINCE]
    assert [one for one in found["drafts"] if one["category"] == "02"] == []


def test_a_late_category_is_compared_with_what_could_be_recorded(asker: TestClient) -> None:
    whole = _ask(asker, "/situation", category="02", **MAY)
    assert (whole["periods"], whole["tested"]) == (0, False)
    assert whole["began"] == [{"category": None, "source": None, "since": "2025-05-01"}]
    index = _ask(asker, "/stability-index", category="02", **MAY)
    assert not any("incidents" in (row["parts"] or {}) for row in index["index"])
    may = _ask(asker, "/changes", category="02", level=1, **MAY)
    assert (may["before"], may["year"]) == (None, None)
    assert may["began"] == whole["began"]
    june = _ask(asker, "/changes", category="02", level=1, from_="2025-06-01", to="2025-07-01")
    assert june["before"]["start"].startswith("2025-05-0")
    assert june["unrecorded"] is None
    all_year = _ask(asker, "/changes", category="02", level=1, from_="2025-01-01", to="2025-08-01")
    assert all_year["start"].startswith("2025-05-01")
    assert all_year["unrecorded"]["days"] == 120


def test_places_of_a_late_category_emerge_in_its_own_steps(asker: TestClient) -> None:
    found = _ask(asker, "/emerging", category="02", to="2025-08-01", steps=20, step_days=7)
    assert found["steps"] == 13
    assert found["began"][0]["since"] == "2025-05-01"


def test_what_always_was_is_told_as_ever(asker: TestClient) -> None:
    for category, new, ended in ((None, [SINCE], ["0102"]), ("01", [], ["0102"]), ("0101", [], [])):
        found = _ask(asker, "/changes", category=category, level=1, **MAY)
        assert found["began"] == new
        categories = [*ended, *(one["category"] for one in new)]
        assert found["year"]["without"] == [*categories, *(["sensor"] if ended else [])]


def test_a_late_category_is_expected_at_its_own_rate(asker: TestClient) -> None:
    found = _ask(asker, "/risk", category="02", horizon_days=30, to="2025-07-01")
    assert (found["began"], found["ended"]) == ("2025-05-01", None)
    assert found["total_low95"] <= 93 <= found["total_high95"]
    assert found["expected_total"] == pytest.approx(90, rel=0.15)


def test_a_source_that_was_switched_off_is_told_to_have_ended(asker: TestClient) -> None:
    found = _ask(asker, "/risk", source="sensor", horizon_days=30, to="2025-07-01")
    assert (found["began"], found["ended"]) == (None, "2025-03-31")
    assert (found["expected_total"], found["total_low"], found["total_low95"]) == (0, 0, 0)
    assert {(cell["expected"], cell["low"], cell["low95"]) for cell in found["cells"]} == {(0, 0, 0)}
    assert found["total_high95"] >= 60, "two a day, were it switched on again"
    assert max(cell["high95"] for cell in found["cells"]) > 0
    before = _ask(asker, "/risk", source="sensor", horizon_days=30, to="2025-04-01")
    assert before["ended"] is None
    assert before["expected_total"] == pytest.approx(60, rel=0.15)


def test_what_ended_is_not_expected_with_all_sources_either(asker: TestClient) -> None:
    query = {"filter": "occurred_at < TIMESTAMP('2025-03-15T00:00:00Z')", "to": "2025-07-01"}
    found = _ask(asker, "/risk", horizon_days=30, **query)
    assert found["ended"] == "2025-03-15"
    assert found["expected_total"] == 0
    assert found["left_out"] > 0
    assert {cell["with_all"] for cell in found["cells"]} == {0}


@pytest.mark.parametrize(
    "filters",
    [
        {"category": "02"}, {"source": "sensor"}, {"filter": "category = '02' OR source = 'sensor'"},
        {"source": "sensor", "to": "2025-03-01"}, {"category": "02", "to": "2025-05-20"},
    ],
)  # fmt: skip
def test_areas_add_up_to_the_city(asker: TestClient, filters: Asked) -> None:
    query: Asked = {"to": "2025-07-01", "horizon_days": 30, "res": 9} | filters
    whole = _ask(asker, "/risk", area="T", **query)
    parts = [_ask(asker, "/risk", area=area, **query) for area in ("T1", "T2")]
    assert {(part["began"], part["ended"]) for part in parts} == {(whole["began"], whole["ended"])}
    assert sum(part["expected_total"] for part in parts) == pytest.approx(whole["expected_total"], rel=1e-9)


def test_a_rare_or_seasonal_series_did_not_begin_late_nor_end() -> None:
    rng, long = np.random.default_rng(1), 1000
    wrong = sum(
        reach(np.flatnonzero(rng.poisson(rate, long)), long) != (0, long)
        for rate in (0.002, 0.01, 0.1, 1)
        for _ in range(500)
    )
    assert wrong <= 4, "each end of a series by chance once in 10,000"
    summers = np.flatnonzero((np.arange(3 * 365) % 365 > 150) & (np.arange(3 * 365) % 365 < 240))
    assert reach(summers, 3 * 365) == (0, 3 * 365)
    assert reach([], 10) == (0, 10)
    assert reach(np.arange(300, 340), 1000) == (300, 340)


def test_the_days_of_a_series_are_no_table_of_the_public(service_engine: Engine) -> None:
    with service_engine.begin() as conn:
        left = sa.text(
            "SELECT has_function_privilege('public', oid, 'execute') FROM pg_proc WHERE proname = :n"
        )
        for name in ("days_of_series", "days_of_sources"):
            assert conn.execute(left, {"n": name}).scalar_one() is False
    assert date(2025, 5, 1) == BEGAN.date()


NO_CHANGE: list[Asked] = [
    {"category": "02", "from_": "2025-05-01", "to": "2025-07-01"},
    {"category": "02", "from_": "2025-04-15", "to": "2025-05-20"},
    {"filter": "category LIKE '02%'", "from_": "2025-05-01", "to": "2025-06-15"},
    {"category": "02", "source": "citizen", "from_": "2025-05-10", "to": "2025-07-01"},
    {"source": "sensor", "from_": "2025-04-01", "to": "2025-06-01"},
    {"category": "0102", "from_": "2025-03-20", "to": "2025-04-20"},
    {"filter": "source = 'sensor'", "from_": "2025-05-01", "to": "2025-06-15"},
]
"""Questions across the day on which a category came into use, or a source was switched off."""


@pytest.mark.parametrize("query", NO_CHANGE)
def test_no_measure_is_judged_by_what_came_into_use_or_ended(asker: TestClient, query: Asked) -> None:
    told = {name.rstrip("_"): value for name, value in query.items()}
    answer = asker.get("/evaluation", params=told | {"area": "T2d", "control": "T1a"})
    assert answer.status_code == 422, answer.text
    assert re.search("the records of this, 202[45]-.*do not hold all of this period", answer.text)


@pytest.mark.parametrize("query", NO_CHANGE)
def test_no_hexagon_rises_or_falls_by_it(asker: TestClient, query: Asked) -> None:
    answer = asker.get("/hotspots", params={"res": 7} | {k.rstrip("_"): v for k, v in query.items()})
    if answer.status_code == 422:
        assert re.search(r"records end on 2025-03-31", answer.text), "over before the period began"
        return
    found = answer.json()
    if found["end"] == "2025-04-01T00:00:00+08:00" and query["to"] != "2025-04-01":
        cut = _ask(asker, "/hotspots", res=7, **query | {"to": "2025-04-01"})
        assert found["cells"] == cut["cells"], "of the days in use, held against as many in use"
    else:
        assert {one["trend"] for one in found["cells"]} <= {None}


@pytest.mark.parametrize(
    "query",
    [
        {"from_": "2025-03-01", "to": "2025-04-01"},
        {"category": "02", "from_": "2025-07-01", "to": "2025-08-01"},
        {"source": "sensor", "from_": "2025-02-01", "to": "2025-03-01"},
    ],
)
def test_both_tell_where_both_periods_are_recorded(asker: TestClient, query: Asked) -> None:
    assert _ask(asker, "/evaluation", area="T2d", control="T1a", **query)["difference"] is not None
    cells = _ask(asker, "/hotspots", res=7, **query)["cells"]
    assert cells
    assert None not in {one["trend"] for one in cells}
