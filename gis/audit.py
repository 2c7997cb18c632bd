"""The audit: signed entries in hash chains, one per scope, whose heads are signed outside the database.

An entry that is edited breaks its hash and its signature; one that is taken away, moved, added or brought in
twice breaks the chain, a signed head, or the rule that an entry's id comes once. Whoever rewrites all of it
in the database lacks the key, which lies in the data directory.
"""

import errno
import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from io import RawIOBase
from itertools import takewhile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import audit_keys, audit_queue
from gis.access import Principal
from gis.audit_keys import Json, Line, canonical, folder, sign
from gis.schema_access import audit, audit_heads

KEPT = timedelta(days=180)
"""The least time that entries are kept (Cybersecurity Law of the PRC, article 21: six months)."""
_COMMAND_LINE = "command line"
_LONGEST_LINE = 4096
_CLOCKS_APART = timedelta(days=1)
"""Between this machine and the database's, at most."""


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
    return canonical(told | {"sig": sign(data_dir, told)})


def ensure_key(conn: Connection, data_dir: Path) -> None:
    """Make the key that signs, where the audit has not begun. Raises SigningKeyLost where one has signed."""
    begun = conn.scalar(sa.select(sa.exists().select_from(audit_heads)))
    audit_keys.ensure(data_dir, has_entries=bool(begun))


def append(conn: Connection, chain: str, entries: Sequence[str]) -> None:
    """Append signed entries to a chain, which stays locked until the transaction ends."""
    conn.execute(sa.text("SELECT audit_append(:chain, :entries)"), {"chain": chain, "entries": list(entries)})


def append_missing(conn: Connection, chain: str, entries: Sequence[str]) -> None:
    """Append those signed entries to a chain that it has not yet."""
    since = min(datetime.fromisoformat(json.loads(text)["at"]) for text in entries) - _CLOCKS_APART
    names = {"chain": chain, "entries": list(entries), "since": since}
    conn.execute(sa.text("SELECT audit_append_missing(:chain, :entries, :since)"), names)


def bring_in(conn: Connection, data_dir: Path) -> None:
    """Append what killed processes left in files, each once; the files go before the transaction ends."""
    for waiting in audit_queue.left_behind(data_dir):
        for chain, texts in audit_queue.by_chain(waiting.texts).items():
            append_missing(conn, chain, texts)
        waiting.done()


def change(
    conn: Connection,
    data_dir: Path,
    who: Principal,
    what: str,
    detail: Json,
    came_from: str = _COMMAND_LINE,
) -> None:
    """Write a change into the audit in the transaction that makes it; `seal` once that is committed.

    Commands look for the key themselves, a service has looked when it began.
    """
    if came_from == _COMMAND_LINE:
        ensure_key(conn, data_dir)
    append(conn, chain_of(who), [entry(data_dir, who, what, came_from, detail)])


def seal(conn: Connection, data_dir: Path, sealed: dict[str, int]) -> None:
    """Sign the heads of the chains that grew, outside the database.

    `sealed` holds the number last signed per chain and is brought up to date; empty: sign them all.
    """
    heads = conn.execute(sa.select(audit_heads).order_by(audit_heads.c.chain)).all()
    grown = [head for head in heads if head.seq > sealed.get(head.chain, 0)]
    _write(data_dir, [_head(head.chain, head.seq, head.hash) for head in grown])
    sealed.update({head.chain: head.seq for head in grown})


def held(conn: Connection) -> dict[str, tuple[int, str]]:
    """Return number and hash of the last entry of each chain."""
    return {row.chain: (row.seq, row.hash.hex()) for row in conn.execute(sa.select(audit_heads))}


def beyond_heads(conn: Connection, data_dir: Path) -> list[str]:
    """Return to which entry signed heads outside the database hold each chain that goes on further.

    What follows is held by signatures and by the chain, which show every change but an end that was cut off.
    """
    signed, _ = _read_heads(data_dir, audit_keys.line(data_dir))
    found = []
    for chain, (last, _) in sorted(held(conn).items()):
        of = signed.get(chain, _Signed())
        top = max([*of.heads, of.start[0] if of.start else 0])
        if top < last:
            found.append(
                f"chain {chain}: entries {top + 1} to {last} came after the last head that was signed "
                "outside the database; that nothing followed them cannot be shown"
            )
    return found


def notes(data_dir: Path) -> list[str]:
    """Return what an auditor must know beside `verify`: keys that were declared lost, a line each."""
    keys = audit_keys.line(data_dir)
    how = "held by the chains up to the heads at that time alone" if keys.held else "verified as ever"
    return [
        f"the key before {at:%Y-%m-%d %H:%M} UTC was declared lost; what it signed is {how}"
        for at in keys.lost
    ]


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
    begun = conn.scalar(sa.select(sa.exists().select_from(audit_heads)))
    if not (begun or audit_keys.was_there(data_dir) or audit_keys.is_there(data_dir)):
        return []
    keys = audit_keys.line(data_dir)
    signed, faults = _read_heads(data_dir, keys)
    faults = keys.faults + faults
    if not keys.keys and keys.faults:
        return keys.faults  # each entry and head would be one more
    chains = set(conn.execute(sa.select(audit.c.chain).distinct()).scalars())
    heads = {row.chain: row for row in conn.execute(sa.select(audit_heads))}
    seen: set[str] = set()
    for chain in sorted(chains | set(heads) | set(signed)):
        last, hashed = _follow(conn, keys, chain, signed.get(chain, _Signed()), seen, faults)
        head = heads.get(chain)
        if head is None or (head.seq, head.hash) != (last, hashed):
            faults.append(f"chain {chain}: its head in the database is not its last entry {last}")
    return faults + [
        f"{name}: {count} entries of a service that was killed wait there; the next start brings them in"
        for name, count in audit_queue.count_left(data_dir).items()
    ]


