"""What is wrong with a draft: its changed grids among their siblings, or all of it."""

from collections.abc import Iterable

import numpy as np
import shapely
from shapely import symmetric_difference
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis import case, coverage, faults
from gis.case import Fault
from gis.errors import Faulty
from gis.plan_around import surroundings
from gis.plan_outlines import bent, followed
from gis.plan_outside import as_theirs, new_overlaps
from gis.publishing_proof import as_recorded, recorded
from gis.settle import Coverage, is_grid
from gis.tolerances import BEND_UNITS, MATCH_UNITS


def of_changed(conn: Connection, cov: Coverage, codes: Iterable[str]) -> list[Fault]:
    """The faults of the families that some grids belong to: they and their siblings, within their parents."""
    found = []
    for parent in sorted({cov.grids[code].parent or "" for code in codes if code in cov.grids}):
        members = cov.children.get(parent or None, [])
        shapes = _degrees({code: cov.shape(code) for code in members})
        lowest = [shapes[code] for code in members if code in cov.shapes]
        within = cov.shape(parent) if parent in cov.grids else cov.outline()
        around = surroundings(conn, lowest) if lowest else None
        found += faults.check(shapes, coverage.to_degrees(within), around)
    return as_theirs(cov, found)


def of_all(conn: Connection, base: Coverage, cov: Coverage, codes: Iterable[str]) -> list[Fault]:
    """Every error of a draft of a base, and the advice on the grids that it changed and their siblings."""
    near = of_changed(conn, cov, codes)
    told = {_mark(fault) for fault in near}
    return [fault for fault in _errors(cov, base) if _mark(fault) not in told] + near


def of_uppers(before: Coverage, after: Coverage) -> list[Fault]:
    """Advice on each upper grid that ground passes into or out of, with the ground."""
    found = []
    for code, (old, new) in as_recorded(before, after).items():
        if old and new and not new.leaf and not bent(old, new):
            found.append(case.fault("upper_changed", [code], symmetric_difference(old.shape, new.shape)))
    return found


def demand_sound(before: Coverage, after: Coverage) -> None:
    """Raise Faulty where a coverage has errors that another had not."""
    new = new_errors(before, after)
    if new:
        raise Faulty(f"{len(new)} errors: {new[0].message_en}; put them right first", faults.to_geojson(new))


def new_errors(before: Coverage, after: Coverage) -> list[Fault]:
    """The errors of a coverage that another had not: those wider anywhere than a vertex bends a border."""
    errors = _errors(after, before)
    old: dict[str, list[BaseGeometry]] = {}
    for fault in _errors(before) if errors else ():
        old.setdefault(_alike(fault.kind), []).append(coverage.to_units(fault.geometry))
    return [fault for fault in errors if not _was_there(fault, old.get(_alike(fault.kind), []))]


_ALIKE = {"hole": "gap", "orphan": "gap", "duplicate": "overlap"}


def _alike(kind: str) -> str:
    """One name for kinds that a fault passes between as grids beside it are split or merged."""
    return _ALIKE.get(kind, kind)


def _was_there(fault: Fault, old: list[BaseGeometry]) -> bool:
    """Whether a fault lies within old ones like it, but for what bent vertices make of their border."""
    there = coverage.to_units(fault.geometry)
    core = shapely.buffer(there, -BEND_UNITS / 2)  # without hairs, where a vertex is on one side alone
    there = there if core.is_empty else core
    near = [shape for shape in old if shapely.dwithin(shape, there, BEND_UNITS)]
    # Widened one by one: a union loses hairs.
    return bool(near) and bool(shapely.union_all(shapely.buffer(near, BEND_UNITS)).covers(there))


def _mark(fault: Fault) -> tuple[str, bytes]:
    return fault.kind, bytes(shapely.to_wkb(shapely.normalize(fault.geometry)))


def _errors(cov: Coverage, base: Coverage | None = None) -> list[Fault]:
    """The errors of a whole coverage drawn on a base (itself): of its lowest grids, and of those above them.

    Those above are the sum of what lies below, but for pieces too narrow (a narrow grid may be a piece of the
    one above it), and where children do not fit into a recorded polygon.
    """
    if base is not None:
        cov.borrow(base)
    lowest = _degrees({code: cov.shape(code) for code in cov.shapes if is_grid(code)})
    above = _degrees({code: cov.shape(code) for code in cov.grids if code not in cov.shapes})
    found = faults.check(lowest, coverage.to_degrees(cov.outline()), advice=False)
    found += faults.thin_parts(above)
    told = {_mark(fault) for fault in found}
    for code, followed_on in followed(base or cov, cov).items():
        outline = recorded(followed_on, base or cov, cov, code)
        below = {child: cov.shape(child) for child in cov.children.get(code, [])}
        there = faults.check(_degrees(below), coverage.to_degrees(outline), advice=False) if below else []
        found += [fault for fault in there if _mark(fault) not in told and not _is_hair(fault)]
    found += new_overlaps(base, cov) if base is not None else []
    return as_theirs(cov, [fault for fault in found if fault.severity == "error"])


def _is_hair(fault: Fault) -> bool:
    """Whether a fault is but the rounding where ground crossed a recorded outline: no step puts it right."""
    rounding = fault.kind == "unmatched_vertices"
    return rounding and bool(shapely.buffer(coverage.to_units(fault.geometry), -MATCH_UNITS / 2).is_empty)


def _degrees(shapes: dict[str, BaseGeometry]) -> dict[str, BaseGeometry]:
    units = np.array(list(shapes.values()), dtype=object)
    return dict(zip(shapes, coverage.to_degrees(units), strict=True))
