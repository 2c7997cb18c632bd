"""The audit: signed entries in hash chains, one per scope, whose heads are signed outside the database.

An entry that is edited breaks its hash and its signature; one that is taken away, moved, added or brought in
twice breaks the chain, a signed head, or the rule that an entry's id comes once. Whoever rewrites all of it
in the database lacks the key, which lies in the data directory.
"""

import base64
import errno
import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from io import RawIOBase
from itertools import takewhile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from sqlalchemy.engine import Connection

from gis import audit_queue
from gis.access import Principal
from gis.schema_access import audit, audit_heads

KEPT = timedelta(days=180)
"""The least time that entries are kept (Cybersecurity Law of the PRC, article 21: six months)."""
_FOLDER, _KEY = "audit", "signing-key.pem"
_LONGEST_LINE = 4096
_CLOCKS_APART = timedelta(days=1)
"""Between this machine and the database's, at most."""

Json = Mapping[str, Any]


def chain_of(who: Principal) -> str:
    """Return the chain that what `who` does is written to: that of the scope."""
    return f"{who.scheme}/{who.scope}" if who.scope else "*"


def entry(data_dir: Path, who: Principal, what: str, came_from: str, detail: Json | None = None) -> str:
    """Return a signed entry as JSON text: who did what, with which scope, from where and when."""
    told = {
        "id": uuid.uuid4().hex,
        "at": datetime.now(UTC).isoformat(),
        "who": who.name,
        "key": who.key_id,
        "role": who.role,
        "chain": chain_of(who),
        "from": came_from,
        "what": what,
        "detail": dict(detail or {}),
    }
    return _canonical(told | {"sig": _sign(data_dir, told)})


def append(conn: Connection, chain: str, entries: Sequence[str]) -> None:
    """Append signed entries to a chain, which stays locked until the transaction ends."""
    conn.execute(sa.text("SELECT audit_append(:chain, :entries)"), {"chain": chain, "entries": list(entries)})


def append_missing(conn: Connection, chain: str, entries: Sequence[str]) -> None:
    """Append those signed entries to a chain that it has not yet."""
    since = min(datetime.fromisoformat(json.loads(text)["at"]) for text in entries) - _CLOCKS_APART
    names = {"chain": chain, "entries": list(entries), "since": since}
    conn.execute(sa.text("SELECT audit_append_missing(:chain, :entries, :since)"), names)


def change(
    conn: Connection, data_dir: Path, who: Principal, what: str, detail: Json, came_from: str = "command line"
) -> None:
    """Write a change into the audit in the transaction that makes it; `seal` once that is committed."""
    append(conn, chain_of(who), [entry(data_dir, who, what, came_from, detail)])


def seal(conn: Connection, data_dir: Path, sealed: dict[str, int]) -> None:
    """Sign the heads of the chains that grew, outside the database.

    `sealed` holds the number last signed per chain and is brought up to date; empty: sign them all.
    """
    heads = conn.execute(sa.select(audit_heads).order_by(audit_heads.c.chain)).all()
    grown = [head for head in heads if head.seq > sealed.get(head.chain, 0)]
    _write(data_dir, [_head(head.chain, head.seq, head.hash) for head in grown])
    sealed.update({head.chain: head.seq for head in grown})


def prune(conn: Connection, data_dir: Path, today: date) -> list[str]:
    """Drop the months that ended more than KEPT ago, and return their partitions' names.

    Where each chain now begins is signed first, so that `verify` can tell it from a deletion.
    """
    oldest = f"{today - KEPT:%Y_%m}"
    names = sa.text(
        "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
        "WHERE inhparent = 'audit'::regclass AND relname < :oldest ORDER BY 1"
    )
    gone = list(conn.execute(names, {"oldest": f"audit_{oldest}"}).scalars())
    for name in gone:
        last = f'SELECT DISTINCT ON (chain) chain, seq, hash FROM "{name}" ORDER BY chain, seq DESC'  # noqa: S608 - from the catalogue
        rows = conn.execute(sa.text(last))
        _write(data_dir, [_head(row.chain, row.seq, row.hash) | {"anchor": True} for row in rows])
        conn.execute(sa.text(f'DROP TABLE "{name}"'))
    for path in _head_files(data_dir):
        if path.stem < f"heads_{oldest}" and path != _this_month(data_dir):
            path.unlink()
    return gone


