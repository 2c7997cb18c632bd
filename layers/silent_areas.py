"""Areas of the upper levels that were silent: counties that joined the records, left them or paused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import category_tree, records_by_day, the_city
from gis.grids import current
from gis.record_span import Period, first_in_use
from gis.recorded import SPREAD, recorded_days
from gis.reporting_delay import COMPLETE, FEWEST, RIPE, SHORT, reported_until, waited
from gis.schema import grids, incidents
from gis.silences import silences
from layers.owning import owners, points
from layers.silence import Silence, silence_of
from layers.view import View, wanted_incidents

Integers = npt.NDArray[np.int64]
_FEWEST = 10
"""Records of an area; fewer say nothing of when it was recorded."""
_USUAL_SHARE, _EXPECTED = 0.1, 5
"""A category of the highest level that holds such a share elsewhere, so that so many are expected here, is to
be found in an area that is recorded: where all are of one kind it is an outbreak."""
_ALIKE_DAYS = 60
"""A part of an area that began, paused or ended so near to it is named by the area."""
_MOST_KEPT = 16
_AROUND, _HARDLY, _FEW_STRAYS = 30, 0.1, 0.1
"""Recorded days on either side of a stray; the share of the usual number of held ones among them, and the
share of all held days, that strays are at most."""


@dataclass(frozen=True)
class SilentArea:
    """A grid with others below it that was silent for a time."""

    code: str
    name: str
    silence: Silence
    chain: tuple[str, ...]
    """It and what is above it."""


def silent_areas(conn: Connection, view: View) -> list[SilentArea]:
    """Return the areas of a view's grids that were silent, for whatever reason and in all categories.

    Decided over all incidents that the asker may see, as `gis.silences` does for days. So that no outbreak is
    one, an area holds records in several of its lowest grids, and of the kinds that are usual elsewhere.
    """
    # What happens today changes nothing that is said of days, and would have all of it found anew.
    today = datetime.combine(datetime.now(zone := ZoneInfo(the_city(conn).timezone)), time(), zone)
    every = View(view.scheme, view.on, view.known, scope=view.scope, end=today)
    key = (str(conn.engine.url), every, *_fingerprint(conn, every))
    if key not in _KEPT:
        while len(_KEPT) >= _MOST_KEPT:
            _KEPT.pop(next(iter(_KEPT)), None)
        _KEPT[key] = _found(conn, every)
    return _KEPT[key]


_KEPT: dict[tuple[object, ...], list[SilentArea]] = {}


def set_aside(conn: Connection, view: View, *compared: Period) -> list[SilentArea]:
    """Return the areas inside a view that were silent in a part of the time compared, the highest alone.

    What is asked about lies inside none of them: of an area itself, and of its parts, `of_the_area` says so.
    """
    own = _chains_of(conn, view)
    found = [
        one for one in silent_areas(conn, view)
        if one.silence.parts(*compared) and not any(one.code in chain for chain in own)
    ]  # fmt: skip
    codes = {one.code for one in found}
    return [one for one in found if not codes & set(one.chain[1:])]


def of_the_area(conn: Connection, view: View) -> list[Silence]:
    """Return when the area or scope that a view is of, or what holds it, was silent."""
    if not view.narrowest:
        return []
    own = _chains_of(conn, view)
    return list(
        dict.fromkeys(
            one.silence for one in silent_areas(conn, view) if any(one.code in chain for chain in own)
        )
    )


def _chains_of(conn: Connection, view: View) -> list[list[str]]:
    if not view.narrowest:
        return []
    parent = parents(conn, view)
    return [chain_of(parent, code) for code in view.narrowest]


def parents(conn: Connection, view: View) -> dict[str, str | None]:
    """Return the code above each of a view's grids."""
    g = grids.c
    rows = conn.execute(sa.select(g.code, g.parent_code).where(current(view.asked)))
    return {row.code: row.parent_code for row in rows}


def chain_of(parent: dict[str, str | None], code: str) -> list[str]:
    """Return a grid's code and those above it, without end where they are a circle."""
    chain = list[str]()
    above: str | None = code
    while above is not None and above in parent and above not in chain:
        chain.append(above)
        above = parent[above]
    return chain


def _fingerprint(conn: Connection, every: View) -> tuple[object, ...]:
    """Return what changes with the incidents: finding areas anew takes as long as a situation."""
    i = incidents.c
    epoch = sa.func.sum(sa.func.date_part("epoch", i.occurred_at))
    row = conn.execute(
        sa.select(sa.func.count(), epoch, sa.func.max(i.id)).where(*wanted_incidents(every))
    ).one()
    return tuple(row)


