"""Grids of every level as sets of mesh faces: townships, communities and unit grids grown from seeds.

Each level grows inside its parent over the mesh's graph by shortest paths, so every grid is in one piece. A
step costs its length times the square root of the density: in that measure all communities are equally wide,
and equal growth gives small communities in town and large ones in the country.
"""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from numpy.random import Generator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from gis.demo.density import URBAN, Density
from gis.demo.facts import Facts
from gis.demo.mesh import Mesh
from gis.demo.plane import Floats, Ints

MAIN_LINE = 4
"""Every so many lattice lines a street is an arterial."""


@dataclass(frozen=True)
class Growth:
    """What growing needs of a mesh: sites, graph, each face's mass (communities), Hilbert rank."""

    points: Floats
    sides: Ints
    cost: Floats
    mass: Floats
    rank: Ints


def line_rank(mesh: Mesh) -> Ints:
    """Return 1 for edges on arterials, 0 on local streets, -1 outside towns."""
    faces = mesh.faces
    a, b = (faces.iloc[mesh.sides[:, k]].reset_index(drop=True) for k in (0, 1))
    same = (a["patch"] == b["patch"]) & (a["patch"] >= 0)
    columns, rows = a["i"] != b["i"], a["j"] != b["j"]
    line = np.where(columns, np.maximum(a["i"], b["i"]), np.maximum(a["j"], b["j"]))
    lattice = same & (columns ^ rows)
    rank = np.where(lattice, (line % MAIN_LINE == 0).astype(int), 0)
    town = (a["density"] >= URBAN) & (b["density"] >= URBAN)
    wet = a["water"] | b["water"]
    quarters = ~same & (a["patch"] >= 0) & (b["patch"] >= 0)
    rank = np.where(quarters | (a["county"] != b["county"]), 1, rank)
    found: Ints = np.where(town & ~wet, rank, -1)
    return found


def make_growth(mesh: Mesh, rng: Generator) -> Growth:
    """Weigh the mesh's graph: borders prefer arterials, the river, and in the country wander."""
    points, sides = mesh.points, mesh.sides
    density = mesh.faces["density"].to_numpy()
    step = np.hypot(*(points[sides[:, 0]] - points[sides[:, 1]]).T) / 1000
    town = line_rank(mesh)
    rough = np.where(town >= 0, 0.15, 0.38)
    barrier = np.where(town == 1, 1.8, 1.0)
    water = mesh.faces["water"].to_numpy()[sides].any(axis=1)
    cost = step * np.sqrt(density[sides].mean(axis=1)) * barrier * np.exp(rng.normal(0, rough))
    area = _face_area(mesh)
    order = gpd.GeoSeries(gpd.points_from_xy(points[:, 0], points[:, 1])).hilbert_distance(level=15)
    return Growth(
        points, sides, cost * np.where(water, 1.5, 1.0), area * density, order.to_numpy().astype(np.int64)
    )


def _face_area(mesh: Mesh) -> Floats:
    """Return each face's area in km², from its straight edges."""
    area = np.zeros(len(mesh.faces))
    start, end = mesh.nodes[mesh.ends[:, 0]], mesh.nodes[mesh.ends[:, 1]]
    for k in (0, 1):
        u, v = start - mesh.points[mesh.sides[:, k]], end - mesh.points[mesh.sides[:, k]]
        np.add.at(area, mesh.sides[:, k], np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2e6)
    return area


def first_seeds(growth: Growth, parent: Ints, shares: Floats, owner: Ints) -> Ints:
    """Choose one face per child: along a Hilbert curve through the parent, amid each share of mass.

    `parent`: each face's parent (-1 none); `owner`: each child's parent (sorted); `shares`: its weight.
    """
    order = np.lexsort((growth.rank, parent))
    order = order[parent[order] >= 0]
    mass = growth.mass[order] / np.bincount(parent[order], growth.mass[order])[parent[order]]
    walked = _running(mass, parent[order]) + parent[order]
    part = shares / np.bincount(owner, shares)[owner]
    middle = _running(part, owner) - part / 2 + owner
    at = np.minimum(np.searchsorted(walked, middle), len(order) - 1)
    return _distinct(order, at)


def _running(values: Floats, group: Ints) -> Floats:
    """Cumulate within groups (sorted), ending just below 1 for shares."""
    total = np.cumsum(values)
    start = np.concatenate([[True], group[1:] != group[:-1]])
    base = np.maximum.accumulate(np.where(start, total - values, 0.0))
    found: Floats = np.minimum(total - base, 1 - 1e-9)
    return found


def _distinct(order: Ints, at: Ints) -> Ints:
    """Move seeds that fell on one face to the next free ones along the curve."""
    at = np.maximum.accumulate(at - np.arange(len(at))) + np.arange(len(at))
    assert at[-1] < len(order), "more children than faces"
    return order[at]


def grow(growth: Growth, parent: Ints, seeds: Ints, head_start: Floats) -> Ints:
    """Label each face with the seed of its own parent that reaches it first; `head_start` is a delay (n)."""
    inside = (parent[growth.sides[:, 0]] == parent[growth.sides[:, 1]]) & (parent[growth.sides[:, 0]] >= 0)
    sides, count = growth.sides[inside], len(parent)
    rows = np.concatenate([sides[:, 0], sides[:, 1], np.full(len(seeds), count)])
    columns = np.concatenate([sides[:, 1], sides[:, 0], seeds])
    costs = np.concatenate([growth.cost[inside], growth.cost[inside], head_start + 1e-6])
    graph = coo_array((costs, (rows, columns)), shape=(count + 1, count + 1)).tocsr()
    _, before = dijkstra(graph, indices=[count], return_predecessors=True)
    return _roots(before[0, :-1].astype(np.int64), count, seeds, parent)


