"""Disks run full amid writes and get room again: nothing acknowledged is lost, no read is unrecorded."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import pytest

from gis import cluster
from gis.errors import ClusterFailed
from tests.browsing import wait
from tests.installation import (
    BACK_S,
    Installation,
    Reader,
    acknowledged,
    beside,
    faults_of_audit,
    full,
    installation,
    is_well,
    recorded,
    reporting,
    small_disk,
    stored,
)

pytestmark = pytest.mark.slow
TIMES = 7


@contextmanager
def _log_on_a_disk(it: Installation) -> Iterator[Path]:
    """Lay the database's log of changes on a disk of its own."""
    one, disk = cluster.find(it.home), it.home / "log"
    cluster.down(it.home)
    with small_disk(disk, 128):
        inside, log = disk / "pg_wal", one.data / "pg_wal"
        subprocess.run(["cp", "-a", log, inside], check=True)
        shutil.rmtree(log)
        log.symlink_to(inside)
        cluster.up(it.home)
        yield disk
        cluster.down(it.home)


@contextmanager
def _audit_on_a_disk(it: Installation) -> Iterator[Path]:
    yield it.home / "audit"


@contextmanager
def _all_on_a_disk(it: Installation) -> Iterator[Path]:
    yield it.home


DISKS = {"all": {"": 700}, "audit": {"audit": 2}, "log": {}}
"""Folders of the installation with a disk of their own, in MB."""
FILLED = {"all": _all_on_a_disk, "audit": _audit_on_a_disk, "log": _log_on_a_disk}


@pytest.mark.parametrize("disk", FILLED)
def test_a_full_disk_loses_nothing(disk: str) -> None:
    with installation("full-", DISKS[disk]) as it, FILLED[disk](it) as folder:
        reader, longest, before = Reader(it.client, it.key), 0.0, recorded(it)
        with _kept_running(it), reporting(it.client, it.key, 3) as reporters:
            for _ in range(TIMES):
                is_well(reader, reporters)
                with full(folder):
                    wait(lambda: _uses_up_its_log(it) and reader.protected() in (0, 503), BACK_S)
                    wait(lambda: not _is_ready(it), BACK_S)
                    time.sleep(2)
                begun = time.monotonic()
                is_well(reader, reporters)
                longest = max(longest, time.monotonic() - begun)
        known = acknowledged(reporters)
        assert {name: there for name, there in stored(it).items() if name in known} == known
        wait(lambda: recorded(it) - before >= reader.answered, BACK_S)
        assert faults_of_audit(it) == []
        counts = f"{disk}: {TIMES} times, {len(known)} written, {reader.answered} read"
        sys.stderr.write(f"{counts}; back within {longest:.1f} s\n")


@contextmanager
def _kept_running(it: Installation) -> Iterator[None]:
    """Start the database where it has ended, as systemd does: it ends where its log finds no room."""

    def keep(over: threading.Event) -> None:
        while not over.wait(0.5):
            if cluster.running(it.home) is None:
                with suppress(ClusterFailed, OSError):  # no room yet
                    cluster.up(it.home)

    with beside(keep):
        yield


def _uses_up_its_log(it: Installation) -> bool:
    """Have the database begin a new segment of its log, where it lives: those it has ready hold for long."""
    if cluster.running(it.home):
        cluster.find(it.home).sql("SELECT txid_current(); SELECT pg_switch_wal();")
    return True


def _is_ready(it: Installation) -> bool:
    try:
        return it.is_ready()
    except httpx.TransportError:
        return False
