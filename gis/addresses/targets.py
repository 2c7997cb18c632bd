"""What can be found by a text: one select for each way in which a name, an address or a code may fit.

The statements are made once; what is looked for is bound (`parameters`).
"""

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from gis.addresses.normalise import folded, street_part
from gis.addresses.parse import Reading, Variant, turned
from gis.addresses.regions import is_number
from gis.db import Query
from gis.grids import Asked
from gis.network.street_names import SPELLED_OUT
from gis.schema import buildings, cameras, grids, incidents, levels, places, posts, roads, staff

Column = sa.ColumnElement[Any]
_LAST = "\U0010ffff"
"""Nothing that begins with a text is beyond that text and this."""
_SAME_ROAD = 0.005
"""Degrees, some 500 m: pieces of one name that lie farther apart are roads of their own."""
_SAME_CROSSING = 0.0006
"""Degrees, some 60 m: nodes of a crossing of divided roads."""
MOST, PARTLY = 100, 50
"""Rows of one way of matching that are looked at, at most; of those that fit a part of a name."""
_PIECES = 2000
"""Pieces of roads among which different names are looked for, at most."""
_SHORTEST = 2
"""Signs of a text that is looked for at the end or in the middle of others, at least."""
_NO_CODE = sa.null().cast(sa.Text)


@dataclass(frozen=True)
class Target:
    """One way in which something fits a text; `rows` are its id, text, key, code, lon, lat, place.

    `kind` of what is found; `score`: how well it fits, 0 to 1; `by`: which readings of the text the rows' key
    is compared with.
    """

    name: str
    kind: str
    score: float
    rows: Query
    by: Literal["whole", "numbered", "turned", "codes", "streets", "begun"] = "whole"


def parameters(wanted: Reading, asked: Asked | None) -> dict[str, Any]:
    """Return what the statements are bound to; without a record of grids no grid and no post fits."""
    rests, begun, names = wanted.rests(), list(wanted.beginnings()), wanted.names()
    first, second = wanted.streets or ("", "")
    return {
        "keys": rests, "ends": [rest for rest in rests if len(rest) >= _SHORTEST and not is_number(rest)],
        "turned": [one.key for one in wanted.turned], "codes": [code for _, code in wanted.codes],
        "heads": list({name[:n].rstrip() for name in names for n in range(1, len(name))}),
        "tails": list({name[n:].lstrip() for name in names for n in range(1, len(name))}), "names": names,
        "one": _any_way(wanted.without_regions(first)), "other": _any_way([second]),
        "begun": begun, "middle": [rest for rest in begun if len(rest) >= _SHORTEST], "code": wanted.code,
        "scheme": asked and asked.scheme, "day": asked and asked.on, "known": asked and asked.known,
    }  # fmt: skip


def _any_way(streets: list[str]) -> list[str]:
    more = ((one.key for one in turned(Variant(street)) if not one.loss) for street in streets)
    return [way for street, ways in zip(streets, more, strict=True) if street for way in (street, *ways)]


def _text(name: str) -> sa.BindParameter[str]:
    return sa.bindparam(name, type_=sa.Text())


def _among(column: Column, name: str) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.bindparam(name, type_=ARRAY(sa.Text)))


def _each(name: str) -> Any:
    """Return the texts of a parameter as rows, in their order."""
    return sa.func.unnest(sa.bindparam(name, type_=ARRAY(sa.Text))).table_valued(name).render_derived()


def _for_each(asked: Any, rows: Query, most: int = PARTLY + 1) -> Query:
    """Return rows for each of the texts, bounded for each, so that its index is read no farther."""
    found = rows.correlate(asked).limit(most).lateral()
    return sa.select(found).select_from(asked.join(found, sa.true()))


def _begins(column: Column, text: Column) -> sa.ColumnElement[bool]:
    """Return the condition that a text begins with another, in the words of its index."""
    return sa.and_(column.op("~>=~")(text), column.op("~<~")(sa.func.concat(text, _LAST)))


