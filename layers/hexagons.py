"""Hexagons as mere shapes: the same for everybody and for ever, so that values alone travel."""

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy.dialects.postgresql import ARRAY

from gis import cells as h3
from gis.cells import Cells
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
    if view.box is None or view.zoom < CONSTANT_FROM:
        return _served(res)
    found = np.concatenate([h3.covering(view.box, each) for each in h3.RESOLUTIONS if each <= res])
    return _constants(found, h3.boundaries(found))


def _served(res: int) -> Query:
    own = cells.c.cell.op("&")(h3.OWN_BITS).label("id")
    name = sa.func.to_hex(cells.c.cell).label("cell")
    return sa.select(own, cells.c.geom, name).where(cells.c.res == res)


def _constants(found: Cells, outlines: npt.NDArray[np.object_]) -> Query:
    """Select cells that need no table: they travel to the database in the statement, coarse ones first."""
    parts: dict[str, tuple[list[object], type]] = {
        "id": (list(h3.to_numbers(found)), sa.BigInteger),
        "wkb": (list(shapely.to_wkb(outlines)), sa.LargeBinary),
        "cell": (list(h3.to_text(found)), sa.Text),
    }
    arrays: list[sa.Cast[Any]] = [sa.cast(values, ARRAY(kind)) for values, kind in parts.values()]
    rows = sa.func.unnest(*arrays).table_valued(*parts).render_derived()
    geom = sa.type_coerce(sa.func.ST_GeomFromWKB(rows.c.wkb, WGS84), Geometry("POLYGON", WGS84))
    return sa.select(
        sa.type_coerce(rows.c.id, sa.BigInteger).label("id"),
        geom.label("geom"),
        sa.type_coerce(rows.c.cell, sa.Text).label("cell"),
    )
