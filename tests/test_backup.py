"""Backups: what comes back, to which moment, and what the checks of a restored database find."""

import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection

from api import access
from api.main import make_app
from gis import audit, audit_keys, audit_queue, cluster, db, second_factor
from gis.access import Principal
from gis.backup import checks, record, repository, restore
from gis.errors import BackupFailed, BadInput
from tests import town
from tests.with_backups import Installation, installed


@pytest.fixture(scope="module")
def one() -> Iterator[Installation]:
    with installed() as made:
        made.take("full")
        yield made


@pytest.fixture
def into(one: Installation) -> Iterator[Path]:
    folder = one.home / "new" / "data"
    yield folder
    restore.clear(folder)


class Writer:
    """Commits a row many times a second, and keeps between which moments each was committed."""

    def __init__(self, one: Installation) -> None:
        self._engine, self._ends = one.engine(), threading.Event()
        self.rows: list[tuple[str, datetime, datetime]] = []
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _write(self) -> None:
        with self._engine.connect() as conn:
            while not self._ends.wait(0.02):
                code, begun = f"w{time.time_ns()}", datetime.now(UTC)
                conn.execute(
                    sa.text("INSERT INTO categories (code, name_zh, name_en) VALUES (:c, '-', '-')"),
                    {"c": code},
                )
                conn.commit()
                self.rows.append((code, begun, datetime.now(UTC)))


def _written(data_dir: Path) -> set[str]:
    with sa.create_engine(cluster.up(data_dir), poolclass=sa.NullPool).connect() as conn:
        return set(conn.scalars(sa.text("SELECT code FROM categories WHERE code LIKE 'w%'")))


def _moments(writer: Writer, count: int, seed: int) -> list[datetime]:
    """Random moments while the writer wrote, most of them between two commits."""
    rng = random.Random(seed)
    first, last = writer.rows[0][1], writer.rows[-1][2]
    return [first + (last - first) * rng.random() for _ in range(count)]


def prove_moments(one: Installation, count: int, seed: int, seconds: float) -> None:
    """Restore to random moments: rows committed up to each are there, later ones are not."""
    with Writer(one) as writer:
        time.sleep(seconds)
    for moment in _moments(writer, count, seed):
        into = one.home / "moment" / "data"
        assert one.restore(into, moment) == []
        there = _written(into)
        restore.clear(into)
        for code, begun, ended in writer.rows:
            assert code in there or ended > moment, f"{code} of {ended} is not there at {moment}"
            assert code not in there or begun <= moment, f"{code} of {begun} is there at {moment}"


def test_a_moment_has_the_rows_up_to_it_and_no_later_ones(one: Installation) -> None:
    time.sleep(1.5)  # the backup ended within the second before
    prove_moments(one, 2, seed=15, seconds=3)


@pytest.mark.slow
def test_a_hundred_random_moments(one: Installation) -> None:
    for seed in range(10):
        one.take("diff")
        time.sleep(1.5)
        prove_moments(one, 10, seed, seconds=20)


def test_the_checks_hold_it_whole_and_it_answers_the_same(one: Installation, into: Path) -> None:
    one.note("before the backup")
    one.take("diff")
    one.note("after the backup")
    assert one.restore(into) == []
    with one.engine().connect() as conn, one.engine(into).connect() as other:
        here, there = record.take(conn), record.take(other)
    assert here.rows == there.rows
    assert (here.rules, here.shapes, here.errors) == (there.rules, there.shapes, there.errors)
    assert len(here.rules["policies"]) > 20
    answers, others = _answers(one.data_dir), _answers(into)
    assert {path: (answer, others[path]) for path, answer in answers.items() if others[path] != answer} == {}
    assert sum(status == 200 for status, _ in answers.values()) > 80


def _answers(data_dir: Path) -> dict[str, tuple[int, str]]:
    """What the service says over a data directory to questions of many kinds."""
    engine = db.make_engine(cluster.service_url(data_dir, cluster.up(data_dir)))
    app = make_app(lambda: engine, data_dir)
    app.dependency_overrides[access.who] = lambda: Principal("admin", full_role="admin", may_export=True)
    with TestClient(app, raise_server_exceptions=False) as client:
        told = {path: client.get(path) for path in _questions()}
    engine.dispose()
    moment = re.compile(r'"timeStamp": ?"[^"]*"')
    return {path: (answer.status_code, moment.sub("", answer.text)) for path, answer in told.items()}


def _questions() -> list[str]:
    rng = random.Random(7)
    places = [town.at(rng.uniform(0, 5), rng.uniform(0, 5)) for _ in range(90)]
    lists = [f"/collections/{name}/items?limit=100" for name in ("grids", "incidents", "buildings")]
    tiles = [f"/tiles/{name}/12/3333/1728.mvt" for name in ("grids", "incidents", "buildings")]
    others = ["/city", "/layers", "/grids/search?q=a", "/collections", "/session"]
    return [*(f"/grids/at?lon={lon}&lat={lat}" for lon, lat in places), *lists, *tiles, *others]


