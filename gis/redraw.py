"""The steps of redrawing: pure functions that take a coverage and give the next one, exact to the unit."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage, lattice
from gis.contested import passed_to, recoded
from gis.coverage import Ints
from gis.errors import BadInput, NotFound
from gis.giving import give, snap, take_in
from gis.lattice import Line, Point, drawn
from gis.parts import (
    divide,
    exchange,
    held,
    joined,
    longest_border,
    passed,
    replaced,
    rings,
    shared,
)
from gis.settle import (
    Coverage,
    amend,
    claimants,
    edges_of,
    held_alone,
    is_grid,
    minus,
    named,
    settle,
    spare_of,
    total,
    with_tees,
)
from gis.spare import lay, passed_on
from gis.splitting import split
from gis.tolerances import REACH_M, scale_at

STRAY_SHARE = 0.01
"""When an upper grid is split, a grid below keeps to one side if the other has less than this share of it."""

Lonlat = Sequence[float]


def merge(cov: Coverage, codes: Sequence[str], into: str | None = None) -> Coverage:
    """Make one grid of several of the same level; it keeps the code `into`, else the first one's."""
    codes = named(codes)
    into = into or codes[0]
    if len({cov.grid(code).level for code in codes}) > 1:
        raise BadInput("codes", "they are not of one level")
    if into not in codes:
        raise BadInput("into", f"{into} is not one of the grids to merge")
    gone = [code for code in codes if code != into]
    grids = {code: grid for code, grid in cov.grids.items() if code not in gone}
    if all(code in cov.shapes for code in codes):
        claims, alone = passed_to(cov, codes, into)
        whole = total([*(cov.shapes[code] for code in codes), *alone])
        return settle(cov, claims | {into: whole}, grids=grids, gone=gone)
    if any(code in cov.shapes for code in codes):
        raise BadInput("codes", "some of them have grids below them and some have not")
    below = {child: replace(cov.grids[child], parent=into) for code in gone for child in cov.children[code]}
    shapes = passed_on(cov.shapes, gone, into)
    return replace(cov, grids=grids | below, shapes=shapes, retired=cov.retired | set(gone))


def reshape(cov: Coverage, codes: Sequence[str], line: BaseGeometry) -> Coverage:
    """Draw the border between two grids anew: a line from border to border replaces the stretch between.

    Of a line drawn freely, what lies between its first and last crossing of the border counts (`trimmed`).
    Of upper grids, the ground that changes sides takes its grids along: whole ones change their parent, parts
    join the grid they lie against.
    """
    one, other = named(codes)[:2]
    sides = [held_alone(cov, code) for code in (one, other)]
    path, tees = lattice.conform(drawn(line), *edges_of(sides))
    old = with_tees(sides, tees)
    stretch, border = replaced(old[0], old[1], path)
    if one in cov.shapes and other in cov.shapes:
        new = exchange(old[0], old[1], stretch, border)
        return settle(cov, dict(zip((one, other), new, strict=True)), tees)
    lost, gained = passed(stretch, border)
    there = _hand_over(cov, one, other, lost, stretch, tees)
    return _hand_over(there, other, one, gained, stretch, tees)


def trimmed(cov: Coverage, codes: Sequence[str], line: BaseGeometry) -> BaseGeometry | None:
    """The part of a line (EPSG:4326) between its first and last crossing of the border of two grids.

    None where it does not cross the border twice.
    """
    one, other = (held_alone(cov, code) for code in named(codes)[:2])
    path, tees = lattice.conform(drawn(line), *edges_of([one, other]))
    on = {p for edge in shared(*with_tees([one, other], tees)) for p in edge}
    hits = [i for i, p in enumerate(path) if p in on]
    if len(hits) < 2:
        return None
    stretch: BaseGeometry = coverage.to_degrees(shapely.LineString(path[hits[0] : hits[-1] + 1]))
    return stretch


def move_vertex(cov: Coverage, at: Lonlat, to: Lonlat) -> Coverage:
    """Move a vertex, and with it every border that runs through it."""
    return _move(cov, {_vertex(cov, at): _whole(to)})


