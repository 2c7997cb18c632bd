"""The private cluster: made once, found again, and whole after every kind of sudden death."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.main import make_app
from gis import access, cluster, db, postgres, preflight
from gis.errors import ClusterFailed, ClusterMissing, DatabaseUnfit
from gis.migrate import migrate
from tests import town
from tests.serving import wait


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Give a data directory whose name needs quoting everywhere, with a cluster that runs."""
    if not postgres._installations():
        pytest.skip("no PostgreSQL ≥ 15 is installed here for a private cluster")
    with tempfile.TemporaryDirectory(prefix="平安 map's ", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        data_dir = Path(name) / ".data"
        cluster.up(data_dir)
        yield data_dir
        cluster.down(data_dir)


def ask(url: str, question: str) -> object:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as conn:
        return conn.scalar(sa.text(question))


def write_row(url: str, value: int) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        conn.execute(sa.text("CREATE TABLE IF NOT EXISTS kept (value int)"))
        conn.execute(sa.text("INSERT INTO kept VALUES (:value)"), {"value": value})


def wait_until_dead(data_dir: Path) -> None:
    while cluster.running(data_dir):
        time.sleep(0.05)


def test_answers_with_postgis_and_our_settings(home: Path) -> None:
    url = cluster.up(home)
    assert str(ask(url, "SELECT postgis_lib_version()")) >= "3.3"
    assert ask(url, "SHOW jit") == "off"
    assert ask(url, "SHOW timezone") == "UTC"
    assert ask(url, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C.UTF-8"


@contextmanager
def copied(home: Path, *words: str) -> Iterator[tuple[str, Path]]:
    """A base backup of the cluster that runs beside it; its URL and where it lies."""
    url = cluster.up(home)
    one = cluster.find(home)
    copy, port = one.home / "copy", one.port + 50
    made = one.run(
        "pg_basebackup", "-D", copy, "-X", "stream", "-c", "fast", "-h", one.sockets, "-p", one.port, *words
    )
    assert made.returncode == 0, made.stderr
    verified = one.run("pg_verifybackup", copy)
    assert verified.returncode == 0, verified.stderr
    started = one.run("pg_ctl", "start", "-w", "-D", copy, "-l", one.log, "-o", f"-p {port}")
    assert started.returncode == 0, started.stderr
    try:
        yield url.replace(f"port={one.port}", f"port={port}"), copy
    finally:
        one.run("pg_ctl", "stop", "-w", "-D", copy, "-m", "fast")
        shutil.rmtree(copy)


def test_a_base_backup_is_whole_and_answers_the_same(home: Path) -> None:
    url = cluster.up(home)
    write_row(url, 7)
    one = cluster.find(home)
    assert ask(url, "SHOW data_checksums") == "on"
    with copied(home) as (again, copy):
        values = "SELECT array_agg(value) FROM kept"
        assert ask(again, values) == ask(url, values)
        one.run("pg_ctl", "stop", "-w", "-D", copy, "-m", "fast")
        checked = one.run("pg_checksums", "--check", "-D", copy)
        assert "Bad checksums:  0" in checked.stdout, checked


def test_a_standby_answers_the_public_when_the_primary_is_gone(home: Path, tmp_path: Path) -> None:
    """What is protected is not given out there: nobody could record who read it."""
    primary = db.make_engine(cluster.up(home))
    with primary.begin() as conn:
        migrate(conn)
        town.add_grids(conn)
        town.add_city(conn)
        key = access.create_key(conn, "commander", scheme="safety", label="").key
    with copied(home, "-R") as (address, _):
        standby = db.make_engine(address)
        preflight.check(standby, writes=False)
        with pytest.raises(DatabaseUnfit, match="is a standby"):
            preflight.check(standby)
        standby.dispose()
        primary.dispose()
        cluster.down(home)
        service = db.make_engine(cluster.service_url(home, address), timeout_ms=5000)
        with TestClient(make_app(lambda: service, tmp_path)) as client:
            assert client.get("/grids/at?lon=113.01&lat=27.04").status_code == 200
            near, asked = "/responders/nearest?lon=113.01&lat=27.04", {"Authorization": f"Bearer {key}"}
            wait(lambda: client.get(near, headers=asked).status_code == 503)
            assert client.get("/grids/at?lon=113.01&lat=27.04").status_code == 200
            assert client.get("/health/ready").status_code == 503
        service.dispose()


def test_is_reached_over_loopback_with_the_password_only(home: Path) -> None:
    url = sa.make_url(cluster.up(home))
    tcp = url.set(host="127.0.0.1", port=int(str(url.query["port"])), query={})
    assert ask(tcp.render_as_string(hide_password=False), "SELECT 1") == 1
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1", port=tcp.port, user="safetymap", password="wrong", dbname="safetymap"
        )


def test_role_makes_databases_that_have_postgis_and_is_no_superuser(home: Path) -> None:
    url = sa.make_url(cluster.up(home))
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as conn:
        conn.execute(sa.text("CREATE DATABASE other"))
    other = url.set(database="other").render_as_string(hide_password=False)
    assert ask(other, "SELECT ST_SRID(ST_Point(113.1, 27.8, 4326))") == 4326
    assert ask(other, "SHOW is_superuser") == "off"


def test_password_is_for_the_owner_only(home: Path) -> None:
    assert (home / "pg-password").stat().st_mode & 0o777 == 0o600
    assert (home / "pg" / "data").stat().st_mode & 0o777 == 0o700


def test_second_up_keeps_the_server(home: Path) -> None:
    first, pid = cluster.up(home), cluster.running(home)
    assert cluster.up(home) == first == cluster.url(home)
    assert cluster.running(home) == pid


def test_survives_kill_of_the_postmaster(home: Path) -> None:
    write_row(cluster.up(home), 1)
    pid = cluster.running(home)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until_dead(home)
    assert ask(cluster.up(home), "SELECT count(*) FROM kept WHERE value = 1") == 1


def test_stale_pid_of_another_program_is_no_server(home: Path) -> None:
    cluster.down(home)
    stale = home / "pg" / "data" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{home / 'pg' / 'data'}\n")
    assert cluster.running(home) is None
    assert ask(cluster.up(home), "SELECT 1") == 1


def test_takes_another_port_when_its_own_is_taken(home: Path) -> None:
    url = sa.make_url(cluster.up(home))
    cluster.down(home)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", int(str(url.query["port"]))))
        squatter.listen()
        again = cluster.up(home)
    assert sa.make_url(again).query["port"] != url.query["port"]
    assert ask(again, "SELECT 1") == 1


def test_lost_password_is_replaced(home: Path) -> None:
    before = cluster.up(home)
    (home / "pg-password").unlink()
    after = cluster.up(home)
    assert after != before
    assert ask(after, "SELECT 1") == 1


def test_many_commands_at_once_make_one_server(home: Path) -> None:
    cluster.down(home)
    code = f"from pathlib import Path; from gis import cluster; print(cluster.up(Path({str(home)!r})))"
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(subprocess.check_output, [sys.executable, "-c", code], text=True) for _ in range(4)
        ]
    assert len({run.result() for run in runs}) == 1


