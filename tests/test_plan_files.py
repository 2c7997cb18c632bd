"""Plans as files: out to other tools and in again, exact; errors of a map drawn elsewhere are shown."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import coverage, plan_files
from gis.errors import BadInput, NotDrawable
from gis.importing.source import ReadOptions
from gis.redraw import apply
from gis.settle import Coverage, Grid, total
from gis.spare import cover
from tests import town as drawn
from tests.towns import ORIGIN, STEP, archipelago, outline, square, town


def draft() -> Coverage:
    """Twenty-five ragged grids under one parent."""
    grids = town(5, 2)
    rows = [Grid(code, 5, "P", f"网格{code}") for code in grids]
    return cover([*rows, Grid("P", 4, None, "社区")], {c: coverage.to_degrees(g) for c, g in grids.items()})


def out_and_in(cov: Coverage, form: str, folder: Path) -> gpd.GeoDataFrame:
    path = folder / f"plan.{form.removeprefix('shp.')}"
    path.write_bytes(plan_files.write(cov, {}, form))
    return plan_files.read(path)


@pytest.mark.parametrize("form", plan_files.FORMATS)
def test_out_and_in_again_changes_nothing(form: str, tmp_path: Path) -> None:
    cov = draft()
    back = out_and_in(cov, form, tmp_path)
    assert sorted(back["code"]) == sorted(cov.shapes)
    assert set(back["name"]) == {grid.name for grid in cov.grids.values() if grid.level == 5}
    brought = plan_files.bring(cov, back)
    assert (brought.step, brought.faults) == (None, [])


def test_parts_of_one_are_what_they_were(tmp_path: Path) -> None:
    """A GIS keeps every polygon of a layer as a MultiPolygon."""
    cov = draft()
    back = out_and_in(cov, "gpkg", tmp_path)
    back["geometry"] = [shapely.MultiPolygon([shape]) for shape in back.geometry]
    brought = plan_files.bring(cov, back)
    assert (brought.step, brought.faults) == (None, [])
    back.loc[0, "name"] = "码头网格"
    step = plan_files.bring(cov, back).step
    assert step is not None
    assert [one["code"] for one in step["grids"]] == [back["code"][0]]


def _with_middles(shape: shapely.Geometry) -> shapely.Geometry:
    """A shape with further vertices along its edges, on the whole units beside them."""
    units = coverage.to_units(shape)
    longest = units.length / shapely.get_num_coordinates(units) / 2
    more = shapely.transform(shapely.segmentize(units, longest), np.round)
    degrees: shapely.Geometry = coverage.to_degrees(more)
    return degrees


@pytest.mark.parametrize("form", plan_files.FORMATS)
@pytest.mark.parametrize("what", ["vertices", "blanks", "both"])
def test_what_draws_nothing_is_no_step(form: str, what: str, tmp_path: Path) -> None:
    """Vertices along the edges, as other tools put them in; blanks around names, which a file loses."""
    cov = draft()
    if what != "vertices":
        cov = replace(cov, grids={c: replace(g, name=f" {g.name} ") for c, g in cov.grids.items()})
    back = out_and_in(cov, form, tmp_path)
    if what != "blanks":
        back["geometry"] = [_with_middles(shape) for shape in back.geometry]
    brought = plan_files.bring(cov, back)
    assert (brought.step, brought.faults) == (None, [])
    back.loc[0, "name"] = "码头网格"
    step = plan_files.bring(cov, back).step
    assert step is not None
    changed = {code for code, grid in apply(cov, step).grids.items() if grid != cov.grids[code]}
    assert changed == {back["code"][0]}


def test_what_a_shapefile_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Its texts hold 254 bytes, 84 Chinese characters: longer names would come back cut off."""
    for length, holds in ((84, True), (85, False), (200, False)):
        cov = draft()
        cov = replace(cov, grids=dict(cov.grids) | {"0202": replace(cov.grids["0202"], name="名" * length)})
        if holds:
            assert plan_files.bring(cov, out_and_in(cov, "shp.zip", tmp_path)).step is None
        else:
            with pytest.raises(BadInput, match=r"0202.*254 bytes.*gpkg"):
                plan_files.write(cov, {}, "shp.zip")
        assert plan_files.bring(cov, out_and_in(cov, "gpkg", tmp_path)).step is None


