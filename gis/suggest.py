"""Suggestions: bring unit grids into the wanted number of households by moving as few households as can be.

How much must pass between which neighbours is a linear program (a transport over the grids' adjacency, solved
by HiGHS through scipy); which atoms of ground pass is then chosen along the borders, one at a time, never
breaking a grid apart. Whoever asks may judge each transfer as it would be drawn, and refuse it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import optimize, sparse
from scipy.sparse import csgraph

from gis.coverage import Bools, Floats, Ints
from gis.errors import BadInput

_ROUNDS = 12
_PENALTY = 1000.0
"""Cost of a household out of range, in households moved: moving is cheaper until nothing can be moved."""
_EPS = 1e-6

Judge = Callable[[int, int, list[int]], str | None]
"""Asked for a transfer (giver, taker, atoms): why it cannot be drawn, None if it can (and is)."""
Reason = Literal["no_buildings", "barrier", "community", "no_spare", "whole_buildings", "refused"]
"""Why a unit stays out of range: it has no building; only across a barrier, or only in another community, are
there neighbours with spare; there are none; no whole building fits; what would help was refused."""


@dataclass(frozen=True)
class Suggestion:
    """The unit of each atom after, and what comes of it; each unit that stays out of range with its reason.

    `refused`: why transfers of a unit were refused, of the units they were for.
    """

    unit: Ints
    households: Floats
    reasons: dict[int, Reason]
    moved_share: float
    refused: dict[int, list[str]] = field(default_factory=dict)

    @property
    def unresolved(self) -> Ints:
        """The units that stay out of range."""
        return np.array(sorted(self.reasons), dtype=np.int64)


@dataclass
class _State:
    """Atoms and their units while they are being moved."""

    weight: Floats
    unit: Ints
    start: Ints
    neighbour: Ints
    total: Floats
    members: list[set[int]] = field(default_factory=list)

    def around(self, atom: int) -> Ints:
        """The neighbours of an atom."""
        return self.neighbour[self.start[atom] : self.start[atom + 1]]

    def holds(self, atom: int) -> bool:
        """Whether the atom's unit falls into no more pieces without it, and is not used up."""
        own = self.unit[atom]
        ends = [int(n) for n in self.around(atom) if self.unit[n] == own]
        if not ends:
            return False
        seen, todo, left = {atom, ends[0]}, [ends[0]], set(ends[1:])
        while todo and left:
            for n in self.around(todo.pop()).tolist():
                if n not in seen and self.unit[n] == own:
                    seen.add(n)
                    todo.append(n)
                    left.discard(n)
        return not left

    def move(self, atom: int, to: int) -> None:
        """Give an atom to another unit."""
        old = int(self.unit[atom])
        self.members[old].discard(atom)
        self.members[to].add(atom)
        self.total[old] -= self.weight[atom]
        self.total[to] += self.weight[atom]
        self.unit[atom] = to


@dataclass(frozen=True)
class Grounds:
    """What stays as it is while atoms move: pairs of neighbours, those with no barrier between, parents."""

    pairs: Ints
    passable: Bools
    parent: Ints

    def arcs(self, unit: Ints, *, over_barriers: bool = False, over_parents: bool = False) -> Ints:
        """Pairs of units (both ways) that may pass atoms to each other."""
        ends = unit[self.pairs if over_barriers else self.pairs[self.passable]]
        free = ends[:, 0] != ends[:, 1]
        if not over_parents:
            free &= self.parent[ends[:, 0]] == self.parent[ends[:, 1]]
        return np.unique(both_ways(ends[free]), axis=0)


def _drawn(_giver: int, _taker: int, _atoms: list[int]) -> None:
    """Every transfer can be drawn."""


def rebalance(
    households: Sequence[float] | Floats,
    unit: Sequence[int] | Ints,
    pairs: Ints,
    low: float = 300,
    high: float = 500,
    parent: Sequence[int] | Ints | None = None,
    passable: Bools | None = None,
    judge: Judge = _drawn,
) -> Suggestion:
    """Move atoms between neighbouring units until every unit has `low` to `high` households.

    `households` and `unit` (0, 1, 2 …) are given per atom, `pairs` are atoms that share a border; they pass
    only where that is `passable`, and only to units of the same `parent`. What was one piece stays one piece.
    Units without households neither give nor take. Raises BadInput for an empty range or unfitting lengths.
    """
    state = _state(np.asarray(households, dtype=np.float64), np.asarray(unit, dtype=np.int64), pairs)
    if not 0 <= low <= high:
        raise BadInput("low, high", "the range of households must not be empty")
    above = np.zeros(len(state.total), dtype=np.int64) if parent is None else np.asarray(parent)
    free = np.ones(len(pairs), dtype=np.bool_) if passable is None else passable
    grounds = Grounds(pairs, free, above)
    before, refused = state.unit.copy(), _even_out(state, grounds, low, high, judge)
    moved = state.weight[state.unit != before].sum() / max(state.weight.sum(), 1e-12)
    why: dict[int, list[str]] = {}
    for pair, told in refused.items():
        for one in pair:
            why.setdefault(one, []).extend(told)
    reasons = _reasons(state, grounds, low, high, set(why))
    return Suggestion(state.unit, state.total, reasons, float(moved), why)


