"""Maps to draw on in tests: seeded towns with ragged borders, holes, enclaves and islands; real maps."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from scipy.cluster.vq import kmeans2
from shapely.geometry.base import BaseGeometry

from gis import coverage

ORIGIN = np.array([1_131_000_000, 278_000_000])
"""The south-west corner in units: 113.1 E, 27.8 N, in 株洲."""
STEP = 40_000
"""Units between corners: some 400 m."""

Grids = dict[str, BaseGeometry]


def town(side: int = 5, seed: int = 0, bends: int = 3) -> Grids:
    """A square of side x side grids with ragged shared borders, in units; codes are column and row."""
    rng = np.random.default_rng(seed)
    index = range(side + 1)
    corner = {
        (i, j): np.round(ORIGIN + STEP * np.array([i, j]) + rng.normal(0, STEP / 12, 2))
        for i in index
        for j in index
    }

    def ragged(a: np.ndarray, b: np.ndarray) -> list[tuple[float, ...]]:
        share = np.linspace(0, 1, bends + 2)[1:-1, None]
        between = np.round(a + (b - a) * share + rng.normal(0, STEP / 60, (bends, 2)))
        return [tuple(a), *map(tuple, between), tuple(b)]

    flat = {(i, j): ragged(corner[i, j], corner[i + 1, j]) for i in index[:-1] for j in index}
    steep = {(i, j): ragged(corner[i, j], corner[i, j + 1]) for i in index for j in index[:-1]}
    return {
        f"{i:02d}{j:02d}": shapely.Polygon(
            flat[i, j] + steep[i + 1, j][1:] + flat[i, j + 1][::-1][1:] + steep[i, j][::-1][1:]
        )
        for i in index[:-1]
        for j in index[:-1]
    }


def archipelago(side: int = 5, seed: int = 0) -> Grids:
    """A town with a lake nobody owns, an enclave inside one grid, and an island of two grids off shore."""
    grids = town(side, seed)
    del grids["0101"]
    middle = f"{side - 2:02d}" * 2
    enclave = square(grids[middle], STEP // 5)
    grids[middle] = grids[middle].difference(enclave)
    shore = ORIGIN + np.array([STEP * (side + 2), 0])
    west, east = (
        shapely.box(*shore + np.array([k, 0]) * STEP, *shore + np.array([k + 1, 1]) * STEP) for k in (0, 1)
    )
    return grids | {"9000": enclave, "9001": west, "9002": east}


def square(grid: BaseGeometry, side: int) -> BaseGeometry:
    """A square of whole units around the middle of a grid."""
    x, y = np.round(np.ravel(grid.point_on_surface().coords[0]))
    return shapely.box(x - side // 2, y - side // 2, x + side // 2, y + side // 2)


def outline(grids: Grids) -> BaseGeometry:
    """The parent that the grids exactly cover."""
    return coverage.from_edges(coverage.polygon_edges(np.array(list(grids.values()), dtype=object)))


def chicago(folder: Path, level: str, day: str) -> Grids:
    """The grids of one level of Chicago that came into force on a day, in units."""
    frame = gpd.read_parquet(folder / "chicago" / "grids.parquet")
    frame = frame[(frame["level"] == level) & (frame["valid_from"] == day)]
    return _in_units(frame["code"].astype(str).tolist(), frame)


def zhuzhou(folder: Path) -> Grids:
    """The counties of 株洲, in units."""
    frame = gpd.read_parquet(folder / "zhuzhou" / "county_tianditu_wgs84.parquet")
    return _in_units(frame["adcode"].astype(str).tolist(), frame)


def townships(folder: Path, seed: int = 0) -> Grids:
    """The 105 townships of 株洲 in units: real counties, each with as many townships as it has in the census.

    No open data has their borders, so these are drawn: 60 random places for each, a Voronoi cell around each
    place, cells joined by k-means, clipped to the county. Codes are real, the first six digits the county's.
    """
    rng = np.random.default_rng(seed)
    census = pd.read_parquet(folder / "zhuzhou" / "township_105_with_points.parquet")
    drawn: dict[str, BaseGeometry] = {}
    for code, county in zhuzhou(folder).items():
        codes = sorted(census.loc[census["adcode"].astype(str) == code, "nbs_code"].astype(str))
        drawn |= dict(zip(codes, _subdivided(coverage.to_degrees(county), len(codes), rng), strict=True))
    return _in_units(list(drawn), gpd.GeoDataFrame(geometry=list(drawn.values())))


def _subdivided(shape: BaseGeometry, count: int, rng: np.random.Generator) -> list[BaseGeometry]:
    low, high = np.array(shape.bounds).reshape(2, 2)
    places = rng.uniform(low, high, (200 * count, 2))
    places = places[shapely.contains_xy(shape, *places.T)][: 60 * count]
    _, group = kmeans2(places, count, minit="++", rng=rng)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(places), extend_to=shape))
    place, cell = shapely.STRtree(cells).query(shapely.points(places), predicate="intersects")
    return [
        shapely.union_all(shapely.intersection(cells[cell[group[place] == g]], shape)) for g in range(count)
    ]


def _in_units(codes: list[str], frame: gpd.GeoDataFrame) -> Grids:
    snapped, _ = coverage.snap(frame.geometry.to_numpy())
    return dict(zip(codes, coverage.to_units(snapped), strict=True))
