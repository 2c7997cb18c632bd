"""The live stream: what has changed, told to each only as far as they may see it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Annotated, Any

import sqlalchemy as sa
import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.engine import Connection
from starlette.concurrency import run_in_threadpool

from api import access
from api.access import Engines, Who, audience
from api.cutting import looking_at
from api.deps import Look, transaction, view
from api.proxy import asker
from api.tiling import Sight, question, sight
from gis.access import ANYBODY, Principal, rank
from gis.changes import Box, Change, Tables
from gis.errors import Busy, Problem, Unknown
from gis.grids import Wish, shape
from gis.schema import incidents, responders, revisions
from gis.schema_plans import plans
from gis.schema_situation import alarms
from layers import surveillance
from layers.catalogue import CATALOG, LAYERS
from layers.view import View, in_scope

router = APIRouter()
STREAMS = 500
"""Streams of one process."""
STREAMS_OF_ONE = 20
"""Of them, those of one key; of who has none, those of one address."""
STREAMS_FOR_ANYBODY = 300
"""Of them, those that callers without a key may have: the others are kept for those who work with the map."""
BUFFER = 200
"""Events that may wait for a client; one that is slower is told to start anew."""
TOGETHER_S = 0.1
"""Changes within it are told together: each group of equals then costs one transaction."""
MOST = 500
"""Rows or boxes of a table that are looked at one by one; more are told as a change of the layer."""
RETRY_MS = 2_000

log = structlog.get_logger()
Event = tuple[str, dict[str, Any]]
_HAIR = 5e-7
"""Degrees, 5 cm: half of what boxes are rounded to."""
_DAY = date.min
PLAIN = Look(Wish(), None, None, None, None, None, None)


@dataclass
class Touched:
    """What changed of one table; None: more than is looked at one by one."""

    ids: set[int] | None = field(default_factory=set)
    boxes: set[Box] | None = field(default_factory=set)

    def add(self, change: Change) -> None:
        """Add another change."""
        self.ids = _added(self.ids, change.ids)
        self.boxes = _added(self.boxes, change.boxes)


def _added(known: "set[Any] | None", more: "tuple[Any, ...] | None") -> "set[Any] | None":
    """Return both together; None where either is unbounded or they are too many."""
    if known is None or more is None or len(known) + len(more) > MOST:
        return None
    return known | set(more)


class Stream:
    """What waits for one client."""

    def __init__(self, who: Principal, address: str) -> None:
        self.who = who
        self.holder = address if who == ANYBODY else f"{who.key_id} {who.name}"
        self.waiting: asyncio.Queue[Event] = asyncio.Queue(BUFFER)
        self.is_over = asyncio.Event()

    def put(self, event: Event) -> None:
        """Let an event wait; one too many ends the stream."""
        try:
            self.waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.is_over.set()

    async def next(self) -> Event | None:
        """Return the next event; None when the client must start anew."""
        got, over = asyncio.create_task(self.waiting.get()), asyncio.create_task(self.is_over.wait())
        try:
            await asyncio.wait({got, over}, return_when=asyncio.FIRST_COMPLETED)
            return None if self.is_over.is_set() else got.result()
        finally:
            got.cancel()
            over.cancel()


class Hub:
    """One per process: gathers changes and hands them to the streams, equals by equals."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._streams: set[Stream] = set()
        self._touched: dict[str, Touched] = {}
        self._telling: asyncio.Task[None] | None = None
        self.open: frozenset[str] = frozenset()
        self.is_hearing = False

    def begin(self, tables: Tables) -> None:
        """Open for streams: from now on changes are heard."""
        self.open, self.is_hearing = tables.open, True

    def end(self) -> None:
        """Tell everybody to start anew: changes may go unheard."""
        self.is_hearing = False
        for stream in self._streams:
            stream.is_over.set()

    def hear(self, change: Change) -> None:
        """Take in a change."""
        if not self._streams:
            return
        self._touched.setdefault(change.table, Touched()).add(change)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while self._touched:
            await asyncio.sleep(TOGETHER_S)
            touched, self._touched = self._touched, {}
            groups: dict[Sight, list[Stream]] = defaultdict(list)
            for stream in self._streams:
                groups[sight(stream.who)].append(stream)
            for streams in groups.values():
                await self._tell_equals(streams, touched)

    async def _tell_equals(self, streams: list[Stream], touched: dict[str, Touched]) -> None:
        """Ask once, as any of them, and tell all; who cannot be told is sent to start anew."""
        try:
            events = await run_in_threadpool(self._ask, streams[0].who, touched)
        except (sa.exc.SQLAlchemyError, Problem) as error:
            log.warning("events", error=str(error))
            for stream in streams:
                stream.is_over.set()
            return
        for stream in streams:
            for event in events:
                stream.put(event)

    def _ask(self, who: Principal, touched: dict[str, Touched]) -> list[Event]:
        with transaction(self._engines, who) as conn:
            seen = view(conn, PLAIN, who)
            return [event for ask in TOLD for event in ask(conn, who, seen, touched, self.open)]

    @asynccontextmanager
    async def join(self, who: Principal, address: str) -> AsyncIterator[Stream]:
        """Open a stream while the block runs. Raises Busy when there are too many, or nothing is heard."""
        stream = Stream(who, address)
        of_one = sum(other.holder == stream.holder for other in self._streams)
        of_anybody = sum(other.who == ANYBODY for other in self._streams) if who == ANYBODY else 0
        is_full = len(self._streams) >= STREAMS or of_anybody >= STREAMS_FOR_ANYBODY
        if not self.is_hearing or is_full or of_one >= STREAMS_OF_ONE:
            raise Busy("no more live streams can be opened now; try again in a moment")
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)


