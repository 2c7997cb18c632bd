"""Keys and passwords change while everything goes on, and a kill anywhere leaves one that holds."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pyotp
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from api.cli import app
from gis import access, audit, audit_keys, cluster, db, passwords, postgres, second_factor
from gis.access import Principal
from gis.errors import SecretSealed
from gis.schema_access import access_keys
from gis.schema_access import audit as log
from gis.settings import settings

WHO = Principal("commander", name="duty desk")
STEPS = ((os, "fsync"), (Path, "rename"), (Path, "unlink"), (os, "link"), (cluster.Cluster, "sql"))
"""What a rotation does to files and to the database: before each of these it is killed once."""


def killed_before(step: int, act: Callable[[], object]) -> bool:
    """Do something in a process that dies before its n-th step, and say whether it died."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = iter(range(step))

    def count(real: Callable[..., object]) -> Callable[..., object]:
        def counted(*words: object, **named: object) -> object:
            if next(left, None) is None:
                os._exit(9)
            return real(*words, **named)

        return counted

    status = 1
    try:
        with ExitStack() as patched:
            for owner, name in STEPS:
                patched.enter_context(mock.patch.object(owner, name, count(getattr(owner, name))))
            act()
        status = 0
    finally:
        os._exit(status)


def every_death(act: Callable[[], object]) -> Iterator[int]:
    """Yield after each death of an act, step by step, until it goes through."""
    for step in range(100):
        if not killed_before(step, act):
            assert step > 2, "it has steps to be killed before"
            return
        yield step
    raise AssertionError("it never went through")


def _append(conn: Connection, folder: Path, *what: str) -> None:
    audit.append(conn, "*", [audit.entry(folder, WHO, one, "192.0.2.1") for one in what])
    audit.seal(conn, folder, {})


def _rotate(folder: Path) -> None:
    audit_keys.prepare(folder)
    audit_keys.put_in_force(folder)


@pytest.fixture
def chain(engine: Engine) -> Iterator[Connection]:
    """A connection to an empty audit, rolled back afterwards."""
    with engine.connect() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))
        yield conn
        conn.rollback()


def test_entries_of_every_key_stay_verifiable(chain: Connection, tmp_path: Path) -> None:
    keys = set()
    for number in range(4):
        _append(chain, tmp_path, f"under {number}", "and on")
        keys.add(next((tmp_path / "audit").glob("signing-key*.pem")).read_bytes())
        _rotate(tmp_path)
        assert len(list((tmp_path / "audit").glob("signing-key*.pem"))) == 1, "the key before is gone"
    assert len(keys) == 4
    _append(chain, tmp_path, "last")
    assert audit.verify(chain, tmp_path) == []
    for row in chain.execute(sa.select(log)).all():
        told = json.loads(row.entry)
        forged = audit_keys.canonical(told | {"what": "nothing"})
        chain.execute(log.update().where(log.c.seq == row.seq).values(entry=forged))
        assert any(f"entry {row.seq} is not signed" in one for one in audit.verify(chain, tmp_path))
        chain.execute(log.update().where(log.c.seq == row.seq).values(entry=row.entry))
    assert audit.verify(chain, tmp_path) == []


def test_the_line_of_keys_is_signed(chain: Connection, tmp_path: Path) -> None:
    for number in range(3):
        _append(chain, tmp_path, str(number))
        _rotate(tmp_path)
    file = tmp_path / "audit" / "signing-keys.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    later = json.loads(lines[1]) | {"at": "2020-01-01T00:00:00+00:00"}
    for tampered in (
        lines[:1] + lines[2:],
        [lines[1], lines[0], lines[2]],
        [lines[0], audit_keys.canonical(later) + "\n", lines[2]],
        [lines[0], "{}\n", lines[2]],
        [lines[0], lines[1][:40]],
    ):
        file.write_text("".join(tampered))
        assert any("not signed by the key before it" in fault for fault in audit.verify(chain, tmp_path))
    file.write_text("".join(lines))
    assert audit.verify(chain, tmp_path) == []


