"""What is wrong with a set of grids, each fault with its geometry: the list of checks and how to run it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import borders, coverage
from gis.case import Case, Fault, Surroundings, parse
from gis.tolerances import SLIVER_WIDTH_M

MIN_COMPACTNESS = 0.1
"""Polsby-Popper 4πA/P² below which a shape is advised against; measured Chinese townships lie at
0.23-0.36."""
MIN_SIDE = 0.05
"""A barrier counts as crossed when each side keeps at least this share of the grid."""


def check(
    grids: gpd.GeoDataFrame | Mapping[str, BaseGeometry],
    parent: BaseGeometry | None = None,
    around: Surroundings | None = None,
    *,
    advice: bool = True,
) -> list[Fault]:
    """Every fault of grids (EPSG:4326) that are in force on one day, errors first.

    A mapping of code to polygon, or a frame with `code`, holds the children of `parent` (None: their outline
    is theirs to choose). A frame that also has `parent_code` and `level` holds a whole scheme: each level is
    checked within the parents in the frame, and `parent` bounds the topmost. Without `advice`, what is only
    worth a second look is not looked for.
    """
    case = parse(grids, parent, around or Surroundings())
    found = [fault for one in (CHECKS if advice else GRAVE) for fault in one(case)]
    return sorted(found, key=lambda f: (f.severity != "error", -f.area_m2, f.kind, f.codes))


def to_geojson(faults: Iterable[Fault]) -> dict[str, Any]:
    """The faults as a GeoJSON FeatureCollection, EPSG:4326."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": shapely.geometry.mapping(fault.geometry),
                "properties": {
                    "kind": fault.kind,
                    "severity": fault.severity,
                    "codes": list(fault.codes),
                    "area_m2": fault.area_m2,
                    "width_m": round(fault.width_m, 3),
                    "message_zh": fault.message_zh,
                    "message_en": fault.message_en,
                },
            }
            for fault in faults
        ],
    }


def bow_tie(case: Case) -> list[Fault]:
    """Polygons whose border crosses or touches itself along a line, shown at the place GEOS names."""
    return [case.fault("bow_tie", [i], _where_invalid(case.given[i])) for i in np.flatnonzero(~case.valid)]


def no_parent(case: Case) -> list[Fault]:
    """Grids that name a parent which is not there."""
    return [case.fault("no_parent", [i], case.units[i]) for i in np.flatnonzero(case.parent < 0)]


def gap(case: Case) -> list[Fault]:
    """Ground inside the parent between grids that none of them owns."""
    return [fault for kind, fault in _lost(case) if kind == "gap"]


def hole(case: Case) -> list[Fault]:
    """Unowned ground wholly inside one grid."""
    return [fault for kind, fault in _lost(case) if kind == "hole"]


def orphan(case: Case) -> list[Fault]:
    """Unowned ground along the parent's border: new land nobody took in."""
    return [fault for kind, fault in _lost(case) if kind == "orphan"]


def overlap(case: Case) -> list[Fault]:
    """Ground with two owners."""
    return [fault for kind, fault in _doubled(case) if kind == "overlap"]


def duplicate(case: Case) -> list[Fault]:
    """Two grids with the same ground, or one code used twice."""
    twice = (
        [i for i, code in enumerate(case.codes) if code in case.codes[:i]]
        if len(set(case.codes)) < len(case.codes)
        else []
    )
    return [fault for kind, fault in _doubled(case) if kind == "duplicate"] + [
        case.fault("duplicate", [i], case.units[i]) for i in twice
    ]


def loose_piece(case: Case) -> list[Fault]:
    """Separate pieces of a grid too narrow to be meant."""
    parts, owner = shapely.get_parts(case.units, return_index=True)
    several = np.flatnonzero(np.bincount(owner, minlength=len(case.units))[owner] > 1)
    thin = several[borders.widths_m(parts[several]) < SLIVER_WIDTH_M]
    return [case.fault("loose_piece", [owner[i]], parts[i]) for i in thin]


def thin_parts(grids: Mapping[str, BaseGeometry]) -> list[Fault]:
    """The loose pieces of grids (EPSG:4326), whatever lies between the grids."""
    return loose_piece(parse(grids, None, Surroundings()))


def neck(case: Case) -> list[Fault]:
    """Ground of a grid narrower than the wanted width for long: a street's half, a spike, a corridor."""
    width = case.around.neck_width_m
    return [
        case.fault("neck", [i], piece)
        for i, units in enumerate(case.units)
        for piece in borders.necks(units, width)
    ]


def outside_parent(case: Case) -> list[Fault]:
    """Ground of a grid that its parent does not hold."""
    return [fault for kind, fault in _stray(case) if kind == "outside_parent"]


def unmatched_vertices(case: Case) -> list[Fault]:
    """Vertices on a border that the grid across it lacks: a gap after the next rounding, if not today."""
    wrong = chain(_lost(case), _doubled(case), _stray(case))
    rounding = [fault for kind, fault in wrong if kind == "unmatched_vertices"]
    lone = ((family.beside(point), point) for family in case.families for point in family.lone_vertices())
    return rounding + [case.fault("unmatched_vertices", beside, point) for beside, point in lone]


def not_contiguous(case: Case) -> list[Fault]:
    """Grids in separate parts (飞地): lawful, but worth a second look."""
    several = np.flatnonzero(shapely.get_num_geometries(case.units) > 1)
    return [case.fault("not_contiguous", [i], case.units[i]) for i in several]


