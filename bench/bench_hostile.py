"""Good users while somebody floods the service with hostile requests: their p95 against the calm one."""

import asyncio
import os
import statistics
import time

from bench.bench_at import paths
from bench.load import served

PORT, ROUNDS, GOOD, EVIL = 8131, 5, 120, "127.0.0.2"
_DEEP = b"[" * 20_000 + b"]" * 20_000
FLOOD = (
    b"POST /session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_DEEP), _DEEP),
    b"GET /grids/at?lon=nan&lat=%27%20OR%201=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /tiles/cameras/99/0/0.mvt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer smk_guess\r\n\r\n",
    b"GET /hotspots?res=10&area=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))


async def _good(asked: list[str], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    for path in asked:
        began = time.perf_counter()
        await _ask(reader, writer, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        times.append(time.perf_counter() - began)
    writer.close()


async def _evil(n: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, local_addr=(EVIL, 0))
    while True:
        n += 1
        await _ask(reader, writer, FLOOD[n % len(FLOOD)])


async def _p95(asked: list[str], floods: int) -> float:
    """Return the 95th percentile of good users' times in seconds, beside so many floods."""
    times: list[float] = []
    evil = [asyncio.create_task(_evil(n)) for n in range(floods)]
    await asyncio.gather(*(_good(asked[n::4], times) for n in range(4)))
    for task in evil:
        task.cancel()
    await asyncio.gather(*evil, return_exceptions=True)
    return statistics.quantiles(times, n=20)[-1]


def main() -> None:
    """Print calm and flooded p95 in turn, and their ratio's median and spread."""
    os.environ |= {"SAFETYMAP_RATE_ON_LOOPBACK": "true", "SAFETYMAP_RATE_PER_S": "100"}
    asked = paths(GOOD)
    with served("api.main:make_app", PORT):
        asyncio.run(_p95(asked, 0))
        pairs = [(asyncio.run(_p95(asked, 0)), asyncio.run(_p95(asked, 4))) for _ in range(ROUNDS)]
    ratios = sorted(flooded / calm for calm, flooded in pairs)
    calm_ms = statistics.median(calm for calm, _ in pairs) * 1000
    spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}, n={ROUNDS})"
    print(f"p95 calm {calm_ms:.1f} ms; flooded against calm: {spread}, target at most 2")


if __name__ == "__main__":
    main()
