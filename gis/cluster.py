"""The private PostGIS cluster under the data directory: made, started, found again and stopped (Linux).

As root the server runs as an unprivileged user, because PostgreSQL refuses root. Only that user is the
superuser (peer authentication over the socket); commands come in as the role `safetymap`, which owns
everything, with a password that lies in the data directory; the service as `safetymap_service`, which owns
nothing.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import quote

import structlog
from sqlalchemy.engine import make_url

from gis import passwords, postgres
from gis.errors import ClusterFailed, ClusterMissing

NAME = "safetymap"
"""The role that owns everything, and its database."""
SERVICE = "safetymap_service"
"""The role that the service works as: owns nothing, and row-level security holds for it."""
PORTS = range(15432, 16432)
"""Where a free port is looked for: below the range that outgoing connections take theirs from."""
ELSEWHERE = Path("/var/lib/safety-map")
"""Home of clusters whose data directory the server's user cannot reach (a checkout in /root)."""

_SOCKET_LIMIT = 107
"""Bytes of a Unix socket's path on Linux (unix(7), sun_path)."""
_LISTS = set(',"\\')
_START_TRIES = 5
_RECOVERY_S = 86_400
"""A day: how long a restored cluster may replay its log."""
_HBA = """\
local all {superuser} peer
local replication {superuser} peer
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""
_PROVISION = """\
SELECT 'CREATE ROLE {name} LOGIN CREATEDB'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec
ALTER ROLE {name} PASSWORD '{password}';
SELECT 'CREATE ROLE {service} LOGIN NOINHERIT'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{service}') \\gexec
ALTER ROLE {service} PASSWORD '{service_password}';
GRANT {service} TO {name};
\\connect template1
CREATE EXTENSION IF NOT EXISTS postgis;
ALTER FUNCTION geometry_overlaps(geometry, geometry) LEAKPROOF;
SELECT 'CREATE DATABASE {name} OWNER {name}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
\\connect {name}
ALTER FUNCTION geometry_overlaps(geometry, geometry) LEAKPROOF;
"""
"""PostGIS needs a superuser, so it goes into template1: every later database has it from the start.

The operator && compares two boxes and tells nothing else; declared leak-proof, it may use its index before
row-level security has looked at the rows (measured on 500,000 points: 0.6 ms instead of 238 ms).
"""


@dataclass(frozen=True)
class Cluster:
    """One cluster's places on disk and the user it runs as (None: whoever calls)."""

    data_dir: Path
    home: Path
    account: pwd.struct_passwd | None

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    @property
    def superuser(self) -> str:
        """Name of the superuser, which is the name of the user the server runs as."""
        return (self.account or pwd.getpwuid(os.geteuid())).pw_name

    @property
    def sockets(self) -> Path:
        """Directory of the Unix socket: in the home, or under /tmp where the home's path is none for it.

        It may be too long, or hold what separates or quotes paths in lists of them.
        """
        inside = self.home / "run"
        length = len(os.fsencode(inside / ".s.PGSQL.65535.lock"))
        if length <= _SOCKET_LIMIT and not set(str(inside)) & _LISTS:
            return inside
        return Path(f"/tmp/safety-map-{_digest(self.home)}")  # noqa: S108 - made with 0700, its owner is checked

    @property
    def port(self) -> int:
        """The port it was last started on; FileNotFoundError before the first start."""
        return int((self.home / "port").read_text())

    @property
    def url(self) -> str:
        """SQLAlchemy URL over the Unix socket; FileNotFoundError before the first start."""
        where = f"host={quote(str(self.sockets))}&port={self.port}"
        return f"postgresql+psycopg://{NAME}:{passwords.in_force(self.data_dir)}@/{NAME}?{where}"

    @property
    def provisioned(self) -> Path:
        """Note of what the server was last provisioned with."""
        return self.home / "provisioned"

    @property
    def backup_settings(self) -> Path:
        """What pgbackrest reads; there once backups are set up."""
        return self.home / "pgbackrest.conf"

    def run(self, program: str, *words: object, stdin: str = "") -> CompletedProcess[str]:
        """Run one of PostgreSQL's programs, of the version that made the data, as the server's user."""
        made_by = self.data / "PG_VERSION"
        directory = postgres.programs(int(made_by.read_text()) if made_by.exists() else None)
        return postgres.run(self.account, directory / program, *words, stdin=stdin)

    def control(self, act: str, *words: object) -> CompletedProcess[str]:
        """Run pg_ctl, which hands the paths that it is called with to a shell: so it is called with none."""
        directory = postgres.programs(int((self.data / "PG_VERSION").read_text()))
        command = (directory / "pg_ctl", act, *words)
        return postgres.run(self.account, *command, cwd=self.home, PGDATA=str(self.data))

    def start(self) -> CompletedProcess[str]:
        """Start the server, and wait until it answers or has failed."""
        return self.control("start", "-w", "-t", "120", "-l", self.log.name)

    def sql(self, script: str) -> CompletedProcess[str]:
        """Run a script of psql as the superuser, up to its first error; the rows come bare."""
        words = f"-X -q -A -t -v ON_ERROR_STOP=1 -p {self.port} -U {self.superuser} -d postgres".split()
        return self.run("psql", *words, "-h", self.sockets, stdin=script)

    def write(self, path: Path, text: str) -> None:
        """Write a file whole and leave it to the server's user alone."""
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_text(text)
        self.give(part)
        part.rename(path)

    def give(self, path: Path) -> None:
        """Leave a file or directory to the server's user."""
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def own_directory(self, path: Path) -> None:
        """Make a directory that only the server's user enters; one that another user made is refused."""
        path.mkdir(mode=0o700, exist_ok=True)
        uid = self.account.pw_uid if self.account else os.geteuid()
        if path.is_symlink() or path.stat().st_uid not in {uid, os.geteuid()}:
            raise ClusterFailed(f"{path} belongs to another user: remove it, or run as the user who made it")
        path.chmod(0o700)
        self.give(path)