@pytest.mark.parametrize("form", plan_files.FORMATS)
def test_borders_drawn_elsewhere_come_in_as_a_step(form: str, tmp_path: Path) -> None:
    cov = draft()
    ends = ORIGIN + np.array([[2.5, 1.5], [2.5, 3.5]]) * STEP
    line = shapely.LineString(ends / coverage.UNITS_PER_DEGREE)
    elsewhere = apply(cov, {"op": "split", "code": "0202", "line": line, "into": ["0299"]})
    elsewhere = apply(elsewhere, {"op": "merge", "codes": ["0404", "0403"]})
    elsewhere = apply(elsewhere, {"op": "rename", "code": "0000", "name": "码头网格"})
    brought = plan_files.bring(cov, out_and_in(elsewhere, form, tmp_path))
    assert brought.faults == []
    assert brought.step
    assert brought.step["gone"] == ["0403"]
    there = apply(cov, brought.step)
    assert {c: s.wkb for c, s in there.shapes.items()} == {c: s.wkb for c, s in elsewhere.shapes.items()}
    assert there.grids["0299"].parent == "P"
    assert there.grids["0000"].name == "码头网格"
    assert total(there.shapes.values()).equals(elsewhere.outline())


@pytest.mark.parametrize("form", plan_files.FORMATS)
def test_a_file_has_every_vertex_to_the_last_digit(form: str, tmp_path: Path) -> None:
    """Five nines behind the point are no rounding error: 113.1999993 is not 113.2."""
    cells = {
        "A": shapely.box(113.1999993, 27.0000001, 113.2999999, 27.0999991),
        "B": shapely.box(113.2999999, 27.0000001, 113.4000006, 27.0999991),
    }
    cov = cover([Grid("P", 1), *(Grid(code, 2, "P") for code in cells)], cells)
    frame = out_and_in(cov, form, tmp_path)
    found = dict(zip(frame["code"], frame.geometry, strict=True))
    assert {c: set(map(tuple, shapely.get_coordinates(found[c]).tolist())) for c in cells} == {
        c: set(map(tuple, shapely.get_coordinates(cells[c]).tolist())) for c in cells
    }
    assert plan_files.bring(cov, frame).step is None


def test_errors_are_found_with_their_place(tmp_path: Path) -> None:
    cov = draft()
    frame = out_and_in(cov, "geojson", tmp_path)
    at = list(frame["code"]).index("0202")
    frame.loc[at, "geometry"] = frame.geometry[at].buffer(3e-5)
    brought = plan_files.bring(cov, frame)
    assert brought.step is None
    assert {fault.kind for fault in brought.faults} == {"overlap"}
    assert all("0202" in fault.codes for fault in brought.faults)
    frame.loc[at, "geometry"] = cov.geometry("0202").buffer(-3e-5)
    assert {fault.kind for fault in plan_files.bring(cov, frame).faults} == {"gap"}
    assert {fault.kind for fault in plan_files.bring(cov, frame.drop(index=at)).faults} == {"gap"}


