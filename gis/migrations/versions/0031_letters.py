"""Letters fold alike in more scripts: Łódź is lodz, Αθήνα is αθηνα, Ёлочная is елочная."""

from alembic import op

revision = "0031"
down_revision = "0030"

_FOLDED = (
    ("buildings", "name"), ("buildings", "address"), ("places", "name"), ("places", "address"),
    ("roads", "name"), ("grids", "name"), ("staff", "name"),
)  # fmt: skip
"""Tables and the columns of them that are folded."""
# As 0008 wrote them: accents above Latin letters alone.
_BEFORE = r"""    s := normalize(regexp_replace(normalize(s, NFD), '([a-z])[\u0300-\u036f]+', '\1', 'g'), NFC);
    s := replace(s, 'ß', 'ss');
"""
# й is a letter of its own, unlike ё. Letters with a stroke have no accent that Unicode could take away.
_NOW = r"""    s := normalize(
      regexp_replace(normalize(s, NFD), '([a-zα-ω])[\u0300-\u036f]+|(?<=е)\u0308', '\1', 'g'), NFC);
    s := translate(s, 'łđøðħŧıς', 'ldodhtiσ');
    s := replace(replace(replace(replace(s, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
"""


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
        raise RuntimeError("fold_spelling is not as revision 0008 made it")
    bind.exec_driver_sql(body.replace(before, now).replace("%", "%%"))
    for table, column in _FOLDED:
        op.execute(_ANEW.replace("TABLE", table).replace("COLUMN", column))
    op.execute("REINDEX INDEX ix_grids_code_key")


# A row that is written anew has its generated columns computed anew.
_ANEW = "UPDATE TABLE SET COLUMN = COLUMN WHERE COLUMN_key IS DISTINCT FROM fold_text(COLUMN)"
