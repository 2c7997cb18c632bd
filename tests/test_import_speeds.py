"""Speeds of roads in km/h and mph: read, converted by the international mile, told; other units refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema
from gis.importing import mapping, speeds
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.parsing import Rules
from gis.importing.run import run
from tests import town

MILE = 1609.344


def bring(conn: Connection, given: list[object], tmp_path: Path) -> Outcome:
    """Import roads of these speeds, one beside the other in the town."""
    shapes = [f"LINESTRING(113.0{n:02} 27.02, 113.0{n:02} 27.03)" for n in range(1, len(given) + 1)]
    rows = pd.DataFrame(
        {"id": range(1, len(given) + 1), "class": "residential", "speed_kmh": given, "geometry": shapes}
    )
    rows = rows.rename(columns={"id": "origin_id"})
    options = Options(mapping=mapping.plain("roads", "test"), refused=tmp_path / "refused.csv")
    return run(conn, "roads", from_frame(rows, "roads"), options)


def stored(conn: Connection) -> list[float | None]:
    return list(conn.execute(sa.select(schema.roads.c.speed_kmh).order_by(schema.roads.c.id)).scalars())


@pytest.fixture
def city(conn: Connection) -> Connection:
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def test_speeds_with_units_are_kept_in_kmh_and_told(city: Connection, tmp_path: Path) -> None:
    given = [
        "30 mph",
        "30mph",
        "25 MPH",
        "５ ｍｐｈ",
        "12.5 mph",
        "50",
        "50 km/h",
        "60kph",
        "40 公里/小时",
        None,
        "20 英里/小时",
    ]
    done = bring(city, given, tmp_path)
    assert (done.accepted, done.refused) == (11, 0)
    miles = [30, 30, 25, 5, 12.5]
    wanted = [each * MILE / 1000 for each in miles] + [50, 50, 60, 40, np.nan, 20 * MILE / 1000]
    kept = np.array(stored(city), dtype=float)
    np.testing.assert_allclose(kept, wanted, rtol=1e-6)
    assert "6 speeds were in mph and are kept in km/h" in done.notes


def test_numbers_alone_are_kmh_and_nothing_is_told(city: Connection, tmp_path: Path) -> None:
    done = bring(city, [30.0, 50.0, 48.28032], tmp_path)
    assert stored(city) == pytest.approx([30, 50, 48.28032])
    assert not [note for note in done.notes if "mph" in note]


@pytest.mark.parametrize(
    "wrong",
    [
        "30 knots",
        "9 m/s",
        "30 mp",
        "walk",
        "none",
        "30 mph;40 mph",
        "mph",
        "400 mph",
        "-30 mph",
        "0 mph",
        "3 0 mph",
    ],
)
def test_other_units_and_speeds_are_refused_by_field_and_value(
    city: Connection, tmp_path: Path, wrong: str
) -> None:
    done = bring(city, ["30 mph", wrong], tmp_path)
    assert (done.accepted, done.refused) == (1, 1)
    refused = (tmp_path / "refused.csv").read_text("utf-8-sig")
    assert "speed_kmh" in refused
    assert wrong in refused
    assert "km/h" in refused


def test_a_decimal_comma_counts_before_a_unit_too() -> None:
    rules = Rules("UTC", (), *_SPAN, {}, decimal=",")
    told = speeds.speed(0.1, 500)(pa.array(["12,5 mph", "12.5 mph"]), rules)
    speed, _ = told[0].to_pylist()
    assert speed == pytest.approx(12.5 * MILE / 1000)
    assert told.bad.tolist() == [False, True]


_SPAN = (pd.Timestamp("1950-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC"))
