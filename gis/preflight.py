"""What a database must be before we work with it: every lack with the SQL that mends it."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import db, migrate
from gis.cluster import SERVICE
from gis.errors import DatabaseUnfit

_PROBES = 3
"""Connections beside one that look whether a pooler gives them its session."""
_POOLED = (
    "what is set or locked for one is then another's, and announcements are lost: set pool_mode = session "
    "for this database (pgbouncer), or name the server itself"
)


@dataclass(frozen=True)
class Lack:
    """What a database lacks, and what mends it."""

    what: str
    mend: str

    def __str__(self) -> str:
        """Return both as one line."""
        return f"{self.what}; {self.mend}"


def check(engine: Engine, *, writes: bool = True) -> None:
    """Look at a database before it is used; `writes`: we mean to change it.

    Raises DatabaseUnfit with every lack and what mends it, NewerStore where the store is of a newer program.
    """
    with engine.connect() as conn:
        looks = _ALWAYS + (_FOR_WRITING if writes else ())
        found = [lack for look in looks if (lack := look(conn))]
        if not found:
            migrate.refuse_newer(conn)
    if not found and (lack := _pooled_by_transaction(engine)):
        found = [lack]
    if found:
        raise DatabaseUnfit(". ".join(f"the database {lack}" for lack in found))


def is_standby(conn: Connection) -> bool:
    """Say whether the database is a read-only copy of another one."""
    return bool(conn.scalar(sa.text("SELECT pg_is_in_recovery()")))


def _version(conn: Connection) -> Lack | None:
    version = conn.scalar(sa.text("SELECT current_setting('server_version')"))
    if conn.scalar(sa.text("SELECT current_setting('server_version_num')::int")) >= 150_000:
        return None
    return Lack(f"is PostgreSQL {version}, we need 15 or newer", "see pg_upgrade, or name another server")


def _encoding(conn: Connection) -> Lack | None:
    encoding = conn.scalar(sa.text("SELECT current_setting('server_encoding')"))
    if encoding == "UTF8":
        return None
    mend = (
        "run CREATE DATABASE safetymap TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8' and name that one"
    )
    return Lack(f"keeps text in {encoding}, which cannot hold every name", mend)


def _postgis(conn: Connection) -> Lack | None:
    there = sa.text(
        "SELECT extversion, nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace"
        " WHERE extname = 'postgis'"
    )
    row = conn.execute(there).one_or_none()
    if row is None:
        packaged = conn.scalar(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'postgis'"))
        before = "" if packaged else "install its package (Debian: postgresql-15-postgis-3), then "
        return Lack("has no PostGIS", f"{before}let a superuser run CREATE EXTENSION postgis SCHEMA public")
    if [int(part) for part in row.extversion.split(".")[:2]] < [3, 3]:
        mend = "install a newer package, then let a superuser run SELECT postgis_extensions_upgrade()"
        return Lack(f"has PostGIS {row.extversion}, we need 3.3 or newer", mend)
    if row.nspname != "public":
        mend = "DROP EXTENSION postgis; CREATE EXTENSION postgis SCHEMA public (it cannot be moved)"
        return Lack(f"has PostGIS in the schema {row.nspname}, we look for it in public", mend)
    return None


def _writable(conn: Connection) -> Lack | None:
    if is_standby(conn):
        return Lack("is a standby, which takes no changes", "name its primary, or promote it: pg_promote()")
    if conn.scalar(sa.text("SELECT current_setting('transaction_read_only')")) == "on":
        mend = "run ALTER DATABASE … SET default_transaction_read_only = off (or the same of the role)"
        return Lack("takes no changes (default_transaction_read_only)", mend)
    return None


def _may_create(conn: Connection) -> Lack | None:
    me = conn.scalar(sa.text("SELECT quote_ident(current_user)"))
    if conn.scalar(sa.text("SELECT has_schema_privilege('public', 'CREATE')")):
        return None
    return Lack(f"lets {me} make no tables", f"let its owner run GRANT CREATE ON SCHEMA public TO {me}")


def _owns_tables(conn: Connection) -> Lack | None:
    foreign = sa.text(
        "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class"
        " WHERE oid = to_regclass('alembic_version') AND NOT pg_has_role(relowner, 'USAGE')"
    )
    if (owner := conn.scalar(foreign)) is None:
        return None
    me = conn.scalar(sa.text("SELECT quote_ident(current_user)"))
    return Lack(f"has a store that belongs to {owner}", f"log in as {owner}, or run GRANT {owner} TO {me}")


def _has_service(conn: Connection) -> Lack | None:
    me, may_make = conn.execute(
        sa.text(
            "SELECT quote_ident(rolname), rolsuper OR rolcreaterole FROM pg_roles"
            " WHERE rolname = current_user"
        )
    ).one()
    there = conn.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": SERVICE})
    if there and conn.scalar(sa.text("SELECT pg_has_role(:name, 'MEMBER')"), {"name": SERVICE}):
        return None
    if not there and may_make:
        return None
    make = "" if there else f"CREATE ROLE {SERVICE} NOLOGIN; "
    lack = "lacks the role that the service works as" if not there else f"does not let {me} be {SERVICE}"
    return Lack(lack, f"let an administrator run {make}GRANT {SERVICE} TO {me}")


_ALWAYS: tuple[Callable[[Connection], Lack | None], ...] = (_version, _encoding, _postgis)
_FOR_WRITING: tuple[Callable[[Connection], Lack | None], ...] = (
    _writable, _may_create, _owns_tables, _has_service,
)  # fmt: skip


def _pooled_by_transaction(engine: Engine) -> Lack | None:
    """Look whether a connection's session is given to others while it rests, as poolers by transaction do.

    Others begin transactions one after the other, and keep their sessions: one of them then has that of the
    first, or the first has got another one.
    """
    with ExitStack() as held:
        first = held.enter_context(db.apart(engine))
        mine, others = {_session(first)}, set()
        for _ in range(_PROBES):
            first.rollback()
            others.add(_session(held.enter_context(db.apart(engine))))
            if mine & others or mine != {_session(first)}:
                return Lack("is behind a pooler that gives a session to others between transactions", _POOLED)
    return None


def _session(conn: Connection) -> int:
    number: int = conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    return number
