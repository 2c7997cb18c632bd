"""Parts of ground: dividing polygons by lines on the lattice, and putting the parts together again."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import borders, coverage, lattice
from gis.coverage import Edges, Geoms
from gis.errors import BadInput
from gis.lattice import Line, Point, Tees
from gis.settle import edges_of, join, total
from gis.tolerances import CORRIDOR_M, REACH_M, SLIVER_WIDTH_M, YARD_M, scale_at

Edge = tuple[Point, Point]


def reaching(line: Line, shape: BaseGeometry) -> Line:
    """An open line whose ends, where they lie short of the border of the shape, are led to it."""
    if line[0] == line[-1]:
        return line
    low, high = edges_of([shape])
    inside = shapely.contains_xy(shape, *np.array([line[0], line[-1]], dtype=float).T)
    ends = [(p, lattice.nearest(p, low, high)[0]) for p in (line[0], line[-1])]
    short = [_is_near(*pair) and bool(within) for pair, within in zip(ends, inside, strict=True)]
    return [*([ends[0][1]] if short[0] else []), *line, *([ends[1][1]] if short[1] else [])]


def _is_near(one: Point, other: Point) -> bool:
    """Whether two places lie within `REACH_M` of each other."""
    apart = (np.array(one) - np.array(other)) * scale_at(one[1])
    return bool(np.hypot(*apart) <= REACH_M)


def divide(shape: BaseGeometry, paths: Sequence[Line]) -> list[BaseGeometry]:
    """The faces of a polygon (units) between lines that already meet its border in common vertices only."""
    steps = np.array([(a, b) for path in paths for a, b in pairwise(path)], dtype=float)
    inner = shapely.contains_xy(shape, *steps.mean(axis=1).T)
    low, high = edges_of([shape])
    cuts = np.unique(np.array([sorted(step) for step in steps[inner].tolist()]).reshape(-1, 2, 2), axis=0)
    linework = np.concatenate([coverage.lines(low, high), shapely.linestrings(cuts)])
    faces = shapely.get_parts(shapely.polygonize(linework))
    mine = shapely.normalize(faces[shapely.intersects(shape, shapely.point_on_surface(faces))])
    return sorted(mine, key=shapely.to_wkb)  # GEOS gives them in no fixed order


def without_slivers(pieces: Sequence[BaseGeometry]) -> list[BaseGeometry]:
    """Pieces narrower than a sliver joined to the one they share the longest border with."""
    kept = {str(i): [piece] for i, piece in enumerate(pieces)}
    widths = borders.widths_m(np.array(pieces, dtype=object))
    for i in np.argsort(widths):
        if widths[i] >= SLIVER_WIDTH_M or len(kept) == 1:
            break
        (piece,) = kept.pop(str(i)) if len(kept[str(i)]) == 1 else (total(kept.pop(str(i))),)
        to = longest_border(piece, kept)
        kept[to if to is not None else str(i)] = [*kept.get(to or str(i), []), piece]
    return [total(parts) if len(parts) > 1 else parts[0] for parts in kept.values()]


def longest_border(piece: BaseGeometry, ground: Mapping[str, Sequence[BaseGeometry]]) -> str | None:
    """Which of several grounds (in parts) shares the longest border with a piece; None if none does."""
    mine = {(b, a) for a, b in _directed(piece)}
    reach = piece.envelope.buffer(1)
    best, longest = None, 0.0
    for code, parts in ground.items():
        near = [part for part in parts if reach.intersects(part)]
        along = sorted(edge for part in near for edge in mine & _directed(part))
        length = sum(float(np.hypot(b[0] - a[0], b[1] - a[1])) for a, b in along)
        if length > longest:
            best, longest = code, length
    return best


def replaced(one: BaseGeometry, other: BaseGeometry, path: Line) -> tuple[Line, list[Edge]]:
    """The stretch of a line between its first and last point on the border of two grids, and the border.

    The border comes as edges of `one` from the stretch's first point to its last. Raises BadInput where the
    line leaves the two grids or its ends do not lie on one stretch of their border.
    """
    border = shared(one, other)
    on = {p for edge in border for p in edge}
    hits = [i for i, p in enumerate(path) if p in on]
    if len(hits) < 2 or path[hits[0]] == path[hits[-1]]:
        told = "once" if hits else "nowhere"
        raise BadInput(
            "line",
            f"it meets the border between the two grids {told}; cross it where the stretch begins and ends",
        )
    stretch = path[hits[0] : hits[-1] + 1]
    middles = np.array([np.add(a, b) / 2 for a, b in pairwise(stretch)])
    if not (shapely.intersects_xy(one, *middles.T) | shapely.intersects_xy(other, *middles.T)).all():
        raise BadInput("line", "it leaves the two grids")
    ways = [(line, walk) for line in (stretch, stretch[::-1]) if (walk := _walk(border, line[0], line[-1]))]
    if not ways:
        raise BadInput("line", "its ends lie on different stretches of the border between the two grids")
    return min(ways, key=lambda way: abs(_loop(*way)))


def exchange(one: BaseGeometry, other: BaseGeometry, stretch: Line, border: list[Edge]) -> list[BaseGeometry]:
    """Two grids with a stretch of their border, given as edges of `one`, replaced by a line."""
    line = list(pairwise(stretch))
    mine = [*_directed(one), *_reversed(border), *line]
    theirs = [*_directed(other), *border, *_reversed(line)]
    return [_from_list(mine), _from_list(theirs)]


def shared(one: BaseGeometry, other: BaseGeometry) -> list[Edge]:
    """The directed edges of one polygon that another has the other way round, in order."""
    mine, theirs = (coverage.polygon_edges(np.array([shape], dtype=object)) for shape in (one, other))
    both = coverage.common(mine, theirs)
    rows = np.unique(np.hstack([both.start, both.end]), axis=0).tolist()
    return [((a, b), (c, d)) for a, b, c, d in rows]


def passed(stretch: Line, border: list[Edge]) -> tuple[BaseGeometry, BaseGeometry]:
    """The ground that the owner of a border (given as its edges) loses and gains when a line replaces it."""
    gained = [*pairwise(stretch), *_reversed(border)]
    return _from_list(_reversed(gained)), _from_list(gained)


def rings(area: BaseGeometry, shapes: list[BaseGeometry]) -> tuple[BaseGeometry, list[Line], Tees]:
    """An area whose border meets that of shapes in common vertices: the area, its lines, the vertices."""
    if not area.is_valid or area.area == 0:
        raise BadInput("area", "it is not a valid polygon")
    low, high = edges_of(shapes)
    paths, tees, polygons = [], [], []
    for part in shapely.get_parts(area):
        laid = [lattice.conform(lattice.as_line(ring.coords), low, high) for ring in shapely.get_rings(part)]
        paths += [path for path, _ in laid]
        tees += [tee for _, tee in laid]
        polygons.append(shapely.Polygon(laid[0][0], [path for path, _ in laid[1:]]))
    whole = shapely.union_all(polygons)
    if any(not polygon.is_valid for polygon in polygons):
        raise BadInput("area", "its border runs too close to itself or to other borders; draw it simpler")
    return whole, paths, join(*tees)


def held(area: BaseGeometry, piece: BaseGeometry) -> bool:
    """Whether a piece that the area's border does not cut lies in it."""
    return bool(shapely.intersects(area, shapely.point_on_surface(piece)))


