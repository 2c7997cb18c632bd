"""Grids and their chains: whose is this point, on which day, as known at which revision."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import NO_DEFAULT, NO_GRIDS, UNSET
from gis.db import Query, Record
from gis.errors import BadInput, NotFound
from gis.schema import NEVER_SHOWN, city, grids, levels, revisions, schemes

DECIMALS = 7
"""Decimals of a degree that coordinates of grids have (1 cm); points are asked at the same precision."""

OWNER = """
  SELECT n.id, n.code, n.level, NOT ST_ContainsProperly(n.geom, p.geom) AS at_edge
  FROM (  -- OFFSET keeps the box test first, on its own index; deepest and lowest code lead: one hit is all
    SELECT g.id, g.code, g.level, g.geom FROM (SELECT * FROM grids WHERE geom && p.geom OFFSET 0) g
    WHERE g.scheme = a.scheme AND g.valid @> a.day AND g.known @> a.known
    ORDER BY g.level DESC, g.code OFFSET 0
  ) n WHERE ST_Covers(n.geom, p.geom) LIMIT 1
"""
"""Whose is the point `p.geom` in scheme `a.scheme` on `a.day` as known at `a.known`: the one rule, in SQL."""

_CHAIN_OF = """
WITH RECURSIVE asked AS (
  SELECT coalesce(CAST(:scheme AS text), (SELECT name FROM schemes WHERE is_default)) AS scheme,
    coalesce(CAST(:on AS date), (SELECT (now() AT TIME ZONE timezone)::date FROM city)) AS day,
    coalesce(CAST(:known AS int), (SELECT max(id) FROM revisions), 0) AS known,
    (SELECT max(id) FROM revisions) AS newest
), point AS (SELECT ST_SetSRID(ST_MakePoint(:lon, :lat), 4326) AS geom),
hits AS (
  SELECT o.* FROM asked a, point p, LATERAL ({owner}) o
), chain AS (
  SELECT g.id, g.grid_id, g.code, g.name, g.level, g.parent_code, h.at_edge
  FROM hits h JOIN grids g ON g.id = h.id
  UNION ALL
  SELECT g.id, g.grid_id, g.code, g.name, g.level, g.parent_code, c.at_edge
  FROM chain c, asked a, LATERAL (
    SELECT * FROM grids WHERE scheme = a.scheme AND code = c.parent_code OFFSET 0
  ) g
  -- Upwards only: as levels are finite, a circle forced into the table ends too.
  WHERE g.valid @> a.day AND g.known @> a.known AND g.level < c.level
)
SELECT a.scheme, a.day, a.known, a.newest, c.code, c.name, c.level, c.at_edge, s.staff,
       CASE WHEN c.level = max(c.level) OVER () THEN public_contact(c.grid_id, a.day) END AS contact,
       l.name_zh AS level_name_zh, l.name_en AS level_name_en
FROM asked a LEFT JOIN chain c ON true LEFT JOIN levels l ON l.scheme = a.scheme AND l.level = c.level
LEFT JOIN LATERAL (
  SELECT jsonb_agg(
    jsonb_build_object('name', m.name, 'post', o.post, 'phone', m.phone) ORDER BY o.id
  ) AS staff
  FROM posts o JOIN staff m ON m.id = o.staff_id
  WHERE o.grid_id = c.grid_id AND o.valid @> a.day
) s ON true
ORDER BY c.level DESC
""".replace("{owner}", OWNER)
_CHAIN = sa.text(_CHAIN_OF)
_CHAINS = sa.text(
    """
SELECT at.n, c.*
FROM unnest(CAST(:lons AS float8[]), CAST(:lats AS float8[])) WITH ORDINALITY at (lon, lat, n),
  LATERAL ({chain}) c
ORDER BY at.n, c.level DESC
""".replace("{chain}", _CHAIN_OF.replace(":lon", "at.lon").replace(":lat", "at.lat"))
)


@dataclass(frozen=True)
class Wish:
    """Which record of grids somebody wants: what is None takes the default scheme, today, the newest."""

    scheme: str | None = None
    on: date | None = None
    known: int | None = None


@dataclass(frozen=True)
class Asked:
    """Which of a city's records of grids a question is put to."""

    scheme: str
    on: date
    known: int


