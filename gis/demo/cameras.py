"""Cameras of the demo: several at a crossing, single ones at doors, with GB/T 28181 device codes."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.random import Generator

from gis.demo.ground import Ground
from gis.demo.houses import Houses, area_names, locate
from gis.demo.plane import Floats, Ints, Shapes, nearest, to_degrees, to_plane
from gis.demo.plane import points as dots
from gis.demo.streets import CLASSES

CROSSING_SHARE = 0.74
"""The share of cameras that hang at crossings, several together; the others watch doors, near and remote."""
PER_CROSSING = 3.2
KINDS = np.array(["bullet", "dome", "checkpoint", "fisheye"])
KIND_SHARE = (0.55, 0.28, 0.12, 0.05)
FOV = np.array([62.0, 55.0, 34.0, 360.0])
RANGE = np.array([60.0, 120.0, 45.0, 25.0])


def _crossings(ground: Ground, roads: gpd.GeoDataFrame, count: int, rng: Generator) -> Ints:
    """Choose nodes where three or more roads meet, the busier the likelier."""
    ends = np.concatenate([roads["u"], roads["v"]])
    busy = np.tile(roads["class"].map({"primary": 6.0, "secondary": 4.0, "tertiary": 2.0}).fillna(1.0), 2)
    nodes, which, degree = np.unique(ends, return_inverse=True, return_counts=True)
    traffic = np.bincount(which, busy)
    nodes, traffic = nodes[degree >= 3], traffic[degree >= 3]
    near = nearest(ground.mesh.points, ground.mesh.nodes[nodes])
    weight = traffic * np.sqrt(ground.mesh.faces["density"].to_numpy()[near])
    found: Ints = rng.choice(nodes, min(count, len(nodes)), replace=False, p=weight / weight.sum())
    return found


def _crossing_names(roads: gpd.GeoDataFrame) -> pd.Series:
    """Name each node by its two greatest streets: 泰山路与长江路路口."""
    rank = roads["class"].map({name: turn for turn, name in enumerate(CLASSES)})
    legs = pd.DataFrame({
        "node": np.concatenate([roads["u"], roads["v"]]),
        "rank": np.tile(rank, 2),
        "name": np.tile(roads["name"], 2),
    })  # fmt: skip
    legs = legs.sort_values(["node", "rank", "name"]).drop_duplicates(["node", "name"])
    return legs.groupby("node").head(2).groupby("node")["name"].agg("与".join) + "路口"


def _around(nodes: Floats, own: Ints, rng: Generator) -> tuple[Floats, Floats]:
    """Hang cameras on poles around the crossings `own` (sorted): places in metres, bearings in degrees."""
    count = len(own)
    turn = pd.Series(own).groupby(own).cumcount().to_numpy()
    base = rng.uniform(0, 2 * np.pi, len(nodes))[own]
    # Poles stand at the four corners; from the fifth camera on a pole bears a second one on its arm.
    angle = base + turn % 4 * np.pi / 2 + rng.normal(0, 0.08, count)
    radius = rng.uniform(8.0, 15.0, len(nodes))[own] + turn // 4 * rng.uniform(1.5, 4.0, count)
    place = nodes[own] + np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]
    bearing = np.degrees(np.pi / 2 - angle) + 180 * (turn // 4 % 2) + rng.normal(0, 12, count)
    return place, np.round(bearing) % 360


_CLEAR_M = 0.5
"""How far from a wall a camera hangs that had stood inside it."""


def _outside(points: Floats, footprints: Shapes) -> Floats:
    """Bring cameras (metres) that stand inside a building before its nearest wall, until none does."""
    walls = shapely.transform(footprints, to_plane)
    tree, moved = shapely.STRtree(walls), points.copy()
    for _ in range(_MOST_MOVES):
        inside, house = tree.query(dots(moved), predicate="intersects")
        if not len(inside):
            return moved
        inside, first = np.unique(inside, return_index=True)
        around = shapely.boundary(shapely.buffer(walls[house[first]], _CLEAR_M, join_style="mitre"))
        foot = shapely.line_interpolate_point(around, shapely.line_locate_point(around, dots(moved[inside])))
        moved[inside] = shapely.get_coordinates(foot)
    raise AssertionError("cameras: houses stand wall to wall, no camera finds a place between them")


_MOST_MOVES = 20


def _doors(houses: Houses, count: int, rng: Generator) -> Ints:
    """Choose houses for single cameras, in between by house and by grid, so that remote ones have a share."""
    weight = np.bincount(houses.unit)[houses.unit] ** -0.6
    found: Ints = rng.choice(len(houses.points), count, replace=False, p=weight / weight.sum())
    return found


def make_cameras(
    ground: Ground, grids: Shapes, roads: gpd.GeoDataFrame, houses: Houses, count: int, rng: Generator
) -> gpd.GeoDataFrame:
    """Hang `count` cameras: most at crossings, three or so to each, the others before doors."""
    crossing = round(CROSSING_SHARE * count)
    nodes = _crossings(ground, roads, max(1, round(crossing / PER_CROSSING)), rng)
    own = np.sort(rng.integers(0, len(nodes), crossing))
    first, bearing = _around(ground.mesh.nodes[nodes], own, rng)
    door = _doors(houses, count - crossing, rng)
    points = np.concatenate([first, houses.points[door] + rng.uniform(-12, 12, (len(door), 2))])
    bearing = np.concatenate([bearing, np.round(rng.uniform(0, 359, len(door)))])
    points = _outside(points, np.asarray(houses.table.geometry.array, dtype=object))
    unit = locate(to_degrees(points), grids)
    unit = np.where(unit >= 0, unit, houses.unit[nearest(houses.points, points)])
    at_crossing = pd.Series(nodes[own]).map(_crossing_names(roads))
    place, _ = area_names(ground, unit)
    address = pd.concat(
        [place[:crossing] + at_crossing, pd.Series(houses.table["address"].to_numpy()[door])],
        ignore_index=True,
    )
    spot = pd.concat(
        [at_crossing, address[crossing:].str.split("(?:街道|镇|乡)", n=1, regex=True).str[1] + "门口"]
    )
    table = _devices(count, bearing, rng)
    turn = spot.reset_index(drop=True).groupby(spot.to_numpy()).cumcount() + 1
    table["name"], table["address"] = spot.to_numpy() + turn.astype(str).to_numpy() + "号", address
    table["gb28181"] = _device_codes(ground, unit, rng)
    return gpd.GeoDataFrame(table, geometry=dots(to_degrees(points)), crs=4326)


def _devices(count: int, bearing: Floats, rng: Generator) -> pd.DataFrame:
    """Give each camera its kind and what it sees; fisheyes and one in twelve have no bearing."""
    kind = rng.choice(len(KINDS), count, p=KIND_SHARE)
    blind = (kind == 3) | (rng.random(count) < 0.08)
    return pd.DataFrame({
        "origin_id": [f"K{number:06d}" for number in range(1, count + 1)],
        "gb28181": None,
        "name": "",
        "kind": KINDS[kind],
        "headings": [None if hidden else [float(at)] for hidden, at in zip(blind, bearing, strict=True)],
        "fov": FOV[kind],
        "range_m": RANGE[kind],
        "state": rng.choice(["online", "offline", "fault"], count, p=[0.93, 0.05, 0.02]),
        "address": "",
    })  # fmt: skip


def _device_codes(ground: Ground, unit: Ints, rng: Generator) -> pd.Series:
    """Give GB/T 28181-2022 annex E codes of 20 digits; one camera in twenty has none.

    Eight digits of centre (county and its access unit), 00 street-level public security, 132 network camera,
    0 the surveillance network, six digits of serial number.
    """
    own = ground.units.iloc[unit].reset_index(drop=True)
    towns = ground.facts.townships
    turn = (towns.groupby("county").cumcount() + 1).astype(str).str.zfill(2)
    centre = own["county"] + own["township"].map(dict(zip(towns["code"], turn, strict=True)))
    serial = (centre.groupby(centre).cumcount() + 1).astype(str).str.zfill(6)
    return (centre + "00" + "132" + "0" + serial).where(rng.random(len(unit)) > 0.05, None)
