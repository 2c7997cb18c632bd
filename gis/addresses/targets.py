"""What can be found by a text: one select for each way in which a name, an address or a code may fit.

The statements are made once; what is looked for is bound (`parameters`).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from gis.addresses.normalise import folded, local_part
from gis.addresses.parse import Reading
from gis.db import Query
from gis.grids import Asked
from gis.schema import buildings, cameras, grids, incidents, places, posts, roads, staff

Column = sa.ColumnElement[Any]
_LAST = "\U0010ffff"
"""Nothing that begins with a text is beyond that text and this."""
_SAME_ROAD = 0.005
"""Degrees, some 500 m: pieces of one name that lie farther apart are roads of their own."""
_SAME_CROSSING = 0.0006
"""Degrees, some 60 m: nodes of a crossing of divided roads."""
_ABOVE = 3
"""Levels above a grid whose names may stand before its own."""


@dataclass(frozen=True)
class Target:
    """One way in which something fits a text; `rows` are its id, text, key, lon, lat.

    `kind` of what is found; `score`: how well it fits, 0 to 1.
    """

    name: str
    kind: str
    score: float
    rows: Query


def parameters(wanted: Reading, asked: Asked | None) -> dict[str, Any]:
    """Return what the statements are bound to; without a record of grids no grid and no post fits."""
    key, local, code = wanted.keys[0], wanted.local[0], wanted.text.strip()
    one, other = wanted.streets or ((), ())
    return {
        "keys": list(wanted.keys), "local": list(wanted.local), "turned": list(wanted.turned),
        "codes": [code, code.upper(), code.lower()],
        "ends": [key[n:] for n in range(1, len(key))], "begins": [key[:n] for n in range(1, len(key))],
        "one": list(one), "other": list(other),
        "key": key, "key_end": key + _LAST, "local_key": local, "local_key_end": local + _LAST,
        "code": code, "code_end": code + _LAST,
        "scheme": asked and asked.scheme, "day": asked and asked.on, "known": asked and asked.known,
    }  # fmt: skip


def _text(name: str) -> sa.BindParameter[str]:
    return sa.bindparam(name, type_=sa.Text())


def _among(column: Column, name: str) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.bindparam(name, type_=sa.ARRAY(sa.Text)))


def _begins(column: Column, name: str) -> sa.ColumnElement[bool]:
    """Return the condition that a text begins with another, in the words of its index."""
    return sa.and_(column.op("~>=~")(_text(name)), column.op("~<~")(_text(f"{name}_end")))


def _in_order(column: Column) -> Column:
    """Order as the index has it, so that it is read no farther than need be."""
    return column.op("USING")(sa.text("~<~"))


def _row(ident: Column, text: Column, key: Column, point: Column) -> Query:
    return sa.select(
        sa.cast(ident, sa.BigInteger).label("id"), text.label("text"), key.label("key"),
        sa.func.ST_X(point).label("lon"), sa.func.ST_Y(point).label("lat"),
    )  # fmt: skip


def _of(table: sa.Table, name: str) -> Query:
    return _row(table.c.id, table.c[name], table.c[f"{name}_key"], table.c.point)


def _fits(table: sa.Table, name: str, given: str = "keys") -> Query:
    return _of(table, name).where(_among(table.c[f"{name}_key"], given))


def _fits_locally(table: sa.Table, name: str) -> Query:
    return _of(table, name).where(_among(local_part(table.c[f"{name}_key"]), "local"))


def _starts(table: sa.Table, name: str) -> Query:
    key = table.c[f"{name}_key"]
    return _of(table, name).where(_begins(key, "key")).order_by(_in_order(key))


def _starts_locally(table: sa.Table, name: str) -> Query:
    key = local_part(table.c[f"{name}_key"])
    return _of(table, name).where(_begins(key, "local_key")).order_by(_in_order(key))


def _code_of(table: sa.Table, code: Column) -> Query:
    return _row(table.c.id, code, code, table.c.geom).where(_among(code, "codes"))


def _in_force(table: Any) -> sa.ColumnElement[bool]:
    """Return the condition that a version of a grid is of the record asked for."""
    return sa.and_(
        table.c.scheme == _text("scheme"),
        table.c.valid.contains(sa.bindparam("day", type_=sa.Date())),
        table.c.known.contains(sa.bindparam("known", type_=sa.Integer())),
    )


def _grids(key: Column) -> Query:
    return _row(grids.c.grid_id, grids.c.name, key, sa.func.ST_PointOnSurface(grids.c.geom)).where(
        _in_force(grids)
    )


def _grid_after(levels: int) -> Query:
    """Grids by their names after that of the grid so many levels above, or after more."""
    chain = [grids, *(grids.alias(f"above_{n}") for n in range(levels))]
    joined: Any = grids
    for below, above in pairwise(chain):
        joined = joined.join(above, sa.and_(_in_force(above), above.c.code == below.c.parent_code))
    whole = chain[-1].c.name_key + grids.c.name_key
    ends_so = sa.func.right(_text("key"), sa.func.length(whole)) == whole
    return _grids(_text("key")).select_from(joined).where(_among(grids.c.name_key, "ends"), ends_so)


def _grid_starts() -> Query:
    begun = sa.or_(_begins(grids.c.name_key, "key"), _begins(grids.c.code, "code"))
    return _grids(grids.c.name_key).where(begun).order_by(grids.c.level, grids.c.code)


def _posts() -> Query:
    """Posts with who holds them and the grid that they are for."""
    text = sa.func.concat_ws(" ", grids.c.name, posts.c.post, staff.c.name)
    return (
        _row(posts.c.id, text, staff.c.name_key, sa.func.ST_PointOnSurface(grids.c.geom))
        .select_from(
            posts.join(staff, staff.c.id == posts.c.staff_id).join(grids, grids.c.grid_id == posts.c.grid_id)
        )
        .where(_in_force(grids), posts.c.valid.contains(sa.bindparam("day", type_=sa.Date())))
    )


def _post() -> Query:
    """Posts by the name of their grid and their own: 文化路社区第一网格网格长."""
    named = grids.c.name_key + folded(posts.c.post) == _text("key")
    return _posts().where(_among(grids.c.name_key, "begins"), named)


def _roads(given: str) -> Query:
    """Roads as a point each, in the middle of what hangs together."""
    piece = sa.func.ST_ClusterDBSCAN(roads.c.geom, _SAME_ROAD, 1).over(partition_by=roads.c.name_key)
    chosen = sa.select(roads.c.id, roads.c.name, roads.c.name_key, roads.c.geom, piece.label("piece"))
    pieces = chosen.where(_among(roads.c.name_key, given)).subquery("pieces").c
    whole = sa.func.ST_Collect(pieces.geom)
    middle = sa.func.ST_ClosestPoint(whole, sa.func.ST_Centroid(whole))
    named = _row(sa.func.min(pieces.id), sa.func.min(pieces.name), pieces.name_key, middle)
    return named.group_by(pieces.name_key, pieces.piece)


def _road_starts() -> Query:
    """Names of roads that begin so, each once."""
    key, middle = roads.c.name_key, sa.func.ST_LineInterpolatePoint(roads.c.geom, 0.5)
    begun = sa.select(roads.c.id, roads.c.name, key, middle.label("at")).where(_begins(key, "key"))
    first = begun.ext(distinct_on(key)).order_by(key, roads.c.id).subquery("first").c
    return _row(first.id, first.name, first.name_key, first.at)


def _crossing() -> Query:
    """Nodes at which two roads meet; those of divided roads are one."""
    ends = sa.union_all(*_ends("one"), *_ends("other")).subquery("ends").c
    nodes = sa.select(
        ends.node, sa.func.min(ends.name).label("a"), sa.func.max(ends.name).label("b"),
        sa.func.ST_Centroid(sa.func.ST_Collect(ends.at)).label("at"),
    ).group_by(ends.node).having(sa.func.count(sa.distinct(ends.side)) == 2).subquery("nodes")  # fmt: skip
    grouped = sa.func.ST_ClusterDBSCAN(nodes.c.at, _SAME_CROSSING, 1).over()
    p = sa.select(nodes, grouped.label("crossing")).subquery("placed").c
    name = sa.func.concat_ws(" & ", sa.func.min(p.a), sa.func.max(p.b))
    middle = sa.func.ST_Centroid(sa.func.ST_Collect(p.at))
    return _row(sa.func.min(p.node), name, sa.func.min(p.a), middle).group_by(p.crossing)


def _ends(side: str) -> list[Query]:
    """Both ends of the edges of one of two roads."""
    nodes = ((roads.c.u, sa.func.ST_StartPoint), (roads.c.v, sa.func.ST_EndPoint))
    return [
        sa.select(
            sa.literal(side).label("side"), node.label("node"), roads.c.name.label("name"),
            at(roads.c.geom).label("at"),
        ).where(_among(roads.c.name_key, side))
        for node, at in nodes
    ]  # fmt: skip


EXACT: tuple[Target, ...] = (
    Target("place name", "place", 1.0, _fits(places, "name")),
    Target("grid code", "grid", 1.0, _grids(grids.c.code).where(_among(grids.c.code, "codes"))),
    Target("camera code", "camera", 1.0, _code_of(cameras, cameras.c.gb28181)),
    Target("incident code", "incident", 1.0, _code_of(incidents, incidents.c.code)),
    Target("building address", "building", 1.0, _fits(buildings, "address")),
    Target("building name", "building", 1.0, _fits(buildings, "name")),
    Target("grid name", "grid", 1.0, _grids(grids.c.name_key).where(_among(grids.c.name_key, "keys"))),
    *(Target("grid name after others", "grid", 1.0, _grid_after(n + 1)) for n in range(_ABOVE)),
    Target("place address", "place", 0.98, _fits(places, "address")),
    Target("road name", "road", 1.0, _roads("keys")),
    Target("crossing of two roads", "crossing", 1.0, _crossing()),
    Target("staff name", "post", 1.0, _posts().where(_among(staff.c.name_key, "keys"))),
    Target("staff post", "post", 1.0, _post()),
    Target("building address, regions aside", "building", 0.95, _fits_locally(buildings, "address")),
    Target("place name, regions aside", "place", 0.95, _fits_locally(places, "name")),
    Target("place address, regions aside", "place", 0.93, _fits_locally(places, "address")),
    Target("building address, direction aside", "building", 0.85, _fits(buildings, "address", "turned")),
    Target("place address, direction aside", "place", 0.83, _fits(places, "address", "turned")),
    Target("road name, direction aside", "road", 0.85, _roads("turned")),
)
"""Ways in which all of a text fits."""

BEGINS: tuple[Target, ...] = (
    Target("place name, beginning", "place", 0.8, _starts(places, "name")),
    Target("road name, beginning", "road", 0.75, _road_starts()),
    Target("grid name or code, beginning", "grid", 0.75, _grid_starts()),
    Target("building address, beginning", "building", 0.7, _starts(buildings, "address")),
    Target("building name, beginning", "building", 0.7, _starts(buildings, "name")),
    Target("place address, beginning", "place", 0.68, _starts(places, "address")),
    Target("building address, regions aside, beginning", "building", 0.65,
           _starts_locally(buildings, "address")),
    Target("place name, regions aside, beginning", "place", 0.65, _starts_locally(places, "name")),
    Target("place address, regions aside, beginning", "place", 0.63, _starts_locally(places, "address")),
)  # fmt: skip
"""Ways in which a text is the beginning of something."""
