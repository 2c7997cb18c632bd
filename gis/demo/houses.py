"""The table of buildings: which lots are built, with their addresses in the Chinese form."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.random import Generator
from scipy.spatial import cKDTree

from gis.demo.buildings import (
    MANNERS,
    Lots,
    block_lots,
    clear_lots,
    dwellings,
    footprints,
    roadside_lots,
    to_lonlat,
)
from gis.demo.density import URBAN
from gis.demo.facts import CITY_NAME
from gis.demo.ground import Ground, compact
from gis.demo.mesh import areas
from gis.demo.plane import Bools, Floats, Ints, Shapes, nearest, to_degrees, to_plane
from gis.demo.plane import points as dots
from gis.demo.streets import NONE, is_country
from gis.demo.words import STEMS

TOWN_SHARE = 0.85
"""At most this share of the buildings stands in towns, where there is room for more than are asked for."""
ESTATES = np.array(["花园", "小区", "家园", "苑", "新村", "名邸", "华庭", "公馆"], dtype=object)


@dataclass(frozen=True)
class Houses:
    """Buildings with canonical columns, and what other things are placed by.

    `points` (n, 2) metres; `unit`: the row of the unit grid each stands in.
    """

    table: gpd.GeoDataFrame
    points: Floats
    unit: Ints


def locate(points: Floats, shapes: Shapes) -> Ints:
    """Return which polygon holds each point (n, 2), both in one system; -1 where none does."""
    tree = shapely.STRtree(dots(points))
    shape, at = tree.query(shapes, predicate="contains")
    found = np.full(len(points), -1)
    found[at] = shape
    return found


def _town_lots(ground: Ground, rng: Generator) -> tuple[Lots, Ints]:
    """Return the lots of all town blocks; their owner is the mesh's face."""
    faces = ground.mesh.faces
    built = ground.inside & (faces["density"] >= URBAN).to_numpy() & ~faces["water"].to_numpy()
    rows, dense = compact(np.where(built, np.arange(len(faces)), -1))
    blocks = shapely.transform(areas(ground.mesh, dense, len(rows)), to_plane)
    lots = block_lots(blocks, faces["angle"].to_numpy()[rows], faces["density"].to_numpy()[rows], rng)
    return lots, rows


def _country_lots(ground: Ground, roads: gpd.GeoDataFrame, wanted: int, rng: Generator) -> Lots:
    """Return more lots than wanted, or all there are, along country roads, off towns and water."""
    lines = shapely.transform(roads.geometry.to_numpy(), to_plane)
    country = is_country(roads["name"].to_numpy())
    lots = roadside_lots(lines[country], 22.0, 3 * wanted, rng)
    faces = ground.mesh.faces
    near = nearest(ground.mesh.points, lots.centre)
    free = ground.inside & (faces["density"] < URBAN).to_numpy() & ~faces["water"].to_numpy()
    return clear_lots(lots[free[near]], lines)


def _apart(country: Floats, town: Floats) -> Bools:
    """Tell which country lots keep clear of the largest hall (half its diagonal is 40 m) of a town."""
    away, _ = cKDTree(town).query(country, distance_upper_bound=50.0)
    return ~np.isfinite(away)


def _chosen(number: int, count: int, rng: Generator) -> Ints:
    return np.sort(rng.permutation(number)[:count])


def block_streets(ground: Ground, streets: pd.DataFrame) -> pd.Series:
    """Return the street each town face lies on: the greatest of its named ones, or the nearest block's."""
    named = streets[
        (streets["edge"] >= 0) & ~is_country(streets["name"].to_numpy()) & (streets["rank"] < NONE)
    ]
    sides = ground.mesh.sides[named["edge"].to_numpy()]
    both = pd.DataFrame({
        "face": sides.T.ravel(),
        "rank": np.tile(named["rank"].to_numpy(), 2),
        "name": np.tile(named["name"].to_numpy(), 2),
    })  # fmt: skip
    best = both.sort_values(["face", "rank", "name"]).drop_duplicates("face").set_index("face")["name"]
    known = best.index.to_numpy()
    return pd.Series(best.to_numpy()[nearest(ground.mesh.points[known], ground.mesh.points)])


def _block_numbers(ground: Ground, faces: Ints, street: pd.Series) -> pd.Series:
    """Number the blocks along each street of a township: 1, 2, 3 … with both sides in turn."""
    points = ground.mesh.points[faces]
    table = pd.DataFrame(
        {
            "x": points[:, 0],
            "y": points[:, 1],
            "town": ground.township[faces],
            "street": street[faces].to_numpy(),
        },
        index=faces,
    )
    line = table.groupby(["town", "street"])[["x", "y"]]
    spread = line.transform("max") - line.transform("min")
    table["along"] = np.where(spread["x"] >= spread["y"], table["x"], -table["y"])
    order = table.sort_values(["town", "street", "along"], kind="stable")
    return order.groupby(["town", "street"]).cumcount() + 1


