"""Posts of staff: who answers for which grid, from which day."""
# ruff: noqa: S608 - names of tables and columns are our own; values are bound

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.importing import staging
from gis.importing.refusals import Refusal
from gis.importing.staging import STAGE

# The city's day: who leaves later has the post now, and no other beside it.
TODAY = "(now() AT TIME ZONE (SELECT timezone FROM city))::date"
# The post that a row is about: the one that begins as it says, else the latest that it overlaps; where it
# says no day, the one held now or next. Without a day a new post of somebody who holds others begins today,
# and what was before stays known.
_WANTED = f"""
CREATE TEMP TABLE wanted ON COMMIT DROP AS
SELECT p.id AS staff_id, g.id AS grid_id, s.post, s.public_phone, o.id AS same,
  coalesce(s.valid_from, {TODAY}) AS moved_on,
  CASE WHEN s.valid_from IS NOT NULL THEN s.valid_from WHEN o.id IS NOT NULL THEN lower(o.valid)
    WHEN (s.valid_to IS NULL OR s.valid_to > {TODAY})
      AND EXISTS (SELECT FROM posts h WHERE h.staff_id = p.id) THEN {TODAY} END AS first,
  CASE WHEN :ends OR s.valid_to IS NOT NULL THEN s.valid_to ELSE upper(o.valid) END AS after
FROM {STAGE} s JOIN staff p ON (p.origin, p.origin_id) = (s.origin, s.origin_id)
JOIN schemes h ON h.is_default
JOIN grid_codes g ON g.scheme = coalesce(s.scheme, h.name) AND g.code = s.grid_code
LEFT JOIN LATERAL (
  SELECT o.id, o.valid FROM posts o WHERE (o.staff_id, o.grid_id, o.post) = (p.id, g.id, s.post)
    AND CASE WHEN s.valid_from IS NULL AND s.valid_to IS NULL
      THEN upper_inf(o.valid) OR upper(o.valid) > {TODAY}
      ELSE o.valid && daterange(s.valid_from, s.valid_to) END
  ORDER BY (lower(o.valid) IS NOT DISTINCT FROM s.valid_from) DESC, lower(o.valid) DESC NULLS LAST LIMIT 1
) o ON true
"""
_SPAN = "daterange(w.first, w.after)"
# Other stretches of the same post that the row's runs into keep what lies outside of it.
_RUN_INTO = f"""(o.staff_id, o.grid_id, o.post) = (w.staff_id, w.grid_id, w.post)
  AND o.id IS DISTINCT FROM w.same AND o.valid && {_SPAN}"""
# Another post ends when this one begins; it never was, if it began no earlier.
_OTHER = f"""o.staff_id = w.staff_id AND (w.after IS NULL OR w.after > {TODAY})
  AND (o.grid_id, o.post) IS DISTINCT FROM (w.grid_id, w.post) AND o.valid && {_SPAN}"""
_BEGAN_LATER = "NOT (lower_inf(o.valid) OR lower(o.valid) < w.moved_on)"
_HELD = f"""SELECT staff_id, grid_id, post, public_phone, valid FROM posts
  WHERE staff_id IN (SELECT p.id FROM {STAGE} s JOIN staff p USING (origin, origin_id))"""
_LEAVING = f"""(SELECT p.id, s.valid_to FROM {STAGE} s JOIN staff p USING (origin, origin_id)
  WHERE s.grid_code IS NULL AND s.valid_to IS NOT NULL)"""
