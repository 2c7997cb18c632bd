"""Bringing a draft onto ground that moved on: what touches different grids merges, the rest conflicts.

Three coverages of one scope: the base that the draft was drawn on, the draft, and the ground now. A grid is
touched where its shape, name, parent, kind, order or existence differs from the base; a grid that merely got
a vertex into an edge, because a neighbour's new border ends there, is not. Those vertices (`tees`) of both
sides go into every shape that has the edge, and `settle` proves that the ground still adds up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis.errors import BadInput, Emptied, NotDrawable
from gis.lattice import Tees
from gis.plan_diff import Version, diff, version_of
from gis.plan_outlines import (
    Chains,
    as_tees,
    directed,
    given,
    inserted_between,
    joined,
    meanders,
    moved,
    vertices,
    welds,
    with_vertices_at,
)
from gis.settle import Coverage, Grid, combined, is_grid, same_shape, settle, with_tees
from gis.spare import shared_out
from gis.tolerances import BEND_UNITS, MATCH_UNITS


@dataclass(frozen=True)
class Conflict:
    """A grid that both sides touched: what of it, both versions (None: gone), and what is decided with it.

    `beside`: those decided with it that others drew otherwise.
    """

    code: str
    fields: tuple[str, ...]
    mine: Version | None
    theirs: Version | None
    together: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """The draft on the ground now, or, where that cannot be, the grids in conflict."""

    cov: Coverage
    conflicts: tuple[Conflict, ...] = ()
    undone: frozenset[str] = frozenset()
    """What others published since and decisions take back."""


class Side:
    """What one side made of the base."""

    def __init__(self, base: Coverage, cov: Coverage) -> None:
        self.base, self.cov, self.changes = base, cov, diff(base, cov)

    @cached_property
    def followers(self) -> dict[str, Chains]:
        """The lowest grids, and other ground, that only got vertices into their edges, and which."""
        return self._bent(forth=True)

    @cached_property
    def straightened(self) -> dict[str, Chains]:
        """Those that only lost vertices, and which: what a neighbour drew ends on a later day."""
        return self._bent(forth=False)

    def _bent(self, *, forth: bool) -> dict[str, Chains]:
        found, known = {}, given(self.changes)
        for code, (before, after) in self.changes.items():
            if before and after and before.leaf and after.leaf and before.grid == after.grid:
                sides = [before.shape], [after.shape]
                chains = inserted_between(*(sides if forth else sides[::-1]))
                passed = is_grid(code) and not known.isdisjoint(moved(before, after))
                if chains is not None and not passed:
                    found[code] = chains
        return found

    @cached_property
    def touched(self) -> dict[str, frozenset[str]]:
        """The grids touched, and what of them; spare ground is what they leave, and never in conflict."""
        bent = {*self.followers, *self.straightened}
        codes = (code for code in self.changes if code not in bent and is_grid(code))
        return {code: fields for code in codes if (fields := _fields(*self.changes[code]))}

    @cached_property
    def spare(self) -> set[str]:
        """The keys of spare ground that became more or less."""
        return {key for key in self.changes if not is_grid(key) and key not in self.followers}

    def chains(self, apart: set[str]) -> Chains:
        """Every vertex that came into an edge of the base.

        `apart`: touched grids that another version is taken of, so that their border with the others counts.
        """
        whole = {*self.touched, *self.spare}
        groups = [whole, whole - apart, whole & apart] if apart else [whole]
        return joined([*map(self._outline, groups), *self.followers.values()])

    def _outline(self, codes: set[str]) -> Chains:
        """The vertices that came into the edges around grids together."""
        pairs = [self.changes[code] for code in sorted(codes)]
        sides = [[v.shape for pair in pairs if (v := pair[side]) and v.leaf] for side in (0, 1)]
        return inserted_between(*sides) or {}

    @cached_property
    def _passed(self) -> list[tuple[str, str]]:
        """Pairs of touched grids of which the second got ground of the first."""
        leaf = [[(c, v.shape) for c in self.touched if (v := self.changes[c][s]) and v.leaf] for s in (0, 1)]
        return [(a, b) for a, b in _sharing(*leaf) if a != b]

    def heirs(self, code: str, units: float) -> set[str]:
        """The grids that got ground of one, wider than so many units."""
        before = self.changes[code][0]
        others = [(b, self.changes[b][1]) for a, b in self._passed if a == code]
        got = ((b, shapely.intersection(before.shape, v.shape)) for b, v in others if before and v)
        return {b for b, ground in got if _is_wide(ground, units)}

    @cached_property
    def _links(self) -> list[tuple[str, str]]:
        """Pairs of touched grids of which one is not what it is without the other."""
        pairs = list(self._passed)
        for code in self.touched:
            above = {v.grid.parent for v in self.changes[code] if v is not None and v.grid.parent}
            pairs += [(code, parent) for parent in above if "existence" in self.touched.get(parent, ())]
        return pairs

    def together(self, code: str) -> set[str]:
        """The grids that are decided with one: ground or members passed between them."""
        found, todo = {code}, [code]
        while todo:
            at = todo.pop()
            more = {b for a, b in self._links if a == at} | {a for a, b in self._links if b == at}
            todo += more - found
            found |= more
        return found

    def after(self, code: str) -> Version | None:
        """A grid on this side."""
        return self.changes[code][1] if code in self.changes else version_of(self.cov, code)


def merge(base: Coverage, mine: Coverage, now: Coverage, takes: Mapping[str, str] | None = None) -> Merged:
    """The draft `mine` of `base` on the ground `now`; `takes` decides conflicts: "mine" or "theirs" by code.

    Raises BadInput where two decisions contradict each other.
    """
    ours, theirs = Side(base, mine), Side(base, now)
    if not theirs.changes:  # nobody published since
        return Merged(mine if ours.touched or ours.spare else now)
    ours = Side(base, _welded(ours, theirs))
    dropped, undone = _decided(ours, theirs, takes or {})
    kept, there = set(ours.touched) - dropped, set(theirs.touched) - undone
    clash = sorted(code for code in kept & there if _at_odds(ours, theirs, code))
    if clash:
        return Merged(now, tuple(_conflict(ours, theirs, code) for code in clash))
    # Of what both drew alike, but for corners, theirs stands: its neighbours have them.
    kept -= {code for code in kept & there if _joints(ours.after(code), theirs.after(code)) is None}
    target = {code: version_of(base, code) for code in undone} | {code: ours.after(code) for code in kept}
    if not target:
        return Merged(now)
    came = joined([ours.chains(dropped), theirs.chains(undone)])
    merged = _settled(ours, theirs, target, ours.spare | (theirs.spare if undone else set()), came)
    return replace(merged, undone=frozenset(undone))


def _welded(ours: Side, theirs: Side) -> Coverage:
    """Our draft with the vertices that both sides drew for one place at the same place.

    Who draws one line twice, on edges that bent meanwhile, gets corners that differ by the rounding.
    """
    mine, drawn_on = vertices(ours.changes)
    others, base = vertices(theirs.changes)
    goes = welds(mine - drawn_on - others, others - base - mine)
    shapes = {code: shape for code, shape in ours.cov.shapes.items() if goes and code in ours.changes}
    welded = {code: with_vertices_at(shape, goes) for code, shape in shapes.items()}
    if not welded or not all(shape.is_valid for shape in welded.values()):
        return ours.cov
    return replace(ours.cov, shapes={**ours.cov.shapes, **welded})


def _at_odds(ours: Side, theirs: Side, code: str) -> bool:
    """Whether two sides made different things of a grid, or gave its ground to different ones."""
    if differ(ours.after(code), theirs.after(code)):
        return True
    sides = (ours, theirs), (theirs, ours)
    return any(one.heirs(code, BEND_UNITS) - other.heirs(code, MATCH_UNITS) for one, other in sides)


def differ(one: Version | None, other: Version | None) -> bool:
    """Whether two versions of a grid are more than the same drawn twice."""
    if one is None or other is None:
        return one is not other
    fields = _fields(one, other)
    if fields != {"shape"} or not (one.leaf and other.leaf):
        return bool(fields)
    return _is_wide(shapely.symmetric_difference(one.shape, other.shape), BEND_UNITS)


def _joints(one: Version | None, other: Version | None) -> Chains | None:
    """The vertices of either version, where they differ by vertices beside the way; None where by corners."""
    if one is None or other is None or not (one.leaf and other.leaf):
        return {}
    return meanders(directed([one.shape]), directed([other.shape]))


_TOGETHER = (
    "{code} is decided together with {others} (see `with`), and otherwise; take the same version of each "
    "(what is decided already stays so), or undo or redraw what the draft changes of them, then choose anew"
)


def _decided(ours: Side, theirs: Side, takes: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """What of ours is dropped, and what of theirs undone."""
    dropped: set[str] = set().union(*(ours.together(c) for c, take in takes.items() if take == "theirs"))
    undone: set[str] = set().union(*(theirs.together(c) for c, take in takes.items() if take == "mine"))
    for code, take in takes.items():
        if code in (dropped if take == "mine" else undone):
            side = ours if take == "mine" else theirs
            others = sorted(other for other in takes if takes[other] != take and code in side.together(other))
            raise BadInput("take", _TOGETHER.format(code=code, others=", ".join(others)))
    return dropped & set(ours.touched), undone & set(theirs.touched)


def _settled(
    ours: Side, theirs: Side, target: Mapping[str, Version | None], spare: set[str], came: Chains
) -> Merged:
    """The ground now with some grids as given, proven; conflicts where grids hang in the air.

    `came`: the vertices that either side put into edges.
    """
    now = theirs.cov
    grids = {code: grid for code, grid in now.grids.items() if code not in target}
    grids |= {code: one.grid for code, one in target.items() if one is not None}
    leaves = {code: one.shape for code, one in target.items() if one is not None and one.leaf}
    gone = {code for code in target if code in now.shapes and code not in leaves}
    loose = _loose(grids, {*leaves, *now.shapes} - gone)
    if loose:
        return Merged(now, tuple(_conflict(ours, theirs, code) for code in loose))
    twice = (_joints(one, theirs.after(c)) for c, one in target.items() if c in theirs.touched)
    lost = (theirs.straightened[c] for c in target if c in theirs.straightened)
    tees = as_tees(joined([came, *lost, *filter(None, twice)]))
    shapes = dict(zip(leaves, with_tees(leaves.values(), tees), strict=True)) if leaves else {}
    for left in (_spare_of_both, _spare_left) if spare else (_spare_of_both,):
        try:
            return Merged(
                settle(now, shapes | left(ours, theirs, spare, shapes, gone, tees), tees, grids, gone)
            )
        except (NotDrawable, Emptied):
            continue
    beside = sorted(_beside(ours, theirs)) or sorted(ours.touched)
    return Merged(now, tuple(_conflict(ours, theirs, code) for code in beside))


def _spare_of_both(
    ours: Side, theirs: Side, spare: set[str], _: Mapping[str, BaseGeometry], __: set[str], tees: Tees
) -> dict[str, BaseGeometry]:
    """Spare ground as it is now, with what our draft made of the base's: by edges."""
    found = {}
    for key in spare:
        now, mine, base = ([s[key]] if key in s else [] for s in (
            theirs.cov.shapes, ours.cov.shapes, ours.base.shapes))  # fmt: skip
        found[key] = combined(with_tees([*now, *mine], tees), with_tees(base, tees))
    return found


