"""How well forecasts have worked: PAI, PEI, hit rate, calibration and coverage over rolling origins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from layers.stats.forecast import Forecast

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """One forecast held against what came, for one share of the area."""

    area_share: float
    """Share of the area that was flagged (whole cells, so close to what was asked)."""
    hits: float
    """Incidents that came in the flagged cells."""
    best: float
    """Incidents in the best cells of as much area, chosen with hindsight."""
    total: float
    promised: float
    """Incidents the forecast put into the flagged cells."""
    promised_total: float
    covered: float
    """Share of all cells whose count fell into the central 90 % of its forecast (by `Forecast.pit`)."""
    covered_flagged: float
    """The same among flagged cells, where it matters and counts are largest."""


def flag(
    score: ArrayLike, area_m2: ArrayLike, share: float, whole_m2: float | None = None
) -> NDArray[np.bool_]:
    """Return which cells to watch: highest score per area first, until `share` of the area is closest.

    `score` (n,) is expected incidents, `area_m2` (n,) the cells' areas. Equal scores fall in the
    order of the cells. `whole_m2` is the area that the share is of, where more belongs to it than the cells
    (None: they are all). Raises ValueError for a share outside 0..1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: {share} is not between 0 and 1")
    s, area = np.asarray(score, dtype=np.float64), np.asarray(area_m2, dtype=np.float64)
    order = np.argsort(-s / area, kind="stable")
    covered = np.cumsum(area[order]) / (whole_m2 or area.sum())
    flagged = np.zeros(s.size, dtype=bool)
    flagged[order[: int(np.abs(covered - share).argmin()) + 1]] = True
    return flagged


def outcome(
    forecast: Forecast,
    observed: ArrayLike,
    area_m2: ArrayLike,
    share: float,
    seed: int = 0,
    whole_m2: float | None = None,
) -> Outcome:
    """Hold a forecast against the counts that came, shape (n,); `whole_m2` as in `flag`.

    Where all cells together are less than the share, places without any record are flagged besides.
    """
    y, area = np.asarray(observed, dtype=np.int64), np.asarray(area_m2, dtype=np.float64)
    flagged, with_hindsight = (flag(each, area, share, whole_m2) for each in (forecast.mean, y))
    flagged_share = float(area[flagged].sum() / (whole_m2 or area.sum()))
    inside = np.abs(forecast.pit(y, seed) - 0.5) < 0.45
    return Outcome(
        area_share=max(flagged_share, share) if whole_m2 and flagged.all() else flagged_share,
        hits=float(y[flagged].sum()),
        best=float(y[with_hindsight].sum()),
        total=float(y.sum()),
        promised=float(forecast.mean[flagged].sum()),
        promised_total=float(forecast.mean.sum()),
        covered=float(inside.mean()),
        covered_flagged=float(inside[flagged].mean()),
    )


Measure = Callable[[Sequence[Outcome]], float]


def hit_rate(outcomes: Sequence[Outcome]) -> float:
    """Return the share of incidents that came in flagged cells, over all origins together."""
    return sum(o.hits for o in outcomes) / sum(o.total for o in outcomes)


def pai(outcomes: Sequence[Outcome]) -> float:
    """Return the prediction accuracy index: hit rate over share of area (Chainey et al. 2008)."""
    return hit_rate(outcomes) / float(np.mean([o.area_share for o in outcomes]))


def pei(outcomes: Sequence[Outcome]) -> float:
    """Return the prediction efficiency index: PAI over the best PAI possible (Hunt 2016)."""
    return sum(o.hits for o in outcomes) / sum(o.best for o in outcomes)


def calibration(outcomes: Sequence[Outcome]) -> float:
    """Return incidents that came in flagged cells over those expected there.

    Both as shares of their totals, so that a busier month is no error. 1 is honest; below 1 the flagged
    places fall back further than the forecast said. Not Levine's recapture rate index (RRI), which divides
    densities of two periods.
    """
    promised = sum(o.promised / o.promised_total * o.total for o in outcomes)
    return sum(o.hits for o in outcomes) / promised


def covered(outcomes: Sequence[Outcome]) -> float:
    """Return the share of cells whose count fell into its 90 % interval."""
    return float(np.mean([o.covered for o in outcomes]))


def covered_flagged(outcomes: Sequence[Outcome]) -> float:
    """Return the share of flagged cells whose count fell into its 90 % interval."""
    return float(np.mean([o.covered_flagged for o in outcomes]))


MEASURES: list[tuple[str, Measure]] = [
    ("PAI", pai),
    ("PEI", pei),
    ("hit rate", hit_rate),
    ("calibration", calibration),
    ("90 % interval", covered),
    ("90 % interval, flagged", covered_flagged),
]


def interval(
    measure: Measure, outcomes: Sequence[Outcome], *, block: int = 1, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a measure, drawing origins again.

    `block` is how many neighbouring origins share test days (horizon / step, rounded up): they are
    drawn together (circular block bootstrap, Politis & Romano 1992).
    """
    values = [measure([outcomes[i] for i in draw]) for draw in _draws(len(outcomes), block, resamples, seed)]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger replaces the baseline."""

    gain: float
    """PAI of the challenger over that of the baseline, minus 1."""
    low: float
    high: float
    promoted: bool


MIN_GAIN = 0.05


def judge(
    challenger: Sequence[Outcome],
    standing: Sequence[Outcome],
    *,
    block: int = 1,
    comparisons: int = 1,
    resamples: int = 4000,
) -> Verdict:
    """Promote a challenger only if its PAI is 5 % better and the 95 % interval of the gain is above 0.

    Both must have been held against the same origins; they are drawn again in pairs. The interval
    is widened for as many `comparisons` as challengers were tried (Bonferroni): the best of many
    is better by luck alone.
    Raises ValueError where the origins differ, or the standing model hit too little (`can_judge`).
    """
    if [o.total for o in challenger] != [o.total for o in standing]:
        raise ValueError("challenger: its origins are not those of the standing model")
    if not can_judge(standing, block=block, resamples=resamples):
        raise ValueError("standing: it hit too little for a ratio to it; see can_judge")
    gain = pai(challenger) / pai(standing) - 1
    drawn = [
        pai([challenger[i] for i in draw]) / pai([standing[i] for i in draw]) - 1
        for draw in _draws(len(standing), block, resamples, 0)
    ]
    tail = 0.025 / comparisons
    low, high = (float(q) for q in np.quantile(drawn, (tail, 1 - tail)))
    return Verdict(gain, low, high, gain >= MIN_GAIN and low > 0)


def can_judge(standing: Sequence[Outcome], *, block: int = 1, resamples: int = 4000) -> bool:
    """Tell whether the standing model hit something in every draw of its origins: nothing is no measure."""
    return all(any(standing[i].hits for i in draw) for draw in _draws(len(standing), block, resamples, 0))


def _draws(n: int, block: int, resamples: int, seed: int) -> list[Integers]:
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, (resamples, -(-n // block)))
    runs = (starts[:, :, None] + np.arange(block)) % n
    return list(runs.reshape(resamples, -1)[:, :n])
