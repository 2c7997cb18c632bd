"""Engine and pool: the one owner of connections to PostGIS."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url

from gis import cluster, database_url, passwords
from gis.answering import CONNECT_S, Bounded, BoundedAsync, bound_s
from gis.errors import DatabaseUnfit
from gis.settings import settings

Query = sa.Select[*tuple[Any, ...]]
"""A select of any columns."""
Record = sa.Row[*tuple[Any, ...]]
"""A row of any columns."""

_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "search_path": "public",
    "row_security": "on",
}
"""What every connection holds, whatever the database, the role or a pooler before it has set.

JIT makes tiles 15 times slower; times are stored and compared in UTC. They are set by SQL: a pooler drops
what comes with the start of a connection, or refuses it.
"""
_FROM_THE_FIRST: dict[str, Any] = {"client_encoding": "UTF8"}
"""Even the first answer comes in it; poolers pass it on."""
_SET = """
SELECT set_config(name, value, %(local)s) FROM unnest(%(names)s::text[], %(values)s::text[]) s(name, value)
"""


def url() -> str:
    """Return the SQLAlchemy URL of the configured database, starting the private cluster if need be.

    Raises BadInput when the setting is no address of a PostgreSQL, ClusterFailed when the private cluster
    cannot be started.
    """
    configured = settings().database_url
    if not configured:
        return cluster.up(settings().data_dir)
    return database_url.read(configured, "SAFETYMAP_DATABASE_URL").render_as_string(hide_password=False)


Passwords = Callable[[], Iterator[str]]
"""Those that the database may take at this moment."""


def make_engine(
    address: str,
    *,
    pool_size: int = 5,
    timeout_ms: int | None = None,
    role: str | None = None,
    may_be: Passwords | None = None,
) -> Engine:
    """Return an engine over the database at `address` whose pool never exceeds `pool_size` connections.

    `timeout_ms` bounds every statement, even where the server stands still; None leaves long work (imports,
    refresh) unbounded. `role` is put on
    when connecting and again in each transaction: a pooler may give it a session of somebody else. `may_be`:
    passwords instead of the address's, since they change while the engine lives.
    """
    bound = {"statement_timeout": str(timeout_ms)} if timeout_ms else {}
    chosen = bound | ({"role": role} if role else {})
    words = _FROM_THE_FIRST | ({"connect_timeout": CONNECT_S} if timeout_ms else {})
    engine = sa.create_engine(
        make_url(address), pool_size=pool_size, max_overflow=0, pool_timeout=CONNECT_S,
        connect_args=words, execution_options={"session": _SETTINGS | chosen, "may_be": may_be},
    )  # fmt: skip
    event.listen(engine, "do_connect", partial(_connect, may_be, bound_s(timeout_ms) if timeout_ms else None))
    event.listen(engine, "connect", partial(_settle, _SETTINGS | chosen))
    if role:
        event.listen(engine, "begin", partial(_settle_transaction, chosen))
    return engine


def _connect(
    may_be: Passwords | None, longest_s: float | None, _: object, __: object, words: list[Any],
    named: dict[str, Any],
) -> Bounded:  # fmt: skip
    """Connect with the password that the database takes, or with the one that `named` holds."""
    refused: psycopg.OperationalError | None = None
    for password in may_be() if may_be else (named.get("password"),):
        try:
            connection = Bounded.connect(*words, **named | {"password": password})
        except psycopg.OperationalError as error:
            refused = _if_password(error)
        else:
            connection.longest_s = longest_s
            return connection
    raise refused or FileNotFoundError("there is no password")


def _if_password(error: psycopg.OperationalError) -> psycopg.OperationalError:
    """Return an error that is about the password; raise any other."""
    if "password authentication failed" not in str(error):
        raise error
    return error


def _settle(chosen: dict[str, str], connection: psycopg.Connection[Any], _: object) -> None:
    connection.autocommit = True  # what is set in a transaction that ends otherwise is lost
    try:
        connection.execute(_SET, _words(chosen, local=False))
    except (InvalidParameterValue, InsufficientPrivilege) as error:
        raise DatabaseUnfit(
            f"the database: {error}; run `safetymap db up`, which says what is lacking"
        ) from error
    connection.autocommit = False


def _settle_transaction(chosen: dict[str, str], conn: Connection) -> None:
    conn.exec_driver_sql(_SET, _words(chosen, local=True))


def _words(chosen: dict[str, str], *, local: bool) -> dict[str, object]:
    return {"names": list(chosen), "values": list(chosen.values()), "local": local}


def apart(engine: Engine) -> Connection:
    """Return a connection beside an engine's pool, with nothing set on it."""
    made = sa.create_engine(engine.url, poolclass=sa.NullPool, connect_args=_FROM_THE_FIRST)
    if may_be := engine.get_execution_options()["may_be"]:
        event.listen(made, "do_connect", partial(_connect, may_be, None))
    return made.connect()


