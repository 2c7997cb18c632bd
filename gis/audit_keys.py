"""The keys that sign the audit, in the order in which each took the place of the one before.

The private key in force lies in `signing-key.pem`, after the first change in `signing-key-1.pem`, and so on.
Public keys that were in force stay in `signing-keys.jsonl`: a line for each change, signed by the key that
was replaced. A change is prepared first (its private key lies under a name that nobody signs with), so that a
backup can hold it; giving that file its name puts it in force. Whatever is interrupted leaves one in force.
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

STILL_WAITING = timedelta(days=1)
"""How long after a change entries may still come in that the replaced key has signed: they wait in files."""
FOLDER = "audit"
_LINE, _LOCK = "signing-keys.jsonl", "signing-keys.lock"

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
    """The public keys, oldest first, and when each but the last was replaced."""

    keys: list[Ed25519PublicKey]
    replaced: list[datetime] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _last: int = 0

    def signer(self, told: Json) -> int | None:
        """Return which key has signed, None when none has. Raises what a text that is none of ours raises."""
        body = canonical({name: value for name, value in told.items() if name != "sig"}).encode()
        signature = base64.b64decode(told["sig"])
        for number in sorted(range(len(self.keys)), key=lambda number: number != self._last):
            if _fits(self.keys[number], signature, body):
                self._last = number
                return number
        return None

    def is_over(self, number: int, moment: datetime) -> bool:
        """Say whether a key was replaced so long before a moment that nothing signed by it can come in."""
        return number < len(self.replaced) and moment > self.replaced[number] + STILL_WAITING


def line(data_dir: Path) -> Line:
    """Return the line of keys; what does not follow from the key before it ends the line, as a fault."""
    rows = _rows(data_dir)
    if not rows:
        return Line([_in_force(data_dir).public_key()])
    found, in_force = Line([]), _number(data_dir)
    for number, row in enumerate(rows, 1):
        try:
            told = json.loads(row)
            keys = [_public(told[name]) for name in ("before", "key")]
            body = canonical({name: value for name, value in told.items() if name != "sig"}).encode()
            good = _fits(keys[0], base64.b64decode(told["sig"]), body) and told["number"] == number
            good &= not found.keys or found.keys[-1] == keys[0]
            moment = datetime.fromisoformat(told["at"])
        except (ValueError, TypeError, KeyError):
            good = False
        if not good:
            found.faults.append(f"{_LINE}: line {number} is not signed by the key before it")
            break
        found.keys = [*(found.keys or keys[:1]), keys[1]]
        found.replaced += [moment] if number <= in_force else []  # what is only prepared has replaced nothing
    found.keys = found.keys or [_in_force(data_dir).public_key()]
    return found


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
        rows = [*_rows(data_dir)[:number], _row(data_dir, number + 1, _read(coming))]
        _write_rows(data_dir, rows)
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
    told = {
        "number": number,
        "at": datetime.now(UTC).isoformat(),
        "before": _text(now.public_key()),
        "key": _text(coming.public_key()),
    }
    return canonical(told | {"sig": _sign(now, told)}).encode()


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
    """Return the number of the key in force: the newest of the line that lies under its own name."""
    newest = len(_rows(data_dir))
    return next((one for one in range(newest, 0, -1) if _path(data_dir, one).exists()), 0)


@dataclass(frozen=True)
class _Held:
    """The key that this process signs with, and the file that it was read from."""

    key: Ed25519PrivateKey
    number: int
    file: int

    def holds(self, data_dir: Path) -> bool:
        """Say whether that file is there still, and that of no later key."""
        try:
            same = _path(data_dir, self.number).stat().st_ino == self.file
        except FileNotFoundError:
            return False
        return same and not _path(data_dir, self.number + 1).exists()


_held: dict[Path, _Held] = {}


def _in_force(data_dir: Path) -> Ed25519PrivateKey:
    """Return the key in force; the first is made at the first need."""
    held = _held.get(data_dir)
    if held is None or not held.holds(data_dir):
        number = _number(data_dir)
        path = _path(data_dir, number)
        if not number and not path.exists():
            folder(data_dir)
            _write_key(path, Ed25519PrivateKey.generate())
        held = _held[data_dir] = _Held(_read(path), number, path.stat().st_ino)
    return held.key


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
