"""Whose is this? Grids by point and by code, and the responders nearest to a point."""

from typing import Annotated, Any, Literal

import orjson
import shapely
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from api.access import audience
from api.codes import Code
from api.deps import At, DatumName, Point, Transaction, Wished
from gis import crs, grids, responders
from gis import history as ancestry
from gis.db import Record
from gis.errors import BadInput, NotFound

router = APIRouter()


class Staff(BaseModel):
    """Somebody answerable for a grid."""

    name: str
    post: str
    phone: str | None


class Contact(BaseModel):
    """What the notice board of a unit grid tells everybody."""

    post: str
    phone: str


class Link(BaseModel):
    """One grid of a chain; staff are told to those who may know them, the leaf's contact to everybody."""

    code: str
    name: str
    level: int
    level_name: str
    level_name_en: str
    staff: list[Staff]
    contact: Contact | None


class Owner(BaseModel):
    """A point's chain, leaf first, and what the answer rests on."""

    point: list[float]
    on: str
    revision: int
    scheme: str
    on_boundary: bool
    chain: list[Link]


@router.get(
    "/grids/at",
    response_model=Owner,
    openapi_extra=audience(
        "public", "staff are told of grids inside it; the public gets the leaf's contact", detail=True
    ),
)
def grids_at(transaction: Transaction, at: At, wish: Wished) -> Response:
    """Answer which grids own a point, leaf first; on a border the lowest code owns it, and it is told."""
    with transaction() as conn:
        found = _chain(conn, at, wish)
    body = {
        "point": at.given,
        "on": found.asked.on,
        "revision": found.asked.known,
        "scheme": found.asked.scheme,
        "on_boundary": found.on_boundary,
        "chain": found.links,
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _chain(conn: Connection, at: Point, wish: grids.Wish) -> grids.Chain:
    """Return a point's chain. Raises NotFound, which says so where lon and lat look exchanged."""
    try:
        return grids.chain(conn, at.lon, at.lat, wish)
    except NotFound as error:
        if _is_exchanged(conn, at, wish):
            raise NotFound(f"{error}; lon and lat look exchanged") from error
        raise


def _is_exchanged(conn: Connection, at: Point, wish: grids.Wish) -> bool:
    """Say whether a grid owns the point that lon and lat give when they are exchanged."""
    lat, lon = at.given
    if abs(lat) > 90:
        return False
    try:
        grids.chain(conn, *crs.point_to_wgs84(lon, lat, at.datum), wish)
    except NotFound:
        return False
    return True


def _feature(row: Record, datum: DatumName) -> dict[str, Any]:
    """Return a row whose `geometry` is GeoJSON text as a GeoJSON feature; other columns are properties."""
    properties = dict(row._mapping)
    shape = _shifted(properties.pop("geometry"), datum)
    return {"type": "Feature", "id": properties.pop("id"), "geometry": shape, "properties": properties}


def _shifted(geojson: str, datum: DatumName) -> dict[str, Any]:
    """Return a WGS-84 geometry in `datum`, to the decimals that grids have."""
    if datum != "wgs84":
        shape = crs.shapes_from_wgs84(shapely.from_geojson([geojson]), datum)
        geojson = shapely.to_geojson(shapely.transform(shape, lambda xy: xy.round(grids.DECIMALS)))[0]
    told: dict[str, Any] = orjson.loads(geojson)
    return told


def _collection(rows: list[Record], datum: DatumName) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": [_feature(row, datum) for row in rows]}


# A code may hold a slash (`N/S`), so what stands behind it comes first.
@router.get("/grids/{code:path}/children", openapi_extra=audience("public", "boundaries are public"))
def children(
    transaction: Transaction, code: Code, wish: Wished, datum: DatumName = "wgs84"
) -> dict[str, Any]:
    """Answer the grids directly below one."""
    with transaction() as conn:
        return _collection(grids.children(conn, code, grids.resolve(conn, wish)), datum)


@router.get("/grids/{code:path}/history", openapi_extra=audience("public", "boundaries are public"))
def history(transaction: Transaction, code: Code, wish: Wished, datum: DatumName = "wgs84") -> dict[str, Any]:
    """Answer every version of a grid, newest knowledge first, and its lineage (from what, into what)."""
    with transaction() as conn:
        scheme = grids.resolve(conn, wish).scheme
        versions = _collection(grids.history(conn, code, scheme), datum)
        return versions | {"lineage": ancestry.lineage(conn, scheme, code)}


@router.get("/grids/{code:path}", openapi_extra=audience("public", "boundaries are public"))
def grid(transaction: Transaction, code: Code, wish: Wished, datum: DatumName = "wgs84") -> dict[str, Any]:
    """Answer one grid with its boundary."""
    with transaction() as conn:
        return _feature(grids.grid(conn, code, grids.resolve(conn, wish)), datum)


class Near(BaseModel):
    """A responder and how far it is."""

    id: int
    name: str
    kind: str
    status: str
    skills: list[str]
    distance_m: float
    eta_s: float | None
    position_age_s: float
    geometry: dict[str, Any]


class Nearest(BaseModel):
    """Responders, nearest first, and how distance was measured."""

    by: str
    responders: list[Near]


@router.get(
    "/responders/nearest",
    response_model=Nearest,
    openapi_extra=audience("field", "only responders inside it"),
)
def nearest(
    transaction: Transaction,
    at: At,
    k: Annotated[int, Query(ge=1, le=100)] = 5,
    by: Annotated[Literal["road", "line"], Query()] = "line",
    kind: Annotated[str | None, Query(max_length=80)] = None,
    skill: Annotated[str | None, Query(max_length=80)] = None,
    status: Annotated[Literal["available", "busy", "off"] | None, Query()] = None,
    max_seconds: Annotated[float | None, Query(gt=0, description="Only with by=road.")] = None,
) -> dict[str, object]:
    """Answer the responders nearest to a point, by straight line in geodesic metres."""
    if max_seconds is not None and by == "line":
        raise BadInput("max_seconds", "a straight line has no travel time; leave it out or use by=road")
    if by == "road":
        raise BadInput("by", "travel by road is not served yet; use by=line")
    with transaction() as conn:
        rows = responders.nearest(conn, at.lon, at.lat, k, kind=kind, skill=skill, status=status)
    return {"by": by, "responders": [_near(row, at.datum) for row in rows]}


def _near(row: Record, datum: DatumName) -> dict[str, Any]:
    fields = dict(row._mapping)
    place = crs.point_from_wgs84(fields.pop("lon"), fields.pop("lat"), datum)
    return fields | {"eta_s": None, "geometry": {"type": "Point", "coordinates": place}}
