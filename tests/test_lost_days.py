"""Two days without any record in a city that is never quiet are lost, not quiet, in every answer."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from gis.cells import index
from gis.grids import Wish, resolve
from gis.record_span import incident_span
from gis.schema import batches, incidents
from layers.emergence import emerging
from layers.view import View
from tests import town

FIRST, DAY = datetime(2025, 1, 1, tzinfo=town.ZONE), timedelta(days=1)
DAYS, A_DAY = 200, 24
LOST = (150, 151)
QUESTIONS = ("/changes", "/situation", "/profiles", "/hotspots", "/repeat-places")


@pytest.fixture(scope="module", autouse=True)
def recorded(engine: Engine) -> None:
    """An incident every hour, but on two days."""
    places = [town.at(1 + number % 5, 1 + number % 4) for number in range(DAYS * A_DAY)]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for first, end in ((0, LOST[0]), (LOST[-1] + 1, DAYS)):
            some = places[first * A_DAY : end * A_DAY]
            town.add_incidents(conn, batch, some, first=FIRST + first * DAY, apart=DAY / A_DAY)


def _ask(client: TestClient, path: str, first: int, end: int) -> dict[str, Any]:
    period = {"from": (FIRST + first * DAY).isoformat(), "to": (FIRST + end * DAY).isoformat()}
    answer = client.get(path, params=period)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_span_has_the_gap(conn: Connection) -> None:
    runs = [(since - FIRST) / DAY for run in incident_span(conn).recorded for since in run]
    assert runs == [0, LOST[0], LOST[-1] + 1, DAYS]


@pytest.mark.parametrize("path", QUESTIONS)
def test_answers_name_the_lost_days(client: TestClient, path: str) -> None:
    assert _ask(client, path, 120, 148)["unrecorded"] is None
    assert _ask(client, path, 140, 168)["unrecorded"]["inside"] == len(LOST)


def test_nothing_fell_for_lost_days(client: TestClient) -> None:
    across = _ask(client, "/changes", 145, 155)
    assert across["before"] is None
    assert _ask(client, "/changes", 155, 165)["before"] is None, "the ten days before hold them"
    assert _ask(client, "/situation", 145, 155)["tested"] is False
    slots = [row["slots"] for row in _ask(client, "/profiles", 145, 155)["rows"] if row["kind"] == "hour"]
    assert slots == [8.0] * 24


def test_the_forecast_is_of_the_recorded_days(client: TestClient) -> None:
    told = client.get("/risk", params={"horizon_days": 10}).json()
    assert told["expected_total"] == pytest.approx(10 * A_DAY, rel=0.005)


@pytest.mark.parametrize(
    ("end", "steps", "step_days", "left_out"),
    [
        (200, 12, 14, [8]), (200, 11, 14, [7]), (156, 12, 12, [11]), (186, 15, 12, [12]),
        (161, 16, 10, [14, 15]), (200, 20, 7, [12, 13]),
    ],
)  # fmt: skip
def test_a_step_that_meets_the_gap_is_left_out_and_those_around_it_count(
    client: TestClient, end: int, steps: int, step_days: int, left_out: list[int]
) -> None:
    query = {"to": (FIRST + end * DAY).isoformat(), "steps": steps, "step_days": step_days}
    told = client.get("/emerging", params=query).json()
    begins = [end - (steps - one) * step_days for one in range(steps) if one not in left_out]
    assert [datetime.fromisoformat(one) for one in told["step_starts"]] == [
        FIRST + day * DAY for day in begins
    ]
    assert (told["steps"], told["asked"]) == (steps - len(left_out), steps)


def test_too_few_steps_around_the_gap_are_refused(client: TestClient) -> None:
    query = {"to": (FIRST + DAYS * DAY).isoformat(), "steps": 10, "step_days": 10}
    refused = client.get("/emerging", params=query)
    assert refused.status_code == 422
    assert "9 of the 10 steps" in refused.text


def test_counts_are_those_of_the_recorded_steps(conn: Connection) -> None:
    """A place that gets busy before the gap is hot across it; the step of the gap is nowhere."""
    hot = town.at(4.5, 0.5)
    batch = conn.execute(sa.select(batches.c.id)).scalar_one()
    for start, end in ((130, LOST[0]), (LOST[-1] + 1, DAYS)):
        town.add_incidents(conn, batch, [hot] * (4 * (end - start)), first=FIRST + start * DAY, apart=DAY / 4)
    asked = resolve(conn, Wish())
    view = View(asked.scheme, asked.on, asked.known, end=FIRST + DAYS * DAY)
    found = emerging(conn, view, 9, 19, 10)
    assert found.steps == 18
    cell = index(*(np.array([value]) for value in hot), 9)[0]
    (row,) = np.flatnonzero(found.cells == cell)
    assert (found.kind[row], found.side[row]) == ("consecutive", 1)
    assert (found.state[row] == 1).tolist() == [False] * 12 + [True] * 6
    i = incidents.c
    held = [
        conn.execute(
            sa.select(sa.func.count()).where(
                i.cell_9 == int(cell), i.occurred_at >= one, i.occurred_at < one + 10 * DAY
            )
        ).scalar_one()
        for one in found.starts
    ]
    assert found.counts[row].tolist() == held
