"""A layer written to a file comes back whole, and a spreadsheet runs nothing."""

from functools import partial
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from sqlalchemy.engine import Connection

from api import exporting
from gis.errors import NotFound
from gis.exporting.files import WRITERS
from gis.importing import sandbox
from gis.importing.source import ReadOptions
from layers import refresh
from tests import town


@pytest.fixture
def settled(conn: Connection) -> Connection:
    """The town with two houses, one of whose addresses is a formula."""
    town.add_grids(conn)
    batch = town.add_city(conn)
    town.add_building(conn, batch, "小镇一路1号", town.at(0.7, 0.7))
    town.add_building(conn, batch, "=HYPERLINK(1)", town.at(5, 4.5))
    town.add_incidents(conn, batch, [town.at(1, 1), town.at(2, 2)])
    return conn


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".fgb", ".geojson"])
def test_geometry_and_properties_come_back(settled: Connection, tmp_path: Path, suffix: str) -> None:
    rows = exporting.rows_of(settled, exporting.find("buildings"))
    file = tmp_path / f"buildings{suffix}"
    exporting.write_view(rows, file)
    back = gpd.read_parquet(file) if suffix == ".parquet" else gpd.read_file(file)
    back = back.sort_values("address", ignore_index=True)
    assert back["address"].tolist() == ["=HYPERLINK(1)", "小镇一路1号"]
    assert back.geometry.geom_equals_exact(
        rows.sort_values("address", ignore_index=True).geometry, 1e-9
    ).all()
    assert back.crs == 4326


@pytest.mark.parametrize(
    ("suffix", "read"), [(".csv", pd.read_csv), (".xlsx", partial(pd.read_excel, engine="openpyxl"))]
)
def test_a_spreadsheet_runs_nothing(settled: Connection, tmp_path: Path, suffix: str, read: object) -> None:
    file = tmp_path / f"buildings{suffix}"
    exporting.write_view(exporting.rows_of(settled, exporting.find("buildings")), file)
    table = read(file)  # type: ignore[operator]
    assert table["address"].tolist() == ["小镇一路1号", "'=HYPERLINK(1)"]
    assert table["lon"].tolist() == pytest.approx([town.at(0.7, 0)[0], town.at(5, 0)[0]])


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(NotFound, match="there is no layer dossiers"):
        exporting.find("dossiers")


def test_refresh_says_the_same_twice(settled: Connection) -> None:
    assert [step(settled) for step in refresh.STEPS] == [step(settled) for step in refresh.STEPS]
    assert refresh.cells_agree(settled) == "2 incidents at 5 resolutions"


def test_refresh_finds_a_cell_that_was_lost(settled: Connection) -> None:
    settled.execute(refresh.t.cells.delete().where(refresh.t.cells.c.res == 9))
    with pytest.raises(refresh.CountsDiffer, match="resolution 9: 0 incidents in cells, 2 in the table"):
        refresh.cells_agree(settled)


@pytest.mark.parametrize("text", ["a\r\nb", "a\rb", "_x000D_", "_x005F_x000D_", "_x00e9_ _x12_", "a\nb"])
def test_a_workbooks_cells_are_read_as_they_were(tmp_path: Path, text: str) -> None:
    file = tmp_path / "texts.xlsx"
    WRITERS[".xlsx"](pd.DataFrame({"code": ["1"], "description": [text]}), file)
    [chunk] = sandbox.read(file, ReadOptions()).chunks()
    assert chunk.table["description"].to_pylist() == [text]
