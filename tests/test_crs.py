"""Datum shifts: published vectors, and a round trip to a centimetre wherever the formula shifts."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from gis import crs
from gis.errors import BadInput

GEOD = Geod(ellps="WGS84")


@given(st.floats(73, 137), st.floats(2, 55), st.sampled_from(["gcj02", "bd09"]))
def test_a_round_trip_ends_within_a_centimetre(lon: float, lat: float, datum: str) -> None:
    there = crs.point_from_wgs84(lon, lat, datum)
    back = crs.point_to_wgs84(*there, datum)
    assert GEOD.inv(lon, lat, *back)[2] <= 0.01
    assert GEOD.inv(lon, lat, *there)[2] > 10, "the shifted datums are far from WGS-84"


@given(st.floats(-180, 180), st.floats(-89, 89))
def test_cgcs2000_is_wgs84(lon: float, lat: float) -> None:
    assert crs.point_to_wgs84(lon, lat, "cgcs2000") == (lon, lat)


def test_outside_the_box_nothing_is_shifted() -> None:
    assert crs.point_from_wgs84(-87.63, 41.88, "gcj02") == (-87.63, 41.88)
    assert crs.point_to_wgs84(-87.63, 41.88, "bd09") == (-87.63, 41.88)


def test_an_unknown_datum_is_named() -> None:
    with pytest.raises(BadInput, match="datum: 'gcj-2'"):
        crs.to_wgs84(np.array([113.0]), np.array([27.0]), "gcj-2")


@pytest.mark.realdata
@pytest.mark.parametrize(("datum", "label"), [("gcj02", "GCJ02"), ("bd09", "BD09")])
def test_published_vectors_of_332_cities(realdata: Path, datum: str, label: str) -> None:
    rows = json.loads((realdata / "china" / "gcj_bd_vectors_gcoord.json").read_text())
    column = {key: np.array([row[key] for row in rows]) for key in rows[0] if key[-2:] in {"_x", "_y"}}
    lon, lat = crs.from_wgs84(column["WGS84_x"], column["WGS84_y"], datum)
    away = GEOD.inv(lon, lat, column[f"{label}_x"], column[f"{label}_y"])[2]
    assert len(rows) >= 332
    assert max(away) < 1.0
