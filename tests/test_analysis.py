"""Change, emergence, near repeats, profiles, rates and clusters over the store and HTTP."""

import csv
import io
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from gis import cells as h3
from gis import crs, schema
from layers.comparing import changes
from layers.emergence import emerging
from layers.hotspots import hotspots
from layers.scanning import shifts
from layers.served import exposure, served
from layers.stats.change import e_test
from layers.stats.nearrepeat import knox
from layers.timing import near_repeats, profiles
from layers.view import View
from tests import town

FIRST = datetime(2024, 1, 1, tzinfo=town.ZONE)
DAY = timedelta(days=1)
MAY = (datetime(2025, 5, 1, tzinfo=town.ZONE), datetime(2025, 5, 29, tzinfo=town.ZONE))
VIEW = View("safety", date(2025, 6, 1), 1, start=MAY[0], end=MAY[1])
CORNER, SOUTH = (4.5, 0.5), (1.5, 4.2)


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Two a day anywhere from 2024 on; in the last 28 days before June also 40 at one corner; 30 houses."""
    rng = np.random.default_rng(31)
    anywhere = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (2 * 514, 2))]
    corner = [town.at(*(np.array(CORNER) + 0.1 * shift)) for shift in rng.uniform(-1, 1, (40, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, anywhere, first=FIRST, apart=timedelta(hours=12))
        town.add_incidents(conn, batch, corner, category="0102", first=MAY[0], apart=timedelta(hours=16))
        for number, place in enumerate(rng.uniform((0, 0), (6, 5), (30, 2))):
            town.add_building(conn, batch, f"{number}号", town.at(*place))


def test_households_and_area_are_those_of_the_area_asked_for(conn: Connection) -> None:
    whole, part = VIEW, replace(VIEW, area="T1")
    held = [exposure(conn, 8, view, served(conn, 8, view), "household").sum() for view in (whole, part)]
    counted = "SELECT 12 * count(*) FROM buildings b, grids g WHERE g.code = 'T1'"
    inside = conn.execute(sa.text(counted + " AND ST_Covers(g.geom, b.point)")).scalar_one()
    assert held == [360, inside]
    km2 = exposure(conn, 8, whole, served(conn, 8, whole), "km2").sum()
    of = served(conn, 8, whole)
    assert km2 * 1e6 == pytest.approx((of.area_m2 * np.maximum(of.share, 0.05)).sum())


def test_edges_and_the_hole_are_known(conn: Connection) -> None:
    """Shares of hexagons inside the town, against the plane geometry of the drawing itself."""
    of = served(conn, 10, VIEW)
    lon, lat = h3.centres(of.cells)
    column, row = (lon - town.WEST) / town.BLOCK, 5 - (lat - town.SOUTH) / town.BLOCK
    in_hole = (np.abs(column - 3.5) < 0.3) & (np.abs(row - 2.5) < 0.3)
    deep = (np.abs(column - 1) < 0.5) & (np.abs(row - 1) < 0.5)
    assert in_hole.any()
    assert (of.share[in_hole] == 0).all()
    assert (of.share[deep] == 1).all()
    edge = np.abs(column) < 0.005
    assert of.share[edge] == pytest.approx(0.5, abs=0.1)
    wide = served(conn, 8, VIEW)
    around, middle = wide.disc_share(), h3.index(*(np.array([value]) for value in town.at(1.5, 4)), 8)
    assert around[wide.cells == middle] > 0.95
    assert around.min() < 0.6, "at the edge a part of the disc lies outside"


def test_a_scan_finds_the_corner_and_says_how_much(conn: Connection) -> None:
    found = hotspots(conn, VIEW, 9, ("scan", "gistar", "stability"))
    assert found.clusters
    best = found.clusters[0]
    place = h3.index(*(np.array([value]) for value in town.at(*CORNER)), 9)[0]
    assert place in found.cells[best.members]
    assert best.p == 0.001
    assert best.n == found.count[best.members].sum()
    assert best.expected == pytest.approx(found.expected[best.members].sum())
    number = found.extra["cluster"]
    assert set(np.flatnonzero(number == 1)) == set(best.members)
    here = int(np.flatnonzero(found.cells == place)[0])
    assert found.tested.significant[here]
    assert found.extra["stability"][here] >= 0.8, "the place is hot wherever the lines are drawn"
    assert found.extra["z"][here] == np.nanmax(found.extra["z"][found.count > 0])


def test_what_one_lattice_made_hot_is_not_stable(conn: Connection) -> None:
    """Six incidents on one point: hot in its own cell's disc, and so on every lattice; none elsewhere."""
    quiet = replace(VIEW, end=MAY[0], start=MAY[0] - 28 * DAY)
    found = hotspots(conn, quiet, 9, ("stability",))
    assert not found.tested.significant.any()
    assert found.extra["stability"].max() <= 0.2


