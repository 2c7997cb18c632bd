"""Where a restore may go and from what: keys, folders and names that are none are one clear line."""

import os
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typer.testing import CliRunner, Result

from api.cli import app
from gis import audit, cluster, db
from gis.backup import checks, repository, restore, swap, take, verify
from gis.backup.repository import Repository
from gis.errors import BackupFailed, BadInput
from gis.settings import settings
from tests.with_backups import Installation, installed

ODD = " \"b 'c' $HOME %p %%f,x; #=&?*[x]{y}~(z)<w>|\\\\q`id`图é!"
"""What a shell, PostgreSQL's configuration, pgbackrest's or a list of hosts reads in a way of its own."""


@pytest.fixture(scope="module")
def one() -> Iterator[Installation]:
    with installed() as made:
        made.take("full")
        yield made


def command(data_dir: Path, *words: object) -> Result:
    """Run one of the program's commands on a data directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFETYMAP_DATA_DIR", str(data_dir))
        _forget()
        try:
            return CliRunner().invoke(app, [str(word) for word in words])
        finally:
            _forget()


def _forget() -> None:
    if db.work_engine.cache_info().currsize:
        db.work_engine().dispose()
    settings.cache_clear()
    db.work_engine.cache_clear()


def refused(done: Result, says: str) -> None:
    """A command left with one line that says what is wrong."""
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    assert says in done.output
    assert len(done.output.strip().splitlines()) == 1, done.output


KEYS = {
    "another's": (secrets.token_urlsafe(32).encode(), "the key is not that of the repository"),
    "empty": (b"", "holds no key"), "of two lines": (b"a" * 43 + b"\n" + b"b" * 43, "holds no key"),
    "bytes": (bytes(range(256)), "holds no key"), "words": ("这不是一个密钥".encode(), "holds no key"),
    "endless": (b"a" * 5000, "the key is not that of the repository"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_is_not_the_repositorys_is_one_line(one: Installation, tmp_path: Path, kind: str) -> None:
    text, says = KEYS[kind]
    path, into = tmp_path / "key", one.home / "wrong" / "data"
    path.write_bytes(text)
    refused(command(tmp_path, "restore", "--from", one.repo, "--key", path, "--into", into), says)
    assert not into.exists(), "nothing stands in the way of the next try"


@pytest.mark.parametrize("words", ["backups", "backup verify", "backup", "restore --into {home}/wrong/data"])
def test_every_command_says_so_where_the_key_was_exchanged(one: Installation, words: str) -> None:
    key = one.data_dir / "backup" / "key"
    held = key.read_text()
    key.write_text(secrets.token_urlsafe(32))
    try:
        done = command(one.data_dir, *(word.format(home=one.home) for word in words.split()))
    finally:
        key.write_text(held)
        repository.load(one.data_dir).lay(one.cluster)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    assert "the key is not that of the repository" in done.output
    assert verify.verify(one.cluster) == []


def test_a_setup_with_a_wrong_key_can_be_done_again_with_the_right_one(one: Installation) -> None:
    """A cluster that has none set up yet, towards a repository that another key made."""
    other = one.home / "other"
    other.mkdir()
    cluster.up(other)
    with pytest.raises(BackupFailed, match="key is not that of the repository"):
        repository.begin(other, repository.options_of(str(one.repo)), secrets.token_urlsafe(32))
    assert not repository.is_set_up(other)
    assert "/bin/true" in (cluster.find(other).data / "postgresql.conf").read_text()
    repository.begin(other, repository.options_of(str(one.home / "second")), None)
    assert repository.is_set_up(other)
    cluster.down(other)


@pytest.mark.parametrize(
    "said", ["FormatError: invalid key/value '\x07\x00\x9f%s'" % ("\x01x" * 999), "\x00" * 9]
)
def test_noise_that_a_wrong_key_makes_is_not_shown(said: str) -> None:
    found = repository.reason(f"P00  ERROR: [029]: {said}\nmore")
    assert "the key is not that of the repository" in found
    assert found.isprintable()
    assert len(found) < 400


def test_what_is_only_looked_at_writes_nothing_into_the_repository(one: Installation) -> None:
    """Its history of timelines led later restores of the cluster in force to a past that is not theirs."""
    aside, after = one.home / "aside", one.home / "after"
    one.restore(aside, datetime.now(UTC))
    try:
        before, keys = repository.names(one.cluster), sorted((aside / "audit").iterdir())
        for words in (
            ("rotate", "audit"),
            ("rotate", "second-factors"),
            ("backup",),
            ("backup", "--type", "full"),
        ):
            refused(command(aside, *words), "take it into force first (safetymap swap)")
        assert [name for name in repository.names(one.cluster) if name.endswith(".history")] == [
            name for name in before if name.endswith(".history")
        ]
        assert sorted((aside / "audit").iterdir()) == keys, "no half of a change is left"
        one.restore(after)
    finally:
        for folder in (aside, after):
            restore.clear(folder)


PLACES = ("{repo}", "{repo}/new", "{repo}/archive/deep/er", "{link}/new", "{data}", "{data}/new", "{pg}/new")


@pytest.mark.parametrize("place", PLACES)
def test_a_folder_that_would_mix_two_is_refused_and_stays_as_it_is(one: Installation, place: str) -> None:
    link = one.home / "link"
    if not link.is_symlink():
        link.symlink_to(one.repo)
    names = {"repo": one.repo, "data": one.data_dir, "link": link, "pg": (one.data_dir / "pg").resolve()}
    into = Path(place.format(**names))
    was_there = into.exists()
    with pytest.raises(BadInput, match=r"^--into: .*(lies inside|lie in each other)"):
        one.restore(into)
    assert into.exists() is was_there
    assert verify.verify(one.cluster) == []


def test_a_folder_of_another_machines_repository_is_refused_too(one: Installation, tmp_path: Path) -> None:
    words = ("restore", "--from", one.repo, "--key", one.data_dir / "backup" / "key", "--into")
    done = command(tmp_path / "none", *words, one.repo / "new")
    refused(done, "lie in each other")
    assert not (one.repo / "new").exists()
    refused(command(tmp_path / "none", *words, one.data_dir / "backup" / "key"), "is a file")
    dangling = one.home / "dangling"
    dangling.symlink_to(one.home / "nowhere")
    refused(command(tmp_path / "none", *words, dangling), "a link that leads nowhere")


def test_a_repository_and_a_data_directory_do_not_lie_in_each_other(one: Installation) -> None:
    inside = one.home / "inside"
    inside.symlink_to(one.data_dir)
    for folder in (one.data_dir / "x", one.data_dir.parent, inside / "x", (one.data_dir / "pg").resolve()):
        with pytest.raises(BadInput, match="lie in each other"):
            repository.make_folder(Repository({"repo1-path": str(folder)}, "k"), one.cluster)
    assert not (one.data_dir / "x").exists()


def test_folders_of_any_name_are_restored_and_put_in_force(one: Installation) -> None:
    """Data directory, repository and the restored one, each under a name of signs that others read anew."""
    del one
    with installed(ODD) as odd:
        odd.take("full")
        odd.note("later")
        assert verify.verify(odd.cluster) == []
        into = odd.home / f"into{ODD}"
        assert odd.restore(into) == []
        swap.mark(into, {"faults": []})
        restore.end_recovery(cluster.find(into))
        for folder in (into, odd.data_dir):
            cluster.down(folder)
        swap.swap(odd.data_dir.resolve(), into.resolve())
        odd.note("in force")
        assert odd.take().label
        assert verify.verify(odd.cluster) == []


NO_NAMES = ("a\nb", "a\tb", "a\x1b[1mb", "a\x7fb", os.fsdecode(b"a\xffb"), "a\u2028b")


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_cannot_be_printed_are_refused_with_one_line(
    one: Installation, tmp_path: Path, name: str
) -> None:
    folder = one.home / name
    refused(command(one.data_dir, "restore", "--into", folder), "signs that cannot be printed")
    refused(command(one.data_dir, "backup", "setup", "--to", folder), "signs that cannot be printed")
    refused(command(tmp_path / name, "db", "up"), "signs that cannot be printed")
    assert not folder.exists()
    assert not (tmp_path / name).exists()


def test_options_that_are_no_text_and_a_blank_at_the_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "options"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(BadInput, match="is no file of options"):
        repository.options_of(str(path))
    with pytest.raises(BadInput, match="ends with a blank"):
        repository.options_of(f"{tmp_path}/backup ")


def _cut(conn: Connection) -> None:
    """Take the audit's last entry away, and make the database's own head fit."""
    conn.execute(
        sa.text(
            "DELETE FROM audit WHERE chain = '*' AND seq = (SELECT seq FROM audit_heads WHERE chain = '*')"
        )
    )
    conn.execute(
        sa.text(
            "UPDATE audit_heads h SET seq = a.seq, hash = a.hash FROM (SELECT seq, hash FROM audit "
            "WHERE chain = '*' ORDER BY seq DESC LIMIT 1) a WHERE h.chain = '*'"
        )
    )


@pytest.mark.parametrize("is_there", [True, False])
def test_heads_newer_than_the_moment_are_no_fault_and_a_cut_end_is_one_where_heads_reach(
    one: Installation, is_there: bool
) -> None:
    """Beside the installation in force its heads reach to the moment, from the repository to the backup."""
    one.take("diff")
    one.note("since the backup")
    time.sleep(1.1)
    moment = datetime.now(UTC)
    one.note("after the moment")
    restore._send_all(one.data_dir)
    into = one.home / "moment" / "data"
    source, live = repository.load(one.data_dir), one.data_dir if is_there else None
    try:
        brought = restore.restore(source, into, moment, live)
        with one.engine(into).begin() as conn:
            restore.settle(conn, into)
            assert checks.check(conn, restore.look(conn, into, brought)) == []
            beyond = audit.beyond_heads(conn, into)
            assert len(beyond) == (0 if is_there else 1), beyond
            _cut(conn)
            found = audit.verify(conn, into)
            assert bool(found) is is_there, found
            assert bool(beyond) is not is_there, "what cannot be shown was said"
    finally:
        restore.clear(into)


def test_a_machine_with_the_repository_alone_goes_on_and_is_backed_up(one: Installation) -> None:
    """By the guide's commands: restored beside an empty place, swapped in, backed up again by that."""
    bare, new = one.home / "bare" / "data", one.home / "bare" / "new"
    key = one.home / "key"
    key.write_bytes((one.data_dir / "backup" / "key").read_bytes())
    cluster.down(one.data_dir)  # that machine is gone
    try:
        done = command(bare, "restore", "--from", one.repo, "--key", key, "--into", new)
        assert done.exit_code == 0, done.output
        done = command(bare, "swap", new)
        assert done.exit_code == 0, done.output
        assert len(take.listed(cluster.find(bare))) > 1, "a backup follows"
        for words in (("backup",), ("rotate", "audit"), ("audit", "verify")):
            done = command(bare, *words)
            assert done.exit_code == 0, done.output
    finally:
        restore.clear(bare)
