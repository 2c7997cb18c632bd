"""Grids put into the store as they are, faults and all, and read back: for tests and benchmarks."""

from collections.abc import Iterator
from datetime import date

import geopandas as gpd
import pandas as pd
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection, Engine

from gis import coverage, grids, schema
from gis.access import COMMAND, enter
from gis.grids import Wish
from gis.importing import revising

Rows = list[tuple[str, str | None, BaseGeometry]]
"""Code, parent (which comes before) and polygon (EPSG:4326) of each grid."""


def with_scheme(engine: Engine, scheme: str, levels: int) -> Iterator[Connection]:
    """A connection of the command line's to a store with a scheme, undone in the end: for fixtures."""
    with engine.connect() as connection:
        enter(connection, COMMAND)
        add_scheme(connection, scheme, levels)
        yield connection
        connection.rollback()


def add_scheme(conn: Connection, scheme: str, levels: int, *, default: bool = False) -> None:
    """Make a scheme of so many levels, and a city where there is none."""
    if conn.execute(sa.select(schema.city)).first() is None:
        conn.execute(
            schema.city.insert().values(
                code="R", name_zh="小镇", name_en="Town", timezone="Asia/Shanghai", size="small",
                synthetic=True, attribution="drawn by the tests",
            )
        )  # fmt: skip
    named = {"name": scheme, "title_zh": scheme, "title_en": scheme, "is_default": default}
    conn.execute(schema.schemes.insert().values(named))
    rows = [
        {"scheme": scheme, "level": n, "name_zh": f"{n}", "name_en": f"{n}"} for n in range(1, levels + 1)
    ]
    conn.execute(schema.levels.insert(), rows)


def lay(conn: Connection, scheme: str, rows: Rows) -> None:
    """Record grids as an import with accepted faults does: on the fixed precision, in force from 2020."""
    level: dict[str | None, int] = {None: 0}
    for code, parent, _ in rows:
        level[code] = level[parent] + 1
    table = [
        (code, level[code], parent, code, None, None, date(2020, 1, 1), None) for code, parent, _ in rows
    ]
    columns = ["code", "level", "parent_code", "name", "kind", "display_order", "valid_from", "valid_to"]
    frame = pd.DataFrame(table, columns=columns).astype(object)
    shapes, _ = coverage.snap([shape for _, _, shape in rows])
    there = gpd.GeoDataFrame(frame.where(frame.notna(), None), geometry=shapes, crs=4326)
    revising.publish(conn, revising.lay(conn, scheme, there), _batch(conn), "laid")


def _batch(conn: Connection) -> int:
    texts = dict.fromkeys(("kind", "origin", "file", "sha256", "mapping", "datum"), "grids")
    counts = dict.fromkeys(("rows", "accepted", "refused", "unchanged"), 0)
    made = schema.batches.insert().values(texts | counts | {"datum": "wgs84"})
    return int(conn.execute(made.returning(schema.batches.c.id)).scalar_one())


Polygons = dict[str, BaseGeometry]
"""Recorded polygons (EPSG:4326) by code."""


def polygons(conn: Connection, scheme: str) -> Polygons:
    """Every polygon of today, by code."""
    asked = grids.resolve(conn, Wish(scheme))
    g = schema.grids.c
    rows = conn.execute(sa.select(g.code, sa.func.ST_AsBinary(g.geom)).where(grids.current(asked)))
    return {code: shapely.from_wkb(bytes(wkb)) for code, wkb in rows}
