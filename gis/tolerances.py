"""How near is near: every tolerance of the geometry, in metres, or in units for what rounding does.

Vertices are rounded to units of 1e-7 degree, and what rounding explains is told in them, wherever it is. What
people mean by near is told in metres, and scaled where it is asked: at 78 N a unit is 11 mm north-south and
2.3 mm east-west.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

MATCH_UNITS = 2.0
"""A vertex this near another's edge is meant to lie on it: two rounded sources differ by a unit each way."""
BEND_UNITS = 10.0
"""An edge that gets vertices time and again bends by a unit each time; more is a new border."""
NOISE_UNITS2 = 1e-3
"""Square units: a face smaller than this is noise of noding in floats; true ones measure half a unit."""
MEET_M = 0.5
"""A crossing this near to a vertex goes through it, lest edges grow tiny."""
AROUND_M = 100 * MEET_M
"""Around a line within which edges are looked at; it bends by no more than a few times `MEET_M`."""
SLIVER_WIDTH_M = 1.0
"""A gap, overlap or piece narrower than this on average (twice area over perimeter) is a sliver, narrower
than a wall, and cannot be meant."""
MEANT_M2 = 100.0
"""Enclosed ground without an owner that is larger, and no sliver, may be meant: a lake, a town of its own."""
REACH_M = 5.0
"""A vertex this near to the place pointed at is the one meant, and a line that ends this short of a border is
led to it."""
CORRIDOR_M = 3.0
"""The width of the strip that joins a building to the grid it goes to."""
YARD_M = 1.0
"""The ground around a building that goes with it."""

Floats = npt.NDArray[np.float64]


def metres_per_unit(lat: float | Floats) -> tuple[Floats, Floats]:
    """Metres in one unit east-west and north-south at latitudes in degrees: a scale for widths and lengths.

    Series of the meridian and parallel arcs of WGS-84 (NGA, Length of a Degree): right to a centimetre per
    degree.
    """
    phi = np.radians(lat)
    east = 111_412.84 * np.cos(phi) - 93.5 * np.cos(3 * phi) + 0.118 * np.cos(5 * phi)
    north = 111_132.92 - 559.82 * np.cos(2 * phi) + 1.175 * np.cos(4 * phi)
    return np.asarray(east * 1e-7), np.asarray(north * 1e-7)


def scale_at(y: float) -> Floats:
    """Metres in one unit east-west and north-south at a northing (units), to 1e-4; never 0, at the poles."""
    return _scale(round(y * 1e-7, 3))


@lru_cache(maxsize=4096)
def _scale(lat: float) -> Floats:
    scale = np.maximum(np.array(metres_per_unit(lat), dtype=np.float64).ravel(), 1e-6)
    scale.flags.writeable = False
    return scale
