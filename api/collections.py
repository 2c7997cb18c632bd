"""Features of the layers page by page, as OGC API Features answers them, under the filters of the tiles."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import shapely
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy.engine import Connection

from api.access import Who, audience, demand
from api.deps import DatumName, Looked, Transaction, instants, view
from api.limits import heavy
from gis import city, crs
from gis.access import Principal, rank
from gis.crs import WGS84
from gis.db import Query as Rows
from gis.errors import BadInput, BadParameter, NotFound
from layers import filters
from layers.catalogue import LAYERS, Layer, every_grid
from layers.filters import PROPERTIES
from layers.view import View

router = APIRouter()
MOST, USUAL = 1000, 100
"""Features of one answer, at most and unasked; a larger `limit` is refused."""
DECIMALS = 7
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
GEOJSON = "application/geo+json"
NAMES = tuple(name for name in PROPERTIES if name != "labels")
TIMED = ("incidents",)
"""Collections whose features have a time, that of `datetime`."""
DESCRIPTIONS = {
    "incidents": "Withdrawn incidents are left out, as everywhere, unless the filter speaks of `state`: "
    "state = 'withdrawn' has them, state <> 'closed' has them too."
}
"""What is to be known of a collection before its numbers are compared with others."""
Box = tuple[float, float, float, float]
_BBOX = (
    "West, south, east, north in degrees, by commas; or six numbers, with heights, which are not looked at."
)
_DATETIME = "A time, a day, or two of them with a slash between; .. for an open end. Incidents have a time."


def _collection(name: str, who: Principal) -> Layer:
    """Return a layer of features that `who` may see. Raises NotFound, Unknown or Forbidden."""
    if name not in NAMES:
        raise NotFound(f"there is no collection {name}; GET /collections lists them")
    demand(who, LAYERS[name].audience)
    return LAYERS[name]


async def one_form(
    f: Annotated[str | None, Query(max_length=40, description="Form of the answer: json.")] = None,
) -> None:
    """Let `f=json` pass. Raises BadParameter for another form."""
    if f not in {None, "json", "geojson"}:
        raise BadParameter("f", f"{f!r} is not served; json is")


async def one_crs(
    crs: Annotated[str | None, Query(max_length=200, description=f"{CRS84}: lon, lat in degrees.")] = None,
    bbox_crs: Annotated[str | None, Query(alias="bbox-crs", max_length=200, description=CRS84)] = None,
) -> None:
    """Let lon, lat on WGS-84 pass. Raises BadParameter for another system of coordinates."""
    for name, given in (("crs", crs), ("bbox-crs", bbox_crs)):
        if given not in {None, CRS84}:
            raise BadParameter(name, f"{given!r} is not served; {CRS84} is")


@dataclass(frozen=True)
class Extent:
    """Where and when features are asked for; the box is in `datum`, and so are their shapes."""

    box: Box | None
    datetime: str | None
    datum: crs.Datum


async def extent(
    bbox: Annotated[str | None, Query(max_length=200, description=_BBOX)] = None,
    datetime: Annotated[str | None, Query(max_length=90, description=_DATETIME)] = None,
    datum: DatumName = "wgs84",
) -> Extent:
    """Return where and when. Raises BadInput for what is no box."""
    return Extent(_box(bbox), datetime, datum)


@router.get(
    "/collections",
    dependencies=[Depends(one_form)],
    openapi_extra=audience("public", "lists what may be seen"),
)
def collections(request: Request, who: Who) -> dict[str, Any]:
    """Answer the collections that whoever asks may see, and by which properties each may be filtered."""
    seen = [LAYERS[name] for name in NAMES if rank(LAYERS[name].audience) <= who.rank]
    return {
        "links": [_link(request, "self", "/collections", "application/json")],
        "collections": [_described(request, layer) for layer in seen],
    }


@router.get(
    "/collections/{layer}", dependencies=[Depends(one_form)], openapi_extra=audience("public", "by layer")
)
def collection(request: Request, who: Who, layer: str) -> dict[str, Any]:
    """Answer one collection."""
    return _described(request, _collection(layer, who))


def _described(request: Request, layer: Layer) -> dict[str, Any]:
    path = f"/collections/{layer.name}"
    return {
        "id": layer.name,
        "title": f"{layer.title_zh} {layer.title_en}",
        **({"description": DESCRIPTIONS[layer.name]} if layer.name in DESCRIPTIONS else {}),
        "itemType": "feature",
        "crs": [CRS84],
        "storageCrs": CRS84,
        "filterable": list(PROPERTIES[layer.name][1]),
        "limit": {"default": USUAL, "maximum": MOST},
        "links": [
            _link(request, "self", path, "application/json"),
            _link(request, "items", f"{path}/items", GEOJSON),
        ],
    }


def _link(
    request: Request, rel: str, path: str, kind: str, asked: Mapping[str, str] | None = None
) -> dict[str, str]:
    base = str(request.base_url).rstrip("/")
    return {"rel": rel, "type": kind, "href": base + path + (f"?{urlencode(asked)}" if asked else "")}


@router.get(
    "/collections/{layer}/items",
    dependencies=[Depends(one_form), Depends(one_crs), Depends(heavy)],
    openapi_extra=audience("public", "by layer: those not public hold only what lies in it"),
    response_class=Response,
    responses={200: {"content": {GEOJSON: {}}}},
)
def items(
    transaction: Transaction,
    look: Looked,
    who: Who,
    request: Request,
    layer: str,
    extent: Annotated[Extent, Depends(extent)],
    limit: Annotated[int, Query(ge=1, le=MOST, description=f"Features at most: 1 to {MOST}.")] = USUAL,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1, description="Features to leave out first.")] = 0,
) -> Response:
    """Answer a page of a layer's features as GeoJSON in order of their ids; `next` leads on.

    `numberMatched` are all that fit the filters and the box, `numberReturned` those of this page.
    """
    chosen = _collection(layer, who)
    with transaction() as conn:
        rows = _rows(chosen, _timed(conn, chosen, view(conn, look, who), extent.datetime), extent)
        matched = conn.execute(sa.select(sa.func.count()).select_from(rows.subquery())).scalar_one()
        found = _features(conn, rows.limit(limit).offset(offset), extent.datum)
    path, asked = request.url.path, dict(request.query_params)
    links = [_link(request, "self", path, GEOJSON, asked)]
    if found and offset + len(found) < matched:
        links.append(_link(request, "next", path, GEOJSON, asked | {"offset": str(offset + len(found))}))
    told = {"numberMatched": matched, "numberReturned": len(found), "limit": limit, "links": links}
    body = {"type": "FeatureCollection", **told, "features": found}
    told_as = {"Content-Crs": f"<{CRS84}>"} if extent.datum == "wgs84" else {}
    # Names of columns are a kind of their own of text.
    return Response(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), headers=told_as, media_type=GEOJSON)


def _timed(conn: Connection, layer: Layer, seen: View, given: str | None) -> View:
    """Return a view within `datetime` as well. Raises BadParameter for a layer without times."""
    if given is None:
        return seen
    if layer.name not in TIMED:
        raise BadParameter("datetime", f"features of {layer.name} have no time; those of {TIMED[0]} do")
    start, end = instants(given, ZoneInfo(city.the_city(conn).timezone))
    starts = [one for one in (seen.start, start) if one]
    ends = [one for one in (seen.end, end) if one]
    return replace(seen, start=max(starts, default=None), end=min(ends, default=None))


def _box(text: str | None) -> Box | None:
    """Read a box. Raises BadInput; one whose west is east of its east crosses the antimeridian."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        # Six: the third and the last are heights, which no feature has.
        west, south, east, north = numbers if len(numbers) == 4 else _without_heights(*numbers)
    except (TypeError, ValueError) as error:
        raise BadInput("bbox", "takes four numbers, west,south,east,north, or six with heights") from error
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise BadInput("bbox", "lies outside of -180,-90,180,90, or its south is north of its north")
    return west, south, east, north


