"""Plans as they are told: themselves, and their impact as a table of counts, lists and work, or a map."""

from dataclasses import asdict
from typing import Any

from sqlalchemy.engine import Connection

from gis import coverage, crs, plan_features, plan_store, plans
from gis.crs import Datum
from gis.plan_features import Json
from gis.plan_impact import Impact
from gis.plan_outlines import is_bent
from gis.plan_prospect import Prospect, prospect
from gis.plan_store import Plan
from gis.plans import Draft

_SHARES = ["before", "after", "kind", "area_share", "household_share", "building_share"]


def brief(conn: Connection, plan: Plan) -> Json:
    """Return a plan as it is told."""
    fields = asdict(plan)
    del fields["author_is"]
    below = plan_store.children(conn, plan.id, plan.head)
    return fields | {
        "hands": list(dict.fromkeys(plan_store.hands(conn, plan.id).values())),
        "steps": plan_store.count_steps(conn, plan.id),
        "can_undo": plan.head is not None,
        "can_redo": below,
        "newest": plan_store.newest(conn),
    }


def whole(conn: Connection, plan: Plan) -> Json:
    """Return a plan as it is told, with its scope's name, how many grids it changes, and what was decided."""
    base = plans.base_of(conn, plan)
    if plan.state == "draft":
        changed = plans.count_changed(conn, plan, base.cov)
    else:
        changed = _count_real(prospect(conn, plan.id).here)
    decisions = {code: take for code, (take, _) in sorted(plan_store.choices(conn, plan.id).items())}
    return brief(conn, plan) | {
        "scope_name": base.cov.grids[plan.scope].name, "changed": changed, "decisions": decisions
    }  # fmt: skip


def _count_real(here: Draft) -> int:
    """How many grids of a draft are new, gone or changed, not merely bent by a vertex."""
    return sum(not is_bent(*pair) for pair in plans.changed(here).values())


def shown(conn: Connection, plan_id: int, at: int | None) -> Draft:
    """Return a plan as it is shown: as drawn while a draft or at a step, then on the map as it is now."""
    drawn = at is not None or plan_store.get(conn, plan_id).state == "draft"
    return plans.draft(conn, plan_id, at=at) if drawn else prospect(conn, plan_id).here


def against(there: Prospect) -> Json:
    """Return which map something is told against, until when it holds, and what must be decided first."""
    return {
        "revision": there.known, "on": there.here.plan.effective_on, "until": there.until,
        "final": there.is_final, "conflicts": sorted({one.code for one, _ in there.clashes}),
        "why": there.why,
    }  # fmt: skip


def impact_table(found: Impact, lists: tuple[str, ...], after: int, limit: int, datum: Datum) -> Json:
    """Return counts of all that changes owner, pages of lists, workload and lineage."""
    pages = {name: found.listed(name, after, limit) for name in lists}
    lineage = found.lineage
    return {
        "counts": found.counts(),
        "lists": {name: [_placed(row, datum) for row in rows] for name, (rows, _) in pages.items()},
        "limit": limit,
        "more": {name: more for name, (_, more) in pages.items()},
        "workload": found.workload(),
        "uppers": found.uppers,
        "lineage": [] if lineage.empty else lineage[_SHARES].to_dict("records"),
    }


def _placed(row: Json, datum: Datum) -> Json:
    if "lon" not in row:
        return row
    lon, lat = crs.point_from_wgs84(row["lon"], row["lat"], datum)
    return row | {"lon": lon, "lat": lat}


def impact_map(found: Impact, limit: int, datum: Datum) -> Json:
    """Return the ground that passes on, and at most `limit` objects of each kind, as features."""
    ground = found.ground()
    table = found.moved
    first = table.groupby("layer").head(limit)
    marks = first[["layer", "id", "before", "after"]].to_dict("records")
    places = coverage.points(first[["lon", "lat"]].to_numpy(dtype=float))
    told: list[tuple[dict[str, Any], Any]] = [
        ({"layer": "ground", "before": before, "after": after, "area_m2": round(area, 1)}, shape)
        for before, after, shape, area in ground
    ]
    told += [({str(k): v for k, v in mark.items()}, at) for mark, at in zip(marks, places, strict=True)]
    shapes = plan_features.shapes([shape for _, shape in told], datum)
    features = [
        {"type": "Feature", "geometry": shape, "properties": properties}
        for (properties, _), shape in zip(told, shapes, strict=True)
    ]
    return plan_features.collection(features, limit=limit, more=len(first) < len(table))
