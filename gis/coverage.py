"""Grids as exact integers: one fixed precision, the edges they share, and what rounding to it changed.

A coordinate is a whole number of units of 1e-7 degree (11 mm north-south). In units every vertex is an
integer, so areas are exact integers (shoelace) and two neighbours either use the very same vertices or they
do not. In degrees the coordinate is `units / 1e7`, the double nearest to the decimal, so GeoJSON text,
PostGIS and shapely all see one value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from gis.errors import BadInput
from gis.tolerances import MATCH_UNITS, metres_per_unit

PRECISION = 1e-7
"""Degrees per unit."""
UNITS_PER_DEGREE = 10_000_000
METRES_PER_DEGREE = 111_320.0
"""Along the equator: an upper bound for turning small distances in degrees into metres."""
Geoms = npt.NDArray[np.object_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_EQUAL_AREA = Transformer.from_pipeline(
    "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cea +ellps=WGS84"
)


@dataclass(frozen=True)
class Snapped:
    """What snapping changed, one entry per geometry: areas in m², the largest move of a vertex in m."""

    area_before_m2: Floats
    area_after_m2: Floats
    displacement_m: Floats
    vertices_added: Ints
    repaired: Bools
    rings_dropped: Ints

    @property
    def max_displacement_m(self) -> float:
        """The largest move of any vertex, in metres."""
        return float(self.displacement_m.max(initial=0.0))


@dataclass(frozen=True)
class Edges:
    """Directed edges in units, the inside on their left; `owner` indexes the geometries they came from."""

    start: Ints
    end: Ints
    owner: Ints

    def __len__(self) -> int:
        return len(self.owner)


def as_geoms(geoms: gpd.GeoSeries | Sequence[BaseGeometry] | Geoms) -> Geoms:
    """An object array of flat polygons; raises BadInput naming the first row that is not a polygon."""
    array = np.asarray(geoms, dtype=object)
    kinds = shapely.get_type_id(array)
    bad = np.flatnonzero(
        (kinds != shapely.GeometryType.POLYGON) & (kinds != shapely.GeometryType.MULTIPOLYGON)
    )
    if bad.size:
        kind = "nothing" if array[bad[0]] is None else array[bad[0]].geom_type
        raise BadInput("geometry", f"row {bad[0] + 1} is {kind}; a grid is a Polygon or a MultiPolygon")
    return np.asarray(shapely.force_2d(array), dtype=object)


def to_units(geoms: Any) -> Any:
    """Degrees to whole units (geometry or array of them): every vertex rounded by itself, none dropped."""
    return shapely.transform(geoms, lambda xy: np.round(xy * UNITS_PER_DEGREE))


def to_degrees(geoms: Any) -> Any:
    """Units to degrees: each coordinate the double nearest to its decimal."""
    return shapely.transform(geoms, lambda xy: xy / UNITS_PER_DEGREE)


def snap(geoms: gpd.GeoSeries | Sequence[BaseGeometry] | Geoms) -> tuple[Geoms, Snapped]:
    """Put polygons (EPSG:4326) on the fixed precision so that neighbours stay neighbours.

    Vertices round by themselves; rings that this leaves without ground are dropped; a vertex that then lies
    within 2 units of another polygon's edge is put into that edge; a polygon that rounding alone made invalid
    is repaired part by part, and empty where nothing of it is left. A polygon that came invalid stays
    invalid, but for such rings: the checks report it. Give all levels of one scheme and day together, so
    that parents match too.
    """
    before = as_geoms(geoms)
    rounded, dropped = _without_flat_rings(np.asarray(to_units(before), dtype=object))
    matched = match(rounded)
    broken = shapely.is_valid(before) & ~shapely.is_valid(matched)
    matched[broken] = _array([_rounded(one) for one in matched[broken]])
    after = to_degrees(matched)
    moved = _displacement_m(before, np.where(broken, after, to_degrees(to_units(before))))
    added = shapely.get_num_coordinates(after) - shapely.get_num_coordinates(before)
    told = Snapped(areas_m2(before), areas_m2(after), moved, np.maximum(added, 0), broken, dropped)
    return after, told


def _without_flat_rings(units: Geoms) -> tuple[Geoms, Ints]:
    """Polygons in units without repeated vertices and rings of fewer than three, and how many of these."""
    xy, ring, exterior, part_owner, ring_part = _rings(units)
    again = np.r_[False, (xy[1:] == xy[:-1]).all(axis=1) & (ring[1:] == ring[:-1])]
    xy, ring = xy[~again], ring[~again]
    flat = np.bincount(ring, minlength=len(exterior)) < 4
    gone = flat | np.isin(ring_part, ring_part[flat & exterior])
    dropped = np.bincount(part_owner[ring_part[gone]], minlength=len(units)).astype(np.int64)
    if not again.any() and not gone.any():
        return units, dropped
    kept = np.isin(ring, np.flatnonzero(~gone))
    parts, ring_part = np.unique(ring_part[~gone], return_inverse=True)
    renumbered = np.cumsum(~gone) - 1
    shapes = _from_rings(xy[kept], renumbered[ring[kept]], ring_part, part_owner[parts], len(units))
    return shapes, dropped


def on_precision(geoms: Geoms) -> tuple[Geoms, Ints]:
    """Polygons in degrees (EPSG:4326) that stay valid when each vertex is rounded, and the rings each lost.

    What rounding leaves whole is not touched. Parts and holes narrower than the precision collapse; where
    nothing is left the polygon is None. A polygon that came invalid stays as it is.
    """
    broken = np.flatnonzero(shapely.is_valid(geoms) & ~shapely.is_valid(to_units(geoms)))
    result, lost = geoms.copy(), np.zeros(len(geoms), dtype=np.int64)
    for at in broken.tolist():
        fine = _rounded(shapely.transform(geoms[at], lambda xy: xy * UNITS_PER_DEGREE))
        lost[at] = _ring_count(geoms[at]) - _ring_count(fine)
        result[at] = None if fine.is_empty else to_degrees(fine)
    return result, lost


def _ring_count(polygon: BaseGeometry) -> int:
    return len(shapely.get_rings(shapely.get_parts(polygon)))


def _rounded(polygon: BaseGeometry) -> BaseGeometry:
    """A polygon in units on whole units, without what collapses; empty where nothing is left."""
    try:
        fine = shapely.set_precision(polygon, 1.0)
    except shapely.GEOSException:  # rounding has made it invalid already
        whole = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
        fine = shapely.set_precision(whole, 1.0)
    parts = [one for one in shapely.get_parts(fine) if one.geom_type == "Polygon" and not one.is_empty]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def match(units: Geoms) -> Geoms:
    """Put every vertex that lies within `MATCH_UNITS` of an edge into that edge (polygons in units).

    Neighbours then share their edges vertex for vertex. An edge bends by no more than that; a needle that
    this folds flat (there and back along the same vertices) is dropped, on both sides alike. Vertices all of
    whose edges have a neighbour that runs against them are matched already.
    """
    edges = polygon_edges(units)
    low, high = unique_segments(edges)
    one, other, _, _ = residual(edges.start, edges.end, np.zeros(len(edges), dtype=np.int64))
    vertices = unique_vertices(np.vstack([one, other]))
    seg, pt = shapely.STRtree(points(vertices)).query(
        lines(low, high), predicate="dwithin", distance=MATCH_UNITS
    )
    at = vertices[pt]
    inside = _beside(at, low[seg], high[seg])
    if not inside.any():
        return units.copy()
    result = insert_vertices(units, low[seg[inside]], high[seg[inside]], at[inside])
    folded = ~shapely.is_valid(result) & shapely.is_valid(units)
    result[folded] = [from_edges(polygon_edges(result[[i]])) for i in np.flatnonzero(folded)]
    return result


def insert_vertices(units: Geoms, low: Ints, high: Ints, at: Ints) -> Geoms:
    """Polygons in units with `at[i]` put into every edge between `low[i]` and `high[i]`, either way."""
    xy, ring, _, part_owner, ring_part = _rings(units)
    edge, new = _hits(xy, ring, low, high)
    if not len(edge):
        return units.copy()
    point = at[new]
    along = ((point - xy[edge]) * (xy[edge + 1] - xy[edge])).sum(axis=1)
    order = np.lexsort((along, edge))
    edge, point = edge[order], point[order]
    xy, ring = np.insert(xy, edge + 1, point, axis=0), np.insert(ring, edge + 1, ring[edge])
    return _from_rings(xy, ring, ring_part, part_owner, len(units))


def _hits(xy: Ints, ring: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """The edges of rings that lie between given ends, as the index of their first vertex, and which ends."""
    vertex, ends, others = keys(xy), keys(low), keys(high)
    wanted = np.unique(np.concatenate([ends, others]))
    at = np.flatnonzero((ring[:-1] == ring[1:]) & np.isin(vertex[:-1], wanted) & np.isin(vertex[1:], wanted))
    between: dict[tuple[int, int], list[int]] = {}
    for i, pair in enumerate(zip(ends.tolist(), others.tolist(), strict=True)):
        between.setdefault(pair, []).append(i)
        between.setdefault(pair[::-1], []).append(i)
    pairs = zip(at.tolist(), vertex[at].tolist(), vertex[at + 1].tolist(), strict=True)
    hits = [(edge, new) for edge, a, b in pairs for new in between.get((a, b), [])]
    edges, news = np.array(hits, dtype=np.int64).reshape(-1, 2).T
    return edges, news


def from_edges(edges: Edges) -> BaseGeometry:
    """The polygon (units) bounded by directed edges with its inside on their left.

    Opposite edges cancel first: this is also how grids merge. Exact: no vertex moves. Empty when nothing is
    left.
    """
    start, end = cancel(edges.start, edges.end)
    rings = _walk(start, end)
    return _faces(start, end) if rings is None else _nested(rings)


def _walk(start: Ints, end: Ints) -> list[Ints] | None:
    """The rings of directed edges, by following them; None where they touch themselves or each other."""
    first, order = np.unique(keys(start), return_index=True)
    if len(first) < len(start):
        return None
    ahead: list[int] = np.searchsorted(first, keys(end)[order]).tolist()
    rings, seen = [], bytearray(len(first) + 1)
    seen[-1] = 1  # where an edge leads nowhere
    for begin in range(len(first)):
        way, at = list[int](), begin
        step = way.append
        while not seen[at]:
            seen[at] = 1
            step(at)
            at = ahead[at]
        if way and at != begin:
            return None
        if way:
            rings.append(start[order[way]])
    return rings


def _nested(rings: list[Ints]) -> BaseGeometry:
    """The polygon of rings apart from each other: those that turn left are shells, the rest holes."""
    sizes = [_ring_doubled(r, np.roll(r, -1, axis=0), np.zeros(len(r), dtype=int), 1)[0] for r in rings]
    shells = _array([shapely.Polygon(r) for r, size in zip(rings, sizes, strict=True) if size > 0])
    holes = [r for r, size in zip(rings, sizes, strict=True) if size < 0]
    within: list[list[Ints]] = [[] for _ in shells]
    for hole in holes:
        around = np.flatnonzero(shapely.intersects_xy(shells, *hole[0].astype(float)))
        if len(around):
            within[around[np.argmin(shapely.area(shells[around]))]].append(hole)
    parts = [shapely.Polygon(s.exterior, h) for s, h in zip(shells, within, strict=True)]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts) if parts else shapely.Polygon()


def _faces(start: Ints, end: Ints) -> BaseGeometry:
    """The polygons of edges in several rings, or in rings that touch themselves."""
    faces = shapely.get_parts(shapely.polygonize(lines(start, end)))
    if not len(faces):
        return shapely.Polygon()
    ours = {(*a, *b) for a, b in zip(start.tolist(), end.tolist(), strict=True)}
    first = polygon_edges(faces)
    _, index = np.unique(first.owner, return_index=True)
    inside = [(*first.start[i].tolist(), *first.end[i].tolist()) in ours for i in index]
    kept = faces[np.array(inside)]
    return kept[0] if len(kept) == 1 else shapely.MultiPolygon(list(kept))


def cancel(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Directed edges without those that run in both directions, each left once."""
    low, high, _, net = residual(start, end, np.zeros(len(start), dtype=np.int64))
    forth = net > 0
    return np.where(forth[:, None], low, high), np.where(forth[:, None], high, low)


