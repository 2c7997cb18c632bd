"""Incidents per grid of one level, on the boundaries asked for, whenever the incidents happened."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import locate
from gis import schema as t
from gis.db import columns
from gis.grids import current
from layers.view import View, wanted_incidents


def grid_counts(
    conn: Connection, views: Sequence[View], level: int
) -> tuple[list[str], list[str], npt.NDArray[np.int64]]:
    """Return codes, names and counts (views, grids) of the grids of `level`, in the order of their codes.

    All views must be of the same record of grids; incidents that no grid of the level owns are not counted,
    nor those without a place. No grid has that level: nothing comes back.
    """
    g = t.grids.c
    shapes = sa.select(g.code, g.name, sa.func.ST_AsBinary(g.geom)).where(
        current(views[0].asked), g.level == level
    )
    found = conn.execute(shapes.order_by(g.code)).all()
    table = np.zeros((len(views), len(found)), dtype=np.int64)
    if not found:
        return [], [], table
    codes, names, wkb = (list(column) for column in zip(*found, strict=True))
    owners = locate.build(shapely.from_wkb([bytes(each) for each in wkb]), codes)
    for row, view in enumerate(views):
        lon, lat = _points(conn, view)
        if len(lon):
            owner, _ = owners.locate(lon, lat)
            table[row] = np.bincount(owner[owner >= 0], minlength=len(codes))
    return codes, names, table


def _points(conn: Connection, view: View) -> list[npt.NDArray[np.float64]]:
    i = t.incidents.c
    query = sa.select(sa.func.ST_X(i.geom).label("lon"), sa.func.ST_Y(i.geom).label("lat"))
    return columns(conn, query.where(i.geom.is_not(None), *wanted_incidents(view)), np.float64, np.float64)
