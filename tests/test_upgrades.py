"""A store of every earlier revision, with rows in it, becomes today's: the same schema, rows and answers."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from api import access
from api.cli import app as commands
from api.main import make_app
from gis import db, schema, schema_access
from gis.access import Principal, create_key
from gis.migrate import known, migrate
from tests import town
from tests.test_dump import _CATALOGUE

REVISIONS = tuple(f"{number:04}" for number in range(1, 39))
FEW = ("0001", "0009", "0016", "0024", "0031", "0037")
"""Those that every run upgrades; `make prove` upgrades them all."""
_DERIVED = {"footprints"}
"""What the store's own triggers write."""
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_QUESTIONS = (
    "/city", "/categories", "/layers", "/calendar", "/grids/at?lon=113.005&lat=27.045",
    "/grids/search?q=松树路1号", "/grids/search?q=T1a", "/grids/search?q=大路", "/grids/T1a/history",
    "/plans",
    "/collections/grids/items?limit=50", "/collections/roads/items", "/collections/cameras/items",
    "/collections/incidents/items", "/collections/buildings/items", "/collections/responders/items",
    "/situation?from=2025-01-01&to=2025-02-01", "/hotspots?from=2025-01-01&to=2025-02-01",
    "/tiles/buildings/14/13335/6912.mvt",
)  # fmt: skip


@pytest.fixture(scope="module")
def full(engine: Engine) -> Engine:
    """Today's store with rows in it."""
    with engine.begin() as conn:
        batch = town.furnish(conn, [(1, 1), (4, 4)])
        town.add_incidents(conn, batch, [town.at(0.4 + n / 50, 0.4) for n in range(20)])
        town.add_responders(conn, batch, {"west": town.at(1, 1)})
        road = {"origin": "t", "batch_id": batch, "class": "primary", "length_m": 100.0, "u": 1, "v": 2}
        line = "SRID=4326;LINESTRING(113 27, 113.001 27)"
        for part, name in enumerate(("大路", "大路")):
            found = schema.roads.insert().values(**road, origin_id="r", part=part, name=name, geom=line)
            conn.execute(found)
        cells = {f"cell_{res}": 1 for res in range(6, 11)}
        camera = {"batch_id": batch, "headings": [1.0], "geom": "SRID=4326;POINT(113 27)"} | cells
        for number, state in enumerate(("online", "fault", None)):
            values = camera | {"origin": "t", "origin_id": str(number), "state": state}
            conn.execute(schema.cameras.insert().values(values))
        create_key(conn, "commander", "T1", scheme="safety", label="of a scope")
        create_key(conn, "admin", scheme="safety", label="of the city")
    return engine


def _rows(conn: Connection, table: sa.Table, columns: list[str]) -> list[dict[str, str | None]]:
    shown = ", ".join(f'"{name}"::text' for name in columns)
    found = conn.execute(sa.text(f'SELECT {shown} FROM "{table.name}" ORDER BY 1, 2'))
    return [dict(zip(columns, row, strict=True)) for row in found]


def _tables() -> list[sa.Table]:
    return [*schema.metadata.sorted_tables, *schema_access.metadata.sorted_tables]


def _fill(old: Connection, now: Connection, revision: str) -> dict[str, int]:
    """Write today's rows as a store of that revision could hold them, and return how many by table."""
    counts = {}
    for table in _tables():
        kinds = dict(old.execute(sa.text(_COLUMNS), {"table": table.name}).all())  # type: ignore[arg-type]
        columns = [name for name in kinds if name in table.c]
        rows = _rows(now, table, columns) if columns and not _is_derived(table.name) else []
        for row in rows:
            _as_it_was(table.name, row, revision)
        if rows:
            values = ", ".join(f"CAST(:{name} AS {kinds[name]})" for name in columns)
            names = ", ".join(f'"{name}"' for name in columns)
            old.execute(sa.text(f'INSERT INTO "{table.name}" ({names}) VALUES ({values})'), rows)
        counts[table.name] = len(rows)
    return counts


def _is_derived(table: str) -> bool:
    return table in _DERIVED or table.startswith("audit")


def _as_it_was(table: str, row: dict[str, str | None], revision: str) -> None:
    """Undo what a later revision has changed in rows, as they were before it."""
    if table == "roads" and revision < "0032":
        row["origin_id"] = f"r/{row['id']}"
    if table == "cameras" and revision < "0017" and row["state"] is None:
        row["state"] = "broken"


def _catalogue(conn: Connection) -> dict[str, list[Any]]:
    return {
        name: [tuple(row) for row in conn.execute(sa.text(query)).all()]
        for name, query in _CATALOGUE.items()
        if name != "sequences"
    }


