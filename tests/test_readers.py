"""How files become rows: encodings by evidence, codes digit by digit, headings found, layers chosen."""

import gzip
import json
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gis import plan_files
from gis.errors import BadInput
from gis.importing import codes, encodings, reading, sandbox
from gis.importing.encodings import Declared
from gis.importing.source import ReadOptions

NAMES = ["株洲市博物馆", "红旗路12号", "金山街道办事处", "秋实路2号1栋", "荷塘区政府"]
MARK = "\ufffd"


def rows(path: Path, **said: Any) -> list[dict[str, Any]]:
    source = reading.read(path, ReadOptions(**said))
    return [row for chunk in source.chunks() for row in chunk.table.to_pylist()]


def outcome(path: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """The rows of a file, or None and why it is refused; anything else fails the test."""
    try:
        return rows(path), ""
    except BadInput as error:
        return None, str(error)


def shapes() -> gpd.GeoDataFrame:
    points = shapely.points(np.column_stack([113 + np.arange(5) / 10, np.full(5, 27.8)]))
    return gpd.GeoDataFrame({"code": list("12345"), "name": NAMES}, geometry=points, crs=4326)


def shapefile(folder: Path, encoding: str, cpg: str | None, stem: str = "f") -> Path:
    shapes().to_file(folder / f"{stem}.shp", encoding=encoding)
    (folder / f"{stem}.cpg").unlink()
    if cpg is not None:
        (folder / f"{stem}.cpg").write_text(cpg)
    return folder / f"{stem}.shp"


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def parts(shp: Path, rename: Callable[[str], str] = str) -> dict[str, bytes]:
    return {rename(one.name): one.read_bytes() for one in shp.parent.glob(f"{shp.stem}.*")}


# Encodings


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-8"])
@pytest.mark.parametrize("how", ["plain", "upper", "zip", "zip in a folder", "zip with upper-case names"])
def test_a_shapefile_that_does_not_say_its_encoding(tmp_path: Path, encoding: str, how: str) -> None:
    path = shapefile(tmp_path, encoding, None)
    if how == "upper":
        for part in list(tmp_path.glob("f.*")):
            part.rename(part.with_name(part.name.upper()))
        path = tmp_path / "F.SHP"
    elif how.startswith("zip"):
        rename = {"zip": str, "zip in a folder": "数据/网格/{}".format}.get(how, str.upper)
        path = zipped(tmp_path / "f.zip", parts(path, rename))
    assert [row["name"] for row in rows(path)] == NAMES
    assert [row["name"] for chunk in sandbox.read(path).chunks() for row in chunk.table.to_pylist()] == NAMES


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("at", range(5))
def test_a_value_that_ends_inside_a_character_costs_its_row_only(tmp_path: Path, cut: int, at: int) -> None:
    path = shapefile(tmp_path, "utf-8", None)
    table = path.with_suffix(".dbf")
    whole = NAMES[at].rstrip("0123456789").encode()
    table.write_bytes(
        table.read_bytes().replace(NAMES[at].encode(), whole[:-cut].ljust(len(NAMES[at].encode())))
    )
    got = [row["name"] for row in rows(path)]
    assert MARK in got[at] or got[at].encode() == whole[:-cut]
    assert got[:at] + got[at + 1 :] == NAMES[:at] + NAMES[at + 1 :]


TEXTS = {
    "big5": "編號,名稱\n1,臺北市信義區中山路\n",
    "windows-1252": "id,name\n1,Peña & Bénédict St\n",
    "windows-1250": "id,name\n1,ul. Świętokrzyska Łódź\n",
    "windows-1251": "id,name\n1,Улица Ленина\n",
    "koi8-r": "id,name\n1,Улица Ленина Москва\n",
    "shift_jis": "番号,名前\n1,東京都千代田区ひらがな\n",
    "euc-jp": "番号,名前\n1,東京都千代田区ひらがな\n",
    "euc-kr": "번호,이름\n1,서울특별시 강남구 역삼동\n",
    "windows-1253": "id,name\n1,Αθήνα οδός\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
@pytest.mark.parametrize("suffix", ["csv", "CSV", "zip", "csv.gz", "geojson"])
def test_other_encodings_are_asked_for_and_read_when_said(tmp_path: Path, encoding: str, suffix: str) -> None:
    text = TEXTS[encoding]
    head, values = (line.split(",", 1) for line in text.strip().split("\n"))
    content = text.encode(encoding)
    path = tmp_path / f"f.{suffix}"
    if suffix == "zip":
        zipped(path, {"表/数.csv": content})
    elif suffix == "geojson":
        feature = {"type": "Feature", "properties": dict(zip(head, values, strict=True)), "geometry": None}
        whole = {"type": "FeatureCollection", "features": [feature]}
        path.write_bytes(json.dumps(whole, ensure_ascii=False).encode(encoding))
    else:
        path.write_bytes(gzip.compress(content) if suffix == "csv.gz" else content)
    with pytest.raises(BadInput, match="say --encoding"):
        rows(path)
    (row,) = rows(path, encoding=encoding)
    wanted = dict(zip(head, values.split(",") if isinstance(values, str) else values, strict=True))
    assert row == wanted or list(row.values())[1].startswith(wanted[head[1]][:10])


DECLARED = [
    (NAMES[0], "utf-8", "936", "utf-8"), (NAMES[0], "utf-8", "big5", "utf-8"),
    (NAMES[0], "utf-8", "windows-1252", "utf-8"), (NAMES[0], "gbk", "utf-8", "gb18030"),
    (NAMES[0], "gbk", "latin1", "gb18030"), (NAMES[0], "gbk", "big5", "gb18030"),
    ("臺北市信義區中山路", "big5", "gbk", "big5hkscs"), ("Peña", "utf-8", "latin1", "utf-8"),
    ("서울특별시 강남구 역삼동", "euc-kr", "gbk", "cp949"),
    ("ひらがなカタカナ", "shift_jis", "gb2312", "cp932"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "true", "said", "told"), DECLARED)
def test_an_encoding_that_the_bytes_contradict_is_told(
    tmp_path: Path, text: str, true: str, said: str, told: str
) -> None:
    (tmp_path / "f.csv").write_bytes(f"id,name\n1,{text}\n".encode(true))
    with pytest.raises(BadInput, match=f"bytes speak for {told}"):
        rows(tmp_path / "f.csv", encoding=said)
    assert rows(tmp_path / "f.csv", encoding=told) == [{"id": "1", "name": text}]


@pytest.mark.parametrize(
    ("true", "said", "told"),
    [
        ("utf-8", "936", "utf-8"),
        ("utf-8", "GBK", "utf-8"),
        ("gbk", "UTF-8", "gb18030"),
        ("gbk", "BIG5", "gb18030"),
        ("gbk", "ANSI 1252", "gb18030"),
    ],
)
def test_a_cpg_that_lies_is_told(tmp_path: Path, true: str, said: str, told: str) -> None:
    path = shapefile(tmp_path, true, said)
    with pytest.raises(BadInput, match=rf"\.cpg says {said}, but its bytes speak for {told}"):
        rows(path)
    assert [row["name"] for row in rows(path, encoding=told)] == NAMES


@pytest.mark.parametrize(("driver", "true"), [(0x4D, "utf-8"), (0x4F, "gbk"), (0x03, "gbk"), (0x7A, "utf-8")])
def test_a_language_driver_that_lies_is_told(tmp_path: Path, driver: int, true: str) -> None:
    path = shapefile(tmp_path, true, None)
    table = bytearray(path.with_suffix(".dbf").read_bytes())
    table[29] = driver
    path.with_suffix(".dbf").write_bytes(table)
    with pytest.raises(BadInput, match=r"head of its \.dbf says"):
        rows(path)


@pytest.mark.parametrize("cpg", ["", "ANSI", "OEM", "\x00\xff", "nonsense"])
def test_a_cpg_that_nobody_understands_is_none(tmp_path: Path, cpg: str) -> None:
    assert [row["name"] for row in rows(shapefile(tmp_path, "gbk", cpg))] == NAMES


@pytest.mark.parametrize("name", ["rot13", "base64", "idna", "unicode_escape", "x" * 500, "", "hex"])
def test_what_is_no_encoding_is_named(name: str) -> None:
    with pytest.raises(BadInput, match="is unknown"):
        encodings.named(name)


@pytest.mark.parametrize(
    ("name", "python"),
    [
        ("GBK", "gb18030"),
        ("cp936", "gb18030"),
        ("936", "gb18030"),
        ("windows-936", "gb18030"),
        ("ISO-8859-1", "cp1252"),
        ("UTF8", "utf-8"),
        ("950", "big5hkscs"),
        ("1252", "cp1252"),
        ("ANSI 1252", "cp1252"),
    ],
)
def test_encodings_have_many_names(name: str, python: str) -> None:
    assert encodings.named(name) == python


@pytest.mark.parametrize("text", ["女", "路", "楼"])
def test_what_may_be_either_is_asked_for(text: str) -> None:
    raw = text.encode("gbk")
    assert raw.decode() != text
    with pytest.raises(BadInput, match="may be either"):
        encodings.decide(raw, "f.csv")
    assert encodings.settle(raw, Declared("gbk", "--encoding"), "f.csv") == "gb18030"


@pytest.mark.parametrize(
    "text", ["Peña", "Müller Straße", "Łódź", "Улица", "العربية", "😀", "€5 “x”", "한국", "ひらがな", "株"]
)
def test_utf8_of_any_script_is_utf8(text: str) -> None:
    assert encodings.decide(text.encode(), "f.csv") == "utf-8"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), st.binary())
