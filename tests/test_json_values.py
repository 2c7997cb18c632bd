"""What GDAL loses of GeoJSON without a word is refused by name, or read as it is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from gis.errors import BadInput
from gis.importing.files import File
from gis.importing.source import ReadOptions
from gis.importing.vectors import open_vector

POINT = {"type": "Point", "coordinates": [113.0, 27.0]}


def feature(geometry: Any = POINT, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def written(folder: Path, features: list[Any], *, is_sequence: bool, **more: Any) -> File:
    file = folder / ("f.ndjson" if is_sequence else "f.geojson")
    whole = {"type": "FeatureCollection", "features": features} | more
    text = "\n".join(map(json.dumps, features)) if is_sequence else json.dumps(whole)
    file.write_text(text)
    return File(file)


def read(file: File, **options: Any) -> list[dict[str, Any]]:
    source = open_vector(file, ReadOptions(**options))
    return [row for chunk in source.chunks() for row in chunk.table.to_pylist()]


@pytest.fixture(params=[False, True], ids=["collection", "sequence"])
def is_sequence(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("text", ["2024/01/05", "10:20", ".5", "2024-01-05 10:20", "2024-01-05T10:20:00Z"])
def test_a_text_is_what_is_written(tmp_path: Path, text: str, is_sequence: bool) -> None:
    rows = read(written(tmp_path, [feature(name=text), feature(name=text)], is_sequence=is_sequence))
    assert [row["name"] for row in rows] == [text, text]


@pytest.mark.parametrize("number", [18446744073709551616, 43020200000000000001, -43020200000000000001])
def test_a_number_is_never_another(tmp_path: Path, number: int, is_sequence: bool) -> None:
    rows = read(written(tmp_path, [feature(code=number), feature(code=7)], is_sequence=is_sequence))
    assert not isinstance(rows[0]["code"], int), "as a float it is refused: digits were lost"


@pytest.mark.parametrize(
    "strange", [feature(name="N\0x"), feature(**{"k\0": "v"}), {**feature(name="a"), "id": "A\x00001"}]
)
def test_a_zero_byte_is_refused(tmp_path: Path, strange: dict[str, Any], is_sequence: bool) -> None:
    file = written(tmp_path, [feature(name="a"), strange], is_sequence=is_sequence)
    with pytest.raises(BadInput, match=r"u0000 within a text"):
        read(file)


def test_an_escaped_backslash_is_none(tmp_path: Path, is_sequence: bool) -> None:
    rows = read(written(tmp_path, [feature(name="\\u0000"), feature(name="b")], is_sequence=is_sequence))
    assert rows[0]["name"] == "\\u0000"


@pytest.mark.parametrize("member", [{"type": "Pont", "coordinates": [1, 2]}, None, feature(), 5])
def test_a_member_of_a_collection_is_not_dropped(tmp_path: Path, member: Any, is_sequence: bool) -> None:
    whole = {"type": "GeometryCollection", "geometries": [POINT, member]}
    file = written(tmp_path, [feature(), feature(whole)], is_sequence=is_sequence)
    with pytest.raises(BadInput, match=r"feature 2 .* member 2 is no shape"):
        read(file)


@pytest.mark.parametrize(
    "crs",
    [{"type": "name", "properties": {"name": "EPSG:999999"}}, "EPSG:4156", {"name": "EPSG:4156"},
     {"type": "name", "properties": {"name": "Xian 1980"}}, {"type": "link", "properties": {"href": "x"}}],
)  # fmt: skip
def test_an_unknown_system_is_refused(tmp_path: Path, crs: Any) -> None:
    file = written(tmp_path, [feature(name="a")], is_sequence=False, crs=crs)
    with pytest.raises(BadInput, match="system of coordinates that is not known"):
        read(file)
    assert read(file, crs="EPSG:4610")


@pytest.mark.parametrize("name", ["EPSG:4156", "urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4490"])
def test_a_known_system_is_read(tmp_path: Path, name: str) -> None:
    crs = {"type": "name", "properties": {"name": name}}
    assert read(written(tmp_path, [feature(name="a")], is_sequence=False, crs=crs))


@pytest.mark.parametrize("place", ["feature", "geometry"])
def test_a_system_of_one_feature_is_refused(tmp_path: Path, place: str, is_sequence: bool) -> None:
    crs = {"crs": {"type": "name", "properties": {"name": "EPSG:4156"}}}
    one = feature() | crs if place == "feature" else feature(POINT | crs)
    file = written(tmp_path, [feature(), one], is_sequence=is_sequence)
    with pytest.raises(BadInput, match=r"feature 2 .* of its own"):
        read(file)


def test_shapes_by_themselves_are_rows(tmp_path: Path) -> None:
    rows = read(written(tmp_path, [POINT, feature(name="a"), POINT], is_sequence=True))
    assert [row.get("name") for row in rows] == [None, "a", None]


RING = [[0, 0], [1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("MultiLineString", [RING, None, RING]), ("MultiPolygon", [[RING], None]),
        ("MultiPolygon", [[RING], [None]]),
        ("MultiPolygon", [[RING], {"a": 1}]), ("Polygon", [RING, None]), ("Polygon", [RING, 5]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_member", [False, True])
def test_a_part_that_is_none_is_not_dropped(
    tmp_path: Path, kind: str, parts: list[Any], is_member: bool, is_sequence: bool
) -> None:
    shape: dict[str, Any] = {"type": kind, "coordinates": parts}
    if is_member:
        shape = {"type": "GeometryCollection", "geometries": [POINT, shape]}
    file = written(tmp_path, [feature(), feature(shape)], is_sequence=is_sequence)
    with pytest.raises(BadInput, match=r"feature 2 .*part [12] is none"):
        read(file)


@pytest.mark.parametrize(
    "values", [[True, 5, None], [5, False, 7.5], [1, "a", True], [43020200000000001, True]]
)
def test_truth_is_no_number(tmp_path: Path, values: list[Any], is_sequence: bool) -> None:
    rows = read(written(tmp_path, [feature(v=one, n=7) for one in values], is_sequence=is_sequence))
    spelt = [one if one is None or isinstance(one, str) else json.dumps(one) for one in values]
    assert [row["v"] for row in rows] == spelt
    assert [row["n"] for row in rows] == [7] * len(values)
