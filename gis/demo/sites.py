"""The points whose faces are the blocks of towns and the parcels of the country: sites of the mesh."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.random import Generator
from scipy.spatial import cKDTree

from gis.demo.density import PEAK, SUBURBAN, URBAN, Density, lattice_inside, spread
from gis.demo.facts import Facts
from gis.demo.plane import Floats, Ints, Shapes
from gis.demo.plane import points as dots

RIVER_WEST = "430211"
RIVER_EAST = ("430203", "430204", "430212")
"""The 湘江 is the eastern and northern border of 天元区."""
HALF_RIVER = 270.0
SUBURBAN_STEP, RURAL_STEP, REMOTE_STEP = 230.0, 430.0, 1500.0


@dataclass(frozen=True)
class Zones:
    """Where the sites go: county shapes (roughened outlines, metres), the river's middle line, density.

    `populated`: the numbers of the counties that are filled; the others have only their outline.
    """

    counties: Shapes
    river: shapely.LineString
    density: Density
    populated: Ints

    def county_of(self, points: Floats) -> Ints:
        """Return the county of each point, -1 outside the city."""
        found = np.full(len(points), -1)
        tree = shapely.STRtree(dots(points))
        county, at = tree.query(self.counties, predicate="contains")
        found[at] = county
        return found

    def density_at(self, points: Floats) -> Floats:
        """Return communities per km²; outside the populated counties, those of thin country."""
        county = self.county_of(points)
        filled = np.isin(county, self.populated)
        found = np.full(len(points), 0.05)
        found[filled] = self.density.at(points[filled], county[filled])
        return found


def river_line(facts: Facts) -> shapely.LineString:
    """Return the smoothed middle of the river: the border of 天元区 with its neighbours."""
    code, shapes = facts.counties["code"], facts.counties["shape"].to_numpy()
    west = shapely.boundary(shapes[code.tolist().index(RIVER_WEST)])
    east = shapely.union_all(shapes[code.isin(RIVER_EAST).to_numpy()])
    parts = shapely.get_parts(shapely.line_merge(shapely.intersection(west, shapely.boundary(east))))
    line = parts[np.argmax(shapely.length(parts))]
    points = shapely.get_coordinates(shapely.line_interpolate_point(line, np.arange(0, line.length, 100.0)))
    points = np.pad(points, ((4, 4), (0, 0)), mode="edge")
    smooth = np.column_stack([np.convolve(points[:, axis], np.full(9, 1 / 9), "valid") for axis in (0, 1)])
    return shapely.LineString(smooth)


def along(line: shapely.Geometry, step: float, offsets: tuple[float, ...]) -> Floats:
    """Return points every `step` metres along lines, at each of `offsets` metres to their left."""
    found = []
    for part in shapely.get_parts(shapely.line_merge(line)):
        at = np.arange(step / 2, shapely.length(part), step)
        here = shapely.get_coordinates(shapely.line_interpolate_point(part, at))
        ahead = shapely.get_coordinates(shapely.line_interpolate_point(part, at + step / 2))
        behind = shapely.get_coordinates(shapely.line_interpolate_point(part, np.maximum(at - step / 2, 0)))
        course = ahead - behind
        left = np.column_stack([-course[:, 1], course[:, 0]]) / np.hypot(*course.T)[:, None]
        found += [here + offset * left for offset in offsets]
    return np.concatenate(found)


def _frame(points: Floats, **columns: object) -> pd.DataFrame:
    base = {"x": points[:, 0], "y": points[:, 1], "patch": -1, "i": 0, "j": 0, "angle": 0.0}
    return pd.DataFrame(base | columns)


def river_sites(zones: Zones) -> pd.DataFrame:
    """Sites in two rows on each side of the river's middle, in the water and across the bank from there."""
    water, bank = HALF_RIVER - 55.0, HALF_RIVER + 55.0
    wet = _frame(along(zones.river, 150.0, (-water, water)), step=140.0, water=True)
    dry = _frame(along(zones.river, 150.0, (-bank, bank)), step=140.0, water=False)
    return pd.concat([wet, dry], ignore_index=True)


def border_sites(zones: Zones) -> pd.DataFrame:
    """Pairs of sites on both sides of every county outline, so that faces follow it."""
    lines = shapely.union_all(shapely.boundary(zones.counties))
    lines = shapely.difference(lines, shapely.buffer(zones.river, HALF_RIVER + 80))
    rural = along(lines, 300.0, (-90.0, 90.0))
    town = along(lines, 110.0, (-50.0, 50.0))
    rural = rural[zones.density_at(rural) < URBAN]
    town = town[zones.density_at(town) >= URBAN]
    both = [
        _frame(points, step=step, water=False)
        for points, step in ((town, 105.0), (rural, 280.0))
        if len(points)
    ]
    return pd.concat(both, ignore_index=True)


