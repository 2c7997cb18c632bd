"""A code says which plan it is reserved for: it is given when a plan is handed over, not at each try."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the plan to codes; those that drafts were given step by step are theirs."""
    op.execute("ALTER TABLE grid_codes ADD COLUMN plan_id bigint")
    op.execute(
        "UPDATE grid_codes c SET plan_id = p.id FROM plan_changes g JOIN plans p ON p.id = g.plan_id "
        "WHERE p.scheme = c.scheme AND g.code = c.code AND NOT EXISTS "
        "(SELECT FROM grids d WHERE d.scheme = c.scheme AND d.code = c.code)"
    )


def downgrade() -> None:
    """Take the plan from codes again."""
    op.execute("ALTER TABLE grid_codes DROP COLUMN plan_id")
