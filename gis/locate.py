"""Whose ground points lie on, in bulk and exactly: bins for the inside, geometry near the borders.

A bin no border touches lies in one grid altogether, so its points need no geometry. Only points in bins that
a border crosses are tested, on whole units, where shapely's predicates are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.coverage import Bools, Floats, Geoms, Ints
from gis.errors import BadInput

BINS = 1 << 22
"""Bins over the bounding box: 16 MB; in a city of 5,500 grids one point in ten needs geometry."""
_MIXED = -2
_AT_ONCE = 500
"""Grids whose edges are followed together: those of a whole city take some hundred megabytes."""
_MARGIN = 1e-6
"""Of a bin: how far beyond itself an edge marks bins, above the rounding of the division."""


@dataclass(frozen=True)
class Locator:
    """Grids ready to be asked, immutable; `polygons` in units ordered by code, `order` their given places."""

    polygons: Geoms
    order: Ints
    tree: shapely.STRtree
    bins: npt.NDArray[np.int32]
    origin: Floats
    size: float

    @property
    def nbytes(self) -> int:
        """Memory of its vertices and bins."""
        return 16 * int(shapely.get_num_coordinates(self.polygons).sum()) + self.bins.nbytes

    def locate(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> tuple[Ints, Bools]:
        """The owner of each point (EPSG:4326) as an index into the grids given, -1 for none, and on_boundary.

        A point is first rounded to the precision. On a border the grid with the lowest code owns it, and
        on_boundary is True; so it is on the border of any grid, the outermost too. Raises BadInput for a
        coordinate that is no number.
        """
        xy = np.column_stack([np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)])
        bad = ~np.isfinite(xy).all(axis=1)
        if bad.any():
            raise BadInput("lon, lat", f"row {int(np.argmax(bad))} has no coordinates")
        owner, on_boundary = self._in_units(np.round(xy * coverage.UNITS_PER_DEGREE))
        return np.append(self.order, -1)[owner], on_boundary

    def _in_units(self, xy: Floats) -> tuple[Ints, Bools]:
        owner = self._binned(xy)
        on_boundary = np.zeros(len(xy), dtype=bool)
        mixed = np.flatnonzero(owner == _MIXED)
        owner[mixed], on_boundary[mixed] = _exact(self.polygons, self.tree, xy[mixed])
        return owner, on_boundary

    def _binned(self, xy: Floats) -> Ints:
        column, row = _bin(xy, self.origin, self.size).T
        rows, columns = self.bins.shape
        within = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
        owner = np.full(len(xy), -1, dtype=np.int64)
        owner[within] = self.bins[row[within], column[within]]
        return owner


def build(geoms: Sequence[BaseGeometry] | Geoms, codes: Sequence[str], bins: int = BINS) -> Locator:
    """Make a locator of grids (EPSG:4326) and their codes; they may overlap or leave gaps."""
    order = np.argsort(np.asarray(codes, dtype=str), kind="stable")
    polygons = np.asarray(coverage.to_units(coverage.as_geoms(geoms)), dtype=object)[order]
    shapely.prepare(polygons)
    tree = shapely.STRtree(polygons)
    low, high = np.array(shapely.total_bounds(polygons)).reshape(2, 2) if len(polygons) else np.zeros((2, 2))
    size = max(1.0, float(np.sqrt(np.prod(np.maximum(high - low, 1.0)) / bins)))
    shape = _bin(high, low, size)[::-1] + 1
    mixed = np.zeros(shape, dtype=bool)
    for some in np.array_split(polygons, len(polygons) // _AT_ONCE + 1):
        _touch(mixed, coverage.polygon_edges(some), low, size)
    return Locator(polygons, order, tree, _fill(mixed, polygons, tree, low, size), low, size)


def locate(
    geoms: Sequence[BaseGeometry] | Geoms, codes: Sequence[str], lon: npt.ArrayLike, lat: npt.ArrayLike
) -> tuple[Ints, Bools]:
    """`Locator.locate` for grids that are asked once."""
    return build(geoms, codes).locate(lon, lat)


def _exact(polygons: Geoms, tree: shapely.STRtree, xy: Floats) -> tuple[Ints, Bools]:
    """By geometry: the lowest covering polygon or -1, and whether the point lies on any border."""
    point, polygon = tree.query(coverage.points(xy))
    order = np.argsort(polygon, kind="stable")
    point, polygon = point[order], polygon[order]
    x, y = xy[point, 0], xy[point, 1]
    hit = shapely.intersects_xy(polygons[polygon], x, y)
    inner = shapely.contains_xy(polygons[polygon[hit]], x[hit], y[hit])
    owner = np.full(len(xy), len(polygons), dtype=np.int64)
    np.minimum.at(owner, point[hit], polygon[hit])
    on_boundary = np.zeros(len(xy), dtype=bool)
    on_boundary[point[hit][~inner]] = True
    return np.where(owner < len(polygons), owner, -1), on_boundary


def _bin(xy: Floats, origin: Floats, size: float) -> Ints:
    return np.floor((xy - origin) / size).astype(np.int64)


def _touch(mixed: Bools, edges: coverage.Edges, origin: Floats, size: float) -> None:
    """Mark the bins (row, column) an edge comes near: it goes in steps shorter than a bin, with boxes."""
    start, end = (edges.start - origin) / size, (edges.end - origin) / size
    steps = np.floor(np.abs(end - start).max(axis=1)).astype(np.int64) + 1
    edge = np.repeat(np.arange(len(steps)), steps)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(steps) - steps, steps)
    run = (end - start)[edge] / steps[edge, None]
    a = start[edge] + run * step[:, None]
    low = np.floor(np.minimum(a, a + run) - _MARGIN).astype(np.int64).clip(0)
    high = (
        np.floor(np.maximum(a, a + run) + _MARGIN).astype(np.int64).clip(max=np.array(mixed.shape[::-1]) - 1)
    )
    for column in (low[:, 0], high[:, 0]):
        for row in (low[:, 1], high[:, 1]):
            mixed[row, column] = True


def _fill(
    mixed: Bools, polygons: Geoms, tree: shapely.STRtree, origin: Floats, size: float
) -> npt.NDArray[np.int32]:
    """The owner of every bin: bins joined without a border between them ask once, at one bin's middle."""
    patch, count = ndimage.label(~mixed)
    some = np.zeros(count + 1, dtype=np.int64)
    some[patch.ravel()] = np.arange(patch.size)
    row, column = np.unravel_index(some[1:], mixed.shape)
    owner, _ = _exact(polygons, tree, origin + (np.column_stack([column, row]) + 0.5) * size)
    return np.asarray(np.r_[_MIXED, owner].astype(np.int32)[patch], dtype=np.int32)
