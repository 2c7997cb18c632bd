"""Taking a backup, and the list of those that are there."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import audit, cluster, second_factor
from gis.backup import files, record, repository
from gis.cluster import Cluster
from gis.errors import BackupFailed, SigningKeyLost

Kind = Literal["full", "diff", "incr"]
FULL_EVERY = timedelta(days=6, hours=12)
"""A nightly backup is full once a week, and in between holds what changed since."""
BESIDE, RECORD, SEALED = "safetymap", "record.json", "files"
"""Within PostgreSQL's data directory, so that it is in every backup: the record, and the sealed files."""
LAST = "last.json"
_NONE_YET = {"no valid backups", "no data"}


@dataclass(frozen=True)
class Backup:
    """One backup in the repository: what restoring needs to know, and what an operator wants to see."""

    label: str
    kind: Kind
    start: datetime
    stop: datetime
    size: int
    stored: int
    timeline: int
    wal: tuple[str, str]
    migration: str
    damaged: bool
    """Whether pages of the database did not fit their checksums when it was taken."""

    def serves(self, moment: datetime) -> bool:
        """Say whether the database can be brought to a moment from here; `stop` is of whole seconds."""
        return self.stop + timedelta(seconds=1) <= moment


def listed(one: Cluster) -> list[Backup]:
    """Return the backups of the repository, oldest first. Raises BackupFailed where it cannot be read."""
    stanzas = repository.read_json(repository.run(one, "info", "--output=json"))
    found = [_backup(told) for stanza in stanzas for told in stanza.get("backup", [])]
    status = next((_status(stanza) for stanza in stanzas), "no data")
    if not found and status not in _NONE_YET and not status.startswith("missing stanza"):
        raise BackupFailed(f"the repository: {repository.reason(status)}")
    return sorted(found, key=lambda backup: backup.stop)


def _status(stanza: dict[str, Any]) -> str:
    """Return what is said of a stanza: where its one repository says more than `other`, that."""
    of_repository = (repo["status"]["message"] for repo in stanza.get("repo", []))
    return str(next(of_repository, stanza["status"]["message"]))


def _backup(told: dict[str, Any]) -> Backup:
    start, stop = (datetime.fromtimestamp(told["timestamp"][end], UTC) for end in ("start", "stop"))
    wal = (told["archive"]["start"], told["archive"]["stop"])
    return Backup(
        told["label"], told["type"], start, stop, told["info"]["size"], told["info"]["repository"]["delta"],
        int(wal[1][:8], 16), wal, told.get("annotation", {}).get("migration", ""), bool(told.get("error")),
    )  # fmt: skip


def take(conn: Connection, data_dir: Path, kind: Kind | None = None) -> Backup:
    """Take a backup of the cluster and of what lies beside it, and return it.

    `kind` None: full once a week, else what changed since the last full one. However it ends is written down
    for `health`. Raises BackupFailed with the reason; backups that were there stay usable.
    """
    with _one_at_a_time(data_dir):
        try:
            made = _take(conn, data_dir, kind)
        except BackupFailed as error:
            _note(data_dir, {"failed_at": datetime.now(UTC).isoformat(), "reason": str(error)})
            raise
        _note(data_dir, {"label": made.label, "at": made.stop.isoformat(), "failed_at": None, "reason": None})
        return made


def _take(conn: Connection, data_dir: Path, kind: Kind | None) -> Backup:
    chosen, one = repository.load(data_dir), cluster.find(data_dir)
    refuse_aside(conn)
    if not record.migration_of(conn):
        raise BackupFailed("the database is empty: safetymap db up")
    chosen.lay(one)
    _keys_first(conn, data_dir)
    found = record.take(conn)
    _lay_beside(one, found, repository.file_key(chosen))
    _send_histories(one)
    words = [f"--type={kind or _due(listed(one))}", f"--annotation=migration={found.migration}"]
    repository.run(one, "backup", *words, *repository.server(one))
    made = listed(one)[-1]
    if made.damaged:
        raise BackupFailed(
            f"backup {made.label} is there, but pages of the database do not fit their checksums: its disk "
            f"is failing; see {one.home / 'pgbackrest-log'}, and restore an older backup"
        )
    return made


def refuse_aside(conn: Connection) -> None:
    """Raise BackupFailed for a cluster that is only looked at: nothing of it may come into the repository.

    One that was restored, or that made room for it, archives nothing until it is swapped in. Its history of
    timelines alone, beside the log of the cluster in force, would lead every later restore astray.
    """
    if conn.execute(sa.text("SHOW archive_mode")).scalar_one() == "off":
        raise BackupFailed(
            "this database was restored, or replaced by one that was, and is not in force: no backup of it "
            "is taken and no key of it changed; take it into force first (safetymap swap)"
        )


def _keys_first(conn: Connection, data_dir: Path) -> None:
    """See to it that keys which sign and seal from now on are in this backup, and heads of the audit's now.

    Whatever is restored from it is signed and sealed by them. A backup is no worse for a key that is lost.
    """
    second_factor.ensure(data_dir)
    with suppress(SigningKeyLost):
        audit.ensure_key(conn, data_dir)
        audit.seal(conn, data_dir, {})


def _send_histories(one: Cluster) -> None:
    """Send what tells how this cluster's timelines came about, where the repository lacks it.

    A restored cluster began its timeline while it sent nothing; without its history no moment on it is found.
    """
    sent = {Path(name).name for name in repository.names(one)}
    for path in sorted((one.data / "pg_wal").glob("*.history")):
        if path.name not in sent:
            repository.run(one, "archive-push", f"--pg1-path={one.data}", "--no-archive-async", str(path))


def _due(there: list[Backup]) -> Kind:
    since = max((backup.stop for backup in there if backup.kind == "full"), default=None)
    return "full" if since is None or datetime.now(UTC) - since > FULL_EVERY else "diff"


def _lay_beside(one: Cluster, found: record.Record, key: bytes) -> None:
    """Write the record and the sealed files into PostgreSQL's data directory."""
    folder = one.data / BESIDE
    one.own_directory(folder)
    one.write(folder / RECORD, found.model_dump_json(indent=1))
    files.seal_all(one.data_dir, folder / SEALED, key)
    for path in folder.rglob("*"):
        one.give(path)


@contextmanager
def _one_at_a_time(data_dir: Path) -> Iterator[None]:
    repository.load(data_dir)
    with (data_dir / repository.FOLDER / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed("another backup is under way; try again when it has ended") from None
        yield


def last(data_dir: Path) -> dict[str, str | None]:
    """Return how the newest backups went: label and time of the last whole one, why a later one failed."""
    path = data_dir / repository.FOLDER / LAST
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _note(data_dir: Path, told: dict[str, str | None]) -> None:
    path = data_dir / repository.FOLDER / LAST
    part = path.with_name(f"{LAST}.part")
    part.write_text(json.dumps(last(data_dir) | told))
    part.rename(path)
