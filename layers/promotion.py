"""Which model is live: challengers tried against the baseline on the city's own past."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy import sparse
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.db import Record, columns
from gis.schema_situation import trials
from layers.counts import cell_column
from layers.served import Served, exposure, whole_m2
from layers.stats.challenger import CHALLENGERS, Fit, Row, challenger, row
from layers.stats.evaluate import Outcome, Verdict, can_judge, judge, outcome, pai
from layers.stats.forecast import MIN_HINDCASTS, Forecast, Past, baseline, hindcast_origins
from layers.view import View

Floats = npt.NDArray[np.float64]
Model = Callable[[int], Forecast]
TRIED_RES = 9
HORIZON = 30
ORIGINS = 24
LEAST_STEP = 7
"""Days between origins at least: closer ones share their days, and two dozen then tell no more than a few."""
SHARE = 0.01
"""The share of the area at which models are compared."""
KINDS_OF_PLACES = 8
"""The most frequent kinds of places, each of which is a feature."""
BASELINE = "all counts so far"
_FITS = dict(CHALLENGERS)


@dataclass(frozen=True)
class Ground:
    """What a model knows of the cells besides their counts."""

    area_m2: Floats
    discs: list[sparse.csr_array]
    places: Floats
    """Households, buildings and places by kind, shape (cells, features); nothing about persons."""
    whole_m2: float | None = None
    """The area that shares are of, where grids say what belongs to the city; None: that of the cells."""


@dataclass(frozen=True)
class Trial:
    """How a model did against the baseline."""

    model: str
    origins: int
    pai: float
    verdict: Verdict


def kept(conn: Connection, res: int) -> list[Record]:
    """Return the last trial of each model at a resolution; none where the past was too short for any."""
    return list(conn.execute(trials.select().where(trials.c.res == res).order_by(trials.c.model)).all())


def live(conn: Connection, res: int) -> Record | None:
    """Return the trial by which a challenger is live at a resolution; None: the baseline is."""
    of = trials.select().where(trials.c.res == res, trials.c.horizon_days == HORIZON, trials.c.live)
    return conn.execute(of).one_or_none()


def forecaster(model: str, past: Past, of: Ground) -> Callable[[int, int], Forecast]:
    """Return a model's forecasts by origin and horizon; the baseline's where the past is too short for it.

    What one forecast learned from serves the next. Raises KeyError for a model that is none of CHALLENGERS or
    BASELINE.
    """
    seen = cache(lambda start, horizon: row(past, start, horizon, of.discs, of.places))

    def forecast(origin: int, horizon: int) -> Forecast:
        starts = hindcast_origins(past, origin, horizon)
        if model == BASELINE or len(starts) < 2 * MIN_HINDCASTS:
            return baseline(past, origin, horizon)
        return challenger([seen(start, horizon) for start in starts], seen(origin, horizon), _FITS[model])

    return forecast


def ground(conn: Connection, view: View, res: int, of: Served) -> Ground:
    """Return what is known of a view's cells at `res` besides their counts."""
    return Ground(
        of.inside_m2, [of.disc(k) for k in (1, 2)], _places(conn, view, res, of), whole_m2(conn, view)
    )


