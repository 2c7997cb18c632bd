"""Evidence of another datum than the import says: column headings, recorded grids, the city's outline."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gis import crs
from gis.errors import BadInput
from gis.importing.drafting import Draft
from gis.importing.ground import Codes, Ground, metres_apart, nowhere, only
from gis.importing.parsing import objects
from gis.importing.placing import Placed

NEAR_M = 30.0
"""A point this close to its recorded grid agrees with it: borders run along streets."""
ENOUGH = 20
"""Rows with a recorded grid from which a whole file may be judged."""
_MARKS = {
    "gcj02": r"gcj-?_?0?2|火星|国测局?|高德|腾讯|amap",
    "bd09": r"bd-?_?09|百度|baidu",
    "wgs84": r"wgs-?_?84|\bgps\b",
    "cgcs2000": r"cgcs|国家?2000",
}
_COORDINATE = r"经度|纬度|坐标|lng|lon|lat|geom|wkt|wkb|\b[xy]\b"
_SHIFTED = ("gcj02", "bd09")


@dataclass
class Evidence:
    """What recorded grids say about the datum: rows compared, and rows that fit only when shifted."""

    compared: int = 0
    fit: Counter[str] = field(default_factory=Counter)

    def verdict(self) -> str | None:
        """Return the datum that most rows with a recorded grid speak for, None where they do not."""
        likely = max(self.fit, key=self.fit.__getitem__, default=None)
        told = likely is not None and self.compared >= ENOUGH and self.fit[likely] > self.compared / 2
        return likely if told else None


def check_headings(columns: Sequence[str], said: str | None) -> None:
    """Raise BadInput when the heading of a coordinate column names another datum than the import."""
    for column in columns:
        if not re.search(_COORDINATE, column.lower()):
            continue
        named = next((datum for datum, mark in _MARKS.items() if re.search(mark, column.lower())), None)
        if named is not None and not _same(named, said or "wgs84"):
            told = f"the column {column!r} says {named}, the import says {said or 'nothing'}"
            raise BadInput("datum", f"{told}; use --datum {named}")


def _same(one: str, other: str) -> bool:
    alike = {"cgcs2000": "wgs84"}
    return alike.get(one, one) == alike.get(other, other)


def check_datum(
    made: Draft, where: Placed, ground: Ground, days: np.ndarray[tuple[int], np.dtype[np.datetime64]],
    owners: Codes, evidence: Evidence, *, refuse: bool,
) -> None:  # fmt: skip
    """Compare places that nobody said the datum of with their recorded grids and with the city's outline.

    A row whose recorded grid lies more than 30 m away as it stands but agrees when read as GCJ-02 or BD-09,
    or that no grid owns unless it is so read, is refused when `refuse`; `evidence` counts either way.
    """
    recorded = objects(made.text("recorded_grid").to_pylist())
    doubtful = made.sieve.ok & crs.inside_china(where.lon, where.lat)
    shapes = only(doubtful, ground.shape_of(recorded))
    evidence.compared += int(np.count_nonzero(shapes != np.array(None)))
    shapes[owners == recorded] = None
    shapes[metres_apart(shapes, where.lon, where.lat) <= NEAR_M] = None
    unowned = doubtful & nowhere(owners) & (shapes == np.array(None))
    suspects = np.flatnonzero((shapes != np.array(None)) | unowned)
    for datum in _SHIFTED:
        fits = _fits(where, ground, days, shapes, suspects, datum)
        evidence.fit[datum] += int(np.count_nonzero(fits & ~unowned))
        if refuse:
            made.sieve.refuse(fits, "lon/lat", _reason(datum), where.pair)


def _fits(
    where: Placed, ground: Ground, days: np.ndarray[tuple[int], np.dtype[np.datetime64]],
    shapes: Codes, suspects: np.ndarray[tuple[int], np.dtype[np.int64]], datum: str,
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:  # fmt: skip
    fits = np.zeros(len(where.lon), bool)
    lon, lat = crs.to_wgs84(where.lon[suspects], where.lat[suspects], datum)
    apart = metres_apart(shapes[suspects], lon, lat)
    owned = ~nowhere(ground.owners(lon, lat, days[suspects]))
    fits[suspects] = np.where(np.isnan(apart), owned, apart <= NEAR_M)
    return fits


def _reason(datum: str) -> str:
    return (
        f"fits its recorded grid or the city only when read as {datum}; use --datum {datum}, "
        "or say --datum wgs84 if it is right as it stands"
    )
