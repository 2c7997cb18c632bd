"""Each kind of bad row is refused by name, with its reason, while the rest goes in."""

import csv
from pathlib import Path

import geopandas as gpd
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import city, crs, schema
from gis.errors import BadInput
from gis.importing import reading
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from tests import town

HEAD = ["编号", "事件类别", "来源", "等级", "发生时间", "经度", "纬度", "地址", "所属网格"]
IN_A, IN_E = town.at(1, 1), town.at(4, 4)
GCJ = crs.point_from_wgs84(*town.at(1.99, 1), "gcj02")
BD = crs.point_from_wgs84(*town.at(1.99, 1), "bd09")


@pytest.fixture
def ready(conn: Connection) -> Connection:
    """A store with the town's grids and two categories."""
    town.add_grids(conn)
    city.set_city(conn, city.Declared(code="T", name_zh="镇", name_en="Town", zone="Asia/Shanghai"))
    rows = [("other", "其他", "Other"), ("theft", "盗窃", "Theft")]
    keys = ("code", "name_zh", "name_en")
    conn.execute(schema.categories.insert(), [dict(zip(keys, row, strict=True)) for row in rows])
    return conn


def row(number: int, **changes: object) -> list[str]:
    """A good row of the spreadsheet, with some cells changed."""
    good = [number, "盗窃", "网格员", "黄色", "2024-05-06 10:00", *IN_A, "建设路1号", "T1a"]
    cells = dict(zip(HEAD, good, strict=True)) | changes
    return [str(cells[name]) for name in HEAD]


BAD: list[tuple[dict[str, object], str, str]] = [
    ({"经度": ""}, "lon", "has no place"),
    ({"经度": "nan"}, "lon", "has no place"),
    ({"纬度": "inf"}, "lat", "is no number"),
    ({"纬度": "二十七"}, "lat", "is no number"),
    ({"纬度": 95}, "lon/lat", "beyond"),
    ({"经度": IN_A[1], "纬度": IN_A[0]}, "lon/lat", "looks swapped"),
    ({"经度": 121.5, "纬度": 31.2}, "lon/lat", "km outside the city"),
    ({"经度": GCJ[0], "纬度": GCJ[1]}, "lon/lat", "use --datum gcj02"),
    ({"经度": BD[0], "纬度": BD[1]}, "lon/lat", "use --datum bd09"),
    ({"事件类别": "外星人"}, "category", "unknown category"),
    ({"来源": "路人甲"}, "source", "is none of citizen"),
    ({"发生时间": "1900-01-01"}, "occurred_at", "is no time from 1950"),
    ({"发生时间": "2924-01-01"}, "occurred_at", "is no time from 1950"),
    ({"发生时间": "昨天"}, "occurred_at", "write it as 2024-03-05 14:30"),
    ({"发生时间": ""}, "occurred_at", "is missing"),
    ({"地址": '=HYPERLINK("http://x")'}, "address", "is a formula"),
    ({"地址": "@SUM(A1)"}, "address", "is a formula"),
    ({"地址": "+cmd|' /C calc'!A0"}, "address", "is a formula"),
    ({"地址": "-2+3+cmd|' /C calc'!A0"}, "address", "is a formula"),
    ({"地址": "两\n行"}, "address", "line break"),
    ({"编号": ""}, "origin_id", "is missing"),
    ({"编号": 1}, "origin_id", "occurs already in row 1"),
]


