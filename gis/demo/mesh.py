"""The mesh under everything: faces around sites, and the edges between them that streets and borders follow.

Faces are Voronoi cells whose short edges are drawn together to single crossings, so that a lattice of sites
gives blocks with four-way junctions. Every grid of every level is a set of faces and every border a chain of
edges: gaps and overlaps cannot arise, and shared borders have the same vertices by construction.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.random import Generator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Voronoi

from gis.demo.density import URBAN
from gis.demo.lines import bend, corridor, fractal, polylines
from gis.demo.plane import Bools, Floats, Ints, Shapes, to_degrees

URBAN_JOIN, RURAL_JOIN = 0.36, 0.10
"""Edges shorter than this share of the sites' step are drawn together to one crossing."""
SLACK = 0.75
"""The share of its corridor a line may use: the rest keeps lines apart when they are snapped to 1 cm."""


@dataclass(frozen=True)
class Mesh:
    """Faces and edges.

    `faces`: one row per site (x, y metres, patch, i, j, angle, step, water, county, density).
    `sides` (m, 2): the two faces of each edge; `ends` (m, 2): its two nodes; `nodes` (k, 2) metres.
    `lines` (m): each edge as a LineString in degrees, snapped, from the first end to the second.
    """

    faces: pd.DataFrame
    nodes: Floats
    sides: Ints
    ends: Ints
    lines: Shapes

    @property
    def points(self) -> Floats:
        """The sites (n, 2) in metres."""
        return self.faces[["x", "y"]].to_numpy()


def _double_area(site: Floats, a: Floats, b: Floats) -> Floats:
    u, v = a - site, b - site
    found: Floats = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    return found


def _joined(nodes: Floats, ends: Ints, short: Bools) -> tuple[Floats, Ints]:
    """Draw the ends of `short` edges together: new places of all nodes, and each node's group."""
    graph = coo_array((np.ones(short.sum()), tuple(ends[short].T)), shape=(len(nodes),) * 2)
    count, group = connected_components(graph, directed=False)
    size = np.bincount(group, minlength=count)
    centre = np.column_stack([np.bincount(group, nodes[:, axis]) / size for axis in (0, 1)])
    return centre[group], group.astype(np.int64)


def draw_together(
    points: Floats, nodes: Floats, sides: Ints, ends: Ints, short: Bools
) -> tuple[Floats, Ints]:
    """Draw short edges together wherever every face stays star-shaped around its site."""
    for _ in range(12):
        moved, group = _joined(nodes, ends, short)
        wrong = np.zeros(len(ends), dtype=bool)
        for side in (0, 1):
            before = _double_area(points[sides[:, side]], nodes[ends[:, 0]], nodes[ends[:, 1]])
            after = _double_area(points[sides[:, side]], moved[ends[:, 0]], moved[ends[:, 1]])
            wrong |= (after * np.sign(before) < 4.0) & (group[ends[:, 0]] != group[ends[:, 1]])
        if not wrong.any():
            break
        bad = np.unique(group[ends[wrong]])
        short = short & ~np.isin(group[ends[:, 0]], bad)
    return moved, group


def _profile(length: Floats, urban: Bools) -> Ints:
    """How often to halve each edge: streets stay nearly straight, country borders wander."""
    return np.where(urban, 1, np.clip(np.ceil(np.log2(np.maximum(length, 1) / 22.0)), 1, 4)).astype(np.int64)


