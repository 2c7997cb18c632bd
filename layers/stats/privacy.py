"""What may be told of small places: counts on a tree of areas, the small ones told with those around them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Counts = tuple[int, ...]
Told = dict[int, Counts]
"""Counts by area of the tree; each speaks of the area less the areas below it that are told themselves."""
MayTell = Callable[[Counts, int], bool]
"""Whether counts of a group with so many addresses may be told."""

MIN_ADDRESSES = 8
MIN_INCIDENTS = 3
ALL = ""
"""The name of all categories together."""


@dataclass(frozen=True)
class Tree:
    """Areas within areas, each named by a number of its own."""

    levels: tuple[tuple[int, ...], ...]
    """Areas by level, finest first; the last level is the whole alone."""
    parent: Mapping[int, int]
    addresses: Mapping[int, int]
    """Addresses in each area of each level."""


def tree(paths: npt.NDArray[np.uint64], addresses: npt.NDArray[np.int64]) -> Tree:
    """Return the tree of which `paths` (n, levels) are the branches, finest area first, the whole last.

    `addresses` (n,) are those of the finest areas. Raises ValueError where the last column names two wholes.
    """
    if paths.size and (paths[:, -1] != paths[0, -1]).any():
        raise ValueError("paths: the last column must name one whole")
    sums: dict[int, int] = defaultdict(int)
    for column in paths.T:
        names, member = np.unique(column, return_inverse=True)
        totals = np.bincount(member, addresses, len(names)).astype(np.int64)
        sums.update(zip(names.tolist(), totals.tolist(), strict=True))
    parent = {
        child: above
        for lower, upper in zip(paths.T, paths.T[1:], strict=False)
        for child, above in zip(lower.tolist(), upper.tolist(), strict=True)
    }
    return Tree(tuple(tuple(np.unique(column).tolist()) for column in paths.T), parent, sums)


@dataclass(frozen=True)
class _Merging:
    """What is told so far, while areas are gone through from the finest up."""

    tree: Tree
    may_tell: MayTell
    told: Told = field(default_factory=dict)
    below: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Areas of the next finer level that tell something, by area."""
    total: Told = field(default_factory=dict)
    """What is told in an area and below it."""

    def settle(self, area: int, pool: Counts) -> Counts | None:
        """Tell the pool of an area if it may be told, if need be with an area below; return what may not."""
        room = self.tree.addresses[area] - sum(self.tree.addresses[one] for one in self.below.get(area, ()))
        if self.may_tell(pool, room):
            self.told[area] = pool
            return None
        below = self.below.get(area, [])
        helpers = [one for one in below if self._would_help(pool, room, one)]
        taken = [min(helpers, key=lambda one: (sum(self.total[one]), one))] if helpers else below
        for one in tuple(taken):
            pool = _plus(pool, self.total[one])
            self._take_back(one)
            self.below[area].remove(one)
            room += self.tree.addresses[one]
        if self.may_tell(pool, room):
            self.told[area] = pool
            return None
        return pool

    def add_up(self, area: int) -> bool:
        """Add up what is told in an area and below; say whether anything is."""
        parts = [self.total[one] for one in self.below.get(area, ())]
        if area in self.told:
            parts.append(self.told[area])
        if parts:
            self.total[area] = _plus(*parts)
        return bool(parts)

    def _would_help(self, pool: Counts, room: int, area: int) -> bool:
        return self.may_tell(_plus(pool, self.total[area]), room + self.tree.addresses[area])

    def _take_back(self, area: int) -> None:
        self.told.pop(area, None)
        for one in self.below.pop(area, ()):
            self._take_back(one)


def merge_up(on: Tree, pieces: Mapping[int, Counts], may_tell: MayTell) -> tuple[Told, Counts | None]:
    """Return what may be told of the pieces (counts by area), and what may not be even of the whole.

    From the finest areas up: what may not be told of an area joins the smallest area within its parent that
    makes it tellable, or all that is not told there. So an area either tells everything in it, in
    parts, or its parent tells it; sums stay exactly what they were.
    """
    work = _Merging(on, may_tell)
    pools = dict(pieces)
    for level in on.levels:
        for area in [one for one in level if one in pools or one in work.below]:
            left = work.settle(area, pools[area]) if area in pools else None
            if left is not None and area in on.parent:
                _add(pools, on.parent[area], left)
            elif left is not None:
                return work.told, left
            if work.add_up(area) and area in on.parent:
                work.below[on.parent[area]].append(area)
    return work.told, None


def release(
    on: Tree, total: Mapping[int, int], by_category: Mapping[str, Mapping[int, int]]
) -> dict[str, dict[int, int]]:
    """Return what the public may know of one period: counts by area, of ALL and of each category.

    `total` and each of `by_category` count the finest areas; categories add up to the total. Of ALL, a group
    has at least MIN_INCIDENTS and MIN_ADDRESSES. The categories follow from the most frequent to the
    rarest, each on groups made of the groups of the one before, so large that it, and what all rarer ones
    leave of the group, are none or at least MIN_INCIDENTS. What is told then is a chain of
    two-way tables nested in each other, of which nothing finer than the margins can be worked out by adding
    and subtracting (Dobra & Fienberg 2000, PNAS 97:11885). A category, with all rarer ones, is left out where
    even the whole is too small for it; an empty answer means that ALL is.
    """
    groups, left = merge_up(on, {area: (n,) for area, n in total.items() if n}, _is_large)
    if left is not None:
        return {}
    told = {ALL: {area: counts[0] for area, counts in groups.items()}}
    rest = told[ALL]
    for name in sorted(by_category, key=lambda one: (-sum(by_category[one].values()), one)):
        counted = gather(on, by_category[name], rest)
        pieces = {area: (counted.get(area, 0), n - counted.get(area, 0)) for area, n in rest.items()}
        groups, left = merge_up(on, pieces, _hides_nobody)
        if left is not None:
            return told
        told[name] = {area: counts[0] for area, counts in groups.items() if counts[0]}
        rest = {area: counts[1] for area, counts in groups.items()}
    return told


def gather(on: Tree, counted: Mapping[int, int], groups: Iterable[int]) -> dict[int, int]:
    """Return counts of areas by the group that each belongs to: its nearest told area upward."""
    known, sums = set(groups), defaultdict[int, int](int)
    for area, n in counted.items():
        if not n:
            continue
        group = area
        while group not in known:
            group = on.parent[group]
        sums[group] += n
    return sums


def _is_large(counts: Counts, addresses: int) -> bool:
    return counts[0] >= MIN_INCIDENTS and addresses >= MIN_ADDRESSES


def _hides_nobody(counts: Counts, _: int) -> bool:
    return all(n == 0 or n >= MIN_INCIDENTS for n in counts)


def _plus(*parts: Counts) -> Counts:
    return tuple(map(sum, zip(*parts, strict=True)))


def _add(pools: dict[int, Counts], area: int, counts: Counts) -> None:
    pools[area] = _plus(pools[area], counts) if area in pools else counts