def move_edge(cov: Coverage, edge: Sequence[Lonlat], to: Sequence[Lonlat]) -> Coverage:
    """Move both ends of an edge, and with it every border that runs through them."""
    if len(edge) != 2 or len(to) != 2:
        raise BadInput("edge", "give the two ends and the two places they move to")
    return _move(cov, {_vertex(cov, a): _whole(b) for a, b in zip(edge, to, strict=True)})


def assign(
    cov: Coverage, to: str, area: BaseGeometry | None = None, buildings: Sequence[BaseGeometry] = ()
) -> Coverage:
    """Give the ground within an area, or under buildings, to one of the lowest grids.

    Buildings come with a strip that joins them to it. A grid that would lose all its ground is refused.
    """
    if cov.grid(to).code not in cov.shapes:
        raise BadInput("to", f"grid {to} has grids below it; name one of those")
    houses = np.array(coverage.to_units(list(buildings)), dtype=object)
    wanted = joined(cov.shapes[to], houses) if area is None else coverage.to_units(area)
    givers = [code for code in cov.near(wanted) if code != to and is_grid(code)]
    wanted, paths, tees = rings(wanted, [cov.shapes[code] for code in [*givers, to]])
    left, taken = {}, []
    for code, shape in zip(givers, with_tees([cov.shapes[code] for code in givers], tees), strict=True):
        mine = [piece for piece in divide(shape, paths) if held(wanted, piece)]
        if mine:
            left[code] = minus(shape, mine)
            taken += mine
    if not taken:
        raise BadInput("area", f"nothing in it belongs to another grid than {to}")
    return settle(cov, left | {to: total([*with_tees([cov.shapes[to]], tees), *taken])}, tees)


def transfer(cov: Coverage, code: str, parent: str) -> Coverage:
    """Put a grid, with all below it, under another parent of the same level as its own."""
    old, new = cov.grid(code).parent, cov.grid(parent)
    if old is None or cov.grid(old).level != new.level or parent in cov.shapes:
        raise BadInput("parent", f"{parent} is not of the level above {code}")
    return amend(cov, code, parent=parent)


def rename(cov: Coverage, code: str, name: str) -> Coverage:
    """Give a grid another name; its code stays."""
    if not name.strip():
        raise BadInput("name", "it is empty")
    return amend(cov, code, name=name.strip())


def renumber(cov: Coverage, codes: Sequence[str]) -> Coverage:
    """Show grids in this order: their display numbers become 1, 2, 3 …; codes stay."""
    orders = {code: replace(cov.grid(code), order=i) for i, code in enumerate(named(codes), start=1)}
    return replace(cov, grids=dict(cov.grids) | orders)


def adopt(cov: Coverage, grids: Sequence[Mapping[str, Any]], gone: Sequence[str] = ()) -> Coverage:
    """Take over lowest grids as they were drawn elsewhere, each with code, shape (GeoJSON), parent and name.

    Grids not named stay as they are; those in `gone` go. What is left over is nobody's ground.
    """
    for code in gone:
        cov.grid(code)
    rows = {code: grid for code, grid in cov.grids.items() if code not in gone}
    shapes = {code: cov.shape(code) for code in cov.shapes if code not in gone and is_grid(code)}
    for given in grids:
        code, parent = str(given["code"]), str(given["parent"])
        old = rows.get(code) or replace(cov.grids[_sibling(cov, parent)], code=code, name="", order=0)
        if code not in cov.grids and code in cov.retired:
            raise BadInput("grids", f"code {code!r} has been used before; codes are never given twice")
        rows[code] = replace(old, parent=parent, name=str(given.get("name") or old.name))
        shapes[code] = coverage.to_units(_geometry(given["shape"]))
    return lay(cov, shapes, rows, gone)


def group(cov: Coverage, steps: Sequence[Mapping[str, Any]], title: str = "") -> Coverage:  # noqa: ARG001
    """Take several steps as one; `title` says what they are for."""
    for step in steps:
        cov = apply(cov, step)
    return cov


