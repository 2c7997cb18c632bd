"""The audit's key: in the first backup, never replaced in silence where it is gone, declared lost aloud."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api import recorder
from api.main import make_app
from gis import access, audit, audit_keys, second_factor
from gis.backup import checks, record, repository, restore
from gis.errors import BadInput, SigningKeyLost
from gis.schema_access import audit as log
from tests import forking, town
from tests.test_recorder import until
from tests.test_rotation import WHO, every_death
from tests.with_backups import installed


def test_the_first_backup_holds_the_keys_of_what_comes_after_it() -> None:
    """A bare machine has the repository and its key alone; nothing was signed or sealed at the backup."""
    with installed(begun=False) as one:
        assert not audit_keys.is_there(one.data_dir)
        made = one.take("full")
        one.note("after the first backup")
        sealed = second_factor.seal(one.data_dir, "secret", b"key")
        while not made.serves(moment := datetime.now(UTC)):
            time.sleep(0.1)
        one.note("later")
        restore._send_all(one.data_dir)
        into = one.home / "bare" / "data"
        brought = restore.restore(repository.load(one.data_dir), into, moment)
        with one.engine(into).begin() as conn:
            restore.settle(conn, into)
            found = checks.Restored(into, brought.before, record.take(conn, brought.before.publication))
            assert checks.check(conn, found) == []
            assert [json.loads(text)["what"] for text in conn.scalars(sa.select(log.c.entry))] == [
                "after the first backup"
            ]
        assert second_factor.unseal(into, sealed, b"key") == "secret"


@pytest.fixture
def chain(engine: Engine) -> Iterator[Connection]:
    """A connection to an empty audit, rolled back afterwards."""
    with engine.connect() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))
        yield conn
        conn.rollback()


def _append(conn: Connection, folder: Path, *what: str) -> None:
    audit.append(conn, "*", [audit.entry(folder, WHO, one, "192.0.2.1") for one in what])
    audit.seal(conn, folder, {})


def _lose(folder: Path) -> None:
    for path in (folder / "audit").glob("signing-key*.pem"):
        path.unlink()


@pytest.mark.parametrize("rotations", [0, 1, 2])
@pytest.mark.parametrize("another_process", [False, True])
def test_a_key_that_is_gone_is_not_made_anew(
    chain: Connection, tmp_path: Path, rotations: int, another_process: bool
) -> None:
    _append(chain, tmp_path, "before")
    for _ in range(rotations):
        audit_keys.prepare(tmp_path)
        audit_keys.put_in_force(tmp_path)
    _append(chain, tmp_path, "under the last")
    _lose(tmp_path)
    if another_process:
        audit_keys._held.clear()
    for _ in range(2):
        with pytest.raises(SigningKeyLost, match=r"rotate audit --lost"):
            audit.entry(tmp_path, WHO, "read", "")
        with pytest.raises(SigningKeyLost):
            audit.seal(chain, tmp_path, {})
        with pytest.raises(SigningKeyLost):
            audit.ensure_key(chain, tmp_path)
    assert not list((tmp_path / "audit").glob("signing-key*.pem"))
    assert audit.verify(chain, tmp_path) == [audit_keys.lost_words(tmp_path)], "the rest is whole"


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_another_key_in_its_place_signs_nothing(chain: Connection, tmp_path: Path, rotations: int) -> None:
    _append(chain, tmp_path, "before")
    for _ in range(rotations):
        audit_keys.prepare(tmp_path)
        audit_keys.put_in_force(tmp_path)
        _append(chain, tmp_path, "under the next")
    (pem,) = (tmp_path / "audit").glob("signing-key*.pem")
    right, foreign = pem.read_bytes(), tmp_path / "foreign"
    audit_keys.sign(foreign, {})
    pem.unlink()
    pem.write_bytes((foreign / "audit" / "signing-key.pem").read_bytes())
    for attempt in (audit_keys.prepare, lambda folder: audit.ensure_key(chain, folder)):
        with pytest.raises(SigningKeyLost, match=r"is not the key that has signed .* --lost"):
            attempt(tmp_path)
    with pytest.raises(SigningKeyLost):
        audit.entry(tmp_path, WHO, "read", "")
    (fault,) = audit.verify(chain, tmp_path)
    assert "is not the key that has signed" in fault, "what was signed is whole"
    pem.unlink()
    pem.write_bytes(right)
    _append(chain, tmp_path, "by the right one again")
    assert audit.verify(chain, tmp_path) == []
    pem.unlink()
    _declare_lost(chain, tmp_path)
    _append(chain, tmp_path, "after the loss")
    assert audit.verify(chain, tmp_path) == []


def test_the_whole_folder_gone_is_not_made_anew_by_who_signed_with_it(
    chain: Connection, tmp_path: Path
) -> None:
    _append(chain, tmp_path, "before")
    for path in (tmp_path / "audit").iterdir():
        path.unlink()
    with pytest.raises(SigningKeyLost):
        audit.entry(tmp_path, WHO, "read", "")


def test_a_fresh_folder_is_refused_over_an_audit_that_has_begun(chain: Connection, tmp_path: Path) -> None:
    here, fresh = tmp_path / "here", tmp_path / "fresh"
    audit.ensure_key(chain, here)
    assert audit_keys.is_there(here), "before the first entry it is made"
    _append(chain, here, "begun")
    with pytest.raises(SigningKeyLost, match="or the other machine"):
        audit.ensure_key(chain, fresh)
    assert audit.verify(chain, fresh) == [audit_keys.lost_words(fresh)]
    (fresh / "audit").mkdir(parents=True)
    for path in (here / "audit").glob("signing-key*"):
        (fresh / "audit" / path.name).write_bytes(path.read_bytes())
    audit.ensure_key(chain, fresh)
    _append(chain, fresh, "by the other machine")
    assert audit.verify(chain, here) == audit.verify(chain, fresh) == []


def _declare_lost(conn: Connection, folder: Path) -> None:
    audit_keys.prepare_after_loss(folder, audit.held(conn))
    audit_keys.put_in_force(folder)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_declared_loss_lets_it_go_on_and_hides_nothing(
    chain: Connection, tmp_path: Path, is_known: bool
) -> None:
    """With its public half what it signed is verified as ever; without, the heads at the loss hold it."""
    _append(chain, tmp_path, "one", "two", "three")
    with pytest.raises(BadInput, match="is there"):
        audit_keys.prepare_after_loss(tmp_path, audit.held(chain))
    _lose(tmp_path)
    if not is_known:
        (tmp_path / "audit" / "signing-key.pub").unlink()
    _declare_lost(chain, tmp_path)
    _append(chain, tmp_path, "four", "five")
    assert audit.verify(chain, tmp_path) == []
    (note,) = audit.notes(tmp_path)
    assert ("verified as ever" in note) is is_known
    for seq in range(1, 6):
        with chain.begin_nested() as nested:
            chain.execute(log.update().where(log.c.seq == seq).values(entry=log.c.entry + " "))
            assert audit.verify(chain, tmp_path), seq
            nested.rollback()
    with chain.begin_nested() as nested:
        _rewrite_up_to(chain, 3)
        assert audit.verify(chain, tmp_path), "hashes that fit do not help"
        nested.rollback()
    audit_keys.prepare(tmp_path)
    audit_keys.put_in_force(tmp_path)
    _append(chain, tmp_path, "six")
    assert audit.verify(chain, tmp_path) == []


def _rewrite_up_to(conn: Connection, last: int) -> None:
    """Write another text into the first entry, and hashes that fit from there on."""
    hashed = audit.hashlib.sha256(b"*").digest()
    for row in conn.execute(sa.select(log).order_by(log.c.seq)).all():
        text = row.entry.replace("one", "won") if row.seq <= last else row.entry
        hashed = audit._hash(hashed, "*", row.seq, row.at, text)
        conn.execute(log.update().where(log.c.seq == row.seq).values(entry=text, hash=hashed))
    conn.execute(sa.text("UPDATE audit_heads SET hash = :h"), {"h": hashed})


@pytest.mark.parametrize("is_known", [True, False])
def test_a_kill_anywhere_leaves_a_loss_that_can_be_declared(
    chain: Connection, tmp_path: Path, is_known: bool
) -> None:
    _append(chain, tmp_path, "before")
    _lose(tmp_path)
    if not is_known:
        (tmp_path / "audit" / "signing-key.pub").unlink()
    audit_keys._held.clear()
    deaths = 0
    for _ in every_death(lambda: _declare_lost(chain, tmp_path) if not audit_keys.is_there(tmp_path) else 0):
        deaths += 1
        if audit_keys.is_there(tmp_path):
            break
    assert deaths >= 5
    _append(chain, tmp_path, "after")
    assert audit.verify(chain, tmp_path) == []


def test_a_service_whose_key_is_gone_says_so_and_gives_nothing_protected(
    engine: Engine, service_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "EVERY_S", 0.02)
    with engine.begin() as conn:
        town.furnish(conn)
        key = access.create_key(conn, "commander", None, scheme="safety", label="desk").key
    ask = {"Authorization": f"Bearer {key}"}
    where = "/responders/nearest?lon=113.01&lat=27.04"
    with TestClient(make_app(lambda: service_engine, tmp_path)) as client:
        assert client.get(where, headers=ask).status_code != 503
        pem = tmp_path / "audit" / "signing-key.pem"
        pem.rename(tmp_path / "aside")
        until(lambda: "rotate audit --lost" in client.get("/health/ready").text)
        assert client.get("/health/ready").status_code == 503
        assert client.get(where, headers=ask).status_code == 503
        assert client.get("/city").status_code == 200
        (tmp_path / "aside").rename(pem)
        until(lambda: client.get(where, headers=ask).status_code != 503)
        until(lambda: "rotate audit --lost" not in client.get("/health/ready").text)


def test_the_commands_refuse_and_say_the_way_out(database: str, engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))
    said = tmp_path / "said"
    said.mkdir()

    def run(words: str, folder: str = "data") -> CompletedProcess[str]:
        there = {"SAFETYMAP_DATABASE_URL": database, "SAFETYMAP_DATA_DIR": str(tmp_path / folder)}
        for name in ("stdout", "stderr"):
            (said / name).unlink(missing_ok=True)
        return forking.command(words.split(), there, said)

    assert run("db up").returncode == 0
    assert audit_keys.is_there(tmp_path / "data")
    assert run("key create --role field --label a").returncode == 0
    _lose(tmp_path / "data")
    for folder in ("data", "fresh"):
        for words in ("db up", "serve --port 1", "audit verify", "key create --role field", "rotate audit"):
            done = run(words, folder)
            assert (done.returncode, "rotate audit --lost" in done.stderr) == (1, True), (words, done)
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    with engine.connect() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM access_keys WHERE label = 'field'")) == 0
    done = run("rotate audit --lost")
    assert done.returncode == 0, done.stderr
    done = run("audit verify")
    assert (done.returncode, "was declared lost" in done.stderr) == (0, True), done
    with engine.connect() as conn:
        told = [json.loads(text)["what"] for text in conn.scalars(sa.select(log.c.entry).order_by(log.c.seq))]
    assert told == ["key create", "audit key lost"]
    assert run("rotate audit --lost").returncode == 1, "it is there"
