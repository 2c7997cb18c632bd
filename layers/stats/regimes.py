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
_ROUNDS: Final = 2
"""Turns of estimating rates and busyness; later ones change little."""
_MOST_PARTS: Final = 2000
"""More parts of a size hold too little each to show what changed."""
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


def since(counts: Floats, exposure: Floats, days: Floats, scatter: float) -> tuple[Floats, Floats]:
    """Return the chance that the present rate began with each block, and how well the counts fit.

    Chances have shape (parts, blocks) and add to 1 by rows; the fit is a log-likelihood, shape (parts,), but
    for what hangs on the counts alone. `counts` and `exposure` have shape (parts, blocks), `days` that of
    blocks. Counts are Poisson with a rate per exposure that is drawn anew from a Gamma after LASTING days in
    the mean (Adams & MacKay 2007, arXiv:0710.3742). Counts that scatter `scatter` times as much as Poisson
    ones say as much less: both are divided by it.
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
    return chance, special.logsumexp(worth, axis=1) + special.xlogy(x, e).sum(1)


@dataclass(frozen=True)
class Fit:
    """What parts and what holds them did so far: its busyness, which all its parts share, and their rates."""

    chance: Floats
    """Chance that a part's present rate began with each block, shape (parts, blocks)."""
    rates: Floats
    """Rates of parts, shape (parts, blocks), incidents for each of `common`."""
    common: Floats
    """Busyness of each holder, shape (holders, blocks)."""
    fit: float
    """Log-likelihood of all counts."""

    def held(self, of: Integers) -> Floats:
        """Return the rates of what each holder holds, shape (holders, blocks)."""
        return _by_holder(self.rates, of, len(self.common))


def fitted(counts: Floats, of: Integers, start: Floats, days: Floats, scatter: float) -> Fit:
    """Return which parts have changed, and what is common to all parts of a holder.

    `of` is the holder of each part, `start` a busyness of holders to begin with, shape (holders, blocks).
    Were a holder's own counts its busyness, an outbreak in one part would be a fall in each other one. So
    both are estimated in turn, each by what is most likely under the other. Where one holds all, its own
    counts are another start, and the likelier end is kept.
    """
    found = _climbed(counts, of, start, days, scatter)
    if len(start) > 1:
        return found
    return max(
        found, _climbed(counts, of, counts.sum(0, keepdims=True), days, scatter), key=lambda one: one.fit
    )


def _climbed(counts: Floats, of: Integers, common: Floats, days: Floats, scatter: float) -> Fit:
    """Return where the likelihood is highest, uphill from a busyness."""
    held = _by_holder(counts, of, len(common))
    for _ in range(_ROUNDS):
        chance, fit = since(counts, common[of], days, scatter)
        rates = _rates(chance, counts, common[of])
        common = _ratio(held, _by_holder(rates, of, len(common)))
    return Fit(chance, rates, common, float(fit.sum()))


def _rates(chance: Floats, counts: Floats, exposure: Floats) -> Floats:
    """Return the rate of each part in each block: that before and that after its latest change."""
    seen, exposed = _behind(counts), _behind(exposure)
    after = _ratio(seen, exposed)
    before = _ratio(seen[:, :1] - seen, exposed[:, :1] - exposed)
    later = np.cumsum(chance[:, ::-1] * before[:, ::-1], axis=1)[:, ::-1]
    changed = np.cumsum(chance * after, axis=1)
    return np.asarray(changed + np.c_[later[:, 1:], np.zeros(len(chance))])


def _by_holder(values: Floats, of: Integers, holders: int) -> Floats:
    found = np.zeros((holders, values.shape[1]))
    np.add.at(found, of, values)
    return found


def _ratio(one: Floats, other: Floats) -> Floats:
    return np.divide(one, other, out=np.zeros(np.broadcast(one, other).shape), where=other > 0)


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


@dataclass(frozen=True)
class Changed:
    """What the parts of a whole that changed make of it, and how unsure their rates together are now."""

    held: Floats
    """Rates of all parts together, shape (blocks,)."""
    common: Floats
    """Busyness that all parts share, shape (blocks,)."""
    unsure: float
    """Squared coefficient of variation of the last of `held`."""


def changed(known: Blocks, day: Integers, place: Integers) -> Changed:
    """Return which changes of a whole are those of some of its parts; `place` as in `worth`.

    Of parts of the size whose changes leave the steadiest busyness: small ones show no outbreak in a quarter
    of the city, and large ones none in a street.
    """
    many = [int(part.max()) + 1 for part in place.T]
    sizes = [part for part, parts in zip(place.T, many, strict=True) if parts <= _MOST_PARTS]
    return min((_changed(known, day, part) for part in sizes or [place[:, 0]]), key=lambda one: one[0])[1]


