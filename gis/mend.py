"""Mending a faulty map: its faces with no owner or several, and who should have each of them; pure.

All borders are noded on whole units, so that every face lies wholly in or out of each grid. A face with one
owner is that grid's; one with several is *contested*, an enclosed one without any is *nobody's*. A proposal
gives such ground to one grid. Grids put together of whole faces share every vertex of their borders, so that
vertices which nearly matched do match, and nothing but the ground of the proposals accepted changes hands.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import borders, coverage
from gis.coverage import Floats, Geoms, Ints
from gis.settle import adds_up, total
from gis.tolerances import MATCH_UNITS, MEANT_M2, SLIVER_WIDTH_M

Kind = Literal["overlap", "gap", "hole", "loose_piece"]
Shapes = Mapping[str, BaseGeometry]


@dataclass(frozen=True)
class Proposal:
    """Ground (units) to give to a grid: to one of its owners, or where it has none, to a neighbour.

    `sure`: it can only be a mistake. A loose piece that no grid touches goes where the ground around it does;
    where there is none, `to` is "": it is let go.
    """

    number: int
    kind: Kind
    codes: tuple[str, ...]
    to: str
    shape: BaseGeometry
    area_m2: float
    width_m: float
    sure: bool

    def properties(self, *, accepted: bool) -> dict[str, Any]:
        """All but the shape, as JSON."""
        return {
            "number": self.number, "kind": self.kind, "codes": list(self.codes), "to": self.to,
            "area_m2": round(self.area_m2, 4), "width_m": round(self.width_m, 4), "sure": self.sure,
            "accepted": accepted,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Grids as sets of faces (units); `owners` of each face by the place of their code in `codes`."""

    codes: tuple[str, ...]
    faces: Geoms
    owners: tuple[tuple[int, ...], ...]

    @cached_property
    def sole(self) -> dict[str, BaseGeometry]:
        """The ground that each grid has for itself; empty for one whose ground others have, too."""
        return {code: self._together((i,)) for i, code in enumerate(self.codes)}

    def _together(self, owners: tuple[int, ...]) -> BaseGeometry:
        faces = self._by_owners.get(owners, [])
        return self.faces[faces[0]] if len(faces) == 1 else total(self.faces[faces])

    @cached_property
    def _by_owners(self) -> dict[tuple[int, ...], list[int]]:
        found: dict[tuple[int, ...], list[int]] = {}
        for face, owners in enumerate(self.owners):
            found.setdefault(owners, []).append(face)
        return found

    def pieces(self) -> list[tuple[tuple[int, ...], BaseGeometry]]:
        """Connected ground with no owner or several."""
        return [
            (owners, part)
            for owners in sorted(self._by_owners)
            if len(owners) != 1
            for part in shapely.get_parts(self._together(owners))
        ]


def arrange(grids: Shapes) -> Arrangement:
    """The arrangement of grids in units that share their vertices (`coverage.match`).

    Crossed borders are untied as the checks do. Only grids that overlap or cross themselves are noded, the
    rest are faces as they are; where edges then do not add up, all are.
    """
    given = np.array(list(grids.values()), dtype=object)
    broken = np.flatnonzero(~shapely.is_valid(given))
    valid = _areal(given)
    for noded in (np.union1d(broken, _overlapping(valid)), np.arange(len(valid))):
        faces, owners = _beside_noded(valid, noded)
        gaps = _gaps(faces)
        if gaps is not None:
            break
    else:
        gaps = []
    return Arrangement(tuple(grids), _geoms([*faces, *gaps]), (*owners, *[()] * len(gaps)))


def _geoms(shapes: Sequence[BaseGeometry]) -> Geoms:
    array = np.empty(len(shapes), dtype=object)
    array[:] = shapes
    return array


def _overlapping(valid: Geoms) -> Ints:
    """The polygons that have ground in common with others, by edges that none runs against.

    Where ground gets an owner more there is such an edge. It crosses an edge of who else has the ground, or,
    as vertices are shared, lies wholly within: that one holds its middle. Grids that lie in others, or hold
    them, are found by a point inside.
    """
    edges = coverage.polygon_edges(valid)
    low, high, _, _ = coverage.residual(edges.start, edges.end, np.zeros(len(edges), dtype=np.int64))
    open_ = _open(edges, low, high)
    start, end, owner = edges.start[open_], edges.end[open_], edges.owner[open_]
    one, other = _crossing(start, end)
    crossed = [owner[one], owner[other]]
    holder, at = shapely.STRtree(coverage.points((start + end) / 2)).query(
        valid, predicate="contains_properly"
    )
    whole, inside = shapely.STRtree(shapely.point_on_surface(valid)).query(
        valid, predicate="contains_properly"
    )
    apart = whole != inside
    return np.unique(np.concatenate([*crossed, holder, owner[at], whole[apart], inside[apart]]))


