"""A small HTTP/1.1 load generator: keep-alive connections in one asyncio process, nothing but sockets."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from urllib.request import urlopen


async def _client(host: str, port: int, paths: Sequence[str], count: int, headers: str) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for n in range(count):
        request = f"GET {paths[n % len(paths)]} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204", b"HTTP/1.1 304")), head
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:") and not head.startswith(b"HTTP/1.1 304"):
                await reader.readexactly(int(line.split(b":")[1]))
    writer.close()


def fetch(port: int, paths: Sequence[str], requests: int, connections: int = 8, headers: str = "") -> None:
    """Send `requests` GETs over `connections` connections; every answer must be a 200, 204 or 304.

    `headers` are whole lines, each ended by CR LF.
    """

    async def run() -> None:
        each = requests // connections
        await asyncio.gather(
            *(_client("127.0.0.1", port, [*paths[n:], *paths[:n]], each, headers) for n in range(connections))
        )

    asyncio.run(run())


@contextlib.contextmanager
def served(factory: str, port: int, **settings: str) -> Iterator[int]:
    """Serve an application factory with the product's own server settings while the block runs."""
    command = [sys.executable, "-m", "uvicorn", factory, "--factory", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--no-access-log", "--log-level", "warning"],
        stderr=subprocess.DEVNULL,
        env=os.environ | settings,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health/live")
        yield port
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, seconds: float = 90) -> None:
    """Return when a server answers; TimeoutError when it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            urlopen(url)
            return
        time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer")
