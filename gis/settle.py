"""A coverage: an immutable set of grids without gap or overlap, and the proof that it stays so.

The lowest grids hold the ground, in whole units. Ground that none of them owns is kept as the *spare* ground
of the lowest grid above it, so that an upper grid is its children and its own spare (gis/spare.py finds it).
Ground that several of them claim is *contested* and kept apart, too (gis/contested.py): `shapes` hold what
each grid has alone, and a grid as recorded is that and what it claims.
A step changes the edges of the grids it names; a vertex it puts into an edge goes into every grid with that
edge. `settle` then proves the step: the polygons are valid and their edges add up to what they added up to
before, which leaves no room for a gap or an overlap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.coverage import Edges, Geoms, Ints
from gis.errors import BadInput, Emptied, NotDrawable, NotFound
from gis.lattice import NO_TEES, Tees
from gis.tolerances import MATCH_UNITS

NOBODY = ""
"""The key of ground that lies in no grid of the coverage at all."""
SPARE = "\x1f"
"""Begins the keys of spare ground; no code of a grid has such a sign (imports and steps refuse it)."""
CONTESTED = SPARE * 2
"""Begins the keys of contested ground, which name its claimants."""


@dataclass(frozen=True)
class Grid:
    """What a grid is beside its ground."""

    code: str
    level: int
    parent: str | None = None
    name: str = ""
    order: int = 0
    kind: str = ""


def spare_of(parent: str | None) -> str:
    """The key of the ground of a grid that none of its children owns; without a grid, of nobody's."""
    return SPARE + parent if parent else NOBODY


def contested_by(codes: Iterable[str]) -> str:
    """The key of the ground that several grids claim."""
    return CONTESTED + SPARE.join(sorted(codes))


def claimants(key: str) -> tuple[str, ...]:
    """The codes of the grids that claim contested ground; none of any other key."""
    return tuple(key.removeprefix(CONTESTED).split(SPARE)) if key.startswith(CONTESTED) else ()


def is_grid(key: str) -> bool:
    """Whether a key of ground is the code of a grid, not spare or contested ground."""
    return key != NOBODY and not key.startswith(SPARE)


@dataclass(frozen=True, eq=False)
class OutsideGrid:
    """A version of a grid that is not of a coverage and has ground (units) within its outline."""

    code: str
    level: int
    lowest: bool
    shape: BaseGeometry


@dataclass(frozen=True, eq=False)
class Coverage:
    """Grids of all levels and the ground (units) of the lowest, spare and contested ground among it by key.

    `retired` codes are never given again. `outlines` are the recorded polygons (units) of upper grids that
    their children do not fit into: overlap or stray out of; those are the sum of what lies below them.
    `outside` are grids of other scopes that own some of the ground, or will.
    """

    grids: Mapping[str, Grid]
    shapes: Mapping[str, BaseGeometry]
    retired: frozenset[str] = field(default_factory=frozenset)
    outlines: Mapping[str, BaseGeometry] = field(default_factory=dict)
    outside: tuple[OutsideGrid, ...] = ()

    @cached_property
    def children(self) -> dict[str | None, list[str]]:
        """The codes directly below each code, in order."""
        below: dict[str | None, list[str]] = {}
        for code in sorted(self.grids):
            below.setdefault(self.grids[code].parent, []).append(code)
        return below

    @cached_property
    def claims(self) -> dict[str, list[str]]:
        """The keys of the contested ground that each grid claims."""
        found: dict[str, list[str]] = {}
        for key in sorted(self.shapes):
            for code in claimants(key):
                found.setdefault(code, []).append(key)
        return found

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

    def ground(self, code: str) -> list[str]:
        """The keys of all ground within a grid: its lowest grids, what these claim, and spare ground."""
        if code in self.shapes:
            return [code, *self.claims.get(code, [])]
        below = (key for child in self.children.get(code, []) for key in self.ground(child))
        return [*dict.fromkeys(below), *([spare_of(code)] if spare_of(code) in self.shapes else [])]

    def parent(self, key: str) -> str | None:
        """The grid right above a grid, spare ground, or all who claim contested ground; None at the top."""
        if is_grid(key):
            return self.grids[key].parent if key in self.grids else None
        if key.startswith(CONTESTED):
            above = {self.parent(code) for code in claimants(key)}
            return above.pop() if len(above) == 1 else None
        return key.removeprefix(SPARE) or None

    def shape(self, code: str) -> BaseGeometry:
        """The ground of a grid in units with all it claims; of an upper one, of those below, and spare."""
        if code in self.shapes and code not in self.claims:
            return self.shapes[code]
        if code not in self._derived:
            self.grid(code)
            self._derived[code] = total(self._summed(code))
        return self._derived[code]

    def _summed(self, code: str) -> list[BaseGeometry]:
        """What adds up to a grid: its children and its spare ground; what is contested counts once."""
        if self.claims or code in self.shapes:
            return [self.shapes[key] for key in self.ground(code)]
        spare = spare_of(code)
        below = [self.shape(child) for child in self.children.get(code, [])]
        return [*below, *([self.shapes[spare]] if spare in self.shapes else [])]

    def borrow(self, other: Self) -> None:
        """Take over the sums that another coverage has made of the very same ground."""
        for code, shape in dict(other._derived).items():  # others read it meanwhile
            if code in self.grids and code not in self._derived:
                mine, theirs = self.ground(code), other.ground(code)
                if mine == theirs and all(self.shapes[key] is other.shapes[key] for key in mine):
                    self._derived[code] = shape

    def geometry(self, code: str) -> BaseGeometry:
        """The ground of a grid in EPSG:4326."""
        result: BaseGeometry = coverage.to_degrees(self.shape(code))
        return result

    def outline(self) -> BaseGeometry:
        """All ground, owned or not, in units."""
        tops = [code for code, grid in self.grids.items() if grid.parent not in self.grids]
        if self.claims or NOBODY in self.shapes or len(tops) != 1:
            return total(self.shapes.values())
        return self.shape(tops[0])

    def near(self, shape: BaseGeometry) -> list[str]:
        """The lowest grids (and nobody) that a shape in units comes within two units of."""
        hits = self._tree.query(shape, predicate="dwithin", distance=MATCH_UNITS)
        return [self._codes[i] for i in np.sort(hits)]

    def frame(self) -> gpd.GeoDataFrame:
        """The grids as rows in EPSG:4326: code, level, parent_code, name, kind, display_order."""
        grids = [self.grids[code] for code in sorted(self.grids)]
        rows = [(g.code, g.level, g.parent, g.name, g.kind, g.order) for g in grids]
        columns = ["code", "level", "parent_code", "name", "kind", "display_order"]
        geometry = [self.geometry(g.code) for g in grids]
        return gpd.GeoDataFrame(pd.DataFrame(rows, columns=columns), geometry=geometry, crs=4326)