def _changed(known: Blocks, day: Integers, part: Integers) -> tuple[float, Changed]:
    """Return how unsteady its parts' changes leave the busyness of a whole, and what they make of it."""
    block, blocks = known.of(day), len(known.days)
    counts = _per_block(part, int(part.max()) + 1, block, blocks, None)
    of = np.zeros(len(counts), dtype=np.int64)
    much = scatter(part, known.weeks(day), len(known.observed) // 7)
    found = fitted(counts, of, known.days[None], known.days, much)
    exposed = _behind(found.common)[of]
    after, now = _ratio(_behind(counts), exposed), found.rates[:, -1:]
    spread = found.chance * ((after - now) ** 2 + _ratio(after, exposed) * much)
    held = found.held(of)[0]
    expected = held * known.days * (len(day) / (held @ known.days))
    unsteady = float(special.rel_entr(counts.sum(0), expected).sum())
    return unsteady, Changed(held, found.common[0], float(spread.sum() / held[-1] ** 2))


def unsure_share(known: Blocks, day: Integers, whole: Changed, share: float) -> float:
    """Return the squared coefficient of variation of an area's `share` of a whole, by its own series.

    `day` are those of its incidents. Parts across its border follow its change more slowly than all of it
    shows: how far its own rates, by when the present one may have begun, lie from its share counts as unsure.
    What is all of the whole has no share to be unsure of.
    """
    none = np.zeros(len(day), dtype=np.int64)
    counts = _per_block(none, 1, known.of(day), len(known.days), None)
    much = scatter(none, known.weeks(day), len(known.observed) // 7)
    chance = since(counts, whole.common[None], known.days, much)[0][0]
    exposed = _behind(whole.common[None])[0] * whole.held[-1]
    shares = _ratio(_behind(counts)[0], exposed)
    spread = (shares - share) ** 2 + _ratio(shares, exposed) * much
    return float(chance @ spread) * (1 - share) / share**2


def level(
    known: Blocks, day: Integers, decay: Floats, day_decay: Floats, parts: Changed | None = None
) -> Level:
    """Return the rate of a whole whose incidents and recorded days weigh `decay` and `day_decay`.

    Days count as what parts of it held then is to what they hold now, if those are known. Only days since its
    present rate began count, and they the less the older they are.
    """
    block, blocks = known.of(day), len(known.days)
    none = np.zeros(len(day), dtype=np.int64)
    scale = np.ones(blocks) if parts is None else parts.held / parts.held[-1]
    counts = _per_block(none, 1, block, blocks, None)
    days = known.days[None] * scale
    faded = _per_block(none, 1, block, blocks, decay)
    of = scale * _per_block(
        np.zeros(len(known.observed), dtype=np.int64), 1, known.of(known.observed), blocks, day_decay
    )
    much = scatter(none, known.weeks(day), len(known.observed) // 7)
    any_change = since(counts, days, known.days, much)[0]
    chance = jumps(any_change, faded, of)[0]
    rates = (_behind(faded) / _behind(of))[0]
    rate = float(chance @ rates)
    weight = np.cumsum(chance / _behind(of)[0])[block] * decay
    # What passes for drift may be there to stay.
    unsure = float((weight**2).sum() + any_change[0] @ (rates - rate) ** 2) / rate**2
    return Level(rate, unsure + (0.0 if parts is None else parts.unsure))


def worth(
    known: Blocks, day: Integers, place: Integers, decay: Floats, whole: Changed | None = None
) -> Floats:
    """Return the part of a whole that each of its incidents stands for, shape (incidents, ), adding to 1.

    `place` (incidents, levels) are the parts that hold each, numbered from 0, the widest first, each within
    the one before. A part's share of what holds it is that of the days since its present rate began, so that
    an outbreak and a fall count in full and quiet parts keep all they know; shares are scaled to add up at
    every level. `decay` weighs incidents besides; `whole` is that of `changed`, if it is known already.
    """
    common = (whole or changed(known, day, place)).common
    block, blocks = known.of(day), len(known.days)
    week, weeks = known.weeks(day), len(known.observed) // 7
    holder, share = np.zeros(len(day), dtype=np.int64), np.ones(1)
    found = decay
    for part in place.T:
        parts, holders = int(part.max()) + 1, len(share)
        of = np.zeros(parts, dtype=np.int64)
        of[part] = holder
        counts = _per_block(part, parts, block, blocks, None)
        fit = fitted(counts, of, np.tile(common, (holders, 1)), known.days, scatter(part, week, weeks))
        faded = _behind(_ratio(_per_block(holder, holders, block, blocks, decay), fit.held(of)))[of]
        chance = np.where(faded > 0, np.maximum(fit.chance, _LEAST), 0.0)
        weight = np.cumsum(_ratio(chance, faded), axis=1)[part, block] * decay
        raw = np.bincount(part, weight, parts)
        share = share[of] * raw / np.maximum(np.bincount(of, raw, holders), _NONE)[of]
        found = share[part] * weight / raw[part]
        holder = part
    return found
