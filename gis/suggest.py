"""Suggestions: bring unit grids into the wanted number of households by moving as few households as can be.

How much must pass between which neighbours is a linear program (a transport over the grids' adjacency, solved
by HiGHS through scipy); which buildings pass is then chosen along the borders, one at a time, never breaking
a grid apart. A suggestion is a draft like any other: steps of redrawing for a person to judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from scipy import optimize, sparse, spatial
from shapely.geometry.base import BaseGeometry

from gis.coverage import Bools, Floats, Ints
from gis.errors import BadInput

_ROUNDS = 12
_PENALTY = 1000.0
"""Cost of a household out of range, in households moved: moving is cheaper until nothing can be moved."""


@dataclass(frozen=True)
class Suggestion:
    """The unit of each building after, and what comes of it; `unresolved` units stay out of range."""

    unit: Ints
    households: Floats
    unresolved: Ints
    moved_share: float


@dataclass
class _State:
    """Buildings and their units while they are being moved."""

    weight: Floats
    unit: Ints
    start: Ints
    neighbour: Ints
    total: Floats
    members: list[set[int]] = field(default_factory=list)

    def around(self, building: int) -> Ints:
        """The neighbours of a building."""
        return self.neighbour[self.start[building] : self.start[building + 1]]

    def holds(self, building: int) -> bool:
        """Whether the building's unit stays in one piece without it."""
        own = self.unit[building]
        ends = [int(n) for n in self.around(building) if self.unit[n] == own]
        if not ends:
            return len(self.members[own]) > 1
        seen, todo, left = {building, ends[0]}, [ends[0]], set(ends[1:])
        while todo and left:
            for n in self.around(todo.pop()).tolist():
                if n not in seen and self.unit[n] == own:
                    seen.add(n)
                    todo.append(n)
                    left.discard(n)
        return not left

    def move(self, building: int, to: int) -> None:
        """Give a building to another unit."""
        old = int(self.unit[building])
        self.members[old].discard(building)
        self.members[to].add(building)
        self.total[old] -= self.weight[building]
        self.total[to] += self.weight[building]
        self.unit[building] = to


def adjacency(lon: Floats, lat: Floats, barriers: Sequence[BaseGeometry] = ()) -> Ints:
    """Pairs of neighbouring buildings (n, 2): Delaunay edges that no barrier crosses (EPSG:4326)."""
    scale = np.cos(np.radians(np.mean(lat)))
    triangles = spatial.Delaunay(np.column_stack([np.asarray(lon) * scale, lat])).simplices
    sides = np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = np.unique(np.sort(sides), axis=0)
    if not len(barriers):
        return np.asarray(pairs, dtype=np.int64)
    xy = np.column_stack([lon, lat])
    edges = np.asarray(shapely.linestrings(xy[pairs]), dtype=object)
    crossed = shapely.STRtree(edges).query(np.array(barriers, dtype=object), predicate="intersects")[1]
    return np.asarray(np.delete(pairs, np.unique(crossed), axis=0), dtype=np.int64)


def rebalance(
    households: Sequence[float] | Floats,
    unit: Sequence[int] | Ints,
    pairs: Ints,
    low: float = 300,
    high: float = 500,
    parent: Sequence[int] | Ints | None = None,
) -> Suggestion:
    """Move buildings between neighbouring units until every unit has `low` to `high` households.

    `households` and `unit` (0, 1, 2 …) are given per building, `pairs` are neighbouring buildings; units pass
    buildings on only to units of the same `parent`. What was one piece stays one piece.
    """
    state = _state(np.asarray(households, dtype=np.float64), np.asarray(unit, dtype=np.int64), pairs)
    if not 0 <= low <= high:
        raise BadInput("low, high", "the range of households must not be empty")
    above = np.zeros(len(state.total), dtype=np.int64) if parent is None else np.asarray(parent)
    before, grain = state.unit.copy(), _grain(state.weight, high - low)
    for attempt in range(_ROUNDS):
        if not _out(state.total, low, high).any():
            break
        margin = grain * max(0.0, 1 - attempt / (_ROUNDS - 2))
        if not _pass_on(state, _flows(state, above, low + margin, high - margin), low, high):
            break
    moved = state.weight[state.unit != before].sum() / max(state.weight.sum(), 1e-12)
    return Suggestion(state.unit, state.total, np.flatnonzero(_out(state.total, low, high)), float(moved))


def as_steps(
    before: Sequence[str], after: Sequence[str], lon: Floats, lat: Floats, shapes: dict[str, BaseGeometry]
) -> list[dict[str, object]]:
    """The steps of redrawing (EPSG:4326) that give moved buildings and the ground around them to their units.

    `before` and `after` are the codes of each building's unit; the ground of a building is its Voronoi cell
    within its former unit.
    """
    cells = _cells(lon, lat)
    passed: dict[tuple[str, str], list[BaseGeometry]] = {}
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            passed.setdefault((old, new), []).append(cells[i])
    steps: list[dict[str, object]] = []
    for (old, new), parts in sorted(passed.items()):
        ground = shapely.intersection(shapely.union_all(parts), shapes[old])
        areas = [part for part in shapely.get_parts(ground) if part.geom_type == "Polygon"]
        steps += [{"op": "assign", "to": new, "area": area} for area in areas]
    return steps


