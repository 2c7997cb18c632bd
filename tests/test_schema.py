"""The migrated database equals the tables of gis.schema, and its rules hold."""

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection
from typer.testing import CliRunner

from api.cli import app
from gis import db, schema, schema_access, schema_plans, schema_situation, schema_tiles
from gis.cells import RESOLUTIONS
from gis.errors import NewerStore
from gis.migrate import advice, migrate
from gis.settings import ROOT
from tests import town

_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relname NOT IN ('spatial_ref_sys', 'alembic_version')
ORDER BY 1, 2
"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  AND conrelid::regclass::text NOT IN ('spatial_ref_sys', 'alembic_version') ORDER BY 1, 2
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename NOT IN ('spatial_ref_sys', 'alembic_version') ORDER BY 1
"""
_COMMENTS = """
SELECT relname, obj_description(oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND relname NOT IN ('spatial_ref_sys', 'alembic_version') ORDER BY 1
"""


_FUNCTIONS = """
SELECT pg_get_functiondef(name::regproc)
FROM unnest(ARRAY['plane_x', 'plane_y', 'square_of', 'widest_part', 'fold_spelling', 'han_number',
  'fold_text', 'grams', 'street_part', 'address_words']) name
"""


@pytest.fixture(scope="module")
def built(server: sa.URL, administer: Callable[..., None], engine: sa.Engine) -> Iterator[Connection]:
    """A database made from the tables themselves, without migrations."""
    with engine.connect() as migrated:
        functions = migrated.execute(sa.text(_FUNCTIONS)).scalars().all()
    name = "test_built_from_tables"
    administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
    engine = sa.create_engine(server.set(database=name), poolclass=sa.NullPool)
    with engine.connect() as conn:
        conn.execute(sa.text("CREATE EXTENSION IF NOT EXISTS postgis"))
        conn.execute(sa.text("CREATE EXTENSION IF NOT EXISTS btree_gist"))
        assert schema_plans.metadata is schema.metadata
        for function in functions:
            conn.exec_driver_sql(function.replace("%", "%%"))
        assert schema_tiles.metadata is schema.metadata
        assert schema_situation.metadata is schema.metadata
        schema.metadata.create_all(conn)
        schema_access.metadata.create_all(conn)
        yield conn
        conn.rollback()
    engine.dispose()
    administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("question", [_COLUMNS, _CONSTRAINTS, _INDEXES, _COMMENTS])
def test_migrations_equal_the_tables(question: str, built: Connection, conn: Connection) -> None:
    wanted = built.execute(sa.text(question)).all()
    assert wanted
    assert conn.execute(sa.text(question)).all() == wanted


def _everything(conn: Connection) -> list[list[sa.Row[Any]]]:
    questions = (_COLUMNS, _CONSTRAINTS, _INDEXES, _COMMENTS)
    return [list(conn.execute(sa.text(question)).all()) for question in questions]


def test_a_store_with_rows_is_emptied_and_made_anew(
    server: sa.URL, administer: Callable[..., None], template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`safetymap db reset`: every revision goes back, with rows in the tables, and forth again."""
    name = f"test_emptied_{uuid.uuid4().hex[:8]}"
    administer(f"CREATE DATABASE {name} TEMPLATE {template}")
    made = db.make_engine(server.set(database=name).render_as_string(hide_password=False))
    with made.begin() as conn:
        before = _everything(conn)
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_building(conn, batch, "松树路1号", town.at(0.5, 0.5))
        town.add_incidents(conn, batch, [town.at(0.4, 0.4)])
        town.add_keeper(conn, batch, "T1a")
    monkeypatch.setattr(db, "work_engine", lambda: made)
    told = CliRunner().invoke(app, ["db", "reset", "--yes"], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    with made.connect() as conn:
        assert _everything(conn) == before
        assert conn.execute(sa.select(sa.func.count()).select_from(schema.grids)).scalar_one() == 0
    made.dispose()
    administer(f"DROP DATABASE {name} WITH (FORCE)")


def _scheme(conn: Connection) -> int:
    conn.execute(schema.schemes.insert().values(name="s", title_zh="网格", title_en="Grids"))
    conn.execute(schema.levels.insert().values(scheme="s", level=1, name_zh="市", name_en="city"))
    insert = schema.grid_codes.insert().values(scheme="s", code="1").returning(schema.grid_codes.c.id)
    return conn.execute(insert).scalar_one()


def _grid(grid_id: int, valid: Range[date], known: Range[int], geom: str = "0 0,1 0,1 1,0 0") -> sa.Insert:
    return schema.grids.insert().values(
        grid_id=grid_id, scheme="s", code="1", level=1, name="一", area_m2=1, valid=valid, known=known,
        geom=f"SRID=4326;MULTIPOLYGON((({geom})))",
    )  # fmt: skip


def test_one_code_has_one_truth_per_day_and_revision(conn: Connection) -> None:
    grid_id = _scheme(conn)
    year, later = Range(date(2024, 1, 1), date(2025, 1, 1)), Range(date(2025, 1, 1), None)
    conn.execute(_grid(grid_id, year, Range(1, None)))
    conn.execute(_grid(grid_id, later, Range(1, None)))
    with pytest.raises(sa.exc.IntegrityError, match="ex_grids_one_truth"):
        conn.execute(_grid(grid_id, Range(date(2024, 6, 1), date(2024, 7, 1)), Range(2, 3)))


def test_a_bow_tie_never_enters(conn: Connection) -> None:
    grid_id = _scheme(conn)
    with pytest.raises(sa.exc.IntegrityError, match="geom_valid"):
        conn.execute(_grid(grid_id, Range(None, None), Range(1, None), "0 0,1 1,1 0,0 1,0 0"))


def test_an_index_lost_to_policies_is_told(conn: Connection) -> None:
    assert advice(conn) == []
    # Only a superuser may alter PostGIS's own function: one of the same name stands before it.
    conn.execute(sa.text("CREATE SCHEMA plain"))
    conn.execute(
        sa.text(
            "CREATE FUNCTION plain.geometry_overlaps(geometry, geometry) RETURNS boolean "
            "LANGUAGE sql AS 'SELECT true'"
        )
    )
    conn.execute(sa.text("SET LOCAL search_path TO plain, public"))
    assert "LEAKPROOF" in advice(conn)[0]


@pytest.mark.parametrize(
    ("table", "column", "word"),
    [("cameras", "state", "broken"), ("incidents", "datum", "xian80"), ("transitions", "from_state", "new")],
)
def test_a_word_that_is_none_never_enters(conn: Connection, table: str, column: str, word: str) -> None:
    town.add_grids(conn)
    batch = town.add_city(conn)
    town.add_incidents(conn, batch, [town.at(0.4, 0.4)])
    conn.execute(schema.cameras.insert().values(origin="t", origin_id="1", batch_id=batch, **_CAMERA))
    number = conn.execute(sa.select(schema.incidents.c.id)).scalar_one()
    conn.execute(schema.transitions.insert().values(incident_id=number, to_state="reported"))
    with pytest.raises(sa.exc.IntegrityError, match=f"ck_{table}_{column}"):
        conn.execute(sa.update(schema.metadata.tables[table]).values({column: word}))


_CAMERA = {"geom": "SRID=4326;POINT(113 27)", "state": "online", "headings": [1.0]} | {
    f"cell_{res}": 1 for res in RESOLUTIONS
}


def test_every_column_of_a_few_words_has_a_rule() -> None:
    """Kinds of what a city names itself (`_FREE`) take any word."""
    tables = [*schema.metadata.tables.values(), *schema_access.metadata.tables.values()]
    named = {
        (table.name, column.name)
        for table in tables
        for column in table.c
        if isinstance(column.type, sa.Text)
        and re.fullmatch(r".*state|kind|status|colour|source|datum", column.name)
    }
    ruled = {
        (table.name, column)
        for table in tables
        for rule in table.constraints
        if isinstance(rule, sa.CheckConstraint)
        for column in re.findall(r"\w+(?= IN \()", str(rule.sqltext))
    }
    assert named - ruled == _FREE


_FREE = {
    ("batches", "kind"), ("batches", "datum"), ("buildings", "kind"), ("cameras", "kind"),
    ("footprints", "kind"),
    ("grids", "kind"), ("places", "kind"), ("responders", "kind"), ("square_counts", "kind"),
}  # fmt: skip


_VERSIONS = ROOT / "gis" / "migrations" / "versions"
_PUBLISHED = _VERSIONS.parent / "published.txt"


def _hashes() -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in _VERSIONS.glob("[0-9]*.py")}


def test_published_migrations_are_frozen() -> None:
    """A store goes through each but once: what is missing in one needs another of its own."""
    published = dict(reversed(line.split()) for line in _PUBLISHED.read_text().splitlines())
    found = _hashes()
    assert {name: found.get(name) for name in published} == published
    new = sorted(found.keys() - published.keys())
    assert all(name > max(published) for name in new)


def test_a_store_of_a_newer_program_is_refused_in_one_line(conn: Connection) -> None:
    conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for revision in ("head", "base"):
        with pytest.raises(NewerStore, match="of revision 9999, this program knows those up to 00"):
            migrate(conn, revision)
    conn.rollback()
    migrate(conn)
