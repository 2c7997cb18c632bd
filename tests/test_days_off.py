"""Announced days off of a city that is closed then are no lost days; in one that never is, they are."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api.main import make_app
from gis import access
from gis.calendar import of_zone
from gis.record_span import incident_span
from gis.recorded import ENOUGH, Records, recorded_days
from tests import town

EPOCH, DAY = date(1970, 1, 1), timedelta(days=1)
CHINA = of_zone("Asia/Shanghai")
assert CHINA
OFF = np.array(sorted((day - EPOCH).days for day in CHINA.off))
SPAN = np.arange((date(2024, 1, 2) - EPOCH).days, (date(2026, 11, 20) - EPOCH).days)
SPRING = (date(2026, 2, 15), date(2026, 2, 23))


def number(day: date) -> int:
    return (day - EPOCH).days


def days(first: date, last: date) -> np.ndarray:
    return np.arange(number(first), number(last) + 1)


def drawn(rng: np.random.Generator, a_day: float, closed: tuple[int, ...], *lost: np.ndarray) -> np.ndarray:
    """Draw counts of SPAN that scatter; nothing comes on weekdays that are `closed` (0 is Monday)."""
    mean = a_day * ~np.isin((SPAN + 3) % 7, closed) * rng.gamma(20, 1 / 20, SPAN.size)
    counts = rng.poisson(mean)
    for each in lost:
        counts[np.isin(SPAN, each)] = 0
    return counts


def unknown(counts: np.ndarray) -> np.ndarray:
    """Return the days that are taken not to be recorded."""
    held = np.flatnonzero(counts)
    found = recorded_days(Records(SPAN[held], np.minimum(counts[held], ENOUGH), OFF))
    return np.setdiff1d(SPAN[held[0] : held[-1] + 1], found)


BEYOND = [
    (date(2026, 2, 24), date(2026, 3, 6)), (date(2025, 10, 9), date(2025, 10, 19)),
    (date(2026, 5, 6), date(2026, 5, 15)),
]  # fmt: skip
OFFICES = [(13.0, (5, 6)), (24.0, ()), (40.0, (6,)), (8.0, (5, 6)), (3.0, (6,))]


@pytest.mark.parametrize(("a_day", "closed"), OFFICES)
def test_an_office_that_is_closed_on_days_off_has_no_gap(a_day: float, closed: tuple[int, ...]) -> None:
    rng = np.random.default_rng(14)
    assert sum(unknown(drawn(rng, a_day, closed, OFF)).size > 0 for _ in range(50)) <= 1


@pytest.mark.parametrize(("a_day", "closed"), OFFICES[:4])
@pytest.mark.parametrize("beyond", BEYOND)
def test_days_lost_behind_a_holiday_are_found(
    a_day: float, closed: tuple[int, ...], beyond: tuple[date, date]
) -> None:
    rng, lost = np.random.default_rng(15), days(*beyond)
    for _ in range(20):
        assert np.isin(lost, unknown(drawn(rng, a_day, closed, OFF, lost))).all()


LONG = [SPRING, (date(2026, 5, 1), date(2026, 5, 5)), (date(2025, 10, 1), date(2025, 10, 8))]
SHORT = [
    (date(2026, 6, 19), date(2026, 6, 21)), (date(2026, 9, 25), date(2026, 9, 27)),
    (date(2025, 5, 31), date(2025, 6, 1)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("a_day", "holiday", "is_found"),
    [(a_day, holiday, True) for a_day in (8.0, 24.0, 60.0) for holiday in LONG]
    + [(a_day, holiday, True) for a_day in (40.0, 60.0) for holiday in SHORT]
    + [(a_day, holiday, False) for a_day in (3.0, 8.0) for holiday in SHORT],
)
def test_a_holiday_lost_where_all_others_are_recorded_is_found(
    a_day: float, holiday: tuple[date, date], is_found: bool
) -> None:
    """The bound: from four days on, and shorter ones where no other day off is quiet."""
    rng, lost = np.random.default_rng(16), days(*holiday)
    found = sum(np.isin(lost, unknown(drawn(rng, a_day, (), lost))).all() for _ in range(20))
    assert found >= 19 if is_found else found == 0


def test_of_a_second_lost_holiday_less_is_seen() -> None:
    """Each is held against the others: with two of three days lost, neither is sure to be no closing."""
    rng = np.random.default_rng(19)
    gone = [days(*SHORT[0]), days(*SHORT[1])]
    assert not unknown(drawn(rng, 40.0, (), *gone)).size
    long = [days(*LONG[0]), days(*LONG[2])]
    assert np.isin(np.concatenate(long), unknown(drawn(rng, 40.0, (), *long))).all()


def test_of_the_first_holiday_on_record_nobody_can_say() -> None:
    counts = drawn(np.random.default_rng(17), 24.0, (), days(*SPRING))
    late = number(date(2026, 1, 5)) - SPAN[0]
    held = np.flatnonzero(counts[late : late + 80]) + late
    found = recorded_days(Records(SPAN[held], np.minimum(counts[held], ENOUGH), OFF))
    assert found.size == 80


FIRST, END = date(2024, 12, 2), date(2026, 4, 1)
LOST = days(date(2025, 11, 10), date(2025, 11, 14))


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    """Thirteen a working day, but on days off, weekends and LOST."""
    open_days = [
        day for day in np.arange(number(FIRST), number(END))
        if (day + 3) % 7 < 5 and day not in OFF and day not in LOST
    ]  # fmt: skip
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        rng = np.random.default_rng(18)
        for day in open_days:
            places = [town.at(*place) for place in rng.uniform((0.2, 3.2), (5.8, 4.8), (13, 2))]
            first = datetime.combine(EPOCH + int(day) * DAY, datetime.min.time(), town.ZONE)
            town.add_incidents(conn, batch, places, first=first + timedelta(hours=8), apart=DAY / 40)


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with engine.begin() as conn:
        key = access.create_key(conn, "commander", None, scheme="safety", label="desk").key
    with TestClient(make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def ask(asker: TestClient, path: str, first: str, end: str) -> dict[str, Any]:
    answer = asker.get(path, params={"from": first, "to": end})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_only_the_lost_days_are_a_gap(conn: Connection) -> None:
    """With the weekend before them and behind: nobody can say where they begin."""
    (one, other) = incident_span(conn).recorded
    assert (one[1].date(), other[0].date()) == (date(2025, 11, 8), date(2025, 11, 17))


@pytest.mark.parametrize("path", ["/changes", "/situation", "/hotspots", "/profiles"])
@pytest.mark.parametrize(
    ("first", "end"),
    [("2026-02-15", "2026-02-24"), ("2025-10-01", "2025-10-09"), ("2026-02-14", "2026-02-22")],
)
def test_a_holiday_is_answered(asker: TestClient, path: str, first: str, end: str) -> None:
    found = ask(asker, path, first, end)
    assert (found["start"][:10], found["unrecorded"]) == (first, None)


def test_months_with_holidays_are_compared_and_their_days_count(asker: TestClient) -> None:
    for first, end, days_off in (
        ("2026-02-01", "2026-03-01", 9), ("2025-10-01", "2025-11-01", 8), ("2025-05-01", "2025-06-01", 6)
    ):  # fmt: skip
        changes = ask(asker, "/changes", first, end)
        assert changes["before"] is not None
        assert changes["days_off"] == days_off
        assert ask(asker, "/situation", first, end)["tested"] is (first > "2025-08")
        rows = ask(asker, "/profiles", first, end)["rows"]
        length = (date.fromisoformat(end) - date.fromisoformat(first)).days
        assert {row["slots"] for row in rows if row["kind"] == "hour"} == {float(length)}
