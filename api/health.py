"""Health and metrics for whoever keeps the service running."""

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.access import audience
from api.deps import Transaction
from gis import city, grids
from gis.errors import NotReady

router = APIRouter()


@router.get("/health/live", openapi_extra=audience("public", "none"))
def live() -> dict[str, str]:
    """Answer that the process runs."""
    return {"status": "live"}


@router.get("/health/ready", openapi_extra=audience("public", "none"))
def ready(transaction: Transaction) -> dict[str, object]:
    """Answer that the database answers and a city with grids is there, else what is lacking."""
    with transaction() as conn:
        if lacking := city.lacks(conn):
            raise NotReady("; ".join(lacking))
        asked = grids.resolve(conn, grids.Wish())
    return {"status": "ready", "revision": asked.known, "scheme": asked.scheme}


@router.get(
    "/metrics", response_class=Response, openapi_extra=audience("public", "none: counts of requests only")
)
def metrics() -> Response:
    """Answer Prometheus metrics in its text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
