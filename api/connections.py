"""Connections of one process: heads and bodies come in time, answers are read, and who idles gives way.

uvicorn bounds none of these but the pause between two requests; this is its protocol with those bounds.
"""

import asyncio
import resource
from typing import Any, ClassVar, Literal, TypedDict

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gis.settings import settings

HEAD_S = 10.0
"""From the connection, or the first byte of a further request, to the end of the head."""
BODY_S = 120.0
"""From the end of the head to that of the body: the largest, of 32 MB, needs 2.2 Mbit/s."""
READ_S = 60.0
"""While a client takes none of what waits for it; some 48 kB must go in this time."""
GRACE_S = 3
"""What is being answered has so long to end when the service stops; live streams would go on for ever."""
_OTHER_FILES = 300
"""Open files of a process that are no connections of clients: libraries, logs, the database."""
_FEWEST = 50
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def allow_files() -> int:
    """Let this process, and those it starts, open the files they need; return how many connections fit."""
    wanted = settings().connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    fitting = settings().connections if soft == resource.RLIM_INFINITY else min(wanted, soft) - _OTHER_FILES
    return max(fitting, _FEWEST)


class Connection(HttpToolsProtocol):
    """One connection of a client, with its bounds."""

    waiting: ClassVar["dict[Connection, None]"] = {}
    """Those whose request is not there in full, the one that waits longest first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._due: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; beyond the bound the one that has waited longest for its client is closed."""
        super().connection_made(transport)
        self._expect(HEAD_S)
        if len(self.connections) > settings().connections:
            longest = next(iter(self.waiting))
            del self.waiting[longest]  # it is lost only later, and more may come before
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._expect_nothing()
        self.waiting.pop(self, None)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take in what came; whatever it was, the next head is due from now on."""
        super().data_received(data)
        if self._due is None and self in self.waiting:
            self._expect(HEAD_S)

    def on_headers_complete(self) -> None:
        """Begin to answer; the body is due."""
        super().on_headers_complete()
        self._expect(BODY_S)

    def on_message_complete(self) -> None:
        """Have the whole request: nothing is due until it is answered."""
        super().on_message_complete()
        self._expect_nothing()
        self.waiting.pop(self, None)
        self._await_next()

    def on_response_complete(self) -> None:
        """Wait for a further request."""
        super().on_response_complete()
        if self.parser is not None:
            self._await_next()

    def _await_next(self) -> None:
        """Have the connection give way to others once its last request is answered."""
        if self.cycle.response_complete:
            self.waiting.setdefault(self)

    def pause_writing(self) -> None:
        """Stop writing to a client that reads too slowly; one that reads nothing is given up."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _expect(self, seconds: float) -> None:
        self._expect_nothing()
        self.waiting.setdefault(self)
        self._due = self.loop.call_later(seconds, self._give_up)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _give_up(self) -> None:
        """Close a connection whose request does not come."""
        if self.transport.is_closing():
            return
        # Typed as always there, but before the first request there is none.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_TOO_SLOW)
        self.transport.close()


class Options(TypedDict):
    """How uvicorn runs the service."""

    http: type[asyncio.Protocol]
    ws: Literal["none"]
    timeout_worker_healthcheck: int
    access_log: bool
    server_header: bool
    proxy_headers: bool
    timeout_graceful_shutdown: int


OPTIONS = Options(
    http=Connection,
    ws="none",
    timeout_worker_healthcheck=60,  # on a busy machine one starts slowly; 5 s would end it for ever
    access_log=False,
    server_header=False,
    proxy_headers=False,  # uvicorn's own believes everything on this machine; see api.proxy
    timeout_graceful_shutdown=GRACE_S,
)
