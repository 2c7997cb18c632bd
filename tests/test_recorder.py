"""The audit refuses rather than loses: killed processes, databases that are away, full disks, torn files."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api import recorder
from api.main import make_app
from api.recorder import Recorder
from gis import access, audit, audit_keys, audit_queue
from gis.access import ANYBODY, Principal
from gis.errors import NotRecorded
from gis.schema_access import audit as log
from tests import town
from tests.installation import full, small_disk

WHO = Principal("commander", "safety", "T1", name="duty desk")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    monkeypatch.setattr(recorder, "EVERY_S", 0.02)
    monkeypatch.setattr(recorder, "LATE_S", 0.3)
    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))


def recorded(engine: Engine) -> list[str]:
    """Return what the database's entries tell of, in their order."""
    with engine.connect() as conn:
        rows = conn.execute(sa.select(log.c.entry).order_by(log.c.chain, log.c.seq)).scalars()
        return [json.loads(row)["what"] for row in rows]


def until(met: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.02)


@contextmanager
def running(engines: Callable[[], Engine], folder: Path) -> Iterator[Recorder]:
    one = Recorder(engines, folder)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def whole(engine: Engine, folder: Path) -> list[str]:
    with engine.connect() as conn:
        return audit.verify(conn, folder)


_KILLED = """
import os, signal, sys
from pathlib import Path
from api.recorder import Recorder
from gis.access import Principal
one = Recorder(lambda: None, Path(sys.argv[1]))
for n in range(200):
    one.note(Principal("commander", "safety", "T1", name="duty desk"), f"read {n}", "")
    print(n, flush=True)
    if n == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("last", [0, 7, 150])
def test_what_was_given_out_before_a_kill_is_recorded_once(engine: Engine, tmp_path: Path, last: int) -> None:
    words = [sys.executable, "-c", _KILLED, str(tmp_path), str(last)]
    killed = subprocess.run(words, capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    assert killed.stdout.split()[-1] == str(last)
    assert f"{last + 1} entries" in whole(engine, tmp_path)[0]
    (left,) = tmp_path.glob("audit/waiting_*")
    texts = left.read_bytes()
    with running(lambda: engine, tmp_path):
        until(lambda: len(recorded(engine)) == last + 1)
    assert not list(tmp_path.glob("audit/waiting_*"))
    left.write_bytes(texts)  # as if killed between the commit and the end of the file
    with running(lambda: engine, tmp_path) as again:
        again.note(WHO, "after", "")
        until(lambda: len(recorded(engine)) == last + 2)
    assert recorded(engine) == [*(f"read {n}" for n in range(last + 1)), "after"]
    assert whole(engine, tmp_path) == []


def test_a_torn_last_line_is_left_out_and_the_others_come_in(engine: Engine, tmp_path: Path) -> None:
    queue = audit_queue.begin(tmp_path)
    queue.add(audit.entry(tmp_path, WHO, "given out", ""))
    os.write(queue.handle, audit.entry(tmp_path, WHO, "never given out", "").encode()[:40])
    os.close(queue.handle)
    with running(lambda: engine, tmp_path):
        until(lambda: recorded(engine) == ["given out"])
    assert whole(engine, tmp_path) == []


def test_a_file_whose_process_lives_is_left_alone(engine: Engine, tmp_path: Path) -> None:
    held = audit_queue.begin(tmp_path)
    held.add(audit.entry(tmp_path, WHO, "mine", ""))
    with running(lambda: engine, tmp_path) as one:
        one.note(WHO, "another's", "")
        until(lambda: recorded(engine) == ["another's"])
    assert held.path.exists()
    held.done()


def test_a_file_that_is_just_begun_is_taken_over_by_nobody(tmp_path: Path) -> None:
    """Two processes and more look for files left behind while others begin theirs."""
    stop, taken = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            taken.extend(one.path for one in audit_queue.left_behind(tmp_path))

    watchers = [threading.Thread(target=look) for _ in range(3)]
    for one in watchers:
        one.start()
    try:
        for n in range(300):
            begun = audit_queue.begin(tmp_path)
            begun.add(audit.entry(tmp_path, WHO, f"read {n}", ""))
            assert begun.path.exists()
            begun.done()
    finally:  # else they would go on beside all other tests
        stop.set()
        for one in watchers:
            one.join()
    assert taken == []


def test_a_log_that_is_closed_does_not_end_the_recorder(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(recorder, "log", structlog.wrap_logger(structlog.WriteLogger(closed)))
    away = Away(engine, OSError("no socket"))
    with running(away, tmp_path) as one:
        one.note(WHO, "read", "")
        until(lambda: one.lack() is not None)
        away.there = True
        until(lambda: one.lack() is None)
    assert recorded(engine) == ["read"]


class Away:
    """A database that can be away: in the ways in which one is."""

    def __init__(self, engine: Engine, failure: Exception) -> None:
        self.engine, self.failure, self.there = engine, failure, False

    def __call__(self) -> Engine:
        """Return the engine, or fail."""
        if not self.there:
            raise self.failure
        return self.engine


@pytest.mark.parametrize(
    "failure",
    [sa.exc.OperationalError("", {}, Exception()), OSError("no socket"), ValueError("no one foresaw it")],
)
def test_while_the_database_is_away_nothing_is_given_out_for_long_and_nothing_lost(
    engine: Engine, tmp_path: Path, failure: Exception
) -> None:
    away, given = Away(engine, failure), 0
    with running(away, tmp_path) as one:

        def refused() -> bool:
            nonlocal given
            try:
                one.note(WHO, f"read {given}", "")
            except NotRecorded as why:
                return "the audit cannot be written" in str(why)
            given += 1
            return False

        until(refused)
        assert given
        assert one.lack()
        assert one.behind_s() > recorder.LATE_S
        away.there = True
        until(lambda: one.lack() is None)
        one.note(WHO, f"read {given}", "")
        given += 1
    assert recorded(engine) == [f"read {n}" for n in range(given)]
    assert whole(engine, tmp_path) == []


def test_a_commit_of_which_nobody_heard_is_not_written_twice(engine: Engine, tmp_path: Path) -> None:
    class Deaf(Recorder):
        def _record(self, waiting: audit_queue.Waiting) -> None:  # a database that is deaf once
            first = not waiting.tried
            super()._record(waiting)
            if first:
                raise ConnectionResetError("the commit went through, its answer was lost")

    one = Deaf(lambda: engine, tmp_path)
    one.start()
    one.note(WHO, "once", "")
    until(lambda: one.behind_s() == 0)
    one.stop()
    assert recorded(engine) == ["once"]


_FULL = """
import resource, sys
from pathlib import Path
from api.recorder import Recorder
from gis.access import Principal
from gis.errors import NotRecorded
one, who = Recorder(lambda: None, Path(sys.argv[1])), Principal("commander", "safety", "T1", name="duty desk")
one.note(who, "before", "")
(file,) = Path(sys.argv[1]).glob("audit/waiting_*")
resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + int(sys.argv[2]), -1))
try:
    one.note(who, "too much", "")
