"""Who asks: bearer keys and OIDC tokens, the page's session cookie; and what each route demands of them."""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from sqlalchemy.engine import Connection, Engine
from starlette.concurrency import run_in_threadpool

from api import oidc
from api.proxy import FORWARDING
from gis import access
from gis.access import ANYBODY, Principal
from gis.errors import Forbidden, Unknown
from gis.schema_access import ROLES
from gis.settings import settings
from layers.catalogue import LAYERS

COOKIE = "safetymap"
FRESH_S = 0.5
"""How long a worker believes what it read of a key: a revoked one is refused everywhere within a second."""
_REMEMBERED = 10_000
_LONGEST = 1000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

Engines = Callable[[], Engine]


def audience(role: str, scope: str, *, detail: bool = False, anonymous: bool = False) -> dict[str, Any]:
    """Declare a route's least role and what a scope does to it, as `openapi_extra`; `guard` enforces it.

    `detail`: an open route whose answer holds protected detail for those who may see it. `anonymous`: the
    same for everybody, so that nobody's key is looked at, and the database is not needed to answer.
    """
    assert role in ROLES
    assert not anonymous or (role == "public" and not detail)
    marks = {"x-detail": detail, "x-anonymous": anonymous}
    return {"x-audience": role, "x-scope": scope} | {name: True for name, is_so in marks.items() if is_so}


async def engines(request: Request) -> Engines:
    """Return what gives the service's engine, which is made at the first question."""
    return cast("Engines", request.app.state.engines)


@dataclass
class Seen:
    """What this process read of tokens lately; an entry is believed for FRESH_S."""

    found: dict[bytes, tuple[float, Principal | None]]

    def recall(self, token: str) -> tuple[bool, Principal | None]:
        """Return whether the token was read lately, and whose it is."""
        at, whose = self.found.get(access.digest(token), (0.0, None))
        return time.monotonic() - at < FRESH_S, whose

    def keep(self, token: str, whose: Principal | None) -> None:
        """Remember whose a token is; bounded, so that guesses fill no memory."""
        if len(self.found) >= _REMEMBERED:
            self.found.clear()
        self.found[access.digest(token)] = (time.monotonic(), whose)


_CREDENTIALS = {b"authorization", b"cookie"}


async def who(request: Request, engines: Annotated[Engines, Depends(engines)]) -> Principal:
    """Return whoever asks; without credentials, or with a cookie that is over, that is anybody.

    Raises Unknown for a bearer token that is nobody's.
    """
    if (request.scope["route"].openapi_extra or {}).get("x-anonymous"):
        return ANYBODY
    token = _token(request)
    return _accept(request, await _identify(request, engines, token) if token else None)


def recall(request: Request) -> Principal | None:
    """Return whoever asks where that was found out lately, None where the database must be asked.

    Raises what `who` raises.
    """
    if not any(name in _CREDENTIALS for name, _ in request.scope["headers"]):
        return ANYBODY
    token = _token(request)
    seen: Seen = request.app.state.seen
    fresh, whose = seen.recall(token) if token else (True, None)
    return _accept(request, whose) if fresh else None


def _token(request: Request) -> str | None:
    """Return the bearer token or else the session cookie that came, None for anything else."""
    scheme, bearer = _authorization(request)
    if not scheme:
        return session_cookie(request)
    return bearer if scheme == "bearer" else None


def _authorization(request: Request) -> tuple[str, str]:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return scheme.lower(), token.strip()


def _accept(request: Request, whose: Principal | None) -> Principal:
    """Return whoever's token came as somebody who may use it so; see `who`."""
    is_bearer = bool(_authorization(request)[0])
    if whose and whose.is_session != is_bearer and (not whose.demo or takes_demo_keys(request)):
        return whose
    if is_bearer:
        raise Unknown("the key is unknown, revoked or expired; ask for a new one")
    return ANYBODY


def takes_demo_keys(request: Request) -> bool:
    """Say whether keys of the demo hold: in demo mode, for this machine."""
    return request.app.state.demo is not None and is_local(request)


def is_local(request: Request) -> bool:
    """Say whether this machine asks, by a name of its own (a page elsewhere may rebind its name to us).

    What a proxy passes on is not this machine's; one that says nothing of itself is not recognised.
    """
    return (
        request.client is not None
        and all(is_loopback(host) for host in (request.client.host, request.url.hostname or ""))
        and FORWARDING.isdisjoint(request.headers)
    )