def up(data_dir: Path) -> str:
    """Start the cluster of `data_dir`, making it first where there is none, and return its SQLAlchemy URL.

    Safe to call at any time and by several processes at once. Raises ClusterMissing without PostgreSQL or
    PostGIS, ClusterFailed with the server's own words when it does not start.
    """
    with _locked(data_dir):
        _place(data_dir)
        cluster = find(data_dir)
        passwords.ensure(data_dir)
        if not _answers(cluster):
            cluster.provisioned.unlink(missing_ok=True)
            _initialise(cluster)
            _start(cluster)
        _provision(cluster)
        return cluster.url


def recover(data_dir: Path, fill: Callable[[Cluster], None]) -> str:
    """Start a cluster whose data directory `fill` lays out and return its URL, once its recovery has ended.

    Raises ClusterFailed with the server's own words, such as when its log ends before the moment it goes to.
    """
    with _locked(data_dir):
        _place(data_dir)
        cluster = find(data_dir)
        cluster.own_directory(cluster.home)
        fill(cluster)
        passwords.ensure(data_dir)
        cluster.own_directory(cluster.sockets)
        _configure(cluster, _free_port(cluster))
        started = cluster.start()
        if started.returncode or not _answers(cluster, _RECOVERY_S):
            raise ClusterFailed(_last_words(cluster, started.stderr))
        _provision(cluster)
        return cluster.url


def reload(data_dir: Path) -> None:
    """Write the configuration of the cluster of `data_dir` anew and let its server, which runs, read it."""
    with _locked(data_dir):
        cluster = find(data_dir)
        _configure(cluster, cluster.port)
        done = cluster.control("reload")
        if done.returncode:
            raise ClusterFailed(done.stderr.strip())


def change_passwords(data_dir: Path) -> None:
    """Give both roles of the cluster, which runs, new passwords. Connections that are open stay so.

    Raises ClusterFailed where it does not run.
    """
    with _locked(data_dir):
        cluster = find(data_dir)
        if not _postmaster(cluster):
            raise ClusterFailed("the private cluster does not run; run `safetymap db up`")
        passwords.prepare(data_dir)
        _provision(cluster)


def down(data_dir: Path) -> bool:
    """Stop the cluster of `data_dir` and return whether it was running; ClusterFailed when it stays."""
    if not data_dir.is_dir():
        return False
    with _locked(data_dir):
        cluster = find(data_dir)
        if not _postmaster(cluster):
            return False
        stopped = cluster.control("stop", "-w", "-t", "120", "-m", "fast")
        if stopped.returncode:
            raise ClusterFailed(_last_words(cluster, stopped.stderr))
        return True


def running(data_dir: Path) -> int | None:
    """Return the process id of the cluster's server, None when it does not run."""
    return _postmaster(find(data_dir)) if data_dir.is_dir() else None


def url(data_dir: Path) -> str:
    """Return the SQLAlchemy URL of the cluster as it was last started; ClusterFailed where there is none."""
    with suppress(FileNotFoundError):
        return Cluster(data_dir.resolve(), (data_dir / "pg").resolve(), None).url
    raise ClusterFailed(f"there is no cluster under {data_dir}; run `safetymap db up`")