@pytest.fixture(scope="module")
def states(server: sa.URL, administer: Callable[..., None]) -> Iterator[Callable[[str], str]]:
    """Makes an empty store of a revision: a copy of one that walks through all of them."""
    walker, made = f"test_walker_{uuid.uuid4().hex[:8]}", []
    administer(f"CREATE DATABASE {walker}")
    reached = ""

    def of(revision: str) -> str:
        nonlocal reached
        if revision <= reached:  # another round
            administer(f"DROP DATABASE {walker} WITH (FORCE)", f"CREATE DATABASE {walker}")
        walking = sa.create_engine(server.set(database=walker), poolclass=sa.NullPool)
        with walking.begin() as conn:
            migrate(conn, revision)
        walking.dispose()
        reached = revision
        made.append(f"test_state_{revision}_{uuid.uuid4().hex[:8]}")
        administer(
            f"CREATE DATABASE {made[-1]} TEMPLATE {walker}",
            f"ALTER DATABASE {made[-1]} SET synchronous_commit = off",
        )
        return server.set(database=made[-1]).render_as_string(hide_password=False)

    yield of
    administer(*(f"DROP DATABASE {name} WITH (FORCE)" for name in [walker, *made]))


def _answers(address: str, folder: Path) -> dict[str, tuple[int, bytes]]:
    engine = db.engine_of_service(address)
    app = make_app(lambda: engine, folder)
    app.dependency_overrides[access.who] = lambda: Principal("admin", full_role="admin", may_export=True)
    with TestClient(app, raise_server_exceptions=False) as client:
        found = {question: client.get(question) for question in _QUESTIONS}
    engine.dispose()
    return {question: (one.status_code, one.content) for question, one in found.items()}


def test_every_revision_is_upgraded(engine: Engine) -> None:
    with engine.connect() as conn:
        assert list(REVISIONS) == known(conn)[:-1], "another revision: name it here"


def _faults(address: str, wanted: dict[str, list[Any]], counts: dict[str, int]) -> Iterator[str]:
    """Yield what an upgraded store holds otherwise than today's."""
    engine = db.make_engine(address)
    with engine.connect() as conn:
        found = _catalogue(conn)
        for part, state in wanted.items():
            differs = sorted(set(map(str, found[part])) ^ set(map(str, state)))
            yield from (f"{part}: {one}" for one in differs)
        for table, count in counts.items():
            rows = conn.execute(sa.text(f'SELECT count(*) FROM "{table}"')).scalar_one()
            if rows < count:
                yield f"{table} has {rows} rows of {count}"
        cameras = conn.execute(sa.text("SELECT array_agg(state ORDER BY id) FROM cameras")).scalar_one()
        if cameras != ["online", "fault", None]:
            yield f"states of cameras are {cameras}"
    engine.dispose()


Upgrade = Callable[[tuple[str, ...]], list[str]]


@pytest.fixture(scope="module")
def upgrade(
    full: Engine, states: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, database: str
) -> Upgrade:
    """Upgrades filled stores of revisions, and returns in what they differ from today's."""
    return lambda revisions: _upgraded(full, states, tmp_path_factory, database, revisions)


def test_stores_of_earlier_revisions_become_today_s(upgrade: Upgrade) -> None:
    faults = upgrade(FEW)
    assert not faults, "\n".join(faults)


@pytest.mark.slow
def test_stores_of_every_revision_become_today_s(upgrade: Upgrade) -> None:
    faults = upgrade(REVISIONS)
    assert not faults, "\n".join(faults)


def _upgraded(
    full: Engine,
    states: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    database: str,
    revisions: tuple[str, ...],
) -> list[str]:
    with full.connect() as now:
        wanted = _catalogue(now)
    right = _answers(database, tmp_path_factory.mktemp("now"))
    faults = [f"{question}: {answer}" for question, answer in right.items() if answer[0] != 200]
    for revision in revisions:
        address = states(revision)
        made = db.make_engine(address)
        with made.begin() as old, full.connect() as now:
            counts = _fill(old, now, revision)
        assert (counts["grids"], counts["incidents"]) == (8, 20)
        with made.begin() as old:
            migrate(old)
        made.dispose()
        faults += [f"{revision}: {fault}" for fault in _faults(address, wanted, counts)]
        answers = _answers(address, tmp_path_factory.mktemp("old"))
        differs = [question for question in right if answers[question] != right[question]]
        faults += [f"{revision}: {question}: {str(answers[question])[:300]}" for question in differs]
    return faults


@pytest.mark.parametrize("words", [["db", "up"], ["refresh"], ["serve"]])
def test_an_older_program_says_so_in_one_line(
    full: Engine, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(db, "work_engine", lambda: full)
    monkeypatch.setattr(db, "service_engine", lambda: full)
    now = sa.text("UPDATE alembic_version SET version_num = :revision RETURNING version_num")
    with full.begin() as conn:
        newest = known(conn)[-1]
        conn.execute(now, {"revision": "9999"})
    try:
        said = CliRunner().invoke(commands, words)
    finally:
        with full.begin() as conn:
            conn.execute(now, {"revision": newest})
    assert said.exit_code == 1
    assert len(said.output.strip().splitlines()) == 1
    assert f"of revision 9999, this program knows those up to {newest}" in said.output
