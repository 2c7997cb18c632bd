"""Steps that give contested or nobody's ground to a grid: a place, an area, or all slivers along a border."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import borders, coverage
from gis.contested import refuse_bare
from gis.coverage import Bools, Geoms
from gis.errors import BadInput, NotFound
from gis.parts import longest_border
from gis.settle import Coverage, claimants, named, settle, total
from gis.spare import spare_keys
from gis.tolerances import MATCH_UNITS, SLIVER_WIDTH_M

Lonlat = Sequence[float]


def give(cov: Coverage, to: str, at: Lonlat | None = None, area: BaseGeometry | None = None) -> Coverage:
    """Give ground that several claim, or none, to a grid: the piece around a place, or those within an area.

    Raises NotFound where there is none, Emptied where another claimant has no other ground.
    """
    if (at is None) == (area is None):
        raise BadInput("at", "give either a place (at) or an area")
    if area is not None:
        within = shapely.buffer(coverage.to_units(area), MATCH_UNITS)
        return _given(cov, to, spare_keys(cov), within, "within the area", covered=True)
    return _given(cov, to, spare_keys(cov), _point(at), _place(at), covered=False)


def take_in(cov: Coverage, at: Lonlat, to: str) -> Coverage:
    """Give the unowned ground around a place to a grid."""
    keys = [key for key in spare_keys(cov) if not claimants(key)]
    return _given(cov, to, keys, _point(at), _place(at), covered=False)


def snap(cov: Coverage, codes: Sequence[str], reach_m: float = SLIVER_WIDTH_M) -> Coverage:
    """Let vertices of grids match that nearly do: what is narrower than a reach between them has one owner.

    Each sliver of contested or nobody's ground among them goes to the grid it has the longest border with.
    Raises NotFound where there is none.
    """
    sides = {code: [cov.shapes[_lowest(cov, code)]] for code in named(codes)}
    left: dict[str, BaseGeometry] = {}
    gained: dict[str, list[BaseGeometry]] = {}
    for key, parts in _parts(cov, [key for key in spare_keys(cov) if set(claimants(key)) <= set(codes)]):
        thin = borders.widths_m(parts) < reach_m
        heirs = [_heir(p, key, sides) if t else None for p, t in zip(parts, thin, strict=True)]
        if any(heirs):
            left[key] = total(part for part, to in zip(parts, heirs, strict=True) if to is None)
        for part, to in zip(parts, heirs, strict=True):
            gained.setdefault(to or "", []).append(part)
    gained.pop("", None)
    if not gained:
        raise NotFound(f"nothing narrower than {reach_m:g} m lies between {', '.join(codes)}")
    grown = {code: total([cov.shapes[code], *pieces]) for code, pieces in gained.items()}
    return refuse_bare(settle(cov, grown | left))


def _heir(part: BaseGeometry, key: str, sides: Mapping[str, list[BaseGeometry]]) -> str | None:
    """Which of some grids gets a piece of ground; nobody's must lie between two of them."""
    beside = [code for code, shapes in sides.items() if longest_border(part, {code: shapes})]
    if not claimants(key) and len(beside) < 2:
        return None
    return longest_border(part, sides)


def _lowest(cov: Coverage, code: str) -> str:
    """The code of one of the lowest grids; raises BadInput for an upper one."""
    if cov.grid(code).code not in cov.shapes:
        raise BadInput("to", f"grid {code} has grids below it; name one of those")
    return code


def _parts(cov: Coverage, keys: Iterable[str]) -> Iterable[tuple[str, Geoms]]:
    return [(key, shapely.get_parts(cov.shapes[key])) for key in keys]


def _given(
    cov: Coverage, to: str, keys: Sequence[str], wanted: BaseGeometry, where: str, *, covered: bool
) -> Coverage:
    """The coverage once a grid has the pieces of some ground that meet a shape, or lie in it."""
    mine = cov.shapes[_lowest(cov, to)]
    left, taken = {}, []
    for key, parts in _parts(cov, keys):
        here: Bools = shapely.covers(wanted, parts) if covered else shapely.intersects(parts, wanted)
        if here.any():
            left[key] = total(parts[~here]) if not here.all() else shapely.Polygon()
            taken += list(parts[here])
    if not taken:
        raise NotFound(f"the ground {where} has an owner, or lies outside the scope")
    return refuse_bare(settle(cov, {to: total([mine, *taken])} | left))


def _point(at: Lonlat | None) -> BaseGeometry:
    return shapely.Point(np.round(np.array(at)[:2] * coverage.UNITS_PER_DEGREE))


def _place(at: Lonlat | None) -> str:
    return f"at {at[0]}, {at[1]}" if at else ""