@dataclass(frozen=True)
class Chain:
    """A point's owner at every level, leaf first; at a border the lowest code owns the point."""

    asked: Asked
    on_boundary: bool
    links: list[dict[str, object]]


def resolve(conn: Connection, wish: Wish) -> Asked:
    """Return the record of grids that a wish means.

    Raises NotFound for a scheme that is not in the store, BadInput for a revision that is still to come.
    """
    named = schemes.c.name == wish.scheme if wish.scheme else schemes.c.is_default
    zone = sa.select(city.c.timezone).scalar_subquery()
    row = conn.execute(
        sa.select(
            sa.select(schemes.c.name).where(named).scalar_subquery().label("scheme"),
            sa.cast(sa.func.timezone(zone, sa.func.now()), sa.Date).label("day"),
            sa.select(sa.func.max(revisions.c.id)).scalar_subquery().label("newest"),
        )
    ).one()
    if row.scheme is None and wish.scheme:
        raise NotFound(f"there is no scheme {wish.scheme}")
    known = row.newest if wish.known is None else wish.known
    return _found(row.scheme, wish.on or row.day, known or 0, row.newest)


def _found(scheme: str | None, day: date | None, known: int, newest: int | None) -> Asked:
    lacking = ((day, UNSET), (newest, NO_GRIDS), (scheme, NO_DEFAULT))
    if lack := next((what for has, what in lacking if has is None), None):
        raise NotFound(lack)
    assert scheme is not None and day is not None and newest is not None  # noqa: PT018 - the same three
    if known > newest:
        raise BadInput("known", f"there is no revision {known} yet; the newest is {newest}")
    return Asked(scheme, day, known)


def chain(conn: Connection, lon: float, lat: float, wish: Wish) -> Chain:
    """Return the chain of a WGS-84 point, which is first rounded to the grids' precision.

    The leaf is the deepest grid that covers the point, the lowest code where several do; the levels above
    follow from its parents. Raises NotFound when no grid owns the point, BadInput for a
    revision still to come.
    """
    place = {"lon": round(lon, DECIMALS), "lat": round(lat, DECIMALS)}
    rows = conn.execute(_CHAIN, place | asdict(wish)).all()
    asked = _found(rows[0].scheme, rows[0].day, rows[0].known, rows[0].newest)
    if rows[0].code is None:
        raise NotFound(f"no grid of scheme {asked.scheme} owns {lon}, {lat} on {asked.on}")
    return Chain(asked, rows[0].at_edge, [_link(row) for row in rows])


def links_at(
    conn: Connection, places: Sequence[tuple[float, float]], wish: Wish
) -> list[list[dict[str, object]]]:
    """Return the links of the chain of each WGS-84 point, in one question; none where nobody owns it."""
    lons, lats = ([round(place[axis], DECIMALS) for place in places] for axis in (0, 1))
    found: list[list[dict[str, object]]] = [[] for _ in places]
    for row in conn.execute(_CHAINS, {"lons": lons, "lats": lats} | asdict(wish)):
        if row.code is not None:
            found[row.n - 1].append(_link(row))
    return found


def _link(row: Record) -> dict[str, object]:
    return {
        "code": row.code,
        "name": row.name,
        "level": row.level,
        "level_name": row.level_name_zh,
        "level_name_en": row.level_name_en,
        "staff": row.staff or [],
        "contact": row.contact,
    }


def current(asked: Asked) -> sa.ColumnElement[bool]:
    """Return the condition on `grids` that one day and one revision pick one map of a scheme."""
    return sa.and_(
        grids.c.scheme == asked.scheme,
        grids.c.valid.contains(asked.on),
        grids.c.known.contains(asked.known),
    )


def shape(asked: Asked, code: str) -> sa.ScalarSelect[Any]:
    """Return a grid's boundary as a scalar subquery, null when it has none on that day and revision."""
    return sa.select(grids.c.geom).where(current(asked), grids.c.code == code).scalar_subquery()


def covers(conn: Connection, outer: tuple[Asked, str], inner: tuple[Asked, str]) -> bool:
    """Say whether one grid covers another, each as of its day and revision; not if one has no boundary."""
    found = conn.execute(sa.select(sa.func.ST_Covers(shape(*outer), shape(*inner)))).scalar()
    return bool(found)