def test_what_lies_beside_the_cluster_comes_back(one: Installation, into: Path) -> None:
    """Keys, heads, archives: whatever is in the data directory, of any size, but not what is left out."""
    sizes = {"archives/a.pmtiles": 3 << 20, "archives/b.pmtiles": (1 << 20) + 1, "empty": 0, "图/x y": 9}
    for name, size in sizes.items():
        path = one.data_dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.Random(size).randbytes(size))
    (one.data_dir / "logs").mkdir(exist_ok=True)
    (one.data_dir / "logs" / "service.log").write_text("of this machine")
    one.take("diff")
    assert one.restore(into) == []
    for name in [*sizes, "pg-password", "audit/signing-key.pem"]:
        assert (into / name).read_bytes() == (one.data_dir / name).read_bytes(), name
        assert (into / name).stat().st_mode & 0o777 == 0o600
    assert not (into / "logs").exists()
    key = (one.data_dir / "audit/signing-key.pem").read_bytes()
    assert not any(key[30:60] in path.read_bytes() for path in one.cluster.data.rglob("safetymap/**/*.pem"))


def test_entries_that_waited_in_a_killed_service_are_in_the_restored_audit(
    one: Installation, into: Path
) -> None:
    who = Principal("admin", name="of a killed service")
    waiting = audit_queue.begin(one.data_dir)
    waiting.add(audit.entry(one.data_dir, who, "read", "192.0.2.1"))
    one.take("diff")
    waiting.done()
    assert one.restore(into) == []
    with one.engine(into).connect() as conn:
        found = conn.scalar(sa.text("SELECT count(*) FROM audit WHERE entry LIKE '%of a killed service%'"))
    assert found == 1


def test_heads_signed_since_the_backup_hold_what_came_since(one: Installation, into: Path) -> None:
    """Who changes the log that is restored is found: heads of the installation in force go on further."""
    one.take("diff")
    for n in range(3):
        one.note(f"since {n}")
    moment = datetime.now(UTC)
    time.sleep(1)
    one.note("later")
    assert one.restore(into, moment) == []
    signed = (into / "audit").glob("heads_*.jsonl")
    now = one.data_dir / "audit"
    assert [len(path.read_text().splitlines()) for path in signed] == [
        len((now / path.name).read_text().splitlines()) - 1 for path in (into / "audit").glob("heads_*")
    ]


def test_keys_that_changed_since_the_backup_are_in_it(one: Installation, into: Path) -> None:
    """It is taken between a change's preparation and its being in force, as `safetymap rotate` does."""
    with one.engine().begin() as conn:
        audit.bring_in(conn, one.data_dir)
        held = {str(n): second_factor.seal(one.data_dir, f"secret {n}", str(n).encode()) for n in range(3)}
    audit_keys.prepare(one.data_dir)
    second_factor.prepare(one.data_dir)
    one.take("diff")
    audit_keys.put_in_force(one.data_dir)
    one.note("signed by the new key")
    second_factor.put_in_force(one.data_dir)
    held["new"] = second_factor.seal(one.data_dir, "secret new", b"new")
    assert len({text.partition(":")[0] for text in held.values()}) == 2
    assert one.restore(into) == []
    for name, text in held.items():
        assert second_factor.unseal(into, text, name.encode()) == f"secret {name}"
    with one.engine(into).connect() as conn:
        assert audit.verify(conn, into) == []


SPOILED: dict[str, tuple[str, str]] = {
    "a table is emptied": ("tables", "DELETE FROM buildings"),
    "a row of the audit is gone": ("anchored", "DELETE FROM audit WHERE seq = 1"),
    "incidents are lost": ("tables", "DELETE FROM incidents WHERE id = (SELECT max(id) FROM incidents)"),
    "a grid moved": ("coverage", "UPDATE grids SET geom = ST_Translate(geom, .001, 0) WHERE code = 'T1a'"),
    "a grid is gone": ("coverage", "DELETE FROM grids WHERE code = 'T1a'"),
    "a policy is open": ("rules", "ALTER POLICY {policy} USING (true)"),
    "a policy is gone": ("rules", "DROP POLICY {policy}"),
    "row security is off": ("rules", "ALTER TABLE incidents DISABLE ROW LEVEL SECURITY"),
    "a grant too many": ("rules", "GRANT SELECT ON access_keys TO safetymap_service"),
    "an index is gone": ("rules", "DROP INDEX {index}"),
    "of a foreign program": ("migrations", "UPDATE alembic_version SET version_num = '9999'"),
    "of an older program": ("migrations", "UPDATE alembic_version SET version_num = '0030'"),
}