def _even_out(
    state: _State, grounds: Grounds, low: float, high: float, judge: Judge
) -> dict[tuple[int, int], list[str]]:
    """Move atoms along the least flows, round by round; which transfers were refused, and why."""
    grain, refused = _grain(state.weight, high - low), dict[tuple[int, int], list[str]]()
    for attempt in range(_ROUNDS):
        if not _out(state.total, low, high).any():
            break
        margin = grain * max(0.0, 1 - attempt / (_ROUNDS - 2))
        arcs = grounds.arcs(state.unit)
        arcs = arcs[[(a, b) not in refused for a, b in arcs.tolist()]]
        flows = _flows(state.total, arcs, low + margin, high - margin)[0]
        if not _pass_on(state, grounds, flows, low, high, judge, refused):
            break
    return refused


def _state(weight: Floats, unit: Ints, pairs: Ints) -> _State:
    if len(weight) != len(unit) or (len(weight) and (unit.min() < 0 or (weight < 0).any())):
        raise BadInput("unit", "give one unit from 0 and one number of households from 0 per atom")
    both = np.vstack([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    start = np.searchsorted(both[:, 0], np.arange(len(weight) + 1))
    units = int(unit.max()) + 1 if len(unit) else 0
    members: list[set[int]] = [set() for _ in range(units)]
    for atom, own in enumerate(unit.tolist()):
        members[own].add(atom)
    total = np.bincount(unit, weight, units).astype(np.float64)
    return _State(weight, unit.copy(), start, both[:, 1], total, members)


def _out(total: Floats, low: float, high: float) -> Bools:
    return np.asarray((total < low) | (total > high), dtype=np.bool_)


def _grain(weight: Floats, room: float) -> float:
    """How far inside the range to aim: half a usual building, as they pass whole."""
    usual = float(np.quantile(weight[weight > 0], 0.75)) if (weight > 0).any() else 0.0
    return min(usual / 2, room / 4)


def _flows(total: Floats, arcs: Ints, low: float, high: float) -> tuple[list[tuple[int, int, float]], Floats]:
    """How many households to pass from which unit to which, and how far each unit then is out of range.

    The least that brings all into range.
    """
    arcs = arcs[(total[arcs] > 0).all(axis=1)]
    units, count = len(total), len(arcs)
    column = np.arange(count)
    change = sparse.csr_array(
        (np.ones(count), (arcs[:, 1], column)), shape=(units, count)
    ) - sparse.csr_array((np.ones(count), (arcs[:, 0], column)), shape=(units, count))
    slack = sparse.eye_array(units)
    rows = sparse.vstack([sparse.hstack([change, -slack]), sparse.hstack([-change, -slack])])
    room = np.concatenate([high - total, total - low])
    price = np.concatenate([np.ones(count), np.full(units, _PENALTY)])
    matrix: Any = rows  # scipy's stubs know no sparse arrays here
    solved = optimize.linprog(price, A_ub=matrix, b_ub=room, bounds=(0, None), method="highs")
    amount = np.asarray(solved.x)
    pairs = zip(arcs, amount[:count], strict=True)
    return [(int(a), int(b), float(f)) for (a, b), f in pairs if f > _EPS], amount[count:]


def stuck(total: Floats, grounds: Grounds, unit: Ints, low: float, high: float) -> Bools:
    """Which units no moving of households between neighbours can bring into range."""
    return np.asarray(_flows(total, grounds.arcs(unit), low, high)[1] > _EPS, dtype=np.bool_)


def _pass_on(
    state: _State,
    grounds: Grounds,
    flows: list[tuple[int, int, float]],
    low: float,
    high: float,
    judge: Judge,
    refused: dict[tuple[int, int], list[str]],
) -> bool:
    """Move atoms along the flows, fullest givers first; whether any moved or was refused."""
    passable, found = _neighbours(grounds, len(state.unit)), False
    for giver, taker, amount in sorted(flows, key=lambda flow: -state.total[flow[0]]):
        picked = _picked(state, passable, giver, taker, amount, low, high)
        if picked and (why := _judged(state, giver, taker, picked, judge)):
            refused[giver, taker] = why
        found |= bool(picked)
    return found


def _neighbours(grounds: Grounds, count: int) -> list[set[int]]:
    """The neighbours of each atom without a barrier between."""
    found: list[set[int]] = [set() for _ in range(count)]
    for a, b in grounds.pairs[grounds.passable].tolist():
        found[a].add(b)
        found[b].add(a)
    return found


def _picked(
    state: _State, passable: list[set[int]], giver: int, taker: int, amount: float, low: float, high: float
) -> list[int]:
    """The atoms that carry an amount from one unit to another, moved there one by one."""
    picked: list[int] = []
    while amount > 0 and (atom := _next(state, passable, giver, taker, amount, low, high)) is not None:
        amount -= state.weight[atom]
        state.move(atom, taker)
        picked.append(atom)
    return picked


def _judged(state: _State, giver: int, taker: int, picked: list[int], judge: Judge) -> list[str]:
    """Keep as many of the atoms moved as the judge lets pass: all, the first half, a quarter …; why not."""
    why: list[str] = []
    while picked:
        reason = judge(giver, taker, picked)
        if reason is None:
            return []
        why.append(reason)
        kept = len(picked) // 2
        for atom in picked[kept:][::-1]:
            state.move(atom, giver)
        picked = picked[:kept]
    return why


def _next(
    state: _State, passable: list[set[int]], giver: int, taker: int, left: float, low: float, high: float
) -> int | None:
    """The atom on the border that fits best: near the amount left, well surrounded by the taker."""
    best: list[tuple[float, int]] = []
    for atom in state.members[giver]:
        weight = state.weight[atom]
        if weight > 0 and any(state.unit[n] == taker for n in passable[atom]):
            touching = np.count_nonzero(state.unit[state.around(atom)] == taker)
            if _better(state, giver, taker, weight, low, high):
                best.append((max(0.0, weight - left) - touching, atom))
    return next((atom for _, atom in sorted(best) if state.holds(atom)), None)


def _better(state: _State, giver: int, taker: int, weight: float, low: float, high: float) -> bool:
    """Whether the move takes neither unit farther out of range than the worse of them is."""
    was = max(_off(state.total[giver], low, high), _off(state.total[taker], low, high))
    now = max(_off(state.total[giver] - weight, low, high), _off(state.total[taker] + weight, low, high))
    return now <= was


def _off(total: float, low: float, high: float) -> float:
    return max(low - total, total - high, 0.0)


def _reasons(
    state: _State, grounds: Grounds, low: float, high: float, refused: set[int]
) -> dict[int, Reason]:
    """Why each unit that is out of range stays there: the first thing without which it would come in."""
    ways: list[tuple[Reason, Ints]] = [
        ("whole_buildings", grounds.arcs(state.unit)),
        ("barrier", grounds.arcs(state.unit, over_barriers=True)),
        ("community", grounds.arcs(state.unit, over_parents=True)),
        ("community", grounds.arcs(state.unit, over_barriers=True, over_parents=True)),
    ]
    could = [(reason, could_come_in(state.total, arcs, low, high)) for reason, arcs in ways]
    found: dict[int, Reason] = {}
    for one in np.flatnonzero(_out(state.total, low, high)).tolist():
        first: Reason = next((reason for reason, units in could if units[one]), "no_spare")
        told: Reason = "refused" if first == "whole_buildings" and one in refused else first
        found[one] = told if state.total[one] > 0 else "no_buildings"
    return found


def could_come_in(total: Floats, arcs: Ints, low: float, high: float) -> Bools:
    """Which units others could bring into range, if households passed in any number, none leaving it farther.

    Whatever passes can pass on, so that all that matters is how much those connected with a unit can take or
    give. Units without households neither give nor take.
    """
    arcs, count = arcs[(total[arcs] > 0).all(axis=1)], len(total)
    links = sparse.coo_array((np.ones(len(arcs)), (arcs[:, 0], arcs[:, 1])), shape=(count, count))
    piece = csgraph.connected_components(links, directed=False)[1]
    off = np.maximum(np.maximum(low - total, total - high), 0.0)
    take, give = high + off - total, total - low + off
    takes, gives = (np.bincount(piece, room, count)[piece] - room for room in (take, give))
    return np.asarray(np.where(total > high, takes, gives) >= off - _EPS, dtype=np.bool_)


def both_ways(pairs: Ints) -> Ints:
    """Pairs of neighbours as arcs, each both ways."""
    return np.vstack([pairs, pairs[:, ::-1]])
