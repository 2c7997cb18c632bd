"""A column whose days stand before their months is not read by halves: none of its rows goes in exchanged."""

from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from tests import town


@pytest.fixture
def store(conn: Connection) -> Connection:
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def bring(conn: Connection, times: list[str], folder: Path, *formats: str) -> Outcome:
    lon, lat = town.at(0.5, 0.5)
    fixed = {
        "category": "0101", "source": "hotline", "colour": "blue", "state": "closed", "lon": lon, "lat": lat,
    }  # fmt: skip
    data = pd.DataFrame({"origin_id": [str(n) for n in range(len(times))], "occurred_at": times} | fixed)
    chosen = mapping.plain("incidents", "t").model_copy(update={"formats": list(formats)})
    return run(conn, "incidents", from_frame(data, "f"), Options(mapping=chosen, refused=folder / "r.csv"))


def written(form: str) -> list[str]:
    return [day.strftime(form) for day in pd.date_range("2025-01-01", "2025-06-30", freq="4D")]


def test_a_column_of_days_before_months_goes_in_whole_or_not_at_all(
    store: Connection, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"%Y-%d-%m.* \(refused rows"):
        bring(store, written("%Y-%d-%m 21:39"), tmp_path)
    outcome = bring(store, written("%Y-%d-%m 21:39"), tmp_path, "%Y-%d-%m %H:%M")
    assert (outcome.refused, outcome.inserted) == (0, 46)


def test_one_such_row_is_refused_by_itself(store: Connection, tmp_path: Path) -> None:
    outcome = bring(store, [*written("%Y-%m-%d 21:39"), "2025-27-01 21:39"], tmp_path)
    assert (outcome.refused, outcome.inserted) == (1, 46)
    assert "day before its month" in (tmp_path / "r.csv").read_text("utf-8-sig")