def _in_order(column: Column) -> Column:
    """Order as the index has it, so that it is read no farther than need be."""
    return column.op("USING")(sa.text("~<~"))


def _row(ident: Column, text: Column, key: Column, point: Column, code: Column = _NO_CODE) -> Query:
    return sa.select(
        sa.cast(ident, sa.BigInteger).label("id"), text.label("text"), key.label("key"), code.label("code"),
        sa.func.ST_X(point).label("lon"), sa.func.ST_Y(point).label("lat"),
        sa.cast(point, sa.Text).label("place"),
    )  # fmt: skip


def _of(table: sa.Table, name: str) -> Query:
    return _row(table.c.id, table.c[name], table.c[f"{name}_key"], table.c.point)


def _fits(table: sa.Table, name: str, given: str = "keys") -> Query:
    return _of(table, name).where(_among(table.c[f"{name}_key"], given))


def _ends(table: sa.Table, name: str) -> Query:
    """Texts that end with what is left of the one asked for without regions."""
    asked, back = _each("ends"), sa.func.reverse(table.c[f"{name}_key"])
    ending = _of(table, name).where(_begins(back, sa.func.reverse(asked.c.ends)))
    return _for_each(asked, ending, MOST + 1)


def _starts(table: sa.Table, name: str) -> Query:
    asked, key = _each("begun"), table.c[f"{name}_key"]
    return _for_each(asked, _of(table, name).where(_begins(key, asked.c.begun)).order_by(_in_order(key)))


def _streets(table: sa.Table, name: str) -> Query:
    asked, street = _each("begun"), street_part(table.c[f"{name}_key"])
    rows = _of(table, name).where(_begins(street, asked.c.begun)).order_by(_in_order(street))
    return _for_each(asked, rows)


def _holds(key: Column, text: Column) -> sa.ColumnElement[bool]:
    """Return the condition that a text stands anywhere in another, in the words of its index."""
    return sa.and_(_grams(key).contains(_grams(text)), sa.func.strpos(key, text) > 0)


def _grams(text: Column) -> Any:
    return sa.func.grams(text, type_=ARRAY(sa.Text))


def _middle(table: sa.Table, name: str) -> Query:
    asked = _each("middle")
    return _for_each(asked, _of(table, name).where(_holds(table.c[f"{name}_key"], asked.c.middle)))


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
    inside = sa.func.ST_PointOnSurface(grids.c.geom)
    return _row(grids.c.grid_id, grids.c.name, key, inside, grids.c.code).where(_in_force(grids))


def _grid_starts() -> Query:
    asked = _each("begun")
    begun = _grids(grids.c.name_key).where(_begins(grids.c.name_key, asked.c.begun))
    return _for_each(asked, begun.order_by(grids.c.level, grids.c.code))


def _grid_code_starts() -> Query:
    begun = _grids(grids.c.code).where(_begins(grids.c.code, _text("code")))
    return begun.order_by(grids.c.level, grids.c.code)


def _grid_middle() -> Query:
    asked = _each("middle")
    return _for_each(asked, _grids(grids.c.name_key).where(_holds(grids.c.name_key, asked.c.middle)))


def _posts(key: Column) -> Query:
    """Posts with who holds them and the grid that they are for."""
    text = sa.func.concat_ws(" ", grids.c.name, posts.c.post, staff.c.name)
    return (
        _row(posts.c.id, text, key, sa.func.ST_PointOnSurface(grids.c.geom))
        .select_from(
            posts.join(staff, staff.c.id == posts.c.staff_id).join(grids, grids.c.grid_id == posts.c.grid_id)
        )
        .where(_in_force(grids), posts.c.valid.contains(sa.bindparam("day", type_=sa.Date())))
    )


def _post() -> Query:
    """Posts by the name of their grid and their own: 文化路社区第一网格网格长."""
    named = grids.c.name_key + folded(posts.c.post)
    return _posts(named).where(_among(grids.c.name_key, "heads"), _among(named, "keys"))


