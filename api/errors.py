"""How problems are told over HTTP: one table of statuses, every answer a problem document (RFC 9457)."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gis import errors

log = structlog.get_logger()

STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.Unknown, 401),
    (errors.MustWait, 429),
    (errors.NotRecorded, 503),
    (errors.Busy, 503),
    (errors.NotReady, 503),
    (errors.DatabaseUnfit, 503),
    (errors.TileSlow, 503),
    (errors.SecretSealed, 503),
    (errors.PublicationSlow, 503),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.OtherRequest, 409),
    (errors.BadParameter, 400),
    (errors.BadInput, 422),
    (errors.Faulty, 422),
    (errors.Unexplained, 422),
    (errors.Problem, 409),
)
"""The first class that fits decides."""

CLIENT_GONE = 499
"""What the log and the counts call a request whose client did not wait, as nginx does."""

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 405, 409, 413, 422, 429, 503)
}
"""What any route may answer besides its own."""


_TELLING = errors.Conflicted | errors.Faulty | errors.Unexplained | errors.Unconfirmed
"""Problems with further members for the answer."""


def problem(status: int, detail: str, named: Sequence[dict[str, str]] = (), /, **more: Any) -> Response:
    """Return a problem document; `named` are the offending parameters, `more` further members."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    if named:
        body["errors"] = list(named)
    answer = Response(orjson.dumps(body), status, media_type="application/problem+json")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = "1"
    return answer


def _from_problem(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    if isinstance(error, errors.BadInput):
        return problem(status, str(error), [{"name": error.field, "reason": error.detail}])
    told = error.told if isinstance(error, _TELLING) else {}
    answer = problem(status, str(error), **told)
    if isinstance(error, errors.Unknown):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.MustWait):
        answer.headers["Retry-After"] = str(error.seconds)
    return answer


def _exchanged(given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what is wrong with a place whose lon and lat look exchanged; nothing about any other."""
    try:
        lon, lat = float(given["lon"]), float(given["lat"])
    except (KeyError, TypeError, ValueError):
        return []
    if not (abs(lon) <= 90 < abs(lat) <= 180):
        return []
    reason = f"look exchanged: lon={lat:g} and lat={lon:g} would be a place"
    return [{"name": "lon/lat", "reason": reason}]


def _fault(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with a value, by its field's name; the framework's words where they are plain."""
    if found["type"] == "json_invalid":
        why = found.get("ctx", {}).get("error", "cannot be read")
        return {"name": "body", "reason": f"is no JSON: {why}, character {found['loc'][-1]}"}
    if found["type"] == "too_long" and isinstance(found["input"], str):
        reason = f"has {len(found['input'])} characters; at most {found['ctx']['max_length']} are taken"
    else:
        reason = found["msg"].removeprefix("Value error, ")
    return {"name": ".".join(str(part) for part in found["loc"][1:]) or "body", "reason": reason}


def _from_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(fault) for fault in error.errors()] + _exchanged(
        error.body if isinstance(error.body, dict) else dict(request.query_params)
    )
    return problem(422, "; ".join(f"{fault['name']}: {fault['reason']}" for fault in faults), faults)


def _from_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, str(error.detail), _about_body(error))
    answer.headers.update(error.headers or {})
    return answer


def _about_body(error: HTTPException) -> list[dict[str, str]]:
    """Return the body as what is wrong where the framework, for whom 400 means no more, cannot read it."""
    return [{"name": "body", "reason": str(error.detail)}] if error.status_code == 400 else []


def _from_database(_: Request, error: Exception) -> Response:
    """A statement that ran out of time or a database out of reach is told; what it said stays in the log."""
    log.error("database", error=str(error))
    if "statement timeout" in str(error):
        return problem(503, "the question took too long; ask for a smaller area or period")
    return problem(503, "the database does not answer; try again")


def _from_value(request: Request, error: Exception) -> Response:
    """A value that no column can hold, such as a text with a zero byte or a number beyond all bounds."""
    log.warning("value", error=str(error))
    given = [*request.path_params.items(), *request.query_params.multi_items()]
    faults = [{"name": name, "reason": "holds a zero byte"} for name, value in given if "\0" in str(value)]
    return problem(422, "a value holds a zero byte or lies beyond all bounds; correct it", faults)


def _from_wall(_: Request, error: Exception) -> Response:
    """Row-level security refused a write: it lay outside of what whoever asks may touch."""
    assert isinstance(error, sa.exc.ProgrammingError)
    if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
        raise error
    return problem(403, "this lies outside of what the key may change")


def _from_standby(request: Request, error: Exception) -> Response:
    """A database that may only be read: a standby until it is promoted, or one that somebody has closed."""
    cause = getattr(error, "orig", error)
    if not isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
        return _from_bug(request, error)
    log.error("database", error=str(error))
    return problem(503, "the database takes no changes now, it is a standby or read-only; try again")


def _from_departure(_: Request, __: Exception) -> Response:
    """Nobody hears this answer: the line of the request is all that is said of who went away."""
    return Response(status_code=CLIENT_GONE)


def _from_bug(request: Request, error: Exception) -> Response:
    log.error("bug", path=request.url.path, exc_info=error)
    return problem(500, "something went wrong on our side; it has been logged")


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Response]] = {
    errors.Problem: _from_problem,
    RequestValidationError: _from_validation,
    HTTPException: _from_http,
    sa.exc.DataError: _from_value,
    psycopg.DataError: _from_value,
    sa.exc.ProgrammingError: _from_wall,
    sa.exc.OperationalError: _from_database,
    psycopg.OperationalError: _from_database,
    sa.exc.InterfaceError: _from_database,
    psycopg.InterfaceError: _from_database,
    sa.exc.TimeoutError: _from_database,
    sa.exc.InternalError: _from_standby,
    psycopg.InternalError: _from_standby,
    ClientDisconnect: _from_departure,
    Exception: _from_bug,
}
"""How each kind of failure is told."""


def install(app: FastAPI) -> None:
    """Make every failure of the app a problem document."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)


def told(request: Request, error: Exception) -> Response:
    """Return a failure as the app tells it, outside of its routes."""
    return next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)(request, error)
