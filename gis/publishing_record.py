"""What publishing writes: versions of grids with their days and revisions, lineage, and posts of staff."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import shapely
import sqlalchemy as sa
from geoalchemy2 import Geometry
from geoalchemy2.shape import from_shape
from shapely.geometry.base import BaseGeometry
from sqlalchemy.dialects.postgresql import ARRAY, Range
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Connection

from gis import coverage, plan_store
from gis.impact import Grids, Points, lineage
from gis.importing.revising import Change as Writing
from gis.importing.timeline import Version as Stored
from gis.importing.timeline import overlay
from gis.lattice import Tees
from gis.plan_around import near
from gis.plan_diff import Change, Version
from gis.plan_outlines import bends, bent, followed
from gis.publishing_proof import Proof
from gis.schema import buildings, grids, posts, revisions
from gis.schema_plans import lineage as lineages
from gis.settle import Coverage, is_grid, same_shape, with_tees
from gis.tolerances import BEND_UNITS

Days = tuple[date, date | None]
_GONE = ("gone",)


class Record:
    """The truth about grids of a scheme as believed now, and what is to be believed instead."""

    def __init__(self, conn: Connection, scheme: str, proof: Proof) -> None:
        self._conn, self._scheme, self._proof = conn, scheme, proof
        self.before: dict[str, list[Stored]] = {}
        self.after: dict[str, list[Stored]] = {}

    def lay(self, days: Days, old: Coverage, new: Coverage, changes: Mapping[str, Change]) -> None:
        """Let grids be as the changes between two coverages leave them in these days, or be gone."""
        self._load(set(filter(is_grid, changes)))
        for code, (_, there) in changes.items():
            if is_grid(code) and there is None:
                self._set(code, days, _GONE)
            elif is_grid(code) and there is not None:
                stored = [one for one in self.after[code] if _in_force(one, days)]
                units: list[BaseGeometry | None] = [_units(one.content[-1]) for one in stored]
                shape, *_ = [self._proof.written(old, new, code, one) for one in units or [None]]
                self._set(code, days, _content(there, shape))

    def follow(self, days: Days, old: Coverage, new: Coverage) -> None:
        """Let grids outside of a coverage take over the vertices that its outline got."""
        tees = bends(old, new)
        if not len(tees):
            return
        found = self._outside(days, old, tees)
        units = [_units(bytes(row.wkb)) for row in found]
        for row, before, after in zip(found, units, with_tees(units, tees), strict=True):
            if shapely.get_num_coordinates(after) == shapely.get_num_coordinates(before):
                continue
            self._proof.follows(row.code, before, after)
            self._load({row.code})
            shape = coverage.to_degrees(after)
            first = max(days[0], row.valid.lower or date.min)
            ends = [day for day in (days[1], row.valid.upper) if day is not None]
            stored = next(v for v in self.before[row.code] if v.row == row.id)
            self._set(row.code, (first, min(ends, default=None)), (*stored.content[:-1], wkb(shape)))

    def bend(self, days: Days, old: Coverage, new: Coverage, changes: Mapping[str, Change]) -> None:
        """Let recorded polygons that children do not fit into take over the vertices of edges within them.

        Where such a grid keeps its ground it is in no change, and would keep an edge that its child has no
        more: a hair between the two.
        """
        for code, shape in followed(old, new).items():
            if code in changes or same_shape(shape, new.outlines[code]):
                continue
            self._proof.follows(code, new.outlines[code], shape)
            self._load({code})
            for one in [one for one in self.after[code] if _in_force(one, days)]:
                self._set(code, days, (*one.content[:-1], wkb(coverage.to_degrees(shape))))

    def write(self, note: str) -> int:
        """Write what changed as a new revision, and return it: what was believed is closed, never lost."""
        made = revisions.insert().values(scheme=self._scheme, note=note).returning(revisions.c.id)
        revision = int(self._conn.execute(made).scalar_one())
        change = Writing(self._scheme, self.before, self.after)
        until = sa.func.int4range(sa.func.lower(grids.c.known), revision)
        self._conn.execute(grids.update().where(grids.c.id.in_(change.closed)).values(known=until))
        ids = plan_store.ids_of(self._conn, self._scheme, {code for code, _ in change.new})
        rows = [self._row(code, ids[code], new, revision) for code, new in change.new]
        if rows:
            self._conn.execute(grids.insert(), rows)
        return revision

    def _load(self, codes: set[str]) -> None:
        """Read what is believed now of grids not read yet."""
        g, wanted = grids.c, sorted(codes - set(self.before))
        query = sa.select(
            g.id, g.code, g.level, g.parent_code, g.name, g.kind, g.display_order, g.valid,
            sa.func.ST_AsBinary(g.geom).label("wkb"),
        ).where(g.scheme == self._scheme, sa.func.upper_inf(g.known), g.code.in_(wanted))  # fmt: skip
        for code in wanted:
            self.before[code] = []
        for r in self._conn.execute(query.order_by(g.id)):
            content = (r.level, r.parent_code, r.name, r.kind, r.display_order, bytes(r.wkb))
            self.before[r.code].append(Stored(r.valid.lower, r.valid.upper, content, r.id))
        for code in wanted:
            self.after[code] = list(self.before[code])

    def _set(self, code: str, days: Days, content: tuple[Any, ...]) -> None:
        laid = overlay(self.after[code], Stored(*days, content))
        self.after[code] = [version for version in laid if version.content != _GONE]

    def _outside(self, days: Days, cov: Coverage, tees: Tees) -> list[Any]:
        """The versions in force on some of the days, not in a coverage, near vertices that its outline got.

        They are asked by the vertices: by the whole outline every neighbour was read and measured, which took
        26 s at a county of 4,459 vertices, against 5 ms.
        """
        g, reach = grids.c, BEND_UNITS * coverage.PRECISION
        places = shapely.MultiPoint(np.unique(tees.at, axis=0) / coverage.UNITS_PER_DEGREE)
        given = sa.func.ST_Dump(sa.func.ST_GeomFromWKB(shapely.to_wkb(places), 4326)).table_valued(
            sa.column("path"), sa.column("geom", Geometry), name="place"
        )
        at = given.c.geom
        near = sa.select(g.id).select_from(given).join(
            grids, g.geom.op("&&")(sa.func.ST_Expand(at, reach)) & sa.func.ST_DWithin(g.geom, at, reach)
        ).where(
            g.scheme == self._scheme, sa.func.upper_inf(g.known), g.valid.overlaps(Range(*days)),
            g.code != sa.all_(sa.cast(sorted(cov.grids), ARRAY(sa.Text))),
        )  # fmt: skip
        columns = (g.id, g.code, g.valid, sa.func.ST_AsBinary(g.geom).label("wkb"))
        return list(self._conn.execute(sa.select(*columns).where(g.id.in_(near)).order_by(g.id)))

    def _row(self, code: str, grid_id: int, new: Stored, revision: int) -> dict[str, Any]:
        level, parent, name, kind, order, shape = new.content
        geom = shapely.from_wkb(shape)
        return {
            "grid_id": grid_id, "scheme": self._scheme, "code": code, "level": level, "parent_code": parent,
            "name": name, "kind": kind, "display_order": order, "geom": from_shape(geom, 4326),
            "area_m2": float(coverage.areas_m2(geom)[0]), "valid": Range(new.first, new.after),
            "known": Range(revision, None),
        }  # fmt: skip


def plain(shape: BaseGeometry) -> BaseGeometry:
    """A MultiPolygon of one part as that part."""
    parts = shapely.get_parts(shape)
    return parts[0] if len(parts) == 1 else shape


def wkb(degrees: BaseGeometry) -> bytes:
    """A polygon as the store keeps it."""
    return bytes(shapely.to_wkb(shapely.MultiPolygon(list(shapely.get_parts(degrees)))))


def _content(new: Version, shape: BaseGeometry) -> tuple[Any, ...]:
    g = new.grid
    return (g.level, g.parent, g.name, g.kind or None, g.order or None, wkb(coverage.to_degrees(shape)))


def _units(stored: bytes) -> BaseGeometry:
    """A polygon of the store in units."""
    shape: BaseGeometry = coverage.to_units(plain(shapely.from_wkb(stored)))
    return shape


def _in_force(one: Stored, days: Days) -> bool:
    """Whether a version is in force on some of these days."""
    first, after = one.first or date.min, one.after or date.max
    return first < (days[1] or date.max) and after > days[0]


def lineage_of(conn: Connection, changes: Mapping[str, Change]) -> pd.DataFrame:
    """Where the ground of each grid went whose shape changed, level by level, as `impact.lineage` has it."""
    found = []
    for level in sorted(_levels(changes)):
        sides = _sides(changes, level)
        if all(sides):
            old, new = ({c: coverage.to_degrees(v.whole) for c, v in side.items()} for side in sides)
            found.append(passing(old, new, _houses(conn, [*old.values(), *new.values()])))
    return pd.concat(found, ignore_index=True) if found else passing({}, {}, Points([], []))


def passing(old: Grids, new: Grids, houses: Points) -> pd.DataFrame:
    """Where the ground of changed grids went, without those that kept all of theirs."""
    table = lineage(old, new, houses)
    alone = table.groupby("before")["after"].transform("size") == 1
    return table[~(alone & (table["before"] == table["after"]))]


def _levels(changes: Mapping[str, Change]) -> set[int]:
    return {one.grid.level for code, pair in changes.items() for one in pair if one and is_grid(code)}


def _sides(changes: Mapping[str, Change], level: int) -> list[dict[str, Version]]:
    """The grids of a level before and after, without those that merely got a vertex or a name."""
    real = {code: pair for code, pair in changes.items() if is_grid(code) and not bent(*pair)}
    return [
        {
            code: one
            for code, pair in real.items()
            if (one := pair[side]) is not None and one.grid.level == level
        }
        for side in (0, 1)
    ]


def _houses(conn: Connection, shapes: list[BaseGeometry]) -> Points:
    """The buildings near shapes (EPSG:4326), weighed by their households."""
    b = buildings.c
    columns = (sa.func.ST_X(b.point), sa.func.ST_Y(b.point), sa.func.coalesce(b.households, 0))
    rows = near(conn, b.point, columns, shapes)
    _, lon, lat, weight = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Points(lon, lat, weight)


def heirs(of: Coverage, to: Coverage, table: pd.DataFrame, before: str, after: str) -> dict[str, str]:
    """For each grid that only one side has, the grid of its level that has most of its ground on the other.

    `table`: the lineage of the lowest grids, read from column `before` to column `after`.
    """
    passed: dict[str, list[tuple[str, float]]] = {}
    for leaf, other, area in zip(table[before], table[after], table["area_m2"], strict=True):
        passed.setdefault(leaf, []).append((other, area))
    found = {}
    for code in sorted(set(of.grids) - set(to.grids)):
        sums: dict[str, float] = {}
        for leaf in of.leaves(code):
            for other, area in passed.get(leaf, [(leaf, of.shapes[leaf].area)]):
                above = _above(to, other, of.grids[code].level)
                sums[above] = sums.get(above, 0.0) + area
        found[code] = max(sorted(sums), key=lambda one: sums[one], default="")
    return found


def _above(cov: Coverage, code: str, level: int) -> str:
    """A grid's own or upper grid of a level; "" where there is none."""
    at = code
    while at in cov.grids and cov.grids[at].level > level:
        at = cov.grids[at].parent or ""
    return at if at in cov.grids else ""


