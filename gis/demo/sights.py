"""Key places and responders of the demo: what stands near the middle of grids, and who waits there."""

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.spatial import cKDTree

from gis.demo.ground import Ground
from gis.demo.houses import Houses
from gis.demo.plane import Ints, nearest, to_degrees
from gis.demo.plane import points as dots
from gis.demo.words import PLACE_KINDS, RESPONDER_KINDS


def _per_grid(ground: Ground, level: int) -> tuple[pd.Series, Ints]:
    """Return names of the grids of a level and each one's most central face."""
    facts = ground.facts
    if level == 2:
        heart = nearest(ground.mesh.points, ground.density.hearts[ground.counties])
        return facts.counties["name"].iloc[ground.counties].reset_index(drop=True), heart
    table, label = {3: (facts.townships, ground.township), 4: (facts.communities, ground.community)}[level]
    present, heart = ground.hearts(label)
    return table["name"].iloc[present].reset_index(drop=True), heart


def _near_house(ground: Ground, faces: Ints, houses: Houses, rng: Generator) -> Ints:
    """Choose a house near each face's middle: one of the dozen nearest to a point some way off."""
    wide = 60.0 + 240.0 / np.sqrt(ground.mesh.faces["density"].to_numpy()[faces] + 0.05)
    aim = ground.mesh.points[faces] + rng.normal(0, 0.35, (len(faces), 2)) * wide[:, None]
    few = min(12, len(houses.points))
    near = cKDTree(houses.points).query(aim, k=few)[1].reshape(len(faces), few)
    found: Ints = near[np.arange(len(faces)), rng.integers(0, few, len(faces))]
    return found


def make_places(ground: Ground, houses: Houses, rng: Generator) -> gpd.GeoDataFrame:
    """Open schools, clinics, police posts, service points … in the grids that have one."""
    parts = []
    for kind, ending, level, share in PLACE_KINDS:
        names, faces = _per_grid(ground, level)
        keep = np.flatnonzero(rng.random(len(names)) < share)
        house = _near_house(ground, faces[keep], houses, rng)
        parts.append(
            pd.DataFrame({"name": names.iloc[keep].to_numpy() + ending, "kind": kind, "house": house})
        )
    return _placed(pd.concat(parts, ignore_index=True), houses, "P", rng)


def _placed(table: pd.DataFrame, houses: Houses, letter: str, rng: Generator) -> gpd.GeoDataFrame:
    """Put each row at its house's door."""
    house = table.pop("house").to_numpy()
    points = houses.points[house] + rng.uniform(-3, 3, (len(house), 2))
    table.insert(0, "origin_id", [f"{letter}{number:05d}" for number in range(1, len(table) + 1)])
    table["address"] = houses.table["address"].to_numpy()[house]
    return gpd.GeoDataFrame(table, geometry=dots(to_degrees(points)), crs=4326)


def make_responders(ground: Ground, houses: Houses, rng: Generator) -> gpd.GeoDataFrame:
    """Station crews near the middle of their grids, most of them available."""
    parts = []
    for kind, ending, level, crews, units, skills in RESPONDER_KINDS:
        names, faces = _per_grid(ground, level)
        count = np.floor(crews + rng.random(len(names))).astype(np.int64)
        own = np.repeat(np.arange(len(names)), count)
        turn = pd.Series(own).groupby(own).cumcount() + 1
        name = names.iloc[own].reset_index(drop=True) + ending + turn.astype(str) + "组"
        house = _near_house(ground, faces[own], houses, rng)
        half = [list(skills[: 1 + number % len(skills)]) for number in range(len(own))]
        status = rng.choice(["available", "busy", "off"], len(own), p=[0.72, 0.18, 0.10])
        size = np.maximum(1, units + rng.integers(-1, 2, len(own)))
        parts.append(pd.DataFrame(
            {"name": name, "kind": kind, "skills": half, "status": status, "units": size, "house": house}
        ))  # fmt: skip
    return _placed(pd.concat(parts, ignore_index=True), houses, "T", rng)
