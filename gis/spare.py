"""Spare ground: what no lowest grid owns, kept under the lowest grid above it, so that areas add up.

An upper grid is its children and its own spare ground, exactly: the edges of its recorded polygon without
those of its children. What is left over of them is the spare ground, or, where children overlap or stray out
of it, no ground at all; then the recorded polygon is kept beside (`Coverage.outlines`) for the checks.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.contested import apart
from gis.coverage import Edges, Ints
from gis.errors import NotDrawable
from gis.settle import (
    NOBODY,
    SPARE,
    Coverage,
    Grid,
    adds_up,
    is_grid,
    minus,
    refuse_childless,
    refuse_invalid,
    spare_of,
    total,
)

Shapes = dict[str, BaseGeometry]


def cover(
    grids: Iterable[Grid],
    shapes: Mapping[str, BaseGeometry],
    frame: BaseGeometry | None = None,
    retired: Iterable[str] = (),
) -> Coverage:
    """The coverage of snapped grids (EPSG:4326).

    The lowest grids hold the ground; an upper grid whose shape is given keeps as spare what its children
    leave of it, one without is their sum. What several claim is contested ground. Ground of `frame` that none
    owns is nobody's. Raises NotDrawable where grids are not valid, leave the frame, or cannot be told apart.
    """
    by_code = {grid.code: grid for grid in grids}
    above = {grid.parent for grid in by_code.values()}
    given = {code: shapely.normalize(coverage.to_units(shapes[code])) for code in by_code if code in shapes}
    lowest = {code: given[code] for code in sorted(by_code) if code not in above}
    refuse_invalid(lowest)
    ground, owned, outlines = _sorted_out(by_code, given, lowest)
    if frame is not None:
        ground |= _left(coverage.to_units(frame), owned)
    return Coverage(by_code, ground, frozenset(retired), outlines)


def _sorted_out(
    grids: Mapping[str, Grid], given: Shapes, lowest: Shapes
) -> tuple[Shapes, BaseGeometry, Shapes]:
    """Ground with one owner each, its sum, and the outlines to keep; what grids contest is kept apart."""
    try:
        return _with_spare(grids, given, lowest)
    except NotDrawable:
        alone, contested = apart(lowest)
        if not contested:
            raise
        return _with_spare(grids, given, alone | contested)


def _with_spare(
    grids: Mapping[str, Grid], given: Shapes, lowest: Shapes
) -> tuple[Shapes, BaseGeometry, Shapes]:
    """The lowest ground and what it leaves of the upper grids, proven."""
    spare, outlines = _found(grids, given, lowest)
    for key in _claimed_twice(lowest, spare):
        del spare[key]
        outlines[key.removeprefix(SPARE)] = given[key.removeprefix(SPARE)]
    outlines |= _unfit_above(Coverage(grids, lowest | spare), given, outlines)
    ground, owned = _proven(lowest | spare)
    return *_with_unfilled(grids, ground, owned, outlines), outlines


def _unfit_above(there: Coverage, given: Shapes, outlines: Shapes) -> Shapes:
    """The recorded polygons above some that children do not fit into, which the ground does not fit either.

    They may well be what the recorded polygons right below add up to.
    """
    found: Shapes = {}
    for code in outlines:
        above = there.grids[code].parent
        while above in given and above not in outlines and above not in found:
            rest = _rest_of_matched(given[above], [there.shapes[key] for key in there.ground(above)])
            if rest is None or not rest.is_empty:
                found[above] = given[above]
            above = there.grids[above].parent
    return found


def _with_unfilled(
    grids: Mapping[str, Grid], ground: Shapes, owned: BaseGeometry, outlines: Shapes
) -> tuple[Shapes, BaseGeometry]:
    """The same with what is nobody's in recorded polygons that their children do not fit into, proven.

    It is spare ground of the lowest such grid. Where its border meets another's beside their vertices, it
    cannot be told exactly, and stays out.
    """
    found: Shapes = {}
    for code in sorted(outlines, key=lambda one: (-grids[one].level, one)):
        held = [owned, *found.values()]
        outer, *inner = coverage.match(np.array([outlines[code], *held], dtype=object))
        rest = shapely.get_parts(shapely.difference(outer, shapely.union_all(inner)))
        exact = [one for one in rest.tolist() if one.area > 0 and _is_whole(one)]
        if exact:
            found[spare_of(code)] = total(
                [*([ground[spare_of(code)]] if spare_of(code) in ground else []), *exact]
            )
    try:
        return _proven(ground | found) if found else (ground, owned)
    except NotDrawable:
        return ground, owned


def _is_whole(shape: BaseGeometry) -> bool:
    """Whether all vertices of a shape are whole units."""
    xy = shapely.get_coordinates(shape)
    return bool((xy == np.round(xy)).all())


def _claimed_twice(lowest: Shapes, spare: Shapes) -> list[str]:
    """The keys of spare ground where another parent's grids or spare ground lie too."""
    shapes = lowest | spare
    every, keys = np.array(list(shapes.values()), dtype=object), list(shapes)
    own = np.array(list(spare.values()), dtype=object)
    at, other = shapely.STRtree(every).query(own, predicate="intersects")
    common = shapely.area(shapely.intersection(own[at], every[other]))
    pairs = zip(at[common > 0].tolist(), other[common > 0].tolist(), strict=True)
    return sorted({list(spare)[i] for i, j in pairs if list(spare)[i] != keys[j]})


