"""Where people live: communities per km², as towns on a thin countryside."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.random import Generator
from scipy.spatial import cKDTree

from gis.demo.facts import SEATS, Facts
from gis.demo.plane import Floats, Ints, to_plane

PEAK = 8.8
"""Communities per km² at a town's heart. Under a Gaussian hill each density up to the peak holds as many
communities as any other, so half of them are below 0.2 km² and one in twenty below 0.11 km²."""
VILLAGE_PEAK, VILLAGE_RADIUS = 6.0, 380.0
URBAN = 0.6
"""From this density on, blocks and streets; measured urban communities end at about 1.15 km²."""
SUBURBAN = 0.22


@dataclass(frozen=True)
class Density:
    """Hills of density.

    `background`: communities per km² of each county's open country; `hearts`, `radii`: its core's hill;
    `towns`: hearts of all townships as in the facts, (n, 2) metres; `rural`: those outside cores.
    """

    background: Floats
    hearts: Floats
    radii: Floats
    towns: Floats
    rural: Floats

    def at(self, points: Floats, county: Ints) -> Floats:
        """Return communities per km² at `points` (n, 2 metres) of the counties numbered `county` (n)."""
        core = _hill(points, self.hearts[county], self.radii[county])
        distance, _ = cKDTree(self.rural).query(points)
        village = VILLAGE_PEAK * np.exp(-((distance / VILLAGE_RADIUS) ** 2))
        found: Floats = self.background[county] + np.maximum(core, village)
        return found


def _hill(points: Floats, heart: Floats, radius: Floats | float) -> Floats:
    squared = ((points - heart) ** 2).sum(axis=-1)
    found: Floats = PEAK * np.exp(-squared / np.asarray(radius) ** 2)
    return found


def spread(points: Floats, weights: Floats, count: int, rng: Generator) -> Floats:
    """Return `count` centres (k, 2) spread over weighted points: k-means by Lloyd's rounds."""
    centres = points[rng.choice(len(points), count, replace=False, p=weights / weights.sum())]
    for _ in range(15):
        _, label = cKDTree(centres).query(points)
        total = np.bincount(label, weights, count)
        sums = np.column_stack([np.bincount(label, weights * points[:, axis], count) for axis in (0, 1)])
        centres = np.where(total[:, None] > 0, sums / np.maximum(total, 1e-12)[:, None], centres)
    return centres


def lattice_inside(shape: shapely.Geometry, step: float) -> Floats:
    """Return the points of a square lattice of `step` metres inside a shape, (n, 2)."""
    west, south, east, north = shapely.bounds(shape)
    x, y = np.meshgrid(np.arange(west, east, step), np.arange(south, north, step))
    points = np.column_stack([x.ravel(), y.ravel()])
    shapely.prepare(shape)
    found: Floats = points[shapely.contains_xy(shape, points[:, 0], points[:, 1])]
    return found


def _radius(near: Floats, heart: Floats, communities: float) -> float:
    """Find by bisection the radius at which a county's core hill holds that many communities."""
    low, high = 200.0, 6000.0
    for _ in range(30):
        radius = (low + high) / 2
        held = _hill(near, heart, radius).sum() * 0.04  # the lattice has 0.04 km² per point
        low, high = (radius, high) if held < communities else (low, radius)
    return low


def _core_mass(facts: Facts, county: str) -> float:
    """Count the communities in a county's town; of a mere 镇, only those that are 社区."""
    core = facts.townships[(facts.townships["county"] == county) & facts.townships["core"]]
    if (core["kind"] == "subdistrict").all():
        return float(core["communities"].sum())
    inside = facts.communities["township"].isin(core["code"])
    return float((inside & (facts.communities["kind"] == "community")).sum())


def _core_order(facts: Facts, core: pd.DataFrame) -> Ints:
    """Order a core's townships from the most to the least urban, as positions in the facts."""
    urban = facts.communities[facts.communities["kind"] == "community"].groupby("township").size()
    share = core["code"].map(urban).fillna(0) / core["communities"]
    found: Ints = np.asarray(core.index[np.argsort(-share.to_numpy(), kind="stable")])
    return found


def _town_hearts(
    facts: Facts, number: int, heart: Floats, radius: float, rng: Generator
) -> tuple[Ints, Floats]:
    """Give a county's townships (positions in the facts) their hearts."""
    county = facts.counties.iloc[number]
    mine = facts.townships[facts.townships["county"] == county["code"]]
    core, rest = mine[mine["core"]], mine[~mine["core"]]
    near = lattice_inside(county["shape"].intersection(shapely.Point(heart).buffer(3 * radius)), 100.0)
    weights = _hill(near, heart, radius)
    hearts = spread(near, weights, len(core), rng)
    hearts = hearts[np.argsort(-_hill(hearts, heart, radius))]
    far = lattice_inside(
        county["shape"].buffer(-600).difference(shapely.Point(heart).buffer(2 * radius)), 500.0
    )
    places = spread(far, np.ones(len(far)), len(rest), rng)
    return np.concatenate([_core_order(facts, core), rest.index]), np.concatenate([hearts, places])


def make_density(facts: Facts, seed: int) -> Density:
    """Lay the hills: cores sized to their communities, one village hill per rural township."""
    count = len(facts.counties)
    hearts = to_plane(np.array([SEATS[code] for code in facts.counties["code"]]))
    radii, background = np.zeros(count), np.zeros(count)
    towns = np.zeros((len(facts.townships), 2))
    for number, (code, shape) in enumerate(facts.counties[["code", "shape"]].itertuples(index=False)):
        near = lattice_inside(shape.intersection(shapely.Point(hearts[number]).buffer(12_000)), 200.0)
        mass = _core_mass(facts, code)
        radii[number] = _radius(near, hearts[number], mass)
        total = facts.townships.loc[facts.townships["county"] == code, "communities"].sum()
        background[number] = 0.7 * (total - mass) / (shapely.area(shape) / 1e6)
        rng = np.random.default_rng([seed, 1, int(code)])
        rows, places = _town_hearts(facts, number, hearts[number], radii[number], rng)
        towns[rows] = places
    rural = towns[~facts.townships["core"].to_numpy()]
    return Density(background, hearts, radii, towns, rural)
