"""From drafts to the tables: COPY into a temporary table, late refusals, one merge, cells; no commits here."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells
from gis.importing.refusals import Refusal
from gis.schema import metadata

STAGE = "stage"
_LOCK = 0x5AFE
"""Namespace of the advisory locks that let one import of an origin's kind run at a time."""


class Merged(NamedTuple):
    """What a merge did with the accepted rows; `kept` are incidents that people here have worked on since."""

    inserted: int
    updated: int
    unchanged: int
    kept: int


def lock(conn: Connection, kind: str, origin: str) -> None:
    """Wait until no other import of this origin's kind runs; held to the end of the transaction."""
    conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, sa.func.hashtext(f"{kind}:{origin}"))))


def create(conn: Connection, table: str, columns: Sequence[str]) -> None:
    """Make the empty stage with `columns` of `table`, dropped with the transaction."""
    conn.execute(sa.text(f"DROP TABLE IF EXISTS {STAGE}"))
    picked = ", ".join(f'"{name}"' for name in columns)
    conn.execute(
        sa.text(
            f"CREATE TEMP TABLE {STAGE} ON COMMIT DROP AS "
            f"SELECT 0::bigint AS row_no, {picked} FROM {table} WITH NO DATA"
        )
    )


def copy(conn: Connection, columns: dict[str, pa.Array]) -> None:
    """Copy columns of equal length into the stage."""
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=False))
    names = ", ".join(f'"{name}"' for name in table.column_names)
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {STAGE} ({names}) FROM STDIN (FORMAT csv)") as stream:
        stream.write(sink.getvalue())


def hex_wkb(shapes: np.ndarray[tuple[int], np.dtype[np.object_]]) -> pa.Array:
    """Return WGS-84 shapes as PostGIS reads them from text."""
    return pa.array(shapely.to_wkb(shapely.set_srid(shapes, 4326), hex=True, include_srid=True), pa.string())


def stamps(lon: cells.Degrees, lat: cells.Degrees) -> dict[str, pa.Array]:
    """Return the cell columns of points."""
    return {f"cell_{res}": pa.array(of.astype(np.int64)) for res, of in cells.stamp(lon, lat).items()}


def ready(conn: Connection) -> None:
    """Let the planner know the stage; call after the last copy."""
    conn.execute(sa.text(f"ANALYZE {STAGE}"))


def drop_repeated(conn: Connection, key: str) -> list[Refusal]:
    """Take rows out of the stage whose `key` an earlier row has, and return them as refused."""
    rows = conn.execute(
        sa.text(
            f"DELETE FROM {STAGE} s USING ("
            f'  SELECT row_no, "{key}" AS value, min(row_no) OVER (PARTITION BY "{key}") AS first FROM {STAGE}'
            f"  WHERE \"{key}\" IN (SELECT \"{key}\" FROM {STAGE} GROUP BY 1 HAVING count(*) > 1)"
            ") twice WHERE twice.row_no = s.row_no AND twice.row_no > twice.first "
            "RETURNING s.row_no, twice.value, twice.first"
        )
    ).all()
    return [
        Refusal(row.row_no, key, f"occurs already in row {row.first}; give each row its own", row.value)
        for row in rows
    ]


def drop_taken_codes(conn: Connection, origin: str) -> list[Refusal]:
    """Take incidents out of the stage whose unified code another incident of the store bears."""
    rows = conn.execute(
        sa.text(
            f"DELETE FROM {STAGE} s USING incidents t WHERE t.code = s.code "
            "AND (t.origin, t.origin_id) <> (:origin, s.origin_id) RETURNING s.row_no, s.code"
        ),
        {"origin": origin},
    ).all()
    reason = "is the code of another incident; codes are unique, so give it its own or none"
    return [Refusal(row.row_no, "code", reason, row.code) for row in rows]


def merge(conn: Connection, table: str, columns: Sequence[str], origin: str, batch: int) -> Merged:
    """Bring the stage into `table` by (origin, origin_id): new rows in, changed ones updated, others untouched.

    Incidents that have been worked on here (that have transitions) are no longer overwritten by their source.
    """
    bound = {"origin": origin, "batch": batch}
    mine = "t.origin = :origin AND t.origin_id = s.origin_id"
    names = [f'"{name}"' for name in columns if name != "origin_id"]
    theirs, ours = ", ".join(f"s.{n}" for n in names), ", ".join(f"t.{n}" for n in names)
    differ = f"{mine} AND ({ours}) IS DISTINCT FROM ({theirs})"
    worked_on = "EXISTS (SELECT FROM transitions w WHERE w.incident_id = t.id)"
    guard = f"AND NOT {worked_on}" if table == "incidents" else ""
    kept = 0
    if guard:
        kept = _count(conn, f"SELECT count(*) FROM {table} t, {STAGE} s WHERE {differ} AND {worked_on}", bound)
    updated = conn.execute(
        sa.text(
            f"UPDATE {table} t SET ({', '.join(names)}, batch_id) = ROW({theirs}, :batch) FROM {STAGE} s "
            f"WHERE {differ} {guard}"
        ),
        bound,
    ).rowcount
    inserted = conn.execute(
        sa.text(
            f"INSERT INTO {table} (origin_id, {', '.join(names)}, origin, batch_id) "
            f"SELECT s.origin_id, {theirs}, :origin, :batch FROM {STAGE} s "
            f"WHERE NOT EXISTS (SELECT FROM {table} t WHERE {mine})"
        ),
        bound,
    ).rowcount
    staged = _count(conn, f"SELECT count(*) FROM {STAGE}", {})
    return Merged(inserted, updated, staged - inserted - updated - kept, kept)


def _count(conn: Connection, question: str, bound: dict[str, object]) -> int:
    return int(conn.execute(sa.text(question), bound).scalar_one())


def add_cells(conn: Connection, wanted: cells.Cells) -> None:
    """Insert those of `wanted` that the table of cells lacks, with outline and area, in the order of their ids.

    The order keeps two transactions that need the same cells from waiting for each other.
    """
    table = metadata.tables["cells"]
    known = np.fromiter(conn.execute(sa.select(table.c.cell)).scalars(), np.int64)
    new = np.setdiff1d(wanted.astype(np.int64), known)
    if not len(new):
        return
    asked = new.astype(np.uint64)
    rows = zip(
        new.tolist(), ((new >> 52) & 15).tolist(),
        shapely.to_wkt(cells.boundaries(asked), rounding_precision=-1), cells.areas_m2(asked).tolist(), strict=True,
    )  # fmt: skip
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE new_cells (cell bigint, res smallint, geom text, area double precision)")
        with cursor.copy("COPY new_cells FROM STDIN") as stream:
            for row in rows:
                stream.write_row(row)
        cursor.execute(
            "INSERT INTO cells (cell, res, geom, area_m2) SELECT cell, res, ST_GeomFromText(geom, 4326), area "
            "FROM new_cells ORDER BY cell ON CONFLICT (cell) DO NOTHING"
        )
        cursor.execute("DROP TABLE new_cells")
