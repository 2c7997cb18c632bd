"""Whether every file of the repository is as it was written, and the log is there without a gap.

pgbackrest 2.45 reads the database's files and the log back and compares their checksums. It passes over what
is written twice when one of the two can be read, over labels and histories, and over a segment of the log
that is gone: these are looked at here. Everything is encrypted, so that a bit that flips spoils at least 16
bytes of the text; what has no checksum is held against what may stand there.
"""

import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from gis.backup import repository, take
from gis.backup.take import Backup
from gis.cluster import Cluster
from gis.errors import BackupFailed

SEGMENTS = 256
"""Segments of 16 MB in one file of the log's numbers (PostgreSQL's default)."""
_LABEL_LINE = rb"|".join(
    (
        rb"(START|STOP) WAL LOCATION: [0-9A-F]+/[0-9A-F]+ \(file [0-9A-F]{24}\)",
        rb"CHECKPOINT LOCATION: [0-9A-F]+/[0-9A-F]+",
        rb"BACKUP (METHOD|FROM): [a-z]+",
        rb"(START|STOP) TIME: [0-9: -]+ [A-Z]+",
        rb"LABEL: pgBackRest [ -~]+",
        rb"(START|STOP) TIMELINE: \d+",
    )
)
_LABEL = re.compile(rb"((%s)\n){8,11}" % _LABEL_LINE)
_HISTORY = re.compile(rb"(\d+\t[0-9A-F]+/[0-9A-F]+\t[ -~]+\n|\n)+")
_SEGMENT = re.compile(r".*/([0-9A-F]{24})-[0-9a-f]{40}(\.\w+)?")


def verify(one: Cluster) -> list[str]:
    """Return everything that is wrong with the repository, a line each; empty when it is whole."""
    names, backups = repository.names(one), take.listed(one)
    found = [*_by_pgbackrest(one), *_gaps(names, backups)]
    if not backups:
        found.append("the repository holds no backup")
    return found + [fault for name in names for fault in _look(one, name, names)]


def _by_pgbackrest(one: Cluster) -> Iterator[str]:
    """Yield what pgbackrest finds; it says so in text, and leaves with status 0 all the same."""
    try:
        said = repository.run(one, "verify", "--output=text", "--verbose")
    except BackupFailed as error:
        yield str(error)
        return
    about = ""
    for line in map(str.strip, said.splitlines()):
        if line.startswith(("backup:", "archiveId:")):
            about = line.split(",")[0]
        faults = [
            part for part in line.split(", ") if re.fullmatch(r"(missing|.*invalid|other): [1-9]\d*", part)
        ]
        if faults:
            yield f"{about}: {', '.join(faults)}"
    if "status: error" in said and "invalid" not in said and "missing" not in said:
        yield said.strip()


def _gaps(names: Sequence[str], backups: Sequence[Backup]) -> Iterator[str]:
    """Yield the stretches of the log that are missing since the oldest backup, on each timeline."""
    held: dict[int, set[int]] = defaultdict(set)
    for name in names:
        if found := _SEGMENT.fullmatch(name):
            held[_timeline(found[1])].add(_number(found[1]))
    for backup in backups:
        first, last = map(_number, backup.wal)
        yield from _missing(backup.timeline, range(first, last + 1), held)
    oldest = min((_number(backup.wal[0]) for backup in backups), default=0)
    for timeline, numbers in sorted(held.items()):
        first = max(min(numbers), oldest)
        yield from _missing(timeline, range(first, max(numbers) + 1), held)


def _missing(timeline: int, wanted: range, held: dict[int, set[int]]) -> Iterator[str]:
    lacking = [number for number in wanted if number not in held[timeline]]
    if lacking:
        first, last = (_name(timeline, number) for number in (lacking[0], lacking[-1]))
        yield f"the log: {len(lacking)} segments are gone, {first} to {last}"


def _timeline(segment: str) -> int:
    return int(segment[:8], 16)


def _number(segment: str) -> int:
    return int(segment[8:16], 16) * SEGMENTS + int(segment[16:], 16)


def _name(timeline: int, number: int) -> str:
    return f"{timeline:08X}{number // SEGMENTS:08X}{number % SEGMENTS:08X}"


def _look(one: Cluster, name: str, names: Iterable[str]) -> list[str]:
    """Return what is wrong with one file that pgbackrest passes over."""
    for pattern, look in _KINDS:
        if re.fullmatch(pattern, name):
            try:
                return [f"{name}: {fault}" for fault in look(one, name, names)]
            except BackupFailed as error:
                return [f"{name}: {error}"]
    return [f"{name}: no file of ours"]


def _read_already(_: Cluster, __: str, ___: Iterable[str]) -> list[str]:
    return []


def _is_twice(one: Cluster, name: str, names: Iterable[str]) -> list[str]:
    """The file and its copy say the same; of a backup that was broken off there is the copy alone."""
    copy = f"{name}.copy"
    if copy not in names:
        return ["its copy is gone"]
    return [] if repository.get(one, name) == repository.get(one, copy) else [f"it differs from {copy}"]


def _is_label(one: Cluster, name: str, _: Iterable[str]) -> list[str]:
    return [] if _LABEL.fullmatch(repository.get(one, name)) else ["not as PostgreSQL writes it"]


def _is_history(one: Cluster, name: str, _: Iterable[str]) -> list[str]:
    return [] if _HISTORY.fullmatch(repository.get(one, name)) else ["not as PostgreSQL writes it"]


def _is_zipped(one: Cluster, name: str, _: Iterable[str]) -> list[str]:
    try:
        gzip.decompress(repository.get(one, name))
    except (OSError, EOFError, zlib.error):
        return ["not as it was packed"]
    return []


Look = Callable[[Cluster, str, Iterable[str]], list[str]]
_BACKUP = r"backup/safetymap/[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?"
_KINDS: tuple[tuple[str, Look], ...] = (
    (r".*\.pgbackrest\.tmp", _read_already),  # of a command that was broken off: never read, written anew
    (r"(backup|archive)/safetymap/(backup|archive)\.info", _is_twice),
    (rf"{_BACKUP}/backup\.manifest", _is_twice),
    (r"(backup|archive)/safetymap/.*\.(info|manifest)\.copy", _read_already),
    (rf"{_BACKUP}/(pg_data|bundle)/.*", _read_already),
    (
        r"archive/safetymap/[0-9]+-[0-9]+/[0-9A-F]{16}/[0-9A-F]{24}(\.partial)?-[0-9a-f]{40}(\.\w+)?",
        _read_already,
    ),
    (r"archive/safetymap/[0-9]+-[0-9]+/[0-9A-F]{16}/[0-9A-F]{24}\.[0-9A-F]{8}\.backup", _is_label),
    (r"archive/safetymap/[0-9]+-[0-9]+/[0-9A-F]{8}\.history", _is_history),
    (r"backup/safetymap/backup\.history/[0-9]{4}/.*\.manifest\.gz", _is_zipped),
)
"""What lies in a repository, and who looks at it: pgbackrest itself where `_read_already` stands."""
