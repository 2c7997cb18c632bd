"""What an answer costs in processor time, which a busy machine hardly changes: server's and database's."""

import os
from pathlib import Path

import sqlalchemy as sa

from gis import db

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _stat(process: Path) -> list[str]:
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:  # it has ended
        return []


def of_group(group: int) -> float:
    """Return the seconds that a process group has used so far; `stat` tells state, parent, group first."""
    told = (_stat(process) for process in Path("/proc").glob("[0-9]*"))
    return sum(_seconds(one) for one in told if one and int(one[2]) == group)


def of_database() -> float:
    """Return the seconds that the database's present connections have used, ours left out."""
    query = sa.text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with db.work_engine().begin() as conn:
        pids = conn.execute(query).scalars().all()
    return sum(_seconds(told) for pid in pids if (told := _stat(Path(f"/proc/{pid}"))))


def _seconds(told: list[str]) -> float:
    return (int(told[11]) + int(told[12])) * _TICK_S
