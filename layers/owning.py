"""Which leaf grid owns each incident on the boundaries asked for, without asking each place anew."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import locate
from gis import schema as t
from gis.db import columns
from gis.grids import Asked, current
from gis.locate import Locator

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Leaves:
    """The leaves of a record of grids, by code; `believed` were the same all the time asked about."""

    asked: Asked
    place: dict[str, int]
    believed: frozenset[str]
    kept: list[Locator] = field(default_factory=list)
    """The leaves' shapes, once they were needed."""

    def owners(
        self, conn: Connection, codes: npt.ArrayLike, lon: npt.ArrayLike, lat: npt.ArrayLike
    ) -> Integers:
        """Return each incident's leaf, -1 for none: as found at intake where believed, else by its place.

        `codes` (n,) are the owners at intake or None; `lon`, `lat` WGS-84 degrees, NaN without a place.
        """
        found = np.array(
            [self.place[code] if code in self.believed else -1 for code in np.asarray(codes).tolist()],
            dtype=np.int64,
        )
        x, y = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        doubted = np.flatnonzero((found < 0) & np.isfinite(x))
        if len(doubted):
            found[doubted], _ = self._locator(conn).locate(x[doubted], y[doubted])
        return found

    def _locator(self, conn: Connection) -> Locator:
        if not self.kept:
            g = t.grids.c
            shapes = sa.select(g.code, sa.func.ST_AsBinary(g.geom).label("wkb")).where(current(self.asked))
            by_code = {row.code: row.wkb for row in conn.execute(shapes)}
            wkb = [bytes(by_code[code]) for code in self.place]
            self.kept.append(locate.build(shapely.from_wkb(wkb), list(self.place)))
        return self.kept[0]


def leaves(parent: dict[str, str | None], since: dict[str, date | None], asked: Asked, start: date) -> Leaves:
    """Return the leaves among grids given by their parents, `since` which day each has its boundary."""
    codes = sorted(parent.keys() - set(parent.values()))
    believed = frozenset(code for code in codes if (since[code] or start) <= start)
    return Leaves(asked, {code: number for number, code in enumerate(codes)}, believed)


def points(
    conn: Connection, conditions: list[sa.ColumnElement[bool]], *more: sa.ColumnElement[Any]
) -> list[Any]:
    """Return owner at intake, lon, lat (NaN without a place) and `more` of incidents, a column each."""
    i = t.incidents.c
    place = (sa.func.ST_X(i.geom).label("lon"), sa.func.ST_Y(i.geom).label("lat"))
    query = sa.select(i.grid_code, *place, *more).where(*conditions)
    return columns(conn, query, object, float, float, *[object] * len(more))
