"""Shapes as texts and bytes of a column: WKT, WKB and their relatives, read or refused with the reason."""

import re

import numpy as np
import pyarrow as pa
import shapely
from shapely.geometry.base import BaseGeometry

from gis.importing.curves import is_curved, is_curved_wkb, straightened, wkt_of
from gis.importing.parsing import Bools
from gis.importing.refusals import Sieve
from gis.importing.source import Geoms

_NAMES_ITS_OWN = r"(?i)^\s*SRID=|^(?:00[2367ABEF]|01[0-9A-F]{6}[2367ABEF])"
"""EWKT, and EWKB whose type says that a number of a system follows."""
_SRID = (
    "names a coordinate system of its own (SRID), which is not read here: take it out (ST_AsText, "
    "ST_AsBinary) and say it for the whole file with --crs EPSG:…"
)
_LONGITUDES_FIRST = re.compile(r"^SRID=(?:4326|4490);", re.IGNORECASE)


def refuse_unread(values: pa.Array, rows: Bools, sieve: Sieve) -> None:
    """Refuse the rows whose value is no shape, those that name a system of their own with that reason."""
    named = np.zeros(len(values), bool)
    for at in np.flatnonzero(rows & sieve.ok).tolist():
        named[at] = re.match(_NAMES_ITS_OWN, _as_text(values[at])) is not None
    sieve.refuse(named, "geometry", _SRID, values)
    sieve.refuse(rows, "geometry", "cannot be read; write it as WKT such as POINT (x y), or WKB", values)


def _as_text(cell: pa.Scalar) -> str:
    """Return a cell's text, bytes in hexadecimal; "" for what Python has no type for."""
    try:
        given = cell.as_py()
    except (ValueError, OverflowError):
        return ""
    return given.hex() if isinstance(given, bytes) else str(given)


def read_shapes(values: pa.Array, rows: Bools) -> Geoms:
    """Return the shapes that `rows` of a column hold as WKT, curved or not, or WKB; None for the others."""
    result = np.full(len(values), None, dtype=object)
    for at in np.flatnonzero(rows).tolist():
        result[at] = read_shape(values[at])
    return result


def read_shape(cell: pa.Scalar) -> BaseGeometry | None:
    """Return one shape of WKT, WKB or its hexadecimal text; None for anything else.

    EWKT and EWKB that name a coordinate system other than longitudes and latitudes are something else.
    """
    try:
        given = cell.as_py()
        if isinstance(given, bytes):
            return _of_wkb(given)
        text = _LONGITUDES_FIRST.sub("", str(given).strip())
        if is_curved(text):
            return straightened(text)
        return shapely.from_wkt(text) if re.match(r"[A-Za-z]{5}", text) else _of_wkb(bytes.fromhex(text))
    except Exception:  # noqa: BLE001 - whatever GEOS says to a foreign text, it is no shape
        return None


def _of_wkb(wkb: bytes) -> BaseGeometry | None:
    return straightened(wkt_of(wkb)) if is_curved_wkb(wkb) else _in_degrees(shapely.from_wkb(wkb))


def _in_degrees(shape: BaseGeometry) -> BaseGeometry | None:
    return shape if shapely.get_srid(shape) in {0, 4326, 4490} else None


def unwrapped(shapes: Geoms) -> Geoms:
    """Return collections of one part as that part."""
    single = (shapely.get_num_geometries(shapes) == 1) & (shapely.get_type_id(shapes) > 3)
    return np.where(single, shapely.get_geometry(shapes, 0), shapes)
