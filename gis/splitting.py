"""The step that splits a grid: what a line cuts, where other parts stay, and how new grids are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import lattice
from gis.contested import divided
from gis.errors import BadInput, Unconfirmed
from gis.lattice import Line, drawn
from gis.parts import divide, held, reaching, without_slivers
from gis.settle import Coverage, Grid, edges_of, settle, spare_of, total, with_tees

STRAY_SHARE = 0.01
"""When an upper grid is split, a grid below keeps to one side if the other has less than this share of it."""
MOST_PIECES = 5
"""A line that makes more of them is asked about first: it is seldom meant."""
LABEL = "~"
"""Begins the label of a new grid in a draft, until its code is reserved when the plan is handed over."""


@dataclass(frozen=True)
class New:
    """How new grids are called: codes and names as given; in a draft labels and running names, else."""

    codes: Sequence[str] | None = None
    names: Sequence[str] | None = None
    draft: bool = False


def split(
    cov: Coverage,
    code: str,
    line: BaseGeometry,
    into: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    *,
    confirm_pieces: bool | int | None = None,
    draft: bool = False,
) -> Coverage:
    """Divide a grid by a line, open or closed; the largest part keeps the code, `into` names the others.

    Of a grid in several parts the line cuts those that it crosses; each other part stays with the nearest
    piece. An upper grid divides between the grids below it, none of which the line may cut. In a draft, new
    grids get labels and running names where none are given, and Unconfirmed is raised for more than
    MOST_PIECES pieces unless `confirm_pieces` says how many.
    """
    new = New(into, names, draft)
    if cov.grid(code).code not in cov.shapes:
        return _split_upper(cov, code, line, new)
    pieces, tees = _pieces(cov.shapes[code], _trimmed(drawn(line), cov.shapes[code]))
    if len(pieces) < 2:
        raise BadInput("line", f"it does not divide grid {code}; begin and end it on the border or beyond")
    if draft and confirm_pieces is not True and len(pieces) > max(MOST_PIECES, confirm_pieces or 0):
        raise Unconfirmed(len(pieces))
    codes = [code, *_new_codes(cov, code, new, len(pieces) - 1)]
    grids = dict(cov.grids) | _like(cov, code, codes[1:], new)
    named = dict(zip(codes, pieces, strict=True))
    return settle(cov, named | divided(cov, code, named, tees), tees, grids)


def _trimmed(path: Line, shape: BaseGeometry) -> Line:
    """A line without what lies beyond its last vertices before and after it meets a shape."""
    edges = shapely.linestrings([(a, b) for a, b in pairwise(path)])
    shapely.prepare(shape)
    met = np.flatnonzero(shapely.intersects(shape, edges))  # the first is the one prepared
    return path[met[0] : met[-1] + 2] if len(met) and path[0] != path[-1] else path


def _pieces(shape: BaseGeometry, line: Line) -> tuple[list[BaseGeometry], lattice.Tees]:
    """The grids (units) that a line makes of one, largest first, and the vertices that edges get."""
    path, tees = lattice.conform(reaching(line, shape), *edges_of([shape]))
    track = shapely.LineString(path)
    cut: list[BaseGeometry] = []
    whole: list[BaseGeometry] = []
    for part in shapely.get_parts(with_tees([shape], tees)[0]):
        shapely.prepare(part)
        faces = without_slivers(divide(part, [path])) if part.intersects(track) else [part]
        (cut if len(faces) > 1 else whole).extend(faces)
    groups = [[piece] for piece in sorted(cut, key=_size)]
    for part in whole if groups else ():
        near = int(np.argmin(shapely.distance(part, [group[0] for group in groups])))
        groups[near].append(part)
    return sorted((total(group) for group in groups), key=_size), tees


def _size(piece: BaseGeometry) -> tuple[float, bytes]:
    """What orders pieces, the largest first."""
    return -piece.area, bytes(shapely.normalize(piece).wkb)


def _like(cov: Coverage, code: str, codes: Sequence[str], new: New) -> dict[str, Grid]:
    """The rows of new grids beside one."""
    old = cov.grid(code)
    default = _running(cov, old, len(codes)) if new.draft else [old.name] * len(codes)
    names = list(new.names) if new.names else default
    if len(names) != len(codes):
        raise BadInput("names", f"the line makes {len(codes)} new grids; name as many, or none")
    return {one: replace(old, code=one, name=name) for one, name in zip(codes, names, strict=True)}


def _running(cov: Coverage, old: Grid, count: int) -> list[str]:
    """The name of a grid with running numbers from 2 on, those left out that siblings have."""
    if not old.name:
        return [""] * count
    used = {cov.grids[one].name for one in cov.children.get(old.parent, [])}
    every = (f"{old.name} {n}" for n in range(2, len(used) + count + 3))
    return [name for name in every if name not in used][:count]


def _new_codes(cov: Coverage, like: str, new: New, count: int) -> list[str]:
    """Codes for new grids: those given, labels in a draft, or the next free ones of the same width."""
    if new.codes is None:
        return labels(cov, count) if new.draft else fresh_codes(cov, like, count)
    codes = list(new.codes)
    used = [code for code in codes if code in cov.grids or code in cov.retired or not code]
    if len(codes) != count or len(set(codes)) != count:
        raise BadInput("into", f"the line makes {count} new grids; give as many different codes, or none")
    if used:
        raise BadInput("into", f"code {used[0]!r} has been used before; codes are never given twice")
    return codes


def labels(cov: Coverage, count: int) -> list[str]:
    """Labels that no grid of a draft has or had."""
    used = {*cov.grids, *cov.retired}
    every = (f"{LABEL}{n}" for n in range(1, len(used) + count + 2))
    return [label for label in every if label not in used][:count]


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


def _split_upper(cov: Coverage, code: str, line: BaseGeometry, new: New) -> Coverage:
    shape = cov.shape(code)
    path, tees = lattice.conform(reaching(drawn(line), shape), *edges_of([shape]))
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
    codes = dict(zip(used, [code, *_new_codes(cov, code, new, len(used) - 1)], strict=True))
    spare, tees = _divided_spare(cov, code, line, {codes[s]: sides[s] for s in used})
    grids = dict(cov.grids) | _like(cov, code, [*codes.values()][1:], new)
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
    path, tees = lattice.conform(reaching(drawn(line), old), *edges_of([old]))
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
