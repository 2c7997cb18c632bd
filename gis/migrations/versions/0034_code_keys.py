"""Every code that ever was a grid's is found as it is folded: behind an address it is no room."""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_grid_codes_key ON grid_codes (fold_text(code))")


def downgrade() -> None:
    op.execute("DROP INDEX ix_grid_codes_key")
