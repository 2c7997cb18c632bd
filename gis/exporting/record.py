"""What the store holds of a kind, in the importer's own columns: all that an import of it would bring."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.db import Query
from gis.importing import deriving, times
from gis.importing.kinds import KINDS, Kind

_NOW = sa.func.upper_inf


def read(conn: Connection, kind: str) -> pd.DataFrame:
    """Return the rows of a kind; with `geometry` (EPSG:4326) where it has a shape, points' lon and lat apart.

    Of grids what is believed now is read: every level of every scheme with the days of each version.
    """
    found = KINDS[kind]
    result = conn.execute(_SELECTS.get(kind, _plain)(found))
    names = [name for name in tuple(result.keys()) if name != "wkb"]
    rows = result.all()
    columns = {name: pd.Series([getattr(row, name) for row in rows], dtype=object) for name in names}
    frame = pd.DataFrame(columns)
    if kind == "incidents":
        frame["occurred_at"] = _as_known(frame, conn.execute(sa.select(t.city.c.timezone)).scalar())
    if found.shape is None:
        return frame
    shapes = shapely.from_wkb([None if row.wkb is None else bytes(row.wkb) for row in rows])
    located: pd.DataFrame = gpd.GeoDataFrame(frame, geometry=np.asarray(shapes, dtype=object), crs=4326)
    return located


def _as_known(rows: pd.DataFrame, zone: str | None) -> pd.Series:
    """Return when incidents occurred as it is known: where only the day is, the city's day, and texts then.

    A day that the city's clock would not read as the same moment stays one; its precision stands beside it.
    """
    dated = (rows["occurred_precision"] == "day").to_numpy()
    if zone is None or not dated.any():
        return rows["occurred_at"]
    known = rows["occurred_at"].map(datetime.isoformat)
    given = pa.array(rows.loc[dated, "occurred_at"].tolist(), pa.timestamp("us", "UTC"))
    days = deriving.local_days(given, zone).to_numpy(zero_copy_only=False)
    read = times.to_utc(days.astype("datetime64[us]"), zone).utc
    same = read == given.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    known[dated] = np.where(same, days.astype(str), known[dated])
    return known


def _wkb(table: sa.Table) -> sa.ColumnElement[Any]:
    return sa.func.ST_AsBinary(table.c.geom).label("wkb")


def _fields(kind: Kind) -> list[sa.ColumnElement[Any]]:
    """Return the kind's fields that its table keeps under their own names."""
    there = t.metadata.tables[kind.table].c
    return [there[field.name] for field in kind.fields if field.name in there]


def _plain(kind: Kind) -> Query:
    table = t.metadata.tables[kind.table]
    shape = [_wkb(table)] if kind.shape else []
    order = [table.c[name] for name in ("origin", "origin_id", "part", "code") if name in table.c]
    return sa.select(*_fields(kind), *shape).order_by(*order)


def _incidents(kind: Kind) -> Query:
    """Places are written in WGS-84; in which datum they came is told apart."""
    kept = [column for column in _fields(kind) if column.name not in ("datum", "original_datum")]
    i = t.incidents.c
    return sa.select(
        *kept, sa.literal("wgs84").label("datum"), i.datum.label("original_datum"), _wkb(t.incidents)
    ).order_by(i.origin, i.origin_id)


def _staff(_kind: Kind) -> Query:
    """Select each person with the post held now, else the next; the latest where there are several."""
    s, p, c = t.staff.c, t.posts.c, t.grid_codes.c
    open_posts = (
        sa.select(
            p.staff_id,
            p.post,
            p.public_phone,
            c.scheme,
            c.code,
            sa.func.lower(p.valid).label("valid_from"),
            sa.func.upper(p.valid).label("valid_to"),
        )
        .join(t.grid_codes, c.id == p.grid_id)
        .where(sa.or_(_NOW(p.valid), sa.func.upper(p.valid) > sa.func.city_day()))
        .order_by(
            p.staff_id,
            p.valid.contains(sa.func.city_day()).desc(),
            sa.func.lower(p.valid).desc().nulls_last(),
            p.id,
        )
        .ext(distinct_on(p.staff_id))
        .subquery("held")
        .c
    )
    return (
        sa.select(
            s.origin, s.origin_id, s.name, s.phone, open_posts.post, open_posts.scheme,
            open_posts.code.label("grid_code"), open_posts.valid_from,
            open_posts.valid_to, open_posts.public_phone,
        )
        .join_from(t.staff, open_posts.staff_id.table, open_posts.staff_id == s.id, isouter=True)
        .order_by(s.origin, s.origin_id)
    )  # fmt: skip


def _grids(_kind: Kind) -> Query:
    g, h, v = t.grids.c, t.schemes.c, t.levels.c
    return (
        sa.select(
            g.scheme, g.code, g.level, g.parent_code, g.name, g.kind,
            sa.func.lower(g.valid).label("valid_from"), sa.func.upper(g.valid).label("valid_to"),
            g.display_order,
            h.title_zh.label("scheme_zh"), h.title_en.label("scheme_en"),
            v.name_zh.label("level_zh"), v.name_en.label("level_en"), _wkb(t.grids),
        )
        .join(t.schemes, h.name == g.scheme)
        .join(t.levels, (v.scheme == g.scheme) & (v.level == g.level))
        .where(_NOW(g.known))
        .order_by(h.is_default.desc(), g.scheme, g.level, g.code, sa.func.lower(g.valid).nulls_first())
    )  # fmt: skip


_SELECTS: dict[str, Callable[[Kind], Query]] = {"incidents": _incidents, "staff": _staff, "grids": _grids}
