"""What is saved in place of data says what it is: pages that want a sign-in, servers' errors."""

import gzip
from pathlib import Path

import pytest

from gis.errors import BadInput
from gis.importing import reading, sandbox

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
