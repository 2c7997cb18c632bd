"""The cells a city serves: their areas, how much of each lies inside, who lives there, who is near."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely
import sqlalchemy as sa
from geoalchemy2 import Geography
from scipy import sparse
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.cells import Cells
from gis.db import columns
from gis.grids import current, owned, shape
from layers.counts import cell_column
from layers.view import View

Floats = npt.NDArray[np.float64]
Per = Literal["household", "building", "km2"]
"""What a rate is told per."""
OF = {"household": 1000, "building": 1000, "km2": 1}
"""How many of it: incidents per 1,000 households, per 1,000 buildings, per km²."""
LEAST_SHARE = 0.05
"""A cell of which less lies inside counts as this much: the density of a sliver says nothing."""
_CLIPS = 8
"""Boxes per side into which a long border is cut before the cells on it are."""


@dataclass(frozen=True)
class Served:
    """Every cell that ever held a feature of the city (or touches the area asked for), ordered by index."""

    cells: Cells
    area_m2: Floats
    """Of the whole hexagon."""
    share: Floats
    """Share of it inside the city, or inside the area and scope asked for; holes are outside."""

    @property
    def inside_m2(self) -> Floats:
        """Area inside, at least LEAST_SHARE of the hexagon's."""
        inside: Floats = self.area_m2 * np.maximum(self.share, LEAST_SHARE)
        return inside

    def spread(self, cells: Cells, values: npt.ArrayLike) -> Floats:
        """Lay values of some of the cells over all of them; the others get 0."""
        laid = np.zeros(len(self.cells))
        laid[np.searchsorted(self.cells, cells)] = values
        return laid

    def disc(self, k: int = 1) -> sparse.csr_array:
        """Return the (n, n) 0/1 matrix of which served cells lie within `k` steps of each."""
        return _nearest(self.cells.tobytes()) if k == 1 else _disc(self.cells, k)

    def disc_share(self, k: int = 1) -> Floats:
        """Return how much of each cell's disc is served, 0..1: less at edges, holes and in thin country."""
        full = 1 + 3 * k * (k + 1)
        around: Floats = self.disc(k) @ self.share
        return np.minimum(1.0, around / full)


def served(conn: Connection, res: int, view: View) -> Served:
    """Return the served cells of a view. Raises BadInput for a resolution that is not served."""
    cell_column(res)
    c = t.cells.c
    query = sa.select(c.cell, c.area_m2).where(c.res == res).order_by(c.cell)
    if view.area is not None:
        query = query.where(sa.func.ST_Intersects(c.geom, shape(view.asked, view.area)))
    if view.scope is not None:
        query = query.where(sa.func.ST_Intersects(c.geom, shape(*view.scope)))
    cells, area_m2 = columns(conn, query, np.uint64, np.float64)
    return _outside(conn, view, Served(cells, area_m2, _shares(cells.tobytes(), *_borders(conn, view))))


def whole_m2(conn: Connection, view: View) -> float | None:
    """Return the area of all that a view looks at, where nothing ever happened as well; None without grids.

    That of the city's highest grids, or of the area and scope asked for, in m² on the sphere, as of cells.
    """
    borders = [shapely.from_wkb(border) for border in _borders(conn, view)]
    if not borders:
        return None
    whole = sa.func.ST_GeomFromWKB(shapely.to_wkb(shapely.intersection_all(borders)), 4326)
    geography = sa.cast(whole, Geography())
    return float(conn.execute(sa.select(sa.func.ST_Area(geography, False))).scalar_one()) or None


def _outside(conn: Connection, view: View, of: Served) -> Served:
    """Return the served cells that do not lie wholly in grids which a view leaves out, with their rest."""
    left = np.zeros(len(of.cells))
    for code in view.without:
        border = conn.execute(sa.select(sa.func.ST_AsBinary(shape(view.asked, code)))).scalar_one()
        left += _shares(of.cells.tobytes(), bytes(border))
    kept = left < 1
    return (
        Served(of.cells[kept], of.area_m2[kept], np.maximum(of.share - left, 0)[kept]) if left.any() else of
    )


