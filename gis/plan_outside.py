"""Grids outside a plan's scope that have ground within it: no step may draw a grid over them.

A grid that strays out of its parent owns ground in another scope, where nothing of that scope has it. Judged
against the scope alone it is spare ground there.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.dialects.postgresql import ARRAY, Range
from sqlalchemy.engine import Connection

from gis import borders, case, coverage, faults
from gis.case import Fault
from gis.errors import Faulty
from gis.grids import Asked
from gis.plan_diff import Change, Version
from gis.publishing_proof import as_recorded
from gis.schema import grids
from gis.settle import Coverage, OutsideGrid, claimants, is_grid

_LOST = {"gap", "hole", "orphan"}


def read(conn: Connection, asked: Asked, scope: str, cov: Coverage) -> tuple[OutsideGrid, ...]:
    """Return the grids outside a scope's coverage with ground that its grids could get, from a day on.

    A map that is published for a later day counts as well. Where the coverage has neither spare ground nor
    children that stray, its steps only pass on what its grids own, and nothing is read.
    """
    reach = _reach(cov)
    if reach.is_empty:
        return ()
    g, box = grids.c, shapely.to_wkb(shapely.box(*coverage.to_degrees(reach).bounds))
    above = sa.select(g.parent_code).where(g.scheme == asked.scheme, g.parent_code.is_not(None))
    query = sa.select(
        g.code, g.level, g.code.in_(above).label("upper"), sa.func.ST_AsBinary(g.geom).label("wkb")
    ).where(
        g.scheme == asked.scheme, g.known.contains(asked.known), g.valid.overlaps(Range(asked.on, None)),
        g.level >= cov.grids[scope].level, g.geom.op("&&")(sa.func.ST_GeomFromWKB(box, 4326)),
        g.code != sa.all_(sa.cast(sorted(cov.grids), ARRAY(sa.Text))),
    )  # fmt: skip
    rows = conn.execute(query.order_by(g.code, g.id)).all()
    shapes = coverage.to_units(shapely.from_wkb([bytes(row.wkb) for row in rows]))
    there = shapely.area(shapely.intersection(shapes, reach)) > 0
    found = zip(rows, shapes, there, strict=True)
    return tuple(OutsideGrid(row.code, row.level, not row.upper, s) for row, s, near in found if near)


def _reach(cov: Coverage) -> BaseGeometry:
    """The ground (units) that grids of a coverage could get: unowned, or where children do not fit."""
    spare = [shape for key, shape in cov.shapes.items() if not is_grid(key) and not claimants(key)]
    return shapely.union_all([*spare, *([cov.outline()] if cov.outlines else [])])


def new_overlaps(before: Coverage, after: Coverage) -> list[Fault]:
    """The ground that grids of a coverage got and grids outside of it own: of a level, or both lowest.

    What they had before, and what rounding explains, is none.
    """
    if not after.outside:
        return []
    changes = {code: pair for code, pair in as_recorded(before, after).items() if is_grid(code)}
    found, told = list[Fault](), set[tuple[bytes, str]]()
    for of in sorted({kind for pair in changes.values() for v in pair if (kind := _kind(v))}):
        mine = {c: pair for c, pair in changes.items() if any(_kind(v) == of for v in pair)}
        got = _got(mine)
        for one in after.outside:
            if one.level == of[0] or (one.lowest and of[1]):
                pieces = [p for p in wide(got, one.shape) if (p.wkb, one.code) not in told]
                told |= {(p.wkb, one.code) for p in pieces}
                found += [case.fault("overlap", [*_holders(mine, p), one.code], p) for p in pieces]
    return found


def _kind(version: Version | None) -> tuple[int, bool] | None:
    return None if version is None else (version.grid.level, version.leaf)


def _got(changes: Mapping[str, Change]) -> BaseGeometry:
    """What changed grids have together that they had not before."""
    before, after = ([v.whole for pair in changes.values() if (v := pair[side])] for side in (0, 1))
    return shapely.difference(shapely.union_all(after), shapely.union_all(before))


def _holders(changes: Mapping[str, Change], piece: BaseGeometry) -> list[str]:
    inside = piece.representative_point()
    return [code for code, (_, new) in changes.items() if new and shapely.covers(new.whole, inside)]


def wide(one: BaseGeometry, other: BaseGeometry) -> list[BaseGeometry]:
    """The polygons (units) of what two shapes have in common, without what rounding explains."""
    parts = shapely.get_parts(shapely.get_parts(shapely.intersection(one, other)))
    parts = parts[shapely.area(parts) > 0]
    return list(parts[~borders.are_rounding(parts)]) if len(parts) else []


def owners(cov: Coverage, shape: BaseGeometry) -> list[str]:
    """The codes of the lowest grids outside a coverage that own some of a shape (units)."""
    return sorted({one.code for one in cov.outside if one.lowest and wide(shape, one.shape)})


def refuse_new(base: Coverage, before: Coverage, after: Coverage) -> None:
    """Raise Faulty where a step draws grids over others outside the scope, which the base did not."""
    if not after.outside:
        return
    found = new_overlaps(before, after)
    if found and new_overlaps(base, after):
        raise Faulty(sentence(after, found), faults.to_geojson(found))


def sentence(cov: Coverage, found: Iterable[Fault]) -> str:
    """Who owns the ground that a step would take, with areas."""
    areas: dict[str, float] = {}
    named = {one.code for one in cov.outside}
    for one in found:
        for code in named & set(one.codes):
            areas[code] = areas.get(code, 0.0) + one.area_m2
    said = ", ".join(f"{code} ({area:.2f} m²)" for code, area in sorted(areas.items()))
    return (
        f"the ground has an owner outside the scope: {said}; leave it out, or plan in a scope that holds both"
    )


def as_theirs(cov: Coverage, found: list[Fault]) -> list[Fault]:
    """Faults with ground that a grid outside owns as its stray ground, which is not nobody's."""
    if not cov.outside:
        return found
    return [_as_theirs(cov, one) if one.kind in _LOST else one for one in found]


def _as_theirs(cov: Coverage, one: Fault) -> Fault:
    piece = coverage.to_units(one.geometry)
    lowest = [other for other in cov.outside if other.lowest]
    held = np.array([shapely.area(shapely.intersection(piece, other.shape)) for other in lowest])
    if not len(held) or held.max() < piece.area / 2:
        return one
    return case.fault("outside_parent", [lowest[int(held.argmax())].code], piece, one.severity)
