"""Atoms of ground: what each building stands on within its grid, in one piece, and which share a border.

The ground of a building is what lies nearer to its outline than to any other's. The borders between these
cells and the borders of the grids divide the ground into faces on whole units; faces without a building join
the atom of their grid that they share the longest border with. An atom is connected and lies in one grid, so
that grids stay in one piece exactly as long as their atoms do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy import spatial
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.coverage import Bools, Floats, Geoms, Ints
from gis.settle import total
from gis.tolerances import metres_per_unit

SHRUNK_M = 0.3
"""Outlines are drawn in by this before they are sampled, so that houses wall to wall are apart."""
SAMPLE_M = 4.0
"""Distance between the places by which an outline is known: cells bend around it within that."""
DOORWAY_M = 3.0
"""A common border shorter than this joins no atoms: nobody walks through a corner."""


@dataclass(frozen=True)
class Atoms:
    """Faces (units), the atom of each, and of each atom its grid and households.

    `pairs` of atoms with a common border of `length` metres; `passable` where no barrier lies between them.
    """

    faces: Geoms
    atom: Ints
    grid: Ints
    households: Floats
    pairs: Ints
    length: Floats
    passable: Bools

    def shape(self, atoms: Sequence[int]) -> BaseGeometry:
        """The ground of atoms in units."""
        return total(self.faces[np.isin(self.atom, list(atoms))])


def atoms(
    shapes: Sequence[BaseGeometry],
    places: Geoms,
    outlines: Geoms,
    households: Floats,
    barriers: Sequence[BaseGeometry] = (),
) -> Atoms:
    """The atoms of grids that hold buildings; all geometries in units, buildings by place and outline."""
    grids = np.array(list(shapes), dtype=object)
    faces = _faces(grids, _cell_borders(grids, places, outlines))
    inner = shapely.point_on_surface(faces)
    owner = holder(grids, inner)
    faces, inner, owner = faces[owner >= 0], inner[owner >= 0], owner[owner >= 0]
    weight, lived = _weights(faces, owner, grids, places, households)
    pairs, length = _borders(faces)
    atom = _grown(owner, lived, pairs, length)
    count = int(atom.max(initial=-1)) + 1
    sums = np.bincount(atom, weight, count).astype(np.float64)
    grid = np.zeros(count, dtype=np.int64)
    grid[atom] = owner
    joined, along = _between(atom, pairs, length)
    passable = _passable(joined, _middles(faces, inner, atom, lived, count), barriers)
    return Atoms(faces, atom, grid, sums, joined, along, passable)


def _samples(places: Geoms, outlines: Geoms) -> tuple[Floats, Ints]:
    """Places along the outline of each building (units) and whose they are; of a point the point."""
    metres = _units_per_metre(places)
    shrunk = shapely.buffer(outlines, -SHRUNK_M * metres, join_style="mitre")
    thin = shapely.is_empty(shrunk) | shapely.is_missing(shrunk)
    shrunk[thin] = places[thin]
    lines = shapely.segmentize(shrunk, SAMPLE_M * metres)
    xy, whose = shapely.get_coordinates(lines, return_index=True)
    _, first = np.unique(np.round(xy), axis=0, return_index=True)
    return xy[first], whose[first]


def _units_per_metre(places: Geoms) -> float:
    lat = float(np.mean(shapely.get_y(places))) * coverage.PRECISION if len(places) else 0.0
    return float(1 / metres_per_unit(lat)[1])


def _cell_borders(grids: Geoms, places: Geoms, outlines: Geoms) -> Geoms:
    """The lines (units) between the cells of buildings, as far as the grids go."""
    xy, whose = _samples(places, outlines)
    if len(np.unique(whose)) < 2:
        return np.zeros(0, dtype=object)
    west, south, east, north = shapely.total_bounds(grids)
    scale = float(np.cos(np.radians((south + north) / 2 * coverage.PRECISION)))
    reach = 3 * max(east - west, north - south)
    middle = np.array([(west + east) / 2, (south + north) / 2])
    far = middle + reach * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    drawn = spatial.Voronoi((np.vstack([xy, far]) - middle) * (scale, 1))
    whose = np.concatenate([whose, np.full(4, -1)])
    ends = np.array(drawn.ridge_vertices)
    apart = whose[drawn.ridge_points[:, 0]] != whose[drawn.ridge_points[:, 1]]
    lines = (drawn.vertices / (scale, 1) + middle)[ends[apart & (ends >= 0).all(axis=1)]]
    near = _within(lines, (west, south, east, north))
    return np.asarray(shapely.linestrings(lines[near]), dtype=object)


def _within(lines: Floats, box: tuple[float, float, float, float]) -> Bools:
    """Which lines, cut to a box of twice the size, are worth noding."""
    low, high = lines.min(axis=1), lines.max(axis=1)
    return np.asarray(
        (low[:, 0] <= box[2]) & (high[:, 0] >= box[0]) & (low[:, 1] <= box[3]) & (high[:, 1] >= box[1])
    )


def _faces(grids: Geoms, lines: Geoms) -> Geoms:
    """The faces between the borders of grids and lines, in a fixed order."""
    low, high = coverage.unique_segments(coverage.polygon_edges(grids))
    box = shapely.box(*shapely.total_bounds(grids)).buffer(1)
    cut = shapely.get_parts(shapely.intersection(lines, box))
    noded = shapely.union_all(np.concatenate([coverage.lines(low, high), cut]), grid_size=1.0)
    faces = shapely.normalize(shapely.get_parts(shapely.polygonize(shapely.get_parts(noded))))
    return np.array(sorted(faces, key=shapely.to_wkb), dtype=object)


def holder(polygons: Geoms, points: Geoms) -> Ints:
    """The first of the polygons that holds each point, -1 for none."""
    found = np.full(len(points), -1, dtype=np.int64)
    point, polygon = shapely.STRtree(polygons).query(points, predicate="intersects")
    order = np.lexsort((-polygon, point))
    found[point[order]] = polygon[order]
    return found


def _weights(
    faces: Geoms, owner: Ints, grids: Geoms, places: Geoms, households: Floats
) -> tuple[Floats, Bools]:
    """The households of each face, and which have a building; one on a border is its first grid's."""
    weight, lived = np.zeros(len(faces)), np.zeros(len(faces), dtype=np.bool_)
    mine = holder(grids, places)
    place, face = shapely.STRtree(faces).query(places, predicate="dwithin", distance=1.0)
    same = owner[face] == mine[place]
    place, face = place[same], face[same]
    _, first = np.unique(place, return_index=True)
    np.add.at(weight, face[first], households[place[first]])
    lived[face[first]] = True
    return weight, lived


