"""One call that makes the demo city in one of three sizes, the same each time for the same seed."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from gis.demo.cameras import make_cameras
from gis.demo.facts import CITY_CODE, CITY_NAME, load
from gis.demo.ground import SCHEME, Ground, grid_table, lay_ground
from gis.demo.happenings import category_table, make_incidents
from gis.demo.houses import make_houses
from gis.demo.mesh import areas
from gis.demo.plane import Ints, nearest
from gis.demo.sights import make_places, make_responders
from gis.demo.staffing import make_staff
from gis.demo.streets import make_streets, road_table

Size = Literal["small", "city", "full"]
LEVELS = [
    {"level": 1, "name_zh": "市", "name_en": "City"},
    {"level": 2, "name_zh": "区县", "name_en": "County"},
    {"level": 3, "name_zh": "乡镇街道", "name_en": "Township"},
    {"level": 4, "name_zh": "社区村", "name_en": "Community"},
    {"level": 5, "name_zh": "网格", "name_en": "Unit grid"},
]
SMALL_COUNTIES = ["430202"]


@dataclass(frozen=True)
class Counts:
    """How much of everything a size has."""

    buildings: int
    cameras: int
    incidents: int
    clusters: int


SIZES: dict[Size, Counts] = {
    "small": Counts(6_000, 600, 6_000, 3),
    "city": Counts(120_000, 10_000, 60_000, 8),
    "full": Counts(1_200_000, 100_000, 300_000, 12),
}


@dataclass(frozen=True)
class DemoCity:
    """A city to demonstrate on: names, codes and county outlines are public facts, the rest is made up.

    Tables have the columns of the import kinds; geometry is EPSG:4326. `planted` lists the clusters hidden in
    the incidents (see happenings.Cluster). `until` is the last day of the incidents' year.
    """

    code: str
    name: str
    size: Size
    seed: int
    until: date
    synthetic: bool
    schemes: list[dict[str, object]]
    categories: pd.DataFrame
    grids: gpd.GeoDataFrame
    staff: pd.DataFrame
    buildings: gpd.GeoDataFrame
    cameras: gpd.GeoDataFrame
    incidents: gpd.GeoDataFrame
    responders: gpd.GeoDataFrame
    places: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    areas: gpd.GeoDataFrame
    planted: list[dict[str, object]]


def _linked_places(ground: Ground) -> list[tuple[Ints, int, float]]:
    """Return the faces that roads link: quarters of the cores, towns, communities, unit grids."""
    faces = ground.mesh.faces
    mine = faces[(faces["patch"] >= 0) & ground.inside]
    quarters = mine.groupby("patch")[["x", "y"]].mean().to_numpy()
    near, _ = cKDTree(ground.density.hearts).query(quarters)
    towns = np.flatnonzero(np.isin(np.arange(len(ground.facts.townships)), ground.township))
    hearts = nearest(ground.mesh.points, ground.density.towns[towns])
    _, communities = ground.hearts(ground.community)
    _, units = ground.hearts(ground.unit)
    core = nearest(ground.mesh.points, quarters[near < 5000.0])
    groups: list[tuple[Ints, int, float]] = [
        (core, 0, 1.0), (hearts, 1, 0.3), (communities, 2, 0.25), (units, 4, 0.3),
    ]  # fmt: skip
    return [(faces_of[ground.inside[faces_of]], rank, extra) for faces_of, rank, extra in groups]


def _water(ground: Ground) -> gpd.GeoDataFrame:
    """Return the river as one polygon, for the base map."""
    wet = ground.mesh.faces["water"].to_numpy() & (ground.mesh.faces["county"] >= 0).to_numpy()
    shape = areas(ground.mesh, np.where(wet, 0, -1), 1)
    return gpd.GeoDataFrame(
        {"origin_id": ["xiangjiang"], "name": ["湘江"], "kind": ["water"]}, geometry=shape, crs=4326
    )


def generate(size: Size, seed: int = 430200, until: date = date(2025, 12, 31)) -> DemoCity:
    """Make the demo city: `small` populates 荷塘区 only, `city` and `full` all nine counties.

    Every size has the nine counties and the city as their union. The same size, seed and day give the same
    city. Raises KeyError for another size.
    """
    counts = SIZES[size]
    populated = SMALL_COUNTIES if size == "small" else load().counties["code"].tolist()
    ground = lay_ground(populated, seed)
    grids = grid_table(ground, until)
    units = grids.geometry[grids["level"] == 5].to_numpy()
    rng = {name: np.random.default_rng([seed, number]) for number, name in enumerate(_STAGES, 10)}
    streets = make_streets(ground.mesh, ground.river, ground.inside, _linked_places(ground), rng["streets"])
    roads = road_table(ground.mesh, streets, rng["roads"])
    houses = make_houses(ground, units, streets, roads, counts.buildings, rng["houses"])
    incidents, planted = make_incidents(
        ground, units, houses, counts.incidents, counts.clusters, until, rng["incidents"]
    )
    return DemoCity(
        code=CITY_CODE, name=CITY_NAME, size=size, seed=seed, until=until, synthetic=True,
        schemes=[{"name": SCHEME, "title_zh": "平安网格", "title_en": "Safety grids", "levels": LEVELS}],
        categories=category_table(),
        grids=grids,
        staff=make_staff(grids, populated, rng["staff"]),
        buildings=houses.table,
        cameras=make_cameras(ground, units, roads, houses, counts.cameras, rng["cameras"]),
        incidents=incidents,
        responders=make_responders(ground, houses, rng["responders"]),
        places=make_places(ground, houses, rng["places"]),
        roads=roads,
        areas=_water(ground),
        planted=planted,
    )  # fmt: skip


_STAGES = ("streets", "roads", "houses", "incidents", "staff", "cameras", "responders", "places")
