"""Incidents per cell, counted from the incidents themselves, so that sums are always exact."""

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.cells import RESOLUTIONS, Cells
from gis.db import Query
from gis.errors import BadInput
from gis.schema import cells, incidents
from layers.view import View, wanted_incidents

RES_BY_ZOOM = ((9, 6), (11, 7), (13, 8), (14, 9))
"""Below the zoom, the resolution of hexagons: some 30 to 80 px wide on the screen."""
_REACH_DEG = {6: 0.12, 7: 0.05, 8: 0.02, 9: 0.008, 10: 0.003}
"""More than a cell's diameter up to 60° of latitude, in degrees: incidents of a cell that touches a box lie
within the box widened by it."""


def res_for_zoom(zoom: int) -> int:
    """Return the resolution of hexagons shown at a zoom."""
    return next((res for below, res in RES_BY_ZOOM if zoom < below), RESOLUTIONS[-1])


def cell_column(res: int) -> sa.Column[int]:
    """Return the incidents' column of cells at `res`. Raises BadInput when it is not served."""
    if res not in RESOLUTIONS:
        raise BadInput("res", f"{res} is not served; use one of {', '.join(map(str, RESOLUTIONS))}")
    return incidents.c[f"cell_{res}"]


def _within(view: View, res: int) -> list[sa.ColumnElement[bool]]:
    if view.box is None:
        return []
    west, south, east, north = view.box
    reach = _REACH_DEG[res]
    wide = sa.func.ST_MakeEnvelope(west - reach, south - reach, east + reach, north + reach, 4326)
    return [incidents.c.geom.op("&&")(wide)]


def cells_with_counts(view: View) -> Query:
    """Select the cells that hold incidents of a view, with their outline and count."""
    res = res_for_zoom(view.zoom)
    column = cell_column(res)
    counted = (
        sa.select(column.label("cell"), sa.func.count().label("count"))
        .where(column.is_not(None), *wanted_incidents(view), *_within(view, res))
        .group_by(column)
        .subquery("counted")
    )
    name = sa.func.to_hex(cells.c.cell).label("cell")
    return sa.select(
        cells.c.id, cells.c.geom, name, cells.c.res, counted.c.count
    ).join(counted, counted.c.cell == cells.c.cell)  # fmt: skip


def counts(conn: Connection, view: View, res: int) -> tuple[Cells, npt.NDArray[np.int64]]:
    """Return (cells, counts) of a view's incidents at `res`, both of shape (n,), ordered by cell."""
    column = cell_column(res)
    rows = conn.execute(
        sa.select(column, sa.func.count())
        .where(column.is_not(None), *wanted_incidents(view))
        .group_by(column)
        .order_by(column)
    ).all()
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return table[:, 0].astype(np.uint64), table[:, 1]