@contextmanager
def allowing(conn: Connection, timeout_ms: int) -> Iterator[None]:
    """Let the statements of a transaction, from now on, take so long."""
    conn.execute(sa.select(sa.func.set_config("statement_timeout", str(timeout_ms), True)))
    driver = conn.connection.driver_connection
    if not isinstance(driver, Bounded) or driver.longest_s is None:
        yield
        return
    former, driver.longest_s = driver.longest_s, bound_s(timeout_ms)
    try:
        yield
    finally:
        driver.longest_s = former


async def awaited(engine: Engine, *, timeout_ms: int) -> psycopg.AsyncConnection[Any]:
    """Return a connection apart from an engine's pool, for the event loop to await; nothing commits on it.

    Every statement is a transaction of its own, bound by `timeout_ms` as in `make_engine`. Statements are
    planned once, for any values, unless a transaction says otherwise: for small tiles planning took longer
    than the rest.
    """
    _, words = engine.dialect.create_connect_args(engine.url)
    may_be = engine.get_execution_options()["may_be"]
    bound: dict[str, Any] = {"connect_timeout": CONNECT_S}
    connection = await _awaited(dict(words) | _FROM_THE_FIRST | bound, may_be)
    connection.longest_s = bound_s(timeout_ms)
    chosen = engine.get_execution_options()["session"] | {
        "statement_timeout": str(timeout_ms),
        "plan_cache_mode": "force_generic_plan",
    }
    await connection.execute(_SET, _words(chosen, local=False))
    return connection


async def _awaited(words: dict[str, Any], may_be: Passwords | None) -> BoundedAsync:
    """As `_connect`, or with the password that `words` hold."""
    refused: psycopg.OperationalError | None = None
    for password in may_be() if may_be else (words.get("password"),):
        try:
            return await BoundedAsync.connect(autocommit=True, **words | {"password": password})
        except psycopg.OperationalError as error:
            refused = _if_password(error)
    raise refused or FileNotFoundError("there is no password")


def role_of(engine: Engine) -> str | None:
    """Return the role that an engine's transactions put on, None where it logs in as what it works as."""
    role: str | None = engine.get_execution_options()["session"].get("role")
    return role


def engine_of_service(address: str) -> Engine:
    """Return an engine as the service uses it: its role, a bounded pool, every statement under a timeout.

    In the private cluster the role has a login of its own; in a database of one's own it is put on.
    """
    chosen = settings()
    own = chosen.database_url is not None
    return make_engine(
        address if own else cluster.service_url(chosen.data_dir, address),
        pool_size=chosen.pool_size,
        timeout_ms=chosen.statement_timeout_ms,
        role=cluster.SERVICE if own else None,
        may_be=None if own else partial(passwords.candidates, chosen.data_dir, cluster.SERVICE),
    )


@lru_cache
def service_engine() -> Engine:
    """Return the service's engine."""
    configured = settings().service_database_url
    if not configured:
        return engine_of_service(url())
    there = database_url.read(configured, "SAFETYMAP_SERVICE_DATABASE_URL")
    return engine_of_service(there.render_as_string(hide_password=False))


@lru_cache
def work_engine() -> Engine:
    """Return the engine of commands, whose statements may take long."""
    return make_engine(url(), pool_size=2)


def columns(conn: Connection, query: Query, *kinds: type) -> list[npt.NDArray[Any]]:
    """Return a query's columns as arrays of the given kinds, each of shape (n,), in the query's order.

    The server gathers each column: 50,000 rows then cost a third of what as many tuples do.
    """
    rows = query.subquery("rows")
    gathered = conn.execute(sa.select(*(sa.func.array_agg(column) for column in rows.c))).one()
    return [np.array(values or [], dtype=kind) for values, kind in zip(gathered, kinds, strict=True)]
