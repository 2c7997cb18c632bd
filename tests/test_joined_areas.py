"""An area that joined the records, left them or paused is no outbreak and no fall, nor is the whole."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection, Engine

from gis import schema
from tests import town

DAY = timedelta(days=1)
Query = dict[str, Any]
Box = tuple[float, float, float, float]


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=town.ZONE)


FIRST, LAST = _day("2024-07-01"), _day("2026-05-01")
SILENT = {
    "C": (None, _day("2026-01-01")),
    "BB": (_day("2025-11-01"), None),
    "D": (_day("2025-02-01"), _day("2025-05-01")),
}
"""County C joined, town BB of county B left, and county D paused."""
RATES = {"01": 5, "02": 3}
"""Incidents a day of each category in each county."""


def _grids() -> dict[str, tuple[int, str | None, Box]]:
    """Draw four counties beside one another, each of two towns of three leaves."""
    found: dict[str, tuple[int, str | None, Box]] = {}
    for at, county in enumerate("ABCD"):
        found[county] = (1, None, (2 * at, 0, 2 * at + 2, 3))
        for column, place in enumerate("AB"):
            west = 2 * at + column
            found[county + place] = (2, county, (west, 0, west + 1, 3))
            for row in range(3):
                found[f"{county}{place}{row}"] = (3, county + place, (west, row, west + 1, row + 1))
    return found


GRIDS = _grids()


def add_grids(conn: Connection) -> None:
    scheme = {"name": "safety", "title_zh": "平安网格", "title_en": "Safety", "is_default": True}
    conn.execute(schema.schemes.insert().values(**scheme))
    rows = [
        {"scheme": "safety", "level": level, "name_zh": str(level), "name_en": str(level)}
        for level in (1, 2, 3)
    ]
    conn.execute(schema.levels.insert(), rows)
    conn.execute(schema.revisions.insert().values(scheme="safety", note="founded"))
    for code, (level, parent, (west, south, east, north)) in GRIDS.items():
        shape = shapely.box(*town.at(west, south + 2), *town.at(east, north + 2))
        identity = schema.grid_codes.insert().values(scheme="safety", code=code)
        grid_id = conn.execute(identity.returning(schema.grid_codes.c.id)).scalar_one()
        conn.execute(
            schema.grids.insert().values(
                grid_id=grid_id, scheme="safety", code=code, level=level, parent_code=parent, name=code,
                geom=town.multi(shape), area_m2=shape.area * 1.1e10, valid=Range(town.FOUNDED, None),
                known=Range(1, None),
            )
        )  # fmt: skip


def _is_silent(code: str, day: datetime) -> bool:
    return any(
        code.startswith(area) and (since is None or day >= since) and (until is None or day < until)
        for area, (since, until) in SILENT.items()
    )


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    """Every leaf has its own constant rate while its area is recorded."""
    rng = np.random.default_rng(6)
    leaves = [code for code, (level, _, _) in GRIDS.items() if level == 3]
    weight = {code: float(rng.gamma(6, 1 / 6)) / 6 for code in leaves}
    rows: list[Query] = []
    for number in range((LAST - FIRST) // DAY):
        day = FIRST + number * DAY
        for code in leaves:
            if _is_silent(code, day):
                continue
            west, south, east, north = GRIDS[code][2]
            for category, a_day in RATES.items():
                for _ in range(rng.poisson(a_day * weight[code])):
                    place = town.at(
                        rng.uniform(west + 0.02, east - 0.02), 2 + rng.uniform(south + 0.02, north - 0.02)
                    )
                    rows.append(
                        {"place": place, "category": category, "at": day + rng.uniform(8, 20) * DAY / 24}
                    )
    with engine.begin() as conn:
        add_grids(conn)
        batch = town.add_city(conn)
        for category in RATES:
            some = [row for row in rows if row["category"] == category]
            town.add_incidents(conn, batch, [row["place"] for row in some], category)
        i = schema.incidents
        ids = conn.execute(sa.select(i.c.id).order_by(i.c.id)).scalars().all()
        ordered = [row for category in RATES for row in rows if row["category"] == category]
        moments = [{"b_id": one, "at": row["at"]} for one, row in zip(ids, ordered, strict=True)]
        moved = i.update().where(i.c.id == sa.bindparam("b_id"))
        conn.execute(moved.values(occurred_at=sa.bindparam("at"), reported_at=sa.bindparam("at")), moments)


def ask(asker: TestClient, path: str, **query: Any) -> Query:
    answer = asker.get(path, params={name.rstrip("_"): value for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: Query = answer.json()
    return found


def _near(text: str | None, day: datetime | None) -> bool:
    if text is None or day is None:
        return text is None and day is None
    return abs(_day(text) - day) <= 2 * DAY


def names(found: Query, area: str) -> bool:
    since, until = SILENT[area]
    last = until and until - DAY
    return any(
        one["area"] == area and _near(one["first"], since) and _near(one["last"], last)
        for one in found["silent"]
    )


MONTHS = [
    ("C", "2026-01-01", "2026-02-01"), ("C", "2026-02-01", "2026-03-01"), ("C", "2026-04-01", "2026-05-01"),
    ("BB", "2025-11-01", "2025-12-01"), ("BB", "2025-12-01", "2026-01-01"),
    ("BB", "2026-04-01", "2026-05-01"),
    ("D", "2025-02-01", "2025-03-01"), ("D", "2025-04-15", "2025-05-15"), ("D", "2025-05-01", "2025-06-01"),
]  # fmt: skip


@pytest.mark.parametrize(("area", "start", "end"), MONTHS)
def test_no_row_departs_by_it(asker: TestClient, area: str, start: str, end: str) -> None:
    found = ask(asker, "/situation", from_=start, to=end, limit=2000)
    rows = found["situation"]
    assert names(found, area)
    assert {row["departs"] for row in rows if row["code"] in {None, "A", "B", area[:1]}} == {None}
    inside = [row for row in rows if str(row["code"]).startswith(area)]
    assert {row["p"] for row in inside} <= {None}
    (whole,) = (row for row in rows if row["code"] is None and row["category"] is None)
    assert whole["count"] == sum(
        row["count"] for row in rows if row["level"] == 1 and row["category"] is None
    )
    held = {row["code"]: row["count"] for row in rows if row["category"] is None}
    assert whole["compared"] == whole["count"] - sum(held.get(one["area"], 0) for one in found["silent"])
    assert sum(row["departs"] is not None for row in rows) <= 1, "chance: q of 0.05"
    assert ask(asker, "/letters", from_=start, to=end)["drafts"] == []


@pytest.mark.parametrize(("area", "start", "end"), MONTHS)
def test_no_change_is_told_of_it(asker: TestClient, area: str, start: str, end: str) -> None:
    for by in ({"level": 1}, {"level": 3}, {"res": 8}):
        found = ask(asker, "/changes", from_=start, to=end, **by)
        for name in ("before", "year"):
            if found[name] is None:
                continue
            assert found[name]["told"] in {"same", None}
            told = [row[f"{name}_told"] for row in found["rows"]]
            assert sum(one not in {"same", None} for one in told) <= 1
    query = {"from": start, "to": end, "level": len(area), "area": area}
    answer = asker.get("/changes", params=query)
    if answer.status_code == 422:
        assert "no record was kept on any day" in answer.text, "in the middle of its pause"
    else:
        compared = [answer.json()[name] for name in ("before", "year")]
        assert {one and one["told"] for one in compared} <= {None, "same"}


@pytest.mark.parametrize(("area", "start", "end"), [MONTHS[0], MONTHS[3], MONTHS[6], MONTHS[8]])
def test_no_measure_is_judged_across_it(asker: TestClient, area: str, start: str, end: str) -> None:
    for query in ({"area": area, "control": "A"}, {"area": "A", "control": area}):
        answer = asker.get("/evaluation", params=query | {"from": start, "to": end})
        assert answer.status_code == 422, answer.text
    leaf = {"area": area + ("A0" if len(area) == 1 else "0"), "control": "A"}
    assert asker.get("/evaluation", params=leaf | {"from": start, "to": end}).status_code == 422
    others = {"area": "AA", "control": "BA"}
    assert ask(asker, "/evaluation", from_=start, to=end, **others)["difference"] is not None


@pytest.mark.parametrize(
    ("area", "to"), [("C", "2026-01-20"), ("C", "2026-03-01"), ("BB", "2025-12-01"), ("D", "2025-05-20")]
)
def test_no_cluster_gathers_in_it(asker: TestClient, area: str, to: str) -> None:
    found = ask(asker, "/alarms/clusters", to=to)
    assert found["clusters"] == []
    assert names(found, area)


WEEKS = ["2026-01-05", "2026-01-12", "2026-02-02", "2026-04-06", "2025-11-03", "2025-11-17", "2025-05-05"]


@pytest.mark.parametrize("week", WEEKS)
def test_surveillance_raises_no_alarm_of_it(asker: TestClient, week: str) -> None:
    answer = asker.post("/alarms", json={"week": week})
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert found["alarms"] <= 1, "chance alone alarms once in thirteen weeks"
    assert {one["area"] for one in found["silent"]} >= {"C"} if week >= "2026" else {"BB"}


def test_an_area_that_joined_is_judged_once_half_a_year_is_recorded(asker: TestClient) -> None:
    """C joined 17 weeks before the records end, D came back a year before."""
    found = asker.post("/alarms", json={"week": "2026-04-13"}).json()
    assert found["unjudged"] == (9 + 4) * 3, "C with its parts, and BB with its own, in three categories"


@pytest.mark.parametrize(("area", "start", "end"), MONTHS)
def test_no_hexagon_is_hot_by_it(asker: TestClient, area: str, start: str, end: str) -> None:
    found = ask(asker, "/hotspots", res=8, from_=start, to=end, with_="shrunk,gistar,scan")
    cells = found["cells"]
    assert sum(one["significant"] for one in cells) <= 2, "chance: q of 0.05"
    assert found["clusters"] == []
    assert names(found, area) or (area, start[:4]) == ("D", "2026")
    assert {one["significant"] for one in cells if one["p"] is None} <= {False}
    assert sum(one["count"] for one in cells) == found["incidents"] - found["without_place"]
    if end <= "2025-12":
        return
    trends = [one["trend"] for one in cells if one["p"] is not None]
    assert sum(one in {"rising", "falling"} for one in trends) <= 0.1 * len(trends)


@pytest.mark.parametrize("to", ["2026-01-20", "2026-03-01", "2026-05-01", "2025-12-20", "2025-06-20"])
def test_no_place_emerges_by_it(asker: TestClient, to: str) -> None:
    found = ask(asker, "/emerging", to=to, steps=12, step_days=14, res=8)
    assert found["silent"]
    assert len(found["cells"]) <= 0.05 * found["judged"]


@pytest.mark.parametrize("area", ["C", "D", "BB"])
def test_an_area_itself_is_judged_by_its_own_records(asker: TestClient, area: str) -> None:
    to = {"C": "2026-04-20", "D": "2026-04-20", "BB": "2025-10-20"}[area]
    found = ask(asker, "/situation", from_=f"{to[:8]}01", to=to, area=area)
    own = [row for row in found["situation"] if row["code"] == area]
    assert own
    assert {row["departs"] for row in own} == {None}
    hot = ask(asker, "/hotspots", res=8, from_=f"{to[:8]}01", to=to, area=area)
    assert sum(one["significant"] for one in hot["cells"]) <= 1


@pytest.mark.parametrize("to", ["2026-03-20", "2026-04-20", "2025-08-01", "2025-10-01"])
def test_risk_expects_of_each_area_what_it_records(asker: TestClient, to: str) -> None:
    """C joined 78 and 109 days before, D came back 92 and 153 days before."""
    whole = ask(asker, "/risk", to=to, horizon_days=30, res=8)
    parts = {area: ask(asker, "/risk", to=to, horizon_days=30, res=8, area=area) for area in "ABCD"}
    assert sum(part["expected_total"] for part in parts.values()) == pytest.approx(
        whole["expected_total"], rel=1e-6
    )
    for area in "AD" if to < "2026" else "ACD":
        came = ask(asker, "/changes", from_=_back(to, 30), to=to, level=1, area=area)["now"]
        assert parts[area]["expected_total"] == pytest.approx(came, rel=0.2), area


def _back(day: str, by: int) -> str:
    return f"{_day(day) - by * DAY:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("area", "start", "end", "first", "last"),
    [
        ("C", "2025-12-15", "2026-01-15", "2026-01-01", "2026-01-15"),
        ("CA", "2025-12-20", "2026-01-10", "2026-01-01", "2026-01-10"),
        ("BB", "2025-10-15", "2025-11-15", "2025-10-15", "2025-11-01"),
        ("D", "2025-01-15", "2025-02-15", "2025-01-15", "2025-02-01"),
    ],
)
def test_rates_of_an_area_are_of_the_days_that_it_records(
    asker: TestClient, area: str, start: str, end: str, first: str, last: str
) -> None:
    found = ask(asker, "/profiles", area=area, from_=start, to=end)
    kept = ask(asker, "/profiles", area=area, from_=first, to=last)
    assert found["unrecorded"]["days"] >= (_day(end) - _day(start) - (_day(last) - _day(first))) / DAY - 2
    assert found["incidents"] == kept["incidents"]
    rates = [[row["rate"] for row in one["rows"] if row["kind"] == "hour"] for one in (found, kept)]
    assert rates[0] == pytest.approx(rates[1], rel=0.15)


@pytest.mark.parametrize(
    ("area", "start", "end"),
    [
        ("C", "2025-08-01", "2025-09-01"),
        ("BB", "2026-01-01", "2026-02-01"),
        ("D", "2025-03-01", "2025-04-01"),
    ],
)
@pytest.mark.parametrize("path", ["/profiles", "/hotspots", "/near-repeat", "/repeat-places"])
def test_of_an_area_that_records_nothing_nothing_is_said(
    asker: TestClient, path: str, area: str, start: str, end: str
) -> None:
    answer = asker.get(path, params={"area": area, "from": start, "to": end})
    assert answer.status_code == 422, answer.text
    assert "record" in answer.text
