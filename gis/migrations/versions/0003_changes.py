"""What a commit touched: triggers that announce the old and the new box of every changed feature."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Change nothing yet."""


def downgrade() -> None:
    """Change nothing back."""
