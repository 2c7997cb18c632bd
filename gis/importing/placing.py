"""Where rows lie: geometry read from shapes, WKT, WKB or two columns, checked, and shifted to WGS-84."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.importing import beside
from gis.importing.beside import Beside
from gis.importing.coordinates import degrees, pairs
from gis.importing.drafting import Draft, cleaned
from gis.importing.ground import KM_PER_DEGREE, Ground, only
from gis.importing.kinds import Kind
from gis.importing.mapping import Mapping
from gis.importing.parsing import Bools, Floats, as_text, mask
from gis.importing.shapes import read_shapes, refuse_unread, unwrapped
from gis.importing.source import Geoms, Source

FAR_KM = 20.0
"""Beyond this distance from the box of all grids a row is not of this city."""
_MISSING = "has no place; fill in the coordinates or take the row out"
_UNREADABLE = "has no place, or none that can be read; draw it or take the row out"
_TYPES: dict[str, tuple[str, ...]] = {
    "point": ("Point",),
    "polygon": ("Polygon", "MultiPolygon"),
    "line": ("LineString", "MultiLineString"),
    "any": ("Point", "LineString", "MultiLineString", "Polygon", "MultiPolygon"),
}


@dataclass(frozen=True)
class Placed:
    """Shapes in WGS-84 with the point by which each is owned; NaN and None where a row was refused."""

    shape: Geoms
    lon: Floats
    lat: Floats

    def pair(self, at: int) -> str:
        """Return one point's coordinates as text."""
        return f"{self.lon[at]:.9g}, {self.lat[at]:.9g}"


DECIMALS = 7
"""Of degrees that we compute (1 cm): what a datum shift or a place along a street adds beyond is no
knowledge, and every format of file keeps so many."""


def rounded(where: "Placed", rows: Bools) -> "Placed":
    """Return places with the points of `rows`, which were computed, on whole units of the last decimal."""
    points = rows & (shapely.get_type_id(where.shape) == shapely.GeometryType.POINT)
    lon, lat, shapes = where.lon.copy(), where.lat.copy(), where.shape.copy()
    lon[points], lat[points] = np.round(lon[points], DECIMALS), np.round(lat[points], DECIMALS)
    shapes[points] = shapely.points(lon[points], lat[points])
    return Placed(shapes, lon, lat)


@dataclass
class Ways:
    """How the shapes of a file come to WGS-84 degrees, as asked for, and what that did to them."""

    accept_ballpark: bool = False
    repair: bool = False
    shift: crs.Shift | None = None
    repaired: list[dict[str, Any]] = field(default_factory=list)
    beside: Beside = field(default_factory=Beside)

    def told(self) -> dict[str, Any]:
        """Return what a batch remembers of it."""
        shift = self.shift and {"words": self.shift.words, "accuracy_m": self.shift.accuracy_m}
        listed = {"rows": len(self.repaired), "listed": self.repaired[:MOST_LISTED]}
        return {"transformation": shift} | ({"repaired": listed} if self.repaired else {})

    def notes(self) -> list[str]:
        """Return what the import's report says of it."""
        said = [note] if (note := self.beside.note()) else []
        if self.shift is not None and self.shift.there is not None:
            accuracy = self.shift.accuracy_m
            told = "unknown, accepted by --accept-ballpark" if accuracy is None else f"{accuracy:g} m"
            said.append(f"coordinates were transformed by {self.shift.words}; accuracy {told}")
        if self.repaired:
            changed = sum(abs(one["after_m2"] - one["before_m2"]) for one in self.repaired)
            said.append(
                f"{len(self.repaired)} shapes were repaired; their areas changed by {changed:,.1f} m² in all"
            )
        return said


MOST_LISTED = 1_000
"""Repaired rows that a batch lists one by one; all are counted."""


