"""Bring a database to the newest revision of the store."""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from gis.errors import NewerStore
from gis.settings import ROOT


def _config(conn: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "gis" / "migrations"))
    config.attributes["connection"] = conn
    return config


def migrate(conn: Connection, revision: str = "head") -> None:
    """Go to `revision`, upward or (to `base`) down to nothing; a second call changes nothing.

    Raises NewerStore where the store is of a revision that this program does not know, SQLAlchemy's errors
    when the server is older than PostGIS 3.3 or the role may not create tables.
    """
    refuse_newer(conn)
    go = command.downgrade if revision == "base" else command.upgrade
    go(_config(conn), revision)


def known(conn: Connection) -> list[str]:
    """Return the revisions that this program knows, oldest first."""
    script = ScriptDirectory.from_config(_config(conn))
    return [one.revision for one in script.walk_revisions()][::-1]


def refuse_newer(conn: Connection) -> None:
    """Raise NewerStore unless the store's revision, if it has any, is one of ours."""
    ours = known(conn)
    stored = set(MigrationContext.configure(conn).get_current_heads())
    if stored.difference(ours):
        raise NewerStore(
            f"the store is of revision {', '.join(sorted(stored))}, this program knows those up to "
            f"{ours[-1]}: install the newer program, or restore a backup from before"
        )


def advice(conn: Connection) -> list[str]:
    """Return what the database's superuser should do, a line each; none in the private cluster.

    Policies keep a spatial index only where its operator is declared leak-proof (docs/decisions/0040).
    """
    kept = sa.text(
        "SELECT proleakproof FROM pg_proc WHERE oid = 'geometry_overlaps(geometry,geometry)'::regprocedure"
    )
    if conn.execute(kept).scalar_one():
        return []
    return [
        (
            "row-level security reads whole tables here: let a superuser run "
            "ALTER FUNCTION geometry_overlaps(geometry, geometry) LEAKPROOF"
        )
    ]
