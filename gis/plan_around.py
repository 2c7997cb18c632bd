"""What stands around the grids of a draft: features of the store whose boxes meet those of given shapes."""

from collections.abc import Iterable
from typing import Any

import shapely
import sqlalchemy as sa
from geoalchemy2 import Geometry
from shapely.geometry.base import BaseGeometry
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.engine import Connection

from gis.case import Surroundings
from gis.db import Record
from gis.schema import buildings, roads
from gis.settings import settings

BARRIERS = ("motorway", "trunk", "arterial", "rail", "river")
"""Classes of lines that a unit grid should not lie across."""


def near(
    conn: Connection,
    geom: sa.Column[Any],
    columns: Iterable[sa.ColumnElement[Any]],
    shapes: Iterable[BaseGeometry],
    *where: sa.ColumnElement[bool],
) -> list[Record]:
    """Return the rows, each once and by id, whose geometry's box meets that of a shape (EPSG:4326)."""
    boxes = shapely.MultiPolygon([shapely.box(*shape.bounds) for shape in shapes if not shape.is_empty])
    if boxes.is_empty:
        return []
    given = sa.func.ST_Dump(sa.func.ST_GeomFromWKB(shapely.to_wkb(boxes), 4326)).table_valued(
        sa.column("path"), sa.column("geom", Geometry), name="box"
    )
    query = sa.select(geom.table.c.id, *columns).select_from(given).join(
        geom.table, geom.op("&&")(given.c.geom)
    ).where(*where)  # fmt: skip
    once = query.ext(distinct_on(geom.table.c.id)).order_by(geom.table.c.id)
    return list(conn.execute(once).all())


def surroundings(conn: Connection, shapes: Iterable[BaseGeometry]) -> Surroundings:
    """The buildings and barriers that lie near grids (EPSG:4326)."""
    shapes = list(shapes)
    b, r = buildings.c, roads.c
    columns = (sa.func.ST_AsBinary(b.geom), sa.func.coalesce(b.households, 0))
    houses = near(conn, b.geom, columns, shapes, sa.func.ST_Dimension(b.geom) == 2)
    lines = near(conn, r.geom, [sa.func.ST_AsBinary(r.geom)], shapes, r["class"].in_(BARRIERS))
    return Surroundings(
        list(shapely.from_wkb([bytes(row[1]) for row in houses])),
        [int(row[2]) for row in houses],
        list(shapely.from_wkb([bytes(row[1]) for row in lines])),
        neck_width_m=settings().neck_width_m,
    )
