"""Codes of grids are found as they are folded: behind an address `n 3` is the grid N-3."""

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_grids_code_key ON grids (fold_text(code))")


def downgrade() -> None:
    op.execute("DROP INDEX ix_grids_code_key")
