"""Who owned what: many points by day and revision at once; incidents counted on any map, past or to come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import locate, schema, schema_plans
from gis.grids import DECIMALS, OWNER, Asked, current
from gis.schema import grids, incidents

BATCH = 20_000
"""Questions put to the store in one statement."""
REVISIONS = 200
"""Revisions told at most; older ones can still be asked for by number."""

_OWNERS = sa.text(
    """
WITH questions AS (
  SELECT row, CAST(:scheme AS text) AS scheme, day, known, ST_SetSRID(ST_MakePoint(lon, lat), 4326) AS geom
  FROM unnest(CAST(:lon AS float8[]), CAST(:lat AS float8[]), CAST(:on AS date[]), CAST(:known AS int[]))
    WITH ORDINALITY AS given(lon, lat, day, known, row)
)
SELECT o.code, o.at_edge
FROM questions a CROSS JOIN LATERAL (SELECT a.geom) p LEFT JOIN LATERAL ({owner}) o ON true
ORDER BY a.row
""".replace("{owner}", OWNER)
)


def owners(
    conn: Connection,
    scheme: str,
    lon: npt.ArrayLike,
    lat: npt.ArrayLike,
    on: Sequence[date],
    known: Sequence[int],
) -> pd.DataFrame:
    """Return the owner of each point (WGS-84) on its day as known at its revision: `code` and `on_boundary`.

    The rule is that of `grids.chain`, the very same text: rounded to the precision, the deepest grid, on a
    border the lowest code. Where nobody owns the point, `code` is None.
    """
    places = np.round(np.column_stack([lon, lat]).astype(np.float64), DECIMALS)
    found = [
        row
        for part in _parts(len(places))
        for row in conn.execute(
            _OWNERS,
            {
                "scheme": scheme,
                "lon": places[part, 0].tolist(),
                "lat": places[part, 1].tolist(),
                "on": list(on[part]),
                "known": list(known[part]),
            },
        )
    ]
    codes = pd.Series([row.code for row in found], dtype=object)
    return pd.DataFrame({"code": codes, "on_boundary": [bool(row.at_edge) for row in found]})


def _parts(count: int) -> Iterator[slice]:
    return (slice(first, first + BATCH) for first in range(0, count, BATCH))


@dataclass(frozen=True)
class Tally:
    """Incidents on one map: `counts` has code, level and incidents, each incident in its lowest grid.

    `orphans` names those on no grid: code, lon, lat, and why (no place, or no grid there). All add up to
    `total`.
    """

    asked: Asked
    total: int
    counts: pd.DataFrame
    orphans: pd.DataFrame


def tally(conn: Connection, asked: Asked, where: sa.ColumnElement[bool] | None = None) -> Tally:
    """Count incidents on the map of a day and a revision, whenever they happened; nothing is left over.

    `where` chooses incidents (a condition on the table); withdrawn ones count nowhere.
    """
    chosen = sa.select(
        incidents.c.code,
        sa.func.ST_X(incidents.c.geom).label("lon"),
        sa.func.ST_Y(incidents.c.geom).label("lat"),
    ).where(incidents.c.state != "withdrawn", sa.true() if where is None else where)
    rows = pd.DataFrame(conn.execute(chosen.order_by(incidents.c.id)).all(), columns=["code", "lon", "lat"])
    rows[["lon", "lat"]] = rows[["lon", "lat"]].astype(np.float64)
    grid, map_ = _deepest(conn, asked, rows)
    counts = map_.assign(incidents=np.bincount(grid[grid >= 0], minlength=len(map_)))
    lost = rows[grid < 0].assign(why=lambda rest: np.where(rest["lon"].isna(), "no place", "no grid"))
    return Tally(asked, len(rows), counts[counts["incidents"] > 0], lost.reset_index(drop=True))


def _deepest(
    conn: Connection, asked: Asked, rows: pd.DataFrame
) -> tuple[npt.NDArray[np.int64], pd.DataFrame]:
    """The deepest grid of each place as a row of the map, -1 for none, and the map's codes and levels."""
    found = conn.execute(
        sa.select(grids.c.code, grids.c.level, sa.func.ST_AsBinary(grids.c.geom).label("wkb"))
        .where(current(asked))
        .order_by(grids.c.code)
    ).all()
    codes, levels = [row.code for row in found], np.array([row.level for row in found], dtype=np.int64)
    shapes = np.asarray(shapely.from_wkb([bytes(row.wkb) for row in found]), dtype=object)
    owner = np.full(len(rows), -1, dtype=np.int64)
    left = np.flatnonzero(rows["lon"].notna())
    for level in np.unique(levels)[::-1]:
        of = np.flatnonzero(levels == level)
        here, _ = locate.locate(
            shapes[of], [codes[i] for i in of], *rows.loc[left, ["lon", "lat"]].to_numpy().T
        )
        owner[left] = np.append(of, -1)[here]
        left = left[here < 0]
    return owner, pd.DataFrame({"code": codes, "level": levels})


def schemes(conn: Connection) -> list[dict[str, object]]:
    """Return the schemes of grids that a city has, with their titles, the default one first."""
    c = schema.schemes.c
    found = sa.select(c.name, c.title_zh, c.title_en).order_by(c.is_default.desc(), c.name)
    return [dict(row._mapping) for row in conn.execute(found)]


def revisions(conn: Connection, scheme: str) -> list[dict[str, object]]:
    """Return the newest `REVISIONS` moments at which a scheme's record of grids changed, newest first."""
    c = schema.revisions.c
    found = sa.select(c.id, c.known_at).where(c.scheme == scheme).order_by(c.id.desc()).limit(REVISIONS)
    return [dict(row._mapping) for row in conn.execute(found)]


def lineage(conn: Connection, scheme: str, code: str) -> list[dict[str, object]]:
    """Return what plans made of a grid and what it was made of, newest first.

    Each row has revision, before, after, kind (kept, split, merged, moved) and the shares of the ground, the
    households and the buildings of `before`, which sum to 1 over its rows of a revision.
    """
    c = schema_plans.lineage.c
    of_it = sa.or_(c.before_code == code, c.after_code == code)
    shares = (c.area_share, c.household_share, c.building_share)
    found = (
        sa.select(c.revision, c.before_code.label("before"), c.after_code.label("after"), c.kind, *shares)
        .where(c.scheme == scheme, of_it)
        .order_by(c.revision.desc(), c.before_code, c.after_code)
    )
    return [dict(row._mapping) for row in conn.execute(found)]