except NotRecorded as why:
    said, lack = str(why), one.lack()
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
one.note(who, "after", "")
assert lack and lack in said
assert one.lack() is None
print(said)
"""


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_refuses_at_once(engine: Engine, tmp_path: Path, room: int) -> None:
    words = [sys.executable, "-c", _FULL, str(tmp_path), str(room)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "nothing protected is given out" in done.stdout
    with running(lambda: engine, tmp_path):
        until(lambda: len(recorded(engine)) == 2)
    assert recorded(engine) == ["before", "after"]
    assert whole(engine, tmp_path) == []


def test_a_disk_without_room_is_said_until_it_has_some(engine: Engine, tmp_path: Path) -> None:
    """Nobody need ask for what is protected: whoever asks whether we are ready hears of both."""
    with small_disk(tmp_path / "audit", 1) as disk, running(lambda: engine, tmp_path) as one:
        one.note(WHO, "before", "")
        until(lambda: len(recorded(engine)) == 1)
        with full(disk):
            until(lambda: _is_refused(one))
            assert "No space left" in str(one.lack())
            time.sleep(1.5)  # what it took until then is recorded, and for a moment its page is free
            until(lambda: _is_refused(one))
            time.sleep(2.5)
            assert one.lack()
        until(lambda: one.lack() is None)
        one.note(WHO, "after", "")
    assert recorded(engine)[0] == "before"
    assert recorded(engine)[-1] == "after"


def _is_refused(one: Recorder) -> bool:
    try:
        one.note(WHO, "too much", "")
    except NotRecorded:
        return True
    return False


def test_heads_that_cannot_be_signed_stop_it_too(engine: Engine, tmp_path: Path) -> None:
    heads = tmp_path / "audit" / f"heads_{datetime.now(UTC):%Y_%m}.jsonl"
    audit_keys.ensure(tmp_path, has_entries=False)
    heads.symlink_to("/dev/full")
    with running(lambda: engine, tmp_path) as one:
        one.note(WHO, "read", "")
        until(lambda: one.lack() is not None)
        with pytest.raises(NotRecorded):
            one.note(WHO, "more", "")
        heads.unlink()
        until(lambda: one.lack() is None)
    assert recorded(engine) == ["read"]
    assert whole(engine, tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [b'{"chain": "*", "seq": 1', b"", b"\xff\xfe", b"null", b"[]", b'"*"', b"{}", b'{"sig": "AAAA"}',
     b'{"sig": 7}', b'{"chain":[],"seq":"x","hash":0,"before":"","sig":"AAAA"}'],
)  # fmt: skip
@pytest.mark.parametrize("ends", [b"", b"\n"])
def test_torn_and_foreign_lines_are_findings(
    engine: Engine, tmp_path: Path, line: bytes, ends: bytes
) -> None:
    with running(lambda: engine, tmp_path) as one:
        one.note(WHO, "before", "")
    (heads,) = tmp_path.glob("audit/heads_*")
    with heads.open("ab") as file:
        file.write(line + ends)
    with running(lambda: engine, tmp_path) as one:
        one.note(WHO, "after", "")
    found = whole(engine, tmp_path)
    assert found == ([f"{heads.name}: line 2 is not what we wrote there"] if line + ends else [])


@pytest.fixture(scope="module")
def people(engine: Engine) -> tuple[str, str]:
    """The town with a crew; the keys of a commander and of an approver."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_responders(conn, batch, {"near": town.at(1, 1)})
        made = [access.create_key(conn, role, "T1", scheme="safety", label=role) for role in ROLES]
    return made[0].key, made[1].key


