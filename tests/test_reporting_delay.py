"""Days that reports are still filling up: known from the observed delay, left out of tests, and told."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from gis import schema
from gis.record_span import Span
from gis.reporting_delay import Delay, reporting_delay
from layers.provisional import settled_part
from layers.view import View
from tests import town

FIRST, DAYS = datetime(2024, 1, 1, tzinfo=town.ZONE), 420
LAST = FIRST + timedelta(days=DAYS)
"""The record is as of the end of that day."""


@pytest.fixture(scope="module", autouse=True)
def reported_late(engine: Engine) -> None:
    """Five a day, half of them reported at once and half after up to six days; what is later is missing."""
    rng = np.random.default_rng(3)
    number = 5 * DAYS
    places = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (number, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, places, first=FIRST, apart=timedelta(days=1) / 5)
        i = schema.incidents.c
        ids = conn.execute(sa.select(i.id).order_by(i.occurred_at)).scalars().all()
        late = np.where(rng.random(number) < 0.5, 0, rng.uniform(0, 6, number))
        for one, days in zip(ids, late.tolist(), strict=True):
            waited = sa.update(schema.incidents).where(i.id == one)
            conn.execute(waited.values(reported_at=i.occurred_at + timedelta(days=days)))
        conn.execute(sa.delete(schema.incidents).where(i.reported_at > LAST))


def test_the_delay_is_the_one_that_was_drawn(conn: Connection) -> None:
    found = reporting_delay(conn)
    assert found
    usual = found.usual / timedelta(days=1)
    assert usual == pytest.approx(6 * 0.8, abs=0.2), (
        "nine of ten: half at once, four fifths of the other half"
    )
    assert found.settled == LAST - timedelta(days=5)


def test_days_still_filling_up_are_left_out_and_told(client: TestClient) -> None:
    period = {"from": str((LAST - timedelta(days=28)).date()), "to": str(LAST.date())}
    for path in ("/hotspots", "/hotspots/values", "/changes", "/situation", "/profiles", "/near-repeat"):
        told = client.get(path, params=period).json()
        late = told["provisional"]
        assert late["since"] == "2025-02-19T00:00:00+08:00", path
        assert late["left_out"] is True
        assert late["delay_days"] == pytest.approx(4.8, abs=0.2)
        if "end" in told:
            assert told["end"] == late["since"], path
        every = client.get(path, params=period | {"provisional": "included"}).json()
        assert every["provisional"] == late | {"left_out": False}
    apart = [
        client.get("/hotspots", params=period | extra).json() for extra in ({}, {"provisional": "included"})
    ]
    assert apart[1]["incidents"] - apart[0]["incidents"] == late["incidents"] > 0


def test_a_complete_record_has_no_provisional_days(client: TestClient) -> None:
    before = {"from": "2024-06-01", "to": "2024-07-01"}
    told = client.get("/hotspots", params=before).json()
    assert told["provisional"] is None
    assert told["end"] == "2024-07-01T00:00:00+08:00"
    only = {"from": str((LAST - timedelta(days=2)).date()), "to": str(LAST.date())}
    told = client.get("/changes", params=only).json()
    assert told["provisional"]["left_out"] is False, "a period of such days alone is answered, and told"
    assert told["end"] == "2025-02-24T00:00:00+08:00"


def test_emergence_and_the_last_days_stop_where_the_record_is_whole(client: TestClient) -> None:
    told = client.get("/emerging", params={"steps": 10, "step_days": 7}).json()
    assert told["end"] == told["provisional"]["since"] == "2025-02-19T00:00:00+08:00"
    assert client.get("/situation").json()["end"] == "2025-02-19T00:00:00+08:00"


def test_reports_at_once_leave_nothing_out(conn: Connection) -> None:
    i = schema.incidents.c
    conn.execute(sa.update(schema.incidents).values(reported_at=i.occurred_at + timedelta(hours=3)))
    assert reporting_delay(conn) is None
    conn.execute(sa.update(schema.incidents).values(occurred_precision="day"))
    conn.execute(sa.update(schema.incidents).values(reported_at=i.occurred_at + timedelta(hours=23)))
    assert reporting_delay(conn) is None, "known by the day: reported on the same one"
    conn.rollback()


def test_nothing_is_cut_from_what_has_no_other_days() -> None:
    span = Span(delay=Delay(timedelta(days=5), LAST - timedelta(days=5)))
    view = View("safety", LAST.date(), 1, start=LAST - timedelta(days=9), end=LAST)
    assert settled_part(view, span).end == LAST - timedelta(days=5)
    assert settled_part(replace(view, start=LAST - timedelta(days=5)), span).end == LAST
    assert settled_part(replace(view, provisional=True), span).end == LAST
