"""What commits touched, as the database announces it (revision 0003): a listener with its own connection."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import orjson
import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from gis.answering import Bounded
from gis.errors import DatabaseUnfit

CHANNEL = "safetymap"
NAME = "safetymap listener"
"""How the connection is called in pg_stat_activity."""
PING_S = 0.25
"""A connection that says nothing for so long is asked whether it lives."""
ANSWER_S = 5.0
"""A server that does not answer for so long is away; one that is busy answers a question for nothing."""
LATE_S = 1.0
"""Having heard nothing for so long, not even an answer, we may be cut off without knowing."""
_RETRY_S = 0.2
_WATCHED = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'announces' AND tgenabled = 'O'"
_OPEN = """
SELECT tablename FROM pg_policies WHERE cmd = 'SELECT' AND qual = 'true' AND schemaname = current_schema()
"""
Box = tuple[float, float, float, float]
log = structlog.get_logger()


@dataclass(frozen=True)
class Change:
    """What one statement of a committed transaction changed."""

    table: str
    operation: str
    """insert, update, delete or truncate."""
    boxes: tuple[Box, ...] | None
    """West, south, east, north in WGS-84 degrees, rounded outward, old and new; None: everywhere."""
    ids: tuple[int, ...] | None
    """Rows touched; None: too many to name, or rows without a place of their own."""


@dataclass(frozen=True)
class Tables:
    """What the database says of its tables."""

    watched: frozenset[str]
    """Their changes are announced."""
    open: frozenset[str]
    """Everybody reads all their rows (the policy for reading is `true`)."""


def read(payload: str) -> Change:
    """Return the change that a notification tells."""
    told = orjson.loads(payload)
    boxes, ids = told.get("b"), told.get("i")
    return Change(
        told["t"],
        told["o"],
        None if boxes is None else tuple(cast("Box", tuple(side / 1e6 for side in box)) for box in boxes),
        None if ids is None else tuple(ids),
    )


class Listener:
    """A thread that hears changes: `begun` when it starts to hear, `ended` when it was cut off.

    Nothing is missed between `begun` and `ended`; what was committed while cut off is never heard, so whoever
    keeps something must start clean. All three are called in the thread.
    """

    def __init__(
        self,
        engines: Callable[[], Engine],
        begun: Callable[[Tables], None],
        heard: Callable[[Change], None],
        ended: Callable[[], None],
    ) -> None:
        self._engines, self._begun, self._heard, self._ended = engines, begun, heard, ended
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._heard_at = 0.0
        self._is_away = False
        self._said = ""

    def is_away(self) -> bool:
        """Say whether the database could not be reached when it was last tried."""
        return self._is_away

    def is_in_touch(self) -> bool:
        """Say whether whatever was committed LATE_S ago has been heard."""
        return time.monotonic() - self._heard_at < LATE_S

    def start(self) -> None:
        """Begin to listen, and go on whatever happens to the connection."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End within PING_S."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (psycopg.Error, sa.exc.SQLAlchemyError, DatabaseUnfit) as error:
                if (said := str(error).strip()) != self._said:  # not five times a second for an hour
                    log.warning("changes.cut_off", error=said)
                self._said = said
            finally:
                self._heard_at = 0.0
                self._ended()
            self._stop.wait(_RETRY_S)

    def _listen(self) -> None:
        with closing(self._connect()) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._said = ""
            self._begun(_tables(connection))
            while not self._stop.is_set():
                self._heard_at = time.monotonic()
                for notice in connection.notifies(timeout=PING_S):
                    self._heard(read(notice.payload))
                    if self._stop.is_set():
                        return
                connection.execute("SELECT 1")

    def _connect(self) -> psycopg.Connection:
        """Return a connection of its own, and know whether there was one to be had."""
        try:
            made = _connect(self._engines())
        except Exception:
            self._is_away = True
            raise
        self._is_away = False
        return made


def _connect(engine: Engine) -> psycopg.Connection:
    """Return a connection of its own, apart from the pool: it is held for good."""
    pooled = engine.raw_connection()
    pooled.detach()
    connection = cast("psycopg.Connection", pooled.dbapi_connection)
    connection.autocommit = True
    if isinstance(connection, Bounded):
        connection.longest_s = ANSWER_S
    connection.execute(f"SET application_name = '{NAME}'")
    return connection


def _tables(connection: psycopg.Connection) -> Tables:
    watched, everybodys = (connection.execute(question).fetchall() for question in (_WATCHED, _OPEN))
    return Tables(frozenset(row[0] for row in watched), frozenset(row[0] for row in everybodys))
