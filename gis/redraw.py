"""The steps of redrawing: pure functions that take a coverage and give the next one, exact to the unit."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage, lattice
from gis.coverage import Ints
from gis.errors import BadInput, NotFound
from gis.lattice import Line, Point
from gis.parts import (
    divide,
    exchange,
    held,
    joined,
    longest_border,
    passed,
    reaching,
    replaced,
    rings,
    without_slivers,
)
from gis.settle import (
    Coverage,
    amend,
    edges_of,
    is_grid,
    minus,
    named,
    settle,
    spare_of,
    total,
    with_tees,
)
from gis.spare import lay, passed_on, spare_keys

REACH = 450.0
"""Units (5 m): a vertex this near to the place pointed at is the one meant."""
STRAY_SHARE = 0.01
"""When an upper grid is split, a grid below keeps to one side if the other has less than this share of it."""

Lonlat = Sequence[float]


def split(cov: Coverage, code: str, line: BaseGeometry, into: Sequence[str] | None = None) -> Coverage:
    """Divide a grid by a line, open or closed; the largest part keeps the code, `into` names the others.

    An upper grid divides between the grids below it, none of which the line may cut.
    """
    if cov.grid(code).code not in cov.shapes:
        return _split_upper(cov, code, line, into)
    shape = cov.shapes[code]
    path, tees = lattice.conform(reaching(_points(line), shape), *edges_of([shape]))
    pieces = without_slivers(divide(with_tees([shape], tees)[0], [path]))
    if len(pieces) < 2:
        raise BadInput("line", f"it does not divide grid {code}; begin and end it on the border or beyond")
    pieces = sorted(pieces, key=lambda piece: (-piece.area, shapely.normalize(piece).wkb))
    codes = [code, *_new_codes(cov, code, into, len(pieces) - 1)]
    grids = dict(cov.grids) | {new: replace(cov.grid(code), code=new) for new in codes}
    return settle(cov, dict(zip(codes, pieces, strict=True)), tees, grids)


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
        return settle(cov, {into: total(cov.shapes[code] for code in codes)}, grids=grids, gone=gone)
    if any(code in cov.shapes for code in codes):
        raise BadInput("codes", "some of them have grids below them and some have not")
    below = {child: replace(cov.grids[child], parent=into) for code in gone for child in cov.children[code]}
    shapes = passed_on(cov.shapes, gone, into)
    return replace(cov, grids=grids | below, shapes=shapes, retired=cov.retired | set(gone))


def reshape(cov: Coverage, codes: Sequence[str], line: BaseGeometry) -> Coverage:
    """Draw the border between two grids anew: a line from border to border replaces the stretch between.

    Of upper grids, the ground that changes sides takes its grids along: whole ones change their parent, parts
    join the grid they lie against.
    """
    one, other = named(codes)[:2]
    path, tees = lattice.conform(_points(line), *edges_of([cov.shape(one), cov.shape(other)]))
    old = with_tees([cov.shape(one), cov.shape(other)], tees)
    stretch, border = replaced(old[0], old[1], path)
    if one in cov.shapes and other in cov.shapes:
        new = exchange(old[0], old[1], stretch, border)
        return settle(cov, dict(zip((one, other), new, strict=True)), tees)
    lost, gained = passed(stretch, border)
    there = _hand_over(cov, one, other, lost, stretch, tees)
    return _hand_over(there, other, one, gained, stretch, tees)


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


def take_in(cov: Coverage, at: Lonlat, to: str) -> Coverage:
    """Give the unowned ground around a place to a grid."""
    if cov.grid(to).code not in cov.shapes:
        raise BadInput("to", f"grid {to} has grids below it; name one of those")
    point = shapely.Point(*_whole(at))
    left, taken = {}, []
    for key in spare_keys(cov):
        parts = shapely.get_parts(cov.shapes[key])
        here = shapely.intersects(parts, point)
        if here.any():
            left[key] = total(parts[~here]) if not here.all() else shapely.Polygon()
            taken += list(parts[here])
    if not taken:
        raise NotFound(f"the ground at {at[0]}, {at[1]} has an owner, or lies outside the scope")
    return settle(cov, {to: total([cov.shapes[to], *taken])} | left)


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
    shapes = {code: shape for code, shape in cov.shapes.items() if code not in gone and is_grid(code)}
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
    take_in,
    transfer,
    rename,
    renumber,
    adopt,
    group,
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


def _points(line: BaseGeometry) -> Line:
    """A drawn line as whole points; an area stands for its outline."""
    drawn = shapely.get_exterior_ring(line) if isinstance(line, shapely.Polygon) else line
    if drawn.geom_type not in {"LineString", "LinearRing"} or drawn.is_empty:
        raise BadInput("line", f"it is a {line.geom_type}; draw one line or one polygon")
    points = lattice.as_line(shapely.get_coordinates(coverage.to_units(drawn)))
    if len(points) < 2:
        raise BadInput("line", "it has no length")
    return points


def _whole(at: Lonlat) -> Point:
    x, y = (round(c * coverage.UNITS_PER_DEGREE) for c in at[:2])
    return (x, y)


def _vertex(cov: Coverage, at: Lonlat) -> Point:
    """The vertex within `REACH` that is nearest to a place."""
    x, y = _whole(at)
    near = cov.near(shapely.box(x - REACH, y - REACH, x + REACH, y + REACH))
    vertices = shapely.get_coordinates([cov.shapes[code] for code in near])
    far = np.hypot(*(vertices - [x, y]).T)
    if not len(far) or far.min() > REACH:
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


def _new_codes(cov: Coverage, like: str, into: Sequence[str] | None, count: int) -> list[str]:
    """Codes for new grids: those given, or the next free ones of the same width."""
    if into is None:
        return fresh_codes(cov, like, count)
    codes = list(into)
    used = [code for code in codes if code in cov.grids or code in cov.retired or not code]
    if len(codes) != count or len(set(codes)) != count:
        raise BadInput("into", f"the line makes {count} new grids; give as many different codes, or none")
    if used:
        raise BadInput("into", f"code {used[0]!r} has been used before; codes are never given twice")
    return codes


def fresh_codes(cov: Coverage, like: str, count: int) -> list[str]:
    """The next codes never used, counting up the digits at the end of a code; BadInput at their end."""
    stem = like.rstrip("0123456789")
    width = len(like) - len(stem)
    number = int(like[len(stem) :] or 0)
    codes: list[str] = []
    while len(codes) < count:
        number += 1
        code = f"{stem}{number:0{width}d}" if width else f"{like}-{number}"
        if width and len(code) > len(like):
            raise BadInput("into", f"no code of the form of {like} is free; name the new grids")
        if code not in cov.grids and code not in cov.retired:
            codes.append(code)
    return codes


def _split_upper(cov: Coverage, code: str, line: BaseGeometry, into: Sequence[str] | None) -> Coverage:
    shape = cov.shape(code)
    path, tees = lattice.conform(reaching(_points(line), shape), *edges_of([shape]))
    sides = sorted(divide(with_tees([shape], tees)[0], [path]), key=lambda piece: -piece.area)
    below = cov.children[code]
    shares = np.array([_shares(cov.shape(c), sides, shapely.LineString(path)) for c in below])
    cut = [c for c, share in zip(below, shares, strict=True) if share.max() < 1 - STRAY_SHARE]
    if cut:
        raise BadInput(
            "line", f"it cuts grids {', '.join(cut)}; split those first, or draw along their borders"
        )
    side = shares.argmax(axis=1)
    used = [s for s in range(len(sides)) if (side == s).any()]
    if len(used) < 2:
        raise BadInput("line", f"all grids of {code} lie on one side of it")
    codes = dict(zip(used, [code, *_new_codes(cov, code, into, len(used) - 1)], strict=True))
    spare, tees = _divided_spare(cov, code, line, {codes[s]: sides[s] for s in used})
    grids = dict(cov.grids) | {new: replace(cov.grid(code), code=new) for new in codes.values()}
    grids |= {
        child: replace(cov.grids[child], parent=codes[s])
        for child, s in zip(below, side.tolist(), strict=True)
    }
    return settle(cov, spare, tees, grids) if spare else replace(cov, grids=grids)


def _divided_spare(
    cov: Coverage, code: str, line: BaseGeometry, sides: Mapping[str, BaseGeometry]
) -> tuple[dict[str, BaseGeometry], lattice.Tees]:
    """The spare ground of a grid that is split, cut by the line and kept under the code of each side."""
    old = cov.shapes.get(spare_of(code))
    if old is None:
        return {}, lattice.NO_TEES
    path, tees = lattice.conform(reaching(_points(line), old), *edges_of([old]))
    found: dict[str, list[BaseGeometry]] = {spare_of(side): [] for side in sides}
    for piece in divide(with_tees([old], tees)[0], [path]):
        to = max(sides, key=lambda side: float(sides[side].intersection(piece).area))
        found[spare_of(to)].append(piece)
    return {key: total(pieces) for key, pieces in found.items()}, tees


def _shares(shape: BaseGeometry, sides: list[BaseGeometry], path: BaseGeometry) -> list[float]:
    """The shares of a shape that lie on each side of a path."""
    if shapely.get_num_geometries(shape) > 1 or shape.intersects(path):
        return [shape.intersection(side).area / shape.area for side in sides]
    return [float(held(side, shape)) for side in sides]


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
