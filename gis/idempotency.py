"""Requests that take effect once, however often they are sent: keys claimed in the transaction of the effect.

After draft-ietf-httpapi-idempotency-key-header. Who comes second waits for the first to commit and gets its
answer; where the first failed, nothing was claimed, and the second takes effect.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from gis.errors import OtherRequest
from gis.schema_access import idempotency_keys

_KEPT = sa.text("interval '24 hours'")
_FORGOTTEN_AT_ONCE = 100


@dataclass(frozen=True)
class Claim:
    """A key of a caller, and the hash of the request that it stands for."""

    caller: str
    key: str
    request: bytes


@dataclass(frozen=True)
class Kept:
    """The answer that a request got."""

    status: int
    location: str | None
    body: bytes


def claim(conn: Connection, wanted: Claim) -> Kept | None:
    """Claim a key for this transaction; return the answer that its request got before, None when it is new.

    Raises OtherRequest when the key came with another request within the last day.
    """
    conn.execute(sa.select(sa.func.set_config("safetymap.caller", wanted.caller, True)))
    _forget(conn)
    k = idempotency_keys.c
    values = {"caller": wanted.caller, "key": wanted.key, "request": wanted.request}
    claiming = insert(idempotency_keys).values(values).on_conflict_do_nothing().returning(k.key)
    if conn.execute(claiming).one_or_none():
        return None
    same = sa.select(idempotency_keys).where(k.caller == wanted.caller, k.key == wanted.key)
    found = conn.execute(same).one()
    if found.request != wanted.request:
        raise OtherRequest("Idempotency-Key", "came with another request before; send a new one")
    return Kept(found.status, found.location, found.body)


def keep(conn: Connection, claimed: Claim, answer: Kept) -> None:
    """Keep the answer to a claimed request."""
    k = idempotency_keys.c
    conn.execute(
        idempotency_keys.update()
        .where(k.caller == claimed.caller, k.key == claimed.key)
        .values(status=answer.status, location=answer.location, body=answer.body)
    )


def _forget(conn: Connection) -> None:
    """Forget the caller's old keys, a few at a time; nobody waits for one that another is about to forget."""
    k = idempotency_keys.c
    old = sa.select(k.caller, k.key).where(k.made_at < sa.func.now() - _KEPT)
    chosen = old.order_by(k.made_at).limit(_FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
    conn.execute(idempotency_keys.delete().where(sa.tuple_(k.caller, k.key).in_(chosen)))