def test_ground_that_was_nobody_s_may_be_taken_in_or_stay(tmp_path: Path) -> None:
    grids = archipelago(5, 0)
    frame = outline(grids)
    lake = square(grids["0202"], STEP // 4)
    grids["0202"] = grids["0202"].difference(lake)
    rows = [*(Grid(code, 5, "P") for code in grids), Grid("P", 4)]
    cov = cover(rows, {c: coverage.to_degrees(g) for c, g in grids.items()}, coverage.to_degrees(frame))
    back = out_and_in(cov, "gpkg", tmp_path)
    assert plan_files.bring(cov, back).step is None
    at = list(back["code"]).index("0202")
    back.loc[at, "geometry"] = coverage.to_degrees(grids["0202"].union(lake))
    brought = plan_files.bring(cov, back)
    assert brought.step
    assert "" not in apply(cov, brought.step).shapes


def test_adopting_proves_what_it_is_given() -> None:
    cov = draft()
    wrong = shapely.geometry.mapping(coverage.to_degrees(cov.shapes["0101"].buffer(500)))
    with pytest.raises(NotDrawable):
        apply(cov, {"op": "adopt", "grids": [{"code": "0101", "parent": "P", "shape": wrong}]})


def test_what_is_no_such_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "plan.geojson"
    path.write_text("{}")
    with pytest.raises(BadInput):
        plan_files.read(path)
    gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326).to_file(path)
    with pytest.raises(BadInput, match="column `code`"):
        plan_files.read(path)
    gpd.GeoDataFrame({"code": [" "]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326).to_file(path)
    with pytest.raises(BadInput, match="row 1"):
        plan_files.read(path)


NAMES = [([1], "several values"), (True, "row 1"), ("a\nb", "control sign")]


@pytest.mark.parametrize(("name", "says"), NAMES, ids=str)
def test_a_name_is_one_text(tmp_path: Path, name: object, says: str) -> None:
    shape = shapely.geometry.mapping(shapely.box(0, 0, 1, 1))
    feature = {"type": "Feature", "properties": {"code": "A", "name": name}, "geometry": shape}
    path = tmp_path / "plan.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(BadInput, match=says) as told:
        plan_files.read(path)
    assert told.value.field == "name"


FORMULAS = ["=1+1", "-东门", "@A1", "+cmd|' /C calc'!A0", '=HYPERLINK("x")']


@pytest.mark.parametrize("form", plan_files.FORMATS)
@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_comes_back_where_it_was(form: str, text: str, tmp_path: Path) -> None:
    """No format of plan files has formulas: what one plan writes is read into it, and into another."""
    cov = draft()
    named = replace(cov, grids={**cov.grids, "0000": replace(cov.grids["0000"], name=text)})
    back = out_and_in(named, form, tmp_path)
    brought = plan_files.bring(named, back)
    assert (brought.step, brought.faults) == (None, [])
    step = plan_files.bring(cov, back).step
    assert step is not None
    assert apply(cov, step).grids["0000"].name == text
    at = list(back["code"]).index("0101")
    back.loc[at, "code"] = text
    step = plan_files.bring(cov, back).step
    assert step is not None
    there = apply(cov, step)
    assert text in there.grids
    assert "0101" not in there.grids
    again = plan_files.bring(there, out_and_in(there, form, tmp_path))
    assert (again.step, again.faults) == (None, [])
    back.loc[at, "parent"] = text
    with pytest.raises(BadInput, match="is no grid above the lowest of this draft") as refused:
        plan_files.bring(cov, back)
    assert refused.value.field == "parent"


def test_the_only_layer_of_a_geopackage_is_taken_whatever_its_name(tmp_path: Path) -> None:
    cov = draft()
    path = tmp_path / "plan.gpkg"
    lowest, _ = plan_files.frames(cov, {})
    lowest.to_file(path, layer="drawn in QGIS")
    assert plan_files.bring(cov, plan_files.read(path)).step is None
    lowest.to_file(path, layer="again", mode="a")
    with pytest.raises(BadInput, match="drawn in QGIS, again"):
        plan_files.read(path)
    assert len(plan_files.read(path, ReadOptions(layer="again"))) == len(lowest)


@pytest.mark.parametrize("parent", ["nobody", "0000"])
def test_a_parent_that_is_none_is_named(parent: str) -> None:
    cov = draft()
    drawn_, _ = plan_files.frames(cov, {})
    drawn_["parent"] = parent
    with pytest.raises(BadInput, match=f"'{parent}' of 0000 is no grid above the lowest") as told:
        plan_files.bring(cov, drawn_)
    assert told.value.field == "parent"


@pytest.fixture(scope="module")
def plan(engine: Engine, client: TestClient) -> int:
    with engine.begin() as conn:
        drawn.add_grids(conn)
        drawn.add_city(conn)
    return int(client.post("/plans", json={"scope": "T1", "title": "文件"}).json()["id"])


def test_over_http(client: TestClient, plan: int, tmp_path: Path) -> None:
    archive = tmp_path / "plan.zip"
    archive.write_bytes(client.get(f"/plans/{plan}/export?format=shp.zip").content)
    assert {Path(name).suffix for name in zipfile.ZipFile(archive).namelist()} >= {
        ".shp",
        ".dbf",
        ".prj",
        ".cpg",
    }
    path = tmp_path / "plan.geojson"
    path.write_bytes(client.get(f"/plans/{plan}/export?format=geojson").content)
    frame = gpd.read_file(path)
    a, b = (list(frame["code"]).index(code) for code in ("T1a", "T1b"))
    strip = shapely.box(*drawn.at(1.5, 3), *drawn.at(2, 0))
    frame.loc[b, "geometry"] = frame.geometry[b].union(strip)
    frame.to_file(path)
    broken = client.post(f"/plans/{plan}/import?name=plan.geojson", content=path.read_bytes())
    assert broken.status_code == 422
    assert "faults" in broken.json(), broken.text
    assert broken.json()["faults"]["features"][0]["properties"]["kind"] == "overlap"
    frame.loc[a, "geometry"] = frame.geometry[a].difference(strip)
    frame.to_file(path)
    done = client.post(f"/plans/{plan}/import?name=plan.geojson", content=path.read_bytes())
    assert done.status_code == 200, done.text
    assert {grid["properties"]["code"] for grid in done.json()["grids"]["features"]} >= {"T1a", "T1b"}
    assert done.json()["plan"]["can_undo"]
    assert client.post(f"/plans/{plan}/import?name=plan.exe", content=b"x").status_code == 422
    metres = json.dumps({"type": "FeatureCollection", "features": [_in_metres("T1a")]})
    refused = client.post(f"/plans/{plan}/import?name=plan.geojson", content=metres).json()
    assert refused["errors"][0]["name"] == "crs"
    assert "crs=" in refused["detail"]
    assert "--" not in refused["detail"]
    said = client.post(f"/plans/{plan}/import?name=plan.geojson&crs=EPSG:4547", content=metres).json()
    assert "coordinates are metres" not in said["detail"]


def _in_metres(code: str) -> dict[str, object]:
    shape = shapely.geometry.mapping(shapely.box(500000, 3e6, 500100, 3.0001e6))
    return {"type": "Feature", "properties": {"code": code}, "geometry": shape}
