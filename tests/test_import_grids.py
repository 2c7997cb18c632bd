"""Grids imported: both times kept, faults told, edges on the fixed precision, points owned on their day."""

import json
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from gis.coverage import PRECISION
from gis.errors import BadInput, NotFound
from gis.grids import Wish, chain
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.importing.timeline import Version, dated, in_force, overlay
from gis.schema import batches, grids, revisions
from tests import town

DAY = date(2024, 1, 1)
LEVELS = [{"level": level, "name_zh": f"{level}级", "name_en": f"level {level}"} for level in (1, 2)]
SCHEME = {"name": "safety", "title_zh": "平安", "title_en": "Safety", "default": True, "levels": LEVELS}
MAPPING = mapping.plain("grids", "test").model_copy(
    update={"schemes": [mapping.Scheme.model_validate(SCHEME)]}
)


def drawn(picture: str, **columns: Any) -> gpd.GeoDataFrame:
    """The letters of a picture as grids of level 2 within T, their outline."""
    units = town.draw(picture)
    shapes = [shapely.union_all(list(units.values())), *units.values()]
    frame = gpd.GeoDataFrame({"code": ["T", *units]}, geometry=shapes, crs=4326)
    frame["level"] = [1] + [2] * len(units)
    frame["parent_code"] = [None] + ["T"] * len(units)
    return frame.assign(
        **{"scheme": "safety", "name": frame["code"], "valid_from": DAY, "valid_to": None} | columns
    )


def bring(conn: Connection, frame: gpd.GeoDataFrame, tmp_path: Path, *, accept: bool = False) -> Outcome:
    options = Options(mapping=MAPPING, datum="wgs84", refused=tmp_path / "refused.csv", accept_faults=accept)
    return run(conn, "grids", from_frame(frame, "drawn"), options)


def counts(outcome: Outcome) -> tuple[int, ...]:
    return outcome.inserted, outcome.updated, outcome.unchanged


def latest_revision(conn: Connection) -> int:
    return int(conn.execute(sa.select(sa.func.max(revisions.c.id))).scalar_one())


def owner(conn: Connection, place: tuple[float, float], on: date, known: int) -> object:
    lon, lat = town.at(*place)
    return chain(conn, lon, lat, Wish("safety", on, known)).links[0]["code"]


def test_the_same_set_again_makes_no_revision(conn: Connection, tmp_path: Path) -> None:
    assert counts(bring(conn, drawn("aabb"), tmp_path)) == (3, 0, 0)
    before = conn.execute(sa.select(grids).order_by(grids.c.id)).all()
    assert counts(bring(conn, drawn("aabb"), tmp_path)) == (0, 0, 3)
    assert conn.execute(sa.select(grids).order_by(grids.c.id)).all() == before
    assert conn.execute(sa.select(sa.func.count()).select_from(revisions)).scalar_one() == 1


def test_grids_without_a_scheme_are_of_the_default_one(conn: Connection, tmp_path: Path) -> None:
    bring(conn, drawn("aabb"), tmp_path)
    again = drawn("aabb").drop(columns="scheme")
    assert counts(bring(conn, again, tmp_path)) == (0, 0, 3)


def test_a_moved_border_is_known_from_its_revision_and_valid_from_its_day(
    conn: Connection, tmp_path: Path
) -> None:
    bring(conn, drawn("aabb"), tmp_path)
    first = latest_revision(conn)
    later = DAY + timedelta(days=100)
    assert counts(bring(conn, drawn("aaab", valid_from=later), tmp_path)) == (0, 2, 1)
    second = latest_revision(conn)
    moved = (2.5, 0.5)
    assert owner(conn, moved, later, first) == "b"
    assert owner(conn, moved, later, second) == "a"
    assert owner(conn, moved, later - timedelta(days=1), second) == "b"
    versions = conn.execute(
        sa.select(sa.func.count()).where(grids.c.code == "a").select_from(grids)
    ).scalar_one()
    assert versions == 3  # the old truth, and the new one in two pieces


def test_two_generations_in_one_file_and_a_day_without_owner(conn: Connection, tmp_path: Path) -> None:
    turn, end = DAY + timedelta(days=10), DAY + timedelta(days=20)
    both = [drawn("ab", valid_to=turn), drawn("aa", valid_from=turn, valid_to=end)]
    frame = gpd.GeoDataFrame(gpd.pd.concat(both, ignore_index=True), crs=4326)
    assert counts(bring(conn, frame, tmp_path)) == (5, 0, 0)
    known = latest_revision(conn)
    assert [owner(conn, (1.5, 0.5), turn + timedelta(days=step), known) for step in (-1, 0)] == ["b", "a"]
    with pytest.raises(NotFound):
        owner(conn, (1.5, 0.5), end, known)


