"""Chicago's real data through the command's own path: every row accounted for, owners that agree."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import loading
from gis.cells import RESOLUTIONS
from gis.importing import ground
from gis.importing.job import Outcome

pytestmark = pytest.mark.realdata
ROWS = {
    "categories": 37, "grids": 544, "incidents": 321_952, "cameras": 510, "responders": 121,
    "buildings": 6_049, "roads": 42_693,
}  # fmt: skip
LARGE = {"incidents": "incidents.parquet", "roads": "road_edges_derived.parquet"}
"""Files of which a short run takes every eighth row; `make prove` takes all."""


@pytest.fixture(scope="module", params=[8, pytest.param(1, marks=pytest.mark.slow)], ids="every {}".format)
def folder(request: pytest.FixtureRequest, realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of Chicago, the large ones thinned."""
    there = tmp_path_factory.mktemp("chicago")
    for file in (realdata / "chicago").glob("*.parquet"):
        table = pq.read_table(file)
        kept = range(0, len(table), request.param if file.name in LARGE.values() else 1)
        pq.write_table(table.take(list(kept)), there / file.name)
    return there


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, int]:
    """How many rows each kind has."""
    return ROWS | {kind: pq.read_metadata(folder / name).num_rows for kind, name in LARGE.items()}


@pytest.fixture(scope="module")
def loaded(engine: Engine, folder: Path) -> Iterator[tuple[Connection, list[Outcome]]]:
    """Chicago in a transaction that is rolled back."""
    with engine.connect() as conn:
        wanted, parts = loading.chicago(folder)
        yield conn, loading.load(conn, wanted, parts, telling=lambda _kind, _source: lambda _rows: None)
        conn.rollback()


REFUSED = dict.fromkeys(ROWS, 0) | {"cameras": 10}
"""Ten addresses hold replacement signs (U+FFFD): the file was decoded wrongly before it was published."""


def test_every_row_of_every_file_is_accepted_or_refused(
    loaded: tuple[Connection, list[Outcome]], rows: dict[str, int]
) -> None:
    _, outcomes = loaded
    assert {one.kind: one.rows for one in outcomes} == rows
    assert {one.kind: one.refused for one in outcomes} == REFUSED
    assert {one.kind: one.inserted + one.refused for one in outcomes} == rows
    assert {field for one in outcomes for field, _ in one.reasons} == {"address"}


def test_the_schemes_hold_their_grids(loaded: tuple[Connection, list[Outcome]]) -> None:
    conn, _ = loaded
    got = conn.execute(sa.text("SELECT scheme, level, count(*) FROM grids GROUP BY 1, 2 ORDER BY 1, 2")).all()
    police = [("police", 1, 1), ("police", 2, 23), ("police", 3, 68), ("police", 4, 275)]
    assert [tuple(row) for row in got] == [("community_area", 1, 77), *police, ("ward", 1, 100)]
    wards = conn.execute(sa.text("SELECT count(*) FROM grid_codes WHERE scheme = 'ward'")).scalar_one()
    assert wards == 50


def test_the_cells_sum_to_the_incidents_at_each_resolution(
    loaded: tuple[Connection, list[Outcome]], rows: dict[str, int]
) -> None:
    conn, _ = loaded
    for res in RESOLUTIONS:
        counted = f"SELECT cell_{res} AS cell, count(*) AS n FROM incidents GROUP BY 1"
        known = sa.text(f"SELECT sum(n) FROM ({counted}) c JOIN cells USING (cell) WHERE res = {res}")
        assert conn.execute(known).scalar_one() == rows["incidents"]


def test_owners_agree_with_the_recorded_beats(loaded: tuple[Connection, list[Outcome]], folder: Path) -> None:
    conn, _ = loaded
    rows = conn.execute(
        sa.text(
            "SELECT grid_code, recorded_grid, ST_X(geom) AS lon, ST_Y(geom) AS lat "
            "FROM incidents WHERE recorded_grid IS NOT NULL"
        )
    ).all()
    recorded = pq.read_table(folder / "incidents.parquet", columns=["beat"])["beat"]
    assert len(rows) == len(recorded) - recorded.null_count
    others = [row for row in rows if row.grid_code != row.recorded_grid]
    assert 1 - len(others) / len(rows) >= 0.91
    lon, lat = np.array([row.lon for row in others]), np.array([row.lat for row in others])
    shapes = ground.load(conn).shape_of(np.array([row.recorded_grid for row in others], dtype=object))
    assert np.mean(ground.metres_apart(shapes, lon, lat) <= 30) >= 0.98


def test_a_second_load_finds_it_there(loaded: tuple[Connection, list[Outcome]]) -> None:
    conn, _ = loaded
    assert loading.is_loaded(conn, loading.CHICAGO)
    assert not loading.is_loaded(conn, loading.zhuzhou_city("small"))
