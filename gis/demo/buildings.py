"""Buildings: rows of slabs, towers, halls and old houses in town blocks, houses along country roads."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.random import Generator
from scipy.spatial import cKDTree

from gis.demo.plane import Bools, Floats, Ints, Shapes, to_degrees


class Manner(NamedTuple):
    """How one kind of block is built over: pitch of its lattice, sizes, storeys, dwellings, all in metres."""

    kind: str
    share: float
    density: float
    """How the share leans: by density to this power."""
    pitch: tuple[float, float]
    length: tuple[float, float]
    depth: tuple[float, float]
    floors: tuple[int, int]
    flats: int
    """Dwellings per storey and staircase."""


MANNERS = (
    Manner("residential", 0.36, 0.0, (58, 27), (38, 52), (11, 13), (5, 7), 2),
    Manner("residential", 0.17, 0.3, (62, 38), (36, 54), (13, 16), (11, 18), 2),
    Manner("residential", 0.08, 0.3, (46, 42), (24, 32), (18, 23), (24, 33), 4),
    Manner("old_house", 0.08, 0.2, (17, 15.5), (9, 15), (8, 12), (2, 5), 1),
    Manner("commercial", 0.09, 0.7, (68, 52), (40, 60), (26, 42), (3, 9), 0),
    Manner("industrial", 0.09, -0.7, (78, 46), (50, 70), (24, 38), (1, 3), 0),
    Manner("school", 0.04, 0.0, (62, 40), (36, 54), (12, 16), (3, 5), 0),
    Manner("office", 0.04, 0.4, (56, 50), (26, 42), (16, 26), (6, 20), 0),
    Manner("vacant", 0.05, -0.3, (500, 500), (1, 2), (1, 2), (1, 1), 0),
)

OUTLINES = (
    np.array([(0, 0), (1, 0), (1, 1), (0, 1)]),
    np.array([(0, 0), (1, 0), (1, 1), (0.62, 1), (0.62, 0.55), (0, 0.55)]),
    np.array([(0, 0), (1, 0), (1, 0.85), (0.6, 0.85), (0.6, 1), (0.4, 1), (0.4, 0.85), (0, 0.85)]),
    np.array([(0, 0), (0.3, 0), (0.3, 0.3), (0.7, 0.3), (0.7, 0), (1, 0), (1, 1), (0, 1)]),
)
"""Footprints in the unit square: slab, L, slab with staircase, U."""

CLEARANCE = 7.0
"""Metres between a building and the middle of its street."""


@dataclass(frozen=True)
class Lots:
    """Rectangles to build on: centre (n, 2), half size (n, 2), angle (n); metres, radians."""

    centre: Floats
    half: Floats
    angle: Floats
    manner: Ints
    owner: Ints
    """The town block's number, or the road line's."""

    def __getitem__(self, keep: Bools | Ints) -> "Lots":
        return Lots(self.centre[keep], self.half[keep], self.angle[keep], self.manner[keep], self.owner[keep])


def turned(points: Floats, angle: Floats) -> Floats:
    """Turn points (n, 2) or (n, k, 2) counter-clockwise by n angles."""
    angle = angle.reshape(angle.shape + (1,) * (points.ndim - 2))
    x, y, c, s = points[..., 0], points[..., 1], np.cos(angle), np.sin(angle)
    return np.stack([x * c - y * s, x * s + y * c], axis=-1)


def footprints(lots: Lots, rng: Generator) -> Shapes:
    """Draw a rectilinear footprint on each lot, as polygons in metres."""
    sort = rng.choice(len(OUTLINES), len(lots.angle), p=[0.55, 0.17, 0.18, 0.10])
    sort[lots.half.min(axis=1) < 5.0] = 0
    shapes = np.empty(len(lots.angle), dtype=object)
    for number, outline in enumerate(OUTLINES):
        row = np.flatnonzero(sort == number)
        corners = (outline[None] * 2 - 1) * lots.half[row][:, None]
        shapes[row] = shapely.polygons(turned(corners, lots.angle[row]) + lots.centre[row][:, None])
    return shapes


def choose_manners(density: Floats, rng: Generator) -> Ints:
    """Choose how each block is built over, by its density (communities per km²)."""
    share = np.array([manner.share for manner in MANNERS])
    lean = np.array([manner.density for manner in MANNERS])
    weight = share * (density[:, None] / 4.0) ** lean
    upto = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    found: Ints = (rng.random(len(density))[:, None] > upto).sum(axis=1)
    return np.minimum(found, len(MANNERS) - 1)


def block_lots(blocks: Shapes, angle: Floats, density: Floats, rng: Generator) -> Lots:
    """Lay rows of lots in each block (polygons in metres) along its angle, clear of the streets."""
    manner = choose_manners(density, rng)
    pitch = np.array([m.pitch for m in MANNERS])[manner]
    middle, size = _own_boxes(blocks, angle)
    wide = np.maximum(1, np.round((size - 2 * CLEARANCE) / pitch)).astype(np.int64)
    step = np.maximum((size - 2 * CLEARANCE) / wide, 0.9 * pitch)
    total = wide.prod(axis=1)
    owner = np.repeat(np.arange(len(blocks)), total)
    inner = np.arange(len(owner)) - np.repeat(np.cumsum(total) - total, total)
    place = np.column_stack([inner % wide[owner, 0], inner // wide[owner, 0]]) - (wide[owner] - 1) / 2
    half = _halves(manner[owner], rng) * np.minimum(step / pitch, 1.0)[owner]
    centre = turned(middle[owner] + place * step[owner], angle[owner])
    lots = Lots(centre, half, angle[owner], manner[owner], owner)
    lots = lots[(lots.manner != len(MANNERS) - 1) & (rng.random(len(owner)) < 0.95)]
    clear = shapely.buffer(blocks, -CLEARANCE, join_style="mitre")
    shapely.prepare(clear)
    corners = turned((OUTLINES[0][None] * 2 - 1) * lots.half[:, None], lots.angle) + lots.centre[:, None]
    return lots[np.asarray(shapely.contains(clear[lots.owner], shapely.polygons(corners)))]


def _own_boxes(blocks: Shapes, angle: Floats) -> tuple[Floats, Floats]:
    """Return middle and size of each block's bounding box in the frame turned by its angle, (n, 2) each."""
    coords, block = shapely.get_coordinates(blocks, return_index=True)
    coords = turned(coords, -angle[block])
    first = np.flatnonzero(np.diff(block, prepend=-1))
    low, high = np.minimum.reduceat(coords, first), np.maximum.reduceat(coords, first)
    return (low + high) / 2, high - low


