"""Maps of several generations, in whatever order their files come; what a file ends, ends only when asked."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import pytest
from shapely import affinity
from sqlalchemy.engine import Connection

from gis.errors import BadInput, NotFound
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from tests.test_import_grids import MAPPING, drawn, latest_revision, owner

EARLY, LATE, NOW = date(2005, 1, 1), date(2012, 1, 1), date(2026, 1, 1)


def bring(conn: Connection, frame: gpd.GeoDataFrame, folder: Path, *, end: bool = False) -> Outcome:
    options = Options(mapping=MAPPING, datum="wgs84", refused=folder / "refused.csv", end=end)
    return run(conn, "grids", from_frame(frame, "drawn"), options)


def who(conn: Connection, on: date) -> object:
    return owner(conn, (1.5, 0.5), on, latest_revision(conn))


def test_the_map_before_may_come_after_the_one_of_now(conn: Connection, tmp_path: Path) -> None:
    bring(conn, drawn("ab", valid_from=LATE), tmp_path)
    bring(conn, drawn("aa", valid_from=None, valid_to=LATE), tmp_path)
    assert [who(conn, day) for day in (date(1990, 1, 1), date(2011, 12, 31), LATE, NOW)] == [
        "a",
        "a",
        "b",
        "b",
    ]


def test_an_undated_map_over_days_that_are_known_is_refused_with_what_to_say(
    conn: Connection, tmp_path: Path
) -> None:
    bring(conn, drawn("ab", valid_from=LATE), tmp_path)
    bring(conn, drawn("aa", valid_from=None, valid_to=LATE), tmp_path)
    with pytest.raises(BadInput, match="a is known on the days before 2005-01-01 already: say from when"):
        bring(conn, drawn("ba", valid_from=None, valid_to=EARLY), tmp_path)


def test_three_generations_backwards_by_their_days(conn: Connection, tmp_path: Path) -> None:
    bring(conn, drawn("ab", valid_from=LATE), tmp_path)
    bring(conn, drawn("aa", valid_from=EARLY, valid_to=LATE), tmp_path)
    bring(conn, drawn("bb", valid_from=None, valid_to=EARLY), tmp_path)
    assert [who(conn, day) for day in (date(1990, 1, 1), EARLY, LATE)] == ["b", "a", "b"]


def test_a_last_day_ends_what_is_known_only_when_asked(conn: Connection, tmp_path: Path) -> None:
    bring(conn, drawn("ab", valid_from=None), tmp_path)
    ending = drawn("ab", valid_from=None, valid_to=LATE)
    outcome = bring(conn, ending, tmp_path)
    assert outcome.unchanged == 3
    assert any("3 grids hold on after their valid_to" in note and "--end" in note for note in outcome.notes)
    outcome = bring(conn, ending, tmp_path, end=True)
    assert (outcome.updated, outcome.notes) == (3, [])
    assert who(conn, EARLY) == "b"
    with pytest.raises(NotFound):
        who(conn, LATE)
    bring(conn, drawn("aa", valid_from=LATE), tmp_path)
    assert [who(conn, day) for day in (EARLY, LATE)] == ["b", "a"]


def test_a_file_of_all_generations_may_come_again_and_correct_one(conn: Connection, tmp_path: Path) -> None:
    parts = [
        drawn("aab", valid_from=None, valid_to=EARLY), drawn("abb", valid_from=EARLY, valid_to=LATE),
        drawn("bba", valid_from=LATE),
    ]  # fmt: skip
    every = gpd.GeoDataFrame(gpd.pd.concat(parts, ignore_index=True), crs=4326)
    bring(conn, every, tmp_path)
    known = latest_revision(conn)
    assert (bring(conn, every, tmp_path).unchanged, latest_revision(conn)) == (9, known)
    first = drawn("abb", valid_from=None, valid_to=EARLY)
    outcome = bring(conn, first, tmp_path)
    assert outcome.updated == 3, "the whole has the vertices of its parts"
    assert [who(conn, day) for day in (date(1990, 1, 1), EARLY, LATE)] == ["b", "b", "b"]
    assert bring(conn, first, tmp_path).unchanged == 3


def test_generations_one_by_one_take_nothing_back_from_plans(conn: Connection, tmp_path: Path) -> None:
    for picture, days in (("aab", (None, EARLY)), ("abb", (EARLY, LATE)), ("bba", (LATE, None))):
        outcome = bring(conn, drawn(picture, valid_from=days[0], valid_to=days[1]), tmp_path)
        assert not [note for note in outcome.notes if "plans" in note]


def test_the_map_before_may_come_again_where_its_lines_do_not_quite_meet(
    conn: Connection, tmp_path: Path
) -> None:
    def unevenly(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        apart = [affinity.translate(one, 3e-8, -2e-8 * (n % 2)) for n, one in enumerate(frame.geometry)]
        return frame.set_geometry(apart)

    before = unevenly(drawn("abab", valid_from=None, valid_to=LATE))
    bring(conn, before, tmp_path)
    bring(conn, unevenly(drawn("abab", valid_from=LATE)), tmp_path)
    outcome = bring(conn, before, tmp_path)
    assert (outcome.unchanged, outcome.inserted, outcome.updated) == (outcome.rows, 0, 0)
