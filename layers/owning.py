"""Which grid owns each incident on the boundaries asked for: the lowest that its place lies in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.db import Record, columns
from gis.grids import Asked
from gis.locate import Locator
from layers.locating import locator

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Owners:
    """The grids of a record, by code: those without children first, then those above, the highest last.

    The owner found at intake is not believed: it is of the scheme that was the default then, and of what was
    known of its boundaries then.
    """

    asked: Asked
    tiers: list[list[str]]
    place: dict[str, int]
    kept: dict[int, Locator] = field(default_factory=dict)
    """The shapes of a tier, once they were needed."""

    def find(self, conn: Connection, lon: npt.ArrayLike, lat: npt.ArrayLike) -> Integers:
        """Return by number the owner of each place (WGS-84 degrees, NaN for none), -1 for none.

        What lies in a grid and in none of its children is its own.
        """
        x, y = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        found = np.full(len(x), -1, dtype=np.int64)
        for number, codes in enumerate(self.tiers):
            left = np.flatnonzero((found < 0) & np.isfinite(x))
            if not len(left):
                break
            owner, _ = self._locator(conn, number).locate(x[left], y[left])
            found[left] = np.append([self.place[code] for code in codes], -1)[owner]
        return found

    def _locator(self, conn: Connection, number: int) -> Locator:
        if number not in self.kept:
            self.kept[number] = locator(conn, self.asked, self.tiers[number])
        return self.kept[number]


def owners(found: Sequence[Record], asked: Asked) -> Owners:
    """Return the owners among grids given by `code`, `level` and `parent_code`."""
    above = {row.parent_code for row in found}
    tiers: dict[float, list[str]] = {}
    for row in found:
        tiers.setdefault(row.level if row.code in above else np.inf, []).append(row.code)
    ordered = [sorted(tiers[level]) for level in sorted(tiers, reverse=True)]
    return Owners(asked, ordered, {code: at for at, code in enumerate(sorted(row.code for row in found))})


def points(
    conn: Connection, conditions: list[sa.ColumnElement[bool]], *more: sa.ColumnElement[Any]
) -> list[Any]:
    """Return lon, lat (NaN without a place) and `more` of incidents, a column each."""
    i = t.incidents.c
    place = (sa.func.ST_X(i.geom).label("lon"), sa.func.ST_Y(i.geom).label("lat"))
    return columns(conn, sa.select(*place, *more).where(*conditions), float, float, *[object] * len(more))
