"""A tile's way out: headers, entity tags and 304; and the short way of tiles past the routes."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import access
from api.cutting import BUSY, TILES
from api.deps import Look
from api.errors import problem, told
from api.limits import SAFE_HEADERS
from api.tiling import STALE, Desk
from gis.access import ANYBODY, Principal
from gis.errors import Problem
from layers.catalogue import Layer
from tiles import encoding
from tiles.cache import Kept
from tiles.tile import Tile

_STATUS = {"hit": "tiles; hit", STALE: "tiles; hit; detail=stale"}
_STALE = {"Cache-Control": "no-store", "Warning": '110 safety-map "Response is Stale"'}
"""RFC 9111 has no `Warning` any more; it is what clients know all the same."""
MVT = "application/vnd.mapbox-vector-tile"
_PATH = re.compile(r"/tiles/([a-z]+)/(\d{1,2})/(\d{1,8})/(\d{1,8})\.mvt")
CLIENT_LEFT = 499
"""Status in log and measurements where the client hung up (as nginx counts it); nobody reads the answer."""

_REFUSED_AFTER_S = 0.4
"""A refusal waits so long, which costs nothing; whoever asks again at once would slow those served."""
_SOON_S = 0.2
"""Work that is done so soon is not worth watching whether the client hangs up."""

Find = Callable[[Principal, str, int, int, int], tuple[Layer, Tile]]
T = TypeVar("T")


async def busy() -> Response:
    """Return the refusal of a tile while too many are being cut, after a while."""
    TILES.labels("refused").inc()
    await asyncio.sleep(_REFUSED_AFTER_S)
    return _BUSY


_BUSY = problem(503, BUSY)
_REFUSED = {"type": "http.response.start", "status": 503, "headers": [*_BUSY.raw_headers, *SAFE_HEADERS]}


def wanted(request: Request) -> str:
    """Return the encoding that the client is to be answered in."""
    return encoding.choose(request.headers.get("accept-encoding", ""))


def answer(request: Request, kept: Kept, layer: Layer, who: Principal, how: str) -> Response:
    """Return a tile as the client takes it: 200, 204 when it is empty, 304 when the client has it already."""
    TILES.labels(how).inc()
    form = kept.form(wanted(request)) or encoding.IDENTITY
    headers = {
        "Cache-Control": _cache_control(layer, who, kept.asked.tile.z),
        "Vary": "Accept-Encoding",
        "Cache-Status": _STATUS.get(how) or f"tiles; fwd=miss; detail={how}",
    }
    if how == STALE:
        headers |= _STALE
    body = kept.forms[form]
    if not body:
        return Response(status_code=204, headers=headers)
    headers["ETag"] = tag = f'"{kept.tag}-{form}"'
    if _knows(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    if form != encoding.IDENTITY:
        headers["Content-Encoding"] = form
    return Response(body, headers=headers, media_type=MVT)


def _cache_control(layer: Layer, who: Principal, zoom: int) -> str:
    """Every use is checked with us, so that nobody shows what a commit has changed.

    What never changes, and tells nothing, is kept for a year.
    What is not public is kept on no disk (ASVS 5, 14.3.2); the page's memory holds it while it is shown.
    """
    if layer.constant_from is not None and zoom >= layer.constant_from:
        return "public, max-age=31536000, immutable"
    if layer.audience != "public":
        return "private, no-store"
    return "public, no-cache" if who == ANYBODY else "private, no-cache"


def _knows(sent: str | None, tag: str) -> bool:
    """Say whether If-None-Match names the tag (RFC 9110, 13.1.2: weakly compared)."""
    if sent is None:
        return False
    known = {part.strip().removeprefix("W/") for part in sent.split(",")}
    return tag in known or "*" in known


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Return the work's result; None when the client hangs up first, and the work is cancelled.

    It is done in the task of whoever asks, as `asyncio.timeout` does: a task of its own would cost a
    twentieth of a tile.
    """
    watch = _Watch(request)
    try:
        return await work
    except asyncio.CancelledError:
        if not watch.ended_the_work():
            raise
        return None
    finally:
        watch.end()