@dataclass
class _Signed:
    """What the file outside the database says of one chain."""

    heads: dict[int, str] = field(default_factory=dict)
    start: tuple[int, bytes] | None = None


def verify(conn: Connection, data_dir: Path) -> list[str]:
    """Return everything that is wrong with the audit, one line each; empty when it is whole."""
    signed, faults = _read_heads(data_dir)
    chains = set(conn.execute(sa.select(audit.c.chain).distinct()).scalars())
    heads = {row.chain: row for row in conn.execute(sa.select(audit_heads))}
    seen: set[str] = set()
    for chain in sorted(chains | set(heads) | set(signed)):
        last, hashed = _follow(conn, data_dir, chain, signed.get(chain, _Signed()), seen, faults)
        head = heads.get(chain)
        if head is None or (head.seq, head.hash) != (last, hashed):
            faults.append(f"chain {chain}: its head in the database is not its last entry {last}")
    return faults + [
        f"{name}: {count} entries of a service that was killed wait there; the next start brings them in"
        for name, count in audit_queue.count_left(data_dir).items()
    ]


def _follow(
    conn: Connection, data_dir: Path, chain: str, signed: _Signed, seen: set[str], faults: list[str]
) -> tuple[int, bytes]:
    """Walk one chain, note what is wrong, and return its last number and hash."""
    last, hashed = signed.start or (0, hashlib.sha256(chain.encode()).digest())
    rows = sa.select(audit).where(audit.c.chain == chain).order_by(audit.c.seq, audit.c.at)
    for row in conn.execute(rows.execution_options(yield_per=1000)):
        if row.seq != last + 1:
            faults.append(f"chain {chain}: entry {row.seq} follows {last}")
        last, hashed = row.seq, _hash(hashed, chain, row.seq, row.at, row.entry)
        if hashed != row.hash:
            faults.append(f"chain {chain}: entry {last} does not fit its hash")
        if signed.heads.pop(last, hashed.hex()) != hashed.hex():
            faults.append(f"chain {chain}: entry {last} is not the one whose head was signed")
        faults += [f"chain {chain}: entry {last} {what}" for what in _check(data_dir, chain, row.entry, seen)]
    faults += [f"chain {chain}: entry {seq}, whose head was signed, is gone" for seq in sorted(signed.heads)]
    return last, hashed


def _check(data_dir: Path, chain: str, text: str, seen: set[str]) -> Iterator[str]:
    """Yield what is wrong with one entry by itself."""
    try:
        told = json.loads(text)
        good = _is_signed(data_dir, told)
    except (ValueError, TypeError, AttributeError, KeyError):
        yield "cannot be read"
        return
    if not good:
        yield "is not signed by us"
    elif told["chain"] != chain:
        yield f"was written for chain {told['chain']}"
    elif told["id"] in seen:
        yield "is there twice"
    seen.add(str(told.get("id")))


def _hash(before: bytes, chain: str, seq: int, at: datetime, text: str) -> bytes:
    """As `audit_hash` in the database."""
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return hashlib.sha256(before + f"{chain}|{seq}|{moment}|{text}".encode()).digest()


def _head(chain: str, seq: int, hashed: bytes) -> dict[str, Any]:
    return {"chain": chain, "seq": seq, "hash": hashed.hex(), "at": datetime.now(UTC).isoformat()}


def _this_month(data_dir: Path) -> Path:
    return _folder(data_dir) / f"heads_{datetime.now(UTC):%Y_%m}.jsonl"


def _head_files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / _FOLDER).glob("heads_*.jsonl"))


