"""Points find the grid that covers them; a shared border has one owner and says so."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gis import coverage, locate
from gis.errors import BadInput

LEFT, RIGHT = shapely.box(113.0, 27.0, 113.1, 27.1), shapely.box(113.1, 27.0, 113.2, 27.1)


def test_lowest_code_owns_the_border_whatever_the_order() -> None:
    for geoms, codes in [([LEFT, RIGHT], ["B", "A"]), ([RIGHT, LEFT], ["A", "B"])]:
        owner, on_boundary = locate.locate(geoms, codes, [113.05, 113.1, 113.15], [27.05, 27.05, 27.05])
        assert [codes[i] for i in owner] == ["B", "A", "A"]
        assert on_boundary.tolist() == [False, True, False]


def test_outside_is_nobodys_and_the_outer_border_is_a_border() -> None:
    owner, on_boundary = locate.locate([LEFT], ["A"], [113.0, 112.9999999, 200.0], [27.05, 27.05, 95.0])
    assert owner.tolist() == [0, -1, -1]
    assert on_boundary.tolist() == [True, False, False]


def test_holes_and_overlaps() -> None:
    ring = LEFT.difference(shapely.box(113.04, 27.04, 113.06, 27.06))
    owner, on_boundary = locate.locate(
        [ring, LEFT], ["B", "C"], [113.05, 113.04, 113.01], [27.05, 27.05, 27.05]
    )
    assert owner.tolist() == [1, 0, 0]
    assert on_boundary.tolist() == [False, True, False]


def test_no_grids_own_nothing() -> None:
    owner, on_boundary = locate.locate([], [], [113.0], [27.0])
    assert owner.tolist() == [-1]
    assert not on_boundary.any()


def test_a_point_without_coordinates_is_named() -> None:
    with pytest.raises(BadInput, match="row 1"):
        locate.locate([LEFT], ["A"], [113.0, np.nan], [27.0, 27.0])


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 16, 1 << 10, 1 << 16]))
def test_equals_the_predicates_of_shapely_at_any_bin_size(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    origin = np.array([1_131_000_000, 278_000_000])
    seeds = shapely.MultiPoint(rng.integers(0, 4000, (12, 2)) + origin)
    cells = shapely.get_parts(shapely.voronoi_polygons(seeds))
    cells = coverage.to_units(coverage.to_degrees(np.array([c.intersection(seeds.envelope) for c in cells])))
    cells = cells[shapely.is_valid(cells) & (shapely.area(cells) > 0)]
    codes = [f"{i:03d}" for i in rng.permutation(len(cells))]
    xy = np.vstack([shapely.get_coordinates(cells), rng.integers(-100, 4100, (300, 2)) + origin])
    lon, lat = (xy / coverage.UNITS_PER_DEGREE).T
    owner, on_boundary = locate.build(coverage.to_degrees(cells), codes, bins).locate(lon, lat)
    points = shapely.points(xy)
    covers = shapely.covers(cells[None, :], points[:, None])
    best = [min((codes[i] for i in np.flatnonzero(row)), default=None) for row in covers]
    assert [codes[i] if i >= 0 else None for i in owner] == best
    assert (on_boundary == shapely.touches(cells[None, :], points[:, None]).any(axis=1)).all()


@pytest.mark.realdata
def test_beats_of_chicago_as_a_spatial_join_has_them(realdata: Path) -> None:
    grids = gpd.read_parquet(realdata / "chicago" / "grids.parquet").query("level == 'beat'")
    snapped, _ = coverage.snap(grids.geometry.to_numpy())
    rng = np.random.default_rng(0)
    west, south, east, north = shapely.total_bounds(snapped)
    lon, lat = np.round(rng.uniform([west, south], [east, north], (20_000, 2)), 7).T
    owner, _ = locate.locate(snapped, grids["code"].tolist(), lon, lat)
    frame = gpd.GeoDataFrame({"code": grids["code"].to_numpy()}, geometry=snapped, crs=4326)
    joined = gpd.sjoin(gpd.GeoDataFrame(geometry=gpd.points_from_xy(lon, lat), crs=4326), frame, how="left")
    expected = joined.groupby(level=0)["code"].min()
    found = pd.Series([*frame["code"], None]).iloc[owner]
    assert expected.fillna("").tolist() == found.fillna("").tolist()
