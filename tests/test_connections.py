"""Slow clients and many connections: what does not come, or is not read, is given up; others are served."""

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from api import connections
from api.connections import OPTIONS, Connection
from gis.settings import settings
from tests.browsing import wait

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
GET = HEAD + b"\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: "
SLOW = 500


async def home(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def early(_: Request) -> PlainTextResponse:
    return PlainTextResponse("enough", 413)


async def large(_: Request) -> PlainTextResponse:
    return PlainTextResponse("x" * (64 << 20))


async def stream(_: Request) -> StreamingResponse:
    async def ticks() -> Iterator[str]:  # type: ignore[misc]
        for _ in range(20):
            yield "tick\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(ticks())


APP = Starlette(
    routes=[
        Route("/", home), Route("/echo", echo, methods=["POST"]), Route("/early", early, methods=["POST"]),
        Route("/large", large), Route("/stream", stream),
    ]
)  # fmt: skip


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A service that waits a second for a head, two for a body, and two until something is read."""
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    monkeypatch.setattr(connections, "BODY_S", 2.0)
    monkeypatch.setattr(connections, "READ_S", 2.0)
    with running() as where:
        yield where


@contextlib.contextmanager
def running() -> Iterator[int]:
    taken = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(uvicorn.Config(APP, log_level="error", **OPTIONS))
    thread = threading.Thread(target=server.run, args=([taken],))
    thread.start()
    try:
        wait(lambda: server.started, 30)
        yield taken.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        assert not Connection.waiting, "nothing is kept of connections that are over"


def connect(port: int, *said: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 20)
    for words in said:
        made.sendall(words)
    return made


def ends(client: socket.socket) -> tuple[float, bytes]:
    """After how many seconds the service closes the connection, and the last it says."""
    begun, last = time.monotonic(), b""
    with contextlib.suppress(ConnectionResetError):
        while said := client.recv(1 << 16):
            last = (last + said)[-4096:]
    client.close()
    return time.monotonic() - begun, last


UNFINISHED: dict[str, tuple[bytes, float]] = {
    "nothing": (b"", 1),
    "blank lines": (b"\r\n\r\n", 1),
    "half a line": (b"GET / HT", 1),
    "half a head": (HEAD, 1),
    "no body": (POST + b"9\r\n\r\n", 2),
    "half a body": (POST + b"9\r\n\r\nhalf", 2),
    "half a chunk": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", 2),
}


@pytest.mark.parametrize("said", UNFINISHED)
def test_what_does_not_come_in_time_is_given_up(port: int, said: str) -> None:
    words, seconds = UNFINISHED[said]
    took, last = ends(connect(port, words))
    assert seconds - 0.2 < took < seconds + 10
    assert last.rpartition(b"HTTP/1.1 ")[2].startswith(b"408 ")


@pytest.mark.parametrize("more", [b"\n", b"G", HEAD])
def test_a_further_request_comes_in_time_too(port: int, more: bytes) -> None:
    client, said = connect(port, GET), b""
    while not said.endswith(b"ok"):
        said += client.recv(1 << 16)
    client.sendall(more)
    took, last = ends(client)
    assert 0.8 < took < 4.5, "before the pause between two requests is over"
    assert last.startswith(b"HTTP/1.1 408 ")


def test_half_a_head_that_came_with_a_request_ends_with_the_pause_after_it(port: int) -> None:
    took, last = ends(connect(port, GET + HEAD))
    assert took < 15
    assert last.endswith(b"ok")


@pytest.mark.parametrize(
    ("begun", "drop"),
    [
        (b"", b"G"),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        (POST + b"99\r\n\r\n", b"x"),
    ],
    ids=["line", "head", "body"],
)
def test_a_trickle_buys_no_time(port: int, begun: bytes, drop: bytes) -> None:
    client, start = connect(port, begun), time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() < start + 30:
            client.sendall(drop)
            time.sleep(0.1)
    assert time.monotonic() - start < 15
    client.close()


def test_who_refuses_early_waits_no_longer_for_the_body(port: int) -> None:
    words = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
    took, last = ends(connect(port, words))
    assert took < 15
    assert b"413" in last


def test_an_answer_that_nobody_reads_is_given_up(port: int) -> None:
    client = connect(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    begun = time.monotonic()
    time.sleep(4)  # nothing is read
    got = 0
    with contextlib.suppress(ConnectionResetError):
        while said := client.recv(1 << 20):
            got += len(said)
    assert got < 64 << 20
    assert time.monotonic() - begun < 20
    client.close()


def test_what_takes_its_time_honestly_is_served(port: int) -> None:
    """An answer longer than all bounds, a body in pieces, requests one after the other and all at once."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        assert client.get("/stream").text == "tick\n" * 20

        def pieces() -> Iterator[bytes]:
            for _ in range(5):
                yield b"12345"
                time.sleep(0.2)

        for _ in range(3):
            assert client.post("/echo", content=pieces()).text == "25"
            assert client.get("/large").text.count("x") == 64 << 20
    pipelined = connect(port, GET * 5 + HEAD + b"Connection: close\r\n\r\n")
    said = b""
    while got := pipelined.recv(1 << 16):
        said += got
    assert said.count(b"HTTP/1.1 200 OK") == 6
    pipelined.close()


@pytest.mark.parametrize("most", [2_000, 300], ids=["all fit", "too many"])
def test_slow_clients_do_not_hinder_others(port: int, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """500 that never finish a head, opened anew as they are given up: an honest request is answered soon."""
    monkeypatch.setattr(settings(), "connections", most)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    slow: list[socket.socket] = []
    longest, peak, end = 0.0, 0, time.monotonic() + 12
    try:
        while time.monotonic() < end:
            for client in [one for one in slow if is_over(one)]:
                slow.remove(client)
                client.close()
            while len(slow) < SLOW:
                slow.append(connect(port, HEAD))
            peak = max(peak, len(Connection.waiting))
            begun = time.monotonic()
            assert httpx2.get(f"http://127.0.0.1:{port}/", timeout=10).text == "ok"
            longest = max(longest, time.monotonic() - begun)
    finally:
        for client in slow:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert longest < 5
    assert min(SLOW, most) * 0.8 < peak <= most + 1


def is_over(client: socket.socket) -> bool:
    """Whether the service has closed a connection."""
    client.setblocking(False)
    try:
        return client.recv(1 << 10) == b"" or is_over(client)
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_the_connection_that_idles_longest_gives_way(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "connections", 3)
    monkeypatch.setattr(connections, "HEAD_S", 60.0)
    working = connect(port, b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    assert working.recv(1 << 10).startswith(b"HTTP/1.1 200")
    idle = [connect(port) for _ in range(3)]
    wait(lambda: is_over(idle[0]), 5)
    assert [is_over(one) for one in idle] == [True, False, False]
    assert not is_over(working), "who is being answered is not cut off"
    for one in (working, *idle):
        one.close()


@pytest.mark.parametrize(
    ("limits", "fitting", "allowed"),
    [
        ((1024, 1 << 20), 2_000, 2_300),
        ((1024, 1024), 724, 1024),
        ((65_536, 65_536), 2_000, 65_536),
        ((128, 200), 50, 200),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 2_000, resource.RLIM_INFINITY),
        ((1024, resource.RLIM_INFINITY), 2_000, 2_300),
    ],
)
def test_the_open_files_that_are_needed_are_allowed(
    limits: tuple[int, int], fitting: int, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [limits]
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: held[-1])
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, new: held.append(new))
    assert connections.allow_files() == fitting
    assert held[-1][0] == allowed
