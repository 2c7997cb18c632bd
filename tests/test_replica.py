"""A streaming standby takes over: reads go on, and all that was acknowledged is there after its promotion."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx
import pytest

from api.connections import GRACE_S
from gis import access, cluster, db, passwords, postgres
from gis.migrate import migrate
from gis.settings import ROOT
from tests import town
from tests.browsing import free_port, wait
from tests.installation import Reader, Reporter, acknowledged, reporting

pytestmark = pytest.mark.slow

LON, LAT = town.at(1, 1)
WHERE = f"/grids/at?lon={LON}&lat={LAT}"
BACK_S = 30


@dataclass
class Pair:
    """A primary, its standby, and the service that knows the addresses of both."""

    primary: cluster.Cluster
    copy: Path
    port: int
    """The standby's."""
    url: str
    """Where the service looks: the primary first, the standby where that is gone."""
    keys: dict[str, str] = field(default_factory=dict)

    def on_standby(self, question: str) -> str:
        """Ask the standby as its superuser."""
        one = self.primary
        words = f"-X -q -A -t -v ON_ERROR_STOP=1 -p {self.port} -U {one.superuser} -d {cluster.NAME}".split()
        said = one.run("psql", *words, "-h", one.sockets, stdin=question)
        assert said.returncode == 0, said.stderr
        return said.stdout.strip()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """As docs/own-database.md says how: pg_basebackup -R, and commits that wait for the standby."""
    if not postgres._installations():
        pytest.skip("no PostgreSQL ≥ 15 is installed here for a private cluster")
    with tempfile.TemporaryDirectory(prefix="replica-", dir="/var/tmp") as name:
        home = Path(name)
        home.chmod(0o755)
        engine = db.make_engine(cluster.up(home))
        with engine.begin() as conn:
            migrate(conn)
            batch = town.furnish(conn)
            town.add_incidents(conn, batch, [town.at(1, 1)])
            keys = {
                role: access.create_key(conn, role, scheme="safety", label=role).key for role in ("field",)
            }
        engine.dispose()
        one = cluster.find(home)
        copy, port = one.home / "copy", free_port()
        words = ("-X", "stream", "-c", "fast", "-R", "-h", one.sockets, "-p", one.port)
        made = one.run("pg_basebackup", "-D", copy, *words)
        assert made.returncode == 0, made.stderr
        started = one.run("pg_ctl", "start", "-w", "-D", copy, "-l", one.log, "-o", f"-p {port}")
        assert started.returncode == 0, started.stderr
        try:
            said = one.sql("ALTER SYSTEM SET synchronous_standby_names = '*';\nSELECT pg_reload_conf();")
            assert said.returncode == 0, said.stderr
            wait(lambda: "sync" in one.sql("SELECT sync_state FROM pg_stat_replication").stdout)
            password = passwords.in_force(home)
            hosts = f"host=127.0.0.1,127.0.0.1 port={one.port},{port} connect_timeout=2"
            url = f"{hosts} dbname={cluster.NAME} user={cluster.NAME} password={password}"
            yield Pair(one, copy, port, url, keys)
        finally:
            one.run("pg_ctl", "stop", "-w", "-D", copy, "-m", "immediate")
            shutil.rmtree(copy, ignore_errors=True)
            cluster.down(home)


@contextmanager
def served(pair: Pair) -> Iterator[httpx.Client]:
    """The service over both, with two processes."""
    port, data = free_port(), pair.primary.data_dir / "own"
    data.mkdir()
    command = [Path(sys.executable).with_name("safetymap"), "serve", "--port", str(port), "--workers", "2"]
    settings = {"SAFETYMAP_DATA_DIR": str(data), "SAFETYMAP_DATABASE_URL": pair.url}
    log = data / "service.log"
    with log.open("w") as said:
        service = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=said, stderr=said)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        try:
            wait(lambda: _answers(client), 120)
            yield client
        except BaseException:
            sys.stderr.write(log.read_text()[-5000:])
            raise
        finally:
            service.terminate()
            service.wait(GRACE_S + 20)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def _kill(one: cluster.Cluster) -> None:
    """Kill the primary's processes, all at once."""
    parent = cluster.running(one.data_dir)
    assert parent
    children = subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False
    ).stdout
    for pid in [parent, *map(int, children.split())]:
        os.kill(pid, signal.SIGKILL)


def test_the_standby_takes_over_and_nothing_acknowledged_is_lost(pair: Pair) -> None:
    with served(pair) as client, reporting(client, pair.keys["field"], 4) as reporters:
        _drill(pair, client, reporters)
    known = acknowledged(reporters)
    said = pair.on_standby("SELECT origin_id, id FROM incidents WHERE origin = 'drill'").splitlines()
    rows = [(name, int(there)) for name, there in (line.split("|") for line in said)]
    assert len(dict(rows)) == len(rows), "each report is one incident"
    assert {name: there for name, there in rows if name in known} == known
    longest = max(one.longest_s for one in reporters)
    sys.stderr.write(f"{len(known)} acknowledged, the longest wait {longest:.1f} s\n")


def _recorded(pair: Pair) -> int:
    """Return how many reads the audit holds, on the standby that took over."""
    return int(
        pair.on_standby("SELECT count(*) FROM audit WHERE entry LIKE '%/collections/incidents/items%'")
    )


def _drill(pair: Pair, client: httpx.Client, reporters: list[Reporter]) -> None:
    wait(lambda: len(acknowledged(reporters)) >= 50, 60)
    _kill(pair.primary)
    gone = time.monotonic()
    wait(lambda: client.get(WHERE).status_code == 200, BACK_S)
    for _ in range(20):
        answer = client.get(WHERE)
        assert answer.status_code in (200, 503)
    reads_s = time.monotonic() - gone
    read = Reader(client, pair.keys["field"])
    wait(lambda: read.protected() == 503, BACK_S)  # within seconds: nobody could record who reads
    assert pair.on_standby("SELECT pg_promote(true, 30)") == "t"
    promoted, before = time.monotonic(), len(acknowledged(reporters))
    wait(lambda: len(acknowledged(reporters)) >= before + 50, BACK_S)
    wait(lambda: read.protected() == 200, BACK_S)
    assert time.monotonic() - promoted < BACK_S
    wait(lambda: _recorded(pair) >= read.answered, BACK_S)
    writes_s = time.monotonic() - promoted
    sys.stderr.write(f"reads {reads_s:.1f} s after the end, writes {writes_s:.1f} s after the promotion\n")
