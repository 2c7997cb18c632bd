"""From drafts to the tables: COPY into a temporary table, one merge, cells; nothing is committed here."""
# ruff: noqa: S608 - names of tables and columns are our own; values are bound

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection

from gis import cells
from gis.schema import metadata

STAGE = "stage"
_LOCK = 0x5AFE
"""Namespace of the advisory locks that let one import of a kind run at a time."""


class Merged(NamedTuple):
    """What a merge did with the accepted rows; `kept` are incidents that people here have worked on since."""

    inserted: int
    updated: int
    unchanged: int
    kept: int

    def with_updated(self, more: int) -> "Merged":
        """Return the same with so many rows updated that were taken for unchanged."""
        return Merged(self.inserted, self.updated + more, self.unchanged - more, self.kept)


def lock(conn: Connection, kind: str) -> None:
    """Wait until no other import of this kind runs; held to the end of the transaction."""
    conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, sa.func.hashtext(kind))))


def create(conn: Connection, table: str, columns: dict[str, pa.Array]) -> None:
    """Make the empty stage, dropped with the transaction; columns that `table` has are typed as there."""
    conn.execute(sa.text(f"DROP TABLE IF EXISTS {STAGE}"))
    there = metadata.tables[table].c
    picked = [
        f't."{name}"' if name in there else f'{_sql_null(of.type)} AS "{name}"'
        for name, of in columns.items()
    ]
    chosen = ", ".join(picked)
    conn.execute(
        sa.text(f"CREATE TEMP TABLE {STAGE} ON COMMIT DROP AS SELECT {chosen} FROM {table} t WITH NO DATA")
    )


def _sql_null(of: pa.DataType) -> str:
    kind = "bigint" if pa.types.is_integer(of) else "date" if pa.types.is_date(of) else "text"
    return f"NULL::{kind}"


def copy(conn: Connection, columns: dict[str, pa.Array], into: str = STAGE) -> None:
    """Copy columns of equal length into the stage, or into another table."""
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=False))
    names = ", ".join(f'"{name}"' for name in table.column_names)
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {into} ({names}) FROM STDIN (FORMAT csv)") as stream:
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


def merge(conn: Connection, table: str, batch: int) -> Merged:
    """Bring the stage into `table`: new rows in, changed ones updated, others untouched.

    Rows are the same by (origin, origin_id), lines by their part too, categories by their code. Incidents
    that have been worked on here (that have transitions) are no longer overwritten by their source.
    """
    there = metadata.tables[table].c
    owned = "origin" in there
    bound: dict[str, object] = {"batch": batch} if owned else {}
    keys = [name for name in ("origin", "origin_id", "part") if name in there] if owned else ["code"]
    same = " AND ".join(f"t.{key} = s.{key}" for key in keys)
    names = [f'"{name}"' for name in columns_of(conn) if name in there and name not in keys]
    compared = [name for name in names if name != _AT_INTAKE]
    changed = _note_changes(conn, table, keys, f"{same} AND {_differ(compared)}")
    sets = [f"{name} = {_theirs(name)}" for name in names] + ["batch_id = :batch"] * owned
    guard = _UNTOUCHED if table == "incidents" else "true"
    update = f"UPDATE {table} t SET {', '.join(sets)} FROM changed JOIN {STAGE} s USING ({', '.join(keys)})"
    updated = _affected(conn, f"{update} WHERE {same} AND {guard}", bound) if changed else 0
    into = ", ".join([*keys, *names, *["batch_id"] * owned])
    values = ", ".join([*map(_new, [*keys, *names]), *[":batch"] * owned])
    # The index decides what is new: a join planned while the table was empty would scan it as it grows.
    target = f"({', '.join(keys)})"
    insert = f"INSERT INTO {table} ({into}) SELECT {values} FROM {STAGE} s ON CONFLICT {target} DO NOTHING"
    inserted = _affected(conn, insert, bound)
    staged = int(conn.execute(sa.text(f"SELECT count(*) FROM {STAGE}")).scalar_one())
    return Merged(inserted, updated, staged - inserted - changed, changed - updated)


_UNTOUCHED = "NOT EXISTS (SELECT FROM transitions w WHERE w.incident_id = t.id)"


def _affected(conn: Connection, statement: str, bound: dict[str, object]) -> int:
    return conn.execute(sa.text(statement), bound).rowcount


def _differ(names: list[str]) -> str:
    ours, theirs = ", ".join(f"t.{name}" for name in names), ", ".join(map(_theirs, names))
    return f"ROW({ours}) IS DISTINCT FROM ROW({theirs})"


_AT_INTAKE = '"grid_code"'
"""What we found ourselves when a row came: boundaries that changed since do not change the row."""
_NOW_IF_UNKNOWN = '"position_at"'
"""Where no time of a position is known, a new one is of now, a known one stays."""


def _theirs(name: str) -> str:
    return f"coalesce(s.{name}, t.{name})" if name == _NOW_IF_UNKNOWN else f"s.{name}"


def _new(name: str) -> str:
    return f"coalesce(s.{name}, now())" if name == _NOW_IF_UNKNOWN else f"s.{name}"


def _note_changes(conn: Connection, table: str, keys: list[str], condition: str) -> int:
    """List the keys of staged rows that differ from those of `table`, and return how many there are."""
    conn.execute(sa.text("DROP TABLE IF EXISTS changed"))
    listed = f"SELECT {', '.join(f's.{key}' for key in keys)} FROM {table} t JOIN {STAGE} s ON {condition}"
    conn.execute(sa.text(f"CREATE TEMP TABLE changed ON COMMIT DROP AS {listed}"))
    return int(conn.execute(sa.text("SELECT count(*) FROM changed")).scalar_one())


def columns_of(conn: Connection) -> list[str]:
    """Return the columns of the stage."""
    # Asked by name: a plan kept for `SELECT *` would not survive a stage of another shape.
    found = f"SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{STAGE}') AND attnum > 0"
    return list(conn.execute(sa.text(f"{found} AND NOT attisdropped ORDER BY attnum")).scalars())


def add_cells(conn: Connection, wanted: cells.Cells) -> None:
    """Insert those of `wanted` that the table of cells lacks, with outline and area, in order of their ids.

    The order keeps two transactions that need the same cells from waiting for each other.
    """
    cell = metadata.tables["cells"].c.cell
    asked_for = sa.cast(wanted.astype(np.int64).tolist(), ARRAY(sa.BigInteger))
    known = np.fromiter(conn.execute(sa.select(cell).where(cell == sa.any_(asked_for))).scalars(), np.int64)
    new = np.setdiff1d(wanted.astype(np.int64), known)
    if not len(new):
        return
    asked = new.astype(np.uint64)
    rows = zip(
        new.tolist(), ((new >> 52) & 15).tolist(),
        shapely.to_wkt(cells.boundaries(asked), rounding_precision=-1),
        cells.areas_m2(asked).tolist(), strict=True,
    )  # fmt: skip
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE new_cells (cell bigint, res smallint, geom text, area double precision)"
        )
        with cursor.copy("COPY new_cells FROM STDIN") as stream:
            for row in rows:
                stream.write_row(row)
        cursor.execute(
            "INSERT INTO cells (cell, res, geom, area_m2) "
            "SELECT cell, res, ST_GeomFromText(geom, 4326), area FROM new_cells "
            "ORDER BY cell ON CONFLICT (cell) DO NOTHING"
        )
        cursor.execute("DROP TABLE new_cells")