def _write(data_dir: Path, heads: list[dict[str, Any]]) -> None:
    """Append signed lines to the month's file, each with the hash of the line before it."""
    if not heads:
        return
    with _this_month(data_dir).open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_LINE))
        *whole, torn = file.read(_LONGEST_LINE).split(b"\n")
        before, lines = torn or (whole[-1] if whole else b""), [b""] * bool(torn)
        for head in heads:
            told = head | {"before": _line_hash(before)}
            before = _canonical(told | {"sig": _sign(data_dir, told)}).encode()
            lines.append(before)
        _write_whole(file, b"".join(line + b"\n" for line in lines), size)
        os.fsync(file.fileno())


def _write_whole(file: RawIOBase, text: bytes, size: int) -> None:
    """Append all of a text to a file of `size` bytes, or nothing. Raises OSError for nothing."""
    if (written := file.write(text)) != len(text):
        file.truncate(size)
        raise OSError(errno.ENOSPC, f"the disk took {written} of {len(text)} bytes")


def _line_hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest() if line else ""


def heads_until(path: Path, moment: datetime | None) -> bytes:
    """Return the lines of a file of heads that were signed up to a moment; None: all of them."""
    whole = path.read_bytes()
    if moment is None:
        return whole
    lines = [line + b"\n" for line in whole.split(b"\n")[:-1]]
    held = list(takewhile(lambda line: _signed_at(line) <= moment, lines))
    return b"".join(held)


def _signed_at(line: bytes) -> datetime:
    """Return when a head was signed; one that cannot be read counts as old, for `verify` to find."""
    try:
        return datetime.fromisoformat(json.loads(line)["at"])
    except (ValueError, TypeError, KeyError):
        return datetime.min.replace(tzinfo=UTC)


def _read_heads(data_dir: Path) -> tuple[dict[str, _Signed], list[str]]:
    """Return what was signed per chain, and what is wrong with the files."""
    signed: dict[str, _Signed] = {}
    faults = []
    for path in _head_files(data_dir):
        before = b""
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            told = _head_in(data_dir, line)
            if told is None or told["before"] != _line_hash(before):
                faults.append(f"{path.name}: line {number} is not what we wrote there")
            before = line
            if told is not None:
                _note(signed.setdefault(told["chain"], _Signed()), told)
    return signed, faults


def _head_in(data_dir: Path, line: bytes) -> Json | None:
    """Return the signed head in a line, None for one that is torn or not ours."""
    try:
        told = json.loads(line)
        return told if _is_signed(data_dir, told) else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _note(signed: _Signed, told: Json) -> None:
    if told.get("anchor"):
        signed.start = (told["seq"], bytes.fromhex(told["hash"]))
        signed.heads = {seq: hashed for seq, hashed in signed.heads.items() if seq > told["seq"]}
    else:
        signed.heads[told["seq"]] = told["hash"]


def _canonical(told: Json) -> str:
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sign(data_dir: Path, told: Json) -> str:
    return base64.b64encode(_key(data_dir).sign(_canonical(told).encode())).decode()


def _is_signed(data_dir: Path, told: Json) -> bool:
    body = {name: value for name, value in told.items() if name != "sig"}
    try:
        _key(data_dir).public_key().verify(base64.b64decode(told["sig"]), _canonical(body).encode())
    except InvalidSignature:
        return False
    return True


def _folder(data_dir: Path) -> Path:
    folder = data_dir / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@lru_cache(maxsize=8)
def _key(data_dir: Path) -> Ed25519PrivateKey:
    """Return the signing key, made at the first need; only its owner reads the file."""
    path = _folder(data_dir) / _KEY
    if not path.exists():
        part = path.with_name(f"{_KEY}.{uuid.uuid4().hex}")
        part.touch(mode=0o600)
        made = Ed25519PrivateKey.generate()
        part.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        with suppress(FileExistsError):  # another process was faster: its key holds
            os.link(part, path)
        part.unlink()
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key