def _spare_left(
    _: Side, theirs: Side, spare: set[str], shapes: Mapping[str, BaseGeometry], gone: set[str], tees: Tees
) -> dict[str, BaseGeometry]:
    """What grids as given leave of the ground that they and spare ground have now."""
    now = theirs.cov
    old = [now.shapes[key] for key in sorted({*spare, *shapes, *gone}) if key in now.shapes]
    rest = combined(with_tees(old, tees), shapes.values())
    if not rest.is_valid:
        raise NotDrawable("two grids would have the same ground")
    return dict.fromkeys(spare, shapely.Polygon()) | shared_out(now, rest, set(now.grids))


def _loose(grids: Mapping[str, Grid], lowest: set[str]) -> list[str]:
    """The codes of parents that are not there, though named, and of upper grids without any below."""
    highest = min((grid.level for grid in grids.values()), default=0)
    named = {grid.parent for grid in grids.values() if grid.level > highest and grid.parent}
    return sorted((named - set(grids)) | (set(grids) - lowest - named))


def _conflict(ours: Side, theirs: Side, code: str) -> Conflict:
    fields = ours.touched.get(code, frozenset()) | theirs.touched.get(code, frozenset())
    others = theirs.together(code) - {code}
    together = (ours.together(code) | others) - {code}
    return Conflict(
        code, tuple(sorted(fields or {"existence"})), ours.after(code), theirs.after(code),
        tuple(sorted(filter(is_grid, together))), tuple(sorted(filter(is_grid, others))),
    )  # fmt: skip


