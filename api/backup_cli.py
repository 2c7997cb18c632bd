"""`safetymap backup`, `backups`, `restore`, `swap` and `upgrade`: nothing lost, and the way back."""

import shlex
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.table import Table

from api.console import app, err, out, plain_errors
from gis import access, audit, cluster, db, migrate
from gis.backup import checks, repository, restore, swap, take, units, verify
from gis.backup.record import migration_of
from gis.backup.take import Backup, Kind
from gis.errors import BackupFailed, BadInput
from gis.settings import settings

backup_app = typer.Typer(help="Backups: database, audit, keys and archives, encrypted.")
app.add_typer(backup_app, name="backup")
New = Annotated[Path, typer.Argument(metavar="NEW", help="A folder that `safetymap restore` made.")]


def _say(line: str) -> None:
    out.print(line, highlight=False, soft_wrap=True)


def _word(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def _fail(lines: Iterable[str]) -> None:
    """Print what is wrong, and leave with status 1 if anything is."""
    found = list(lines)
    for line in found:
        err.print(line, highlight=False, soft_wrap=True)
    if found:
        raise typer.Exit(1)


def _take(kind: Kind | None) -> Backup:
    """Take a backup of the private cluster, started if need be."""
    repository.refuse_own_database(settings().database_url)
    repository.load(settings().data_dir)
    with db.work_engine().connect() as conn:
        return take.take(conn, settings().data_dir, kind)


@backup_app.callback(invoke_without_command=True)
@plain_errors
def backup(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="full, diff or incr; full once a week and diff in between."),
    ] = None,
) -> None:
    """Take a backup now; without --type it is full once a week, else what changed since the last full one."""
    if context.invoked_subcommand:
        return
    if kind is not None and kind not in get_args(Kind):
        raise BadInput("--type", f"{kind!r} is not one of {', '.join(get_args(Kind))}")
    _say(_line(_take(kind)))  # type: ignore[arg-type]  # one of them


def _line(made: Backup) -> str:
    took = (made.stop - made.start).total_seconds()
    return f"{made.kind} backup {made.label}: {_mb(made.size)} in {took:.0f} s, {_mb(made.stored)} stored"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@backup_app.command("setup")
@plain_errors
def setup(
    to: Annotated[str, typer.Option(help="A folder, or a file of options: repo1-type=s3, repo1-s3-bucket=…")],
    key: Annotated[
        Path | None, typer.Option(help="A file with the key of a repository that is there already.")
    ] = None,
) -> None:
    """Choose where backups go, make their key, and send the log there from now on."""
    repository.refuse_own_database(settings().database_url)
    data_dir = settings().data_dir
    db.url()
    if cluster.find(data_dir).sql("SHOW archive_mode").stdout.strip() != "on":
        raise BackupFailed(
            "the database began before it could send its log: safetymap db down, db up, then this"
        )
    held = repository.read_key(key) if key else None
    chosen = repository.begin(data_dir, repository.options_of(to), held)
    _say(f"backups go to {chosen.where}; the first: safetymap backup")
    _say(f"their key lies in {data_dir / repository.FOLDER / 'key'}. Without it no backup can be read:")
    _say("keep a copy where this machine's end does not reach it, and not beside the backups")


@backup_app.command("verify")
@plain_errors
def verify_() -> None:
    """Read every file of the repository back; leave with status 1 when one is not as it was written."""
    chosen, one = repository.load(settings().data_dir), cluster.find(settings().data_dir)
    chosen.lay(one)
    _fail(verify.verify(one))
    _say(f"the repository is whole: {chosen.where}")


@backup_app.command("timer")
@plain_errors
def timer(
    at: Annotated[str, typer.Option(help="When, in the machine's zone: 02:30.")] = "02:30",
    into: Annotated[
        Path | None, typer.Option(help="Folder for the two units; else they are printed.")
    ] = None,
) -> None:
    """Print or write the systemd units that take a backup every night and verify it."""
    made = units.units(at, Path(sys.argv[0]).resolve(), settings().data_dir.resolve())
    for name, text in made.items():
        if into is None:
            out.lines(f"# {name}\n{text}")
        else:
            (into / name).write_text(text)
            _say(f"{into / name} written")
    if into is not None:
        _say("begin: systemctl daemon-reload && systemctl enable --now safetymap-backup.timer")