def _borders(faces: Geoms) -> tuple[Ints, Floats]:
    """Pairs of faces with common edges, and how many metres of them."""
    edges = coverage.polygon_edges(faces)
    ends = np.hstack([edges.start, edges.end])
    swap = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
    ends[swap] = ends[swap][:, [2, 3, 0, 1]]
    order = np.lexsort(ends.T[::-1])
    same = (ends[order][1:] == ends[order][:-1]).all(axis=1)
    one, other = order[:-1][same], order[1:][same]
    pairs = np.column_stack([edges.owner[one], edges.owner[other]])
    run = (ends[one][:, 2:] - ends[one][:, :2]).astype(np.float64)
    east, north = metres_per_unit(ends[one][:, 1] * coverage.PRECISION)
    return _summed(pairs, np.hypot(run[:, 0] * east, run[:, 1] * north))


def _summed(pairs: Ints, length: Floats) -> tuple[Ints, Floats]:
    """Each pair once, lesser first, with the sum of its lengths; none with itself."""
    apart = pairs[:, 0] != pairs[:, 1]
    unique, index = np.unique(np.sort(pairs[apart], axis=1), axis=0, return_inverse=True)
    summed = np.bincount(index.ravel(), length[apart], len(unique)).astype(np.float64)
    return unique.reshape(-1, 2).astype(np.int64), summed


def _grown(owner: Ints, lived: Bools, pairs: Ints, length: Floats) -> Ints:
    """The atom of each face: empty faces join along their longest borders, never two with buildings."""
    root, full = list(range(len(owner))), lived.tolist()

    def find(face: int) -> int:
        while root[face] != face:
            root[face] = face = root[root[face]]
        return face

    same = owner[pairs[:, 0]] == owner[pairs[:, 1]]
    for a, b in pairs[same][np.argsort(-length[same], kind="stable")].tolist():
        one, other = find(a), find(b)
        if one != other and not (full[one] and full[other]):
            root[other], full[one] = one, full[one] or full[other]
    return np.unique([find(face) for face in range(len(owner))], return_inverse=True)[1].astype(np.int64)


def walkable(shapes: Geoms) -> Ints:
    """Pairs of shapes (units) whose common border is wide enough to walk through."""
    pairs, along = _borders(shapes)
    return pairs[along >= DOORWAY_M]


def _between(atom: Ints, pairs: Ints, length: Floats) -> tuple[Ints, Floats]:
    """Pairs of atoms whose common border is wide enough to walk through, and its length."""
    joined, along = _summed(atom[pairs], length)
    wide = along >= DOORWAY_M
    return joined[wide], along[wide]


def _middles(faces: Geoms, inner: Geoms, atom: Ints, lived: Bools, count: int) -> Floats:
    """A place in each atom: in its face with a building, else in its largest."""
    order = np.lexsort((shapely.area(faces), lived))
    xy = np.zeros((count, 2))
    xy[atom[order]] = shapely.get_coordinates(inner)[order]
    return xy


def _passable(pairs: Ints, middle: Floats, barriers: Sequence[BaseGeometry]) -> Bools:
    """Which pairs see each other without a barrier between them."""
    free = np.ones(len(pairs), dtype=np.bool_)
    if len(pairs) and len(barriers):
        sights = np.asarray(shapely.linestrings(middle[pairs]), dtype=object)
        walls = np.array(list(barriers), dtype=object)
        free[shapely.STRtree(sights).query(walls, predicate="intersects")[1]] = False
    return free
