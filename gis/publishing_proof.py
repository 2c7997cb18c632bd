"""The proof before a publication is written: no area changes but by what the plan draws.

Judged is what will be written against what stands in the store, version by version. A grid that the plan
draws otherwise may change; an upper one by exactly the ground that passes into it and out of it; of any other
the edges must be what they were, but for vertices beside them (`plan_outlines.bent`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.errors import Unexplained
from gis.plan_diff import Change, Version, diff
from gis.plan_outlines import Point, as_tees, bent, bent_shape, followed, given, inserted_between, moved
from gis.settle import Coverage, combined, is_grid, same_shape, total, with_tees


@dataclass(frozen=True)
class Ground:
    """The ground of an upper grid that goes and comes (units), by keys of a coverage."""

    out: list[BaseGeometry] = field(default_factory=list)
    into: list[BaseGeometry] = field(default_factory=list)

    @cached_property
    def is_bent(self) -> bool:
        """Whether the same ground comes as goes, but for vertices in the edges around it."""
        return inserted_between(self.out, self.into) is not None


def named(base: Coverage, draft: Coverage, undone: Iterable[str] = ()) -> frozenset[str]:
    """The grids that a draft draws otherwise than its base, and those whose later drawing it takes back."""
    changes = diff(base, draft)
    known = given(changes)
    found = {code for code, change in changes.items() if is_grid(code) and not _is_bent(change, known)}
    for code in undone:
        at: str | None = code
        while at is not None and at not in found:
            found.add(at)
            at = base.parent(at) or draft.parent(at)
    return frozenset(found)


def _is_bent(change: Change, known: set[Point]) -> bool:
    """Whether a grid merely got vertices in its edges, and none of ground that was given."""
    before, after = change
    return bent(before, after) and bool(before and after and known.isdisjoint(moved(before, after)))


def passing(old: Coverage, new: Coverage, code: str) -> Ground:
    """What goes from an upper grid and comes to it between two coverages, spare ground too."""
    before, after = (set(cov.ground(code)) if code in cov.grids else set() for cov in (old, new))
    same = {key for key in before & after if same_shape(old.shapes[key], new.shapes[key])}
    out, into = sorted(before - same), sorted(after - same)
    return Ground([old.shapes[key] for key in out], [new.shapes[key] for key in into])


def carried_on(stored: BaseGeometry, ground: Ground) -> BaseGeometry:
    """The polygon of an upper grid as it stands in the store (units) with ground gone and come."""
    tees = as_tees(inserted_between(ground.out, ground.into) or {})
    if not len(tees):
        return _combined(stored, ground)
    return combined([*with_tees([stored], tees), *ground.into], with_tees(ground.out, tees))


def within(stored: BaseGeometry, ground: Ground) -> Ground:
    """What a recorded polygon gets and loses where ground goes and comes: it may hold some of it, or lack it.

    What children have in common with others' grids, or stray into, is in more than one polygon, or in none.
    """
    if ground.is_bent:
        return Ground()
    out, into = total(ground.out), total(ground.into)
    gone, come = shapely.difference(out, into), shapely.difference(into, out)
    lost = shapely.intersection(gone, stored, grid_size=1.0)
    return Ground(_areal(lost), _areal(shapely.difference(come, stored, grid_size=1.0)))


def _areal(shape: BaseGeometry) -> list[BaseGeometry]:
    """The polygons of a geometry."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return [one for one in parts.tolist() if one.area > 0]


def as_written(old: Coverage, new: Coverage, code: str, stored: BaseGeometry | None) -> BaseGeometry:
    """The polygon (units) of a grid that is written in the place of one stored (None: of none).

    One that its children do not fit into gets and loses the ground that passes; any other is its ground.
    """
    lowest = code in new.shapes and code not in old.children
    if stored is None or lowest or code not in old.outlines:
        return new.shape(code)
    ground = passing(old, new, code)
    if ground.is_bent:
        return followed(old, replace(new, outlines={code: stored}))[code]
    return carried_on(stored, within(stored, ground))


def as_recorded(old: Coverage, new: Coverage) -> dict[str, Change]:
    """Every grid that differs between two coverages, upper ones by the polygons stored and to be written."""
    return between(old, old, new, diff(old, new))


def between(base: Coverage, old: Coverage, new: Coverage, changes: Mapping[str, Change]) -> dict[str, Change]:
    """Changes between two drafts on a base, upper grids by the polygons that would be written of each."""
    found = dict(changes)
    for code in base.outlines.keys() & changes.keys():
        before, after = changes[code]
        found[code] = version_written(base, old, before), version_written(base, new, after)
        if found[code][0] == found[code][1]:
            del found[code]
    return found


