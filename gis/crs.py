"""EPSG codes and datum shifts: the one owner of where a coordinate pair lies.

GCJ-02 (国测局坐标) and BD-09 (百度坐标) are obfuscations of WGS-84 with published reverse-engineered formulas
(eviltransform, coordtransform; both MIT). The naive inverse of GCJ-02 is up to 4.2 m wrong, so both inverses
iterate. CGCS2000 and WGS-84 differ by centimetres (GB 22021-2008: same ellipsoid to 0.11 mm): no shift.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from pyproj.transformer import AreaOfInterest, TransformerGroup

from gis.errors import BadInput

WGS84 = 4326
WEB_MERCATOR = 3857
MERCATOR_MAX_LAT = 85.051128779806
"""The latitude at which web mercator's square ends: arctan(sinh(pi))."""

Datum = Literal["wgs84", "gcj02", "bd09", "cgcs2000"]
DATUMS: tuple[Datum, ...] = get_args(Datum)

Degrees = npt.NDArray[np.float64]
Pair = tuple[Degrees, Degrees]

_KRASSOVSKY_A = 6378245.0
_KRASSOVSKY_EE = 0.00669342162296594323
_BD_PI = np.pi * 3000.0 / 180.0
_CHINA = (72.004, 137.8347, 0.8293, 55.8271)
"""The box (west, east, south, north) outside which the published formula does not shift."""
_ITERATIONS = 12
"""Each step shrinks the error by some 1e-3..1e-2; twelve reach the floor of float64."""


_ZONES = frozenset(
    f"Asia/{city}"
    for city in (
        "Shanghai", "Urumqi", "Chongqing", "Chungking", "Harbin", "Kashgar", "Hong_Kong", "Macau", "Macao",
        "Taipei",
    )
) | {"PRC", "Hongkong", "ROC", "UTC", ""}  # fmt: skip


def may_be_shifted(zone: str) -> bool:
    """Tell whether maps of a city may be in GCJ-02, by its time zone; so wherever that is unknown.

    The box of the formula holds Korea, Vietnam and Mongolia too, whose maps are not.
    """
    return zone in _ZONES


def inside_china(lon: Degrees, lat: Degrees) -> npt.NDArray[np.bool_]:
    """Return where the GCJ-02 formula shifts at all (its published box, not a border)."""
    west, east, south, north = _CHINA
    inside: npt.NDArray[np.bool_] = (lon > west) & (lon < east) & (lat > south) & (lat < north)
    return inside


def _ripple(value: Degrees, *waves: tuple[float, float]) -> Degrees:
    """Sum sine waves, each (weight, half-waves per degree)."""
    total = sum((weight * np.sin(value * np.pi * rate) for weight, rate in waves), np.zeros_like(value))
    return total * 2.0 / 3.0


def _shift_lat(x: Degrees, y: Degrees) -> Degrees:
    plain = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x))
    return (
        plain
        + _ripple(x, (20.0, 6.0), (20.0, 2.0))
        + _ripple(y, (20.0, 1.0), (40.0, 1 / 3), (160.0, 1 / 12), (320.0, 1 / 30))
    )


def _shift_lon(x: Degrees, y: Degrees) -> Degrees:
    plain = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x))
    return plain + _ripple(
        x, (20.0, 6.0), (20.0, 2.0), (20.0, 1.0), (40.0, 1 / 3), (150.0, 1 / 12), (300.0, 1 / 30)
    )


def _wgs84_to_gcj02(lon: Degrees, lat: Degrees) -> Pair:
    x, y = lon - 105.0, lat - 35.0
    radians = np.radians(lat)
    magic = 1 - _KRASSOVSKY_EE * np.sin(radians) ** 2
    root = np.sqrt(magic)
    meridian = _KRASSOVSKY_A * (1 - _KRASSOVSKY_EE) / (magic * root)
    parallel = _KRASSOVSKY_A / root * np.cos(radians)
    inside = inside_china(lon, lat)
    dlon = np.where(inside, np.degrees(_shift_lon(x, y) / parallel), 0.0)
    dlat = np.where(inside, np.degrees(_shift_lat(x, y) / meridian), 0.0)
    return lon + dlon, lat + dlat


def _gcj02_to_bd09(lon: Degrees, lat: Degrees) -> Pair:
    z = np.sqrt(lon * lon + lat * lat) + 0.00002 * np.sin(lat * _BD_PI)
    theta = np.arctan2(lat, lon) + 0.000003 * np.cos(lon * _BD_PI)
    inside = inside_china(lon, lat)
    shifted_lon, shifted_lat = z * np.cos(theta) + 0.0065, z * np.sin(theta) + 0.006
    return np.where(inside, shifted_lon, lon), np.where(inside, shifted_lat, lat)