def test_moves_go_where_the_lattice_is_farthest() -> None:
    cell = h3.index(np.array([113.1]), np.array([27.8]), 9)
    lon, lat = (axis[0] for axis in h3.centres(cell))
    radius = np.sqrt(h3.areas_m2(cell)[0] / 2.598)
    for east, north in shifts(cell):
        xy = crs.to_metres(np.array([lon, lon + east]), np.array([lat, lat + north]))
        away = np.hypot(*(xy[1] - xy[0]))
        assert 0.8 * radius < away < 1.1 * radius, "between the middle of an edge and a corner"


def test_rates_are_counts_over_what_is_exposed(client: TestClient) -> None:
    asked = {"from": "2025-05-01", "to": "2025-05-29", "res": 8}
    for per, of in (("household", 1000), ("building", 1000), ("km2", 1)):
        whole = client.get("/hotspots", params=asked | {"per": per}).json()
        assert (whole["per"], whole["of"]) == (per, of)
        rows = [cell for cell in whole["cells"] if cell["rate"] is not None]
        assert rows
        for cell in rows:
            assert cell["rate_low"] <= cell["rate_shrunk"]
            assert cell["rate_low"] <= cell["rate_high"]
            assert cell["count"] == 0 or cell["rate_shrunk"] <= cell["rate_high"]
    dense = max(whole["cells"], key=lambda cell: cell["count"])
    assert dense["rate"] > dense["rate_shrunk"], "the busiest cell is drawn towards the rest"
    km2 = dense["count"] / dense["rate"]
    assert 0.3 < km2 < 0.9, "a cell of resolution 8"


