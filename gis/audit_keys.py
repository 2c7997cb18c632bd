"""The keys that sign the audit, in the order in which each took the place of the one before.

The private key in force lies in `signing-key.pem`, after the first change in `signing-key-1.pem`, and so on.
Public keys that were in force stay in `signing-keys.jsonl`: a line for each change, signed by the key that
was replaced. A change is prepared first (its private key lies under a name that nobody signs with), so that a
backup can hold it; giving that file its name puts it in force. Whatever is interrupted leaves one in force.

A key that is gone is never replaced in silence: whoever signs is refused until it is back, or declared lost
by a line that the new key signs itself. The first key's public half lies in `signing-key.pub`, so that what
it signed stays verifiable.
"""

import base64
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gis.errors import BadInput, SigningKeyLost

STILL_WAITING = timedelta(days=1)
"""How long after a change entries may still come in that the replaced key has signed: they wait in files."""
FOLDER = "audit"
_LINE, _LOCK, _PUBLIC = "signing-keys.jsonl", "signing-keys.lock", "signing-key.pub"
_GONE = (
    "the key that signs the audit is gone from {}: bring its files signing-key* back (from a backup, the "
    "former data directory, or the other machine that serves this database), or declare it lost: "
    "safetymap rotate audit --lost"
)
_ANOTHER = (
    "{} is not the key that has signed the audit: put the one that has in its place, or move it away and "
    "declare that one lost: safetymap rotate audit --lost"
)

Json = Mapping[str, Any]


def canonical(told: Json) -> str:
    """Return what is signed as its one text."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def folder(data_dir: Path) -> Path:
    """Return the folder of the audit's files, which only its owner enters."""
    made = data_dir / FOLDER
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    return made


def sign(data_dir: Path, told: Json) -> str:
    """Return the signature of the key in force."""
    return _sign(_in_force(data_dir), told)


@dataclass
class Line:
    """The public keys, oldest first, and when each but the last was replaced; None: it is not known.

    `lost` are the days on which a key was declared lost. `held`: the heads then, by chain, where the public
    half was gone as well: no signature shows more of what came before.
    """

    keys: list[Ed25519PublicKey | None]
    replaced: list[datetime] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lost: list[datetime] = field(default_factory=list)
    held: dict[str, tuple[int, str]] = field(default_factory=dict)
    _last: int = 0

    def signer(self, told: Json) -> int | None:
        """Return which key has signed, None when none has. Raises what a text that is none of ours raises."""
        body = canonical({name: value for name, value in told.items() if name != "sig"}).encode()
        signature = base64.b64decode(told["sig"])
        for number in sorted(range(len(self.keys)), key=lambda number: number != self._last):
            key = self.keys[number]
            if key is not None and _fits(key, signature, body):
                self._last = number
                return number
        return None

    def is_over(self, number: int, moment: datetime) -> bool:
        """Say whether a key was replaced so long before a moment that nothing signed by it can come in."""
        return number < len(self.replaced) and moment > self.replaced[number] + STILL_WAITING


def line(data_dir: Path) -> Line:
    """Return the line of keys; what does not follow from the key before it ends the line, as a fault.

    That the private key in force is gone, or is another, is a fault too.
    """
    found, in_force = Line([]), _number(data_dir)
    for number, row in enumerate(_rows(data_dir), 1):
        if not _follows(found, row, number, is_in_force=number <= in_force):
            found.faults.append(f"{_LINE}: line {number} is not signed by the key before it")
            break
    if not found.keys and (first := _first_public(data_dir)):
        found.keys = [first]
    if not is_there(data_dir):
        found.faults.append(lost_words(data_dir))
    elif words := _another(data_dir, in_force, _read(_path(data_dir, in_force))):
        found.faults.append(words)
    return found


def _follows(found: Line, row: bytes, number: int, *, is_in_force: bool) -> bool:
    """Add a change to the line, and say whether it follows; what is only prepared has replaced nothing."""
    try:
        told = json.loads(row)
        before, key = (_public(told[name]) if told[name] else None for name in ("before", "key"))
        body = canonical({name: value for name, value in told.items() if name != "sig"}).encode()
        signer = key if told.get("lost") else before
        moment = datetime.fromisoformat(told["at"])
        held = {chain: (int(seq), str(hashed)) for chain, (seq, hashed) in told.get("held", {}).items()}
        good = signer is not None and _fits(signer, base64.b64decode(told["sig"]), body)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    if not good or told["number"] != number or (found.keys and found.keys[-1] != before):
        return False
    found.keys = [*(found.keys or [before]), key]
    if is_in_force:
        found.replaced.append(moment)
        found.lost += [moment] if told.get("lost") else []
        found.held |= held
    return True


