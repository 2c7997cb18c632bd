"""How places became hot or cold over a row of equal steps: Esri's classes, with a calibrated trend."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sqlalchemy.engine import Connection

from gis.cells import Cells
from gis.errors import BadInput
from gis.record_span import Span
from layers import periods
from layers.began import comparable
from layers.expecting import by_step, closed_period
from layers.served import served
from layers.silent_areas import SilentArea, set_aside
from layers.silent_sources import SilentSource, silent_sources, source_uses
from layers.stats.emerging import MIN_STEPS, Emerging, classify
from layers.stats.hot import states
from layers.stats.trend import Trend, mann_kendall, memory
from layers.view import View

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
    judged: int
    """Cells that were looked at."""
    steps: int
    """Steps that were used; those that lie outside the records, or meet a gap of them, are left out."""
    starts: list[datetime]
    """When each of them begins, oldest first."""
    aside: list[SilentArea]
    """Areas that were silent in some of the steps: their cells are not looked at."""
    sources: list[SilentSource]
    """Sources that were so in many grids: nothing of them is looked at."""


def emerging(conn: Connection, view: View, res: int, steps: int, step_days: int) -> Emerged:
    """Class every served cell over the last `steps` steps of `step_days` days before the view's end.

    Each step's disc is tested against its own mean step, times how all of them moved: a place that was always
    busy is not emerging, and neither is a city in a busy month. Steps that were not recorded whole are left
    out, those before and behind them count: the latest recorded one is the final one, streaks are of recorded
    steps, and of these the trend needs the order alone. Raises BadInput for a resolution that is not served,
    and where fewer than MIN_STEPS are left.
    """
    span = comparable(conn, view)
    end = closed_period(replace(view, start=None), span).end
    assert end
    edges = periods.steps(end, step_days, steps)
    used = _recorded(edges, span, step_days)
    starts = [edges[one].astimezone(end.tzinfo) for one in used]
    edges = edges[used[0] : used[-1] + 2]
    start, end = starts[0], edges[-1].astimezone(end.tzinfo)
    aside = set_aside(conn, view, (start, end))
    view = replace(view, start=start, end=end)
    sources = silent_sources(conn, view, source_uses(conn, view), (start, end))
    view = replace(
        view, without=tuple(one.code for one in aside), without_sources=tuple(one.source for one in sources)
    )
    of = served(conn, res, view)
    if not len(of.cells):
        none = np.zeros((0, len(used)), dtype=np.int64)
        return Emerged(
            of.cells,
            [],
            none[:, 0],
            none[:, 0],
            np.zeros(0),
            none,
            none,
            start,
            end,
            0,
            len(used),
            starts,
            aside,
            sources,
        )
    table = by_step(conn, view, res, of, edges)[:, np.array(used) - used[0]]
    state, trend, kind, side = classed(table, of.disc())
    shown = np.flatnonzero(kind != Emerging.NONE)
    return Emerged(
        of.cells[shown], kind[shown].tolist(), side[shown], trend.direction(ALPHA)[shown], trend.p[shown],
        state[shown], table[shown].astype(np.int64), start, end, len(of.cells), len(used), starts, aside,
        sources,
    )  # fmt: skip


def classed(
    table: npt.NDArray[np.float64], disc: sparse.csr_array
) -> tuple[Integers, Trend, npt.NDArray[np.str_], Integers]:
    """Return of counts (cells, steps) the states (cells, steps), trends, classes and sides of all cells."""
    state, around = states(table, disc, ALPHA), disc @ table
    trend = mann_kendall(around, memory(_standard(around)))
    return state, trend, *classify(state, trend.direction(ALPHA))


def _recorded(edges: list[datetime], span: Span, step_days: int) -> list[int]:
    """Return which steps were recorded from their first day to their last. Raises BadInput for too few."""
    held = [one for one in range(len(edges) - 1) if span.holds(edges[one], edges[one + 1])]
    if len(held) < MIN_STEPS:
        raise BadInput(
            "steps",
            f"records hold {len(held)} of the {len(edges) - 1} steps of {step_days} days; {MIN_STEPS} are "
            "needed: ask for shorter ones (step_days), more, or a later end (to)",
        )
    return held


def _standard(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bring series to one spread, so that the busiest do not decide how long all remember."""
    spread = series.std(axis=1, keepdims=True)
    varied = spread[:, 0] > 0
    return np.asarray((series[varied] - series[varied].mean(axis=1, keepdims=True)) / spread[varied])