def _titled(*, title_first: bool) -> Query:
    """Grids by the title of their level beside their name: District 101, 101 District."""
    titles = sa.union(*(sa.select(levels.c.scheme, levels.c.level, c.label("title")) for c in _TITLES))
    of = titles.subquery("titles")
    named = of.c
    both = (named.title, grids.c.name) if title_first else (grids.c.name, named.title)
    key = folded(sa.func.concat_ws(" ", *both))
    of_level = sa.and_(grids.c.scheme == named.scheme, grids.c.level == named.level)
    rest = _among(grids.c.name_key, "tails" if title_first else "heads")
    return _grids(key).join(of, of_level).where(rest, _among(key, "names"))


_TITLES = (levels.c.name_zh, levels.c.name_en)


def _roads(given: str) -> Query:
    """Roads as a point each, in the middle of what hangs together."""
    apart = roads.c.name.regexp_match(SPELLED_OUT, "i")
    piece = sa.func.ST_ClusterDBSCAN(roads.c.geom, _SAME_ROAD, 1).over(partition_by=[roads.c.name_key, apart])
    columns = (roads.c.id, roads.c.name, roads.c.name_key, roads.c.geom)
    chosen = sa.select(*columns, piece.label("piece"), apart.label("apart"))
    pieces = chosen.where(_among(roads.c.name_key, given)).subquery("pieces").c
    whole = sa.func.ST_Collect(pieces.geom)
    middle = sa.func.ST_ClosestPoint(whole, sa.func.ST_Centroid(whole))
    named = _row(sa.func.min(pieces.id), sa.func.min(pieces.name), pieces.name_key, middle)
    lies = sa.cast(whole, sa.Text).label("place")
    return named.with_only_columns(*list(named.selected_columns)[:-1], lies).group_by(
        pieces.name_key, pieces.apart, pieces.piece
    )


def _road_names(asked: Any, fits: sa.ColumnElement[bool]) -> Query:
    """Names of roads, each once, among so many pieces at most."""
    key, middle = roads.c.name_key, sa.func.ST_LineInterpolatePoint(roads.c.geom, 0.5)
    rows = sa.select(roads.c.id, roads.c.name, key, middle.label("at")).where(fits)
    pieces = _for_each(asked, rows, _PIECES).subquery("pieces")
    one = (pieces.c.name_key, pieces.c.name.regexp_match(SPELLED_OUT, "i"))
    first = sa.select(pieces).ext(distinct_on(*one)).order_by(*one, pieces.c.id)
    once = first.subquery("first").c
    return _row(once.id, once.name, once.name_key, once.at)


def _road_starts() -> Query:
    asked = _each("begun")
    return _road_names(asked, _begins(roads.c.name_key, asked.c.begun))


def _road_middle() -> Query:
    asked = _each("middle")
    return _road_names(asked, _holds(roads.c.name_key, asked.c.middle))


def _crossing() -> Query:
    """Nodes at which two roads meet; those of divided roads are one."""
    every = sa.union_all(*_nodes("one"), *_nodes("other")).subquery("every")
    # A node that stands at several places is a mistake of the file: it joins what lies together alone.
    spot = sa.func.ST_ClusterDBSCAN(every.c.at, _SAME_CROSSING, 1).over(partition_by=every.c.node)
    ends = sa.select(every, spot.label("spot")).subquery("ends").c
    key = sa.func.min(ends.key).filter(ends.side == "one").label("key")
    nodes = sa.select(
        ends.node, key, sa.func.min(ends.name).label("a"), sa.func.max(ends.name).label("b"),
        sa.func.ST_Centroid(sa.func.ST_Collect(ends.at)).label("at"),
    ).group_by(ends.node, ends.spot).having(
        # A road meets itself wherever its pieces join: that is no crossing.
        sa.func.count(sa.distinct(ends.side)) == 2, sa.func.min(ends.key) != sa.func.max(ends.key)
    ).subquery("nodes")  # fmt: skip
    grouped = sa.func.ST_ClusterDBSCAN(nodes.c.at, _SAME_CROSSING, 1).over()
    p = sa.select(nodes, grouped.label("crossing")).subquery("placed").c
    name = sa.func.concat_ws(" & ", sa.func.min(p.a), sa.func.max(p.b))
    middle = sa.func.ST_Centroid(sa.func.ST_Collect(p.at))
    return _row(sa.func.min(p.node), name, sa.func.min(p.key), middle).group_by(p.crossing)


