"""Which server carries the service best: kept tiles, 304s and a chain, granian against uvicorn."""

import contextlib
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from urllib.request import Request, urlopen

from bench.load import fetch, wait_for
from bench.measure import HEADER, ratio
from gis import city, db, grids

_QUIET = ["--no-access-log", "--log-level", "warning"]
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "api.main:make_app", "--factory", *_QUIET],
    "granian": [
        "-m", "granian", "--interface", "asgi", "--factory", "--no-access-log", "--log-level", "warning",
        "api.main:make_app",
    ],
}  # fmt: skip
PORTS = {"uvicorn": 8131, "granian": 8132}
REQUESTS = 2_000


@contextlib.contextmanager
def running(name: str) -> Iterator[int]:
    """One worker of the service under a server."""
    port = PORTS[name]
    server = subprocess.Popen(
        [sys.executable, *COMMANDS[name], "--port", str(port)],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/health/live")
        yield port
    finally:
        server.terminate()
        server.wait()


def _tiles(port: int) -> dict[str, tuple[str, int]]:
    """Return the tiles of the city's middle whose size, as zstd, comes nearest to what is asked, with it."""
    with db.work_engine().connect() as conn:
        west, south, east, north = city.extent(conn, grids.resolve(conn, grids.Wish()).scheme)
    found = []
    for z in (9, 10, 11, 12, 13, 14, 15):
        x, y = _square((west + east) / 2, (south + north) / 2, z)
        for layer in ("grids", "buildings", "roads"):
            for dx in (-1, 0, 1):
                path = f"/tiles/{layer}/{z}/{x + dx}/{y}.mvt"
                found.append((path, _size(port, path)))
    return {
        name: min(found, key=lambda one: abs(one[1] - size))
        for name, size in (("100 kB", 100_000), ("5 kB", 5_000))
    }


def _square(lon: float, lat: float, z: int) -> tuple[int, int]:
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * (1 << z)), int(y * (1 << z))


def _size(port: int, path: str) -> int:
    with contextlib.suppress(OSError), urlopen(Request(f"http://127.0.0.1:{port}{path}")) as answer:
        return len(answer.read())
    return 0


def _tag(port: int, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return str(answer.headers["ETag"])


def _compare(name: str, ports: Sequence[int], path: str, headers: str = "") -> None:
    ours, peer = ports
    told = ratio(
        name,
        lambda: fetch(ours, [path], REQUESTS, headers=headers),
        lambda: fetch(peer, [path], REQUESTS, headers=headers),
        1.0,
    )
    print(re.sub(r" s \|", f" s = {REQUESTS / told.ours_s:,.0f}/s |", told.line(), count=1), flush=True)


def main() -> None:
    """Print granian's ratios to uvicorn over the database that is loaded."""
    with db.work_engine().connect() as conn:
        west, south, east, north = city.extent(conn, grids.resolve(conn, grids.Wish()).scheme)
    with running("granian") as ours, running("uvicorn") as peer:
        tiles = _tiles(ours)
        print(HEADER)
        for name, (path, size) in tiles.items():
            _size(peer, path)
            _compare(f"kept tile of {size:,} bytes ({name}), granian against uvicorn", (ours, peer), path)
        path = tiles["100 kB"][0]
        _compare("304", (ours, peer), path, f"If-None-Match: {_tag(ours, path)}\r\n")
        _compare("/grids/at", (ours, peer), f"/grids/at?lon={(west + east) / 2}&lat={(south + north) / 2}")


if __name__ == "__main__":
    main()
