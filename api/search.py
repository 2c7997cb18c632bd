"""An address as people write it, answered with where it is and whose."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.access import audience
from api.deps import DatumName, Transaction, Wished
from gis import crs, grids
from gis.addresses import match
from gis.addresses.matches import Match

router = APIRouter()
Text = Annotated[str, Query(min_length=1, max_length=200, description="Address or name of a place.")]
Limit = Annotated[int, Query(ge=1, le=50, description="How many answers at most.")]


@router.get(
    "/grids/search", openapi_extra=audience("public", "staff are told of grids inside it", detail=True)
)
def search(
    transaction: Transaction, wish: Wished, q: Text, limit: Limit = 10, datum: DatumName = "wgs84"
) -> dict[str, Any]:
    """Answer what a text may mean, best first, with its chain: names, addresses, codes, crossings, posts.

    A grid's chain begins with itself. `matched_by` and `score` say how it fits; `tied` of them are equally
    good, `more` says that there are others. A name or address may be spelt in any way, with regions, rooms
    and units left out or added.
    """
    with transaction() as conn:
        found = match.find(conn, q, limit, wish)
        if not found.matches:
            grids.resolve(conn, wish)  # tells what an empty store lacks, as every question does
        chains = grids.links_at(conn, [(one.lon, one.lat) for one in found.matches], wish)
    told = [_told(one, links, datum) for one, links in zip(found.matches, chains, strict=True)]
    return {"matches": told, "tied": found.tied, "more": found.more}


def _told(found: Match, chain: list[dict[str, object]], datum: crs.Datum) -> dict[str, Any]:
    fields = asdict(found)
    place = crs.point_from_wgs84(fields.pop("lon"), fields.pop("lat"), datum)
    return fields | {"geometry": {"type": "Point", "coordinates": place}, "chain": _from(chain, found.code)}


def _from(chain: list[dict[str, object]], code: str | None) -> list[dict[str, object]]:
    """Return a chain from the grid that was looked for upwards: those below it own its middle alone."""
    at = next((n for n, link in enumerate(chain) if link["code"] == code), 0)
    return chain[at:]


@router.get("/grids/suggest", openapi_extra=audience("public", "addresses are public"))
def suggest(transaction: Transaction, q: Text, limit: Limit = 10) -> dict[str, list[str]]:
    """Answer completions of a text as it is typed."""
    with transaction() as conn:
        told = match.complete(conn, q, limit)
        if not told:
            grids.resolve(conn, grids.Wish())
        return {"suggestions": told}
