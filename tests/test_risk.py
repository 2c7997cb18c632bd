"""Risk over the store: expectation from places' own counts, told with its interval and its skill."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from pyproj import Geod
from sqlalchemy.engine import Connection, Engine

from gis import cells, schema
from gis.errors import NotFound
from layers.risk import LEFT_OUT, risk
from layers.risk_past import past_of
from layers.served import served
from layers.stats.forecast import baseline
from layers.view import View
from tests import town

VIEW = View("safety", date(2025, 6, 1), 1)


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """The town with 200 days, an incident every four hours, every second of them at one corner."""
    rng = np.random.default_rng(21)
    places = [
        town.at(*rng.uniform((4.4, 0.4), (4.6, 0.6)) if n % 2 else rng.uniform((0, 0), (6, 5)))
        for n in range(1200)
    ]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, places, apart=timedelta(hours=4))


def test_the_corner_ranks_first_and_totals_follow_the_rate(conn: Connection) -> None:
    found = risk(conn, VIEW, 9, 10)
    corner = cells.index(*(np.array([value]) for value in town.at(4.5, 0.5)), 9)[0]
    assert corner in found.cells[found.rank <= 3]
    assert found.expected.sum() == pytest.approx(60, rel=0.1), "six a day for ten days"
    (low, high), (low95, high95) = found.intervals
    assert (low <= high).all()
    assert ((low95 <= low) & (high <= high95)).all(), "the wider interval holds the narrower"
    assert sorted(found.rank) == list(range(1, len(found.cells) + 1))
    live = found.skill.pai("live")["0.05"]
    assert live
    assert live > 2


def test_skill_is_that_of_a_recount(conn: Connection) -> None:
    """Every forecast held against what came, by hand: hits over the share flagged, and over the best."""
    found = risk(conn, VIEW, 9, 10).skill
    of = served(conn, 9, VIEW)
    past = past_of(conn, VIEW, 9, of.cells, LEFT_OUT)
    last = int(past.observed[-1]) + 1
    starts = [last - 30 * k for k in range(1, 13) if last - 30 * k - int(past.observed[0]) >= 60]
    assert found.origins == len(starts) == 4
    drawn = shapely.union_all(list(town.draw().values()))
    whole = abs(Geod(ellps="sphere").geometry_area_perimeter(drawn)[0])
    assert found.area_m2 == pytest.approx(whole, rel=1e-3)
    whole = found.area_m2
    hits = best = total = shares = 0.0
    for start in starts:
        mean, came = baseline(past, start, 30).mean, past.counts(start, start + 30)
        for score, kept in ((mean, True), (came, False)):
            order = np.argsort(-score / of.inside_m2, kind="stable")
            area = np.cumsum(of.inside_m2[order]) / whole
            some = order[: np.abs(area - 0.05).argmin() + 1]
            hits, best = (hits + came[some].sum(), best) if kept else (hits, best + came[some].sum())
            shares += of.inside_m2[some].sum() / whole if kept else 0
        total += came.sum()
    measured = {(each.model, each.share): each for each in found.measured}[("baseline", 0.05)]
    assert measured.pai[0] == pytest.approx(hits / total / (shares / 4))
    assert measured.pei[0] == pytest.approx(hits / best)
    assert measured.pai[1:] == (None, None), "four forecasts tell of no interval"


@pytest.mark.parametrize("asked", [{}, {"area": "T1"}, {"area": "T2e"}, {"colour": "blue"}])
def test_skill_is_of_the_same_area_at_every_size(client: TestClient, asked: dict[str, str]) -> None:
    """Hexagons of small sizes hold less and less of the town; 1 % stays 1 % of it."""
    answers = [client.get("/risk", params=asked | {"res": res}).json()["skill"] for res in (7, 8, 9, 10)]
    assert {answer["of"] for answer in answers} == {asked.get("area", "city")}
    assert len({answer["area_km2"] for answer in answers}) == 1


def test_without_grids_skill_says_what_it_is_of(conn: Connection) -> None:
    """As before the first grids are drawn: the view's day lies before they came into force."""
    early = replace(VIEW, on=date(2020, 1, 1))
    found = risk(conn, early, 9, 10).skill
    assert not found.is_bounded
    assert found.area_m2 == pytest.approx(served(conn, 9, early).inside_m2.sum())


def test_patrols_are_left_out_unless_asked_for(conn: Connection) -> None:
    conn.execute(schema.incidents.update().where(schema.incidents.c.id % 3 == 0).values(source="patrol"))
    found = risk(conn, VIEW, 8, 7)
    assert (found.trained_on, found.left_out) == (800, 400)
    asked = risk(conn, View("safety", date(2025, 6, 1), 1, source="patrol"), 8, 7)
    assert (asked.trained_on, asked.left_out) == (400, 0)


def test_nothing_to_learn_from_is_told(conn: Connection) -> None:
    with pytest.raises(NotFound, match="no incident to learn from"):
        risk(conn, View("safety", date(2025, 6, 1), 1, categories=("02",)), 8, 7)


