"""Who may see what: roles with their scopes, access keys and sessions, and telling the database who asks."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pyotp
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import second_factor
from gis.db import Record
from gis.errors import BadInput, NotFound
from gis.schema import grid_codes, grids
from gis.schema_access import ON_A_WALL, ROLES, access_keys
from gis.settings import settings

KEY_LASTS = timedelta(days=180)
"""How long a key holds unless it is said otherwise."""
_PREFIX = "smk_"
"""Lets scanners for leaked secrets find our keys."""


@dataclass(frozen=True)
class Principal:
    """Whoever asks: a role, and the grid (None: the whole city) that holds what they may see."""

    role: str = "public"
    scheme: str | None = None
    scope: str | None = None
    name: str = "anonymous"
    key_id: int | None = None
    may_export: bool = False
    full_role: str = "public"
    """The role once the second factor has come; equals `role` where none is needed."""
    is_session: bool = False
    demo: bool = False
    """A key of the demo, good on this machine only."""
    wall: bool = False
    """Whether its sessions stay open though nobody uses them."""

    @property
    def rank(self) -> int:
        """Place of the role in ROLES."""
        return rank(self.role)


ANYBODY = Principal()
COMMAND = Principal("admin", name="command line", full_role="admin", may_export=True)
"""Whoever runs our commands, which own the database."""


@dataclass(frozen=True)
class NewKey:
    """A key just made: the only time that it and its second factor are seen."""

    key: str
    totp_secret: str | None


def rank(role: str) -> int:
    """Return a role's place in ROLES, 0 the least."""
    return ROLES.index(role)


def needs_second_factor(role: str) -> bool:
    """Say whether a role has its rights by a second factor only."""
    return rank(role) >= rank(settings().second_factor_from)


def held_back(whose: Principal) -> Principal:
    """Return somebody of a role that needs a second factor as who they are until it has come.

    That is the highest role that needs none; as the public, they are anybody but for their name.
    """
    role = ROLES[min(whose.rank, rank(settings().second_factor_from) - 1)]
    if role == "public":
        return replace(whose, role=role, scheme=None, scope=None, may_export=False)
    return replace(whose, role=role)


def digest(token: str) -> bytes:
    """Return what the store keeps of a key or cookie (SHA-256: they are random, nothing to guess)."""
    return hashlib.sha256(token.encode()).digest()


def enter(conn: Connection, who: Principal) -> None:
    """Tell the database who asks, until the end of the transaction; told nothing, it takes anybody."""
    if told := telling(who):
        conn.execute(sa.select(*(sa.func.set_config(name, value, True) for name, value in told.items())))


def telling(who: Principal) -> dict[str, str]:
    """Return the settings of a transaction that tell the database who asks; none for anybody.

    The whole city is a setting of its own: no text of a scope means it, and an empty one is nowhere.
    """
    if who.rank == 0:
        return {}
    everywhere = "on" if who.scope is None else "off"
    values = {"rank": str(who.rank), "everywhere": everywhere}
    values |= {"scheme": who.scheme or "", "scope": who.scope or ""}
    return {f"safetymap.{name}": value for name, value in values.items()}


def principal(conn: Connection, token: str) -> Principal | None:
    """Return whose key or session cookie a token is, None when it is nobody's (any more)."""
    row = conn.execute(sa.text("SELECT * FROM principal_of(:token)"), {"token": digest(token)}).one_or_none()
    if row is None:
        return None
    whose = Principal(
        row.role, row.scheme, row.scope, row.label, row.key_id, row.may_export, row.role, row.is_session,
        row.demo, row.wall,
    )  # fmt: skip
    return whose if row.second_factor else held_back(whose)


def is_used(conn: Connection, token: str, longest: timedelta, *, counts: bool) -> bool:
    """Say whether a session was used lately enough; `counts`: this is a use."""
    used = sa.text("SELECT session_is_used(:token, :longest, :counts)")
    return bool(conn.execute(used, {"token": digest(token), "longest": longest, "counts": counts}).scalar())


