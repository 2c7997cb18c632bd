"""Incidents whose time is known as a span: occurred_until beside occurred_at."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the end of the span, which does not lie before its beginning."""
    op.execute("ALTER TABLE incidents ADD COLUMN occurred_until TIMESTAMP WITH TIME ZONE")
    op.execute(
        "ALTER TABLE incidents ADD CONSTRAINT ck_incidents_until_after_at "
        "CHECK (occurred_until >= occurred_at)"
    )
    op.execute(
        "CREATE INDEX ix_incidents_occurred_until ON incidents (occurred_until) "
        "WHERE occurred_until IS NOT NULL"
    )


def downgrade() -> None:
    """Forget the ends."""
    op.execute("ALTER TABLE incidents DROP COLUMN occurred_until")
