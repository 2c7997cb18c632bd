"""By how much the others moved: the swing that a grid's own past is scaled with, in which it has no part."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.stats.expectation import dispersion

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LEAST, MOST = 0.1, 0.5
"""Standard deviations between which the swing of a family is taken to lie, on the scale of logarithms.

A short past of small counts shows none where there is one, or a great one by chance.
"""
_FAR = 3.0
"""Standard deviations beyond which a row's count is taken to lie there, where the group's swing is sought."""
_SURE = 4.0
"""Squared standard deviations beyond which a family's swing is one, and is not shrunk as chance is."""
_TURNS, _CLOSE = 60, 1e-6
_HALF = 0.5
"""Added to counts and what is expected of them before logarithms are taken."""


@dataclass(frozen=True)
class Swing:
    """Logarithms of factors with their variances, each of shape (n,)."""

    log: Floats
    variance: Floats

    def grown(self, mean: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return mean and negative-binomial size of counts whose mean is multiplied by these factors."""
        unsure = np.expm1(self.variance)
        return mean * np.exp(self.log), 1 / ((1 + 1 / size) * (1 + unsure) - 1)


@dataclass(frozen=True)
class _Sums:
    """What rows hold together, what their pasts expect of it, and the squares of that: for their scatter."""

    held: Floats
    expected: Floats
    squares: Floats

    def __sub__(self, other: "_Sums") -> "_Sums":
        parts = ((self.held, other.held), (self.expected, other.expected), (self.squares, other.squares))
        return _Sums(*(np.maximum(whole - part, 0) for whole, part in parts))

    def at(self, number: Integers) -> "_Sums":
        return _Sums(self.held[number], self.expected[number], self.squares[number])

    def seen(self, around: Floats, alpha: float, periods: int) -> Swing:
        """Return by how much they moved, with what chance and the length of their past leave unsure."""
        some, usual = self.expected > 0, self.expected * np.exp(around)
        log = around + np.log((self.held + _HALF) / (usual + _HALF))
        scatter = np.divide(self.squares, self.expected**2, out=np.zeros_like(usual), where=some)
        # What chance does is taken from what is expected: by the count itself, a low one would say least.
        unsure = (1 / (usual + _HALF) + alpha * scatter) * (1 + 1 / periods)
        return Swing(np.where(some, log, around), np.where(some, unsure, np.inf))


def swings(y: Floats, own: Floats, past: Floats, family: Integers, alpha: float) -> tuple[Swing, Swing]:
    """Return by how much the others of each row moved: as is shown, and as a family of two is tested with.

    `y` (n,) counts of one group, `own` (n,) what their pasts (n, periods) expect, `family` (n,), `alpha` the
    scatter between periods. The rest of a row's family is seen with and without the one of it that moved
    most: where that one stands out it is left out, else what lies nearer to the rest of the group counts.
    So no single one moves the others. It is shrunk towards that rest by how unsure both are, and that
    towards no swing. In a family of two nothing is left without the one: the second answer has the sibling
    nevertheless.
    """
    _, number = np.unique(family, return_inverse=True)
    group = _of_group(y, own, past, number, alpha)
    rows = _Sums(y, own, own**2)
    rest = _summed(rows, number).at(number) - rows
    usual = own * _held_in(y, own, alpha).sum() / own.sum()
    most, members = _most_beside(np.abs(y - usual), number), np.bincount(number)[number]
    all_seen, fewer = (each.seen(group.log, alpha, past.shape[1]) for each in (rest, rest - rows.at(most)))
    far, near = (each.log - group.log for each in (all_seen, fewer))
    held = np.where(far * near > 0, np.sign(far) * np.minimum(np.abs(far), np.abs(near)), 0.0)
    held = np.where(_stands_out(y[most], own[most], fewer, alpha), near, held)
    some = members > 2
    robust = Swing(group.log + np.where(some, held, 0.0), np.where(some, fewer.variance, np.inf))
    plain = Swing(*(np.where(members == 2, a, b) for a, b in (
        (all_seen.log, robust.log), (all_seen.variance, robust.variance),
    )))  # fmt: skip
    between = _between(past, own, number, alpha)
    return _shrunk(robust, group, between), _shrunk(plain, group, between)


def _stands_out(y: Floats, own: Floats, others: Swing, alpha: float) -> NDArray[np.bool_]:
    """Say which counts lie beyond chance, and beyond what is unsure of it, around the swing of the others."""
    mean = own * np.exp(others.log)
    unsure = np.where(np.isfinite(others.variance), others.variance, 0.0)
    low, high = _reach(mean, alpha + unsure)
    return np.isfinite(others.variance) & ((y < low) | (y > high))


def _reach(mean: Floats, alpha: float | Floats) -> tuple[Floats, Floats]:
    """Return between which counts of some mean lie, but for rare chance."""
    half = _FAR * np.sqrt(mean + alpha * mean**2)
    # Few counts lie far above their mean by chance more often than as far below.
    return np.maximum(mean - half, 0), mean + half + _FAR**2 / 2


def _summed(rows: _Sums, number: Integers) -> _Sums:
    held, expected, squares = (
        np.asarray(np.bincount(number, each), dtype=np.float64)
        for each in (rows.held, rows.expected, rows.squares)
    )
    return _Sums(held, expected, squares)


def _most_beside(away: Floats, number: Integers) -> Integers:
    """Return of each row which other one of its family is farthest away; itself where there is none."""
    order = np.lexsort((-away, number))
    first = np.flatnonzero(np.r_[True, np.diff(number[order]) > 0])
    last = np.r_[first[1:], len(order)] - 1
    top, second = order[first], order[np.minimum(first + 1, last)]
    rows = np.arange(len(away))
    return np.where(top[number] == rows, second[number], top[number])


def _of_group(y: Floats, own: Floats, past: Floats, number: Integers, alpha: float) -> Swing:
    """Return by how much the group without each row's family moved; what is usual where there is no more."""
    periods, held = past.shape[1], _held_in(y, own, alpha)
    sums = _summed(_Sums(held, own, own**2), number)
    others = (_Sums(*(np.atleast_1d(each.sum()) for each in (sums.held, sums.expected, sums.squares)))).at(
        np.zeros_like(number)
    ) - sums.at(number)
    total = past.sum(axis=0)
    before = (total.var(ddof=1) - total.mean()) / total.mean() ** 2
    none = Swing(np.zeros_like(own), np.zeros_like(own))
    alone = np.bincount(number).size == 1
    if alone:
        return Swing(none.log, np.full_like(own, _bounded(before)))
    seen = others.seen(none.log, alpha, periods)
    # Families swing by themselves: a group of few says less of the others.
    squares = (sums.expected**2).sum() - sums.expected[number] ** 2
    few = squares / np.maximum(others.expected, 1e-12) ** 2
    between = _between(past, own, number, alpha)
    return _shrunk(Swing(seen.log, seen.variance + between * few), none, _bounded(before))


def _held_in(y: Floats, own: Floats, alpha: float) -> Floats:
    """Return counts without what lies beyond chance around the swing of the group: Huber's, turn by turn."""
    ratio, order = y / own, np.argsort(y / own)
    middle = np.searchsorted(np.cumsum(own[order]), own.sum() / 2)
    factor, held = float(ratio[order[min(int(middle), len(y) - 1)]]) or float(y.sum() / own.sum()), y
    for _ in range(_TURNS):
        held = np.clip(y, *_reach(own * factor, alpha))
        last, factor = factor, float(held.sum() / own.sum())
        if abs(factor - last) <= _CLOSE * max(last, _CLOSE):
            break
    return held


def _between(past: Floats, own: Floats, number: Integers, alpha: float) -> float:
    """Return the variance of families' swings about their group's, as past periods show it."""
    table = np.zeros((int(number.max()) + 1, past.shape[1]))
    np.add.at(table, number, past)
    expected = np.bincount(number, own)
    by_rows = alpha * float((own**2).sum() / (expected**2).sum())
    return _bounded(dispersion(table).estimate - by_rows)


def _bounded(variance: float) -> float:
    return float(np.clip(variance, LEAST**2, MOST**2))


def _shrunk(seen: Swing, towards: Swing, between: float) -> Swing:
    """Shrink by precision; what lies far beyond chance speaks for itself, whatever `between` is."""
    away = seen.log - towards.log
    chance = np.where(np.isfinite(seen.variance), seen.variance, 0.0)
    prior = np.maximum(between, away**2 - _SURE * (chance + towards.variance)) + towards.variance
    weight = np.where(np.isfinite(seen.variance), prior / (prior + chance), 0.0)
    return Swing(towards.log + weight * away, np.where(weight > 0, weight * chance, prior))
