"""What a database holds and which rules it has, recorded with a backup to hold a restored one against.

Rows are counted in every table; policies, grants, functions and the like are kept as digests. Partitions are
left out: months come and go.
"""

import hashlib
from datetime import datetime
from pathlib import Path

import geopandas as gpd
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

from gis import faults

_OURS = """
c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
"""Tables, views and indexes that are neither an extension's nor a partition."""
_TABLES = "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p') AND {ours} ORDER BY 1"
_RULES = {
    "policies": """
        SELECT p.tablename || '.' || p.policyname, p.*
        FROM pg_policies p JOIN pg_class c ON c.relname = p.tablename
        WHERE p.schemaname = 'public' AND {ours}""",
    "grants": """
        SELECT relname, relkind, relacl::text, relowner::regrole::text, relrowsecurity, relforcerowsecurity
        FROM pg_class c WHERE {ours}""",
    "columns": """
        SELECT c.relname || '.' || attname,
               attacl::text, format_type(atttypid, atttypmod), attgenerated, attidentity, attnotnull
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v') AND {ours}""",
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), proacl::text, proleakproof,
               proowner::regrole::text
        FROM pg_proc p JOIN pg_language l ON l.oid = prolang
        WHERE pronamespace = 'public'::regnamespace AND lanname IN ('sql', 'plpgsql')""",
    "LEAKPROOF marks": "SELECT oid::regprocedure::text FROM pg_proc WHERE proleakproof",
    "constraints": """
        SELECT c.relname || '.' || conname, convalidated, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE {ours}""",
    "indexes": """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid
        FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE {ours}""",
    "triggers": """
        SELECT c.relname || '.' || tgname, pg_get_triggerdef(t.oid), tgenabled
        FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND {ours}""",
    "extensions": "SELECT extname, extversion FROM pg_extension",
    "roles": """
        SELECT rolname, rolsuper, rolcreatedb, rolcanlogin, rolbypassrls, rolinherit FROM pg_roles
        WHERE rolname LIKE 'safetymap%'""",
}
_GRIDS = """
SELECT scheme, code, parent_code, level, geom FROM grids
WHERE upper_inf(known) AND valid @> CURRENT_DATE AND scheme = :scheme
"""
_SCHEMES = "SELECT DISTINCT scheme FROM grids ORDER BY 1"
_SHAPES = """
SELECT coalesce(md5(string_agg(concat_ws(
  '|', scheme, code, level, lower(valid), lower(known), md5(ST_AsEWKB(geom))), ',' ORDER BY id)), '')
FROM grids WHERE lower(known) <= :revision
"""
"""What was published up to a revision is never rewritten; only its end is."""


class Record(BaseModel):
    """A database at one moment.

    `rows` by table; `rules` are digests by kind and name; `publication` is the newest revision of grids,
    `shapes` a digest of every grid published until then, `errors` counts the gaps, overlaps and the like of
    each scheme's map.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    migration: str
    rows: dict[str, int]
    rules: dict[str, dict[str, str]]
    publication: int
    shapes: str
    errors: dict[str, int]


def take(conn: Connection, publication: int | None = None) -> Record:
    """Return what a database holds now; of grids as published up to `publication`, None: the newest."""
    if publication is None:
        publication = int(conn.scalar(sa.text("SELECT coalesce(max(id), 0) FROM revisions")) or 0)
    return Record(
        at=conn.scalar(sa.text("SELECT clock_timestamp()")),
        migration=migration_of(conn),
        rows=_rows(conn),
        rules={kind: _digests(conn, query) for kind, query in _RULES.items()},
        publication=publication,
        shapes=str(conn.scalar(sa.text(_SHAPES), {"revision": publication})),
        errors={scheme: _errors(conn, scheme) for scheme in conn.scalars(sa.text(_SCHEMES))},
    )


def migration_of(conn: Connection) -> str:
    """Return the revision of the store, empty where there is none."""
    return MigrationContext.configure(conn).get_current_revision() or ""


def read(path: Path) -> Record:
    """Return a record as it was written beside a database."""
    return Record.model_validate_json(path.read_text())


def _rows(conn: Connection) -> dict[str, int]:
    names = conn.scalars(sa.text(_TABLES.format(ours=_OURS))).all()
    return {name: int(conn.scalar(sa.text(f'SELECT count(*) FROM public."{name}"')) or 0) for name in names}  # noqa: S608 - from the catalogue


def _digests(conn: Connection, query: str) -> dict[str, str]:
    """Return a digest of each row by its first column, which names it."""
    rows = sorted(tuple(map(str, row)) for row in conn.execute(sa.text(query.format(ours=_OURS))))
    return {row[0]: hashlib.sha256("|".join(row).encode()).hexdigest()[:16] for row in rows}


def _errors(conn: Connection, scheme: str) -> int:
    frame = gpd.read_postgis(sa.text(_GRIDS), conn, params={"scheme": scheme})
    if frame.empty:
        return 0
    return sum(one.severity == "error" for one in faults.check(frame, advice=False))