def test_who_holds_a_key_that_was_replaced_signs_nothing_more(chain: Connection, tmp_path: Path) -> None:
    _append(chain, tmp_path, "before")
    stolen = audit_keys._in_force(tmp_path)
    waiting = audit.entry(tmp_path, WHO, "waited in a file", "192.0.2.1")
    _rotate(tmp_path)
    audit.append(chain, "*", [waiting])
    audit.seal(chain, tmp_path, {"*": 1})
    assert audit.verify(chain, tmp_path) == [], "what waited comes in for a day"
    told = json.loads(waiting) | {"id": "0" * 32}
    del told["sig"]
    forged = audit_keys.canonical(told | {"sig": audit_keys._sign(stolen, told)})
    moment = datetime.now(UTC) + timedelta(days=2)
    for after, backdated in ((moment, False), (moment, True)):
        with chain.begin_nested() as nested:
            _insert(chain, "read on", tmp_path, after)
            _insert(chain, forged, None, datetime.now(UTC) if backdated else after)
            assert any("replaced on" in fault for fault in audit.verify(chain, tmp_path))
            nested.rollback()
    head = {"chain": "*", "seq": 2, "hash": "00", "at": "", "before": ""}
    file = next((tmp_path / "audit").glob("heads_*.jsonl"))
    before = file.read_bytes().splitlines()[-1]
    body = head | {"before": audit._line_hash(before)}
    with file.open("a") as heads:
        heads.write(audit_keys.canonical(body | {"sig": audit_keys._sign(stolen, body)}) + "\n")
    assert any("a key that was replaced before it" in fault for fault in audit.verify(chain, tmp_path))


def _insert(conn: Connection, text: str, folder: Path | None, moment: datetime) -> None:
    """Append as the database's superuser can, at a moment of one's own."""
    entry = audit.entry(folder, WHO, text, "") if folder else text
    head = conn.execute(sa.text("SELECT seq, hash FROM audit_heads WHERE chain = '*'")).one()
    seq, hashed = head.seq + 1, audit._hash(head.hash, "*", head.seq + 1, moment, entry)
    month = f"{moment:%Y_%m}"
    begins = moment.replace(day=1).date()
    ends = (begins + timedelta(days=32)).replace(day=1)
    conn.execute(
        sa.text(
            f"CREATE TABLE IF NOT EXISTS audit_{month} PARTITION OF audit FOR VALUES "
            f"FROM ('{begins} 00:00+00') TO ('{ends} 00:00+00')"
        )
    )
    conn.execute(log.insert().values(chain="*", seq=seq, at=moment, entry=entry, hash=hashed))
    conn.execute(
        sa.text("UPDATE audit_heads SET seq = :s, hash = :h WHERE chain = '*'"), {"s": seq, "h": hashed}
    )


def test_a_kill_anywhere_leaves_a_key_that_signs(chain: Connection, tmp_path: Path) -> None:
    _append(chain, tmp_path, "before")
    deaths = 0
    for step in every_death(lambda: _rotate(tmp_path)):
        deaths += 1
        _append(chain, tmp_path, f"after {step}")
        assert audit.verify(chain, tmp_path) == [], step
    assert deaths >= 6
    _append(chain, tmp_path, "after all")
    assert audit.verify(chain, tmp_path) == []


def test_a_prepared_key_ends_none(chain: Connection, tmp_path: Path) -> None:
    """A change that is interrupted for longer than entries may wait."""
    _append(chain, tmp_path, "before")
    audit_keys.prepare(tmp_path)
    _insert(chain, "days after", tmp_path, datetime.now(UTC) + timedelta(days=2))
    assert audit.verify(chain, tmp_path) == []
    assert audit_keys.put_in_force(tmp_path)
    assert not audit_keys.put_in_force(tmp_path)


def _opened(data_dir: Path, conn: Connection) -> list[str]:
    rows = conn.execute(sa.select(access_keys).where(access_keys.c.totp_secret.is_not(None))).all()
    return [second_factor.unseal(data_dir, row.totp_secret, row.hash) for row in rows]


def test_second_factors_lie_sealed_and_for_their_key_alone(conn: Connection, tmp_path: Path) -> None:
    secret, other = pyotp.random_base32(), pyotp.random_base32()
    sealed = second_factor.seal(tmp_path, secret, b"mine")
    assert secret not in sealed
    assert second_factor.unseal(tmp_path, sealed, b"mine") == secret
    assert second_factor.seal(tmp_path, secret, b"mine") != sealed, "a nonce of its own"
    for text, hashed in (
        (sealed, b"yours"),
        (sealed[:-6] + "AAAA==", b"mine"),
        (other, b"mine"),
        ("2:", b""),
    ):
        with pytest.raises(SecretSealed):
            second_factor.unseal(tmp_path, text, hashed)
    assert (tmp_path / second_factor.FILE).stat().st_mode & 0o777 == 0o600
    made = access.create_key(conn, "admin", scheme="safety", label="")
    everything = str(conn.execute(sa.text("SELECT array_agg(k::text) FROM access_keys k")).scalar())
    assert made.totp_secret
    assert made.totp_secret not in everything
    assert access.check_code(conn, made.key, pyotp.TOTP(made.totp_secret).now())


