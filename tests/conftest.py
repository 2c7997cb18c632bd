"""Shared fixtures: real PostGIS databases cloned from one migrated template, real data, seeded hypothesis."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser, BrowserContext
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.engine import Connection, Engine, make_url

from api import access
from api.demo_access import DemoAccess
from api.main import make_app
from gis import db
from gis.access import ANYBODY, Principal, create_key
from gis.migrate import migrate
from gis.settings import settings
from tests import forking
from tests.browsing import chromium, serving, window

hypothesis_settings.register_profile("short", max_examples=40, deadline=None, derandomize=True)
hypothesis_settings.load_profile("short")


_LONGEST = (
    "planner_page", "outage", "city_journeys", "page", "record", "regimes", "planner_table_page",
    "public", "archive", "scopes",
    "situation_page", "dump", "hits_page", "notebooks", "opening_page", "analysis_page", "contract",
    "readers", "empty_city_page", "record_page", "hostile", "planning_api", "history", "chicago",
)  # fmt: skip
"""The files of more than ten seconds of processor time, longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first: else one of two processes works on them alone in the end."""
    place = {f"test_{name}": at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def _run(url: sa.URL, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as conn:
        for statement in statements:
            _execute(conn, sa.text(statement))
    engine.dispose()


def _execute(conn: Connection, statement: sa.TextClause, seconds: float = 10) -> None:
    """Execute a statement; the service and autovacuum hang up on their own, the owner may not end them."""
    end = time.monotonic() + seconds
    while True:
        try:
            conn.execute(statement)
        except sa.exc.ProgrammingError as error:
            if time.monotonic() > end or not isinstance(error.orig, InsufficientPrivilege):
                raise
            time.sleep(0.2)
        else:
            return


@contextlib.contextmanager
def _alone(server: sa.URL, what: str) -> Iterator[None]:
    """One process at a time at something."""
    engine = sa.create_engine(server, poolclass=sa.NullPool)
    with engine.connect() as conn:
        conn.execute(sa.text("SELECT pg_advisory_lock(hashtext(:what))"), {"what": what})
        yield
    engine.dispose()


def _make(server: sa.URL, name: str, template: str = "template1") -> str:
    """Make a database and return its URL; a commit does not wait for the disk, since none outlives a test."""
    _run(
        server,
        f"CREATE DATABASE {name} TEMPLATE {template}",
        f"ALTER DATABASE {name} SET synchronous_commit = off",
    )
    return server.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def server() -> sa.URL:
    """The server that tests make their databases on: the private cluster, or the configured one."""
    return make_url(db.url())


@pytest.fixture(scope="session")
def administer(server: sa.URL) -> Callable[..., None]:
    """Run statements outside a transaction, as databases are made and dropped."""
    return partial(_run, server)


@pytest.fixture(scope="session")
def template(server: sa.URL) -> Iterator[str]:
    """A migrated database that is only ever cloned."""
    name = f"test_template_{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(_make(server, name), poolclass=sa.NullPool)
    # Roles, which the first migration may make, belong to the whole server.
    with _alone(server, "test_template"), engine.begin() as conn:
        migrate(conn)
    engine.dispose()
    yield name
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def database(server: sa.URL, template: str) -> Iterator[str]:
    """A fresh migrated database for one test module, as a URL; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield _make(server, name, template)
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def engine(database: str) -> Iterator[Engine]:
    """An engine over the module's database."""
    made = db.make_engine(database)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def service_engine(database: str) -> Iterator[Engine]:
    """An engine over the module's database as the service has it: unprivileged, under row-level security."""
    made = db.engine_of_service(database)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A commander of the whole city who asks the service over the module's database."""
    with engine.begin() as connection:
        key = create_key(connection, "commander", None, scheme="safety", label="desk").key
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, "http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """A connection whose work is rolled back after the test."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = settings().realdata
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (SAFETYMAP_REALDATA)")
    return folder


@pytest.fixture(scope="module")
def client(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service over the module's database, asked by an admin of the whole city."""
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    app.dependency_overrides[access.who] = lambda: Principal("admin", full_role="admin", may_export=True)
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def public(service_engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    """The service over the module's database, asked by anybody."""
    app = make_app(lambda: service_engine, tmp_path)
    app.dependency_overrides[access.who] = lambda: ANYBODY
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def here(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service over the module's database, in demo mode, asked from this machine by whoever has a key."""
    folder = tmp_path_factory.mktemp("data")
    app = make_app(lambda: service_engine, folder)
    app.state.demo = DemoAccess(folder)
    with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 5), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def address(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the service listens, in a process of its own, over the module's database."""
    with serving(database, tmp_path_factory.mktemp("data")) as where:
        yield where


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, drawing WebGL2 in software."""
    with chromium() as started:
        yield started


@pytest.fixture(params=["zh-CN", "en-GB"])
def desk(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A window of a desk in either language."""
    made = window(browser, request.param)
    yield made
    made.close()


@pytest.fixture(scope="session")
def demo(server: sa.URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the small demo city, as a URL: a copy of one that the processes of a run load once."""
    this_run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    loaded = f"test_loaded_{this_run[:8]}"
    name = f"test_demo_{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        with _alone(server, "test_demo"):
            if not conn.scalar(sa.text("SELECT 1 FROM pg_database WHERE datname = :n"), {"n": loaded}):
                _load_demo(_make(server, loaded), tmp_path_factory.mktemp("data"))
            conn.execute(sa.text("SELECT pg_advisory_lock_shared(hashtext(:n))"), {"n": loaded})
            url = _make(server, name, loaded)
        yield url
        _run(server, f"DROP DATABASE {name} WITH (FORCE)")
        with _alone(server, "test_demo"):
            conn.execute(sa.text("SELECT pg_advisory_unlock_shared(hashtext(:n))"), {"n": loaded})
            if conn.scalar(sa.text("SELECT pg_try_advisory_lock(hashtext(:n))"), {"n": loaded}):
                _run(server, f"DROP DATABASE {loaded} WITH (FORCE)")
    engine.dispose()


def _load_demo(url: str, folder: Path) -> None:
    """Load the demo city by the commands themselves."""
    settings = {"SAFETYMAP_DATABASE_URL": url, "SAFETYMAP_SIZE": "small", "SAFETYMAP_DATA_DIR": str(folder)}
    for words in (["demo", "zhuzhou"], ["refresh"]):
        done = forking.command(words, settings, folder)
        assert done.returncode == 0, done.stderr
