"""Risk of areas that changed of late: an outbreak, a fall, an end; means within intervals, and sums."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access, schema
from tests import town
from tests.test_joined_areas import GRIDS, add_grids

DAY = timedelta(days=1)
FIRST, LAST = (datetime(year, 5, 1, tzinfo=town.ZONE) for year in (2025, 2026))
OUTBREAK, FALL, END = (datetime(*day, tzinfo=town.ZONE) for day in ((2026, 2, 1), (2026, 3, 1), (2026, 1, 1)))
LEAVES = sorted(code for code, (level, _, _) in GRIDS.items() if level == 3)
NOW = {"A": 108, "B": 113, "C": 5.4, "D": 54}
"""What each county will hold in 30 days at the rates of its last weeks."""
Found = dict[str, Any]


def _rate(code: str, category: str, day: datetime) -> float:
    """Return incidents a day of a leaf: 0.3 of each of two categories but where something changed."""
    if code[0] == "B":  # a real outbreak, of one kind
        return 0.6 if day >= OUTBREAK and category == "01" else 0.03
    if code[0] == "C":
        return 0.3 * (0.05 if day >= FALL else 1)
    return 0.0 if code.startswith("DB") and day >= END else 0.3


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    rng = np.random.default_rng(14)
    rows = [
        (category, code, FIRST + number * DAY + rng.uniform(8, 20) * DAY / 24)
        for category, number, code in product(("01", "02"), range((LAST - FIRST) // DAY), LEAVES)
        for _ in range(rng.poisson(_rate(code, category, FIRST + number * DAY)))
    ]
    with engine.begin() as conn:
        add_grids(conn)
        batch, i = town.add_city(conn), schema.incidents
        for category in ("01", "02"):
            boxes = [GRIDS[code][2] for each, code, _ in rows if each == category]
            places = [
                town.at(rng.uniform(west + 0.02, east - 0.02), 2 + rng.uniform(south + 0.02, north - 0.02))
                for west, south, east, north in boxes
            ]
            town.add_incidents(conn, batch, places, category)
        ids = conn.execute(sa.select(i.c.id).order_by(i.c.id)).scalars().all()
        moments = [{"b_id": one, "at": at} for one, (_, _, at) in zip(ids, rows, strict=True)]
        moved = i.update().where(i.c.id == sa.bindparam("b_id"))
        conn.execute(moved.values(occurred_at=sa.bindparam("at"), reported_at=sa.bindparam("at")), moments)
        conn.execute(i.update().where(i.c.id % 4 == 0).values(colour="red"))


@pytest.fixture(scope="module")
def asker(
    engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with engine.begin() as conn:
        keys = {
            scope: access.create_key(conn, "commander", scope, scheme="safety", label="desk").key
            for scope in (None, "B", "C", "DB", "AA1")
        }
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, "http://127.0.0.1") as client:
        for scope, key in keys.items():
            client.headers[f"X-Key-{scope}"] = key
        yield client


def ask(asker: TestClient, scope: str | None = None, **query: Any) -> Found:
    query = {"horizon_days": 30, "res": 8} | {name.rstrip("_"): value for name, value in query.items()}
    key = asker.headers[f"X-Key-{scope}"]
    answer = asker.get("/risk", params=query, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    found: Found = answer.json()
    return found


def every_mean_within(found: Found) -> bool:
    whole = {"expected": found["expected_total"]} | {
        name: found[f"total_{name}"] for name in ("low", "high", "low95", "high95")
    }
    return all(
        one[f"low{width}"] <= one["expected"] <= one[f"high{width}"]
        for one in (whole, *found["cells"]) for width in ("", "95")
    )  # fmt: skip


@pytest.mark.parametrize("county", sorted(NOW))
def test_an_area_is_expected_at_what_it_now_has(asker: TestClient, county: str) -> None:
    found = ask(asker, area=county)
    if county == "C":  # smaller than a hexagon of 5 km², most of its own lie across its border
        assert found["expected_total"] < 108 / 2, "by all counts so far 90"
        return
    assert found["expected_total"] == pytest.approx(NOW[county], rel=0.25)
    assert found["total_low95"] <= NOW[county] <= found["total_high95"]
    assert found["total_high95"] - found["total_low95"] < 3 * NOW[county]


@pytest.mark.parametrize("county", ["B", "C"])
def test_so_it_is_for_who_sees_it_alone(asker: TestClient, county: str) -> None:
    found = ask(asker, county)
    assert found["expected_total"] == pytest.approx(NOW[county], rel=0.25, abs=10)
    assert found["total_low95"] <= NOW[county] <= found["total_high95"]


@pytest.mark.parametrize(("scope", "area"), [(None, "DB"), (None, "DB0"), (None, "DB2"), ("DB", None)])
def test_of_what_ended_nothing_is_expected(asker: TestClient, scope: str | None, area: str | None) -> None:
    found = ask(asker, scope, **({} if area is None else {"area": area}))
    assert (found["expected_total"], found["total_low95"]) == (0, 0)
    assert sum(cell["expected"] for cell in found["cells"]) == 0
    assert abs(datetime.fromisoformat(found["ended"]).replace(tzinfo=town.ZONE) + DAY - END) <= 2 * DAY
    assert found["silent"][0]["last"] is None
    assert found["total_high95"] > 0, "it may be taken up again"


@pytest.mark.parametrize(("area", "inside"), [(None, True), ("D", True), ("A", False), ("C", False)])
def test_who_asks_about_more_reads_what_ended_in_it(
    asker: TestClient, area: str | None, inside: bool
) -> None:
    found = ask(asker, **({} if area is None else {"area": area}))
    named = [one["area"] for one in found["silent"] if one["last"] is None]
    assert named == ["DB"] * inside
    assert found["ended"] is None


FILTERS: list[Found] = [
    {},
    {"category": "01"},
    {"category": "02"},
    {"colour": "red"},
    {"filter": "colour = 'red'"},
]
TIMES = [None, "2026-02-10", "2026-02-25", "2026-03-12"]


SOME = [(query, TIMES[at % len(TIMES)]) for at, query in enumerate(FILTERS)]
"""Every filter with one of the ends; with each of them it takes minutes."""
REST = [pair for pair in product(FILTERS, TIMES) if pair not in SOME]


@pytest.mark.parametrize(
    ("query", "to"), [*SOME, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in REST)]
)
def test_every_mean_lies_within_its_interval_and_parts_add_up(
    asker: TestClient, query: Found, to: str | None
) -> None:
    query = query | ({} if to is None else {"to": to})
    whole = ask(asker, **query)
    counties = {code: ask(asker, area=code, **query) for code in "ABCD"}
    towns = {code: ask(asker, area=code, **query) for code in ("BA", "BB", "DA", "DB")}
    assert all(map(every_mean_within, (whole, *counties.values(), *towns.values())))
    sums = {code: each["expected_total"] for code, each in (counties | towns).items()}
    assert sum(sums[code] for code in counties) == pytest.approx(whole["expected_total"], rel=1e-9)
    for county in "BD":
        parts = sums[f"{county}A"] + sums[f"{county}B"]
        assert parts == pytest.approx(sums[county], rel=1e-9)


@pytest.mark.parametrize(("scope", "query"), list(product(("B", "C", "DB", "AA1"), FILTERS)))
def test_so_they_do_in_every_scope(asker: TestClient, scope: str, query: Found) -> None:
    assert every_mean_within(ask(asker, scope, **query))
