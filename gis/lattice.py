"""New lines among old edges on the integer lattice: where they meet, both get the very same vertex.

A crossing is rounded to whole units, so an old edge that a line meets bends by less than one unit (11 mm),
and bends alike for every grid that has it: the vertex goes into the edge, whosever it is. Where an end of the
edge is near, the line goes through that end instead, and nothing bends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.coverage import Bools, Ints
from gis.errors import BadInput
from gis.tolerances import AROUND_M, MATCH_UNITS, MEET_M, scale_at

MOST_STOPS = 20_000
"""Places at which one line may meet borders; its own vertices do not count."""

SHORT_UNITS = 20_000
"""Segments up to this long, some 200 m, are looked at all at once."""
Point = tuple[int, int]
Line = list[Point]


@dataclass(frozen=True)
class Tees:
    """Vertices to put into edges (units): the lesser end of each edge, the greater, and the vertex."""

    low: Ints
    high: Ints
    at: Ints

    def __len__(self) -> int:
        return len(self.at)


NO_TEES = Tees(np.empty((0, 2), np.int64), np.empty((0, 2), np.int64), np.empty((0, 2), np.int64))


class _Edges:
    """Undirected edges while a line is laid among them: those given, and the pieces that are cut from them.

    A tree over the edges given says which are near; a piece lies within the edge that it was cut from.
    """

    def __init__(self, low: Ints, high: Ints) -> None:
        self._tree = shapely.STRtree(coverage.lines(low, high))
        self._low, self._high, self._root = low.copy(), high.copy(), np.arange(len(low))
        self._pieces: dict[int, list[int]] = {}
        self._count = len(low)
        self.tees: list[tuple[int, Point]] = []

    def near_each(self, box_low: Ints, box_high: Ints) -> tuple[Ints, Ints]:
        """For many boxes at once, the pairs of box and edge given that meet."""
        box, edge = self._tree.query(shapely.box(*box_low.T, *box_high.T))
        return box, edge

    def is_whole(self, edge: int) -> bool:
        """Whether an edge given has not been cut."""
        return edge not in self._pieces

    @property
    def low(self) -> Ints:
        """The lesser ends as given, or of pieces where they were cut."""
        return self._low[: self._count]

    @property
    def high(self) -> Ints:
        """The other ends."""
        return self._high[: self._count]

    @property
    def root(self) -> Ints:
        """The edge given that each was cut from."""
        return self._root[: self._count]

    def near(self, box_low: Ints, box_high: Ints) -> Ints:
        """The edges, in their order, whose box meets a box."""
        given = self._tree.query(shapely.box(*box_low, *box_high))
        if not len(given):
            return given
        found = np.array(sorted({i for root in given.tolist() for i in self._pieces.get(root, [root])}), int)
        low, high = self._low[found], self._high[found]
        meets = np.all(np.minimum(low, high) <= box_high, axis=1)
        near: Ints = found[meets & np.all(np.maximum(low, high) >= box_low, axis=1)]
        return near

    def cut(self, edge: int, at: Point) -> None:
        """Put a vertex into an edge: one of its halves takes its place, the other goes to the end."""
        root, new = int(self._root[edge]), self._count
        self.tees.append((root, at))
        if new == len(self._low):
            room = max(64, new)
            self._low, self._high = (
                np.vstack([a, np.zeros((room, 2), a.dtype)]) for a in (self._low, self._high)
            )
            self._root = np.append(self._root, np.zeros(room, self._root.dtype))
        self._low[new], self._high[new], self._root[new] = at, self._high[edge], root
        self._high[edge] = at
        self._pieces.setdefault(root, [root]).append(new)
        self._count += 1


def as_line(units: Iterable[Iterable[float]]) -> Line:
    """Coordinates in units as a line of whole points, repeated ones dropped."""
    points = [(round(x), round(y)) for x, y in units]
    return [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]


def drawn(line: BaseGeometry) -> Line:
    """A drawn line as whole points; an area stands for its outline."""
    outline = shapely.get_exterior_ring(line) if isinstance(line, shapely.Polygon) else line
    if outline.geom_type not in {"LineString", "LinearRing"} or outline.is_empty:
        raise BadInput("line", f"it is a {line.geom_type}; draw one line or one polygon")
    points = as_line(shapely.get_coordinates(coverage.to_units(outline)))
    if len(points) < 2:
        raise BadInput("line", "it has no length")
    return points


def conform(line: Line, low: Ints, high: Ints) -> tuple[Line, Tees]:
    """A line that meets edges only in common vertices, and the vertices that the edges need for it.

    Raises BadInput where the line crosses itself, runs too close along an edge to be told from it, or meets
    edges in more than `MOST_STOPS` places.
    """
    low, high = _around(line, low, high)
    edges = _Edges(low, high)
    given = zip(line, _beside_nothing(line, edges), strict=True)
    ends = [p if _holds(near, edges) else _drawn_in(p, edges) for p, near in given]
    points = _without_spikes(_stopping(ends, edges))
    quiet = _meeting_nothing(points, edges)
    steps = zip(pairwise(points), quiet, strict=True)
    if any(not _holds(beside, edges) and _first_stop(u, v, edges) for (u, v), beside in steps):
        raise BadInput("line", "it runs too close along a border; draw it on the border or farther off")
    if len(points) < 2 or not shapely.LineString(points).is_simple:
        raise BadInput("line", "it crosses or touches itself; draw it without loops")
    return points, _tees(points, edges, low, high)


def _stopping(ends: Line, edges: _Edges) -> Line:
    """The vertices of a line with those where it meets edges."""
    todo: list[tuple[Point, Point, Near]] = [
        (u, v, near) for (u, v), near in zip(pairwise(ends), _meeting_nothing(ends, edges), strict=True)
    ][::-1]
    points, stops = ends[:1], 0
    while todo:
        u, v, near = todo.pop()
        stop = None if u == v or _holds(near, edges) else _first_stop(u, v, edges)
        if stop is None:
            points += [v] if v != points[-1] else []
            continue
        todo += [(stop, v, None), (u, stop, None)]
        stops += 1
        if stops > MOST_STOPS:
            raise BadInput("line", f"it meets borders in more than {MOST_STOPS} places; draw it in parts")
    return points


Near = Sequence[int] | None
"""The edges near a vertex or segment that leave it as it is while they are whole; None: it must be asked."""


def _holds(near: Near, edges: _Edges) -> bool:
    """Whether what was found before edges were cut still holds: those near are whole."""
    return near is not None and (not edges.tees or all(map(edges.is_whole, near)))


def _beside_nothing(line: Line, edges: _Edges) -> list[Near]:
    """For each vertex of a line the edges near it, if it stays where it is: none is near, or it is their end.

    All at once, and by the same rule as `_drawn_in`: of a line of 1,000 vertices one by one took 0.1 s.
    """
    xy = np.array(line, dtype=np.int64)
    scale = np.array([scale_at(y) for _, y in line])
    reach = np.ceil(MEET_M / scale).astype(np.int64)
    vertex, edge = edges.near_each(xy - reach, xy + reach)
    own, low, high, by = xy[vertex], edges.low[edge], edges.high[edge], scale[vertex]
    run, off = (high - low) * by, (own - low) * by
    share = ((off * run).sum(axis=1) / np.maximum((run * run).sum(axis=1), _LEAST)).clip(0.0, 1.0)
    far = np.hypot(*(run * share[:, None] - off).T)
    is_end = np.all(own == low, axis=1) | np.all(own == high, axis=1)
    at_end = np.isin(vertex, vertex[is_end])
    return _unless(len(xy), vertex, edge, (far <= MEET_M) & ~is_end & (~at_end | (far == 0)))


def _meeting_nothing(line: Line, edges: _Edges) -> list[Near]:
    """For each segment of a line the edges near it, if it meets none of them but in common ends.

    All at once, and by the same rule as `_first_stop`; long segments are asked one by one, as they lie near
    edges without number.
    """
    xy = np.array(line, dtype=np.int64).reshape(-1, 2)
    a, b = xy[:-1], xy[1:]
    short = np.flatnonzero(np.abs(b - a).max(axis=1, initial=0) <= SHORT_UNITS)
    segment, edge = edges.near_each(np.minimum(a, b)[short], np.maximum(a, b)[short])
    segment = short[segment]
    u, v, low, high = a[segment], b[segment], edges.low[edge], edges.high[edge]
    run = v - u
    side_low, side_high = _cross(run, low - u), _cross(run, high - u)
    meets = _apart(side_low, side_high) & _apart(_cross(high - low, u - low), _cross(high - low, v - low))
    meets |= _inside(side_low, low, u, run) | _inside(side_high, high, u, run)
    found = _unless(len(a), segment, edge, meets)
    asked = np.ones(len(a), dtype=bool)
    asked[short] = False
    return [None if one else near for one, near in zip(asked.tolist(), found, strict=True)]


def _unless(count: int, of: Ints, edge: Ints, bars: Bools) -> list[Near]:
    """The edges of each, None where one of them bars."""
    barred = np.zeros(count, dtype=bool)
    barred[of[bars]] = True
    order = np.argsort(of, kind="stable")
    start = np.searchsorted(of[order], np.arange(count + 1))
    each = edge[order]
    return [None if no else each[start[i] : start[i + 1]].tolist() for i, no in enumerate(barred.tolist())]


def _around(line: Line, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """The edges whose box comes near that of a line."""
    xy = np.array(line, dtype=np.int64)
    room = AROUND_M / np.minimum(*(scale_at(y) for y in (xy[:, 1].min(), xy[:, 1].max())))
    west_south, east_north = xy.min(axis=0) - room, xy.max(axis=0) + room
    near = np.all(np.minimum(low, high) <= east_north, axis=1) & np.all(
        np.maximum(low, high) >= west_south, axis=1
    )
    return low[near], high[near]


def nearest(point: Point, low: Ints, high: Ints) -> tuple[Point, float, int]:
    """The whole point on edges nearest to a point, how many metres off it lies, and the edge.

    An end of the edge is taken if it is near. Where there is no edge, nothing is near.
    """
    if not len(low):
        return point, np.inf, -1
    scale = scale_at(point[1])
    run, own = (high - low) * scale, (np.array(point) - low) * scale
    share = ((own * run).sum(axis=1) / np.maximum((run * run).sum(axis=1), _LEAST)).clip(0.0, 1.0)
    far = np.hypot(*(run * share[:, None] - own).T)
    best = int(np.argmin(far))
    at = low[best] + (high - low)[best] * share[best]
    return whole(at, low[best], high[best]), float(far[best]), best


_LEAST = 1e-12
"""Square metres: less than the square of any edge's length."""


