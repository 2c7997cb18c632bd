"""Of a level without grids the map shows nothing, at any zoom, instead of nothing else."""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.execute("ALTER TABLE levels ALTER COLUMN minzoom SET DEFAULT '99'")
    op.execute(
        "UPDATE levels v SET minzoom = 99 WHERE NOT EXISTS ("
        "SELECT FROM grids g WHERE g.scheme = v.scheme AND g.level = v.level)"
    )


def downgrade() -> None:
    op.execute("UPDATE levels SET minzoom = 0 WHERE minzoom = 99")
    op.execute("ALTER TABLE levels ALTER COLUMN minzoom SET DEFAULT '0'")
