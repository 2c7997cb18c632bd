"""Where borders do not cancel: the faces between the edges that grids and their parent leave over.

Every polygon is the sum of its directed edges, so when the edges of the children, added up, cancel to the
edges of the parent, every point of the parent lies in exactly one child (Stokes' theorem for chains, in
integers, without tolerance). Only where edges are left over are they noded into faces; how many grids own a
face says whether it is a gap or an overlap. A clean map costs a sort.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.coverage import Bools, Floats, Geoms, Ints
from gis.tolerances import MATCH_UNITS, NOISE_UNITS2, metres_per_unit


@dataclass(frozen=True)
class Face:
    """Ground between left-over edges (units): how many owners it has beyond what the parent asks for.

    0 is sound (one owner inside, none outside), -1 is nobody's, 1 or more is doubled or outside the parent.
    """

    shape: BaseGeometry
    excess: int


@dataclass(frozen=True)
class Family:
    """The grids of one parent whose borders do not cancel to the parent's: faces and left-over segments."""

    polygons: Geoms
    members: Ints
    parent: BaseGeometry | None
    low: Ints
    high: Ints
    faces: tuple[Face, ...]
    tree: shapely.STRtree

    def beside(self, shape: BaseGeometry) -> Ints:
        """Indexes of the members that touch a shape."""
        return self.members[self.tree.query(shape, predicate="dwithin", distance=0.5)]

    @cached_property
    def lost(self) -> list[BaseGeometry]:
        """Connected ground of the parent (or enclosed by the members) that no member owns."""
        return pieces(face.shape for face in self.faces if face.excess < 0)

    @cached_property
    def doubled(self) -> list[tuple[tuple[int, int], BaseGeometry]]:
        """Connected ground with two owners, for each pair of them."""
        shared: dict[tuple[int, int], list[BaseGeometry]] = {}
        for face in self._excessive():
            for (i, one), (j, other) in combinations(face.items(), 2):
                shared.setdefault((i, j), []).append(shapely.intersection(one, other))
        return [(pair, piece) for pair, shapes in shared.items() for piece in pieces(shapes)]

    @cached_property
    def stray(self) -> list[tuple[int, BaseGeometry]]:
        """Connected ground of a member that the parent does not hold."""
        if self.parent is None:
            return []
        outside: dict[int, list[BaseGeometry]] = {}
        for face in self._excessive():
            for i, part in face.items():
                outside.setdefault(i, []).append(shapely.difference(part, self.parent))
        return [(i, piece) for i, shapes in outside.items() for piece in pieces(shapes)]

    def _excessive(self) -> Iterator[dict[int, BaseGeometry]]:
        """What each member has of every face with too many owners."""
        for face in self.faces:
            if face.excess > 0:
                near = np.sort(self.tree.query(face.shape, predicate="intersects"))
                parts = shapely.intersection(self.polygons[near], face.shape)
                yield {
                    int(self.members[i]): part
                    for i, part in zip(near, parts, strict=True)
                    if part.area > NOISE_UNITS2
                }

    def lone_vertices(self) -> Geoms:
        """Vertices exactly inside another left-over edge, away from any ground lost, doubled or astray."""
        ends = np.unique(np.vstack([self.low, self.high]), axis=0)
        line, vertex = shapely.STRtree(coverage.points(ends)).query(
            coverage.lines(self.low, self.high), predicate="intersects"
        )
        low, high, at = self.low[line], self.high[line], ends[vertex]
        lone = coverage.points(np.unique(at[np.any(at != low, axis=1) & np.any(at != high, axis=1)], axis=0))
        wrong = [face.shape for face in self.faces if face.excess]
        return lone[~shapely.dwithin(shapely.union_all(wrong), lone, 0.5)]


def open_families(units: Geoms, parent: Ints, parents: tuple[BaseGeometry | None, ...]) -> Iterator[Family]:
    """The families whose borders do not cancel, noded.

    `parent[i]` indexes the parent of polygon i among `parents`, -1 leaves it out; a parent of None has no
    outline of its own, and only what its members enclose or double is looked at.
    """
    edges = coverage.polygon_edges(units)
    outlines = np.array([shapely.Polygon() if p is None else p for p in parents], dtype=object)
    bounds = coverage.polygon_edges(outlines)
    start, end = np.vstack([edges.start, bounds.end]), np.vstack([edges.end, bounds.start])
    family = np.r_[parent[edges.owner], bounds.owner]
    real = family >= 0
    low, high, group, _ = coverage.residual(start[real], end[real], family[real])
    for f in np.unique(group):
        mine = group == f
        yield _family(units, np.flatnonzero(parent == f), parents[f], low[mine], high[mine])


