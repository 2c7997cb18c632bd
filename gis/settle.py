"""A coverage: an immutable set of grids without gap or overlap, and the proof that it stays so.

The lowest grids hold the ground, in whole units; the grids above are the sum of those below. Every piece of
ground has exactly one owner, or is nobody's and kept under the code "". A step changes the edges of the grids
it names; a vertex it puts into an edge goes into every grid with that edge. `settle` then proves the step:
the polygons are valid and their edges add up to what they added up to before, which leaves no room for a gap
or an overlap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.coverage import Edges, Geoms, Ints
from gis.errors import BadInput, Emptied, NotDrawable, NotFound
from gis.lattice import Tees

NOBODY = ""
"""The code under which ground without an owner is kept."""

_NO_TEES = Tees(np.empty((0, 2), np.int64), np.empty((0, 2), np.int64), np.empty((0, 2), np.int64))


@dataclass(frozen=True)
class Grid:
    """What a grid is beside its ground."""

    code: str
    level: int
    parent: str | None = None
    name: str = ""
    order: int = 0
    kind: str = ""


@dataclass(frozen=True, eq=False)
class Coverage:
    """Grids of all levels and the ground (units) of the lowest; `retired` codes are never given again."""

    grids: Mapping[str, Grid]
    shapes: Mapping[str, BaseGeometry]
    retired: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def children(self) -> dict[str | None, list[str]]:
        """The codes directly below each code, in order."""
        below: dict[str | None, list[str]] = {}
        for code in sorted(self.grids):
            below.setdefault(self.grids[code].parent, []).append(code)
        return below

    @cached_property
    def _codes(self) -> list[str]:
        return list(self.shapes)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(list(self.shapes.values()))

    @cached_property
    def _derived(self) -> dict[str, BaseGeometry]:
        return {}

    def grid(self, code: str) -> Grid:
        """The grid of a code; raises NotFound."""
        if code not in self.grids:
            raise NotFound(f"there is no grid {code!r} in this draft")
        return self.grids[code]

    def leaves(self, code: str) -> list[str]:
        """The lowest grids within a grid, itself if it is one."""
        self.grid(code)
        if code in self.shapes:
            return [code]
        return [leaf for child in self.children.get(code, []) for leaf in self.leaves(child)]

    def shape(self, code: str) -> BaseGeometry:
        """The ground of a grid in units; of an upper one, the sum of those below."""
        if code in self.shapes:
            return self.shapes[code]
        if code not in self._derived:
            self._derived[code] = total(self.shapes[leaf] for leaf in self.leaves(code))
        return self._derived[code]

    def geometry(self, code: str) -> BaseGeometry:
        """The ground of a grid in EPSG:4326."""
        result: BaseGeometry = coverage.to_degrees(self.shape(code))
        return result

    def outline(self) -> BaseGeometry:
        """All ground, owned or not, in units."""
        return total(self.shapes.values())

    def near(self, shape: BaseGeometry) -> list[str]:
        """The lowest grids (and nobody) that a shape in units comes within two units of."""
        hits = self._tree.query(shape, predicate="dwithin", distance=coverage.MATCH_UNITS)
        return [self._codes[i] for i in np.sort(hits)]

    def frame(self) -> gpd.GeoDataFrame:
        """The grids as rows in EPSG:4326: code, level, parent_code, name, kind, display_order."""
        grids = [self.grids[code] for code in sorted(self.grids)]
        rows = [(g.code, g.level, g.parent, g.name, g.kind, g.order) for g in grids]
        columns = ["code", "level", "parent_code", "name", "kind", "display_order"]
        geometry = [self.geometry(g.code) for g in grids]
        return gpd.GeoDataFrame(pd.DataFrame(rows, columns=columns), geometry=geometry, crs=4326)


def cover(
    grids: Iterable[Grid],
    shapes: Mapping[str, BaseGeometry],
    frame: BaseGeometry | None = None,
    retired: Iterable[str] = (),
) -> Coverage:
    """The coverage of snapped grids (EPSG:4326); only the shapes of the lowest count.

    Ground of `frame` that none owns is kept as nobody's. Raises NotDrawable where grids overlap, leave the
    frame or are not valid: put those faults right first.
    """
    by_code = {grid.code: grid for grid in grids}
    above = {grid.parent for grid in by_code.values()}
    lowest = sorted(code for code in by_code if code not in above)
    leaves = {code: shapely.normalize(coverage.to_units(shapes[code])) for code in lowest}
    _refuse_invalid(leaves)
    outside = coverage.to_units(frame) if frame is not None else None
    spare = _spare(leaves, outside)
    return Coverage(by_code, leaves | ({NOBODY: spare} if spare is not None else {}), frozenset(retired))


def settle(
    before: Coverage,
    shapes: Mapping[str, BaseGeometry],
    tees: Tees = _NO_TEES,
    grids: Mapping[str, Grid] | None = None,
    gone: Iterable[str] = (),
) -> Coverage:
    """The coverage after a step, proven: `shapes` are new (units), `tees` go into every edge they fit.

    Raises Emptied or NotDrawable and leaves `before` as it was.
    """
    gone = set(gone)
    followers = {} if not len(tees) else _following(before, tees, set(shapes) | gone)
    new = {code: shapely.normalize(_exact(shape)) for code, shape in shapes.items()} | followers
    for code, shape in new.items():
        if shape.is_empty and code != NOBODY:
            raise Emptied(f"grid {code} would lose all its ground; merge it instead")
    new = {code: shape for code, shape in new.items() if not shape.is_empty}
    _refuse_invalid(new)
    old = [before.shapes[code] for code in {*new, *gone, *shapes} if code in before.shapes]
    _prove(old, list(new.values()), tees)
    kept = {code: shape for code, shape in before.shapes.items() if code not in gone and code not in shapes}
    return _refuse_childless(Coverage(grids or before.grids, kept | new, before.retired | gone))


def lay(
    before: Coverage, shapes: Mapping[str, BaseGeometry], grids: Mapping[str, Grid], gone: Iterable[str]
) -> Coverage:
    """A coverage of other shapes (units) on the ground of another one, proven; what they leave is nobody's.

    Raises NotDrawable where they overlap, leave the ground or lack a vertex of each other.
    """
    lowest = {code: shapely.normalize(shape) for code, shape in shapes.items()}
    _refuse_invalid(lowest)
    owned = total(lowest.values())
    outer, same = coverage.match(np.array([before.outline(), owned], dtype=object))
    rest = minus(outer, [owned])
    parts = sum(_doubled(shape) for shape in [*lowest.values(), rest])
    if not same.equals_exact(owned) or _doubled(outer) != parts or not (rest.is_valid and owned.is_valid):
        raise NotDrawable("the grids overlap, or leave the ground of the plan; put the faults right first")
    spare = {} if rest.is_empty else {NOBODY: rest}
    return _refuse_childless(Coverage(grids, lowest | spare, before.retired | set(gone)))


def total(shapes: Iterable[BaseGeometry]) -> BaseGeometry:
    """The sum of shapes in units that share their edges: exact, the edges between them cancel."""
    return shapely.normalize(
        coverage.from_edges(coverage.polygon_edges(np.array(list(shapes), dtype=object)))
    )


def edges_of(shapes: Iterable[BaseGeometry]) -> tuple[Ints, Ints]:
    """Each edge of shapes once: lesser ends and greater ends."""
    return coverage.unique_segments(coverage.polygon_edges(np.array(list(shapes), dtype=object)))


def with_tees(shapes: Iterable[BaseGeometry], tees: Tees) -> Geoms:
    """Shapes with the vertices put into the edges they have."""
    array = np.array(list(shapes), dtype=object)
    return coverage.insert_vertices(array, tees.low, tees.high, tees.at) if len(tees) else array


def join(*tees: Tees) -> Tees:
    """Vertices of several lines together."""
    return Tees(*(np.vstack(parts) for parts in zip(*((t.low, t.high, t.at) for t in tees), strict=True)))


def changed(old: Coverage, new: Coverage) -> list[str]:
    """The lowest grids whose ground is not the same in both, new ones and gone ones too, in order of code.

    A grid that only got a vertex from a neighbour's step counts: its edge bent by a unit.
    """
    codes = {*old.shapes, *new.shapes} - {NOBODY}
    return sorted(c for c in codes if not _same(old.shapes.get(c), new.shapes.get(c)))


def _same(one: BaseGeometry | None, other: BaseGeometry | None) -> bool:
    return one is other or (
        one is not None and other is not None and bool(shapely.equals_identical(one, other))
    )


def _exact(shape: BaseGeometry) -> BaseGeometry:
    """A polygon rebuilt from its edges: needles that a moved vertex folded flat are gone."""
    if shape.is_empty or shape.is_valid:
        return shape
    edges = coverage.polygon_edges(np.array([shape], dtype=object))
    real = np.any(edges.start != edges.end, axis=1)
    return coverage.from_edges(Edges(edges.start[real], edges.end[real], edges.owner[real]))


def _following(before: Coverage, tees: Tees, named: set[str]) -> dict[str, BaseGeometry]:
    """The grids not named by the step that have an edge which gets a vertex, with it."""
    near = [code for code in before.near(shapely.MultiPoint(tees.at.astype(float))) if code not in named]
    old = np.array([before.shapes[code] for code in near], dtype=object)
    new = with_tees(old, tees)
    longer = shapely.get_num_coordinates(new) > shapely.get_num_coordinates(old)
    return {near[i]: shapely.normalize(new[i]) for i in np.flatnonzero(longer)}


def _prove(before: list[BaseGeometry], after: list[BaseGeometry], tees: Tees) -> None:
    """That the edges of valid polygons add up as before: the same ground, each piece owned once."""
    old = coverage.polygon_edges(with_tees(before, tees))
    new = coverage.polygon_edges(np.array(after, dtype=object))
    start, end = np.vstack([old.start, new.end]), np.vstack([old.end, new.start])
    low, _, _, _ = coverage.residual(start, end, np.zeros(len(start), dtype=np.int64))
    if len(low):
        x, y = low[0] / coverage.UNITS_PER_DEGREE
        raise NotDrawable(
            f"the step would leave a gap or an overlap near {x:.7f}, {y:.7f}; draw it elsewhere"
        )


def _refuse_invalid(shapes: Mapping[str, BaseGeometry]) -> None:
    for code, shape in shapes.items():
        if not shape.is_valid:
            why = shapely.is_valid_reason(coverage.to_degrees(shape))
            raise NotDrawable(
                f"the border of {code or 'the unowned ground'} would cross or touch itself: {why}"
            )


def _refuse_childless(after: Coverage) -> Coverage:
    """The coverage, if every grid without ground of its own has grids below it."""
    bare = [c for c in after.grids if c not in after.shapes and c not in after.children]
    if bare:
        raise Emptied(f"grid {bare[0]} would have no grid left below it; merge or move it first")
    return after


def _spare(leaves: Mapping[str, BaseGeometry], frame: BaseGeometry | None) -> BaseGeometry | None:
    """The frame's ground that no grid owns; raises NotDrawable unless grids and it make up the frame."""
    owned = total(leaves.values())
    outer = owned if frame is None else frame
    rest = minus(outer, [owned])
    whole, parts = _doubled(outer), sum(_doubled(shape) for shape in [*leaves.values(), rest])
    if whole != parts or not rest.is_valid or not owned.is_valid:
        raise NotDrawable("the grids overlap or leave their frame; put the faults of the check right first")
    return None if rest.is_empty else rest


def _doubled(shape: BaseGeometry) -> int:
    return int(coverage.doubled_areas(np.array([shape], dtype=object))[0])


def minus(shape: BaseGeometry, taken: Iterable[BaseGeometry]) -> BaseGeometry:
    """A polygon without parts of it, by their edges; the parts' and its vertices match."""
    mine, theirs = (coverage.polygon_edges(np.array(g, dtype=object)) for g in ([shape], list(taken)))
    start, end = np.vstack([mine.start, theirs.end]), np.vstack([mine.end, theirs.start])
    return shapely.normalize(coverage.from_edges(Edges(start, end, np.zeros(len(start), dtype=np.int64))))


def named(codes: Iterable[str]) -> list[str]:
    """Codes as a list without repeats; raises BadInput for fewer than two."""
    unique = list(dict.fromkeys(codes))
    if len(unique) < 2:
        raise BadInput("codes", "name at least two grids")
    return unique


def amend(cov: Coverage, code: str, **fields: str | int | None) -> Coverage:
    """The coverage with some fields of one grid changed."""
    grids = dict(cov.grids) | {code: replace(cov.grid(code), **fields)}  # type: ignore[arg-type]
    return _refuse_childless(replace(cov, grids=grids))
