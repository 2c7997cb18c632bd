"""Engine and pool: the one owner of connections to PostGIS."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url

from gis import cluster
from gis.settings import settings

Query = sa.Select[*tuple[Any, ...]]
"""A select of any columns."""
Record = sa.Row[*tuple[Any, ...]]
"""A row of any columns."""

_OPTIONS = "-c timezone=UTC -c jit=off"
"""JIT makes tiles 15 times slower; times are stored and compared in UTC."""


def url() -> str:
    """Return the SQLAlchemy URL of the configured database, starting the private cluster if need be.

    Raises ClusterFailed when the private cluster cannot be started.
    """
    configured = settings().database_url
    if not configured:
        return cluster.up(settings().data_dir)
    return make_url(configured).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def make_engine(
    database_url: str, *, pool_size: int = 5, timeout_ms: int | None = None, role: str | None = None
) -> Engine:
    """Return an engine over `database_url` whose pool never exceeds `pool_size` connections.

    `timeout_ms` bounds every statement; None leaves long work (imports, refresh) unbounded. `role` is put on
    when connecting.
    """
    options = _OPTIONS + (f" -c statement_timeout={timeout_ms}" if timeout_ms else "")
    options += f" -c role={role}" if role else ""
    there = make_url(database_url).update_query_dict({"options": options})
    return sa.create_engine(there, pool_size=pool_size, max_overflow=0, pool_timeout=5)


async def awaited(engine: Engine, *, timeout_ms: int) -> psycopg.AsyncConnection[Any]:
    """Return a connection apart from an engine's pool, for the event loop to await; nothing commits on it.

    Every statement is a transaction of its own and bound by `timeout_ms`. Statements are planned once, for
    any values, unless a transaction says otherwise: for small tiles planning took longer than the rest.
    """
    there = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    options = f"{engine.url.query.get('options', _OPTIONS)} -c statement_timeout={timeout_ms}"
    options += " -c plan_cache_mode=force_generic_plan"
    return await psycopg.AsyncConnection.connect(there, options=options, autocommit=True)


def engine_of_service(database_url: str) -> Engine:
    """Return an engine as the service uses it: its role, a bounded pool, every statement under a timeout.

    In the private cluster the role has a login of its own; in a database of one's own it is put on.
    """
    chosen = settings()
    own = chosen.database_url is not None
    return make_engine(
        database_url if own else cluster.service_url(chosen.data_dir, database_url),
        pool_size=chosen.pool_size,
        timeout_ms=chosen.statement_timeout_ms,
        role=cluster.SERVICE if own else None,
    )


@lru_cache
def service_engine() -> Engine:
    """Return the service's engine."""
    return engine_of_service(settings().service_database_url or url())


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
