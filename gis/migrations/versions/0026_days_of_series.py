"""Days on which the city recorded a category, source or colour, for whoever sees a part of it."""

from alembic import op

revision = "0026"
down_revision = "0025"

SERVICE = "safetymap_service"

# One pass over the incidents. Since when a category is recorded is the same for a county as for the city; a
# day on which one was recorded somewhere says nothing of a place or a person.
_FUNCTION = """
CREATE FUNCTION days_of_series(
  of_categories text[], of_source text, but_sources text[], of_colour text,
  earliest timestamptz, since timestamptz, until timestamptz
) RETURNS TABLE(category text, day date)
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
  SELECT i.category, CASE WHEN i.occurred_at >= since
    THEN (i.occurred_at AT TIME ZONE (SELECT timezone FROM city))::date END
  FROM incidents i
  WHERE i.state <> 'withdrawn' AND i.occurred_at >= earliest AND i.occurred_at < until
    AND (of_categories IS NULL OR i.category = ANY(of_categories))
    AND (of_source IS NULL OR i.source = of_source) AND i.source <> ALL(but_sources)
    AND (of_colour IS NULL OR i.colour = of_colour)
  GROUP BY 1, 2
$$;
"""
_SIGNATURE = "days_of_series(text[], text, text[], text, timestamptz, timestamptz, timestamptz)"


def upgrade() -> None:
    op.execute(_FUNCTION)
    op.execute(f"REVOKE ALL ON FUNCTION {_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {_SIGNATURE} TO {SERVICE}")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {_SIGNATURE}")
