"""Overload: ten times the clients that one process can serve; goodput, waits, connections and memory.

`uv run python -m bench.overload [SECONDS]` asks for tiles of the loaded city by `wrk` (Debian's package; a
client in Python would take the core that is measured). No tile is kept. Each client asks again as soon as it
is answered: eight of them get the peak; eighty are the flood and four hundred another, in turn.
"""

import contextlib
import math
import os
import random
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from bench.load import wait_for
from gis import city, db, grids
from gis.settings import settings

PORT = 8151
CLIENTS, FLOODS = 8, (10, 50)
"""Clients, and how many times as many; what is promised holds for the first."""
ROUNDS, PEAK_S = 10, 10
"""A flood in so many parts, a peak of so many seconds before and after each, for the machine is not the same
from one minute to the next."""
CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'overload' AND backend_type = 'client backend'
"""


@dataclass(frozen=True)
class Load:
    """What came of one load: answers by kind, seconds it lasted, the median and the longest wait."""

    served: int
    refused: int
    others: int
    broken: int
    seconds: float
    median_s: float
    longest_s: float

    @property
    def goodput(self) -> float:
        """Tiles a second."""
        return self.served / self.seconds

    def line(self, what: str) -> str:
        """Return what is told of it."""
        return (
            f"{what}: {self.goodput:.0f} tiles/s, {self.refused / self.seconds:.0f} refusals/s, "
            f"{self.others} other answers, {self.broken} without one; "
            f"half within {self.median_s * 1000:.0f} ms, the slowest {self.longest_s:.2f} s"
        )


def load(paths: Path, clients: int, seconds: float) -> Load:
    """Ask by so many clients for so long. Raises CalledProcessError where wrk fails."""
    words = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "10s"]
    words += ["-s", str(Path(__file__).with_suffix(".lua")), f"http://127.0.0.1:{PORT}"]
    env = os.environ | {"OVERLOAD_PATHS": str(paths)}
    said = subprocess.run(words, check=True, capture_output=True, text=True, env=env).stdout
    told = next(line for line in said.splitlines() if line.startswith("TOLD")).split()[1:]
    return Load(*map(int, told[:4]), *map(float, told[4:]))


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


def tiles(count: int) -> list[str]:
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


class Watch(threading.Thread):
    """Counts connections and memory once a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._ended = pid, threading.Event()
        self.connections: list[int] = []
        self.memory_mb: list[float] = []

    def run(self) -> None:
        """Count until told to end."""
        engine = db.work_engine()
        while not self._ended.wait(1):
            with engine.connect() as conn:
                self.connections.append(int(conn.execute(sa.text(CONNECTIONS)).scalar_one()))
            self.memory_mb.append(_memory_mb(self._pid))

    def end(self) -> None:
        """Count no more."""
        self._ended.set()
        self.join()


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _measure(seconds: float, pid: int, paths: Path) -> bool:
    load(paths, CLIENTS, 5)
    watch = Watch(pid)
    watch.start()
    peaks = [_loaded(paths, CLIENTS, PEAK_S)]
    floods: dict[int, list[Load]] = {times: [] for times in FLOODS}
    for _ in range(ROUNDS):
        for times, loads in floods.items():
            loads.append(_loaded(paths, CLIENTS * times, seconds / ROUNDS / len(FLOODS)))
        peaks.append(_loaded(paths, CLIENTS, PEAK_S))
    watch.end()
    fair = [statistics.mean((one.goodput, other.goodput)) for one, other in pairwise(peaks)]
    held = [_is_held(times, loads, fair) for times, loads in floods.items()]
    most = settings().pool_size + settings().tile_queries + 1
    tenth = max(1, len(watch.memory_mb) // 10)
    early, late = (
        statistics.mean(part) for part in (watch.memory_mb[tenth : 2 * tenth], watch.memory_mb[-tenth:])
    )
    print(f"database connections at most {max(watch.connections)} (bound {most})")
    print(f"memory {early:.0f} MB in the second tenth, {late:.0f} MB in the last")
    return held[0] and max(watch.connections) <= most and late <= early * 1.05


def _loaded(paths: Path, clients: int, seconds: float) -> Load:
    done = load(paths, clients, seconds)
    print(done.line(f"{clients} clients for {done.seconds:.0f} s"), flush=True)
    return done


def _is_held(times: int, loads: list[Load], fair: list[float]) -> bool:
    """Tell how floods of so many times the clients stood against the peaks before and after each."""
    shares = sorted(flood.goodput / peak for flood, peak in zip(loads, fair, strict=True))
    share, longest = statistics.median(shares), max(flood.longest_s for flood in loads)
    spread = f"{share:.0%} ({shares[0]:.0%}-{shares[-1]:.0%})"
    print(f"{times} times the clients: goodput {spread} of the peak, the slowest answer {longest:.2f} s")
    return share >= 0.9 and longest < 1 and all(flood.others == flood.broken == 0 for flood in loads)


def main() -> None:
    """Print what was measured; fail where it is not as promised."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600
    with serving() as pid, TemporaryDirectory() as folder:
        paths = Path(folder, "paths")
        paths.write_text("\n".join(tiles(20_000)))
        sys.exit(not _measure(seconds, pid, paths))


if __name__ == "__main__":
    main()
