"""Tables of who may see what: access keys, page sessions and the audit; migrations must equal this."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import BYTEA

from gis import schema

metadata = sa.MetaData(naming_convention=schema.metadata.naming_convention)
"""Apart from the city's: emptying a city leaves keys and audit alone."""
ROLES = ("public", "field", "commander", "planner", "approver", "admin")
"""From least to most; each may what the one before it may."""
WITH_SECOND_FACTOR = ("approver", "admin")
"""Roles whose rights always need a second factor; `SAFETYMAP_SECOND_FACTOR_FROM` adds others."""
ON_A_WALL = ("field", "commander")
"""Roles whose sessions may stay open though nobody uses them."""

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
    Column("hash", BYTEA, nullable=False),
    Column("role", sa.Text, nullable=False),
    Column("scheme", sa.Text),
    Column("scope", sa.Text),
    Column("label", sa.Text, nullable=False),
    Column("may_export", sa.Boolean, nullable=False),
    Column("demo", sa.Boolean, nullable=False),
    Column("totp_secret", sa.Text),
    Column("totp_step", sa.BigInteger, nullable=False, server_default="0"),
    Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    Column("expires_at", sa.DateTime(timezone=True)),
    Column("revoked_at", sa.DateTime(timezone=True)),
    Column("everywhere", sa.Boolean, nullable=False),
    Column("wall", sa.Boolean, nullable=False, server_default=sa.false()),
    CheckConstraint(f"role IN ({', '.join(repr(role) for role in ROLES[1:])})", name="role"),
    CheckConstraint(
        "everywhere = (scope IS NULL) AND everywhere = (scheme IS NULL) AND scope <> '' AND scheme <> ''",
        name="scope_whole",
    ),
    CheckConstraint(
        f"demo OR totp_secret IS NOT NULL OR role NOT IN {WITH_SECOND_FACTOR!r}", name="second_factor"
    ),
    CheckConstraint(f"NOT wall OR role IN {ON_A_WALL!r}", name="wall"),
    # Usage: whose key is this? at most twice a second per key and worker.
    UniqueConstraint("hash"),
    comment="hash = SHA-256 of the key; everywhere = the whole city; totp_step = the last code's, used once; "
    "totp_secret is sealed; wall = its sessions stay open unused.",
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", BYTEA, primary_key=True),
    Column("key_id", sa.BigInteger, ForeignKey("access_keys.id"), nullable=False),
    Column("second_factor", sa.Boolean, nullable=False),
    Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    Column("used_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # Usage: forget the sessions that are over.
    Index("ix_sessions_expires_at", "expires_at"),
    comment="Sessions of the page; hash = SHA-256 of the cookie. A session ends with its key.",
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("subject", sa.Text, primary_key=True),
    Column("failures", sa.Integer, nullable=False),
    Column("barred_until", sa.DateTime(timezone=True), nullable=False),
    Column("at", sa.DateTime(timezone=True), nullable=False),
    # Usage: forget the old ones.
    Index("ix_login_failures_at", "at"),
    comment="Log-ins that failed in a row, by key or address, and until when no other is tried; "
    "forgotten after a day.",
)

audit = Table(
    "audit",
    metadata,
    Column("chain", sa.Text, primary_key=True),
    Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    Column("at", sa.DateTime(timezone=True), primary_key=True),
    Column("entry", sa.Text, nullable=False),
    Column("hash", BYTEA, nullable=False),
    postgresql_partition_by="RANGE (at)",
    comment="Append-only, a partition per month; hash = SHA-256 of the hash before and of the row.",
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", sa.Text, primary_key=True),
    Column("seq", sa.BigInteger, nullable=False),
    Column("hash", BYTEA, nullable=False),
    comment="The last entry of each chain, locked while one is appended; a chain per scope.",
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", sa.Text, primary_key=True),
    Column("key", sa.Text, primary_key=True),
    Column("request", BYTEA, nullable=False),
    Column("status", sa.SmallInteger),
    Column("location", sa.Text),
    Column("body", BYTEA),
    Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # Usage: forget the old ones.
    Index("ix_idempotency_keys_made_at", "made_at"),
    comment="Idempotency-Key of a caller, the SHA-256 of its request and the answer; forgotten after a day.",
)
