"""Cutting a graph of blocks in two along spanning trees, so that both sides divide into units in range.

After DeFord, Duchin and Solomon 2021, "Recombination": random trees are drawn, and the edge is cut that
leaves both sides nearest to a whole number of units, of several the one with the shortest border.
"""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from gis.case import HouseholdRange
from gis.coverage import Bools, Floats, Ints

TREES = 40
"""Spanning trees tried for each cut; the shortest cut of all is taken."""


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
    tries = (_tree_cut(own, index, length[inside], units, wanted, rng) for _ in range(TREES))
    best = min((found for found in tries if found), key=lambda found: found[:2], default=None)
    return [] if best is None else [nodes[best[2]], nodes[~best[2]]]


def units_in(households: float, wanted: HouseholdRange) -> int:
    """Into how many units so many households fit best."""
    return max(1, round(households / ((wanted.low + wanted.high) / 2)))


def _tree_cut(
    weight: Floats, pairs: Ints, length: Floats, units: int, wanted: HouseholdRange, rng: np.random.Generator
) -> tuple[float, float, Bools] | None:
    """The best edge of a random spanning tree to cut: how far out of range, how long, and one side."""
    count = len(weight)
    cost = rng.uniform(0.5, 1.5, len(pairs)) / np.sqrt(length)  # long borders stay inside
    tree = csgraph.minimum_spanning_tree(
        sparse.csr_array((cost, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    )
    order, above = (np.asarray(a, np.int64) for a in csgraph.breadth_first_order(tree, 0, directed=False))
    below = weight.copy()
    for node in order[:0:-1]:
        below[above[node]] += below[node]
    miss = _miss(below, weight.sum(), units, wanted)
    miss[0] = np.inf
    top = np.flatnonzero(miss <= miss.min())[:8]
    found = [(float(miss[node]), *_side(int(node), order, above, pairs, length)) for node in top]
    return min(found, key=lambda one: one[:2], default=None)


def _miss(below: Floats, whole: float, units: int, wanted: HouseholdRange) -> Floats:
    """How many households both sides of each cut lie out of range at the best share of units."""
    shares = np.arange(1, units)

    def out(amount: Floats, share: Ints) -> Floats:
        return np.maximum(0.0, share * wanted.low - amount) + np.maximum(0.0, amount - share * wanted.high)

    sums = out(below[:, None], shares) + out(whole - below[:, None], units - shares)
    return np.asarray(sums.min(axis=1), dtype=np.float64)


def _side(node: int, order: Ints, above: Ints, pairs: Ints, length: Floats) -> tuple[float, Bools]:
    """The length of the border around the blocks below a node of a tree, and those blocks."""
    side = np.zeros(len(above), dtype=bool)
    side[node] = True
    for one in order[1:]:
        side[one] |= side[above[one]]
    return float(length[side[pairs[:, 0]] != side[pairs[:, 1]]].sum()), side