def _proven(ground: Shapes) -> tuple[Shapes, BaseGeometry]:
    """Ground that has one owner each, with each other's vertices, and its sum; raises NotDrawable."""
    for there in (ground, _matched(ground)):
        owned = total(there.values())
        if owned.is_valid and adds_up([owned], there.values()):
            return there, owned
    raise NotDrawable("the grids overlap; put the faults of the check right first")


def _matched(ground: Shapes) -> Shapes:
    shapes = coverage.match(np.array(list(ground.values()), dtype=object))
    return dict(zip(ground, shapely.normalize(shapes), strict=True))


def _found(grids: Mapping[str, Grid], given: Shapes, lowest: Shapes) -> tuple[Shapes, Shapes]:
    """Spare ground by its key, and the recorded polygons of the grids that what lies below does not fit.

    It is what the recorded polygons right below leave, or where these do not fit, what the ground in them
    does: from the lowest upper grids up, as what one keeps as spare is ground of those above it.
    """
    spare: Shapes = {}
    unfit: list[str] = []
    for parent, edges in _left_over(grids, given).items():
        below = [given[code] for code, grid in grids.items() if grid.parent == parent]
        rest: BaseGeometry | None = shapely.normalize(coverage.from_edges(edges))
        if rest is None or not _is_rest(given[parent], below, rest):
            rest = _rest_of_matched(given[parent], below)
        if rest is None:
            unfit.append(parent)
        elif not rest.is_empty:
            spare[spare_of(parent)] = rest
    outlines: Shapes = {}
    for code in sorted(unfit, key=lambda one: (-grids[one].level, one)):
        there = Coverage(grids, lowest | spare)
        left = _rest_of_matched(given[code], [there.shapes[key] for key in there.ground(code)])
        if left is None:
            outlines[code] = given[code]
        elif not left.is_empty:
            spare[spare_of(code)] = left
    return spare, outlines


def _left_over(grids: Mapping[str, Grid], given: Shapes) -> dict[str, Edges]:
    """The edges of each upper grid that do not cancel against those of its children."""
    lacking = {grid.parent for code, grid in grids.items() if code not in given}
    parents = sorted({str(g.parent) for g in grids.values() if g.parent in given} - lacking)
    row = {code: i for i, code in enumerate(parents)}
    below = [code for code, grid in grids.items() if grid.parent in row and code in given]
    outer = coverage.polygon_edges(np.array([given[code] for code in parents], dtype=object))
    inner = coverage.polygon_edges(np.array([given[code] for code in below], dtype=object))
    family = np.array([row[str(grids[code].parent)] for code in below], dtype=np.int64)
    start, end = np.vstack([outer.start, inner.end]), np.vstack([outer.end, inner.start])
    low, high, group, net = coverage.residual(start, end, np.r_[outer.owner, family[inner.owner]])
    return {parents[i]: _edges(low, high, net, group == i) for i in np.unique(group)}


def _edges(low: Ints, high: Ints, net: Ints, mine: coverage.Bools) -> Edges:
    """Some of the edges left over, as often as they are."""
    times = np.abs(net[mine])
    forth = np.repeat(net[mine] > 0, times)[:, None]
    a, b = np.repeat(low[mine], times, axis=0), np.repeat(high[mine], times, axis=0)
    return Edges(np.where(forth, a, b), np.where(forth, b, a), np.zeros(len(a), dtype=np.int64))


def _is_rest(whole: BaseGeometry, below: list[BaseGeometry], rest: BaseGeometry) -> bool:
    """Whether children and what is left over make up their parent, each piece once."""
    return bool(rest.is_valid) and adds_up([whole], [*below, rest])


