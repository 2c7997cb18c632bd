"""Tables of what is kept of the situation: the public's counts, notice letters, models that went live."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from gis.cells import RESOLUTIONS
from gis.schema import metadata

LETTER_KINDS = ("notice", "warning")
"""平安提示函 and 风险预警函."""

public_months = Table(
    "public_months",
    metadata,
    Column("month", sa.Date, primary_key=True),
    Column("incidents", sa.BigInteger, nullable=False),
    Column("told", ARRAY(sa.Text), nullable=False),
    Column("released_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    comment="Months that the public was told of; told = '' (all) and the categories large enough to be told.",
)

public_counts = Table(
    "public_counts",
    metadata,
    Column("month", sa.Date, ForeignKey("public_months.month"), primary_key=True),
    Column("category", sa.Text, primary_key=True),
    Column("cell", sa.BigInteger, primary_key=True),
    Column("count", sa.BigInteger, nullable=False),
    *(Column(f"cell_{res}", sa.BigInteger, nullable=False) for res in RESOLUTIONS),
    CheckConstraint("count >= 3", name="nobody_alone"),
    comment="count = incidents in the cell less those told of cells in it; cell_R = what R shows of them.",
)

letters = Table(
    "letters",
    metadata,
    Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
    Column("kind", sa.Text, nullable=False),
    Column("grid_id", sa.BigInteger, ForeignKey("grid_codes.id"), nullable=False),
    Column("category", sa.Text, ForeignKey("categories.code")),
    Column("since", sa.DateTime(timezone=True), nullable=False),
    Column("until", sa.DateTime(timezone=True), nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("texts", JSONB, nullable=False),
    Column("author", sa.Text, nullable=False),
    Column("drafted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    Column("issuer", sa.Text),
    Column("issued_at", sa.DateTime(timezone=True)),
    CheckConstraint(f"kind IN {LETTER_KINDS!r}", name="kind"),
    CheckConstraint("num_nulls(issuer, issued_at) IN (0, 2)", name="issued_by_somebody"),
    # Usage: the letters of a grid, newest first.
    Index("ix_letters_grid_id", "grid_id"),
    comment="Notice letters that somebody kept: evidence and texts as they were then; issued by an approver.",
)

trials = Table(
    "trials",
    metadata,
    Column("res", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column("horizon_days", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column("model", sa.Text, primary_key=True),
    Column("fingerprint", sa.Text, nullable=False),
    Column("origins", sa.Integer, nullable=False),
    Column("pai", sa.Double, nullable=False),
    Column("gain", sa.Double, nullable=False),
    Column("low", sa.Double, nullable=False),
    Column("high", sa.Double, nullable=False),
    Column("live", sa.Boolean, nullable=False),
    Column("decided_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # Usage: which model is live? At most one.
    Index(
        "uq_trials_live", "res", "horizon_days", unique=True, postgresql_where=sa.text("live")
    ),
    comment="Each model's last trial on this city's own past; gain = PAI over the baseline's, less 1.",
)  # fmt: skip

alarms = Table(
    "alarms",
    metadata,
    Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
    Column("grid_id", sa.BigInteger, ForeignKey("grid_codes.id"), nullable=False),
    Column("category", sa.Text, ForeignKey("categories.code")),
    Column("since", sa.DateTime(timezone=True), nullable=False),
    Column("until", sa.DateTime(timezone=True), nullable=False),
    Column("count", sa.BigInteger, nullable=False),
    Column("expected", sa.Double, nullable=False),
    Column("threshold", sa.BigInteger, nullable=False),
    Column("p", sa.Double, nullable=False),
    Column("series", sa.BigInteger, nullable=False),
    # Weeks of past that it rests on; null where it was raised before they were kept.
    Column("weeks", sa.BigInteger),
    Column("raised_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    Column("acknowledged_by", sa.Text),
    Column("acknowledged_at", sa.DateTime(timezone=True)),
    Column("silenced_by", sa.Text),
    Column("silenced_until", sa.DateTime(timezone=True)),
    CheckConstraint("num_nulls(acknowledged_by, acknowledged_at) IN (0, 2)", name="acknowledged_by_somebody"),
    CheckConstraint("num_nulls(silenced_by, silenced_until) IN (0, 2)", name="silenced_by_somebody"),
    # Usage: a week is judged every night and on demand; its alarms are raised once.
    Index(
        "uq_alarms_series", "grid_id", "category", "until", unique=True, postgresql_nulls_not_distinct=True
    ),
    comment="Weeks of a grid and category (NULL: all) that held more than their past allows; "
    "series = how many were judged at once.",
)  # fmt: skip