def place(made: Draft, kind: Kind, mapping: Mapping, source: Source, ways: Ways) -> Placed:
    """Return the shapes of a draft in degrees of their datum; those of unusable rows are refused.

    Raises BadInput where the file's coordinate system is unknown, contradicts its coordinates, or leads to
    WGS-84 only roughly and nobody accepted that.
    """
    columns = made.chunk.table.column_names
    if made.chunk.geometry is not None:
        given = made.chunk.geometry
        made.sieve.refuse(shapely.is_missing(given), "geometry", _UNREADABLE)
    elif column := mapping.found("geometry", columns):
        given = _parsed(made, cleaned(made.chunk, column, made.sieve, "geometry"))
    else:
        return _from_columns(made, mapping, source, ways)
    given = each(made, lambda shapes: shapely.force_2d(unwrapped(shapes)), given)
    if ways.repair:
        given = repaired(made, given, ways, source.crs)
    _check_shapes(made, kind, given)
    given = only(made.sieve.ok, given)
    if source.crs is not None:
        given = _transformed(made, given, source.crs, ways)
    made.sieve.refuse(
        _across(given) > kind.widest, "geometry", f"is over {kind.widest} degrees across; correct it"
    )
    beside.compare(made, mapping, given, ways.beside)
    where = placed(made, only(made.sieve.ok, given))
    return rounded(where, made.sieve.ok) if _is_moved(ways) else where


def _is_moved(ways: Ways) -> bool:
    """Tell whether coordinates were computed from others."""
    return ways.shift is not None and ways.shift.there is not None


def _transformed(made: Draft, given: Geoms, system: str, ways: Ways) -> Geoms:
    """Bring shapes of a coordinate system to degrees, by the way that the file's first rows ask for."""
    crs.check_unit(system, given)
    shift = ways.shift or crs.shift_from(system, given)
    if not ways.accept_ballpark:
        crs.check_accuracy(shift)
    ways.shift = shift
    moved = each(made, shift.apply, given)
    nowhere: Bools = np.logical_not(np.isfinite(shapely.bounds(moved)).all(axis=1))
    made.sieve.refuse(nowhere, "geometry", "lies outside of what its coordinate system covers; correct it")
    return only(made.sieve.ok, moved)


def each(made: Draft, function: Callable[[Geoms], Any], shapes: Geoms) -> Geoms:
    """Return a function of shapes, shape by shape; a row on which it fails is refused, and only that."""
    try:
        return np.asarray(function(shapes), dtype=object)
    except Exception:  # noqa: BLE001 - GEOS, PROJ and numpy fail each in its own way on foreign shapes
        result = np.full(len(shapes), None, dtype=object)
    failed = np.zeros(len(shapes), bool)
    for at in range(len(shapes)):
        try:
            result[at] = function(shapes[at : at + 1])[0]
        except Exception:  # noqa: BLE001 - as above
            failed[at] = True
    made.sieve.refuse(failed, "geometry", "cannot be worked on; draw it again")
    return result


def repaired(made: Draft, shapes: Geoms, ways: Ways, system: str | None) -> Geoms:
    """Return shapes with the invalid areas among them made valid by GEOS; what it changed goes to `ways`."""
    wrong = np.flatnonzero(~shapely.is_valid(shapes) & (shapely.get_dimensions(shapes) == 2) & made.sieve.ok)
    result = shapes.copy()
    for at in wrong.tolist():
        mended = _polygons(each(made, _made_valid, shapes[at : at + 1])[0]) if made.sieve.ok[at] else None
        if mended is None:
            continue
        result[at] = mended
        before, after = (abs(_area_m2(one, system)) for one in (shapes[at], mended))
        ways.repaired.append({
            "row": int(made.chunk.rows[at]), "why": shapely.is_valid_reason(shapes[at]),
            "before_m2": round(before, 1), "after_m2": round(after, 1),
        })  # fmt: skip
    return result


def _made_valid(shapes: Geoms) -> Any:
    return shapely.make_valid(shapes, method="structure", keep_collapsed=False)


def _polygons(shape: BaseGeometry | None) -> BaseGeometry | None:
    """Return the areas of what repairing gave, None where none is left."""
    parts = [one for one in shapely.get_parts(shape) if one.geom_type == "Polygon" and not one.is_empty]
    return None if not parts else parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _area_m2(shape: BaseGeometry, system: str | None) -> float:
    """Return the area between the lines of a shape as they are drawn, crossing or not, to a percent."""
    flat = shape
    if system is None or not crs.in_metres(system):
        lat = np.radians(shape.bounds[1] + shape.bounds[3]) / 2
        flat = affinity.scale(shape, KM_PER_DEGREE * 1000 * np.cos(lat), KM_PER_DEGREE * 1000, origin=(0, 0))
    return float(flat.area)


