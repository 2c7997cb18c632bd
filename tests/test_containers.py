"""A file in a container (KMZ, zip, gzip) gives what it gives as it is: columns, values, shapes, notes."""

import gzip
import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from gis.errors import BadInput
from gis.importing import reading, sandbox
from gis.importing.source import ReadOptions

HEAD = '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2">'
FIELDS = "".join(f'<SimpleField type="string" name="{name}"/>' for name in ("origin_id", "kind"))
SCHEMA = f'<Schema name="s" id="s">{FIELDS}</Schema>'


def _place(n: int, how: str) -> str:
    values = {"origin_id": f"Q{n}", "kind": f"类{n}"}
    data = "".join(f'<Data name="{name}"><value>{one}</value></Data>' for name, one in values.items())
    simple = "".join(f'<SimpleData name="{name}">{one}</SimpleData>' for name, one in values.items())
    more = data if how == "data" else f'<SchemaData schemaUrl="#s">{simple}</SchemaData>'
    point = f"<Point><coordinates>{113 + n / 100},27</coordinates></Point>"
    return f"<Placemark><name>N{n}</name><ExtendedData>{more}</ExtendedData>{point}</Placemark>"


def _folder(name: str, *inside: str) -> str:
    return f"<Folder><name>{name}</name>{''.join(inside)}</Folder>"


LAYOUTS: dict[str, Callable[[list[str]], str]] = {
    "document": lambda places: SCHEMA + "".join(places),
    "folder": lambda places: SCHEMA + _folder("F", *places),
    "folder in folder": lambda places: SCHEMA + _folder("F", _folder("G", *places)),
    "two folders": lambda places: SCHEMA + _folder("F", *places[:2]) + _folder("G", *places[2:]),
    "document and folder": lambda places: SCHEMA + "".join(places[:2]) + _folder("G", *places[2:]),
    "schema behind": lambda places: _folder("F", *places) + SCHEMA,
    "document in document": lambda places: f"<Document><name>D</name>{SCHEMA}{''.join(places)}</Document>",
}
DATA = {"schema": ["schema"], "data": ["data"], "both": ["schema", "data"]}


def _kml(layout: str, data: str) -> str:
    hows = itertools.cycle(DATA[data])
    places = [_place(n, next(hows)) for n in range(4)]
    return f"{HEAD}<Document>{LAYOUTS[layout](places)}</Document></kml>"


