"""The audit: what is written, that it only grows, and that any tampering is found."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api.main import make_app
from gis import access, audit, audit_keys
from gis.access import Principal
from gis.schema_access import audit as log
from gis.schema_access import audit_heads as heads
from tests import town

EAST, WEST, CITY = (
    Principal("commander", "safety" if scope else None, scope, name=name)
    for scope, name in (("T2", "east"), ("T1", "west"), (None, "city"))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module", autouse=True)
def written(engine: Engine, folder: Path) -> None:
    """Three chains of 20 entries, written in steps and sealed after each."""
    sealed: dict[str, int] = {}
    for step in range(5):
        with engine.begin() as conn:
            for who in (EAST, WEST, CITY):
                texts = [audit.entry(folder, who, f"read {step}/{n}", "192.0.2.1") for n in range(4)]
                audit.append(conn, audit.chain_of(who), texts)
        with engine.begin() as conn:
            audit.seal(conn, folder, sealed)


def test_it_is_whole_before_anybody_touches_it(conn: Connection, folder: Path) -> None:
    assert audit.verify(conn, folder) == []
    assert {row.chain: row.seq for row in conn.execute(sa.select(heads))} == {
        "*": 20, "safety/T1": 20, "safety/T2": 20,
    }  # fmt: skip


def _update(conn: Connection, chain: str, seq: int, **values: object) -> None:
    conn.execute(log.update().where(log.c.chain == chain, log.c.seq == seq).values(values))


def _rows(conn: Connection, chain: str) -> list[sa.Row[tuple[object, ...]]]:
    return list(conn.execute(sa.select(log).where(log.c.chain == chain).order_by(log.c.seq)).all())


def _rewrite(conn: Connection, chain: str, texts: list[tuple[datetime, str]]) -> None:
    """Write a chain anew with hashes that fit, as the database's superuser can."""
    conn.execute(log.delete().where(log.c.chain == chain))
    conn.execute(heads.delete().where(heads.c.chain == chain))
    hashed = audit.hashlib.sha256(chain.encode()).digest()
    for seq, (at, text) in enumerate(texts, 1):
        hashed = audit._hash(hashed, chain, seq, at, text)
        conn.execute(log.insert().values(chain=chain, seq=seq, at=at, entry=text, hash=hashed))
    conn.execute(heads.insert().values(chain=chain, seq=len(texts), hash=hashed))


def _texts(conn: Connection, chain: str) -> list[tuple[datetime, str]]:
    return [(row.at, row.entry) for row in _rows(conn, chain)]


def edit(conn: Connection, chain: str, rng: random.Random) -> None:
    row = rng.choice(_rows(conn, chain))
    told = json.loads(row.entry)
    name = rng.choice(["who", "what", "from", "at", "role", "id", "sig"])
    told[name] = f"{told[name]}x"
    _update(conn, chain, row.seq, entry=audit_keys.canonical(told))


def edit_time(conn: Connection, chain: str, rng: random.Random) -> None:
    row = rng.choice(_rows(conn, chain))
    _update(conn, chain, row.seq, at=row.at + timedelta(microseconds=rng.choice([-1, 1])))


def edit_hash(conn: Connection, chain: str, rng: random.Random) -> None:
    _update(conn, chain, rng.randint(1, 20), hash=rng.randbytes(32))


def delete(conn: Connection, chain: str, rng: random.Random) -> None:
    conn.execute(log.delete().where(log.c.chain == chain, log.c.seq == rng.randint(1, 20)))


def reorder(conn: Connection, chain: str, rng: random.Random) -> None:
    first, second = rng.sample(_rows(conn, chain), 2)
    _update(conn, chain, first.seq, entry=second.entry, hash=second.hash)
    _update(conn, chain, second.seq, entry=first.entry, hash=first.hash)