def _found(conn: Connection, every: View) -> list[SilentArea]:
    g, i = grids.c, incidents.c
    rows = conn.execute(
        sa.select(g.code, g.name, g.level, g.parent_code).where(current(every.asked)).order_by(g.code)
    ).all()
    parent, names = {row.code: row.parent_code for row in rows}, {row.code: row.name for row in rows}
    upper = sorted({row.parent_code for row in rows if row.parent_code in parent}, key=str)
    records, zone = records_by_day(conn), ZoneInfo(the_city(conn).timezone)
    as_of = reported_until(conn)
    if not upper or not records.days.size or as_of is None:  # a part of the city may hold none
        return []
    days = recorded_days(records)
    days = days[first_in_use(days) :]
    by, chains = owners(rows, every.asked), {code: chain_of(parent, code) for code in parent}
    local = sa.cast(sa.func.timezone(zone.key, i.occurred_at), sa.Date) - sa.cast("1970-01-01", sa.Date)
    took = sa.func.date_part("epoch", waited()) / 86400
    lon, lat, category, day, delay = points(
        conn, wanted_incidents(every), i.category, local.label("day"), took.label("took")
    )
    table = _Records(
        by.find(conn, lon, lat), _tops(conn, category), day.astype(np.int64), delay.astype(np.float64)
    )
    until = (as_of.astimezone(zone).date() - date(1970, 1, 1)).days
    lowest = np.array([by.place[code] for code in by.tiers[0]])
    found = list[SilentArea]()
    for code, held in _days_by_area(table, by.place, chains, set(upper)).items():
        joined = without_strays(held, days)
        runs = silences(joined, days, records.off)
        if not runs:
            continue
        inside = np.array([by.place[one] for one, chain in chains.items() if code in chain])
        own = np.isin(table.owner, inside)
        runs = silences(joined, days, records.off, table.settled(own, until))
        if runs and _is_recorded(table, own, lowest[np.isin(lowest, inside)]):
            silent = [silence_of(run, days, zone) for run in runs]
            found += [SilentArea(code, names[code], one, tuple(chains[code])) for one in silent]
    return _topmost(found)


def without_strays(held: Integers, days: Integers) -> Integers:
    """Return the days with records of an area without a few far between before it joined.

    Of its neighbours' incidents some fall over the border. Days around which hardly any other is held are
    strays where around most many are, and they are few. Behind an end they are not looked for: an area with
    a few records left has fallen.
    """
    held = np.intersect1d(held, days, assume_unique=True)
    place = np.searchsorted(days, held)
    near = np.searchsorted(place, place + _AROUND, side="right") - np.searchsorted(place, place - _AROUND)
    usual = float(np.median(near)) if held.size else 0.0
    strays = int(np.argmax(near > _HARDLY * usual)) if held.size else 0
    return held[strays:] if strays <= _FEW_STRAYS * held.size else held


def _days_by_area(
    table: "_Records", place: dict[str, int], chains: dict[str, list[str]], upper: set[str]
) -> dict[str, Integers]:
    """Return the days with records of each upper grid that has enough of them, rising."""
    codes = sorted(upper)
    number = {code: at for at, code in enumerate(codes)}
    depth = max((len(chain) for chain in chains.values()), default=0)
    above = np.full((len(place) + 1, depth), -1)  # the last owner: nobody
    for code, chain in chains.items():
        some = [number[one] for one in chain if one in number]
        above[place[code], : len(some)] = some
    if not table.day.size:
        return {}
    first, width = int(table.day.min()), int(np.ptp(table.day)) + 1
    areas = above[table.owner]
    held = np.bincount(areas[areas >= 0], minlength=len(codes))
    pairs = [np.unique(area[area >= 0] * width + (table.day[area >= 0] - first)) for area in areas.T]
    every = np.unique(np.concatenate(pairs))
    splits = np.searchsorted(every, np.arange(1, len(codes)) * width)
    by_area = np.split(every % width + first, splits)
    return {code: by_area[at] for at, code in enumerate(codes) if held[at] >= _FEWEST}


@dataclass(frozen=True)
class _Records:
    """Of each incident the owner, the category of the highest level, the day, and the days to its report."""

    owner: Integers
    top: npt.NDArray[np.str_]
    day: Integers
    took: npt.NDArray[np.float64]

    def settled(self, some: npt.NDArray[np.bool_], until: int) -> int | None:
        """Return from which day on reports of some are still coming in, by a record up to a day."""
        ripe = self.took[some & (self.day < until - RIPE.days)]
        usual = float(np.quantile(ripe, COMPLETE)) if len(ripe) >= FEWEST else 0.0
        return until - int(np.ceil(usual)) if usual >= SHORT.days + SHORT.seconds / 86400 else None


def _tops(conn: Connection, category: npt.NDArray[np.object_]) -> npt.NDArray[np.str_]:
    parent = {str(row["code"]): str(row["parent"]) if row["parent"] else None for row in category_tree(conn)}
    top = {code: chain_of(parent, code)[-1] for code in parent}
    return np.array([top[code] for code in category], dtype=str)


def _is_recorded(table: _Records, own: npt.NDArray[np.bool_], lowest: Integers) -> bool:
    """Say whether an area, while it is, is recorded as others are: in several places, of the usual kinds."""
    if own.sum() < _FEWEST or np.isin(lowest, table.owner[own]).sum() < min(SPREAD, len(lowest)):
        return False
    others = table.top[~own & np.isin(table.day, table.day[own])]
    kinds, number = np.unique(others, return_counts=True)
    share = number / max(len(others), 1)
    usual = kinds[(share >= _USUAL_SHARE) & (share * own.sum() >= _EXPECTED)]
    return bool(np.isin(usual, table.top[own]).all())


def _topmost(found: Sequence[SilentArea]) -> list[SilentArea]:
    """Leave out parts of an area that was silent alike."""
    return [
        one for one in found
        if not any(other.code in one.chain[1:] and _alike(one.silence, other.silence) for other in found)
    ]  # fmt: skip


def _alike(one: Silence, other: Silence) -> bool:
    pairs = ((one.since, other.since), (one.until, other.until))
    return all(
        (a is None) == (b is None) and (a is None or b is None or abs((a - b).days) <= _ALIKE_DAYS)
        for a, b in pairs
    )
