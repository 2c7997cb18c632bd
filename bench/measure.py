"""Ratios measured fairly: ours and the peer in turn, round by round, with the spread told."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as the peer: above 1 we win."""

    name: str
    ours_s: float
    peer_s: float
    median: float
    low: float
    high: float
    rounds: int
    target: float

    def line(self) -> str:
        """Return the row of the table in docs/benchmarks.md."""
        verdict = "met" if self.median >= self.target else "MISSED"
        return (
            f"| {self.name} | {self.ours_s:.4g} s | {self.peer_s:.4g} s | {self.median:.2f} "
            f"({self.low:.2f}-{self.high:.2f}, n={self.rounds}) | ≥ {self.target} | {verdict} |"
        )


HEADER = (
    "| what, against which peer | ours (median) | peer (median) | ratio peer/ours (spread) | target | |\n"
    "|---|---|---|---|---|---|"
)


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratio(
    name: str, ours: Callable[[], object], peer: Callable[[], object], target: float, rounds: int = 7
) -> Ratio:
    """Run both in turn, after one warm-up of each, and compare them round by round.

    Interleaving lets a noisy machine slow both alike; the median of the rounds' ratios is quoted.
    """
    ours()
    peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    each = sorted(peer_s / ours_s for ours_s, peer_s in pairs)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Ratio(name, mine, theirs, statistics.median(each), each[0], each[-1], rounds, target)
