"""Mapbox vector tiles, cut by PostGIS in one statement."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.crs import WEB_MERCATOR, WGS84
from gis.db import Query
from tiles.tile import BUFFER, EXTENT, Tile


def statement(rows: Query, name: str, tile: Tile) -> Query:
    """Return the one statement that cuts `rows` (id, geom and properties) to the tile named `name`.

    The envelope is transformed to the rows' CRS (WGS-84), never the column, so that its index is used.
    """
    inner = rows.subquery("inner")
    box = sa.func.ST_MakeEnvelope(*tile.bounds(), WGS84)
    square = sa.func.ST_TileEnvelope(tile.z, tile.x, tile.y)
    flat = sa.func.ST_Transform(inner.c.geom, WEB_MERCATOR)
    cut = (
        sa.select(
            sa.func.ST_AsMVTGeom(flat, square, EXTENT, BUFFER, True).label("geom"),
            *(column for column in inner.c if column.name != "geom"),
        )
        .where(inner.c.geom.op("&&")(box))
        .subquery("cut")
    )
    kept = sa.select(cut).where(cut.c.geom.is_not(None)).subquery("kept")
    return sa.select(sa.func.ST_AsMVT(kept.table_valued(), name, EXTENT, "geom", "id"))


def render(conn: Connection, rows: Query, name: str, tile: Tile) -> bytes:
    """Return the tile as MVT 2 bytes, empty when nothing lies in it."""
    return bytes(conn.execute(statement(rows, name, tile)).scalar_one() or b"")
