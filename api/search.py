"""An address as people write it, answered with where it is and whose."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.engine import Connection

from api.access import audience
from api.deps import DatumName, Transaction, Wished
from gis import crs, grids
from gis.addresses import match as addresses
from gis.errors import NotFound

router = APIRouter()
Text = Annotated[str, Query(min_length=1, max_length=200, description="Address or name of a place.")]
Limit = Annotated[int, Query(ge=1, le=50, description="How many answers at most.")]


@router.get(
    "/grids/search", openapi_extra=audience("public", "staff are told of grids inside it", detail=True)
)
def search(
    transaction: Transaction, wish: Wished, q: Text, limit: Limit = 10, datum: DatumName = "wgs84"
) -> dict[str, list[dict[str, Any]]]:
    """Answer the known addresses that a text may mean, best first, each with its chain."""
    with transaction() as conn:
        return {"matches": [_told(conn, match, wish, datum) for match in addresses.find(conn, q, limit)]}


def _told(conn: Connection, match: addresses.Match, wish: grids.Wish, datum: crs.Datum) -> dict[str, Any]:
    fields = asdict(match)
    lon, lat = fields.pop("lon"), fields.pop("lat")
    try:
        chain = grids.chain(conn, lon, lat, wish).links
    except NotFound:
        chain = []
    place = crs.point_from_wgs84(lon, lat, datum)
    return fields | {"geometry": {"type": "Point", "coordinates": place}, "chain": chain}


@router.get("/grids/suggest", openapi_extra=audience("public", "addresses are public"))
def suggest(transaction: Transaction, q: Text, limit: Limit = 10) -> dict[str, list[str]]:
    """Answer completions of a text as it is typed."""
    with transaction() as conn:
        found = addresses.find(conn, q, limit)
    return {"suggestions": list(dict.fromkeys(match.address for match in found))}