def test_no_bytes_raise_anything_else(text: str, raw: bytes) -> None:
    for content in (text.encode(), raw, raw + text.encode()):
        for said in (None, Declared("gbk", "x"), Declared("utf-8", "x"), Declared("utf-16", "x")):
            try:
                found = encodings.settle(encodings.sample(content.split(b"\n")), said, "f")
            except BadInput:
                continue
            assert encodings.named(found) == found


def test_rows_of_another_file_s_encoding_are_marked(tmp_path: Path) -> None:
    lines = [f"{n},{NAMES[n % 5]}\n".encode("utf-8" if n in (3, 7) else "gbk") for n in range(20)]
    (tmp_path / "f.csv").write_bytes("编号,名称\n".encode("gbk") + b"".join(lines))
    for n, row in enumerate(rows(tmp_path / "f.csv")):
        if n in (3, 7):
            assert any(sign > "\uf8fe" or "\ue000" <= sign <= "\uf8ff" for sign in row["名称"])
        else:
            assert row["名称"] == NAMES[n % 5]


@pytest.mark.parametrize("suffix", ["parquet", "gpkg"])
def test_bytes_that_are_no_utf8_in_formats_that_have_no_other(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"f.{suffix}"
    if suffix == "parquet":
        binary = pa.array([NAMES[0].encode(), NAMES[1].encode("gbk")])
        texts = pa.Array.from_buffers(pa.string(), 2, binary.buffers())
        pq.write_table(pa.table({"name": texts}), path)
    else:
        shapes().to_file(path)
        with sqlite3.connect(path) as db:
            db.create_function("ST_IsEmpty", 1, lambda _: 0)
            for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f'DROP TRIGGER "{trigger}"')
            db.execute("UPDATE f SET name = CAST(? AS TEXT) WHERE fid = 2", (NAMES[1].encode("gbk"),))
    got = [row["name"] for row in rows(path)]
    assert got[0] == NAMES[0]
    assert MARK in got[1]


