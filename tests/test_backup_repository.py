"""The repository of backups: a bit that flips, a file that is gone, a backup that is killed, a full disk."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gis.backup import files, repository, restore, take, verify
from gis.errors import BackupFailed, BadInput
from tests import forking
from tests.with_backups import Installation, installed


@pytest.fixture(scope="module")
def one() -> Iterator[Installation]:
    """An installation with a full and a differential backup, and a log of two timelines' making."""
    with installed() as made:
        made.take("full")
        made.note("between")
        made.take("diff")
        made.cluster.sql("SELECT pg_current_xact_id(); SELECT pg_switch_wal()")
        restore._send_all(made.data_dir)
        _lay_history(made)
        yield made


def _lay_history(one: Installation) -> None:
    """Put the history of a second timeline into the repository, as its server sends it."""
    path = one.cluster.data / "pg_wal" / "00000002.history"
    one.cluster.write(path, "1\t0/5000000\tbefore 2026-11-30 04:05:36.608074+00\n\n")
    repository.run(
        one.cluster, "archive-push", f"--pg1-path={one.cluster.data}", "--no-archive-async", str(path)
    )
    path.unlink()


KINDS = {
    "backup.info": r"backup/.*/backup\.info", "its copy": r"backup/.*/backup\.info\.copy",
    "archive.info": r"archive/.*\.info", "its copy too": r"archive/.*\.info\.copy",
    "a manifest": r".*F/backup\.manifest", "a manifest's copy": r".*D/backup\.manifest\.copy",
    "many small files": r".*F/bundle/1", "a large file": r".*/pg_data/base/.*",
    "a segment of the log": r"archive/.*/[0-9A-F]{24}-.*", "a label": r"archive/.*\.backup",
    "a history": r"archive/.*\.history", "an old manifest": r"backup/.*/backup\.history/.*\.gz",
}  # fmt: skip


def _files(one: Installation, pattern: str = ".*") -> list[Path]:
    found = [path for path in sorted(one.repo.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [path for path in found if re.fullmatch(pattern, str(path.relative_to(one.repo)))]


@contextmanager
def _flipped(path: Path, rng: random.Random) -> Iterator[None]:
    """Flip one bit of a file, and back."""
    at, bit = rng.randrange(path.stat().st_size), 1 << rng.randrange(8)
    for _ in range(2):
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ bit]))
        if _ == 0:
            yield


def test_a_repository_is_whole_before_anybody_touches_it(one: Installation) -> None:
    assert verify.verify(one.cluster) == []
    seen = {path for pattern in KINDS.values() for path in _files(one, pattern)}
    assert all(_files(one, pattern) for pattern in KINDS.values())
    assert len(seen) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found(one: Installation, kind: str) -> None:
    rng = random.Random(kind)
    path = rng.choice(_files(one, KINDS[kind]))
    with _flipped(path, rng):
        assert verify.verify(one.cluster) != [], path
    assert verify.verify(one.cluster) == []


@pytest.mark.slow
def test_a_flipped_bit_is_found_in_every_file(one: Installation) -> None:
    rng = random.Random(15)
    missed = []
    for path in _files(one):
        with _flipped(path, rng):
            missed += [] if verify.verify(one.cluster) else [path]
    assert missed == []


GONE = ("its copy", "a manifest's copy", "a large file", "many small files", "a segment of the log")


@pytest.mark.parametrize("kind", GONE)
def test_a_file_that_is_gone_is_found(one: Installation, kind: str) -> None:
    path = _files(one, KINDS[kind])[0 if kind != "a segment of the log" else 2]
    held = path.rename(one.home / "held")
    assert verify.verify(one.cluster) != [], path
    held.rename(path)


def test_a_file_that_is_not_ours_is_named(one: Installation) -> None:
    stray = one.repo / "backup" / "safetymap" / "notes.txt"
    stray.write_text("hello")
    assert verify.verify(one.cluster) == ["backup/safetymap/notes.txt: no file of ours"]
    stray.unlink()


def test_nothing_in_it_can_be_read_without_the_key(one: Installation) -> None:
    known = [b"safetymap", b"CREATE", b"BEGIN", b"pg_class", b"postgres", b"PRIVATE", b"timestamp"]
    told = {word for path in _files(one) for word in known if word in path.read_bytes()}
    assert told == set()