@pytest.mark.usefixtures("home")  # for its skip
def test_up_killed_while_making_the_cluster_leaves_nothing_half() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        code = f"from pathlib import Path; from gis import cluster; cluster.up(Path({name!r}))"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        while not (Path(name) / "pg" / "data.part").exists():
            assert child.poll() is None
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert ask(cluster.up(Path(name)), "SELECT count(*) FROM pg_extension WHERE extname = 'postgis'") == 1
        assert cluster.down(Path(name))
        assert not cluster.down(Path(name))


def test_a_server_that_cannot_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.down(home)
    monkeypatch.setitem(postgres._SETTINGS, "max_connections", "-1")
    monkeypatch.setattr(cluster, "_START_TRIES", 1)
    with pytest.raises(ClusterFailed, match="max_connections"):
        cluster.up(home)
    monkeypatch.undo()
    assert ask(cluster.up(home), "SELECT 1") == 1


def test_without_postgresql_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_installations", list)
    with pytest.raises(ClusterMissing, match=r"apt-get install .* or set SAFETYMAP_DATABASE_URL"):
        postgres.programs(None)


def test_down_and_url_without_a_cluster(tmp_path: Path) -> None:
    assert not cluster.down(tmp_path / "absent")
    assert cluster.running(tmp_path / "absent") is None
    with pytest.raises(ClusterFailed, match="safetymap db up"):
        cluster.url(tmp_path / "absent")


def test_long_path_moves_the_socket(tmp_path: Path) -> None:
    deep = cluster.Cluster(tmp_path, tmp_path / ("x" * 120), None)
    assert deep.sockets.parent == Path("/tmp")
    assert deep.sockets != cluster.Cluster(tmp_path, tmp_path / ("y" * 120), None).sockets


def test_socket_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can make a directory for someone else")
    foreign = tmp_path / "run"
    foreign.mkdir()
    shutil.chown(foreign, "daemon")
    with pytest.raises(ClusterFailed, match="belongs to another user"):
        cluster.Cluster(tmp_path, tmp_path, postgres.account()).own_directory(foreign)


@pytest.mark.usefixtures("home")  # for its skip
def test_closed_data_directory_puts_the_cluster_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("only root's server runs as another user")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        closed, elsewhere = Path(name) / "closed", Path(name) / "lib"
        closed.mkdir(mode=0o700)
        monkeypatch.setattr(cluster, "ELSEWHERE", elsewhere)
        assert not cluster.down(closed)
        assert not elsewhere.exists()
        assert ask(cluster.up(closed), "SELECT 1") == 1
        assert cluster.find(closed).home.parent == elsewhere
        assert cluster.down(closed)
        shutil.rmtree(elsewhere)
        cluster._place(closed)
        assert (closed / "pg").is_dir()


@pytest.mark.parametrize("ram_mb", [512, 4096, 24576, 1 << 20])
def test_memory_fits_the_machine(ram_mb: int) -> None:
    shared = {name: int(str(value)[:-2]) for name, value in postgres._memory(ram_mb).items()}
    assert shared["shared_buffers"] <= ram_mb // 4
    assert 8 <= shared["work_mem"] <= 64
