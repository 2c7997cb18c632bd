"""Since when the parts of a city have their present rates, and what that makes of each incident so far."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BACK: Final = (7, 14, 21, 28, 42, 56, 84, 112, 168, 252, 364, 546, 728)
"""Recorded days back from the origin at which a present rate may have begun."""
LASTING: Final = 1825.0
"""Recorded days that a rate lasts, in the mean."""
JUMP: Final = 2.0
"""A part changed if its rate is so many times as high or as low as before; less is drift, and scatter."""
_PRIOR: Final = 0.5
"""Shape of what is thought of a new rate (Jeffreys), around the rate of the part in all its days."""
_LEAST: Final = 1e-9
"""Chance that nothing ever changed, at least: what all days show never counts for nothing."""
_NONE: Final = 1e-300
_WEEKS: Final = 52
"""Latest weeks that say how much counts scatter."""


@dataclass(frozen=True)
class Blocks:
    """Recorded days before an origin in blocks, the oldest first, cut at BACK."""

    observed: Integers
    """Recorded days before the origin, rising."""

    @property
    def edges(self) -> Integers:
        """Positions in `observed` at which blocks begin."""
        back = np.array([each for each in BACK if each < len(self.observed)], dtype=np.int64)
        return np.concatenate([np.zeros(1, dtype=np.int64), len(self.observed) - back[::-1]])

    @property
    def days(self) -> Floats:
        """Recorded days of each block."""
        return np.asarray(np.diff(np.r_[self.edges, len(self.observed)]), dtype=np.float64)

    def of(self, day: Integers) -> Integers:
        """Return the block of each recorded day."""
        place = np.searchsorted(self.observed, day)
        return np.asarray(np.searchsorted(self.edges, place, side="right") - 1)

    def weeks(self, day: Integers) -> Integers:
        """Return how many weeks before the origin each recorded day is, 0 for the last."""
        return np.asarray((len(self.observed) - 1 - np.searchsorted(self.observed, day)) // 7)


def since(counts: Floats, exposure: Floats, days: Floats, scatter: float) -> Floats:
    """Return the chance that the present rate began with each block, shape (parts, blocks); rows add to 1.

    `counts` and `exposure` have that shape, `days` that of blocks. Counts are Poisson with a rate per
    exposure that is drawn anew from a Gamma after LASTING days in the mean (Adams & MacKay 2007,
    arXiv:0710.3742). Counts that scatter `scatter` times as much as Poisson ones say as much less: both are
    divided by it.
    """
    x, e = counts / scatter, exposure / scatter
    parts, blocks = x.shape
    b = _PRIOR * np.maximum(e.sum(1), 1e-9) / np.maximum(x.sum(1), _PRIOR)
    new = -np.expm1(-days / LASTING)

    def evidence(start: int, end: int) -> Floats:
        """Return the log-likelihood of blocks [start, end) at one rate, shape (parts,)."""
        seen, of = x[:, start:end].sum(1), e[:, start:end].sum(1)
        shape = _PRIOR + seen
        found: Floats = special.gammaln(shape) - shape * np.log(b + of) + _PRIOR * np.log(b)
        return found - special.gammaln(_PRIOR)

    begins = np.full((parts, blocks), -np.inf)
    begins[:, 0] = 0.0
    stays = np.r_[0.0, np.cumsum(np.log1p(-new))]
    for end in range(1, blocks + 1):
        # What all before `end` is worth, by where the rate at its last block began.
        worth = np.stack([
            begins[:, start] + evidence(start, end) + stays[end] - stays[start + 1] for start in range(end)
        ], axis=1)  # fmt: skip
        if end < blocks:
            begins[:, end] = special.logsumexp(worth, axis=1) + np.log(new[end])
    chance: Floats = special.softmax(worth, axis=1)
    return chance


def jumps(chance: Floats, counts: Floats, exposure: Floats) -> Floats:
    """Return the chances with those of changes by less than JUMP added to the first block."""
    behind, of_behind = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in (counts, exposure))
    before, of_before = counts.sum(1, keepdims=True) - behind, exposure.sum(1, keepdims=True) - of_behind
    one, other = behind * of_before, before * of_behind
    some = (of_before > 0) & (of_behind > 0) & ((one >= JUMP * other) | (other >= JUMP * one))
    some[:, 0] = True
    kept = np.where(some, chance, 0.0)
    kept[:, 0] += np.maximum(1 - kept.sum(1), _LEAST)
    return kept


def scatter(part: Integers, week: Integers, weeks: int) -> float:
    """Return how many times as much as Poisson ones the weekly counts of parts scatter, at least 1.

    From differences of neighbouring weeks, of which a change spoils one alone.
    """
    last = min(weeks, _WEEKS)
    known = week < last
    if last < 2 or not known.any():
        return 1.0
    parts = int(part.max()) + 1
    counts = np.bincount(part[known] * last + week[known], minlength=parts * last).reshape(parts, last)
    differences = np.diff(counts, axis=1)
    return max(1.0, float((differences**2).sum() / (counts[:, 1:] + counts[:, :-1]).sum()))


def _per_block(part: Integers, parts: int, block: Integers, blocks: int, weight: Floats | None) -> Floats:
    flat = np.bincount(part * blocks + block, weight, minlength=parts * blocks)
    return flat.reshape(parts, blocks).astype(np.float64)


def _behind(values: Floats) -> Floats:
    """Return sums over each block and those behind it."""
    return np.asarray(np.cumsum(values[:, ::-1], axis=1)[:, ::-1])


@dataclass(frozen=True)
class Level:
    """How busy the whole is at an origin."""

    rate: float
    """Incidents a day."""
    unsure: float
    """Squared coefficient of variation of the rate."""


def level(known: Blocks, day: Integers, decay: Floats, day_decay: Floats) -> Level:
    """Return the rate of a whole whose incidents and recorded days weigh `decay` and `day_decay`.

    Only days since its present rate began count, and they the less the older they are.
    """
    block, blocks = known.of(day), len(known.days)
    none = np.zeros(len(day), dtype=np.int64)
    counts = _per_block(none, 1, block, blocks, None)
    days = known.days[None]
    faded = _per_block(none, 1, block, blocks, decay)
    of = _per_block(
        np.zeros(len(known.observed), dtype=np.int64), 1, known.of(known.observed), blocks, day_decay
    )
    much = scatter(none, known.weeks(day), len(known.observed) // 7)
    chance = jumps(since(counts, days, known.days, much), faded, of)[0]
    rates = (_behind(faded) / _behind(of))[0]
    rate = float(chance @ rates)
    weight = np.cumsum(chance / _behind(of)[0])[block] * decay
    unsure = float((weight**2).sum() + chance @ (rates - rate) ** 2) / rate**2
    return Level(rate, unsure)


def worth(known: Blocks, day: Integers, place: Integers, decay: Floats) -> Floats:
    """Return the part of a whole that each of its incidents stands for, shape (incidents, ), adding to 1.

    `place` (incidents, levels) are the parts that hold each, numbered from 0, the widest first, each within
    the one before. A part's share of what holds it is that of the days since its present share began, so that
    an outbreak and a fall count in full and quiet parts keep all they know; shares are scaled to add up at
    every level. `decay` weighs incidents besides.
    """
    block, blocks = known.of(day), len(known.days)
    week, weeks = known.weeks(day), len(known.observed) // 7
    holder, share = np.zeros(len(day), dtype=np.int64), np.ones(1)
    found = decay
    for part in place.T:
        parts, holders = int(part.max()) + 1, len(share)
        of = np.zeros(parts, dtype=np.int64)
        of[part] = holder
        counts = _per_block(part, parts, block, blocks, None)
        exposure = _per_block(holder, holders, block, blocks, None)[of]
        much = scatter(part, week, weeks)
        chance = since(counts, exposure, known.days, much)
        faded = _behind(_per_block(holder, holders, block, blocks, decay))[of]
        chance = np.where(faded > 0, np.maximum(chance, _LEAST), 0.0)
        each = np.cumsum(np.divide(chance, faded, out=np.zeros_like(faded), where=faded > 0), axis=1)
        weight = each[part, block] * decay
        raw = np.bincount(part, weight, parts)
        share = share[of] * raw / np.maximum(np.bincount(of, raw, holders), _NONE)[of]
        found = share[part] * weight / raw[part]
        holder = part
    return found
