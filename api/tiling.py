"""Tiles as they are asked for: kept ones at once, equal ones as one query, a bounded number at a time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import psycopg
import sqlalchemy as sa
from prometheus_client import Gauge
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors

from api.access import Engines
from api.cutting import BUSY, TILES, Cutters, Order, as_kept, looking_at, packed, statement
from api.deps import Look, transaction, view
from gis import city, grids
from gis.access import ANYBODY, Principal
from gis.changes import Change, Tables
from gis.errors import Busy
from gis.settings import settings
from layers.catalogue import Layer
from layers.view import View
from tiles import encoding, mvt
from tiles.cache import Asked, Cache, Kept
from tiles.tile import Tile

T = TypeVar("T")

VIEW_TABLES = frozenset({"categories", "city", "grids", "levels", "revisions", "schemes"})
"""Tables that decide what a view means."""
_IN_STEP = frozenset({"footprints", "grid_shapes", "square_counts"})
"""Tables that change only together with one whose changes are heard: footprints and counts with the rows that
they are of, shapes with the record of those shaped."""
_LOOKS = 10_000
_VIEWS = 200
"""Each with what its layers ask at each zoom: 100 to 400 kB (tests/test_soak.py)."""
_LONGEST_QUERY = 500
_EARLY_S = 5
"""The database's clock may be so much ahead of ours: its new day begins for us that much early."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
KEPT = Gauge("safetymap_tiles_kept", "Tiles in the cache.")
KEPT_BYTES = Gauge("safetymap_tiles_kept_bytes", "Bytes that they take.")

OUT_OF_REACH = (psycopg.OperationalError, sa.exc.OperationalError, sa.exc.TimeoutError)
"""What tells that the database is not there, or does not answer."""
STALE = "stale"
Sight = tuple[int, str | None, str | None]


def sight(who: Principal) -> Sight:
    """Return what decides which rows the database shows somebody: rank, scheme and scope."""
    return who.rank, who.scheme, who.scope


@lru_cache(maxsize=5_000)
def question(layer: Layer, seen: View) -> tuple[bytes, frozenset[str]]:
    """Return a digest of what a layer asks the store under a view, and the tables that it reads.

    Views that ask the same share their tiles: a layer without history is not asked anew by a new revision.
    """
    rows = layer.select(seen)
    compiled = rows.compile(dialect=_DIALECT)
    asked = repr((str(compiled), sorted(compiled.params.items())))
    named = {part.name for part in visitors.iterate(rows) if isinstance(part, sa.Table)}
    return sha256(asked.encode()).digest()[:16], frozenset(named | set(layer.reads)) - _IN_STEP


class Ask(NamedTuple):
    """What a layer asks the store at a zoom."""

    digest: bytes
    reads: frozenset[str]
    """Tables."""
    whose: Sight | None
    """Whose answer it is; None: everybody's."""
    cut: mvt.Cut


@dataclass(frozen=True)
class Seeing:
    """A view as somebody has it."""

    view: View
    sight: Sight
    until: float
    """POSIX time."""
    asks: dict[tuple[str, int], Ask] = field(default_factory=dict)
    """By layer and zoom."""


@dataclass
class Flight:
    """A query on its way, and how many wait for it."""

    task: "asyncio.Task[Kept]"
    mark: int
    waiting: int = 0