def recode(cov: Coverage, codes: Mapping[str, str]) -> Coverage:
    """Give grids of a draft the codes that are reserved for them: what is handed over has no labels left."""
    taken = sorted(set(codes.values()) & {*cov.grids, *cov.retired} - set(codes))
    if taken or len(set(codes.values())) < len(codes):
        raise BadInput("codes", f"{taken[0] if taken else 'one of them'} is given twice")
    grids = {
        codes.get(code, code): replace(
            grid, code=codes.get(code, code), parent=codes.get(grid.parent or "", grid.parent)
        )
        for code, grid in cov.grids.items()
    }
    keys = dict(codes) | {spare_of(old): spare_of(new) for old, new in codes.items()}
    shapes = {keys.get(key, recoded(key, codes)): shape for key, shape in cov.shapes.items()}
    return replace(cov, grids=grids, shapes=shapes)


def _sibling(cov: Coverage, parent: str) -> str:
    """A lowest grid below a parent."""
    below = [code for code in cov.children.get(parent, []) if code in cov.shapes]
    if not below:
        raise BadInput("grids", f"{parent} has no lowest grids below it; name another parent")
    return below[0]


STEPS: list[Callable[..., Coverage]] = [
    split,
    merge,
    reshape,
    move_vertex,
    move_edge,
    assign,
    give,
    take_in,
    snap,
    transfer,
    rename,
    renumber,
    adopt,
    group,
    recode,
]


def apply(cov: Coverage, step: Mapping[str, Any]) -> Coverage:
    """Take one step given as `{"op": name, …}`; geometries (EPSG:4326) may be GeoJSON.

    The same coverage and step always give the same result, to the byte. Raises BadInput for an unknown op or
    unfitting parameters, and whatever the step raises; the coverage given stays as it was.
    """
    by_name = {one.__name__: one for one in STEPS}
    op = step.get("op")
    if op not in by_name:
        raise BadInput("op", f"{op!r} is none of {', '.join(by_name)}")
    given = {key: _geometry(value) for key, value in step.items() if key != "op"}
    try:
        inspect.signature(by_name[op]).bind(cov, **given)
    except TypeError as error:
        raise BadInput("op", f"{op}: {error}") from error
    return by_name[op](cov, **given)


def _geometry(value: Any) -> Any:
    if isinstance(value, Mapping) and "coordinates" in value:
        return shapely.geometry.shape(dict(value))
    return [_geometry(one) for one in value] if isinstance(value, list) else value


def _whole(at: Lonlat) -> Point:
    x, y = (round(c * coverage.UNITS_PER_DEGREE) for c in at[:2])
    return (x, y)


def _vertex(cov: Coverage, at: Lonlat) -> Point:
    """The vertex within `REACH_M` that is nearest to a place."""
    place = np.array(_whole(at))
    scale = scale_at(place[1])
    near = cov.near(shapely.box(*(place - REACH_M / scale), *(place + REACH_M / scale)))
    vertices = shapely.get_coordinates([cov.shapes[code] for code in near])
    far = np.hypot(*((vertices - place) * scale).T)
    if not len(far) or far.min() > REACH_M:
        raise NotFound(f"there is no vertex within 5 m of {at[0]}, {at[1]}")
    a, b = vertices[int(np.argmin(far))].tolist()
    return (int(a), int(b))