def origins_of(past: Past) -> list[int]:
    """Return ORIGINS days to forecast from, up to a horizon apart; none where the past is too short.

    Each has enough past to train a challenger, and a horizon of recorded days after it.
    """
    if not past.observed.size:
        return []
    last = int(past.observed[-1]) + 1 - HORIZON
    first = last
    # No further back than the step can grow.
    while first > last - HORIZON * (ORIGINS - 1) and _can_train(past, first - 1):
        first -= 1
    step = min(HORIZON, (last - first) // (ORIGINS - 1))
    return [last - step * k for k in range(ORIGINS)][::-1] if step >= LEAST_STEP else []


def _can_train(past: Past, origin: int) -> bool:
    return len(hindcast_origins(past, origin, HORIZON)) >= 2 * MIN_HINDCASTS


def tried(past: Past, of: Ground, fits: dict[str, Fit] = _FITS) -> list[Trial]:
    """Try every model against the baseline at the same rolling origins; none where the past is too short.

    None either where records stood still for a whole horizon, or the baseline's hits are so few that some
    draws of them are none: shares of nothing rank no model.
    """
    origins = origins_of(past)
    if not origins or _stood_still(past, origins):
        return []
    block = -(-HORIZON // (origins[1] - origins[0]))
    standing = _outcomes(past, of, origins, lambda origin: baseline(past, origin, HORIZON))
    if not can_judge(standing, block=block):
        return []

    @cache
    def seen(start: int) -> Row:
        return row(past, start, HORIZON, of.discs, of.places)

    def model(fit: Fit) -> Model:
        def forecast(origin: int) -> Forecast:
            return challenger([seen(s) for s in hindcast_origins(past, origin, HORIZON)], seen(origin), fit)

        return forecast

    found = []
    for name, fit in fits.items():
        outcomes = _outcomes(past, of, origins, model(fit))
        verdict = judge(outcomes, standing, block=block, comparisons=len(fits))
        found.append(Trial(name, len(origins), pai(outcomes), verdict))
    return found


def _stood_still(past: Past, origins: list[int]) -> bool:
    """Tell whether nothing came in a period that is forecast, or learnt from."""
    starts = {start for day in origins for start in (day, *hindcast_origins(past, day, HORIZON))}
    return any(not past.counts(start, start + HORIZON).any() for start in starts)


def _outcomes(past: Past, of: Ground, origins: list[int], forecast: Model) -> list[Outcome]:
    return [
        outcome(
            forecast(origin), past.counts(origin, origin + HORIZON), of.area_m2, SHARE, origin, of.whole_m2
        )
        for origin in origins
    ]


def chosen(found: list[Trial]) -> str | None:
    """Return the promoted model with the greatest gain, None where the baseline stays."""
    promoted = [trial for trial in found if trial.verdict.promoted]
    return max(promoted, key=lambda trial: trial.verdict.gain).model if promoted else None


def keep(conn: Connection, res: int, fingerprint: str, found: list[Trial]) -> None:
    """Keep the trials of a resolution in place of those before."""
    winner = chosen(found)
    conn.execute(trials.delete().where(trials.c.res == res, trials.c.horizon_days == HORIZON))
    for trial in found:
        v = trial.verdict
        conn.execute(
            insert(trials).values(
                res=res, horizon_days=HORIZON, model=trial.model, fingerprint=fingerprint, pai=trial.pai,
                origins=trial.origins, gain=v.gain, low=v.low, high=v.high, live=trial.model == winner,
            )
        )  # fmt: skip


def _places(conn: Connection, view: View, res: int, of: Served) -> Floats:
    found = [exposure(conn, res, view, of, per) for per in ("household", "building")]
    p, column = t.places.c, t.places.c[cell_column(res).name]
    kinds = sa.select(p.kind).group_by(p.kind).order_by(sa.func.count().desc(), p.kind).limit(KINDS_OF_PLACES)
    for kind in conn.execute(kinds).scalars().all():
        these = sa.select(column, sa.func.count()).where(p.kind == kind, column.in_(of.cells.tolist()))
        found.append(of.spread(*columns(conn, these.group_by(column), np.uint64, float)))
    return np.column_stack(found)


def settled(past: Past) -> tuple[Past, str]:
    """Return the past up to the last whole month, and its fingerprint: a trial a month, not a day."""
    if not past.observed.size:
        return past, ""
    last = date(1970, 1, 1) + timedelta(days=int(past.observed[-1]) + 1)
    before = past.before((last.replace(day=1) - date(1970, 1, 1)).days)
    return before, f"{last:%Y-%m} {before.day.size}"


def is_known(conn: Connection, res: int, fingerprint: str) -> bool:
    """Say whether the trials of this past are kept already."""
    of = sa.select(trials.c.fingerprint).where(trials.c.res == res, trials.c.horizon_days == HORIZON)
    return set(conn.execute(of).scalars()) == {fingerprint}
