"""The whole city is a mark of its own: no text of a scope, and no lack of one, means everywhere."""

from alembic import op

revision = "0024"
down_revision = "0023"

_FUNCTION = """
CREATE OR REPLACE FUNCTION scope_is_everywhere() RETURNS bool STABLE LANGUAGE sql
BEGIN ATOMIC
  SELECT coalesce(current_setting('{name}', true) = '{value}', false);
END
"""
_MARKED = "everywhere = (scope IS NULL) AND everywhere = (scheme IS NULL) AND scope <> '' AND scheme <> ''"
_COMMENT = "hash = SHA-256 of the key; {} = the whole city; totp_step = the last code''s, used once."


def upgrade() -> None:
    """Mark the keys of the whole city, and let the database ask for the mark."""
    op.execute(_FUNCTION.format(name="safetymap.everywhere", value="on"))
    op.execute("ALTER TABLE access_keys ADD COLUMN everywhere boolean")
    op.execute("UPDATE access_keys SET everywhere = scope IS NULL")
    op.execute("ALTER TABLE access_keys ALTER COLUMN everywhere SET NOT NULL")
    op.execute("ALTER TABLE access_keys DROP CONSTRAINT ck_access_keys_scope_whole")
    op.execute(f"ALTER TABLE access_keys ADD CONSTRAINT ck_access_keys_scope_whole CHECK ({_MARKED})")
    op.execute(f"COMMENT ON TABLE access_keys IS '{_COMMENT.format('everywhere')}'")


def downgrade() -> None:
    """Go back to a text that means everywhere."""
    op.execute(_FUNCTION.format(name="safetymap.scope", value="*"))
    op.execute("ALTER TABLE access_keys DROP CONSTRAINT ck_access_keys_scope_whole")
    op.execute(
        "ALTER TABLE access_keys ADD CONSTRAINT ck_access_keys_scope_whole "
        "CHECK (num_nulls(scheme, scope) IN (0, 2))"
    )
    op.execute("ALTER TABLE access_keys DROP COLUMN everywhere")
    op.execute(f"COMMENT ON TABLE access_keys IS '{_COMMENT.format('no scope')}'")
