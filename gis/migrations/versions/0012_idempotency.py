"""What is sent twice takes effect once: keys of callers with the answers they got, and what was reported."""

from alembic import op

revision = "0012"
down_revision = "0011"

SERVICE = "safetymap_service"
_OWN = "(SELECT asking_rank() >= 1) AND caller = current_setting('safetymap.caller', true)"

_TABLE = """
CREATE TABLE idempotency_keys (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    request BYTEA NOT NULL,
    status SMALLINT,
    location TEXT,
    body BYTEA,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (caller, key)
)
"""


def upgrade() -> None:
    """Make the table, whose rows only their caller sees, and the column."""
    op.execute(_TABLE)
    op.execute("CREATE INDEX ix_idempotency_keys_made_at ON idempotency_keys (made_at)")
    op.execute(
        "COMMENT ON TABLE idempotency_keys IS"
        " 'Idempotency-Key of a caller, the SHA-256 of its request and the answer; forgotten after a day.'"
    )
    op.execute("ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO {SERVICE}")
    op.execute(f"CREATE POLICY own ON idempotency_keys TO {SERVICE} USING ({_OWN}) WITH CHECK ({_OWN})")
    op.execute("ALTER TABLE incidents ADD COLUMN report_hash BYTEA")


def downgrade() -> None:
    """Take them away."""
    op.execute("ALTER TABLE incidents DROP COLUMN report_hash")
    op.execute("DROP TABLE idempotency_keys")
