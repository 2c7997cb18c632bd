"""One z/x/y square of the world."""

from dataclasses import dataclass

from gis import squares
from gis.errors import TileOutside
from gis.squares import MARGIN, Box, Place

MAX_ZOOM = 22
EXTENT = 4096
"""Units along a tile's side, the usual of the Mapbox Vector Tile specification 2.1."""
BUFFER = int(EXTENT * MARGIN)
"""Units drawn beyond each side."""


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
    def place(self) -> Place:
        """Zoom, column from the west, row from the north."""
        return self.z, self.x, self.y

    def bounds(self, buffer: float = MARGIN) -> Box:
        """Return (west, south, east, north) in WGS-84 degrees, widened by `buffer` tile sides."""
        return squares.bounds(self.place, buffer)
