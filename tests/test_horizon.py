"""The horizon of a forecast begins where the records end, by the same rule as in every other answer."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import calendar, schema
from gis.record_span import incident_span
from layers.risk import risk
from layers.view import View
from tests import clock, town

FIRST, DAYS, A_DAY = date(2025, 1, 1), 430, 6
VIEW = View("safety", date(2026, 3, 1), 1)


@pytest.fixture(scope="module", autouse=True)
def offices(engine: Engine) -> None:
    """Six a day, but none at weekends and on announced days off, when offices are closed."""
    known = calendar.of_zone("Asia/Shanghai")
    assert known
    rng = np.random.default_rng(8)
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for day in (FIRST + timedelta(days=number) for number in range(DAYS)):
            if day.weekday() >= 5 or day in known.off:
                continue
            places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (A_DAY, 2))]
            opened = datetime(day.year, day.month, day.day, 9, tzinfo=town.ZONE)
            town.add_incidents(conn, batch, places, first=opened)


@pytest.mark.parametrize(
    ("now", "last", "start"),
    [
        ("2026-01-17T10:00", "2026-01-16", "2026-01-17"),  # a Saturday
        ("2026-01-19T08:00", "2026-01-16", "2026-01-19"),  # the Monday after it, before the first report
        ("2026-01-19T10:00", "2026-01-19", "2026-01-20"),
        ("2026-02-24T08:00", "2026-02-13", "2026-02-24"),  # after the nine days of the Spring Festival
        ("2026-01-30T08:00", "2026-01-16", "2026-01-17"),  # nobody sent the records of two weeks
        ("2027-01-30T08:00", "2026-01-16", "2026-01-17"),
    ],
)
def test_the_horizon_begins_where_records_end(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, now: str, last: str, start: str
) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=town.ZONE)
    clock.stop(monkeypatch, moment)
    at, behind = schema.incidents.c.occurred_at, date.fromisoformat(last) + timedelta(days=1)
    end = min(moment, datetime(behind.year, behind.month, behind.day, tzinfo=town.ZONE))
    conn.execute(sa.delete(schema.incidents).where(at >= end))
    found = risk(conn, VIEW, 8, 7)
    assert found.start == date.fromisoformat(start)
    assert found.ended is None
    records_end = incident_span(conn).recorded[-1][1]
    assert records_end == moment or records_end.date() == found.start, "as the other answers say"
    for asked in (View("safety", VIEW.on, 1, source="citizen"), View("safety", VIEW.on, 1, area="T1")):
        assert risk(conn, asked, 8, 7).start == found.start
