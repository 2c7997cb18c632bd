"""Passwords of the private cluster: the owner's lies in the data directory, the service's follows it.

A new one is laid down beside the one in force, then set in the database, then put in its place. Whatever is
interrupted, one of those that lie there is the one that the database takes.
"""

import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

FILE = "pg-password"


def in_force(data_dir: Path) -> str:
    """Return the owner's password; FileNotFoundError before there is one."""
    return (data_dir / FILE).read_text().strip()


def newest(data_dir: Path) -> str:
    """Return the owner's password that is to be in force."""
    coming = _coming(data_dir)
    return coming.read_text().strip() if coming.exists() else in_force(data_dir)


def of_service(password: str, service: str) -> str:
    """Return the service's password: follows from the owner's, which does not follow from it."""
    return hmac.new(password.encode(), service.encode(), "sha256").hexdigest()


def candidates(data_dir: Path, service: str) -> Iterator[str]:
    """Yield what the database may take as the service's password, each once, as long as files change."""
    seen: list[str] = []
    while found := [one for one in (in_force(data_dir), newest(data_dir)) if one not in seen]:
        seen.append(found[0])
        yield of_service(found[0], service)


def ensure(data_dir: Path) -> None:
    """Write a password where there is none."""
    path = data_dir / FILE
    if not (path.exists() and path.stat().st_size):
        _write(path)


def prepare(data_dir: Path) -> None:
    """Lay a new password down, unless one lies there already, which the database may have taken."""
    if not _coming(data_dir).exists():
        _write(_coming(data_dir))


def put_in_force(data_dir: Path) -> None:
    """Let the new password, if there is one, take the place of the one before: the database takes it."""
    coming = _coming(data_dir)
    if coming.exists():
        coming.rename(data_dir / FILE)


def _coming(data_dir: Path) -> Path:
    return data_dir / f"{FILE}.next"


def _write(path: Path) -> None:
    """Write a random password whole, for the file's owner only."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(24))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
