"""How exactly a time is known, what an import did to coordinates, corrected steps, words for cameras' states."""

from alembic import op

revision = "0011"
down_revision = "0010"

_COLUMNS = """
ALTER TABLE batches ADD COLUMN reading JSONB;
COMMENT ON TABLE batches IS 'One import of one file; faults holds those accepted by --accept-faults, reading how coordinates were transformed and shapes repaired.';

ALTER TABLE incidents ADD COLUMN occurred_precision TEXT NOT NULL DEFAULT 'second',
    ADD CONSTRAINT ck_incidents_occurred_precision CHECK (occurred_precision IN ('second', 'day'));

ALTER TABLE transitions ADD COLUMN corrects BIGINT,
    ADD CONSTRAINT fk_transitions_corrects FOREIGN KEY (corrects) REFERENCES transitions (id),
    ADD CONSTRAINT uq_transitions_corrects UNIQUE (corrects);
COMMENT ON TABLE transitions IS 'corrects = the step in whose place this one stands; from and to exchanged, it takes that step back.';

UPDATE cameras SET state = 'online' WHERE lower(state) = 'on';
UPDATE cameras SET state = 'offline' WHERE lower(state) = 'off';
"""


def upgrade() -> None:
    """Add the columns; states of cameras that older imports let in take our words."""
    op.execute(_COLUMNS)


def downgrade() -> None:
    """Take the columns away; words stay."""
    op.execute(
        "ALTER TABLE transitions DROP COLUMN corrects; COMMENT ON TABLE transitions IS NULL;"
        "ALTER TABLE incidents DROP COLUMN occurred_precision; ALTER TABLE batches DROP COLUMN reading;"
        "COMMENT ON TABLE batches IS 'One import of one file; faults holds those accepted by --accept-faults.'"
    )