@pytest.fixture(scope="module")
def before(one: Installation) -> record.Record:
    with one.engine().connect() as conn:
        return record.take(conn)


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_not_whole_is_found_and_named(one: Installation, before: record.Record, what: str) -> None:
    finds, spoil = SPOILED[what]
    with one.engine().connect() as conn:
        assert checks.check(conn, _state(conn, one, before)) == []
        conn.execute(sa.text(spoil.format(policy=_policy(conn), index=_index(conn))))
        found = checks.check(conn, _state(conn, one, before))
        conn.rollback()
    assert [line for line in found if line.startswith(f"{finds}: ")], found


def _state(conn: Connection, one: Installation, before: record.Record) -> checks.Restored:
    return checks.Restored(one.data_dir, before, record.take(conn, before.publication))


def _policy(conn: Connection) -> str:
    query = (
        "SELECT policyname || ' ON ' || tablename FROM pg_policies WHERE cmd = 'SELECT' ORDER BY 1 LIMIT 1"
    )
    return str(conn.scalar(sa.text(query)))


def _index(conn: Connection) -> str:
    query = (
        "SELECT indexname FROM pg_indexes WHERE tablename = 'buildings' AND indexdef LIKE '%gist%' LIMIT 1"
    )
    return str(conn.scalar(sa.text(query)))


def test_the_leakproof_mark_is_looked_for(one: Installation, before: record.Record) -> None:
    for mark in ("NOT LEAKPROOF", "LEAKPROOF"):
        script = f"\\connect safetymap\nALTER FUNCTION geometry_overlaps(geometry, geometry) {mark};"
        assert one.cluster.sql(script).returncode == 0
        with one.engine().connect() as conn:
            found = checks.check(conn, _state(conn, one, before))
        assert bool(found) is (mark != "LEAKPROOF"), found


def test_a_folder_that_holds_anything_is_refused_and_stays(one: Installation) -> None:
    full = one.home / "full"
    full.mkdir()
    (full / "mine").write_text("kept")
    with pytest.raises(BadInput, match="is not empty"):
        one.restore(full)
    assert (full / "mine").read_text() == "kept"


def test_a_moment_before_the_first_backup_is_refused(one: Installation, into: Path) -> None:
    with pytest.raises(BackupFailed, match="the oldest backup is of"):
        one.restore(into, datetime.now(UTC) - timedelta(days=1))
    assert not into.exists()


def test_a_moment_that_the_log_does_not_reach_is_refused_with_its_end(one: Installation, into: Path) -> None:
    """The installation is gone, and the log ends with its last commit: nobody knows what was later."""
    one.note("the last")
    restore._send_all(one.data_dir)
    time.sleep(2)
    moment = datetime.now(UTC)
    with pytest.raises(BackupFailed, match=r"its last transaction is of 20.*leave --at out"):
        restore.restore(repository.load(one.data_dir), into, moment)
    assert not into.exists()
    assert restore.restore(repository.load(one.data_dir), into, None).backup.label


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yesterday", "is no moment"), ("2026-11-30T14:00:00", "says no zone"), ("", "is no moment"),
        ("2026-13-01T00:00:00Z", "is no moment"),
        ("2999-01-01T00:00:00Z", "still to come"), ("2026-11-30", "says no zone"),
    ],
)  # fmt: skip
def test_a_moment_is_one_with_a_zone(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        restore.moment_of(text)


def test_a_moment_may_be_of_any_zone() -> None:
    assert restore.moment_of("2025-01-01T08:00:00+08:00") == restore.moment_of("2025-01-01T00:00:00Z")


def test_readiness_and_metrics_say_how_backups_go(one: Installation) -> None:
    engine = db.make_engine(cluster.service_url(one.data_dir, cluster.up(one.data_dir)))
    last = one.data_dir / "backup" / "last.json"
    with TestClient(make_app(lambda: engine, one.data_dir)) as client:
        one.take("diff")
        fresh = client.get("/health/ready").json()
        assert fresh["backup"]["age_s"] < 60
        assert (fresh["backup"]["log_failing"], fresh["backup"]["warnings"]) == (False, [])
        assert _metric(client, "safetymap_backup_age_seconds") < 60
        last.write_text('{"at": "2020-01-01T00:00:00+00:00", "reason": "disk"}')
        old = client.get("/health/ready")
        assert old.status_code == 200
        assert [line.split(":")[0][:21] for line in old.json()["backup"]["warnings"]] == [
            "the newest backup is ", "the last backup faile",
        ]  # fmt: skip
        assert _metric(client, "safetymap_backup_failed") == 1
        last.unlink()
        assert "no backup yet" in client.get("/health/ready").json()["backup"]["warnings"][0]
        moved = shutil.move(one.repo, one.home / "away")
        one.cluster.sql("SELECT pg_current_xact_id(); SELECT pg_switch_wal()")
        _wait(lambda: _metric(client, "safetymap_log_failing") == 1)
        assert "cannot be sent" in str(client.get("/health/ready").json()["backup"]["warnings"])
        shutil.move(moved, one.repo)
        _wait(lambda: _metric(client, "safetymap_log_failing") == 0)
    engine.dispose()


def _metric(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def _wait(until: Callable[[], bool], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.5)
