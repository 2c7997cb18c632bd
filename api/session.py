"""The page's session: opened with a key (and its second factor), closed, and told what it may see."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.engine import Connection

from api.access import Who, audience, cookie_name, csrf, idle, session_cookie, takes_demo_keys
from api.demo_access import DemoAccess
from api.deps import Open, Transaction
from api.proxy import asker
from gis import access, demo_keys, loading, login_failures
from gis.access import ANYBODY, Principal
from gis.db import Record
from gis.errors import BadInput, MustWait, NotFound, Unknown
from layers.catalogue import CATALOG

router = APIRouter()
LASTS = timedelta(hours=12)
"""A working day, then the key is asked for again."""
DEMO_COOKIE = "safetymap-demo"
"""Of a browser in which a link of the demo was opened; over loopback without TLS, as all of the demo."""


class Login(BaseModel):
    """A key with its code, or in the demo the label of a demo key."""

    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    code: Annotated[str, Field(pattern=r"^\d{6}$")] | None = None
    demo: Annotated[str, Field(max_length=60)] | None = None


class Session(BaseModel):
    """Who asks, and what that opens."""

    role: str
    full_role: str
    name: str
    scheme: str | None
    scope: str | None
    may_export: bool
    layers: list[str]
    csrf: str | None
    idle_s: float | None
    """Seconds after which a session that nobody uses ends; null where none does."""


class DemoLink(BaseModel):
    """The token of a printed link."""

    token: Annotated[str, Field(min_length=1, max_length=60)]


class DemoKey(BaseModel):
    """A demo key that one click opens a session with."""

    label: str
    role: str
    scope: str | None


def _told(who: Principal, token: str | None) -> dict[str, Any]:
    unused = idle(who)
    return {
        "role": who.role,
        "full_role": who.full_role,
        "name": who.name,
        "scheme": who.scheme,
        "scope": who.scope,
        "may_export": who.may_export,
        "layers": [layer.name for layer in CATALOG if access.rank(layer.audience) <= who.rank],
        "csrf": token,
        "idle_s": unused.total_seconds() if unused else None,
    }


@router.get("/session", response_model=Session, openapi_extra=audience("public", "tells the scope"))
async def session(request: Request, who: Who) -> dict[str, Any]:
    """Answer who asks, which layers that opens, and the token that writes from the page must carry."""
    return _told(who, csrf(session_cookie(request) or "") if who.is_session else None)


@router.post(
    "/session", response_model=Session, status_code=201, openapi_extra=audience("public", "that of the key")
)
def log_in(request: Request, response: Response, transaction: Transaction, login: Login) -> dict[str, Any]:
    """Open a session: with a key, and the code of its second factor where its role needs one.

    429 after several that failed, with the time to wait, which grows with each.
    """
    if login.demo is not None:
        with transaction() as conn:
            key_id, second = _demo_key(request, login.demo, conn), True
    elif login.key is not None:
        key_id, second = _check(request, transaction, login.key, login.code)
    else:
        raise BadInput("key", "is missing; send a key, or in the demo the label of a demo key")
    with transaction() as conn:
        _end(request, conn)
        cookie = access.open_session(conn, key_id, LASTS, second_factor=second)
        whose = access.principal(conn, cookie)
    if whose is None:
        raise Unknown("the key was revoked a moment ago; ask for a new one")
    _note(request, whose, "session opened")
    response.set_cookie(
        cookie_name(request), cookie, int(LASTS.total_seconds()), httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return _told(whose, csrf(cookie))


def _check(request: Request, transaction: Open, key: str, code: str | None) -> tuple[int, bool]:
    """Return a key's id and whether its second factor came.

    Raises Unknown when either is not good, MustWait where that happened too often.
    """
    address = f"address {asker(request.client.host if request.client else '')}"
    with transaction() as conn:
        _demand_patience(request, ANYBODY, "from this address", login_failures.wait(conn, address))
        whose = access.principal(conn, key)
    is_held = whose is not None and whose.demo and not takes_demo_keys(request)
    if whose is None or whose.key_id is None or whose.is_session or is_held:
        _count_failure(transaction, address)
        _note(request, ANYBODY, f"log-in refused: no key with hash {access.digest(key).hex()[:12]}")
        raise Unknown("the key is unknown, revoked or expired; ask for a new one")
    if code is not None and not _is_code(request, transaction, whose, key, code):
        _count_failure(transaction, address)
        _note(request, whose, "log-in refused: wrong code")
        raise Unknown("the code is wrong, late or was used already; wait for the next one")
    with transaction() as conn:
        login_failures.forget(conn, address)
    return whose.key_id, code is not None


def _is_code(request: Request, transaction: Open, whose: Principal, key: str, code: str) -> bool:
    """Say whether a key's code is good; it is counted as wrong, and committed so, before it is looked at.

    Raises Unknown for a key that was made before its role needed a second factor.
    """
    with transaction() as conn:
        if not access.has_second_factor(conn, key):
            raise Unknown("the key was made without a second factor; ask for a new one")
    subject = f"key {whose.key_id}"
    with transaction() as conn:
        waits = login_failures.count(conn, subject, login_failures.WITH_KEY)
    _demand_patience(request, whose, "with this key", waits)
    with transaction() as conn:
        is_good = access.check_code(conn, key, code)
        if is_good:
            login_failures.forget(conn, subject)
    return is_good


def _count_failure(transaction: Open, address: str) -> None:
    with transaction() as conn:
        login_failures.count(conn, address, login_failures.FROM_ADDRESS)


def _demand_patience(request: Request, who: Principal, whose: str, seconds: float) -> None:
    if seconds:
        _note(request, who, f"log-in refused: too many failed {whose}")
        raise MustWait(f"too many log-ins failed {whose}", seconds)


def _note(request: Request, who: Principal, what: str) -> None:
    request.app.state.recorder.note(who, what, request.client.host if request.client else "")


def _demo_key(request: Request, label: str, conn: Connection) -> int:
    found = [key.id for key in _demo(request, conn) if key.label == label]
    if not found:
        raise BadInput("demo", f"there is no demo key {label!r}; GET /session/demo lists them")
    return int(found[0])


def _demo(request: Request, conn: Connection) -> list[Record]:
    """Return the demo's keys, none outside the demo; see `_opening` for what is raised."""
    opening = _opening(request)
    if opening is None or not loading.is_demo(conn):
        return []
    if not opening.is_open(request.cookies.get(DEMO_COOKIE)):
        raise Unknown("the demo's log-ins open with a link that serves once: safetymap demo-link prints one")
    return demo_keys.present(conn)