def version_written(base: Coverage, draft: Coverage, one: Version | None) -> Version | None:
    """A grid of a draft by the polygon that would be written of it, the sum of its children or not."""
    if one is None or one.grid.code not in base.outlines:
        return one
    code = one.grid.code
    return replace(one, shape=as_written(base, draft, code, base.outlines[code]))


def recorded(outline: BaseGeometry, old: Coverage, new: Coverage, code: str) -> BaseGeometry:
    """The recorded polygon (units) of an upper grid that its children do not fit into, once ground passed.

    It keeps what went to nobody at all, and lacks what came from nowhere: those are faults of the map.
    """
    there = within(outline, passing(old, new, code))
    there = Ground(_held(new, there.out, code), _held(old, there.into, code))
    return carried_on(outline, there) if there.out or there.into else outline


def _held(cov: Coverage, ground: list[BaseGeometry], but: str) -> list[BaseGeometry]:
    """The pieces of ground that lie in other ground than a grid's."""
    own = set(cov.ground(but)) if ground and but in cov.grids else set[str]()
    found = []
    for one in ground:
        others = [cov.shapes[key] for key in cov.near(one) if key not in own]
        if shapely.area(shapely.intersection(one, others)).sum() > one.area / 2:
            found.append(one)
    return found


def _combined(stored: BaseGeometry, ground: Ground) -> BaseGeometry:
    """The same by edges, with each other's vertices where the store's outline lacks some of them; else noded.

    Edges that do not meet in their ends make no polygon: its area tells.
    """
    given = np.array([stored, *ground.into, *ground.out], dtype=object)
    for every in (lambda: given, lambda: coverage.match(given)):
        one, *parts = every()
        into, out = parts[: len(ground.into)], parts[len(ground.into) :]
        shape = combined([one, *into], out)
        area = one.area + sum(p.area for p in into) - sum(p.area for p in out)
        if shape.is_valid and abs(shape.area - area) <= 1:
            return shape
    left = shapely.difference(stored, shapely.union_all(ground.out), grid_size=1.0)
    noded: BaseGeometry = shapely.normalize(shapely.union_all([left, *ground.into], grid_size=1.0))
    return noded


@dataclass
class Proof:
    """What a publication will write, judged grid by grid; `refuse` raises for what is not explained."""

    named: frozenset[str]
    found: list[dict[str, object]] = field(default_factory=list)

    def written(self, old: Coverage, new: Coverage, code: str, stored: BaseGeometry | None) -> BaseGeometry:
        """The polygon to write of a grid (units) in the place of one stored (None: of none), judged."""
        lowest = code in new.shapes and code not in old.children
        ground = None if lowest else passing(old, new, code)
        if stored is not None and ground is not None and code in old.outlines:
            ground = within(stored, ground)
        shape = as_written(old, new, code, stored)
        if not shape.is_valid or not self._explained(code, stored, shape, ground):
            self.found.append(_told(code, stored, shape))
        return shape

    def follows(self, code: str, stored: BaseGeometry, shape: BaseGeometry) -> None:
        """Judge a grid outside of the plan that takes over vertices of its outline."""
        if not shape.is_valid or not bent_shape(stored, shape):
            self.found.append(_told(code, stored, shape))

    def _explained(
        self, code: str, stored: BaseGeometry | None, shape: BaseGeometry, ground: Ground | None
    ) -> bool:
        if stored is not None and code not in self.named:
            return bent_shape(stored, shape)
        return ground is None or _adds_up(stored, shape, ground)

    def refuse(self) -> None:
        """Raise Unexplained where an area would change without a step that names the grid."""
        if self.found:
            one = self.found[0]
            raise Unexplained(
                f"grid {one['code']} would change by {one['difference_m2']} m² though no step draws that; "
                "look at its faults and the ground in it that nobody owns",
                self.found,
            )


def _adds_up(before: BaseGeometry | None, after: BaseGeometry, ground: Ground) -> bool:
    """Whether the edges of an upper grid differ by those of the ground that goes and comes alone.

    A recorded outline may lack vertices on both sides of what comes: then all get each other's.
    """
    old = [] if before is None else [before]
    one, other = [after, *ground.out], [*old, *ground.into]
    if inserted_between(one, other) is not None or inserted_between(other, one) is not None:
        return True
    matched = coverage.match(np.array([*one, *other], dtype=object))
    return inserted_between(matched[: len(one)], matched[len(one) :]) is not None


def _told(code: str, before: BaseGeometry | None, after: BaseGeometry) -> dict[str, object]:
    shapes = np.array([shapely.Polygon() if before is None else before, after], dtype=object)
    was, becomes = coverage.areas_m2(coverage.to_degrees(shapes)).tolist()
    difference = round(becomes - was, 2)
    return {"code": code, "area_m2_before": was, "area_m2_after": becomes, "difference_m2": difference}
