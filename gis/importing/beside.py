"""Coordinates in columns beside shapes: the shape is taken, and where the two disagree is told."""

from dataclasses import dataclass

import numpy as np
import shapely

from gis.importing.coordinates import degrees, pairs
from gis.importing.drafting import Draft, cleaned
from gis.importing.ground import KM_PER_DEGREE
from gis.importing.mapping import Mapping
from gis.importing.parsing import Bools, Floats
from gis.importing.refusals import Sieve
from gis.importing.source import Geoms

APART_M = 100.0
"""So far from the shape a place beside it is another one: more than a datum, a lot or a street explains."""


@dataclass
class Beside:
    """What columns of coordinates say beside a file's shapes."""

    columns: tuple[str, ...] = ()
    rows: int = 0
    """With a place farther than APART_M from the shape."""
    most_m: float = 0.0
    most_row: int = 0
    instead: int = 0
    """Rows without a shape that have such a place."""

    def note(self) -> str | None:
        """Return what the import's report says of it."""
        if not self.columns:
            return None
        said = f"shapes are taken, not what columns {', '.join(self.columns)} say"
        if self.rows:
            said += (
                f": in {self.rows:,} rows that lies more than {APART_M:g} m from the shape, "
                f"up to {self.most_m:,.0f} m (row {self.most_row}); see which of the two is right"
            )
        if self.instead:
            said += (
                f"; {self.instead:,} rows have only that and are refused: import them as a file of their own"
            )
        return said


def compare(made: Draft, mapping: Mapping, shapes: Geoms, beside: Beside) -> None:
    """Note how far the places of columns lie from shapes in degrees; those beyond the globe say nothing."""
    columns = made.chunk.table.column_names
    names = [name for name in ("lonlat", "latlon") if mapping.found(name, columns)][:1]
    names = names or [name for name in ("lon", "lat") if mapping.found(name, columns)]
    beside.columns = tuple(found for name in names if (found := mapping.found(name, columns)))
    if names in (["lon"], ["lat"], []):
        return
    lon, lat = _places(made, mapping, names)
    there = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lon) <= 180) & (np.abs(lat) <= 90)
    beside.instead += int((there & shapely.is_missing(shapes)).sum())
    _measure(made, shapes, np.column_stack([lon, lat]), there & ~shapely.is_missing(shapes), beside)


def _places(made: Draft, mapping: Mapping, names: list[str]) -> tuple[Floats, Floats]:
    unjudged = Sieve(made.sieve.rows, np.zeros(len(made), bool))
    columns = made.chunk.table.column_names
    values = [cleaned(made.chunk, str(mapping.found(name, columns)), unjudged, name) for name in names]
    if len(names) == 1:
        lon, lat, _ = pairs(values[0], names[0], mapping.decimal)
    else:
        (lon, _), (lat, _) = (
            degrees(value, name, mapping.decimal) for value, name in zip(values, names, strict=True)
        )
    return lon, lat


def _measure(made: Draft, shapes: Geoms, xy: Floats, rows: Bools, beside: Beside) -> None:
    at = np.flatnonzero(rows)
    if not len(at):
        return
    ways = shapely.get_coordinates(shapely.shortest_line(shapely.points(xy[at]), shapes[at])).reshape(
        -1, 2, 2
    )
    if len(ways) != len(at):
        return  # an empty shape is refused for that
    step = (ways[:, 1] - ways[:, 0]) * KM_PER_DEGREE * 1000
    metres = np.hypot(step[:, 0] * np.cos(np.radians(ways[:, 0, 1])), step[:, 1])
    beside.rows += int((metres > APART_M).sum())
    if metres.max() > beside.most_m:
        beside.most_m, beside.most_row = float(metres.max()), int(made.chunk.rows[at[metres.argmax()]])
