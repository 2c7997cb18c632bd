"""Which week surveillance judges: the last that is over and reported, and why another is refused."""

from datetime import datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import schema
from gis.errors import BadInput
from layers.surveillance import Surveyed, survey
from layers.view import View
from tests import clock, town

MONDAY, WEEKS, DAY = datetime(2025, 3, 3, tzinfo=town.ZONE), 40, timedelta(days=1)
WEEK, EVERY = 7 * DAY, timedelta(hours=4)
VIEW = View("safety", MONDAY.date(), 1)


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    """Six a day for forty weeks, the week of MONDAY and the one behind it."""
    rng, number = np.random.default_rng(6), (WEEKS + 2) * WEEK // EVERY
    places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (number, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        first = MONDAY - WEEKS * WEEK + timedelta(minutes=1)
        town.add_incidents(conn, batch, places, first=first, apart=EVERY)


def judged(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, now: datetime, week: datetime | None
) -> Surveyed:
    """Judge a week as of a moment, with what was reported by then."""
    clock.stop(monkeypatch, now)
    conn.execute(sa.delete(schema.incidents).where(schema.incidents.c.reported_at > now))
    return survey(conn, VIEW, week.date() if week else None)


@pytest.mark.parametrize(
    ("after", "delay", "weeks_before"),
    [
        (timedelta(days=6, hours=19, minutes=40), 0, 1),  # Sunday evening
        (timedelta(days=6, minutes=2), 0, 1),
        (timedelta(days=6, hours=23, minutes=59), 0, 1),
        (timedelta(days=5, hours=12), 0, 1),
        (timedelta(days=7), 0, 0),  # Monday, at midnight, before its first report
        (timedelta(days=7, hours=8), 0, 0),
        (timedelta(days=7, hours=8, minutes=40), 21.6, 1),  # Sunday is still filling up
        (timedelta(days=8, hours=8, minutes=40), 21.6, 0),
        (timedelta(days=9), 72, 1),
    ],
)
def test_a_week_is_judged_once_it_is_over_and_reported(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, after: timedelta, delay: float, weeks_before: int
) -> None:
    i = schema.incidents.c
    if delay:
        late = i.occurred_at + timedelta(hours=delay)
        conn.execute(sa.update(schema.incidents).values(reported_at=late))
    last = MONDAY - weeks_before * WEEK
    found = judged(conn, monkeypatch, MONDAY + after, None)
    assert (found.view.start, found.view.end) == (last, last + WEEK)
    assert found.weeks == WEEKS - weeks_before
    assert judged(conn, monkeypatch, MONDAY + after, last + 6 * DAY).view.start == last
    with pytest.raises(BadInput, match=rf"last week that is over and reported began on {last:%Y-%m-%d}"):
        judged(conn, monkeypatch, MONDAY + after, last + WEEK)


@pytest.mark.parametrize(
    ("first", "days", "weeks", "gap"),
    [
        (-5 * 7 + 2, 4, [-5], "2025-01-29 to 2025-02-01"),
        (-3 * 7 + 5, 9, [-3, -2], "2025-02-15 to 2025-02-16|2025-02-17 to 2025-02-23"),
        (-3 * 7, 14, [-3, -2], "2025-02-10 to 2025-02-16|2025-02-17 to 2025-02-23"),
        (1, 3, [0, None], "2025-03-04 to 2025-03-06"),
    ],
)
def test_a_week_that_meets_a_gap_says_so(
    conn: Connection,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    days: int,
    weeks: list[int | None],
    gap: str,
) -> None:
    at, down = schema.incidents.c.occurred_at, MONDAY + first * DAY
    conn.execute(sa.delete(schema.incidents).where(at >= down, at < down + days * DAY))
    for week in weeks:
        with pytest.raises(BadInput, match=rf"nobody recorded ({gap}); of a week with such days"):
            judged(conn, monkeypatch, MONDAY + 8 * DAY, None if week is None else MONDAY + week * WEEK)
    assert judged(conn, monkeypatch, MONDAY + 8 * DAY, MONDAY - WEEK).weeks < WEEKS