def compactness(case: Case) -> list[Fault]:
    """Grids long or ragged beyond `MIN_COMPACTNESS`."""
    area, length = borders.local_measures(case.units)
    ratio = 4 * np.pi * area / np.maximum(length, 1e-9) ** 2
    return [case.fault("compactness", [i], case.units[i]) for i in np.flatnonzero(ratio < MIN_COMPACTNESS)]


def building_split(case: Case) -> list[Fault]:
    """Buildings that a border of the lowest grids runs through, not merely along."""
    buildings = np.asarray(case.around.buildings, dtype=object)
    if not len(buildings):
        return []
    units = coverage.to_units(buildings)
    leaves = np.flatnonzero(case.leaf)
    edges = coverage.polygon_edges(case.units[leaves])
    lines = coverage.lines(edges.start, edges.end)
    at, line = shapely.STRtree(lines).query(units, predicate="intersects")
    through = shapely.relate_pattern(lines[line], units[at], "T********")
    owners = leaves[edges.owner[line[through]]]
    cut = at[through]
    return [case.fault("building_split", owners[cut == b], units[b]) for b in np.unique(cut)]


def size(case: Case) -> list[Fault]:
    """Lowest grids with fewer or more households than wanted."""
    buildings, households = np.asarray(case.around.buildings, dtype=object), case.around.households
    if households is None:
        return []
    leaves = np.flatnonzero(case.leaf)
    centres = shapely.point_on_surface(coverage.to_units(buildings))
    building, grid = shapely.STRtree(case.units[leaves]).query(centres, predicate="intersects")
    _, first = np.unique(building, return_index=True)
    counts = np.bincount(
        grid[first], weights=np.asarray(households, dtype=float)[building[first]], minlength=len(leaves)
    )
    wanted = case.around.wanted
    return [
        case.fault("size", [leaves[i]], case.units[leaves[i]])
        for i in np.flatnonzero((counts < wanted.low) | (counts > wanted.high))
    ]


def barrier_crossed(case: Case) -> list[Fault]:
    """Lowest grids that a barrier divides into two sides of some size."""
    barriers = np.asarray(case.around.barriers, dtype=object)
    if not len(barriers):
        return []
    leaves = np.flatnonzero(case.leaf)
    lines = coverage.to_units(barriers)
    at, line = shapely.STRtree(lines).query(case.units[leaves], predicate="intersects")
    found = []
    for i in np.unique(at):
        grid, across = case.units[leaves[i]], shapely.union_all(lines[line[at == i]])
        sides = shapely.get_parts(shapely.polygonize([shapely.union(grid.boundary, across)]))
        sides = sides[shapely.intersects(grid, shapely.point_on_surface(sides))]
        if np.count_nonzero(shapely.area(sides) >= MIN_SIDE * grid.area) > 1:
            found.append(case.fault("barrier_crossed", [leaves[i]], shapely.intersection(grid, across)))
    return found


Check = Callable[[Case], list[Fault]]
GRAVE: list[Check] = [
    bow_tie,
    no_parent,
    gap,
    overlap,
    loose_piece,
    hole,
    orphan,
    outside_parent,
    duplicate,
    unmatched_vertices,
]
"""What may be an error."""
ADVICE: list[Check] = [
    not_contiguous,
    neck,
    building_split,
    size,
    compactness,
    barrier_crossed,
]
"""What is lawful, but worth a second look."""
CHECKS: list[Check] = GRAVE + ADVICE


def _lost(case: Case) -> Iterator[tuple[str, Fault]]:
    """Unowned ground by kind; a wide gap where no parent says what should be covered may be meant: advice."""
    for family in case.families:
        for piece in family.lost:
            beside, width = family.beside(piece), borders.width_m(piece)
            kind = (
                "unmatched_vertices"
                if borders.is_rounding(piece)
                else _lost_kind(piece, family.parent, len(beside))
            )
            meant = kind in {"gap", "hole"} and family.parent is None and width >= SLIVER_WIDTH_M
            yield kind, case.fault(kind, beside, piece, "advice" if meant else "error")


def _lost_kind(piece: BaseGeometry, parent: BaseGeometry | None, neighbours: int) -> str:
    if parent is not None and shapely.length(shapely.intersection(piece.boundary, parent.boundary)) > 0:
        return "orphan"
    return "hole" if neighbours == 1 else "gap"


def _doubled(case: Case) -> Iterator[tuple[str, Fault]]:
    for family in case.families:
        for pair, piece in family.doubled:
            kind = _doubled_kind(piece, case.units[pair[0]], case.units[pair[1]])
            yield kind, case.fault(kind, pair, piece, "error")


def _doubled_kind(piece: BaseGeometry, one: BaseGeometry, other: BaseGeometry) -> str:
    if min(piece.area / one.area, piece.area / other.area) > 1 - 1e-9:
        return "duplicate"
    return "overlap" if not borders.is_rounding(piece) else "unmatched_vertices"


def _stray(case: Case) -> Iterator[tuple[str, Fault]]:
    for family in case.families:
        for owner, piece in family.stray:
            kind = "outside_parent" if not borders.is_rounding(piece) else "unmatched_vertices"
            yield kind, case.fault(kind, [owner], piece, "error")


def _where_invalid(units: BaseGeometry) -> BaseGeometry:
    """The point GEOS names as its reason, else the border."""
    reason = shapely.is_valid_reason(units)
    if "[" not in reason:
        return shapely.boundary(units)
    x, y = reason[reason.index("[") + 1 : reason.index("]")].split()
    return shapely.Point(float(x), float(y))
