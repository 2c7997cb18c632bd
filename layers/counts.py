"""Incidents per cell, counted from the incidents themselves, so that sums are always exact."""

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.cells import RESOLUTIONS, Cells
from gis.db import Query, columns
from gis.errors import BadInput
from gis.schema import cells, incidents
from layers import public
from layers.view import View, wanted_incidents

RES_BY_ZOOM = ((9, 6), (11, 7), (13, 8), (14, 9))
"""Below the zoom, the resolution of hexagons: some 30 to 80 px wide on the screen."""


def res_for_zoom(zoom: int) -> int:
    """Return the resolution of hexagons shown at a zoom."""
    return next((res for below, res in RES_BY_ZOOM if zoom < below), RESOLUTIONS[-1])


def cell_column(res: int) -> sa.Column[int]:
    """Return the incidents' column of cells at `res`. Raises BadInput when it is not served."""
    if res not in RESOLUTIONS:
        raise BadInput("res", f"{res} is not served; use one of {', '.join(map(str, RESOLUTIONS))}")
    return incidents.c[f"cell_{res}"]


def _per_cell(view: View, res: int) -> Query:
    """Select cell and count of a view's incidents."""
    column = cell_column(res)
    if view.suppressed:
        return public.counts_of(view, res)
    return (
        sa.select(column.label("cell"), sa.func.count().label("count"))
        .where(column.is_not(None), *wanted_incidents(view))
        .group_by(column)
    )


def cells_with_counts(view: View) -> Query:
    """Select the cells that hold incidents of a view, with their outline and count."""
    counted = _per_cell(view, res_for_zoom(view.zoom)).subquery("counted")
    name = sa.func.to_hex(cells.c.cell).label("cell")
    return sa.select(
        cells.c.id, cells.c.geom, name, cells.c.res, counted.c.count
    ).join(counted, counted.c.cell == cells.c.cell)  # fmt: skip


def counts(conn: Connection, view: View, res: int) -> tuple[Cells, npt.NDArray[np.int64]]:
    """Return (cells, counts) of a view's incidents at `res`, both of shape (n,), ordered by cell."""
    found, number = columns(conn, _per_cell(view, res).order_by("cell"), np.uint64, np.int64)
    return found, number
