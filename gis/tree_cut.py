"""Cutting a graph of blocks in two along spanning trees, so that both sides divide into units in range.

After DeFord, Duchin and Solomon 2021, "Recombination": random trees are drawn, and the edge is cut that
leaves both sides nearest to a whole number of units, of several the one with the shortest border.
"""

from collections.abc import Callable

import numpy as np

from gis.case import HouseholdRange
from gis.coverage import Bools, Floats, Ints

TREES = 40
"""Spanning trees tried for each cut at most; the shortest cut of all is taken."""
ENOUGH = 12
"""No more are tried once so many have left both sides in range."""


def cut(
    nodes: Ints, weight: Floats, pairs: Ints, length: Floats, wanted: HouseholdRange, rng: np.random.Generator
) -> list[Ints]:
    """Blocks in two connected parts that can both be divided into units in range; none if they are one."""
    own = weight[nodes]
    units = units_in(own.sum(), wanted)
    if units < 2 or len(nodes) < 2:
        return []
    inside = np.isin(pairs, nodes).all(axis=1)
    index = np.searchsorted(nodes, pairs[inside])
    tries = _tried(lambda: _tree_cut(own, index, length[inside], units, wanted, rng))
    best = min(tries, key=lambda found: found[:2], default=None)
    return [] if best is None else [nodes[best[2]], nodes[~best[2]]]


def units_in(households: float, wanted: HouseholdRange) -> int:
    """Into how many units so many households fit best."""
    return max(1, round(households / ((wanted.low + wanted.high) / 2)))


Cut = tuple[float, float, Bools]
"""How far out of range the sides of a cut are, how long it is, and one of the sides."""


def _tried(one: Callable[[], Cut | None]) -> list[Cut]:
    """The cuts of up to `TREES` trees, until `ENOUGH` leave both sides in range."""
    found: list[Cut] = []
    for _ in range(TREES):
        if cut_ := one():
            found.append(cut_)
        if sum(miss == 0 for miss, _, _ in found) >= ENOUGH:
            break
    return found


def _tree_cut(
    weight: Floats, pairs: Ints, length: Floats, units: int, wanted: HouseholdRange, rng: np.random.Generator
) -> Cut | None:
    """The best edge of a random spanning tree to cut."""
    cost = rng.uniform(0.5, 1.5, len(pairs)) / np.sqrt(length)  # long borders stay inside
    order, size = _spanning(len(weight), pairs[np.argsort(cost, kind="stable")].tolist())
    sums = np.concatenate([[0.0], np.cumsum(weight[order])])
    at = np.arange(1, len(order))  # the whole is no side
    miss = _miss(sums[at + size[at]] - sums[at], weight.sum(), units, wanted)
    top = at[np.flatnonzero(miss <= miss.min())[:8]].tolist()
    found = []
    for one in top:
        side = np.zeros(len(weight), dtype=bool)
        side[order[one : one + size[one]]] = True
        found.append((float(miss[one - 1]), _border(side, pairs, length), side))
    return min(found, key=lambda one: one[:2], default=None)


def _spanning(count: int, pairs: list[list[int]]) -> tuple[Ints, Ints]:
    """The nodes of the least spanning tree, each before those below it, and how many it begins.

    Kruskal's way: `pairs` come cheapest first. In Python, as the trees are small: scipy took 20 times as long
    to put its matrices together.
    """
    root, beside = list(range(count)), [list[int]() for _ in range(count)]
    for a, b in pairs:
        one, other = _top(root, a), _top(root, b)
        if one != other:
            root[other] = one
            beside[a].append(b)
            beside[b].append(a)
    order, above = _walked(beside)
    size = [1] * count
    for at in reversed(order):
        if above[at] >= 0:
            size[above[at]] += size[at]
    return np.array(order, dtype=np.int64), np.array([size[at] for at in order], dtype=np.int64)


def _walked(beside: list[list[int]]) -> tuple[list[int], list[int]]:
    """The nodes of trees, all below a node right after it, and the node above each (-1 at the top)."""
    order, above, seen = list[int](), [-1] * len(beside), [False] * len(beside)
    for begin in range(len(beside)):
        todo = [] if seen[begin] else [begin]
        while todo:
            at = todo.pop()
            seen[at] = True
            order.append(at)
            ahead = [one for one in beside[at] if not seen[one]]
            for one in ahead:
                above[one] = at
            todo += ahead
    return order, above


def _top(root: list[int], node: int) -> int:
    while root[node] != node:
        root[node] = node = root[root[node]]
    return node


def _miss(below: Floats, whole: float, units: int, wanted: HouseholdRange) -> Floats:
    """How many households both sides of each cut lie out of range at the best share of units."""
    shares = np.arange(1, units)

    def out(amount: Floats, share: Ints) -> Floats:
        return np.maximum(0.0, share * wanted.low - amount) + np.maximum(0.0, amount - share * wanted.high)

    sums = out(below[:, None], shares) + out(whole - below[:, None], units - shares)
    return np.asarray(sums.min(axis=1), dtype=np.float64)


def _border(side: Bools, pairs: Ints, length: Floats) -> float:
    """The length of the border around one side."""
    return float(length[side[pairs[:, 0]] != side[pairs[:, 1]]].sum())
