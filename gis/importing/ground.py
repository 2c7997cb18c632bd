"""The city's ground as an import sees it: its box, and who owns a point on a day, as known now."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import sqlalchemy as sa
from shapely import affinity
from sqlalchemy.engine import Connection

from gis import locate
from gis.crs import WGS84
from gis.importing.parsing import Bools, Floats, objects
from gis.schema import grids, schemes

Codes = npt.NDArray[np.object_]
Days = npt.NDArray[np.datetime64]
KM_PER_DEGREE = 111.32
_CLOSE = 0.02
"""Degrees: more than any datum shifts."""
_BEYOND = 1e6
"""Degrees no place has: what is further out is as far out, and does not overflow."""
_EVER, _NEVER = np.datetime64(date.min), np.datetime64(date.max)


@dataclass(frozen=True)
class Ground:
    """Grids as known at the newest revision: the box of all, and the polygons of the default scheme.

    `box`: west, south, east, north in degrees, None while there are no grids.
    """

    box: tuple[float, float, float, float] | None
    code: Codes
    level: npt.NDArray[np.int64]
    shape: Codes
    first: npt.NDArray[np.datetime64]
    after: npt.NDArray[np.datetime64]
    bins: int = locate.BINS
    _locators: dict[tuple[int, int], tuple[locate.Locator, Codes]] = field(default_factory=dict, repr=False)

    def owners(self, lon: Floats, lat: Floats, days: Days) -> Codes:
        """Return the code of the deepest grid that owns each point on its day, None where none does."""
        result: Codes = np.full(len(lon), None, dtype=object)
        period = self.periods(days)
        for one in np.unique(period):
            here = np.flatnonzero(period == one)
            result[here] = self._owners_within(lon[here], lat[here], int(one), days[here[0]])
        return result

    def periods(self, days: Days) -> npt.NDArray[np.int64]:
        """Return a number for each day; on days of one number the grids are the same."""
        turns = np.unique(np.concatenate([self.first, self.after]))
        return np.searchsorted(turns, days, side="right")

    def _owners_within(self, lon: Floats, lat: Floats, period: int, on: np.datetime64) -> Codes:
        result: Codes = np.full(len(lon), None, dtype=object)
        left = np.arange(len(lon))
        for level in np.unique(self.level)[::-1]:
            if not len(left):
                break
            locator, codes = self._locator(period, int(level), on)
            owner, _ = locator.locate(lon[left], lat[left])
            result[left] = codes[owner]
            left = left[owner < 0]
        return result

    def _locator(self, period: int, level: int, on: np.datetime64) -> tuple[locate.Locator, Codes]:
        key = (period, level)
        if key not in self._locators:
            live = (self.level == level) & (self.first <= on) & (on < self.after)
            codes = objects([*self.code[live], None])  # -1, no owner, is the last
            self._locators[key] = (locate.build(self.shape[live], list(codes[:-1]), self.bins), codes)
        return self._locators[key]

    def shape_of(self, codes: Codes) -> Codes:
        """Return the newest polygon of each code, None for codes that are no grid."""
        order = np.argsort(self.first, kind="stable")
        known = dict(zip(self.code[order], self.shape[order], strict=True))
        return objects([known.get(code) for code in codes])

    def metres_from(self, codes: Codes, lon: Floats, lat: Floats) -> Floats:
        """Return the distance of each point to the grid of its code as it was on any day, in metres.

        NaN where the code is no grid.
        """
        apart = np.full(len(lon), np.nan)
        known = np.isin(codes, self.code)
        for at in np.flatnonzero(known):
            ever = self.shape[self.code == codes[at]]
            apart[at] = metres_apart(ever, *np.full((2, len(ever)), [[lon[at]], [lat[at]]])).min()
        return apart

    def km_outside(self, lon: Floats, lat: Floats) -> Floats:
        """Return how far each point lies outside the box of all grids, in km; 0 inside or without grids."""
        if self.box is None:
            return np.zeros(len(lon))
        west, south, east, north = self.box
        lon, lat = (np.clip(one, -_BEYOND, _BEYOND) for one in (lon, lat))
        dx = np.maximum(0, np.maximum(west - lon, lon - east)) * np.cos(np.radians((south + north) / 2))
        dy = np.maximum(0, np.maximum(south - lat, lat - north))
        return np.asarray(np.hypot(dx, dy) * KM_PER_DEGREE)


def load(conn: Connection, near: tuple[float, float] | None = None) -> Ground:
    """Return the ground as known now; with `near`, a point of any datum, only polygons close to it."""
    current = sa.func.upper_inf(grids.c.known)
    extent = sa.func.ST_Extent(grids.c.geom)
    corners = [f(extent) for f in (sa.func.ST_XMin, sa.func.ST_YMin, sa.func.ST_XMax, sa.func.ST_YMax)]
    box: Any = conn.execute(sa.select(*corners).where(current)).one()
    wkb = sa.func.ST_AsBinary(grids.c.geom).label("wkb")
    wanted = sa.select(grids.c.code, grids.c.level, grids.c.valid, wkb).where(current, schemes.c.is_default)
    if near is not None:
        around = sa.func.ST_Expand(sa.func.ST_SetSRID(sa.func.ST_MakePoint(*near), WGS84), _CLOSE)
        wanted = wanted.where(grids.c.geom.op("&&")(around))
    rows = conn.execute(wanted.join(schemes, schemes.c.name == grids.c.scheme)).all()
    return Ground(
        box=None if box[0] is None else tuple(box),
        code=np.array([row.code for row in rows], dtype=object),
        level=np.array([row.level for row in rows], dtype=np.int64),
        shape=np.asarray(shapely.from_wkb([bytes(row.wkb) for row in rows]), dtype=object),
        first=np.array([row.valid.lower or _EVER for row in rows], dtype="datetime64[D]"),
        after=np.array([row.valid.upper or _NEVER for row in rows], dtype="datetime64[D]"),
        bins=locate.BINS if near is None else 1,
    )


def metres_apart(shapes: Codes, lon: Floats, lat: Floats) -> Floats:
    """Return the distance of each point to its own polygon in metres, NaN without one.

    Degrees are scaled to metres at the point's latitude; to 0.3 % over a few kilometres.
    """
    scale = 1 / np.cos(np.radians(lat))
    result = np.full(len(lon), np.nan)
    for at in np.flatnonzero(shapes != np.array(None)):
        flat = affinity.scale(shapes[at], 1, scale[at], origin=(0, 0))
        result[at] = shapely.distance(flat, shapely.Point(lon[at], lat[at] * scale[at]))
    return result * KM_PER_DEGREE * 1000 / scale


def only(rows: Bools, things: Codes) -> Codes:
    """Return things with None in place of those that are not in `rows`."""
    kept = things.copy()
    kept[~rows] = None
    return kept


def nowhere(owners: Codes) -> Bools:
    """Return which points no grid owns."""
    return np.asarray(owners == np.array(None), dtype=bool)
