"""What a commit touched: triggers that announce the old and the new box of every changed feature."""

from alembic import op

revision = "0003"
down_revision = "0002"

_WATCHED = (
    "buildings", "cameras", "categories", "cells", "city", "grids", "incidents", "levels", "places",
    "responders", "revisions", "roads", "schemes",
)  # fmt: skip

_FUNCTIONS = r"""
-- Announces on the channel safetymap, at commit, what a statement changed: t = table, o = operation,
-- b = boxes in millionths of a degree, rounded outward (absent: everywhere), i = ids (absent: too many).
-- Up to 100 rows (old and new) have a box each, old and new; more are put together by where their middle lies, 12 x 12 to
-- the whole, so that what is announced fits into one notification (8000 bytes) and nothing is left out.
CREATE FUNCTION announce_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  told jsonb := jsonb_build_object('t', TG_TABLE_NAME, 'o', lower(TG_OP));
  rows text := CASE TG_OP WHEN 'INSERT' THEN 'SELECT id, geom FROM new_rows'
    WHEN 'DELETE' THEN 'SELECT id, geom FROM old_rows'
    ELSE 'SELECT id, geom FROM old_rows UNION ALL SELECT id, geom FROM new_rows' END;
  number bigint; ids jsonb; whole box2d; boxes jsonb;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    PERFORM pg_notify('safetymap', told::text);
    RETURN NULL;
  END IF;
  EXECUTE format('SELECT count(*), ST_Extent(geom) FROM (%s) touched', rows) INTO number, whole;
  IF number = 0 THEN
    RETURN NULL;
  END IF;
  IF number <= 100 THEN
    EXECUTE format('SELECT jsonb_agg(DISTINCT id) FROM (%s) touched', rows) INTO ids;
    told := told || jsonb_build_object('i', ids);
  END IF;
  EXECUTE format('
    SELECT jsonb_agg(DISTINCT jsonb_build_array(floor(ST_XMin(box) * 1e6)::int, floor(ST_YMin(box) * 1e6)::int,
      ceil(ST_XMax(box) * 1e6)::int, ceil(ST_YMax(box) * 1e6)::int))
    FROM (SELECT ST_Extent(geom) AS box FROM (%s) touched WHERE geom IS NOT NULL GROUP BY %s) boxes', rows,
    CASE WHEN number <= 100 THEN 'geom' ELSE format(
      'width_bucket(ST_XMin(geom) + ST_XMax(geom), %s, %s, 12),
       width_bucket(ST_YMin(geom) + ST_YMax(geom), %s, %s, 12)',
      2 * ST_XMin(whole) - 1e-6, 2 * ST_XMax(whole) + 1e-6,
      2 * ST_YMin(whole) - 1e-6, 2 * ST_YMax(whole) + 1e-6) END) INTO boxes;
  PERFORM pg_notify('safetymap', (told || jsonb_build_object('b', coalesce(boxes, '[]')))::text);
  RETURN NULL;
END $$;

-- The same for tables without id or place in degrees: whatever reads them is touched everywhere.
CREATE FUNCTION announce_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('safetymap',
    jsonb_build_object('t', TG_TABLE_NAME, 'o', lower(TG_OP))::text);
  RETURN NULL;
END $$;

-- Makes the changes of a table known; tables of later revisions call it too.
CREATE FUNCTION announce_changes_of(watched regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute a, pg_attribute i WHERE a.attrelid = watched AND a.attname = 'geom'
    AND postgis_typmod_srid(a.atttypmod) = 4326 AND i.attrelid = watched AND i.attname = 'id') THEN
    EXECUTE format('CREATE TRIGGER announces AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s
      FOR EACH STATEMENT EXECUTE FUNCTION announce_table()', watched);
    RETURN;
  END IF;
  EXECUTE format('CREATE TRIGGER announces AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change()', watched);
  EXECUTE format('CREATE TRIGGER announces_update AFTER UPDATE ON %s
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change()', watched);
  EXECUTE format('CREATE TRIGGER announces_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change()', watched);
  EXECUTE format('CREATE TRIGGER announces_truncate AFTER TRUNCATE ON %s
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change()', watched);
END $$;

REVOKE EXECUTE ON FUNCTION announce_changes_of FROM PUBLIC;
"""


def upgrade() -> None:
    """Announce the changes of every table that a layer or a view reads."""
    for statement in _FUNCTIONS.split("\n\n"):
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
    for table in _WATCHED:
        op.execute(f"SELECT announce_changes_of('{table}')")


def downgrade() -> None:
    """Announce nothing."""
    op.execute("DROP FUNCTION announce_changes_of")
    op.execute("DROP FUNCTION announce_change, announce_table CASCADE")
