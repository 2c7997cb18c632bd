"""An approval keeps which map it was of: where that moved on, a publication writes nothing unseen."""

from alembic import op

revision = "0025"
down_revision = "0024"

_COMMENT = "head = the step that the draft stands at; author_is = the key or name, who may not approve{}."


def upgrade() -> None:
    """Plans approved before do not say what was seen, and are approved once more."""
    op.execute("ALTER TABLE plans ADD COLUMN approved_against integer")
    seen = "; approved_against = the revision of the map that the approver saw"
    op.execute(f"COMMENT ON TABLE plans IS '{_COMMENT.format(seen)}'")


def downgrade() -> None:
    """Forget which map was seen."""
    op.execute("ALTER TABLE plans DROP COLUMN approved_against")
    op.execute(f"COMMENT ON TABLE plans IS '{_COMMENT.format('')}'")