def _halves(manner: Ints, rng: Generator) -> Floats:
    """Draw half lengths and half depths."""
    low = np.array([(m.length[0], m.depth[0]) for m in MANNERS])[manner]
    high = np.array([(m.length[1], m.depth[1]) for m in MANNERS])[manner]
    return rng.uniform(low, high) / 2


def roadside_lots(roads: Shapes, pitch: float, most: int, rng: Generator) -> Lots:
    """Lay at most so many lots on both sides of country roads (lines in metres), two rows deep."""
    count = (shapely.length(roads) / pitch).astype(np.int64)
    road = np.repeat(np.arange(len(roads)), count)
    turn = np.arange(len(road)) - np.repeat(np.cumsum(count) - count, count)
    slot = np.sort(rng.permutation(4 * len(road))[:most])
    owner, row = road[slot // 4], slot % 4
    # The second row stands behind the gaps of the first.
    at = (turn[slot // 4] + rng.uniform(0.2, 0.8, len(slot)) + 0.4 * (row // 2)) * pitch
    here = shapely.get_coordinates(shapely.line_interpolate_point(roads[owner], at))
    back = shapely.get_coordinates(shapely.line_interpolate_point(roads[owner], np.maximum(at - 6.0, 0.0)))
    course = np.arctan2(*(here - back).T[::-1])
    away = (1 - 2 * (row % 2)) * (17.0 + 25.0 * (row // 2) + rng.uniform(-2, 4, len(slot)))
    centre = here + turned(np.column_stack([np.zeros(len(slot)), away]), course)
    half = rng.uniform((10.0, 8.0), (14.0, 11.0), (len(slot), 2)) / 2
    angle = course + rng.normal(0, 0.05, len(slot))
    return Lots(centre, half, angle, np.full(len(slot), -1), owner)


def clear_lots(lots: Lots, roads: Shapes) -> Lots:
    """Drop lots on a road (lines in metres) or within 18 m of another lot's centre: none overlap."""
    samples = shapely.get_coordinates(shapely.segmentize(roads, 6.0))
    away, _ = cKDTree(samples).query(lots.centre, distance_upper_bound=13.0)
    lots = lots[~np.isfinite(away)]
    pairs = cKDTree(lots.centre).query_pairs(18.0, output_type="ndarray")
    drop = np.zeros(len(lots.angle), dtype=bool)
    drop[pairs.max(axis=1)] = True
    return lots[~drop]


def dwellings(lots: Lots, rng: Generator) -> pd.DataFrame:
    """Give each lot its kind, floors, staircases (units) and households."""
    number = len(lots.angle)
    country = lots.manner < 0
    kinds = np.array([m.kind for m in MANNERS])[lots.manner]
    low, high = (np.array([m.floors[k] for m in MANNERS])[lots.manner] for k in (0, 1))
    # One block's houses have nearly the same height.
    block = np.random.default_rng(7).random(int(lots.owner.max(initial=0)) + 1)[lots.owner]
    floors = np.where(
        country, rng.integers(1, 5, number), low + np.round(block * (high - low)).astype(np.int64)
    )
    flats = np.where(country, 0, np.array([m.flats for m in MANNERS])[lots.manner])
    units = np.where(flats > 1, np.maximum(1, np.round(lots.half[:, 0] / 9)), 1).astype(np.int64)
    households = np.where(country | (kinds == "old_house"), 1, floors * units * flats)
    return pd.DataFrame(
        {
            "kind": np.where(country, "rural_house", kinds),
            "floors": floors,
            "units": units,
            "households": households,
        }
    )


def to_lonlat(shapes: Shapes) -> Shapes:
    """Turn polygons in metres into degrees, snapped."""
    found: Shapes = shapely.transform(shapes, to_degrees)
    return found
