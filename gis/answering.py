"""Connections that give up on a database which says nothing: stopped, or behind a network that drops."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

T = TypeVar("T")
CONNECT_S = 5
"""In which a server must have let us in."""
GRACE_S = 2.0
"""Beyond a statement's own limit, which the server keeps; without an answer by then it keeps nothing."""
_INTERVAL_S = 0.1
"""How often psycopg looks up from waiting, as it does by itself."""


def bound_s(timeout_ms: int) -> float:
    """Return how long to wait for the answer to a statement that may take `timeout_ms`, in seconds."""
    return timeout_ms / 1000 + GRACE_S


def _silent(seconds: float | None) -> psycopg.OperationalError:
    return psycopg.OperationalError(f"the database has not answered for {seconds:g} s")


class Bounded(psycopg.Connection[Any]):
    """A connection whose every wait for the server ends after `longest_s`; None: never.

    The server's `statement_timeout` does not end anything when the server itself stands still.
    """

    longest_s: float | None = None

    def wait(self, gen: PQGen[T], interval: float = _INTERVAL_S, timeout: float | None = None) -> T:
        """Wait as psycopg does. Raises OperationalError, the connection closed, when no answer comes."""
        try:
            return super().wait(gen, interval, self.longest_s if timeout is None else timeout)
        except _WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise _silent(self.longest_s) from None


class BoundedAsync(psycopg.AsyncConnection[Any]):
    """The same for the event loop."""

    longest_s: float | None = None

    async def wait(  # as psycopg declares it
        self,
        gen: PQGen[T],
        interval: float = _INTERVAL_S,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> T:
        """Wait as psycopg does. Raises OperationalError, the connection closed, when no answer comes."""
        try:
            return await super().wait(gen, interval, self.longest_s if timeout is None else timeout)
        except _WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise _silent(self.longest_s) from None
