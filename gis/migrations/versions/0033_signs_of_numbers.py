"""Signs of numbers fold away: `Via Roma n. 35`, `Lange Gasse Nr. 35` and `No. 35 Main St` are as without."""

from alembic import op

revision = "0033"
down_revision = "0032"

_FOLDED = (
    ("buildings", "name"), ("buildings", "address"), ("places", "name"), ("places", "address"),
    ("roads", "name"), ("grids", "name"), ("staff", "name"),
)  # fmt: skip
"""Tables and the columns of them that are folded."""
_BEFORE = r"""  kept := regexp_replace(s, '\s+', ' ', 'g');
"""
# What is a sign and a number alone may be a code: No-3 is not 3. `n.` may be the north but in front of the last number.
_NOW = (
    _BEFORE
    + r"""  IF s ~ '\mn[a-z]*[.:°]*\s*[0-9]' AND s !~ '^\s*[a-z]+[^0-9a-z]*[0-9]+[a-z]?\s*$' THEN
    s := regexp_replace(s, '\m(?:no|nr|nro|num|numero)[.:°]*\s*(?=[0-9])', '', 'g');
    s := regexp_replace(s, '\mn[.°]+\s*(?=[0-9]+[a-z]?\s*(?:,|$))', '', 'g');
  END IF;
"""
)


def upgrade() -> None:
    """Fold anew what folds otherwise now."""
    _fold_by(_BEFORE, _NOW)


def downgrade() -> None:
    """Fold as before."""
    _fold_by(_NOW, _BEFORE)


def _fold_by(before: str, now: str) -> None:
    bind = op.get_bind()
    body = bind.exec_driver_sql(
        "SELECT pg_get_functiondef('public.fold_spelling(text)'::regprocedure)"
    ).scalar_one()
    if before not in body:
        raise RuntimeError("fold_spelling is not as revision 0031 made it")
    bind.exec_driver_sql(body.replace(before, now).replace("%", "%%"))
    for table, column in _FOLDED:
        op.execute(_ANEW.replace("TABLE", table).replace("COLUMN", column))
    op.execute("REINDEX INDEX ix_grids_code_key")


# A row that is written anew has its generated columns computed anew.
_ANEW = "UPDATE TABLE SET COLUMN = COLUMN WHERE COLUMN_key IS DISTINCT FROM fold_text(COLUMN)"
