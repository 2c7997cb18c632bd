"""Natural-looking lines between fixed ends, each kept within its own corridor so that no two can cross."""

import numpy as np
import shapely
from numpy.random import Generator

from gis.demo.plane import Floats, Ints, Shapes


def fractal(count: int, halvings: int, rng: Generator) -> Floats:
    """Return `count` rough profiles (count, 2**halvings + 1), zero at both ends, by midpoint displacement."""
    heights = np.zeros((count, 2))
    for depth in range(halvings):
        middle = (heights[:, :-1] + heights[:, 1:]) / 2 + rng.normal(0, 0.75**depth, (count, 2**depth))
        wider = np.empty((count, 2 ** (depth + 1) + 1))
        wider[:, ::2], wider[:, 1::2] = heights, middle
        heights = wider
    return heights


def corridor(start: Floats, end: Floats, site: Floats, t: Floats) -> Floats:
    """Return how far off the line start-end, at fractions `t`, the triangle to `site` reaches (n, t), metres.

    Two neighbouring faces own the two triangles on an edge between them; triangles of different edges do not
    overlap, so lines inside them cannot cross.
    """
    along = end - start
    squared = np.maximum((along**2).sum(1), 1e-9)
    foot = (((site - start) * along).sum(1) / squared)[:, None]
    height = np.abs(_cross(along, site - start) / np.sqrt(squared))[:, None]
    rising = np.where(foot > 0, t / np.maximum(foot, 1e-9), np.inf)
    falling = np.where(foot < 1, (1 - t) / np.maximum(1 - foot, 1e-9), np.inf)
    found: Floats = height * np.minimum(rising, falling)
    return found


def _cross(a: Floats, b: Floats) -> Floats:
    found: Floats = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return found


def bend(start: Floats, end: Floats, offsets: Floats) -> Floats:
    """Return polylines (n, k, 2) from start to end with points `offsets` (n, k) metres to the left."""
    t = np.linspace(0, 1, offsets.shape[1])[None, :, None]
    along = end - start
    left = np.column_stack([-along[:, 1], along[:, 0]]) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    found: Floats = start[:, None] + t * along[:, None] + offsets[:, :, None] * left[:, None]
    return found


def roughen(shapes: Shapes, relative: float, rng: Generator) -> Shapes:
    """Give the straight sides of a coverage of polygons a natural course; shared sides stay shared."""
    coords, ring = shapely.get_coordinates(shapes, return_index=True)
    sides = np.flatnonzero(ring[:-1] == ring[1:])
    ends = np.hstack([coords[sides], coords[sides + 1]])
    turned = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
    ends[turned] = ends[turned][:, [2, 3, 0, 1]]
    unique, which = np.unique(ends, axis=0, return_inverse=True)
    length = np.hypot(unique[:, 2] - unique[:, 0], unique[:, 3] - unique[:, 1])
    t = np.linspace(0, 1, 17)
    limit = relative * length[:, None] * np.minimum(t, 1 - t) * 2
    offsets = np.clip(fractal(len(unique), 4, rng) * relative * 0.6 * length[:, None], -limit, limit)
    paths = bend(unique[:, :2], unique[:, 2:], offsets)[which]
    paths[turned] = paths[turned][:, ::-1]
    points = paths[:, :-1].reshape(-1, 2)
    rings = shapely.linearrings(points, indices=np.repeat(ring[sides], 16))
    found = np.asarray(shapely.polygons(rings), dtype=object)
    assert shapely.is_valid(found).all(), "a roughened outline crosses itself"
    return found


def polylines(paths: list[Floats], rows: list[Ints], count: int) -> tuple[Floats, Ints]:
    """Stack groups of polylines (n, k, 2), whose rows are named, to coordinates and a row number for each."""
    index = np.concatenate([np.repeat(row, path.shape[1]) for path, row in zip(paths, rows, strict=True)])
    coords = np.concatenate([path.reshape(-1, 2) for path in paths])
    order = np.argsort(index, kind="stable")
    assert len(np.unique(index)) == count, "an edge without a line"
    return coords[order], index[order]
