"""What one caller may ask: requests a second, size of a body, heavy work at once; and safe headers."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import static
from api.access import COOKIE, is_loopback
from api.errors import problem
from api.proxy import FORWARDING, asker, networks
from gis.access import digest
from gis.errors import Busy
from gis.settings import settings

_CSP = (
    "default-src 'self'; script-src 'self'; worker-src 'self' blob:; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(self)",
}
SAFE_HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in (*_HEADERS.items(), ("Content-Security-Policy", _CSP))
]
_YEAR = "max-age=31536000; includeSubDomains"
_CALLERS = 10_000
_HEAVY_WAIT_S = 5.0
HEAVY_AT_ONCE = 4
"""Half of the database's connections stay free for everyday questions."""


@dataclass
class Bucket:
    """Requests that a caller still has, refilled at `rate` a second up to `burst`."""

    rate: float
    burst: float
    left: float
    at: float

    def take(self, now: float) -> float:
        """Take one; return 0, or the seconds until there is one."""
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return (1 - self.left) / self.rate
        self.left -= 1
        return 0.0


class Rates:
    """A bucket per caller; the least recently made is forgotten when there are too many."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._buckets: dict[str, Bucket] = {}

    def wait(self, caller: str) -> float:
        """Count a request of a caller; return 0, or the seconds it should have waited."""
        now = time.monotonic()
        bucket = self._buckets.get(caller)
        if bucket is None:
            if len(self._buckets) >= _CALLERS:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[caller] = Bucket(self.rate, self.burst, self.burst, now)
        return bucket.take(now)


class Limits:
    """ASGI middleware, plain so that it costs little."""

    def __init__(self, app: ASGIApp) -> None:
        chosen = settings()
        self.app = app
        self.by_address = Rates(chosen.rate_per_s, chosen.rate_burst)
        self.by_key = Rates(chosen.rate_per_s, chosen.rate_burst)
        self.logins = Rates(0.2, 20)
        self._counts_loopback = chosen.rate_on_loopback or bool(networks(chosen.trusted_proxy))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its limits, with safe headers on the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sending = _with_headers(scope, headers, send)
        wait = self._wait(scope, headers)
        if wait:
            answer = problem(429, f"too many requests; wait {wait:.0f} s")
            answer.headers["Retry-After"] = f"{wait:.0f}"
            await answer(scope, receive, sending)
        elif _declared_length(headers) > settings().body_mb << 20:
            await problem(413, _TOO_LARGE.format(settings().body_mb))(scope, receive, sending)
        else:
            await self.app(scope, _counted(receive), sending)

    def _wait(self, scope: Scope, headers: Headers) -> float:
        """Return how long the caller must wait: by address, by key, and for logging in."""
        address = asker(scope["client"][0]) if scope["client"] else ""
        if scope["path"] == "/session" and scope["method"] == "POST" and (wait := self.logins.wait(address)):
            return max(1.0, wait)
        if is_loopback(address) and not self._counts_loopback and FORWARDING.isdisjoint(headers):
            return 0.0
        token = headers.get("authorization") or headers.get("cookie")
        waits = [self.by_address.wait(address)]
        waits += [self.by_key.wait(digest(token).hex())] if token else []
        return max(1.0, *waits) if any(waits) else 0.0


_TOO_LARGE = "the body is larger than {} MB; send it in parts"


def _declared_length(headers: Headers) -> int:
    told = headers.get("content-length", "0")
    return int(told) if told.isascii() and told.isdigit() else 0


def _counted(receive: Receive) -> Receive:
    """Stop reading a body that grows beyond its bound, whatever its declared length."""
    most, read = settings().body_mb << 20, 0

    async def counting() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise HTTPException(413, _TOO_LARGE.format(settings().body_mb))
        return message

    return counting


def _with_headers(scope: Scope, asked: Headers, send: Send) -> Send:
    credentials = "authorization" in asked or COOKIE in asked.get("cookie", "")

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *SAFE_HEADERS]
            headers = MutableHeaders(scope=message)
            if headers.get("cache-control") != static.FOR_GOOD:
                headers.add_vary_header("Authorization, Cookie")
            if credentials and "cache-control" not in headers:
                headers["Cache-Control"] = "private, no-store"
            if scope["scheme"] == "https":
                headers["Strict-Transport-Security"] = _YEAR
        await send(message)

    return adding


async def heavy(request: Request) -> AsyncIterator[None]:
    """Let only so much heavy work be done at once. Raises Busy after a while of waiting."""
    gate: asyncio.Semaphore = request.app.state.heavy
    try:
        await asyncio.wait_for(gate.acquire(), _HEAVY_WAIT_S)
    except TimeoutError as error:
        raise Busy("much is being worked out for others; try again in a moment") from error
    try:
        yield
    finally:
        gate.release()