def _opening(request: Request) -> DemoAccess | None:
    """Return what opens the demo's log-ins, None outside demo mode. Raises NotFound to other machines."""
    opening: DemoAccess | None = request.app.state.demo
    if opening is not None and not takes_demo_keys(request):
        raise NotFound("demo keys are given to this machine only, and not through a proxy")
    return opening


@router.get(
    "/session/demo", response_model=list[DemoKey], openapi_extra=audience("public", "lists all scopes")
)
def demo(request: Request, transaction: Transaction) -> list[dict[str, Any]]:
    """Answer the demo keys that one click opens a session with; empty outside the demo.

    401 in a browser in which no link of the demo was opened.
    """
    with transaction() as conn:
        return [dict(row._mapping) for row in _demo(request, conn)]


@router.post("/session/demo", status_code=204, openapi_extra=audience("public", "none"))
def open_demo(request: Request, response: Response, link: DemoLink) -> None:
    """Open the demo's log-ins for this browser, by the token of a printed link; it serves once."""
    opening = _opening(request)
    if opening is None:
        raise NotFound("this is no demo")
    cookie = opening.open(link.token)
    _note(request, ANYBODY, "demo's log-ins opened")
    response.set_cookie(
        DEMO_COOKIE, cookie, int(LASTS.total_seconds()), path="/session", httponly=True, samesite="strict"
    )


@router.delete("/session", status_code=204, openapi_extra=audience("public", "none"))
def log_out(request: Request, response: Response, transaction: Transaction) -> None:
    """Close the session."""
    with transaction() as conn:
        _end(request, conn)
    https = request.url.scheme == "https"
    response.delete_cookie(cookie_name(request), httponly=True, samesite="strict", secure=https)


def _end(request: Request, conn: Connection) -> None:
    """Forget the session that the request came with, if any."""
    cookie = session_cookie(request)
    if cookie:
        access.end_session(conn, cookie)
        request.app.state.seen.keep(cookie, None)