class Desk:
    """One per process: the cache, the views it was asked under, the queries on their way."""

    def __init__(self, engines: Engines, is_in_touch: Callable[[], bool]) -> None:
        self._engines, self._is_in_touch = engines, is_in_touch
        self.cutters = Cutters(engines)
        self.cache = Cache(settings().tile_cache_mb << 20)
        self.open: frozenset[str] = frozenset()
        self.looks: dict[bytes, Look] = {}
        """What the routes understood by query strings."""
        self._views: OrderedDict[tuple[Look, Sight], Seeing] = OrderedDict()
        self._stale_views: dict[Look, Seeing] = {}
        """The public's, as they were when changes ceased to be heard."""
        self._view_mark = 0
        self._resolving: dict[tuple[Look, Sight], asyncio.Task[Seeing]] = {}
        self._flights: dict[object, Flight] = {}
        self._begun: set[asyncio.Task[Any]] = set()
        """Whatever waits for the database or is at it."""

    async def stop(self) -> None:
        """Give the connections back."""
        await self.cutters.close()

    def is_full(self) -> bool:
        """Say whether one tile more would be refused."""
        return len(self._begun) >= settings().tile_queries + settings().tile_queue

    def _start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start what needs the database; raise Busy when too many wait. It is counted before its task runs.

        Else all who come in one turn of the event loop would find a place, and cost what a tile costs but for
        its statement.
        """
        if self.is_full():
            work.close()
            TILES.labels("refused").inc()
            raise Busy(BUSY)
        task = asyncio.create_task(work)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task

    def begin(self, tables: Tables) -> None:
        """Begin clean: from now on changes are heard."""
        self.open = tables.open
        self._forget_views()
        self._stale_views.clear()
        self.cache.start(tables.watched)

    def end(self) -> None:
        """Give out nothing kept as fresh: changes may go unheard."""
        for (look, _), seen in self._views.items():
            public = replace(seen.view, scope=None, suppressed=True)
            self._stale_views[look] = Seeing(public, sight(ANYBODY), seen.until)
        self._forget_views()
        self.cache.stop()

    def hear(self, change: Change) -> None:
        """Forget what a change touched."""
        if change.table in VIEW_TABLES:
            self._forget_views()
        self.cache.touch(change.table, change.boxes)
        self._measure()

    def _forget_views(self) -> None:
        self._views.clear()
        self._view_mark += 1

    def _measure(self) -> None:
        KEPT.set(len(self.cache))
        KEPT_BYTES.set(self.cache.size)

    def learn(self, query: bytes, look: Look) -> None:
        """Remember what a route understood by a query string."""
        if len(query) <= _LONGEST_QUERY:
            if len(self.looks) >= _LOOKS:
                self.looks.clear()
            self.looks[query] = look

    def find(self, layer: Layer, square: Tile, given: Look, who: Principal) -> Kept | None:
        """Return a tile that is kept, without asking the database; None when it must be asked."""
        seen = self._known_view(given, who)
        return None if seen is None else self.cache.get(self._asked(layer, square, seen)[0].key)

    def _known_view(self, given: Look, who: Principal) -> Seeing | None:
        key = given, sight(who)
        found = self._views.get(key)
        if found is not None:
            self._views.move_to_end(key)
        if found is None or time.time() >= found.until or not self._is_in_touch():
            return None
        return found

    def _asked(self, layer: Layer, square: Tile, seen: Seeing) -> tuple[Asked, Ask]:
        group = layer.name, square.z
        ask = seen.asks.get(group)
        if ask is None:
            near = looking_at(seen.view, square.z)
            digest, reads = question(layer, near)
            ask = Ask(digest, reads, None if reads <= self.open else seen.sight, statement(layer, near))
            seen.asks[group] = ask
        key = (group, square.x, square.y, ask.digest, ask.whose)
        return Asked(key, square, group, ask.reads, ask.cut.margin), ask

    async def answer(
        self, layer: Layer, square: Tile, given: Look, who: Principal, form: str
    ) -> tuple[Kept, str]:
        """Return a tile in an encoding, and how it was come by: hit, joined, rendered, or stale.

        Raises Busy when too many wait already, TileSlow when the query took too long, what `view` raises, and
        OUT_OF_REACH where the database cannot be asked and no tile is kept that is everybody's.
        """
        try:
            return await self._fresh(layer, square, given, who, form)
        except OUT_OF_REACH:
            if (kept := await self.stale(layer, square, given, form)) is None:
                raise
            return kept, STALE

    async def stale(self, layer: Layer, square: Tile, given: Look, form: str) -> Kept | None:
        """Return a public layer's tile as it was when changes ceased to be heard, if it was everybody's."""
        seen = self._stale_views.get(given)
        if layer.audience != "public" or seen is None:
            return None
        asked, ask = self._asked(layer, square, seen)
        kept = None if ask.whose else self.cache.stale(asked.key)
        return kept and await self._as(kept, form)

    async def _fresh(
        self, layer: Layer, square: Tile, given: Look, who: Principal, form: str
    ) -> tuple[Kept, str]:
        seen = self._known_view(given, who) or await self._view(given, who)
        asked, ask = self._asked(layer, square, seen)
        kept = self.cache.get(asked.key) if self._is_in_touch() else None
        how = "hit"
        if kept is None:
            kept, how = await self._fly(Order(asked, ask.cut, who if ask.whose else ANYBODY, form))
        return await self._as(kept, form), how

    async def _as(self, kept: Kept, form: str) -> Kept:
        """Return a tile that has an encoding."""
        if kept.form(form) is None:
            await self._encode(kept, form)
        return kept

    async def _view(self, given: Look, who: Principal) -> Seeing:
        """Resolve a view once for all who ask for it at the same time."""
        key = given, sight(who)
        task = self._resolving.get(key)
        if task is None:
            task = self._resolving[key] = self._start(self._find_view(given, who))
            task.add_done_callback(partial(self._resolved, key))
        return await asyncio.shield(task)

    def _resolved(self, key: tuple[Look, Sight], task: "asyncio.Task[Seeing]") -> None:
        self._resolving.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _find_view(self, given: Look, who: Principal) -> Seeing:
        async with self.cutters.turn():
            mark = self._view_mark
            seen = await asyncio.to_thread(self._resolve, given, who)
        if mark == self._view_mark and given.plan is None:  # a draft moves on without our hearing of it
            while len(self._views) >= _VIEWS:
                self._views.popitem(last=False)
            self._views[given, sight(who)] = seen
        return seen

    def _resolve(self, given: Look, who: Principal) -> Seeing:
        """Return what somebody sees; it means the same until the city's midnight."""
        with transaction(self._engines, who) as conn:
            seen = view(conn, given, who)
            today = grids.resolve(conn, grids.Wish()).on
            zone = ZoneInfo(city.the_city(conn).timezone)
        midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), zone)
        return Seeing(seen, sight(who), midnight.timestamp() - _EARLY_S)

    async def _fly(self, order: Order) -> tuple[Kept, str]:
        """Wait for the query of a tile together with whoever waits for the same one."""
        flight, how = self._flights.get(order.asked.key), "joined"
        if flight is None or flight.task.done() or self.cache.touched(order.asked, flight.mark):
            flight, how = self._depart(order), "rendered"
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task), how
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()

    def _depart(self, order: Order) -> Flight:
        flight = Flight(self._start(self._render(order)), self.cache.mark())
        self._flights[order.asked.key] = flight
        flight.task.add_done_callback(partial(self._land, order.asked.key))
        return flight

    def _land(self, key: object, task: "asyncio.Task[Kept]") -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # told to those who wait; nobody may be left

    async def _render(self, order: Order) -> Kept:
        async with self.cutters.turn():
            since = self.cache.mark()
            body = await self.cutters.cut(order)
        made = await as_kept(order, body)  # the next may be cut meanwhile
        if self.cache.keep(made, since):
            self._measure()
        return made

    async def _encode(self, kept: Kept, form: str) -> None:
        """Add an encoding to a tile."""
        have, body = next(iter(kept.forms.items()))
        self.cache.add(kept, form, await packed(encoding.decode(body, have), form))
