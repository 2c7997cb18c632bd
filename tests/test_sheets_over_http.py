"""Every CSV that the service answers: no text in it is run by a spreadsheet, by the rule of the exports."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api import tables
from api.main import make_app
from gis.exporting import files
from gis.schema import grids
from tests import town

FORMULAS = ("=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "'=1", '=HYPERLINK("http://x")')
HARMLESS = ("甲", "-1.5", "T1", "o'clock", "1-1")


def _routes() -> list[str]:
    """Return the paths that take format=csv."""
    return [
        path
        for path, one in make_app().openapi()["paths"].items()
        for told in one.get("get", {}).get("parameters", [])
        if told["name"] == "format" and "csv" in told["schema"].get("enum", [])
    ]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(1, 1)] * 30, apart=timedelta(hours=12))
        conn.execute(grids.update().where(grids.c.code == "T1a").values(name="=1+1"))


def _cells(client: TestClient, path: str) -> Iterator[str]:
    """Ask without a period, else for the days of the incidents."""
    days = "&from=2025-01-01&to=2025-01-03"
    ways = ("", days, f"&level=3{days}", "&steps=10&step_days=1")
    answers = [client.get(f"{path}?format=csv{way}") for way in ways]
    good = [answer for answer in answers if answer.status_code == 200]
    assert good, [answer.text for answer in answers]
    for answer in good:
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        yield from (cell for row in csv.reader(io.StringIO(answer.text)) for cell in row)


@pytest.mark.parametrize("path", _routes())
def test_no_answer_holds_a_formula(client: TestClient, path: str) -> None:
    assert [cell for cell in _cells(client, path) if cell.startswith(("=", "@", "\t"))] == []


def test_a_name_that_is_a_formula_comes_quoted(client: TestClient) -> None:
    assert "'=1+1" in set(_cells(client, "/situation"))


def test_answers_and_exports_quote_alike(tmp_path: Path) -> None:
    texts = [*FORMULAS, *HARMLESS, None]
    file = tmp_path / "out.csv"
    files.write_csv(pd.DataFrame({"a": texts, "n": 1}), file)
    answered = tables.as_csv({"a": texts, "n": [1] * len(texts)}).body
    read = [
        pd.read_csv(io.BytesIO(bytes(one)), dtype=str, encoding="utf-8-sig")["a"].fillna("").tolist()
        for one in (answered, file.read_bytes())
    ]
    assert read[0] == read[1]
    assert read[0][: len(FORMULAS)] == [f"'{text}" for text in FORMULAS]
    assert read[0][len(FORMULAS) :] == [*HARMLESS, ""]