def _drawn_in(point: Point, edges: _Edges) -> Point:
    """A vertex of the line, moved onto an edge that is near."""
    reach = np.ceil(MEET_M / scale_at(point[1])).astype(np.int64)
    near = edges.near(np.array(point) - reach, np.array(point) + reach)
    if not len(near):
        return point
    at, far, found = nearest(point, edges.low[near], edges.high[near])
    if far > MEET_M:
        return point
    edge = int(near[found])
    if at not in _ends(edge, edges):
        edges.cut(edge, at)
    return at


def _first_stop(u: Point, v: Point, edges: _Edges) -> Point | None:
    """The first point where the segment must have a vertex; the edge it crosses there gets one too."""
    a, b = np.array(u), np.array(v)
    near = edges.near(np.minimum(a, b), np.maximum(a, b))
    if not len(near):
        return None
    low, high, run = edges.low[near], edges.high[near], b - a
    side_low, side_high = _cross(run, low - a), _cross(run, high - a)
    crossing = np.flatnonzero(
        _apart(side_low, side_high) & _apart(_cross(high - low, a - low), _cross(high - low, b - low))
    )
    share = side_low[crossing] / (side_low[crossing] - side_high[crossing])
    met = low[crossing] + (high - low)[crossing] * share[:, None]
    ends = np.vstack([low[_inside(side_low, low, a, run)], high[_inside(side_high, high, a, run)]])
    along = ((np.vstack([met, ends]) - a) * run).sum(axis=1)
    if not len(along):
        return None
    first = int(np.argmin(along))
    if first >= len(met):
        x, y = ends[first - len(met)].tolist()
        return (x, y)
    return _meet(met[first], int(near[crossing[first]]), edges)


