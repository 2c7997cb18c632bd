"""Grids for a new area, drawn from its streets and buildings: blocks joined into units of the wanted size.

Streets, barriers and the area's border divide it into blocks; a block with more households than a unit's
range is wide is halved between its buildings, so that units can be evened out, though borders keep to streets
where they can. Blocks are joined along spanning trees cut in two again and again, each time where both
sides can still be divided into units in range and the cut is short (after DeFord, Duchin and Solomon 2021,
"Recombination"); no unit lies across a barrier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from scipy import sparse
from scipy.sparse import csgraph
from shapely.geometry.base import BaseGeometry

from gis import coverage, suggest
from gis.case import HouseholdRange
from gis.coverage import Bools, Floats, Geoms, Ints
from gis.errors import BadInput
from gis.settle import Coverage, is_grid, total
from gis.splitting import fresh_codes
from gis.tree_cut import cut

OFF_STREET = 5.0
"""How much dearer a metre of border is that follows no street."""
ON_LINE = 5.0
"""Units (5 cm): an edge whose middle is this near a line runs along it."""


@dataclass(frozen=True)
class Houses:
    """Buildings by a place of each (EPSG:4326) and their households."""

    lon: Floats
    lat: Floats
    households: Floats


@dataclass(frozen=True)
class Drawn:
    """Units that cover an area: polygons (EPSG:4326), households of each, and which are out of range."""

    shapes: list[BaseGeometry]
    households: Floats
    unresolved: Ints


def new_area(
    area: BaseGeometry,
    streets: Sequence[BaseGeometry],
    houses: Houses,
    barriers: Sequence[BaseGeometry] = (),
    wanted: HouseholdRange | None = None,
    seed: int = 0,
) -> Drawn:
    """Draw units of the wanted number of households in an area (EPSG:4326); same input, same units.

    Every unit is one piece of blocks that touch along streets; ground that barriers cut off with too few
    households is a unit of its own, and told as unresolved. Raises BadInput for an area that is no polygon.
    """
    wanted = wanted or HouseholdRange()
    ground = coverage.to_units(coverage.as_geoms([area])[0])
    if not ground.is_valid or ground.is_empty:
        raise BadInput("area", "it is not a valid polygon")
    lines, walls = (_within(given, ground) for given in (streets, barriers))
    places = coverage.to_units(shapely.points(houses.lon, houses.lat))
    blocks = _blocks(ground, [*lines, *walls])
    room = float(wanted.high - wanted.low)
    blocks, weight = _halved(blocks, places, np.asarray(houses.households, dtype=np.float64), room)
    blocks = coverage.match(blocks)
    pairs, length = _neighbours(blocks, walls, lines)
    unit = _joined(weight, pairs, length, wanted, np.random.default_rng(seed))
    unit = suggest.rebalance(weight, unit, pairs, wanted.low, wanted.high).unit
    return _drawn(blocks, weight, unit, wanted)


def _drawn(blocks: Geoms, weight: Floats, unit: Ints, wanted: HouseholdRange) -> Drawn:
    unit = np.unique(unit, return_inverse=True)[1]
    shapes = [total(blocks[unit == u]) for u in range(int(unit.max()) + 1)]
    sums = np.bincount(unit, weight).astype(np.float64)
    out = np.flatnonzero((sums < wanted.low) | (sums > wanted.high))
    return Drawn([coverage.to_degrees(shape) for shape in shapes], sums, out)


def _within(lines: Sequence[BaseGeometry], ground: BaseGeometry) -> list[BaseGeometry]:
    """The parts of lines (EPSG:4326) inside the ground, in units."""
    units = coverage.to_units(np.array(list(lines), dtype=object))
    parts = shapely.get_parts(shapely.intersection(units, ground))
    return [part for part in parts if part.length > 0 and part.geom_type == "LineString"]


def _blocks(ground: BaseGeometry, lines: Sequence[BaseGeometry]) -> Geoms:
    """The faces of the ground between lines, in a fixed order."""
    noded = shapely.union_all([ground.boundary, *lines], grid_size=1.0)
    faces = shapely.get_parts(shapely.polygonize([noded]))
    mine = shapely.normalize(faces[shapely.intersects(ground, shapely.point_on_surface(faces))])
    return np.array(sorted(mine, key=shapely.to_wkb), dtype=object)


def _halved(blocks: Geoms, places: Geoms, weight: Floats, most: float) -> tuple[Geoms, Floats]:
    """Blocks none of which has more households than `most`, where buildings can be told apart."""
    block = _holder(blocks, places)
    todo = [(shape, np.flatnonzero(block == i)) for i, shape in enumerate(blocks)]
    done: list[tuple[BaseGeometry, float]] = []
    while todo:
        shape, mine = todo.pop()
        halves = _halves(shape, places[mine], weight[mine]) if weight[mine].sum() > most else []
        if len(halves) < 2:
            done.append((shape, float(weight[mine].sum())))
        else:
            own = _holder(np.array(halves, dtype=object), places[mine])
            todo += [(half, mine[own == i]) for i, half in enumerate(halves)]
    shapes, sums = zip(*done, strict=True)
    return np.array(shapes, dtype=object), np.array(sums)


def _holder(blocks: Geoms, places: Geoms) -> Ints:
    """The block of each place, -1 for none; of several the first."""
    block = np.full(len(places), -1, dtype=np.int64)
    place, found = shapely.STRtree(blocks).query(places, predicate="intersects")
    block[place[::-1]] = found[::-1]
    return block


def _halves(shape: BaseGeometry, places: Geoms, weight: Floats) -> list[BaseGeometry]:
    """A block cut across its longer axis where half of the households lie on each side."""
    if len(places) < 2:
        return []
    corners = shapely.get_coordinates(shapely.oriented_envelope(shape))[:3]
    sides = np.diff(corners, axis=0)
    axis = sides[int(np.argmax(np.hypot(*sides.T)))]
    axis = axis / np.hypot(*axis)
    along = shapely.get_coordinates(places) @ axis
    order = np.argsort(along)
    half = int(np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2).clip(0, len(order) - 2))
    at = axis * (along[order[half]] + along[order[half + 1]]) / 2
    across = np.array([-axis[1], axis[0]])
    middle = at + across * (shapely.get_coordinates(shape.centroid)[0] @ across)
    reach = across * 2 * shape.length
    return list(_blocks(shape, [shapely.LineString([middle - reach, middle + reach]).intersection(shape)]))


def _neighbours(
    blocks: Geoms, walls: Sequence[BaseGeometry], lines: Sequence[BaseGeometry]
) -> tuple[Ints, Floats]:
    """Pairs of blocks with an edge in common that is no barrier, and how dear it is to cut.

    That is its length, and `OFF_STREET` times that where no street runs along it.
    """
    edges = coverage.polygon_edges(blocks)
    ends = np.hstack([edges.start, edges.end])
    swap = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
    ends[swap] = ends[swap][:, [2, 3, 0, 1]]
    order = np.lexsort(ends.T[::-1])
    same = (ends[order][1:] == ends[order][:-1]).all(axis=1)
    one, other = order[:-1][same], order[1:][same]
    open_ = ~_along(ends[one], walls)
    pairs = np.sort(np.column_stack([edges.owner[one], edges.owner[other]]), axis=1)[open_]
    length = np.hypot(*(ends[one][:, 2:] - ends[one][:, :2]).T.astype(float))
    length = np.where(_along(ends[one], lines), length, OFF_STREET * length)[open_]
    unique, index = np.unique(pairs, axis=0, return_inverse=True)
    summed = np.bincount(index.ravel(), length, len(unique)).astype(np.float64)
    return unique.reshape(-1, 2).astype(np.int64), summed


def _along(ends: Ints, walls: Sequence[BaseGeometry]) -> Bools:
    """Which edges run along lines."""
    if not len(walls):
        return np.zeros(len(ends), dtype=bool)
    middle = shapely.points((ends[:, :2] + ends[:, 2:]) / 2)
    near = shapely.STRtree(list(walls)).query(middle, predicate="dwithin", distance=ON_LINE)[0]
    return np.isin(np.arange(len(ends)), near)


def _joined(
    weight: Floats, pairs: Ints, length: Floats, wanted: HouseholdRange, rng: np.random.Generator
) -> Ints:
    """The unit of each block: what barriers divide first, then each part cut into units in range."""
    count = len(weight)
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, part = csgraph.connected_components(graph, directed=False)
    unit = np.zeros(count, dtype=np.int64)
    todo, units = [np.flatnonzero(part == p) for p in np.unique(part)], 0
    while todo:
        nodes = todo.pop()
        sides = cut(nodes, weight, pairs, length, wanted, rng)
        if sides:
            todo += sides
        else:
            unit[nodes] = units
            units += 1
    return unit


def as_step(cov: Coverage, code: str, drawn: Drawn) -> tuple[dict[str, Any], list[str]]:
    """The step `adopt` that puts units in the place of one lowest grid, and the code of each unit.

    The largest unit keeps the code. Neighbours come along where a street's end puts a vertex into their
    border.
    """
    old = cov.grid(code)
    units = coverage.to_units(np.array(drawn.shapes, dtype=object))
    order = np.argsort(-shapely.area(units), kind="stable")
    codes = [code, *fresh_codes(cov, code, len(order) - 1)]
    others = [other for other in cov.shapes if other != code and is_grid(other)]
    beside = [cov.shapes[other] for other in others]
    matched = coverage.match(np.array([*units[order], *beside], dtype=object))
    named = dict(zip([*codes, *others], shapely.normalize(matched), strict=True))
    new = [c for c, shape in named.items() if c in codes or not shape.equals_exact(cov.shapes[c])]
    grids = [
        {
            "code": c,
            "parent": old.parent if c in codes else cov.grids[c].parent,
            "name": cov.grids[c].name if c in cov.grids else "",
            "shape": shapely.geometry.mapping(coverage.to_degrees(named[c])),
        }
        for c in new
    ]
    return {"op": "adopt", "grids": grids, "gone": []}, [codes[i] for i in np.argsort(order)]
