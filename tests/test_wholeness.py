"""Files that a copy cut short: refused, or every row counted; never fewer rows without a word."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from gis.errors import BadInput
from gis.importing import json_texts, reading, sandbox
from gis.importing.source import ReadOptions, Source

ROWS = 60


def features() -> gpd.GeoDataFrame:
    points = shapely.points(np.column_stack([113 + np.arange(ROWS) / 1000, np.full(ROWS, 27.8)]))
    return gpd.GeoDataFrame({"name": [f"n{at}" for at in range(ROWS)]}, geometry=points, crs=4326)


def written(driver: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        data = features().rename(columns={"name": "Name"} if driver in ("KML", "LIBKML") else {})
        (data[["geometry"]] if driver == "DXF" else data).to_file(path, driver=driver, engine="pyogrio")

    return write


def sequence(separator: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        each = json.loads(features().to_json())["features"]
        indent = 1 if separator else None
        path.write_text("".join(f"{separator}{json.dumps(one, indent=indent)}\n" for one in each))

    return write


def topology(path: Path) -> None:
    points = [
        {"type": "Point", "coordinates": [113 + at / 1000, 27.8], "properties": {"name": f"n{at}"}}
        for at in range(ROWS)
    ]
    shapes = {"a": {"type": "GeometryCollection", "geometries": points}}
    path.write_text(json.dumps({"type": "Topology", "arcs": [], "objects": shapes}))


def packed(write: Callable[[Path], None], inner: str) -> Callable[[Path], None]:
    def pack(path: Path) -> None:
        write(path.with_name(inner))
        path.write_bytes(gzip.compress(path.with_name(inner).read_bytes()))

    return pack


def parquet(path: Path) -> None:
    features().to_parquet(path)


def feather(path: Path) -> None:
    features().drop(columns="geometry").to_feather(path)


def workbook(path: Path) -> None:
    features().drop(columns="geometry").to_excel(path, index=False)


FILES: dict[str, Callable[[Path], None]] = {
    "a.shp": written("ESRI Shapefile"), "a.fgb": written("FlatGeobuf"), "a.gpkg": written("GPKG"),
    "a.geojson": written("GeoJSON"), "a.geojsonl": sequence(""), "a.geojsons": sequence("\x1e"),
    "a.gpx": written("GPX"), "a.kml": written("KML"), "a.kmz": written("LIBKML"), "a.gml": written("GML"),
    "a.tab": written("MapInfo File"), "a.mif": written("MapInfo File"), "a.sqlite": written("SQLite"),
    "a.json": written("JSONFG"), "a.dxf": written("DXF"), "a.topojson": topology, "a.parquet": parquet,
    "a.feather": feather, "a.xlsx": workbook, "a.fgb.gz": packed(written("FlatGeobuf"), "b.fgb"),
    "a.geojsonl.gz": packed(sequence(""), "b.geojsonl"), "a.gpx.gz": packed(written("GPX"), "b.gpx"),
}  # fmt: skip
PARTS = {"a.shp": (".dbf", ".shx"), "a.tab": (".dat", ".map", ".id"), "a.mif": (".mid",)}
CASES = [(name, suffix) for name in FILES for suffix in ("", *PARTS.get(name, ()))]


def count(path: Path, read: Callable[..., reading.Source] = reading.read) -> int:
    layer = "waypoints" if ".gpx" in path.name else None
    return sum(len(chunk) + len(chunk.broken) for chunk in read(path, ReadOptions(layer=layer)).chunks())


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::ResourceWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_a_file_that_is_cut_is_refused_or_gives_every_row(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / name
    FILES[name](path)
    assert count(path) == ROWS
    part = path.with_suffix(suffix) if suffix else path
    content = part.read_bytes()
    rng = np.random.default_rng(len(content))
    lengths = {len(content) - 1, len(content) - 40, *rng.integers(1, len(content), 6).tolist()}
    lengths |= set(range(512, len(content), 512)) if suffix == ".map" else set()
    refused = 0
    for length in sorted(lengths):
        part.write_bytes(content[:length])
        try:
            found = count(path)
        except BadInput:
            refused += 1
        else:
            assert found == ROWS, f"{len(content) - length} bytes less"
    assert refused >= len(lengths) // 2
    part.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput):
        count(path, sandbox.read)


def test_the_broken_record_of_a_sequence_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.geojsonl"
    sequence("")(path)
    lines = path.read_text().splitlines()
    lines[6] = lines[6][:30]
    path.write_text("\n\n".join(lines))
    with pytest.raises(BadInput, match=r"is no JSON in lines? 13"):
        count(path)


def test_parts_of_two_shapefiles_are_refused(tmp_path: Path) -> None:
    written("ESRI Shapefile")(tmp_path / "a.shp")
    features().head(50).to_file(tmp_path / "b.shp")
    (tmp_path / "a.dbf").write_bytes((tmp_path / "b.dbf").read_bytes())
    with pytest.raises(BadInput, match=r"60 shapes, a\.dbf 50 rows: they are of two files"):
        count(tmp_path / "a.shp")
    written("ESRI Shapefile")(tmp_path / "c.shp")
    for suffix in (".shp", ".shx"):
        (tmp_path / f"c{suffix}").write_bytes((tmp_path / f"b{suffix}").read_bytes())
    with pytest.raises(BadInput, match=r"50 shapes, c\.dbf 60 rows"):
        count(tmp_path / "c.shp")


def test_the_last_line_of_a_table_without_an_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, told in (("id,name\n1,a\n2,b", True), ("id,name\n1,a\n2,b\n", False), ("id\r1\r", False)):
        path.write_text(text, newline="")
        assert any("last line has no end" in note for note in reading.read(path).notes) is told


@pytest.mark.parametrize("name", ["a.json", "a.geojson"])
@pytest.mark.parametrize("read", [reading.read, sandbox.read])
def test_what_a_feature_server_answers_is_read(
    tmp_path: Path, name: str, read: Callable[..., Source]
) -> None:
    answer = {
        "objectIdFieldName": "OBJECTID", "geometryType": "esriGeometryPoint", "exceededTransferLimit": True,
        "spatialReference": {"wkid": 102100, "latestWkid": 3857},
        "fields": [
            {"name": "OBJECTID", "type": "esriFieldTypeOID"}, {"name": "AT", "type": "esriFieldTypeDate"},
            {"name": "NAME", "type": "esriFieldTypeString"},
        ],
        "features": [
            {
                "attributes": {"OBJECTID": at, "AT": 1417392000000, "NAME": f"n{at}"},
                "geometry": {"x": at, "y": 5000000},
            }
            for at in range(ROWS)
        ],
    }  # fmt: skip
    (tmp_path / name).write_text(json.dumps(answer))
    source = read(tmp_path / name)
    (chunk,) = source.chunks()
    assert source.crs == "EPSG:3857"
    assert any("and there are more" in note for note in source.notes)
    assert chunk.table["NAME"].to_pylist() == [f"n{at}" for at in range(ROWS)]
    assert chunk.table["AT"][0].as_py().startswith("2014-12-01T00:00:00")
    assert shapely.get_x(chunk.geometry).tolist() == [*range(ROWS)]


STRANGERS = [{"error": "timeout"}, {"type": "feature", "geometry": None}, "text", None, {}]


@pytest.mark.parametrize("member", STRANGERS)
@pytest.mark.parametrize("read", [reading.read, sandbox.read])
def test_members_that_are_no_features_are_not_passed_over(
    tmp_path: Path, member: object, read: Callable[..., Source]
) -> None:
    whole = json.loads(features().to_json())
    whole["features"].insert(1, member)
    (tmp_path / "a.geojson").write_text(json.dumps(whole))
    with pytest.raises(BadInput, match=r"1 of its 61 members are no features \(number 2\)"):
        list(read(tmp_path / "a.geojson").chunks())


def test_a_collection_too_large_to_look_into_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_texts, "MOST_READ", 1000)
    features().to_file(path := tmp_path / "a.geojson")
    assert any("would be left out without a word" in note for note in reading.read(path).notes)
    assert sum(len(chunk) for chunk in reading.read(path).chunks()) == ROWS
