"""The private PostGIS cluster under the data directory: made, started, found again and stopped.

It needs Linux with PostgreSQL ≥ 15 and PostGIS. As root the server runs as an unprivileged user, because
PostgreSQL refuses root. Only that user reaches the superuser (peer authentication over the socket); everyone
else comes in as the role `safetymap` with a password that lies in the data directory.
"""

import fcntl
import hashlib
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import structlog

from gis.errors import ClusterFailed, ClusterMissing

NAME = "safetymap"
"""The role that owns everything, and its database."""
FIRST_PORT = 15432
"""Ports are tried from here; below the range that outgoing connections take theirs from."""
OLDEST = 15
"""The oldest PostgreSQL that is used."""
ELSEWHERE = Path("/var/lib/safety-map")
"""Home of clusters whose data directory the server's user cannot reach (a checkout in /root)."""

_SOCKET_LIMIT = 107
"""Bytes of a Unix socket's path on Linux (unix(7), sun_path)."""
_START_TRIES = 5
_INSTALL = (
    "install PostgreSQL ≥ 15 with PostGIS ≥ 3.3 (Debian: apt-get install postgresql-15-postgis-3), "
    "or set SAFETYMAP_DATABASE_URL to a database of your own"
)
_HBA = """\
local all {superuser} peer
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""
_PROVISION = """\
\\set QUIET on
SELECT 'CREATE ROLE {name} LOGIN CREATEDB' WHERE NOT EXISTS (FROM_ROLES) \\gexec
ALTER ROLE {name} PASSWORD '{password}';
\\connect template1
CREATE EXTENSION IF NOT EXISTS postgis;
SELECT 'CREATE DATABASE {name} OWNER {name}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
""".replace("FROM_ROLES", "SELECT FROM pg_roles WHERE rolname = '{name}'")
"""PostGIS needs a superuser, so it goes into template1: every later database has it from the start."""


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
        """Name of the superuser: the operating system's name of the user the server runs as."""
        return (self.account or pwd.getpwuid(os.geteuid())).pw_name

    @property
    def sockets(self) -> Path:
        """Directory of the Unix socket: in the home, or under /tmp where the home's path is too long."""
        inside = self.home / "run"
        if len(os.fsencode(inside / ".s.PGSQL.65535.lock")) <= _SOCKET_LIMIT:
            return inside
        return Path(f"/tmp/safety-map-{_digest(self.home)}")  # noqa: S108 - made with 0700, its owner is checked

    @property
    def port(self) -> int:
        """The port it was last started on."""
        return int((self.home / "port").read_text())

    @property
    def url(self) -> str:
        """SQLAlchemy URL over the Unix socket."""
        password = _password_file(self.data_dir).read_text().strip()
        return f"postgresql+psycopg://{NAME}:{password}@/{NAME}?host={self.sockets}&port={self.port}"


def up(data_dir: Path) -> str:
    """Start the cluster of `data_dir`, making it first where there is none, and return its SQLAlchemy URL.

    Safe to call at any time and by several processes at once. Raises ClusterMissing without PostgreSQL or
    PostGIS, ClusterFailed with the server's own words when it does not start.
    """
    with _locked(data_dir):
        cluster = _find(data_dir)
        fresh = _make_password(data_dir)
        started = not _answers(cluster)
        if started:
            _initialise(cluster)
            _start(cluster)
        if started or fresh:
            _provision(cluster)
        return cluster.url


def down(data_dir: Path) -> bool:
    """Stop the cluster of `data_dir` and return whether it was running."""
    if not data_dir.is_dir():
        return False
    with _locked(data_dir):
        cluster = _find(data_dir)
        if not _postmaster(cluster):
            return False
        stopped = _run(cluster, _program(cluster, "pg_ctl"), "stop", "-w", "-m", "fast", "-D", cluster.data)
        if stopped.returncode:
            raise ClusterFailed(_last_words(cluster, stopped.stderr))
        return True


def running(data_dir: Path) -> int | None:
    """Return the process id of the cluster's server, None when it does not run."""
    return _postmaster(_find(data_dir)) if data_dir.is_dir() else None


def url(data_dir: Path) -> str:
    """Return the SQLAlchemy URL of the cluster as it was last started; ClusterFailed where there is none."""
    try:
        return _find(data_dir).url
    except FileNotFoundError:
        raise ClusterFailed(f"there is no cluster under {data_dir}; run `safetymap db up`") from None


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory's lock; the kernel lets go of it when the process dies."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "pg.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _find(data_dir: Path) -> Cluster:
    data_dir = data_dir.resolve()
    account = _server_account() if os.geteuid() == 0 else None
    inside = data_dir / "pg"
    if not inside.exists() and account and not _reaches(account, data_dir):
        _place_elsewhere(inside)
    return Cluster(data_dir, inside.resolve(), account)


