"""One incident added, corrected, moved through its life and withdrawn; counts by cell always follow."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from gis import cells, crs, incidents
from gis.errors import BadInput, NotFound, OtherRequest
from gis.incidents import NEXT, Report
from gis.schema import incidents as table
from gis.schema import transitions
from tests import town

WHEN = datetime(2024, 5, 6, 2, 0, tzinfo=UTC)


@pytest.fixture
def store(conn: Connection) -> Connection:
    """The town with its categories."""
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def report(**changes: Any) -> Report:
    lon, lat = town.at(1, 1)
    return Report(
        **({"category": "0101", "source": "citizen", "occurred_at": WHEN, "lon": lon, "lat": lat} | changes)
    )


def row(conn: Connection, number: int) -> Any:
    place = (sa.func.ST_X(table.c.geom).label("x"), sa.func.ST_Y(table.c.geom).label("y"))
    return conn.execute(sa.select(table, *place).where(table.c.id == number)).one()


def test_an_incident_gets_a_code_its_cells_and_its_owner(store: Connection) -> None:
    number = incidents.add(store, report())
    got = row(store, number)
    assert re.fullmatch(r"20240506-\d{10}", got.code)
    assert (got.grid_code, got.state, got.reported_at, got.batch_id) == ("T1a", "reported", WHEN, None)
    stamped = cells.stamp(np.array([got.x]), np.array([got.y]))
    assert {res: getattr(got, f"cell_{res}") for res in stamped} == {
        res: int(of[0]) for res, of in stamped.items()
    }
    covering = sa.text("SELECT count(*) FROM cells WHERE ST_Covers(geom, ST_Point(:x, :y, 4326))")
    assert store.execute(covering, {"x": got.x, "y": got.y}).scalar_one() == len(cells.RESOLUTIONS)


def test_a_place_in_another_datum_is_shifted_and_remembered(store: Connection) -> None:
    lon, lat = crs.point_from_wgs84(*town.at(1, 1), "gcj02")
    got = row(store, incidents.add(store, report(lon=lon, lat=lat, datum="gcj02")))
    assert (got.x, got.y) == pytest.approx(town.at(1, 1), abs=1e-8)
    assert got.datum == "gcj02"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"category": "nope"}, "category"),
        ({"source": "rumour"}, "source"),
        ({"colour": "pink"}, "colour"),
        ({"occurred_at": datetime(1900, 1, 1, tzinfo=UTC)}, "occurred_at"),
        ({"reported_at": WHEN - timedelta(days=1)}, "reported_at"),
        ({"lon": float("nan")}, "lon"),
        ({"lon": 27.0, "lat": 113.0}, "lon/lat"),
        ({"lon": 121.5, "lat": 31.2}, "lon/lat"),
        ({"datum": "mars"}, "datum"),
    ],
)
def test_what_an_import_refuses_is_refused_here(
    store: Connection, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as caught:
        incidents.add(store, report(**changes))
    assert caught.value.field == field
    assert store.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0


def test_a_code_and_an_id_are_given_once(store: Connection) -> None:
    incidents.add(store, report(code="A", origin_id="1"))
    with pytest.raises(BadInput, match="code"):
        incidents.add(store, report(code="A"))
    with pytest.raises(OtherRequest, match="origin_id"):
        incidents.add(store, report(origin_id="1", code="B"))
    with pytest.raises(OtherRequest, match="another colour, description;"):
        incidents.add(store, report(origin_id="1", colour="red", description="x"))


def test_the_life_of_an_incident(store: Connection) -> None:
    number = incidents.add(store, report())
    steps = ["dispatched", "handling", "verifying", "handling", "verifying", "closed"]
    for hour, state in enumerate(steps, start=1):
        incidents.transition(store, number, state, at=WHEN + timedelta(hours=hour))
    got = row(store, number)
    assert (got.state, got.responded_at, got.closed_at) == (
        "closed",
        WHEN + timedelta(hours=2),
        WHEN + timedelta(hours=6),
    )
    told = store.execute(sa.select(transitions.c.to_state).order_by(transitions.c.id)).scalars().all()
    assert told == ["reported", *steps]
    with pytest.raises(BadInput, match="goes to nowhere"):
        incidents.withdraw(store, number, "too late")


def test_steps_are_taken_in_order_and_forward_in_time(store: Connection) -> None:
    number = incidents.add(store, report())
    with pytest.raises(BadInput, match="dispatched, withdrawn"):
        incidents.transition(store, number, "closed")
    with pytest.raises(BadInput, match="before the last step"):
        incidents.transition(store, number, "dispatched", at=WHEN - timedelta(hours=1))
    with pytest.raises(NotFound):
        incidents.transition(store, number + 1, "dispatched")


def test_a_correction_moves_cells_and_owner_and_is_recorded(store: Connection) -> None:
    number = incidents.add(store, report())
    before = row(store, number)
    lon, lat = town.at(4, 4)
    incidents.correct(store, number, {"lon": lon, "lat": lat})
    after = row(store, number)
    assert (after.grid_code, after.code) == ("T2e", before.code)
    assert after.cell_10 != before.cell_10
    incidents.correct(store, number, {"category": "02"}, "wrong category")
    assert (row(store, number).x, row(store, number).category) == (after.x, "02")
    with pytest.raises(BadInput, match="cannot be corrected"):
        incidents.correct(store, number, {"state": "closed"})
    incidents.withdraw(store, number, "never happened")
    with pytest.raises(BadInput, match="withdrawn"):
        incidents.correct(store, number, {"category": "01"})


_PLACE = st.tuples(st.floats(0.05, 5.95), st.floats(0.05, 4.95))
_OPERATION = st.one_of(
    st.tuples(st.just("add"), _PLACE),
    st.tuples(st.just("correct"), _PLACE),
    st.tuples(st.just("move"), st.sampled_from(sorted(NEXT))),
)


def _act(conn: Connection, numbers: list[int], what: str, how: Any, pick: int) -> None:
    if what == "add" or not numbers:
        lon, lat = town.at(*(how if what != "move" else (1, 1)))
        numbers.append(incidents.add(conn, report(lon=lon, lat=lat)))
    elif what == "correct":
        lon, lat = town.at(*how)
        incidents.correct(conn, numbers[pick % len(numbers)], {"lon": lon, "lat": lat})
    else:
        incidents.transition(conn, numbers[pick % len(numbers)], how)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # what an example did is rolled back
@given(st.lists(st.tuples(_OPERATION, st.integers(0, 9)), max_size=12))
def test_cells_count_the_live_incidents_whatever_happens(store: Connection, operations: list[Any]) -> None:
    example = store.begin_nested()
    numbers: list[int] = []
    for (what, how), pick in operations:
        with store.begin_nested() as savepoint:
            try:
                _act(store, numbers, what, how, pick)
            except BadInput:
                savepoint.rollback()
    live = sa.select(table.c.geom.ST_X(), table.c.geom.ST_Y()).where(table.c.state != "withdrawn")
    places = np.array(store.execute(live).all(), float).reshape(-1, 2)
    for res, stamped in cells.stamp(*places.T).items():
        column = table.c[f"cell_{res}"]
        counted = sa.select(column, sa.func.count()).where(table.c.state != "withdrawn").group_by(column)
        assert dict(map(tuple, store.execute(counted))) == Counter(stamped.tolist())
    example.rollback()
