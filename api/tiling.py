"""Tiles as they are asked for: kept ones at once, equal ones as one query, a bounded number at a time."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, LiteralString
from zoneinfo import ZoneInfo

import psycopg
import sqlalchemy as sa
from prometheus_client import Counter, Gauge
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection
from sqlalchemy.sql import visitors

from api.access import Engines
from api.deps import Look, transaction, view
from gis import access, city, grids
from gis.access import Principal
from gis.changes import Change, Tables
from gis.errors import Busy, TileSlow
from gis.settings import settings
from layers.catalogue import Layer
from layers.view import View
from tiles import encoding, mvt
from tiles.cache import Asked, Cache, Kept
from tiles.tile import Tile

VIEW_TABLES = frozenset({"categories", "city", "grids", "levels", "revisions", "schemes"})
"""Tables that decide what a view means."""
_IN_STEP = frozenset({"square_counts", "grid_shapes"})
"""Tables that change only together with one whose changes are heard: counts with the rows that they count,
shapes with the record of those shaped."""
_VIEWS = 10_000
_LONGEST_QUERY = 500
_EARLY_S = 5
"""The database's clock may be so much ahead of ours: its new day begins for us that much early."""
_INSIST_S = 0.05
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
TILES = Counter("safetymap_tiles_total", "Tiles asked for, by how they were answered.", ["how"])
KEPT = Gauge("safetymap_tiles_kept", "Tiles in the cache.")
KEPT_BYTES = Gauge("safetymap_tiles_kept_bytes", "Bytes that they take.")

Sight = tuple[int, str | None, str | None]


def sight(who: Principal) -> Sight:
    """Return what decides which rows the database shows somebody: rank, scheme and scope."""
    return who.rank, who.scheme, who.scope


def looking_at(seen: View, zoom: int) -> View:
    """Return the view of one tile of a zoom."""
    return replace(seen, zoom=zoom, of_tile=True)


@lru_cache(maxsize=2000)
def _cut(layer: Layer, seen: View) -> mvt.Cut:
    return mvt.cut(layer.select(seen), layer.name, seen.zoom)


@lru_cache(maxsize=20_000)
def question(layer: Layer, seen: View) -> tuple[bytes, frozenset[str]]:
    """Return a digest of what a layer asks the store under a view, and the tables that it reads.

    Views that ask the same share their tiles: a layer without history is not asked anew by a new revision.
    """
    rows = layer.select(seen)
    compiled = rows.compile(dialect=_DIALECT)
    asked = repr((str(compiled), sorted(compiled.params.items())))
    named = {part.name for part in visitors.iterate(rows) if isinstance(part, sa.Table)}
    return sha256(asked.encode()).digest()[:16], frozenset(named | set(layer.reads)) - _IN_STEP


@dataclass(frozen=True)
class Order:
    """A tile to be cut: what of it is asked, for whom, and how it is to be packed."""

    asked: Asked
    layer: Layer
    seen: View
    who: Principal
    form: str

    def cut(self, engines: Engines, query: "Query") -> Kept:
        """Return the tile, fresh from the store. Raises TileSlow when the statement ran out of time."""
        square = self.asked.tile
        told = access.telling(self.who) | {"statement_timeout": str(settings().tile_timeout_ms)}
        try:
            with engines().connect() as conn, query.on(conn) as driver:
                driver.execute(_told(len(told)), [word for pair in told.items() for word in pair])
                body = _cut(self.layer, looking_at(self.seen, square.z)).run(driver, square)
        except psycopg.errors.QueryCanceled as error:
            seconds = settings().tile_timeout_ms / 1000
            raise TileSlow(_SLOW.format(square, self.layer.name, seconds)) from error
        form = self.form if len(body) >= encoding.SMALL else encoding.IDENTITY
        return Kept(self.asked, sha256(body).hexdigest()[:20], {form: encoding.ENCODERS[form](body)})


@lru_cache
def _told(settings: int) -> LiteralString:
    return "SELECT " + ", ".join(["set_config(%s, %s, true)"] * settings)


BUSY = "too many tiles are being cut; try again in a moment"
_SLOW = "tile {0.z}/{0.x}/{0.y} of {1} took longer than {2:g} s; ask for a nearer zoom or fewer features"


