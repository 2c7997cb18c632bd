"""Health and metrics for whoever keeps the service running."""

import re
from functools import cache

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.access import Who, audience
from api.deps import Transaction
from gis import city, grids
from gis.errors import NotReady

router = APIRouter()


@router.get("/health/live", openapi_extra=audience("public", "none"))
def live() -> dict[str, str]:
    """Answer that the process runs."""
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
    return {"status": "ready", "revision": asked.known, "scheme": asked.scheme}


@router.get(
    "/metrics", response_class=Response, openapi_extra=audience("public", "none: counts of requests only")
)
def metrics(request: Request, who: Who) -> Response:
    """Answer Prometheus metrics in its text format; of routes that not everybody may ask, to an admin alone.

    Their counts, read every second, tell the public the moment of every single report.
    """
    told = generate_latest().decode()
    if who.role != "admin":
        told = _of_routes(told, _open(request.app))
    return Response(told, media_type=CONTENT_TYPE_LATEST)


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
