"""Where the backups of an installation lie, under which key, and how pgbackrest is run on them."""

import hashlib
import hmac
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gis import cluster, postgres
from gis.cluster import Cluster
from gis.errors import BackupFailed, BadInput, ClusterMissing

FOLDER = "backup"
"""Under the data directory: the key, the options, and how the newest backup went."""
PROGRAM = "pgbackrest"
INSTALL = "install pgbackrest (Debian: apt-get install pgbackrest)"
_LONGEST_KEY = 1024
KEPT_FULL = 4
"""Full backups that are kept, with all that builds on them, unless the options say otherwise."""
_NOT_SET_UP = "backups are not set up: safetymap backup setup --to FOLDER"
_OWN_DATABASE = (
    "SAFETYMAP_DATABASE_URL names a database of your own: back it up by its own means, "
    "and copy the data directory beside it"
)
_OPTION = re.compile(
    r"repo1-(?!cipher-|host|bundle)[a-z0-9-]+|process-max|compress-level|buffer-size|io-timeout"
    r"|archive-push-queue-max|archive-timeout|db-timeout|protocol-timeout"
)
"""What may be said of a repository; the rest is ours to say."""
_NOT_ITS_KEY = "the key is not that of the repository, or a file there is damaged: safetymap backup verify"
_LONGEST_REASON = 200
_REASONS = (
    (r"No space left on device|Disk quota", "its disk is full: make room there; what it holds is untouched"),
    (
        r"was not archived before",
        "the log cannot be sent there: its disk is full or away; see the server's log",
    ),
    (r"unable to acquire lock", "another backup is under way; try again when it has ended"),
    (r"CryptoError|cipher header invalid|unable to flush|FormatError", _NOT_ITS_KEY),
    (
        r"do not match the database|stanza-upgrade",
        "the repository holds the backups of another cluster: choose an empty place",
    ),
    (
        r"PathCreateError|FileOpenError|PathOpenError|HostConnectError|ServiceError|Permission denied",
        "it cannot be reached or written",
    ),
)
"""What pgbackrest's words mean to an operator."""


@dataclass(frozen=True)
class Repository:
    """One place of backups: its options as pgbackrest names them, and the key that all is encrypted by."""

    options: Mapping[str, str]
    key: str

    def secret(self, purpose: str) -> str:
        """Return the part of the key for one purpose, from which neither the key nor another part follows."""
        return hmac.new(self.key.encode(), purpose.encode(), "sha256").hexdigest()

    @property
    def folder(self) -> Path | None:
        """The folder on this machine that it is, None where it is elsewhere."""
        kind = self.options.get("repo1-type", "posix")
        return Path(self.options["repo1-path"]) if kind in {"posix", "cifs"} else None

    @property
    def where(self) -> str:
        """The place in words: a folder, or a bucket and a path in it."""
        bucket = next((value for name, value in self.options.items() if name.endswith("-bucket")), "")
        return f"{bucket}:{self.options['repo1-path']}" if bucket else self.options["repo1-path"]

    def lay(self, one: Cluster) -> None:
        """Write what pgbackrest reads, as the server's user, with folders of its own for what it leaves."""
        places = {name: one.home / f"pgbackrest-{name}" for name in ("spool", "lock", "log")}
        for place in places.values():
            one.own_directory(place)
        ours = {
            "repo1-retention-full": KEPT_FULL,
            **self.options,
            "repo1-cipher-type": "aes-256-cbc",
            "repo1-cipher-pass": self.secret("repository"),
            "repo1-bundle": "y",  # hundreds of small files as one: a backup takes a third of the time
            **{f"{name}-path": place for name, place in places.items()},
            "archive-async": "y",
            "start-fast": "y",
            "compress-type": "zst",
            "log-level-console": "off",
            "log-level-stderr": "warn",
        }
        lines = ["[global]", *(f"{name}={value}" for name, value in ours.items())]
        # It sends a segment a minute, and its log is never cut.
        lines += ["[global:archive-push]", "log-level-file=warn", ""]
        one.write(one.backup_settings, "\n".join(lines))