def joined(grid: BaseGeometry, buildings: Geoms) -> BaseGeometry:
    """The ground under and a metre around buildings (units), with strips to the grid they go to."""
    scale = scale_at(shapely.bounds(grid)[[1, 3]].mean())
    home, *houses = (shapely.transform(one, lambda xy: xy * scale) for one in (grid, *buildings))
    parts = [one.buffer(YARD_M, join_style="mitre") for one in houses]
    strips = [shapely.shortest_line(one, home).buffer(CORRIDOR_M / 2, cap_style="square") for one in houses]
    wanted = shapely.union_all([*parts, *strips])
    drawn: BaseGeometry = shapely.transform(wanted, lambda xy: np.round(xy / scale))
    return drawn


def _directed(shape: BaseGeometry) -> set[Edge]:
    edges = coverage.polygon_edges(np.array([shape], dtype=object))
    return {((a, b), (c, d)) for (a, b), (c, d) in zip(edges.start.tolist(), edges.end.tolist(), strict=True)}


def _reversed(edges: Iterable[Edge]) -> list[Edge]:
    return [(b, a) for a, b in edges]


def _from_list(edges: list[Edge]) -> BaseGeometry:
    ends = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2, 2)
    return coverage.from_edges(Edges(ends[:, 0], ends[:, 1], np.zeros(len(ends), dtype=np.int64)))


def _walk(edges: list[Edge], first: Point, last: Point) -> list[Edge]:
    """The way along the fewest directed edges from one point to another; empty if there is none."""
    ahead: dict[Point, list[Point]] = {}
    for a, b in edges:
        ahead.setdefault(a, []).append(b)
    came, todo = {first: first}, [first]
    for p in todo:
        for q in ahead.get(p, []):
            if q not in came:
                came[q] = p
                todo.append(q)
    way, p = [], last
    while p in came and p != first:
        way.append((came[p], p))
        p = came[p]
    return way[::-1]


def _loop(stretch: Line, border: list[Edge]) -> int:
    """Twice the area between a line and the border it replaces."""
    around = [*pairwise(stretch), *_reversed(border)]
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in around)