def _crossing(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Pairs of edges that cross between their ends; of many, as the coast is open, by boxes and integers."""
    lines = coverage.lines(start, end)
    one, other = shapely.STRtree(lines).query(lines)
    one, other = one[one < other], other[one < other]
    a, b, c, d = start[one], end[one], start[other], end[other]
    crosses = _parts(a, b, c, d) & _parts(c, d, a, b)
    return one[crosses], other[crosses]


def _parts(a: Ints, b: Ints, c: Ints, d: Ints) -> coverage.Bools:
    """Whether the line through a and b has c and d strictly on different sides."""
    run = b - a
    one, other = (run[:, 0] * (p - a)[:, 1] - run[:, 1] * (p - a)[:, 0] for p in (c, d))
    return np.asarray(np.sign(one) * np.sign(other) < 0, dtype=np.bool_)


def _open(edges: coverage.Edges, low: Ints, high: Ints) -> coverage.Bools:
    """Which edges are among those left over, either way."""
    ends = coverage.keys(low), coverage.keys(high)
    a, b = coverage.keys(edges.start), coverage.keys(edges.end)
    near = np.flatnonzero(np.isin(a, np.concatenate(ends)))
    one = np.concatenate([np.minimum(*ends), np.minimum(a, b)[near]])
    other = np.concatenate([np.maximum(*ends), np.maximum(a, b)[near]])
    order = np.lexsort((other, one))
    first = np.r_[True, (np.diff(one[order]) != 0) | (np.diff(other[order]) != 0)]
    pair = np.empty(len(order), dtype=np.int64)
    pair[order] = np.cumsum(first[: len(order)])
    result = np.zeros(len(a), dtype=bool)
    result[near] = np.isin(pair[len(low) :], pair[: len(low)])
    return result


def _beside_noded(valid: Geoms, noded: Ints) -> tuple[list[BaseGeometry], list[tuple[int, ...]]]:
    """The faces of some grids, and the other grids whole, with each other's vertices; with their owners."""
    faces, owners = _faces(valid[noded], noded) if len(noded) else (_geoms([]), [])
    rest = np.setdiff1d(np.arange(len(valid)), noded)
    shapes, all_owners = [*faces, *valid[rest]], [*owners, *((int(i),) for i in rest)]
    if len(faces) and len(rest):
        tree = shapely.STRtree(valid[rest])
        near = np.unique(tree.query(faces, predicate="dwithin", distance=_NEAR)[1]) + len(faces)
        some = [*range(len(faces)), *near.tolist()]
        for at, shape in zip(some, coverage.match(_geoms([shapes[i] for i in some])), strict=True):
            shapes[at] = shape
    return shapes, all_owners


_NEAR = MATCH_UNITS + 1
"""Units: grids nearer to noded ones than this may lack vertices of theirs."""


def _faces(valid: Geoms, rows: Ints) -> tuple[Geoms, list[tuple[int, ...]]]:
    """The faces of polygons noded on whole units, and which of `rows` own each; unowned ones are left out."""
    noded = shapely.union_all(shapely.boundary(valid), grid_size=1.0)
    faces = shapely.normalize(shapely.get_parts(shapely.polygonize(shapely.get_parts(noded))))
    faces = faces[np.argsort(shapely.to_wkb(faces), kind="stable")] if len(faces) else faces
    face, owner = shapely.STRtree(valid).query(shapely.point_on_surface(faces), predicate="intersects")
    order = np.lexsort((owner, face))
    bounds = np.searchsorted(face[order], np.arange(len(faces) + 1))
    owners = [tuple(rows[owner[order][a:b]].tolist()) for a, b in pairwise(bounds)]
    owned = np.array([bool(one) for one in owners], dtype=bool)
    return faces[owned], [one for one in owners if one]


def _gaps(faces: Sequence[BaseGeometry]) -> list[BaseGeometry] | None:
    """Enclosed ground that faces leave; None where their edges do not add up."""
    shapes = _geoms(faces)
    edges = coverage.polygon_edges(shapes)
    start, end = coverage.cancel(edges.start, edges.end)
    found = shapely.normalize(shapely.get_parts(shapely.polygonize(coverage.lines(start, end))))
    outer = coverage.polygon_edges(found)
    _, first = np.unique(outer.owner, return_index=True)
    near = np.isin(coverage.keys(start), coverage.keys(outer.start[first]))
    ours = {(*a, *b) for a, b in zip(start[near].tolist(), end[near].tolist(), strict=True)}
    inside = [(*outer.start[i].tolist(), *outer.end[i].tolist()) in ours for i in first]
    owned, gaps = found[inside], [one for one, mine in zip(found, inside, strict=True) if not mine]
    return gaps if adds_up(owned, shapes) else None


def _areal(units: Geoms) -> Geoms:
    """Valid polygons: of those that are not, what has ground."""
    fixed = units.copy()
    for i in np.flatnonzero(~shapely.is_valid(units)):
        made = shapely.get_parts(shapely.get_parts(shapely.make_valid(units[i])))
        fixed[i] = shapely.MultiPolygon([one for one in made if one.area > 0])
    return fixed


def proposals(arranged: Arrangement) -> list[Proposal]:
    """Who should have each contested piece, each piece of nobody's and each loose piece; largest first."""
    named = [(tuple(arranged.codes[i] for i in owners), piece) for owners, piece in arranged.pieces()]
    return proposed(arranged.sole, named)


def proposed(sole: Shapes, pieces: Iterable[tuple[tuple[str, ...], BaseGeometry]]) -> list[Proposal]:
    """The same for grids with the ground that each has alone (units, maybe none) and other connected ground.

    `pieces` come with the codes of those who claim them, in order; nobody's with none.
    """
    pieces, loose = list(pieces), _loose(sole)
    whole = {code: shape for code, shape in sole.items() if not shape.is_empty}
    found: list[tuple[Kind, tuple[str, ...], str, BaseGeometry]] = []
    beside = _Beside(whole, [one[1] for one in (*pieces, *loose)])
    largest = _largest(pieces)
    for names, piece in pieces:
        along = beside.along(piece)
        kind: Kind = "overlap" if names else "hole" if len(along) == 1 else "gap"
        bare = [code for code in names if sole[code].is_empty and largest[code] is piece]
        to = _heir(names, along, bare) if names else _longest(along)
        if to is not None:
            found.append((kind, names or tuple(sorted(along)), to, piece))
    given = _Beside({str(i): row[-1] for i, row in enumerate(found)}, [one[1] for one in loose])
    for code, piece in loose:
        along = {other: length for other, length in beside.along(piece).items() if other != code}
        around = _longest(given.along(piece))
        to = _longest(along) or (found[int(around)][2] if around else "")
        if to != code:  # else it is loose no more
            found.append(("loose_piece", (code,), to, piece))
    return _numbered(found)


def _numbered(rows: list[tuple[Kind, tuple[str, ...], str, BaseGeometry]]) -> list[Proposal]:
    shapes = np.array([row[3] for row in rows], dtype=object)
    areas, widths = coverage.areas_m2(coverage.to_degrees(shapes)), borders.widths_m(shapes)
    wkb = shapely.to_wkb(shapes).tolist()
    order = sorted(range(len(rows)), key=lambda i: (-areas[i], wkb[i]))
    return [
        Proposal(
            n, kind, codes, to, shape, float(areas[i]), float(widths[i]), _sure(kind, areas[i], widths[i])
        )
        for n, i in enumerate(order, start=1)
        for kind, codes, to, shape in [rows[i]]
    ]


def _sure(kind: Kind, area_m2: float, width_m: float) -> bool:
    return bool(kind not in {"gap", "hole"} or area_m2 < MEANT_M2 or width_m < SLIVER_WIDTH_M)


def _largest(pieces: Iterable[tuple[tuple[str, ...], BaseGeometry]]) -> dict[str, BaseGeometry]:
    """The largest piece that each grid claims."""
    found: dict[str, BaseGeometry] = {}
    for names, piece in pieces:
        for code in names:
            if code not in found or piece.area > found[code].area:
                found[code] = piece
    return found


def _heir(names: tuple[str, ...], along: Mapping[str, float], bare: list[str]) -> str:
    """Who gets contested ground: a claimant that has nothing else, else the one with the longest border."""
    return bare[0] if bare else max(names, key=lambda code: (along.get(code, 0.0), code))


def _longest(along: Mapping[str, float]) -> str | None:
    return max(sorted(along), key=lambda code: along[code], default=None)


def _loose(sole: Shapes) -> list[tuple[str, BaseGeometry]]:
    """Parts of grids, not the largest, that are narrower than a sliver."""
    several = [(code, shapely.get_parts(g)) for code, g in sole.items() if shapely.get_num_geometries(g) > 1]
    found = []
    for code, parts in several:
        thin = borders.widths_m(parts) < SLIVER_WIDTH_M
        thin[int(np.argmax(shapely.area(parts)))] = False
        found += [(code, part) for part in parts[thin]]
    return found


class _Beside:
    """The grids along a piece of ground, and how many units of common border they have."""

    def __init__(self, shapes: Shapes, pieces: list[BaseGeometry]) -> None:
        self._codes = list(shapes)
        theirs = coverage.polygon_edges(np.array(list(shapes.values()), dtype=object))
        edges = coverage.common(theirs, coverage.polygon_edges(np.array(pieces, dtype=object)))
        ends = zip(edges.start.tolist(), edges.end.tolist(), edges.owner.tolist(), strict=True)
        self._owner = {(*a, *b): owner for a, b, owner in ends}

    def along(self, piece: BaseGeometry) -> dict[str, float]:
        """Grids that border on a piece from outside, with lengths."""
        edges = coverage.polygon_edges(np.array([piece], dtype=object))
        found: dict[str, float] = {}
        sides = edges.end.tolist(), edges.start.tolist(), _lengths(edges.start, edges.end)
        for a, b, length in zip(*sides, strict=True):
            if (*a, *b) in self._owner:
                code = self._codes[self._owner[*a, *b]]
                found[code] = found.get(code, 0.0) + length
        return found


def _lengths(start: Ints, end: Ints) -> Floats:
    return np.asarray(np.hypot(*(end - start).astype(np.float64).T), dtype=np.float64)


def mended(arranged: Arrangement, given: Iterable[Proposal]) -> dict[str, BaseGeometry]:
    """The grids (units) once proposals are accepted; ground of others stays with all who had it.

    A grid that keeps no ground is empty.
    """
    parts = {code: [sole] for code, sole in arranged.sole.items()}
    accepted = list(given)
    moved = {bytes(p.shape.wkb) for p in accepted}
    for proposal in accepted:
        if proposal.kind == "loose_piece":
            (code,) = proposal.codes
            parts[code] = [_without(one, proposal.shape) for one in parts[code]]
        if proposal.to:
            parts[proposal.to].append(proposal.shape)
    shared: dict[str, list[BaseGeometry]] = {}
    for owners, piece in arranged.pieces():
        if bytes(piece.wkb) not in moved:
            for i in owners:
                shared.setdefault(arranged.codes[i], []).append(piece)
    return {code: _sum([*of, *shared.get(code, [])]) for code, of in parts.items()}


def _sum(parts: list[BaseGeometry]) -> BaseGeometry:
    return parts[0] if len(parts) == 1 else total(parts)


def _without(shape: BaseGeometry, gone: BaseGeometry) -> BaseGeometry:
    return total(part for part in shapely.get_parts(shape) if not part.equals(gone))


def dissolved(shapes: Shapes, parent: Mapping[str, str]) -> dict[str, BaseGeometry]:
    """The union of grids (units) by their parent's code.

    Enclosed ground that can only be a mistake is the parent's, if it is nobody's: in a hole where a grid of
    another parent lies, what is left is nobody's still.
    """
    every, above = shapely.STRtree(list(shapes.values())), [parent[code] for code in shapes]
    below: dict[str, list[BaseGeometry]] = {}
    for code, shape in shapes.items():
        below.setdefault(parent[code], []).append(shape)

    def owned(hole: BaseGeometry, code: str) -> bool:
        others = [i for i in every.query(hole, predicate="intersects").tolist() if above[i] != code]
        return bool((shapely.area(shapely.intersection(hole, every.geometries[others])) > 0).any())

    return {code: _filled(_union(of), partial(owned, code=code)) for code, of in below.items()}


def _union(shapes: list[BaseGeometry]) -> BaseGeometry:
    """The sum of shapes where they share their edges, else their union on whole units."""
    added = total(shapes)
    exact = added.is_valid and adds_up([added], shapes)
    return added if exact else shapely.union_all(shapes, grid_size=1.0)


def _filled(shape: BaseGeometry, owned: Callable[[BaseGeometry], bool]) -> BaseGeometry:
    """A shape without the holes that can only be a mistake, but for those where others own ground."""
    parts = []
    for part in shapely.get_parts(shape):
        holes = [shapely.Polygon(ring) for ring in part.interiors]
        faults = zip(holes, _are_faults(holes), strict=True)
        kept = [hole.exterior for hole, sure in faults if not sure or owned(hole)]
        parts.append(shapely.Polygon(part.exterior, kept))
    return shapely.normalize(shapely.union_all(parts, grid_size=1.0))


def _are_faults(holes: Sequence[BaseGeometry]) -> list[bool]:
    units = np.array(list(holes), dtype=object)
    areas = coverage.areas_m2(coverage.to_degrees(units)) if len(units) else np.zeros(0)
    return [_sure("hole", a, w) for a, w in zip(areas, borders.widths_m(units), strict=True)]
