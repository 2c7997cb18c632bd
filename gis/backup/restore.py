"""A backup brought back to a moment, into a new data directory beside the one in force."""

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import Connection

from gis import audit, audit_keys, cluster, postgres
from gis.backup import checks, files, record, repository, take
from gis.backup.repository import Repository
from gis.backup.take import Backup
from gis.cluster import Cluster
from gis.errors import BackupFailed, BadInput, ClusterFailed

MARK = "restored.json"
"""In a restored data directory: to which moment, and what the checks found."""
_ENDS = re.compile(r"last completed transaction was at log time (\S+ \S+)")


@dataclass(frozen=True)
class Brought:
    """A restored database: its address, the backup it began from, and what that recorded."""

    url: str
    backup: Backup
    before: record.Record


def moment_of(text: str) -> datetime:
    """Return a moment as text tells it. Raises BadInput for one without a zone, or that is still to come."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput("--at", f"{text!r} is no moment; write 2026-11-30T14:00:00+08:00") from None
    if moment.tzinfo is None:
        raise BadInput("--at", f"{text!r} says no zone; write {moment.isoformat()}+08:00, or …Z for UTC")
    if moment > datetime.now(UTC):
        raise BadInput("--at", f"{text!r} is still to come; leave --at out for all that the repository holds")
    return moment


def restore(source: Repository, into: Path, moment: datetime | None, live: Path | None = None) -> Brought:
    """Bring the database to a moment (None: all that is there) in a new data directory, and run it.

    `live`: the data directory in force, where it is on this machine; what it has not sent is sent first.
    Raises BadInput for a directory that is not empty or cannot be one, BackupFailed where the repository does
    not reach the moment or cannot be read; what was begun is then taken away.
    """
    refuse_place(into, source, live)
    if live is not None:
        _send_all(live)
    into.mkdir(parents=True, exist_ok=True)
    into.chmod(0o755)
    chosen: list[Backup] = []

    def fill(one: Cluster) -> None:
        source.lay(one)
        chosen.append(_chosen(take.listed(one), moment))
        _fetch(one, chosen[0], moment)
        files.unseal_all(one.data / take.BESIDE / take.SEALED, one.data_dir, repository.file_key(source))
        if live is not None:
            _anchor(live, into, moment)

    try:
        url = cluster.recover(into, fill)
    except ClusterFailed as error:
        reason = _why(cluster.find(into), moment) or str(error)
        clear(into)
        raise BackupFailed(reason) from error
    except BaseException:  # an interruption as well: half a restore stands in the way of the next
        clear(into)
        raise
    repository.keep(into, source)
    one = cluster.find(into)
    return Brought(url, chosen[0], record.read(one.data / take.BESIDE / take.RECORD))


def refuse_place(into: Path, source: Repository, live: Path | None) -> None:
    """Raise BadInput for a folder that cannot become a data directory, before anything is written there."""
    postgres.refuse_name("--into", into)
    if into.is_symlink() and not into.exists():
        raise BadInput("--into", f"{into} is a link that leads nowhere; name a new folder")
    if live is not None:
        refuse_inside(into, live)
    folder = source.folder
    if folder and repository.overlap(into, folder):
        raise BadInput("--into", f"{into} and the repository {folder} lie in each other; name one beside it")
    if into.is_dir() and any(into.iterdir()):
        raise BadInput("--into", f"{into} is not empty; name a new folder")
    if into.exists() and not into.is_dir():
        raise BadInput("--into", f"{into} is a file; name a new folder")


def refuse_inside(into: Path, data_dir: Path) -> None:
    """Raise BadInput for a folder in a data directory, in force or to be so: a swap moves that one away.

    Its cluster may lie elsewhere, and is as much a part of it.
    """
    for folder in (data_dir.resolve(), cluster.find(data_dir).home):
        if into.resolve().is_relative_to(folder):
            raise BadInput(
                "--into", f"{into} lies inside {folder}, which a swap moves away; name one beside it"
            )


def clear(data_dir: Path) -> None:
    """Take away a data directory that a restore began, with its cluster."""
    cluster.down(data_dir)
    home = cluster.find(data_dir).home
    for folder in (home, data_dir):
        shutil.rmtree(folder, ignore_errors=True)


def _send_all(live: Path) -> None:
    """Let a server that runs send all it has: a moment is reached only where something follows it."""
    one = cluster.find(live)
    if cluster.running(live):
        with suppress(BackupFailed):  # a repository that cannot be written is perhaps still one to read
            one.sql("SELECT pg_current_xact_id()")
            repository.run(one, "check", *repository.server(one))


def _chosen(there: Sequence[Backup], moment: datetime | None) -> Backup:
    """Return the newest backup that was complete before a moment. Raises BackupFailed where there is none."""
    fit = [backup for backup in there if moment is None or backup.serves(moment)]
    if fit:
        return fit[-1]
    if not there:
        raise BackupFailed("the repository holds no backup")
    raise BackupFailed(f"the oldest backup is of {there[0].stop.isoformat()}; nothing before it can be had")


def _fetch(one: Cluster, backup: Backup, moment: datetime | None) -> None:
    """Lay out a backup, to go on to the moment when it is started.

    Archiving is off: this cluster must not write where the one in force writes. What was in force at the
    moment lies on the timeline of the backup before it; a later restore may have branched off earlier.
    """
    goal = ["--type=default"]
    if moment is not None:
        target = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        goal = ["--type=time", f"--target={target}", "--target-action=promote"]
        goal += [f"--target-timeline={backup.timeline}"]
    words = [f"--pg1-path={one.data}", f"--set={backup.label}", "--archive-mode=off", *goal]
    repository.run(one, "restore", *words)
    conf = one.data / "postgresql.auto.conf"
    # Nobody comes in before the recovery has ended, so that the start waits for it.
    lines = [line for line in conf.read_text().splitlines() if not line.startswith("restore_command")]
    lines += [postgres.fetching(one.backup_settings, one.data), "hot_standby = off"]
    one.write(conf, "".join(f"{line}\n" for line in lines))


def _why(one: Cluster, moment: datetime | None) -> str | None:
    """Return in our words why a recovery did not reach its moment, None where it is another failure."""
    said = one.log.read_text() if one.log.exists() else ""
    if "recovery ended before configured recovery target was reached" not in said:
        fatal = [line.partition("FATAL:")[2].strip() for line in said.splitlines() if "FATAL:" in line]
        return f"the server does not start on it: {fatal[-1]}" if fatal else None
    ends = _ENDS.findall(said)
    until = f"its last transaction is of {ends[-1]}" if ends else "it holds nothing after its backup"
    return (
        f"the repository does not reach {moment}: {until}. Name a moment up to then, or leave --at out "
        "for all that it holds"
    )


def _anchor(live: Path, into: Path, moment: datetime | None) -> None:
    """Take the signed heads of the data directory in force, as far as they go at the moment.

    Whatever was signed by then was in the database by then; so they hold the entries since the backup, too.
    """
    keys = live / audit_keys.FOLDER
    if not audit_keys.is_there(into) and not audit_keys.was_there(into) and audit_keys.is_there(live):
        for path in keys.glob("signing-key*"):  # made after that backup, by an earlier version
            (into / audit_keys.FOLDER).mkdir(mode=0o700, exist_ok=True)
            shutil.copy2(path, into / audit_keys.FOLDER / path.name)
    for path in sorted(live.glob("audit/heads_*.jsonl")):
        held = audit.heads_until(path, moment)
        target = into / "audit" / path.name
        if held and (not target.exists() or target.stat().st_size < len(held)):
            target.parent.mkdir(mode=0o700, exist_ok=True)
            target.write_bytes(held)


def settle(conn: Connection, data_dir: Path) -> None:
    """Bring into the audit what waited in files when the backup was taken, each entry once.

    A key that was prepared for the audit when the backup was taken may have signed since: it is in force.
    """
    audit_keys.put_in_force(data_dir)
    audit.bring_in(conn, data_dir)


def look(conn: Connection, data_dir: Path, brought: Brought) -> checks.Restored:
    """Return a restored database beside what its backup recorded, to be checked."""
    return checks.Restored(data_dir, brought.before, record.take(conn, brought.before.publication))


def end_recovery(one: Cluster) -> None:
    """Leave nothing of the way back in the configuration but that archiving is off."""
    one.write(one.data / "postgresql.auto.conf", "archive_mode = off\n")


def timeline(one: Cluster) -> int:
    """Return the timeline that a cluster, which is stopped, is on."""
    told = postgres.run(one.account, postgres.programs(None) / "pg_controldata", "-D", one.data).stdout
    found = re.search(r"checkpoint's TimeLineID: +(\d+)", told)
    if not found:
        raise BackupFailed(f"{one.data} is no cluster of PostgreSQL")
    return int(found[1])
