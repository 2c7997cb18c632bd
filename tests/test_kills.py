"""Processes of every kind are killed amid writes: nothing acknowledged is lost, no read is unrecorded."""

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gis import cluster
from tests.browsing import wait
from tests.installation import (
    BACK_S,
    Installation,
    Reader,
    acknowledged,
    faults_of_audit,
    installation,
    is_well,
    recorded,
    reporting,
    stored,
)

pytestmark = pytest.mark.slow
KILLS = 20


@pytest.fixture(scope="module")
def it() -> Iterator[Installation]:
    with (
        installation("kills-") as made,
        tempfile.TemporaryDirectory(prefix="repository-", dir="/var/tmp") as kept,
    ):
        cluster.find(made.home).give(Path(kept))
        assert made.command("backup", "setup", "--to", kept).wait(60) == 0, made.said()
        assert made.command("backup").wait(120) == 0, made.said()
        yield made


def _kill_a_worker(it: Installation, chance: random.Random) -> None:
    os.kill(chance.choice(sorted(it.processes())), signal.SIGKILL)


def _kill_the_service(it: Installation, _: random.Random) -> None:
    """All of it; systemd starts it again (deploy/safetymap.service)."""
    os.killpg(it.service.pid, signal.SIGKILL)
    it.service.wait()
    it.service = it.serve()


def _kill_the_database(it: Installation, _: random.Random) -> None:
    it.kill_database()
    cluster.up(it.home)


def _kill_the_postmaster(it: Installation, _: random.Random) -> None:
    """It alone: its children end by themselves."""
    os.kill(it.database()[0], signal.SIGKILL)
    wait(lambda: cluster.running(it.home) is None)
    cluster.up(it.home)


def _kill_a_session(it: Installation, chance: random.Random) -> None:
    """Of the database: it ends all others too, and begins anew."""
    os.kill(chance.choice(it.database()[1:]), signal.SIGKILL)


def _kill_a_backup(it: Installation, chance: random.Random) -> None:
    backup = it.command("backup")
    time.sleep(chance.uniform(0.2, 6))
    with suppress(ProcessLookupError):
        os.killpg(backup.pid, signal.SIGKILL)
    backup.wait()


VICTIMS: tuple[Callable[[Installation, random.Random], None], ...] = (
    _kill_a_worker, _kill_the_service, _kill_the_database, _kill_the_postmaster, _kill_a_session,
    _kill_a_backup,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_kills_lose_nothing(it: Installation, seed: int) -> None:
    chance = random.Random(seed)
    reader = Reader(it.client, it.key)
    longest: dict[str, float] = {}
    before = recorded(it)
    with reporting(it.client, it.key, 3) as reporters:
        for _ in range(KILLS):
            is_well(reader, reporters)
            kill = chance.choice(VICTIMS)
            kill(it, chance)
            begun = time.monotonic()
            is_well(reader, reporters)
            back = time.monotonic() - begun
            longest[kill.__name__] = max(longest.get(kill.__name__, 0), back)
    known = acknowledged(reporters)
    assert {name: there for name, there in stored(it).items() if name in known} == known
    wait(lambda: recorded(it) - before >= reader.answered, BACK_S)
    assert it.command("backup").wait(120) == 0, it.said()
    assert it.command("backup", "verify").wait(120) == 0, it.said()
    assert faults_of_audit(it) == []
    slowest = ", ".join(f"{name[6:]} {seconds:.1f} s" for name, seconds in sorted(longest.items()))
    counts = f"{len(known)} written, {reader.answered} read"
    sys.stderr.write(f"{counts}; back within: {slowest}\n")
