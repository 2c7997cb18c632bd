"""What no line of text has, dashes in codes, rows that sum up others: in imports and requests alike."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.engine import Connection

from api.codes import Code, Line, Prose
from gis import schema
from gis.importing import codes, reading
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from tests import town

SIGNS = {
    "\u0085": "U+0085", "\u2028": "U+2028 (line separator)", "\u2029": "U+2029 (paragraph separator)",
    "\u202a": "U+202A", "\u202b": "U+202B", "\u202c": "U+202C", "\u202d": "U+202D",
    "\u202e": "U+202E (right-to-left override)", "\u2066": "U+2066", "\u2067": "U+2067", "\u2068": "U+2068",
    "\u2069": "U+2069", "\ufdd0": "U+FDD0 (no character)", "\ufdef": "U+FDEF", "\ufffe": "U+FFFE",
    "\uffff": "U+FFFF", "\U0001fffe": "U+1FFFE", "\U0002ffff": "U+2FFFF", "\x07": "U+0007 (a control sign)",
}  # fmt: skip
FINE = ["村 é", "👨\u200d👩\u200d👧", "نیم\u200cفاصله", "a\u00adb", "Ａ１", "\u05d0\u05d1"]
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"


def bring(conn: Connection, path: Path, kind: str, text: str) -> Outcome:
    path.write_text(text, "utf-8")
    return run(conn, kind, reading.read(path), Options(refused=path.with_suffix(".refused")))


def test_signs_that_no_name_has_are_refused_by_name(conn: Connection, tmp_path: Path) -> None:
    given = [*SIGNS, *FINE]
    lines = [f"{at},Mill{sign}Road\n" for at, sign in enumerate(given)]
    ids = [f"x{sign}{at},name\n" for at, sign in enumerate(SIGNS)]
    told = bring(conn, tmp_path / "s.csv", "staff", "origin_id,name\n" + "".join(lines + ids))
    assert (told.refused, told.accepted) == (2 * len(SIGNS), len(FINE))
    for field in ("name", "origin_id"):
        whys = " ".join(why for one, why in told.reasons if one == field)
        assert [name for name in SIGNS.values() if name not in whys] == []


@pytest.mark.parametrize("sign", SIGNS)
def test_requests_refuse_the_same_signs_by_name(sign: str) -> None:
    for kind in (Line, Code):
        with pytest.raises(ValidationError, match=SIGNS[sign].partition(" ")[0].replace("+", r"\+")):
            TypeAdapter(kind).validate_python(f"a{sign}b")
    in_prose = sign in "\u0085\u2028\u2029"
    if not in_prose:
        with pytest.raises(ValidationError, match="has the sign"):
            TypeAdapter(Prose).validate_python(f"a{sign}b")
    assert TypeAdapter(Prose).validate_python("two\nlines") == "two\nlines"
    assert [TypeAdapter(Line).validate_python(text) for text in FINE] == FINE


def test_a_report_with_a_sign_that_turns_text_round_is_refused(client: TestClient) -> None:
    usual = {
        "category": "0101",
        "source": "citizen",
        "occurred_at": "2025-03-05T14:30",
        "lon": 113,
        "lat": 27,
    }
    for name, text in (("address", "1 \u202eAve"), ("description", "x\ufdd1"), ("origin_id", "7\u2066")):
        answer = client.post("/incidents", json=usual | {name: text})
        assert (answer.status_code, name in answer.text, "has the sign U+" in answer.text) == (
            422,
            True,
            True,
        )


def test_dashes_that_look_like_hyphens_make_no_other_code(conn: Connection, tmp_path: Path) -> None:
    for dash in DASHES:
        assert TypeAdapter(Code).validate_python(f"A{dash}1") == codes.identified(f"A{dash}1") == "A-1"
    rows = "".join(f"B{dash}{at},Unit{dash}{at}\n" for at, dash in enumerate(DASHES))
    told = bring(conn, tmp_path / "s.csv", "staff", "origin_id,name\n" + rows)
    s = schema.staff.c
    got = conn.execute(sa.select(s.origin_id, s.name).order_by(s.origin_id)).all()
    assert told.refused == 0
    assert [tuple(row) for row in got] == [(f"B-{at}", f"Unit{dash}{at}") for at, dash in enumerate(DASHES)]


TOTALS = [
    "Total,,,,", "TOTAL:,12 persons,,,", "合计,12,,,", "合 计：,,,,12人", "总计12人,,,,", "小计,,3,4,",
    "Sum,12,3,4,5",
    "Grand Total,12,3,4,", ",Total,12,,", "Sub-total,n/a,-,7,", 'sum,"1,204",3,,',
]  # fmt: skip
PEOPLE = [
    "t1,Total,555-0100,T1a,",
    "Sum,Sum Wai,13800138000,,lead",
    "Total Joe,x,,,",
    "合计员,王五,,,",
    "9,Sum,,,",
]


def test_totals_are_refused_and_people_are_not(conn: Connection, tmp_path: Path) -> None:
    town.add_grids(conn)
    head = "origin_id,name,phone,unit,remark\n"
    told = bring(conn, tmp_path / "s.csv", "staff", head + "\n".join([*PEOPLE, *TOTALS]) + "\n")
    ((field, why),) = told.reasons
    assert (field, told.refused, told.accepted) == ("row", len(TOTALS), len(PEOPLE))
    assert "is a total" in why
    text = "code,name_en\n71,Streets\nTotal,1\n"
    told = bring(conn, tmp_path / "c.csv", "categories", text)
    assert (told.accepted, [field for field, _ in told.reasons]) == (1, ["row"])