@app.command("backups")
@plain_errors
def backups() -> None:
    """List the backups that are there, and say why the last try failed if it did."""
    repository.load(settings().data_dir).lay(cluster.find(settings().data_dir))
    table = Table("label", "type", "ended (UTC)", "size", "stored", "store", "timeline")
    for one in take.listed(cluster.find(settings().data_dir)):
        ended = f"{one.stop:%Y-%m-%d %H:%M:%S}"
        table.add_row(
            one.label, one.kind, ended, _mb(one.size), _mb(one.stored), one.migration, str(one.timeline)
        )
    out.print(table)
    last = take.last(settings().data_dir)
    if last.get("reason"):
        _fail([f"the backup of {last['failed_at']} failed: {last['reason']}"])


@app.command("restore")
@plain_errors
def restore_(
    into: Annotated[Path, typer.Option(help="A new folder, best beside the data directory.")],
    at: Annotated[
        str | None,
        typer.Option(help="Moment with its zone: 2026-11-30T14:00:00+08:00; else all that is there."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Folder or file of options, where this machine has none set up."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="File with the key, with --from.")] = None,
) -> None:
    """Bring the database to a moment in a new folder, and check it; what is in force stays as it is."""
    live = settings().data_dir if source is None else None
    if into.resolve() != settings().data_dir.resolve():
        restore.refuse_inside(into, settings().data_dir)
    chosen = _source(source, key)
    brought = restore.restore(chosen, into, restore.moment_of(at) if at else None, live)
    _say(f"restored from {brought.backup.label} to {at or 'the end of the log'}; checking")
    faults, told = _check(into, brought)
    for line in told:
        _say(line)
    swap.mark(into, {"at": at, "backup": brought.backup.label, "faults": faults})
    restore.end_recovery(cluster.find(into))
    cluster.down(into)
    _fail([*faults, *(["not whole: swap refuses it unless --accept-faults"] if faults else [])])
    _say(f"whole. Look at it: SAFETYMAP_DATA_DIR={_word(into)} safetymap serve --port 8001")
    _say(f"put it in force, with the service stopped: safetymap swap {_word(into)}")


def _source(source: str | None, key: Path | None) -> repository.Repository:
    if source is None:
        return repository.load(settings().data_dir)
    if key is None:
        raise BadInput("--key", "say the file with the repository's key")
    return repository.Repository(repository.options_of(source), repository.read_key(key))


def _check(into: Path, brought: restore.Brought) -> tuple[list[str], list[str]]:
    """Return what is wrong with a restored database, and what else one should know of it."""
    engine = db.make_engine(brought.url, pool_size=1)
    with engine.begin() as conn:
        restore.settle(conn, into)
    with engine.begin() as conn:
        found = restore.look(conn, into, brought)
        faults = checks.check(conn, found)
        told = [f"rows: {line}" for line in checks.differences(found)] + audit.beyond_heads(conn, into)
    engine.dispose()
    return faults, told


@app.command("swap")
@plain_errors
def swap_(
    new: New, *, accept: Annotated[bool, typer.Option("--accept-faults", help="As it is.")] = False
) -> None:
    """Put a restored folder in force; what was in force is kept, and comes back by the same command."""
    repository.refuse_own_database(settings().database_url)
    data_dir = settings().data_dir
    told = swap.read_mark(new) if (new / restore.MARK).exists() else {}
    former = swap.swap(data_dir.resolve(), new.resolve(), accept=accept)
    _say(f"in force now: what was in {new}. The way back: safetymap swap {_word(former)}")
    with db.work_engine().begin() as conn:
        audit.change(conn, data_dir, access.COMMAND, "swap", told | {"former": str(former)})
    with db.work_engine().begin() as conn:
        audit.seal(conn, data_dir, {})
    if repository.is_set_up(data_dir):
        _say(_line(_take(None)))


@app.command("upgrade")
@plain_errors
def upgrade(
    *, without: Annotated[bool, typer.Option("--without-backup", help="There is one by other means.")] = False
) -> None:
    """Take a backup, then bring the store to this program's revision; says the way back."""
    with db.work_engine().connect() as conn:
        before, newest = migration_of(conn), migrate.known(conn)[-1]
    if before == newest:
        _say(f"the store is of revision {newest} already")
        return
    moment = None if without or not before else _safe()
    with db.work_engine().begin() as conn:
        migrate.migrate(conn)
    _say(f"the store is of revision {newest}; it was of {before or 'none'}")
    if moment:
        folder = _word(settings().data_dir.resolve().with_name(f"restored-{before}"))
        _say("the way back: stop the service, install the program as it was, then")
        _say(f"  safetymap restore --at {moment.isoformat()} --into {folder} && safetymap swap {folder}")


def _safe() -> datetime:
    """Take a backup, and return a moment after it to which one can go back."""
    made = _take(None)
    _say(_line(made))
    while not made.serves(moment := datetime.now(UTC)):
        time.sleep(0.1)
    return moment
