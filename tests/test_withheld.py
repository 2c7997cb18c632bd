"""What the public may not be told is withheld and said to be, never answered as none."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis.schema_situation import public_months
from layers.public import release_months
from tests import town

JANUARY = "from=2025-01-01&to=2025-01-31"


@pytest.fixture(scope="module")
def batch(engine: Engine) -> int:
    """The town without a building: thirty incidents of January and of May, two of March, one of 1963."""
    with engine.begin() as conn:
        town.add_grids(conn)
        made = town.add_city(conn)
        town.add_incidents(conn, made, [town.at(1, 1)] * 30)
        for count, year, month in ((1, 1963, 5), (2, 2025, 3), (30, 2025, 5), (2, 2025, 7)):
            first = datetime(year, month, 3, 12, tzinfo=town.ZONE)
            town.add_incidents(conn, made, [town.at(1, 1)] * count, first=first)
    return made


@pytest.fixture
def stranger(
    service_engine: Engine, batch: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    assert batch
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def _refresh(engine: Engine) -> None:
    with engine.begin() as conn:
        release_months(conn)


def test_before_anything_is_released_no_count_is_told(stranger: TestClient) -> None:
    for path in ("/hotspots", "/hotspots/values"):
        told = stranger.get(f"{path}?{JANUARY}").json()
        assert (told["incidents"], told["withheld"], told["released"]) == (None, ["2025-01"], [])
    whole = stranger.get("/hotspots").json()
    assert (whole["incidents"], whole["withheld"], whole["at_most"]) == (None, [], None)
    assert stranger.get("/city").json()["incidents"]["count"] is None


def test_without_buildings_the_count_is_withheld_and_no_zero(
    stranger: TestClient, client: TestClient, engine: Engine
) -> None:
    _refresh(engine)
    for path in ("/hotspots", "/hotspots/values"):
        told = stranger.get(f"{path}?{JANUARY}").json()
        assert (told["incidents"], told["withheld"]) == (None, ["2025-01"])
        assert told["released"] == ["2025-01", "2025-05"], "two in July are as good as none"
        assert client.get(f"{path}?{JANUARY}").json()["incidents"] == 30
    assert stranger.get("/hotspots").json()["withheld"] == [f"2025-0{month}" for month in range(1, 6)]
    rows = stranger.get(f"/hotspots?{JANUARY}&format=csv")
    assert list(csv.DictReader(io.StringIO(rows.text))) == []
    assert rows.headers["X-Withheld"] == "2025-01"
    told = stranger.get("/city").json()["incidents"]
    assert told["count"] is None
    assert (told["earliest"][:7], told["first"][:7], told["last"][:7]) == ("2025-01", "2025-01", "2025-05")


def test_none_and_too_few_look_alike_and_beyond_the_records_nothing_is_known(
    stranger: TestClient, engine: Engine
) -> None:
    _refresh(engine)
    for month, two in ((2, "none"), (3, "two"), (4, "none")):
        quiet = stranger.get(f"/hotspots?from=2025-0{month}-01&to=2025-0{month + 1}-01").json()
        assert (quiet["incidents"], quiet["withheld"]) == (None, [f"2025-0{month}"]), two
    for period, months in (
        ("from=2024-11-01&to=2024-12-01", ["2024-11"]),
        ("from=2025-06-01", ["2025-06"]),
        ("from=2025-07-01&to=2025-07-15", ["2025-07"]),
        ("to=2024-06-01", ["2024-05"]),
    ):
        beyond = stranger.get(f"/hotspots?{period}").json()
        assert (beyond["incidents"], beyond["withheld"][:1], beyond["released"][1]) == (
            None,
            months,
            "2025-05",
        )


def test_once_buildings_are_there_it_is_told(stranger: TestClient, engine: Engine, batch: int) -> None:
    """Nothing was told of January; of March, in which two incidents are too few, nothing is told now."""
    _refresh(engine)
    with engine.begin() as conn:
        for number in range(9):
            town.add_building(conn, batch, f"{number}", town.at(1, 1))
    _refresh(engine)
    told = stranger.get(f"/hotspots?{JANUARY}").json()
    assert (told["incidents"], told["withheld"]) == (30, [])
    whole = stranger.get("/hotspots").json()
    assert (whole["incidents"], whole["withheld"]) == (60, ["2025-02", "2025-03", "2025-04"])
    rare = stranger.get(f"/hotspots?{JANUARY}&category=02").json()
    assert (rare["incidents"], rare["withheld"]) == (None, ["2025-01"]), "none and too few look alike"
    assert stranger.get("/city").json()["incidents"]["count"] == 60


@pytest.fixture(scope="module")
def housed(engine: Engine, batch: int) -> None:
    """The town with nine more houses."""
    with engine.begin() as conn:
        for number in range(10, 19):
            town.add_building(conn, batch, f"{number}", town.at(1, 1))
    _refresh(engine)


QUIET = ["2025-02", "2025-03", "2025-04"]
YEAR = [f"2025-{month:02}" for month in range(6, 13)] + [f"2026-0{month}" for month in range(1, 6)]


@pytest.mark.parametrize(
    ("period", "months"),
    [
        ("from=2025-01-01&to=2025-01-31", []),
        ("from=2025-01-01&to=2025-02-01", []),
        ("from=2025-05-31&to=2025-06-01", []),
        ("from=2025-05-31&to=2025-06-02", ["2025-06"]),
        ("from=2024-12-31&to=2025-01-05", ["2024-12"]),
        ("from=2025-01-01T00:00:00Z&to=2025-01-31", []),
        ("from=2024-12-31T15:59:00Z&to=2025-01-31", ["2024-12"]),
        ("from=2025-05-01&to=2026-05-02", YEAR),
        ("from=2025-05-01&to=2026-06-02", ["2025-06..2026-06"]),
        ("from=1900-01-01&to=2200-01-01", ["1900-01..2024-12", *QUIET, "2025-06..2199-12"]),
    ],
)  # fmt: skip
def test_every_month_that_is_not_told_is_named(
    stranger: TestClient, housed: None, period: str, months: list[str]
) -> None:
    """In JSON and in the sheet, also where the period begins before all that is told or ends behind it."""
    assert housed is None
    for path in ("/hotspots", "/hotspots/values"):
        told = stranger.get(f"{path}?{period}").json()
        assert told["withheld"] == months
        assert told["incidents"] in {30, 60}
    sheet = stranger.get(f"/hotspots?{period}&format=csv")
    assert sheet.headers.get("X-Withheld") == (",".join(months) or None)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("2025-05-03", "2025-05-04"), ("2025-05-01", "2025-06-01")),
        (("2025-05-01", "2025-06-01"), ("2025-05-01", "2025-06-01")),
        (("2025-05-31T23:59:59+08:00", "2025-06-01T00:00:01+08:00"), ("2025-05-01", "2025-07-01")),
        (("2025-05-01T00:00:00Z", "2025-06-01T00:00:00Z"), ("2025-05-01", "2025-07-01")),
        (("2024-12-31", "2025-01-31"), ("2024-12-01", "2025-02-01")),
    ],
)
def test_the_period_of_an_answer_is_that_of_the_months_counted(
    stranger: TestClient, asked: tuple[str, str], told: tuple[str, str]
) -> None:
    query = dict(zip(("from", "to"), asked, strict=True))
    found = stranger.get("/hotspots", params=query).json()
    assert (found["start"], found["end"]) == tuple(f"{day}T00:00:00+08:00" for day in told)


def test_an_area_far_from_any_border_is_counted_exactly(stranger: TestClient, housed: None) -> None:
    """All incidents lie in the middle of T1a; of T2, which no hexagon told reaches, it is certain too."""
    assert housed is None
    for area, months, number in (("T1a", JANUARY, 30), ("T1", "", 60), ("T2", "", 0), ("T2d", JANUARY, 0)):
        told = stranger.get(f"/hotspots?{months}&area={area}").json()
        assert (told["incidents"], told["at_least"], told["at_most"]) == (number, number, number)
        assert (told["note"], sum(cell["count"] for cell in told["cells"])) == (None, number)
    march = stranger.get("/hotspots?from=2025-03-01&to=2025-04-01&area=T2").json()
    assert (march["incidents"], march["at_most"], march["withheld"]) == (None, None, ["2025-03"])


def test_a_month_too_small_stays_as_it_was_for_one_more(
    stranger: TestClient, engine: Engine, batch: int
) -> None:
    march = "from=2025-03-01&to=2025-04-01"
    asked = [f"/hotspots?{march}", f"/hotspots/values?{march}", f"/hotspots?{march}&area=T1", "/city"]
    before = [stranger.get(path).json() for path in asked]
    with engine.begin() as conn:
        town.add_incidents(conn, batch, [town.at(1, 1)], first=datetime(2025, 3, 5, tzinfo=town.ZONE))
        release_months(conn)
        months = conn.execute(public_months.select().order_by(public_months.c.month)).all()
    assert [stranger.get(path).json() for path in asked] == before
    assert [row.incidents for row in months if row.told] == [30, 30]


def test_a_month_too_small_is_counted_once_as_many_more_are_there_as_may_be_public(
    stranger: TestClient, engine: Engine, batch: int
) -> None:
    """A file of years past may follow a handful that was tried first."""
    with engine.begin() as conn:
        three = [town.at(1, 1)] * 3
        town.add_incidents(conn, batch, three, first=datetime(2025, 3, 6, tzinfo=town.ZONE))
        release_months(conn)
    march = stranger.get("/hotspots?from=2025-03-01&to=2025-04-01").json()
    assert (march["incidents"], march["withheld"]) == (6, [])
