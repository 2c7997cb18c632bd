"""Counts of changes, situation and repeat places are those of plain SQL, whatever is filtered by."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access
from tests import town

SEED, QUESTIONS, NUMBER = 20261129, 12, 900
FIRST, DAYS = datetime(2024, 2, 1, tzinfo=town.ZONE), 500
AREAS = (None, "T", "T1", "T2", "T1c", "T2d")
CATEGORIES = {None: ("01", "0101", "0102", "02"), "01": ("01", "0101", "0102"), "0102": ("0102",)}
FILTERS = {None: "true", "source <> 'patrol' AND colour = 'blue'": "source <> 'patrol' AND colour = 'blue'"}
Asked = dict[str, Any]
Count = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Two incidents a day in a town of 60 houses, some withdrawn, of all kinds, sources and colours."""
    rng = np.random.default_rng(SEED)
    houses = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (60, 2))]
    places = [
        houses[rng.integers(len(houses))] if at < 0.5 else town.at(*rng.uniform((0, 0), (6, 5)))
        for at in rng.random(NUMBER)
    ]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T2d")
        for number, house in enumerate(houses):
            town.add_building(conn, batch, f"松树路{number}号", house)
        town.add_incidents(conn, batch, places, first=FIRST, apart=timedelta(days=DAYS) / NUMBER)
        for column, some in {
            "category": ["01", "0101", "0102", "02"], "source": ["citizen", "patrol", "sensor"],
            "colour": ["blue", "yellow", "red"], "state": ["reported", "closed", "withdrawn"],
        }.items():  # fmt: skip
            change = sa.text(f"UPDATE incidents SET {column} = :value WHERE origin_id = :id")
            values = [{"value": str(rng.choice(some)), "id": str(n)} for n in range(NUMBER)]
            conn.execute(change, values)


@pytest.fixture(scope="module")
def asker(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(app, "http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str | None, Asked]:
    with engine.begin() as conn:
        made = {
            scope: access.create_key(conn, "commander", scope, scheme="safety", label="desk").key
            for scope in (None, "T1", "T2")
        }
    return {scope: {"Authorization": f"Bearer {key}"} for scope, key in made.items()}


@pytest.fixture
def counted(engine: Engine) -> Iterator[Callable[[Asked, str | None], Count]]:
    """Count by plain SQL: a place belongs to the grid whose polygon covers it (none lies on a border)."""
    with engine.connect() as conn:

        def of(query: Asked, scope: str | None) -> Count:
            chosen = {"c": list(CATEGORIES[query.get("category")])}
            plain = [f"{name} = :{name}" for name in ("source", "colour") if name in query]
            plain += [FILTERS[query.get("filter")], "category = ANY(:c)", "state <> 'withdrawn'"]

            def count(start: str, end: str, *codes: str | None, more: str = "true") -> int:
                inside = [code for code in (*codes, query.get("area"), scope) if code]
                covered = " AND ".join(
                    f"EXISTS (SELECT FROM grids WHERE code = :g{n} AND ST_Covers(grids.geom, incidents.geom))"
                    for n in range(len(inside))
                )
                text = f"""
                    SELECT count(*) FROM incidents WHERE occurred_at >= CAST(:start AS timestamptz)
                    AND occurred_at < CAST(:end AS timestamptz)
                    AND {" AND ".join([*plain, covered or "true", more])}"""
                given = query | chosen | {"start": start, "end": end}
                given |= {f"g{n}": code for n, code in enumerate(inside)}
                return int(conn.execute(sa.text(text), given).scalar_one())

            return count

        yield of


def _questions() -> list[tuple[Asked, str | None]]:
    """Draw questions: a scope asks about areas that it holds."""
    rng = np.random.default_rng(SEED)
    drawn: list[tuple[Asked, str | None]] = []
    while len(drawn) < QUESTIONS:
        scope = (None, "T1", "T2")[rng.integers(3)]
        begin = FIRST + timedelta(days=int(rng.integers(200, 400)))
        end = begin + timedelta(days=int(rng.integers(10, 60)))
        asked = {
            "from": f"{begin:%Y-%m-%d}", "to": f"{end:%Y-%m-%d}",
            "area": AREAS[rng.integers(len(AREAS))], "category": list(CATEGORIES)[rng.integers(3)],
            "source": (None, None, "citizen", "patrol")[rng.integers(4)],
            "colour": (None, None, "red")[rng.integers(3)], "filter": list(FILTERS)[rng.integers(2)],
            "provisional": "included",
        }  # fmt: skip
        if scope is None or asked["area"] is None or str(asked["area"]).startswith(scope):
            drawn.append(({name: value for name, value in asked.items() if value is not None}, scope))
    return drawn


@pytest.mark.parametrize(("query", "scope"), _questions())
def test_counts_are_those_of_plain_sql(
    asker: TestClient,
    keys: dict[str | None, Asked],
    counted: Callable[[Asked, str | None], Count],
    query: Asked,
    scope: str | None,
) -> None:
    count = counted(query, scope)

    def answer(path: str, **more: Any) -> Any:
        got = asker.get(path, params=query | more, headers=keys[scope])
        assert got.status_code == 200, got.text
        return got.json()

    situation, level = answer("/situation", categories="all"), answer("/changes", level=3)
    places, cells = answer("/repeat-places"), answer("/changes", res=8)
    ends = situation["start"], situation["end"]
    total = count(*ends)
    assert {level["now"], cells["now"], places["incidents"]} == {total}
    for row in situation["situation"]:
        of = CATEGORIES.get(row["category"], (row["category"],))
        within = "category IN ({})".format(", ".join(f"'{code}'" for code in of))
        assert row["count"] == count(*ends, row["code"], more=within), row
        if row["before"] is not None:
            before = f"{datetime.fromisoformat(ends[0]) - _lasting(*ends)}", ends[0]
            assert row["before"] == count(*before, row["code"], more=within), row
    for row in level["rows"]:
        assert row["now"] == count(*ends, row["code"]), row
        for name in ("before", "year", "weekdays", "festival"):
            if (then := level[name]) is not None:
                assert row[name] == count(then["start"], then["end"], row["code"]), (name, row)
    assert sum(row["now"] for row in cells["rows"]) == total
    assert places["without_place"] + sum(row["count"] for row in places["rows"]) <= total


def _lasting(start: str, end: str) -> timedelta:
    return datetime.fromisoformat(end) - datetime.fromisoformat(start)
