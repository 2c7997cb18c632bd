"""What a draft changes: who and what changes owner, and what each grid has to do before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection

from gis import coverage, impact, plan_store
from gis.coverage import Floats
from gis.grids import current
from gis.impact import Points
from gis.plan_around import near
from gis.plan_base import ground_of
from gis.plan_diff import Change, Version
from gis.plan_outlines import bent
from gis.plans import Draft
from gis.publishing_proof import as_recorded
from gis.publishing_record import heirs, lineage_of
from gis.record_span import incident_span
from gis.schema import buildings, cameras, grids, incidents, places, posts, roads, staff
from gis.settle import changed, is_grid

OVER = ("closed", "withdrawn")
"""States in which an incident is nobody's business any more."""
_NONE = shapely.Polygon()
_MONTH_S = 365.2425 / 12 * 86_400

_POINTS: Mapping[str, tuple[sa.Column[Any], sa.ColumnElement[Any]]] = {
    "buildings": (buildings.c.point, sa.func.coalesce(buildings.c.households, 0)),
    "cameras": (cameras.c.geom, sa.literal(1)),
    "places": (places.c.point, sa.literal(1)),
    "incidents": (incidents.c.geom, sa.cast(incidents.c.state.not_in(OVER), sa.Integer)),
}
"""The place of each kind of object, and its weight: households; 1 for an open incident."""
_NAMES: Mapping[str, sa.ColumnElement[Any]] = {
    "buildings": sa.func.coalesce(buildings.c.name, buildings.c.address),
    "cameras": cameras.c.name,
    "places": places.c.name,
    "incidents": incidents.c.code,
}
LISTS = (*_POINTS, "staff")


@dataclass(frozen=True)
class Objects:
    """Objects of one kind near the changed grids: ids, and places with weights."""

    ids: Floats
    points: Points


