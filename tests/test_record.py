"""What goes out comes back: every kind, in every format, exported and imported again, is unchanged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, Engine

from gis import db
from gis.exporting import record
from gis.exporting.files import WRITERS
from gis.importing import reading, spoken
from gis.importing.job import Options, Outcome
from gis.importing.kinds import KINDS
from gis.importing.run import run
from gis.importing.source import from_frame
from gis.schema import cameras, incidents, responders
from tests import town


@pytest.fixture(scope="module")
def city(demo: str) -> Iterator[Engine]:
    """The small demo city; what a test writes is rolled back."""
    engine = db.make_engine(demo)
    yield engine
    engine.dispose()


def again(conn: Connection, kind: str, file: Path, folder: Path) -> Outcome:
    return run(conn, kind, reading.read(file), Options(refused=folder / "refused.csv", accept_faults=True))


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_imports_again_unchanged(city: Engine, tmp_path: Path, kind: str, suffix: str) -> None:
    with city.connect() as conn:
        rows = record.read(conn, kind)
        WRITERS[suffix](rows, tmp_path / f"{kind}{suffix}")
        outcome = again(conn, kind, tmp_path / f"{kind}{suffix}", tmp_path)
        conn.rollback()
    assert outcome.mapping == "plain"
    assert (outcome.unchanged, outcome.refused, outcome.rows) == (len(rows), 0, len(rows)), outcome
    assert len(rows) > 0


def test_grids_build_an_empty_store_with_all_levels_parents_and_days(
    city: Engine, conn: Connection, tmp_path: Path
) -> None:
    with city.connect() as full:
        rows = record.read(full, "grids")
    WRITERS[".gpkg"](rows, tmp_path / "grids.gpkg")
    outcome = again(conn, "grids", tmp_path / "grids.gpkg", tmp_path)
    assert (outcome.inserted, outcome.refused) == (len(rows), 0)
    back = record.read(conn, "grids")
    assert back.drop(columns="geometry").equals(rows.drop(columns="geometry"))
    assert back.geometry.geom_equals(rows.geometry).all()
    assert set(rows["level"]) == {1, 2, 3, 4, 5}


SIGNS = st.text(
    st.sampled_from([*"=+-@'\"|,;\t\n[]{}\\ #&%<>0a村ß😀"]),
    min_size=1, max_size=12,
)  # fmt: skip
NOTHING = st.sampled_from([*spoken.EMPTY, "'NA", "''=x", "未知"])
"""What an import would take for nothing, and is a name here."""
LINE = (SIGNS | NOTHING).map(lambda text: " ".join(text.split())).filter(bool)


@pytest.fixture(scope="module")
def store(engine: Engine) -> Engine:
    """The town, committed."""
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)
    return engine


def put(conn: Connection, table: sa.Table, **values: Any) -> None:
    lon, lat = town.at(1, 1)
    batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    conn.execute(
        table.insert().values(
            origin="odd", origin_id="1", batch_id=batch, geom=f"SRID=4326;POINT({lon} {lat})", **values
        )
    )


@pytest.mark.parametrize("suffix", WRITERS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=LINE, skills=st.lists(LINE, max_size=3))
def test_odd_texts_and_lists_come_back(
    store: Engine, tmp_path: Path, suffix: str, name: str, skills: list[str]
) -> None:
    with store.connect() as conn:
        put(conn, responders, name=name, kind="crew", status="off", skills=skills, address=name)
        WRITERS[suffix](record.read(conn, "responders"), tmp_path / f"r{suffix}")
        outcome = again(conn, "responders", tmp_path / f"r{suffix}", tmp_path)
        conn.rollback()
    assert (outcome.unchanged, outcome.refused) == (1, 0), (outcome, name, skills)


@pytest.mark.parametrize("suffix", WRITERS)
def test_descriptions_of_several_lines_and_shifted_incidents_come_back(
    store: Engine, tmp_path: Path, suffix: str
) -> None:
    with store.begin() as conn:
        batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
        town.add_incidents(conn, batch, [town.at(1, 1)])
        strange = {
            "description": '@first, "line"\n- second',
            "datum": "gcj02",
            "recorded_grid": "=x",
            "code": "-1e5",
        }
        conn.execute(incidents.update().values(**strange, grid_code="T1a", accuracy_m=0.1))
        WRITERS[suffix](record.read(conn, "incidents"), tmp_path / f"i{suffix}")
        outcome = again(conn, "incidents", tmp_path / f"i{suffix}", tmp_path)
        conn.rollback()
    assert (outcome.unchanged, outcome.refused) == (1, 0), outcome


def test_two_systems_with_the_same_ids_come_back_in_one_file(store: Engine, tmp_path: Path) -> None:
    with store.connect() as conn:
        put(conn, cameras, name="one", headings=[0.1, 90.5], fov=33.3)
        conn.execute(
            sa.text(
                "INSERT INTO cameras (origin, origin_id, batch_id, geom) "
                "SELECT 'other', origin_id, batch_id, geom FROM cameras"
            )
        )
        WRITERS[".csv"](record.read(conn, "cameras"), tmp_path / "c.csv")
        told = again(conn, "cameras", tmp_path / "c.csv", tmp_path)
        assert conn.execute(sa.text("SELECT count(*) FROM cameras")).scalar_one() == 2
        conn.rollback()
    assert (told.rows, told.refused, told.inserted) == (2, 0, 0)


def test_a_refused_row_comes_back_as_it_was(store: Engine, tmp_path: Path) -> None:
    head = "origin_id,name,kind,status,lon,lat\n"
    (tmp_path / "r.csv").write_text(head + "1,'@crew,crew,nonsense,113.01,27.03\n", "utf-8")
    with store.connect() as conn:
        again(conn, "responders", tmp_path / "r.csv", tmp_path)
        text = (tmp_path / "refused.csv").read_text("utf-8-sig").replace("nonsense", "off")
        (tmp_path / "again.csv").write_text(text, "utf-8")
        told = again(conn, "responders", tmp_path / "again.csv", tmp_path)
        assert told.inserted == 1
        assert conn.execute(sa.select(responders.c.name)).scalar_one() == "@crew"
        conn.rollback()


@pytest.mark.parametrize("suffix", WRITERS)
def test_computed_and_endless_places_come_back(store: Engine, tmp_path: Path, suffix: str) -> None:
    """Of an address, a datum, a coordinate system; and digits that no workbook's number holds."""
    given = pd.DataFrame({
        "origin_id": ["street", "gcj02", "wgs84"], "category": "0101", "source": "citizen", "colour": "blue",
        "state": "reported", "occurred_at": "2025-03-05 14:30", "datum": [None, "gcj02", "wgs84"],
        "address": ["151 N Charles St", None, None],
        "lon": [None, 113.01234567890123, town.at(1, 1)[0] + 1.2345678901e-5],
        "lat": [None, 27.03123456789012, town.at(1, 1)[1] + 1.2345678901e-5],
    })  # fmt: skip
    with store.connect() as conn:
        street = shapely.LineString([town.at(1, 2), town.at(1, 1)])
        line = gpd.GeoDataFrame(
            {"origin_id": ["1"], "name": "N Charles St", "class": "street", "left_from": 101, "left_to": 199},
            geometry=[street], crs=4326,
        )  # fmt: skip
        for kind, data in (("roads", line), ("incidents", given)):
            told = run(conn, kind, from_frame(data, "f"), Options(refused=tmp_path / "refused.csv"))
            assert told.refused == 0, told
        rows = record.read(conn, "incidents")
        WRITERS[suffix](rows, tmp_path / f"i{suffix}")
        outcome = again(conn, "incidents", tmp_path / f"i{suffix}", tmp_path)
        projected = line.to_crs(4547)[["origin_id", "geometry"]].assign(name="x")
        projected["geometry"] = projected.geometry.centroid
        run(conn, "cameras", from_frame(projected, "f"), Options(refused=tmp_path / "refused.csv"))
        (camera,) = record.read(conn, "cameras").geometry
        conn.rollback()
    assert (outcome.unchanged, outcome.refused) == (3, 0), outcome
    computed = [rows.geometry[0], rows.geometry[1], camera]
    assert [(p.x, p.y) for p in computed] == [(round(p.x, 7), round(p.y, 7)) for p in computed]
    kept = rows.set_index("origin_id").geometry["wgs84"]
    assert (kept.x, kept.y) == (given["lon"][2], given["lat"][2])
