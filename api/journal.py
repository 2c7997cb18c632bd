"""Structured logs and request metrics: one line and one measurement per request."""

import logging
import sys
import time
import uuid

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

log = structlog.get_logger()
REQUESTS = Counter("safetymap_requests_total", "Requests answered.", ["route", "method", "status"])
SECONDS = Histogram("safetymap_request_seconds", "Time to the end of the answer.", ["route"])


def configure(level: str) -> None:
    """Write logs as JSON lines to standard error, from `level` up."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            # Without local variables: they hold keys and cookies.
            ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
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
        began, request_id, status = time.perf_counter(), uuid.uuid4().hex, 500

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
    REQUESTS.labels(route, scope["method"], status).inc()
    SECONDS.labels(route).observe(seconds)
    log.info(
        "request", id=request_id, method=scope["method"], path=scope["path"], route=route, status=status,
        client=scope["client"][0] if scope["client"] else None,
        ms=round(seconds * 1000, 1),
    )  # fmt: skip