def _server_account() -> pwd.struct_passwd:
    """Return the unprivileged user that runs the server for root."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _reaches(account: pwd.struct_passwd, directory: Path) -> bool:
    return _as_user(account, "test", "-x", directory).returncode == 0


def _place_elsewhere(inside: Path) -> None:
    """Link the cluster's home to a place that the server's user reaches."""
    home = ELSEWHERE / _digest(inside)
    home.mkdir(parents=True, exist_ok=True)
    inside.unlink(missing_ok=True)
    inside.symlink_to(home)
    structlog.get_logger().info("cluster.elsewhere", home=str(home), because=f"{inside.parent} is closed to others")


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _password_file(data_dir: Path) -> Path:
    return data_dir / "pg-password"


def _make_password(data_dir: Path) -> bool:
    """Write a password where there is none and return whether it did."""
    path = _password_file(data_dir)
    if path.exists() and path.stat().st_size:
        return False
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(24))
    return True


def _initialise(cluster: Cluster) -> None:
    """Make the data directory, under another name until it is complete."""
    _own_directory(cluster, cluster.home)
    if cluster.data.exists():
        return
    part = cluster.home / "data.part"
    shutil.rmtree(part, ignore_errors=True)
    made = _run(
        cluster, _program(cluster, "initdb"), "-D", part, "-U", cluster.superuser, "-A", "peer",
        "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
    )  # fmt: skip
    if made.returncode:
        raise ClusterFailed(f"initdb: {made.stderr.strip()}")
    part.rename(cluster.data)


def _start(cluster: Cluster) -> None:
    """Start the server, on another port when someone took ours, and wait until it answers.

    A server killed with -9 leaves processes that hold its shared memory for a moment: hence the tries.
    """
    _own_directory(cluster, cluster.sockets)
    for _ in range(_START_TRIES):
        _forget_dead_server(cluster)
        _configure(cluster, _free_port(cluster))
        started = _run(
            cluster, _program(cluster, "pg_ctl"), "start", "-w", "-t", "120", "-D", cluster.data, "-l", cluster.log
        )
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
    values = {**_memory(_ram_mb()), **_SETTINGS, "port": port, "unix_socket_directories": f"'{cluster.sockets}'"}
    text = "".join(f"{name} = {value}\n" for name, value in values.items())
    _write(cluster, cluster.data / "postgresql.conf", text)
    _write(cluster, cluster.data / "pg_hba.conf", _HBA.format(superuser=cluster.superuser))
    _write(cluster, cluster.home / "port", str(port))


_SETTINGS: dict[str, object] = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_permissions": "0700",
    "password_encryption": "'scram-sha-256'",
    "max_connections": 100,
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
    "log_min_duration_statement": "'5s'",
    # Compiling a tile's query takes longer than running it (measured: 15 times).
    "jit": "off",
    # Solid-state disks: a random page costs about as much as the next one.
    "random_page_cost": 1.1,
    "effective_io_concurrency": 200,
    # Nobody replicates from here, and rows copied into a table made in the same transaction skip the log.
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "wal_compression": "on",
    # Containers give /dev/shm 64 MB, and logind removes what a user leaves there at logout.
    "dynamic_shared_memory_type": "mmap",
}


def _memory(ram: int) -> dict[str, object]:
    """Return memory settings for a machine of `ram` MB that it shares with the service and a browser."""
    return {
        "shared_buffers": f"{_clamp(ram // 8, 128, 4096)}MB",
        "effective_cache_size": f"{_clamp(ram // 2, 256, 65536)}MB",
        "work_mem": f"{_clamp(ram // 400, 8, 64)}MB",
        "maintenance_work_mem": f"{_clamp(ram // 16, 64, 1024)}MB",
    }


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _ram_mb() -> int:
    """Return the machine's memory in MB, or the container's share of it (cgroup v2 memory.max)."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total >> 20


