"""Centre lines as cities publish them: their parts, which way they run, their nodes and house numbers."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from pyproj import Geod

from gis.importing.drafting import Draft
from gis.importing.ground import only
from gis.importing.parsing import Bools, Floats, mask
from gis.importing.placing import Placed
from gis.importing.refusals import Sieve
from gis.importing.road_words import AGAINST, BOTH

Ints = npt.NDArray[np.int64]
_GEOD = Geod(ellps="WGS84")
_STEPS = 100_000
"""Ends are one node where they round to the same 1e-5 degree (1.1 m)."""
_PER_LEVEL = (360 * _STEPS + 1) * (180 * _STEPS + 1)
"""Numbers of one z-level; thirteen levels up and down stay below 2^53, which JSON and tiles keep exactly."""
_ENDS, _SIDES = ("from", "to"), ("left", "right")


def parts(made: Draft, where: Placed) -> tuple[Draft, Placed]:
    """Return rows with one line each: lines that continue each other joined, others as rows of their own.

    A row of several lines becomes as many rows, whose ids end in /1, /2 …; house numbers are shared out by
    length.
    """
    several = made.sieve.ok & (shapely.get_type_id(where.shape) == shapely.GeometryType.MULTILINESTRING)
    if not several.any():
        return made, where
    shapes = where.shape.copy()
    shapes[several] = shapely.line_merge(shapes[several])
    lines, row = shapely.get_parts(only(made.sieve.ok, shapes), return_index=True)
    lines, row = _with_refused(lines, row, made.sieve.ok)
    return _taken(made, row, lines), _placed(lines)


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


def _taken(made: Draft, row: Ints, lines: npt.NDArray[np.object_]) -> Draft:
    """Return the draft with the rows at `row`, some of them several times, each with its share."""
    chunk = replace(made.chunk, rows=made.chunk.rows[row], table=made.chunk.table.take(pa.array(row)))
    sieve = Sieve(chunk.rows, made.sieve.ok[row], made.sieve.refusals)
    columns = {name: values.take(pa.array(row)) for name, values in made.columns.items()}
    taken = Draft(chunk, sieve, columns)
    count = np.bincount(row)[row]
    number = np.arange(len(row)) - np.searchsorted(row, row)
    ending = pa.array([f"/{n + 1}" if of > 1 else "" for n, of in zip(number, count, strict=True)])
    columns["origin_id"] = pc.binary_join_element_wise(columns["origin_id"], ending, "")
    _share_numbers(taken, row, shapely.length(lines))
    return taken


def _share_numbers(made: Draft, row: Ints, length: Floats) -> None:
    """Give each part of a row the house numbers that fall on it, of the row's parity."""
    length = np.nan_to_num(length)
    total = np.bincount(row, length)[row]
    end = np.cumsum(length) - (np.cumsum(np.bincount(row, length)) - np.bincount(row, length))[row]
    split = np.bincount(row)[row] > 1
    for side in _SIDES:
        first, last = (_numbers(made, f"{side}_{name}") for name in _ENDS)
        for name, done in (("from", end - length), ("to", end)):
            share = np.divide(done, total, out=np.zeros(len(row)), where=total > 0)
            number = first + 2 * np.round((last - first) * share / 2)
            given = _numbers(made, f"{side}_{name}")
            made.columns[f"{side}_{name}"] = _integers(np.where(split, number, given))


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
        mixed = first % 2 != last % 2
        told = np.where(mixed, "both", np.where(first % 2 == 1, "odd", "even"))
        parity = pc.coalesce(made.text(f"{side}_parity"), pa.array(told))
        made.columns[f"{side}_parity"] = pc.if_else(pa.array(there), parity, None)


def measure(made: Draft, where: Placed) -> None:
    """Measure lines that bring no length (geodesic metres)."""
    given = made.columns.get("length_m", pa.nulls(len(made), pa.float64()))
    wanted = np.flatnonzero(mask(pc.is_null(given)) & made.sieve.ok)
    lengths = np.full(len(made), np.nan)
    lengths[wanted] = [_GEOD.geometry_length(where.shape[at]) for at in wanted]
    made.columns["length_m"] = pc.coalesce(given, pa.array(lengths))
