"""The plane in which the demo is drawn: metres east and north of a point in the middle of 株洲."""

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Shapes = npt.NDArray[Any]
"""An array of shapely geometries (numpy knows only that they are objects)."""

_ORIGIN = np.array([113.4, 27.2])
_METRES_PER_DEGREE = np.array([111_320.0 * np.cos(np.radians(27.2)), 110_850.0])
GRAIN = 1e7
"""Steps per degree to which every shape is snapped, the precision of the coverage."""


def to_plane(lonlat: Floats) -> Floats:
    """Turn an (n, 2) array of degrees into metres; lengths are within 1 % over the city's two degrees."""
    metres: Floats = (lonlat - _ORIGIN) * _METRES_PER_DEGREE
    return metres


def to_degrees(metres: Floats) -> Floats:
    """Turn an (n, 2) array of metres into lon and lat, snapped to multiples of 1e-7 degree (1 cm)."""
    degrees: Floats = np.round((metres / _METRES_PER_DEGREE + _ORIGIN) * GRAIN) / GRAIN
    return degrees


def points(coords: Floats) -> Shapes:
    """Return (n, 2) coordinates as points."""
    return np.asarray(shapely.points(coords), dtype=object)


def nearest(among: Floats, points: Floats) -> Ints:
    """Return the row in `among` (m, 2) nearest to each of `points` (n, 2)."""
    return np.asarray(cKDTree(among).query(points)[1], dtype=np.int64)
