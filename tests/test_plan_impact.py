"""The impact told before approval is what a full count of the city finds after publishing, to the object."""

from collections.abc import Iterator

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import db, grids, locate, plans, publishing, schema
from gis.access import COMMAND, Principal, enter
from gis.grids import Asked, Wish
from gis.plan_impact import OVER, Impact
from tests.steps import take_steps

PLANNER = Principal("planner", name="planner", full_role="planner")
CHIEF = Principal("approver", name="chief", full_role="approver")
TABLES = {
    "buildings": (schema.buildings, schema.buildings.c.point),
    "cameras": (schema.cameras, schema.cameras.c.geom),
    "places": (schema.places, schema.places.c.point),
    "incidents": (schema.incidents, schema.incidents.c.geom),
}


@pytest.fixture(scope="module")
def city(demo: str) -> Iterator[Engine]:
    made = db.make_engine(demo)
    yield made
    made.dispose()


@pytest.fixture
def conn(city: Engine) -> Iterator[Connection]:
    with city.connect() as connection:
        enter(connection, COMMAND)
        yield connection
        connection.rollback()


def owners(conn: Connection, asked: Asked, geom: sa.Column[object]) -> dict[int, str]:
    """Every object's lowest grid, by the whole map."""
    g = schema.grids.c
    deepest = sa.select(sa.func.max(g.level)).where(grids.current(asked)).scalar_subquery()
    rows = conn.execute(
        sa.select(g.code, sa.func.ST_AsBinary(g.geom)).where(grids.current(asked), g.level == deepest)
    ).all()
    codes = [row[0] for row in rows]
    alive = [geom.table.c.state.not_in(OVER)] if geom.table.name == "incidents" else []
    places = conn.execute(
        sa.select(geom.table.c.id, sa.func.ST_X(geom), sa.func.ST_Y(geom)).where(geom.is_not(None), *alive)
    ).all()
    ids, lon, lat = np.array(places, dtype=float).T
    found, _ = locate.locate(shapely.from_wkb([bytes(row[1]) for row in rows]), codes, lon, lat)
    return dict(zip(ids.astype(int).tolist(), np.array([*codes, ""], dtype=object)[found], strict=True))


def drafted(conn: Connection, steps: int) -> int:
    """A draft of random steps of every kind over the whole city."""
    top = conn.execute(sa.select(schema.grids.c.code).where(schema.grids.c.parent_code.is_(None))).scalar()
    assert top
    plan = plans.create(conn, PLANNER, top, "t", None, None).id
    take_steps(conn, PLANNER, plan, steps, seed=3, size=500)
    return plan


def test_impact_equals_the_full_count_after_publishing(conn: Connection) -> None:
    plan = drafted(conn, 25)
    plans.submit(conn, plan)  # from here on new grids have the codes that they are published with
    told = Impact(conn, plans.draft(conn, plan))
    moved, counts, workload = told.moved, told.counts(), told.workload()
    assert counts["buildings"] > 20
    asked = grids.resolve(conn, Wish())
    before = {name: owners(conn, asked, geom) for name, (_, geom) in TABLES.items()}
    plans.approve(conn, CHIEF, plan)
    publishing.publish(conn, plan)
    asked = grids.resolve(conn, Wish())
    for name, (_, geom) in TABLES.items():
        after = owners(conn, asked, geom)
        pairs = {one: (before[name][one], owner) for one, owner in after.items()}
        wanted = {one: pair for one, pair in pairs.items() if pair[0] != pair[1]}
        mine = moved[moved["layer"] == name]
        assert dict(zip(mine["id"], zip(mine["before"], mine["after"], strict=True), strict=True)) == wanted
        assert counts[name] == len(wanted)
    _check_workload(conn, asked, workload)


def _check_workload(conn: Connection, asked: Asked, workload: list[dict]) -> None:
    b = schema.buildings.c
    homes = dict(conn.execute(sa.select(b.id, sa.func.coalesce(b.households, 0))).all())
    sums: dict[str, int] = {}
    for one, code in owners(conn, asked, schema.buildings.c.point).items():
        sums[code] = sums.get(code, 0) + homes[one]
    assert workload
    for row in workload:
        if row["after"] is None:
            assert row["code"] not in sums
        else:
            assert row["after"]["households"] == sums.get(row["code"], 0)
