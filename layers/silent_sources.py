"""Sources that were silent in many grids within the periods of a question: tests leave them out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import records_by_day, the_city
from gis.record_span import Period, first_in_use, midnight
from gis.recorded import recorded_days
from gis.schema import incidents
from gis.silences import silences
from layers import periods
from layers.began import SettledDays, source_days
from layers.newcomers import spread
from layers.silence import Silence, silence_of
from layers.view import View, wanted_incidents

Uses = Mapping[str, list[Silence]]
"""When each source was silent, rising."""


@dataclass(frozen=True)
class SilentSource:
    """A source that came into use, paused or ended, whatever it replaces or adds to."""

    source: str
    silence: Silence


def source_uses(conn: Connection, view: View) -> Uses:
    """Return when each source of a view's incidents was silent, wherever in the city; of one source nothing.

    `silences_of` says so of a view of one source alone.
    """
    records = records_by_day(conn)
    if view.source is not None or not records.days.size:
        return {}
    zone = ZoneInfo(the_city(conn).timezone)
    days = recorded_days(records)
    days = days[first_in_use(days) :]
    ever, found = replace(view, start=None, end=None), dict[str, list[Silence]]()
    for source, held in source_days(conn, ever, midnight(days[0], zone)).items():
        runs = silences(held, days, records.off)
        if runs and runs[-1][1] > days[-1]:
            settled = SettledDays(conn, replace(ever, source=source)).of(None)
            runs = silences(held, days, records.off, settled)
        found[source] = [silence_of(run, days, zone) for run in runs]
    return found


def silent_sources(conn: Connection, view: View, uses: Uses, *compared: Period) -> list[SilentSource]:
    """Return which sources that were silent in a part of the time compared are wide in it.

    What is new in fewer of the lowest grids may be an outbreak of one place, and is none of them. Where no
    other source holds anything one took over from another, and all is compared as it is: nothing is returned.
    """
    found = [
        SilentSource(source, one)
        for source, each in uses.items()
        for one in each
        if one.parts(*compared)
    ]  # fmt: skip
    if not found:
        return []
    starts, ends = zip(*compared, strict=True)
    time = replace(view, start=min(starts, key=periods.utc), end=max(ends, key=periods.utc))
    names = {one.source: {one.source} for one in found}
    wide = spread(conn, replace(time, area=None), names, incidents.c.source)
    rest = sa.select(sa.exists().where(incidents.c.source.not_in(wide), *wanted_incidents(time)))
    if not wide or not conn.execute(rest).scalar():
        return []
    return list({one.source: one for one in found if one.source in wide}.values())
