"""Refusals that only show when all rows are together in the stage: one list of checks per kind."""
# ruff: noqa: S608 - names of tables and columns are our own; values are bound

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.importing import posting, staging
from gis.importing.kinds import KINDS
from gis.importing.refusals import Refusal
from gis.importing.staging import STAGE
from gis.importing.trees import rootless

Check = Callable[[Connection], list[Refusal]]


def _refused(rows: Sequence[sa.Row[*tuple[Any, ...]]], field: str, reason: str) -> list[Refusal]:
    return [Refusal(row.row_no, field, reason, str(row.value)) for row in rows]


def repeated(key: str, conn: Connection, beside: str = "NULL") -> list[Refusal]:
    """Take out rows whose `key` an earlier row of the file has, with the same in the column `beside`."""
    again = (
        f'SELECT row_no, "{key}" AS value, min(row_no) OVER (PARTITION BY "{key}", {beside}) AS first '
        f'FROM {STAGE} WHERE "{key}" IN (SELECT "{key}" FROM {STAGE} GROUP BY 1 HAVING count(*) > 1)'
    )
    rows = conn.execute(
        sa.text(
            f"DELETE FROM {STAGE} s USING ({again}) twice "
            "WHERE twice.row_no = s.row_no AND twice.row_no > twice.first "
            "RETURNING s.row_no, twice.value, twice.first"
        )
    ).all()
    return [
        Refusal(row.row_no, key, f"occurs already in row {row.first}; give each row its own", row.value)
        for row in rows
    ]


def repeated_parts(conn: Connection) -> list[Refusal]:
    """Take out lines of which an earlier row of the file has the id, unless both say which part they are."""
    rows = conn.execute(
        sa.text(
            f"DELETE FROM {STAGE} s USING (SELECT s.row_no, min(e.row_no) AS first FROM {STAGE} s "
            f"JOIN {STAGE} e USING (origin, origin_id) WHERE e.row_no < s.row_no "
            "AND (e.part = s.part OR e.parts IS NOT NULL OR s.parts IS NOT NULL) GROUP BY 1) twice "
            "WHERE twice.row_no = s.row_no RETURNING s.row_no, s.origin_id AS value, twice.first"
        )
    ).all()
    why = "occurs already in row {}; give each row its own, or each its part"
    return [Refusal(row.row_no, "origin_id", why.format(row.first), row.value) for row in rows]


def taken_codes(conn: Connection) -> list[Refusal]:
    """Take out incidents whose unified code another incident of the store bears."""
    rows = conn.execute(
        sa.text(
            f"DELETE FROM {STAGE} s USING incidents t WHERE t.code = s.code "
            "AND (t.origin, t.origin_id) <> (s.origin, s.origin_id) RETURNING s.row_no, s.code AS value"
        )
    ).all()
    return _refused(
        rows, "code", "is the code of another incident; codes are unique, give it its own or none"
    )


def no_tree(conn: Connection) -> list[Refusal]:
    """Take out categories whose way up leaves both store and file, or comes back to where it was."""
    if "parent" not in staging.columns_of(conn):
        return []
    stored = {row.code: row.parent for row in conn.execute(sa.text("SELECT code, parent FROM categories"))}
    staged = conn.execute(sa.text(f"SELECT row_no, code, parent FROM {STAGE} ORDER BY row_no")).all()
    lost = rootless(stored | {row.code: row.parent for row in staged})
    wrong = [row for row in staged if row.code in lost]
    conn.execute(
        sa.text(f"DELETE FROM {STAGE} WHERE code = ANY (:codes)"), {"codes": [w.code for w in wrong]}
    )
    reasons = {
        "unknown": "leads to no category; put it in the file, or correct it",
        "circle": "leads round in a circle; categories are a tree, correct it",
    }
    return [Refusal(row.row_no, "parent", reasons[lost[row.code]], str(row.parent)) for row in wrong]


def unknown_grids(conn: Connection) -> list[Refusal]:
    """Take out staff whose grid is none of its scheme, or of the default one where the row names none."""
    scheme = "s.scheme" if "scheme" in staging.columns_of(conn) else "NULL"
    rows = conn.execute(
        sa.text(
            f"DELETE FROM {STAGE} s WHERE grid_code IS NOT NULL AND NOT EXISTS ("
            "SELECT FROM grid_codes g JOIN schemes h ON h.is_default "
            f"WHERE g.code = s.grid_code AND g.scheme = coalesce({scheme}, h.name)) "
            f"RETURNING s.row_no, s.grid_code AS value, {scheme} AS scheme"
        )
    ).all()
    why = "is no grid of {}; import the grids first, or correct it"
    return [
        Refusal(row.row_no, "grid_code", why.format(row.scheme or "the default scheme"), str(row.value))
        for row in rows
    ]


_REPEATED_ID = partial(repeated, "origin_id", beside="origin")
LATE: dict[str, list[Check]] = {
    **{name: [_REPEATED_ID] for name in KINDS},
    "roads": [repeated_parts],
    "incidents": [_REPEATED_ID, partial(repeated, "code"), taken_codes],
    "categories": [partial(repeated, "code"), no_tree],
    "staff": [_REPEATED_ID, unknown_grids, posting.too_soon],
}