def _across(shapes: Geoms) -> Floats:
    """Return degrees across the widest part of each shape: what crosses the antimeridian has two."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    west, south, east, north = shapely.bounds(parts).T
    widest = np.zeros(len(shapes))
    np.fmax.at(widest, owner, np.fmax(east - west, north - south))
    return widest


def placed(made: Draft, shapes: Geoms) -> Placed:
    """Return shapes with the point by which each is owned: itself, or a point on its surface."""
    inner = shapes.copy()
    wide = shapely.get_dimensions(shapes) > 0
    inner[wide] = each(made, shapely.point_on_surface, shapes)[wide]
    return Placed(only(made.sieve.ok, shapes), shapely.get_x(inner), shapely.get_y(inner))


def _from_columns(made: Draft, mapping: Mapping, source: Source, ways: Ways) -> Placed:
    """Return the points of columns of numbers, from the source's coordinate system where it has one."""
    lon, lat = _one_column(made, mapping) or [_degrees(made, mapping, name) for name in ("lon", "lat")]
    shapes = np.full(len(made), None, dtype=object)
    whole = np.isfinite(lon) & np.isfinite(lat)
    shapes[whole] = shapely.points(lon[whole], lat[whole])
    if source.crs is None:
        return Placed(shapes, lon, lat)
    moved = _transformed(made, only(made.sieve.ok, shapes), source.crs, ways)
    where = Placed(moved, shapely.get_x(moved), shapely.get_y(moved))
    return rounded(where, made.sieve.ok) if _is_moved(ways) else where


_POINT_TEXT = r"(?i)^\s*(?:SRID=\d+;\s*)?POINT\b"
"""A place that says by itself which number is which."""


def _one_column(made: Draft, mapping: Mapping) -> list[Floats] | None:
    """Read the column of both coordinates, None when the mapping names none that is there."""
    orders = ((order, mapping.found(order, made.chunk.table.column_names)) for order in ("lonlat", "latlon"))
    order, column = next(((one, found) for one, found in orders if found is not None), ("", None))
    if column is None:
        return None
    values = cleaned(made.chunk, column, made.sieve, "lon/lat")
    made.sieve.refuse(mask(pc.is_null(values)), "lon/lat", _MISSING)
    lon, lat, bad = pairs(values, order, mapping.decimal)
    shaped = mask(pc.match_substring_regex(as_text(values), _POINT_TEXT))
    points, bad = read_shapes(values, shaped), bad | shaped
    found = (shapely.get_type_id(points) == shapely.GeometryType.POINT) & ~shapely.is_empty(points)
    lon[found], lat[found] = shapely.get_x(points[found]), shapely.get_y(points[found])
    example = "113.134, 27.827" if order == "lonlat" else "27.827, 113.134"
    made.sieve.refuse(bad & ~found, "lon/lat", f"is no pair such as {example}; correct it", values)
    return [lon, lat]


def _degrees(made: Draft, mapping: Mapping, name: str) -> Floats:
    column = mapping.found(name, made.chunk.table.column_names)
    if column is None:
        raise AssertionError(f"{name} is checked before any chunk is read")
    values = cleaned(made.chunk, column, made.sieve, name)
    found, bad = degrees(values, name, mapping.decimal)
    made.sieve.refuse(
        bad,
        name,
        _NO_NUMBER,
        values,
    )
    made.sieve.refuse(np.isnan(found), name, _MISSING, values)
    return found


def _parsed(made: Draft, values: pa.Array) -> Geoms:
    made.sieve.refuse(mask(pc.is_null(values)), "geometry", _MISSING)
    shapes = read_shapes(values, mask(pc.is_valid(values)))
    refuse_unread(values, shapely.is_missing(shapes), made.sieve)
    return shapes


_NO_NUMBER = (
    "is no number; write degrees, or with --crs metres or feet, in digits alone, without thousands signs"
)