# Codes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (430202005204004.0, "430202005204004"), (7.0, "7"), (0.0, "0"), (-3.0, "-3"), (-0.0, "0"),
        (2.0**53 - 1, "9007199254740991"), (2.0**53, None), (4.3020200001320002e19, None), (1.5, None),
        (1e308, None), (float("inf"), None), (1e-7, None), (1e15 + 0.5, None), (float("nan"), ""),
    ],
)  # fmt: skip
def test_a_code_that_is_a_double(value: float, text: str | None) -> None:
    (got,) = codes.written(pa.array([value])).to_pylist()
    lost = got is not None and pa.compute.match_substring_regex(pa.array([got]), codes.LOST)[0].as_py()
    assert (text is None) == lost
    if text is not None:
        assert (got or "") == text
    elif np.isfinite(value):
        assert float(got) == value


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_whole_doubles_keep_every_digit(value: int) -> None:
    assert codes.written(pa.array([float(value)])).to_pylist() == [str(value)]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_stays_the_number_it_is(value: float) -> None:
    (got,) = codes.written(pa.array([value])).to_pylist()
    assert float(got) == value


def test_narrower_and_exact_numbers() -> None:
    single = codes.written(pa.array([16777215, 16777216], pa.float32())).to_pylist()
    assert single[0] == "16777215"
    assert "e+" in single[1]
    exact = pd.Series(["43020200001320002011", "7.00"]).map(__import__("decimal").Decimal)
    assert codes.written(pa.array(exact, pa.decimal128(38, 2))).to_pylist() == ["43020200001320002011", "7"]
    assert codes.written(pa.array([2**64 - 1], pa.uint64())).to_pylist() == [str(2**64 - 1)]