def create_key(
    conn: Connection,
    role: str,
    scope: str | None = None,
    *,
    scheme: str,
    label: str,
    may_export: bool = False,
    lasts: timedelta | None = KEY_LASTS,
    demo: bool = False,
    wall: bool = False,
) -> NewKey:
    """Make an access key; the store keeps its hash only.

    The secret of its second factor is sealed. Raises BadInput for an unknown role, one that has no place on a
    wall, or a scope that is no grid of the scheme.
    """
    if role not in ROLES[1:]:
        raise BadInput("role", f"{role!r} is none of {', '.join(ROLES[1:])}")
    if wall and role not in ON_A_WALL:
        raise BadInput("wall", f"is for {' and '.join(ON_A_WALL)}; {role} may too much for a wall")
    if scope is not None:
        _check_scope(conn, scheme, scope)
    key = _PREFIX + secrets.token_urlsafe(32)
    totp = pyotp.random_base32() if needs_second_factor(role) and not demo else None
    sealed = second_factor.seal(settings().data_dir, totp, digest(key)) if totp else None
    conn.execute(
        access_keys.insert().values(
            hash=digest(key), role=role, scheme=scheme if scope is not None else None, scope=scope,
            everywhere=scope is None, label=label,
            may_export=may_export, demo=demo, wall=wall, totp_secret=sealed,
            expires_at=datetime.now().astimezone() + lasts if lasts else None,
        )
    )  # fmt: skip
    return NewKey(key, totp)


def is_grid(conn: Connection, scheme: str, code: str) -> bool:
    """Tell whether a scheme has, or will have, a grid of that code."""
    there = sa.select(grids.c.id).where(grids.c.scheme == scheme, grids.c.code == code).limit(1)
    return conn.execute(there).first() is not None


def _check_scope(conn: Connection, scheme: str, scope: str) -> None:
    codes = grid_codes.c
    known = sa.select(codes.id).where(codes.scheme == scheme, codes.code == scope)
    if conn.execute(known).first() is None:
        raise BadInput("scope", f"scheme {scheme} never had a grid {scope}")


def keys(conn: Connection) -> list[Record]:
    """Return every key without its hash and second factor, oldest first."""
    k = access_keys.c
    shown = (
        k.id,
        k.label,
        k.role,
        k.scheme,
        k.scope,
        k.may_export,
        k.demo,
        k.wall,
        k.created_at,
        k.expires_at,
    )
    return list(conn.execute(sa.select(*shown, k.revoked_at).order_by(k.id)).all())


def revoke_key(conn: Connection, key_id: int) -> None:
    """Revoke a key and with it its sessions. Raises NotFound for a key that is none, or was revoked."""
    k = access_keys.c
    ended = conn.execute(
        access_keys.update().where(k.id == key_id, k.revoked_at.is_(None)).values(revoked_at=sa.func.now())
    )
    if not ended.rowcount:
        raise NotFound(f"there is no live key {key_id}; safetymap key list shows them")


def has_second_factor(conn: Connection, key: str) -> bool:
    """Say whether a key was made with a second factor."""
    return conn.execute(sa.text("SELECT totp_of(:key)"), {"key": digest(key)}).scalar() is not None


def check_code(conn: Connection, key: str, code: str) -> bool:
    """Say whether `code` is the key's second factor now (RFC 6238, ± one step of 30 s); each serves once.

    Raises SecretSealed where the secret cannot be read with the keys of the data directory.
    """
    sealed = conn.execute(sa.text("SELECT totp_of(:key)"), {"key": digest(key)}).scalar()
    if sealed is None:
        return False
    totp = pyotp.TOTP(second_factor.unseal(settings().data_dir, sealed, digest(key)))
    now = totp.timecode(datetime.now().astimezone())
    step = next((step for step in (now - 1, now, now + 1) if totp.generate_otp(step) == code), None)
    if step is None:
        return False
    used = sa.text("SELECT use_totp(:key, :step)")
    return bool(conn.execute(used, {"key": digest(key), "step": step}).scalar())


def open_session(conn: Connection, key_id: int, lasts: timedelta, *, second_factor: bool) -> str:
    """Open a session of a key and return its cookie's value."""
    token = secrets.token_urlsafe(32)
    conn.execute(
        sa.text("SELECT open_session(:key_id, :token, :second_factor, :lasts)"),
        {"key_id": key_id, "token": digest(token), "second_factor": second_factor, "lasts": lasts},
    )
    return token


def end_session(conn: Connection, token: str) -> None:
    """Forget a session."""
    conn.execute(sa.text("SELECT end_session(:token)"), {"token": digest(token)})