def _zip(path: Path, inside: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
    return path


def _contents(path: Path, layer: str | None = None) -> dict[str, Any]:
    source = sandbox.read(path, ReadOptions(layer=layer))
    chunks = list(source.chunks())
    return {
        "columns": source.columns,
        "crs": source.crs,
        "notes": source.notes,
        "rows": [row for chunk in chunks for row in chunk.table.to_pylist()],
        "shapes": [
            one for chunk in chunks if chunk.geometry is not None for one in shapely.to_wkb(chunk.geometry)
        ],
    }


@pytest.mark.parametrize(("layout", "data"), [*itertools.product(LAYOUTS, DATA)])
def test_a_kmz_gives_what_its_kml_gives(tmp_path: Path, layout: str, data: str) -> None:
    plain, text = tmp_path / "doc.kml", _kml(layout, data)
    plain.write_text(text)
    packed = _zip(tmp_path / "a.kmz", {"doc.kml": text, "files/icon.png": b"\x89PNG"})
    layers = [str(name) for name, _ in pyogrio.list_layers(plain)]
    found = []
    for layer in layers if len(layers) > 1 else [None]:
        there = _contents(packed, layer)
        assert there == _contents(plain, layer)
        found += [(row.get("origin_id"), row.get("kind")) for row in there["rows"]]
    assert found == [(f"Q{n}", f"类{n}") for n in range(4)]


def frame(count: int = 3) -> gpd.GeoDataFrame:
    places = shapely.points([113 + n / 100 for n in range(count)], [27.5] * count)
    columns = {"name": [f"网格{n}" for n in range(count)], "code": [f"{n:03d}" for n in range(count)]}
    return gpd.GeoDataFrame(columns, geometry=places, crs=4326)


def _written(driver: str, **more: Any) -> Callable[[Path], object]:
    return lambda path: frame().to_file(path, driver=driver, **more)


KINDS: dict[str, Callable[[Path], object]] = {
    "a.kml": _written("KML"),
    "a.gml": _written("GML"),
    "a.gpkg": _written("GPKG"),
    "a.fgb": _written("FlatGeobuf"),
    "a.shp": _written("ESRI Shapefile", encoding="UTF-8"),
    "a.gdb": _written("OpenFileGDB"),
    "a.geojson": _written("GeoJSON"),
    "a.geojsonl": _written("GeoJSONSeq"),
    "a.tab": _written("MapInfo File", encoding="UTF-8"),
    "a.mif": _written("MapInfo File", encoding="UTF-8"),
    "a.sqlite": _written("SQLite"),
    "a.csv": lambda path: pd.DataFrame(frame().drop(columns="geometry")).to_csv(path, index=False),
    "a.xlsx": lambda path: pd.DataFrame(frame().drop(columns="geometry")).to_excel(path, index=False),
    "a.parquet": lambda path: frame().to_parquet(path),
}


@pytest.mark.parametrize("folder", ["", "数据/"])
@pytest.mark.parametrize("name", KINDS)
def test_a_zip_gives_what_the_file_in_it_gives(tmp_path: Path, name: str, folder: str) -> None:
    (tmp_path / "plain").mkdir()
    KINDS[name](tmp_path / "plain" / name)
    inside = {
        folder + path.relative_to(tmp_path / "plain").as_posix(): path.read_bytes()
        for path in (tmp_path / "plain").rglob("*")
        if path.is_file()
    }
    there = _contents(_zip(tmp_path / "a.zip", dict(inside)))
    assert there == _contents(tmp_path / "plain" / name)
    assert len(there["rows"]) == 3


@pytest.mark.parametrize("name", ["a.csv", "a.geojson", "a.kml", "a.gml", "a.parquet"])
def test_gzip_gives_what_the_file_in_it_gives(tmp_path: Path, name: str) -> None:
    KINDS[name](tmp_path / name)
    (tmp_path / "a.xsd").unlink(missing_ok=True)  # what lies beside a file is not in its gzip
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert _contents(packed) == _contents(tmp_path / name)


LINK = "<NetworkLink><name>a</name><Link><href>{}</href></Link></NetworkLink>"


@pytest.mark.parametrize("href", ["layers/a.kml", "b.kml", "https://city.example/a.kml"])
def test_links_of_a_kmz_are_followed_to_what_lies_in_it(tmp_path: Path, href: str) -> None:
    """GDAL and ArcGIS write a first file of links alone, and each layer in a file of its own."""
    links = f"{HEAD}<Document>{LINK.format(href)}</Document></kml>"
    inside: dict[str, str | bytes] = {"doc.kml": links, "styles/s.kml": f"{HEAD}<Document/></kml>"}
    if "://" in href:
        with pytest.raises(BadInput, match="holds no places, only 1 links"):
            _contents(_zip(tmp_path / "a.kmz", {"doc.kml": links}))
        return
    packed = _zip(tmp_path / "a.kmz", inside | {href: _kml("folder", "schema")})
    assert [row["origin_id"] for row in _contents(packed)["rows"]] == ["Q0", "Q1", "Q2", "Q3"]


def test_of_several_files_in_a_kmz_one_is_chosen(tmp_path: Path) -> None:
    one, two = _kml("folder", "schema"), _kml("document", "data").replace("Q", "R")
    packed = _zip(tmp_path / "a.kmz", {"doc.kml": one, "more/two.kml": two})
    with pytest.raises(BadInput, match=r"holds several files; choose one with --layer: doc, two"):
        _contents(packed)
    assert [row["origin_id"] for row in _contents(packed, "two")["rows"]] == ["R0", "R1", "R2", "R3"]
    assert [row["origin_id"] for row in _contents(packed, "doc.kml")["rows"]] == ["Q0", "Q1", "Q2", "Q3"]


@pytest.mark.parametrize("name", ["doc.kml", "a.kmz"])
def test_what_a_kml_holds_beside_what_is_read_is_said(tmp_path: Path, name: str) -> None:
    text = _kml("document", "schema").replace(SCHEMA, LINK.format("https://city.example/a.kml"))
    if name == "a.kmz":
        _zip(tmp_path / name, {"doc.kml": text})
    else:
        (tmp_path / name).write_text(text)
    found = _contents(tmp_path / name)
    assert [note.partition(" to ")[0] for note in found["notes"]] == ["holds 1 links"]
    rows = [(row["origin_id"], row["kind"]) for row in found["rows"]]
    assert rows == [(f"Q{n}", f"类{n}") for n in range(4)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_a_kmz_is_read_in_the_encoding_of_its_kml(tmp_path: Path, encoding: str) -> None:
    text = _kml("folder", "data").replace("UTF-8", encoding).encode(encoding)
    (tmp_path / "doc.kml").write_bytes(text)
    there = _contents(_zip(tmp_path / "a.kmz", {"doc.kml": text}))
    assert there == _contents(tmp_path / "doc.kml")
    assert [row["kind"] for row in there["rows"]] == [f"类{n}" for n in range(4)]


def test_a_workbook_with_a_password_is_named_as_one(tmp_path: Path) -> None:
    """An encrypted workbook is an OLE file whose stream is named so (MS-OFFCRYPTO 2.3)."""
    locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(BadInput, match="password"):
        reading.read(_zip(tmp_path / "a.zip", {"grids.xlsx": locked + bytes(512)}))
    path = tmp_path / "grids.xlsx"
    path.write_bytes(locked + bytes(512))
    with pytest.raises(BadInput, match="password"):
        reading.read(path)


@pytest.mark.parametrize("name", ["a.csv", "a.geojson"])
def test_a_file_at_the_top_can_be_chosen_beside_one_of_its_name(tmp_path: Path, name: str) -> None:
    points = gpd.GeoDataFrame({"origin_id": ["1"]}, geometry=gpd.points_from_xy([113], [27]), crs=4326)
    top, below = ("origin_id,lon,lat\n1,113,27\n", "origin_id,lon,lat\n2,113,27\n")
    if name.endswith("json"):
        top, below = points.to_json(), points.assign(origin_id="2").to_json()
    packed = _zip(tmp_path / "z.zip", {name: top, f"b/{name}": below})
    for layer, right in ((name, "1"), (f"b/{name}", "2")):
        source = reading.read(packed, ReadOptions(layer=layer))
        (chunk,) = source.chunks()
        assert [str(value) for value in chunk.table["origin_id"].to_pylist()] == [right]


@pytest.mark.parametrize("kind", ["int", "uint", "short", "ushort", "float", "double", "xsd:int", "string"])
@pytest.mark.parametrize("packed", [False, True])
def test_numbers_of_a_kml_are_what_is_written_there(tmp_path: Path, kind: str, packed: bool) -> None:
    codes = ["430202001000", "000", "-7", "99999999999999999999"]
    schema = f'<Schema id="s" name="s"><SimpleField type="{kind}" name="origin_id"/></Schema>'
    places = "".join(
        '<Placemark><ExtendedData><SchemaData schemaUrl="#s">'
        f'<SimpleData name="origin_id">{code}</SimpleData>'
        "</SchemaData></ExtendedData><Point><coordinates>113,27</coordinates></Point></Placemark>"
        for code in codes
    )
    text = f"{HEAD}<Document>{schema}<Folder><name>F</name>{places}</Folder></Document></kml>"
    path = tmp_path / "a.kml"
    path.write_text(text)
    (chunk,) = reading.read(_zip(tmp_path / "a.kmz", {"doc.kml": text}) if packed else path).chunks()
    assert chunk.table["origin_id"].to_pylist() == codes
