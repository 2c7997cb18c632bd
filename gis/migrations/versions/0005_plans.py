"""Plans: drafts of new boundaries, their steps, and who submitted, approved and published them."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change nothing yet."""


def downgrade() -> None:
    """Change nothing back."""
