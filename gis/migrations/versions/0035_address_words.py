"""Registered addresses are found by a word of their street and a number, wherever either stands."""

from alembic import op

revision = "0035"
down_revision = "0034"

SERVICE = "safetymap_service"

# A number without its zeros, a word by its first letters; in Chinese a number with what stands before it.
_WORDS = """
CREATE FUNCTION address_words(folded text) RETURNS text[] IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql AS $words$
  SELECT coalesce(array_agg(DISTINCT coalesce(m[1] || m[2], m[3], m[4])), '{}')
  FROM regexp_matches(
    translate(folded, '٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९', '012345678901234567890123456789'),
    '([\\u4e00-\\u9fff]{1,2})0*([0-9]+)|0*([0-9]+)|([^0-9\\s\\u4e00-\\u9fff-]{1,4})[^0-9\\s\\u4e00-\\u9fff-]*', 'g'
  ) m
$words$
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_WORDS)
    op.execute("REVOKE EXECUTE ON FUNCTION address_words FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION address_words TO {SERVICE}")
    for table in ("buildings", "places"):
        op.execute(f"CREATE INDEX ix_{table}_address_words ON {table} USING gin (address_words(address_key))")


def downgrade() -> None:
    for table in ("buildings", "places"):
        op.execute(f"DROP INDEX ix_{table}_address_words")
    op.execute("DROP FUNCTION address_words")
