"""What one coverage has otherwise than another: versions of grids, and applying them; pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.settle import NOBODY, Coverage, Grid, changed, claimants, is_grid, same_shape, total
from gis.spare import shared_out, spare_keys


@dataclass(frozen=True, eq=False)
class Version:
    """A grid as it is at one point of a plan; `shape` in units, `leaf` if it holds its ground itself.

    `claimed` is ground that others claim, too; of a lowest grid `shape` is without it.
    """

    grid: Grid
    shape: BaseGeometry
    leaf: bool
    claimed: BaseGeometry | None = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Version)
            and (self.grid, self.leaf) == (other.grid, other.leaf)
            and same_shape(self.shape, other.shape)
            and same_shape(self.claimed, other.claimed)
        )

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def whole(self) -> BaseGeometry:
        """The grid as recorded (units): what it has alone and what it claims."""
        return self.shape if self.claimed is None else total([self.shape, self.claimed])

    def fields(self) -> dict[str, Any]:
        """All but the shape, as JSON; what is claimed as WKB in hexadecimal digits."""
        g = self.grid
        return {
            "level": g.level,
            "parent": g.parent,
            "name": g.name,
            "order": g.order,
            "kind": g.kind,
            "leaf": self.leaf,
        } | ({} if self.claimed is None else {"claimed": self.claimed.wkb_hex})


Change = tuple[Version | None, Version | None]
"""A grid before and after; None where it is not there."""
Delta = Mapping[str, Version | None]
"""Grids that differ from a base; None: gone."""


def version(code: str, fields: Mapping[str, Any], shape: BaseGeometry) -> Version:
    """The version that `Version.fields` and a shape describe."""
    rest = {name: value for name, value in fields.items() if name not in {"leaf", "claimed"}}
    claimed = shapely.from_wkb(fields["claimed"]) if "claimed" in fields else None
    return Version(Grid(code, **rest), shape, bool(fields["leaf"]), claimed)


def version_of(cov: Coverage, code: str) -> Version | None:
    """A grid of a coverage; ground without an owner counts as a grid without a level."""
    if not is_grid(code):
        spare = Grid(code, 0, cov.parent(code))
        return Version(spare, cov.shapes[code], leaf=True) if code in cov.shapes else None
    if code not in cov.grids:
        return None
    if code not in cov.shapes:
        return Version(cov.grids[code], cov.shape(code), leaf=False)
    claims = [cov.shapes[key] for key in cov.claims.get(code, [])]
    return Version(cov.grids[code], cov.shapes[code], leaf=True, claimed=total(claims) if claims else None)


def diff(old: Coverage, new: Coverage) -> dict[str, Change]:
    """Every grid that differs between two coverages of the same ground, upper ones too, by code."""
    spare = {*spare_keys(old), *spare_keys(new)}
    leaves = {key for key in spare if not same_shape(old.shapes.get(key), new.shapes.get(key))}
    leaves.update(changed(old, new))
    amended = {c for c in {*old.grids, *new.grids} if old.grids.get(c) != new.grids.get(c)}
    codes = sorted(leaves | amended | _bent(old, new, leaves, amended))
    before = {code: version_of(old, code) for code in codes}
    new.borrow(old)
    return {code: (before[code], version_of(new, code)) for code in codes}


def _bent(old: Coverage, new: Coverage, leaves: set[str], amended: set[str]) -> set[str]:
    """The upper grids whose outline differs: those of whose moved leaves the sum does."""
    moved = set(leaves)
    for code in amended:
        for cov in (old, new):
            moved.update(cov.ground(code) if code in cov.grids else ())
    before, after = (_under(cov, moved) for cov in (old, new))
    return {
        code for code in {*before, *after} if not _alike(old, before.get(code, []), new, after.get(code, []))
    }


def _under(cov: Coverage, leaves: Iterable[str]) -> dict[str, list[str]]:
    """The leaves, and spare ground, below each upper grid."""
    below: dict[str, list[str]] = {}
    for leaf in sorted(key for key in leaves if key in cov.shapes):
        above = {code for key in claimants(leaf) or [leaf] for code in _above(cov, key)}
        for code in sorted(above):
            below.setdefault(code, []).append(leaf)
    return below


def _above(cov: Coverage, key: str) -> Iterator[str]:
    """The upper grids over a grid or spare ground."""
    parent = cov.parent(key)
    while parent is not None and parent in cov.grids:
        yield parent
        parent = cov.grids[parent].parent


def _alike(old: Coverage, before: list[str], new: Coverage, after: list[str]) -> bool:
    """Whether some leaves have the same outline together as others: their edges cancel."""
    if not before or not after:
        return not before and not after
    one, other = (
        coverage.polygon_edges(np.array([cov.shapes[leaf] for leaf in leaves], dtype=object))
        for cov, leaves in ((old, before), (new, after))
    )
    start, end = np.vstack([one.start, other.end]), np.vstack([one.end, other.start])
    return not len(coverage.residual(start, end, np.zeros(len(start), dtype=np.int64))[0])


def applied(base: Coverage, delta: Delta) -> Coverage:
    """A base with some grids otherwise; what is gone counts as retired."""
    delta = _by_parent(base, delta)
    grids, shapes = dict(base.grids), dict(base.shapes)
    for code, there in delta.items():
        shapes.pop(code, None)
        grids.pop(code, None)
        if there is not None and there.leaf:
            shapes[code] = there.shape
        if there is not None and is_grid(code):
            grids[code] = there.grid
    gone = {code for code, there in delta.items() if there is None and is_grid(code)}
    return replace(base, grids=grids, shapes=shapes, retired=base.retired | gone)


def _by_parent(base: Coverage, delta: Delta) -> Delta:
    """A delta stored before ground without an owner was kept by the grid that it lies in."""
    spare = set(spare_keys(base))
    if NOBODY not in delta or NOBODY in spare or not spare:
        return delta
    grids = {code: version and version.grid for code, version in delta.items()}
    there = {code for code in {*base.grids, *grids} if grids.get(code, base.grids.get(code)) is not None}
    left = delta[NOBODY]
    shared = shared_out(base, left.shape, there) if left is not None else {}
    spares = {key: version_of(replace(base, shapes=shared), key) for key in {*spare, *shared}}
    return {code: version for code, version in delta.items() if code != NOBODY} | spares