def write_csv(path: Path, rows: list[list[str]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream).writerows([HEAD, *rows])
    return path


def bring(conn: Connection, kind: str, path: Path, **options: object) -> Outcome:
    return run(conn, kind, reading.read(path), Options(refused=path.with_suffix(".refused.csv"), **options))


def refused(outcome: Outcome) -> dict[int, tuple[str, str]]:
    """Row → (field, reason), as the file of refused rows has them."""
    assert outcome.refused_file is not None
    with outcome.refused_file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == outcome.refused
    return {int(row["row"]): (row["field"], row["reason"]) for row in rows}


def test_every_bad_row_is_named_with_its_reason_and_the_rest_goes_in(
    ready: Connection, tmp_path: Path
) -> None:
    rows = [
        row(1),
        *(row(at, **changes) for at, (changes, _, _) in enumerate(BAD, start=2)),
        row(99, 事件类别=""),
    ]
    outcome = bring(ready, "incidents", write_csv(tmp_path / "事件.csv", rows))
    told = refused(outcome)
    for at, (changes, field, reason) in enumerate(BAD, start=2):
        assert told[at][0] == field, (changes, told[at])
        assert reason in told[at][1], (changes, told[at])
    assert (outcome.rows, outcome.accepted, outcome.refused) == (len(rows), 2, len(BAD))
    got = ready.execute(sa.text("SELECT origin_id, category, grid_code FROM incidents"))
    assert sorted(map(tuple, got)) == [("1", "theft", "T1a"), ("99", "other", "T1a")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_rows_of_the_wrong_width_are_kept_with_their_line(
    ready: Connection, tmp_path: Path, encoding: str
) -> None:
    rows = [row(1), row(2)[:-1], row(3), [*row(4), "多余"], row(5), row(6, 经度="")]
    outcome = bring(ready, "incidents", write_csv(tmp_path / "f.csv", rows, encoding))
    told = refused(outcome)
    assert {at: field for at, (field, _) in told.items()} == {2: "row", 4: "row", 6: "lon"}
    assert "has 8 columns, the header has 9" in told[2][1]
    assert (outcome.rows, outcome.accepted) == (6, 3)
    if encoding != "utf-16":
        text = outcome.refused_file.read_text(encoding="utf-8-sig")
        assert "2,3,row" in text
        assert "6,7,lon" in text


def test_formulas_and_wide_rows_of_a_workbook(ready: Connection, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for cells in [HEAD, row(1), row(2, 地址="=1+1"), [*row(3), "多余"], [], row(4, 经度="=F2")]:
        sheet.append(cells)
    book.save(tmp_path / "f.xlsx")
    outcome = bring(ready, "incidents", tmp_path / "f.xlsx")
    told = refused(outcome)
    assert {at: field for at, (field, _) in told.items()} == {2: "address", 3: "row", 5: "lon"}
    assert [told[at][1] for at in (2, 5)] == ["is a formula; paste its value instead"] * 2
    assert (outcome.rows, outcome.accepted) == (4, 1)
    assert "'=1+1" in outcome.refused_file.read_text(encoding="utf-8-sig")


def test_a_file_that_is_gcj02_throughout_is_refused_as_a_whole(ready: Connection, tmp_path: Path) -> None:
    rows = [row(n, 经度=GCJ[0], 纬度=GCJ[1]) for n in range(1, 31)] + [row(31)]
    path = write_csv(tmp_path / "f.csv", rows)
    with pytest.raises(BadInput, match="use --datum gcj02"):
        bring(ready, "incidents", path)
    outcome = bring(ready, "incidents", path, datum="gcj02")
    assert outcome.accepted == 31
    said_wgs84 = bring(ready, "incidents", path, datum="wgs84")
    assert any("fit it only when read as gcj02" in note for note in said_wgs84.notes)


def test_maps_of_other_countries_in_the_box_of_the_formula_are_not_doubted(
    ready: Connection, tmp_path: Path
) -> None:
    """Korea lies in it, and so does the place of an incident just beyond the grids there."""
    ready.execute(sa.text("UPDATE city SET timezone = 'Asia/Seoul'"))
    path = write_csv(tmp_path / "f.csv", [row(n, 经度=GCJ[0], 纬度=GCJ[1]) for n in range(1, 4)])
    assert bring(ready, "incidents", path).accepted == 3


@pytest.mark.parametrize("said", [None, "wgs84"])
@pytest.mark.parametrize(
    ("heading", "datum"), [("经度(GCJ-02)", "gcj02"), ("高德经度", "gcj02"), ("百度经度", "bd09")]
)
def test_a_heading_that_names_another_datum_refuses_the_file(
    ready: Connection, tmp_path: Path, heading: str, datum: str, said: str | None
) -> None:
    path = write_csv(tmp_path / "f.csv", [row(1)])
    path.write_text(path.read_text().replace("经度", heading))
    with pytest.raises(BadInput, match=f"use --datum {datum}"):
        bring(ready, "incidents", path, datum=said)
    assert bring(ready, "incidents", path, datum=datum).accepted == 1


def test_a_row_may_say_its_datum_itself(ready: Connection, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", [])
    lines = [
        [*HEAD, "坐标系"],
        [*row(1, 经度=GCJ[0], 纬度=GCJ[1]), "高德"],
        [*row(2), "GPS"],
        [*row(3), "Xian80"],
    ]
    path.write_text("\n".join(",".join(cells) for cells in lines))
    outcome = bring(ready, "incidents", path)
    assert set(refused(outcome)) == {3}
    xy = ready.execute(
        sa.text("SELECT ST_X(geom), ST_Y(geom), datum FROM incidents WHERE origin_id = '1'")
    ).one()
    assert xy[:2] == pytest.approx(town.at(1.99, 1), abs=1e-7)
    assert xy[2] == "gcj02"
    assert set(refused(bring(ready, "incidents", path, datum="wgs84"))) == {1, 3}


_HOUSE = shapely.box(*town.at(1, 1), *town.at(1.1, 0.9))
SHAPES = {
    "good": _HOUSE,
    "multi": shapely.MultiPolygon([_HOUSE, shapely.box(*town.at(0, 1), *town.at(0.1, 0.9))]),
    "bow_tie": shapely.Polygon([town.at(1, 1), town.at(2, 2), town.at(2, 1), town.at(1, 2)]),
    "empty": shapely.Polygon(),
    "point": shapely.Point(*town.at(1, 1)),
    "none": None,
}


def check_shapes(outcome: Outcome) -> None:
    told = refused(outcome)
    assert {at: field for at, (field, _) in told.items()} == dict.fromkeys((3, 4, 5, 6), "geometry")
    assert "self-intersection at 113" in told[3][1]
    assert "is empty" in told[4][1] or outcome.file == "f.fgb"  # FlatGeobuf knows no empty shapes
    assert "is no Polygon or MultiPolygon" in told[5][1]
    assert outcome.accepted == 2


@pytest.mark.parametrize("name", ["f.geojson", "f.gpkg", "f.parquet", "f.feather", "f.fgb"])
def test_broken_shapes_in_formats_with_geometry(ready: Connection, tmp_path: Path, name: str) -> None:
    frame = gpd.GeoDataFrame({"origin_id": list(SHAPES)}, geometry=list(SHAPES.values()), crs=4326)
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif name.endswith("feather"):
        frame.to_feather(path)
    else:
        frame.to_file(path, **({"SPATIAL_INDEX": "NO"} if name.endswith("fgb") else {}))
    check_shapes(bring(ready, "buildings", path))


@pytest.mark.parametrize("binary", [False, True])
def test_broken_shapes_as_text_and_bytes(ready: Connection, tmp_path: Path, *, binary: bool) -> None:
    write = (lambda shape: shape.wkb) if binary else (lambda shape: shape.wkt)
    shapes = [None if shape is None else write(shape) for shape in SHAPES.values()]
    garbled = b"\x01\x03\x00" if binary else "POLYGON ((1 2, 3"
    columns = {"origin_id": [*SHAPES, "garbled"], "geometry": [*shapes, garbled]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    outcome = bring(ready, "buildings", tmp_path / "f.parquet")
    told = refused(outcome)
    assert "cannot be read" in told[7][1]
    assert (outcome.rows, outcome.accepted, outcome.refused) == (7, 2, 5)


def test_a_building_is_owned_by_a_point_inside_it(ready: Connection, tmp_path: Path) -> None:
    test_broken_shapes_in_formats_with_geometry(ready, tmp_path, "f.geojson")
    inside = sa.text("SELECT bool_and(ST_Covers(geom, point)) FROM buildings")
    assert ready.execute(inside).scalar_one() is True


def test_a_projected_file_becomes_degrees(ready: Connection, tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"origin_id": ["1"]}, geometry=[SHAPES["good"]], crs=4326)
    frame.to_crs(4547).to_file(tmp_path / "f.gpkg")  # CGCS2000 / 3-degree Gauss-Kruger CM 114E
    bring(ready, "buildings", tmp_path / "f.gpkg")
    corner = ready.execute(sa.text("SELECT ST_XMin(geom), ST_YMin(geom) FROM buildings")).one()
    assert tuple(corner) == pytest.approx(SHAPES["good"].bounds[:2], abs=1e-8)


def test_a_shapefile_in_gbk_without_saying_so(ready: Connection, tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"origin_id": ["1"], "name": ["株洲市博物馆"]}, geometry=[SHAPES["good"]], crs=4326
    )
    frame.to_file(tmp_path / "f.shp", encoding="gbk")
    (tmp_path / "f.cpg").unlink()
    bring(ready, "buildings", tmp_path / "f.shp")
    assert ready.execute(sa.select(schema.buildings.c.name)).scalar_one() == "株洲市博物馆"


def test_a_building_wider_than_any_is_refused(ready: Connection, tmp_path: Path) -> None:
    """A corner with a digit lost: it would be drawn in thousands of tiles."""
    x, y = IN_A
    shapes = [shapely.box(x, y, x + 1e-4, y + 1e-4), shapely.box(x, y, x + 0.3, y + 1e-4)]
    frame = gpd.GeoDataFrame({"origin_id": ["1", "2"]}, geometry=shapes, crs=4326)
    frame.to_file(tmp_path / "b.gpkg")
    outcome = bring(ready, "buildings", tmp_path / "b.gpkg")
    assert outcome.accepted == 1
    assert "over 0.2 degrees across" in refused(outcome)[2][1]
