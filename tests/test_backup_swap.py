"""A restored database put in force: its own later moments come back, and one of another past is refused."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from api.cli import app
from gis import cluster
from gis.backup import repository, restore, swap, take
from gis.errors import BackupFailed
from gis.settings import settings
from tests.test_backup_repository import _wait
from tests.with_backups import Installation, installed


@pytest.fixture(scope="module")
def one() -> Iterator[Installation]:
    with installed() as made:
        made.take("full")
        yield made


def moment_after(one: Installation, what: str) -> datetime:
    """Write an entry into the audit, and return a moment at which it is there and nothing later is."""
    one.note(what)
    newest = take.listed(one.cluster)[-1]
    _wait(lambda: newest.serves(datetime.now(UTC)), 10)
    moment = datetime.now(UTC)
    one.cluster.sql("SELECT pg_sleep(0.2); SELECT pg_current_xact_id(); SELECT pg_switch_wal()")
    return moment


def ready(one: Installation, name: str, at: datetime | None = None) -> Path:
    """Restore into a folder as the command does, and leave it ready to be put in force."""
    into = one.home / name / "data"
    assert one.restore(into, at) == []
    swap.mark(into, {"faults": []})
    restore.end_recovery(cluster.find(into))
    cluster.down(into)
    return into


def entries(one: Installation, data_dir: Path | None = None) -> set[str]:
    """The names of what the audit holds of ours."""
    names = ("first", "second", "third", "fourth")
    with one.engine(data_dir).connect() as conn:
        held = " ".join(conn.scalars(sa.text("SELECT entry FROM audit")))
    return {name for name in names if f'"{name}"' in held}


def test_moments_after_a_swap_come_back_and_another_past_does_not(one: Installation) -> None:
    first = moment_after(one, "first")
    one.note("second")
    chosen, other = ready(one, "chosen", first), ready(one, "other", first)
    cluster.down(one.data_dir)
    swap.swap(one.data_dir.resolve(), chosen.resolve())
    assert entries(one) == {"first"}
    one.take()
    newest = take.listed(one.cluster)[-1]
    assert newest.timeline == 2
    third = moment_after(one, "third")
    one.note("fourth")
    again = ready(one, "again", third)
    assert entries(one, again) == {"first", "third"}
    cluster.down(again)
    with pytest.raises(BackupFailed, match="another restored database was swapped in"):
        swap.swap(one.data_dir.resolve(), other.resolve())
    assert entries(one) == {"first", "third", "fourth"}
    swap.swap(one.data_dir.resolve(), again.resolve())
    one.take()
    assert entries(one) == {"first", "third"}
    assert {Path(name).name for name in repository.names(one.cluster)} >= {
        "00000002.history", "00000003.history"
    }  # fmt: skip


@pytest.mark.parametrize("inside", ["new", "deep/er/new", "../data/new", "link/new"])
def test_a_restore_into_the_data_directory_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (tmp_path / "link").symlink_to(data_dir)
    (tmp_path / "key").write_text("0" * 64)
    monkeypatch.setenv("SAFETYMAP_DATA_DIR", str(data_dir))
    settings.cache_clear()
    into = tmp_path / inside if inside.startswith("link") else data_dir / inside
    try:
        for more in ([], ["--from", str(tmp_path / "repository"), "--key", str(tmp_path / "key")]):
            done = CliRunner().invoke(app, ["restore", "--into", str(into), *more])
            assert done.exit_code != 0
            assert "lies inside" in " ".join(done.output.split()), done.output
    finally:
        settings.cache_clear()
    assert list(data_dir.iterdir()) == []
