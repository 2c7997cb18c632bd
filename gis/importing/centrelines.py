"""Centre lines as cities publish them: their parts, which way they run, their nodes and house numbers."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely
import sqlalchemy as sa
from pyproj import Geod
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis.importing.drafting import Draft
from gis.importing.ground import only
from gis.importing.parsing import Bools, Floats, mask
from gis.importing.placing import Placed
from gis.importing.refusals import Sieve
from gis.importing.road_words import AGAINST, BOTH
from gis.importing.staging import STAGE
from gis.network.ranges import ONE_CROSSING_M

Ints = npt.NDArray[np.int64]
_GEOD = Geod(ellps="WGS84")
_STEPS = 100_000
"""Ends are one node where they round to the same 1e-5 degree (1.1 m)."""
_PER_LEVEL = (360 * _STEPS + 1) * (180 * _STEPS + 1)
"""Numbers of one z-level; thirteen levels up and down stay below 2^53, which JSON and tiles keep exactly."""
_ENDS, _SIDES = ("from", "to"), ("left", "right")


def parts(made: Draft, where: Placed) -> tuple[Draft, Placed]:
    """Return rows with one line each: lines that continue each other joined, others as rows of their own.

    A row of several lines becomes as many rows of its id, numbered by `part` from 1 in the order in which
    they are drawn; house numbers are shared out by length. `part` is 0 where a row is one line, or as the
    file says; `parts` is missing then, else how many there are.
    """
    if "part" not in made.columns:
        made.columns["part"] = pa.nulls(len(made), pa.int64())
    given = pc.fill_null(made.columns["part"], 0)
    several = made.sieve.ok & (shapely.get_type_id(where.shape) == shapely.GeometryType.MULTILINESTRING)
    shapes = where.shape.copy()
    shapes[several] = [_joined(shape) for shape in shapes[several]]
    lines, row = shapely.get_parts(only(made.sieve.ok, shapes), return_index=True)
    numbered = mask(pc.greater(given, 0)) & made.sieve.ok & (np.bincount(row, minlength=len(made)) > 1)
    made.sieve.refuse(numbered, "part", "is several lines; give each its own part, or the row none")
    lines, row = lines[~numbered[row]], row[~numbered[row]]
    lines, row = _with_refused(lines, row, made.sieve.ok)
    return _taken(made, row, lines, given), _placed(lines)


_GONE = f"""
DELETE FROM roads t USING (SELECT origin, origin_id, max(parts) AS parts FROM {STAGE} GROUP BY 1, 2) s
WHERE (t.origin, t.origin_id) = (s.origin, s.origin_id)
  AND CASE WHEN s.parts = 1 THEN t.part > 0 WHEN s.parts > 1 THEN t.part NOT BETWEEN 1 AND s.parts
    ELSE t.part = 0 END"""  # noqa: S608 - the name of the stage is our own


def take_out_parts(conn: Connection) -> int:
    """Delete the lines that staged rows had and have no longer, and return how many.

    Of a row whose parts the file numbers itself only what was one line is gone.
    """
    return conn.execute(sa.text(_GONE)).rowcount


_SPREAD = """
WITH ends AS (
  SELECT u AS node, ST_StartPoint(geom) AS at FROM roads UNION ALL SELECT v, ST_EndPoint(geom) FROM roads
), spread AS (
  SELECT node, ST_Envelope(ST_Collect(at)) AS box FROM ends GROUP BY node HAVING count(*) > 1
), apart AS (
  SELECT node, ST_Distance(ST_MakePoint(ST_XMin(box), ST_YMin(box))::geography,
    ST_MakePoint(ST_XMax(box), ST_YMax(box))::geography) AS metres FROM spread
)
SELECT node, metres, count(*) OVER () AS nodes FROM apart WHERE metres > :most
ORDER BY metres DESC, node LIMIT 3
"""


def nodes_apart(conn: Connection) -> str | None:
    """Return a note about the nodes that stand at several places, farther apart than a crossing, or None."""
    found = conn.execute(sa.text(_SPREAD), {"most": ONE_CROSSING_M}).all()
    if not found:
        return None
    worst = ", ".join(f"{row.node} by {row.metres:.0f} m" for row in found)
    return (
        f"{found[0].nodes} nodes of the roads stand at several places, more than {ONE_CROSSING_M:.0f} m apart"
        f" (the worst: {worst}): roads do not cross by these; correct u and v, or do without them"
    )


def _joined(shape: BaseGeometry) -> BaseGeometry:
    """Return lines with those joined that continue each other, in the order in which they are drawn.

    GEOS joins them and returns them by their place.
    """
    drawn, of = shapely.get_coordinates(shapely.get_parts(shape), return_index=True)
    first = dict(zip(map(tuple, drawn[::-1]), of[::-1].tolist(), strict=True))
    lines = shapely.get_parts(shapely.line_merge(shape))
    begun = [min(first[tuple(at)] for at in shapely.get_coordinates(line)) for line in lines]
    return shapely.MultiLineString(lines[np.argsort(begun, kind="stable")].tolist())


def _with_refused(
    lines: npt.NDArray[np.object_], row: Ints, ok: Bools
) -> tuple[npt.NDArray[np.object_], Ints]:
    """Return the parts with the refused rows, which have none, in their places."""
    without = np.flatnonzero(~ok)
    order = np.argsort(np.concatenate([row, without]), kind="stable")
    empty = np.full(len(without), None, dtype=object)
    return np.concatenate([lines, empty])[order], np.concatenate([row, without])[order]


def _placed(lines: npt.NDArray[np.object_]) -> Placed:
    middle = shapely.line_interpolate_point(lines, 0.5, normalized=True)
    return Placed(lines, shapely.get_x(middle), shapely.get_y(middle))


def _taken(made: Draft, row: Ints, lines: npt.NDArray[np.object_], given: pa.Array) -> Draft:
    """Return the draft with the rows at `row`, some of them several times, each with its share."""
    chunk = replace(made.chunk, rows=made.chunk.rows[row], table=made.chunk.table.take(pa.array(row)))
    sieve = Sieve(chunk.rows, made.sieve.ok[row], made.sieve.refusals)
    columns = {name: values.take(pa.array(row)) for name, values in made.columns.items()}
    taken = Draft(chunk, sieve, columns)
    count = np.bincount(row, minlength=len(made))[row]
    number = np.arange(len(row)) - np.searchsorted(row, row)
    own = given.take(pa.array(row))
    columns["part"] = pc.if_else(pa.array(count > 1), pa.array(number + 1), own)
    columns["parts"] = pc.if_else(pc.greater(own, 0), None, pa.array(count))
    several = count > 1
    metres = np.zeros(len(row))
    metres[several] = [_GEOD.geometry_length(line) for line in lines[several]]
    _share_numbers(taken, row, metres)
    _cut_between(taken, number == 0, number == count - 1)
    return taken


def _cut_between(made: Draft, first: Bools, last: Bools) -> None:
    """Take from parts what only the whole row has: nodes at ends that are none of its own, and its length."""
    whole = {"u": first, "u_level": first, "v": last, "v_level": last, "length_m": first & last}
    for name, keeps in whole.items():
        if name in made.columns:
            made.columns[name] = pc.if_else(pa.array(keeps), made.columns[name], None)


def _share_numbers(made: Draft, row: Ints, length: Floats) -> None:
    """Give each part of a row the house numbers that fall on it, by its length; those of no part overlap."""
    total = np.bincount(row, length)[row]
    end = np.cumsum(length) - (np.cumsum(np.bincount(row, length)) - np.bincount(row, length))[row]
    several = np.bincount(row)[row] > 1
    before, behind = (
        np.divide(done, total, out=np.zeros(len(row)), where=total > 0) for done in (end - length, end)
    )
    for side in _SIDES:
        first, last = (_numbers(made, f"{side}_{name}") for name in _ENDS)
        parity = _parity(made, side, first, last)
        # That of the whole: a part of a mixed range may begin and end on even numbers.
        made.columns[f"{side}_parity"] = pc.if_else(pa.array(several), parity, made.text(f"{side}_parity"))
        both = mask(pc.equal(parity, "both")) | ((last - first) % 2 != 0)
        step = np.where(last < first, -1, 1) * np.where(both, 1, 2)
        count = (last - first) / step + 1
        begin, until = np.round(count * before), np.round(count * behind)
        none, split = until <= begin, several & (first > 0) & (last > 0)
        for name, at in (("from", begin), ("to", until - 1)):
            number = np.where(none, np.nan, first + step * at)
            made.columns[f"{side}_{name}"] = _integers(np.where(split, number, (first, last)[name == "to"]))


def _numbers(made: Draft, name: str) -> Floats:
    values = made.columns.get(name, pa.nulls(len(made), pa.int64()))
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=float)


def _integers(values: Floats) -> pa.Array:
    missing = np.isnan(values)
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)


def turned(made: Draft, where: Placed) -> Placed:
    """Return lines drawn the way they are driven: one that runs against its drawing is turned round."""
    way = made.columns.get("oneway", pa.nulls(len(made), pa.int8()))
    against = mask(pc.equal(way, AGAINST)) & made.sieve.ok
    made.columns["oneway"] = pc.fill_null(pc.not_equal(way, BOTH), False)
    for one, other in _TURNED:
        _exchange(made, one, other, against)
    shapes = where.shape.copy()
    shapes[against] = shapely.reverse(shapes[against])
    return Placed(shapes, where.lon, where.lat)


_TURNED = (
    ("u", "v"), ("u_level", "v_level"), ("left_from", "right_to"), ("left_to", "right_from"),
    ("left_parity", "right_parity"),
)  # fmt: skip
"""What changes places when a line is turned: its ends and its sides."""


def _exchange(made: Draft, one: str, other: str, rows: Bools) -> None:
    if not rows.any() or (one not in made.columns and other not in made.columns):
        return
    kind = next(made.columns[name].type for name in (one, other) if name in made.columns)
    first, second = (made.columns.get(name, pa.nulls(len(made), kind)) for name in (one, other))
    made.columns[one] = pc.if_else(pa.array(rows), second, first)
    made.columns[other] = pc.if_else(pa.array(rows), first, second)


def number_nodes(made: Draft, where: Placed) -> None:
    """Give ends without a node the number of their place and z-level."""
    for name, at in (("u", 0), ("v", -1)):
        ends = shapely.get_point(where.shape, at)
        level = np.nan_to_num(_numbers(made, f"{name}_level")).astype(np.int64)
        derived = node(shapely.get_x(ends), shapely.get_y(ends), level)
        given = made.columns.get(name, pa.nulls(len(made), pa.int64()))
        made.columns[name] = pc.coalesce(given, pa.array(derived))


def node(lon: Floats, lat: Floats, level: Ints) -> Ints:
    """Return the node at each place (WGS-84 degrees; NaN as 0) and z-level (-13 to 12)."""
    x, y = np.round(np.nan_to_num((lon + 180) * _STEPS)), np.round(np.nan_to_num((lat + 90) * _STEPS))
    number = x.astype(np.int64) * (180 * _STEPS + 1) + y.astype(np.int64)
    return np.asarray(level * _PER_LEVEL + number)


def tidy_numbers(made: Draft) -> None:
    """Drop house numbers of 0 or -1, which say that a side has none, and tell parity where nobody did."""
    for side in _SIDES:
        first, last = (_numbers(made, f"{side}_{name}") for name in _ENDS)
        there = (first > 0) & (last > 0)
        for name, values in zip(_ENDS, (first, last), strict=True):
            made.columns[f"{side}_{name}"] = _integers(np.where(there, values, np.nan))
        parity = _parity(made, side, first, last)
        made.columns[f"{side}_parity"] = pc.if_else(pa.array(there), parity, None)


def _parity(made: Draft, side: str, first: Floats, last: Floats) -> pa.Array:
    """Return the parity of a side: as the row says, else that of its first and last number."""
    of_ends = np.where(first % 2 != last % 2, "both", np.where(first % 2 == 1, "odd", "even"))
    return pc.coalesce(made.text(f"{side}_parity"), pa.array(of_ends))


def measure(made: Draft, where: Placed) -> None:
    """Measure lines that bring no length (geodesic metres)."""
    given = made.columns.get("length_m", pa.nulls(len(made), pa.float64()))
    wanted = np.flatnonzero(mask(pc.is_null(given)) & made.sieve.ok)
    lengths = np.full(len(made), np.nan)
    lengths[wanted] = [_GEOD.geometry_length(where.shape[at]) for at in wanted]
    made.columns["length_m"] = pc.coalesce(given, pa.array(lengths))
