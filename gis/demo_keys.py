"""Keys of the demo, one per role and one per county for its commander: only where a demo city was loaded."""

import json
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import access, grids
from gis.db import Record
from gis.grids import Wish
from gis.schema import city
from gis.schema import grids as grid_table
from gis.schema_access import ROLES, access_keys

FILE = "demo-keys.json"


def present(conn: Connection) -> list[Record]:
    """Return the live demo keys as id, label, role, scheme and scope; empty outside demo mode."""
    return list(conn.execute(sa.text("SELECT * FROM demo_keys()")).all())


def ensure(conn: Connection, data_dir: Path) -> Path:
    """Make the demo's keys unless those in the file still hold; return the file, which only its owner reads.

    The file is `{"commander": "KEY", "commander:430202": "KEY", …}`.
    """
    path = data_dir / FILE
    if not _hold(conn, path):
        withdraw(conn)
        _write(path, {label: _make(conn, label) for label in _labels(conn)})
    return path


def withdraw(conn: Connection) -> None:
    """Revoke the demo's keys, as befits a database that holds no demo."""
    k = access_keys.c
    conn.execute(access_keys.update().where(k.demo, k.revoked_at.is_(None)).values(revoked_at=sa.func.now()))


def end(conn: Connection) -> bool:
    """Say of a demo city that it is none any more, and revoke its keys; tell whether it was one."""
    was = conn.execute(city.update().where(city.c.demo).values(demo=False)).rowcount > 0
    if was:
        withdraw(conn)
    return was


def _labels(conn: Connection) -> list[str]:
    asked = grids.resolve(conn, Wish())
    levels = sa.select(grid_table.c.level).where(grids.current(asked)).distinct().order_by(grid_table.c.level)
    counties = sa.select(grid_table.c.code).where(
        grids.current(asked), grid_table.c.level == levels.offset(1).limit(1).scalar_subquery()
    )
    codes = conn.execute(counties.order_by(grid_table.c.code)).scalars()
    return [*ROLES[1:], *(f"commander:{code}" for code in codes)]


def _make(conn: Connection, label: str) -> str:
    role, _, scope = label.partition(":")
    scheme = grids.resolve(conn, Wish()).scheme
    return access.create_key(
        conn, role, scope or None, scheme=scheme, label=label, may_export=True, lasts=None, demo=True
    ).key


def _hold(conn: Connection, path: Path) -> bool:
    """Say whether each label has its key in the file, and that key lives."""
    try:
        written = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    wanted = set(_labels(conn))
    held = {whose.name for key in written.values() if (whose := access.principal(conn, key))}
    return held == wanted


def _write(path: Path, keys: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(json.dumps(keys, indent=1))
    part.rename(path)