def service_url(data_dir: Path, url: str) -> str:
    """Return `url`, of a database of this cluster, as the service's role comes in."""
    password = passwords.of_service(passwords.in_force(data_dir), SERVICE)
    return make_url(url).set(username=SERVICE, password=password).render_as_string(hide_password=False)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory's lock; the kernel lets go of it when the process dies."""
    postgres.refuse_name("SAFETYMAP_DATA_DIR", data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "pg.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def find(data_dir: Path) -> Cluster:
    """Return the cluster of a data directory, whether it is there yet or not."""
    data_dir = data_dir.resolve()
    return Cluster(data_dir, (data_dir / "pg").resolve(), postgres.account())


def _place(data_dir: Path) -> None:
    """Link the cluster's home to somewhere else where the server's user cannot reach the data directory."""
    inside, account = data_dir.resolve() / "pg", postgres.account()
    if inside.exists():
        return
    inside.unlink(missing_ok=True)
    if account and postgres.run(account, "test", "-x", inside.parent).returncode:
        home = ELSEWHERE / _digest(inside)
        home.mkdir(parents=True, exist_ok=True)
        inside.symlink_to(home)
        structlog.get_logger().info("cluster.elsewhere", home=str(home), closed_to_server=str(inside.parent))


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _initialise(cluster: Cluster) -> None:
    """Make the data directory, under another name until it is complete."""
    cluster.own_directory(cluster.home)
    if cluster.data.exists():
        return
    part = cluster.home / "data.part"
    shutil.rmtree(part, ignore_errors=True)
    words = f"-k -U {cluster.superuser} -A peer --auth-host=reject --encoding=UTF8 --locale=C.UTF-8".split()
    made = cluster.run("initdb", "-D", part, *words)
    if made.returncode:
        raise ClusterFailed(f"initdb: {made.stderr.strip()}")
    part.rename(cluster.data)


def _start(cluster: Cluster) -> None:
    """Start the server, on another port when someone took ours, and wait until it answers.

    A server killed with -9 leaves processes that hold its shared memory for a moment: hence the tries.
    """
    cluster.own_directory(cluster.sockets)
    for _ in range(_START_TRIES):
        _forget_dead_server(cluster)
        _configure(cluster, _free_port(cluster))
        started = cluster.start()
        if not started.returncode:
            return
        time.sleep(1)
    raise ClusterFailed(_last_words(cluster, started.stderr))


def _forget_dead_server(cluster: Cluster) -> None:
    """Remove the pid file of a server that is gone: its number may belong to another program by now."""
    if not _postmaster(cluster):
        (cluster.data / "postmaster.pid").unlink(missing_ok=True)


def _configure(cluster: Cluster, port: int) -> None:
    """Write the server's configuration anew, so that it fits the machine it starts on."""
    archiving = postgres.archiving(cluster.backup_settings, cluster.data)
    cluster.write(cluster.data / "postgresql.conf", postgres.settings(port, cluster.sockets) + archiving)
    cluster.write(cluster.data / "pg_hba.conf", _HBA.format(superuser=cluster.superuser))
    cluster.write(cluster.home / "port", str(port))


def _free_port(cluster: Cluster) -> int:
    """Return the port it had, when nobody took it, else the first free one."""
    with suppress(OSError, ValueError):
        if postgres.is_free(cluster.port):
            return cluster.port
    for port in PORTS:
        if postgres.is_free(port):
            return port
    raise ClusterFailed(f"127.0.0.1 has no free port in {PORTS}; stop what holds them")


def _provision(cluster: Cluster) -> None:
    """Make sure of PostGIS, the roles, their passwords and the database, whatever a killed process left."""
    password = passwords.newest(cluster.data_dir)
    of_service = passwords.of_service(password, SERVICE)
    script = _PROVISION.format(name=NAME, password=password, service=SERVICE, service_password=of_service)
    done_with = hashlib.sha256(script.encode()).hexdigest()
    if cluster.provisioned.exists() and cluster.provisioned.read_text() == done_with:
        passwords.put_in_force(cluster.data_dir)
        return
    done = cluster.sql(script)
    if done.returncode and '"postgis" is not available' in done.stderr:
        raise ClusterMissing(f"this PostgreSQL has no PostGIS: {postgres.INSTALL}")
    if done.returncode:
        raise ClusterFailed(done.stderr.strip())
    cluster.write(cluster.provisioned, done_with)
    passwords.put_in_force(cluster.data_dir)


def _postmaster(cluster: Cluster) -> int | None:
    """Return the server's process id if that process lives and really is this cluster's server."""
    try:
        pid = int((cluster.data / "postmaster.pid").read_text().split("\n", 1)[0])
        return pid if Path(f"/proc/{pid}/cwd").samefile(cluster.data) else None
    except (OSError, ValueError):
        return None


def _answers(cluster: Cluster, patience_s: float = 120) -> bool:
    """Say whether the server takes connections; one that is still starting is waited for."""
    deadline = time.monotonic() + patience_s
    while _postmaster(cluster):
        if not cluster.run("pg_isready", "-q", "-h", cluster.sockets, "-p", cluster.port).returncode:
            return True
        if time.monotonic() > deadline:
            raise ClusterFailed(f"the server runs but does not answer; see {cluster.log}")
        time.sleep(0.2)
    return False


def _last_words(cluster: Cluster, otherwise: str) -> str:
    """Return the end of the server's log, which says more than pg_ctl does."""
    lines = cluster.log.read_text().splitlines() if cluster.log.exists() else []
    if any("No space left on device" in line for line in lines[-20:]):
        return f"its disk is full; make room on it and try again (log: {cluster.log})"
    return f"{'; '.join(lines[-3:]) or otherwise.strip()} (log: {cluster.log})"
