"""One z/x/y square of the world."""

import math
from dataclasses import dataclass

from gis.crs import MERCATOR_MAX_LAT
from gis.errors import TileOutside

MAX_ZOOM = 22
EXTENT = 4096
"""Units along a tile's side, the usual of the Mapbox Vector Tile specification 2.1."""
BUFFER = 64
"""Units drawn beyond each side, so that strokes and labels do not break at the seam."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Tile:
    """A tile in the XYZ scheme of web mercator; raises TileOutside when there is no such tile."""

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        """Check the range of all three numbers."""
        if not 0 <= self.z <= MAX_ZOOM:
            raise TileOutside(f"zoom {self.z} is outside 0..{MAX_ZOOM}")
        side = 1 << self.z
        if not (0 <= self.x < side and 0 <= self.y < side):
            raise TileOutside(
                f"tile {self.z}/{self.x}/{self.y} is outside the world: x and y are 0..{side - 1}"
            )

    @property
    def place(self) -> tuple[int, int, int]:
        """Zoom, column from the west, row from the north."""
        return self.z, self.x, self.y

    def bounds(self, buffer: float = BUFFER / EXTENT) -> Box:
        """Return (west, south, east, north) in WGS-84 degrees, widened by `buffer` tile sides.

        Clamped to the mercator plane: PostGIS before 3.6 lets an edge tile's margin leave it, and there
        longitudes wrap.
        """
        return (
            max(-180.0, _longitude(self.x - buffer, self.z)),
            max(-MERCATOR_MAX_LAT, _latitude(self.y + 1 + buffer, self.z)),
            min(180.0, _longitude(self.x + 1 + buffer, self.z)),
            min(MERCATOR_MAX_LAT, _latitude(self.y - buffer, self.z)),
        )


def _longitude(x: float, z: int) -> float:
    return x / (1 << z) * 360.0 - 180.0


def _latitude(y: float, z: int) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / (1 << z)))))