def _ours(one: Installation) -> list[int]:
    """Processes that work on this installation's backups."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            conf = f"--config={one.cluster.backup_settings}".encode()
            if b"pgbackrest" in words[0] and conf in words:
                found += [int(entry.name)] if b"archive-push" not in b" ".join(words) else []
    return found


@pytest.mark.parametrize("after_s", [0.3, 1.0, 1.8])
def test_a_backup_that_is_killed_leaves_a_usable_repository(one: Installation, after_s: float) -> None:
    said = one.home / "said"
    settings = {"SAFETYMAP_DATA_DIR": str(one.data_dir)}
    process = forking.start(forking._Command(["backup", "--type", "full"]), settings, said)
    _wait(lambda: bool(_ours(one)), 60)
    time.sleep(after_s)
    assert process.pid
    for pid in [process.pid, *_ours(one)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.join()
    _wait(lambda: not _ours(one), 60)
    assert take.listed(one.cluster)
    assert verify.verify(one.cluster) == []
    assert one.take("diff").label
    assert verify.verify(one.cluster) == []


def test_two_at_once_are_one_and_a_refusal(one: Installation) -> None:
    with take._one_at_a_time(one.data_dir), pytest.raises(BackupFailed, match="another backup is under way"):
        one.take("diff")


@contextmanager
def _small_disk(one: Installation, megabytes: int) -> Iterator[None]:
    """Lay the repository on a disk of its own, and bring what is there back afterwards."""
    aside = one.home / "aside"
    one.repo.rename(aside)
    one.repo.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", one.repo], check=False
    )
    try:
        if mounted.returncode:
            pytest.skip("this user may mount no disk")
        subprocess.run(["cp", "-a", f"{aside}/.", one.repo], check=True)
        yield
        shutil.rmtree(aside)
        subprocess.run(["cp", "-a", f"{one.repo}/.", f"{aside}/"], check=True)
    finally:
        subprocess.run(["umount", one.repo], check=False)
        one.repo.rmdir()
        aside.rename(one.repo)


def test_a_full_disk_is_named_and_nothing_is_lost(one: Installation) -> None:
    with _small_disk(one, 96):
        one.take("full")
        with suppress(OSError), (one.repo / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 16))
        with pytest.raises(BackupFailed, match="its disk is full"):
            one.take("full")
        assert "disk is full" in str(take.last(one.data_dir)["reason"])
        one.note("while it was full")
        one.cluster.sql("SELECT pg_switch_wal()")
        _wait(
            lambda: one.cluster.sql("SELECT last_failed_time FROM pg_stat_archiver").stdout.strip() != "", 120
        )
        (one.repo / "filler").unlink()
        assert one.take("diff").label
        assert take.last(one.data_dir)["reason"] is None
        assert verify.verify(one.cluster) == []
        into = one.home / "after" / "data"
        # To a moment: the history that was laid there is of no timeline that a server was on.
        assert one.restore(into, datetime.now(UTC)) == []
        restore.clear(into)


def _wait(until: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


OPTIONS = {
    "repo1-type=s3\nrepo1-path=/city\nrepo1-s3-bucket=b\nrepo1-s3-region=r\nrepo1-s3-endpoint=e": "b:/city",
    "# ours\n[global]\nrepo1-path = /mnt/x y\nrepo1-retention-full=9\n": "/mnt/x y",
    "repo1-type=azure\nrepo1-path=/c\nrepo1-azure-account=a": "/c",
}


@pytest.mark.parametrize("text", OPTIONS)
def test_options_of_a_bucket_are_handed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "options"
    path.write_text(text)
    chosen = repository.set_up(tmp_path / "data", repository.options_of(str(path)), None)
    assert chosen.where == OPTIONS[text]
    assert repository.load(tmp_path / "data") == chosen
    assert (tmp_path / "data/backup/key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("repo1-path=/x\nrepo1-cipher-type=none", "repo1-cipher-type=none"),
        ("repo1-path=/x\npg1-path=/y", "pg1-path=/y"), ("repo1-path=/x\nrepo1-host=h", "repo1-host=h"),
        ("repo1-path=/x\nrepo1-s3-key=", "repo1-s3-key="), ("repo1-type=s3", "say repo1-path"),
        ("repo1-path=x", "say repo1-path"), ("hello", "hello="),
        ("repo1-path=/x\nspool-path=/", "spool-path=/"),
    ],
)  # fmt: skip
def test_what_is_no_option_of_a_repository_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "options"
    path.write_text(text)
    with pytest.raises(BadInput, match=re.escape(named)):
        repository.options_of(str(path))


def test_a_sealed_file_cannot_be_changed_cut_or_exchanged(tmp_path: Path) -> None:
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.mkdir()
    for name in ("a", "b"):
        (plain / name).write_bytes(random.Random(name).randbytes((2 << 20) + 5))
    key = bytes(range(32))
    assert files.seal_all(plain, sealed, key) == 2
    whole = {name: (sealed / name).read_bytes() for name in ("a", "b")}
    assert whole["a"][:4] == b"SMF1"
    cut = len(whole["a"]) - 5 - 16
    spoiled = [whole["a"][:cut], whole["a"][:-1], whole["b"], b"", whole["a"] + b"x", b"X" + whole["a"][1:]]
    spoiled += [
        whole["a"][:n] + bytes([whole["a"][n] ^ 1]) + whole["a"][n + 1 :] for n in (4, 20, 1 << 20, cut)
    ]
    for text in spoiled:
        (sealed / "a").write_bytes(text)
        with pytest.raises(BackupFailed, match="a in the backup is not as it was written"):
            files.unseal_all(sealed, tmp_path / "out", key)
    (sealed / "a").write_bytes(whole["a"])
    with pytest.raises(BackupFailed, match="another key"):
        files.unseal_all(sealed, tmp_path / "out", bytes(32))
    assert files.unseal_all(sealed, tmp_path / "out", key) == 2
    assert (tmp_path / "out" / "a").read_bytes() == (plain / "a").read_bytes()


def test_only_what_changed_is_sealed_again_and_what_is_gone_goes(tmp_path: Path) -> None:
    plain, sealed, key = tmp_path / "plain", tmp_path / "sealed", bytes(32)
    (plain / "pg").mkdir(parents=True)
    for name in ("same", "changed", "gone", "pg/left out", "service.pid"):
        (plain / name).write_text(name)
    files.seal_all(plain, sealed, key)
    assert sorted(path.name for path in sealed.iterdir()) == ["changed", "gone", "same"]
    before = {path.name: path.read_bytes() for path in sealed.iterdir()}
    (plain / "changed").write_text("otherwise")
    (plain / "gone").unlink()
    files.seal_all(plain, sealed, key)
    after = {path.name: path.read_bytes() for path in sealed.iterdir()}
    assert after["same"] == before["same"]
    assert after["changed"] != before["changed"]
    assert "gone" not in after
