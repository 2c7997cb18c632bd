"""Days on which the city recorded each source, for whoever sees a part of it."""

from alembic import op

revision = "0038"
down_revision = "0037"

SERVICE = "safetymap_service"

# One pass over the incidents for all sources, as `days_of_series` makes for all categories of one.
_FUNCTION = """
CREATE FUNCTION days_of_sources(of_categories text[], of_colour text, since timestamptz)
RETURNS TABLE(source text, day date)
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
  SELECT i.source, (i.occurred_at AT TIME ZONE (SELECT timezone FROM city))::date
  FROM incidents i
  WHERE i.state <> 'withdrawn' AND i.occurred_at >= since
    AND (of_categories IS NULL OR i.category = ANY(of_categories))
    AND (of_colour IS NULL OR i.colour = of_colour)
  GROUP BY 1, 2
$$;
"""
_SIGNATURE = "days_of_sources(text[], text, timestamptz)"


def upgrade() -> None:
    op.execute(_FUNCTION)
    op.execute(f"REVOKE ALL ON FUNCTION {_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {_SIGNATURE} TO {SERVICE}")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {_SIGNATURE}")
