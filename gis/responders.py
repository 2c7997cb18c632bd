"""Responders: who can be sent, where they are, and who is nearest."""

import sqlalchemy as sa
from geoalchemy2 import Geography
from sqlalchemy.engine import Connection

from gis.db import Record
from gis.schema import responders


def nearest(
    conn: Connection,
    lon: float,
    lat: float,
    k: int,
    *,
    kind: str | None = None,
    skill: str | None = None,
    status: str | None = None,
) -> list[Record]:
    """Return the `k` responders nearest to a WGS-84 point in geodesic metres (spheroid), nearest first.

    The index on geography orders by distance on the sphere, up to 0.5 % off, so it preselects with a margin
    and the spheroid decides.
    """
    place = sa.cast(sa.func.ST_SetSRID(sa.func.ST_MakePoint(lon, lat), 4326), Geography)
    where = sa.cast(responders.c.geom, Geography)
    near = (
        sa.select(responders, where.label("geog"))
        .where(*_wanted(kind, skill, status))
        .order_by(where.op("<->")(place))
        .limit(2 * k + 20)
        .subquery("near")
    )
    metres = sa.func.ST_Distance(near.c.geog, place).label("distance_m")
    answer = (
        sa.select(
            near.c.id, near.c.name, near.c.kind, near.c.status, near.c.skills, metres,
            sa.func.extract("epoch", sa.func.now() - near.c.position_at).label("position_age_s"),
            sa.func.ST_X(near.c.geom).label("lon"), sa.func.ST_Y(near.c.geom).label("lat"),
        )
        .order_by(metres, near.c.id)
        .limit(k)
    )  # fmt: skip
    return list(conn.execute(answer).all())


def _wanted(kind: str | None, skill: str | None, status: str | None) -> list[sa.ColumnElement[bool]]:
    wanted = [
        column == value
        for column, value in ((responders.c.kind, kind), (responders.c.status, status))
        if value is not None
    ]
    if skill is not None:
        wanted.append(sa.literal(skill) == sa.any_(responders.c.skills))
    return wanted