def test_second_factors_of_earlier_versions_are_sealed(conn: Connection) -> None:
    made = [access.create_key(conn, "admin", scheme="safety", label=str(n)) for n in range(3)]
    for key in made:
        plain = access_keys.update().where(access_keys.c.hash == access.digest(key.key))
        conn.execute(plain.values(totp_secret=key.totp_secret))
    with pytest.raises(SecretSealed, match="db up"):
        access.check_code(conn, made[0].key, "123456")
    assert second_factor.count_plain(conn) == 3
    assert second_factor.seal_all(conn, settings().data_dir) == 3
    assert second_factor.count_plain(conn) == 0
    assert all(access.check_code(conn, key.key, pyotp.TOTP(key.totp_secret or "").now()) for key in made)


def test_a_kill_anywhere_leaves_second_factors_that_open(engine: Engine, tmp_path: Path) -> None:
    secrets = {pyotp.random_base32() for _ in range(3)}
    with engine.begin() as conn:
        for secret in secrets:
            made = access.create_key(conn, "admin", scheme="safety", label="x")
            row = access_keys.update().where(access_keys.c.hash == access.digest(made.key))
            sealed = second_factor.seal(tmp_path, secret, access.digest(made.key))
            conn.execute(row.values(totp_secret=sealed))

    def rotate() -> None:
        own = db.make_engine(engine.url.render_as_string(hide_password=False))
        with own.begin() as conn:
            second_factor.forget_unused(conn, tmp_path)
        second_factor.prepare(tmp_path)
        second_factor.put_in_force(tmp_path)
        with own.begin() as conn:
            second_factor.seal_all(conn, tmp_path, anew=True)
            os.fsync(os.open(tmp_path, os.O_RDONLY))  # a step to die before, with nothing committed

    for _ in every_death(rotate):
        with engine.begin() as conn:
            assert set(_opened(tmp_path, conn)) == secrets
    with engine.begin() as conn:
        assert set(_opened(tmp_path, conn)) == secrets
        second_factor.forget_unused(conn, tmp_path)
        assert len(second_factor.ensure(tmp_path).keys) == 1
        assert set(_opened(tmp_path, conn)) == secrets
        conn.execute(access_keys.delete().where(access_keys.c.label == "x"))


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A data directory with a private cluster of its own that runs."""
    if not postgres._installations():
        pytest.skip("no PostgreSQL ≥ 15 is installed here for a private cluster")
    with tempfile.TemporaryDirectory(prefix="rotation", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        data_dir = Path(name) / ".data"
        cluster.up(data_dir)
        yield data_dir
        cluster.down(data_dir)


def _service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(settings(), "data_dir", home)
    monkeypatch.setattr(settings(), "database_url", None)
    return db.engine_of_service(cluster.url(home))


def _asks(engine: Engine) -> bool:
    with db.apart(engine) as conn:
        return bool(conn.scalar(sa.text("SELECT current_user = 'safetymap_service'")))


async def _awaits(engine: Engine) -> bool:
    async with await db.awaited(engine, timeout_ms=1000) as conn:
        return await (await conn.execute("SELECT true")).fetchone() == (True,)


@pytest.mark.anyio
async def test_a_service_that_runs_outlives_new_passwords(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = _service(home, monkeypatch)
    with service.connect() as held:
        before = passwords.in_force(home)
        for _ in range(3):
            cluster.change_passwords(home)
            assert held.scalar(sa.text("SELECT true")), "connections that are open stay so"
            assert _asks(service)
            assert await _awaits(service)
    assert passwords.in_force(home) != before
    old = cluster.url(home).replace(passwords.in_force(home), before)
    with pytest.raises(sa.exc.OperationalError, match="authentication failed"):
        sa.create_engine(old, poolclass=sa.NullPool).connect()
    service.dispose()


def test_a_kill_anywhere_leaves_passwords_that_the_database_takes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = _service(home, monkeypatch)
    for step in every_death(lambda: cluster.change_passwords(home)):
        assert _asks(service), step
        sa.create_engine(cluster.up(home), poolclass=sa.NullPool).connect().close()
        assert _asks(service), step
        assert not (home / "pg-password.next").exists(), "the next start ends what was begun"
    assert _asks(service)
    service.dispose()


def test_the_commands_change_all_three(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _service(home, monkeypatch).dispose()
    db.work_engine.cache_clear()
    said = CliRunner()
    for words in ("db up", "key create --role admin --label a", "rotate audit", "rotate database",
                  "rotate second-factors", "rotate audit", "audit verify"):  # fmt: skip
        told = said.invoke(app, words.split())
        assert told.exit_code == 0, (words, told.output)
    assert "the audit is whole" in told.output
    with db.work_engine().connect() as conn:
        found = [json.loads(text)["what"] for text in conn.execute(sa.select(log.c.entry)).scalars()]
        assert len(_opened(home, conn)) == 1
    assert {"audit key replaced", "database passwords replaced", "second factors sealed anew"} <= set(found)
    db.work_engine().dispose()
    db.work_engine.cache_clear()
