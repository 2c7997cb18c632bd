"""A city of one's own: its languages, and which city and which imports are the demo's."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add languages and the flags; until now nothing but a demo wrote the city, so its origins tell them."""
    op.execute("ALTER TABLE city ADD COLUMN languages TEXT[] NOT NULL DEFAULT '{zh,en}'")
    op.execute(
        "ALTER TABLE city ADD CONSTRAINT ck_city_languages "
        "CHECK (cardinality(languages) > 0 AND languages <@ ARRAY['zh', 'en'])"
    )
    op.execute("ALTER TABLE city ADD COLUMN demo BOOLEAN NOT NULL DEFAULT false")
    op.execute("ALTER TABLE batches ADD COLUMN demo BOOLEAN NOT NULL DEFAULT false")
    op.execute(
        "UPDATE batches SET demo = origin IN ('demo', 'chicago') WHERE EXISTS "
        "(SELECT FROM city WHERE code IN ('430200', 'chicago'))"
    )
    op.execute(
        "UPDATE city SET demo = NOT EXISTS (SELECT FROM batches WHERE NOT demo) "
        "WHERE code IN ('430200', 'chicago')"
    )


def downgrade() -> None:
    """Take them away."""
    op.execute("ALTER TABLE batches DROP COLUMN demo")
    op.execute("ALTER TABLE city DROP COLUMN demo")
    op.execute("ALTER TABLE city DROP COLUMN languages")
