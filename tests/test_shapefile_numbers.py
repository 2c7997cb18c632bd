"""Numbers of a Shapefile's table that GDAL misreads come as they are written, to be refused or read by us."""

from pathlib import Path

import pandas as pd
import pyogrio
import pytest
import shapely

from gis.importing import sandbox
from gis.importing.source import ReadOptions

COUNT = 4


def _written(
    folder: Path, column: pd.Series, cells: dict[int, str], deleted: int | None = None
) -> list[object]:
    """Return a column of a Shapefile in which the bytes of some cells are changed, as the importer has it."""
    file = folder / "t.shp"
    frame = pd.DataFrame({"name": [f"n{at}" for at in range(COUNT)], "floors": column})
    shapes = shapely.to_wkb([shapely.Point(at, at) for at in range(COUNT)])
    fields = [frame[name].to_numpy() for name in frame]
    pyogrio.raw.write(file, shapes, fields, list(frame), geometry_type="Point", crs="EPSG:4326")
    table = bytearray(file.with_suffix(".dbf").read_bytes())
    first, width = int.from_bytes(table[8:10], "little"), int.from_bytes(table[10:12], "little")
    begin, size = 1 + table[32 + 16], table[64 + 16]
    for at, text in cells.items():
        start = first + at * width + begin
        table[start : start + size] = (text * size if text == "*" else text).rjust(size)[:size].encode()
    if deleted is not None:
        table[first + deleted * width] = ord("*")
    file.with_suffix(".dbf").write_bytes(table)
    [chunk] = sandbox.read(file, ReadOptions()).chunks()
    assert chunk.table["name"].to_pylist() == [f"n{at}" for at in range(COUNT) if at != deleted]
    return list(chunk.table["floors"].to_pylist())


WHOLE, REAL = pd.Series([1, 2, 3, 4]), pd.Series([1.5, 2.5, 3.5, 4.5])


@pytest.mark.parametrize("text", ["5e2", "1,5", "12 m", "0x10", "1.2.3", "--1"])
def test_what_is_no_plain_number_comes_as_it_is_written(tmp_path: Path, text: str) -> None:
    assert _written(tmp_path, WHOLE, {1: text}) == ["1", text, "3", "4"]


def test_a_number_that_had_no_room_is_no_gap(tmp_path: Path) -> None:
    _, said, *_ = _written(tmp_path, WHOLE, {1: "*"})
    assert set(str(said)) == {"*"}


def test_a_deleted_record_moves_no_number(tmp_path: Path) -> None:
    assert _written(tmp_path, WHOLE, {2: "5e2"}, deleted=1) == ["1", "5e2", "4"]


@pytest.mark.parametrize(("column", "cells", "read"), [
    (WHOLE, {}, [1, 2, 3, 4]), (WHOLE, {1: " "}, [1, None, 3, 4]), (WHOLE, {1: "-7"}, [1, -7, 3, 4]),
    (REAL, {1: "1.5e+003"}, [1.5, 1500.0, 3.5, 4.5]), (REAL, {}, [1.5, 2.5, 3.5, 4.5]),
])  # fmt: skip
def test_what_gdal_reads_rightly_keeps_its_type(
    tmp_path: Path, column: pd.Series, cells: dict[int, str], read: list[object]
) -> None:
    assert _written(tmp_path, column, cells) == read