def _edge_lines(
    points: Floats, nodes: Floats, sides: Ints, ends: Ints, urban: Bools, rng: Generator
) -> Shapes:
    """Draw each edge within the two triangles to its sites."""
    start, end = nodes[ends[:, 0]], nodes[ends[:, 1]]
    length = np.hypot(*(end - start).T)
    halvings = _profile(length, urban)
    paths, rows = [], []
    for depth in np.unique(halvings):
        row = np.flatnonzero(halvings == depth)
        t = np.linspace(0, 1, 2**depth + 1)[None]
        rough = np.where(urban[row], 0.008, 0.09) * length[row]
        offsets = fractal(len(row), depth, rng) * rough[:, None]
        left = _double_area(points[sides[row, 0]], start[row], end[row]) > 0
        first, second = (corridor(start[row], end[row], points[sides[row, k]], t) * SLACK for k in (0, 1))
        high, low = np.where(left[:, None], first, second), np.where(left[:, None], second, first)
        paths.append(to_degrees(bend(start[row], end[row], np.clip(offsets, -low, high)).reshape(-1, 2)))
        rows.append(row)
        paths[-1] = paths[-1].reshape(len(row), -1, 2)
    coords, index = polylines(paths, rows, len(ends))
    return np.asarray(shapely.linestrings(coords, indices=index), dtype=object)


def _voronoi(points: Floats, county: Ints) -> tuple[Floats, Ints, Ints]:
    """Nodes, sides and ends of the Voronoi edges that touch the city."""
    diagram = Voronoi(points)
    ends = np.asarray(diagram.ridge_vertices)
    sides = np.asarray(diagram.ridge_points, dtype=np.int64)
    touching = (county[sides] >= 0).any(axis=1)
    assert (ends[touching] >= 0).all(), "the fringe around the city is too thin"
    used, ends = np.unique(ends[touching], return_inverse=True)
    return diagram.vertices[used], sides[touching], ends.reshape(-1, 2).astype(np.int64)


def settle_counties(county: Ints, sides: Ints) -> Ints:
    """Give every face that is cut off from its county's main body to the neighbour across its edges."""
    county = county.copy()
    for _ in range(20):
        same = county[sides[:, 0]] == county[sides[:, 1]]
        graph = coo_array((np.ones(same.sum()), tuple(sides[same].T)), shape=(len(county),) * 2)
        count, part = connected_components(graph, directed=False)
        size = np.bincount(part, minlength=count)
        main = np.array([size[part[county == c]].max() for c in range(county.max() + 1)])
        stray = (county >= 0) & (size[part] < main[county])
        if not stray.any():
            break
        both = np.vstack([sides, sides[:, ::-1]])
        both = both[stray[both[:, 0]] & ~stray[both[:, 1]]]
        county[both[:, 0]] = county[both[:, 1]]
    return county


def make_mesh(sites: pd.DataFrame, rng: Generator) -> Mesh:
    """Build the mesh over sites with columns x, y, patch, i, j, angle, step, water, county, density."""
    points, step = sites[["x", "y"]].to_numpy(), sites["step"].to_numpy()
    nodes, sides, ends = _voronoi(points, sites["county"].to_numpy())
    urban = sites["density"].to_numpy()[sides].min(axis=1) >= URBAN
    length = np.hypot(*(nodes[ends[:, 0]] - nodes[ends[:, 1]]).T)
    join = np.where(urban, URBAN_JOIN, RURAL_JOIN) * step[sides].min(axis=1)
    nodes, group = draw_together(points, nodes, sides, ends, length < join)
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    nodes, ends = nodes[first], group[ends]
    real = ends[:, 0] != ends[:, 1]
    sides, ends, urban = sides[real], ends[real], urban[real]
    lines = _edge_lines(points, nodes, sides, ends, urban, rng)
    county = settle_counties(sites["county"].to_numpy(), sides)
    return Mesh(sites.assign(county=county), nodes, sides, ends, lines)


def areas(mesh: Mesh, label: Ints, count: int) -> Shapes:
    """Return the polygon of each label (faces labelled -1 belong to none), from its border edges."""
    sides = label[mesh.sides]
    border = np.flatnonzero(sides[:, 0] != sides[:, 1])
    owner = sides[border].T.ravel()
    lines = np.concatenate([border, border])[owner >= 0]
    owner = owner[owner >= 0]
    order = np.argsort(owner, kind="stable")
    rings = shapely.multilinestrings(mesh.lines[lines[order]], indices=owner[order])
    assert len(rings) == count, "a label without a face"
    found: Shapes = shapely.normalize(shapely.build_area(rings))
    assert shapely.is_valid(found).all(), "a border crosses itself; choose another seed"
    return found
