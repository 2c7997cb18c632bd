"""Where layers meet tiles: the catalogue, vector tiles, TileJSON and styles."""

from collections.abc import Container
from dataclasses import asdict, replace
from datetime import date
from functools import lru_cache, partial
from html import escape
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy.engine import Connection

from api import static
from api.access import Who, audience, demand
from api.deps import Looked, Transaction, Wished, view
from api.door import MVT, answer, gone, unless_gone, wanted
from api.limits import heavy
from api.tiling import Desk
from gis import city, grids
from gis.access import Principal, rank
from gis.cells import RESOLUTIONS
from gis.errors import NotFound, TileOutside
from layers.catalogue import CATALOG, LAYERS, Layer
from layers.counts import counts
from layers.hexagons import hexagons
from layers.view import View
from tiles import styles, tilejson
from tiles.legend import Item
from tiles.tile import Tile

router = APIRouter()


def _layer(name: str, who: Principal) -> Layer:
    """Return a layer that `who` may see. Raises NotFound, Unknown or Forbidden."""
    if name not in LAYERS:
        raise NotFound(f"there is no layer {name}; GET /layers lists them")
    demand(who, LAYERS[name].audience)
    return LAYERS[name]


def asked_tile(who: Principal, name: str, z: int, x: int, y: int) -> tuple[Layer, Tile]:
    """Return the layer and the tile asked for.

    Raises NotFound for what there is not, Unknown or Forbidden for what `who` may not see.
    """
    layer, square = _layer(name, who), Tile(z, x, y)
    if not layer.minzoom <= z <= layer.maxzoom:
        raise TileOutside(f"layer {name} has tiles from zoom {layer.minzoom} to {layer.maxzoom}")
    return layer, square


def _visible(who: Principal) -> list[Layer]:
    return [layer for layer in CATALOG if rank(layer.audience) <= who.rank]


@router.get(
    "/tiles/{layer}/{z}/{x}/{y}.mvt",
    response_class=Response,
    openapi_extra=audience("public", "by layer: those not public hold only what lies in it"),
    responses={
        200: {"content": {MVT: {}}},
        204: {"description": "Nothing lies in the tile."},
        304: {"description": "The tile is as If-None-Match knows it."},
    },
)
async def tile(request: Request, look: Looked, who: Who, layer: str, z: int, x: int, y: int) -> Response:
    """Answer one tile of a layer, cut for the view; 204 when nothing lies in it.

    It is as fresh as the last commit: its ETag changes with its content, and holds for one encoding.
    """
    chosen, square = asked_tile(who, layer, z, x, y)
    desk: Desk = request.app.state.desk
    desk.learn(request.scope["query_string"], look)
    done = await unless_gone(request, desk.answer(chosen, square, look, who, wanted(request)))
    return gone() if done is None else answer(request, done[0], chosen, who, done[1])


TILE_ROUTE = router.routes[-1]
"""What the short way of a kept tile stands in for."""

_ANY_VIEW = View(scheme="", on=date.min, known=0)


@lru_cache
def fields(name: str) -> dict[str, str]:
    """Properties of a layer's features at any zoom and their kinds, read off its selects."""
    layer = LAYERS[name]
    zooms = range(layer.minzoom, layer.maxzoom + 1)
    columns = [c for z in zooms for c in layer.select(replace(_ANY_VIEW, zoom=z)).selected_columns]
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
    """Return how many features a layer has; of hexagons, those that hold what whoever asks may know.

    All hexagons that ever held something would count for everybody what is reported elsewhere.
    """
    if layer.select is hexagons:
        return len(counts(conn, replace(seen, filter=None), RESOLUTIONS[-1])[0])
    rows = layer.select(replace(seen, zoom=layer.maxzoom)).subquery()
    return int(conn.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one())


def _as_html(attribution: str) -> str:
    """Return the attribution as TileJSON and styles have it: text that maps show as HTML."""
    return escape(attribution, quote=False)


@router.get("/tiles/{layer}.json", openapi_extra=audience("public", "by layer"))
def tile_json(
    transaction: Transaction, wish: Wished, request: Request, who: Who, layer: str
) -> dict[str, Any]:
    """Answer a layer's TileJSON 3.0."""
    chosen = _layer(layer, who)
    with transaction() as conn:
        bounds = city.extent(conn, grids.resolve(conn, wish).scheme)
        attribution = _as_html(city.the_city(conn).attribution)
    template = f"{request.base_url}tiles/{layer}/{{z}}/{{x}}/{{y}}.mvt"
    zooms = (chosen.minzoom, chosen.maxzoom)
    return tilejson.document(layer, template, zooms, bounds, fields(layer), attribution)


@router.get("/styles/{name}.json", openapi_extra=audience("public", "shows the layers that may be seen"))
def style(transaction: Transaction, request: Request, who: Who, name: str) -> dict[str, Any]:
    """Answer a MapLibre style over the layers: light, dark or safe (for colour-blind eyes)."""
    base = str(request.base_url).rstrip("/")
    with transaction() as conn:
        attribution, kinds = _as_html(city.the_city(conn).attribution), city.area_kinds(conn)
    fonts = styles.font_faces(base + static.href("/vendor/noto-sans-sc"))
    layers = [asdict(layer) for layer in _visible(who)]
    return styles.style(name, layers, base, fonts, attribution, partial(_sees, who, kinds))


def _sees(who: Principal, kinds: Container[str], item: Item) -> bool:
    """Say whether an item of the legend is seen: the public's counts are not tested, a city has few areas."""
    is_told = who.rank > 0 or not item.get("significant")
    return is_told and ("kind" not in item or item["kind"] in kinds)
