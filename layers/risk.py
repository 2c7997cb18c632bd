"""Risk: incidents to expect per cell over a horizon, from its own counts; never anything about persons."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import overload

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.cells import Cells
from gis.errors import NotFound
from gis.schema import incidents
from layers import filters, promotion
from layers.counts import cell_column
from layers.risk_past import days_in_use, days_observed, days_of, past_of, silent_in
from layers.served import Served, served, whole_m2
from layers.silence import Silence
from layers.silent_areas import SilentArea
from layers.stats import evaluate
from layers.stats.forecast import (
    Forecast,
    Past,
    baseline,
    hindcast_origins,
    of_nothing,
    plain,
    total,
)
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Live = Callable[[int, int], Forecast]
"""Origin and horizon in days -> what the live model expects."""
VERSION = "1"
"""Of the models. The baseline is live but where a trial on the city's own past promoted a challenger
(`layers.promotion`)."""
LEFT_OUT = ("sensor", "patrol")
"""Sources that follow where somebody looked; trained on them, a model sends patrols where patrols went."""
COVERAGES = (0.8, 0.95)
SKILL_DAYS = 30
"""Days ahead of each forecast that skill is measured by; up to HINDCASTS of them, one behind the other."""
FEWEST_ORIGINS = 6
"""Fewer forecasts tell of no interval."""
SHARES = (0.01, 0.05)
"""Shares of the area at which skill is told."""


@dataclass(frozen=True)
class Risk:
    """Expected incidents per served cell, each array of shape (n,), and how well this has worked of late."""

    cells: Cells
    model: str
    """Which model is live for this question."""
    expected: Floats
    intervals: list[tuple[Floats, Floats]]
    """Least and greatest count of each of COVERAGES."""
    baseline: Floats
    total: float
    """What all cells together should expect."""
    total_intervals: list[tuple[int, int]]
    """Least and greatest count of all together, of each of COVERAGES."""
    rank: Integers
    """1 where most is expected per area."""
    baseline_rank: Integers
    with_all: Floats | None
    """The live model's expectation had the sources left out been learned from too; None if none were."""
    start: date
    """First day of the horizon, in the city's time."""
    skill: "Skill"
    trained_on: int
    left_out: int
    """Incidents left out of training for their source, and which sources."""
    left_out_sources: tuple[str, ...]
    began: date | None
    """First day of what the view is filtered by, where it came into use later than the records begin."""
    ended: date | None
    """Its last day, where so many days without any since then are not to be believed: 0 is expected, and
    intervals reach from 0 to what would come were it taken up again."""
    paused: list[tuple[date, date]]
    """First and last days of pauses between them, of which nothing is learned."""
    silent: list[Silence]
    """When the area or scope asked about was silent in the days learned from."""
    silent_inside: list[SilentArea]
    """Areas inside it that were: of one that has ended nothing is expected."""

    def only(self, wanted: npt.NDArray[np.bool_]) -> "Risk":
        """Return the same answer with some of its cells; ranks and the whole stay what they were."""
        return replace(
            self, cells=self.cells[wanted], expected=self.expected[wanted],
            intervals=[(low[wanted], high[wanted]) for low, high in self.intervals],
            baseline=self.baseline[wanted], rank=self.rank[wanted], baseline_rank=self.baseline_rank[wanted],
            with_all=None if self.with_all is None else self.with_all[wanted],
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """How well a model's forecasts worked at one share of the area, with the ends of 95 % intervals."""

    model: str
    share: float
    pai: tuple[float, float | None, float | None]
    pei: tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Skill:
    """Forecasts of the latest whole periods of SKILL_DAYS held against what came."""

    origins: int
    area_m2: float
    """Of the city, or of the area and scope asked for, places where nothing ever happened included."""
    is_bounded: bool
    """Whether grids say where that ends; else it is the area of the cells that ever held a feature."""
    measured: list[Measured]
    """Live and baseline at each of SHARES; none where the past is too short or nothing came."""

    def pai(self, model: str) -> dict[str, float | None]:
        """Return the prediction accuracy index of `live` or `baseline` by share of the area."""
        known = {each.share: each.pai[0] for each in self.measured if each.model == model}
        return {str(share): known.get(share) for share in SHARES}


def risk(conn: Connection, view: View, res: int, horizon_days: int, include: Collection[str] = ()) -> Risk:
    """Return what each cell should expect in the `horizon_days` days behind the records.

    A view that names no source, in its filter either, leaves LEFT_OUT out of training, but for those to
    `include`; where these alone recorded anything, nothing is said. The horizon begins on the day after the
    records' end (`gis.record_span`): quiet days belong to them up to yesterday. `baseline` is the plain
    expectation from counts, `expected` the live model's. Days before a category or source came into use teach
    nothing, and 0 is expected of one that ended, of an area that did, and where nothing ever happened in the
    part of the city that is looked at; their intervals say what may come all the same. Raises BadInput for a
    resolution that is not served, NotFound where nothing of the kind was recorded in the whole city, or by
    sources that are left out alone.
    """
    of = served(conn, res, view)
    named = view.source or filters.values_of(view.filter, "source") is not None
    left_out = () if named else tuple(source for source in LEFT_OUT if source not in include)
    past = past_of(conn, view, res, of.cells, left_out)
    _refuse_nothing(conn, view, res, past, left_out)
    observed, used = days_observed(conn, view), days_of(conn, view, left_out)
    began, ended = (used[end] if used[end] != observed[end] else None for end in (0, -1))
    origin = int(observed[-1]) + 1
    model, live = _live(conn, view, res, of, past)
    forecast = live(origin, horizon_days)
    standing = plain(past, origin, horizon_days) if past.day.size else forecast
    whole = total(past, forecast, origin, horizon_days)
    # What ended may be taken up again; nobody can say when, and none is expected until then.
    some = ended is None and past.day.size > 0
    everything = past_of(conn, view, res, of.cells, ()) if left_out else past
    missing = everything.day.size - past.day.size
    goes_on = everything.observed.size and everything.observed[-1] == observed[-1]
    with_all = _live(conn, view, res, of, everything)[1](origin, horizon_days).mean * bool(goes_on)
    return Risk(
        of.cells, model, forecast.mean * some,
        [(low * some, high) for low, high in map(forecast.interval, COVERAGES)], standing.mean * some,
        whole.mean * some, [(low * some, high) for low, high in map(whole.interval, COVERAGES)],
        _rank(forecast.mean, of.inside_m2), _rank(standing.mean, of.inside_m2), with_all if missing else None,
        _day(origin), _skill(past, origin, of.inside_m2, whole_m2(conn, view), model, live),
        int(past.day.size), int(missing), left_out, _day(began), _day(ended),
        _pauses(used, observed), *silent_in(conn, view, observed),
    )  # fmt: skip


def _pauses(used: Integers, observed: Integers) -> list[tuple[date, date]]:
    """Return the first and last of each run of observed days that are not in use, between two that are."""
    between = observed[(observed > used[0]) & (observed < used[-1])]
    left = np.flatnonzero(~np.isin(between, used))
    runs = [run for run in np.split(left, np.flatnonzero(np.diff(left) > 1) + 1) if run.size]
    return [(_day(int(between[run[0]])), _day(int(between[run[-1]]))) for run in runs]


def _refuse_nothing(
    conn: Connection, view: View, res: int, past: Past, left_out: Collection[str]
) -> None:  # fmt: skip
    """Raise NotFound where there is nothing to learn from, and be it because sources are left out.

    What these alone recorded is not quiet, so that no 0 may be said of it, whoever sees how much of the city.
    """
    if past.day.size:
        return
    i = incidents.c
    held = sa.select(i.source).where(cell_column(res).is_not(None), *wanted_incidents(view)).distinct()
    alone = sorted(conn.execute(held.where(i.source.in_(left_out))).scalars()) if left_out else []
    if not alone and past.observed.size:
        return
    if not alone and left_out and days_in_use(conn, view, ()).size:
        alone = sorted(left_out)  # elsewhere in the city
    if not alone:
        raise NotFound("no incident to learn from in this view; widen the category or the area")
    names = ",".join(alone)
    raise NotFound(
        f"only {names} recorded anything of this, which is not learned from unless named; "
        f"add include={names} or source={' or source='.join(alone)}"
    )


def _live(conn: Connection, view: View, res: int, of: Served, past: Past) -> tuple[str, Live]:
    """Return the live model's name and its forecasts by origin and horizon."""
    if not past.day.size:
        return promotion.BASELINE, lambda _, days: of_nothing(past, days)
    promoted = promotion.live(conn, res) if view.is_of_all_incidents else None
    if promoted is None:
        return promotion.BASELINE, lambda origin, days: baseline(past, origin, days)
    ground = promotion.ground(conn, view, res, of)
    return promoted.model, promotion.forecaster(promoted.model, past, ground)


def _rank(mean: Floats, area_m2: Floats) -> Integers:
    rank = np.empty(len(mean), dtype=np.int64)
    rank[np.argsort(-mean / area_m2, kind="stable")] = np.arange(1, len(mean) + 1)
    return rank


def _skill(past: Past, origin: int, area_m2: Floats, whole: float | None, model: str, live: Live) -> Skill:
    """Hold forecasts of the latest periods against what came."""
    starts = [
        start
        for start in hindcast_origins(past, origin, SKILL_DAYS)
        if past.counts(start, start + SKILL_DAYS).any()
    ]
    usual = [baseline(past, start, SKILL_DAYS) for start in starts]
    standing = _measured("baseline", usual, past, starts, area_m2, whole)
    if model == promotion.BASELINE:
        living = [replace(each, model="live") for each in standing]
    else:
        lively = [live(start, SKILL_DAYS) for start in starts]
        living = _measured("live", lively, past, starts, area_m2, whole)
    return Skill(len(starts), whole or float(area_m2.sum()), whole is not None, living + standing)


def _measured(
    name: str,
    forecasts: list[Forecast],
    past: Past,
    starts: list[int],
    area_m2: Floats,
    whole: float | None,
) -> list[Measured]:
    """Return the measures of forecasts at each of SHARES of the whole, in m² (None: of the cells)."""
    if not starts:
        return []
    came = [past.counts(start, start + SKILL_DAYS) for start in starts]
    pairs = list(zip(forecasts, came, strict=True))
    by_share = {
        share: [evaluate.outcome(*pair, area_m2, share, whole_m2=whole) for pair in pairs] for share in SHARES
    }
    return [
        Measured(name, share, _with_interval(evaluate.pai, found), _with_interval(evaluate.pei, found))
        for share, found in by_share.items()
    ]


def _with_interval(
    measure: evaluate.Measure, outcomes: list[evaluate.Outcome]
) -> tuple[float, float | None, float | None]:
    ends = evaluate.interval(measure, outcomes) if len(outcomes) >= FEWEST_ORIGINS else (None, None)
    return measure(outcomes), *ends


@overload
def _day(number: int) -> date: ...
@overload
def _day(number: int | None) -> date | None: ...
def _day(number: int | None) -> date | None:
    """Return the day of so many days since 1970-01-01."""
    return None if number is None else date(1970, 1, 1) + timedelta(days=int(number))
