"""What a whole expects its parts do, by category, source, colour and filter, also where some ended."""

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

DAY, DAYS, HORIZON, HALF = timedelta(days=1), 500, 30, 60
FIRST = datetime(2024, 1, 1, tzinfo=town.ZONE)
STRANDS: dict[tuple[str, str], tuple[float, int]] = {
    ("0101", "citizen"): (6, DAYS), ("0101", "sensor"): (3, 400), ("0102", "citizen"): (4, 430),
    ("0102", "sensor"): (2, 400), ("02", "citizen"): (2, DAYS), ("02", "sensor"): (0.008, 400),
    ("E", "citizen"): (0.1, DAYS), ("E", "sensor"): (0.012, 400), ("01", "citizen"): (0.01, DAYS),
}  # fmt: skip
"""Incidents a day by category and source, and how many days it went on: sensors and 0102 ended."""
CATEGORIES, SOURCES = ("0101", "0102", "02", "E"), ("citizen", "sensor")
ENDED = {"sensor": "2025-02-03", "0102": "2025-03-05"}


@pytest.fixture(scope="module")
def days(engine: Engine) -> dict[tuple[str, str], np.ndarray]:
    """Put the strands into the store; return on which days each of their incidents was. All lie in T1."""
    rng, i = np.random.default_rng(14), schema.incidents
    drawn = {strand: np.flatnonzero(rng.poisson(rate, end)) for strand, (rate, end) in STRANDS.items()}
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        conn.execute(
            schema.categories.insert(), [{"code": "E", "parent": None, "name_zh": "E", "name_en": "E"}]
        )
        for (category, source), on in drawn.items():
            for number, day in enumerate(on.tolist()):
                place = [town.at(*rng.uniform((0.2, 0.2), (2.8, 1.8)))]
                town.add_incidents(conn, batch, place, category, FIRST + day * DAY + DAY / 2)
                code = sa.select(sa.func.max(i.c.id)).scalar_subquery()
                colour = "red" if number % 5 == 0 else "blue"
                conn.execute(i.update().where(i.c.id == code).values(source=source, colour=colour))
    return drawn


@pytest.fixture(scope="module")
def asker(
    days: object, engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    assert days
    with engine.begin() as conn:
        made = [
            access.create_key(conn, "commander", scope, scheme="safety", label="desk").key
            for scope in (None, "T2")
        ]
    with TestClient(make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))) as client:
        client.headers["Authorization"] = f"Bearer {made[0]}"
        client.headers["X-Scoped"] = made[1]
        yield client


def ask(asker: TestClient, *, scoped: bool = False, **query: Any) -> dict[str, Any]:
    query = {"horizon_days": HORIZON, "res": 8, "include": "sensor", "to": "2025-05-15"} | query
    head = {"Authorization": f"Bearer {asker.headers['X-Scoped']}"} if scoped else {}
    answer = asker.get("/risk", params=query, headers=head)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def lasting(on: np.ndarray) -> float:
    """Return what a strand still adds to a whole that goes on: its incidents of late, by their age."""
    return float(
        HORIZON * (0.5 ** ((DAYS - on) / HALF)).sum() / (0.5 ** ((DAYS - np.arange(DAYS)) / HALF)).sum()
    )


@pytest.mark.parametrize("category", CATEGORIES)
def test_sources_of_a_category_add_up(
    asker: TestClient, days: dict[tuple[str, str], np.ndarray], category: str
) -> None:
    whole = ask(asker, category=category)
    parts = [ask(asker, category=category, source=source)["expected_total"] for source in SOURCES]
    left = 0 if whole["ended"] else lasting(days[category, "sensor"])
    assert sum(parts) + left == pytest.approx(whole["expected_total"], rel=0.01, abs=0.005)
    assert parts[1] == 0


@pytest.mark.parametrize("source", SOURCES)
def test_categories_of_a_source_add_up(
    asker: TestClient, days: dict[tuple[str, str], np.ndarray], source: str
) -> None:
    whole = ask(asker, source=source)
    parts = [ask(asker, category=category, source=source)["expected_total"] for category in ("01", "02", "E")]
    assert sum(parts) == pytest.approx(whole["expected_total"], rel=0.01)
    below = [ask(asker, category=category, source=source)["expected_total"] for category in ("0101", "0102")]
    left = 0 if source == "sensor" else lasting(days["0102", source]) + lasting(days["01", source])
    assert sum(below) + left == pytest.approx(parts[0], rel=0.01)
    assert whole["ended"] == ENDED.get(source)


@pytest.mark.parametrize(
    ("query", "ended"),
    [
        ({"category": category, "source": "sensor"}, "sensor") for category in (*CATEGORIES, "01")
    ] + [
        ({"category": "E", "source": "sensor", "colour": "red"}, "sensor"),
        ({"source": "sensor", "filter": "category = 'E'"}, "sensor"),
        ({"category": "E", "filter": "source = 'sensor'"}, "sensor"),
        ({"filter": "source = 'sensor' AND category = 'E'"}, "sensor"),
        ({"category": "0102", "colour": "red"}, "0102"),
        ({"category": "0102", "filter": "colour = 'red'"}, "0102"),
    ],
)  # fmt: skip
def test_every_part_of_what_ended_is_0(asker: TestClient, query: dict[str, str], ended: str) -> None:
    found = ask(asker, **query)
    assert found["expected_total"] == found["total_low95"] == 0
    assert found["ended"] <= ENDED[ended]
    assert found["total_high95"] >= 0


def test_what_goes_on_is_no_part_of_what_ended(asker: TestClient) -> None:
    for query, colour in product(
        ({"category": "E"}, {"category": "01"}, {"source": "citizen"}), ("red", "blue")
    ):
        found = ask(asker, colour=colour, **query)
        assert found["ended"] is None
        assert found["expected_total"] > 0


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "category = 'E'"}, {"filter": "colour = 'red'"}, {"filter": "source = 'citizen'"},
        {"category": "02", "filter": "colour = 'red'"}, {"source": "citizen", "filter": "category = '0101'"},
    ],
)  # fmt: skip
def test_a_quiet_part_is_0_for_who_sees_it_alone(asker: TestClient, query: dict[str, str]) -> None:
    """The scoped commander of T2, where nothing ever was, reads what the whole city's one does of T2."""
    own, seen = ask(asker, scoped=True, **query), ask(asker, area="T2", **query)
    for name in ("expected_total", "total_low95", "total_high95", "trained_on", "ended"):
        assert own[name] == seen[name], name
    assert (own["expected_total"], own["trained_on"]) == (0, 0)


def test_what_the_whole_city_never_held_is_not_told(asker: TestClient) -> None:
    query = {"horizon_days": 30, "source": "patrol"}
    for head in ({}, {"Authorization": f"Bearer {asker.headers['X-Scoped']}"}):
        assert asker.get("/risk", params=query, headers=head).status_code == 404
    assert asker.get("/risk", params={"filter": "source = 'patrol'"}).status_code == 404
