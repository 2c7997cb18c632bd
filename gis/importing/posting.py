"""Posts of staff: who answers for which grid of the default scheme, from which day."""
# ruff: noqa: S608 - names of tables and columns are our own; values are bound

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.importing.staging import STAGE

_WANTED = f"""
CREATE TEMP TABLE wanted ON COMMIT DROP AS
SELECT p.id AS staff_id, g.id AS grid_id, s.post, s.valid_from, s.valid_to, s.public_phone
FROM {STAGE} s JOIN staff p ON (p.origin, p.origin_id) = (s.origin, s.origin_id)
JOIN schemes h ON h.is_default JOIN grid_codes g ON g.scheme = h.name AND g.code = s.grid_code
"""
# The city's day: who leaves later has the post now, and no other beside it.
TODAY = "(now() AT TIME ZONE (SELECT timezone FROM city))::date"
_OTHER = f"""
SELECT o.id, w.valid_from FROM posts o JOIN wanted w USING (staff_id)
WHERE (w.valid_to IS NULL OR w.valid_to > {TODAY}) AND upper_inf(o.valid)
  AND (o.grid_id, o.post) IS DISTINCT FROM (w.grid_id, w.post)
  AND o.valid && daterange(w.valid_from, w.valid_to)
"""
# What is left of a post when another begins; nothing when that one began no later, or without a day.
_ENDED = """CASE WHEN o.valid_from IS NULL OR lower(p.valid) >= o.valid_from THEN 'empty'
ELSE daterange(lower(p.valid), o.valid_from) END"""
_STEPS = (
    "DROP TABLE IF EXISTS wanted",
    # A file need not have every column.
    f"""ALTER TABLE {STAGE} ADD COLUMN IF NOT EXISTS public_phone text,
    ADD COLUMN IF NOT EXISTS valid_from date, ADD COLUMN IF NOT EXISTS valid_to date""",
    _WANTED,
    # Who leaves holds no post from that day on: the one that the row names, all where it names none.
    f"""UPDATE posts o SET valid = daterange(lower(o.valid), s.valid_to)
    FROM {STAGE} s JOIN staff p ON (p.origin, p.origin_id) = (s.origin, s.origin_id)
    LEFT JOIN (schemes h JOIN grid_codes g ON g.scheme = h.name) ON h.is_default AND g.code = s.grid_code
    WHERE o.staff_id = p.id AND s.valid_to IS NOT NULL
      AND (s.grid_code IS NULL OR (o.grid_id, o.post) = (g.id, s.post))
      AND (upper_inf(o.valid) OR (s.grid_code IS NOT NULL AND lower(o.valid) = s.valid_from))
      AND (lower_inf(o.valid) OR lower(o.valid) < s.valid_to)""",
    # A post that had no day before its successor's never was.
    f"DELETE FROM posts p USING ({_OTHER}) o WHERE p.id = o.id AND isempty({_ENDED})",
    f"UPDATE posts p SET valid = {_ENDED} FROM ({_OTHER}) o WHERE p.id = o.id",
    # The number on the grid's notice board may change without the post.
    """UPDATE posts p SET public_phone = w.public_phone FROM wanted w
    WHERE (p.staff_id, p.grid_id, p.post) = (w.staff_id, w.grid_id, w.post) AND upper_inf(p.valid)
      AND p.public_phone IS DISTINCT FROM w.public_phone""",
    """INSERT INTO posts (staff_id, grid_id, post, public_phone, valid)
    SELECT staff_id, grid_id, post, public_phone, daterange(valid_from, valid_to) FROM wanted w
    WHERE NOT EXISTS (
      SELECT FROM posts o WHERE (o.staff_id, o.grid_id, o.post) = (w.staff_id, w.grid_id, w.post)
      AND o.valid && daterange(w.valid_from, w.valid_to))""",
)


def merge(conn: Connection) -> None:
    """Give the staged staff their posts; an earlier one ends when the new one begins, or on `valid_to`."""
    for step in _STEPS:
        conn.execute(sa.text(step))