class _Watch:
    """Whether a client hangs up, after a moment; the task that made this is then cancelled."""

    def __init__(self, request: Request) -> None:
        loop = asyncio.get_running_loop()
        self._request, self._task = request, asyncio.current_task(loop)
        self._begun: asyncio.Handle = loop.call_later(_SOON_S, self._begin)
        self._watching: asyncio.Task[None] | None = None
        self._is_gone = False

    def end(self) -> None:
        """Watch no more."""
        self._begun.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def ended_the_work(self) -> bool:
        """Say whether the task was cancelled because the client is gone, and for nothing else."""
        return self._is_gone and self._task is not None and self._task.uncancel() == 0

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if self._task is not None:
            self._task.cancel()


@dataclass(frozen=True)
class Wanted:
    """A tile that somebody who may see it asks for, and how it is looked at."""

    request: Request
    who: Principal
    look: Look
    layer: Layer
    square: Tile


class Shed:
    """ASGI middleware, the outermost: refuses a tile while too many wait, and does nothing else for it.

    Only tiles of which nothing is kept; in neither log nor audit, since nothing is given: a counter tells.
    """

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self.app, self._desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a tile, or pass the request on."""
        if self._desk.is_full() and scope["type"] == "http" and self._is_unkept(scope["path"]):
            await busy()
            await send(dict(_REFUSED))
            await send({"type": "http.response.body", "body": _BUSY.body})
            return
        await self.app(scope, receive, send)

    def _is_unkept(self, path: str) -> bool:
        found = _PATH.fullmatch(path)
        if found is None:
            return False
        name, z, x, y = found.groups()
        return not self._desk.cache.holds((name, int(z)), (int(x), int(y)))


class Door:
    """ASGI middleware: answers for tiles itself, and hands everything else on to the routes.

    It asks the same functions who asks (`access.recall`), what they may (`find`, `access.admit`) and what the
    answer is (`answer`); where one of them has something to say, or does not know yet, the route says it.
    """

    def __init__(
        self, app: ASGIApp, desk: Desk, find: Find, route: object, is_away: Callable[[], bool]
    ) -> None:
        self.app, self._desk, self._find, self._route, self._is_away = app, desk, find, route, is_away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a tile, or pass it on."""
        app: ASGIApp = self.app
        if scope["type"] == "http" and scope["method"] == "GET" and (place := _PATH.fullmatch(scope["path"])):
            app = await self._answer(scope, receive, *place.groups()) or self.app
        await app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, name: str, *place: str) -> Response | None:
        request = Request(dict(scope) | {"path_params": {"layer": name}, "route": self._route}, receive)
        if self._is_away() and (stale := await self._stale(request, name, place)):
            scope["route"] = self._route
            return stale
        try:
            asked = self._let_in(request, name, place)
        except Problem:
            return None
        if asked is None and not self._desk.is_full():
            return None
        scope["route"] = self._route
        return await self._tile(asked) if asked else await busy()

    def _let_in(self, request: Request, name: str, place: Sequence[str]) -> Wanted | None:
        """Return what is asked for by whom; raise a Problem where the route has something to say."""
        look = self._desk.looks.get(request.scope["query_string"])
        who = access.recall(request) if look else None
        if look is None or who is None:
            return None
        asked = Wanted(request, who, look, *self._find(who, name, *map(int, place)))
        access.admit(request, who)
        return asked

    async def _stale(self, request: Request, name: str, place: Sequence[str]) -> Response | None:
        """Return a kept tile of a public layer while the database is away: nobody need be known for it."""
        look = self._desk.looks.get(request.scope["query_string"])
        if look is None:
            return None
        try:
            layer, square = self._find(ANYBODY, name, *map(int, place))
        except Problem:
            return None
        kept = await self._desk.stale(layer, square, look, wanted(request))
        return answer(request, kept, layer, ANYBODY, STALE) if kept else None

    async def _tile(self, it: Wanted) -> Response:
        """Return a tile that is kept at once; another is cut. A failure is told as the routes tell it."""
        try:
            return await self._found(it)
        except Exception as error:  # noqa: BLE001 - told
            return told(it.request, error)

    async def _found(self, it: Wanted) -> Response:
        kept = self._desk.find(it.layer, it.square, it.look, it.who)
        if kept is not None and kept.form(wanted(it.request)):
            return answer(it.request, kept, it.layer, it.who, "hit")
        if self._desk.is_full():
            return await busy()
        work = self._desk.answer(it.layer, it.square, it.look, it.who, wanted(it.request))
        done = await unless_gone(it.request, work)
        return gone() if done is None else answer(it.request, done[0], it.layer, it.who, done[1])


def gone() -> Response:
    """Return what nobody reads."""
    return Response(status_code=CLIENT_LEFT)
