"""Writes who read what into the audit: into a file at once, into the database and sealed once a second."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import structlog
from prometheus_client import Gauge
from sqlalchemy.engine import Connection, Engine

from gis import audit, audit_keys, audit_queue
from gis.access import Principal
from gis.audit_queue import Waiting
from gis.errors import NotRecorded

EVERY_S = 1.0
LATE_S = 5.0
"""Entries that wait longer say that the audit cannot be written; nothing protected is given out then."""
TAKE_OVER_S = 60
"""How often files of processes that were killed are looked for."""
TELL_AGAIN_S = 60
MOST = 50_000
"""Entries that may wait, so that they fit in memory."""
WAITING = Gauge("safetymap_audit_waiting", "Entries of the audit that the database has not.")
BEHIND = Gauge("safetymap_audit_behind_seconds", "Age of the oldest entry that is not recorded and sealed.")
REFUSES = Gauge(
    "safetymap_audit_refuses", "1 while the audit cannot be written and nothing protected is given out."
)
log = structlog.get_logger()


class Recorder:
    """One per process: the files of entries that wait, and the thread that brings them into the database."""

    def __init__(self, engines: Callable[[], Engine], data_dir: Path) -> None:
        self._engines, self._data_dir = engines, data_dir
        self._lock = threading.Lock()
        self._current: Waiting | None = None
        self._full: list[Waiting] = []
        self._unsealed_since: float | None = None
        self._sealed: dict[str, int] = {}
        self._told = ("", 0.0)
        self._no_room: str | None = None
        self._lost: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write, with what processes that were killed have left."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()
        WAITING.set_function(lambda: len(self))
        BEHIND.set_function(self.behind_s)
        REFUSES.set_function(lambda: float(self.lack() is not None))

    def stop(self) -> None:
        """Write what waits, and end; what the database does not take stays in files for the next start."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def __len__(self) -> int:
        """Return how many entries wait."""
        return sum(len(one.texts) for one in [*self._full, self._current] if one)

    def behind_s(self) -> float:
        """Return the age of the oldest entry that is not recorded and sealed, in seconds."""
        since = [one.since for one in [*self._full, self._current] if one and one.since]
        oldest = min([*since, *([self._unsealed_since] if self._unsealed_since else [])], default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    def lack(self) -> str | None:
        """Return why nothing protected is given out, None while the audit is written."""
        return self._lost or self._no_room or self._behind()

    def _behind(self) -> str | None:
        behind, waiting = self.behind_s(), len(self)
        if behind <= LATE_S and waiting < MOST:
            return None
        return f"the audit cannot be written ({waiting} entries wait, the oldest for {behind:.0f} s)"

    def note(self, who: Principal, what: str, came_from: str) -> None:
        """Write an entry down. Raises NotRecorded where it cannot be, or others wait for too long."""
        text = audit.entry(self._data_dir, who, what, came_from)
        with self._lock:
            if lack := self._behind():
                raise NotRecorded(f"{lack}, so nothing protected is given out; try again")
            try:
                self._current = self._current or audit_queue.begin(self._data_dir)
                self._current.add(text)
                self._no_room = None
            except OSError as error:
                log.exception("audit")
                self._no_room = f"the audit cannot be written ({error.strerror or error})"
                raise NotRecorded(f"{self._no_room}, so nothing protected is given out; try again") from error

    def change(
        self, conn: Connection, who: Principal, what: str, detail: dict[str, object], came_from: str
    ) -> None:
        """Write a change into the audit in the transaction that makes it."""
        audit.change(conn, self._data_dir, who, what, detail, came_from)

    def _run(self) -> None:
        for second in count():
            if second % TAKE_OVER_S == 0:
                self._attempt(self._take_over)
            ends = self._stop.wait(EVERY_S)
            self._attempt(self._empty)
            self._attempt(self._look_for_room)
            self._attempt(self._look_for_key)
            if ends:
                return

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step. Whatever goes wrong is tried again, and told: a thread that ends tells nobody.

        It is tried every second, so that the same again is told once a minute.
        """
        try:
            step()
        except Exception as error:
            told, now = f"{type(error).__name__}: {error}", time.monotonic()
            if told == self._told[0] and now - self._told[1] < TELL_AGAIN_S:
                return
            self._told = told, now
            with suppress(Exception):  # nor may a log that is closed end it
                log.exception("audit", waiting=len(self), behind_s=round(self.behind_s(), 1))

    def _look_for_room(self) -> None:
        """See whether entries can be written again: whoever asks only whether we are ready writes none."""
        if self._no_room:
            audit_queue.try_room(self._data_dir)
            self._no_room = None

    def _look_for_key(self) -> None:
        """See whether the key that signs is there: whoever asks only whether we are ready signs nothing."""
        is_gone = audit_keys.was_there(self._data_dir) and not audit_keys.is_there(self._data_dir)
        self._lost = audit_keys.lost_words(self._data_dir) if is_gone else None

    def _take_over(self) -> None:
        self._full.extend(audit_queue.left_behind(self._data_dir))

    def _empty(self) -> None:
        with self._lock:
            if self._current and self._current.texts:
                self._full.append(self._current)
                self._current = None
        while self._full:
            self._record(self._full[0])
            self._full.pop(0).done()
            self._unsealed_since = self._unsealed_since or time.monotonic()
        if self._unsealed_since:
            with self._engines().begin() as conn:
                audit.seal(conn, self._data_dir, self._sealed)
            self._unsealed_since = None

    def _record(self, waiting: Waiting) -> None:
        """Append entries to their chains, each once, whether or not an attempt before went through."""
        append = audit.append_missing if waiting.tried else audit.append
        waiting.tried = True
        with self._engines().begin() as conn:
            for chain, texts in audit_queue.by_chain(waiting.texts).items():
                append(conn, chain, texts)