class Query:
    """One tile query in its thread, which can be given up from another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._over = False

    @contextmanager
    def on(self, conn: Connection) -> Iterator["psycopg.Connection[Any]"]:
        """Yield its driver's connection, until that goes back to the pool, where nothing may cancel it.

        The driver itself runs the statement: through the engine that took as long again. The pool ends the
        transaction. Raises Busy when nobody waits any more.
        """
        driver = conn.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with self._lock:
            if self._over:
                raise Busy("nobody waits for this tile any more")
            self._connection = driver
        try:
            yield driver
        except psycopg.OperationalError:
            if driver.closed:
                conn.invalidate()
            raise
        finally:
            with self._lock:
                self._connection = None

    def give_up(self) -> None:
        """Cancel what runs, or what is about to."""
        with self._lock:
            self._over = True
            if self._connection:
                with suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=1)


@dataclass(frozen=True)
class Seeing:
    """A view as somebody has it."""

    view: View
    sight: Sight
    until: float
    """POSIX time."""
    asks: dict[tuple[str, int], tuple[bytes, frozenset[str], Sight | None]] = field(default_factory=dict)
    """By layer and zoom: the question's digest, the tables it reads, and whose answer it is (None: all's)."""


@dataclass
class Flight:
    """A query on its way, and how many wait for it."""

    task: "asyncio.Task[Kept]"
    mark: int
    waiting: int = 0


class Desk:
    """One per process: the cache, the views it was asked under, the queries on their way."""

    def __init__(self, engines: Engines, is_in_touch: Callable[[], bool]) -> None:
        chosen = settings()
        self._engines, self._is_in_touch = engines, is_in_touch
        self.cache = Cache(chosen.tile_cache_mb << 20)
        self.open: frozenset[str] = frozenset()
        self.looks: dict[bytes, Look] = {}
        """What the routes understood by query strings."""
        self._views: dict[tuple[Look, Sight], Seeing] = {}
        self._view_mark = 0
        self._resolving: dict[tuple[Look, Sight], asyncio.Task[Seeing]] = {}
        self._flights: dict[object, Flight] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._gate = asyncio.Semaphore(chosen.tile_queries)
        self._queued = 0

    def start(self) -> None:
        """Make ready to cut."""
        self._threads = ThreadPoolExecutor(settings().tile_queries, "tiles")

    def stop(self) -> None:
        """Wait for queries on their way."""
        if self._threads:
            self._threads.shutdown()

    def begin(self, tables: Tables) -> None:
        """Begin clean: from now on changes are heard."""
        self.open = tables.open
        self._forget_views()
        self.cache.start(tables.watched)

    def end(self) -> None:
        """Keep nothing: changes may go unheard."""
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
            if len(self.looks) >= _VIEWS:
                self.looks.clear()
            self.looks[query] = look

    def find(self, layer: Layer, square: Tile, given: Look, who: Principal) -> Kept | None:
        """Return a tile that is kept, without asking the database; None when it must be asked."""
        seen = self._known_view(given, who)
        return None if seen is None else self.cache.get(self._asked(layer, square, seen).key)

    def _known_view(self, given: Look, who: Principal) -> Seeing | None:
        found = self._views.get((given, sight(who)))
        if found is None or time.time() >= found.until or not self._is_in_touch():
            return None
        return found

    def _asked(self, layer: Layer, square: Tile, seen: Seeing) -> Asked:
        group = layer.name, square.z
        asks = seen.asks.get(group)
        if asks is None:
            digest, reads = question(layer, looking_at(seen.view, square.z))
            asks = seen.asks[group] = digest, reads, None if reads <= self.open else seen.sight
        digest, reads, whose = asks
        key = (group, square.x, square.y, digest, whose)
        return Asked(key, square, group, reads)

    async def answer(
        self, layer: Layer, square: Tile, given: Look, who: Principal, form: str
    ) -> tuple[Kept, str]:
        """Return a tile in an encoding, and how it was come by: hit, joined or rendered.

        Raises Busy when too many wait already, TileSlow when the query took too long, and what `view` raises.
        """
        seen = self._known_view(given, who) or await self._view(given, who)
        asked = self._asked(layer, square, seen)
        kept = self.cache.get(asked.key) if self._is_in_touch() else None
        how = "hit"
        if kept is None:
            kept, how = await self._fly(Order(asked, layer, seen.view, who, form))
        if kept.form(form) is None:
            await self._encode(kept, form)
        return kept, how

    async def _view(self, given: Look, who: Principal) -> Seeing:
        """Resolve a view once for all who ask for it at the same time."""
        key = given, sight(who)
        task = self._resolving.get(key)
        if task is None:
            task = self._resolving[key] = asyncio.create_task(self._find_view(given, who))
            task.add_done_callback(partial(self._resolved, key))
        return await asyncio.shield(task)

    def _resolved(self, key: tuple[Look, Sight], task: "asyncio.Task[Seeing]") -> None:
        self._resolving.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _find_view(self, given: Look, who: Principal) -> Seeing:
        async with self._turn():
            mark = self._view_mark
            loop = asyncio.get_running_loop()
            seen = await loop.run_in_executor(self._threads, self._resolve, given, who)
        if mark == self._view_mark and given.plan is None:  # a draft moves on without our hearing of it
            if len(self._views) >= _VIEWS:
                self._views.clear()
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
        flight = Flight(asyncio.create_task(self._render(order)), self.cache.mark())
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
        async with self._turn():
            since = self.cache.mark()
            kept = await self._run(order)
            if self.cache.keep(kept, since):
                self._measure()
            return kept

    def is_full(self) -> bool:
        """Say whether one tile more would be refused."""
        return self._queued >= settings().tile_queue and self._gate.locked()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a place at the database. Raises Busy at once when too many wait, or after a while."""
        if self.is_full():
            TILES.labels("refused").inc()
            raise Busy(BUSY)
        await self._wait()
        try:
            yield
        finally:
            self._gate.release()

    async def _wait(self) -> None:
        if not self._gate.locked():
            await self._gate.acquire()  # at once
            return
        self._queued += 1
        try:
            await asyncio.wait_for(self._gate.acquire(), settings().tile_wait_s)
        except TimeoutError as error:
            raise Busy(BUSY) from error
        finally:
            self._queued -= 1

    async def _run(self, order: Order) -> Kept:
        """Run a query in a thread; given up, it is cancelled, and its place is free when it has ended."""
        loop, query = asyncio.get_running_loop(), Query()
        running = loop.run_in_executor(self._threads, order.cut, self._engines, query)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                await loop.run_in_executor(None, query.give_up)
                await asyncio.wait([running], timeout=_INSIST_S)
            running.exception()
            raise

    async def _encode(self, kept: Kept, form: str) -> None:
        """Add an encoding to a tile."""
        have, body = next(iter(kept.forms.items()))
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(None, lambda: encoding.ENCODERS[form](encoding.decode(body, have)))
        self.cache.add(kept, form, made)
