"""The days on which the city recorded anything, for forecasts of whoever sees a part of it."""

from alembic import op

revision = "0015"
down_revision = "0014"

SERVICE = "safetymap_service"

# It leaps from day to day along the index on occurred_at, whatever the number of incidents. A day on which
# something was recorded somewhere in the city says nothing of a place or a person; without it a grid's quiet
# days could not be told from days that nobody recorded.
_FUNCTION = """
CREATE FUNCTION days_with_records() RETURNS SETOF date
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
  WITH RECURSIVE leap(day, zone) AS (
    SELECT (min(occurred_at) AT TIME ZONE c.timezone)::date, c.timezone
    FROM incidents, city c GROUP BY c.timezone
    UNION ALL
    SELECT (SELECT (min(occurred_at) AT TIME ZONE zone)::date FROM incidents
      WHERE occurred_at >= (day + 1)::timestamp AT TIME ZONE zone), zone
    FROM leap WHERE day IS NOT NULL
  )
  SELECT day FROM leap WHERE day IS NOT NULL
$$;
"""


def upgrade() -> None:
    op.execute(_FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION days_with_records() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION days_with_records() TO {SERVICE}")


def downgrade() -> None:
    op.execute("DROP FUNCTION days_with_records()")
