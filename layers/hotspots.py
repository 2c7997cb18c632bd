"""Hotspots: incidents per cell against what was to be expected, told apart from noise."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy import stats
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.cells import Cells
from gis.errors import BadInput
from gis.record_span import Span
from layers import periods
from layers.began import comparable
from layers.counts import counts
from layers.expecting import Ground, bounds, closed_period, follows, ground, period_before
from layers.public import Released, released, widened
from layers.scanning import ALPHA, Laid, clusters_of, laid_over, stability
from layers.served import OF, Per, Served, exposure, served
from layers.silent_areas import SilentArea, set_aside
from layers.stats.gistar import gi_star
from layers.stats.hot import HotCells, disc_weight
from layers.stats.power import Detectable, detectable
from layers.stats.scan import Cluster
from layers.stats.shrink import shrink
from layers.stats.tails import disc_size
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
EXTRAS = ("shrunk", "gistar", "scan", "stability")
"""What an answer may carry besides the test, by the names of `with=`."""
USUAL = ("shrunk",)
"""What it carries when nothing is asked for: the rest costs seconds on a city of 30,000 cells."""
MOST_CELLS = 60_000
"""More cells are neither scanned nor moved: that would take minutes."""
_LONG_ENOUGH = 182
"""Days of an area's records before a period that say what is usual there."""
COVERAGE = 0.95
"""Of the interval of a shrunk rate."""


@dataclass(frozen=True)
class Hotspots:
    """Cells with incidents, in the order of their indexes, and the whole they are part of."""

    cells: Cells
    count: npt.NDArray[np.int64]
    expected: Floats
    """Incidents expected in the cell alone."""
    tested: HotCells
    """The test of each cell's disc."""
    trend: list[str | None]
    """rising, falling or steady against the period of equal length before, exact at ALPHA; None where the
    data do not reach back so far."""
    served: Floats
    """Share of each cell's disc that lies inside the city (or the area asked for) and is served."""
    method: str
    start: datetime | None
    end: datetime | None
    """Bounds of the period, `start` ≤ t < `end`, those of the data where none were asked for."""
    incidents: int | None
    """All incidents of the view, those without a place included; None where the public is told no count."""
    without_place: int
    housed: float | None = None
    """Share of the incidents in cells whose households are known: with less than `expecting.COVERED` the
    expectation rests on area instead; None where nothing is tested."""
    detectable: Detectable | None = None
    """The smallest relative risk that a usual place would have shown: half of what is expected lies in discs
    that expect no more. None where nothing is tested."""
    judged: int = 0
    """Cells that were tested, so many of which chance alone makes some look busy."""
    extra: dict[str, Floats] = field(default_factory=dict)
    """Columns asked for: rate, rate_shrunk, rate_low, rate_high, z, cluster (0: none), stability."""
    clusters: list[Cluster] | None = None
    """Of the scan, most striking first, members as places in `cells`; None when it was not asked for."""
    aside: list[SilentArea] = field(default_factory=list)
    """Areas that were silent at times that are looked at: their cells are counted and not tested."""
    released: Released | None = None
    """What of it the public is told; None for all others, who are told everything."""

    def only(self, wanted: npt.NDArray[np.bool_]) -> "Hotspots":
        """Return the same answer with some of its cells; the whole stays what it was, without clusters."""
        places = np.flatnonzero(wanted)
        return replace(
            self, cells=self.cells[places], count=self.count[places], expected=self.expected[places],
            tested=_pick(self.tested, places), trend=[self.trend[place] for place in places],
            served=self.served[places], clusters=None,
            extra={name: column[places] for name, column in self.extra.items()},
        )  # fmt: skip


def hotspots(
    conn: Connection, view: View, res: int, extras: Collection[str] = USUAL, per: Per = "km2"
) -> Hotspots:
    """Return the hotspots of a view at resolution `res`, with `extras` (of EXTRAS), rates per `per`.

    What the public may know is counted but not tested: small counts told with those around them bias
    any expectation. Raises BadInput for a resolution that is not served.
    """
    if view.suppressed:
        return _told(conn, view, res)
    span = comparable(conn, view)
    if span.first is None:
        return _only_counted(view, *counts(conn, view, res), *_totals(conn, view))
    view = closed_period(view, span)
    span, aside = _without_silent(conn, view, span)
    found = _tested(conn, replace(view, without=tuple(one.code for one in aside)), span, res, extras, per)
    return _with_counts(conn, view, res, found, aside) if aside else found


