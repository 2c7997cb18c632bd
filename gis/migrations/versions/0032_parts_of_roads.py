"""Lines of one row of a file keep its id and are numbered, so that a corrected row replaces all of them."""

from alembic import op

revision = "0032"
down_revision = "0031"

# Before, parts were told by the end of their id: 17/1, 17/2 and 17/3, and no 17.
_NUMBERED = r"""
WITH made AS (
  SELECT id, origin, name, regexp_replace(origin_id, '/[1-9][0-9]{0,3}$', '') AS base,
    substring(origin_id FROM '/([1-9][0-9]{0,3})$')::int AS part
  FROM roads WHERE origin_id ~ '/[1-9][0-9]{0,3}$'
), whole AS (
  SELECT origin, base FROM made GROUP BY 1, 2
  HAVING count(*) > 1 AND count(*) = max(part) AND count(DISTINCT coalesce(name, '')) = 1
)
UPDATE roads r SET origin_id = m.base, part = m.part FROM made m JOIN whole w USING (origin, base)
WHERE r.id = m.id AND NOT EXISTS (
  SELECT FROM roads o WHERE o.origin = w.origin AND o.origin_id = w.base)
"""


def upgrade() -> None:
    op.execute("ALTER TABLE roads ADD COLUMN part smallint NOT NULL DEFAULT 0")
    op.execute(
        "COMMENT ON COLUMN roads.part IS "
        "'Number of the line in its row, from 1 in the order of drawing; 0 where the row is one line.'"
    )
    op.execute("ALTER TABLE roads DROP CONSTRAINT uq_roads_origin_origin_id")
    op.execute(
        "ALTER TABLE roads ADD CONSTRAINT uq_roads_origin_origin_id_part UNIQUE (origin, origin_id, part)"
    )
    op.execute(_NUMBERED)


def downgrade() -> None:
    op.execute("UPDATE roads SET origin_id = origin_id || '/' || part WHERE part > 0")
    op.execute("ALTER TABLE roads DROP CONSTRAINT uq_roads_origin_origin_id_part")
    op.execute("ALTER TABLE roads DROP COLUMN part")
    op.execute("ALTER TABLE roads ADD CONSTRAINT uq_roads_origin_origin_id UNIQUE (origin, origin_id)")
