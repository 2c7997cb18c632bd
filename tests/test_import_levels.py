"""Levels made by dissolving, shapes that collapse, and faults that say which refused row caused them."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.schema import grids
from tests import town

PICTURE = """
aabb
ccdd
eeff
"""
WEST = {"a": "N", "b": "N", "c": "N", "d": "S", "e": "S", "f": "S"}


def declared(levels: int) -> mapping.Mapping:
    ranks = [{"level": n, "name_zh": f"{n}级", "name_en": f"level {n}"} for n in range(1, levels + 1)]
    scheme = {"name": "safety", "title_zh": "平安", "title_en": "Safety", "default": True, "levels": ranks}
    return mapping.plain("grids", "test").model_copy(
        update={"schemes": [mapping.Scheme.model_validate(scheme)]}
    )


def leaves(level: int, **columns: Any) -> gpd.GeoDataFrame:
    units = town.draw(PICTURE)
    frame = gpd.GeoDataFrame({"code": list(units)}, geometry=list(units.values()), crs=4326)
    return frame.assign(**{"scheme": "safety", "level": level, "name": frame["code"],
                           "valid_from": date(2024, 1, 1)} | columns)  # fmt: skip


def bring(
    conn: Connection, frame: gpd.GeoDataFrame, to: Path, levels: int, dissolve: Sequence[str] = (),
    *, accept: bool = False,
) -> Outcome:  # fmt: skip
    options = Options(mapping=declared(levels), datum="wgs84", refused=to / "r.csv", dissolve=tuple(dissolve),
                      accept_faults=accept)  # fmt: skip
    return run(conn, "grids", from_frame(frame, "drawn"), options)


def added(frame: gpd.GeoDataFrame, **row: Any) -> gpd.GeoDataFrame:
    """A frame with a row more, otherwise like its first."""
    more = gpd.GeoDataFrame([dict(frame.iloc[0]) | row], geometry="geometry", crs=4326)
    return gpd.GeoDataFrame(pd.concat([frame.astype({"level": object}), more], ignore_index=True), crs=4326)


def stored(conn: Connection) -> dict[str, tuple[int, str | None, float]]:
    g = grids.c
    wkb = sa.func.ST_AsBinary(g.geom)
    rows = conn.execute(sa.select(g.code, g.level, g.parent_code, wkb))
    return {r[0]: (r[1], r[2], round(shapely.from_wkb(bytes(r[3])).area, 9)) for r in rows}


def test_parents_and_the_whole_are_made_of_parent_code(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(3, parent_code=[WEST[code] for code in "abcdef"])
    bring(conn, frame, tmp_path, 3, ["parent_code"])
    found = stored(conn)
    assert found["N"] == (2, "safety", 6e-4)
    assert found["S"] == (2, "safety", 6e-4)
    assert found["safety"] == (1, None, 12e-4)
    assert found["a"] == (3, "N", 2e-4)


def test_a_column_per_level_makes_each_level(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(4, county=["X"] * 3 + ["Y"] * 3, town=["X1", "X1", "X2", "Y1", "Y2", "Y2"])
    bring(conn, frame, tmp_path, 4, ["county", "town"])
    found = stored(conn)
    assert {code: found[code][:2] for code in ("X", "X1", "Y2", "f")} == {
        "X": (2, "safety"), "X1": (3, "X"), "Y2": (3, "Y"), "f": (4, "Y2"),
    }  # fmt: skip
    assert found["X1"][2] == 4e-4


@pytest.mark.parametrize(
    ("columns", "dissolve", "told"),
    [
        (
            {"parent_code": ["N", None, "N", "S", "S", None]},
            ["parent_code"],
            r"2 rows are refused .*row 2 \(b\): is empty; --dissolve needs .*row 6 \(f\): is empty",
        ),
        ({}, ["county"], "no column 'county'; the file has code, .*scheme"),
        ({"county": ["X"] * 6}, [], "does not exist"),
        (
            {"town": ["1", "1", "1", "2", "2", "2"], "county": list("XXYXYY")},
            ["county", "town"],
            "lies in two",
        ),
        ({"a": ["1"] * 6, "b": ["1"] * 6, "c": ["1"] * 6}, ["a", "b", "c"], "name a column for each"),
    ],
)
def test_what_cannot_be_dissolved_is_said(
    conn: Connection, tmp_path: Path, columns: dict[str, Any], dissolve: list[str], told: str
) -> None:
    levels = 4 if dissolve == ["county", "town"] else 3
    frame = leaves(levels, **columns)
    if not dissolve:
        frame["parent_code"] = "nobody"
    with pytest.raises(BadInput, match=told):
        bring(conn, frame, tmp_path, levels, dissolve)


def test_every_row_without_a_parent_is_in_the_refused_file(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(3, parent_code=["N", None, "N", "S", "S", None])
    with pytest.raises(BadInput, match="2 rows are refused"):
        bring(conn, frame, tmp_path, 3, ["parent_code"])
    refused = pd.read_csv(tmp_path / "r.csv", dtype=str)
    assert refused["row"].tolist() == ["2", "6"]
    assert refused["code"].tolist() == ["b", "f"]


@pytest.mark.parametrize("name", ["name", "kind", "level", "scheme", "parent_code"])
def test_a_column_of_the_file_goes_before_a_field_of_that_name(
    conn: Connection, tmp_path: Path, name: str
) -> None:
    """A police layer has the district's name in `name` and the beat's in `beat`."""
    frame = leaves(3).drop(columns=["name", "level", "scheme"])
    frame = frame.assign(**{name: [WEST[code] for code in "abcdef"]})
    known = declared(3)
    known = known.model_copy(
        update={
            "columns": known.columns | {"name": "code", "parent_code": "code"},
            "defaults": known.defaults | {"level": 3, "scheme": "safety", "kind": "beat"},
        }
    )
    for field in ("level", "scheme", "kind"):
        known.columns.pop(field, None)
    options = Options(mapping=known, datum="wgs84", refused=tmp_path / "r.csv", dissolve=(name,))
    done = run(conn, "grids", from_frame(frame, "drawn"), options)
    assert {code for code, (level, *_) in stored(conn).items() if level == 2} == {"N", "S"}
    assert not [note for note in done.notes if "does not use" in note and name in note.split(": ")[1]]


@pytest.mark.parametrize("written", ["county", "COUNTY", "Ｃounty"])
def test_a_column_is_named_as_headings_are_compared(conn: Connection, tmp_path: Path, written: str) -> None:
    bring(conn, leaves(3, **{"County (2020)": list("NNNSSS")}), tmp_path, 3, [written])
    assert {code for code, (level, *_) in stored(conn).items() if level == 2} == {"N", "S"}


def test_one_code_in_several_notations_makes_one_grid(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(4, county=["1", "1.0", " 1", "１", "2", "2.0"], town=["7", "7.0", "７", "7", "8", "8"])
    bring(conn, frame, tmp_path, 4, ["county", "town"])
    assert {code for code, (level, *_) in stored(conn).items() if level in (2, 3)} == {"1", "2", "7", "8"}


def test_numbers_that_lost_their_digits_are_no_codes_of_levels(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(3, county=[1.5] * 3 + [2.5] * 3)
    with pytest.raises(BadInput, match=r"6 rows are refused|every row was refused"):
        bring(conn, frame, tmp_path, 3, ["county"])
    assert (tmp_path / "r.csv").read_text("utf-8-sig").count("county") == 7


def test_a_refused_row_lacks_in_no_level_above_it_unless_that_is_accepted(
    conn: Connection, tmp_path: Path
) -> None:
    frame = leaves(3, parent_code=[WEST[code] for code in "abcdef"])
    frame.loc[2, "geometry"] = shapely.Polygon([(113, 27), (113.01, 27.01), (113.01, 27), (113, 27.01)])
    with pytest.raises(BadInput, match=r"1 rows are refused \(.*r.csv\), which every level above would lack"):
        bring(conn, frame, tmp_path, 3, ["parent_code"])
    assert stored(conn) == {}
    bring(conn, frame, tmp_path, 3, ["parent_code"], accept=True)
    assert len(stored(conn)) == 5 + 2 + 1


def test_a_slit_between_children_is_no_hole_of_their_parent(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(3, parent_code="N")
    slit = shapely.box(113.005, 27.03, 113.015, 27.030005)
    frame.loc[2, "geometry"] = frame.geometry[2].difference(slit)
    with pytest.raises(BadInput, match=r"1 gap .*safetymap mend"):
        bring(conn, frame, tmp_path, 3, ["parent_code"])
    bring(conn, frame, tmp_path, 3, ["parent_code"], accept=True)
    assert stored(conn)["N"][2] == 12e-4


COLLAPSING = shapely.Polygon(
    [(113.1, 27.1), (113.10000001, 27.1), (113.10000001, 27.10000001), (113.1, 27.10000001)]
)


@pytest.mark.parametrize("shape", [COLLAPSING, shapely.MultiPolygon([COLLAPSING])])
def test_a_row_of_which_rounding_leaves_nothing_is_refused(
    conn: Connection, tmp_path: Path, shape: shapely.Polygon
) -> None:
    frame = added(leaves(1), code="z", name="z", geometry=shape)
    done = bring(conn, frame, tmp_path, 1)
    assert (done.refused, done.accepted) == (1, 6)
    assert "collapses" in next(iter(done.reasons))[1]


def test_a_part_that_collapses_is_dropped_and_told(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(1)
    frame.loc[0, "geometry"] = shapely.union(frame.geometry[0], COLLAPSING)
    done = bring(conn, frame, tmp_path, 1)
    assert done.refused == 0
    assert any("left out" in note or "rings without ground" in note for note in done.notes)


def test_a_gap_left_by_a_refused_row_names_it(conn: Connection, tmp_path: Path) -> None:
    frame = leaves(2, parent_code="T")
    whole = shapely.union_all(frame.geometry)
    frame = added(frame, code="T", name="T", level=1, parent_code=None, geometry=whole)
    frame.loc[3, "level"] = 7
    with pytest.raises(BadInput, match="no coverage"):
        bring(conn, frame, tmp_path, 2)
    (file,) = tmp_path.glob("*.faults.geojson")
    told = [f["properties"]["message_en"] for f in json.loads(file.read_text())["features"]]
    assert any("row 4 (d), which lay there, was refused" in one for one in told)
