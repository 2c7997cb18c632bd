"""Sessions that nobody uses end, but for those of keys that are made for a wall."""

from alembic import op

revision = "0037"
down_revision = "0036"

SERVICE = "safetymap_service"
_PRINCIPAL = """
CREATE FUNCTION principal_of(token bytea) RETURNS TABLE (
  key_id bigint, label text, role text, scheme text, scope text, may_export bool, demo bool,
  second_factor bool, is_session bool{wall}
) STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
  WITH live AS (
    SELECT * FROM access_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
  )
  SELECT id, label, role, scheme, scope, may_export, demo, demo, false{of_live} FROM live WHERE hash = token
  UNION ALL
  SELECT id, label, role, scheme, scope, may_export, demo, demo OR s.second_factor, true{of_live}
  FROM sessions s JOIN live ON live.id = s.key_id WHERE s.hash = token AND s.expires_at > now()
$$
"""
# A use is noted once a minute at most, and nowhere on a standby.
_IS_USED = """
CREATE FUNCTION session_is_used(token bytea, longest interval, counts bool) RETURNS bool
SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE plpgsql AS $$
DECLARE unused interval;
BEGIN
  SELECT now() - s.used_at INTO unused
  FROM sessions s JOIN access_keys k ON k.id = s.key_id WHERE s.hash = token AND NOT k.wall;
  IF unused > longest THEN RETURN false; END IF;
  IF counts AND unused > least(longest / 4, interval '1 minute') AND NOT pg_is_in_recovery() THEN
    UPDATE sessions SET used_at = now() WHERE hash = token;
  END IF;
  RETURN true;
END $$
"""
_SIGNATURES = ("principal_of(bytea)", "session_is_used(bytea, interval, boolean)")
_COMMENT = (
    "hash = SHA-256 of the key; everywhere = the whole city; totp_step = the last code''s, used once{}."
)


def _grant(signature: str) -> None:
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {SERVICE}")


def upgrade() -> None:
    op.execute("ALTER TABLE sessions ADD COLUMN used_at timestamptz DEFAULT now() NOT NULL")
    op.execute("ALTER TABLE access_keys ADD COLUMN wall boolean DEFAULT false NOT NULL")
    op.execute(
        "ALTER TABLE access_keys ADD CONSTRAINT ck_access_keys_wall "
        "CHECK (NOT wall OR role IN ('field', 'commander'))"
    )
    sealed = "; totp_secret is sealed; wall = its sessions stay open unused"
    op.execute(f"COMMENT ON TABLE access_keys IS '{_COMMENT.format(sealed)}'")
    op.execute("DROP FUNCTION principal_of(bytea)")
    op.execute(_PRINCIPAL.format(wall=", wall bool", of_live=", live.wall"))
    op.execute(_IS_USED)
    for signature in _SIGNATURES:
        _grant(signature)


def downgrade() -> None:
    for signature in _SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute(_PRINCIPAL.format(wall="", of_live=""))
    _grant(_SIGNATURES[0])
    op.execute("ALTER TABLE access_keys DROP CONSTRAINT ck_access_keys_wall")
    op.execute("ALTER TABLE access_keys DROP COLUMN wall")
    op.execute("ALTER TABLE sessions DROP COLUMN used_at")
    op.execute(f"COMMENT ON TABLE access_keys IS '{_COMMENT.format('')}'")