def _free_port(cluster: Cluster) -> int:
    """Return the port it had, when nobody took it, else the first free one."""
    with suppress(OSError, ValueError):
        if _is_free(cluster.port):
            return cluster.port
    for port in range(FIRST_PORT, FIRST_PORT + 1000):
        if _is_free(port):
            return port
    raise ClusterFailed(f"no free port on 127.0.0.1 from {FIRST_PORT} to {FIRST_PORT + 999}; stop what holds them")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _provision(cluster: Cluster) -> None:
    """Make sure of PostGIS, the role, its password and its database; a killed predecessor is made good."""
    password = _password_file(cluster.data_dir).read_text().strip()
    done = _run(
        cluster, _program(cluster, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1",
        "-h", cluster.sockets, "-p", cluster.port, "-U", cluster.superuser, "-d", "postgres",
        stdin=_PROVISION.format(name=NAME, password=password),
    )  # fmt: skip
    if done.returncode and "postgis" in done.stderr:
        raise ClusterMissing(f"this PostgreSQL has no PostGIS: {_INSTALL}")
    if done.returncode:
        raise ClusterFailed(done.stderr.strip())


def _postmaster(cluster: Cluster) -> int | None:
    """Return the server's process id if that process lives and really is this cluster's server."""
    try:
        pid = int((cluster.data / "postmaster.pid").read_text().split("\n", 1)[0])
        return pid if Path(f"/proc/{pid}/cwd").samefile(cluster.data) else None
    except (OSError, ValueError):
        return None


def _answers(cluster: Cluster) -> bool:
    """Say whether the server takes connections; one that is still starting is waited for."""
    if not _postmaster(cluster):
        return False
    ready = [_program(cluster, "pg_isready"), "-q", "-h", cluster.sockets, "-p", cluster.port]
    for _ in range(600):
        if _run(cluster, *ready).returncode == 0:
            return True
        if not _postmaster(cluster):
            return False
        time.sleep(0.2)
    raise ClusterFailed(f"the server runs but does not answer; see {cluster.log}")


def _program(cluster: Cluster, name: str) -> Path:
    """Return the path of one of PostgreSQL's programs, of the version that made the data directory."""
    made_by = cluster.data / "PG_VERSION"
    wanted = int(made_by.read_text()) if made_by.exists() else None
    for version, directory in _installations():
        if version == (wanted or version) and (directory / name).exists():
            return directory / name
    if wanted:
        raise ClusterMissing(f"{cluster.data} needs PostgreSQL {wanted}, which is not installed: {_INSTALL}")
    raise ClusterMissing(f"no PostgreSQL here: {_INSTALL}")


def _installations() -> list[tuple[int, Path]]:
    """Return (major version, directory of programs) of every usable PostgreSQL, newest first."""
    on_path = shutil.which("postgres")
    places = chain(Path("/usr/lib/postgresql").glob("*/bin"), [Path(on_path).parent] if on_path else [])
    found = {(_version(place), place) for place in places if (place / "postgres").exists()}
    return sorted((pair for pair in found if pair[0] >= OLDEST), reverse=True)


def _version(programs: Path) -> int:
    told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+", told)
    return int(number[0]) if number else 0


def _own_directory(cluster: Cluster, path: Path) -> None:
    """Make a directory that only the server's user enters; one that another user owns is refused."""
    path.mkdir(mode=0o700, exist_ok=True)
    uid = cluster.account.pw_uid if cluster.account else os.geteuid()
    if path.lstat().st_uid not in {uid, os.geteuid()} or path.is_symlink():
        raise ClusterFailed(f"{path} belongs to another user; remove it, or run as the user who made it")
    _give(cluster, path)


def _write(cluster: Cluster, path: Path, text: str) -> None:
    """Write a file whole and leave it to the server's user."""
    part = path.with_suffix(".part")
    part.write_text(text)
    _give(cluster, part)
    part.rename(path)


def _give(cluster: Cluster, path: Path) -> None:
    if cluster.account:
        os.chown(path, cluster.account.pw_uid, cluster.account.pw_gid)


def _run(cluster: Cluster, *command: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return _as_user(cluster.account, *command, stdin=stdin)


def _as_user(
    account: pwd.struct_passwd | None, *command: object, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program as `account`, from a directory it can enter and without our PG* variables."""
    return subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )


def _last_words(cluster: Cluster, otherwise: str) -> str:
    """Return the last complaint in the server's log, which says more than pg_ctl does."""
    with suppress(OSError):
        complaints = [line for line in cluster.log.read_text().splitlines() if "FATAL" in line or "HINT" in line]
        return f"{'; '.join(complaints[-2:]) or otherwise.strip()} (log: {cluster.log})"
    return otherwise.strip()
