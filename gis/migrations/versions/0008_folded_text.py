"""Texts are looked for in one spelling: a folded column beside every name and address that is asked for."""

import json
from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"

SERVICE = "safetymap_service"

_TRADITIONAL, _SIMPLIFIED = (
    Path(__file__).with_name("0008_traditional.txt").read_text(encoding="utf-8").splitlines()
)
"""Characters and their simplified forms: TSCharacters of OpenCC 1.4.2 (Apache-2.0), the first of each."""

_WORDS = """
north=n south=s east=e west=w northeast=ne northwest=nw southeast=se southwest=sw alley=aly avenue=ave
av=ave boulevard=blvd bridge=brg building=bldg center=ctr centre=ctr circle=cir court=ct crescent=cres
drive=dr expressway=expy freeway=fwy heights=hts highway=hwy lane=ln mount=mt parkway=pkwy place=pl
plaza=plz road=rd saint=st square=sq street=st str=st terrace=ter trail=trl turnpike=tpke first=1st
second=2nd third=3rd fourth=4th fifth=5th sixth=6th seventh=7th eighth=8th ninth=9th tenth=10th
eleventh=11th twelfth=12th thirteenth=13th fourteenth=14th fifteenth=15th sixteenth=16th
seventeenth=17th eighteenth=18th nineteenth=19th twentieth=20th
"""
"""English words of addresses and their usual abbreviations (USPS Publication 28, appendices B and C)."""

# Brackets, dashes, dots, spaces and whatever else only parts words; ASCII, Latin-1, general and CJK punctuation.
_SEPARATORS = (
    "\\x01-\\x20!-/:-@\\[-`{-~\\x7f-\\xa9\\xab-\\xb1\\xb4-\\xb8\\xbb\\xbf"
    "\\u2010-\\u206f\\u2212\\u2500-\\u257f\\u3000-\\u3004\\u3008-\\u301f\\u3030\\u30fb"
)
_DASHES = "-~\\u2010-\\u2015\\u2212\\u2500"
# Letters of scripts that part words by spaces.
_LETTERS = "a-z\\u00df-\\u02af\\u0370-\\u1fff"
_HAN = "\\u4e00-\\u9fff"

_FOLD = """
CREATE FUNCTION fold_text(raw text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $fold$
DECLARE
  s text := lower(normalize(raw, NFKC) COLLATE "und-x-icu");
  kept text;
BEGIN
  IF s ~ '[{traditional}]' THEN
    SELECT string_agg(coalesce('{simplified}'::jsonb ->> sign, sign), '' ORDER BY n) INTO s
    FROM string_to_table(s, NULL) WITH ORDINALITY signs(sign, n);
  END IF;
  -- The usual Chinese address is done here.
  IF s ~ '^[0-9{han}]+$' THEN
    RETURN s;
  END IF;
  IF s ~ '[\\u00c0-\\u1fff]' THEN
    s := normalize(regexp_replace(normalize(s, NFD), '([a-z])[\\u0300-\\u036f]+', '\\1', 'g'), NFC);
    s := replace(s, 'ß', 'ss');
  END IF;
  kept := regexp_replace(s, '\\s+', ' ', 'g');
  s := regexp_replace(translate(s, E'\\'\\u2019\\u02bc`', ''), '([0-9])#', '\\1号', 'g');
  -- 1-2 is not 12: a dash between digits stays.
  s := regexp_replace(s, '([0-9])\\s*[{dashes}]+\\s*(?=[0-9])', '\\1' || U&'\\E000', 'g');
  s := btrim(regexp_replace(replace(s, '&', ' and '), '[{separators}]+', ' ', 'g'));
  IF s ~ '[a-z]{{2}}' THEN
    SELECT string_agg(coalesce('{words}'::jsonb ->> word, word), ' ' ORDER BY n) INTO s
    FROM string_to_table(s, ' ') WITH ORDINALITY words(word, n);
  END IF;
  IF strpos(s, ' ') > 0 THEN
    s := regexp_replace(s, '([0-9]) (?![0-9])|([{letters}]) (?![{letters}])|([^0-9{letters}]) ',
      '\\1\\2\\3', 'g');
  END IF;
  RETURN coalesce(nullif(replace(s, U&'\\E000', '-'), ''), kept);
END $fold$
"""

# A text of an address without the regions before it: after the last word of a region that stands before its
# first digit, so that leaving regions out in front never changes it.
_LOCAL_PART = """
CREATE FUNCTION local_part(folded text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql AS $local$
  SELECT coalesce(substring(folded FROM
    '^[^0-9]*(?:省|自治[区州县]|特别行政区|市(?!场|政|民)|县|(?<![小园校片库厂景新])区|街道|镇|乡|(?<!新)村)(.+)$'
  ), folded)
$local$
"""

_FOLDED = (
    ("buildings", "name"), ("buildings", "address"), ("places", "name"), ("places", "address"),
    ("roads", "name"), ("grids", "name"), ("staff", "name"),
)  # fmt: skip
"""Tables and the columns of them that are folded."""
_WITH_LOCAL_PART = (("buildings", "address"), ("places", "address"), ("places", "name"))
_BEFORE = (("buildings", "address"), ("places", "name"))
"""Columns whose own index is needed no longer."""


def upgrade() -> None:
    """Make the functions, the columns, and an index for each."""
    for statement in (_fold(), _LOCAL_PART):
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
    for name in ("fold_text", "local_part"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO {SERVICE}")
    for table in dict(_FOLDED):
        named = [column for owner, column in _FOLDED if owner == table]
        added = (f"ADD COLUMN {c}_key text GENERATED ALWAYS AS (fold_text({c})) STORED" for c in named)
        op.execute(f"ALTER TABLE {table} {', '.join(added)}")
    for table, column in _FOLDED:
        op.execute(f"CREATE INDEX ix_{table}_{column}_key ON {table} ({column}_key text_pattern_ops)")
    for table, column in _WITH_LOCAL_PART:
        of = f"local_part({column}_key) text_pattern_ops"
        op.execute(f"CREATE INDEX ix_{table}_{column}_local ON {table} ({of})")
    for table, column in _BEFORE:
        op.execute(f"DROP INDEX ix_{table}_{column}")
    op.execute("CREATE INDEX ix_cameras_gb28181 ON cameras (gb28181)")


def _fold() -> str:
    return _FOLD.format(
        traditional=_TRADITIONAL, han=_HAN, dashes=_DASHES, separators=_SEPARATORS, letters=_LETTERS,
        simplified=json.dumps(dict(zip(_TRADITIONAL, _SIMPLIFIED, strict=True)), ensure_ascii=False),
        words=json.dumps(dict(pair.split("=") for pair in _WORDS.split())),
    )  # fmt: skip


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP INDEX ix_cameras_gb28181")
    for table, column in _BEFORE:
        op.execute(f"CREATE INDEX ix_{table}_{column} ON {table} ({column} text_pattern_ops)")
    for table, column in _FOLDED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}_key")
    op.execute("DROP FUNCTION local_part")
    op.execute("DROP FUNCTION fold_text")