def _move(cov: Coverage, moves: Mapping[Point, Point]) -> Coverage:
    """Put vertices elsewhere in every grid that has them."""
    codes = cov.near(shapely.MultiPoint(list(moves)))
    edges = coverage.polygon_edges(np.array([cov.shapes[code] for code in codes], dtype=object))
    start, end = _moved(edges.start, moves), _moved(edges.end, moves)
    moved = np.any(start != edges.start, axis=1) | np.any(end != edges.end, axis=1)
    if len(coverage.cancel(edges.start[moved], edges.end[moved])[0]):
        raise BadInput("at", "it lies on the outer border of the plan, which stays; plan in the scope above")
    around = cov.near(shapely.MultiPoint(np.vstack([start[moved], end[moved]])).envelope)
    _refuse_crossing(start[moved], end[moved], [cov.shapes[code] for code in around], moves)
    real = np.any(start != end, axis=1)
    touched = {}
    for i in np.unique(edges.owner[moved]):
        mine = real & (edges.owner == i)
        touched[codes[i]] = coverage.from_edges(coverage.Edges(start[mine], end[mine], edges.owner[mine]))
    return settle(cov, touched)


def _moved(vertices: Ints, moves: Mapping[Point, Point]) -> Ints:
    result = vertices.copy()
    for at, to in moves.items():
        result[np.all(vertices == at, axis=1)] = to
    return result


def _refuse_crossing(
    start: Ints, end: Ints, shapes: list[BaseGeometry], moves: Mapping[Point, Point]
) -> None:
    """Moved edges must reach their ends without meeting any edge that stays."""
    low, high = edges_of(shapes)
    stays = np.all(_moved(low, moves) == low, axis=1) & np.all(_moved(high, moves) == high, axis=1)
    for (a, b), (c, d) in zip(start.tolist(), end.tolist(), strict=True):
        if (a, b) != (c, d):
            path, tees = lattice.conform([(a, b), (c, d)], low[stays], high[stays])
            if len(path) > 2 or {path[0], path[-1]} != {(a, b), (c, d)} or len(tees):
                raise BadInput("to", "a border would cross or touch another there; move it less far")


def _hand_over(
    cov: Coverage, giver: str, taker: str, lost: BaseGeometry, stretch: Line, tees: lattice.Tees
) -> Coverage:
    """Let the lowest grids follow when ground of one upper grid goes to another."""
    if lost.is_empty:
        return cov
    near = cov.near(lost)
    shapes = dict(zip(near, with_tees([cov.shapes[code] for code in near], tees), strict=True))
    ground = {code: [shapes[code]] for code in cov.leaves(taker) if code in shapes}
    left: dict[str, BaseGeometry] = {}
    todo: list[tuple[str, BaseGeometry, bool]] = []
    spare: list[BaseGeometry] = []
    for code in [c for c in cov.ground(giver) if c in shapes]:
        pieces = divide(shapes[code], [stretch])
        mine = [piece for piece in pieces if held(lost, piece)]
        if mine and claimants(code):
            raise BadInput("line", f"{', '.join(claimants(code))} contest ground there; give it to one first")
        if mine and (len(mine) < len(pieces) or not is_grid(code)):
            left[code] = minus(shapes[code], mine)
        if is_grid(code):
            todo += [(code, piece, len(mine) == len(pieces)) for piece in mine]
        else:
            spare += mine
    if spare:
        key = spare_of(taker)
        left[key] = total([*with_tees([cov.shapes[key]] if key in cov.shapes else [], tees), *spare])
    return _join_all(cov, ground, left, todo, tees)


def _join_all(
    cov: Coverage,
    ground: dict[str, list[BaseGeometry]],
    left: dict[str, BaseGeometry],
    todo: list[tuple[str, BaseGeometry, bool]],
    tees: lattice.Tees,
) -> Coverage:
    """Each part joins the grid it shares the longest border with; whole grids become that grid's siblings."""
    grids, grown = dict(cov.grids), set()
    while todo:
        found = ((i, longest_border(piece, ground)) for i, (_, piece, _) in enumerate(todo))
        i, to = next(((i, to) for i, to in found if to is not None), (0, None))
        code, piece, whole = todo.pop(i)
        if to is None:
            raise BadInput("line", f"part of grid {code} would change sides without touching the other side")
        if whole:
            grids[code] = replace(grids[code], parent=grids[to].parent)
            ground[code] = [piece]
        else:
            ground[to].append(piece)
            grown.add(to)
    return settle(cov, left | {code: total(ground[code]) for code in grown}, tees, grids)
