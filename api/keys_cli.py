"""`safetymap key` and `safetymap audit`: who may, and who did."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import pyotp
import typer
from rich.table import Table
from sqlalchemy.engine import Connection

from api.console import app, err, out, plain_errors, visible
from gis import access, audit, db, grids, preflight
from gis.grids import Wish
from gis.schema_access import ROLES
from gis.settings import settings

key_app = typer.Typer(no_args_is_help=True, help="Access keys.")
app.add_typer(key_app, name="key")
audit_app = typer.Typer(no_args_is_help=True, help="The audit.")
app.add_typer(audit_app, name="audit")
_SHOWN = (
    "id",
    "label",
    "role",
    "scheme",
    "scope",
    "may_export",
    "wall",
    "created_at",
    "expires_at",
    "revoked_at",
)


def _note(conn: Connection, what: str, detail: dict[str, object]) -> None:
    audit.change(conn, settings().data_dir, access.COMMAND, what, detail)


def _seal() -> None:
    with db.work_engine().begin() as conn:
        audit.seal(conn, settings().data_dir, {})


@key_app.command("create")
@plain_errors
def create(
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES[1:])}.")],
    scope: Annotated[str | None, typer.Option(help="Code of a grid: it and all below it.")] = None,
    scheme: Annotated[str | None, typer.Option(help="The scope's network of grids; the default.")] = None,
    label: Annotated[str, typer.Option(help="Whose key it is, for the list and the audit.")] = "",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it holds.")] = access.KEY_LASTS.days,
    *,
    wall: Annotated[bool, typer.Option("--wall", help="For a wall: its sessions stay open unused.")] = False,
    export: Annotated[bool, typer.Option("--export", help="With the right to export detail.")] = False,
) -> None:
    """Make an access key and print it, the only time that it is seen."""
    preflight.check(db.work_engine())
    with db.work_engine().begin() as conn:
        wanted = scheme or (grids.resolve(conn, Wish()).scheme if scope else "")
        made = access.create_key(
            conn, role, scope, scheme=wanted, label=label or role, may_export=export,
            lasts=timedelta(days=days), wall=wall,
        )  # fmt: skip
        _note(conn, "key create", {"role": role, "scope": scope, "label": label})
    _seal()
    out.print(made.key, highlight=False, soft_wrap=True)
    err.print(f"it holds for {days} days; `--days` chooses otherwise", highlight=False)
    if made.totp_secret:
        uri = pyotp.TOTP(made.totp_secret).provisioning_uri(name=label or role, issuer_name="Safety map")
        err.print(f"second factor, for an authenticator app: {uri}", highlight=False, soft_wrap=True)


@key_app.command("list")
@plain_errors
def show() -> None:
    """List the keys, never what they are."""
    preflight.check(db.work_engine(), writes=False)
    with db.work_engine().begin() as conn:
        rows = access.keys(conn)
    table = Table(*_SHOWN)
    for row in rows:
        values = (row._mapping[name] for name in _SHOWN)
        table.add_row(*("" if value is None else visible(str(value)) for value in values))
    out.print(table)


@key_app.command("revoke")
@plain_errors
def revoke(key_id: Annotated[int, typer.Argument(help="The id that `safetymap key list` shows.")]) -> None:
    """Revoke a key and its sessions; every worker refuses them within a second."""
    preflight.check(db.work_engine())
    with db.work_engine().begin() as conn:
        access.revoke_key(conn, key_id)
        _note(conn, "key revoke", {"key": key_id})
    _seal()
    out.print(f"key {key_id} revoked")


@audit_app.command("verify")
@plain_errors
def verify() -> None:
    """Check every entry, chain and signed head of the audit; leave with status 1 when anything is wrong."""
    preflight.check(db.work_engine(), writes=False)
    with db.work_engine().begin() as conn:
        faults = audit.verify(conn, settings().data_dir)
    for note in audit.notes(settings().data_dir):
        err.print(note, highlight=False, soft_wrap=True)
    for fault in faults:
        err.print(fault, highlight=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)
    out.print("the audit is whole")


@audit_app.command("prune")
@plain_errors
def prune() -> None:
    """Drop the months of the audit that ended more than 180 days ago."""
    preflight.check(db.work_engine())
    with db.work_engine().begin() as conn:
        gone = audit.prune(conn, settings().data_dir, datetime.now(UTC).date())
    out.print(f"dropped: {', '.join(gone) or 'nothing'}")
