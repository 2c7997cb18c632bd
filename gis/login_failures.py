"""How long a key or address waits after log-ins that failed: longer each time, and in the end locked."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection


@dataclass(frozen=True)
class Patience:
    """Failures in a row: no wait before the `free`th, then 1 s, 2 s, 4 s …; `longest_s` from `locked_at`."""

    free: int
    locked_at: int
    longest_s: float


WITH_KEY = Patience(free=3, locked_at=10, longest_s=900)
"""Codes of a second factor: three of a million are good at a time, and a lock leaves four guesses an hour."""
FROM_ADDRESS = Patience(free=10, locked_at=20, longest_s=300)
"""Keys: nobody guesses one, but an office behind one address mistypes more often than a person."""


def count(conn: Connection, subject: str, patience: Patience) -> float:
    """Count a log-in as failed until `forget` says otherwise; return 0, or the seconds it must wait.

    What has to wait is not counted. Commit before the log-in is tried.
    """
    counted = sa.func.count_login(subject, patience.free, patience.locked_at, patience.longest_s)
    return float(conn.execute(sa.select(counted)).scalar_one())


def wait(conn: Connection, subject: str) -> float:
    """Return the seconds before the next log-in may be tried, 0 for none."""
    return float(conn.execute(sa.select(sa.func.login_wait(subject))).scalar_one())


def forget(conn: Connection, subject: str) -> None:
    """Begin anew after a log-in that went well."""
    conn.execute(sa.select(sa.func.forget_logins(subject)))