def common(edges: Edges, others: Edges) -> Edges:
    """The edges that other directed edges run against."""
    near = np.isin(keys(edges.start), keys(others.end)) & np.isin(keys(edges.end), keys(others.start))
    against = set(map(tuple, np.hstack([others.end, others.start]).tolist()))
    ends = np.hstack([edges.start, edges.end])[near].tolist()
    both = np.flatnonzero(near)[[tuple(row) in against for row in ends]]
    return Edges(edges.start[both], edges.end[both], edges.owner[both])


def residual(start: Ints, end: Ints, group: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """What directed edges add up to within each group: lesser end, greater end, group, net count upwards.

    Edges that cancel are left out: nothing remains of polygons and the reversed outline of their union.
    """
    a, b = keys(start), keys(end)
    forth = a < b
    low, high = np.where(forth, a, b), np.where(forth, b, a)
    order = np.lexsort((high, low, group))
    first = (
        np.r_[True, np.diff(low[order]) | np.diff(high[order]) | np.diff(group[order])].astype(bool)
        if len(order)
        else order.astype(bool)
    )
    net = np.add.reduceat(np.where(forth, 1, -1)[order], np.flatnonzero(first)) if len(order) else order
    left = order[first][net != 0]
    swap = ~forth[left][:, None]
    return (
        np.where(swap, end[left], start[left]),
        np.where(swap, start[left], end[left]),
        group[left],
        net[net != 0],
    )


def polygon_edges(units: Geoms) -> Edges:
    """The directed edges of polygons in units, turned so that the inside is on their left."""
    xy, ring, exterior, part_owner, ring_part = _rings(units)
    owner = part_owner[ring_part]
    keep = ring[:-1] == ring[1:]
    start, end, ring = xy[:-1][keep], xy[1:][keep], ring[:-1][keep]
    doubled = _ring_doubled(start, end, ring, len(owner))
    flip = ((doubled > 0) != exterior)[ring]
    start, end = np.where(flip[:, None], end, start), np.where(flip[:, None], start, end)
    return Edges(start, end, owner[ring])


def doubled_areas(units: Geoms) -> Ints:
    """Twice the area of each polygon in square units, exact: the shoelace sum in integers."""
    xy, ring, exterior, part_owner, ring_part = _rings(units)
    owner = part_owner[ring_part]
    keep = ring[:-1] == ring[1:]
    doubled = np.abs(_ring_doubled(xy[:-1][keep], xy[1:][keep], ring[:-1][keep], len(owner)))
    total = np.zeros(len(units), dtype=np.int64)
    np.add.at(total, owner, np.where(exterior, doubled, -doubled))
    return total


def areas_m2(geoms: Any) -> Floats:
    """Areas in m² of geometries in degrees, additive over a coverage.

    Lambert's cylindrical equal-area projection of the WGS-84 ellipsoid (Snyder 1987, p. 81): exact for the
    map, and matching edges project to the same line, so shares of a whole sum to it.
    """
    array = np.atleast_1d(np.asarray(geoms, dtype=object))
    return np.asarray(shapely.area(shapely.transform(array, _equal_area)), dtype=np.float64)


def _equal_area(xy: Floats) -> Floats:
    return np.column_stack(_EQUAL_AREA.transform(xy[:, 0], xy[:, 1]))


def _rings(units: Geoms) -> tuple[Ints, Ints, Bools, Ints, Ints]:
    """Vertices (n, 2), the ring of each, shell or hole, the geometry of each part, the part of each ring."""
    parts, part_owner = shapely.get_parts(units, return_index=True)
    there = ~shapely.is_empty(parts)
    parts, part_owner = parts[there], part_owner[there]
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    exterior = np.r_[True, ring_part[1:] != ring_part[:-1]] if len(rings) else np.zeros(0, dtype=bool)
    return np.round(xy).astype(np.int64), ring, exterior, part_owner, ring_part


def _from_rings(xy: Ints, ring: Ints, ring_part: Ints, part_owner: Ints, count: int) -> Geoms:
    rings = _array(shapely.linearrings(xy.astype(np.float64), indices=ring))
    parts = _array(shapely.polygons(rings, indices=ring_part))
    empty = np.full(count, shapely.MultiPolygon(), dtype=object)
    if not len(parts):
        return empty
    whole = _array(shapely.multipolygons(parts, indices=part_owner, out=empty))
    single = np.bincount(part_owner, minlength=count) == 1
    whole[single] = shapely.get_geometry(whole[single], 0)
    return whole


def lines(start: Ints, end: Ints) -> Geoms:
    """A line per pair of ends."""
    return _array(shapely.linestrings(np.stack([start, end], axis=1).astype(np.float64)))


def points(xy: Ints | Floats) -> Geoms:
    """A point per vertex."""
    return _array(shapely.points(xy.astype(np.float64)))


def _array(geoms: Any) -> Geoms:
    return np.asarray(geoms, dtype=object)


def keys(xy: Ints) -> Ints:
    """One integer per vertex: equal vertices, equal keys."""
    return np.asarray((xy[:, 0] << 32) + xy[:, 1], dtype=np.int64)


def unique_vertices(xy: Ints) -> Ints:
    """Each vertex once, by x, then y; as `np.unique` by rows, which takes ten times as long."""
    both = np.unique(keys(xy))
    x = (both + (1 << 31)) >> 32
    return np.column_stack([x, both - (x << 32)])


def _ring_doubled(start: Ints, end: Ints, ring: Ints, rings: int) -> Ints:
    """Signed doubled area per ring.

    int64 wraps modulo 2**64, so the sum is exact as long as the result fits: 46,000 square degrees.
    """
    doubled = np.zeros(rings, dtype=np.int64)
    np.add.at(doubled, ring, start[:, 0] * end[:, 1] - end[:, 0] * start[:, 1])
    return doubled


def unique_segments(edges: Edges) -> tuple[Ints, Ints]:
    """Each edge once, whatever its direction: the lesser ends and the greater ends."""
    swap = (edges.start[:, 0] > edges.end[:, 0]) | (
        (edges.start[:, 0] == edges.end[:, 0]) & (edges.start[:, 1] > edges.end[:, 1])
    )
    low, high = (
        np.where(swap[:, None], edges.end, edges.start),
        np.where(swap[:, None], edges.start, edges.end),
    )
    a, b = keys(low), keys(high)
    order = np.lexsort((b, a))
    new = np.r_[True, (np.diff(a[order]) != 0) | (np.diff(b[order]) != 0)][: len(order)]
    return low[order[new]], high[order[new]]


def _beside(at: Ints, low: Ints, high: Ints) -> Bools:
    """Whether the point's foot falls strictly between the two ends."""
    along, run = at - low, high - low
    dot = (along * run).sum(axis=1)
    return np.asarray((dot > 0) & (dot < (run * run).sum(axis=1)), dtype=np.bool_)


def _displacement_m(before: Geoms, after: Geoms) -> Floats:
    """The largest move of a vertex per geometry; the Hausdorff distance where repair changed the vertices."""
    same = shapely.get_num_coordinates(before) == shapely.get_num_coordinates(after)
    moved = np.zeros(len(before))
    xy, owner = shapely.get_coordinates(before[same], return_index=True)
    step = (shapely.get_coordinates(after[same]) - xy) * UNITS_PER_DEGREE
    east, north = metres_per_unit(xy[:, 1])
    np.maximum.at(moved, np.flatnonzero(same)[owner], np.hypot(step[:, 0] * east, step[:, 1] * north))
    moved[~same] = shapely.hausdorff_distance(before[~same], after[~same]) * METRES_PER_DEGREE
    return moved
