"""What may be shown to the public: small cells merged upward until nobody can be told from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

MIN_ADDRESSES = 8
MIN_INCIDENTS = 3


@dataclass(frozen=True)
class Merged:
    """Groups of cells that together are large enough to be shown."""

    group: Integers
    """Group of every cell, shape (n,)."""
    level: Integers
    """How far up each group was merged: 0 a cell of its own, k the rest of a parent at level k."""
    incidents: Integers
    addresses: Integers
    withheld: bool
    """True when even the whole is too small: then there is one group, and its numbers stay here."""


def merge_small(
    incidents: ArrayLike,
    addresses: ArrayLike,
    parents: Sequence[ArrayLike],
    min_addresses: int = MIN_ADDRESSES,
    min_incidents: int = MIN_INCIDENTS,
) -> Merged:
    """Merge cells with too few addresses or incidents upward; totals stay exactly what they were.

    `incidents` and `addresses` have shape (n,); `parents[k]` (n,) names each cell's ancestor k + 1
    levels up, nearest first (level len(parents) + 1 is the whole area). At each level the cells
    that are still too small join the other small ones of their ancestor ("the rest of ..."). What
    is too small even in the whole joins the smallest group that is shown, so that no total gives it
    away by subtraction. Cells without incidents are merged once with the small ones around them, so
    that an empty cell cannot be told from a hidden one; a rest without any incident may be shown.
    Raises ValueError for shapes that do not match.
    """
    y, a = np.asarray(incidents, dtype=np.int64), np.asarray(addresses, dtype=np.int64)
    ancestors = [np.asarray(each) for each in parents]
    if y.ndim != 1 or any(each.shape != y.shape for each in (a, *ancestors)):
        raise ValueError(f"addresses and parents must have the shape of incidents, {y.shape}")
    group, level = np.arange(y.size), np.zeros(y.size, dtype=np.int64)
    small = (y < min_incidents) | (a < min_addresses)
    for k, ancestor in enumerate([*ancestors, np.zeros(y.size)], start=1):
        where = np.flatnonzero(small)
        _, first, member = np.unique(ancestor[where], return_index=True, return_inverse=True)
        group[where], level[where] = where[first[member]], k
        total_y, total_a = (np.bincount(group, values, y.size) for values in (y, a))
        hidden = (total_y > 0) & ((total_y < min_incidents) | (total_a < min_addresses))
        small &= hidden[group]
    while small.any() and np.unique(group).size > 1:
        group, level, small = _join_smallest(y, a, group, level, small, min_addresses)
    return _merged(y, a, group, level, withheld=bool(small.any()))


def _join_smallest(
    y: Integers, a: Integers, group: Integers, level: Integers, small: Bools, min_addresses: int
) -> tuple[Integers, Integers, Bools]:
    """Join what is too small with the smallest group that is shown, and tell whether that is enough.

    A shown group with incidents has enough of both; one without may still lack addresses.
    """
    others = np.unique(group[~small])
    totals = np.bincount(group, y, y.size)[others]
    with_incidents = others[totals > 0]
    chosen = others[0] if not with_incidents.size else with_incidents[totals[totals > 0].argmin()]
    joined = small | (group == chosen)
    enough = bool(with_incidents.size) and a[joined].sum() >= min_addresses
    top = level.max()
    return np.where(joined, chosen, group), np.where(joined, top, level), joined & (not enough)


def _merged(y: Integers, a: Integers, group: Integers, level: Integers, *, withheld: bool) -> Merged:
    _, first, member = np.unique(group, return_index=True, return_inverse=True)
    incidents, addresses = (np.zeros(first.size, dtype=np.int64) for _ in range(2))
    np.add.at(incidents, member, y)
    np.add.at(addresses, member, a)
    return Merged(member.astype(np.int64), level[first], incidents, addresses, withheld)