def owned(point: sa.ColumnElement[Any], asked: Asked, code: str) -> sa.ColumnElement[bool]:
    """Return the condition that a grid owns a point: it covers it, and no neighbour of a lower code does."""
    lower = grids.alias("lower")
    level = sa.select(grids.c.level).where(current(asked), grids.c.code == code).scalar_subquery()
    taken = sa.exists().where(
        lower.c.scheme == asked.scheme,
        lower.c.valid.contains(asked.on),
        lower.c.known.contains(asked.known),
        lower.c.level == level,
        lower.c.code < code,
        sa.func.ST_Covers(lower.c.geom, point),
    )
    # Inside, nobody else can own it; only a point on the border asks the neighbours.
    inside = sa.func.ST_Contains(shape(asked, code), point)
    at_edge = sa.and_(sa.func.ST_Covers(shape(asked, code), point), ~taken)
    return sa.and_(point.op("&&")(shape(asked, code)), sa.or_(inside, at_edge))


def _features() -> Query:
    return sa.select(
        grids.c.grid_id.label("id"),
        grids.c.code,
        grids.c.name,
        grids.c.level,
        grids.c.kind,
        grids.c.parent_code,
        grids.c.area_m2,
        sa.func.lower(grids.c.valid).label("valid_from"),
        sa.func.upper(grids.c.valid).label("valid_to"),
        sa.func.lower(grids.c.known).label("known_from"),
        sa.func.upper(grids.c.known).label("known_to"),
        sa.func.ST_AsGeoJSON(grids.c.geom, 7).label("geometry"),
    )


def grid(conn: Connection, code: str, asked: Asked) -> Record:
    """Return one grid as it was. Raises NotFound when the code had no boundary on that day and revision."""
    row = conn.execute(_features().where(current(asked), grids.c.code == code)).one_or_none()
    if row is None:
        raise NotFound(f"grid {code} of scheme {asked.scheme} has no boundary on {asked.on}")
    return row


def children(conn: Connection, code: str, asked: Asked) -> list[Record]:
    """Return the grids directly below one, by code. Raises NotFound when it is not there itself."""
    grid(conn, code, asked)
    below = _features().where(current(asked), grids.c.parent_code == code).order_by(grids.c.code)
    return list(conn.execute(below).all())


def history(conn: Connection, code: str, scheme: str) -> list[Record]:
    """Return every version of a grid, newest knowledge first. Raises NotFound for a code never given."""
    versions = (
        _features()
        .where(grids.c.scheme == scheme, grids.c.code == code)
        .order_by(sa.func.lower(grids.c.known).desc(), sa.func.lower(grids.c.valid).desc())
    )
    rows = list(conn.execute(versions).all())
    if not rows:
        raise NotFound(f"scheme {scheme} never had a grid {code}")
    return rows


def set_minzooms(conn: Connection, scheme: str, at_least_px: int = 48) -> None:
    """Set from which zoom each level is shown: where its median grid is `at_least_px` pixels wide.

    Tiles are drawn 512 px wide, so a pixel is 78,271.5 m * cos(latitude) / 2^zoom on the ground. The highest
    level is shown from zoom 0 on, one that has no grids (yet) at none.
    """
    conn.execute(levels.update().where(levels.c.scheme == scheme).values(minzoom=NEVER_SHOWN))
    size = sa.func.percentile_cont(0.5).within_group(sa.func.sqrt(grids.c.area_m2))
    latitude = sa.func.avg(sa.func.ST_Y(sa.func.ST_PointOnSurface(grids.c.geom)))
    metres = 78271.5 * at_least_px * sa.func.cosd(latitude)
    zoom = sa.func.ceil(sa.func.log(2, sa.cast(metres / size, sa.Numeric)))
    found = conn.execute(
        sa.select(grids.c.level, sa.cast(sa.func.greatest(0, sa.func.least(16, zoom)), sa.Integer))
        .where(grids.c.scheme == scheme)
        .group_by(grids.c.level)
        .order_by(grids.c.level)
    ).all()
    for place, (level, minzoom) in enumerate(found):
        conn.execute(
            levels.update()
            .where(levels.c.scheme == scheme, levels.c.level == level)
            .values(minzoom=minzoom if place else 0)
        )
