"""Clusters of any size by Kulldorff's scan, and whether a hot place stays hot when the lattice is moved."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy import sparse
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.cells import Cells
from gis.db import columns
from layers.expecting import Ground, past_of
from layers.served import Served, inside
from layers.stats.expectation import Expected
from layers.stats.hot import HotCells, hot
from layers.stats.scan import Cluster, ring_zones, scan
from layers.stats.tails import disc_size
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
RINGS = 3
"""Zones reach so many steps around a cell: up to 37 cells."""
SIMULATIONS = 999
CLUSTERS = 10
"""At most so many are told."""
LEVEL = 0.05
"""Clusters whose Monte Carlo p is greater are noise, and are not told."""
_CHILDREN = 1
"""Steps of resolution that places stand finer than cells when the lattice is moved: 7 to a cell."""


ALPHA = 0.05
"""The share of noise-only maps that may show any hot cell."""


@dataclass(frozen=True)
class Laid:
    """Counts and expectation laid over the served cells, and the test of every disc."""

    of: Served
    found: Floats
    expected: Expected
    tested: HotCells


def laid_over(of: Served, found: Floats, expected: Expected) -> Laid:
    """Test what was found in the served cells against what was expected."""
    tested = hot(found, expected.mean, of.disc(), ALPHA, expected.size, expected.skew)
    return Laid(of, found, expected, tested)


def clusters_of(
    of: Served, found: Floats, expected: Expected, simulations: int = SIMULATIONS
) -> list[Cluster]:
    """Return the clusters that chance does not explain, most striking first, members as places in `of`."""
    zones = ring_zones([of.disc(k) for k in range(RINGS + 1)])
    mean, itself = expected.mean, sparse.eye_array(len(found), format="csr")
    size, fixed = disc_size(mean, expected.size, itself, expected.skew)
    told = scan(
        found, mean, zones, simulations=simulations, limit=CLUSTERS,
        size=size if np.isfinite(size).all() else None, fixed=fixed, level=LEVEL,
    )  # fmt: skip
    return [each for each in told if each.p <= LEVEL]


def stability(conn: Connection, view: View, res: int, laid: Laid, known: Ground) -> Floats:
    """Return the share of moved lattices under which each cell's place is significant, shape (n,).

    Where the hexagons lie is an accident: the same incidents are laid on SHIFTS lattices that differ from
    the usual one as much as they can, and tested again. Near 1, the place is hot wherever the lines are
    drawn; near 0, the lines made it so.
    """
    points = _Points.read(conn, view, res, laid, known)
    held = np.zeros(len(laid.of.cells))
    lattices = shifts(laid.of.cells)
    lon, lat = h3.centres(laid.of.cells)
    for move in lattices:
        cells, significant = _again(points, known, move, res)
        there = h3.index(lon + move[0], lat + move[1], res)
        place = np.minimum(np.searchsorted(cells, there), len(cells) - 1)
        held += (cells[place] == there) & significant[place]
    return held / len(lattices)


def shifts(cells: Cells) -> list[tuple[float, float]]:
    """Return the moves (degrees) to the five points of a hexagon farthest from all centres of the lattice.

    These are the middles of its three kinds of edges and its two kinds of corners; any other move is
    nearer to the usual lattice than one of them.
    """
    middle = cells[[len(cells) // 2]]
    lon, lat = h3.centres(h3.disc_pairs(middle, 1)[1])
    own_lon, own_lat = h3.centres(middle)
    stretch = np.cos(np.radians(own_lat[0]))
    around = np.column_stack([(lon - own_lon) * stretch, lat - own_lat])
    around = around[np.hypot(*around.T) > 1e-12]
    a, b = around[np.argsort(np.arctan2(around[:, 1], around[:, 0]))][:2]
    moves = (a / 2, b / 2, (b - a) / 2, (a + b) / 3, -(a + b) / 3)
    return [(float(x / stretch), float(y)) for x, y in moves]


Weighted = tuple[Floats, Floats, Floats]
"""Points: lon, lat (degrees) and weight, shape (n,) each."""


@dataclass(frozen=True)
class _Points:
    """Everything that is laid on a lattice."""

    found: Weighted
    area: Weighted
    homes: Weighted | None
    past: Weighted | None

    @classmethod
    def read(cls, conn: Connection, view: View, res: int, laid: Laid, known: Ground) -> "_Points":
        """Read the incidents and what their expectation rests on."""
        children, parent = h3.children(laid.of.cells, res + _CHILDREN)
        weight = laid.of.inside_m2[parent] / np.bincount(parent)[parent]
        return cls(
            _incidents(conn, view),
            (*h3.centres(children), weight),
            None if known.homes is None else _homes(conn, view, res),
            None if known.past is None else _incidents(conn, past_of(view, known.past_since)),
        )


def _incidents(conn: Connection, view: View) -> Weighted:
    point = t.incidents.c.geom
    query = _xy(point, sa.literal(1.0)).where(point.is_not(None), *wanted_incidents(view))
    lon, lat, weight = columns(conn, query, np.float64, np.float64, np.float64)
    return lon, lat, weight


def _homes(conn: Connection, view: View, res: int) -> Weighted:
    """Return households; for large cells by the finest ones, which are small beside them."""
    b = t.buildings.c
    where = inside(view, b.point)
    if res + 2 > h3.RESOLUTIONS[-1]:
        query = _xy(b.point, b.households).where(b.households > 0, *where)
        lon, lat, weight = columns(conn, query, np.float64, np.float64, np.float64)
        return lon, lat, weight
    finest = b[f"cell_{h3.RESOLUTIONS[-1]}"]
    grouped = sa.select(finest, sa.func.sum(b.households)).where(b.households > 0, *where).group_by(finest)
    cells, weight = columns(conn, grouped, np.uint64, np.float64)
    return (*h3.centres(cells), weight)


def _xy(point: sa.ColumnElement[Any], weight: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(sa.func.ST_X(point), sa.func.ST_Y(point), weight)


def _again(
    points: _Points, known: Ground, move: tuple[float, float], res: int
) -> tuple[Cells, npt.NDArray[np.bool_]]:
    """Lay everything on a moved lattice and test it; return its cells and which are significant."""

    def lay(lon: Floats, lat: Floats, weight: Floats) -> tuple[Cells, Floats]:
        cells, place = np.unique(h3.index(lon + move[0], lat + move[1], res), return_inverse=True)
        return cells, np.asarray(np.bincount(place, weight, len(cells)), dtype=np.float64)

    parts = [lay(*each) if each else None for each in (points.found, points.area, points.homes, points.past)]
    cells = np.unique(np.concatenate([part[0] for part in parts if part]))
    of = Served(cells, h3.areas_m2(cells), np.ones(len(cells)))
    found, inside_m2, homes, past = (of.spread(*part) if part else None for part in parts)
    assert found is not None
    assert inside_m2 is not None
    # A place the area's points just missed still has some room.
    moved = replace(known, inside_m2=np.maximum(inside_m2, 1.0), homes=homes, past=past)
    expected = moved.expected(float(found.sum()))
    return cells, laid_over(of, found, expected).tested.significant