def _cells(lon: Floats, lat: Floats) -> list[BaseGeometry]:
    """The Voronoi cell of each place, in the order of the places."""
    places = np.asarray(shapely.points(np.column_stack([lon, lat])), dtype=object)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(list(places))))
    place, cell = shapely.STRtree(cells).query(places, predicate="intersects")
    _, first = np.unique(place, return_index=True)
    return list(cells[cell[first]])


def _state(weight: Floats, unit: Ints, pairs: Ints) -> _State:
    if len(weight) != len(unit) or (len(weight) and (unit.min() < 0 or (weight < 0).any())):
        raise BadInput("unit", "give one unit from 0 and one number of households from 0 per building")
    both = np.vstack([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    start = np.searchsorted(both[:, 0], np.arange(len(weight) + 1))
    units = int(unit.max()) + 1 if len(unit) else 0
    members: list[set[int]] = [set() for _ in range(units)]
    for building, own in enumerate(unit.tolist()):
        members[own].add(building)
    total = np.bincount(unit, weight, units).astype(np.float64)
    return _State(weight, unit.copy(), start, both[:, 1], total, members)


def _out(total: Floats, low: float, high: float) -> Bools:
    return np.asarray((total < low) | (total > high), dtype=np.bool_)


def _grain(weight: Floats, room: float) -> float:
    """How far inside the range to aim: half a usual building, as they pass whole."""
    usual = float(np.quantile(weight[weight > 0], 0.75)) if (weight > 0).any() else 0.0
    return min(usual / 2, room / 4)


def _flows(state: _State, above: Ints, low: float, high: float) -> list[tuple[int, int, float]]:
    """How many households to pass from which unit to which: the least that brings all into range."""
    here = np.repeat(np.arange(len(state.unit)), np.diff(state.start))
    ends = np.column_stack([state.unit[here], state.unit[state.neighbour]])
    arcs = np.unique(ends[(ends[:, 0] != ends[:, 1]) & (above[ends[:, 0]] == above[ends[:, 1]])], axis=0)
    units, count = len(state.total), len(arcs)
    column = np.arange(count)
    change = sparse.csr_array(
        (np.ones(count), (arcs[:, 1], column)), shape=(units, count)
    ) - sparse.csr_array((np.ones(count), (arcs[:, 0], column)), shape=(units, count))
    slack = sparse.eye_array(units)
    rows = sparse.vstack([sparse.hstack([change, -slack]), sparse.hstack([-change, -slack])])
    room = np.concatenate([high - state.total, state.total - low])
    cost = np.concatenate([np.ones(count), np.full(units, _PENALTY)])
    matrix: Any = rows  # scipy's stubs know no sparse arrays here
    solved = optimize.linprog(cost, A_ub=matrix, b_ub=room, bounds=(0, None), method="highs")
    amount = np.asarray(solved.x)[:count]
    return [(int(a), int(b), float(f)) for (a, b), f in zip(arcs, amount, strict=True) if f > 1e-6]


def _pass_on(state: _State, flows: list[tuple[int, int, float]], low: float, high: float) -> bool:
    """Move buildings along the flows, fullest givers first; whether any moved."""
    moved = False
    for giver, taker, amount in sorted(flows, key=lambda flow: -state.total[flow[0]]):
        left = amount
        while left > 0 and (building := _next(state, giver, taker, left, low, high)) is not None:
            left -= state.weight[building]
            state.move(building, taker)
            moved = True
    return moved


def _next(state: _State, giver: int, taker: int, left: float, low: float, high: float) -> int | None:
    """The building on the border that fits best: near the amount left, well surrounded by the taker."""
    best: list[tuple[float, int]] = []
    for building in state.members[giver]:
        weight = state.weight[building]
        touching = np.count_nonzero(state.unit[state.around(building)] == taker)
        if touching and weight > 0 and _better(state, giver, taker, weight, low, high):
            best.append((max(0.0, weight - left) - touching, building))
    return next((b for _, b in sorted(best) if state.holds(b)), None)


def _better(state: _State, giver: int, taker: int, weight: float, low: float, high: float) -> bool:
    """Whether the move takes neither unit farther out of range than the worse of them is."""
    was = max(_off(state.total[giver], low, high), _off(state.total[taker], low, high))
    now = max(_off(state.total[giver] - weight, low, high), _off(state.total[taker] + weight, low, high))
    return now <= was


def _off(total: float, low: float, high: float) -> float:
    return max(low - total, total - high, 0.0)
