"""An installation of its own for tests of backups: a cluster with the town, and a repository beside it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gis import audit, cluster, db, postgres
from gis.access import COMMAND
from gis.backup import checks, repository, restore, take
from gis.backup.take import Backup, Kind
from gis.cluster import Cluster
from gis.migrate import migrate
from tests import town


class Installation:
    """A data directory whose cluster runs, and what tests do with it."""

    def __init__(self, home: Path, name: str = "") -> None:
        self.home, self.repo = home, home / f"repo{name}"
        self.data_dir = home / (name or "o'ne 图") / "data"

    @property
    def cluster(self) -> Cluster:
        """The cluster, running or not."""
        return cluster.find(self.data_dir)

    def engine(self, data_dir: Path | None = None) -> Engine:
        """An engine over this cluster, or that of another data directory, started if need be."""
        return sa.create_engine(cluster.up(data_dir or self.data_dir), poolclass=sa.NullPool)

    def fill(self) -> None:
        """Migrate, and bring the town and incidents."""
        with self.engine().begin() as conn:
            migrate(conn)
            batch = town.furnish(conn, [town.at(1, 1), town.at(4, 4)])
            town.add_incidents(conn, batch, [town.at(1 + n / 100, 1 + n / 70) for n in range(60)])

    def note(self, what: str) -> None:
        """Write an entry into the audit, and sign its head."""
        with self.engine().begin() as conn:
            audit.change(conn, self.data_dir, COMMAND, what, {})
        with self.engine().begin() as conn:
            audit.seal(conn, self.data_dir, {})

    def set_up(self) -> None:
        """Send backups and the log to the repository from now on."""
        repository.begin(self.data_dir, repository.options_of(str(self.repo)), None)

    def take(self, kind: Kind | None = None) -> Backup:
        """Take a backup."""
        with self.engine().connect() as conn:
            return take.take(conn, self.data_dir, kind)

    def restore(self, into: Path, at: object = None) -> list[str]:
        """Restore into a new data directory to a moment, and return what the checks find."""
        source = repository.load(self.data_dir)
        brought = restore.restore(source, into, at, self.data_dir)  # type: ignore[arg-type]
        engine = db.make_engine(brought.url, pool_size=1)
        with engine.begin() as conn:
            restore.settle(conn, into)
            found = checks.check(conn, restore.look(conn, into, brought))
        engine.dispose()
        return found


@contextmanager
def installed(name: str = "", *, begun: bool = True) -> Iterator[Installation]:
    """An installation that holds the town and sends its log, its folders of a name; taken away afterwards.

    `begun`: its audit has an entry, and so a key.
    """
    if not postgres._installations():
        pytest.skip("no PostgreSQL ≥ 15 is installed here for a private cluster")
    if not shutil.which(repository.PROGRAM):
        pytest.skip("no pgbackrest is installed here (scripts/setup.sh test)")
    with tempfile.TemporaryDirectory(prefix="backups-", dir="/var/tmp") as home:
        made = Installation(Path(home), name)
        made.home.chmod(0o755)
        try:
            made.data_dir.mkdir(parents=True)
            made.fill()
            if begun:
                made.note("begun")
            made.set_up()
            yield made
        finally:
            for folder in made.home.rglob("pg"):
                if (folder / "data").exists():
                    cluster.down(folder.parent)