def settle(
    before: Coverage,
    shapes: Mapping[str, BaseGeometry],
    tees: Tees = NO_TEES,
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
        if shape.is_empty and is_grid(code):
            raise Emptied(f"grid {code} would lose all its ground; merge it instead")
    new = {code: shape for code, shape in new.items() if not shape.is_empty}
    refuse_invalid(new)
    old = [before.shapes[code] for code in {*new, *gone, *shapes} if code in before.shapes]
    _prove(old, list(new.values()), tees)
    kept = {code: shape for code, shape in before.shapes.items() if code not in gone and code not in shapes}
    retired = before.retired | {code for code in gone if is_grid(code)}
    after = replace(before, grids=grids or before.grids, shapes=kept | new, retired=retired)
    return refuse_childless(after)


def held_alone(cov: Coverage, code: str) -> BaseGeometry:
    """The ground (units) of a grid without what it claims with others; of an upper one all of it."""
    return cov.shapes[code] if code in cov.shapes else cov.shape(code)


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

    A grid that only got a vertex from a neighbour's step counts: its edge bent by a unit. So do all claimants
    of contested ground that changed.
    """
    differ = {k for k in {*old.shapes, *new.shapes} if not same_shape(old.shapes.get(k), new.shapes.get(k))}
    return sorted({code for key in differ for code in ([key] if is_grid(key) else claimants(key))})


def same_shape(one: BaseGeometry | None, other: BaseGeometry | None) -> bool:
    """Whether two shapes are the same to the byte."""
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
    low = _unmatched(with_tees(before, tees), after)
    if len(low):
        x, y = low[0] / coverage.UNITS_PER_DEGREE
        raise NotDrawable(
            f"the step would leave a gap or an overlap near {x:.7f}, {y:.7f}; draw it elsewhere"
        )


def adds_up(whole: Iterable[BaseGeometry], parts: Iterable[BaseGeometry]) -> bool:
    """Whether shapes (units) that are valid, each piece owned once, are parts put together, to the edge.

    Edges say how often each place is owned; sums of areas do not: an overlap may be as large as a gap.
    """
    return not len(_unmatched(whole, parts))


def _unmatched(one: Iterable[BaseGeometry], other: Iterable[BaseGeometry]) -> Ints:
    """The lesser ends of edges that the edges of shapes and those of others do not have as often."""
    mine, theirs = (coverage.polygon_edges(np.array(list(g), dtype=object)) for g in (one, other))
    start, end = np.vstack([mine.start, theirs.end]), np.vstack([mine.end, theirs.start])
    return coverage.residual(start, end, np.zeros(len(start), dtype=np.int64))[0]


def refuse_invalid(shapes: Mapping[str, BaseGeometry]) -> None:
    """Raise NotDrawable for shapes (units) whose border crosses or touches itself."""
    for code, shape in shapes.items():
        if not shape.is_valid:
            why = shapely.is_valid_reason(coverage.to_degrees(shape))
            whose = code if is_grid(code) else "the unowned ground"
            raise NotDrawable(f"the border of {whose} would cross or touch itself: {why}")


def refuse_childless(after: Coverage) -> Coverage:
    """The coverage, if every grid without ground of its own has grids below it."""
    bare = [c for c in after.grids if c not in after.shapes and c not in after.children]
    if bare:
        raise Emptied(f"grid {bare[0]} would have no grid left below it; merge or move it first")
    return after


def doubled(shape: BaseGeometry) -> int:
    """Twice the area of a shape in square units, exact."""
    return int(coverage.doubled_areas(np.array([shape], dtype=object))[0])


def minus(shape: BaseGeometry, taken: Iterable[BaseGeometry]) -> BaseGeometry:
    """A polygon without parts of it, by their edges; the parts' and its vertices match."""
    return combined([shape], taken)


def combined(added: Iterable[BaseGeometry], taken: Iterable[BaseGeometry]) -> BaseGeometry:
    """Shapes together without others, by their edges, whose vertices match.

    Where that is no ground owned once, the result has another area than the sum, or is not valid.
    """
    mine, theirs = (coverage.polygon_edges(np.array(list(g), dtype=object)) for g in (added, taken))
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
    return refuse_childless(replace(cov, grids=grids))
