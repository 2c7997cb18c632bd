"""What a measure in an area did: its change beside a control area's, with a ring for what moved next door."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from geoalchemy2 import Geography
from sqlalchemy.engine import Connection

from gis.errors import BadInput, NotFound
from gis.grids import current, owned, shape
from gis.record_span import Span
from gis.schema import COLOURS, grids, incidents
from layers.began import comparable, silences_of, uses
from layers.delays import view_span
from layers.expecting import bounds, closed_period, follows, period_before
from layers.newcomers import newcomers, with_below
from layers.periods import last_moment
from layers.silence import Silence
from layers.silent_areas import silent_areas
from layers.silent_sources import silent_sources, source_uses
from layers.stats.displacement import Difference, difference
from layers.view import View, wanted_incidents

WEIGHTS = Path(__file__).parent / "settings" / "harm_weights.toml"
MOST_RING_M = 5000.0
_METRE = 1 / 80_000
"""Degrees of longitude that a metre is at 44 degrees of latitude; a box is widened by twice as much."""
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluated:
    """Counts by colour and (before, after), shape (colours, 2), and what they come to."""

    view: View
    """Closed: the period of the measure; before is the period of equal length."""
    area: Counts
    control: Counts
    ring: Counts | None
    harm: dict[str, float]
    plain: Difference | None
    """Of counts, in the area alone; as those below None where nothing happened that could tell a change."""
    weighted: Difference | None
    """Of harm, in the area alone."""
    displaced: Difference | None
    """Of counts, in the area and its ring together; the control has none of its own. None without a ring."""

    @property
    def empty(self) -> list[str]:
        """Return which of area, control and ring hold no incident in either period: they say nothing."""
        counts = {"area": self.area, "control": self.control, "ring": self.ring}
        return [name for name, held in counts.items() if held is not None and not held.any()]


def evaluate(conn: Connection, view: View, control: str, ring_m: float | None) -> Evaluated:
    """Compare a view's area and period with the period before, beside a control area.

    Raises BadInput where area and control are not two grids apart from each other, the records do not hold
    both periods, or what is asked about, or a category of it in many grids, came into use or ended within
    them, or a scope does not hold it.
    """
    if view.area is None or view.start is None:
        raise BadInput("area" if view.area is None else "from", "say where and since when the measure was")
    # What either of both is still waiting for would be taken for the measure's doing.
    span, beside = view_span(conn, view), view_span(conn, replace(view, area=control))
    now = closed_period(closed_period(view, span), beside)
    _check(conn, now, control, ring_m)
    before = period_before(now)
    if not follows(now, known := comparable(conn, now)):
        raise _cannot_compare(known, silences_of(conn, now))
    _refuse_silent_areas(conn, now, control, before)
    _refuse_new(conn, now, before)
    both = (before, now)
    area, other = (_of(conn, both, owned(incidents.c.geom, now.asked, code)) for code in (view.area, control))
    ring = None if ring_m is None else _of(conn, both, _ring(now, control, ring_m))
    harm = weights()
    plain, weighted = difference(area, other), difference(area, other, [harm[each] for each in COLOURS])
    moved = None if ring is None else difference(area + ring, other)
    return Evaluated(now, area, other, ring, harm, plain, weighted, moved)


def _refuse_silent_areas(conn: Connection, now: View, control: str, before: View) -> None:
    """Refuse periods in a part of which an area, what holds it or a part of it was silent."""
    both = (bounds(before), bounds(now))
    for name, code in (("area", now.area), ("control", control)):
        assert code
        chain = _chain(conn, now, code)
        for one in silent_areas(conn, now):
            if one.silence.parts(*both) and (one.code in chain or code in one.chain):
                first, last = one.silence.days
                raise BadInput(
                    name,
                    f"of {one.code} there are no records {first or 'from the first day'} to "
                    f"{last or 'this day'}, within this period or that before it; "
                    "name other days or another area",
                )


def _refuse_new(conn: Connection, now: View, before: View) -> None:
    """Refuse periods in a part of which a category or source of many grids was silent."""
    assert before.start
    below, both = with_below(conn), (bounds(before), bounds(now))
    found = zip(below, uses(conn, now, list(below.values())), strict=True)
    silent = {code: one for code, each in found for one in each if one.parts(*both)}
    for one in newcomers(conn, now, before.start, silent):
        raise _of_new("category", one.category, one.silence)
    for other in silent_sources(conn, now, source_uses(conn, now), *both):
        raise _of_new("source", other.source, other.silence)


def _of_new(name: str, code: str, silence: Silence) -> BadInput:
    is_pause = silence.since is not None and silence.until is not None
    how = "paused until" if is_pause else "came into use or ended on"
    return BadInput(
        name,
        f"{code} {how} {silence.turn:%Y-%m-%d}, within this period or that before it; "
        f"name another {name}, or a filter that leaves {code} out",
    )


def _cannot_compare(span: Span, silent: list[Silence]) -> BadInput:
    if not span.recorded:
        return BadInput("from", "nothing of this is recorded yet; there is nothing to compare")
    since, until = span.recorded[0][0], last_moment(span.recorded[-1][1])
    pauses = [
        f", paused from {one.since:%Y-%m-%d} to {last_moment(one.until):%Y-%m-%d}"
        for one in silent if one.since is not None and one.until is not None
    ]  # fmt: skip
    return BadInput(
        "from",
        f"the records of this, {since:%Y-%m-%d} to {until:%Y-%m-%d}{''.join(pauses)}, "
        "do not hold all of this period and one of equal length before it",
    )


def weights() -> dict[str, float]:
    """Return the harm of an incident of each colour. Raises BadInput for a weight missing or negative."""
    found = tomllib.loads(WEIGHTS.read_text())
    if found.keys() != set(COLOURS) or any(not value >= 0 for value in found.values()):
        raise BadInput(WEIGHTS.name, f"needs a weight of 0 or more for each of {', '.join(COLOURS)}")
    return {name: float(value) for name, value in found.items()}


def _check(conn: Connection, view: View, control: str, ring_m: float | None) -> None:
    assert view.area
    chains = {code: _chain(conn, view, code) for code in (view.area, control)}
    if view.area in chains[control] or control in chains[view.area]:
        raise BadInput("control", "must be another grid that lies outside the area, and does not hold it")
    inside = [code for code in view.narrowest if code != view.area]
    outside = view.scope and (
        not inside or any(code not in chain for code in inside for chain in chains.values())
    )
    if outside or (view.scope and ring_m is not None):
        raise BadInput(
            "control", "area, control and ring must lie inside your scope; a ring reaches out of it"
        )


def _chain(conn: Connection, view: View, code: str) -> list[str]:
    """Return the codes of a grid and of what is above it. Raises NotFound."""
    query = sa.select(grids.c.code, grids.c.parent_code).where(current(view.asked))
    parent = {row.code: row.parent_code for row in conn.execute(query)}
    if code not in parent:
        raise NotFound(f"there is no grid {code}")
    chain: list[str] = []
    above: str | None = code
    while above is not None and above in parent and above not in chain:
        chain.append(above)
        above = parent[above]
    return chain


def _of(conn: Connection, views: tuple[View, View], where: sa.ColumnElement[bool]) -> Counts:
    """Return counts by colour in both periods, shape (colours, 2)."""
    table = np.zeros((len(COLOURS), 2), dtype=np.int64)
    for period, view in enumerate(views):
        i = incidents.c
        some = [*wanted_incidents(replace(view, area=None)), where]
        query = sa.select(i.colour, sa.func.count().label("count")).where(*some).group_by(i.colour)
        for row in conn.execute(query):
            table[COLOURS.index(row.colour), period] = row._mapping["count"]
    return table


def _ring(view: View, control: str, ring_m: float) -> sa.ColumnElement[bool]:
    """Return the condition that a place lies within so many metres of the area, in neither of the two."""
    assert view.area
    point, outline = incidents.c.geom, shape(view.asked, view.area)
    near: sa.ColumnElement[Any] = sa.func.ST_DWithin(
        sa.cast(point, Geography), sa.cast(outline, Geography), ring_m
    )
    box = point.op("&&")(sa.func.ST_Expand(outline, 2 * ring_m * _METRE))
    inside = (owned(point, view.asked, code) for code in (view.area, control))
    return sa.and_(box, near, *(sa.not_(each) for each in inside))