def is_there(data_dir: Path) -> bool:
    """Say whether the private key in force lies in the data directory."""
    return _path(data_dir, _number(data_dir)).exists()


def was_there(data_dir: Path) -> bool:
    """Say whether anything in the data directory shows that a key has signed."""
    held = data_dir / FOLDER
    return any((held / name).exists() for name in (_LINE, _PUBLIC)) or any(held.glob("heads_*.jsonl"))


def lost_words(data_dir: Path) -> str:
    """Return that the key is gone, and the ways out."""
    return _GONE.format(data_dir / FOLDER)


def ensure(data_dir: Path, *, has_entries: bool) -> None:
    """Make the first key where none has ever been; `has_entries`: the database's audit was begun.

    Raises SigningKeyLost where one has been.
    """
    if has_entries and not is_there(data_dir):
        raise SigningKeyLost(lost_words(data_dir))
    _in_force(data_dir)


def prepare_after_loss(data_dir: Path, held: Mapping[str, tuple[int, str]]) -> str:
    """Make the key that comes after one that is lost, and return its public half as text.

    `held`: the heads of the audit now, by chain; they are signed where nobody knows the lost key's public
    half. Raises BadInput where the key is there.
    """
    with _locked(data_dir):
        if is_there(data_dir):
            raise BadInput("--lost", "the key that signs the audit is there; leave --lost out")
        number = _number(data_dir)
        rows, coming = _rows(data_dir)[:number], Ed25519PrivateKey.generate()
        first = _first_public(data_dir)
        before = json.loads(rows[-1])["key"] if rows else _text(first) if first else ""
        told = _change(number + 1, before, coming) | {"lost": True, "held": {} if before else dict(held)}
        _write_key(_path(data_dir, number + 1, ".next"), coming)
        _write_rows(data_dir, [*rows, canonical(told | {"sig": _sign(coming, told)}).encode()])
        if not before:  # they are signed by what nobody knows
            _put_heads_aside(data_dir)
        return _text(coming.public_key())


def _put_heads_aside(data_dir: Path) -> None:
    aside = folder(data_dir) / f"lost-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for path in sorted((data_dir / FOLDER).glob("heads_*.jsonl")):
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)


def prepare(data_dir: Path) -> str:
    """Make the key that is to come, and return its public half as text; the one in force stays so.

    A change that was prepared before and never put in force is forgotten.
    """
    with _locked(data_dir):
        rows, number = _rows(data_dir), _number(data_dir)
        _remove_replaced(data_dir, number)
        coming = Ed25519PrivateKey.generate()
        _write_key(_path(data_dir, number + 1, ".next"), coming)
        _write_rows(data_dir, [*rows[:number], _row(data_dir, number + 1, coming)])
        return _text(coming.public_key())


def put_in_force(data_dir: Path) -> bool:
    """Let the prepared key take the place of the one in force, if there is any, and say whether.

    Every process signs with it from then on. The private key that was replaced is removed.
    """
    with _locked(data_dir):
        number = _number(data_dir)
        coming = _path(data_dir, number + 1, ".next")
        if not coming.exists():
            return False
        rows = _rows(data_dir)
        if not (rows[number:] and json.loads(rows[number]).get("lost")):
            _write_rows(data_dir, [*rows[:number], _row(data_dir, number + 1, _read(coming))])
        coming.rename(_path(data_dir, number + 1))
        _sync(folder(data_dir))
        _remove_replaced(data_dir, number + 1)
        return True


def _remove_replaced(data_dir: Path, in_force: int) -> None:
    """Remove the private keys that were replaced; a kill may have left some."""
    for path in (data_dir / FOLDER).glob("signing-key*.pem"):
        if path != _path(data_dir, in_force):
            path.unlink()


def _row(data_dir: Path, number: int, coming: Ed25519PrivateKey) -> bytes:
    now = _in_force(data_dir)
    told = _change(number, _text(now.public_key()), coming)
    return canonical(told | {"sig": _sign(now, told)}).encode()


