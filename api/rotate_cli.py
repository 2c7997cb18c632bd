"""`safetymap rotate`: new keys and passwords of the installation in the place of those that it has."""

from typing import Annotated

import typer

from api.console import app, out, plain_errors
from gis import access, audit, audit_keys, cluster, db, second_factor
from gis.backup import repository, take
from gis.settings import settings

rotate_app = typer.Typer(
    no_args_is_help=True, help="New keys and passwords in the place of those that are in force."
)
app.add_typer(rotate_app, name="rotate")


def _say(line: str) -> None:
    out.print(line, highlight=False, soft_wrap=True)


def _note(what: str, detail: dict[str, object]) -> None:
    """Write a change into the audit, and sign its head."""
    with db.work_engine().begin() as conn:
        audit.change(conn, settings().data_dir, access.COMMAND, what, detail)
    _seal()


def _seal() -> None:
    with db.work_engine().begin() as conn:
        audit.seal(conn, settings().data_dir, {})


def _has_backups() -> bool:
    return settings().database_url is None and repository.is_set_up(settings().data_dir)


def _refuse_aside() -> None:
    """Refuse a database that is only looked at before anything is begun."""
    if _has_backups():
        with db.work_engine().connect() as conn:
            take.refuse_aside(conn)


def _back_up() -> None:
    """Take a backup where they are set up: what a new key seals or signs is lost without that key."""
    if _has_backups():
        with db.work_engine().connect() as conn:
            _say(f"backup {take.take(conn, settings().data_dir).label} holds the new key")


@rotate_app.command("audit")
@plain_errors
def rotate_audit(
    *,
    lost: Annotated[
        bool, typer.Option("--lost", help="The key is gone for good: record that, and go on.")
    ] = False,
) -> None:
    """Sign the audit with a new key; what the one before has signed stays verifiable."""
    data_dir = settings().data_dir
    _refuse_aside()
    with db.work_engine().begin() as conn:
        if not lost:
            audit.ensure_key(conn, data_dir)
        audit.bring_in(conn, data_dir)
    if lost:
        key = _after_loss()
    else:
        _seal()
        key = audit_keys.prepare(data_dir)
        _back_up()
        _note("audit key replaced", {"by": key})
        audit_keys.put_in_force(data_dir)
    _seal()
    _say(f"the audit is signed by a new key: {key}")


def _after_loss() -> str:
    """Put a new key in force where the one before is gone, say so in the audit, and return it."""
    data_dir = settings().data_dir
    with db.work_engine().connect() as conn:
        held = audit.held(conn)
    key = audit_keys.prepare_after_loss(data_dir, held)
    _back_up()
    audit_keys.put_in_force(data_dir)
    _note("audit key lost", {"by": key, "heads": {chain: seq for chain, (seq, _) in held.items()}})
    return key


@rotate_app.command("database")
@plain_errors
def rotate_database() -> None:
    """Give the private cluster's roles new passwords; a service that runs goes on."""
    if settings().database_url:
        _say("SAFETYMAP_DATABASE_URL is set: change its password there and in the settings, then restart")
        raise typer.Exit(1)
    db.url()
    cluster.change_passwords(settings().data_dir)
    db.work_engine().dispose()
    db.work_engine.cache_clear()
    _note("database passwords replaced", {})
    _say("the database has new passwords")


@rotate_app.command("second-factors")
@plain_errors
def rotate_second_factors() -> None:
    """Seal the secrets of second factors under a new key; authenticator apps go on as they are."""
    data_dir = settings().data_dir
    _refuse_aside()
    with db.work_engine().begin() as conn:
        second_factor.forget_unused(conn, data_dir)
    second_factor.prepare(data_dir)
    _back_up()
    number = second_factor.put_in_force(data_dir)
    with db.work_engine().begin() as conn:
        count = second_factor.seal_all(conn, data_dir, anew=True)
    _note("second factors sealed anew", {"key": number, "secrets": count})
    _say(f"{count} second factors are sealed under key {number}")


def seal_second_factors() -> None:
    """Seal what an earlier version stored as it is; the key is there, and in a backup, before."""
    data_dir = settings().data_dir
    second_factor.ensure(data_dir)
    with db.work_engine().connect() as conn:
        plain = second_factor.count_plain(conn)
    if not plain:
        return
    _back_up()
    with db.work_engine().begin() as conn:
        second_factor.seal_all(conn, data_dir)
    _note("second factors sealed", {"secrets": plain})
