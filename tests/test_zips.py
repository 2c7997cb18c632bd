"""Names in zip archives: true ones whatever their encoding, files and layers of them chosen by these."""

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from gis.errors import BadInput
from gis.importing import reading, sandbox
from gis.importing.source import ReadOptions, Source

Read = Callable[..., Source]


def points(*ids: str) -> gpd.GeoDataFrame:
    where = shapely.points([113.0] * len(ids), [27.5] * len(ids))
    return gpd.GeoDataFrame({"origin_id": list(ids)}, geometry=where, crs=4326)


def named(
    path: Path, inside: dict[bytes, bytes], *, beside: dict[bytes, str] | None = None, marked: bytes = b""
) -> Path:
    """Write a zip whose names are bytes, `marked` flagged as UTF-8; `beside`: as field 0x7075 has them."""
    body, table = b"", b""
    for name, content in inside.items():
        extra = b""
        if beside:
            more = struct.pack("<BI", 1, zlib.crc32(name)) + beside[name].encode()
            extra = struct.pack("<HH", 0x7075, len(more)) + more
        sizes = (len(content), len(content), len(name), len(extra))
        told = struct.pack("<5H3I2H", 20, 0x800 * (name == marked), 0, 0, 33, zlib.crc32(content), *sizes)
        table += b"PK\x01\x02\x14\x00" + told + struct.pack("<3H2I", 0, 0, 0, 0, len(body)) + name + extra
        body += b"PK\x03\x04" + told + name + extra + content
    end = struct.pack("<4H2IH", 0, 0, len(inside), len(inside), len(table), len(body), 0)
    path.write_bytes(body + table + b"PK\x05\x06" + end)
    return path


def ids(read: Read, path: Path, layer: str | None = None) -> list[str]:
    chunks = read(path, ReadOptions(layer=layer)).chunks()
    return [str(one) for chunk in chunks for one in chunk.table["origin_id"].to_pylist()]


def contents(folder: Path, name: str) -> dict[str, bytes]:
    """Return two files of one kind by their endings, or the parts of two shapefiles."""
    found: dict[str, bytes] = {}
    for at, stem in enumerate(("one", "two")):
        (folder / stem).mkdir()
        data, path = points(f"Q{at}"), folder / stem / f"a{name}"
        if name == ".csv":
            path.write_text(f"origin_id,lon,lat\nQ{at},113,27\n")
        elif name == ".xlsx":
            pd.DataFrame(data.drop(columns="geometry")).to_excel(path, index=False)
        else:
            data.to_file(path)
        found |= {f"{stem}{part.name[1:]}": part.read_bytes() for part in (folder / stem).iterdir()}
    return found


NAMES = {
    "gb18030": ("网格/行政区", "网格/巡防摄像头"),
    "utf-8": ("网格/行政区", "网格/巡防摄像头"),
    "cp437": ("Données/Café", "Données/Straße"),
    "ascii": ("grids/a", "grids/b"),
}


@pytest.mark.parametrize("kind", [".csv", ".xlsx", ".geojson", ".shp", ".gpkg"])
@pytest.mark.parametrize("encoding", NAMES)
def test_files_are_known_by_their_true_names(tmp_path: Path, encoding: str, kind: str) -> None:
    one, two = NAMES[encoding]
    inside = {
        name.replace("one", one).replace("two", two).encode(encoding): content
        for name, content in contents(tmp_path, kind).items()
    }
    packed = named(tmp_path / "a.zip", inside)
    listed = ", ".join(sorted(one.rpartition("/")[2] for one in (one, two)))
    with pytest.raises(BadInput, match=f"choose one with --layer: {listed}"):
        reading.read(packed)
    assert ids(reading.read, packed, one.rpartition("/")[2]) == ["Q0"]
    assert ids(sandbox.read, packed, f"{two}{kind}") == ["Q1"]
    assert reading.read(packed, ReadOptions(layer=f"{two}{kind}")).name == f"a.zip/{two}{kind}"


@pytest.mark.parametrize("kind", [".csv", ".geojson", ".shp"])
def test_names_may_stand_in_a_field_of_their_own(tmp_path: Path, kind: str) -> None:
    files = contents(tmp_path, kind)
    true = {name: name.replace("one", "行政区").replace("two", "巡防") for name in files}
    inside = {true[name].encode("gb18030"): content for name, content in files.items()}
    packed = named(
        tmp_path / "a.zip", inside, beside={text.encode("gb18030"): text for text in true.values()}
    )
    assert ids(reading.read, packed, "巡防") == ["Q1"]


def test_names_of_both_kinds_in_one_archive(tmp_path: Path) -> None:
    inside = {"行政区.csv".encode("gb18030"): b"origin_id,lon,lat\nQ0,113,27\n"}
    marked = "éé.geojson".encode()  # as bytes of the standard's encoding two of them are one Chinese sign
    named(tmp_path / "a.zip", inside | {marked: points("Q1").to_json().encode()}, marked=marked)
    assert ids(reading.read, tmp_path / "a.zip", "行政区") == ["Q0"]
    assert ids(reading.read, tmp_path / "a.zip", "éé") == ["Q1"]


def _layers(path: Path) -> Path:
    """Write an archive of a plain file and of three with several layers or sheets."""
    data = {name: points(name) for name in ("roads", "lamps")}
    for name, one in data.items():
        one.to_file(path / "two.gpkg", layer=name)
        one.to_file(path / "city.gdb", layer=name, driver="OpenFileGDB")
    with pd.ExcelWriter(path / "book.xlsx") as book:
        for name, one in data.items():
            pd.DataFrame(one.drop(columns="geometry")).to_excel(book, sheet_name=name, index=False)
    (path / "plain.csv").write_text("origin_id\nQ\n")
    with zipfile.ZipFile(path / "a.zip", "w") as archive:
        for one in ("two.gpkg", "book.xlsx", "plain.csv"):
            archive.write(path / one, f"data/{one}")
    return path / "a.zip"


