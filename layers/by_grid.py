"""Incidents per grid of one level, on the boundaries asked for, whenever the incidents happened."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.db import columns
from gis.grids import Asked, current
from gis.locate import Locator
from layers.delays import is_reported, mean_share, unreported
from layers.locating import locator
from layers.view import View, wanted_incidents


def grid_counts(
    conn: Connection, views: Sequence[View], level: int
) -> tuple[list[str], list[str], npt.NDArray[np.int64]]:
    """Return codes, names and counts (views, grids) of the grids of `level`, in the order of their codes.

    All views must be of the same record of grids; incidents that no grid of the level owns are not counted,
    nor those without a place. No grid has that level: nothing comes back.
    """
    codes, names, owners = grids_of_level(conn, views[0].asked, level)
    table = np.zeros((len(views), len(codes)), dtype=np.int64)
    for row, view in enumerate(views):
        lon, lat = _points(conn, view)
        if len(lon) and owners is not None:
            owner, _ = owners.locate(lon, lat)
            table[row] = np.bincount(owner[owner >= 0], minlength=len(codes))
    return codes, names, table


def grids_of_level(conn: Connection, asked: Asked, level: int) -> tuple[list[str], list[str], Locator | None]:
    """Return codes and names of the grids of `level`, in the order of their codes, and who owns a place.

    No grid has that level: nothing comes back.
    """
    g = t.grids.c
    known = sa.select(g.code, g.name).where(current(asked), g.level == level)
    found = conn.execute(known.order_by(g.code)).all()
    if not found:
        return [], [], None
    codes = [row.code for row in found]
    return codes, [row.name for row in found], locator(conn, asked, codes)


def reported_grids(conn: Connection, view: View, level: int) -> npt.NDArray[np.bool_]:
    """Say of which grids of a level enough of a closed period is reported to compare it with another.

    A grid of too few incidents to know their delay is as all that the view is of.
    """
    found = unreported(conn, view)
    codes, _, owners = grids_of_level(conn, view.asked, level)
    if found is None or owners is None:
        return np.ones(len(codes), dtype=bool)
    owner, _ = owners.locate(found.lon, found.lat)
    owned = owner >= 0
    held = np.bincount(owner[owned], minlength=len(codes))
    summed = np.bincount(owner[owned], weights=found.share[owned], minlength=len(codes))
    return is_reported(mean_share(summed, held, found.whole), found.whole)


def _points(conn: Connection, view: View) -> list[npt.NDArray[np.float64]]:
    i = t.incidents.c
    query = sa.select(sa.func.ST_X(i.geom).label("lon"), sa.func.ST_Y(i.geom).label("lat"))
    return columns(conn, query.where(i.geom.is_not(None), *wanted_incidents(view)), np.float64, np.float64)