def _without_silent(conn: Connection, view: View, span: Span) -> tuple[Span, list[SilentArea]]:
    """Return the past that a closed period is held against, and the areas that it cannot be judged with.

    Where an area was silent long enough ago, the past begins behind that.
    """
    assert span.first
    start, end = bounds(view)
    silent = set_aside(conn, view, (span.first, end))
    behind = min(periods.days_before(start, _LONG_ENOUGH), bounds(period_before(view))[0], key=periods.utc)
    near = {one.code for one in silent if one.silence.until is None or one.silence.until > behind}
    ends = [one.silence.until for one in silent if one.code not in near and one.silence.until]
    aside = list({one.code: one for one in silent if one.code in near}.values())
    return (span.since(max(ends)) if ends else span), aside


def _with_counts(
    conn: Connection, view: View, res: int, found: Hotspots, aside: list[SilentArea]
) -> Hotspots:  # fmt: skip
    """Return hotspots with the cells of areas set aside, counted and not tested."""
    cells, count = counts(conn, view, res)
    every = np.union1d(cells, found.cells)

    def laid(values: Any, empty: Any) -> Any:
        full = np.full(len(every), empty, dtype=object if empty is None else None)
        full[np.searchsorted(every, found.cells)] = values
        return full

    tested = HotCells(
        **{
            each.name: laid(
                values := getattr(found.tested, each.name), False if values.dtype == bool else np.nan
            )
            for each in fields(found.tested)
        }
    )
    number = np.zeros(len(every), dtype=np.int64)
    number[np.searchsorted(every, cells)] = count
    places = np.searchsorted(every, found.cells)
    incidents, unplaced = _totals(conn, view)
    return replace(
        found, cells=every, count=number, expected=laid(found.expected, np.nan), tested=tested,
        trend=laid(found.trend, None).tolist(), served=laid(found.served, np.nan), incidents=incidents,
        without_place=unplaced, aside=aside,
        extra={
            name: laid(column, 0.0 if name == "cluster" else np.nan) for name, column in found.extra.items()
        },
        clusters=None if found.clusters is None else [_moved(one, places) for one in found.clusters],
    )  # fmt: skip


def _tested(
    conn: Connection, view: View, span: Span, res: int, extras: Collection[str], per: Per
) -> Hotspots:  # fmt: skip
    """Return the hotspots of a closed period, against the past of a span."""
    of = served(conn, res, view)
    if not len(of.cells):
        return _only_counted(view, *counts(conn, view, res), *_totals(conn, view))
    _check_size(of, extras)
    found = of.spread(*counts(conn, view, res))
    known = ground(conn, view, res, of, found, span)
    expected = known.expected(float(found.sum()))
    laid = laid_over(of, found, expected)
    total = float(found.sum())
    clusters = clusters_of(of, found, known.cautious(total)) if "scan" in extras else None
    shown = _shown(laid, clusters)
    columns = _extra(conn, view, res, laid, known, shown, extras, per)
    incidents, unplaced = _totals(conn, view)
    return Hotspots(
        of.cells[shown], found[shown].astype(np.int64), expected.mean[shown], _pick(laid.tested, shown),
        _trend(conn, view, res, laid, shown), of.disc_share()[shown],
        f"poisson-disc-bh/{known.basis}", view.start, view.end, incidents, unplaced, known.housed,
        _detectable(laid), len(of.cells),
        columns | ({} if clusters is None else {"cluster": _numbers(clusters, len(found))[shown]}),
        None if clusters is None else [_placed(each, shown) for each in clusters],
    )  # fmt: skip


def _detectable(laid: Laid) -> Detectable | None:
    disc, e = laid.of.disc(), laid.expected.mean
    if not e.any():
        return None
    mean = disc @ e
    size, fixed = disc_size(e, laid.expected.size, disc, laid.expected.skew)
    order = np.argsort(mean, kind="stable")
    place = order[np.searchsorted(np.cumsum(e[order]), e.sum() / 2)]
    level = ALPHA * float(disc_weight(e)[place]) / (2 * len(e))
    return detectable(float(mean[place]), float(size[place]), level, fixed=float(fixed[place]))


def _shown(laid: Laid, clusters: list[Cluster] | None) -> npt.NDArray[np.int64]:
    """Return the places of cells that hold something, are significant, or belong to a cluster."""
    wanted = (laid.found > 0) | laid.tested.significant
    for cluster in clusters or ():
        wanted[cluster.members] = True
    return np.flatnonzero(wanted)


def _extra(
    conn: Connection, view: View, res: int, laid: Laid, known: Ground, shown: npt.NDArray[np.int64],
    extras: Collection[str], per: Per,
) -> dict[str, Floats]:  # fmt: skip
    """Return the columns asked for, of the cells shown."""
    columns: dict[str, Floats] = {}
    if "shrunk" in extras:
        columns |= rates(laid.found, exposure(conn, res, view, laid.of, per), shown, OF[per])
    if "gistar" in extras:
        columns["z"] = gi_star(laid.found, laid.of.disc())[shown]
    if "stability" in extras:
        columns["stability"] = stability(conn, view, res, laid, known)[shown]
    return columns


