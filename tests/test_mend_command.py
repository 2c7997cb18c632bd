"""The command `safetymap mend`: what it lists, what it writes, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import openpyxl
import pytest
import shapely
from typer.testing import CliRunner

from api.cli import app
from gis import coverage, faults
from tests.test_contested import box

A, B = box(0, 0, 1.2, 1), box(1, 0, 2, 1)
SLIT = box(2, 0.2, 2.0004, 0.8)
LAKE = box(2.4, 0.4, 2.6, 0.6)
D = box(2, 0, 3, 1).difference(SLIT).difference(LAKE)


def write(folder: Path, suffix: str, **shapes: Any) -> Path:
    file = folder / f"grids{suffix}"
    names = [f"grid {code}" for code in shapes]
    table = gpd.GeoDataFrame({"code": list(shapes), "name": names}, geometry=list(shapes.values()), crs=4326)
    table.to_file(file)
    return file


def mend(*words: Any) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["mend", *map(str, words)])
    return done.exit_code, " ".join(done.output.split())


def listed(file: Path) -> list[dict[str, Any]]:
    told = json.loads(file.with_suffix(".proposals.geojson").read_text(encoding="utf-8"))
    return [one["properties"] | {"area": shapely.geometry.shape(one["geometry"])} for one in told["features"]]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_proposals_are_listed_with_areas_and_nothing_is_written(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path, suffix, A=A, B=B, D=D)
    before = file.read_bytes()
    code, said = mend(file)
    assert code == 0, said
    assert file.read_bytes() == before
    found = listed(file)
    assert [(p["kind"], p["to"], p["sure"]) for p in found] == [
        ("overlap", "B", True), ("hole", "D", False), ("gap", "D", True)]  # fmt: skip
    for one, shape in zip(found, [A & B, LAKE, SLIT], strict=True):
        assert one["area_m2"] == pytest.approx(coverage.areas_m2(shape)[0], rel=1e-3)
        assert coverage.areas_m2(one["area"].symmetric_difference(shape))[0] < 1
        assert not one["accepted"]
    assert "3 proposals" in said
    assert "(may be meant)" in said


def test_what_is_accepted_is_written_and_every_square_metre_told(tmp_path: Path) -> None:
    file, out = write(tmp_path, ".gpkg", A=A, B=B, D=D), tmp_path / "mended.gpkg"
    code, said = mend(file, "--accept", "sure", "--out", out)
    assert code == 0, said
    after = gpd.read_file(out).set_index("code")
    assert list(after["name"]) == ["grid A", "grid B", "grid D"]
    shapes = dict(after.geometry.map(lambda one: one.geoms[0] if one.geom_type == "MultiPolygon" else one))
    assert [f.kind for f in faults.check(shapes) if f.severity == "error"] == []
    moved = {"A": A, "B": B, "D": D}
    lost = sum(coverage.areas_m2(moved[c].symmetric_difference(shapes[c]))[0] for c in moved)
    accepted = [one["area_m2"] for one in listed(out) if one["accepted"]]
    assert len(accepted) == 2
    assert lost == pytest.approx(sum(accepted), abs=1)
    assert f"2 proposals accepted, {sum(accepted):.1f} m² moved" in said
    assert shapes["D"].interiors, "the lake may be meant and stays"
    code, said = mend(file, "--accept", "2", "--out", out)
    assert (code, [one["accepted"] for one in listed(out)]) == (0, [False, True, False])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--code", "nummer"], "a column 'nummer'; it has fid, code, name"),
        (["--out", "x.gpkg"], "say which proposals to accept"),
        (["--accept", "4"], "there is no proposal 4; there are 3"),
        (["--accept", "some"], "neither sure, all, nor numbers"),
    ],
)
def test_a_refusal_says_what_to_do(tmp_path: Path, words: list[str], said: str) -> None:
    file = write(tmp_path, ".gpkg", A=A, B=B, D=D)
    words = [str(tmp_path / word) if word.endswith(".gpkg") else word for word in words]
    code, told = mend(file, *words)
    assert code == 1
    assert list(tmp_path.iterdir()) == [file], "nothing is written"
    assert said in told
    assert "Traceback" not in told


def test_rows_without_ground_and_codes_that_occur_twice_are_told(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame({"code": ["A", "B", "A"]}, geometry=[A, None, B], crs=4326)
    table.to_file(file := tmp_path / "twice.gpkg")
    code, said = mend(file)
    assert code == 0, said
    assert "1 rows have no ground that can be read and are left out: 2 (B)" in said
    assert [p["codes"] for p in listed(file)] == [["A", "A (row 2)"]]


@pytest.mark.slow
def test_four_thousand_grids_are_mended_without_a_fault(tmp_path: Path) -> None:
    """4,096 grids of wiggly borders with 200 seeded overlaps and gaps; nothing is left of them."""
    rng = np.random.default_rng(3)
    shapes = wiggly(64)
    for code in rng.choice(sorted(shapes), 200, replace=False):
        x, y = (int(one) for one in code.split("-"))
        bite = box(x / 10 + 0.09, y / 10 + 0.02, x / 10 + rng.uniform(0.1001, 0.13), y / 10 + 0.06)
        shapes[code] = shapes[code].union(bite) if rng.random() < 0.5 else shapes[code].difference(bite)
    units = dict(zip(shapes, coverage.to_units(coverage.snap(list(shapes.values()))[0]), strict=True))
    file, out = write(tmp_path, ".fgb", **shapes), tmp_path / "mended.fgb"
    code, said = mend(file, "--accept", "all", "--out", out)
    assert code == 0, said
    after = gpd.read_file(out)
    there = dict(zip(after.code, after.geometry, strict=True))
    assert [f for f in faults.check(there, advice=False) if f.severity == "error"] == []
    assert len(there) == len(units) == 4096


def wiggly(side: int) -> dict[str, Any]:
    """Square grids of a thousandth of a degree whose borders run on twenty vertices a side."""
    steps = np.linspace(0, 1, 21)
    wave = 0.004 * np.sin(np.arange(21) * 2.4) * (np.arange(21) % 20 > 0)
    ring = np.vstack([
        np.column_stack([steps, wave]), np.column_stack([1 + wave, steps]),
        np.column_stack([steps, 1 + wave])[::-1], np.column_stack([wave, steps])[::-1],
    ])  # fmt: skip
    return {
        f"{x}-{y}": shapely.Polygon(np.round((ring + np.array([x, y])) * 10_000) / 1e7 + [113, 27])
        for x in range(side) for y in range(side)
    }  # fmt: skip


def test_a_workbook_of_several_levels_is_mended_and_its_upper_grids_made_anew(tmp_path: Path) -> None:
    """Numbers and words as an office writes them; the parent reaches beyond its children on one side."""
    town, sound = box(0, 0, 2.2, 1), box(2.2, 0, 3, 1)
    rows = [
        ("网格编码", "网格名称", "层级", "上级编码", "边界"),
        (430281, "某市", "县级市", 4302, box(0, 0, 3, 1).wkt),
        (430281001, "东镇", "镇", 430281, town.wkt), (430281002, "西乡", "乡", 430281, sound.wkt),
        (430281001001, "一村", "村", 430281001, A.wkt), (430281001002, "二村", "村", 430281001, B.wkt),
        (430281002001, "三村", "村", 430281002, sound.wkt), (430281002002, "无边", "村", 430281002, None),
    ]  # fmt: skip
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.create_sheet("其他").append(["x"])
    book.save(file := tmp_path / "网格.xlsx")
    code, said = mend(file, "--layer", "Sheet", "--accept", "all", "--out", out := tmp_path / "mended.gpkg")
    assert code == 0, said
    assert "1 rows have no ground that can be read and are left out: 7 (430281002002)" in said
    strip = coverage.areas_m2(box(2, 0, 2.2, 1))[0]
    assert [p["kind"] for p in listed(out)] == ["overlap"]
    after = gpd.read_file(out)
    assert list(after.columns) == ["网格编码", "网格名称", "层级", "上级编码", "geometry"]
    shapes = {str(of): shape for of, shape in zip(after["网格编码"], after.geometry, strict=True)}
    village = shapes["430281001001"] | shapes["430281001002"]
    assert shapes["430281001"].equals(village)
    assert shapes["430281"].equals(village | shapes["430281002"])
    assert village.intersection(shapes["430281002"]).area == 0
    assert "3 grids above others are made anew of those below them; 2 differ" in said
    assert f"430281001 {strip:.1f} m²" in said


def test_grids_above_each_other_are_refused(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame(
        {"code": ["A", "B", "D"], "parent_code": ["B", "A", "A"], "level": [1, 2, 3]},
        geometry=[A, B, D],
        crs=4326,
    )
    table.to_file(file := tmp_path / "round.gpkg")
    code, said = mend(file, "--accept", "all", "--out", tmp_path / "out.gpkg")
    assert code == 1
    assert "parent_code: A lies above itself" in said


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_columns_of_many_kinds_are_written_as_they_were(tmp_path: Path, suffix: str) -> None:
    kinds = {
        "tags": [["a", "b"], ["c"]], "flag": [True, None], "fid": [7, 9], "day": ["2026-01-01", None],
        "big": [2**53 + 1, 0], "parent_code": [43028100100100001, None],
    }  # fmt: skip
    rows = [
        {
            "type": "Feature", "geometry": shapely.geometry.mapping(shape),
            "properties": {"code": code} | {name: values[at] for name, values in kinds.items()},
        }
        for at, (code, shape) in enumerate({"A": A, "B": B}.items())
    ]  # fmt: skip
    file, out = tmp_path / "in.geojson", tmp_path / f"out{suffix}"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    code, said = mend(file, "--accept", "all", "--out", out)
    assert code == 0, said
    found = gpd.read_file(out, fid_as_index=True).sort_values("code")
    assert [list(json.loads(one) if isinstance(one, str) else one) for one in found["tags"]] == kinds["tags"]
    assert found["flag"].iloc[0] in (True, 1)
    assert found["flag"].isna().iloc[1]
    assert list(found["big"]) == kinds["big"]
    written = gpd.read_file(
        out, use_arrow=True, fid_as_index=True, arrow_to_pandas_kwargs={"integer_object_nulls": True}
    )
    assert written.sort_values("code")["parent_code"].iloc[0] == kinds["parent_code"][0]


@pytest.mark.parametrize("name", ["Code", "geom", "GEOM"])
def test_names_that_a_geopackage_takes_for_one_are_refused(tmp_path: Path, name: str) -> None:
    table = gpd.GeoDataFrame({"code": ["A", "B"], name: ["x", "y"]}, geometry=[A, B], crs=4326)
    table.to_file(tmp_path / "in.geojson")
    code, said = mend(
        tmp_path / "in.geojson", "--code", "code", "--accept", "all", "--out", tmp_path / "o.gpkg"
    )
    assert code
    assert f"column {name} is one with" in said
    assert "write .geojson" in said
    assert not (tmp_path / "o.gpkg").exists()
