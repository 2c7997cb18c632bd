"""A whole installation for tests of what breaks: cluster, service of two processes, reporters and readers."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import httpx2 as httpx
import pytest
import sqlalchemy as sa

from api.connections import GRACE_S
from gis import access, audit, cluster, db, postgres
from gis.migrate import migrate
from gis.settings import ROOT
from tests import town
from tests.browsing import free_port, wait

LIMIT_MS = 3_000
EACH_ITS_OWN = {"Connection": "close"}
"""A connection for every request, so that both processes are asked."""


class Installation:
    """A private cluster with the town, the service over it, and a commander's key."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        engine = db.make_engine(cluster.up(home))
        with engine.begin() as conn:
            migrate(conn)
            batch = town.furnish(conn)
            town.add_building(conn, batch, "1", town.at(1, 1))
            town.add_incidents(conn, batch, [town.at(1, 1), town.at(1, 1.5)])
            self.key = access.create_key(conn, "commander", scheme="safety", label="").key
        engine.dispose()
        self.log = home / "service.log"
        self.service = self.serve()
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False, headers=EACH_ITS_OWN
        )
        self.known = {"Authorization": f"Bearer {self.key}"}

    def command(self, *words: str, **settings: str) -> "subprocess.Popen[bytes]":
        """Start one of the program's commands on this installation, in a group of processes of its own."""
        settings |= {"SAFETYMAP_DATA_DIR": str(self.home)}
        command = [Path(sys.executable).with_name("safetymap"), *words]
        with self.log.open("a") as said:
            return subprocess.Popen(
                command, cwd=ROOT, env=os.environ | settings, stdout=said, stderr=said, start_new_session=True
            )

    def serve(self) -> "subprocess.Popen[bytes]":
        """Start the service, as systemd does."""
        words = ("serve", "--port", str(self.port), "--workers", "2")
        limits = ("SAFETYMAP_STATEMENT_TIMEOUT_MS", "SAFETYMAP_TILE_TIMEOUT_MS")
        return self.command(*words, **dict.fromkeys(limits, str(LIMIT_MS)))

    def said(self) -> str:
        """Return the end of what all of them wrote."""
        return self.log.read_text()[-3000:]

    def lives(self) -> bool:
        """Whether it says that it lives, to a caller with a key as well."""
        assert self.service.poll() is None, self.said()
        try:
            return all(
                self.client.get("/health/live", headers=h).status_code == 200 for h in ({}, self.known)
            )
        except httpx.TransportError:
            return False

    def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        return self.client.get("/health/ready").status_code == 200

    def get(self, path: str, *, known: bool = False) -> httpx.Response:
        """Ask as anybody, or as the commander."""
        return self.client.get(path, headers=self.known if known else {})

    def database(self) -> list[int]:
        """The processes of the database."""
        parent = cluster.running(self.home)
        assert parent
        told = subprocess.run(
            ["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False
        ).stdout
        return [parent, *map(int, told.split())]

    def kill_database(self) -> None:
        """Kill all of the database's processes, and wait until they are gone."""
        pids = self.database()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait(
            lambda: (
                cluster.running(self.home) is None and not any(Path(f"/proc/{p}/cwd").exists() for p in pids)
            )
        )

    def processes(self) -> set[int]:
        """The processes that answer requests."""
        told = subprocess.run(
            ["pgrep", "-P", str(self.service.pid), "-f", "spawn_main"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return set(map(int, told.stdout.split()))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Give a folder, empty or not yet there, a disk of its own."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may mount no disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Keep the disk of a folder full while the block runs, whatever is given back meanwhile."""
    filler = folder / "filler"

    def fill(over: threading.Event) -> None:
        with filler.open("ab", buffering=0) as out:
            while not over.is_set():
                try:
                    out.write(bytes(1 << 12))
                except OSError:
                    over.wait(0.01)

    try:
        with beside(fill):
            yield
    finally:
        filler.unlink()


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Work in a thread while the block runs, until it is told that it is over."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def installation(prefix: str, disks: Mapping[str, int] = MappingProxyType({})) -> Iterator[Installation]:
    """One that is made, ready, and taken away again; `disks`: folders of its with so many MB of their own."""
    if not postgres._installations():
        pytest.skip("no PostgreSQL ≥ 15 is installed here for a private cluster")
    with tempfile.TemporaryDirectory(prefix=prefix, dir="/var/tmp") as name:
        home = Path(name)
        home.chmod(0o755)
        made: Installation | None = None
        mounted = ExitStack()
        try:
            for folder, megabytes in disks.items():
                mounted.enter_context(small_disk(home / folder, megabytes))
            home.chmod(0o755)
            made = Installation(home)
            wait(made.lives, 120)
            wait(made.is_ready, 30)
            yield made
        finally:
            if made:
                made.service.terminate()
                made.service.wait(GRACE_S + 20)
            cluster.down(home)
            mounted.close()
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()


@dataclass
class Reporter:
    """Somebody who reports incident after incident, each until it is acknowledged."""

    client: httpx.Client
    key: str
    name: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    """By the origin's id, the incident's id that was answered."""
    longest_s: float = 0
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Report until it is over."""
        number = 0
        while not self.over.is_set():
            number += 1
            self._report(f"{self.name}-{number}")

    def _report(self, name: str) -> None:
        lon, lat = town.at(1, 1)
        body = {"category": "0101", "source": "citizen", "lon": lon, "lat": lat, "origin": "drill"}
        body |= {"origin_id": name, "occurred_at": datetime.now(UTC).isoformat()}
        begun = time.monotonic()
        while not self.over.is_set():
            try:
                answer = self.client.post(
                    "/incidents", json=body, headers={"Authorization": f"Bearer {self.key}"}
                )
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if answer.status_code in (200, 201):
                self.acknowledged[name] = answer.json()["id"]
                self.longest_s = max(self.longest_s, time.monotonic() - begun)
                return
            assert answer.status_code == 503, answer.text
            time.sleep(0.1)


@contextmanager
def reporting(client: httpx.Client, key: str, number: int) -> Iterator[list[Reporter]]:
    """Let so many report while the block runs."""
    reporters = [Reporter(client, key, f"{uuid4().hex[:6]}{one}") for one in range(number)]
    threads = [threading.Thread(target=one.run) for one in reporters]
    for thread in threads:
        thread.start()
    try:
        yield reporters
    finally:
        for one in reporters:
            one.over.set()
        for thread in threads:
            thread.join()


def acknowledged(reporters: list[Reporter]) -> dict[str, int]:
    """Return what all of them were answered."""
    return {name: there for one in reporters for name, there in list(one.acknowledged.items())}


@dataclass
class Reader:
    """Somebody who reads what is protected; how often they were answered."""

    client: httpx.Client
    key: str
    answered: int = 0

    def protected(self) -> int:
        """Return the status of one more question; 0 where nobody answered."""
        asked = {"Authorization": f"Bearer {self.key}"}
        try:
            status = int(self.client.get("/collections/incidents/items", headers=asked).status_code)
        except httpx.TransportError:
            return 0
        self.answered += status == 200
        return status


BACK_S = 30
"""Within which all works again, without a hand."""


def is_well(reader: Reader, reporters: list[Reporter]) -> None:
    """Wait until all reporters were acknowledged once more and what is protected is answered."""
    before = [len(one.acknowledged) for one in reporters]
    wait(lambda: all(len(one.acknowledged) > n for one, n in zip(reporters, before, strict=True)), BACK_S)
    wait(lambda: reader.protected() == 200, BACK_S)


def _ask(it: Installation, question: str) -> list[sa.Row[tuple[object, ...]]]:
    engine = db.make_engine(cluster.up(it.home))
    with engine.connect() as conn:
        rows = conn.execute(sa.text(question)).all()
    engine.dispose()
    return list(rows)


def stored(it: Installation) -> dict[str, int]:
    rows = _ask(it, "SELECT origin_id, id FROM incidents WHERE origin = 'drill'")
    return {str(row.origin_id): int(row.id) for row in rows}


def recorded(it: Installation) -> int:
    """Return how many reads of incidents the audit holds."""
    [row] = _ask(it, "SELECT count(*) AS n FROM audit WHERE entry LIKE '%/collections/incidents/items%'")
    return int(row.n)


def faults_of_audit(it: Installation) -> list[str]:
    engine = db.make_engine(cluster.up(it.home))
    with engine.connect() as conn:
        faults = list(audit.verify(conn, it.home))
    engine.dispose()
    return [str(fault) for fault in faults]
