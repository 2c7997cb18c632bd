"""What a pointer on a draft means: the nearest vertex, border or road within reach."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import coverage, lattice
from gis.coverage import Floats
from gis.plan_around import near
from gis.schema import roads
from gis.settle import Coverage, edges_of
from gis.tolerances import metres_per_unit


@dataclass(frozen=True)
class Snap:
    """A place to snap to: what it is, where (EPSG:4326), and how far off in metres."""

    kind: str
    lon: float
    lat: float
    distance_m: float


def snap(conn: Connection, cov: Coverage, lon: float, lat: float, reach_m: float) -> list[dict[str, Any]]:
    """The nearest vertex, border and road within so many metres: a vertex first, then by distance."""
    scale = np.array(metres_per_unit(lat), dtype=float)
    at = np.round(np.array([lon, lat]) * coverage.UNITS_PER_DEGREE)
    box = shapely.box(*(at - reach_m / scale), *(at + reach_m / scale))
    found = [*_of_grids(cov, at, box, scale), *_of_roads(conn, at, box, scale)]
    within = [one for one in found if one.distance_m <= reach_m]
    return [asdict(one) for one in sorted(within, key=lambda one: (one.kind != "vertex", one.distance_m))]


def _of_grids(cov: Coverage, at: Floats, box: shapely.Polygon, scale: Floats) -> list[Snap]:
    """The nearest vertex and the nearest place on an edge of the grids near a box (units)."""
    shapes = [cov.shapes[key] for key in cov.near(box)]
    if not shapes:
        return []
    vertices = shapely.get_coordinates(shapes)
    vertex = vertices[int(np.argmin(np.hypot(*((vertices - at) * scale).T)))]
    low, high = edges_of(shapes)
    run, own = (high - low) * scale, (at - low) * scale
    share = ((own * run).sum(axis=1) / np.maximum((run * run).sum(axis=1), 1e-12)).clip(0.0, 1.0)
    best = int(np.argmin(np.hypot(*(own - run * share[:, None]).T)))
    border = lattice.whole(low[best] + (high - low)[best] * share[best], low[best], high[best])
    return [_snap("vertex", vertex, at, scale), _snap("border", np.array(border, dtype=float), at, scale)]


def _of_roads(conn: Connection, at: Floats, box: shapely.Polygon, scale: Floats) -> list[Snap]:
    """The nearest place on a road near a box (units)."""
    degrees = shapely.transform(box, lambda xy: xy / coverage.UNITS_PER_DEGREE)
    rows = near(conn, roads.c.geom, [sa.func.ST_AsBinary(roads.c.geom)], [degrees])
    if not rows:
        return []
    units = shapely.from_wkb([bytes(row[1]) for row in rows])
    metres = shapely.transform(units, lambda xy: (xy * coverage.UNITS_PER_DEGREE - at) * scale)
    origin = shapely.Point(0, 0)
    line = metres[int(np.argmin(shapely.distance(metres, origin)))]
    place = np.array(line.interpolate(line.project(origin)).coords[0])
    return [_snap("road", at + place / scale, at, scale)]


def _snap(kind: str, there: Floats, at: Floats, scale: Floats) -> Snap:
    lon, lat = (there / coverage.UNITS_PER_DEGREE).round(7).tolist()
    return Snap(kind, lon, lat, round(float(np.hypot(*((there - at) * scale))), 3))
