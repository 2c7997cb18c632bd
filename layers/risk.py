"""Risk: incidents to expect per cell over a horizon, from its own counts; never anything about persons."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import city
from gis.cells import Cells
from gis.db import Query, columns
from gis.errors import NotFound
from gis.schema import cells, incidents
from layers.counts import cell_column, res_for_zoom
from layers.stats import evaluate
from layers.stats.forecast import Forecast, Past, baseline, plain
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
MODEL, VERSION = "all counts so far", "1"
"""The live model. A challenger takes its place only where `bench/risk_evaluation.py` shows it better."""
LEFT_OUT = ("sensor", "patrol")
"""Sources that follow where somebody looked; trained on them, a model sends patrols where patrols went."""
COVERAGE = 0.8
SKILL_DAYS = 30
SHARES = (0.01, 0.05)
"""Shares of the area at which skill is told."""


@dataclass(frozen=True)
class Risk:
    """Expected incidents per served cell, each array of shape (n,), and how well this has worked of late."""

    cells: Cells
    expected: Floats
    low: Floats
    high: Floats
    baseline: Floats
    rank: npt.NDArray[np.int64]
    skill: dict[str, dict[str, float | None]]
    """Prediction accuracy index of the last SKILL_DAYS by share of the area, live and baseline."""
    trained_on: int
    left_out: int


def risk(conn: Connection, view: View, res: int, horizon_days: int) -> Risk:
    """Return what each cell should expect in the `horizon_days` days after the last known incident.

    A view without a source leaves LEFT_OUT out of training. `baseline` is the plain long-run expectation,
    `expected` the live model's, `low`..`high` its COVERAGE interval. Raises BadInput for a resolution that is
    not served, NotFound where nothing was recorded.
    """
    served, area_m2 = _served(conn, res)
    past, left_out = _past(conn, view, res, served)
    if not past.day.size:
        raise NotFound("no incident to learn from in this view; widen the category or the area")
    origin = int(past.observed[-1]) + 1
    forecast = baseline(past, origin, horizon_days)
    low, high = forecast.interval(COVERAGE)
    order = np.argsort(-forecast.mean / area_m2, kind="stable")
    rank = np.empty(len(served), dtype=np.int64)
    rank[order] = np.arange(1, len(served) + 1)
    return Risk(
        served, forecast.mean, low, high, plain(past, origin, horizon_days).mean, rank,
        _skill(past, origin, area_m2), int(past.day.size), left_out,
    )  # fmt: skip


def _skill(past: Past, origin: int, area_m2: Floats) -> dict[str, dict[str, float | None]]:
    """Hold the forecasts of SKILL_DAYS days ago against what came; None where the past is too short."""
    start = origin - SKILL_DAYS
    came = past.counts(start, origin)
    if not past.before(start).day.size or not came.sum():
        return {name: dict.fromkeys(map(str, SHARES)) for name in ("live", "baseline")}

    def by_share(forecast: Forecast) -> dict[str, float | None]:
        held = {share: evaluate.outcome(forecast, came, area_m2, share) for share in SHARES}
        return {str(share): evaluate.pai([outcome]) for share, outcome in held.items()}

    return {
        "live": by_share(baseline(past, start, SKILL_DAYS)),
        "baseline": by_share(plain(past, start, SKILL_DAYS)),
    }


def _served(conn: Connection, res: int) -> tuple[Cells, Floats]:
    query = sa.select(cells.c.cell, cells.c.area_m2).where(cells.c.res == res).order_by(cells.c.cell)
    served, area_m2 = columns(conn, query, np.uint64, np.float64)
    return served, area_m2


def _past(conn: Connection, view: View, res: int, served: Cells) -> tuple[Past, int]:
    """Read which cell and which local day each incident belongs to; days without any record are gaps."""
    zone = city.the_city(conn).timezone
    day = sa.cast(sa.func.timezone(zone, incidents.c.occurred_at), sa.Date) - sa.cast("1970-01-01", sa.Date)
    trained = [] if view.source else [incidents.c.source.not_in(LEFT_OUT)]
    wanted = [cell_column(res).is_not(None), *wanted_incidents(view)]
    rows = sa.select(cell_column(res), day).where(*wanted, *trained)
    cell, days = columns(conn, rows, np.uint64, np.int64)
    every = sa.select(day.label("day")).where(*wanted_incidents(replace(view, categories=None))).distinct()
    observed = np.sort(columns(conn, every, np.int64)[0])
    counted = conn.execute(sa.select(sa.func.count()).where(*wanted)).scalar_one()
    return Past(np.searchsorted(served, cell), days, observed, len(served)), counted - len(cell)


def served_cells(view: View) -> Query:
    """Select the outlines of the cells that risk speaks of; their values come from `risk`."""
    name = sa.func.to_hex(cells.c.cell).label("cell")
    return sa.select(cells.c.id, cells.c.geom, name, cells.c.res).where(
        cells.c.res == res_for_zoom(view.zoom)
    )