def rates(found: Floats, exposed: Floats, shown: npt.NDArray[np.int64], of: int) -> dict[str, Floats]:
    """Return rates per `of` units of what is exposed: plain, shrunk towards the whole's, and its interval.

    A cell in which nothing is exposed has no such rate (NaN), and what happened there says nothing of others.
    """
    known = exposed > 0
    told = np.full((len(RATES), len(shown)), np.nan)
    if known.any():
        every = shrink(found[known], exposed[known])
        here = known[shown]
        at = (np.cumsum(known) - 1)[shown[here]]
        some = every.only(at)
        plain = found[shown[here]] / exposed[shown[here]]
        told[:, here] = of * np.stack([plain, some.mean, *some.interval(COVERAGE)])
    return dict(zip(RATES, told, strict=True))


RATES = ("rate", "rate_shrunk", "rate_low", "rate_high")


def _check_size(of: Served, extras: Collection[str]) -> None:
    slow = [name for name in ("scan", "stability") if name in extras]
    if slow and len(of.cells) > MOST_CELLS:
        raise BadInput(
            "with",
            f"{slow[0]} is for at most {MOST_CELLS:,} cells, here are {len(of.cells):,}; "
            "ask for an area or a coarser res",
        )


def _told(conn: Connection, view: View, res: int) -> Hotspots:
    """Return what the public is told; no number where it follows from nothing that is told."""
    cells, count = counts(conn, view, res)
    known = released(conn, view)
    is_exact = known.bounds is not None and known.bounds.at_least == known.bounds.at_most
    incidents = known.bounds.at_least if known.bounds and is_exact else None
    return replace(_only_counted(widened(conn, view), cells, count, incidents, 0), released=known)


def _only_counted(
    view: View, cells: Cells, count: npt.NDArray[np.int64], incidents: int | None, without_place: int
) -> Hotspots:
    unknown = np.full(len(cells), np.nan)
    nothing = np.zeros(len(cells), dtype=bool)
    tested = HotCells(unknown, unknown, unknown, unknown, unknown, nothing, nothing)
    trend: list[str | None] = [None] * len(cells)
    return Hotspots(
        cells, count, unknown, tested, trend, unknown, "counts-only", view.start, view.end, incidents,
        without_place,
    )  # fmt: skip


def _trend(
    conn: Connection, view: View, res: int, laid: Laid, shown: npt.NDArray[np.int64]
) -> list[str | None]:
    if not follows(view, comparable(conn, view)):
        return [None] * len(shown)
    before = period_before(view)
    return [*trends(laid.found[shown], laid.of.spread(*counts(conn, before, res))[shown])]


def trends(now: Floats, before: Floats) -> list[str]:
    """Tell counts of two periods of equal length apart: given their sum, half would fall in each.

    The exact conditional test of two Poisson means (Przyborowski & Wilenski 1940), two-sided at ALPHA.
    """
    total = now + before
    up = np.asarray(stats.binom.sf(now - 1, total, 0.5))
    down = np.asarray(stats.binom.cdf(now, total, 0.5))
    told: list[str] = np.select(
        [up <= ALPHA / 2, down <= ALPHA / 2], ["rising", "falling"], "steady"
    ).tolist()
    return told


def _totals(conn: Connection, view: View) -> tuple[int, int]:
    """Return a view's incidents and those without a place."""
    everything, placed = conn.execute(
        sa.select(sa.func.count(), sa.func.count(t.incidents.c.geom)).where(*wanted_incidents(view))
    ).one()
    return everything, everything - placed


def _numbers(clusters: list[Cluster], cells: int) -> Floats:
    """Return the number of the cluster that each cell belongs to, from 1 on; 0 for none."""
    number = np.zeros(cells)
    for place, cluster in enumerate(clusters, 1):
        number[cluster.members] = place
    return number


def _moved(cluster: Cluster, places: npt.NDArray[np.int64]) -> Cluster:
    return replace(cluster, members=places[cluster.members], centre=int(places[cluster.centre]))


def _placed(cluster: Cluster, shown: npt.NDArray[np.int64]) -> Cluster:
    parts = {each.name: getattr(cluster, each.name) for each in fields(cluster)}
    places = np.sort(np.searchsorted(shown, cluster.members))
    return Cluster(**parts | {"members": places, "centre": int(np.searchsorted(shown, cluster.centre))})


def _pick(tested: HotCells, shown: npt.NDArray[np.int64]) -> HotCells:
    return HotCells(**{each.name: getattr(tested, each.name)[shown] for each in fields(tested)})
