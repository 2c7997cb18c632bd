"""Outlines that run the same way but for vertices beside it: finding the vertices, and putting them in.

Two who draw on the same ground get the same edges but for vertices: where a neighbour's new border ends, and
where the rounding to whole units fell otherwise.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from itertools import pairwise

import numpy as np
import shapely
from scipy import spatial
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.coverage import Edges, Ints
from gis.errors import NotDrawable
from gis.lattice import Tees
from gis.plan_diff import Change, Version
from gis.settle import Coverage, is_grid, same_shape, with_tees
from gis.tolerances import BEND_UNITS

Point = tuple[int, int]
Edge = tuple[Point, Point]
Chains = dict[Edge, set[Point]]
"""Vertices that came into an edge (lesser end first)."""


def vertices(changes: Mapping[str, Change]) -> tuple[set[Point], set[Point]]:
    """The vertices of the lowest grids that changed, after and before."""
    sides = ([v.shape for change in changes.values() if (v := change[at]) and v.leaf] for at in (1, 0))
    after, before = map(_points, sides)
    return after, before


def welds(mine: set[Point], theirs: set[Point]) -> dict[Point, Point]:
    """For each vertex the one of theirs within `BEND_UNITS`, which is given to the nearest of mine alone."""
    if not mine or not theirs:
        return {}
    places = np.array(sorted(theirs))
    apart, nearest = spatial.KDTree(places).query(np.array(own := sorted(mine)))
    farthest_first = np.argsort(-np.asarray(apart), kind="stable")
    close = farthest_first[np.asarray(apart)[farthest_first] <= BEND_UNITS]
    found = {
        tuple(places[at].tolist()): own[i] for i, at in zip(close, np.asarray(nearest)[close], strict=True)
    }
    return {at: to for to, at in found.items()}


def with_vertices_at(shape: BaseGeometry, goes: Mapping[Point, Point]) -> BaseGeometry:
    """A shape with some of its vertices elsewhere."""
    places = [goes.get((int(x), int(y)), (x, y)) for x, y in shapely.get_coordinates(shape)]
    result: BaseGeometry = shapely.normalize(shapely.set_coordinates(copy(shape), np.array(places)))
    return result


def directed(shapes: Iterable[BaseGeometry]) -> set[Edge]:
    """The edges around shapes together, the inside on their left."""
    edges = coverage.polygon_edges(np.array(list(shapes), dtype=object))
    start, end = coverage.cancel(edges.start, edges.end)
    return set(zip(map(tuple, start.tolist()), map(tuple, end.tolist()), strict=True))


def given(changes: Mapping[str, Change]) -> set[Point]:
    """The vertices of unowned and contested ground that changes hands, not merely bends.

    A grid that gains or loses a sliver of it looks bent, but for its vertices: they were the sliver's.
    """
    keys = [key for key, change in changes.items() if not is_grid(key) and not bent(*change)]
    return _points(v.shape for key in keys if (v := changes[key][0]))


def moved(before: Version, after: Version) -> set[Point]:
    """The vertices that only one of two versions of a grid has, alone or with what it claims."""
    return _differ(before.shape, after.shape) | _differ(before.whole, after.whole)


def _differ(before: BaseGeometry, after: BaseGeometry) -> set[Point]:
    """The vertices that only one of two shapes has; by sorted integers, as outlines have 10,000s of them."""
    once = [
        coverage.unique_vertices(shapely.get_coordinates(one).astype(np.int64)) for one in (before, after)
    ]
    both = np.vstack(once)
    _, first, times = np.unique(coverage.keys(both), return_index=True, return_counts=True)
    return set(map(tuple, both[first[times == 1]].tolist()))


def _points(shapes: Iterable[BaseGeometry]) -> set[Point]:
    return set(map(tuple, shapely.get_coordinates(list(shapes)).astype(np.int64).tolist()))


def bent(before: Version | None, after: Version | None) -> bool:
    """Whether a grid kept its shape and what it claims, but for vertices in its edges."""
    if before is None or after is None:
        return False
    alike = bent_shape(before.shape, after.shape)
    contested = before.claimed is not None or after.claimed is not None
    return alike and not (contested and not bent_shape(before.whole, after.whole))


def is_bent(before: Version | None, after: Version | None) -> bool:
    """Whether a grid is what it was, but for vertices in its edges."""
    return before is not None and after is not None and before.grid == after.grid and bent(before, after)


def bent_shape(before: BaseGeometry, after: BaseGeometry) -> bool:
    """Whether a shape (units) is another one, but for vertices in its edges."""
    if same_shape(before, after):
        return True
    # More ground than vertices in the edges could make out.
    if abs(before.area - after.area) > BEND_UNITS * before.length:
        return False
    return inserted_between([before], [after]) is not None


def bends(old: Coverage, new: Coverage) -> Tees:
    """The vertices that came into the outline of a coverage, for whoever shares an edge with it.

    Raises NotDrawable where the outline moved otherwise.
    """
    differ = [k for k in {*old.shapes, *new.shapes} if not same_shape(old.shapes.get(k), new.shapes.get(k))]
    sides = ([cov.shapes[key] for key in differ if key in cov.shapes] for cov in (old, new))
    chains = inserted_between(*sides)
    if chains is None:
        raise NotDrawable("the outer border of the plan would move; plan in the scope above")
    return as_tees(chains)


def followed(old: Coverage, new: Coverage) -> dict[str, BaseGeometry]:
    """The recorded outlines that children do not fit into (units), with the vertices that their edges got.

    They are no ground, so that no step bends them: a vertex that came into an edge which ground had in common
    with an outline would look like ground lost or astray there, a hair wide. An edge of an outline may run
    along several of the ground's, whose vertices it lacks.
    """
    differ = [k for k in {*old.shapes, *new.shapes} if not same_shape(old.shapes.get(k), new.shapes.get(k))]
    if not new.outlines or not differ:
        return dict(new.outlines)
    given = np.array([*new.outlines.values(), *old.shapes.values()], dtype=object)
    matched = coverage.match(given)[: len(new.outlines)]
    lines = _undirected(coverage.polygon_edges(matched))
    before, after = (_edges(cov.shapes[key] for key in differ if key in cov.shapes) for cov in (old, new))
    tees = as_tees({edge: run for edge, run in _single(before, after).items() if edge in lines})
    sides = zip(new.outlines.items(), matched, with_tees(matched, tees), strict=True)
    return {code: _bent_along(outline, *both) for (code, outline), *both in sides}


def _bent_along(outline: BaseGeometry, matched: BaseGeometry, longer: BaseGeometry) -> BaseGeometry:
    """An outline with all vertices of the edges that have more in `longer` than in `matched`.

    Elsewhere it stays as it is: a needle a unit wide, which matching folds away, would look like a change.
    """
    if shapely.get_num_coordinates(longer) == shapely.get_num_coordinates(matched):
        return outline
    was, *both = (_edges([shape]) for shape in (outline, matched, longer))
    lacked, lacks = (_single(was, edges) for edges in both)
    tees = as_tees({edge: run for edge, run in lacks.items() if run != lacked.get(edge)})
    result: BaseGeometry = with_tees([outline], tees)[0]
    return result


def _edges(shapes: Iterable[BaseGeometry]) -> set[Edge]:
    """The directed edges of shapes one by one."""
    edges = coverage.polygon_edges(np.array(list(shapes), dtype=object))
    return set(zip(map(tuple, edges.start.tolist()), map(tuple, edges.end.tolist()), strict=True))


def _undirected(edges: Edges) -> set[Edge]:
    low, high = coverage.unique_segments(edges)
    return set(zip(map(tuple, low.tolist()), map(tuple, high.tolist()), strict=True))


def _ahead(edges: Iterable[Edge]) -> dict[Point, list[Point]]:
    """Where edges lead to from each point."""
    ahead: dict[Point, list[Point]] = {}
    for a, b in edges:
        ahead.setdefault(a, []).append(b)
    return ahead


def inserted_between(before: Iterable[BaseGeometry], after: Iterable[BaseGeometry]) -> Chains | None:
    """The vertices that came into the edges around shapes together; None where more than that differs."""
    return inserted(*_differing(list(before), list(after)))


def _differing(before: list[BaseGeometry], after: list[BaseGeometry]) -> tuple[list[Edge], list[Edge]]:
    """The directed edges around shapes that one side lacks, and some that both have, as often as they are.

    Shapes that overlap have edges twice. Edges are compared as sorted integers; as sets of tuples an outline
    of 10,000 vertices took 0.1 s.
    """
    sides = [coverage.polygon_edges(np.array(shapes, dtype=object)) for shapes in (before, after)]
    (a, b), (c, d) = map(_repeated, sides)
    start, end = np.vstack([c, b]), np.vstack([d, a])
    low, high, _, _ = coverage.residual(start, end, np.zeros(len(start), dtype=np.int64))
    ends = coverage.keys(np.vstack([low, high]))
    found = []
    for first, last in ((a, b), (c, d)):
        near = np.isin(coverage.keys(first), ends) & np.isin(coverage.keys(last), ends)
        found.append([*zip(map(tuple, first[near].tolist()), map(tuple, last[near].tolist()), strict=True)])
    return found[0], found[1]


def _repeated(edges: Edges) -> tuple[Ints, Ints]:
    """Directed edges without those that run in both directions, each as often as it is left."""
    low, high, _, net = coverage.residual(edges.start, edges.end, np.zeros(len(edges), dtype=np.int64))
    forth, times = (net > 0)[:, None], np.abs(net)
    ends = np.where(forth, low, high), np.where(forth, high, low)
    return np.repeat(ends[0], times, axis=0), np.repeat(ends[1], times, axis=0)


def inserted(before: Iterable[Edge], after: Iterable[Edge]) -> Chains | None:
    """The vertices that came into edges between two outlines; None where more than that differs."""
    # What is thinner than a unit has edges from a point to itself, which no vertex comes into.
    was, now = (Counter((a, b) for a, b in edges if a != b) for edges in (before, after))
    ahead, chains = _ahead((now - was).elements()), Chains()
    for a, b in (was - now).elements():
        run = _run(a, b, ahead)
        if run is None:
            return None
        for at, following in pairwise([a, *run, b]):
            ahead[at].remove(following)
        chains[min(a, b), max(a, b)] = set(run)
    return None if any(ahead.values()) else chains


def _single(before: set[Edge], after: set[Edge]) -> Chains:
    """The vertices that came into single edges, whatever else differs."""
    ahead = _ahead(after - before)
    runs = [(edge, _run(*edge, ahead)) for edge in before - after]
    return {(min(edge), max(edge)): set(run) for edge, run in runs if run}


def meanders(one: set[Edge], other: set[Edge]) -> Chains | None:
    """The vertices of two outlines between those they share, where they run beside each other; else None."""
    mine, theirs = dict(one - other), dict(other - one)
    if len(mine) < len(one - other) or len(theirs) < len(other - one):
        return None  # a vertex that an outline passes twice: which way is meant cannot be told
    stops = set(mine.values()) & set(theirs.values())
    chains: Chains = {}
    for at in set(mine) & set(theirs):
        (a, run), (b, beside) = _to_stop(at, mine, stops), _to_stop(at, theirs, stops)
        if a != b or not all(_between(p, q, at, a) for way in (run, beside) for q, p in pairwise([at, *way])):
            return None
        chains[min(at, a), max(at, a)] = {*run, *beside}
    return None if mine or theirs else chains


def _to_stop(at: Point, way: dict[Point, Point], stops: set[Point]) -> tuple[Point, list[Point]]:
    """Where a way first stops, and what it passes until then; it is taken away."""
    passed: list[Point] = []
    while at in way:
        at = way.pop(at)
        if at in stops:
            break
        passed.append(at)
    return at, passed


def _run(a: Point, b: Point, ahead: dict[Point, list[Point]]) -> list[Point] | None:
    """The vertices passed on the way from a to b, each beside the edge and farther on.

    In a neck narrower than a unit both sides may pass one vertex, in opposite directions.
    """
    run = [a]
    while run[-1] != b:
        at = run[-1]
        onward = (p for p in ahead.get(at, []) if p == b or _between(p, at, a, b))
        following = next(onward, None)
        if following is None:
            return None
        run.append(following)
    return run[1:-1]


def _between(p: Point, at: Point, a: Point, b: Point) -> bool:
    """Whether a vertex lies beside the edge from a to b, farther on than `at`."""
    (x, y), (u, v) = (b[0] - a[0], b[1] - a[1]), (p[0] - a[0], p[1] - a[1])
    along, length = x * u + y * v, x * x + y * y
    passed = x * (at[0] - a[0]) + y * (at[1] - a[1])
    return passed < along < length and abs(x * v - y * u) <= BEND_UNITS * length**0.5


def joined(several: Iterable[Chains]) -> Chains:
    """Chains of several sides together."""
    whole: Chains = {}
    for chains in several:
        for edge, run in chains.items():
            whole.setdefault(edge, set()).update(run)
    return whole


def as_tees(chains: Chains) -> Tees:
    """For every stretch that an edge may have been left in, the vertices it lacks."""
    rows: list[tuple[Point, Point, Point]] = []
    for (a, b), run in chains.items():
        x, y = b[0] - a[0], b[1] - a[1]
        chain = [a, *sorted(run, key=lambda p: (p[0] - a[0]) * x + (p[1] - a[1]) * y), b]
        for i in range(len(chain)):
            for j in range(i + 2, len(chain)):
                rows += [(chain[i], chain[j], at) for at in chain[i + 1 : j]]
    ends = np.array(rows, dtype=np.int64).reshape(-1, 3, 2)
    return Tees(ends[:, 0], ends[:, 1], ends[:, 2])
