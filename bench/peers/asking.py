"""One client for all: plain threads for tiles asked once, `wrk` for the same tile asked again and again."""

import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

from bench.load import fetch

Headers = Mapping[str, str]


def ask(port: int, path: str, headers: Headers) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (in small letters) and body of one answer."""
    line = HTTPConnection("127.0.0.1", port, timeout=300)
    line.request("GET", path, headers=dict(headers))
    answer = line.getresponse()
    body = answer.read()
    line.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def _ask_all(port: int, paths: Sequence[str], headers: Headers) -> None:
    """Ask over one connection by nothing but a socket: `http.client` takes longer than some servers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", port), timeout=300) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for path in paths:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode())
            status = _drain(line)
            if status not in {200, 204, 304}:
                raise RuntimeError(f"{path} on port {port}: {status}")


def _drain(line: socket.socket) -> int:
    """Read one answer to its end, by its length or its last chunk, and return its status."""
    got = line.recv(1 << 16)
    while b"\r\n\r\n" not in got:
        got += _more(line)
    head, _, body = got.partition(b"\r\n\r\n")
    status, length = int(head[9:12]), re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0:
        missing -= len(_more(line))
    if length is None and status == 200:
        while not body.endswith(b"0\r\n\r\n"):
            body = body[-8:] + _more(line)
    return status


def _more(line: socket.socket) -> bytes:
    """Return what comes next; ConnectionError where nothing does any more."""
    got = line.recv(1 << 18)
    if not got:
        raise ConnectionError("the server hung up")
    return got


def once(port: int, paths: Sequence[str], headers: Headers, connections: int) -> float:
    """Return the seconds in which all paths are answered, each asked once, over some connections."""
    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda n: _ask_all(port, paths[n::connections], headers), range(connections)))
    return time.perf_counter() - began


def again(port: int, path: str, headers: Headers, seconds: int = 2, connections: int = 8) -> float:
    """Return the seconds that one answer takes a busy server: the inverse of answers a second."""
    if shutil.which("wrk") is None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        began, count = time.perf_counter(), 2000
        fetch(port, [path], count, connections, lines)
        return (time.perf_counter() - began) / count
    told = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *told, f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(f"{path} on port {port}: {said}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return 1 / float(found[1])


def middle(port: int, path: str, headers: Headers, count: int = 500) -> float:
    """Return the median seconds of one answer over one connection that stays open."""
    line = HTTPConnection("127.0.0.1", port, timeout=60)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        line.request("GET", path, headers=dict(headers))
        line.getresponse().read()
        took.append(time.perf_counter() - began)
    line.close()
    return statistics.median(took)


def client() -> str:
    """Say what asks."""
    return (
        f"wrk and Python {sys.version.split()[0]}"
        if shutil.which("wrk")
        else f"Python {sys.version.split()[0]}"
    )
