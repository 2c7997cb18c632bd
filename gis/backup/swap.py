"""A restored data directory put in the place of the one in force, which is kept for the way back."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gis import cluster
from gis.backup import files, repository, restore
from gis.cluster import SERVICE, Cluster
from gis.errors import BackupFailed, BadInput

BEFORE = "before"
"""Under the data directory: what was in force until a swap, by the swap's time."""
_STAYS = (files.LEFT_OUT - {"pg", "backup"}) | {"swap.json"}
"""What belongs to the machine and not to the city's data."""


def mark(data_dir: Path, told: dict[str, Any]) -> None:
    """Write down what a data directory beside the one in force is, and whether it is whole."""
    (data_dir / restore.MARK).write_text(json.dumps(told, indent=1))


def read_mark(data_dir: Path) -> dict[str, Any]:
    """Return what is written of a data directory. Raises BadInput for one that no restore has made."""
    path = data_dir / restore.MARK
    if not path.exists():
        raise BadInput("NEW", f"{data_dir} was not made by safetymap restore, or its checks did not end")
    return dict(json.loads(path.read_text()))


def swap(data_dir: Path, new: Path, *, accept: bool = False) -> Path:
    """Put `new` in the place of `data_dir`, stop both clusters, and return where the former lies now.

    One that was interrupted is ended by the next call. Raises BadInput or BackupFailed, and then nothing has
    moved: for faults that nobody accepted, other disks, a service that runs, a repository with another past.
    """
    plan_file = data_dir / "swap.json"
    if not plan_file.exists():
        _refuse(data_dir, new, accept=accept)
        former = data_dir / BEFORE / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        plan = {"new": str(new), "former": str(former), "out": _movable(data_dir), "into": _movable(new)}
        plan_file.write_text(json.dumps(plan))
    plan = json.loads(plan_file.read_text())
    if Path(plan["new"]) != new:
        raise BadInput(
            "NEW", f"the swap to {plan['new']} was interrupted: end it first, by swapping to it again"
        )
    former = Path(plan["former"])
    _move(data_dir, former, plan["out"])
    _move(new, data_dir, plan["into"])
    (new / restore.MARK).unlink(missing_ok=True)
    plan_file.unlink()
    mark(former, {"former": True, "faults": []})
    if repository.is_set_up(data_dir):
        repository.load(data_dir).lay(cluster.find(data_dir))
    _archive(former, on=False)
    _archive(data_dir, on=True)
    return former


def _movable(data_dir: Path) -> list[str]:
    """Return the names of what is moved, the cluster first."""
    names = [path.name for path in data_dir.iterdir() if path.name not in _STAYS]
    return sorted(names, key=lambda name: (name != "pg", name))


def _move(source: Path, target: Path, names: list[str]) -> None:
    """Move what is not there yet."""
    for folder in (target.parent, target):
        folder.mkdir(mode=0o755, exist_ok=True)
    for name in names:
        if (source / name).is_symlink() or (source / name).exists():
            if (target / name).is_symlink() or (target / name).exists():
                raise BackupFailed(
                    f"{target / name} has come since the swap began: move it away, and swap again"
                )
            (source / name).rename(target / name)


def _archive(data_dir: Path, *, on: bool) -> None:
    """Let only the cluster in force write to the repository."""
    one = cluster.find(data_dir)
    if one.data.exists():
        one.write(one.data / "postgresql.auto.conf", "" if on else "archive_mode = off\n")


def _refuse(data_dir: Path, new: Path, *, accept: bool) -> None:
    if new.is_relative_to(data_dir) and not new.is_relative_to(data_dir / BEFORE):
        raise BadInput(
            "NEW", f"{new} lies inside {data_dir}, which makes room for it; move it beside that folder"
        )
    told = read_mark(new)
    if told["faults"] and not accept:
        raise BackupFailed(
            f"{new} is not whole: {'; '.join(told['faults'])}. --accept-faults takes it as it is"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    if data_dir.stat().st_dev != new.stat().st_dev:
        raise BadInput("NEW", f"{new} is on another disk than {data_dir}; restore into a folder beside it")
    if cluster.running(data_dir) and (count := _sessions(cluster.find(data_dir))):
        raise BackupFailed(
            f"the service runs ({count} sessions); stop it first: make down, or systemctl stop"
        )
    cluster.down(data_dir)
    cluster.down(new)
    one = cluster.find(new)
    if not told.get("former"):
        _refuse_second_past(one)


def _sessions(one: Cluster) -> int:
    told = one.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{SERVICE}'")  # noqa: S608 - a constant
    return int(told.stdout.strip() or 0)


def _refuse_second_past(one: Cluster) -> None:
    """Refuse a restored cluster whose timeline another one took since: the repository has one of each."""
    own = f"{restore.timeline(one):08X}.history"
    if any(Path(name).name == own for name in repository.names(one)):
        raise BackupFailed(
            f"another restored database was swapped in since {one.data_dir} was restored: restore again"
        )