def _patches(zones: Zones, rng: Generator) -> tuple[Floats, Floats]:
    """Centres and angles of quarters with one street grid each: 2.5 km² in cores, one per small town."""
    density, centres, angles = zones.density, [], []
    for number, (heart, radius) in enumerate(zip(density.hearts, density.radii, strict=True)):
        disc = shapely.Point(heart).buffer(1.9 * radius)
        near = lattice_inside(shapely.intersection(disc, zones.counties[number]), 150.0)
        count = max(1, round(len(near) * 0.0225 / 2.5))
        centres.append(spread(near, np.ones(len(near)), count, rng))
        angles.append(rng.uniform(-0.3, 0.3) + rng.normal(0, 0.12, count))
    centres.append(density.rural)
    angles.append(rng.uniform(-0.7, 0.7, len(density.rural)))
    return np.concatenate(centres), np.concatenate(angles)


def _patch_lattice(centre: Floats, angle: float, steps: Floats, reach: float) -> tuple[Floats, Ints]:
    """One quarter's lattice around its centre: points (n, 2) and their column and row (n, 2)."""
    count = np.ceil(reach / steps).astype(int)
    i, j = (axis.ravel() for axis in np.mgrid[-count[0] : count[0] + 1, -count[1] : count[1] + 1])
    u, v = i * steps[0], j * steps[1]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return centre + np.column_stack([u, v]) @ turn, np.column_stack([i, j])


def block_sites(zones: Zones, rng: Generator) -> pd.DataFrame:
    """Sites of town blocks: jittered lattices, each quarter with its own angle and block size."""
    centres, angles = _patches(zones, rng)
    dense = zones.density_at(centres) / PEAK
    steps = np.column_stack([rng.uniform(128, 160, len(centres)), rng.uniform(98, 122, len(centres))])
    steps *= (1.25 - 0.35 * dense)[:, None]
    tree, found = cKDTree(centres), []
    for number, (centre, angle) in enumerate(zip(centres, angles, strict=True)):
        points, index = _patch_lattice(centre, angle, steps[number], 2600.0)
        mine = tree.query(points)[1] == number
        points, index = points[mine], index[mine]
        keep = zones.density_at(points) >= URBAN
        points = points[keep] + rng.normal(0, 0.035, (keep.sum(), 2)) * steps[number]
        found.append(
            _frame(
                points,
                patch=number,
                i=index[keep, 0],
                j=index[keep, 1],
                angle=angle,
                step=steps[number].min(),
                water=False,
            )
        )
    return pd.concat(found, ignore_index=True)


def _triangles(area: shapely.Geometry, step: float, rng: Generator) -> Floats:
    """Return a jittered triangular lattice inside an area, (n, 2)."""
    height = 1 / 1.1547
    points = lattice_inside(shapely.transform(area, lambda xy: xy / [1.0, height]), step) * [1.0, height]
    row = np.round(points[:, 1] / (step * height)).astype(int)
    points[:, 0] += np.where(row % 2 == 0, 0.0, step / 2)
    found: Floats = points + rng.uniform(-0.36, 0.36, points.shape) * step
    return found


def country_sites(zones: Zones, rng: Generator) -> pd.DataFrame:
    """Sites of parcels: finer in suburbs, coarse in counties left empty and in a fringe outside the city."""
    density = zones.density
    own = shapely.union_all(zones.counties[zones.populated])
    hearts = shapely.buffer(dots(density.hearts[zones.populated]), 2.3 * density.radii[zones.populated])
    towns = shapely.buffer(dots(density.rural), 1000.0)
    settled = shapely.intersection(shapely.union_all(np.concatenate([hearts, towns])), own)
    near = shapely.buffer(own, 1500.0)
    whole = shapely.buffer(shapely.union_all(zones.counties), 4500.0)
    both = []
    for step, area, low, high in (
        (SUBURBAN_STEP, settled, SUBURBAN, URBAN),
        (RURAL_STEP, near, 0.0, SUBURBAN),
        (REMOTE_STEP, shapely.difference(whole, near), 0.0, SUBURBAN),
    ):
        points = _triangles(area, step, rng)
        at = zones.density_at(points)
        both.append(_frame(points[(at >= low) & (at < high)], step=step, water=False))
    return pd.concat(both, ignore_index=True)


def make_sites(zones: Zones, rng: Generator) -> pd.DataFrame:
    """All sites (x, y, patch, i, j, angle, step, water, county, density), none too near another."""
    parts = [river_sites(zones), border_sites(zones), block_sites(zones, rng), country_sites(zones, rng)]
    sites = pd.concat(parts, ignore_index=True)
    points, step = sites[["x", "y"]].to_numpy(), sites["step"].to_numpy()
    inner = shapely.contains_xy(shapely.buffer(zones.river, HALF_RIVER + 20), points[:, 0], points[:, 1])
    flowing = np.arange(len(sites)) >= len(parts[0])
    pairs = np.sort(cKDTree(points).query_pairs(0.62 * RURAL_STEP, output_type="ndarray"), axis=1)
    distance = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    near = pairs[distance < 0.62 * np.minimum(step[pairs[:, 0]], step[pairs[:, 1]])]
    drop = np.zeros(len(sites), dtype=bool)
    drop[near[:, 1]] = True
    sites = sites[~(drop | (inner & flowing))].reset_index(drop=True)
    points = sites[["x", "y"]].to_numpy()
    return sites.assign(county=zones.county_of(points), density=zones.density_at(points))
