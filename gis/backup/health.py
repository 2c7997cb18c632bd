"""How backups go: the age of the newest, and whether the log is sent."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.backup import repository, take

_ARCHIVER = """
SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing,
       EXTRACT(EPOCH FROM now() - last_archived_time)::float AS since_s
FROM pg_stat_archiver
"""


@dataclass(frozen=True)
class Health:
    """How backups go. `age_s`: of the newest, None while there is none; `failed`: why the last try failed.

    `log_failing`: the log cannot be sent, so that what is written now would be lost with this machine.
    """

    age_s: float | None
    failed: str | None
    log_failing: bool
    log_sent_s: float | None

    def warnings(self, oldest_h: float) -> list[str]:
        """Return what an operator should see to, a line each; a backup may be `oldest_h` hours old."""
        found = []
        if self.age_s is None:
            found.append("there is no backup yet: safetymap backup")
        elif self.age_s > oldest_h * 3600:
            found.append(f"the newest backup is {self.age_s / 3600:.0f} hours old: safetymap backup")
        if self.failed:
            found.append("the last backup failed: safetymap backups says why")
        if self.log_failing:
            found.append("the log cannot be sent to the repository: see the server's log")
        return found


def health(conn: Connection, data_dir: Path) -> Health | None:
    """Return how backups go, None where none are set up."""
    if not repository.is_set_up(data_dir):
        return None
    last, sent = take.last(data_dir), conn.execute(sa.text(_ARCHIVER)).one()
    at = last.get("at")
    age_s = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() if at else None
    return Health(age_s, last.get("reason"), sent.failing, sent.since_s)
