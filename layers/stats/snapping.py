"""Which line or outline each point belongs to: the nearest within reach."""

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

Shapes = NDArray[np.object_]


def nearest(xy: ArrayLike, shapes: Shapes, within: float) -> NDArray[np.int64]:
    """Return the place in `shapes` of the nearest one to each point, the first of several; -1 beyond reach.

    `xy` (n, 2), `shapes` and `within` are in metres of one projection. A point on or in a shape has distance
    zero, one at exactly `within` belongs to it.
    """
    points = np.asarray(shapely.points(np.asarray(xy, dtype=np.float64).reshape(-1, 2)))
    found = np.full(len(points), len(shapes), dtype=np.int64)
    if len(shapes) and len(points):
        reach = np.nextafter(within, np.inf)
        point, shape = shapely.STRtree(shapes).query_nearest(points, max_distance=reach)
        np.minimum.at(found, point, shape)
    return np.where(found < len(shapes), found, -1)