def _wgs84_to_bd09(lon: Degrees, lat: Degrees) -> Pair:
    return _gcj02_to_bd09(*_wgs84_to_gcj02(lon, lat))


def _same(lon: Degrees, lat: Degrees) -> Pair:
    return lon.copy(), lat.copy()


_FORWARD: dict[str, Callable[[Degrees, Degrees], Pair]] = {
    "wgs84": _same,
    "cgcs2000": _same,
    "gcj02": _wgs84_to_gcj02,
    "bd09": _wgs84_to_bd09,
}


def _forward(datum: str) -> Callable[[Degrees, Degrees], Pair]:
    if datum not in _FORWARD:
        raise BadInput("datum", f"{datum!r} is unknown; use one of {', '.join(DATUMS)}")
    return _FORWARD[datum]


def from_wgs84(lon: Degrees, lat: Degrees, datum: str) -> Pair:
    """Return WGS-84 degrees, shape (n,), as coordinates of `datum`.

    Raises BadInput when the datum is unknown.
    """
    return _forward(datum)(np.asarray(lon, float), np.asarray(lat, float))


def to_wgs84(lon: Degrees, lat: Degrees, datum: str) -> Pair:
    """Return coordinates of `datum`, shape (n,), as WGS-84 degrees; to ≤ 1 cm after a round trip.

    Fixed-point iteration on the forward formula. Raises BadInput when the datum is unknown.
    """
    forward = _forward(datum)
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    if forward is _same:
        return lon.copy(), lat.copy()
    guess_lon, guess_lat = lon.copy(), lat.copy()
    for _ in range(_ITERATIONS):
        there_lon, there_lat = forward(guess_lon, guess_lat)
        guess_lon, guess_lat = guess_lon + (lon - there_lon), guess_lat + (lat - there_lat)
    return guess_lon, guess_lat


def point_to_wgs84(lon: float, lat: float, datum: str) -> tuple[float, float]:
    """Return one coordinate pair of `datum` as WGS-84 degrees."""
    lons, lats = to_wgs84(np.array([lon]), np.array([lat]), datum)
    return float(lons[0]), float(lats[0])


def point_from_wgs84(lon: float, lat: float, datum: str) -> tuple[float, float]:
    """Return one WGS-84 coordinate pair in `datum`."""
    lons, lats = from_wgs84(np.array([lon]), np.array([lat]), datum)
    return float(lons[0]), float(lats[0])


def shapes_from_wgs84(shapes: npt.NDArray[np.object_], datum: str) -> npt.NDArray[np.object_]:
    """Return shapes in WGS-84 degrees, shape (n,), in `datum`. Raises BadInput when the datum is unknown."""
    if _forward(datum) is _same:
        return shapes
    moved: npt.NDArray[np.object_] = shapely.transform(
        shapes, lambda xy: np.column_stack(from_wgs84(xy[:, 0], xy[:, 1], datum))
    )
    return moved


_CGCS2000 = "China 2000"
"""PROJ's name of the datum that differs from WGS-84 by centimetres only (GB 22021-2008)."""


@dataclass(frozen=True)
class Shift:
    """How coordinates of a system become WGS-84 degrees: PROJ's words, and its accuracy in metres.

    `accuracy_m` is None where PROJ knows none: then positions may be off by a hundred metres and more.
    """

    words: str
    accuracy_m: float | None
    there: Transformer | None = field(default=None, repr=False)

    def apply(self, shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
        """Return shapes in degrees; a coordinate that has no place there becomes infinite."""
        if self.there is None:
            return shapes
        move = self.there.transform
        moved: npt.NDArray[np.object_] = shapely.transform(
            shapes, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1]))
        )
        return moved