def _nodes(side: str) -> list[Query]:
    """Both ends of the edges of one of two roads."""
    nodes = ((roads.c.u, sa.func.ST_StartPoint), (roads.c.v, sa.func.ST_EndPoint))
    return [
        sa.select(
            sa.literal(side).label("side"), node.label("node"), roads.c.name.label("name"),
            roads.c.name_key.label("key"), at(roads.c.geom).label("at"),
        ).where(_among(roads.c.name_key, side))
        for node, at in nodes
    ]  # fmt: skip


EXACT: tuple[Target, ...] = (
    Target("place name", "place", 1.0, _fits(places, "name")),
    Target("grid code", "grid", 1.0, _grids(grids.c.code).where(_among(grids.c.code, "codes")), "codes"),
    Target("camera code", "camera", 1.0, _code_of(cameras, cameras.c.gb28181), "codes"),
    Target("incident code", "incident", 1.0, _code_of(incidents, incidents.c.code), "codes"),
    Target("building address", "building", 1.0, _fits(buildings, "address")),
    Target("building name", "building", 1.0, _fits(buildings, "name")),
    Target("grid name", "grid", 1.0, _grids(grids.c.name_key).where(_among(grids.c.name_key, "names")),
           "numbered"),
    Target("level and grid name", "grid", 1.0, _titled(title_first=True), "numbered"),
    Target("grid name and level", "grid", 1.0, _titled(title_first=False), "numbered"),
    Target("place address", "place", 0.98, _fits(places, "address")),
    Target("road name", "road", 1.0, _roads("keys")),
    Target("crossing of two roads", "crossing", 1.0, _crossing(), "streets"),
    Target("staff name", "post", 1.0, _posts(staff.c.name_key).where(_among(staff.c.name_key, "keys"))),
    Target("staff post", "post", 1.0, _post()),
    Target("building address", "building", 1.0, _ends(buildings, "address")),
    Target("place name", "place", 1.0, _ends(places, "name")),
    Target("place address", "place", 0.98, _ends(places, "address")),
    Target("building address, direction aside", "building", 0.85, _fits(buildings, "address", "turned"),
           "turned"),
    Target("place address, direction aside", "place", 0.83, _fits(places, "address", "turned"), "turned"),
    Target("road name, direction aside", "road", 0.85, _roads("turned"), "turned"),
)  # fmt: skip
"""Ways in which all of a text fits."""

BEGINS: tuple[Target, ...] = (
    Target("place name", "place", 0.8, _starts(places, "name"), "begun"),
    Target("road name", "road", 0.75, _road_starts(), "begun"),
    Target("grid name", "grid", 0.75, _grid_starts(), "begun"),
    Target("grid code", "grid", 0.75, _grid_code_starts(), "begun"),
    Target("building name", "building", 0.7, _starts(buildings, "name"), "begun"),
    Target("building address", "building", 0.7, _starts(buildings, "address"), "begun"),
    Target("place address", "place", 0.68, _starts(places, "address"), "begun"),
)
"""Ways in which a text is the beginning of something."""

MIDDLE: tuple[Target, ...] = (
    Target("place name", "place", 0.8, _middle(places, "name"), "begun"),
    Target("road name", "road", 0.75, _road_middle(), "begun"),
    Target("grid name", "grid", 0.75, _grid_middle(), "begun"),
    Target("building address", "building", 0.7, _streets(buildings, "address"), "begun"),
    Target("building name", "building", 0.7, _middle(buildings, "name"), "begun"),
    Target("place address", "place", 0.68, _streets(places, "address"), "begun"),
)
"""Ways in which a text stands anywhere in a name, or begins the street of an address."""