def test_parts_of_an_answer_are_asked_for_by_name(client: TestClient) -> None:
    plain = client.get("/hotspots", params={"with": ""}).json()
    assert "rate" not in plain["cells"][0]
    assert plain["judged"] >= len(plain["cells"])
    refused = client.get("/hotspots", params={"with": "shrunk,kriging"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["name"] == "with"
    one = plain["cells"][3]["cell"]
    alone = client.get("/hotspots", params={"with": "", "cell": one}).json()
    assert alone["cells"] == [plain["cells"][3]]
    assert alone["incidents"] == plain["incidents"]


def test_the_answer_says_what_it_was_held_against(client: TestClient) -> None:
    for path, part in (("/hotspots", {}), ("/hotspots/values", {}), ("/hotspots", {"area": "T1a"})):
        told = client.get(path, params={"to": "2024-01-20", "res": 10} | part).json()
        assert told["expected_by"] == ("households" if told["housed"] >= 0.8 else "area")
        assert told["method"].endswith(told["expected_by"])
        assert told["housed"] < 0.8, "thirty houses in a town of a thousand cells"


def test_compact_values_are_those_of_the_answer(client: TestClient) -> None:
    asked = {"from": "2025-05-01", "to": "2025-05-29", "res": 9}
    rows = client.get("/hotspots", params=asked).json()["cells"]
    told = client.get("/hotspots/values", params=asked).json()
    names = [f"89{number:013x}" for number in told["id"]]
    assert names == [row["cell"] for row in rows]
    assert told["count"] == [row["count"] for row in rows]
    assert told["significant"] == [int(row["significant"]) for row in rows]
    assert told["p"] == pytest.approx([row["p"] for row in rows], rel=1e-3)
    assert told["detectable"] == client.get("/hotspots", params=asked).json()["detectable"]
    assert told["detectable"]["ratio"] > 1
    assert sum(told["count"]) == told["incidents"]


def test_change_is_told_by_an_exact_test(conn: Connection) -> None:
    found = changes(conn, VIEW, None, 3)
    before, year = found.before, found.year
    assert before
    assert year
    assert (before.end, before.start) == (MAY[0], MAY[0] - 28 * DAY)
    assert year.start == MAY[0].replace(year=2024)
    assert found.incidents == 96
    assert before.whole.before[0] == year.whole.before[0] == 56
    assert before.whole.p[0] == pytest.approx(e_test(96, 56, 28, 28)), "fifty-six in every period before"
    assert before.whole.percent[0] == pytest.approx(100 * 40 / 56)
    told = dict(zip(found.keys, before.told(before.rows), strict=True))
    assert told["T1c"] == "more"
    assert {told[code] for code in told if code != "T1c"} == {"same"}
    few = (before.rows.now < 10) | (before.rows.before < 10)
    assert np.isnan(before.rows.percent[few]).all(), "never a bare percentage under ten"


def test_grids_share_the_incidents_out_at_every_level(conn: Connection) -> None:
    counted = [changes(conn, VIEW, None, level).now.sum() for level in (1, 2, 3)]
    placed = conn.execute(
        sa.text(
            "SELECT count(*) FROM incidents i, grids g WHERE g.code = 'T' AND ST_Covers(g.geom, i.geom)"
            " AND occurred_at >= :start AND occurred_at < :end"
        ),
        {"start": MAY[0], "end": MAY[1]},
    ).scalar_one()
    assert counted == [placed] * 3


def test_a_period_before_the_records_is_not_compared_with(client: TestClient) -> None:
    told = client.get("/changes", params={"from": "2024-01-10", "to": "2024-03-01"}).json()
    assert told["before"] is None
    assert told["year"] is None
    assert {row["before_told"] for row in told["rows"]} == {None}
    short = client.get("/changes", params={"from": "2024-03-01", "to": "2024-04-01", "level": 2}).json()
    assert short["before"]["count"] > 0
    assert (short["before"]["told"], short["before"]["p"]) == (None, None), "two periods tell of no swing"
    both = client.get("/changes", params={"res": 8, "level": 2})
    assert both.json()["errors"][0]["name"] == "level"
    assert client.get("/changes", params={"level": 9}).json()["errors"][0]["name"] == "level"
    above = client.get("/changes", params={"level": 2, "area": "T1a"})
    assert above.json()["errors"][0]["name"] == "level"
    assert client.get("/changes", params={"level": 3, "area": "T1a"}).status_code == 200
    table = client.get("/changes", params={"level": 3, "from": "2025-05-01", "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert {row["code"] for row in rows} <= {"T1a", "T1b", "T1c", "T2d", "T2e"}
    assert sum(int(row["now"]) for row in rows) > 80


def test_a_place_that_heats_up_is_new(conn: Connection) -> None:
    found = emerging(conn, VIEW, 8, 12, 28)
    place = h3.index(*(np.array([value]) for value in town.at(*CORNER)), 8)[0]
    here = int(np.flatnonzero(found.cells == place)[0])
    assert (found.kind[here], found.side[here]) == ("new", 1)
    assert found.state[here].tolist() == [0] * 11 + [1]
    assert found.counts[here, -1] > 3 * found.counts[here, :-1].max()
    assert found.start == MAY[1] - 12 * 28 * DAY
    before = emerging(conn, replace(VIEW, end=MAY[0]), 8, 12, 28)
    assert not [kind for kind, side in zip(before.kind, before.side, strict=True) if side > 0]


def test_steps_hold_every_incident_once(conn: Connection) -> None:
    whole = replace(VIEW, start=MAY[1] - 10 * 7 * DAY)
    steps = [
        hotspots(conn, replace(VIEW, start=MAY[1] - (k + 1) * 7 * DAY, end=MAY[1] - k * 7 * DAY), 7).incidents
        for k in range(10)
    ]
    found = emerging(conn, whole, 7, 10, 7)
    assert found.judged > 0
    assert sum(steps) == hotspots(conn, whole, 7).incidents


def test_near_repeats_are_those_of_the_points(conn: Connection) -> None:
    found = near_repeats(conn, VIEW, [200, 400], [7, 14], 99)
    rows = conn.execute(
        sa.text(
            "SELECT ST_X(geom), ST_Y(geom), (occurred_at AT TIME ZONE 'Asia/Shanghai')::date - '2024-01-01'"
            " FROM incidents WHERE occurred_at >= :start AND occurred_at < :end"
        ),
        {"start": MAY[0], "end": MAY[1]},
    ).all()
    lon, lat, day = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    by_hand = knox(crs.to_metres(lon, lat), day, (0, 5e-324, 200, 400), (0, 7, 14), permutations=9)
    assert (found.table.observed == by_hand.observed).all()
    assert found.table.observed[1, 0] > 1.2 * found.table.expected[1, 0] or found.table.observed[1, 0] > 100
    assert found.incidents == 96


def test_near_repeat_bounds_are_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"from": "2025-05-01", "to": "2025-05-29"}
    told = client.get("/near-repeat", params=asked | {"space": "100,200", "time": "7"}).json()
    bands = [(row["space_from_m"], row["space_to_m"]) for row in told["rows"]]
    assert bands == [(0, 0), (0, 100), (100, 200)]
    for name, value in (("space", "200,100"), ("space", "1,a"), ("time", "0,7"), ("space", "9999999")):
        assert client.get("/near-repeat", params=asked | {name: value}).status_code == 422, value
    monkeypatch.setattr("layers.timing.MOST_POINTS", 50)
    assert client.get("/near-repeat", params=asked).json()["errors"][0]["name"] == "to"


def test_profiles_count_in_the_city_s_own_time(conn: Connection) -> None:
    found = profiles(conn, replace(VIEW, categories=("0101",)))
    assert (found.days, found.incidents) == (28, 56)
    assert np.flatnonzero(found.hours.count).tolist() == [0, 12], "every twelve hours from midnight in Asia"
    assert found.weekdays.count.tolist() == [8] * 7
    assert found.week.sum() == 56
    assert found.hours.p < 1e-6
    assert found.weekdays.p > 0.99


def test_profiles_over_http(client: TestClient) -> None:
    told = client.get("/profiles", params={"from": "2025-05-01", "to": "2025-05-29"}).json()
    hours = [row for row in told["rows"] if row["kind"] == "hour"]
    assert len(hours) == 24
    assert sum(row["count"] for row in hours) == told["incidents"] == 96
    assert all(row["low"] <= row["rate"] <= row["high"] for row in told["rows"])
    assert {"start", "end", "method", "data_version"} <= told.keys()
    part = client.get("/profiles", params={"from": "2025-05-01T18:00", "to": "2025-05-03"}).json()
    slots = {row["slot"]: row["slots"] for row in part["rows"] if row["kind"] == "hour"}
    assert (slots[17], slots[18], part["days"]) == (1, 2, 2)


@pytest.mark.parametrize(
    "path", ["/changes", "/emerging", "/near-repeat", "/profiles", "/risk", "/risk/values"]
)
def test_only_commanders_are_told(client: TestClient, path: str) -> None:
    declared = client.get("/openapi.json").json()["paths"][path]["get"]
    assert declared["x-audience"] == "commander"


def test_what_patrols_found_is_left_out_and_the_difference_shown(client: TestClient, engine: Engine) -> None:
    i = schema.incidents
    with engine.begin() as conn:
        conn.execute(i.update().where(i.c.id % 4 == 0).values(source="patrol"))
    try:
        without, included = (
            client.get("/risk", params={"res": 8, "include": sources}).json() for sources in ("", "patrol")
        )
    finally:
        with engine.begin() as conn:
            conn.execute(i.update().values(source="citizen"))
    assert without["left_out"] == 267
    assert included["left_out"] == 0
    assert without["with_all_total"] == pytest.approx(included["expected_total"])
    assert without["expected_total"] < 0.85 * without["with_all_total"]
    assert client.get("/risk", params={"include": "gossip"}).json()["errors"][0]["name"] == "include"
    told = client.get("/risk/values", params={"res": 8}).json()
    rows = client.get("/risk", params={"res": 8}).json()["cells"]
    assert told["rank"] == [row["rank"] for row in rows]
    assert told["expected"] == pytest.approx([row["expected"] for row in rows], rel=1e-3)
