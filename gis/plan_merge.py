"""Bringing a draft onto ground that moved on: what touches different grids merges, the rest conflicts.

Three coverages of one scope: the base that the draft was drawn on, the draft, and the ground now. A grid is
touched where its shape, name, parent, kind, order or existence differs from the base; a grid that merely got
a vertex into an edge, because a neighbour's new border ends there, is not. Those vertices (`tees`) of both
sides go into every shape that has the edge, and `settle` proves that the ground still adds up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.errors import BadInput, Emptied, NotDrawable
from gis.lattice import Tees
from gis.plan_diff import Version, diff, version_of
from gis.settle import NOBODY, Coverage, Grid, settle, with_tees

BEND_UNITS = 10.0
"""An edge that gets vertices time and again bends by a unit each time; more than 11 cm is a new border."""
Point = tuple[int, int]
Edge = tuple[Point, Point]
Chains = dict[Edge, set[Point]]
"""Vertices that came into an edge of the base (lesser end first)."""


@dataclass(frozen=True)
class Conflict:
    """A grid that both sides touched: what of it, both versions (None: gone), and what is decided with it."""

    code: str
    fields: tuple[str, ...]
    mine: Version | None
    theirs: Version | None
    together: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """The draft on the ground now, or, where that cannot be, the grids in conflict."""

    cov: Coverage
    conflicts: tuple[Conflict, ...] = ()


class Side:
    """What one side made of the base."""

    def __init__(self, base: Coverage, cov: Coverage) -> None:
        self.base, self.cov, self.changes = base, cov, diff(base, cov)

    @cached_property
    def followers(self) -> dict[str, Chains]:
        """The lowest grids that only got vertices into their edges, and which."""
        found = {}
        for code, (before, after) in self.changes.items():
            if before and after and before.leaf and after.leaf and before.grid == after.grid:
                chains = inserted(_directed([before.shape]), _directed([after.shape]))
                if chains is not None:
                    found[code] = chains
        return found

    @cached_property
    def touched(self) -> dict[str, frozenset[str]]:
        """The grids touched, and what of them."""
        codes = (code for code in self.changes if code not in self.followers)
        return {code: fields for code in codes if (fields := _fields(*self.changes[code]))}

    @cached_property
    def chains(self) -> Chains:
        """Every vertex that came into an edge of the base."""
        ground = [c for c in self.touched if any(one and one.leaf for one in self.changes[c])]
        sides = [[v.shape for c in ground if (v := self.changes[c][side]) and v.leaf] for side in (0, 1)]
        outline = inserted(_directed(sides[0]), _directed(sides[1])) or {}
        return _joined([outline, *self.followers.values()])

    @cached_property
    def _passed(self) -> list[tuple[str, str]]:
        """Pairs of touched grids of which the second got ground of the first."""
        leaf = [[(c, v.shape) for c in self.touched if (v := self.changes[c][s]) and v.leaf] for s in (0, 1)]
        return [(a, b) for a, b in _sharing(*leaf) if a != b]

    def heirs(self, code: str, units: float) -> set[str]:
        """The grids that got ground of one, wider than so many units."""
        before = self.changes[code][0]
        others = [(b, self.changes[b][1]) for a, b in self._passed if a == code]
        return {b for b, after in others if before and after and _is_wide(before.shape, after.shape, units)}

    @cached_property
    def _links(self) -> list[tuple[str, str]]:
        """Pairs of touched grids of which one is not what it is without the other."""
        pairs = list(self._passed)
        for code in self.touched:
            above = {v.grid.parent for v in self.changes[code] if v is not None and v.grid.parent}
            pairs += [(code, parent) for parent in above if "existence" in self.touched.get(parent, ())]
        return pairs

    def together(self, code: str) -> set[str]:
        """The grids that are decided with one: ground or members passed between them."""
        found, todo = {code}, [code]
        while todo:
            at = todo.pop()
            more = {b for a, b in self._links if a == at} | {a for a, b in self._links if b == at}
            todo += more - found
            found |= more
        return found

    def after(self, code: str) -> Version | None:
        """A grid on this side."""
        return self.changes[code][1] if code in self.changes else version_of(self.cov, code)


def merge(base: Coverage, mine: Coverage, now: Coverage, takes: Mapping[str, str] | None = None) -> Merged:
    """The draft `mine` of `base` on the ground `now`; `takes` decides conflicts: "mine" or "theirs" by code.

    Raises BadInput where two decisions contradict each other.
    """
    ours, theirs = Side(base, mine), Side(base, now)
    dropped, undone = _decided(ours, theirs, takes or {})
    kept, there = set(ours.touched) - dropped, set(theirs.touched) - undone
    clash = sorted(code for code in kept & there if _at_odds(ours, theirs, code))
    if clash:
        return Merged(now, tuple(_conflict(ours, theirs, code) for code in clash))
    target = {code: version_of(base, code) for code in undone} | {code: ours.after(code) for code in kept}
    if not target:
        return Merged(now)
    return _settled(ours, theirs, target)


def _at_odds(ours: Side, theirs: Side, code: str) -> bool:
    """Whether two sides made different things of a grid, or gave its ground to different ones."""
    if ours.after(code) != theirs.after(code):
        return True
    sides = (ours, theirs), (theirs, ours)
    return any(one.heirs(code, BEND_UNITS) - other.heirs(code, coverage.MATCH_UNITS) for one, other in sides)


def _decided(ours: Side, theirs: Side, takes: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """What of ours is dropped, and what of theirs undone."""
    dropped: set[str] = set().union(*(ours.together(c) for c, take in takes.items() if take == "theirs"))
    undone: set[str] = set().union(*(theirs.together(c) for c, take in takes.items() if take == "mine"))
    for code, take in takes.items():
        if code in (dropped if take == "mine" else undone):
            raise BadInput("take", f"{code} is decided together with another grid, and otherwise; see `with`")
    return dropped & set(ours.touched), undone & set(theirs.touched)


def _settled(ours: Side, theirs: Side, target: Mapping[str, Version | None]) -> Merged:
    """The ground now with some grids as given, proven; conflicts where grids hang in the air."""
    now = theirs.cov
    grids = {code: grid for code, grid in now.grids.items() if code not in target}
    grids |= {code: one.grid for code, one in target.items() if one is not None and code != NOBODY}
    leaves = {code: one.shape for code, one in target.items() if one is not None and one.leaf}
    gone = {code for code in target if code in now.shapes and code not in leaves}
    loose = _loose(grids, {*leaves, *now.shapes} - gone)
    if loose:
        return Merged(now, tuple(_conflict(ours, theirs, code) for code in loose))
    tees = _tees(_joined([ours.chains, theirs.chains]))
    shapes = dict(zip(leaves, with_tees(leaves.values(), tees), strict=True)) if leaves else {}
    if NOBODY in gone:
        gone.discard(NOBODY)
        shapes[NOBODY] = shapely.Polygon()
    try:
        return Merged(settle(now, shapes, tees, grids, gone))
    except (NotDrawable, Emptied):
        beside = sorted(_beside(ours, theirs)) or sorted(ours.touched)
        return Merged(now, tuple(_conflict(ours, theirs, code) for code in beside))


def _loose(grids: Mapping[str, Grid], lowest: set[str]) -> list[str]:
    """The codes of parents that are not there, though named, and of upper grids without any below."""
    highest = min((grid.level for grid in grids.values()), default=0)
    named = {grid.parent for grid in grids.values() if grid.level > highest and grid.parent}
    return sorted((named - set(grids)) | (set(grids) - lowest - named))


def _conflict(ours: Side, theirs: Side, code: str) -> Conflict:
    fields = ours.touched.get(code, frozenset()) | theirs.touched.get(code, frozenset())
    together = (ours.together(code) | theirs.together(code)) - {code, NOBODY}
    return Conflict(
        code, tuple(sorted(fields or {"existence"})), ours.after(code), theirs.after(code),
        tuple(sorted(together)),
    )  # fmt: skip


def _beside(ours: Side, theirs: Side) -> set[str]:
    """Ours that lie against theirs."""
    one, other = (
        [(c, v.shape) for c in side.touched if (v := side.after(c)) and v.leaf] for side in (ours, theirs)
    )
    near = [(c, shapely.buffer(shape, coverage.MATCH_UNITS)) for c, shape in one]
    return {a for a, _ in _sharing(near, other)}


def _fields(before: Version | None, after: Version | None) -> frozenset[str]:
    """What of a grid differs; the shape of an upper one follows from those below it."""
    if before is None or after is None:
        return frozenset({"existence"})
    names = {"name", "parent", "kind", "order"}
    fields = {name for name in names if getattr(before.grid, name) != getattr(after.grid, name)}
    if before.leaf != after.leaf or (before.leaf and not _alike(before.shape, after.shape)):
        fields.add("shape")
    return frozenset(fields)


def _alike(one: BaseGeometry, other: BaseGeometry) -> bool:
    return bool(shapely.equals_identical(one, other))


def _is_wide(one: BaseGeometry, other: BaseGeometry, units: float) -> bool:
    """Whether two shapes have ground in common that is wider than so many units."""
    return not shapely.buffer(shapely.intersection(one, other), -units / 2).is_empty


def _sharing(
    one: Sequence[tuple[str, BaseGeometry]], other: Sequence[tuple[str, BaseGeometry]]
) -> list[tuple[str, str]]:
    """Pairs of codes whose shapes have ground in common."""
    if not one or not other:
        return []
    a, b = (np.array([shape for _, shape in side], dtype=object) for side in (one, other))
    i, j = shapely.STRtree(b).query(a, predicate="intersects")
    real = shapely.area(shapely.intersection(a[i], b[j])) > 0
    return [(one[x][0], other[y][0]) for x, y in zip(i[real].tolist(), j[real].tolist(), strict=True)]


def _directed(shapes: Iterable[BaseGeometry]) -> set[Edge]:
    """The edges around shapes together, the inside on their left."""
    edges = coverage.polygon_edges(np.array(list(shapes), dtype=object))
    start, end = coverage.cancel(edges.start, edges.end)
    return set(zip(map(tuple, start.tolist()), map(tuple, end.tolist()), strict=True))


def bent(before: Version | None, after: Version | None) -> bool:
    """Whether a grid kept its shape, but for vertices in its edges."""
    if before is None or after is None:
        return False
    if before.shape is after.shape or _alike(before.shape, after.shape):
        return True
    # More ground than vertices in the edges could make out.
    if abs(before.shape.area - after.shape.area) > BEND_UNITS * before.shape.length:
        return False
    return inserted(_directed([before.shape]), _directed([after.shape])) is not None


def bends(old: Coverage, new: Coverage) -> Tees:
    """The vertices that came into the outline of a coverage, for whoever shares an edge with it.

    Raises NotDrawable where the outline moved otherwise.
    """
    chains = inserted(_directed(old.shapes.values()), _directed(new.shapes.values()))
    if chains is None:
        raise NotDrawable("the outer border of the plan would move; plan in the scope above")
    return _tees(chains)


def inserted(before: set[Edge], after: set[Edge]) -> Chains | None:
    """The vertices that came into edges between two outlines; None where more than that differs."""
    ahead: dict[Point, list[Point]] = {}
    for a, b in after - before:
        ahead.setdefault(a, []).append(b)
    chains: Chains = {}
    for a, b in before - after:
        run = _run(a, b, ahead)
        if run is None:
            return None
        chains[min(a, b), max(a, b)] = run
    return None if any(ahead.values()) else chains


def _run(a: Point, b: Point, ahead: dict[Point, list[Point]]) -> set[Point] | None:
    """The vertices passed on the way from a to b, each beside the edge and farther on; they are taken away.

    In a neck narrower than a unit both sides may pass one vertex, in opposite directions.
    """
    run: set[Point] = set()
    at = a
    while at != b:
        onward = (p for p in ahead.get(at, []) if p == b or _between(p, at, a, b))
        following = next(onward, None)
        if following is None:
            return None
        ahead[at].remove(following)
        at = following
        run.add(at)
    return run - {b}


def _between(p: Point, at: Point, a: Point, b: Point) -> bool:
    """Whether a vertex lies beside the edge from a to b, farther on than `at`."""
    (x, y), (u, v) = (b[0] - a[0], b[1] - a[1]), (p[0] - a[0], p[1] - a[1])
    along, length = x * u + y * v, x * x + y * y
    passed = x * (at[0] - a[0]) + y * (at[1] - a[1])
    return passed < along < length and abs(x * v - y * u) <= BEND_UNITS * length**0.5


def _joined(several: Iterable[Chains]) -> Chains:
    whole: Chains = {}
    for chains in several:
        for edge, run in chains.items():
            whole.setdefault(edge, set()).update(run)
    return whole


def _tees(chains: Chains) -> Tees:
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
