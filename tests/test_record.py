"""What goes out comes back: every kind, in every format, exported and imported again, is unchanged."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection, Engine

from gis import db, schema
from gis.exporting import record
from gis.exporting.files import WRITERS
from gis.importing import reading, spoken
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.kinds import KINDS
from gis.importing.mapping import plain
from gis.importing.run import run
from gis.schema import cameras, grids, incidents, responders
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


@pytest.mark.parametrize("examples", [8, pytest.param(25, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", WRITERS)
def test_odd_texts_and_lists_come_back(store: Engine, tmp_path: Path, suffix: str, examples: int) -> None:
    @settings(max_examples=examples)
    @given(name=LINE, skills=st.lists(LINE, max_size=3))
    def comes_back(name: str, skills: list[str]) -> None:
        with store.connect() as conn:
            put(conn, responders, name=name, kind="crew", status="off", skills=skills, address=name)
            WRITERS[suffix](record.read(conn, "responders"), tmp_path / f"r{suffix}")
            outcome = again(conn, "responders", tmp_path / f"r{suffix}", tmp_path)
            conn.rollback()
        assert (outcome.unchanged, outcome.refused) == (1, 0), (outcome, name, skills)

    comes_back()


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


DAYS = [
    "2025-03-05", "2025-03-05 00:00", "2025-03-05 14:30", "20250306", "2024年2月29日", "2025-01-01T00:00:00Z",
    "1996-11-30",
]  # fmt: skip


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Havana", "Pacific/Apia"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_day_without_a_time_of_day_comes_back_as_one(
    store: Engine, tmp_path: Path, suffix: str, zone: str
) -> None:
    """Also one that was read in a zone other than the city's, and one whose midnight the clocks skip."""
    lon, lat = town.at(1, 1)
    days = [*DAYS, "2025-03-09", "2011-12-31"]  # Havana skips 00:00 on the first, Apia the day before
    given = pd.DataFrame({
        "origin_id": [*map(str, range(len(days)))], "category": "0101", "source": "citizen", "colour": "blue",
        "state": "reported", "occurred_at": days, "lon": lon, "lat": lat,
    })  # fmt: skip
    order = sa.select(incidents.c.occurred_at, incidents.c.occurred_precision).order_by(incidents.c.code)
    with store.connect() as conn:
        conn.execute(sa.text("UPDATE city SET timezone = :zone"), {"zone": zone})
        in_utc = plain("incidents", "utc").model_copy(update={"zone": "UTC"})
        for mine, mapping in (("f", None), ("utc", in_utc)):
            options = Options(refused=tmp_path / "refused.csv", mapping=mapping, origin=mine)
            assert run(conn, "incidents", from_frame(given, "f"), options).refused == 0
        before = conn.execute(order).all()
        rows = record.read(conn, "incidents")
        WRITERS[suffix](rows, tmp_path / f"i{suffix}")
        outcome = again(conn, "incidents", tmp_path / f"i{suffix}", tmp_path)
        conn.execute(sa.text("DELETE FROM incidents"))
        anew = again(conn, "incidents", tmp_path / f"i{suffix}", tmp_path)
        after = conn.execute(order).all()
        conn.rollback()
    assert (outcome.unchanged, outcome.refused) == (len(rows), 0), outcome
    assert (anew.inserted, anew.refused, after) == (len(rows), 0, before)
    known = rows.set_index(["origin", "origin_id"])["occurred_at"]
    for origin in ("f", "utc"):
        written = [known[origin, str(at)] for at in (0, 3, 4, 6)]
        assert written == ["2025-03-05", "2025-03-06", "2024-02-29", "1996-11-30"]


