"""Rows without coordinates: placed by what the store knows of their address, or refused with the reason."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from gis.importing.drafting import Draft, cleaned
from gis.importing.gazetteer import Gazetteer
from gis.importing.ground import Days, Ground
from gis.importing.mapping import Mapping
from gis.importing.parsing import Bools, mask, objects
from gis.importing.placing import Placed, rounded
from gis.importing.refusals import Sieve
from gis.network.ranges import Found

_BESIDE_M = 50.0
"""A place by an address may lie so far beside its recorded grid, and as far as it is not known: borders run
along streets."""


def has_place_columns(made: Draft, mapping: Mapping) -> bool:
    """Tell whether a source has coordinates or shapes at all."""
    columns = made.chunk.table.column_names
    pair = all(mapping.found(name, columns) for name in ("lon", "lat"))
    whole = any(mapping.found(name, columns) for name in ("geometry", "lonlat", "latlon"))
    return made.chunk.geometry is not None or whole or pair


def lacking(made: Draft, mapping: Mapping) -> Bools:
    """Return which good rows have an address and no coordinates."""
    return np.asarray(made.sieve.ok & mask(pc.is_valid(made.text("address"))) & _without_place(made, mapping))


def _without_place(made: Draft, mapping: Mapping) -> Bools:
    if made.chunk.geometry is not None:
        shapes = made.chunk.geometry
        return np.asarray(shapely.is_missing(shapes) | shapely.is_empty(shapes), dtype=bool)
    columns = made.chunk.table.column_names
    whole = [name for name in ("geometry", "lonlat", "latlon") if mapping.found(name, columns)]
    named = whole[:1] or ["lon", "lat"]
    empty = [_empty(made, column) for name in named if (column := mapping.found(name, columns))]
    return np.logical_and.reduce(empty) if empty else np.ones(len(made), bool)


def _empty(made: Draft, column: str) -> Bools:
    unjudged = Sieve(made.sieve.rows, np.zeros(len(made), bool))
    return mask(pc.is_null(cleaned(made.chunk, column, unjudged, column)))


def nowhere(count: int) -> Placed:
    """Return places of rows that have none."""
    return Placed(np.full(count, None, dtype=object), np.full(count, np.nan), np.full(count, np.nan))


def fill(
    made: Draft, where: Placed, rows: Bools, known: Gazetteer, ground: Ground, days: Days
) -> tuple[Placed, Bools]:
    """Place `rows` by their addresses and return which were; refuse the others, each with its reason.

    `days`: those of the rows; regions are meant as they were then.
    """
    texts = made.text("address").to_pylist()
    at, period = np.flatnonzero(rows), ground.periods(days)
    found: dict[int, Found | str] = {}
    for one in np.unique(period[at]):
        here = at[period[at] == one]
        by_text = known.find(sorted({texts[row] for row in here}), days[here[0]].item())
        found |= {int(row): by_text[texts[row]] for row in here}
    hits = {row: hit for row, hit in found.items() if isinstance(hit, Found)}
    placed = np.zeros(len(made), bool)
    placed[list(hits)] = True
    made.sieve.refuse(
        rows & ~placed, "address",
        lambda one: f"has no coordinates, and {found[one]}; add coordinates, or import what it names",
        texts,
    )  # fmt: skip
    _note(made, hits)
    return _moved(where, hits), placed


def hold_recorded(made: Draft, where: Placed, rows: Bools, ground: Ground) -> None:
    """Refuse rows placed by their addresses that lie farther from their recorded grid than is known."""
    at = np.flatnonzero(rows & made.sieve.ok)
    recorded = objects(made.text("recorded_grid").to_pylist())
    apart = np.full(len(made), np.nan)
    apart[at] = ground.metres_from(recorded[at], where.lon[at], where.lat[at])
    known = np.maximum(_BESIDE_M, made.columns["accuracy_m"].to_numpy(zero_copy_only=False))
    made.sieve.refuse(
        apart > known, "address",
        lambda one: f"lies {apart[one]:.0f} m from its recorded_grid {recorded[one]}; "
        "correct one of them, add coordinates, or leave recorded_grid empty",
        made.text("address").to_pylist(),
    )  # fmt: skip


def _note(made: Draft, hits: dict[int, Found]) -> None:
    """Write down how exactly each was placed, and by what."""
    by: list[str | None] = [None] * len(made)
    metres: list[float | None] = [None] * len(made)
    for at, hit in hits.items():
        by[at], metres[at] = hit.by, hit.accuracy_m
    given = made.columns.get("accuracy_m", pa.nulls(len(made), pa.float64()))
    made.columns["accuracy_m"] = pc.coalesce(given, pa.array(metres, pa.float64()))
    made.columns["placed_by"] = pc.coalesce(pa.array(by, pa.string()), made.text("placed_by"))


def _moved(where: Placed, hits: dict[int, Found]) -> Placed:
    moved = Placed(where.shape.copy(), where.lon.copy(), where.lat.copy())
    rows = np.zeros(len(where.lon), bool)
    for at, hit in hits.items():
        moved.shape[at], moved.lon[at], moved.lat[at] = shapely.Point(hit.lon, hit.lat), hit.lon, hit.lat
    rows[list(hits)] = True
    return rounded(moved, rows)
