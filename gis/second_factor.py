"""Secrets of second factors as the store keeps them: sealed, under a key that the store does not hold.

The keys lie in a file of the data directory; one of them seals, all of them open. A secret is sealed for
its access key (AES-256-GCM, whose associated data is that key's hash): moved to another row it does not open.
Backups hold the file, and a new key is in a backup before anything is sealed under it.
"""

import base64
import json
import os
import secrets
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Connection

from gis.errors import SecretSealed
from gis.schema_access import access_keys

FILE = "second-factor-keys.json"
_NONCE = 12
_PLAIN = access_keys.c.totp_secret.not_like("%:%")


@dataclass(frozen=True)
class Ring:
    """The keys by number, as base64, and the number of the one that seals."""

    in_force: int
    keys: dict[int, str]

    @property
    def newest(self) -> int:
        """The highest number; above `in_force` where a key is prepared."""
        return max(self.keys)


def seal(data_dir: Path, secret: str, hashed: bytes) -> str:
    """Return the secret of the access key of that hash as the store keeps it, `NUMBER:BASE64`."""
    ring = ensure(data_dir)
    nonce = secrets.token_bytes(_NONCE)
    sealed = nonce + _cipher(ring.keys[ring.in_force]).encrypt(nonce, secret.encode(), hashed)
    return f"{ring.in_force}:{base64.b64encode(sealed).decode()}"


def unseal(data_dir: Path, sealed: str, hashed: bytes) -> str:
    """Return the secret of the access key of that hash.

    Raises SecretSealed where the data directory lacks its key, or the secret is not as it was sealed.
    """
    number, colon, text = sealed.partition(":")
    if not (colon and number.isdecimal()):
        raise SecretSealed("a second factor is not sealed yet; run `safetymap db up`")
    ring = _read(data_dir)
    key = ring and ring.keys.get(int(number))
    if not key:
        raise SecretSealed(
            f"the second factor is sealed under key {number}, which {data_dir / FILE} lacks: bring that file "
            "from the machine or the backup that has it, or make a new access key"
        )
    try:
        raw = base64.b64decode(text, validate=True)
        return _cipher(key).decrypt(raw[:_NONCE], raw[_NONCE:], hashed).decode()
    except (InvalidTag, ValueError) as error:
        raise SecretSealed("the second factor is not as it was sealed; make a new access key") from error


def ensure(data_dir: Path) -> Ring:
    """Return the keys; the first is made where there is none."""
    while (ring := _read(data_dir)) is None:
        data_dir.mkdir(parents=True, exist_ok=True)
        part = _write_part(data_dir, Ring(1, {1: _new()}))
        with suppress(FileExistsError):  # another process was faster: its key holds
            os.link(part, data_dir / FILE)
        part.unlink()
    return ring


def prepare(data_dir: Path) -> None:
    """Lay down a new key, under which nothing is sealed yet."""
    ring = ensure(data_dir)
    _write(data_dir, Ring(ring.in_force, ring.keys | {ring.newest + 1: _new()}))


def put_in_force(data_dir: Path) -> int:
    """Let the newest key seal from now on, and return its number."""
    ring = ensure(data_dir)
    _write(data_dir, Ring(ring.newest, ring.keys))
    return ring.newest


def count_plain(conn: Connection) -> int:
    """Return how many secrets an earlier version has stored as they are."""
    return conn.execute(sa.select(sa.func.count()).select_from(access_keys).where(_PLAIN)).scalar_one()


def seal_all(conn: Connection, data_dir: Path, *, anew: bool = False) -> int:
    """Seal what is not sealed yet (`anew`: everything, under the key in force), and return how many."""
    k = access_keys.c
    chosen = k.totp_secret.is_not(None) if anew else _PLAIN
    rows = sa.select(k.id, k.hash, k.totp_secret).where(chosen).with_for_update()
    found = conn.execute(rows).all()
    for row in found:
        plain = unseal(data_dir, row.totp_secret, row.hash) if ":" in row.totp_secret else row.totp_secret
        sealed = {"totp_secret": seal(data_dir, plain, row.hash)}
        conn.execute(access_keys.update().where(k.id == row.id).values(sealed))
    return len(found)


def forget_unused(conn: Connection, data_dir: Path) -> None:
    """Take away the keys that no secret in the store is sealed under, but for the one in force."""
    numbers = sa.select(sa.func.split_part(access_keys.c.totp_secret, ":", 1)).distinct()
    used = {int(name) for name in conn.execute(numbers).scalars() if name}
    ring = ensure(data_dir)
    kept = {number: key for number, key in ring.keys.items() if number in used | {ring.in_force}}
    _write(data_dir, Ring(ring.in_force, kept))


def _new() -> str:
    return base64.b64encode(AESGCM.generate_key(256)).decode()


def _cipher(key: str) -> AESGCM:
    return AESGCM(base64.b64decode(key))


def _read(data_dir: Path) -> Ring | None:
    try:
        told = json.loads((data_dir / FILE).read_text())
    except FileNotFoundError:
        return None
    return Ring(told["in_force"], {int(number): key for number, key in told["keys"].items()})


def _write(data_dir: Path, ring: Ring) -> None:
    _write_part(data_dir, ring).rename(data_dir / FILE)


def _write_part(data_dir: Path, ring: Ring) -> Path:
    part = data_dir / f"{FILE}.{uuid.uuid4().hex}"
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(asdict(ring), file)
        file.flush()
        os.fsync(file.fileno())
    return part