Touches = dict[str, Touched]
Telling = Callable[[Connection, Principal, View, Touches, frozenset[str]], Iterator[Event]]


def _incidents(
    conn: Connection, who: Principal, seen: View, touched: Touches, _: frozenset[str]
) -> Iterator[Event]:
    i = incidents.c
    columns = (i.id, i.code, i.category, i.colour, i.state)
    yield from _rows(conn, who, seen, touched, "incident", columns, i.geom)


def _responders(
    conn: Connection, who: Principal, seen: View, touched: Touches, _: frozenset[str]
) -> Iterator[Event]:
    r = responders.c
    lon, lat = (f(r.geom).label(name) for f, name in ((sa.func.ST_X, "lon"), (sa.func.ST_Y, "lat")))
    columns = (r.id, r.name, r.kind, r.status, lon, lat)
    yield from _rows(conn, who, seen, touched, "responder", columns, r.geom)


def _rows(
    conn: Connection, who: Principal, seen: View, touched: Touches, event: str,
    columns: tuple[sa.ColumnElement[Any], ...], place: sa.ColumnElement[Any],
) -> Iterator[Event]:  # fmt: skip
    """Yield the rows touched that whoever asks sees now: by their scope, and by the table's policy."""
    layer = LAYERS[f"{event}s"]
    changed = touched.get(layer.name)
    if changed is None or not changed.ids or who.rank < rank(layer.audience):
        return
    wanted = columns[0].in_(changed.ids)
    for row in conn.execute(sa.select(*columns).where(wanted, *in_scope(seen, place))).mappings():
        yield event, dict(row)


def _revisions(
    conn: Connection, _: Principal, __: View, touched: Touches, ___: frozenset[str]
) -> Iterator[Event]:
    if "revisions" in touched:
        newest = conn.execute(sa.select(sa.func.max(revisions.c.id))).scalar()
        yield "revision", {"revision": newest}


_UNSAID = frozenset({"cells"})
"""Tables that everybody reads and that change with what not everybody may see: a new hexagon is one in which
something was reported for the first time, and whoever may see that hears of it by itself."""


@lru_cache
def _readers(table: str) -> tuple[str, ...]:
    """Return the layers that read a table at some zoom."""
    plain = View(scheme="", on=_DAY, known=0)
    return tuple(
        layer.name
        for layer in CATALOG
        if any(
            table in question(layer, looking_at(plain, z))[1] for z in range(layer.minzoom, layer.maxzoom + 1)
        )
    )


