"""A dump of the store, restored, is the store: every table, sequence, policy, grant and function."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, make_url

from gis import postgres

_TABLES = "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind IN ('r', 'p') AND {ours} ORDER BY 1"
_OURS = (
    "c.relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend d "
    "WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
)
_SUPERUSERS = ("owner of extension", "permission denied for table spatial_ref_sys")
"""What only a superuser may restore: of PostGIS itself, which the new database has from its template."""
_CATALOGUE = {
    "policies": "SELECT * FROM pg_policies ORDER BY tablename, policyname",
    "grants": f"""
        SELECT relname, relkind, relacl::text, relrowsecurity, relforcerowsecurity
        FROM pg_class c WHERE {_OURS} ORDER BY 1""",
    "columns": f"""
        SELECT attrelid::regclass::text, attname, attacl::text, atttypid::regtype::text, attgenerated,
               attnotnull
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v') AND {_OURS} ORDER BY 1, 2""",
    "functions": "SELECT pg_get_functiondef(p.oid), proacl::text, proleakproof FROM pg_proc p "
    "JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'public'::regnamespace "
    "AND lanname IN ('sql', 'plpgsql') ORDER BY 1",
    "leakproof": "SELECT oid::regprocedure::text FROM pg_proc WHERE proleakproof ORDER BY 1",
    "constraints": "SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid) "
    "FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "triggers": "SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "sequences": "SELECT sequencename, last_value, increment_by, max_value FROM pg_sequences ORDER BY 1",
}
_UNBOUND = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'public'::regnamespace AND l.lanname IN ('sql', 'plpgsql')
  AND p.prosqlbody IS NULL AND NOT coalesce(p.proconfig::text, '') LIKE '%search_path=%'
  AND NOT (p.provolatile = 'i' AND p.prosrc !~ ALL (
    SELECT '(^|[^.[:alnum:]_])' || o.proname || '[(]' FROM pg_proc o
    WHERE o.pronamespace = 'public'::regnamespace))
  AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
"""
"""Functions of ours whose meaning hangs on the search path."""


def _program(name: str, *words: str, url: URL) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs on a database."""
    where = {
        "PGHOST": str(url.query.get("host") or url.host),
        "PGPORT": str(url.query.get("port") or url.port),
    }
    who = {"PGUSER": url.username or "", "PGPASSWORD": url.password or "", "PGDATABASE": url.database or ""}
    program = postgres.programs(None) / name
    return subprocess.run(
        [program, *words], check=False, capture_output=True, text=True, env=os.environ | where | who
    )


@pytest.fixture
def restored(demo: str, administer: Callable[..., None], tmp_path: Path) -> Iterator[str]:
    """The demo city, dumped and restored into a database of its own, as a URL."""
    url = make_url(demo)
    dump, name = str(tmp_path / "dump"), f"test_restored_{uuid.uuid4().hex[:8]}"
    assert not _program("pg_dump", "-Fc", "-f", dump, url=url).returncode
    administer(f"CREATE DATABASE {name}")
    there = url.set(database=name)
    done = _program("pg_restore", "-d", name, dump, url=there)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert not [line for line in errors if not any(known in line for known in _SUPERUSERS)]
    yield there.render_as_string(hide_password=False)
    administer(f"DROP DATABASE {name} WITH (FORCE)")


def _digests(conn: Connection) -> dict[str, tuple[object, ...]]:
    """Return each table's number of rows and a digest of them."""
    names = conn.execute(sa.text(_TABLES.format(ours=_OURS))).scalars().all()
    one = "SELECT count(*), coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {} t"
    return {name: tuple(conn.execute(sa.text(one.format(name))).one()) for name in names}


def _state(url: str) -> dict[str, object]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as conn:
        catalogue = {name: conn.execute(sa.text(query)).all() for name, query in _CATALOGUE.items()}
        return {"rows": _digests(conn), **catalogue}


def test_a_restored_dump_is_the_store(demo: str, restored: str) -> None:
    before, after = _state(demo), _state(restored)
    rows = before["rows"]
    assert isinstance(rows, dict)
    assert rows["buildings"][0] > 0
    assert len(rows) > 20
    for part, state in before.items():
        assert after[part] == state, part


def test_no_function_hangs_on_the_search_path(conn: Connection) -> None:
    assert conn.execute(sa.text(_UNBOUND)).scalars().all() == []


@pytest.mark.parametrize("table", ["buildings", "places", "roads", "incidents", "cameras", "grids"])
def test_maintenance_with_an_empty_search_path_goes_through(conn: Connection, table: str) -> None:
    """PostgreSQL 17 and later rebuild indexes and check constraints so."""
    conn.execute(sa.text("SET LOCAL search_path = ''"))
    conn.execute(sa.text(f"REINDEX TABLE public.{table}"))
