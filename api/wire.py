"""Changes, from the listener's thread into the event loop, where cache and live stream live."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from api.access import Engines
from gis.changes import Change, Listener, Tables


class Hearer(Protocol):
    """Somebody who must know what commits touch; called in the event loop, in order."""

    def begin(self, tables: Tables) -> None:
        """From now on every change is heard; whatever was before may have gone unheard."""

    def hear(self, change: Change) -> None:
        """Something was committed."""

    def end(self) -> None:
        """From now on changes may go unheard."""


class Wire:
    """One per process."""

    def __init__(self, engines: Engines) -> None:
        self.hearers: Sequence[Hearer] = ()
        self.listener = Listener(
            engines,
            lambda tables: self._each(lambda hearer: hearer.begin(tables)),
            lambda change: self._each(lambda hearer: hearer.hear(change)),
            lambda: self._each(lambda hearer: hearer.end()),
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to listen; in the event loop."""
        self._loop = asyncio.get_running_loop()
        self.listener.start()

    def stop(self) -> None:
        """End."""
        self.listener.stop()

    def _each(self, tell: Callable[[Hearer], None]) -> None:
        assert self._loop
        for hearer in self.hearers:
            with suppress(RuntimeError):  # the loop has ended, and with it whatever was kept
                self._loop.call_soon_threadsafe(partial(tell, hearer))
