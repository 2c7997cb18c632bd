"""Tiles cut from the store, a bounded number at a time, each on a connection that the event loop awaits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

import psycopg
from prometheus_client import Counter
from psycopg import sql
from psycopg.pq import TransactionStatus

from api.access import Engines
from gis import access, db
from gis.access import Principal
from gis.errors import Busy, TileSlow
from gis.settings import settings
from layers.catalogue import Layer
from layers.view import View
from tiles import encoding, mvt
from tiles.cache import Asked, Kept
from tiles.tile import Tile

TILES = Counter("safetymap_tiles_total", "Tiles asked for, by how they were answered.", ["how"])
BUSY = "too many tiles are being cut; try again in a moment"
_SLOW = "tile {0.z}/{0.x}/{0.y} of {1} took longer than {2:g} s; ask for a nearer zoom or fewer features"
_LARGE = {"br": 20_000, "gzip": 150_000, "zstd": 150_000}
"""Bytes from which packing would keep the event loop busy for more than a millisecond; a thread costs 0.1."""

Cursor = psycopg.AsyncCursor[Any]


@dataclass(frozen=True)
class Order:
    """A tile to be cut: what of it is asked, for whom, and how it is to be packed."""

    asked: Asked
    statement: mvt.Cut
    who: Principal
    form: str


def looking_at(seen: View, zoom: int) -> View:
    """Return the view of one tile of a zoom."""
    return replace(seen, zoom=zoom, of_tile=True)


@lru_cache(maxsize=2000)
def statement(layer: Layer, seen: View) -> mvt.Cut:
    """Return what cuts the tiles of a layer in a view of one tile."""
    return mvt.cut(layer.select(seen), layer.name, seen.zoom)


@lru_cache(maxsize=2000)
def _entrance(who: Principal, role: str | None, *, is_planned_anew: bool) -> sql.Composed | None:
    """Return what opens a transaction: the role, who asks, how to plan; none where none of it is needed."""
    told = ({"role": role} if role else {}) | access.telling(who)
    told |= {"plan_cache_mode": "force_custom_plan"} if is_planned_anew else {}
    calls = [sql.SQL("set_config({}, {}, true)").format(name, value) for name, value in told.items()]
    return sql.SQL("BEGIN; SELECT {}").format(sql.SQL(", ").join(calls)) if calls else None


class Cutters:
    """As many connections as tiles may be cut at once."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._role: str | None = None
        self._idle: list[Cursor] = []
        """One of each connection: making another one for every tile costs a tenth of its time."""
        self._gate = asyncio.Semaphore(settings().tile_queries)

    async def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            await self._idle.pop().connection.close()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place at the database. Raises Busy after a while."""
        try:
            async with asyncio.timeout(settings().tile_wait_s):  # `wait_for` makes a task of it, a way longer
                await self._gate.acquire()
        except TimeoutError as error:
            raise Busy(BUSY) from error
        try:
            yield
        finally:
            self._gate.release()

    async def cut(self, order: Order) -> bytes:
        """Return the tile, fresh from the store; whoever has a turn may. Cancelled, it ends the statement.

        Raises TileSlow when the statement ran out of time.
        """
        square = order.asked.tile
        cursor = self._idle.pop() if self._idle else await self._connect()
        try:
            return await _cut(cursor, order, square, self._role)
        except psycopg.errors.QueryCanceled as error:
            seconds = settings().tile_timeout_ms / 1000
            raise TileSlow(_SLOW.format(square, order.asked.group[0], seconds)) from error
        finally:
            await self._give_back(cursor)

    async def _give_back(self, cursor: Cursor) -> None:
        conn = cursor.connection
        if conn.closed:
            await self.close()  # the others are of the same server, and lost as well
        elif conn.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(cursor)
        else:
            await conn.close()

    async def _connect(self) -> Cursor:
        engine = await asyncio.to_thread(self._engines)
        self._role = db.role_of(engine)
        conn = await db.awaited(engine, timeout_ms=settings().tile_timeout_ms)
        return conn.cursor(binary=True)


async def _cut(cursor: Cursor, order: Order, square: Tile, role: str | None) -> bytes:
    """Run the statement; a setting of the transaction tells the database who asks, so it is gone after it."""
    entrance = _entrance(order.who, role, is_planned_anew=bool(order.statement.fixed))
    if entrance is None:
        return await order.statement.fetch(cursor, square)
    conn = cursor.connection
    try:
        await conn.execute(entrance)
        return await order.statement.fetch(cursor, square)
    finally:
        if not conn.closed:
            await conn.execute("ROLLBACK")


async def as_kept(order: Order, body: bytes) -> Kept:
    """Return a tile as it is kept: with its tag, packed as it was asked for."""
    form = order.form if len(body) >= encoding.SMALL else encoding.IDENTITY
    return Kept(order.asked, sha256(body).hexdigest()[:20], {form: await packed(body, form)})


async def packed(body: bytes, form: str) -> bytes:
    """Return a body in an encoding; large ones are packed beside the event loop."""
    pack = encoding.ENCODERS[form]
    if len(body) < _LARGE.get(form, len(body) + 1):
        return pack(body)
    return await asyncio.to_thread(pack, body)