class Impact:
    """The impact of a draft; each part is reckoned when it is asked for."""

    def __init__(self, conn: Connection, here: Draft) -> None:
        self._conn, self._here = conn, here
        self.codes = changed(here.base.cov, here.cov)
        self.old = here.base.ground
        self.new = ground_of(here.cov, self.old, here.base.cov)

    def _changed(self, side: Mapping[str, BaseGeometry]) -> dict[str, BaseGeometry]:
        return {code: side[code] for code in self.codes if code in side}

    @cached_property
    def _shapes(self) -> list[BaseGeometry]:
        """The ground of the changed lowest grids before and after, a box for each."""
        both = [(self.old.get(code, _NONE), self.new.get(code, _NONE)) for code in self.codes]
        return [shapely.box(*shapely.total_bounds(list(pair))) for pair in both]

    @cached_property
    def objects(self) -> dict[str, Objects]:
        """What lies near the changed grids."""
        found = {}
        for name, (geom, weight) in _POINTS.items():
            live = [geom.table.c.state != "withdrawn"] if name == "incidents" else []
            columns = (sa.func.ST_X(geom), sa.func.ST_Y(geom), weight)
            rows = near(self._conn, geom, columns, self._shapes, *live)
            unzipped = zip(*rows, strict=True) if rows else [()] * 4
            ids, lon, lat, weights = (np.array(column, dtype=float) for column in unzipped)
            found[name] = Objects(ids, Points(lon, lat, weights))
        return found

    @cached_property
    def moved(self) -> pd.DataFrame:
        """The objects that change owner: layer, id, before, after, weight, lon, lat, by layer and id."""
        table = impact.impact(self.old, self.new, {name: of.points for name, of in self.objects.items()})
        for column, take in {"id": lambda of: of.ids, "lon": _lon, "lat": _lat}.items():
            pairs = zip(table["layer"], table["row"], strict=True)
            values = [take(self.objects[layer])[row] for layer, row in pairs]
            table[column] = np.array(values, dtype=float)
        closed = (table["layer"] == "incidents") & (table["weight"] == 0)
        table = table[~closed].astype({"id": np.int64}).drop(columns="row")
        return table.sort_values(["layer", "id"], ignore_index=True)

    @cached_property
    def lineage(self) -> pd.DataFrame:
        """Where the ground of each changed grid goes, level by level, as it will be stored."""
        return lineage_of(self._conn, self._recorded)

    @cached_property
    def _recorded(self) -> dict[str, Change]:
        """Every grid that differs, as it is recorded and as it will be."""
        return as_recorded(self._here.base.cov, self._here.cov)

    @cached_property
    def uppers(self) -> list[dict[str, Any]]:
        """The upper grids that come, go, or get or lose ground: code, name, level, m² before and after."""
        real = {c: pair for c, pair in self._recorded.items() if is_grid(c) and not bent(*pair)}
        upper = {code: pair for code, pair in real.items() if any(one and not one.leaf for one in pair)}
        g, base = grids.c, self._here.base
        stored = sa.select(g.code, g.area_m2).where(current(base.asked), g.code.in_(upper))
        before = {row.code: float(row.area_m2) for row in self._conn.execute(stored)}
        return [_upper(code, before.get(code), *pair) for code, pair in upper.items()]

    @cached_property
    def staff(self) -> pd.DataFrame:
        """Those whose grid goes: id, name, post, before, after."""
        passed = heirs(self._here.base.cov, self._here.cov, self.lineage, "before", "after")
        ids = plan_store.ids_of(self._conn, self._here.plan.scheme, passed)
        codes = {ids[code]: code for code in passed if code in ids}
        p, day = posts.c, self._here.plan.effective_on
        query = sa.select(staff.c.id, staff.c.name, p.post, p.grid_id).join(staff, staff.c.id == p.staff_id)
        held = query.where(p.grid_id.in_(codes), p.valid.overlaps(Range(day, None))).order_by(staff.c.id)
        of = [(row, codes[row.grid_id]) for row in self._conn.execute(held)]
        rows = [(row.id, row.name, row.post, code, passed[code]) for row, code in of]
        return pd.DataFrame(rows, columns=["id", "name", "post", "before", "after"])

    def counts(self) -> dict[str, int]:
        """How many of each kind change owner, and the households among them."""
        by_layer = self.moved.groupby("layer").size()
        houses = self.moved[self.moved["layer"] == "buildings"]
        return {name: int(by_layer.get(name, 0)) for name in _POINTS} | {
            "households": int(houses["weight"].sum()),
            "staff": len(self.staff),
        }

    def listed(self, kind: str, after: int, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """A page of those that change owner, by id, with their names; and whether there are more."""
        table = self.staff if kind == "staff" else self.moved[self.moved["layer"] == kind]
        page = table[table["id"] > after].head(limit + 1)
        rows = _records(page.head(limit))
        if kind != "staff":
            names = self._names(kind, [row["id"] for row in rows])
            rows = [{"id": row["id"], "name": names.get(row["id"])} | _told(kind, row) for row in rows]
        return rows, len(page) > limit

    def _names(self, kind: str, ids: list[int]) -> dict[int, str | None]:
        table = _POINTS[kind][0].table
        query = sa.select(table.c.id, _NAMES[kind]).where(table.c.id.in_(ids))
        return {row[0]: row[1] for row in self._conn.execute(query)}

    def workload(self) -> list[dict[str, Any]]:
        """What each changed lowest grid has before and after; None on a side where it is not there."""
        old, new = (self._loads(self._changed(side)) for side in (self.old, self.new))
        return [{"code": c, "before": old.get(c), "after": new.get(c)} for c in sorted({*old, *new})]

    def _loads(self, grids: dict[str, BaseGeometry]) -> dict[str, dict[str, float]]:
        if not grids:
            return {}
        houses, others = self.objects["buildings"].points, self.objects["incidents"].points
        layers = {
            "households": houses,
            "buildings": Points(houses.lon, houses.lat),
            "incidents": Points(others.lon, others.lat),
        }
        table = impact.workload(grids, layers)
        table["incidents_month"] = table.pop("incidents") / self._months
        table["road_m"] = road_lengths(self._roads, grids)
        return dict(zip(map(str, table.index), _records(table.round(2)), strict=True))

    @cached_property
    def _months(self) -> float:
        """How many months the incidents span, one at least."""
        span = incident_span(self._conn)
        if span.first is None or span.last is None:
            return 1.0
        return max(1.0, float((span.last - span.first).total_seconds()) / _MONTH_S)

    @cached_property
    def _roads(self) -> tuple[Any, Floats]:
        """Roads near the changed grids, and their lengths in metres."""
        r = roads.c
        rows = near(self._conn, r.geom, (sa.func.ST_AsBinary(r.geom), r.length_m), self._shapes)
        lines = np.array(shapely.from_wkb([bytes(row[1]) for row in rows]), dtype=object)
        return lines, np.array([row[2] for row in rows], dtype=float)

    def ground(self) -> list[tuple[str, str, BaseGeometry, float]]:
        """The ground that passes from one lowest grid to another: before, after, shape in EPSG:4326, m²."""
        one, other = self._changed(self.old), self._changed(self.new)
        if not one or not other:
            return []
        a, b = (np.array(list(side.values()), dtype=object) for side in (one, other))
        i, j = shapely.STRtree(b).query(a, predicate="intersects")
        codes = [(list(one)[x], list(other)[y]) for x, y in zip(i.tolist(), j.tolist(), strict=True)]
        shared = coverage.to_degrees(shapely.intersection(coverage.to_units(a[i]), coverage.to_units(b[j])))
        areas = coverage.areas_m2(shared)
        found = zip(codes, shared, areas.tolist(), strict=True)
        return [(x, y, shape, area) for (x, y), shape, area in found if x != y and area >= 1]


def road_lengths(lines: tuple[Any, Floats], grids: Mapping[str, BaseGeometry]) -> Floats:
    """The metres of road inside each grid; what runs along a border counts on both sides, as both walk it."""
    roads_, lengths = lines
    shapes = np.array(list(grids.values()), dtype=object)
    if not len(roads_):
        return np.zeros(len(shapes))
    shapely.prepare(shapes)
    road, grid = shapely.STRtree(shapes).query(roads_, predicate="intersects")
    whole = shapely.covers(shapes[grid], roads_[road])
    share = np.ones(len(road))
    part = ~whole
    inside = shapely.intersection(roads_[road[part]], shapes[grid[part]])
    share[part] = shapely.length(inside) / np.maximum(shapely.length(roads_[road[part]]), 1e-12)
    metres = np.bincount(grid, weights=share * lengths[road], minlength=len(shapes))
    return np.asarray(metres, dtype=np.float64)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _upper(code: str, area: float | None, before: Version | None, after: Version | None) -> dict[str, Any]:
    """An upper grid of so many m² recorded before."""
    becomes = None if after is None else float(coverage.areas_m2(coverage.to_degrees(after.shape))[0])
    one = after or before
    assert one is not None
    there = {"code": code, "name": one.grid.name, "level": one.grid.level}
    return there | {"area_m2_before": area, "area_m2_after": becomes}


def _told(kind: str, row: Mapping[Any, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("before", "after", "lon", "lat")}
    return told | ({"households": int(row["weight"])} if kind == "buildings" else {})


def _lon(of: Objects) -> Any:
    return of.points.lon


def _lat(of: Objects) -> Any:
    return of.points.lat
