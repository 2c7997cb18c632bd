"""The calendar as the State Council's notices say it, and comparisons by festival and by weekday."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api.main import make_app
from gis import access
from gis.calendar import DAY, Calendar, of_zone
from tests import town

WEEK = "一二三四五六日"
NOTICES = """
2024 元旦 2023-12-30六 2024-01-01一 3
2024 春节 2024-02-10六 2024-02-17六 8
2024 清明节 2024-04-04四 2024-04-06六 3
2024 劳动节 2024-05-01三 2024-05-05日 5
2024 端午节 2024-06-08六 2024-06-10一 3
2024 中秋节 2024-09-15日 2024-09-17二 3
2024 国庆节 2024-10-01二 2024-10-07一 7
2025 元旦 2025-01-01三 2025-01-01三 1
2025 春节 2025-01-28二 2025-02-04二 8
2025 清明节 2025-04-04五 2025-04-06日 3
2025 劳动节 2025-05-01四 2025-05-05一 5
2025 端午节 2025-05-31六 2025-06-02一 3
2025 国庆节 2025-10-01三 2025-10-08三 8
2025 中秋节 2025-10-01三 2025-10-08三 8
2026 元旦 2026-01-01四 2026-01-03六 3
2026 春节 2026-02-15日 2026-02-23一 9
2026 清明节 2026-04-04六 2026-04-06一 3
2026 劳动节 2026-05-01五 2026-05-05二 5
2026 端午节 2026-06-19五 2026-06-21日 3
2026 中秋节 2026-09-25五 2026-09-27日 3
2026 国庆节 2026-10-01四 2026-10-07三 7
"""
"""Year, festival, first and last day off with their weekdays, and how many days, as the notices word them."""
WORK = (
    "2024-02-04日 2024-02-18日 2024-04-07日 2024-04-28日 2024-05-11六 2024-09-14六 2024-09-29日 2024-10-12六 "
    "2025-01-26日 2025-02-08六 2025-04-27日 2025-09-28日 2025-10-11六 "
    "2026-01-04日 2026-02-14六 2026-02-28六 2026-05-09六 2026-09-20日 2026-10-10六"
)
FIRST = datetime(2024, 1, 1, tzinfo=town.ZONE)
DAYS = 430
Headers = dict[str, str]


def _day(written: str) -> date:
    day = date.fromisoformat(written[:10])
    assert WEEK[day.weekday()] == written[10], written
    return day


@pytest.fixture(scope="module")
def china() -> Calendar:
    found = of_zone("Asia/Shanghai")
    assert found
    return found


def test_days_off_are_those_of_the_notices(china: Calendar) -> None:
    told = {(str(one.day.year), one.name_zh): one for one in china.festivals if one.is_holiday}
    lines = [line.split() for line in NOTICES.split("\n") if line]
    assert {(year, name) for year, name, *_ in lines} == told.keys()
    for year, name, first, last, days in lines:
        one = told[year, name]
        assert (one.first, one.last) == (_day(first), _day(last))
        assert (one.last - one.first).days + 1 == int(days)
    assert china.work == {_day(written) for written in WORK.split()}
    assert len(china.sources) == 3


def test_festivals_by_the_moon_lie_whole_moons_apart(china: Calendar) -> None:
    """Whole months of 29.53 days from the new year, and as many days as their date says."""
    by_moon = {"spring_festival": 0, "lantern": 14, "dragon_boat": 4, "qixi": 6, "mid_autumn": 14}
    by_moon |= {"ghost": 14, "double_ninth": 8}
    days = {(one.key, one.day.year): one.day for one in china.festivals}
    for (key, year), day in days.items():
        if key in by_moon:
            moons = ((day - days["spring_festival", year]).days - by_moon[key]) / 29.530588
            assert abs(moons - round(moons)) * 29.53 < 1.5, (key, year)


def test_a_city_elsewhere_has_no_calendar(china: Calendar) -> None:
    assert of_zone("America/Chicago") is None
    assert of_zone("Asia/Urumqi") == china


def test_days_off_are_counted_once_and_not_beyond_what_is_announced(china: Calendar) -> None:
    assert china.days_off(date(2025, 10, 1), date(2025, 10, 31)) == 8, "two festivals of one holiday"
    assert china.days_off(date(2025, 12, 30), date(2026, 1, 2)) == 2
    assert china.days_off(date(2026, 12, 31), date(2027, 1, 2)) is None
    assert china.days_off(date(2025, 8, 1), date(2025, 8, 31)) == 0


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """Three a day on average, any hour, from 2024 on."""
    rng = np.random.default_rng(5)
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        places = [town.at(*place) for place in rng.uniform((0, 3), (6, 5), (3 * DAYS, 2))]
        town.add_incidents(conn, batch, places, first=FIRST, apart=timedelta(hours=8))
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(made, "http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        yield client


@pytest.fixture(scope="module")
def key(engine: Engine, asker: TestClient) -> Headers:
    assert asker
    with engine.begin() as conn:
        made = access.create_key(conn, "commander", scheme="safety", label="desk").key
    return {"Authorization": f"Bearer {made}"}


def _changes(asker: TestClient, key: Headers, first: date, last: date) -> dict[str, Any]:
    asked = {"from": str(first), "to": str(last + DAY), "level": "3"}
    answer = asker.get("/changes", params=asked, headers=key)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def _count(conn: Connection, first: date, last: date) -> int:
    query = sa.text(
        "SELECT count(*) FROM incidents WHERE (occurred_at AT TIME ZONE 'Asia/Shanghai')::date "
        "BETWEEN :first AND :last"
    )
    return int(conn.execute(query, {"first": first, "last": last}).scalar_one())


def test_the_spring_festival_is_held_against_that_of_the_year_before(
    asker: TestClient, key: Headers, conn: Connection
) -> None:
    told = _changes(asker, key, date(2025, 1, 26), date(2025, 2, 6))
    assert told["celebrated"]["name_zh"] == "春节"
    assert told["celebrated"]["day"] == "2025-01-29"
    # 29 January lies 353 days behind 10 February of the year before.
    then = told["festival"]
    assert then["start"] == "2024-02-07T00:00:00+08:00"
    assert then["count"] == _count(conn, date(2024, 2, 7), date(2024, 2, 18))
    assert (told["days_off"], then["days_off"]) == (8, 8)
    assert sum(row["festival"] for row in told["rows"]) == then["count"]


def test_matched_weekdays_are_weekdays(asker: TestClient, key: Headers, conn: Connection) -> None:
    told = _changes(asker, key, date(2025, 1, 26), date(2025, 2, 6))
    then = told["weekdays"]
    assert then["start"] == "2024-01-28T00:00:00+08:00"
    assert date(2024, 1, 28).weekday() == date(2025, 1, 26).weekday()
    assert then["count"] == _count(conn, date(2024, 1, 28), date(2024, 2, 8))
    assert then["days_off"] == 0, "and so unlike the period that it is told with"
    assert told["year"]["start"] == "2024-01-26T00:00:00+08:00"


def test_without_a_festival_or_records_there_is_nothing_to_compare(asker: TestClient, key: Headers) -> None:
    plain = _changes(asker, key, date(2025, 1, 6), date(2025, 1, 12))
    assert (plain["celebrated"], plain["festival"]) == (None, None)
    assert plain["weekdays"]["days_off"] == 0
    early = _changes(asker, key, date(2024, 2, 10), date(2024, 2, 17))
    assert early["celebrated"]["name_en"] == "Spring Festival"
    assert early["festival"] is None
    assert early["weekdays"] is None


def test_the_calendar_is_open_to_everybody(asker: TestClient) -> None:
    told = asker.get("/calendar", params={"from": "2025-01-20", "to": "2025-02-28"}).json()
    assert [one["name_zh"] for one in told["festivals"]] == ["春节", "元宵节"]
    assert told["work"] == ["2025-01-26", "2025-02-08"]
    refused = asker.get("/calendar", params={"from": "2025-02-28", "to": "2025-01-20"})
    assert refused.status_code == 422
    assert "to" in refused.text
