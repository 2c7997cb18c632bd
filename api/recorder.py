"""Writes who read what into the audit: queued by the requests, appended and sealed once a second."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine

from gis import audit
from gis.access import Principal
from gis.errors import NotRecorded

EVERY_S = 1.0
MOST = 50_000
"""Entries that may wait; with more, protected detail is not given out, rather than given unrecorded."""
log = structlog.get_logger()


class Recorder:
    """One per process: a queue and the thread that empties it."""

    def __init__(self, engines: Callable[[], Engine], data_dir: Path) -> None:
        self._engines, self._data_dir = engines, data_dir
        self._waiting: deque[tuple[Principal, str, str]] = deque()
        self._sealed: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def note(self, who: Principal, what: str, came_from: str) -> None:
        """Queue an entry. Raises NotRecorded while the audit cannot be written and too many wait."""
        if len(self._waiting) >= MOST:
            raise NotRecorded("the audit cannot be written, so nothing protected is given out; try again")
        self._waiting.append((who, what, came_from))

    def change(
        self, conn: Connection, who: Principal, what: str, detail: dict[str, object], came_from: str
    ) -> None:
        """Write a change into the audit in the transaction that makes it."""
        audit.change(conn, self._data_dir, who, what, detail, came_from)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._empty()
        self._empty()

    def _empty(self) -> None:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not taken:
            return
        try:
            self._write(taken)
        except sa.exc.SQLAlchemyError as error:
            self._waiting.extendleft(reversed(taken))
            log.warning("audit", error=str(error), waiting=len(self._waiting))

    def _write(self, taken: list[tuple[Principal, str, str]]) -> None:
        chains: dict[str, list[str]] = defaultdict(list)
        for who, what, came_from in taken:
            chains[audit.chain_of(who)].append(audit.entry(self._data_dir, who, what, came_from))
        with self._engines().begin() as conn:
            for chain in sorted(chains):
                audit.append(conn, chain, chains[chain])
        with self._engines().begin() as conn:
            audit.seal(conn, self._data_dir, self._sealed)
