"""Everybody who had a hand in a plan is kept: none of them approves it."""

from alembic import op

revision = "0023"
down_revision = "0022"

SERVICE = "safetymap_service"
_OF_MINE = "plan_id IN (SELECT id FROM plans)"


def upgrade() -> None:
    """Make the table; of steps taken before, names alone are known, of plans who began them."""
    op.execute("""
        CREATE TABLE plan_hands (
            plan_id BIGINT NOT NULL,
            who_is TEXT NOT NULL,
            name TEXT NOT NULL,
            CONSTRAINT pk_plan_hands PRIMARY KEY (plan_id, who_is),
            CONSTRAINT fk_plan_hands_plan_id FOREIGN KEY(plan_id) REFERENCES plans (id)
        )""")
    op.execute(
        "COMMENT ON TABLE plan_hands IS 'Who drew, imported, undid, decided or submitted anything of a plan: "
        "they may not approve it. who_is = the key or name.'"
    )
    op.execute("INSERT INTO plan_hands SELECT id, author_is, author FROM plans")
    op.execute(
        "INSERT INTO plan_hands SELECT DISTINCT s.plan_id, 'name ' || s.author, s.author FROM plan_steps s "
        "JOIN plans p ON p.id = s.plan_id WHERE s.author <> p.author ON CONFLICT DO NOTHING"
    )
    op.execute("ALTER TABLE plan_hands ENABLE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT ON plan_hands TO {SERVICE}")
    for name, verb, least in (("sees", "SELECT TO {} USING", 2), ("adds", "INSERT TO {} WITH CHECK", 3)):
        allowed = f"((SELECT asking_rank() >= {least}) AND ({_OF_MINE}))"
        op.execute(f"CREATE POLICY {name} ON plan_hands FOR {verb.format(SERVICE)} {allowed}")


def downgrade() -> None:
    """Forget who had a hand in what."""
    op.execute("DROP TABLE plan_hands")
