"""Health and metrics for whoever keeps the service running."""

import re
from contextlib import suppress
from functools import cache
from math import inf

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from api.access import Who, audience
from api.deps import Transaction
from gis import city, grids
from gis.backup import health
from gis.backup.health import Health
from gis.errors import NotReady
from gis.settings import settings

router = APIRouter()
BACKUP_AGE = Gauge("safetymap_backup_age_seconds", "Age of the newest backup; infinite while there is none.")
BACKUP_FAILED = Gauge("safetymap_backup_failed", "1 where the last try of a backup failed.")
LOG_FAILING = Gauge("safetymap_log_failing", "1 while the database's log cannot be sent to the repository.")
LOG_SENT = Gauge("safetymap_log_sent_seconds", "Seconds since a segment of the log was sent last.")


@router.get("/health/live", openapi_extra=audience("public", "none", anonymous=True))
async def live() -> dict[str, str]:
    """Answer that the process runs; whatever the database does, and though every thread waits for it."""
    return {"status": "live"}


@router.get("/health/ready", openapi_extra=audience("public", "none"))
def ready(request: Request, transaction: Transaction) -> dict[str, object]:
    """Answer that database and audit work and a city with grids is there, else what is lacking."""
    if lack := request.app.state.recorder.lack():
        raise NotReady(lack)
    with transaction() as conn:
        if lacking := city.lacks(conn):
            raise NotReady("; ".join(lacking))
        asked = grids.resolve(conn, grids.Wish())
        backups = health.health(conn, request.app.state.data_dir)
    told = {"status": "ready", "revision": asked.known, "scheme": asked.scheme}
    return told | (_of_backups(backups) if backups else {})


@router.get(
    "/metrics", response_class=Response, openapi_extra=audience("public", "none: counts of requests only")
)
def metrics(request: Request, who: Who, transaction: Transaction) -> Response:
    """Answer Prometheus metrics in its text format; of routes that not everybody may ask, to an admin alone.

    Their counts, read every second, tell the public the moment of every single report.
    """
    with suppress(sa.exc.OperationalError, sa.exc.TimeoutError), transaction() as conn:
        _measure(health.health(conn, request.app.state.data_dir))
    told = generate_latest().decode()
    if who.role != "admin":
        told = _of_routes(told, _open(request.app))
    return Response(told, media_type=CONTENT_TYPE_LATEST)


def _of_backups(told: Health) -> dict[str, object]:
    """Say how backups go; what is wrong with them is a warning, since the service answers all the same."""
    age_s = None if told.age_s is None else round(told.age_s)
    warnings = told.warnings(settings().backup_oldest_h)
    return {"backup": {"age_s": age_s, "log_failing": told.log_failing, "warnings": warnings}}


def _measure(told: Health | None) -> None:
    if told is None:
        return
    BACKUP_AGE.set(inf if told.age_s is None else told.age_s)
    BACKUP_FAILED.set(told.failed is not None)
    LOG_FAILING.set(told.log_failing)
    LOG_SENT.set(inf if told.log_sent_s is None else told.log_sent_s)


_ROUTE = re.compile(r'[{,]route="([^"]*)"')


def _of_routes(told: str, routes: frozenset[str]) -> str:
    """Return metrics without the samples of other routes than those given."""
    lines = told.splitlines(keepends=True)
    return "".join(line for line in lines if not (of := _ROUTE.search(line)) or of[1] in routes)


@cache
def _open(app: FastAPI) -> frozenset[str]:
    """Return the paths of routes that everybody may ask in every way there is."""
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    closed = {one.path for one in routes if (one.openapi_extra or {}).get("x-audience") != "public"}
    return frozenset(one.path for one in routes) - closed