def test_a_plan_s_codes_are_digits(tmp_path: Path) -> None:
    squares = [shapely.box(113 + n / 100, 27, 113.01 + n / 100, 27.01) for n in range(2)]
    frame = gpd.GeoDataFrame(
        {"code": [430202005204004.0, 430202005204005.0], "parent": [430202005204.0, None]},
        geometry=squares,
        crs=4326,
    )
    frame.to_file(tmp_path / "plan.geojson")
    assert list(plan_files.read(tmp_path / "plan.geojson")["code"]) == ["430202005204004", "430202005204005"]
    assert list(plan_files.read(tmp_path / "plan.geojson")["parent"]) == ["430202005204", ""]
    frame.assign(code=[4.302e19, 1.0]).to_file(tmp_path / "plan.geojson")
    with pytest.raises(BadInput, match="digits were lost"):
        plan_files.read(tmp_path / "plan.geojson")


# Sheets and headings


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    book.save(path)
    return path


HEAD, LINE = ["编号", "名称", "经度"], [7, "甲", 113.25]


def test_of_several_sheets_one_is_chosen_or_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "f.xlsx", {"说明": [["说明"], ["x"]], "数据": [HEAD, LINE], "空": []})
    with pytest.raises(BadInput, match="several sheets; choose one with --layer: 说明, 数据"):
        rows(path)
    assert rows(path, layer="数据") == [dict(zip(HEAD, LINE, strict=True))]
    with pytest.raises(BadInput, match="has no sheet '表'; it has 说明, 数据, 空"):
        rows(path, layer="表")
    only = workbook(tmp_path / "g.xlsx", {"空": [], "数据": [HEAD, LINE]})
    assert len(rows(only)) == 1


TITLES = [
    [["2024年台账"]], [["2024年台账"], []], [[], ["台账", None, None], ["单位：网格中心"]],
    [["a"], ["b"], ["c"], []],
    [[None, "居中的标题"]],
]  # fmt: skip


@pytest.mark.parametrize("titles", TITLES)
@pytest.mark.parametrize("suffix", ["xlsx", "csv"])
def test_title_rows_above_the_heading_are_left_out_and_told(
    tmp_path: Path, titles: list[list[Any]], suffix: str
) -> None:
    lines = [*titles, HEAD, LINE, [8, "乙", 113.5]]
    path = tmp_path / f"f.{suffix}"
    if suffix == "xlsx":
        workbook(path, {"数据": lines})
    else:
        path.write_text("\n".join(",".join("" if c is None else str(c) for c in line) for line in lines))
    source = reading.read(path)
    assert source.columns == tuple(HEAD)
    assert source.above == len(titles) + 1
    assert any("title rows" in note for note in source.notes)
    chunks = list(source.chunks())  # a last line without an end comes as one of its own
    assert [number for chunk in chunks for number in chunk.rows.tolist()] == [1, 2]
    told = [row for chunk in chunks for row in chunk.table.to_pylist()]
    assert [row["名称"] for row in told] == ["甲", "乙"]
    assert rows(path, header_row=len(titles) + 1) == told


