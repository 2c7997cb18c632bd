"""Numbers side by side in a format have all their digits, or the text is none of it."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from gis.importing import times
from gis.importing.parsing import Rules

EARLY, LATEST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1900, 2100))
READ = [
    ("%m/%d/%Y %H%M", "03/05/2025 0130", "2025-03-05 01:30"),
    ("%m/%d/%Y %H%M", "3/5/2025 1015", "2025-03-05 10:15"),
    ("%m%d%Y", "01012025", "2025-01-01 00:00"),
    ("%Y%m%d %H%M%S", "20250305 123045", "2025-03-05 12:30:45"),
    ("%d-%b-%Y %H:%M", "5-Mar-2025 1:30", "2025-03-05 01:30"),
    ("%Y%m%dT%H%M%z", "20250305T0130+0000", "2025-03-05 01:30"),
]  # fmt: skip
DOUBTFUL = [
    ("%m/%d/%Y %H%M", "03/05/2025 130"), ("%m/%d/%Y %H%M", "03/05/2025 15"), ("%m%d%Y", "1012025"),
    ("%m%d%Y", "1112025"), ("%Y%m%d", "2025111"), ("%Y%m%d", "202531"), ("%Y%m%d %H%M%S", "20250305 1230"),
]  # fmt: skip


def read(form: str, text: str) -> pa.Array:
    rules = Rules("UTC", (form,), EARLY, LATEST, {}, now=LATEST)
    return times.moment(pa.array([text]), rules).values


@pytest.mark.parametrize(("form", "text", "meant"), READ)
def test_whole_numbers_are_read(form: str, text: str, meant: str) -> None:
    assert read(form, text)[0].as_py() == datetime.fromisoformat(meant).replace(tzinfo=UTC)


@pytest.mark.parametrize(("form", "text"), DOUBTFUL)
def test_a_missing_digit_is_no_guess(form: str, text: str) -> None:
    assert read(form, text)[0].as_py() is None
