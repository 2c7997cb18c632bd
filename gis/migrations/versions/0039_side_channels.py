"""Who may not see an alarm or a plan hears nothing of it; a month is told to the public once for ever."""

from alembic import op

revision = "0039"
down_revision = "0038"

_TABLES = ("alarms", "plans")
_KEPT = {"INSERT": "new", "UPDATE": "new", "DELETE": "old"}

# A notification holds 8,000 bytes; of more rows than 400 none is named, and everybody hears of them.
_FUNCTION = """
CREATE FUNCTION announce_rows() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  named jsonb;
  number bigint;
BEGIN
  EXECUTE format('SELECT count(DISTINCT id), jsonb_agg(DISTINCT id) FROM %s',
    CASE TG_OP WHEN 'DELETE' THEN 'old_rows' ELSE 'new_rows' END) INTO number, named;
  IF number > 0 THEN
    PERFORM pg_notify('safetymap', (jsonb_build_object('t', TG_TABLE_NAME, 'o', lower(TG_OP))
      || CASE WHEN number <= 400 THEN jsonb_build_object('i', named) ELSE '{}' END)::text);
  END IF;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute("ALTER TABLE public_months DROP COLUMN fingerprint")
    op.get_bind().exec_driver_sql(_FUNCTION.replace("%", "%%"))
    for table in _TABLES:
        op.execute(f"DROP TRIGGER announces ON {table}")
        for verb, kept in _KEPT.items():
            name = "announces" if verb == "INSERT" else f"announces_{verb.lower()}"
            op.execute(
                f"CREATE TRIGGER {name} AFTER {verb} ON {table} REFERENCING {kept.upper()} TABLE AS {kept}_rows "
                "FOR EACH STATEMENT EXECUTE FUNCTION announce_rows()"
            )
        op.execute(
            f"CREATE TRIGGER announces_truncate AFTER TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION announce_table()"
        )


def downgrade() -> None:
    op.execute("ALTER TABLE public_months ADD COLUMN fingerprint text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE public_months ALTER COLUMN fingerprint DROP DEFAULT")
    for table in _TABLES:
        for name in ("announces", "announces_update", "announces_delete", "announces_truncate"):
            op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"SELECT announce_changes_of('{table}')")
    op.execute("DROP FUNCTION announce_rows")