_STEPS = (
    # Who leaves, and no grid is named, holds no post from that day on, and none that was to come.
    f"DELETE FROM posts o USING {_LEAVING} l WHERE o.staff_id = l.id AND lower(o.valid) >= l.valid_to",
    f"""UPDATE posts o SET valid = o.valid * daterange(NULL, l.valid_to)
    FROM {_LEAVING} l WHERE o.staff_id = l.id AND (upper_inf(o.valid) OR upper(o.valid) > l.valid_to)""",
    f"DELETE FROM posts o USING wanted w WHERE {_RUN_INTO} AND o.valid <@ {_SPAN}",
    f"UPDATE posts o SET valid = o.valid - {_SPAN} FROM wanted w WHERE {_RUN_INTO}",
    f"DELETE FROM posts o USING wanted w WHERE {_OTHER} AND {_BEGAN_LATER}",
    f"UPDATE posts o SET valid = daterange(lower(o.valid), w.moved_on) FROM wanted w WHERE {_OTHER}",
    # The number on the grid's notice board may change without the post.
    f"""UPDATE posts o SET valid = {_SPAN}, public_phone = w.public_phone FROM wanted w
    WHERE o.id = w.same AND (o.valid, o.public_phone) IS DISTINCT FROM ({_SPAN}, w.public_phone)""",
    f"""INSERT INTO posts (staff_id, grid_id, post, public_phone, valid)
    SELECT staff_id, grid_id, post, public_phone, {_SPAN} FROM wanted w WHERE same IS NULL""",
)
# Whoever's own row did not change is of an older batch until now.
_COUNTED = f"""UPDATE staff SET batch_id = :batch WHERE batch_id <> :batch AND id IN (
  (SELECT staff_id FROM (TABLE held EXCEPT {_HELD}) gone)
  UNION (SELECT staff_id FROM ({_HELD} EXCEPT TABLE held) come))"""


# A last day before the first of a post that has begun: as leaving it would say that it never was held.
_TOO_SOON = f"""
DELETE FROM {STAGE} s USING staff p WHERE (p.origin, p.origin_id) = (s.origin, s.origin_id)
  AND s.valid_to IS NOT NULL AND s.valid_from IS NULL AND EXISTS (
    SELECT FROM posts o JOIN grid_codes g ON g.id = o.grid_id WHERE o.staff_id = p.id
      AND lower(o.valid) >= s.valid_to AND lower(o.valid) <= {TODAY}
      AND (s.grid_code IS NULL OR (g.code, o.post) = (s.grid_code, s.post)
        AND g.scheme = coalesce(s.scheme, (SELECT name FROM schemes WHERE is_default))
        AND NOT EXISTS (SELECT FROM posts e WHERE (e.staff_id, e.grid_id, e.post) = (p.id, o.grid_id, o.post)
          AND e.valid && daterange(NULL, s.valid_to))))
RETURNING s.row_no, s.valid_to AS value"""


def too_soon(conn: Connection) -> list[Refusal]:
    """Take out staff whose last day lies before the first of a post that they hold or held."""
    if not {"valid_to", "grid_code"} <= set(staging.columns_of(conn)):
        return []
    _fill(conn)
    why = "lies before the first day of the post that it ends; correct it, or say that post's valid_from"
    return [Refusal(row.row_no, "valid_to", why, str(row.value)) for row in conn.execute(sa.text(_TOO_SOON))]


def _fill(conn: Connection) -> None:
    """Give the stage the columns that its file need not have."""
    columns = ("scheme text", "public_phone text", "valid_from date", "valid_to date")
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in columns)
    conn.execute(sa.text(f"ALTER TABLE {STAGE} {added}"))


def merge(conn: Connection, batch: int, *, ends: bool) -> int:
    """Give the staged staff their posts, and return of how many these alone changed.

    `ends`: the file has a column of last days, so that an empty one means that the post goes on. A post of
    another grid or name ends when the row's begins, or on `valid_to`.
    """
    _fill(conn)
    conn.execute(sa.text("DROP TABLE IF EXISTS wanted, held"))
    conn.execute(sa.text(f"CREATE TEMP TABLE held ON COMMIT DROP AS {_HELD}"))
    conn.execute(sa.text(_WANTED), {"ends": ends})
    for step in _STEPS:
        conn.execute(sa.text(step))
    return conn.execute(sa.text(_COUNTED), {"batch": batch}).rowcount
