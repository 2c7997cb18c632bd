"""The ground a plan stands on: the coverage of its scope as known at a revision, kept between questions."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import TypeVar, cast

import numpy as np
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis import coverage, faults, plan_outside
from gis.errors import Faulty, NotDrawable, NotFound
from gis.grids import Asked, current
from gis.plan_diff import Delta, applied
from gis.schema import grids, revisions
from gis.settle import Coverage, Grid, is_grid
from gis.spare import cover

MOST_FAULTS = 2000
"""Faults in the way of a plan that are listed."""
KEPT = 16
"""Coverages a process keeps: a city of 5,500 grids takes some 20 MB."""

T = TypeVar("T")


@dataclass(frozen=True)
class Base:
    """A scope's coverage on a day as known at a revision."""

    asked: Asked
    scope: str
    cov: Coverage

    @cached_property
    def ground(self) -> dict[str, BaseGeometry]:
        """The lowest grids in EPSG:4326."""
        return ground_of(self.cov, {})


def ground_of(
    cov: Coverage, known: dict[str, BaseGeometry], of: Coverage | None = None
) -> dict[str, BaseGeometry]:
    """The lowest grids of a coverage in EPSG:4326; what `of` has alike is taken from `known`."""
    same = {c for c in known if of is not None and cov.shapes.get(c) is of.shapes.get(c)}
    same -= {*cov.claims, *(of.claims if of is not None else ())}
    new = [code for code in cov.shapes if code not in same and is_grid(code)]
    shapes = coverage.to_degrees(np.array([cov.shape(code) for code in new], dtype=object))
    made = dict(zip(new, shapes, strict=True))
    return {code: known[code] if code in same else made[code] for code in sorted(cov.shapes) if is_grid(code)}


class _Kept:
    """Coverages by what they are of; the one used longest ago goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], object] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[object, ...]) -> object | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[object, ...], value: object) -> None:
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)


_KEPT = _Kept()


def load(conn: Connection, asked: Asked, scope: str) -> Base:
    """Return a scope's coverage; raises NotFound when the scope has no boundary on that day and revision.

    What was published is never rewritten, so a coverage once read holds.
    """
    key = ("base", str(conn.engine.url), _moment(conn, asked), asked, scope)
    found = _KEPT.get(key)
    if not isinstance(found, Base):
        found = Base(asked, scope, _read(conn, asked, scope))
        _KEPT.put(key, found)
    return found


def _moment(conn: Connection, asked: Asked) -> str:
    """When the revision was made: numbers begin anew when a city is loaded afresh."""
    known = sa.select(revisions.c.known_at).where(revisions.c.id == asked.known)
    return str(conn.execute(known).scalar())


def drafted(
    conn: Connection, base: Base, plan: tuple[int, int | None, object], delta: Delta | None
) -> Coverage | None:
    """Return the coverage of a plan at a step: as kept, else made of `delta`; None where neither is there."""
    key = ("draft", str(conn.engine.url), base.asked, base.scope, *plan)
    found = _KEPT.get(key)
    if not isinstance(found, Coverage):
        found = None if delta is None else keep(conn, base, plan, applied(base.cov, delta))
    return found


def keep(conn: Connection, base: Base, plan: tuple[int, int | None, object], cov: Coverage) -> Coverage:
    """Keep the coverage of a plan at a step, which is never rewritten either."""
    _KEPT.put(("draft", str(conn.engine.url), base.asked, base.scope, *plan), cov)
    return cov


def reckoned(conn: Connection, asked: Asked, of: tuple[object, ...], make: Callable[[], T]) -> T:
    """Return what was reckoned of a map as known at a revision, which is never rewritten: kept, else made."""
    key = ("reckoned", str(conn.engine.url), _moment(conn, asked), asked, *of)
    found = _KEPT.get(key)
    if found is None:
        found = make()
        _KEPT.put(key, found)
    return cast(T, found)


def _below(asked: Asked, scope: str) -> sa.CTE:
    """The codes of a grid and all below it."""
    down = sa.select(grids.c.code).where(current(asked), grids.c.code == scope).cte("down", recursive=True)
    return down.union(
        sa.select(grids.c.code).join(down, grids.c.parent_code == down.c.code).where(current(asked))
    )


def _read(conn: Connection, asked: Asked, scope: str) -> Coverage:
    g, down = grids.c, _below(asked, scope)
    columns = (g.code, g.level, g.parent_code, g.name, g.display_order, g.kind)
    wkb = sa.func.ST_AsBinary(g.geom)
    inside = sa.select(*columns, wkb).join(down, down.c.code == g.code)
    rows = conn.execute(inside.where(current(asked)).order_by(g.code)).all()
    if not rows:
        raise NotFound(f"grid {scope} of scheme {asked.scheme} has no boundary on {asked.on}")
    shapes = dict(zip((row.code for row in rows), shapely.from_wkb([row[-1] for row in rows]), strict=True))
    members = [Grid(r.code, r.level, r.parent_code, r.name, r.display_order or 0, r.kind or "") for r in rows]
    cov = laid(members, {c: _plain(shape) for c, shape in shapes.items()})
    return replace(cov, outside=plan_outside.read(conn, asked, scope, cov))


def laid(members: list[Grid], shapes: dict[str, BaseGeometry]) -> Coverage:
    """The coverage of grids (EPSG:4326); raises Faulty with the faults in the way where there is none."""
    try:
        return cover(members, shapes)
    except NotDrawable as error:
        above = {grid.parent for grid in members}
        lowest = {grid.code: shapes[grid.code] for grid in members if grid.code not in above}
        found = [one for one in faults.check(lowest, advice=False) if one.severity == "error"]
        told = faults.to_geojson(found[:MOST_FAULTS])
        raise Faulty(f"{error} ({len(found)} errors)", told) from error


def _plain(shape: BaseGeometry) -> BaseGeometry:
    """A MultiPolygon of one part as that part."""
    parts = shapely.get_parts(shape)
    return parts[0] if len(parts) == 1 else shape
