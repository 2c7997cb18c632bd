"""What a step did to a grid says whether the grid merely got vertices in its border."""

from alembic import op

revision = "0018"
down_revision = "0017"

# Shapes are in units of 1e-7 degree; ten of them are what rounding time and again explains.
_BENT = """
UPDATE plan_changes SET bent = true
WHERE before = after AND length(after_shape) >= length(before_shape)
  AND ST_HausdorffDistance(ST_GeomFromWKB(before_shape), ST_GeomFromWKB(after_shape)) <= 10
"""


def upgrade() -> None:
    """Add the mark, and set it for the steps that there are."""
    op.execute("ALTER TABLE plan_changes ADD COLUMN bent boolean NOT NULL DEFAULT false")
    op.execute(_BENT)


def downgrade() -> None:
    """Take the mark away."""
    op.execute("ALTER TABLE plan_changes DROP COLUMN bent")
