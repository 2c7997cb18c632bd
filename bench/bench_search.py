"""How long a search takes: stored names as people write them, beside the plain question for them."""

import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import db
from gis.addresses import match

SAMPLED, SEED, LIMIT = 60, 12, 10
NAMES = {
    "building address": "SELECT address FROM buildings WHERE address IS NOT NULL",
    "building name": "SELECT DISTINCT name FROM buildings WHERE name IS NOT NULL",
    "place": "SELECT name FROM places",
    "grid": "SELECT name FROM grids",
    "grid code": "SELECT code FROM grids",
    "road": "SELECT DISTINCT name FROM roads WHERE name IS NOT NULL",
}
SPELT: dict[str, Callable[[str], str]] = {
    "as stored": lambda name: name,
    "with a room": lambda name: f"{name}2单元502室",
    "in brackets, wide": lambda name: f"（{name.translate({n: n + 0xFEE0 for n in range(0x21, 0x7F)})}）",
    "its beginning": lambda name: name[: max(2, len(name) - 2)],
    "not there": lambda name: f"长沙市{name}",
}
PEER = sa.text(
    "SELECT address FROM buildings WHERE address = :q "
    "UNION ALL SELECT name FROM places WHERE name = :q LIMIT 10"
)
"""The least that any search does: a letter-by-letter question."""


def _timed(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return (time.perf_counter() - start) * 1000


def _line(name: str, times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return f"| {name} | {len(times)} | {cuts[49]:.1f} | {cuts[94]:.1f} | {cuts[98]:.1f} |"


def _plain(conn: Connection, name: str) -> object:
    return conn.execute(PEER, {"q": name}).all()


def measure(conn: Connection) -> None:
    """Print a table of milliseconds by spelling, of all, and of the plain question."""
    rng = random.Random(SEED)
    found = {kind: list(conn.execute(sa.text(select)).scalars()) for kind, select in NAMES.items()}
    names = [one for kind in found for one in rng.sample(found[kind], min(SAMPLED, len(found[kind])))]
    for name in names[:20]:
        match.find(conn, name, LIMIT)
    print("| question | asked | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|---|")
    every: list[float] = []
    for how, spell in SPELT.items():
        times = [_timed(partial(match.find, conn, spell(name), LIMIT)) for name in names]
        every += times
        print(_line(how, times))
    print(_line("all", every))
    plain = [_timed(partial(_plain, conn, name)) for name in names]
    print(_line("peer: letter by letter", plain))


if __name__ == "__main__":
    with db.make_engine(sys.argv[1]).connect() as connection:
        measure(connection)