def truncate(conn: Connection, chain: str, rng: random.Random) -> None:
    """Cut the end off, and make the database's own head fit."""
    left = rng.randint(1, 19)
    conn.execute(log.delete().where(log.c.chain == chain, log.c.seq > left))
    conn.execute(
        heads.update().where(heads.c.chain == chain).values(seq=left, hash=_rows(conn, chain)[-1].hash)
    )


def forget(conn: Connection, chain: str, _: random.Random) -> None:
    conn.execute(log.delete().where(log.c.chain == chain))
    conn.execute(heads.delete().where(heads.c.chain == chain))


def replay(conn: Connection, chain: str, rng: random.Random) -> None:
    """Append an old entry once more, by the front door."""
    audit.append(conn, chain, [rng.choice(_rows(conn, chain)).entry])


def carry_over(conn: Connection, chain: str, rng: random.Random) -> None:
    """Append an entry of another chain."""
    other = rng.choice([one for one in ("*", "safety/T1", "safety/T2") if one != chain])
    audit.append(conn, chain, [rng.choice(_rows(conn, other)).entry])


def forge(conn: Connection, chain: str, rng: random.Random) -> None:
    """Append an entry that was never signed, by the front door."""
    told = json.loads(rng.choice(_rows(conn, chain)).entry)
    audit.append(conn, chain, [audit_keys.canonical(told | {"id": rng.randbytes(16).hex()})])


def rewrite_without_one(conn: Connection, chain: str, rng: random.Random) -> None:
    texts = _texts(conn, chain)
    del texts[rng.randrange(len(texts))]
    _rewrite(conn, chain, texts)


def rewrite_in_another_order(conn: Connection, chain: str, rng: random.Random) -> None:
    texts = _texts(conn, chain)
    first, second = rng.sample(range(len(texts)), 2)
    texts[first], texts[second] = texts[second], texts[first]
    _rewrite(conn, chain, texts)


def rewrite_edited(conn: Connection, chain: str, rng: random.Random) -> None:
    texts = _texts(conn, chain)
    place = rng.randrange(len(texts))
    texts[place] = (texts[place][0], texts[place][1].replace("read", "made"))
    _rewrite(conn, chain, texts)


def rewrite_with_other_times(conn: Connection, chain: str, rng: random.Random) -> None:
    later = timedelta(seconds=rng.randint(1, 60))
    _rewrite(conn, chain, [(at + later, text) for at, text in _texts(conn, chain)])


TAMPERINGS: tuple[Callable[[Connection, str, random.Random], None], ...] = (
    edit, edit_time, edit_hash, delete, reorder, truncate, forget, replay, carry_over, forge,
    rewrite_without_one, rewrite_in_another_order, rewrite_edited, rewrite_with_other_times,
)  # fmt: skip


def _found(engine: Engine, folder: Path, seed: int) -> Iterator[tuple[str, bool]]:
    """Tamper in a transaction that is rolled back, and say whether it was found."""
    rng = random.Random(seed)
    tamper, chain = rng.choice(TAMPERINGS), rng.choice(["*", "safety/T1", "safety/T2"])
    with engine.connect() as conn:
        tamper(conn, chain, rng)
        yield tamper.__name__, bool(audit.verify(conn, folder))
        conn.rollback()


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_every_kind_of_tampering_is_found(
    engine: Engine, folder: Path, tamper: Callable[[Connection, str, random.Random], None]
) -> None:
    for seed, chain in enumerate(("*", "safety/T1")):
        with engine.connect() as conn:
            tamper(conn, chain, random.Random(seed))
            faults = audit.verify(conn, folder)
            assert any(chain in fault for fault in faults), tamper.__name__
            conn.rollback()


@pytest.mark.slow
def test_a_thousand_random_tamperings_are_found(engine: Engine, folder: Path) -> None:
    missed = [
        (seed, name) for seed in range(1000) for name, found in _found(engine, folder, seed) if not found
    ]
    assert missed == []


