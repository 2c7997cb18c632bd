"""Overload: ten times the tiles that one process can cut; goodput, refusals, connections and memory.

`uv run python -m bench.overload [SECONDS]` asks for tiles of the loaded city; none of them is kept.
"""

import asyncio
import contextlib
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from bench.load import wait_for
from gis import city, db, grids
from gis.settings import settings

PORT = 8151
TIMES = 10
CLIENTS = 8
"""Clients that ask one tile after another: what they get is the peak."""
PEAK_S = 20
PATIENCE_S = 15
"""What is not answered so long after the flood is counted under -1."""
CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'overload' AND backend_type = 'client backend'
"""


@dataclass
class Seen:
    """What came of one load."""

    statuses: Counter[int] = field(default_factory=Counter)
    refused_s: list[float] = field(default_factory=list)
    served_s: list[float] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def goodput(self) -> float:
        """Tiles a second."""
        return (self.statuses[200] + self.statuses[204]) / self.seconds


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """One process of the service that keeps no tile; yields its process id."""
    env = os.environ | {
        "SAFETYMAP_TILE_CACHE_MB": "0", "SAFETYMAP_LOG_LEVEL": "ERROR", "PGAPPNAME": "overload",
    }  # fmt: skip
    command = [sys.executable, "-m", "uvicorn", "api.main:make_app", "--factory", "--no-access-log"]
    with subprocess.Popen([*command, "--log-level", "error", "--port", str(PORT)], env=env) as server:
        try:
            wait_for(f"http://127.0.0.1:{PORT}/health/live")
            yield server.pid
        finally:
            server.terminate()


def _paths(count: int) -> list[str]:
    """Return tiles of the city's middle, each with buildings or roads in it."""
    with db.work_engine().connect() as conn:
        west, south, east, north = city.extent(conn, grids.resolve(conn, grids.Wish()).scheme)
    dice, found = random.Random(5), []
    for _ in range(count):
        z = dice.choice((14, 15, 15, 16))
        lon = west + (east - west) * min(1, max(0, dice.gauss(0.5, 0.1)))
        lat = south + (north - south) * min(1, max(0, dice.gauss(0.5, 0.1)))
        y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
        place = f"{z}/{int((lon + 180) / 360 * (1 << z))}/{int(y * (1 << z))}"
        found.append(f"/tiles/{dice.choice(('buildings', 'grids', 'roads'))}/{place}.mvt")
    return found


class Connections:
    """Kept-alive connections, as many as are needed at once."""

    def __init__(self) -> None:
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str, seen: Seen) -> None:
        """Ask for one tile, and note what came and how soon."""
        began = time.monotonic()
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: zstd\r\n\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            told = [line for line in head.split("\r\n") if line.startswith("content-length:")]
            await reader.readexactly(int(told[0].split(":")[1]) if told else 0)
        except (asyncio.IncompleteReadError, OSError):
            seen.statuses[0] += 1
            return
        self._free.append((reader, writer))
        status, took = int(head.split(" ", 2)[1]), time.monotonic() - began
        seen.statuses[status] += 1
        (seen.refused_s if status == 503 else seen.served_s).append(took)


async def peak(paths: list[str], seconds: float) -> Seen:
    """Return what CLIENTS get who ask one after another."""
    seen, connections, began = Seen(), Connections(), time.monotonic()
    turn = iter(range(10**9))

    async def client() -> None:
        while time.monotonic() - began < seconds:
            await connections.ask(paths[next(turn) % len(paths)], seen)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    seen.seconds = time.monotonic() - began
    return seen


async def flood(paths: list[str], seconds: float, rate: float, pid: int) -> Seen:
    """Ask `rate` times a second whatever is answered, and return what came of it."""
    seen, connections, began = Seen(), Connections(), time.monotonic()
    watching = asyncio.create_task(_watch(seen, pid))
    asked: set[asyncio.Task[None]] = set()
    number = 0
    while (now := time.monotonic() - began) < seconds:
        while number < now * rate:
            task = asyncio.create_task(connections.ask(paths[number % len(paths)], seen))
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
        await asyncio.sleep(0.005)
    seen.seconds = time.monotonic() - began
    done = Counter(seen.statuses)
    _, unanswered = await asyncio.wait(asked, timeout=PATIENCE_S) if asked else (None, set())
    for task in unanswered:
        task.cancel()
    watching.cancel()
    seen.statuses[200], seen.statuses[204] = done[200], done[204]  # those of the time measured
    seen.statuses[-1] = len(unanswered)
    return seen


async def _watch(seen: Seen, pid: int) -> None:
    """Count connections and memory once a second."""
    engine = db.work_engine()
    while True:
        with engine.connect() as conn:
            seen.connections.append(int(conn.execute(sa.text(CONNECTIONS)).scalar_one()))
        seen.memory_mb.append(_memory_mb(pid))
        await asyncio.sleep(1)


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else math.nan


async def _measure(seconds: float, pid: int) -> bool:
    paths = _paths(20_000)
    await peak(paths[:500], 5)
    before = await peak(paths, PEAK_S)
    most = settings().pool_size + settings().tile_queries + 1
    print(
        f"peak: {before.goodput:.0f} tiles/s, p95 {_quantile(before.served_s, 0.95) * 1000:.0f} ms",
        flush=True,
    )
    seen = await flood(paths, seconds, TIMES * before.goodput, pid)
    after = await peak(paths, PEAK_S)
    fair = statistics.mean((before.goodput, after.goodput))
    fifth = max(1, len(seen.memory_mb) // 5)
    early, late = (
        statistics.mean(part) for part in (seen.memory_mb[fifth : 2 * fifth], seen.memory_mb[-fifth:])
    )
    print(f"peak afterwards: {after.goodput:.0f} tiles/s")
    print(f"{seconds:.0f} s of {TIMES * before.goodput:.0f} requests/s: {dict(seen.statuses)}")
    print(f"goodput {seen.goodput:.0f}/s = {seen.goodput / fair:.0%} of the peak (mean of before and after)")
    print(
        f"refusals: p50 {_quantile(seen.refused_s, 0.5) * 1000:.0f} ms, "
        f"p99 {_quantile(seen.refused_s, 0.99) * 1000:.0f} ms, slowest {max(seen.refused_s, default=0):.2f} s"
    )
    print(f"served: p95 {_quantile(seen.served_s, 0.95):.2f} s")
    print(f"database connections at most {max(seen.connections)} (bound {most})")
    print(f"memory {early:.0f} MB in the second fifth, {late:.0f} MB in the last")
    return (
        seen.goodput >= 0.9 * fair
        and _quantile(seen.refused_s, 0.99) < 1
        and max(seen.connections) <= most
        and late <= early * 1.1
    )


def main() -> None:
    """Print what was measured; fail where it is not as promised."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600
    with serving() as pid:
        sys.exit(not asyncio.run(_measure(seconds, pid)))


if __name__ == "__main__":
    main()
