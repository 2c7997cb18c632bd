"""How places became hot or cold over a row of equal steps: Esri's classes, with a calibrated trend."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.cells import Cells
from gis.db import columns
from gis.record_span import incident_span
from layers import periods
from layers.counts import cell_column
from layers.expecting import closed_period, exposed
from layers.served import Served, served
from layers.stats.emerging import Emerging, classify
from layers.stats.hot import states
from layers.stats.trend import mann_kendall, memory
from layers.view import View, wanted_incidents

Integers = npt.NDArray[np.int64]
ALPHA = 0.05


@dataclass(frozen=True)
class Emerged:
    """Cells that are, or lastingly were, hot or cold, in the order of their indexes."""

    cells: Cells
    kind: list[str]
    side: Integers
    """1 hot, -1 cold."""
    trend: Integers
    """1 the counts of cell and neighbours rise over the steps, -1 they fall, 0 neither."""
    trend_p: npt.NDArray[np.float64]
    state: Integers
    """Shape (n, steps), oldest first: 1 hot, -1 cold, 0 neither."""
    counts: Integers
    """Incidents of the cell alone, shape (n, steps)."""
    start: datetime
    end: datetime
    basis: str
    """What the expectation of a step rests on: households or area."""
    judged: int
    """Cells that were looked at."""


def emerging(conn: Connection, view: View, res: int, steps: int, step_days: int) -> Emerged:
    """Class every served cell over the last `steps` steps of `step_days` days before the view's end.

    Each step's disc is tested against the exposure's share of the mean step, so that a place that is busy
    throughout shows as persistent and one that grew shows as new, consecutive or intensifying.
    Raises BadInput for a resolution that is not served.
    """
    end = closed_period(view, incident_span(conn)).end
    assert end
    edges = periods.steps(end, step_days, steps)
    start = edges[0].astimezone(end.tzinfo)
    view = replace(view, start=start, end=end)
    of = served(conn, res, view)
    if not len(of.cells):
        none = np.zeros((0, steps), dtype=np.int64)
        return Emerged(of.cells, [], none[:, 0], none[:, 0], np.zeros(0), none, none, start, end, "area", 0)
    table = _by_step(conn, view, res, of, edges)
    known = exposed(conn, view, res, of, table.sum(axis=1))
    expected = known.expected(table.sum() / steps).mean if table.any() else np.zeros(len(of.cells))
    state = states(table, np.tile(expected[:, None], steps), of.disc(), ALPHA)
    around = of.disc() @ table
    trend = mann_kendall(around, memory(_standard(around)))
    kind, side = classify(state, trend.direction(ALPHA))
    shown = np.flatnonzero(kind != Emerging.NONE)
    return Emerged(
        of.cells[shown], kind[shown].tolist(), side[shown], trend.direction(ALPHA)[shown], trend.p[shown],
        state[shown], table[shown].astype(np.int64), start, end, known.basis, len(of.cells),
    )  # fmt: skip


def _by_step(
    conn: Connection, view: View, res: int, of: Served, edges: list[datetime]
) -> npt.NDArray[np.float64]:
    """Count incidents by cell and step, shape (n, steps), oldest step first."""
    column, back = cell_column(res), periods.back(t.incidents.c.occurred_at, edges).label("back")
    query = (
        sa.select(column.label("cell"), back, sa.func.count().label("count"))
        .where(column.is_not(None), *wanted_incidents(view))
        .group_by(column, back)
    )
    cells, ago, number = columns(conn, query, np.uint64, np.int64, np.float64)
    table = np.zeros((len(of.cells), len(edges) - 1))
    table[np.searchsorted(of.cells, cells), len(edges) - 2 - ago] = number
    return table


def _standard(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bring series to one spread, so that the busiest do not decide how long all remember."""
    spread = series.std(axis=1, keepdims=True)
    varied = spread[:, 0] > 0
    return np.asarray((series[varied] - series[varied].mean(axis=1, keepdims=True)) / spread[varied])