def options_of(to: str) -> dict[str, str]:
    """Return the options of a place: of a folder, or those that stand in a file of pgbackrest's options.

    Raises BadInput naming the option that is not one of a repository, or a folder that is none.
    """
    path = Path(to).expanduser()
    postgres.refuse_name("--to", path)
    if path.is_file():
        return _read(path)
    if not path.is_absolute():
        raise BadInput(
            "--to", f"{to} is neither a file of options nor a folder from / on; write /backup/city"
        )
    if str(path) != str(path).strip():
        raise BadInput("--to", f"{str(path)!r} ends with a blank, which pgbackrest takes off; rename it")
    return {"repo1-path": str(path)}


def read_key(path: Path) -> str:
    """Return the key in a file. Raises BadInput for a file that holds no key."""
    with path.open("rb") as file:
        held = file.read(_LONGEST_KEY).decode("ascii", "replace").strip()
    if not re.fullmatch(r"[!-~]{16,}", held):
        raise BadInput(
            "--key", f"{path} holds no key: it is one line, as {FOLDER}/key in the data directory has it"
        )
    return held


def overlap(one: Path, other: Path) -> bool:
    """Say whether one of two folders lies in the other, whatever links lead there, or is the other."""
    first, second = one.resolve(), other.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        raise BadInput("--to", f"{path} is no file of options: it is not text in UTF-8") from None
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("#", "["))]
    found = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in said)}
    for name, value in found.items():
        if not _OPTION.fullmatch(name) or not value:
            raise BadInput(
                "--to", f"{path}: {name}={value} is no option of a repository (repo1-type, repo1-path, "
                "repo1-s3-…, repo1-retention-full …); encryption is always on, by our own key",
            )  # fmt: skip
    if not found.get("repo1-path", "").startswith("/"):
        raise BadInput("--to", f"{path}: say repo1-path=/…, the path in the bucket or on the disk")
    return found


def set_up(data_dir: Path, options: Mapping[str, str], key: str | None) -> Repository:
    """Keep place and key of backups in the data directory; a key is made where none is named.

    Raises BackupFailed where backups go elsewhere already.
    """
    wanted = Repository(dict(options), key or secrets.token_urlsafe(32))
    if is_set_up(data_dir):
        there = load(data_dir)
        if there.options["repo1-path"] != wanted.options["repo1-path"] or key not in {None, there.key}:
            raise BackupFailed(
                f"backups go to {there.where} already; to begin anew elsewhere, move {data_dir / FOLDER} away"
            )
        wanted = Repository(wanted.options, there.key)
    keep(data_dir, wanted)
    return wanted


def begin(data_dir: Path, options: Mapping[str, str], key: str | None) -> Repository:
    """Choose where backups go and begin the repository; where it is refused, nothing is chosen.

    Raises BadInput or BackupFailed.
    """
    was_there = is_set_up(data_dir)
    chosen = set_up(data_dir, options, key)
    try:
        create(data_dir, chosen)
    except (BadInput, BackupFailed):
        if not was_there and not cluster.find(data_dir).backup_settings.exists():
            for name in ("options", "key"):
                (data_dir / FOLDER / name).unlink()
        raise
    return chosen


