"""History: who owned a point on a day as known at a revision, and incidents on any map."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from gis import history
from gis.grids import Asked
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.schema import incidents
from tests import replay as telling
from tests import town
from tests.replay import SCHEME, Replay, answers, questions

TURN = date(2018, 1, 1)
COUNTIES = {
    "name": "county",
    "title_zh": "区县",
    "title_en": "Counties",
    "levels": [{"level": 1, "name_zh": "县", "name_en": "county"}],
}


@pytest.fixture(scope="module")
def told(engine: Engine) -> Iterator[tuple[Connection, Replay]]:
    """Twelve publications, corrections and publications for days to come among them; committed."""
    with engine.begin() as conn:
        replay = telling.found(conn)
        telling.publish(conn, replay, np.random.default_rng(5), 12)
    with engine.connect() as conn:
        yield conn, replay


def asked_of_store(conn: Connection, asked: pd.DataFrame) -> pd.DataFrame:
    return history.owners(
        conn, SCHEME, asked["lon"], asked["lat"], asked["on"].tolist(), asked["known"].tolist()
    )


def same(got: pd.DataFrame, want: pd.DataFrame) -> bool:
    return got["code"].tolist() == want["code"].tolist() and bool(
        (got["on_boundary"] == want["on_boundary"]).all()
    )


def test_owners_are_those_of_the_replay(told: tuple[Connection, Replay]) -> None:
    conn, replay = told
    assert {"plan", "import"} <= set(replay.kinds)
    asked = questions(replay, np.random.default_rng(1), 6_000)
    want = answers(replay, asked)
    assert want["code"].nunique() > 20
    assert want["on_boundary"].sum() > 500
    assert want["code"].isna().sum() > 500
    assert same(asked_of_store(conn, asked), want)


@pytest.mark.slow
def test_a_million_owners_are_those_of_the_replay(told: tuple[Connection, Replay]) -> None:
    conn, replay = told
    rng = np.random.default_rng(6)
    telling.publish(conn, replay, rng, 48)
    asked = questions(replay, rng, 1_000_000)
    assert same(asked_of_store(conn, asked), answers(replay, asked))
    conn.rollback()


def test_the_service_answers_the_same(told: tuple[Connection, Replay], client: TestClient) -> None:
    _, replay = told
    asked = questions(replay, np.random.default_rng(2), 200)
    asked = asked[asked["known"] > 0].reset_index(drop=True)
    for row, want in zip(asked.itertuples(), answers(replay, asked).itertuples(), strict=True):
        answer = client.get(
            "/grids/at", params={"lon": row.lon, "lat": row.lat, "on": str(row.on), "known": row.known}
        )
        if want.code is None:
            assert answer.status_code == 404
        else:
            assert (answer.json()["chain"][0]["code"], answer.json()["on_boundary"]) == (
                want.code,
                want.on_boundary,
            )


def test_history_tells_versions_with_their_lineage(
    told: tuple[Connection, Replay], client: TestClient
) -> None:
    conn, _ = told
    code = conn.execute(sa.text("SELECT after_code FROM lineage WHERE kind = 'split' LIMIT 1")).scalar_one()
    answer = client.get(f"/grids/{code}/history").json()
    versions = [feature["properties"] for feature in answer["features"]]
    rows = answer["lineage"]
    assert {version["code"] for version in versions} == {code}
    assert {row["revision"] for row in rows} <= {version["known_from"] for version in versions}
    assert any(row["after"] == code and row["before"] != code for row in rows)
    shares = conn.execute(
        sa.text("SELECT sum(area_share), sum(household_share) FROM lineage GROUP BY revision, before_code")
    ).all()
    assert np.allclose(np.array([tuple(row) for row in shares]), 1)


def test_old_incidents_count_on_any_map_with_nothing_left_over(told: tuple[Connection, Replay]) -> None:
    conn, replay = told
    rng = np.random.default_rng(3)
    # In the middle of a slanted border whole units and doubles may see a point a billionth of a degree apart.
    asked = questions(replay, rng, 400, middles=False)
    batch = conn.execute(sa.text("SELECT id FROM batches")).scalar_one()
    town.add_incidents(conn, batch, list(zip(asked["lon"], asked["lat"], strict=True)))
    nowhere = {"geom": None} | {f"cell_{res}": None for res in (6, 7, 8, 9, 10)}
    conn.execute(incidents.update().where(incidents.c.code == "E7").values(nowhere))
    conn.execute(incidents.update().where(incidents.c.code == "E9").values(state="withdrawn"))
    for known, day in [(1, telling.FIRST), (5, date(2023, 5, 1)), (12, telling.LAST), (0, telling.LAST)]:
        tally = history.tally(conn, Asked(SCHEME, day, known))
        assert tally.total == 399
        assert tally.counts["incidents"].sum() + len(tally.orphans) == tally.total
        want = answers(replay, asked.assign(on=day, known=known))["code"].drop([7, 9])
        assert dict(zip(tally.counts["code"], tally.counts["incidents"], strict=True)) == dict(
            want.value_counts()
        )
        lost = {f"E{row}" for row in want.index[want.isna()]}
        why = dict(zip(tally.orphans["code"], tally.orphans["why"], strict=True))
        assert why == dict.fromkeys(lost, "no grid") | {"E7": "no place"}
    some = history.tally(conn, Asked(SCHEME, telling.LAST, 12), incidents.c.code.in_(["E1", "E2"]))
    assert some.total == 2
    conn.rollback()


def bring(conn: Connection, frame: gpd.GeoDataFrame, tmp_path: Path) -> Outcome:
    scheme = mapping.Scheme.model_validate(COUNTIES)
    mapped = mapping.plain("grids", "edition").model_copy(update={"schemes": [scheme]})
    options = Options(mapping=mapped, datum="wgs84", refused=tmp_path / "refused.csv", accept_faults=True)
    return run(conn, "grids", from_frame(frame, "edition"), options)


def edition(path: Path, first: date) -> gpd.GeoDataFrame:
    """Counties of one edition; six of 2018 cross themselves and are mended as GEOS does."""
    given = gpd.read_parquet(path)
    columns = {"code": given["id"].astype(str), "name": given["name"], "scheme": "county", "level": 1}
    mended = [
        shapely.union_all([p for p in shapely.get_parts(shapely.make_valid(g)) if p.area > 0])
        for g in given.geometry
    ]
    frame = gpd.GeoDataFrame(columns, geometry=mended, crs=4326)
    return frame.assign(parent_code=None, valid_from=first, valid_to=None, kind="county")


def inside(frame: gpd.GeoDataFrame, count: int, metres: float) -> np.ndarray:
    """Random places on the ground of a frame, this far from any border."""
    low, high = np.array(frame.total_bounds).reshape(2, 2)
    xy = np.random.default_rng(4).uniform(low, high, (count, 2)).round(7)
    lines = shapely.union_all(frame.geometry.boundary.to_numpy())
    shapely.prepare(lines)
    return xy[~shapely.dwithin(lines, shapely.points(xy), metres / 111_000)]


def by_hand(frame: gpd.GeoDataFrame, xy: np.ndarray) -> list[str | None]:
    codes, shapes = frame["code"].astype(str).to_numpy(), frame.geometry.to_numpy()
    shapely.prepare(shapes)  # otherwise each of some 400,000 questions looks at every vertex
    hits = [codes[shapely.contains_xy(shapes, x, y)] for x, y in xy]
    return [hit[0] if len(hit) else None for hit in hits]


@pytest.mark.realdata
def test_the_counties_of_zhuzhou_by_date(conn: Connection, realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "zhuzhou"
    old = edition(folder / "county_2015_longwosion.parquet", date(2015, 1, 1))
    new = edition(folder / "county_2018_echarts.parquet", TURN)
    bring(conn, old, tmp_path)
    before = conn.execute(sa.text("SELECT max(id) FROM revisions")).scalar_one()
    bring(conn, new, tmp_path)
    xy = np.vstack([inside(frame, 3000, 5) for frame in (old, new)])
    xy = xy[shapely.distance(shapely.union_all(new.boundary.to_numpy()), shapely.points(xy)) > 5 / 111_000]
    xy = xy[shapely.distance(shapely.union_all(old.boundary.to_numpy()), shapely.points(xy)) > 5 / 111_000]

    def owned(day: date, known: int) -> list[str | None]:
        count = len(xy)
        return history.owners(conn, "county", xy[:, 0], xy[:, 1], [day] * count, [known] * count)[
            "code"
        ].tolist()

    then, now = by_hand(old, xy), by_hand(new, xy)
    assert owned(date(2017, 12, 31), before + 1) == then
    assert owned(TURN, before + 1) == now
    assert owned(TURN, before) == then  # as believed before the new edition came
    passed = sum(a == "430221" and b == "430211" for a, b in zip(then, now, strict=True))
    assert passed > 10  # 株洲县 gave ground to 天元区
    assert owned(date(2014, 12, 31), before + 1) == [None] * len(xy)


@pytest.mark.realdata
def test_the_wards_of_chicago_by_date(conn: Connection, realdata: Path, tmp_path: Path) -> None:
    frame = gpd.read_parquet(realdata / "chicago" / "grids.parquet")
    wards = frame[frame["level"] == "ward"]
    options = Options(
        mapping=mapping.load("chicago-grids", "grids"), datum="wgs84", refused=tmp_path / "refused.csv",
        accept_faults=True,
    )  # fmt: skip
    run(conn, "grids", from_frame(wards, "wards"), options)
    known = conn.execute(sa.text("SELECT max(id) FROM revisions WHERE scheme = 'ward'")).scalar_one()
    terms = {
        day: wards[wards["valid_from"].astype(str) == first]
        for day, first in {date(2023, 5, 14): "2015-05-18", date(2023, 5, 15): "2023-05-15"}.items()
    }
    xy = inside(wards, 4000, 5)
    owned = {
        day: history.owners(conn, "ward", xy[:, 0], xy[:, 1], [day] * len(xy), [known] * len(xy))[
            "code"
        ].tolist()
        for day in terms
    }
    assert owned == {day: by_hand(term, xy) for day, term in terms.items()}
    one, other = owned.values()
    assert 0.05 < np.mean([a != b for a, b in zip(one, other, strict=True)]) < 0.5