def _change(number: int, before: str, coming: Ed25519PrivateKey) -> dict[str, Any]:
    key = _text(coming.public_key())
    return {"number": number, "at": datetime.now(UTC).isoformat(), "before": before, "key": key}


def _sign(key: Ed25519PrivateKey, told: Json) -> str:
    return base64.b64encode(key.sign(canonical(told).encode())).decode()


def _fits(key: Ed25519PublicKey, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, body)
    except InvalidSignature:
        return False
    return True


def _text(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()


def _public(text: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))


def _path(data_dir: Path, number: int, state: str = "") -> Path:
    name = f"signing-key-{number}.pem" if number else "signing-key.pem"
    return data_dir / FOLDER / f"{name}{state}"


def _rows(data_dir: Path) -> list[bytes]:
    path = data_dir / FOLDER / _LINE
    return path.read_bytes().splitlines() if path.exists() else []


def _number(data_dir: Path) -> int:
    """Return the number of the key in force: the newest of the line, but for one that is only prepared."""
    newest = len(_rows(data_dir))
    is_prepared = not _path(data_dir, newest).exists() and _path(data_dir, newest, ".next").exists()
    return newest - 1 if newest and is_prepared else newest


@dataclass(frozen=True)
class _Held:
    """The key that this process signs with, and the file that it was read from, as `_file` has it."""

    key: Ed25519PrivateKey
    number: int
    file: tuple[int, int]

    def holds(self, data_dir: Path) -> bool:
        """Say whether that file is there still, and that of no later key."""
        try:
            same = _file(_path(data_dir, self.number)) == self.file
        except FileNotFoundError:
            return False
        return same and not _path(data_dir, self.number + 1).exists()


def _file(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns  # a number alone is given again to the next file


_held: dict[Path, _Held] = {}


def _in_force(data_dir: Path) -> Ed25519PrivateKey:
    """Return the key in force; the first is made at the first need. Raises SigningKeyLost for one gone."""
    held = _held.get(data_dir)
    if held is None or not held.holds(data_dir):
        number = _number(data_dir)
        path = _path(data_dir, number)
        if not path.exists():
            if held is not None or was_there(data_dir):
                raise SigningKeyLost(lost_words(data_dir))
            folder(data_dir)
            _write_key(path, Ed25519PrivateKey.generate())
        held = _Held(_read(path), number, _file(path))
        if words := _another(data_dir, number, held.key):
            raise SigningKeyLost(words)
        _held[data_dir] = held
        if not number and not (data_dir / FOLDER / _PUBLIC).exists():
            public = _text(held.key.public_key()).encode() + b"\n"
            _write_part(data_dir / FOLDER / _PUBLIC, public).rename(data_dir / FOLDER / _PUBLIC)
    return held.key


def _another(data_dir: Path, number: int, key: Ed25519PrivateKey) -> str | None:
    """Return in words that another key lies in the place of the one that has signed, None where none does."""
    public = data_dir / FOLDER / _PUBLIC
    if not number and not public.exists():
        return None
    known = json.loads(_rows(data_dir)[number - 1])["key"] if number else public.read_text().strip()
    return None if _text(key.public_key()) == known else _ANOTHER.format(_path(data_dir, number))


def _first_public(data_dir: Path) -> Ed25519PublicKey | None:
    """Return the public half of the first key, None where nobody knows it."""
    path = data_dir / FOLDER / _PUBLIC
    if path.exists():
        return _public(path.read_text().strip())
    return _read(_path(data_dir, 0)).public_key() if _path(data_dir, 0).exists() else None


def _read(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def _write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a key that only the file's owner reads. Of two that are made at once as the first, one holds."""
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    part = _write_part(path, text)
    if path.suffix == ".next":
        part.rename(path)
        return
    with suppress(FileExistsError):  # another process was faster: its key holds
        os.link(part, path)
    part.unlink()


def _write_rows(data_dir: Path, rows: list[bytes]) -> None:
    path = folder(data_dir) / _LINE
    _write_part(path, b"".join(row + b"\n" for row in rows)).rename(path)


def _write_part(path: Path, text: bytes) -> Path:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return part


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def signing(data_dir: Path) -> Iterator[None]:
    """Hold the key in force for as long as several things are signed in a row."""
    with (folder(data_dir) / _LOCK).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    with (folder(data_dir) / _LOCK).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
