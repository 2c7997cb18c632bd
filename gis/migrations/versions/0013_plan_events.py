"""Changes of plans are announced: whoever has one open follows what others do to it."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Announce changes of plans; of their grids they are announced already."""
    op.execute("SELECT announce_changes_of('plans')")


def downgrade() -> None:
    """Announce them no more."""
    op.execute("DROP TRIGGER announces ON plans")