def _follow(
    conn: Connection, keys: Line, chain: str, signed: _Signed, seen: set[str], faults: list[str]
) -> tuple[int, bytes]:
    """Walk one chain, note what is wrong, and return its last number and hash."""
    held = keys.held.get(chain, (0, ""))
    last, hashed = signed.start or (0, hashlib.sha256(chain.encode()).digest())
    moment = datetime.min.replace(tzinfo=UTC)
    rows = sa.select(audit).where(audit.c.chain == chain).order_by(audit.c.seq, audit.c.at)
    for row in conn.execute(rows.execution_options(yield_per=1000)):
        if row.seq != last + 1:
            faults.append(f"chain {chain}: entry {row.seq} follows {last}")
        last, hashed = row.seq, _hash(hashed, chain, row.seq, row.at, row.entry)
        if hashed != row.hash:
            faults.append(f"chain {chain}: entry {last} does not fit its hash")
        if signed.heads.pop(last, hashed.hex()) != hashed.hex():
            faults.append(f"chain {chain}: entry {last} is not the one whose head was signed")
        if row.seq == held[0] and hashed.hex() != held[1]:
            faults.append(f"chain {chain}: entry {last} is not the one that was there when the key was lost")
        moment = max(moment, row.at)  # a time before that of an earlier entry makes this one no older
        faults += [
            f"chain {chain}: entry {last} {what}"
            for what in _check(keys, chain, row.entry, moment, seen, is_held=row.seq <= held[0])
        ]
    if last < held[0]:
        faults.append(f"chain {chain}: entry {held[0]}, which was there when the key was lost, is gone")
    faults += [f"chain {chain}: entry {seq}, whose head was signed, is gone" for seq in sorted(signed.heads)]
    return last, hashed


def _check(
    keys: Line, chain: str, text: str, moment: datetime, seen: set[str], *, is_held: bool
) -> Iterator[str]:
    """Yield what is wrong with one entry by itself, which came in at a moment.

    `is_held`: what signed it is lost with its public half, and a head signed since holds it.
    """
    try:
        told = json.loads(text)
        signer = keys.signer(told)
    except (ValueError, TypeError, AttributeError, KeyError):
        yield "cannot be read"
        return
    if signer is None and not is_held:
        yield "is not signed by us"
    elif signer is not None and keys.is_over(signer, moment):
        yield f"is signed by a key that was replaced on {keys.replaced[signer]:%Y-%m-%d}, before it came in"
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
    return folder(data_dir) / f"heads_{datetime.now(UTC):%Y_%m}.jsonl"


def _head_files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / audit_keys.FOLDER).glob("heads_*.jsonl"))


def _write(data_dir: Path, heads: list[dict[str, Any]]) -> None:
    """Append signed lines to the month's file, each with the hash of the line before it."""
    if not heads:
        return
    with audit_keys.signing(data_dir), _this_month(data_dir).open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_LINE))
        *whole, torn = file.read(_LONGEST_LINE).split(b"\n")
        before, lines = torn or (whole[-1] if whole else b""), [b""] * bool(torn)
        for head in heads:
            told = head | {"before": _line_hash(before)}
            before = canonical(told | {"sig": sign(data_dir, told)}).encode()
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


def _read_heads(data_dir: Path, keys: Line) -> tuple[dict[str, _Signed], list[str]]:
    """Return what was signed per chain, and what is wrong with the files."""
    signed: dict[str, _Signed] = {}
    faults, newest = [], 0
    for path in _head_files(data_dir):
        before = b""
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            told, signer = _head_in(keys, line)
            if told is None or told["before"] != _line_hash(before):
                faults.append(f"{path.name}: line {number} is not what we wrote there")
            elif signer < newest:
                faults.append(f"{path.name}: line {number} is signed by a key that was replaced before it")
            before, newest = line, max(newest, signer)
            if told is not None:
                _note(signed.setdefault(told["chain"], _Signed()), told)
    return signed, faults


def _head_in(keys: Line, line: bytes) -> tuple[Json | None, int]:
    """Return the signed head in a line and which key signed it, None for one that is torn or not ours."""
    try:
        told = json.loads(line)
        signer = keys.signer(told)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None, 0
    return (None, 0) if signer is None else (told, signer)


def _note(signed: _Signed, told: Json) -> None:
    if told.get("anchor"):
        signed.start = (told["seq"], bytes.fromhex(told["hash"]))
        signed.heads = {seq: hashed for seq, hashed in signed.heads.items() if seq > told["seq"]}
    else:
        signed.heads[told["seq"]] = told["hash"]