def test_the_signed_heads_are_tied_together(conn: Connection, folder: Path) -> None:
    file = next((folder / "audit").glob("heads_*.jsonl"))
    lines = file.read_text().splitlines(keepends=True)
    try:
        for tampered in (lines[:3] + lines[4:], [*lines[:3], lines[4], lines[3], *lines[5:]]):
            file.write_text("".join(tampered))
            assert any("not what we wrote" in fault for fault in audit.verify(conn, folder))
        file.write_text(lines[0].replace('"seq":4', '"seq":5') + "".join(lines[1:]))
        assert any("line 1 " in fault for fault in audit.verify(conn, folder))
    finally:
        file.write_text("".join(lines))
    assert audit.verify(conn, folder) == []


def test_the_key_is_for_its_owner_only(folder: Path) -> None:
    assert (folder / "audit" / "signing-key.pem").stat().st_mode & 0o777 == 0o600


def test_the_service_may_append_and_nothing_else(service_engine: Engine, folder: Path) -> None:
    with service_engine.connect() as conn:
        audit.append(conn, "safety/T1", [audit.entry(folder, WEST, "read", "192.0.2.1")])
        conn.rollback()
    for statement in ("UPDATE audit SET entry = ''", "DELETE FROM audit", "UPDATE audit_heads SET seq = 1"):
        with service_engine.connect() as conn, pytest.raises(sa.exc.ProgrammingError, match="denied"):
            conn.execute(sa.text(statement))


def test_months_are_partitions_and_old_ones_go(engine: Engine, folder: Path) -> None:
    today = datetime.now(UTC).date()
    partition = f"audit_{today:%Y_%m}"
    with engine.connect() as conn:
        assert audit.prune(conn, folder, today + audit.KEPT) == []
        names = conn.execute(
            sa.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit'::regclass")
        )
        assert partition in set(names.scalars())
        conn.rollback()


def test_a_chain_goes_on_after_its_beginning_was_dropped(engine: Engine, tmp_path: Path) -> None:
    """An audit of its own, whose month is over for longer than entries are kept."""
    with engine.connect() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))
        audit.append(conn, "*", [audit.entry(tmp_path, CITY, f"read {n}", "") for n in range(5)])
        audit.seal(conn, tmp_path, {})
        gone = audit.prune(conn, tmp_path, datetime.now(UTC).date() + timedelta(days=220))
        assert len(gone) == 1
        assert audit.verify(conn, tmp_path) == []
        audit.append(conn, "*", [audit.entry(tmp_path, CITY, "read on", "")])
        assert audit.verify(conn, tmp_path) == []
        conn.execute(log.delete())
        assert audit.verify(conn, tmp_path)
        conn.rollback()


def test_reads_of_detail_and_writes_are_recorded(
    engine: Engine, service_engine: Engine, tmp_path: Path
) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_responders(conn, batch, {"near": town.at(1, 1)})
        key = access.create_key(conn, "commander", "T1", scheme="safety", label="duty desk").key
    ask = {"Authorization": f"Bearer {key}"}
    app = make_app(lambda: service_engine, tmp_path)
    app.get("/forgotten")(lambda: "not said for whom, so for admins")
    with TestClient(app) as client:
        client.get("/responders/nearest?lon=113.01&lat=27.04", headers=ask)
        client.get("/tiles/cameras/14/13334/6906.mvt", headers=ask)
        client.get("/tiles/grids/14/13334/6906.mvt", headers=ask)
        client.get("/city")
        client.get("/forgotten", headers=ask)
        client.post("/session", json={"key": key})
    with engine.connect() as conn:
        told = [json.loads(row.entry) for row in _rows(conn, "safety/T1")]
        assert [one["what"].split("?")[0] for one in told] == [
            "GET /responders/nearest", "GET /tiles/cameras/14/13334/6906.mvt", "refused GET /forgotten",
            "session opened",
        ]  # fmt: skip
        assert {one["who"] for one in told} == {"duty desk"}
        assert {one["from"] for one in told} == {"testclient"}
        assert [json.loads(row.entry)["what"] for row in _rows(conn, "*")] == ["POST /session"]
        assert audit.verify(conn, tmp_path) == []
