"""Whether a restored database is whole: held against what the backup recorded, and against itself.

Each check is a function that returns what is wrong, a line each; `CHECKS` lists them. A database restored to
a later moment than its backup's may hold more, and of what people take away also less: such differences are
no faults, and `differences` lists them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import audit, migrate
from gis.backup.record import Record
from gis.schema_access import audit as entries

_ONLY_GROWING = ("audit", "incidents", "transitions", "revisions", "grids")
"""Tables of which nothing is taken away, but for months of the audit by their age."""


_PASSING = ("sessions", "idempotency_keys", "alarms", "square_counts", "shaped_coverages", "grid_shapes")
"""Tables that may be empty at any time: what is in them expires or is made anew."""


@dataclass(frozen=True)
class Restored:
    """A restored database: its data directory, what its backup recorded, and what it holds now."""

    data_dir: Path
    before: Record
    now: Record

    @property
    def is_of_one_migration(self) -> bool:
        """Whether the rules of both can be compared."""
        return self.before.migration == self.now.migration


def migrations(conn: Connection, of: Restored) -> list[str]:
    """The store is of a revision that this program knows, and none before that of the backup."""
    known = migrate.known(conn)
    if of.now.migration not in known:
        return [f"the store is of revision {of.now.migration or 'none'}, which this program does not know"]
    if of.before.migration in known and known.index(of.now.migration) < known.index(of.before.migration):
        return [f"the store is of revision {of.now.migration}, the backup was of {of.before.migration}"]
    return []


def tables(_: Connection, of: Restored) -> list[str]:
    """Every table is there, none is empty that was not, and those that only grow did not shrink."""
    found = []
    for name, count in of.before.rows.items() if of.is_of_one_migration else ():
        now = of.now.rows.get(name)
        if now is None:
            found.append(f"table {name} is gone; it had {count} rows")
        elif now < count and (now == 0 or name in _ONLY_GROWING) and name not in _PASSING:
            found.append(f"table {name} has {now} rows, the backup recorded {count}")
    return found


def rules(_: Connection, of: Restored) -> list[str]:
    """Policies, grants, functions, LEAKPROOF marks and the like are those of the backup."""
    if not of.is_of_one_migration:
        return []
    found = []
    for kind, before in of.before.rules.items():
        now = of.now.rules.get(kind, {})
        differ = sorted(name for name in before | now if before.get(name) != now.get(name))
        if differ:
            found.append(
                f"{kind} are not those of the backup: {', '.join(differ[:5])} ({len(differ)} in all)"
            )
    return found


def marks(conn: Connection, _: Restored) -> list[str]:
    """What a superuser should have done is done."""
    return migrate.advice(conn)


def coverage(_: Connection, of: Restored) -> list[str]:
    """Grids are those that were published, and their maps have no fault that they had not."""
    found = []
    if of.now.shapes != of.before.shapes:
        found.append(f"grids up to revision {of.before.publication} are not those that the backup recorded")
    for scheme, errors in of.now.errors.items():
        if errors > of.before.errors.get(scheme, 0):
            found.append(
                f"the map of {scheme} has {errors} faults, at the backup {of.before.errors.get(scheme, 0)}"
            )
    return found


def anchored(conn: Connection, of: Restored) -> list[str]:
    """The audit is whole, and heads that were signed outside the database hold it."""
    found = audit.verify(conn, of.data_dir)
    begun = of.before.rows.get("audit", 0) and conn.scalar(sa.select(sa.exists().select_from(entries)))
    if begun and not any(of.data_dir.glob("audit/heads_*.jsonl")):
        found.append("the audit has entries, but no signed heads came with the backup")
    return found


CHECKS: tuple[Callable[[Connection, Restored], list[str]], ...] = (
    migrations, tables, rules, marks, coverage, anchored,
)  # fmt: skip


def check(conn: Connection, of: Restored) -> list[str]:
    """Return all that is wrong with a restored database; empty when it is whole."""
    return [f"{one.__name__}: {fault}" for one in CHECKS for fault in one(conn, of)]


def differences(of: Restored) -> list[str]:
    """Return in which tables the numbers of rows differ from the backup's, a line each."""
    names = [name for name, count in of.before.rows.items() if of.now.rows.get(name, count) != count]
    return [f"{name}: {of.before.rows[name]} at the backup, {of.now.rows[name]} now" for name in names]