ROLES = ("commander", "approver")


def test_readiness_and_answers_say_that_the_audit_is_not_written(
    engine: Engine, service_engine: Engine, tmp_path: Path, people: tuple[str, str]
) -> None:
    with TestClient(make_app(lambda: service_engine, tmp_path)) as client:
        near = "/responders/nearest?lon=113.01&lat=27.04"
        ask = {"Authorization": f"Bearer {people[0]}"}
        assert client.get(near, headers=ask).status_code == 200
        assert client.get("/health/ready").status_code == 200
        with engine.begin() as conn:
            conn.execute(sa.text("LOCK audit_heads IN ACCESS EXCLUSIVE MODE"))
            until(lambda: client.get(near, headers=ask).status_code == 503)
            until(lambda: "audit cannot be written" in client.get("/health/ready").text)
            assert client.get("/health/ready").status_code == 503
            assert "safetymap_audit_waiting" in client.get("/metrics").text
            assert client.get("/grids/at?lon=113.01&lat=27.04").status_code == 200
        until(lambda: client.get(near, headers=ask).status_code == 200)


def test_failed_log_ins_are_entries(
    engine: Engine, service_engine: Engine, tmp_path: Path, people: tuple[str, str]
) -> None:
    with TestClient(make_app(lambda: service_engine, tmp_path)) as client:
        assert client.post("/session", json={"key": people[1], "code": "000000"}).status_code == 401
        assert client.post("/session", json={"key": "guessed"}).status_code == 401
    with engine.connect() as conn:
        told = [json.loads(row) for row in conn.execute(sa.select(log.c.entry).order_by(log.c.at)).scalars()]
    refused = {one["what"]: one["who"] for one in told if one["what"].startswith("log-in refused")}
    assert refused == {
        "log-in refused: wrong code": "approver",
        f"log-in refused: no key with hash {access.digest('guessed').hex()[:12]}": ANYBODY.name,
    }
    assert all((one["key"] is None) == (one["who"] == ANYBODY.name) for one in told)
