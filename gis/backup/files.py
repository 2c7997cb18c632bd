"""Files of the data directory as they lie in a backup: sealed, beside the database's own.

They hold secrets that the server's user must not read, such as the audit's signing key, but it is this user
who writes backups. So each is encrypted by a key that this user lacks, in pieces that can neither be changed
nor moved (AES-256-GCM; a nonce counts the pieces and marks the last one, the file's name goes in as well).
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gis.errors import BackupFailed

LEFT_OUT = frozenset({"pg", "pg.lock", "backup", "before", "logs", "tools", "service.pid", "restored.json"})
"""What lies in a data directory and is in no backup: the cluster, which is there itself, the backups' own
key, what a swap put aside, logs, and programs that are installed again."""
_MAGIC, _SALT, _PIECE, _TAG = b"SMF1", 16, 1 << 20, 16
_PATIENCE_S = 0.5


def seal_all(data_dir: Path, into: Path, key: bytes) -> int:
    """Bring the sealed files under `into` up to what lies in `data_dir`, and return how many there are.

    One that did not change is left as it is, so that a differential backup does not take it again.
    """
    wanted = dict(_files(data_dir))
    for name, path in wanted.items():
        with suppress(FileNotFoundError):  # entries of the audit that the database has meanwhile
            _seal_one(path, into / name, name, key)
    for name, path in list(_files(into, frozenset())):
        if name not in wanted or not wanted[name].exists():
            path.unlink()
    return len(wanted)


def unseal_all(sealed: Path, data_dir: Path, key: bytes) -> int:
    """Write the files that are sealed under `sealed` into `data_dir`, and return how many there are.

    Raises BackupFailed naming the first that is not as it was sealed.
    """
    found = list(_files(sealed, frozenset()))
    for name, path in found:
        target = data_dir / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("rb") as source, os.fdopen(_private(target), "wb") as sink:
            try:
                for piece in _opened(source, name, key):
                    sink.write(piece)
            except (InvalidTag, ValueError) as error:
                raise BackupFailed(
                    f"{name} in the backup is not as it was written, or under another key"
                ) from error
        os.utime(target, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    return len(found)


def _files(folder: Path, left_out: frozenset[str] = LEFT_OUT) -> Iterator[tuple[str, Path]]:
    """Yield name within the folder and path of every file, in order."""
    for top in sorted(folder.iterdir()) if folder.is_dir() else []:
        if top.name not in left_out and not top.is_symlink():
            inside = sorted(top.rglob("*")) if top.is_dir() else [top]
            yield from ((str(one.relative_to(folder)), one) for one in inside if one.is_file())


def _private(path: Path) -> int:
    path.unlink(missing_ok=True)
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)


def _seal_one(path: Path, target: Path, name: str, key: bytes) -> None:
    state = path.stat()
    with suppress(FileNotFoundError):
        there = target.stat()
        if (there.st_mtime_ns, there.st_size) == (state.st_mtime_ns, _sealed_size(state.st_size)):
            return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with path.open("rb") as source, os.fdopen(_private(part), "wb") as sink:
        _share(source)
        for piece in _sealed(source, name, key):
            sink.write(piece)
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    part.rename(target)


def _share(file: BinaryIO) -> None:
    """Wait until nobody writes to the file, but not for long: some are held by a process all its life."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        time.sleep(0.02)


def _sealed_size(size: int) -> int:
    pieces = max(1, -(-size // _PIECE))
    return len(_MAGIC) + _SALT + size + pieces * _TAG


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"safetymap file").derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _pieces(source: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number, bytes and whether it is the last of each piece of a file; an empty file has one."""
    number, piece = 0, source.read(size)
    while True:
        following = source.read(size)
        yield number, piece, not following
        if not following:
            return
        number, piece = number + 1, following


def _sealed(source: BinaryIO, name: str, key: bytes) -> Iterator[bytes]:
    salt = secrets.token_bytes(_SALT)
    cipher = _cipher(key, salt)
    yield _MAGIC + salt
    for number, piece, last in _pieces(source, _PIECE):
        yield cipher.encrypt(_nonce(number, last=last), piece, name.encode())


def _opened(source: BinaryIO, name: str, key: bytes) -> Iterator[bytes]:
    """Yield a sealed file's pieces. Raises InvalidTag or ValueError for one that is not what was sealed."""
    if source.read(len(_MAGIC)) != _MAGIC:
        raise ValueError(name)
    cipher = _cipher(key, source.read(_SALT))
    for number, piece, last in _pieces(source, _PIECE + _TAG):
        yield cipher.decrypt(_nonce(number, last=last), piece, name.encode())