def test_what_is_said_of_a_time_goes_before_how_it_looks(store: Engine, tmp_path: Path) -> None:
    lon, lat = town.at(1, 1)
    head = "origin_id,category,source,colour,state,occurred_at,occurred_precision,lon,lat\n"
    day = "2025-03-05"
    said = [(f"{day} 14:30", "day"), (day, "second"), (day, ""), (day, "week")]
    lines = [
        f"{at},0101,citizen,blue,reported,{when},{precision},{lon},{lat}\n"
        for at, (when, precision) in enumerate(said)
    ]
    (tmp_path / "i.csv").write_text(head + "".join(lines))
    with store.connect() as conn:
        told = again(conn, "incidents", tmp_path / "i.csv", tmp_path)
        got = sa.select(incidents.c.occurred_precision).order_by(incidents.c.origin_id)
        assert conn.execute(got).scalars().all() == ["day", "second", "day"]
        conn.rollback()
    assert [*told.reasons] == [
        ("occurred_precision", "is none of second, day; map it in [values] of the mapping")
    ]


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_order_of_grids_comes_back(store: Engine, tmp_path: Path, suffix: str) -> None:
    """A planner's order, which a file that says nothing of it leaves alone."""
    order = sa.select(grids.c.code, grids.c.display_order).where(sa.func.upper_inf(grids.c.known))
    with store.connect() as conn:
        conn.execute(sa.text("UPDATE grids SET display_order = 9 - id % 5 WHERE id % 3 > 0"))
        before = set(conn.execute(order).all())
        rows = record.read(conn, "grids")
        WRITERS[suffix](rows, tmp_path / f"g{suffix}")
        told = again(conn, "grids", tmp_path / f"g{suffix}", tmp_path)
        conn.execute(sa.text("UPDATE grids SET display_order = NULL"))
        lost = again(conn, "grids", tmp_path / f"g{suffix}", tmp_path)
        assert set(conn.execute(order).all()) == before
        silent = rows.drop(columns="display_order").assign(name=rows["name"] + " new")
        WRITERS[suffix](silent, tmp_path / f"s{suffix}")
        renamed = again(conn, "grids", tmp_path / f"s{suffix}", tmp_path)
        assert set(conn.execute(order).all()) == before
        conn.rollback()
    numbered = int(rows["display_order"].notna().sum())
    assert (told.unchanged, lost.updated, renamed.updated) == (len(rows), numbered, len(rows))
    assert 0 < numbered < len(rows)


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_digit_of_shapes_and_numbers_comes_back(store: Engine, tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(20261129).uniform(0, 0.01, (60, 2)) + town.at(1, 1)
    points = shapely.points(noise)
    lines = shapely.linestrings(noise.reshape(-1, 2, 2))
    holed = [shapely.Point(xy).buffer(1e-3).difference(shapely.Point(xy).buffer(3e-4)) for xy in noise[:9]]
    numbers = {"length_m": noise[:30, 0] / 3, "speed_kmh": noise[:30, 1] * 7}
    plans = {
        "places": gpd.GeoDataFrame({"name": ["n"] * 60, "kind": "k"}, geometry=points, crs=4326),
        "roads": gpd.GeoDataFrame({"class": ["c"] * 30, **numbers}, geometry=lines, crs=4326),
        "areas": gpd.GeoDataFrame({"kind": ["water"] * 9}, geometry=holed, crs=4326),
    }
    with store.connect() as conn:
        for kind, frame in plans.items():
            frame.insert(0, "origin_id", [*map(str, frame.index)])
            run(conn, kind, from_frame(frame, "f"), Options(refused=tmp_path / "refused.csv"))
            WRITERS[suffix](record.read(conn, kind), tmp_path / f"{kind}{suffix}")
            told = again(conn, kind, tmp_path / f"{kind}{suffix}", tmp_path)
            assert (told.unchanged, told.rows) == (len(frame), len(frame)), (kind, told)
        conn.rollback()


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("terms", "exported"),
    [
        ([("2020-01-01", "2999-01-01")], 0), ([("2020-01-01", None)], 0), ([(None, "2999-01-01")], 0),
        ([("2998-01-01", None)], 0), ([("2020-01-01", "2021-01-01")], None),
        ([("2020-01-01", "2998-01-01"), ("2998-01-01", None)], 0),
        ([("2019-01-01", "2020-01-01"), ("2020-01-01", "2998-01-01")], 1),
    ],
)  # fmt: skip
def test_a_post_that_is_held_is_exported_whenever_it_ends(
    store: Engine,
    tmp_path: Path,
    suffix: str,
    terms: list[tuple[str | None, str | None]],
    exported: int | None,
) -> None:
    with store.connect() as conn:
        batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
        person = {"origin": "odd", "origin_id": "1", "batch_id": batch, "name": "甲"}
        who = conn.execute(schema.staff.insert().values(person).returning(schema.staff.c.id)).scalar_one()
        grid = conn.execute(sa.text("SELECT id FROM grid_codes WHERE code = 'T1a'")).scalar_one()
        for n, (first, after) in enumerate(terms):
            held = {
                "staff_id": who,
                "grid_id": grid,
                "post": f"post {n}",
                "valid": Range(_day(first), _day(after)),
            }
            conn.execute(schema.posts.insert().values(held))
        rows = record.read(conn, "staff")
        posts = "SELECT post, valid::text FROM posts ORDER BY post"
        before = conn.execute(sa.text(posts)).all()
        WRITERS[suffix](rows, tmp_path / f"s{suffix}")
        outcome = again(conn, "staff", tmp_path / f"s{suffix}", tmp_path)
        after_it = conn.execute(sa.text(posts)).all()
        conn.rollback()
    (row,) = rows.to_dict("records")
    assert row["post"] == (None if exported is None else f"post {exported}")
    assert (outcome.unchanged, outcome.refused) == (1, 0)
    assert after_it == before


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


_SECOND_SCHEME = """
INSERT INTO schemes (name, title_zh, title_en, is_default) VALUES ('fire', '消防', 'Fire', false);
INSERT INTO grid_codes (scheme, code) VALUES ('fire', 'T1a');
INSERT INTO staff (origin, origin_id, batch_id, name)
  SELECT 'odd', n::text, (SELECT min(id) FROM batches), n::text FROM generate_series(1, 3) n;
INSERT INTO posts (staff_id, grid_id, post, valid)
  SELECT p.id, g.id, 'warden', '[2024-01-01,)' FROM staff p JOIN grid_codes g
  ON (p.origin_id, g.scheme, g.code) IN (('1', 'safety', 'T1a'), ('2', 'fire', 'T1a'), ('3', 'safety', 'T2d'))
  WHERE p.origin = 'odd';
UPDATE schemes SET is_default = false;
UPDATE schemes SET is_default = true WHERE name = 'fire'
"""


@pytest.mark.parametrize("suffix", WRITERS)
def test_posts_come_back_into_their_own_scheme(store: Engine, tmp_path: Path, suffix: str) -> None:
    with store.connect() as conn:
        conn.execute(sa.text(_SECOND_SCHEME))
        held = sa.text("SELECT staff_id, grid_id, post, valid FROM posts ORDER BY 1, 2")
        before = conn.execute(held).all()
        rows = record.read(conn, "staff")
        WRITERS[suffix](rows, tmp_path / f"s{suffix}")
        outcome = again(conn, "staff", tmp_path / f"s{suffix}", tmp_path)
        after = conn.execute(held).all()
        conn.rollback()
    assert (outcome.unchanged, outcome.refused) == (len(rows), 0), outcome
    assert after == before
    assert len(before) >= 3