def exposure(conn: Connection, res: int, view: View, of: Served, per: Per) -> Floats:
    """Return what incidents are held against in each cell: households, buildings or km² inside."""
    if per == "km2":
        return of.inside_m2 / 1e6
    b = t.buildings.c
    held = sa.func.count() if per == "building" else sa.func.coalesce(sa.func.sum(b.households), 0)
    column = b[cell_column(res).name]
    query = sa.select(column, held).where(column.is_not(None), *inside(view, b.point)).group_by(column)
    found, values = columns(conn, query, np.uint64, np.float64)
    known = np.isin(found, of.cells)
    return of.spread(found[known], values[known])


def inside(view: View, point: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that a point lies in the area and the scope of a view."""
    wanted = [(view.asked, view.area)] if view.area is not None else []
    wanted += [view.scope] if view.scope is not None else []
    left = [~sa.func.coalesce(owned(point, view.asked, code), sa.false()) for code in view.without]
    return [*(owned(point, *each) for each in wanted), *left]


def _borders(conn: Connection, view: View) -> tuple[bytes, ...]:
    """Return the shapes (WKB) that all of an answer lies in: area and scope, else the highest grids."""
    codes = [(view.asked, view.area)] if view.area is not None else []
    codes += [view.scope] if view.scope is not None else []
    if codes:
        wanted = [sa.select(sa.func.ST_AsBinary(shape(*each))) for each in codes]
    else:
        g = t.grids.c
        top = sa.select(sa.func.min(g.level)).where(current(view.asked)).scalar_subquery()
        union = sa.func.ST_AsBinary(sa.func.ST_Union(g.geom))
        wanted = [sa.select(union).where(current(view.asked), g.level == top)]
    found = (conn.execute(each).scalar() for each in wanted)
    return tuple(bytes(wkb) for wkb in found if wkb is not None)


@lru_cache(maxsize=16)
def _shares(cells: bytes, *borders: bytes) -> Floats:
    """Return the share of each cell inside all borders; a city without any grid is served everywhere."""
    outlines = h3.boundaries(np.frombuffer(cells, dtype=np.uint64))
    share = np.ones(len(outlines))
    for border in borders:
        share = np.minimum(share, _share(outlines, shapely.from_wkb(border)))
    share.flags.writeable = False
    return share


def _share(outlines: npt.NDArray[np.object_], area: BaseGeometry) -> Floats:
    shapely.prepare(area)
    within = shapely.contains_properly(area, outlines)
    edge = np.flatnonzero(~within & shapely.intersects(area, outlines))
    share = within.astype(np.float64)
    share[edge] = _overlap(outlines[edge], area) / shapely.area(outlines[edge])
    return share


def _overlap(outlines: npt.NDArray[np.object_], area: BaseGeometry) -> Floats:
    """Return the area of each outline inside; a long border is cut into boxes first."""
    found = np.zeros(len(outlines))
    if not len(outlines):
        return found
    bounds = shapely.bounds(outlines)
    low, high = bounds[:, :2].min(axis=0), bounds[:, :2].max(axis=0) + 1e-9
    column, row = ((bounds[:, :2] - low) / (high - low) * _CLIPS).astype(int).T
    for box in np.unique(column * _CLIPS + row):
        here = np.flatnonzero(column * _CLIPS + row == box)
        near = shapely.box(*bounds[here, :2].min(axis=0), *bounds[here, 2:].max(axis=0))
        found[here] = shapely.area(shapely.intersection(outlines[here], shapely.intersection(area, near)))
    return found


@lru_cache(maxsize=8)
def _nearest(cells: bytes) -> sparse.csr_array:
    return _disc(np.frombuffer(cells, dtype=np.uint64), 1)


def _disc(cells: Cells, k: int) -> sparse.csr_array:
    rows, near = h3.disc_pairs(cells, k)
    place = np.minimum(np.searchsorted(cells, near), max(len(cells) - 1, 0))
    known = cells[place] == near if len(cells) else np.zeros(0, dtype=bool)
    rows, place = rows[known], place[known]
    return sparse.csr_array((np.ones(len(rows)), (rows, place)), shape=(len(cells), len(cells)))