def _roots(before: Ints, source: int, seeds: Ints, parent: Ints) -> Ints:
    """Follow predecessors up to the seeds, doubling the stride each time."""
    here = np.arange(len(before))
    jump = np.where((before < 0) | (before == source), here, before)
    while not np.array_equal(jump, further := jump[jump]):
        jump = further
    label = np.full(len(before), -1)
    label[seeds] = np.arange(len(seeds))
    found: Ints = np.where(parent >= 0, label[jump], -1)
    assert (found[parent >= 0] >= 0).all(), "a face no seed reaches"
    return found


def recentre(growth: Growth, label: Ints, seeds: Ints) -> Ints:
    """Move each seed to its own face nearest to its grid's centre (weighed by area, not by people)."""
    inside = np.flatnonzero(label >= 0)
    own, points = label[inside], growth.points[inside]
    weight = growth.mass[inside]
    total = np.bincount(own, weight, len(seeds))
    centre = np.column_stack([np.bincount(own, weight * points[:, k], len(seeds)) / total for k in (0, 1)])
    away = ((points - centre[own]) ** 2).sum(axis=1)
    order = np.lexsort((away, own))
    found: Ints = inside[order[np.searchsorted(own[order], np.arange(len(seeds)))]]
    return found


def partition(
    growth: Growth, parent: Ints, owner: Ints, shares: Floats, seeds: Ints | None = None, rounds: int = 6
) -> Ints:
    """Divide each parent among its children in proportion to `shares` of mass; label per face, -1 for none.

    Given `seeds` stay where they are; others move to the middle of what they grew.
    """
    fixed = seeds is not None
    at = seeds if seeds is not None else first_seeds(growth, parent, shares, owner)
    inside = parent >= 0
    whole = np.bincount(parent[inside], growth.mass[inside], owner.max() + 1)
    target = shares * (whole / np.bincount(owner, shares, owner.max() + 1))[owner]
    delay = np.zeros(len(at))
    best, best_off = grow(growth, parent, at, delay), np.inf
    for _ in range(rounds):
        label = grow(growth, parent, at, delay)
        mass = np.bincount(label[inside], growth.mass[inside], len(at))
        off = float(np.abs(np.log((mass + 0.1 * target) / target)).mean())
        if off < best_off and (np.bincount(label[inside], minlength=len(at)) > 0).all():
            best, best_off = label, off
        delay += 0.45 * (np.sqrt(mass) - np.sqrt(target))
        lowest = np.full(owner.max() + 1, np.inf)
        np.minimum.at(lowest, owner, delay)
        delay -= lowest[owner]
        at = at if fixed else recentre(growth, best if (mass == 0).any() else label, at)
    return best


def grow_townships(growth: Growth, mesh: Mesh, facts: Facts, density: Density, counties: Ints) -> Ints:
    """Return each face's township (its row in the facts) for faces of the numbered counties, else -1."""
    county = mesh.faces["county"].to_numpy()
    number = (
        facts.townships["county"].map({code: k for k, code in enumerate(facts.counties["code"])}).to_numpy()
    )
    rows = np.flatnonzero(np.isin(number, counties))
    parent = np.where(np.isin(county, counties), county, -1)
    seeds = np.zeros(len(rows), dtype=np.int64)
    for own in counties:
        faces = np.flatnonzero(parent == own)
        mine = number[rows] == own
        seeds[mine] = faces[cKDTree(growth.points[faces]).query(density.towns[rows[mine]])[1]]
    shares = facts.townships["communities"].to_numpy()[rows].astype(float)
    label = partition(growth, parent, number[rows], shares, seeds, rounds=14)
    return np.where(label >= 0, rows[label], -1)


def grow_communities(growth: Growth, facts: Facts, township: Ints, rng: Generator) -> Ints:
    """Return each face's community (its row in the facts); 社区 lie where the township is densest."""
    number = facts.communities["township"].map({code: k for k, code in enumerate(facts.townships["code"])})
    rows = np.flatnonzero(number.isin(np.unique(township[township >= 0])))
    owner = number.to_numpy()[rows]
    label = partition(growth, township, owner, rng.lognormal(0, 0.15, len(rows)))
    inside = label >= 0
    mass = np.bincount(label[inside], growth.mass[inside])
    spacious = np.bincount(label[inside]) / mass
    nearest = np.lexsort((spacious, owner))
    named = np.empty(len(rows), dtype=np.int64)
    named[nearest] = rows
    return np.where(inside, named[label], -1)


def grow_units(growth: Growth, community: Ints, rng: Generator) -> tuple[Ints, Ints]:
    """Return each face's unit grid and each unit's community: two to seven in one, by its people."""
    inside = community >= 0
    present, own = np.unique(community[inside], return_inverse=True)
    faces = np.bincount(own)
    wish = 4.1 + 0.9 * np.log(np.bincount(own, growth.mass[inside])) + rng.normal(0, 0.9, len(present))
    count = np.clip(np.round(wish), 2, 7).astype(np.int64)
    count = np.maximum(1, np.minimum(count, faces // 2))
    parent = np.full(len(community), -1)
    parent[inside] = own
    owner = np.repeat(np.arange(len(present)), count)
    label = partition(growth, parent, owner, np.ones(len(owner)), rounds=4)
    return label, present[owner]