def _family(units: Geoms, members: Ints, parent: BaseGeometry | None, low: Ints, high: Ints) -> Family:
    noded = shapely.get_parts(shapely.union_all(coverage.lines(low, high)))
    shapes = shapely.get_parts(shapely.polygonize(noded))
    tree = shapely.STRtree(units[members])
    inner = _inner_points(shapes, tree, parent)
    owners = np.bincount(tree.query(inner, predicate="intersects")[0], minlength=len(shapes))
    wanted = (
        np.ones(len(shapes), dtype=int) if parent is None else shapely.intersects(parent, inner).astype(int)
    )
    faces = (Face(shape, excess) for shape, excess in zip(shapes, (owners - wanted).tolist(), strict=True))
    return Family(units[members], members, parent, low, high, tuple(faces), tree)


def _inner_points(faces: Geoms, tree: shapely.STRtree, parent: BaseGeometry | None) -> Geoms:
    """A point inside each face that lies on no border, not even one that cancelled."""
    inner = np.asarray(shapely.point_on_surface(faces), dtype=object)
    for i in np.flatnonzero(_on_border(inner, tree, parent)):
        others = shapely.centroid(shapely.get_parts(shapely.constrained_delaunay_triangles(faces[i])))
        free = others[~_on_border(others, tree, parent)]
        inner[i] = free[0] if len(free) else inner[i]
    return inner


def _on_border(points: Geoms, tree: shapely.STRtree, parent: BaseGeometry | None) -> Bools:
    touching = np.zeros(len(points), dtype=bool)
    touching[tree.query(points, predicate="touches")[0]] = True
    return touching if parent is None else touching | shapely.touches(parent, points)


def pieces(shapes: Iterable[BaseGeometry]) -> list[BaseGeometry]:
    """The connected polygons that shapes make together, without noise."""
    parts = shapely.get_parts(shapely.union_all(list(shapes)))
    return [part for part in parts if part.geom_type == "Polygon" and part.area > NOISE_UNITS2]


def local_measures(units: Geoms) -> tuple[Floats, Floats]:
    """Areas in m² and perimeters in m of polygons in units, each scaled at its own middle latitude."""
    bounds = shapely.bounds(units)
    east, north = metres_per_unit((bounds[:, 1] + bounds[:, 3]) / 2 * coverage.PRECISION)
    xy, owner = shapely.get_coordinates(units, return_index=True)
    scaled = shapely.set_coordinates(units.copy(), xy * np.column_stack([east[owner], north[owner]]))
    return shapely.area(scaled), shapely.length(scaled)


def necks(units: BaseGeometry, width_m: float) -> list[BaseGeometry]:
    """Ground of a polygon in units that is narrower than a width in metres, for ten times as long, if any.

    It is what an opening takes away: shrink by half the width, grow again, corners kept (mitred). A sharp
    corner loses its tip as well, but no tip is so long.
    """
    south, north = shapely.bounds(units)[[1, 3]]
    scale = np.array(metres_per_unit(np.array([(south + north) / 2 * coverage.PRECISION]))).ravel()
    shape = shapely.transform(units, lambda xy: xy * scale)
    core = shapely.buffer(shape, -width_m / 2, join_style="mitre", mitre_limit=_MITRE)
    # A hair wider than it was: what merely comes back a little off is no neck.
    opened = shapely.buffer(core, width_m / 2 * 1.01, join_style="mitre", mitre_limit=_MITRE)
    lost = shapely.get_parts(shapely.difference(shape, opened))
    long = lost[shapely.length(lost) / 2 >= NECK_LENGTH * width_m]
    return [shapely.transform(one, lambda xy: xy / scale) for one in long if one.area > 0]


NECK_LENGTH = 10
"""Times its width: what is narrow for less is a corner or a kink."""
_MITRE = 10.0
"""Corners down to 11 degrees come back whole."""


def widths_m(units: Geoms) -> Floats:
    """Mean widths in metres of polygons in units: twice the area over the perimeter."""
    if not len(units):
        return np.zeros(0)
    area, length = local_measures(units)
    return np.asarray(2 * area / np.maximum(length, 1e-12), dtype=np.float64)


def are_rounding(units: Geoms) -> Bools:
    """Whether polygons in units are so narrow that rounding a vertex that one side lacks explains them."""
    width = 2 * shapely.area(units) / np.maximum(shapely.length(units), 1e-12)
    return np.asarray(width < MATCH_UNITS, dtype=bool)


def is_rounding(units: BaseGeometry) -> bool:
    """The same of one polygon."""
    return bool(are_rounding(np.array([units], dtype=object))[0])


def width_m(units: BaseGeometry) -> float:
    """The mean width in metres of one polygon in units."""
    return float(widths_m(np.array([units], dtype=object))[0])
