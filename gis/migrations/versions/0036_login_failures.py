"""Log-ins that failed are counted, by key and by address, for all processes and beyond a restart."""

from alembic import op

revision = "0036"
down_revision = "0035"

SERVICE = "safetymap_service"

_FAILURES = """
CREATE TABLE login_failures (
    subject TEXT NOT NULL,
    failures INTEGER NOT NULL,
    barred_until TIMESTAMP WITH TIME ZONE NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_login_failures PRIMARY KEY (subject)
);
CREATE INDEX ix_login_failures_at ON login_failures (at);
COMMENT ON TABLE login_failures IS
  'Log-ins that failed in a row, by key or address, and until when no other is tried; forgotten after a day.';
ALTER TABLE login_failures ENABLE ROW LEVEL SECURITY;

-- Counts an attempt as failed before it is tried, so that many at once are no more than one after the other:
-- whoever waits for the row sees what was counted meanwhile. Returns 0, or the seconds to wait, uncounted.
CREATE FUNCTION count_login(of_subject text, free int, locked_at int, longest double precision)
RETURNS double precision SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz;
  past login_failures;
BEGIN
  DELETE FROM login_failures f WHERE f.at < now() - interval '1 day';
  INSERT INTO login_failures VALUES (of_subject, 0, '-infinity', now()) ON CONFLICT DO NOTHING;
  SELECT * INTO past FROM login_failures f WHERE f.subject = of_subject FOR UPDATE;
  moment := clock_timestamp();
  IF past.barred_until > moment THEN
    RETURN extract(epoch FROM past.barred_until - moment);
  END IF;
  UPDATE login_failures f SET failures = past.failures + 1, at = moment, barred_until = moment + make_interval(
    secs => CASE WHEN f.failures + 1 < free THEN 0 WHEN f.failures + 1 >= locked_at THEN longest
                 ELSE least(longest, 2.0 ^ (f.failures + 1 - free)) END)
  WHERE f.subject = of_subject;
  RETURN 0;
END $$;

CREATE FUNCTION login_wait(of_subject text) RETURNS double precision
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
  SELECT coalesce(max(greatest(0, extract(epoch FROM barred_until - clock_timestamp()))), 0)
  FROM login_failures WHERE subject = of_subject AND barred_until > '-infinity'
$$;

CREATE FUNCTION forget_logins(of_subject text) RETURNS void
SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS
  $$ DELETE FROM login_failures WHERE subject = of_subject $$;
"""
_FUNCTIONS = (
    "count_login(text, int, int, double precision)", "login_wait(text)", "forget_logins(text)",
)  # fmt: skip


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_FAILURES)
    for function in _FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {SERVICE}")


def downgrade() -> None:
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP TABLE login_failures")