def _layers(
    conn: Connection, who: Principal, seen: View, touched: Touches, everybodys: frozenset[str]
) -> Iterator[Event]:
    """Yield the layers that look different now, where whoever asks may see.

    A table that is not everybody's says nothing to the public, to a scope only what lies in it or left it.
    """
    changed: set[str] = set()
    for table, what in touched.items():
        if table in _UNSAID:
            continue
        if table in everybodys or (who.rank > 0 and _concerns(conn, seen, what)):
            changed |= set(_readers(table))
    for name in sorted(changed):
        if rank(LAYERS[name].audience) <= who.rank:
            yield "layer", {"layer": name}


def _concerns(conn: Connection, seen: View, what: Touched) -> bool:
    if seen.scope is None or what.boxes is None:
        return True
    if not what.boxes:
        return False
    # A point's box gets a width, or it would be no valid polygon.
    wide = [
        sa.func.ST_MakeEnvelope(w - _HAIR, s - _HAIR, e + _HAIR, n + _HAIR, 4326) for w, s, e, n in what.boxes
    ]
    box = sa.func.unnest(array(wide)).column_valued("box")
    touching = sa.func.bool_or(sa.func.ST_Intersects(shape(*seen.scope), box))
    return bool(conn.execute(sa.select(touching)).scalar())


def _plans(
    conn: Connection, who: Principal, _: View, touched: Touches, __: frozenset[str]
) -> Iterator[Event]:
    """Yield that plans changed, to who sees one of them."""
    if who.rank >= rank("commander") and _sees_one(conn, plans, touched):
        yield "plan", {}


def _alarms(
    conn: Connection, who: Principal, __: View, touched: Touches, ___: frozenset[str]
) -> Iterator[Event]:
    """Yield how many alarms wait to be acknowledged, of those that whoever asks may see."""
    if who.rank >= rank("commander") and _sees_one(conn, alarms, touched):
        yield "alarm", {"unanswered": surveillance.kept(conn, 1, 0, unanswered=True)[1]}


def _sees_one(conn: Connection, table: sa.Table, touched: Touches) -> bool:
    """Say whether whoever asks sees a row touched, by the table's policy; of too many to name all hear."""
    what = touched.get(table.name)
    if what is None or what.ids is None:
        return what is not None
    seen = sa.select(table.c.id).where(table.c.id.in_(what.ids))
    return bool(conn.execute(sa.select(seen.exists())).scalar_one())


TOLD: tuple[Telling, ...] = (_incidents, _responders, _plans, _alarms, _layers, _revisions)
"""What is told of changes, in this order: who hears of a revision has heard of all that came before it."""


async def _stream(request: Request, who: Who) -> AsyncIterator[Stream]:
    hub: Hub = request.app.state.hub
    async with hub.join(who, asker(request.client.host) if request.client else "") as stream:
        yield stream


@router.get(
    "/events",
    response_class=EventSourceResponse,
    openapi_extra=audience("public", "rows inside it, layers that changed inside it", detail=True)
    | {"x-stream": True},
)
async def events(
    request: Request, who: Who, stream: Annotated[Stream, Depends(_stream)]
) -> AsyncIterator[ServerSentEvent]:
    """Answer what changes, as it is committed.

    Events are `incident`, `responder`, `revision`, `plan`, `alarm` and `layer`.

    `reset` says that events were missed (a client too slow, a database out of reach): load anew, then come
    again. A `layer` event says that the layer's tiles changed somewhere; it stands alone where more than
    500 rows changed at once. Without a key: `revision`, and `layer` for what is everybody's.
    """
    yield ServerSentEvent(comment="live", retry=RETRY_MS)
    while (event := await stream.next()) is not None:
        if not await _still(request, who):
            return
        yield ServerSentEvent(event=event[0], data=event[1])
    yield ServerSentEvent(event="reset", data={})


async def _still(request: Request, who: Principal) -> bool:
    """Say whether whoever opened the stream may go on: a revoked key ends it before the next event."""
    if who == ANYBODY:
        return True
    try:
        return await access.who(request, request.app.state.engines) == who
    except Unknown:
        return False