def shift_from(system: str, shapes: npt.NDArray[np.object_]) -> Shift:
    """Return how shapes of a coordinate system (EPSG code, WKT or PROJJSON) become WGS-84 degrees.

    The best of PROJ's operations for the area of the shapes, one for all of them. Raises BadInput when the
    system is unknown or has no place on Earth.
    """
    given = _known(system)
    if given.equals(CRS.from_epsg(WGS84), ignore_axis_order=True):
        return Shift("none, WGS-84 as it stands", 0.0)
    if given.geodetic_crs is None:
        raise BadInput("crs", f"{given.name!r} says no place on Earth; write the file in EPSG:{WGS84}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of missing grid files, which `_finer` tells
        group = TransformerGroup(given, WGS84, always_xy=True, area_of_interest=_area(given, shapes))
    if not group.transformers:
        raise BadInput("crs", f"no way leads from {given.name!r} to WGS-84; write the file in EPSG:{WGS84}")
    best = group.transformers[0]
    datum = given.geodetic_crs.datum
    alike = datum is not None and datum.name == _CGCS2000
    accuracy = best.accuracy if best.accuracy >= 0 else 0.1 if alike else None
    return Shift(f"{given.name}: {best.description}{_finer(group, best)}", accuracy, best)


def _finer(group: TransformerGroup, best: Transformer) -> str:
    """Return what is told of a way that PROJ knows to be more accurate and has no files for."""
    there = [one for one in group.unavailable_operations if 0 <= one.accuracy < best.accuracy]
    if group.best_available or not there:
        return ""
    files = ", ".join(grid.short_name for grid in there[0].grids if not grid.available)
    return f" (one of {there[0].accuracy:g} m needs {files}, which is not installed)"


def _known(system: str) -> CRS:
    try:
        return CRS.from_user_input(system)
    except CRSError as error:
        raise BadInput("crs", f"{system[:80]!r} is unknown; write the file in EPSG:{WGS84}") from error


def _area(given: CRS, shapes: npt.NDArray[np.object_]) -> AreaOfInterest | None:
    """Return the box of shapes in rough degrees, None where they have none."""
    finite = shapely.bounds(shapes)
    finite = finite[np.isfinite(finite).all(axis=1)]
    if not len(finite):
        return None
    (west, south), (east, north) = finite[:, :2].min(axis=0), finite[:, 2:].max(axis=0)
    rough = Transformer.from_crs(given, WGS84, always_xy=True)
    lon, lat = rough.transform(np.array([west, west, east, east]), np.array([south, north, south, north]))
    box = (np.min(lon), np.min(lat), np.max(lon), np.max(lat))
    if not (np.isfinite(box).all() and np.abs(lon).max() <= 180 and np.abs(lat).max() <= 90):
        return None
    return AreaOfInterest(*map(float, box))


def check_accuracy(shift: Shift) -> None:
    """Raise BadInput where PROJ knows only a rough way, or none of known accuracy."""
    if shift.accuracy_m is None:
        raise BadInput(
            "crs",
            f"{shift.words}: its accuracy is unknown, positions may be 100 m off, or none fits the place: "
            "name the system if it is another (--crs EPSG:…), look whether the columns are exchanged, bring "
            f"the file in EPSG:{WGS84} or EPSG:4490, or say --accept-ballpark",
        )


def in_metres(system: str) -> bool:
    """Tell whether a coordinate system is projected. Raises BadInput when it is unknown."""
    return bool(_known(system).is_projected)


def check_unit(system: str, shapes: npt.NDArray[np.object_]) -> None:
    """Raise BadInput where all shapes of a system in metres have coordinates that look like degrees."""
    bounds = shapely.bounds(shapes)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if len(bounds) and in_metres(system) and (np.abs(bounds) <= (180, 90, 180, 90)).all():
        raise BadInput(
            "crs",
            f"the file says {_known(system).name!r}, in metres, but its coordinates look like degrees; "
            f"say --crs EPSG:{WGS84} if they are",
        )


def to_degrees(shapes: npt.NDArray[np.object_], system: str) -> npt.NDArray[np.object_]:
    """Return shapes of a coordinate system (EPSG code, WKT or PROJJSON) as longitude and latitude in degrees.

    Raises BadInput when the system is unknown, contradicts the coordinates, or leads to WGS-84 only roughly.
    """
    check_unit(system, shapes)
    shift = shift_from(system, shapes)
    check_accuracy(shift)
    return shift.apply(shapes)


def to_metres(lon: Degrees, lat: Degrees) -> npt.NDArray[np.float64]:
    """Return WGS-84 points as metres east and north of their middle, shape (n, 2).

    Azimuthal equidistant: over a city of 150 km, distances are right to 1 in 40,000.
    """
    if not len(lon):
        return np.zeros((0, 2))
    middle = f"+proj=aeqd +lon_0={np.mean(lon)} +lat_0={np.mean(lat)} +datum=WGS84"
    there = Transformer.from_crs(WGS84, CRS.from_proj4(middle), always_xy=True)
    return np.column_stack(there.transform(lon, lat))