def _beside(ours: Side, theirs: Side) -> set[str]:
    """Ours that lie against theirs."""
    one, other = (
        [(c, v.shape) for c in side.touched if (v := side.after(c)) and v.leaf] for side in (ours, theirs)
    )
    near = [(c, shapely.buffer(shape, MATCH_UNITS)) for c, shape in one]
    return {a for a, _ in _sharing(near, other)}


def _fields(before: Version | None, after: Version | None) -> frozenset[str]:
    """What of a grid differs; the shape of an upper one follows from those below it."""
    if before is None or after is None:
        return frozenset({"existence"})
    names = {"name", "parent", "kind", "order"}
    fields = {name for name in names if getattr(before.grid, name) != getattr(after.grid, name)}
    if before.leaf != after.leaf or (before.leaf and not same_shape(before.shape, after.shape)):
        fields.add("shape")
    return frozenset(fields)


def _is_wide(ground: BaseGeometry, units: float) -> bool:
    """Whether ground is anywhere wider than so many units."""
    return not shapely.buffer(ground, -units / 2).is_empty


def _sharing(
    one: Sequence[tuple[str, BaseGeometry]], other: Sequence[tuple[str, BaseGeometry]]
) -> list[tuple[str, str]]:
    """Pairs of codes whose shapes have ground in common."""
    if not one or not other:
        return []
    a, b = (np.array([shape for _, shape in side], dtype=object) for side in (one, other))
    i, j = shapely.STRtree(b).query(a, predicate="intersects")
    real = shapely.area(shapely.intersection(a[i], b[j])) > 0
    return [(one[x][0], other[y][0]) for x, y in zip(i[real].tolist(), j[real].tolist(), strict=True)]