def keep(data_dir: Path, repository: Repository) -> None:
    """Write place and key into a data directory, where only its owner reads them."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = "".join(f"{name}={value}\n" for name, value in repository.options.items())
    for name, text in (("options", lines), ("key", f"{repository.key}\n")):
        part = folder / f"{name}.part"
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_text(text)
        part.rename(folder / name)


def is_set_up(data_dir: Path) -> bool:
    """Say whether the data directory knows where its backups go."""
    return (data_dir / FOLDER / "key").exists()


def load(data_dir: Path) -> Repository:
    """Return the repository of an installation. Raises BackupFailed where none is set up."""
    if not is_set_up(data_dir):
        raise BackupFailed(_NOT_SET_UP)
    return Repository(_read(data_dir / FOLDER / "options"), (data_dir / FOLDER / "key").read_text().strip())


def refuse_own_database(database_url: str | None) -> None:
    """Raise BackupFailed where the database is not the private cluster."""
    if database_url:
        raise BackupFailed(_OWN_DATABASE)


def make_folder(repository: Repository, one: Cluster) -> None:
    """Make the folder of a repository that is one, for the server's user. Raises BadInput for another's."""
    folder = repository.folder
    if folder is None:
        return
    if any(overlap(folder, own) for own in (one.data_dir, one.home)):
        raise BadInput(
            "--to", f"{folder} and the data directory lie in each other, and one dies with the other; "
            "choose another disk",
        )  # fmt: skip
    if not folder.exists():
        folder.mkdir(mode=0o750, parents=True)
        one.give(folder)
    if postgres.run(one.account, "test", "-w", folder, "-a", "-x", folder).returncode:
        raise BadInput("--to", f"{folder} is not open to {one.superuser}: chown {one.superuser} {folder}")


def create(data_dir: Path, repository: Repository) -> None:
    """Begin a repository, or go on with one that is this cluster's, and send the log there from now on.

    Raises BackupFailed with what stands against it; nothing is sent then.
    """
    one = cluster.find(data_dir)
    make_folder(repository, one)
    was_laid = one.backup_settings.exists()
    repository.lay(one)
    try:
        run(one, "stanza-create", *server(one))
    except BackupFailed:
        if not was_laid:
            one.backup_settings.unlink()
        raise
    cluster.reload(data_dir)
    run(one, "check", *server(one))


def server(one: Cluster) -> list[str]:
    """Return the words that lead pgbackrest to the server, which runs."""
    return [f"--pg1-path={one.data}", f"--pg1-socket-path={one.sockets}", f"--pg1-port={one.port}"]


def run(one: Cluster, command: str, *words: str) -> str:
    """Run one of pgbackrest's commands as the server's user, and return what it says.

    Raises ClusterMissing where it is not installed, BackupFailed with its reason.
    """
    return _run(one, command, f"--stanza={postgres.STANZA}", *words).decode(errors="replace")


def names(one: Cluster) -> list[str]:
    """Return the paths of all files in the repository."""
    told = read_json(_run(one, "repo-ls", "--recurse", "--output=json"))
    return sorted(name for name, what in told.items() if what["type"] == "file")


def get(one: Cluster, name: str) -> bytes:
    """Return a file of the repository, decrypted. Raises BackupFailed for one that cannot be."""
    return _run(one, "repo-get", name)


def read_json(told: str | bytes) -> Any:
    """Return what pgbackrest tells in JSON, in which it leaves the line ends of errors as they are.

    Raises BackupFailed for what is none.
    """
    try:
        return json.loads(told, strict=False)
    except ValueError:
        raise BackupFailed(f"the repository: {PROGRAM} answers with what is no JSON; see its log") from None


def _run(one: Cluster, command: str, *words: str) -> bytes:
    program = shutil.which(PROGRAM)
    if program is None:
        raise ClusterMissing(f"{PROGRAM} is not installed: {INSTALL}")
    done = postgres.run_raw(one.account, program, command, f"--config={one.backup_settings}", *words)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace")
        raise BackupFailed(f"the repository: {reason(said)}")
    return done.stdout


def reason(said: str) -> str:
    """Return what went wrong, in our words where we know it, with pgbackrest's own first line behind.

    Of a file that a wrong key has decrypted to noise, it shows the noise.
    """
    own = next((line for line in said.splitlines() if "ERROR:" in line), said.strip())
    own = own.partition("ERROR: ")[2] or own
    ours = next((words for sign, words in _REASONS if re.search(sign, said)), None)
    if not own.isprintable():
        ours = ours or _NOT_ITS_KEY
        own = own[: next(at for at, sign in enumerate(own) if not sign.isprintable())]
    own = own if len(own) <= _LONGEST_REASON else f"{own[:_LONGEST_REASON]} …"
    return f"{ours} ({own})" if ours else own


def file_key(repository: Repository) -> bytes:
    """Return the key of the files beside the cluster: the server's user does not have it."""
    return hashlib.sha256(repository.secret("files").encode()).digest()
