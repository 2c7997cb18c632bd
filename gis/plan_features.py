"""Drafts as GeoJSON: grids with what changed of them, faults, and what a plan is called by."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.engine import Connection

from gis import coverage, crs, plan_input, plan_store
from gis.case import Fault
from gis.crs import Datum
from gis.faults import to_geojson
from gis.grids import DECIMALS, Asked, current
from gis.plan_diff import Change, Version
from gis.plan_outlines import is_bent
from gis.schema import grid_codes, grids
from gis.schema_plans import plan_grids
from gis.settle import is_grid
from gis.tolerances import scale_at

Json = dict[str, Any]

_DRAFT_ID: sa.ColumnElement[int] = sa.cast(
    sa.cast(sa.literal_column("'x'").concat(sa.func.left(sa.func.md5(plan_grids.c.code), 13)), BIT(52)),
    sa.BigInteger,
)


def shapes(geoms: Iterable[shapely.Geometry], datum: Datum) -> list[Json]:
    """Geometries in EPSG:4326 as GeoJSON in a datum, to the decimals that grids have."""
    array = np.array(list(geoms), dtype=object)
    if datum != "wgs84" and len(array):
        moved = crs.shapes_from_wgs84(array, datum)
        array = np.asarray(shapely.transform(moved, lambda xy: xy.round(DECIMALS)), dtype=object)
    return [orjson.loads(text) for text in shapely.to_geojson(array)] if len(array) else []


def features(
    ids: Mapping[str, int], versions: Mapping[str, Version], marks: Mapping[str, Json], datum: Datum
) -> list[Json]:
    """Grids as GeoJSON features, in the order given; `marks` are further properties by code."""
    units = np.array([one.whole for one in versions.values()], dtype=object)
    degrees = np.asarray(coverage.to_degrees(units), dtype=object)
    areas = coverage.areas_m2(degrees) if len(degrees) else np.zeros(0)
    return [
        {
            "type": "Feature",
            "id": ids.get(code, _draft_id(code)),
            "geometry": shape,
            "properties": _properties(one, round(float(area), 2)) | marks.get(code, {}),
        }
        for (code, one), area, shape in zip(versions.items(), areas, shapes(degrees, datum), strict=True)
    ]


def _draft_id(code: str) -> int:
    """A number for a grid whose code is not reserved yet: 52 bits of its MD5, as `shown` has them."""
    return int(hashlib.md5(code.encode(), usedforsecurity=False).hexdigest()[:13], 16)


def _properties(one: Version, area: float) -> Json:
    g = one.grid
    return {
        "code": g.code, "name": g.name, "level": g.level, "parent_code": g.parent, "kind": g.kind or None,
        "display_order": g.order or None, "area_m2": area,
    }  # fmt: skip


def collection(found: list[Json], **more: Any) -> Json:
    """Features as a collection, with further members."""
    return {"type": "FeatureCollection", "features": found} | more


def kind_of(change: Change) -> str:
    """Return what became of a grid: new, gone, changed, or bent: vertices in its border, or out again."""
    before, after = change
    if before is None or after is None:
        return "new" if before is None else "gone"
    return "bent" if is_bent(before, after) or is_bent(after, before) else "changed"


def changed(
    conn: Connection, scheme: str, changes: Mapping[str, Change], datum: Datum
) -> tuple[Json, list[str]]:
    """The grids that changes leave, each marked new or changed, and the codes of those that are gone."""
    there = {code: after for code, (_, after) in changes.items() if after is not None and is_grid(code)}
    marks = {code: {"change": kind_of(changes[code])} for code in there}
    ids = plan_store.ids_of(conn, scheme, there)
    return collection(features(ids, there, marks, datum)), gone(changes)


def gone(changes: Mapping[str, Change]) -> list[str]:
    """The codes of the grids that are gone, in order."""
    return sorted(code for code, (_, after) in changes.items() if after is None and is_grid(code))


def line_used(step: Mapping[str, Any], changes: Mapping[str, Change], datum: Datum) -> Json | None:
    """What a split or a reshape has used of its line: within the grid, from first to last crossing."""
    line = step.get("params", {}).get("line")
    if line is None:
        return None
    drawn = plan_input.shape("line", line)
    if step["op"] == "split" and (grid := changes[step["params"]["code"]][0]) is not None:
        path = shapely.get_exterior_ring(drawn) if isinstance(drawn, shapely.Polygon) else drawn
        drawn = shapely.line_merge(shapely.intersection(path, coverage.to_degrees(grid.whole)))
    return shapes([drawn], datum)[0]


def area_used(step: Mapping[str, Any], changes: Mapping[str, Change]) -> Json | None:
    """What a step assigns beyond the area drawn, whose border goes through vertices near by.

    `beyond_m2` lies outside the area and goes along, at most `farthest_m` from it.
    """
    area, to = (step.get("params", {}).get(name) for name in ("area", "to"))
    if step["op"] != "assign" or area is None or to not in changes:
        return None
    before, after = changes[to]
    if before is None or after is None:
        return None
    wanted = coverage.to_units(plan_input.shape("area", area))
    beyond = shapely.difference(shapely.difference(after.shape, before.shape), wanted)
    if beyond.is_empty:
        return {"beyond_m2": 0.0, "farthest_m": 0.0}
    area_m2 = float(coverage.areas_m2(coverage.to_degrees(np.array([beyond], dtype=object)))[0])
    scale = scale_at(beyond.bounds[1])
    corners = shapely.points(shapely.get_coordinates(beyond) * scale)
    far = shapely.distance(corners, shapely.transform(wanted, lambda xy: xy * scale)).max()
    return {"beyond_m2": round(area_m2, 4), "farthest_m": round(float(far), 3)}


def pairs(conn: Connection, scheme: str, changes: Mapping[str, Change], datum: Datum) -> list[Json]:
    """Each grid that differs before and after, as features, and what became of it (`kind_of`)."""
    ids = plan_store.ids_of(conn, scheme, changes)
    sides = []
    for side in (0, 1):
        there = {code: one for code, change in changes.items() if (one := change[side]) is not None}
        sides.append({f["properties"]["code"]: f for f in features(ids, there, {}, datum)})
    return [
        {
            "code": code,
            "change": kind_of(changes[code]),
            "before": sides[0].get(code),
            "after": sides[1].get(code),
        }
        for code in changes
    ]


def faults(found: list[Fault], datum: Datum, limit: int) -> Json:
    """Faults as a collection of at most `limit`, errors first, with how many there are."""
    errors = sum(fault.severity == "error" for fault in found)
    first = sorted(found, key=lambda fault: fault.severity != "error")[:limit]
    told = to_geojson(first)["features"]
    for feature, shape in zip(told, shapes([f.geometry for f in first], datum), strict=True):
        feature["geometry"] = shape
    counts = {"errors": errors, "advice": len(found) - errors}
    return collection(told, **counts, limit=limit, more=len(found) > limit)


def shown(plan_id: int, asked: Asked) -> sa.Select[Any]:
    """Select the map of a draft as a layer does: id, geom, code, name, level, kind, parent_code.

    It is the record of grids without those that the draft changed or took away, and the draft's own. Who may
    not see plans gets the record.
    """
    g, p, c = grids.c, plan_grids.c, grid_codes.c
    touched = sa.select(p.code).where(p.plan_id == plan_id)
    kept = sa.select(
        g.grid_id.label("id"), g.geom, g.code, g.name, g.level, g.kind, g.parent_code
    ).where(current(asked), g.code.not_in(touched))  # fmt: skip
    field = {name: p.grid[name].astext for name in ("name", "level", "kind", "parent")}
    ours = (
        sa.select(
            sa.func.coalesce(c.id, _DRAFT_ID).label("id"), p.geom, p.code, field["name"].label("name"),
            sa.cast(field["level"], sa.SmallInteger).label("level"),
            sa.func.nullif(field["kind"], "").label("kind"), field["parent"].label("parent_code"),
        )
        .outerjoin(grid_codes, sa.and_(c.scheme == asked.scheme, c.code == p.code))
        .where(p.plan_id == plan_id, p.geom.is_not(None))
    )  # fmt: skip
    both = sa.union_all(kept, ours).subquery("shown")
    return sa.select(both)
