"""What is saved in place of data says what it is: pages that want a sign-in, servers' errors."""

import gzip
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing import reading, sandbox
from gis.importing.job import Options
from gis.importing.run import run

PAGES = [
    "<!DOCTYPE html><html><body>Sign in</body></html>",
    "\ufeff\n  <HTML lang=en>\n<head><title>502 Bad Gateway</title>",
    "<!--p-->\n<!-- 7 -->\n<html><body>403</body></html>",
]
ERRORS = [
    '{"error":{"code":400,"message":"Invalid"}}',
    '{"error": true, "message": "Token Required"}',
    '<?xml version="1.0"?>\n<o:ExceptionReport xmlns:o="x"><o:Exception/></o:ExceptionReport>',
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>',
]
NAMES = [
    "cameras.csv",
    "grids.geojson",
    "grids.zip",
    "book.xlsx",
    "book.xls",
    "roads.shp",
    "a.gpkg",
    "b.json",
]


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    if path.suffix in {".zip", ".xlsx"}:  # looked into before a process of its own reads it
        with pytest.raises(BadInput) as refused:
            sandbox.read(path)
        return str(refused.value)
    with pytest.raises(BadInput) as refused:
        reading.read(path)
    return str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_pages_and_errors_are_called_so(tmp_path: Path, name: str) -> None:
    assert all("is a web page, no data" in refusal(tmp_path / name, page) for page in PAGES)
    for error in ERRORS:
        told = refusal(tmp_path / name, error)
        assert "is a server's error, no data" in told
        assert error.split()[-1][-20:] in told


def test_a_table_of_html_is_no_workbook(tmp_path: Path) -> None:
    told = refusal(tmp_path / "报表.xls", "<html><body><table><tr><td>编号</td></tr></table></body></html>")
    assert "save it as xlsx" in told


def test_json_under_another_name(tmp_path: Path) -> None:
    assert "ending .geojson" in refusal(
        tmp_path / "a.csv", '{\n "type": "FeatureCollection", "features": []}'
    )


@pytest.mark.parametrize("text", ["{a},b\n1,2\n", "<b>,c\n1,2\n", "error,c\n1,2\n", "{,b\n1,2\n"])
def test_headings_that_look_a_little_like_them_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert sum(len(chunk) for chunk in reading.read(path).chunks()) == 1


def test_what_is_packed_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(PAGES[0].encode()))
    with pytest.raises(BadInput, match="a web page, no data"):
        reading.read(tmp_path / "a.csv.gz")


def test_an_element_called_error_is_no_server_s_error(tmp_path: Path) -> None:
    path = tmp_path / "a.kml"
    point = "<Placemark><Point><coordinates>1,2</coordinates></Point></Placemark>"
    kml = f"<Document><!-- <Error> -->{point}{point}</Document></kml>"
    path.write_text(f'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2">{kml}')
    assert sum(len(chunk) for chunk in reading.read(path).chunks()) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        ("../../.git/annex/objects/Wf/8Q/SHA256E-s1234--abc.csv", "git annex get"),
        ("/annex/objects/SHA256E-s1234--abc.csv", "git annex get"),
        ('callback({"type": "FeatureCollection"});', "a script that holds JSON"),
        ('var parks = {"type": "FeatureCollection"};', "a script that holds JSON"),
        ('module.exports = [{"a": 1}]', "a script that holds JSON"),
        ("export default {}", "a script that holds JSON"),
        ('[{"id": 1, "lon": 113.0}]', "a list of JSON objects: save it as CSV"),
    ],
)
def test_what_stands_in_for_data_is_named(tmp_path: Path, name: str, written: str, told: str) -> None:
    assert told in refusal(tmp_path / name, written)


@pytest.mark.parametrize("head", ["export date,id", "var,id", "name (zh),id", "window.size,id", "let (a),id"])
def test_headings_that_look_like_a_script_are_headings(tmp_path: Path, head: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"{head}\n1,2\n")
    assert list(reading.read(file).columns) == head.split(",")


def test_why_no_row_is_usable_is_said(conn: Connection, tmp_path: Path) -> None:
    file = tmp_path / "cameras.csv"
    file.write_text("origin_id;lon;lat\n1;113.0;27.0;\n2;113.0;27.0;\n")
    with pytest.raises(BadInput, match="2 rows: row has 4 columns, the header has 3"):
        run(conn, "cameras", reading.read(file), Options(refused=tmp_path / "r.csv"))