def _without_heights(west: float, south: float, low: float, east: float, north: float, high: float) -> Box:
    if not low <= high:
        raise ValueError(low, high)
    return west, south, east, north


def _rows(layer: Layer, seen: View, extent: Extent) -> Rows:
    whole = replace(seen, zoom=layer.maxzoom, withdrawn=filters.names(seen.filter, "state"))
    inner = (every_grid(whole) if layer.name == "grids" else layer.select(whole)).subquery("features")
    rows = sa.select(inner).order_by(inner.c.id)
    if extent.box is None:
        return rows
    west, south, east, north = extent.box
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    boxes = [_area((low, south, high, north), extent.datum) for low, high in spans]
    return rows.where(sa.or_(*(sa.func.ST_Intersects(inner.c.geom, one) for one in boxes)))


def _area(box: Box, datum: crs.Datum) -> sa.ColumnElement[Any]:
    """Return a box of a datum in WGS-84, where its edges are no straight lines."""
    if datum == "wgs84":
        return sa.func.ST_MakeEnvelope(*box, WGS84)
    edges = shapely.segmentize(shapely.box(*box), max(box[2] - box[0], box[3] - box[1], 1e-6) / 64)
    moved = shapely.transform(edges, lambda xy: np.column_stack(crs.to_wgs84(xy[:, 0], xy[:, 1], datum)))
    return sa.func.ST_GeomFromText(moved.wkt, WGS84)


LISTS = ("headings",)
"""Properties that a tile can only hold as numbers between commas, and a feature holds as a list."""


def _with_lists(row: dict[str, Any]) -> dict[str, Any]:
    texts = {name: row[name] for name in LISTS if row.get(name) is not None}
    return row | {name: [float(part) for part in text.split(",")] for name, text in texts.items()}


def _shifted(shape: str, datum: crs.Datum) -> Any:
    if datum == "wgs84":
        return orjson.loads(shape)
    (moved,) = crs.shapes_from_wgs84(np.array([shapely.from_geojson(shape)]), datum)
    return orjson.loads(shapely.to_geojson(shapely.transform(moved, lambda xy: np.round(xy, DECIMALS))))


def _features(conn: Connection, rows: Rows, datum: crs.Datum) -> list[dict[str, Any]]:
    page = rows.subquery("page")
    told = [column for column in page.c if column.name not in {"id", "geom"}]
    shape = sa.func.ST_AsGeoJSON(page.c.geom, DECIMALS).label("shape")
    return [
        {
            "type": "Feature", "id": row.pop("id"), "geometry": _shifted(row.pop("shape"), datum),
            "properties": _with_lists(row),
        }
        for row in (dict(one) for one in conn.execute(sa.select(page.c.id, shape, *told)).mappings())
    ]  # fmt: skip
