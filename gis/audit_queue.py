"""Entries of the audit that wait for the database: each lies in a file before what it tells of is done.

A file belongs to the process that holds its lock. What a killed process leaves is taken over by the next
that starts; an entry that the database has already is not written twice.
"""

import errno
import fcntl
import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER, _NAME = "audit", "waiting_*.jsonl"
_PAGE = 4096


@dataclass
class Waiting:
    """One file of signed entries.

    `since`: monotonic seconds when the first came, None while there is none. `tried`: the database may have
    some of them.
    """

    path: Path
    handle: int
    texts: list[str] = field(default_factory=list)
    since: float | None = None
    tried: bool = False

    def add(self, text: str) -> None:
        """Write an entry down. Raises OSError where the disk does not take it; it then waits for nobody."""
        line = text.encode() + b"\n"
        written = os.write(self.handle, line)
        if written < len(line):  # a torn line would swallow the next one
            os.ftruncate(self.handle, os.fstat(self.handle).st_size - written)
            raise OSError(errno.ENOSPC, f"the disk took {written} of {len(line)} bytes")
        self.texts.append(text)
        self.since = self.since or time.monotonic()

    def done(self) -> None:
        """Forget the file: the database has its entries."""
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


def begin(data_dir: Path) -> Waiting:
    """Return a new empty file of this process."""
    folder = data_dir / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / _NAME.replace("*", uuid.uuid4().hex)
    part = path.with_suffix(".part")  # under its name it is locked from the first moment
    handle = os.open(part, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    part.rename(path)
    return Waiting(path, handle)


def try_room(data_dir: Path) -> None:
    """Write a page's worth of bytes and take it away again. Raises OSError where there is no room for it."""
    folder = data_dir / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as page:
        if page.write(bytes(_PAGE)) < _PAGE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def left_behind(data_dir: Path) -> Iterator[Waiting]:
    """Yield the files that no process holds any more, as ours."""
    for path in sorted((data_dir / _FOLDER).glob(_NAME)):
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            if path.exists():
                yield Waiting(path, handle, _read(path), time.monotonic(), tried=True)
            else:  # its process was done with it while we looked
                os.close(handle)


def _read(path: Path) -> list[str]:
    """Return the whole entries of a file; the last may be torn, and then nothing was given out for it."""
    lines = path.read_bytes().decode(errors="replace").split("\n")[:-1]
    return [line for line in lines if _is_entry(line)]


def by_chain(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return entries by the chain that each belongs to, chains in order."""
    chains: dict[str, list[str]] = {}
    for text in texts:
        chains.setdefault(json.loads(text)["chain"], []).append(text)
    return dict(sorted(chains.items()))


def _is_entry(line: str) -> bool:
    try:
        return isinstance(json.loads(line)["chain"], str)
    except (ValueError, TypeError, KeyError):
        return False


def count_left(data_dir: Path) -> dict[str, int]:
    """Return how many entries wait in the files that no process holds, by file."""
    found = {}
    for one in left_behind(data_dir):
        found[one.path.name] = len(one.texts)
        os.close(one.handle)
    return {name: count for name, count in found.items() if count}
