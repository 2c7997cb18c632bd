"""Where rows lie: geometry read from shapes, WKT, WKB or two columns, checked, and shifted to WGS-84."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from gis import crs
from gis.importing.drafting import Draft, cleaned
from gis.importing.ground import Ground, only
from gis.importing.kinds import Kind
from gis.importing.mapping import Mapping
from gis.importing.parsing import Bools, Floats, as_text, mask, numbers
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


def place(made: Draft, kind: Kind, mapping: Mapping, source: Source) -> Placed:
    """Return the shapes of a draft in degrees of their datum; those of unusable rows are refused."""
    columns = made.chunk.table.column_names
    if made.chunk.geometry is not None:
        given = made.chunk.geometry
        made.sieve.refuse(shapely.is_missing(given), "geometry", _UNREADABLE)
    elif column := mapping.found("geometry", columns):
        given = _parsed(made, cleaned(made.chunk, column, mapping, made.sieve, "geometry"))
    else:
        return _from_columns(made, mapping)
    given = shapely.force_2d(_unwrapped(given))
    _check_shapes(made, kind, given)
    if source.crs is not None:
        given = crs.to_degrees(given, source.crs)
    made.sieve.refuse(
        _across(given) > kind.widest, "geometry", f"is over {kind.widest} degrees across; correct it"
    )
    return placed(only(made.sieve.ok, given))


def _across(shapes: Geoms) -> Floats:
    """Return degrees across the widest part of each shape: what crosses the antimeridian has two."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    west, south, east, north = shapely.bounds(parts).T
    widest = np.zeros(len(shapes))
    np.fmax.at(widest, owner, np.fmax(east - west, north - south))
    return widest


def placed(shapes: Geoms) -> Placed:
    """Return shapes with the point by which each is owned: itself, or a point on its surface."""
    inner = shapes.copy()
    wide = shapely.get_dimensions(shapes) > 0
    inner[wide] = shapely.point_on_surface(shapes[wide])
    return Placed(shapes, shapely.get_x(inner), shapely.get_y(inner))


def _from_columns(made: Draft, mapping: Mapping) -> Placed:
    lon, lat = (_degrees(made, mapping, name) for name in ("lon", "lat"))
    shapes = np.full(len(made), None, dtype=object)
    whole = np.isfinite(lon) & np.isfinite(lat)
    shapes[whole] = shapely.points(lon[whole], lat[whole])
    return Placed(shapes, lon, lat)


def _degrees(made: Draft, mapping: Mapping, name: str) -> Floats:
    column = mapping.found(name, made.chunk.table.column_names)
    if column is None:
        raise AssertionError(f"{name} is checked before any chunk is read")
    values = cleaned(made.chunk, column, mapping, made.sieve, name)
    degrees, bad = numbers(values)
    made.sieve.refuse(bad, name, "is no number; write decimal degrees such as 113.1340", values)
    made.sieve.refuse(np.isnan(degrees), name, _MISSING, values)
    return degrees


def _parsed(made: Draft, values: pa.Array) -> Geoms:
    made.sieve.refuse(mask(pc.is_null(values)), "geometry", _MISSING)
    if pa.types.is_string(values.type):
        texts = as_text(values).to_numpy(zero_copy_only=False)
        shapes = shapely.from_wkt(texts, on_invalid="ignore")
        left = shapely.is_missing(shapes)
        shapes[left] = shapely.from_wkb(texts[left], on_invalid="ignore")
    else:
        shapes = shapely.from_wkb(values.to_numpy(zero_copy_only=False), on_invalid="ignore")
    reason = "cannot be read; write it as WKT such as POINT (113.134 27.827), or WKB"
    made.sieve.refuse(shapely.is_missing(shapes), "geometry", reason, values)
    return np.asarray(shapes, dtype=object)


def _unwrapped(shapes: Geoms) -> Geoms:
    """Return collections of one part as that part."""
    single = (shapely.get_num_geometries(shapes) == 1) & (shapely.get_type_id(shapes) > 3)
    return np.where(single, shapely.get_geometry(shapes, 0), shapes)


def _check_shapes(made: Draft, kind: Kind, shapes: Geoms) -> None:
    sieve, allowed = made.sieve, _TYPES[kind.shape or "any"]
    sieve.refuse(np.asarray(shapely.is_empty(shapes)), "geometry", "is empty; draw it or take the row out")
    of_type = np.isin(shapely.get_type_id(shapes), [shapely.GeometryType[name.upper()] for name in allowed])
    sieve.refuse(~of_type, "geometry", f"is no {' or '.join(allowed)}", lambda at: _type_name(shapes, at))
    bounds = shapely.bounds(shapes)
    infinite = np.asarray((~np.isfinite(bounds)).any(axis=1), dtype=bool)
    sieve.refuse(infinite, "geometry", "has a coordinate that is no number")
    invalid: Bools = np.logical_and(sieve.ok, ~shapely.is_valid(shapes))
    sieve.refuse(invalid, "geometry", lambda at: _in_words(shapely.is_valid_reason(shapes[at])))


def _type_name(shapes: Geoms, at: int) -> str:
    return str(shapes.item(at).geom_type)


def _in_words(why: str) -> str:
    """Return GEOS' reason (`Self-intersection[113.1 27.8]`) in plain words with the place."""
    what, _, where = why.rstrip("]").partition("[")
    return f"is broken: {what.lower()}{' at ' * bool(where)}{where}; draw it again there"


def check_range(made: Draft, where: Placed, ground: Ground) -> None:
    """Refuse places beyond the globe, and those that fit only with longitude and latitude exchanged."""
    lon, lat = where.lon, where.lat
    beyond: Bools = np.logical_or(np.abs(lon) > 180, np.abs(lat) > 90)
    away = beyond | (ground.km_outside(lon, lat) > FAR_KM)
    turned: Bools = away & (np.abs(lat) <= 180) & (np.abs(lon) <= 90)
    if ground.box is not None:
        turned &= ground.km_outside(lat, lon) <= FAR_KM
    swapped = "looks swapped: longitude and latitude are exchanged; exchange them back"
    made.sieve.refuse(turned, "lon/lat", swapped, where.pair)
    made.sieve.refuse(beyond, "lon/lat", "lies beyond 180 or 90 degrees; write WGS-84 degrees", where.pair)


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
    return Placed(shapes, lon, lat)