@pytest.mark.parametrize("file", ["two", "book"])
def test_a_file_and_a_layer_of_it_are_chosen(tmp_path: Path, file: str) -> None:
    packed = _layers(tmp_path)
    with pytest.raises(BadInput, match="choose one with --layer: book, plain, two"):
        reading.read(packed)
    with pytest.raises(BadInput, match=rf"choose one with --layer: {file}/roads, {file}/lamps"):
        reading.read(packed, ReadOptions(layer=file))
    full = {"two": "data/two.gpkg", "book": "data/book.xlsx"}[file]
    for name in (file, full, full.removeprefix("data/")):
        assert ids(reading.read, packed, f"{name}/lamps") == ["lamps"]
    with pytest.raises(BadInput, match=f"no .*'streets'; it has {file}/roads, {file}/lamps"):
        reading.read(packed, ReadOptions(layer=f"{file}/streets"))
    assert ids(reading.read, packed, "plain") == ["Q"]


@pytest.mark.parametrize("read", [reading.read, sandbox.read])
@pytest.mark.parametrize("suffix", ["ndjson", "jsonl", "geojsonl"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_sequences_of_any_name_are_read_to_their_end(
    tmp_path: Path, suffix: str, end: str, read: Read
) -> None:
    each = [json.dumps(one) for one in json.loads(points("A", "B", "C").to_json())["features"]]
    for how in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        for text, whole in (("\n".join(each) + end, True), ("\n".join(each)[:-20], False)):
            with zipfile.ZipFile(tmp_path / "a.zip", "w", how) as archive:
                archive.writestr(f"a.{suffix}", text)
            if whole:
                assert ids(read, tmp_path / "a.zip") == ["A", "B", "C"]
                continue
            with pytest.raises(BadInput, match="is no JSON in line 3"):
                ids(read, tmp_path / "a.zip")


@pytest.mark.parametrize(
    "inside", [{"a.pdf": b"%PDF"}, {"x/a.xls": b"\xd0\xcf", "b.doc": b""}, {"readme": b"1"}]
)
def test_an_archive_of_nothing_that_is_read_says_what_is_in_it(
    tmp_path: Path, inside: dict[str, Any]
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
    with pytest.raises(BadInput, match=f"holds no file of a kind that is read, only {', '.join(inside)}"):
        reading.read(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["a.xlsb", "A.XLSB"])
@pytest.mark.parametrize("read", [reading.read, sandbox.read])
def test_a_binary_workbook_is_named_as_one(tmp_path: Path, name: str, read: Read) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("xl/workbook.bin", b"\x83\x01\x00")
    with pytest.raises(BadInput, match=r"binary workbook \(\.xlsb\), which is not read; save it as xlsx"):
        read(tmp_path / name)


STEMS = {"cp932": "層/表ソ能", "big5": "圖層/功許", "gb18030": "网格/焅乗", "cp437": "a\\b"}


@pytest.mark.parametrize("kind", [".shp", ".geojson", ".gpkg", ".fgb", ".tab", ".mif", ".csv"])
@pytest.mark.parametrize("encoding", STEMS)
def test_names_with_the_byte_of_a_backslash_are_read(tmp_path: Path, encoding: str, kind: str) -> None:
    (tmp_path / "x").mkdir()
    if kind == ".csv":
        (tmp_path / "x/a.csv").write_text("origin_id\nQ7\n")
    else:
        points("Q7").to_file(tmp_path / f"x/a{kind}")
    inside = {
        f"{STEMS[encoding]}{part.name[1:]}".encode(encoding): part.read_bytes()
        for part in sorted((tmp_path / "x").iterdir())
    }
    assert all(b"\\" in name for name in inside)
    packed = named(tmp_path / "a.zip", inside)
    assert ids(reading.read, packed) == ["Q7"]
    assert ids(sandbox.read, packed) == ["Q7"]


@pytest.mark.parametrize("kind", [".shp", ".tab", ".mif"])
@pytest.mark.parametrize("case", ["first", "others", "each", "capitals"])
def test_parts_are_found_in_whichever_case_their_suffixes_are(tmp_path: Path, kind: str, case: str) -> None:
    (tmp_path / "x").mkdir()
    points("Q7").to_file(tmp_path / f"x/a{kind}")
    spell: Callable[[str], str] = {
        "first": lambda suffix: suffix.upper() if suffix == kind else suffix,
        "others": lambda suffix: suffix if suffix == kind else suffix.upper(),
        "each": lambda suffix: f".{suffix[1:].title()}",
        "capitals": str.upper,
    }[case]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for part in sorted((tmp_path / "x").iterdir()):
            archive.write(part, f"in/a{spell(part.suffix)}")
    assert ids(reading.read, tmp_path / "a.zip") == ["Q7"]


def test_renamed_parts_keep_what_they_are_called(tmp_path: Path) -> None:
    files = contents(tmp_path, ".shp")
    inside = {
        name.replace("one", "表").replace("two", "ソ").encode("cp932"): one for name, one in files.items()
    }
    packed = named(tmp_path / "a.zip", inside)
    with pytest.raises(BadInput, match="choose one with --layer: ") as refused:
        reading.read(packed)
    first, second = refused.value.detail.rpartition(": ")[2].split(", ")
    assert sorted(ids(reading.read, packed, first) + ids(reading.read, packed, second)) == ["Q0", "Q1"]