def test_a_heading_row_that_is_told_is_taken(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a,b\n编号,名称\n7,甲\n")
    assert reading.read(tmp_path / "f.csv").columns == ("a", "b")
    assert rows(tmp_path / "f.csv", header_row=2) == [{"编号": "7", "名称": "甲"}]
    with pytest.raises(BadInput, match="header"):
        rows(tmp_path / "f.csv", header_row=99)


def test_merged_heads_of_two_rows(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for line in (["编号", "位置", None, "地址"], [None, "经度", "纬度", None], [7, 113.25, 27.5, "红旗路"]):
        sheet.append(line)
    for merged in ("A1:A2", "B1:C1", "D1:D2"):
        sheet.merge_cells(merged)
    book.save(tmp_path / "f.xlsx")
    assert rows(tmp_path / "f.xlsx") == [{"编号": 7, "经度": 113.25, "纬度": 27.5, "地址": "红旗路"}]
    (tmp_path / "f.csv").write_text("编号,位置,,地址\n,经度,纬度,\n7,113.25,27.5,红旗路\n")
    assert rows(tmp_path / "f.csv") == [{"编号": "7", "经度": "113.25", "纬度": "27.5", "地址": "红旗路"}]


def test_an_empty_head_cell_is_a_column_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("编号,,名称\n7,x,甲\n8,,乙\n")
    assert rows(tmp_path / "f.csv")[0] == {"编号": "7", "column 2": "x", "名称": "甲"}


CSV = {
    "sep comma": b"sep=,\nid,name\n7,a\n", "sep semicolon": b"sep=;\r\nid;name\r\n7;a\r\n",
    "sep tab": b"\xef\xbb\xbfsep=\t\nid\tname\n7\ta\n", "sep quoted": b'"sep=|"\nid|name\n7|a\n',
    "utf-16-le": "id,name\n7,a\n".encode("utf-16-le"), "utf-16-be": "id,name\n7,a\n".encode("utf-16-be"),
    "utf-16 marked": "id,name\n7,a\n".encode("utf-16"), "utf-32": "id,name\n7,a\n".encode("utf-32"),
    "utf-32-le": "id,name\n7,a\n".encode("utf-32-le"), "utf-32-be": "id,name\n7,a\n".encode("utf-32-be"),
    "marked utf-8 quoted": b'\xef\xbb\xbf"id","name"\n7,a\n', "returns": b"id,name\r7,a\r",
    "heading with a break": b'"id","na\nme"\n7,a\n', "no end": b"id,name\n7,a",
    "commas in a semicolon file": b"id;name\n7;a\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CSV)
def test_csv_as_programs_write_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "f.csv").write_bytes(CSV[name])
    (row,) = rows(tmp_path / "f.csv")
    assert list(row.values()) == ["7", "a"]
    assert list(row) == ["id", "na me" if name == "heading with a break" else "name"]


def test_a_chinese_heading_with_a_break_has_none(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text('编号,"发生\n时间"\n7,今天\n')
    assert rows(tmp_path / "f.csv") == [{"编号": "7", "发生时间": "今天"}]
    workbook(tmp_path / "f.xlsx", {"a": [["编号", "发生\n时间"], [7, "今天"]]})
    assert rows(tmp_path / "f.xlsx") == [{"编号": 7, "发生时间": "今天"}]


def test_utf16_and_utf32_without_a_mark_in_chinese(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        (tmp_path / "f.csv").write_bytes("编号,名称\n7,株洲市博物馆\n".encode(encoding))
        assert rows(tmp_path / "f.csv") == [{"编号": "7", "名称": "株洲市博物馆"}]


def test_formulas_and_errors_of_a_workbook_are_seen(tmp_path: Path) -> None:
    lines = [["id", "a"], [1, "=1+1"], [2, "#REF!"], [3, "plain"], ["=A1", "#N/A"]]
    path = workbook(tmp_path / "f.xlsx", {"Tabelle 1": [[]], "数据": lines})
    assert [row["a"] for row in rows(path, layer="数据")] == ["=1+1", "#REF!", "plain", "#N/A"]
    assert [row["id"] for row in rows(path, layer="数据")] == ["1", "2", "3", "=A1"]


def test_a_column_of_numbers_and_texts(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "f.xlsx",
        {"a": [["id", "code"], ["x", 7], ["y", 4.3020200001320002e19], ["z", 1.5], ["w", "A1"]]},
    )
    assert [row["code"] for row in rows(path)] == ["7", "4.302020000132e+19", "1.5e+00", "A1"]


# Layers, ids, archives, coordinate systems


def feature(number: Any, **more: Any) -> dict[str, Any]:
    place = {"type": "Point", "coordinates": [113.2, 27.8]}
    return {"type": "Feature", "id": number, "properties": more or {"a": 1}, "geometry": place}


@pytest.mark.parametrize("ids", [[7, 9], ["x7", "x9"], [0, 1], [10**15, 10**15 + 1], ["7", "9"]])
def test_ids_of_geojson_features(tmp_path: Path, ids: list[Any]) -> None:
    whole = {"type": "FeatureCollection", "features": [feature(number) for number in ids]}
    (tmp_path / "f.geojson").write_text(json.dumps(whole))
    assert [row["id"] for row in rows(tmp_path / "f.geojson")] == ids


def test_ids_that_two_features_share_are_refused(tmp_path: Path) -> None:
    whole = {"type": "FeatureCollection", "features": [feature(7), feature(7)]}
    (tmp_path / "f.geojson").write_text(json.dumps(whole))
    with pytest.raises(BadInput, match="one id"):
        rows(tmp_path / "f.geojson")


def test_the_fid_of_a_geopackage_is_an_id(tmp_path: Path) -> None:
    shapes().to_file(tmp_path / "f.gpkg")
    assert [row["fid"] for row in rows(tmp_path / "f.gpkg")] == [1, 2, 3, 4, 5]
    assert "fid" not in rows(shapefile(tmp_path, "utf-8", None))[0]


def test_an_archive_of_several_is_chosen_from_or_told(tmp_path: Path) -> None:
    for stem in ("区县", "乡镇"):
        shapefile(tmp_path, "gbk", None, stem)
    members = parts(tmp_path / "区县.shp", "a/{}".format) | parts(tmp_path / "乡镇.shp", "b/{}".format)
    extra = {"__MACOSX/a/._x.shp": b"x", "readme.txt": b"x", "a/.hidden.csv": b"x", "b/说明.pdf": b"x"}
    path = zipped(tmp_path / "f.zip", members | extra)
    with pytest.raises(BadInput, match="choose one with --layer: 区县, 乡镇"):
        rows(path)
    for layer in ("区县", "a/区县.shp", "区县.shp"):
        assert [row["name"] for row in rows(path, layer=layer)] == NAMES
    with pytest.raises(BadInput, match="has not one '市'"):
        rows(path, layer="市")


@pytest.mark.parametrize(
    "name", ["f.csv", "F.CSV", "f.xlsx", "f.parquet", "f.geojson", "f.gpkg", "f.fgb", "f.kml"]
)
def test_any_file_in_an_archive(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix.lower() == ".csv":
        path.write_bytes("code,name\n1,株洲市博物馆\n".encode("gbk"))
    elif path.suffix == ".xlsx":
        workbook(path, {"a": [["code", "name"], ["1", NAMES[0]]]})
    elif path.suffix == ".parquet":
        shapes().to_parquet(path)
    else:
        kml = path.suffix == ".kml"
        named = shapes().rename(columns={"name": "Name" if kml else "name"})
        named.to_file(path, **({"driver": "KML"} if kml else {}))
    archive = zipped(tmp_path / "f.zip", {f"深/更深/{name}": path.read_bytes()})
    got = [{key.lower(): value for key, value in row.items()}["name"] for row in rows(archive)]
    assert got in ([NAMES[0]], NAMES) or sorted(got) == sorted(NAMES)  # FlatGeobuf sorts by place


def test_coordinates_that_deny_their_system(tmp_path: Path) -> None:
    degrees, metres = shapes(), shapes().to_crs(3857)
    degrees.set_crs(4547, allow_override=True).to_file(tmp_path / "a.gpkg")
    with pytest.raises(BadInput, match="which is in metres, but its coordinates are degrees"):
        rows(tmp_path / "a.gpkg")
    assert len(rows(tmp_path / "a.gpkg", crs="EPSG:4326")) == 5
    metres.set_crs(4326, allow_override=True).to_file(tmp_path / "b.geojson")
    with pytest.raises(BadInput, match="but its coordinates are metres"):
        rows(tmp_path / "b.geojson")
    metres.set_crs(4490, allow_override=True).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(BadInput, match="but its coordinates are metres"):
        rows(tmp_path / "c.parquet")
    metres.to_file(tmp_path / "d.shp", encoding="utf-8")
    (tmp_path / "d.prj").unlink()
    with pytest.raises(BadInput, match="but its coordinates are metres"):
        rows(tmp_path / "d.shp")
    assert reading.read(tmp_path / "d.shp", ReadOptions(crs="EPSG:3857")).crs == "EPSG:3857"
    degrees.to_file(tmp_path / "e.shp", encoding="utf-8")
    (tmp_path / "e.prj").unlink()
    assert any("no .prj" in note for note in reading.read(tmp_path / "e.shp").notes)


ARC = [(-76.615, 39.30), (-76.614, 39.301), (-76.613, 39.30), (-76.614, 39.299), (-76.615, 39.30)]


def _arc(kind: int, *inner: bytes) -> bytes:
    return struct.pack("<BII", 1, kind, len(inner)) + b"".join(inner)


_STRING = struct.pack("<BII", 1, 8, 5) + b"".join(struct.pack("<dd", *xy) for xy in ARC)
CURVES = {
    "curve polygon": _arc(10, _STRING), "circular string": _STRING, "compound curve": _arc(9, _STRING),
    "multi surface": _arc(12, _arc(10, _STRING)), "multi curve": _arc(11, _STRING),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:geometry column type")
@pytest.mark.parametrize("name", CURVES)
def test_curves_are_stroked_among_good_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.gpkg"
    shapes().to_file(path)
    with sqlite3.connect(path) as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        blob = b"GP\x00\x01" + struct.pack("<i", 4326) + CURVES[name]
        db.execute("UPDATE f SET geom = ? WHERE fid = 3", (blob,))
        db.execute("UPDATE gpkg_geometry_columns SET geometry_type_name = 'GEOMETRY'")
    for read in (reading.read, sandbox.read):
        (chunk,) = read(path).chunks()
        assert [shape.geom_type for shape in chunk.geometry[[0, 1, 3, 4]]] == ["Point"] * 4
        stroked = chunk.geometry[2]
        ring = shapely.line_merge(stroked) if "curve" in name and "polygon" not in name else stroked
        area = shapely.Polygon(shapely.get_coordinates(ring)).area
        assert area == pytest.approx(np.pi * 1e-3**2, rel=2e-3)


def test_arcs_of_parquet_are_stroked_and_surfaces_cost_their_row(tmp_path: Path) -> None:
    point = shapely.to_wkb(shapely.Point(113, 27))
    tin = struct.pack("<BII", 1, 16, 0)
    wkb = [point, CURVES["curve polygon"], tin, b"", b"\x01", None, point]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}}
    table = pa.table({"id": list(range(7)), "geometry": pa.array(wkb, pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "f.parquet")
    for read in (reading.read, sandbox.read):
        (chunk,) = read(tmp_path / "f.parquet").chunks()
        assert [shape is None for shape in chunk.geometry] == [False, False, True, True, True, True, False]


# Broken files


def _broken(tmp_path: Path) -> dict[str, Path]:
    shapes().to_file(tmp_path / "a.gpkg")
    shapes().to_file(tmp_path / "a.fgb")
    shapes().to_file(tmp_path / "a.geojson")
    shapes().to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"id": [1] * 200, "name": ["株"] * 200}).to_excel(tmp_path / "a.xlsx", index=False)
    shapes().drop(columns="geometry").to_feather(tmp_path / "a.feather")
    zipped(tmp_path / "a.zip", {"a.csv": b"id,name\n" + bytes(range(65, 90)) * 400})
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id,name\n7,a\n" * 1000))
    return {path.name: path for path in tmp_path.glob("a.*")}


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "name", ["a.gpkg", "a.fgb", "a.geojson", "a.parquet", "a.xlsx", "a.feather", "a.zip", "a.csv.gz"]
)
def test_a_file_cut_short_is_refused_or_gives_true_rows(tmp_path: Path, name: str, share: float) -> None:
    path = _broken(tmp_path)[name]
    whole = rows(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    got, told = outcome(path)
    assert got is None or got == whole[: len(got)]
    assert "\n" not in told


@pytest.mark.parametrize("part", [".shp", ".dbf"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_shapefile_cut_short_is_refused(tmp_path: Path, part: str, share: float) -> None:
    path = shapefile(tmp_path, "gbk", None)
    cut = path.with_suffix(part)
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * share)])
    with pytest.raises(BadInput):
        rows(path)


@pytest.mark.parametrize("lost", [".dbf", ".shx"])
def test_a_shapefile_without_its_other_files_is_refused(tmp_path: Path, lost: str) -> None:
    path = shapefile(tmp_path, "gbk", None)
    path.with_suffix(lost).unlink()
    with pytest.raises(BadInput, match=f"has no {lost} beside it"):
        rows(path)


ODD = {
    "a.csv": b"id,name\n7,a\x00b\n8,c\n",
    "b.csv": b'id,name\n7,"open\n8,c\n',
    "c.csv": b"\x00" * 5000,
    "d.csv": b"id,name\n7," + b"x" * 9_000_000 + b"\n8,c\n",
    "e.xlsx": b"PK\x03\x04",
    "f.zip": b"PK\x05\x06" + bytes(18),
    "g.geojson": b'[{"type":"Feature","properties":{"a":"\\ud800"},"geometry":null}]',
    "h.geojson": b"[" * 100_000,
    "i.parquet": b"PAR1" * 100,
    "j.gpkg": b"SQLite format 3\x00" + bytes(100),
    "k.csv": b"id,name\n",
    "l.csv": b"\xff\xfe",
    "m.kml": b'<?xml version="1.0" encoding="GBK"?><kml>',
    "n.csv.gz": b"\x1f\x8b\x08",
    "o.shp": bytes(100),
    "p.csv": b"id,name\n7,\xed\xa0\x80\xe6\xa0\xaa\xe6\xb4\xb2\n",
    "q.csv": b"\n\n\n",
    "r.tsv": b'"' * 200_001,
    "s.arrow": b"ARROW1\x00\x00" * 20,
    "t.fgb": b"fgb\x03fgb\x00" + bytes(50),
    "u.xlsx": b"",
    "v.csv": b"\xff" * 1000,
}


@pytest.mark.filterwarnings("ignore:GPKG", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_refused_in_one_line_or_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ODD[name])
    got, told = outcome(tmp_path / name)
    assert got is None or name[0] in "abdghjklmpt"
    assert "\n" not in told
    assert len(told) < 400


def test_a_locked_archive_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"a.csv": b"id,name\n7,a\n"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of encryption, in the member's head and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="password"):
        rows(path)


def test_kml_in_gbk_as_its_first_line_says(tmp_path: Path) -> None:
    shapes().rename(columns={"name": "Name"}).to_file(tmp_path / "f.kml", driver="KML")
    text = (tmp_path / "f.kml").read_text().replace('encoding="utf-8"', 'encoding="GBK"')
    (tmp_path / "f.kml").write_text(text, encoding="gbk")
    assert [row["Name"] for row in rows(tmp_path / "f.kml")] == NAMES


def test_an_archive_that_holds_a_geodatabase_is_gdal_s(tmp_path: Path) -> None:
    shapes().to_file(tmp_path / "f.gdb", driver="OpenFileGDB")
    shutil.make_archive(str(tmp_path / "f"), "zip", tmp_path, "f.gdb")
    assert [row["name"] for row in rows(tmp_path / "f.zip")] == NAMES


@pytest.mark.parametrize("less", [1, 40, 200])
def test_a_flatgeobuf_of_fewer_features_than_its_header_tells_is_refused(tmp_path: Path, less: int) -> None:
    path = _broken(tmp_path)["a.fgb"]
    path.write_bytes(path.read_bytes()[:-less])
    with pytest.raises(BadInput):
        rows(path)
    with pytest.raises(BadInput):
        list(sandbox.read(path).chunks())


@pytest.mark.parametrize("encoding", ["hz", "utf-7", "iso2022_jp", "iso2022_kr"])
@pytest.mark.parametrize("suffix", [".csv", ".geojson"])
def test_encodings_that_are_ascii_are_asked_for_and_read_when_said(
    tmp_path: Path, encoding: str, suffix: str
) -> None:
    names = {"iso2022_jp": ["東京都", "大阪府"], "iso2022_kr": ["서울", "부산"]}.get(encoding, NAMES)
    features = [feature(at, name=name) for at, name in enumerate(names)]
    text = "id,name\n" + "".join(f"{at},{name}\n" for at, name in enumerate(names))
    if suffix == ".geojson":
        text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
    path = tmp_path / f"f{suffix}"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(BadInput, match=f"--encoding {encoding}"):
        rows(path)
    assert [row["name"] for row in rows(path, encoding=encoding)] == names


def test_ascii_that_only_resembles_other_encodings_is_ascii(tmp_path: Path) -> None:
    names = ["+8613800000000-1", "a ~{ b", "~{x", "1+1=2-", "+abc-", "~}", "https://a.b/?q=c+d+eee-f"]
    path = tmp_path / "f.csv"
    path.write_text("id;name\n" + "".join(f"{at};{name}\n" for at, name in enumerate(names)))
    assert [row["name"] for row in rows(path)] == names


HEADS: dict[str, tuple[list[list[Any]], list[str], list[str]]] = {
    "groups over names of all columns": (
        [["编号", None, "坐标", None], ["origin_id", "name", "lon", "lat"]],
        ["A1:B1", "C1:D1"],
        ["origin_id", "name", "lon", "lat"],
    ),
    "one column without a group": (
        [["id", "坐标", None, "备注"], [None, "lon", "lat", None]],
        ["A1:A2", "B1:C1", "D1:D2"],
        ["id", "lon", "lat", "备注"],
    ),
    "names that only their groups tell apart": (
        [["id", "起点", None, "终点", None], [None, "lon", "lat", "lon", "lat"]],
        ["A1:A2", "B1:C1", "D1:E1"],
        ["id", "起点 lon", "起点 lat", "终点 lon", "终点 lat"],
    ),
    "three rows below a title": (
        [
            ["2025 年统计表", None, None, None], ["编号", "位置", None, None],
            [None, "坐标", None, "地址"], [None, "经度", "纬度", None],
        ],
        ["A1:D1", "A2:A4", "B2:D2", "B3:C3", "D3:D4"],
        ["编号", "经度", "纬度", "地址"],
    ),
    "cells merged among the data": ([["id", "a", "b", "c"]], ["B3:C3"], ["id", "a", "b", "c"]),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_merged_heads_of_a_workbook(tmp_path: Path, name: str) -> None:
    head, merged, names = HEADS[name]
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in [*head, *([at, *("xyz"[: len(names) - 1])] for at in (7, 8, 9))]:
        book.active.append(row)
    for cells in merged:
        book.active.merge_cells(cells)
    book.save(tmp_path / "f.xlsx")
    got = rows(tmp_path / "f.xlsx")
    assert list(got[0]) == names
    assert [row[names[0]] for row in got] == [7, 8, 9]
