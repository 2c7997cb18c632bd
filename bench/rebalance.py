"""Rebalancing drifted units: ours against GerryChain's recursive_tree_part on the same buildings, in turns.

`uv run --with gerrychain python -m bench.rebalance [--units 100] [--most 3000] [--limit 900]`. GerryChain
draws all units anew from spanning trees and knows no former ones; its time grows with buildings times units,
so that it is given up after `limit` seconds on the larger town.
"""

import argparse
import multiprocessing
import random
import time
from collections.abc import Callable

import networkx as nx
import numpy as np
from gerrychain import Graph
from gerrychain.tree import recursive_tree_part
from scipy import optimize

from gis import suggest
from tests.test_suggest import adjacency, parts, quarter

ROUNDS = 3


def ours(weight: np.ndarray, unit: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Units after the least change."""
    return suggest.rebalance(weight, unit, pairs).unit


def theirs(weight: np.ndarray, unit: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Units drawn anew from spanning trees, named so that as many households as can be keep their unit."""
    graph = nx.Graph(pairs.tolist())
    nx.set_node_attributes(graph, dict(enumerate(weight.tolist())), "households")
    units = int(unit.max()) + 1
    drawn = recursive_tree_part(
        Graph.from_networkx(graph), range(units), weight.sum() / units, "households", 0.25, node_repeats=0
    )
    new = np.array([drawn[i] for i in range(len(unit))])
    overlap = np.zeros((units, units))
    np.add.at(overlap, (new, unit), weight)
    row, column = optimize.linear_sum_assignment(-overlap)
    return np.asarray(column[np.argsort(row)][new])


def tell(name: str, method: Callable[..., np.ndarray], units: int) -> float:
    """Run once on a town of so many units; print what came of it; seconds."""
    columns = int(np.sqrt(units))
    lon, lat, weight, unit = quarter(columns, units // columns, 6, 0, 0.1)
    pairs = adjacency(lon, lat)
    began = time.process_time()
    new = method(weight, unit, pairs)
    seconds = time.process_time() - began
    total = np.bincount(new, weights=weight)
    out, broken = int(((total < 300) | (total > 500)).sum()), sum(n > 1 for n in parts(new, pairs).values())
    stay = 100 * weight[new == unit].sum() / weight.sum()
    print(f"{name}: {len(total)} units, {len(unit)} buildings, {seconds:.2f} s;", end=" ")
    print(f"{out} out of range, {broken} broken, {stay:.1f} % of households stay")
    return seconds


def main() -> None:
    """Both in turns on the smaller town, then once on the larger."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--most", type=int, default=3000)
    parser.add_argument("--limit", type=float, default=900, help="seconds")
    args = parser.parse_args()
    random.seed(0)
    times = [(tell("ours", ours, args.units), tell("gerrychain", theirs, args.units)) for _ in range(ROUNDS)]
    ratios = sorted(b / a for a, b in times)
    print(f"gerrychain / ours: {ratios[len(ratios) // 2]:.0f} ({ratios[0]:.0f}-{ratios[-1]:.0f})")
    tell("ours", ours, args.most)
    other = multiprocessing.Process(target=tell, args=("gerrychain", theirs, args.most))
    other.start()
    other.join(args.limit)
    if other.is_alive():
        other.kill()
        print(f"gerrychain: {args.most} units not done after {args.limit:.0f} s")


if __name__ == "__main__":
    main()
