"""What one coverage has otherwise than another: versions of grids, and applying them; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.settle import NOBODY, Coverage, Grid, changed


@dataclass(frozen=True, eq=False)
class Version:
    """A grid as it is at one point of a plan; `shape` in units, `leaf` if it holds its ground itself."""

    grid: Grid
    shape: BaseGeometry
    leaf: bool

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Version)
            and (self.grid, self.leaf) == (other.grid, other.leaf)
            and same_shape(self.shape, other.shape)
        )

    __hash__ = None  # type: ignore[assignment]

    def fields(self) -> dict[str, Any]:
        """All but the shape, as JSON."""
        g = self.grid
        return {
            "level": g.level,
            "parent": g.parent,
            "name": g.name,
            "order": g.order,
            "kind": g.kind,
            "leaf": self.leaf,
        }


Change = tuple[Version | None, Version | None]
"""A grid before and after; None where it is not there."""
Delta = Mapping[str, Version | None]
"""Grids that differ from a base; None: gone."""


def same_shape(one: BaseGeometry | None, other: BaseGeometry | None) -> bool:
    """Whether two shapes are the same to the byte."""
    return one is other or (
        one is not None and other is not None and bool(shapely.equals_identical(one, other))
    )


def version(code: str, fields: Mapping[str, Any], shape: BaseGeometry) -> Version:
    """The version that `Version.fields` and a shape describe."""
    rest = {name: value for name, value in fields.items() if name != "leaf"}
    return Version(Grid(code, **rest), shape, bool(fields["leaf"]))


def version_of(cov: Coverage, code: str) -> Version | None:
    """A grid of a coverage; nobody's ground counts as a grid without a level."""
    if code == NOBODY:
        return Version(Grid(NOBODY, 0), cov.shapes[NOBODY], leaf=True) if NOBODY in cov.shapes else None
    if code not in cov.grids:
        return None
    return Version(cov.grids[code], cov.shape(code), code in cov.shapes)


def diff(old: Coverage, new: Coverage) -> dict[str, Change]:
    """Every grid that differs between two coverages of the same ground, upper ones too, by code."""
    leaves = set(changed(old, new))
    if not same_shape(old.shapes.get(NOBODY), new.shapes.get(NOBODY)):
        leaves.add(NOBODY)
    amended = {c for c in {*old.grids, *new.grids} if old.grids.get(c) != new.grids.get(c)}
    codes = leaves | amended | _bent(old, new, leaves, amended)
    return {code: (version_of(old, code), version_of(new, code)) for code in sorted(codes)}


def _bent(old: Coverage, new: Coverage, leaves: set[str], amended: set[str]) -> set[str]:
    """The upper grids whose outline differs: those of whose moved leaves the sum does."""
    moved = set(leaves)
    for code in amended:
        for cov in (old, new):
            moved.update(cov.leaves(code) if code in cov.grids else ())
    before, after = (_under(cov, moved) for cov in (old, new))
    return {
        code for code in {*before, *after} if not _alike(old, before.get(code, []), new, after.get(code, []))
    }


def _under(cov: Coverage, leaves: Iterable[str]) -> dict[str, list[str]]:
    """The leaves below each upper grid."""
    below: dict[str, list[str]] = {}
    for leaf in sorted(leaves):
        parent = cov.grids[leaf].parent if leaf in cov.grids else None
        while parent is not None and parent in cov.grids:
            below.setdefault(parent, []).append(leaf)
            parent = cov.grids[parent].parent
    return below


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
    grids, shapes = dict(base.grids), dict(base.shapes)
    for code, there in delta.items():
        shapes.pop(code, None)
        grids.pop(code, None)
        if there is not None and there.leaf:
            shapes[code] = there.shape
        if there is not None and code != NOBODY:
            grids[code] = there.grid
    gone = {code for code, there in delta.items() if there is None and code != NOBODY}
    return replace(base, grids=grids, shapes=shapes, retired=base.retired | gone)