@lru_cache(maxsize=4096)
def is_loopback(host: str) -> bool:
    """Say whether a host's name or address is that of this machine to itself."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


Who = Annotated[Principal, Depends(who)]


async def _identify(request: Request, engines: Engines, token: str) -> Principal | None:
    seen: Seen = request.app.state.seen
    fresh, whose = seen.recall(token)
    if not fresh:
        counts = not (request.scope["route"].openapi_extra or {}).get("x-stream")
        whose = await run_in_threadpool(_ask, engines, token, counts=counts)
        seen.keep(token, whose)
    return whose


def _ask(engines: Engines, token: str, *, counts: bool) -> Principal | None:
    """Ask the database whose a token is; `counts`: a session is used by it, as it is not by a stream."""
    is_oidc = token.count(".") == 2
    whose = oidc.principal(token) if is_oidc else None
    if is_oidc and (whose is None or whose.scope is None):
        return whose
    with engines().begin() as conn:
        if whose is None:
            whose = access.principal(conn, token)
            return whose if whose is None or _is_used(conn, whose, token, counts=counts) else None
        return whose if access.is_grid(conn, str(whose.scheme), str(whose.scope)) else None


def _is_used(conn: Connection, whose: Principal, token: str, *, counts: bool) -> bool:
    longest = idle(whose)
    return longest is None or access.is_used(conn, token, longest, counts=counts)


def idle(whose: Principal) -> timedelta | None:
    """Return for how long somebody's session may be unused; None where it may be so to its end."""
    minutes = settings().idle_minutes
    return timedelta(minutes=minutes) if minutes and whose.is_session and not whose.wall else None


async def guard(request: Request, who: Who) -> None:
    """Let a request pass to its route, or raise what `admit` raises."""
    admit(request, who)


def admit(request: Request, who: Principal) -> None:
    """Let a request pass, or raise Unknown or Forbidden; an undeclared route is for admins.

    Raises NotRecorded where protected detail would be given out unrecorded.
    """
    demanded = (request.scope["route"].openapi_extra or {}).get("x-audience", "admin")
    try:
        demand(who, demanded)
    except Forbidden:
        _record(request, who, "refused ")
        raise
    if request.method not in _SAFE:
        _check_origin(request, who)
    if request.method not in _SAFE or (who.rank > 0 and _gives_detail(request)):
        _record(request, who)


def _gives_detail(request: Request) -> bool:
    """Say whether a route gives what is not public: all of it, its layer, or (`x-detail`) a part of it."""
    declared = request.scope["route"].openapi_extra or {}
    layer = LAYERS.get(request.path_params.get("layer", ""))
    audiences = (declared.get("x-audience", "admin"), layer.audience if layer else "public")
    return bool(declared.get("x-detail")) or any(role != "public" for role in audiences)


def _record(request: Request, who: Principal, how: str = "") -> None:
    what = (
        how + f"{request.method} {request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
    )
    request.app.state.recorder.note(who, what[:_LONGEST], request.client.host if request.client else "")


def demand(who: Principal, role: str) -> None:
    """Raise Unknown (nobody known) or Forbidden (known, but may not) unless `who` may what `role` may."""
    if who.rank >= access.rank(role):
        return
    if access.rank(who.full_role) >= access.rank(role):
        raise Forbidden(f"this needs the second factor of role {who.full_role}; log in with its code")
    if who.full_role == "public":
        raise Unknown(f"this is for role {role} and above; send an access key")
    raise Forbidden(f"this is for role {role} and above; the key is of role {who.full_role}")


def demand_export(who: Principal) -> None:
    """Raise Forbidden where protected detail would leave in a file without the right to it."""
    if who.rank > 0 and not who.may_export:
        raise Forbidden("exporting is a right of its own, which this key has not; ask for format=json")


def cookie_name(request: Request) -> str:
    """Return the session cookie's name; over https one that browsers take from this very host only."""
    return f"__Host-{COOKIE}" if request.scope["scheme"] == "https" else COOKIE


def session_cookie(request: Request) -> str | None:
    """Return the session cookie that came, if any."""
    return request.cookies.get(cookie_name(request))


def csrf(cookie: str) -> str:
    """Return what the page must send back as X-CSRF-Token with every write of a session."""
    return hmac.new(cookie.encode(), b"csrf", "sha256").hexdigest()


def _check_origin(request: Request, who: Principal) -> None:
    """Refuse writes that another site makes a browser send (OWASP: token bound to the session)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("another site may not write here")
    if not who.is_session:
        return
    sent = request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(sent.encode(), csrf(session_cookie(request) or "").encode()):
        raise Forbidden("X-CSRF-Token is missing or wrong; GET /session tells it")