def write_lineage(conn: Connection, revision: int, scheme: str, table: pd.DataFrame) -> None:
    """Store where ground went in a revision."""
    if table.empty:
        return
    shares = ["area_share", "household_share", "building_share"]
    rows = table.rename(columns={"before": "before_code", "after": "after_code"})
    rows = rows[["before_code", "after_code", "kind", *shares]].assign(revision=revision, scheme=scheme)
    conn.execute(lineages.insert(), [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")])


class Posts:
    """Staff of grids that go pass to the one that gets most of the ground; new grids keep their keepers."""

    def __init__(self, conn: Connection, scheme: str, day: date) -> None:
        self._conn, self._scheme, self._day = conn, scheme, day
        self._new: list[dict[str, Any]] = []

    def end(self, old: Coverage, new: Coverage, table: pd.DataFrame) -> None:
        """End the posts of grids that go, and note which begin elsewhere; do so before the grids change."""
        passed, shared = heirs(old, new, table, "before", "after"), heirs(new, old, table, "after", "before")
        codes = {*passed, *passed.values(), *shared, *shared.values()}
        ids = plan_store.ids_of(self._conn, self._scheme, codes)
        self._note({ids[c]: ids[to] for c, to in passed.items() if to in ids})
        self._note({ids[of]: ids[c] for c, of in shared.items() if of in ids})
        p = posts.c
        ended = sa.case(
            (sa.func.lower(p.valid) >= self._day, sa.literal_column("'empty'::daterange")),
            else_=sa.func.daterange(sa.func.lower(p.valid), self._day),
        )
        mine = p.grid_id.in_([ids[code] for code in passed]) & p.valid.overlaps(Range(self._day, None))
        self._conn.execute(posts.update().where(mine).values(valid=ended))

    def _note(self, passing: Mapping[int, int]) -> None:
        p = posts.c
        rows = self._conn.execute(
            sa.select(posts).where(p.grid_id.in_(passing), p.valid.overlaps(Range(self._day, None)))
        )
        for row in rows.mappings():
            first = max(self._day, row["valid"].lower or date.min)
            self._new.append(
                {"staff_id": row["staff_id"], "grid_id": passing[row["grid_id"]], "post": row["post"]}
                | {"public_phone": row["public_phone"], "valid": Range(first, row["valid"].upper)}
            )

    def pass_on(self) -> None:
        """Begin the posts noted, once the grids are there; who holds one there already keeps it."""
        if self._new:
            self._conn.execute(upsert(posts).on_conflict_do_nothing(), self._new)
