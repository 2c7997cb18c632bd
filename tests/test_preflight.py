"""Any database is looked at before it is used: right, or refused with the SQL that mends it."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from psycopg import sql
from sqlalchemy.engine import Engine, make_url

from api.main import make_app
from gis import cluster, database_url, db, postgres, preflight
from gis.errors import BadInput, DatabaseUnfit
from gis.settings import settings
from tests import forking, town

PASSWORD = "p@s:s/w#o?r%d é"

Administer = Callable[..., None]


@pytest.fixture(scope="module")
def superuser() -> Callable[[str, str], str]:
    """Run SQL in a database as the private cluster's superuser."""
    if settings().database_url:
        pytest.skip("the configured server's superuser is not ours")
    one = cluster.find(settings().data_dir)

    def run(database: str, script: str) -> str:
        words = f"-X -q -At -v ON_ERROR_STOP=1 -p {one.port} -U {one.superuser} -d {database}".split()
        done = one.run("psql", *words, "-h", one.sockets, stdin=script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def odd(server: sa.URL, administer: Administer) -> Iterator[Callable[[str], sa.URL]]:
    """Make databases in ways of one's own; dropped afterwards."""
    made: list[str] = []

    def make(how: str) -> sa.URL:
        name = f"test_odd_{secrets.token_hex(4)}"
        administer(f"CREATE DATABASE {name} {how}")
        made.append(name)
        return server.set(database=name)

    yield make
    for name in made:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def plain(superuser: Callable[[str, str], str], server: sa.URL) -> Iterator[str]:
    """A role that may log in and nothing else, with a password that needs every percent code."""
    name = f"test plain {secrets.token_hex(4)}"
    quoted = sql.quote(PASSWORD)
    superuser("postgres", f'CREATE ROLE "{name}" LOGIN PASSWORD {quoted}')
    yield name
    superuser(str(server.database), f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def refused(address: sa.URL, **how: bool) -> str:
    engine = db.make_engine(address.render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnfit) as why:
        preflight.check(engine, **how)
    engine.dispose()
    return str(why.value)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_CN"])
def test_other_encodings_are_refused(odd: Callable[[str], sa.URL], encoding: str) -> None:
    said = refused(odd(f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"))
    assert f"keeps text in {encoding}" in said
    assert "CREATE DATABASE safetymap TEMPLATE template0 ENCODING 'UTF8'" in said


def test_a_database_without_postgis_says_how_it_comes(odd: Callable[[str], sa.URL]) -> None:
    said = refused(odd("TEMPLATE template0"))
    assert said == ("the database has no PostGIS; let a superuser run CREATE EXTENSION postgis SCHEMA public")


def test_postgis_elsewhere_is_refused(
    odd: Callable[[str], sa.URL], superuser: Callable[[str, str], str]
) -> None:
    address = odd("TEMPLATE template0")
    superuser(str(address.database), "CREATE SCHEMA maps; CREATE EXTENSION postgis SCHEMA maps")
    assert "PostGIS in the schema maps" in refused(address)


def test_a_database_that_takes_no_changes_is_refused_for_them_alone(odd: Callable[[str], sa.URL]) -> None:
    address = odd("TEMPLATE template1")
    engine = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as conn:
        conn.execute(sa.text(f"ALTER DATABASE {address.database} SET default_transaction_read_only = on"))
    assert "default_transaction_read_only = off" in refused(address)
    reader = db.make_engine(address.render_as_string(hide_password=False))
    preflight.check(reader, writes=False)
    reader.dispose()


def test_a_role_without_rights_is_told_each_of_them(
    odd: Callable[[str], sa.URL], plain: str, superuser: Callable[[str, str], str]
) -> None:
    address = odd("TEMPLATE template1")
    theirs = address.set(username=plain, password=PASSWORD)
    said = refused(theirs)
    grants = [part.split(" run ")[1] for part in said.split(". the database ")]
    assert grants == [f'GRANT CREATE ON SCHEMA public TO "{plain}"', f'GRANT safetymap_service TO "{plain}"']
    superuser(str(address.database), ";".join(grants))
    engine = db.make_engine(theirs.render_as_string(hide_password=False))
    preflight.check(engine)
    engine.dispose()
    superuser(str(address.database), f'DROP OWNED BY "{plain}"')


def test_the_store_of_another_role_is_refused(
    database: str, plain: str, superuser: Callable[[str, str], str]
) -> None:
    address = make_url(database)
    superuser(str(address.database), f'GRANT CREATE ON SCHEMA public TO "{plain}"')
    said = refused(address.set(username=plain, password=PASSWORD))
    assert f'GRANT safetymap TO "{plain}"' in said
    superuser(str(address.database), f'DROP OWNED BY "{plain}"')


@pytest.mark.parametrize(
    "setting",
    ["datestyle = 'German, DMY'", "client_encoding = 'LATIN1'", "timezone = 'Asia/Shanghai'",
     "search_path = 'pg_catalog'", "intervalstyle = 'sql_standard'", "jit = on", "row_security = off"],
)  # fmt: skip
def test_settings_of_the_database_change_no_answer(odd: Callable[[str], sa.URL], setting: str) -> None:
    address = odd("TEMPLATE template1")
    engine = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as conn:
        conn.execute(sa.text(f"ALTER DATABASE {address.database} SET {setting}"))
    ours = db.make_engine(address.render_as_string(hide_password=False))
    with ours.connect() as conn:
        row = conn.execute(
            sa.text(
                "SELECT ST_X('POINT(1 2)'::geometry), '2026-02-01'::date::text,"
                " '2026-02-01 10:00+00'::timestamptz, '平安', current_setting('jit'),"
                " interval '-1 day 2 hours'::text"
            )
        ).one()
    ours.dispose()
    assert tuple(row) == (
        1,
        "2026-02-01",
        datetime(2026, 2, 1, 10, tzinfo=UTC),
        "平安",
        "off",
        "-1 days +02:00:00",
    )


def test_a_command_says_it_in_one_line(odd: Callable[[str], sa.URL], tmp_path: Path) -> None:
    address = odd("TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").set(drivername="postgresql")
    there = {"SAFETYMAP_DATABASE_URL": address.render_as_string(hide_password=False), "COLUMNS": "500"}
    (tmp_path / "a.csv").write_text("origin_id,name,lon,lat\n1,x,113.1,27.8\n")
    lines = (
        "db up", "serve", "refresh", "key create --role field", "key list", "key revoke 1", "audit verify",
        "audit prune", f"export cameras {tmp_path}/b.csv", f"import cameras {tmp_path}/a.csv --commit",
    )  # fmt: skip
    for number, words in enumerate(line.split() for line in lines):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = forking.command(words, there | {"SAFETYMAP_DATA_DIR": str(folder)}, folder)
        assert done.returncode == 1
        assert done.stderr.startswith("error: the database keeps text in LATIN1"), (words, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["city", "show"], ["key", "list"], ["refresh"], ["grids", "--help"]])
def test_a_database_without_a_store_is_no_trace(
    odd: Callable[[str], sa.URL], tmp_path: Path, words: list[str]
) -> None:
    address = odd("TEMPLATE template1").set(drivername="postgresql").render_as_string(hide_password=False)
    there = {"SAFETYMAP_DATABASE_URL": address, "SAFETYMAP_DATA_DIR": str(tmp_path), "COLUMNS": "500"}
    done = forking.command(words, there, tmp_path)
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert "safetymap" in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mysql://root@localhost/x", "mysql:// is no PostgreSQL"),
        ("sqlite:///x.db", "sqlite:// is no PostgreSQL"),
        ("http://localhost:5432/x", "http:// is no PostgreSQL"),
        ("postgresql://u:p@ss@h/db", "@ as %40"),
        ("postgresql://u:p@h#1@h/db", "@ as %40"),
        ("localhost", "libpq's keywords"),
        ("host=", "names no database"),
        ("hots=localhost", "libpq's keywords"),
        ("postgresql://u:secret@h:port/db?nonsense=1", "libpq's keywords"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(BadInput, match="SAFETYMAP_DATABASE_URL") as why:
        database_url.read(text, "SAFETYMAP_DATABASE_URL")
    assert says in str(why.value)
    assert "secret" not in str(why.value)


@pytest.mark.parametrize(
    "form",
    [
        "host={host} port={port} dbname={base} user='{user}' password='{password}'",
        "postgresql://{user_}:{password_}@/{base}?host={host_}&port={port}",
        "postgres://{user_}:{password_}@127.0.0.1:{port}/{base}",
        "postgresql+psycopg://{user_}:{password_}@127.0.0.1:{port}/{base}?application_name=a",
        "postgresql://{user_}:{password_}@127.0.0.1:1,127.0.0.1:{port}/{base}",
    ],
)
def test_an_address_is_read_as_libpq_reads_it(form: str, database: str, plain: str) -> None:
    from urllib.parse import quote  # noqa: PLC0415

    at = make_url(database)
    text = form.format(
        host=at.query["host"], host_=quote(str(at.query["host"]), safe=""), port=at.query["port"],
        base=at.database, user=plain, password=PASSWORD, user_=quote(plain, safe=""),
        password_=quote(PASSWORD, safe=""),
    )  # fmt: skip
    engine = db.make_engine(database_url.read(text, "X").render_as_string(hide_password=False))
    with engine.connect() as conn:
        assert conn.scalar(sa.text("SELECT current_user")) == plain
    engine.dispose()


@contextmanager
def pooled(database: str, mode: str, **more: str) -> Iterator[str]:
    """A pgbouncer before a database; its address."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("no pgbouncer is installed here")
    at = make_url(database)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    account = postgres.account() or pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="pgbouncer", dir="/var/tmp") as name:
        folder = Path(name)
        options = {
            "listen_addr": "127.0.0.1", "listen_port": port, "auth_type": "any", "pool_mode": mode,
            "unix_socket_dir": "", "pidfile": folder / "pid", "logfile": folder / "log",
        } | more  # fmt: skip
        lines = [f"{key} = {value}" for key, value in options.items()]
        where = f"host={at.query['host']} port={at.query['port']} user={at.username} password={at.password}"
        (folder / "ini").write_text(
            "\n".join(["[databases]", f"{at.database} = {where}", "[pgbouncer]", *lines]) + "\n"
        )
        for path in (folder, folder / "ini"):
            os.chown(path, account.pw_uid, account.pw_gid)
        done = postgres.run(postgres.account(), program, "-d", folder / "ini")
        assert done.returncode == 0, done.stderr
        deadline = time.monotonic() + 10
        while not (folder / "pid").exists() or not (folder / "pid").read_text().endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        pid = int((folder / "pid").read_text())
        try:
            yield f"postgresql://safetymap:x@127.0.0.1:{port}/{at.database}"
        finally:
            os.kill(pid, signal.SIGTERM)
            while (folder / "pid").exists() and Path(f"/proc/{pid}").exists():
                time.sleep(0.02)


@pytest.mark.parametrize("order", ["0", "1"])
def test_a_pooler_by_transaction_is_refused(database: str, order: str) -> None:
    with pooled(database, "transaction", server_round_robin=order) as address:
        said = refused(database_url.read(address, "X"))
        assert "pool_mode = session" in said


def test_a_pooler_by_session_serves(database: str) -> None:
    with pooled(database, "session") as address:
        engine = db.make_engine(database_url.read(address, "X").render_as_string(hide_password=False))
        preflight.check(engine)
        engine.dispose()


ROLE_AND_POLICIES = sa.text("SELECT current_user, row_security_active('access_keys')")


def service(address: str) -> Engine:
    there = database_url.read(address, "X").render_as_string(hide_password=False)
    return db.make_engine(there, pool_size=4, timeout_ms=4321, role=cluster.SERVICE)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_behind_a_pooler_no_transaction_is_the_owners(database: str, mode: str) -> None:
    """Others come through the same pooler as the owner, and take off whatever role they find."""
    with pooled(database, mode, default_pool_size="3") as address:
        engine = service(address)
        others = sa.create_engine(
            database_url.read(address, "X"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        for _ in range(30):
            with others.connect() as other:
                other.execute(sa.text("RESET ROLE"))
                other.execute(sa.text("SET statement_timeout = 0"))
            with engine.begin() as conn:
                assert tuple(conn.execute(ROLE_AND_POLICIES).one()) == (cluster.SERVICE, True)
                assert conn.scalar(sa.text("SHOW statement_timeout")) == "4321ms"
        engine.dispose()


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_answers_and_tiles_behind_a_pooler_show_the_public_nothing_more(
    database: str, engine: Engine, tmp_path: Path, mode: str
) -> None:
    with engine.begin() as conn:
        if not conn.scalar(sa.text("SELECT count(*) FROM grids")):
            town.add_grids(conn)
            batch = town.add_city(conn)
            town.add_responders(conn, batch, {"near": town.at(1, 1)})
    with pooled(database, mode) as address:
        serving = service(address)
        with TestClient(make_app(lambda: serving, tmp_path)) as client:
            for _ in range(5):
                assert client.get("/grids/at?lon=113.01&lat=27.04").status_code == 200
                assert client.get("/tiles/grids/14/13334/6906.mvt").status_code in {200, 204}
                assert client.get("/tiles/responders/14/13334/6906.mvt").status_code == 401
        serving.dispose()


def test_a_role_that_may_not_be_put_on_is_said(database: str, plain: str) -> None:
    address = make_url(database).set(username=plain, password=PASSWORD)
    engine = db.make_engine(address.render_as_string(hide_password=False), role=cluster.SERVICE)
    with pytest.raises(DatabaseUnfit, match="safetymap db up"), engine.connect():
        pass
    engine.dispose()


def test_what_runs_the_service_names_no_address_with_a_password() -> None:
    said = subprocess.run(
        [".venv/bin/safetymap", "db", "up"], capture_output=True, text=True, check=False,
        env={**os.environ, "SAFETYMAP_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/db"},
    )  # fmt: skip
    assert said.returncode == 1
    assert "secret" not in said.stderr + said.stdout