def _rest_of_matched(whole: BaseGeometry, below: list[BaseGeometry]) -> BaseGeometry | None:
    """What children leave of a parent that lacks vertices of theirs; None where they do not fit."""
    outer = coverage.match(np.array([whole, *below], dtype=object))[0]
    rest = minus(outer, below)
    return rest if _is_rest(outer, below, rest) else None


def _left(frame: BaseGeometry, owned: BaseGeometry) -> Shapes:
    """The ground of a frame that nothing in it holds; raises NotDrawable where grids leave the frame."""
    rest: BaseGeometry | None = minus(frame, [owned])
    if rest is not None and not _is_rest(frame, [owned], rest):
        rest = _rest_of_matched(frame, [owned])
    if rest is None:
        raise NotDrawable("the grids leave their frame; put the faults of the check right first")
    return {} if rest.is_empty else {NOBODY: rest}


def lay(
    before: Coverage, shapes: Mapping[str, BaseGeometry], grids: Mapping[str, Grid], gone: Iterable[str]
) -> Coverage:
    """A coverage of other shapes (units) on the ground of another one, proven.

    What they leave is spare ground of the grid under which it lay. Raises NotDrawable where they overlap,
    leave the ground or lack a vertex of each other.
    """
    lowest = {code: shapely.normalize(shape) for code, shape in shapes.items()}
    refuse_invalid(lowest)
    owned = total(lowest.values())
    outer, same = coverage.match(np.array([before.outline(), owned], dtype=object))
    rest = minus(outer, [owned])
    whole = adds_up([outer], [*lowest.values(), rest]) and adds_up([owned], lowest.values())
    if not same.equals_exact(owned) or not whole or not (rest.is_valid and owned.is_valid):
        raise NotDrawable("the grids overlap, or leave the ground of the plan; put the faults right first")
    retired = before.retired | set(gone)
    ground = lowest | shared_out(before, rest, grids)
    after = replace(before, grids=grids, shapes=ground, retired=retired)
    return refuse_childless(after)


def shared_out(before: Coverage, rest: BaseGeometry, grids: Collection[str]) -> Shapes:
    """Ground without an owner (units) by key: right below the grid where it lay before.

    A part of it that lay below several is cut along their old borders, if those meet its border in its
    vertices; else it goes whole to the grid that had most of it.
    """
    found: dict[str, list[BaseGeometry]] = {}
    for part in shapely.get_parts(rest) if not rest.is_empty else ():
        pieces = _pieces(before, part, grids)
        whole = len(pieces) == 1 or not _make_up(part, pieces)
        most = max(sorted(pieces), key=lambda key: sum(one.area for one in pieces[key]), default=NOBODY)
        for key, mine in {most: [part]}.items() if whole else pieces.items():
            found.setdefault(key, []).extend(mine)
    return {key: total(parts) for key, parts in found.items()}


def _pieces(before: Coverage, part: BaseGeometry, grids: Collection[str]) -> dict[str, list[BaseGeometry]]:
    """What a part of the ground has in common with grids and spare ground, by the key it goes to."""
    found: dict[str, list[BaseGeometry]] = {}
    for key in before.near(part):
        holder = before.parent(key)
        common = shapely.get_parts(shapely.intersection(before.shapes[key], part))
        polygons = [one for one in common if one.area > 0]
        if polygons:
            to = spare_of(holder) if holder in grids else NOBODY
            found.setdefault(to, []).extend(polygons)
    return found


def _make_up(part: BaseGeometry, pieces: Mapping[str, list[BaseGeometry]]) -> bool:
    """Whether pieces are whole units that together are a part, vertex for vertex."""
    every = np.array([one for mine in pieces.values() for one in mine], dtype=object)
    together = shapely.GeometryCollection(every.tolist())
    return _is_whole(together) and bool(total(every).equals_exact(shapely.normalize(part)))


def passed_on(shapes: Mapping[str, BaseGeometry], gone: Iterable[str], to: str) -> Shapes:
    """Ground with the spare ground of some grids joined to another's."""
    keys = [key for code in (*gone, to) if (key := spare_of(code)) in shapes]
    rest = {key: shape for key, shape in shapes.items() if key not in keys}
    return rest | ({spare_of(to): total(shapes[key] for key in keys)} if keys else {})


def spare_keys(cov: Coverage) -> list[str]:
    """The keys of all ground without an owner, and of contested ground."""
    return [key for key in cov.shapes if not is_grid(key)]
