"""GerryChain on the atoms of one scope: grids drawn anew from spanning trees, in a process of its own.

It knows no former grids, communities or barriers, so that its task is the easier one: as many grids as the
households ask for, each in range, in one piece. Whatever it raises is its result, and so is its time limit.
"""

import multiprocessing
import random
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import networkx as nx
import numpy as np

from gis.coverage import Floats, Ints

SEED = 0


@dataclass(frozen=True)
class Drawn:
    """What came of it: grids, those in range and in several pieces, seconds, and why there are none ("")."""

    grids: int = 0
    in_range: int = 0
    torn: int = 0
    seconds: float = 0.0
    failed: str = ""


def drawn(households: Floats, pairs: Ints, low: float, high: float, limit_s: float) -> Drawn:
    """Grids of neighbouring atoms by GerryChain, or why it drew none within so many seconds."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_draw, args=(send, households, pairs, low, high))
    child.start()
    send.close()
    try:
        return receive.recv() if receive.poll(limit_s) else Drawn(failed=f"not done after {limit_s:g} s")
    except EOFError:
        return Drawn(failed=f"its process ended with {child.exitcode}")
    finally:
        child.kill()
        child.join()


def _draw(send: Connection, households: Floats, pairs: Ints, low: float, high: float) -> None:
    """Draw and send what came of it."""
    began = time.process_time()
    try:
        found = _judged(_partition(households, pairs, low, high), households, pairs, low, high)
    except Exception as error:  # noqa: BLE001 - whatever the peer raises is its result
        found = Drawn(failed=f"{type(error).__name__}: {str(error)[:80]}")
    send.send(Drawn(**vars(found) | {"seconds": time.process_time() - began}))


def _partition(households: Floats, pairs: Ints, low: float, high: float) -> Ints:
    """The grid of each atom: as many as bring the mean nearest to the middle of the range."""
    from gerrychain import Graph  # noqa: PLC0415 - only where the peer is asked for
    from gerrychain.tree import recursive_tree_part  # noqa: PLC0415

    random.seed(SEED)
    graph = nx.Graph()
    graph.add_nodes_from(range(len(households)))
    graph.add_edges_from(pairs.tolist())
    nx.set_node_attributes(graph, dict(enumerate(households.tolist())), "households")
    count = max(1, round(households.sum() / ((low + high) / 2)))
    mean = float(households.sum() / count)
    room = max(min(high / mean - 1, 1 - low / mean), 0.01)
    parts = recursive_tree_part(Graph.from_networkx(graph), range(count), mean, "households", room)
    return np.array([parts[i] for i in range(len(households))], dtype=np.int64)


def _judged(unit: Ints, households: Floats, pairs: Ints, low: float, high: float) -> Drawn:
    """Counted apart from GerryChain: grids, those in range, and those in several pieces."""
    sums = np.bincount(unit, households)
    graph = nx.Graph(pairs[unit[pairs[:, 0]] == unit[pairs[:, 1]]].tolist())
    graph.add_nodes_from(range(len(unit)))
    pieces = np.bincount([unit[next(iter(piece))] for piece in nx.connected_components(graph)])
    return Drawn(len(sums), int(((sums >= low) & (sums <= high)).sum()), int((pieces > 1).sum()))