def area_names(ground: Ground, unit: Ints) -> tuple[pd.Series, pd.Series]:
    """Return the names of county and township together, and of the community, for each unit grid."""
    own = ground.units.iloc[unit].reset_index(drop=True)
    county = ground.facts.counties.set_index("code")["name"]
    town = ground.facts.townships.set_index("code")["name"]
    place = CITY_NAME + own["county"].map(county) + own["township"].map(town)
    community = ground.facts.communities["name"].iloc[own["community"]].reset_index(drop=True)
    return place, community


def _town_words(ground: Ground, streets: pd.DataFrame, lots: Lots, unit: Ints) -> pd.DataFrame:
    """Name and address town buildings: 株洲市天元区泰山路街道长江路12号3栋."""
    street = block_streets(ground, streets)
    faces = np.unique(lots.owner)
    number = _block_numbers(ground, faces, street)[lots.owner].astype(str).reset_index(drop=True)
    inner = pd.Series(lots.owner).groupby(lots.owner).cumcount() + 1
    kinds = np.array([m.kind for m in MANNERS])[lots.manner]
    tail = np.where(kinds == "old_house", "附" + inner.astype(str) + "号", inner.astype(str) + "栋")
    place, _ = area_names(ground, unit)
    address: pd.Series = place + street[lots.owner].reset_index(drop=True) + number + "号" + tail
    stem = np.array(STEMS, dtype=object)[lots.owner * 7 % len(STEMS)]
    estate = pd.Series(stem + ESTATES[lots.owner % len(ESTATES)]) + inner.astype(str) + "栋"
    return pd.DataFrame({"name": estate.where(kinds == "residential", None), "address": address})


def _country_words(ground: Ground, unit: Ints) -> pd.DataFrame:
    """Address country houses by village group: 株洲市荷塘区仙庾镇东山村5组12号."""
    place, community = area_names(ground, unit)
    inner = pd.Series(unit).groupby(unit).cumcount()
    turn = ground.units["code"].str[-1].astype(int).to_numpy()[unit]
    group = (turn - 1) * 4 + 1 + inner // 60 % 4
    number = inner // 240 * 60 + inner % 60 + 1
    address = place + community + group.astype(str) + "组" + number.astype(str) + "号"
    return pd.DataFrame({"name": pd.Series([None] * len(unit), dtype=object), "address": address})


def make_houses(
    ground: Ground, grids: Shapes, streets: pd.DataFrame, roads: gpd.GeoDataFrame, count: int, rng: Generator
) -> Houses:
    """Build `count` houses in the populated counties; `grids` are the unit grids' polygons (degrees).

    Raises ValueError when the ground has no room for so many.
    """
    town, rows = _town_lots(ground, rng)
    town = Lots(town.centre, town.half, town.angle, town.manner, rows[town.owner])
    wanted = count - min(len(town.angle), round(TOWN_SHARE * count))
    country = _country_lots(ground, roads, wanted, rng)
    country = country[(locate(to_degrees(country.centre), grids) >= 0) & _apart(country.centre, town.centre)]
    if len(town.angle) + len(country.angle) < count:
        raise ValueError(
            f"count: there is room for {len(town.angle) + len(country.angle)} buildings, not {count}"
        )
    in_town = min(len(town.angle), max(round(TOWN_SHARE * count), count - len(country.angle)))
    town, country = (
        town[_chosen(len(town.angle), in_town, rng)],
        country[_chosen(len(country.angle), count - in_town, rng)],
    )
    parts = [_built(ground, grids, lots, streets, rng) for lots in (town, country)]
    table = pd.concat([part.table for part in parts], ignore_index=True)
    table.insert(0, "origin_id", [f"B{number:07d}" for number in range(1, len(table) + 1)])
    points = np.concatenate([part.points for part in parts])
    return Houses(gpd.GeoDataFrame(table, crs=4326), points, np.concatenate([part.unit for part in parts]))


def _built(ground: Ground, grids: Shapes, lots: Lots, streets: pd.DataFrame, rng: Generator) -> Houses:
    """Draw and describe the houses on town lots, or on country lots."""
    points = lots.centre
    unit = locate(to_degrees(points), grids)
    assert (unit >= 0).all(), "a house in no grid"
    in_town = bool(len(lots.manner)) and lots.manner[0] >= 0
    words = _town_words(ground, streets, lots, unit) if in_town else _country_words(ground, unit)
    data = dwellings(lots, rng)
    table = pd.concat([words, data[["kind", "floors", "households", "units"]]], axis=1)
    shapes = to_lonlat(footprints(lots, rng))
    return Houses(gpd.GeoDataFrame(table, geometry=shapes, crs=4326), points, unit)
