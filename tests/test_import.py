"""Importing: idempotent, in one transaction, true in a dry run, and the same from every format."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, Engine

from gis import cells, incidents
from gis.errors import BadInput, NotFound
from gis.importing import mapping, reading
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.kinds import KINDS, Kind
from gis.importing.parsing import Rules, bearings, words
from gis.importing.run import run
from gis.importing.times import moment
from gis.schema import batches, categories, posts
from gis.schema import incidents as table
from tests import town

SPAN = (datetime(1950, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
ZH = Rules("Asia/Shanghai", (), *SPAN, {})


def frame(count: int, seed: int = 7) -> pd.DataFrame:
    """Incidents all over the town, in our own columns."""
    rng = np.random.default_rng(seed)
    lon, lat = np.array([town.at(*place) for place in rng.uniform([0, 0], [6, 5], (count, 2))]).T
    seconds = pd.to_timedelta(rng.integers(0, 10**7, count), "s")
    return pd.DataFrame(
        {
            "origin_id": [f"{number:07d}" for number in range(count)],
            "category": rng.choice(["0101", "0102", "02"], count),
            "source": "citizen",
            "colour": "blue",
            "state": "closed",
            "occurred_at": pd.Timestamp("2024-03-01", tz=town.ZONE) + seconds,
            "description": "噪音，“扰民”\n第二行",
            "lon": lon,
            "lat": lat,
        }
    )


@pytest.fixture
def store(conn: Connection) -> Connection:
    """The town with its grids and categories."""
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def bring(conn: Connection, data: pd.DataFrame, kind: str = "incidents", **options: Any) -> Outcome:
    chosen = mapping.plain(kind, "test")
    return run(conn, kind, from_frame(data, "frame"), Options(mapping=chosen, datum="wgs84", **options))


def counts(outcome: Outcome) -> tuple[int, ...]:
    return (outcome.inserted, outcome.updated, outcome.unchanged, outcome.kept)


def test_the_second_import_changes_nothing_and_the_third_only_what_changed(store: Connection) -> None:
    data = frame(500)
    assert counts(bring(store, data)) == (500, 0, 0, 0)
    before = store.execute(sa.select(table).order_by(table.c.id)).all()
    assert counts(bring(store, data)) == (0, 0, 500, 0)
    assert store.execute(sa.select(table).order_by(table.c.id)).all() == before
    data.loc[:9, "colour"] = "red"
    data.loc[10:14, "lon"] += 0.001
    assert counts(bring(store, pd.concat([data, frame(503)[500:]]))) == (3, 15, 485, 0)
    told = store.execute(sa.select(batches.c.accepted, batches.c.unchanged).order_by(batches.c.id)).all()
    assert [tuple(row) for row in told[1:]] == [(500, 0), (500, 500), (503, 485)]


def test_the_same_ids_of_another_system_are_other_rows(store: Connection) -> None:
    data = frame(5)
    bring(store, data)
    assert counts(bring(store, data, origin="other")) == (5, 0, 0, 0)


def test_columns_that_nothing_is_taken_from_are_named(store: Connection) -> None:
    notes = bring(store, frame(5).assign(mood="calm")).notes
    assert "columns that mapping plain does not use: mood" in notes


def test_cells_and_owners_are_those_of_the_points(store: Connection) -> None:
    bring(store, frame(2000))
    got = store.execute(sa.text("SELECT ST_X(geom) AS x, ST_Y(geom) AS y, * FROM incidents")).all()
    lon, lat = np.array([row.x for row in got]), np.array([row.y for row in got])
    for res, wanted in cells.stamp(lon, lat).items():
        assert [getattr(row, f"cell_{res}") for row in got] == wanted.astype(int).tolist()
        known = f"SELECT cell FROM cells WHERE res = {res}"
        unknown = sa.text(f"SELECT count(*) FROM incidents WHERE cell_{res} NOT IN ({known})")
        assert store.execute(unknown).scalar_one() == 0
    wrong = sa.text(
        'SELECT count(*) FROM incidents i WHERE grid_code IS DISTINCT FROM (SELECT min(g.code COLLATE "C") '
        "FROM grids g WHERE g.level = 3 AND ST_Covers(g.geom, i.geom))"
    )
    assert store.execute(wrong).scalar_one() == 0
    assert sum(row.grid_code is None for row in got) > 20  # the hole in the middle of the town


def test_an_incident_that_was_worked_on_here_is_not_overwritten(store: Connection) -> None:
    data = frame(3).assign(state="reported")
    bring(store, data)
    first = store.execute(sa.select(table.c.id).order_by(table.c.id)).scalars().first()
    incidents.transition(store, first, "dispatched")
    assert counts(bring(store, data.assign(colour="red"))) == (0, 2, 0, 1)
    got = store.execute(sa.select(table.c.state, table.c.colour).where(table.c.id == first)).one()
    assert tuple(got) == ("dispatched", "blue")


def test_a_code_that_another_incident_bears_is_refused(store: Connection, tmp_path: Path) -> None:
    bring(store, frame(1).assign(code="SJ1"))
    other = frame(3).assign(origin_id=["a", "b", "c"], code=["SJ1", "SJ2", "SJ2"])
    outcome = bring(store, other, refused=tmp_path / "refused.csv")
    assert (outcome.accepted, outcome.refused) == (1, 2)
    lines = (tmp_path / "refused.csv").read_text(encoding="utf-8-sig").splitlines()
    assert sorted(line.split(",")[0] for line in lines if line[0].isdigit()) == ["1", "3"]


@pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "xlsx", "parquet", "feather", "arrow", "geojson", "gpkg", "fgb", "shp"]
)
def test_every_format_brings_the_same(store: Connection, tmp_path: Path, suffix: str) -> None:
    data = frame(40).drop(columns="description")
    told = data.assign(occurred_at=data["occurred_at"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    path = tmp_path / f"f.{suffix}"
    if suffix in ("csv", "tsv"):
        told.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    elif suffix == "xlsx":
        told.to_excel(path, index=False)
    elif suffix in ("feather", "arrow"):
        data.to_feather(path)
    elif suffix == "parquet":
        data.to_parquet(path, row_group_size=7)
    else:
        points = gpd.points_from_xy(told["lon"], told["lat"])
        short = told.rename(columns=lambda name: name[:10]) if suffix == "shp" else told
        gpd.GeoDataFrame(short.drop(columns=["lon", "lat"]), geometry=points, crs=4326).to_file(path)
    chosen = mapping.plain("incidents", "test")
    if suffix == "shp":
        chosen = chosen.model_copy(update={"columns": {name: name[:10] for name in told.columns}})
    outcome = run(store, "incidents", reading.read(path), Options(mapping=chosen, datum="wgs84"))
    assert counts(outcome) == (40, 0, 0, 0)
    rounded = suffix == "geojson"  # seven decimals are its default
    again = bring(store, data)
    assert (again.inserted, again.updated) == (0, again.updated if rounded else 0)


def test_the_mapping_is_chosen_by_the_columns_or_not_at_all(store: Connection, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    frame(2).drop(columns="source").to_csv(path, index=False)
    with pytest.raises(BadInput, match="missing: source"):
        run(store, "incidents", reading.read(path), Options())
    with pytest.raises(NotFound, match="chicago-incidents"):
        mapping.load("nope", "incidents")
    with pytest.raises(BadInput, match="maps incidents, not cameras"):
        mapping.load("chicago-incidents", "cameras")
    (tmp_path / "m.toml").write_text('[incidents]\norigin = "x"\ncolums = {}')
    with pytest.raises(BadInput, match="colums"):
        mapping.load(str(tmp_path / "m.toml"), "incidents")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_our_own_column_names_need_no_mapping(kind: Kind) -> None:
    columns = [field.name for field in kind.fields]
    assert mapping.choose(kind, columns, has_geometry=kind.shape is not None).name == "plain"


def test_places_may_be_points_of_two_columns_or_shapes(store: Connection, tmp_path: Path) -> None:
    lon, lat = town.at(0.5, 0.5)
    rows = pd.DataFrame(
        [["p1", "小学", "school", lon, lat]], columns=["编号", "名称", "类型", "经度", "纬度"]
    )
    rows.to_csv(tmp_path / "places.csv", index=False)
    outcome = run(store, "places", reading.read(tmp_path / "places.csv"), Options())
    assert (outcome.mapping, outcome.inserted) == ("zh-spreadsheet", 1)
    rows.drop(columns="经度").to_csv(tmp_path / "half.csv", index=False)
    with pytest.raises(BadInput, match="missing: origin_id"):
        run(store, "places", reading.read(tmp_path / "half.csv"), Options())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; bring it again"),
        (b"a,b,a\n1,2,3\n", "two columns named a"),
        (b"\xff\xff\x80\x81,\n", "neither UTF-8 nor GBK"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=reason):
        reading.read(path)
    path.rename(tmp_path / "f.parquet")
    with pytest.raises(BadInput, match=r"cannot be read|is empty"):
        reading.read(tmp_path / "f.parquet")
    with pytest.raises(NotFound):
        reading.read(path)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-03-05 14:30", "2024-03-05T06:30Z"),
        ("2024-03-05T14:30:00+09:00", "2024-03-05T05:30Z"),
        ("2024-03-05T14:30:00Z", "2024-03-05T14:30Z"),
        ("2024/3/5 14:30", "2024-03-05T06:30Z"),
        ("2024年3月5日 14时30分", "2024-03-05T06:30Z"),
        ("2024年3月5日", "2024-03-04T16:00Z"),
        ("2024-3-5 9:05", "2024-03-05T01:05Z"),
    ],
)
def test_times_as_people_write_them(text: str, utc: str) -> None:
    parsed = moment(pa.array([text, None]), ZH)
    assert not parsed.bad.any()
    assert parsed[0].to_pylist() == [datetime.fromisoformat(utc), None]


def test_hours_that_clocks_repeat_or_skip() -> None:
    rules = Rules("America/Chicago", (), *SPAN, {})
    got = moment(pa.array(["2017-11-05 01:30", "2017-03-12 02:30"]), rules)[0].to_pylist()
    assert got == [datetime(2017, 11, 5, 6, 30, tzinfo=UTC), datetime(2017, 3, 12, 8, 30, tzinfo=UTC)]


@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=["C"])), max_size=3), min_size=1, max_size=5)
)
def test_lists_of_words_survive_postgres(engine: Engine, lists: list[list[str]]) -> None:
    texts = words(pa.array(lists, pa.list_(pa.string())), ZH)[0].to_pylist()
    with engine.connect() as conn:
        got = [conn.execute(sa.text("SELECT CAST(:t AS text[])"), {"t": text}).scalar_one() for text in texts]
    assert [one or [] for one in got] == lists


def test_bearings_are_kept_in_a_circle() -> None:
    parsed = bearings(pa.array([["90", "360"], ["361"], ["north"], None, []], pa.list_(pa.string())), ZH)
    assert parsed.bad.tolist() == [False, True, True, False, False]
    assert [parsed[0].to_pylist()[at] for at in (0, 3, 4)] == ["{90,0}", None, None]


def test_categories_and_staff(store: Connection, tmp_path: Path) -> None:
    tree = pd.DataFrame({"code": ["x.y", "x", "z"], "parent": ["x", None, "nope"]})
    tree = tree.assign(name_zh="名", name_en="n")
    outcome = bring(store, tree, "categories", refused=tmp_path / "r.csv")
    assert (counts(outcome), outcome.refused) == ((2, 0, 0, 0), 1)
    assert store.execute(sa.select(categories.c.parent).where(categories.c.code == "x.y")).scalar_one() == "x"
    people = pd.DataFrame({"origin_id": ["1", "2"], "name": ["甲", "乙"], "grid_code": ["T1a", "nope"]})
    people = people.assign(post="网格长", valid_from="2024-01-01")
    outcome = bring(store, people, "staff", refused=tmp_path / "r.csv")
    assert (counts(outcome), outcome.refused) == ((1, 0, 0, 0), 1)
    moved = people[:1].assign(grid_code="T1b", valid_from="2024-06-01")
    for _ in range(2):
        bring(store, moved, "staff")
        got = store.execute(sa.select(posts.c.valid).order_by(sa.func.lower(posts.c.valid))).scalars().all()
        assert [f"{one.lower} {one.upper}" for one in got] == ["2024-01-01 2024-06-01", "2024-06-01 None"]


def spans(conn: Connection) -> list[str]:
    got = conn.execute(sa.select(posts.c.valid).order_by(sa.func.lower(posts.c.valid), posts.c.grid_id))
    return [f"{one.lower} {one.upper}" for one in got.scalars()]


@pytest.mark.parametrize("named", [True, False])
def test_who_leaves_holds_no_post_from_that_day_on(store: Connection, tmp_path: Path, *, named: bool) -> None:
    people = pd.DataFrame({"origin_id": ["1", "2"], "name": ["甲", "乙"], "grid_code": ["T1a", "T1b"]})
    people = people.assign(post="网格长", valid_from="2024-01-01")
    bring(store, people, "staff")
    leaving = people[:1].assign(valid_to="2025-03-01", grid_code="T1a" if named else None)
    for _ in range(2):
        bring(store, leaving, "staff")
        assert sorted(spans(store)) == ["2024-01-01 2025-03-01", "2024-01-01 None"]
    turned = people[:1].assign(valid_to="2023-01-01")
    outcome = bring(store, turned, "staff", refused=tmp_path / "r.csv")
    assert [field for field, _ in outcome.reasons] == ["valid_to"]
    past = people[1:].assign(origin_id="3", valid_from="2020-01-01", valid_to="2021-01-01")
    bring(store, past, "staff")
    assert spans(store)[0] == "2020-01-01 2021-01-01"


def test_a_last_day_may_be_corrected_and_a_term_ends_the_post_before(store: Connection) -> None:
    person = pd.DataFrame({"origin_id": ["1"], "name": ["甲"], "grid_code": ["T1a"], "post": "网格长"})
    person = person.assign(valid_from="2024-01-01")
    for last in ("2025-03-01", "2025-04-01"):
        bring(store, person.assign(valid_to=last), "staff")
        assert spans(store) == [f"2024-01-01 {last}"]
    other = person.assign(origin_id="2")
    bring(store, other, "staff")
    term = other.assign(grid_code="T1b", valid_from="2024-06-01", valid_to="2999-01-01")
    for _ in range(2):
        bring(store, term, "staff")
        assert spans(store)[1:] == ["2024-01-01 2024-06-01", "2024-06-01 2999-01-01"]


def post(grid: str = "T1a", begins: str | None = None, **more: str | None) -> pd.DataFrame:
    return pd.DataFrame(
        [{"origin_id": "1", "name": "甲", "post": "网格长", "grid_code": grid, "valid_from": begins} | more]
    )


LATER, YET_LATER = "2998-01-01", "2999-01-01"


@pytest.mark.parametrize(
    ("before", "row", "spans_after"),
    [
        (("T1a", LATER), post(begins="2024-01-01", valid_to=None), ["T1a 2024-01-01 None"]),
        (("T1a", LATER), post(begins=YET_LATER, valid_to=None), [f"T1a {YET_LATER} None"]),
        (("T1a", "2024-06-01"), post(begins="2024-03-01"), ["T1a 2024-03-01 None"]),
        (("T1a", "2024-06-01"), post(begins="2024-09-01"), ["T1a 2024-09-01 None"]),
        (("T1a", None), post(begins="2024-09-01"), ["T1a 2024-09-01 None"]),
        (("T1a", "2024-06-01"), post(), ["T1a 2024-06-01 None"]),
        (("T1a", "2024-06-01", "2025-06-01"), post(begins="2024-06-01"), ["T1a 2024-06-01 2025-06-01"]),
        (("T1a", "2024-06-01", "2025-06-01"), post(begins="2024-06-01", valid_to=None),
         ["T1a 2024-06-01 None"]),
        (("T1a", "2024-06-01", LATER), post(begins="2024-06-01", valid_to=None), ["T1a 2024-06-01 None"]),
        (("T1a", "2024-06-01", LATER), post(begins="2024-06-01", valid_to=YET_LATER),
         [f"T1a 2024-06-01 {YET_LATER}"]),
        (("T1a", "2024-06-01"), post("T1b"), ["T1a 2024-06-01 TODAY", "T1b TODAY None"]),
        (("T1a", None), post("T1b"), ["T1a None TODAY", "T1b TODAY None"]),
        (("T1a", "2024-06-01", LATER), post("T1b"), ["T1a 2024-06-01 TODAY", "T1b TODAY None"]),
        (("T1a", "2024-06-01", LATER), post("T1b", "2025-06-01"),
         ["T1a 2024-06-01 2025-06-01", "T1b 2025-06-01 None"]),
        (("T1a", "2024-06-01"), post("T1b", "2024-07-01"),
         ["T1a 2024-06-01 2024-07-01", "T1b 2024-07-01 None"]),
        (("T1a", "2024-06-01", "2025-06-01"), post(), ["T1a 2024-06-01 2025-06-01", "T1a TODAY None"]),
        (("T1a", "2020-01-01", "2021-01-01"), post(valid_to="2021-02-01"), ["T1a 2020-01-01 2021-02-01"]),
    ],
)  # fmt: skip
def test_a_row_says_from_when_to_when_its_post_is_held(
    store: Connection, before: tuple[str | None, ...], row: pd.DataFrame, spans_after: list[str]
) -> None:
    grid, begins, *ends = before
    bring(store, post(str(grid), begins, **({"valid_to": ends[0]} if ends else {})), "staff")
    held = sa.text(
        "SELECT concat_ws(' ', g.code, coalesce(lower(valid)::text, 'None'), "
        "coalesce(upper(valid)::text, 'None')) FROM posts p "
        "JOIN grid_codes g ON g.id = p.grid_id ORDER BY lower(valid) NULLS FIRST"
    )
    known = store.execute(held).scalars().all()
    outcome = bring(store, row, "staff")
    today = store.execute(sa.text("SELECT city_day()::text")).scalar_one()
    after = store.execute(held).scalars().all()
    assert after == [one.replace("TODAY", today) for one in spans_after]
    assert (outcome.updated, outcome.unchanged) == ((1, 0) if after != known else (0, 1))
    again = bring(store, row, "staff")
    assert (again.updated, again.unchanged) == (0, 1)
    assert store.execute(held).scalars().all() == after


@pytest.mark.parametrize(
    ("held", "leaves", "left"),
    [
        ([("T1a", "2024-06-01", LATER), ("T1b", "2997-01-01", None)], "2025-01-01", ["T1a 2025-01-01"]),
        ([("T1a", "2024-06-01", LATER)], "2997-06-01", ["T1a 2997-06-01"]),
        ([("T1a", LATER, None)], "2025-01-01", []),
        ([("T1a", None, LATER)], "2025-01-01", ["T1a 2025-01-01"]),
        ([("T1a", "2024-06-01", "2024-09-01")], "2025-01-01", ["T1a 2024-09-01"]),
        ([("T1a", "2024-06-01", None)], "2024-05-01", ["T1a None"]),
    ],
)  # fmt: skip
def test_who_leaves_holds_none_of_their_posts(
    store: Connection,
    tmp_path: Path,
    held: list[tuple[str, str | None, str | None]],
    leaves: str,
    left: list[str],
) -> None:
    for grid, begins, ends in held:
        bring(store, post(grid, begins, valid_to=ends), "staff")
    gone = post(grid=None, valid_to=leaves)  # type: ignore[arg-type]
    outcome = bring(store, gone, "staff", refused=tmp_path / "r.csv")
    ends = "SELECT concat_ws(' ', g.code, coalesce(upper(valid)::text, 'None')) FROM posts p"
    found = store.execute(sa.text(f"{ends} JOIN grid_codes g ON g.id = p.grid_id ORDER BY 1")).scalars().all()
    assert found == left
    assert outcome.refused == (leaves == "2024-05-01")


def test_a_last_day_before_the_first_is_refused(store: Connection, tmp_path: Path) -> None:
    bring(store, post(begins="2024-06-01"), "staff")
    outcome = bring(store, post(valid_to="2024-05-01"), "staff", refused=tmp_path / "r.csv")
    assert [field for field, _ in outcome.reasons] == ["valid_to"]
    assert spans(store) == ["2024-06-01 None"]


def test_stretches_that_a_row_runs_into_keep_what_lies_outside(store: Connection) -> None:
    for begins, ends in (("2020-01-01", "2021-01-01"), ("2022-01-01", "2023-01-01"), ("2024-01-01", None)):
        bring(store, post(begins=begins, valid_to=ends), "staff")
    assert spans(store) == ["2020-01-01 2021-01-01", "2022-01-01 2023-01-01", "2024-01-01 None"]
    bring(store, post(begins="2020-06-01", valid_to="2024-06-01"), "staff")
    assert spans(store) == ["2020-01-01 2020-06-01", "2020-06-01 2024-06-01"]
