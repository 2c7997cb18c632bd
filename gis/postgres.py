"""The PostgreSQL that this machine has: its programs, the user they run as, settings that fit its memory."""

import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import unicodedata
from contextlib import suppress
from itertools import chain
from pathlib import Path

from gis.errors import BadInput, ClusterMissing

STANZA = "safetymap"
"""What pgbackrest calls the cluster."""
_NO_SIGNS = {"Cc", "Cs", "Zl", "Zp"}
"""Categories of Unicode: control, half of a sign, end of a line or paragraph."""
OLDEST = 15
"""The oldest major version that is used."""
INSTALL = (
    "install PostgreSQL ≥ 15 with PostGIS ≥ 3.3 (Debian: apt-get install postgresql-15-postgis-3), "
    "or set SAFETYMAP_DATABASE_URL to a database of your own"
)

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
    # What a base backup, an archive of the log and a standby need.
    "wal_level": "replica",
    "archive_mode": "on",
    "max_wal_senders": 4,
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "wal_compression": "on",
    # Containers give /dev/shm 64 MB, and logind removes what a user leaves there at logout.
    "dynamic_shared_memory_type": "mmap",
}


def refuse_name(field: str, path: Path) -> None:
    """Raise BadInput for a path that not every program of PostgreSQL reads as it is written."""
    if any(unicodedata.category(sign) in _NO_SIGNS for sign in str(path)):
        raise BadInput(
            field, f"{str(path)!r} holds signs that cannot be printed, or is not UTF-8; choose another name"
        )


def settings(port: int, sockets: Path) -> str:
    """Return a postgresql.conf for this machine, with the server on `port` and its socket in `sockets`."""
    where = {"port": port, "unix_socket_directories": _quoted(str(sockets))}
    return "".join(
        f"{name} = {value}\n" for name, value in {**_SETTINGS, **_memory(_ram_mb()), **where}.items()
    )


def archiving(repository: Path, data: Path) -> str:
    """Return the settings that send the log of `data` to where pgbackrest's file `repository` says.

    Without that file the log goes nowhere: archiving itself stays on, since only a restart can turn it on.
    After a minute a segment that holds anything is sent, full or not: so much is lost at most.
    """
    if not repository.exists():
        return "archive_command = '/bin/true'\n"
    return f"archive_command = {_of_log(repository, data, 'archive-push')}\narchive_timeout = '60s'\n"


def fetching(repository: Path, data: Path) -> str:
    """Return the setting by which the server of `data`, as it recovers, fetches its log from there.

    The one that pgbackrest writes takes each % of a path as PostgreSQL's own.
    """
    return f"restore_command = {_of_log(repository, data, 'archive-get %f')}\n"


def _of_log(repository: Path, data: Path, act: str) -> str:
    """Return pgbackrest's command for a segment of the log, as a value of a configuration."""
    words = ["pgbackrest", f"--config={repository}", f"--stanza={STANZA}", f"--pg1-path={data}"]
    return _quoted(shlex.join(words).replace("%", "%%") + f" {act} %p")


def _quoted(text: str) -> str:
    """Return a text as a value of postgresql.conf."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _memory(ram: int) -> dict[str, object]:
    """Return memory settings for `ram` MB that the server shares with the service and a browser."""
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


def account() -> pwd.struct_passwd | None:
    """Return the unprivileged user that runs the server for root, None when we are not root."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def run(
    user: pwd.struct_passwd | None, *command: object, stdin: str = "", cwd: Path = Path("/"), **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program as `user`, from a directory it can enter and without our own PG* variables, but `env`."""
    done = run_raw(user, *command, stdin=stdin, cwd=cwd, **env)
    said = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, *said)


def run_raw(
    user: pwd.struct_passwd | None, *command: object, stdin: str = "", cwd: Path = Path("/"), **env: str
) -> subprocess.CompletedProcess[bytes]:
    """As `run`, of a program that says bytes."""
    return subprocess.run(
        [str(word) for word in command],
        input=stdin.encode(),
        capture_output=True,
        check=False,
        cwd=cwd,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"} | env,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


def is_free(port: int) -> bool:
    """Say whether nobody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL binds
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def programs(wanted: int | None) -> Path:
    """Return the directory of the programs of major version `wanted` (None: the newest).

    Raises ClusterMissing naming what to install.
    """
    for version, directory in _installations():
        if version == (wanted or version):
            return directory
    raise ClusterMissing(f"PostgreSQL {wanted or f'≥ {OLDEST}'} is not installed: {INSTALL}")


def _installations() -> list[tuple[int, Path]]:
    """Return (major version, directory of programs) of every usable PostgreSQL, newest first."""
    on_path = shutil.which("pg_ctl")
    places = chain(
        Path("/usr/lib/postgresql").glob("*/bin"), [Path(on_path).resolve().parent] if on_path else []
    )
    found = {(_version(place), place) for place in places if (place / "initdb").exists()}
    return sorted((pair for pair in found if pair[0] >= OLDEST), reverse=True)


def _version(directory: Path) -> int:
    told = run(None, directory / "postgres", "--version").stdout
    number = re.search(r"\d+", told)
    return int(number[0]) if number else 0
