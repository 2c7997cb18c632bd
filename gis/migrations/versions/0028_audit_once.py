"""Entries of the audit that a killed process left are appended once, whether or not it got them in."""

from alembic import op

revision = "0028"
down_revision = "0027"

SERVICE = "safetymap_service"

# Each entry bears an id of its own and a signature, so that equal texts are one entry.
_FUNCTION = """
CREATE FUNCTION audit_append_missing(to_chain text, entries text[], since timestamptz) RETURNS void
SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE plpgsql AS $$
DECLARE missing text[];
BEGIN
  PERFORM FROM audit_heads h WHERE h.chain = to_chain FOR UPDATE;
  missing := ARRAY(
    SELECT given.entry FROM unnest(entries) WITH ORDINALITY given(entry, n)
    WHERE NOT EXISTS (
      SELECT FROM audit a WHERE a.chain = to_chain AND a.at >= since AND a.entry = given.entry)
    ORDER BY n);
  IF cardinality(missing) > 0 THEN PERFORM audit_append(to_chain, missing); END IF;
END $$;
"""
_SIGNATURE = "audit_append_missing(text, text[], timestamptz)"


def upgrade() -> None:
    op.execute(_FUNCTION)
    op.execute(f"REVOKE ALL ON FUNCTION {_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {_SIGNATURE} TO {SERVICE}")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {_SIGNATURE}")
