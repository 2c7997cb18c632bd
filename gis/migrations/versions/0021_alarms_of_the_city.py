"""Alarms are raised of the whole city's series alone, and say how many weeks of past they rest on."""

from alembic import op

revision = "0021"
down_revision = "0020"

SERVICE = "safetymap_service"
_SEES = "(SELECT asking_rank() >= 2) AND ((SELECT scope_is_everywhere()) OR grid_is_in_scope(grid_id))"
_RAISES = "(SELECT asking_rank() >= 2) AND (SELECT scope_is_everywhere())"


def upgrade() -> None:
    """Add the weeks; who sees a part of the city raises nothing: how rare an alarm is, all series say."""
    op.execute("ALTER TABLE alarms ADD COLUMN weeks BIGINT")
    _raises(_RAISES)


def downgrade() -> None:
    """Let every commander raise alarms of what is seen."""
    _raises(_SEES)
    op.execute("ALTER TABLE alarms DROP COLUMN weeks")


def _raises(who: str) -> None:
    op.execute("DROP POLICY raises ON alarms")
    op.execute(
        f"CREATE POLICY raises ON alarms FOR INSERT TO {SERVICE} "
        f"WITH CHECK (acknowledged_by IS NULL AND silenced_by IS NULL AND {who})"
    )
