"""A city of several highest grids: the whole has a row of its own in the situation, which says its swing."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access, schema
from tests import town

START = datetime(2025, 3, 3, tzinfo=town.ZONE)
PERIOD, PERIODS, USUAL = timedelta(days=28), 10, 60
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Two quarters with nothing above them; ten equal periods, then one with twice as many everywhere."""
    rng = np.random.default_rng(5)

    def anywhere(count: int) -> list[tuple[float, float]]:
        return [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (count, 2))]

    with engine.begin() as conn:
        town.add_grids(conn)
        g = schema.grids
        conn.execute(g.delete().where(g.c.code == "T"))
        conn.execute(g.update().where(g.c.parent_code == "T").values(parent_code=None))
        batch = town.add_city(conn)
        past = START - PERIODS * PERIOD
        town.add_incidents(conn, batch, anywhere(USUAL * PERIODS), first=past, apart=PERIOD / USUAL)
        town.add_incidents(conn, batch, anywhere(2 * USUAL), first=START, apart=PERIOD / (2 * USUAL + 1))


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with engine.begin() as conn:
        keys = [
            access.create_key(conn, "commander", scope, scheme="safety", label="desk").key
            for scope in (None, "T1")
        ]
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, "http://127.0.0.1") as client:
        client.headers["Authorization"], client.headers["X-Scoped"] = (f"Bearer {key}" for key in keys)
        yield client


def _ask(asker: TestClient, path: str = "/situation", *, scoped: bool = False, **query: Any) -> Any:
    head = {"Authorization": asker.headers["X-Scoped"]} if scoped else {}
    asked = {"from": "2025-03-03", "to": "2025-03-31"} | query
    answer = asker.get(path, params=asked, headers=head)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _of(rows: Rows, code: str | None) -> dict[str, Any]:
    (one,) = (row for row in rows if row["code"] == code and row["category"] is None)
    return one


def test_the_whole_tells_its_swing_and_its_parts_do_not(asker: TestClient, engine: Engine) -> None:
    found = _ask(asker)
    rows = found["situation"]
    whole = _of(rows, None)
    assert (whole["level"], whole["departs"]) == (0, "above")
    assert whole["low"] <= USUAL <= whole["high"] < whole["count"]
    assert {row["code"] for row in rows if row["departs"]} == {None}
    assert whole["count"] == _of(rows, "T1")["count"] + _of(rows, "T2")["count"]
    i = schema.incidents.c
    with engine.connect() as conn:
        inside = (i.occurred_at >= START) & (i.occurred_at < START + PERIOD)
        number = conn.execute(sa.select(sa.func.count()).where(inside)).scalar_one()
    assert whole["count"] + found["without_grid"] == number
    assert found["comparisons"] == found["rows"] + found["quiet"] == 8 * 3


@pytest.mark.parametrize(
    ("query", "scoped"), [({"level": 2}, False), ({"area": "T1"}, False), ({}, True), ({"area": "T1a"}, True)]
)
def test_a_level_a_part_and_a_scope_have_no_row_beyond_them(
    asker: TestClient, query: dict[str, Any], scoped: bool
) -> None:
    assert all(row["code"] for row in _ask(asker, scoped=scoped, **query)["situation"])


def test_the_whole_is_sent_no_letter_and_has_no_index(asker: TestClient) -> None:
    assert _ask(asker, "/letters")["drafts"] == []
    assert {row["code"] for row in _ask(asker, "/stability-index")["index"]} == {"T1", "T2"}


def test_the_whole_has_the_city_s_name_and_no_code_in_a_file_too(asker: TestClient, engine: Engine) -> None:
    with engine.begin() as conn:
        key = access.create_key(conn, "commander", None, scheme="safety", label="files", may_export=True).key
    query = {"from": "2025-03-03", "to": "2025-03-31", "format": "csv"}
    answer = asker.get("/situation", params=query, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["code"] for row in rows if row["name"] == "小镇"] == ["", ""]