def test_risk_over_http(client: TestClient) -> None:
    told = client.get("/risk", params={"horizon_days": 7, "res": 8}).json()
    assert told["model"] == "all counts so far"
    assert {"cell", "expected", "low", "high", "baseline", "rank"} <= told["cells"][0].keys()
    assert client.get("/risk", params={"horizon_days": 0}).status_code == 422
    assert client.get("/risk", params={"category": "02"}).status_code == 404


@pytest.mark.parametrize("parts", [["T1", "T2"], ["T1a", "T1b", "T1c", "T2d", "T2e"]])
def test_areas_add_up_to_the_city(conn: Connection, parts: list[str]) -> None:
    """Whatever is asked of incidents; the hole belongs to nobody, and no incident lies in it."""
    i = schema.incidents
    hole = town.at(3, 2), town.at(4, 3)
    box = sa.func.ST_MakeEnvelope(hole[0][0], hole[1][1], hole[1][0], hole[0][1], 4326)
    conn.execute(i.update().where(sa.func.ST_Intersects(i.c.geom, box)).values(state="withdrawn"))
    conn.execute(i.update().where(i.c.id % 7 == 0).values(colour="red"))
    conn.execute(i.update().where(i.c.id % 5 == 0).values(source="patrol"))
    for asked in (VIEW, replace(VIEW, colour="red"), replace(VIEW, source="patrol")):
        city = risk(conn, asked, 8, 30)
        sums = [risk(conn, replace(asked, area=part), 8, 30).expected.sum() for part in parts]
        assert sum(sums) == pytest.approx(city.expected.sum(), rel=1e-9)


def test_a_quiet_area_is_not_thought_busy(conn: Connection) -> None:
    """Days on which a grid holds nothing are days on which nothing happened there."""
    i = schema.incidents
    box = sa.func.ST_MakeEnvelope(*town.at(0, 5), *town.at(3, 3), 4326)
    few = sa.select(i.c.id).where(sa.func.ST_Intersects(i.c.geom, box)).order_by(i.c.id).limit(10)
    conn.execute(
        i.update().where(sa.func.ST_Intersects(i.c.geom, box), i.c.id.not_in(few)).values(state="withdrawn")
    )
    found = risk(conn, replace(VIEW, area="T2d"), 8, 30)
    assert found.trained_on == 10
    assert found.expected.sum() == pytest.approx(10 * 30 / 200, rel=0.35), "ten in 200 days"
    assert found.start == risk(conn, VIEW, 8, 30).start, "the horizon begins where the city's records end"


@pytest.mark.parametrize(
    ("asked", "inside"),
    [
        ({}, {"state": "withdrawn"}),
        ({"colour": "red"}, {"colour": "blue"}),
        ({"categories": ("01",)}, {"category": "02"}),
        ({"source": "citizen"}, {"source": "patrol"}),
    ],
)
def test_nothing_is_expected_where_nothing_happened_but_not_for_sure(
    conn: Connection, asked: dict[str, Any], inside: dict[str, str]
) -> None:
    """The grid is there, and quiet all along: the interval is of the rates that 200 quiet days leave open."""
    i, view = schema.incidents, replace(VIEW, **asked)
    conn.execute(i.update().values(colour="red", category="01", source="citizen"))
    box = sa.func.ST_MakeEnvelope(*town.at(0, 5), *town.at(3, 3), 4326)
    conn.execute(i.update().where(sa.func.ST_Intersects(i.c.geom, box)).values(**inside))
    found = risk(conn, replace(view, area="T2d"), 8, 60)
    assert (found.trained_on, found.total, found.expected.sum(), found.baseline.sum()) == (0, 0, 0, 0)
    rng = np.random.default_rng(3)
    came = rng.poisson(rng.gamma(0.5, 60 / 200, 200_000))
    assert found.total_intervals == [(0, np.quantile(came, each)) for each in (0.9, 0.975)]
    assert found.total_intervals[1][1] > 0
    city, t1, t2e = (risk(conn, replace(view, area=code), 8, 60).total for code in ("T", "T1", "T2e"))
    assert t1 + t2e == pytest.approx(city, rel=1e-9)


def test_the_total_has_an_interval(conn: Connection) -> None:
    found = risk(conn, VIEW, 8, 10)
    (low, high), (low95, high95) = found.total_intervals
    assert low95 <= low < found.total < high <= high95
    assert found.total == pytest.approx(found.expected.sum())


@pytest.mark.parametrize(
    "asked", [{}, {"area": "T1"}, {"colour": "blue"}, {"category": "01"}, {"source": "citizen"}]
)
def test_the_interval_of_the_whole_is_the_same_at_every_resolution(
    client: TestClient, asked: dict[str, str]
) -> None:
    names = ("total_low", "total_high", "total_low95", "total_high95")
    answers = [client.get("/risk", params=asked | {"res": res, "horizon_days": 30}) for res in range(6, 11)]
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert len({tuple(answer.json()[name] for name in names) for answer in answers}) == 1