def _meet(met: coverage.Floats, edge: int, edges: _Edges) -> Point:
    """Where segment and edge meet on whole units: at an end of the edge if near, else at a new vertex."""
    at = whole(met, edges.low[edge], edges.high[edge])
    if at not in _ends(edge, edges):
        edges.cut(edge, at)
    return at


def _ends(edge: int, edges: _Edges) -> tuple[Point, Point]:
    (a, b), (c, d) = edges.low[edge].tolist(), edges.high[edge].tolist()
    return (a, b), (c, d)


def _without_spikes(points: Line) -> Line:
    """The line without there-and-back moves."""
    result: Line = []
    for p in points:
        if len(result) > 1 and result[-2] == p:
            result.pop()
        elif not result or result[-1] != p:
            result.append(p)
    return result


def whole(at: coverage.Floats, low: Ints, high: Ints) -> Point:
    """A point on an edge in whole units: its nearer end if within `MEET_M`."""
    scale = scale_at(at[1])
    ends = ((np.hypot(*((at - end) * scale)), end) for end in (low, high))
    far, end = min(ends, key=lambda one: one[0])
    x, y = end.tolist() if far <= MEET_M else np.round(at).astype(np.int64).tolist()
    return (x, y)


def _tees(points: Line, edges: _Edges, low: Ints, high: Ints) -> Tees:
    """The vertices edges got, and the line's vertices that lie exactly inside an edge."""
    xy = np.array(points, dtype=np.int64)
    edge, point = shapely.STRtree(coverage.points(xy)).query(
        coverage.lines(edges.low, edges.high), predicate="intersects"
    )
    inner = np.any(xy[point] != edges.low[edge], axis=1) & np.any(xy[point] != edges.high[edge], axis=1)
    root = np.array([r for r, _ in edges.tees] + edges.root[edge[inner]].tolist(), dtype=np.int64)
    at = np.array([p for _, p in edges.tees] + xy[point[inner]].tolist(), dtype=np.int64).reshape(-1, 2)
    return Tees(low[root], high[root], at)


def _apart(one: Ints, other: Ints) -> Bools:
    """Whether two sides are strictly opposite."""
    return np.asarray(np.sign(one) * np.sign(other) < 0, dtype=np.bool_)


def _inside(side: Ints, at: Ints, a: Ints, run: Ints) -> Bools:
    """Vertices within `MATCH_UNITS` of the segment from a, those beside its ends left out."""
    along, square = ((at - a) * run).sum(axis=1), (run * run).sum(axis=-1)
    close = np.abs(side) <= MATCH_UNITS * np.sqrt(square)
    return np.asarray(close & (along > 0) & (along < square), dtype=np.bool_)


def _cross(a: Ints, b: Ints) -> Ints:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], dtype=np.int64)
