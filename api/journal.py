"""Structured logs and request metrics: one line and one measurement per request."""

import logging
import sys
import time
from contextlib import suppress
from functools import lru_cache
from itertools import count
from secrets import token_hex
from typing import Any, TextIO, cast

import orjson
import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

log = structlog.get_logger()
REQUESTS = Counter("safetymap_requests_total", "Requests answered.", ["route", "method", "status"])
LOST = Counter("safetymap_log_lines_lost_total", "Lines of the log that its disk did not take.")
SECONDS = Histogram("safetymap_request_seconds", "Time to the end of the answer.", ["route"])

_PROCESS, _NUMBERS = token_hex(10), count()
"""A request's id is its process and its number: to draw each anew cost more than to write it."""
_MANY, _WELL = "/tiles/{layer}/{z}/{x}/{y}.mvt", {200, 204, 304}
"""A look at the map is dozens of tiles, and the line of each cost a tenth of it: those that went well are
counted."""


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()


class _Lossy:
    """A stream of lines that loses what its disk does not take: a log that is full must fail no answer."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        """Write a line, or count it as lost."""
        try:
            return self._stream.write(line)
        except OSError:
            LOST.inc()
            return 0

    def flush(self) -> None:
        """Hand on what was written."""
        with suppress(OSError):
            self._stream.flush()


def configure(level: str) -> None:
    """Write logs as JSON lines to standard error, from `level` up."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            # Without local variables: they hold keys and cookies.
            ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lossy(sys.stderr))),
    )


class Journal:
    """ASGI middleware, plain so that it costs little: a request id, a log line, a measurement."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HTTP requests on and note how they went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, request_id, status = time.perf_counter(), f"{_PROCESS}{next(_NUMBERS):012x}", 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            _note(scope, request_id, status, time.perf_counter() - began)


def _note(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "other")
    counter, histogram = _measures(route, scope["method"], status)
    counter.inc()
    histogram.observe(seconds)
    if route == _MANY and status in _WELL:
        return
    log.info(
        "request", id=request_id, method=scope["method"], path=scope["path"], route=route, status=status,
        client=scope["client"][0] if scope["client"] else None,
        ms=round(seconds * 1000, 1),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _measures(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Return the measurements of one kind of answer: looking them up is dearer than counting."""
    return REQUESTS.labels(route, method, status), SECONDS.labels(route)
