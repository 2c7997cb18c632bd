"""Periods: whole local days by the calendar, the rest by the time that passes; counted on the right side."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from layers import periods

CHICAGO = ZoneInfo("America/Chicago")


def local(text: str, zone: ZoneInfo = CHICAGO) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("start", "end", "hours", "days", "before"),
    [
        ("2025-03-03", "2025-03-10", 167, 7, "2025-02-24"),
        ("2025-10-27", "2025-11-03", 169, 7, "2025-10-20"),
        ("2025-03-10", "2025-03-17", 168, 7, "2025-03-03"),
        ("2025-03-09", "2025-03-10", 23, 1, "2025-03-08"),
        ("2025-11-02 00:00", "2025-11-02 12:00", 13, 13 / 24, "2025-11-01 11:00"),
        ("2025-03-09 01:00", "2025-03-09 04:00", 2, 2 / 24, "2025-03-08 23:00"),
    ],
)
def test_lengths_and_the_period_before_where_the_clocks_change(
    start: str, end: str, hours: float, days: float, before: str
) -> None:
    a, b = local(start), local(end)
    assert periods.length(a, b) == timedelta(hours=hours)
    assert periods.days(a, b) == pytest.approx(days)
    assert periods.earlier(a, b) == local(before)
    fixed = [at.astimezone(UTC) for at in (a, b)]
    assert periods.earlier(*fixed) == fixed[0] - (fixed[1] - fixed[0])


@pytest.mark.parametrize("start", ["2025-03-03", "2025-03-09", "2025-10-27", "2025-11-02", "2025-06-01"])
@pytest.mark.parametrize("length", [1, 7, 30])
def test_moments_around_every_edge_fall_into_their_period(conn: Connection, start: str, length: int) -> None:
    a = local(start)
    b = periods.days_before(a, -length)
    edges = periods.edges(a, b, 4)
    assert [edge.astimezone(CHICAGO).strftime("%H:%M") for edge in edges] == ["00:00"] * 6
    for place, edge in enumerate(edges):
        for offset in (
            timedelta(microseconds=-1),
            timedelta(0),
            timedelta(minutes=59),
            timedelta(minutes=-59),
        ):
            at = sa.cast(sa.literal((edge + offset).isoformat()), sa.DateTime(timezone=True))
            found = conn.execute(sa.select(periods.back(at, edges))).scalar_one()
            assert found == len(edges) - 2 - (place if offset >= timedelta(0) else place - 1)


def test_steps_are_local_days_and_meet(conn: Connection) -> None:
    del conn
    steps = periods.steps(local("2025-11-10"), 7, 6)
    assert [edge.astimezone(CHICAGO).strftime("%m-%d %H") for edge in steps] == [
        "09-29 00", "10-06 00", "10-13 00", "10-20 00", "10-27 00", "11-03 00", "11-10 00",
    ]  # fmt: skip
    plain = periods.steps(datetime(2025, 11, 10, tzinfo=UTC), 7, 2)
    assert plain[1] - plain[0] == timedelta(days=7)


def test_a_moment_is_the_last_before_an_end_whose_hour_comes_twice() -> None:
    end = datetime(2025, 11, 2, 1, 0, tzinfo=CHICAGO, fold=1)
    assert periods.utc(periods.last_moment(end)) == datetime(2025, 11, 2, 6, 59, 59, 999999, tzinfo=UTC)
