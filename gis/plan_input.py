"""Parameters of a step as they come in from outside: geometries and places read, and refused by name."""

import math
from collections.abc import Mapping
from typing import Any

import orjson
import shapely
from shapely.geometry.base import BaseGeometry

from gis.errors import BadInput

MOST_VERTICES = 50_000
"""Of one drawn line or area."""
_LINES = {"LineString", "Polygon"}
_AREAS = {"Polygon", "MultiPolygon"}


def read(params: Mapping[str, Any]) -> dict[str, Any]:
    """A step's parameters as `redraw.apply` takes them; raises BadInput naming the one that is no good."""
    return {name: _read(str(params.get("op")), name, value) for name, value in params.items()}


def _read(op: str, name: str, value: Any) -> Any:
    if name in {"line", "area"}:
        return shape(name, value)
    if name == "at" or (name == "to" and op == "move_vertex"):
        return place(name, value)
    if name == "edge" or (name == "to" and op == "move_edge"):
        if not isinstance(value, list):
            raise BadInput(name, "give a list of two places, each [lon, lat]")
        return [place(name, one) for one in value]
    if name == "to" or (name == "into" and op == "merge"):
        return _code(name, value)
    if name == "into":
        return [value] if isinstance(value, str) else value
    return value


def _code(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput(name, "give the code of a grid")
    return value


def shape(name: str, value: Any) -> BaseGeometry:
    """A GeoJSON line or area in EPSG:4326."""
    try:
        read = shapely.from_geojson(orjson.dumps(value))
    except (shapely.GEOSException, TypeError, ValueError) as error:
        raise BadInput(name, "it is no GeoJSON geometry") from error
    wanted = _LINES if name == "line" else _AREAS
    if read.geom_type not in wanted or read.is_empty:
        raise BadInput(name, f"give a GeoJSON {' or '.join(sorted(wanted))}")
    flat = shapely.force_2d(read)
    if shapely.get_num_coordinates(flat) > MOST_VERTICES:
        raise BadInput(name, f"it has more than {MOST_VERTICES} vertices; draw it coarser")
    for place_ in shapely.get_coordinates(flat).tolist():
        place(name, place_)
    if name == "area" and not flat.is_valid:
        raise BadInput(name, f"its border crosses itself: {shapely.is_valid_reason(flat)}")
    return flat


def place(name: str, value: Any) -> tuple[float, float]:
    """A place as lon, lat."""
    if not isinstance(value, list) or len(value) < 2:
        raise BadInput(name, "give a place as [lon, lat]")
    lon, lat = value[:2]
    good = all(isinstance(one, int | float) and math.isfinite(one) for one in (lon, lat))
    if not good or not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise BadInput(name, "its lon must lie within ±180 and its lat within ±90 degrees")
    return float(lon), float(lat)
