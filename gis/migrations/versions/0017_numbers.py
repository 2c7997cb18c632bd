"""Numbers of houses fold alike however they are written; states that had no rule have one."""

from alembic import op

revision = "0017"
down_revision = "0016"

_FOLDED = (
    ("buildings", "name"), ("buildings", "address"), ("places", "name"), ("places", "address"),
    ("roads", "name"), ("grids", "name"), ("staff", "name"),
)  # fmt: skip
"""Tables and the columns of them that are folded."""
_INVISIBLE = "\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufe00-\\ufe0f\\ufeff"
_DIGITS = "〇零一二三四五六七八九"

# As 0016 has it, but for what is returned.
_FOLD = """
CREATE OR REPLACE FUNCTION fold_text(raw text) RETURNS text
IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $fold$
DECLARE
  s text := raw;
BEGIN
  IF s ~ '[{invisible}]' THEN
    s := coalesce(nullif(regexp_replace(s, '[{invisible}]', '', 'g'), ''), raw);
  END IF;
  s := public.fold_spelling(s);
  IF s ~ '[{digits}十]' THEN
    -- 三 beside 1 is not 31.
    IF s ~ '[0-9][{digits}十]|[{digits}十百千][0-9]' THEN
      s := regexp_replace(s, '([0-9])(?=[{digits}十])|([{digits}十百千])(?=[0-9])', '\\1\\2-', 'g');
    END IF;
    IF s ~ '十|[{digits}][百千]' THEN
      SELECT string_agg(coalesce(public.han_number(m[1]), m[2]), '' ORDER BY n) INTO s
      FROM regexp_matches(s, '([{digits}十百千]+)|([^{digits}十百千]+)', 'g') WITH ORDINALITY parts(m, n);
    ELSE
      s := translate(s, '{digits}', '00123456789');
    END IF;
  END IF;
{last}
END $fold$
""".replace("{invisible}", _INVISIBLE).replace("{digits}", _DIGITS)
_BEFORE = "  RETURN regexp_replace(s, '([0-9a-z])(?:号楼|栋楼|幢|座)', '\\1栋', 'g');"
_NOW = """
  s := regexp_replace(s, '([0-9a-z])(?:号楼|栋楼|幢|座)', '\\1栋', 'g');
  IF s ~ '第[0-9]|0[0-9]|号[0-9]+号' THEN
    -- 03号01栋 and 第3号第1栋 are 3号1栋, and so is 3号1号, which was 3#1#. 1-04 and 第3网格 stay.
    s := regexp_replace(s, '(?:第|(?<![0-9-]))0*([1-9][0-9]*)(?=号|栋|组)', '\\1', 'g');
    s := regexp_replace(s, '(号[0-9]+)号', '\\1栋', 'g');
  END IF;
  RETURN s;"""
_RULES = (
    ("cameras", "state", ("online", "offline", "fault")),
    ("incidents", "datum", ("wgs84", "gcj02", "bd09", "cgcs2000")),
    ("transitions", "from_state", ("reported", "dispatched", "handling", "verifying", "closed", "withdrawn")),
)  # fmt: skip
"""Columns that hold one of some words."""


def upgrade() -> None:
    """Fold anew what folds otherwise now."""
    _fold_by(_NOW)
    # Imports before there were words took any; one that is none of them says nothing of the camera.
    op.execute("UPDATE cameras SET state = NULL WHERE state NOT IN ('online', 'offline', 'fault')")
    for table, column, words in _RULES:
        allowed = ", ".join(f"'{word}'" for word in words)
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} CHECK ({column} IN ({allowed}))")


def downgrade() -> None:
    """Fold as before, without the rules."""
    for table, column, _ in _RULES:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}")
    _fold_by(_BEFORE)


def _fold_by(last: str) -> None:
    op.get_bind().exec_driver_sql(_FOLD.replace("{last}", last).replace("%", "%%"))
    for table, column in _FOLDED:
        op.execute(_ANEW.replace("TABLE", table).replace("COLUMN", column))


# A row that is written anew has its generated columns computed anew.
_ANEW = "UPDATE TABLE SET COLUMN = COLUMN WHERE COLUMN_key IS DISTINCT FROM fold_text(COLUMN)"