def _check_shapes(made: Draft, kind: Kind, shapes: Geoms) -> None:
    sieve, allowed = made.sieve, _TYPES[kind.shape or "any"]
    sieve.refuse(np.asarray(shapely.is_empty(shapes)), "geometry", "is empty; draw it or take the row out")
    of_type = np.isin(shapely.get_type_id(shapes), [shapely.GeometryType[name.upper()] for name in allowed])
    sieve.refuse(~of_type, "geometry", f"is no {' or '.join(allowed)}", lambda at: _type_name(shapes, at))
    bounds = shapely.bounds(shapes)
    infinite = np.asarray((~np.isfinite(bounds)).any(axis=1), dtype=bool)
    sieve.refuse(infinite, "geometry", "has a coordinate that is no number")
    invalid: Bools = np.logical_and(sieve.ok, ~shapely.is_valid(shapes))
    sieve.refuse(invalid, "geometry", lambda at: _in_words(shapes[at]))


def _type_name(shapes: Geoms, at: int) -> str:
    return str(shapes.item(at).geom_type)


def _in_words(shape: BaseGeometry) -> str:
    """Return GEOS' reason (`Self-intersection[113.1 27.8]`) in plain words with the place and the way out."""
    what, _, where = str(shapely.is_valid_reason(shape)).rstrip("]").partition("[")
    told = f"{what.lower()}{' at ' * bool(where)}{where}"
    if shapely.get_dimensions(shape) < 2:
        return f"is broken: {told}; draw it again there"
    if _is_flat(shape):
        return f"encloses no area: {told}; --repair leaves nothing of it: draw it again, or take the row out"
    return f"is broken: {told}; draw it again there, or import with --repair"


def _is_flat(shape: BaseGeometry) -> bool:
    try:
        return _polygons(shapely.make_valid(shape, method="structure", keep_collapsed=False)) is None
    except shapely.GEOSException:
        return False


_BEYOND = "lies beyond 180 or 90 degrees; write WGS-84 degrees, or say its coordinate system with --crs"


def check_range(made: Draft, where: Placed, ground: Ground) -> None:
    """Refuse places beyond the globe, and those that fit only with longitude and latitude exchanged."""
    lon, lat = where.lon, where.lat
    west, south, east, north = shapely.bounds(where.shape).T
    beyond: Bools = np.logical_or(
        np.maximum(abs(west), abs(east)) > 180, np.maximum(abs(south), abs(north)) > 90
    )
    away = beyond | (ground.km_outside(lon, lat) > FAR_KM)
    turned: Bools = away & (np.abs(lat) <= 180) & (np.abs(lon) <= 90)
    if ground.box is not None:
        turned &= ground.km_outside(lat, lon) <= FAR_KM
    swapped = "looks swapped: longitude and latitude are exchanged; exchange them back"
    made.sieve.refuse(turned, "lon/lat", swapped, where.pair)
    made.sieve.refuse(beyond, "lon/lat", _BEYOND, where.pair)
    bare = np.isnan(lon) | np.isnan(lat)
    made.sieve.refuse(bare, "geometry", "has no place inside it; draw it again")


def check_city(made: Draft, where: Placed, ground: Ground) -> None:
    """Refuse places far outside the city."""
    away = ground.km_outside(where.lon, where.lat)
    told = "lies {:.0f} km outside the city's grids; correct it, or import the grids it lies in"
    made.sieve.refuse(away > FAR_KM, "lon/lat", lambda at: told.format(away[at]), where.pair)


def shifted(where: Placed, datum: str, rows: Bools) -> Placed:
    """Return places with those of `rows` shifted from `datum` to WGS-84."""
    if datum in ("wgs84", "cgcs2000") or not rows.any():
        return where

    def shift(xy: Any) -> Any:
        return np.column_stack(crs.to_wgs84(xy[:, 0], xy[:, 1], datum))

    shapes = where.shape.copy()
    shapes[rows] = shapely.transform(shapes[rows], shift)
    lon, lat = where.lon.copy(), where.lat.copy()
    lon[rows], lat[rows] = crs.to_wgs84(lon[rows], lat[rows], datum)
    return rounded(Placed(shapes, lon, lat), rows)
