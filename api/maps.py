"""Where layers meet tiles: the catalogue, vector tiles, TileJSON and styles."""

from dataclasses import asdict, replace
from datetime import date
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy.engine import Connection

from api.access import Who, audience, demand
from api.deps import Looked, Transaction, Wished, view
from api.limits import heavy
from gis import city, grids
from gis.access import Principal, rank
from gis.errors import NotFound, TileOutside
from layers.catalogue import CATALOG, LAYERS, Layer
from layers.view import View
from tiles import mvt, styles, tilejson
from tiles.tile import Tile

router = APIRouter()
MVT = "application/vnd.mapbox-vector-tile"


def _layer(name: str, who: Principal) -> Layer:
    """Return a layer that `who` may see. Raises NotFound, Unknown or Forbidden."""
    if name not in LAYERS:
        raise NotFound(f"there is no layer {name}; GET /layers lists them")
    demand(who, LAYERS[name].audience)
    return LAYERS[name]


def _visible(who: Principal) -> list[Layer]:
    return [layer for layer in CATALOG if rank(layer.audience) <= who.rank]


@router.get(
    "/tiles/{layer}/{z}/{x}/{y}.mvt",
    response_class=Response,
    openapi_extra=audience("public", "by layer: those not public hold only what lies in it"),
    responses={200: {"content": {MVT: {}}}, 204: {"description": "Nothing lies in the tile."}},
)
def tile(transaction: Transaction, look: Looked, who: Who, layer: str, z: int, x: int, y: int) -> Response:
    """Answer one tile of a layer, cut for the view; 204 when nothing lies in it."""
    chosen, square = _layer(layer, who), Tile(z, x, y)
    if not chosen.minzoom <= z <= chosen.maxzoom:
        raise TileOutside(f"layer {layer} has tiles from zoom {chosen.minzoom} to {chosen.maxzoom}")
    with transaction() as conn:
        rows = chosen.select(replace(view(conn, look, who), zoom=z, box=square.bounds()))
        body = mvt.render(conn, rows, layer, square)
    return Response(body, 200 if body else 204, media_type=MVT)


_ANY_VIEW = View(scheme="", on=date.min, known=0)


@lru_cache
def fields(name: str) -> dict[str, str]:
    """Properties of a layer's features and their kinds, read off its select."""
    columns = LAYERS[name].select(_ANY_VIEW).selected_columns
    return {column.name: _kind(column) for column in columns if column.name not in {"id", "geom"}}


def _kind(column: sa.ColumnElement[Any]) -> str:
    if isinstance(column.type, sa.Numeric | sa.Float | sa.Integer):
        return "Number"
    return "Boolean" if isinstance(column.type, sa.Boolean) else "String"


@router.get(
    "/layers", dependencies=[Depends(heavy)], openapi_extra=audience("public", "counts are those inside it")
)
def layers(transaction: Transaction, look: Looked, who: Who) -> list[dict[str, Any]]:
    """Answer the layers that whoever asks may see: from which zoom, for whom, and how many features."""
    with transaction() as conn:
        version, seen = city.data_version(conn), view(conn, look, who)
        return [
            _entry(layer) | {"count": _count(conn, layer, seen), "data_version": version}
            for layer in _visible(who)
        ]


def _entry(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "title": {"zh": layer.title_zh, "en": layer.title_en},
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
        "geometry": layer.geometry,
        "properties": fields(layer.name),
        "audience": layer.audience,
    }


def _count(conn: Connection, layer: Layer, seen: View) -> int:
    rows = layer.select(replace(seen, zoom=layer.maxzoom)).subquery()
    return int(conn.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one())


@router.get("/tiles/{layer}.json", openapi_extra=audience("public", "by layer"))
def tile_json(
    transaction: Transaction, wish: Wished, request: Request, who: Who, layer: str
) -> dict[str, Any]:
    """Answer a layer's TileJSON 3.0."""
    chosen = _layer(layer, who)
    with transaction() as conn:
        bounds = city.extent(conn, grids.resolve(conn, wish).scheme)
        attribution = city.the_city(conn).attribution
    template = f"{request.base_url}tiles/{layer}/{{z}}/{{x}}/{{y}}.mvt"
    zooms = (chosen.minzoom, chosen.maxzoom)
    return tilejson.document(layer, template, zooms, bounds, fields(layer), attribution)


@router.get("/styles/{name}.json", openapi_extra=audience("public", "shows the layers that may be seen"))
def style(transaction: Transaction, request: Request, who: Who, name: str) -> dict[str, Any]:
    """Answer a MapLibre style over the layers: light, dark or safe (for colour-blind eyes)."""
    base = str(request.base_url).rstrip("/")
    with transaction() as conn:
        attribution = city.the_city(conn).attribution
    return styles.style(
        name, [asdict(layer) for layer in _visible(who)], base, styles.font_faces(base), attribution
    )
