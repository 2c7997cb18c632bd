"""Of an hour that the clocks skip or repeat the row's order decides; a day without a time decides nothing."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from gis.importing.times import in_order

LIFE = ("occurred_at", "reported_at")
STAMP = pa.timestamp("us", "UTC")


def at(text: str | None) -> pa.Array:
    moment = text and datetime.fromisoformat(text).replace(tzinfo=UTC)
    return pa.array([moment or None], STAMP)


@pytest.mark.parametrize("is_day", [True, False])
def test_the_day_of_a_report_does_not_turn_a_skipped_hour_back(*, is_day: bool) -> None:
    """New York, 9 March 2025, 02:30: 07:30 UTC as the clock before has it, 06:30 as the one after."""
    columns = {"occurred_at": at("2025-03-09T07:30"), "reported_at": at("2025-03-09T05:00")}
    others = {"occurred_at": at("2025-03-09T06:30"), "reported_at": at(None)}
    dated = {"reported_at": np.array([is_day])}
    found = in_order(columns, others, LIFE, dated)
    hour = found["occurred_at"][0].as_py().hour
    assert hour == (7 if is_day else 6), "a report at midnight sharp comes before either reading"
    assert found["reported_at"][0].as_py().hour == 5


def test_a_report_between_the_readings_decides() -> None:
    columns = {"occurred_at": at("2025-11-02T06:30"), "reported_at": at("2025-11-02T06:00")}
    others = {"occurred_at": at("2025-11-02T05:30"), "reported_at": at(None)}
    found = in_order(columns, others, LIFE, {})
    assert found["occurred_at"][0].as_py().hour == 5