def test_faults_stop_a_set_until_accepted_and_are_recorded(conn: Connection, tmp_path: Path) -> None:
    broken = drawn("a.b")
    broken.loc[0, "geometry"] = shapely.box(*town.at(0, 1), *town.at(3, 0))
    with pytest.raises(BadInput, match=r"1 orphan of 1,\d{3},\d{3} m².*--accept-faults"):
        bring(conn, broken, tmp_path)
    listed = json.loads((tmp_path / "refused.faults.geojson").read_text())
    errors = [one["properties"] for one in listed["features"] if one["properties"]["severity"] == "error"]
    assert [one["kind"] for one in errors] == ["orphan"]
    assert errors[0]["area_m2"] == pytest.approx(1.1e6, rel=0.05)
    assert counts(bring(conn, broken, tmp_path, accept=True)) == (3, 0, 0)
    recorded = conn.execute(sa.select(batches.c.faults)).scalar_one()
    assert "orphan" in [one["kind"] for one in recorded["faults"]]


def test_edges_are_put_on_the_precision_and_that_is_recorded(conn: Connection, tmp_path: Path) -> None:
    frame = drawn("ab")
    frame["geometry"] = shapely.transform(frame.geometry.to_numpy(), lambda xy: xy + 3.3e-8)
    bring(conn, frame, tmp_path)
    shapes = shapely.from_wkb(
        [bytes(one) for one in conn.execute(sa.select(grids.c.geom.ST_AsBinary())).scalars()]
    )
    xy = shapely.get_coordinates(shapes) / PRECISION
    assert np.abs(xy - np.round(xy)).max() < 1e-5
    snapped = conn.execute(sa.select(batches.c.faults)).scalar_one()["snapped"]
    assert 0 < snapped["max_displacement_m"] < 0.02


def test_rows_that_cannot_be_grids_are_refused(conn: Connection, tmp_path: Path) -> None:
    extra = drawn("aabb")
    bad = extra.iloc[[1, 1, 1, 1, 2]].copy()
    bad["code"] = ["x", "y", "z", "q", "b"]
    bad["scheme"] = ["nope", *["safety"] * 4]
    bad["level"] = [2, 9, 2, 2, 2]
    bad["valid_to"] = [None, None, DAY, None, None]
    bad.geometry = [
        *bad.geometry[:3],
        shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
        bad.geometry.iloc[4],
    ]
    frame = gpd.GeoDataFrame(gpd.pd.concat([extra, bad], ignore_index=True), crs=4326)
    outcome = bring(conn, frame, tmp_path)
    assert (outcome.accepted, outcome.refused) == (3, 5)
    assert sorted(field for field, _ in outcome.reasons) == [
        "code",
        "geometry",
        "level",
        "scheme",
        "valid_to",
    ]


_DAYS = st.none() | st.dates(date(2020, 1, 1), date(2020, 1, 12))
_VERSIONS = st.tuples(_DAYS, _DAYS, st.sampled_from("xyz")).map(lambda v: Version(v[0], v[1], (v[2],)))
_LASTING = _VERSIONS.filter(lambda v: v.start < v.end)


@given(st.lists(_LASTING, min_size=1, max_size=6))
def test_the_newest_version_holds_on_its_days_and_the_older_ones_elsewhere(laid: list[Version]) -> None:
    known: list[Version] = []
    for version in laid:
        known = overlay(known, version)
    for day in (date(2019, 12, 31) + timedelta(days=n) for n in range(14)):
        wanted = next((v.content for v in reversed(laid) if v.start <= day < v.end), None)
        got = [v.content for v in known if v.start <= day < v.end]
        assert got == ([wanted] if wanted else [])
    pairs = pairwise(known)
    assert not any(one.end == two.start and one.content == two.content for one, two in pairs)


@given(_LASTING, st.dates(date(2020, 1, 1), date(2020, 1, 12)))
def test_a_version_said_again_changes_nothing(version: Version, today: date) -> None:
    known = [Version(version.first, version.after, version.content, row=1)]
    assert overlay(known, version) == known
    again = dated(Version(None, None, version.content), known, today)
    if in_force(known, today):
        assert overlay(known, again) == known
    else:
        assert again.first == today


@pytest.mark.parametrize(
    ("begins", "said"),
    [
        (None, "a holds since ever, its parent T from 2024-01-01 on only"),
        (date(2020, 1, 1), "a holds since 2020-01-01, its parent T from 2024-01-01 on only"),
        (date(2023, 12, 31), "a holds since 2023-12-31, its parent T from 2024-01-01 on only"),
    ],
)
def test_grids_of_days_before_their_parents_say_so(
    conn: Connection, tmp_path: Path, begins: date | None, said: str
) -> None:
    frame = drawn("aabb")
    bring(conn, frame[frame["code"] == "T"], tmp_path, accept=True)
    children = frame[frame["code"] != "T"].assign(valid_from=begins)
    with pytest.raises(BadInput) as refused:
        bring(conn, children, tmp_path)
    assert f"2 hold on days before their parents: {said}: give it that valid_from" in refused.value.detail
    told = json.loads((tmp_path / "refused.faults.geojson").read_text())
    assert said in json.dumps(told)
