"""Hexagons as mere shapes: the same for everybody and for ever, so that values alone travel."""

from functools import lru_cache
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy.dialects.postgresql import ARRAY

from gis import cells as h3
from gis import squares
from gis.crs import WGS84
from gis.db import Query
from gis.schema import cells
from layers.counts import res_for_zoom
from layers.view import View

CONSTANT_FROM = 7
"""From this zoom on a tile holds every hexagon that touches it, whether anything ever lay there or not: it
tells nothing and never changes. Below it that would be too many; there the cells that the city serves are
drawn, at a resolution of 36 km²."""


def hexagons(view: View) -> Query:
    """Select id, outline and name of the hexagons of a view's zoom, and of all coarser ones below them.

    The public is told of small places together with those around them, as a coarser cell; so those are
    there too. `id` is the part of a cell that is its own (`gis.cells.to_numbers`). The filters of the view
    play no part.
    """
    res = res_for_zoom(view.zoom)
    return _constants(res) if view.of_tile and view.zoom >= CONSTANT_FROM else _served(res)


def _served(res: int) -> Query:
    own = cells.c.cell.op("&")(h3.OWN_BITS).label("id")
    name = sa.func.to_hex(cells.c.cell).label("cell")
    return sa.select(own, cells.c.geom, name).where(cells.c.res == res)


Columns = tuple[list[int], list[bytes], list[str]]


def _constants(res: int) -> Query:
    """Select cells that need no table: they travel to the database with the statement, coarse ones first."""
    kinds: dict[str, type] = {"id": sa.BigInteger, "wkb": sa.LargeBinary, "cell": sa.Text}
    arrays = [_column(name, at, kind, res) for at, (name, kind) in enumerate(kinds.items())]
    rows = sa.func.unnest(*arrays).table_valued(*kinds).render_derived()
    geom = sa.type_coerce(sa.func.ST_GeomFromWKB(rows.c.wkb, WGS84), Geometry("POLYGON", WGS84))
    return sa.select(
        sa.type_coerce(rows.c.id, sa.BigInteger).label("id"),
        geom.label("geom"),
        sa.type_coerce(rows.c.cell, sa.Text).label("cell"),
    )


def _column(name: str, at: int, kind: type, res: int) -> sa.Cast[Any]:
    of_place = squares.OfPlace(f"hexagon_{name}", lambda place: _touching(place, res)[at], ARRAY(kind))
    return sa.cast(of_place, ARRAY(kind))


@lru_cache(maxsize=16)
def _touching(place: squares.Place, res: int) -> Columns:
    """Return number, outline (WKB) and name of the cells up to a resolution that touch a square."""
    box = squares.bounds(place, squares.MARGIN)
    found = np.concatenate([h3.covering(box, each) for each in h3.RESOLUTIONS if each <= res])
    return h3.to_numbers(found), list(shapely.to_wkb(h3.boundaries(found))), h3.to_text(found)
