"""Coordinates that mean nothing are no place: rows with an address are placed by it, others are refused."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import sqlalchemy as sa
from shapely import Point
from sqlalchemy.engine import Connection

from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.schema import incidents
from tests import town

FIXED = {
    "category": "0101", "source": "hotline", "colour": "blue", "state": "closed", "address": "人民路7号",
    "occurred_at": "2024-05-01T12:00:00+08:00",
}  # fmt: skip


@pytest.fixture
def store(conn: Connection) -> Connection:
    town.add_grids(conn)
    town.add_building(conn, town.add_city(conn), "人民路7号", town.at(1, 1))
    return conn


def bring(
    conn: Connection, data: pd.DataFrame, folder: Path, kind: str = "incidents", **more: object
) -> Outcome:
    said = {"nulls": ["0", "-1", "unknown"]} | more
    chosen = mapping.plain(kind, "t").model_copy(update=said)
    return run(conn, kind, from_frame(data, "f"), Options(mapping=chosen, refused=folder / "r.csv"))


def by_address(conn: Connection) -> int:
    return conn.execute(sa.select(sa.func.count()).where(incidents.c.placed_by == "address")).scalar_one()


PAIRS = [
    ("0", "0"),
    ("0.0", "0.0"),
    ("-1", "-1"),
    ("unknown", "unknown"),
    ("0", "-1"),
    ("", ""),
    (None, None),
]


def test_pairs_that_mean_nothing_leave_the_address(store: Connection, tmp_path: Path) -> None:
    lon, lat = zip(*PAIRS, strict=True)
    ids = [f"a{n}" for n in range(len(PAIRS))]
    outcome = bring(store, pd.DataFrame({"origin_id": ids, "lon": lon, "lat": lat} | FIXED), tmp_path)
    assert (outcome.refused, by_address(store)) == (0, len(PAIRS)), outcome.reasons


def test_numbers_as_numbers_too(store: Connection, tmp_path: Path) -> None:
    data = pd.DataFrame({"origin_id": ["1", "2"], "lon": [0.0, -1.0], "lat": [0.0, -1.0]} | FIXED)
    assert bring(store, data, tmp_path).refused == 0
    assert by_address(store) == 2


@pytest.mark.parametrize("order", ["lonlat", "latlon"])
def test_one_column_of_both(store: Connection, tmp_path: Path, order: str) -> None:
    written = ["0,0", "(0.0, 0.0)", "unknown", "POINT EMPTY", "POINT (0 0)", "-1 -1", None]
    data = pd.DataFrame({"origin_id": list("abcdefg"), "pos": written} | FIXED)
    outcome = bring(store, data, tmp_path, lon=None, lat=None, geometry=None, **{order: "pos"})
    assert (outcome.refused, by_address(store)) == (0, 7), outcome.reasons


def test_points_of_a_format_with_shapes(store: Connection, tmp_path: Path) -> None:
    shapes = [Point(0, 0), Point(-1, -1), Point(), None]
    data = gpd.GeoDataFrame({"origin_id": list("1234")} | FIXED, geometry=shapes, crs=4326)
    outcome = bring(store, data, tmp_path)
    assert (outcome.refused, by_address(store)) == (0, 4), outcome.reasons


def test_a_nought_beside_a_latitude_is_a_longitude(conn: Connection, tmp_path: Path) -> None:
    """Greenwich lies at 0 degrees east."""
    town.add_city(conn)
    data = pd.DataFrame({"origin_id": ["1", "2"], "lon": ["0", "0"], "lat": ["51.47", "0"], "kind": "dome"})
    outcome = bring(conn, data, tmp_path, "cameras")
    assert (outcome.inserted, outcome.refused) == (1, 1), outcome.reasons
    assert [field for field, _ in outcome.reasons] == ["lon"]


def test_nought_and_nought_are_no_place_where_nobody_said_so(conn: Connection, tmp_path: Path) -> None:
    town.add_city(conn)
    data = pd.DataFrame({"origin_id": ["1", "2"], "lon": [0.0, 113.0], "lat": [0.0, 27.0], "kind": "dome"})
    outcome = bring(conn, data, tmp_path, "cameras", nulls=[])
    assert (outcome.inserted, outcome.refused) == (1, 1)
    assert "in the ocean" in (tmp_path / "r.csv").read_text("utf-8-sig")
