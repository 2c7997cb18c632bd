"""How many incidents the city recorded on each day, up to enough, in the place of the days alone."""

import importlib

from alembic import op

revision = "0029"
down_revision = "0028"

SERVICE = "safetymap_service"
_DAYS = importlib.import_module("gis.migrations.versions.0015_recorded_days")

# It leaps from day to day along the index on occurred_at and counts as far as matters: whether two days
# without any record can be believed, the counts of the days around them say. No answer tells these counts.
_FUNCTION = """
CREATE FUNCTION records_by_day(most integer) RETURNS TABLE(day date, records integer)
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
  WITH RECURSIVE leap(day, zone) AS (
    SELECT (min(occurred_at) AT TIME ZONE c.timezone)::date, c.timezone
    FROM incidents, city c GROUP BY c.timezone
    UNION ALL
    SELECT (SELECT (min(occurred_at) AT TIME ZONE zone)::date FROM incidents
      WHERE occurred_at >= (day + 1)::timestamp AT TIME ZONE zone), zone
    FROM leap WHERE day IS NOT NULL
  )
  SELECT day, (SELECT count(*)::integer FROM (SELECT FROM incidents
    WHERE occurred_at >= day::timestamp AT TIME ZONE zone
      AND occurred_at < (day + 1)::timestamp AT TIME ZONE zone LIMIT most) AS held)
  FROM leap WHERE day IS NOT NULL
$$;
"""


def upgrade() -> None:
    _DAYS.downgrade()
    op.execute(_FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION records_by_day(integer) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION records_by_day(integer) TO {SERVICE}")


def downgrade() -> None:
    op.execute("DROP FUNCTION records_by_day(integer)")
    _DAYS.upgrade()
