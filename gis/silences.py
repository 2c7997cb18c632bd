"""When a part of the records was silent: before it began, in pauses, and after it ended."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from gis.recorded import UNBELIEVABLE, Run, none_of, reach

Integers = NDArray[np.int64]
_SIDE: Final = 56
"""Recorded days before a run of empty ones, and after it, that say how often days are empty; as many as the
run has, where it is longer."""
_FEWEST: Final = 7
"""Fewer days on a side say nothing."""
_LONGER: Final = 3
"""How many times as long as any other run of empty days around it a pause is: records come in clumps."""
_FEW_HELD: Final = 2
"""Held days nearest to a run that may say of a rate of their own; one is the last of what ended."""
_QUIETER: Final = 0.01
"""The days nearest to a run are quieter than the rest of their side where chance has so few held among
them in at most this share of cases."""
_BELIEVED: Final = 0.05
"""Then a run is believed that their own rate leaves empty in more than this share of cases."""
_YEARS: Final = (-384, -364, -354, 354, 364, 384)
"""Days to the same season of another year, by the sun or by 12 or 13 moons (Spring Festival moves)."""
_ALIKE: Final = 0.1
"""Where the same days of another year hold no more than this share of what is usual, it is a season."""


def silences(held: Integers, days: Integers, off: Integers, settled: int | None = None) -> list[Run]:
    """Return the runs of days (first, end exclusively) in which a part of the records was silent, rising.

    `held` are the days that hold a record of it, among the recorded `days` of the city; all are numbers since
    1970-01-01, rising. A run open to the past ends where the part began (`gis.recorded.reach`), one open to
    the future begins where it had ended, and a closed one is a pause. Announced days `off` are in no pause
    of their own. Without any record of the part nothing is silent: it is quiet. What is still being reported
    has not ended: the days before the `settled` one alone must say so.
    """
    held = np.intersect1d(held, days, assume_unique=True)
    if not held.size:
        return []
    working = days[(days >= held[0]) & (days <= held[-1])]
    pairs = _pauses(held, np.setdiff1d(working, np.setdiff1d(off, held)))
    # Days off beside a pause belong to it.
    pauses = [(int(days[np.searchsorted(days, last) + 1]), end) for last, end in pairs]
    paused = [(days >= first) & (days < end) for first, end in pauses]
    rest = days[~np.logical_or.reduce(paused)] if paused else days
    place = np.searchsorted(rest, held)
    begin, end = reach(place, len(rest))
    if begin and _goes_on(begin, place - begin + 1):
        begin = 0
    found = [(int(rest[0]), int(rest[begin])), *pauses] if begin else pauses
    return [*found, (int(rest[end]), int(days[-1]) + 1)] if _has_ended(held, rest, settled) else found


def _has_ended(held: Integers, days: Integers, settled: int | None) -> bool:
    sure = days if settled is None else days[days < settled]
    some = held[held < settled] if settled is not None else held
    if not some.size:
        return False
    place = np.searchsorted(sure, some)
    end = reach(place, len(sure))[1]
    return end < len(sure) and not _goes_on(len(sure) - end, (end - place)[::-1])


def _goes_on(run: int, away: Integers) -> bool:
    """Say whether a run of empty days is believed by the days nearest to it, where these are quieter.

    `away` says how many days from the run each held day beside it lies, rising from 1. What fell to a tenth
    three weeks ago may well be empty since, by the rate that it fell to; so may what rose be before it did.
    Every number of nearest held days from _FEW_HELD on is looked at, with the days up to the next one.
    """
    number = np.arange(_FEW_HELD, len(away))
    long, reached = away[number] - 1, away[-1]
    left = reached - long
    share = (len(away) - number) / left
    quieter = bdtr(number, long, np.minimum(share, 1.0)) <= _QUIETER
    chances = (
        none_of(int(days + run), run, int(some))
        for days, some in zip(long[quieter], number[quieter], strict=True)
    )
    return any(chance > _BELIEVED for chance in chances)


def _pauses(held: Integers, days: Integers) -> list[Run]:
    """Return pairs of held days between which too many are empty to believe, by the days around them.

    Of the two sides the quieter decides: were each day of it and of the run as likely to hold a record, the
    chance that none falls on the run (hypergeometric), in any of the runs, is at most UNBELIEVABLE. A season,
    silent in other years as well, is no pause.
    """
    if len(held) < 2:
        return []
    place = np.searchsorted(days, held)
    runs = np.diff(place) - 1
    return [
        (int(held[one]), int(held[one + 1]))
        for one in np.flatnonzero(runs >= _LONGER)
        if _is_pause(place, int(place[one]), int(place[one + 1]))
        and not _is_season(held, days, int(place[one]), int(place[one + 1]))
    ]


def _is_pause(place: Integers, last: int, first: int) -> bool:
    """Say whether the days between the `last` held one and the `first` after it are too many to believe."""
    run = first - last - 1
    reach = max(_SIDE, run)
    before, behind = min(reach, last - int(place[0])), min(reach, int(place[-1]) - first)
    left = place[(place >= last - before) & (place <= last)]
    right = place[(place >= first) & (place <= first + behind)]
    sides = [(before, left, (last + 1 - left)[::-1]), (behind, right, right - first + 1)]
    known = [(long, some) for long, some, _ in sides if long >= _FEWEST]
    # What was rare before and breaks out was in use all along; what came back yesterday may have paused.
    if before < _FEWEST or run < _LONGER * max(int(np.diff(some).max(initial=1)) - 1 for _, some in known):
        return False
    # The held day beside the run is one by its choice, and says nothing.
    chance = max(none_of(long + run, run, len(some) - 1) for long, some in known)
    goes_on = any(_goes_on(run, away) for long, _, away in sides if long >= _FEWEST)
    return chance * len(place) <= UNBELIEVABLE and not goes_on


def _is_season(held: Integers, days: Integers, last: int, first: int) -> bool:
    """Say whether the same days of the year before or after are as silent as those between two held ones.

    The middle half of them, since festivals move by weeks from year to year.
    """
    around = max(_SIDE, first - last - 1)
    near = days[max(0, last - around) : first + around]
    usual = np.isin(near, held).sum() / max(len(near) - (first - last - 1), 1)
    quarter = (first - last - 1) // 4
    run = days[last + 1 + quarter : first - quarter]
    for by in _YEARS:
        alike = np.intersect1d(days, run + by, assume_unique=True)
        alike = alike[(alike >= held[0]) & (alike <= held[-1])]
        if 2 * len(alike) >= len(run) and np.isin(alike, held).sum() <= _ALIKE * usual * len(alike):
            return True
    return False
