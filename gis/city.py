"""The city of this database: its name, zone, extent, schemes and categories."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.db import Record
from gis.errors import BadInput, NotFound
from gis.schema import batches, categories, city, grids, incidents, levels


def the_city(conn: Connection) -> Record:
    """Return the city's row. Raises NotFound while nothing is loaded."""
    row = conn.execute(sa.select(city)).one_or_none()
    if row is None:
        raise NotFound("no city is loaded; run safetymap demo")
    return row


def extent(conn: Connection, scheme: str) -> list[float]:
    """Return west, south, east, north (WGS-84 degrees) of a scheme's grids of the highest level."""
    top = sa.select(sa.func.min(grids.c.level)).where(grids.c.scheme == scheme).scalar_subquery()
    box = sa.select(sa.func.ST_Extent(grids.c.geom).label("box")).where(
        grids.c.scheme == scheme, grids.c.level == top
    ).subquery()  # fmt: skip
    corners = [f(box.c.box) for f in (sa.func.ST_XMin, sa.func.ST_YMin, sa.func.ST_XMax, sa.func.ST_YMax)]
    return [float(value) for value in conn.execute(sa.select(*corners)).one()]


def level_names(conn: Connection, scheme: str) -> list[dict[str, object]]:
    """Return a scheme's levels, highest first."""
    columns = (levels.c.level, levels.c.name_zh, levels.c.name_en, levels.c.minzoom)
    rows = conn.execute(sa.select(*columns).where(levels.c.scheme == scheme).order_by(levels.c.level))
    return [dict(row) for row in rows.mappings()]


def category_tree(conn: Connection) -> list[dict[str, object]]:
    """Return every category with its parent's code, parents before children in order of codes."""
    return [dict(row) for row in conn.execute(sa.select(categories).order_by(categories.c.code)).mappings()]


def with_descendants(conn: Connection, code: str) -> tuple[str, ...]:
    """Return a category's code and all below it. Raises BadInput when there is no such category."""
    tree = sa.select(categories.c.code).where(categories.c.code == code).cte("tree", recursive=True)
    tree = tree.union_all(sa.select(categories.c.code).join(tree, categories.c.parent == tree.c.code))
    codes = tuple(conn.execute(sa.select(tree.c.code).order_by(tree.c.code)).scalars())
    if not codes:
        raise BadInput("category", f"{code!r} is unknown; GET /categories lists them")
    return codes


def incident_span(conn: Connection, *, suppressed: bool = False) -> Record:
    """Return count, first and last moment of the live incidents; suppressed: of the months told."""
    if suppressed:
        return conn.execute(sa.text("SELECT count, first, last FROM public_span()")).one()
    at = incidents.c.occurred_at
    live = incidents.c.state != "withdrawn"
    return conn.execute(
        sa.select(
            sa.func.count().label("count"), sa.func.min(at).label("first"), sa.func.max(at).label("last")
        ).where(live)
    ).one()


def last_import(conn: Connection) -> datetime | None:
    """Return when something was last imported; None before the first."""
    found: datetime | None = conn.execute(sa.select(sa.func.max(batches.c.imported_at))).scalar()
    return found


def data_version(conn: Connection) -> int:
    """Return a number that grows with every committed import."""
    newest = sa.func.coalesce(sa.func.max(batches.c.id), 0)
    return int(conn.execute(sa.select(newest)).scalar_one())
