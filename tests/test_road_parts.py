"""A row of several separate lines is one road in parts: drawn order, numbers, corrections, its own id."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Geod
from shapely import LineString, MultiLineString
from sqlalchemy.engine import Connection

from gis.exporting import record
from gis.exporting.files import WRITERS
from gis.importing import reading
from gis.importing.job import Options
from gis.importing.run import run
from gis.schema import roads
from tests import town
from tests.test_centrelines import bring, frame, stored

GEOD = Geod(ellps="WGS84")


def line(x: float, y: float = 1.0, length: float = 0.5) -> LineString:
    return LineString([town.at(x, y), town.at(x + length, y)])


def pieces(count: int, y: float = 1.0) -> LineString | MultiLineString:
    lines = [line(0.5 + n, y) for n in range(count)]
    return lines[0] if count == 1 else MultiLineString(lines)


def kept(conn: Connection) -> list[tuple[str, int]]:
    return [(row.origin_id, row.part) for row in stored(conn)]


@pytest.mark.parametrize("now", [1, 2, 3, 4])
@pytest.mark.parametrize("before", [1, 2, 3, 4])
def test_a_corrected_row_has_the_lines_of_the_correction(conn: Connection, before: int, now: int) -> None:
    bring(conn, frame([pieces(before), line(1, 3)]))
    outcome = bring(conn, frame([pieces(now)]))
    assert kept(conn) == [("0", n) for n in ([0] if now == 1 else range(1, now + 1))] + [("1", 0)]
    assert outcome.rows == outcome.accepted == outcome.inserted + outcome.updated + outcome.unchanged
    gone = {(3, 2): 1, (4, 2): 2, (4, 3): 1}.get(
        (before, now), min(before, now) == 1 and before * (before != now)
    )
    told = [note for note in outcome.notes if "taken out" in note]
    assert [int(note.split()[0]) for note in told] == [gone] * bool(gone)


@pytest.mark.parametrize("lat", [0.0, 27.0, 52.2, 60.0, 70.0])
def test_numbers_are_shared_by_metres_wherever_the_city_lies(conn: Connection, lat: float) -> None:
    lon, at, _ = GEOD.fwd(21, lat, 90, 1000)
    _, north, _ = GEOD.fwd(lon, at, 0, 1050)
    _, begin, _ = GEOD.fwd(lon, at, 0, 50)
    lines = [LineString([(21, lat), (lon, at)]), LineString([(lon, begin), (lon, north)])]
    bring(conn, frame([MultiLineString(lines)], left_from=[1], left_to=[199]))
    assert [(row.left_from, row.left_to) for row in stored(conn)] == [(1, 99), (101, 199)]


@pytest.mark.parametrize(("first", "last"), [(1, 60), (2, 61), (60, 1), (1, 59), (2, 60)])
@pytest.mark.parametrize("parity", [None, "both"])
def test_parts_have_the_parity_of_the_whole(
    conn: Connection, first: int, last: int, parity: str | None
) -> None:
    lines = MultiLineString([line(0.5, 1, 0.9), line(2, 1, 0.2), line(3, 1, 0.4)])
    bring(conn, frame([lines], left_from=[first], left_to=[last], left_parity=pd.array([parity], "string")))
    odd, even = first % 2 == last % 2 == 1, first % 2 == last % 2 == 0
    whole = parity or ("odd" if odd else "even" if even else "both")
    assert {row.left_parity for row in stored(conn)} == {whole}


def test_parts_take_no_other_rows_id(conn: Connection) -> None:
    data = frame([pieces(2), line(1, 3)])
    data["origin_id"] = ["17", "17/1"]
    data["name"] = ["Oak Lane", "Elm Lane"]
    assert bring(conn, data).refused == 0
    assert kept(conn) == [("17", 1), ("17", 2), ("17/1", 0)]
    bring(conn, data.iloc[:1])
    assert stored(conn)[2].name == "Elm Lane"


def test_a_refused_row_loses_none_of_its_lines(conn: Connection) -> None:
    bring(conn, frame([pieces(3)]))
    wrong = frame([pieces(2), line(1, 3)], speed_kmh=["fast", None])
    assert bring(conn, wrong).refused == 1
    assert kept(conn) == [("0", 1), ("0", 2), ("0", 3), ("1", 0)]


def test_the_same_row_twice_is_refused_whichever_is_cut(conn: Connection) -> None:
    data = frame([pieces(2), pieces(1, 2), pieces(2, 3)])
    data["origin_id"] = "5"
    assert bring(conn, data).refused == 3  # lines, as rows are counted
    assert kept(conn) == [("5", 1), ("5", 2)]


@pytest.mark.parametrize("suffix", [".csv", ".gpkg", ".geojson", ".xlsx"])
def test_parts_come_back_from_an_export(conn: Connection, tmp_path: Path, suffix: str) -> None:
    bring(conn, frame([pieces(3), line(1, 3)], left_from=[1, 1], left_to=[99, 9]))
    file = tmp_path / f"roads{suffix}"
    WRITERS[suffix](record.read(conn, "roads"), file)
    outcome = run(conn, "roads", reading.read(file), Options(refused=tmp_path / "r.csv"))
    assert (outcome.unchanged, outcome.refused, outcome.rows) == (4, 0, 4), outcome
    # Some rows of the export are no whole record of their road.
    some = record.read(conn, "roads").iloc[[1]]
    WRITERS[suffix](some, file)
    run(conn, "roads", reading.read(file), Options(refused=tmp_path / "r.csv"))
    assert kept(conn) == [("0", 1), ("0", 2), ("0", 3), ("1", 0)]
    # The source's own file is known again.
    assert bring(conn, frame([pieces(1), line(1, 3)])).updated + len(kept(conn)) == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(5)), count=st.integers(2, 5), low=st.integers(1, 60), more=st.integers(0, 90),
    backwards=st.booleans(), mixed=st.booleans(),
)  # fmt: skip
def test_numbers_run_in_the_order_of_drawing_each_on_one_line(
    conn: Connection, order: list[int], count: int, low: int, more: int, backwards: bool, mixed: bool
) -> None:
    conn.execute(sa.delete(roads))
    lines = [line(0.5 + at, 1 + at / 10, 0.2 + at / 10) for at in order[:count]]
    high = low + more * (1 if mixed else 2) + mixed * (1 - more % 2)
    first, last = (high, low) if backwards else (low, high)
    data = frame([MultiLineString(lines)], left_from=[first], left_to=[last], u=[7], v=[9], length_m=[1e5])
    assert bring(conn, data).refused == 0
    rows = stored(conn)
    assert all(
        shapely.from_wkb(bytes(r.wkb)).equals_exact(of, 1e-9) for r, of in zip(rows, lines, strict=True)
    )
    ranges = [(row.left_from, row.left_to) for row in rows if row.left_from is not None]
    step = (1 if (first - last) % 2 else 2) * (-1 if backwards else 1)
    given_numbers = list(range(first, last + step, step))
    assert [n for a, b in ranges for n in range(a, b + step, step)] == given_numbers
    share = np.array([GEOD.geometry_length(one) for one in lines])
    held = [0 if r.left_from is None else (r.left_to - r.left_from) // step + 1 for r in rows]
    assert np.abs(np.array(held) - share / share.sum() * len(given_numbers)).max() <= 1
    assert (rows[0].u, rows[-1].v) == (7, 9)
    assert len({row.u for row in rows} | {row.v for row in rows}) == 2 * count
    assert all(row.length_m < 2_000 for row in rows)
