"""A proposed mapping loads as it is, takes what it knows, and lets nothing unknown pass for another."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from gis.importing import mapping, proposing, reading
from gis.importing.job import Options, Outcome, rules
from gis.importing.kinds import KINDS
from gis.importing.run import run
from gis.importing.source import ReadOptions
from tests import town

HEAD = "编号,类别,来源,发生时间,经度,纬度,坐标系,等级,状态"


@pytest.fixture
def store(conn: Connection) -> Connection:
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def propose(conn: Connection, kind: str, file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return proposing.propose(KINDS[kind], reading.read(file), rules(conn, mapping.plain(kind)))


def bring(conn: Connection, kind: str, file: Path, proposed: str) -> Outcome:
    said = file.with_suffix(".toml")
    said.write_text(proposed, encoding="utf-8")
    options = Options(
        mapping=mapping.load(str(said), kind), datum="wgs84", refused=file.with_suffix(".no.csv")
    )
    return run(conn, kind, reading.read(file), options)


def test_what_was_said_of_the_file_is_in_the_proposal(store: Connection, tmp_path: Path) -> None:
    """So that it can be imported with the proposal alone."""
    file, said = tmp_path / "f.csv", ReadOptions(encoding="windows-1252", header_row=2, crs="EPSG:4326")
    file.write_bytes("\n".join(["Übersicht", HEAD, row(1)]).encode("gb18030"))
    source, rules_of = (
        reading.read(file, replace(said, encoding="gb18030")),
        rules(store, mapping.plain("incidents")),
    )
    told = proposing.propose(KINDS["incidents"], source, rules_of, said)
    file.with_suffix(".toml").write_text(told, encoding="utf-8")
    proposed = mapping.load(str(file.with_suffix(".toml")), "incidents")
    assert proposed.reading(ReadOptions()) == said


def row(number: int, datum: str = "", lon: str = "113.005", lat: str = "27.045") -> str:
    return f"{number},01,热线,2025-05-03 10:00,{lon},{lat},{datum},一般,已办结"


def test_an_unknown_datum_is_refused_and_takes_no_default(store: Connection, tmp_path: Path) -> None:
    lines = [HEAD, row(1), row(2, "WGS84"), row(3, "腾讯地图"), row(4, "某某地图"), row(5, "某某地图")]
    file = tmp_path / "f.csv"
    told = propose(store, "incidents", file, "\n".join(lines))
    assert '# "某某地图" = ' in told
    assert '"腾讯地图" = ' not in told, "it is a word of ours"
    outcome = bring(store, "incidents", file, told)
    assert (outcome.inserted, outcome.refused) == (2, 3), outcome.reasons  # one contradicts --datum
    assert {field for field, _ in outcome.reasons} == {"datum"}


def test_coordinates_are_proposed_though_some_cells_are_none(store: Connection, tmp_path: Path) -> None:
    lines = [HEAD, *(row(n) for n in range(8)), row(8, lon="不详"), row(9, lat="113°0'18\"E")]
    file = tmp_path / "f.csv"
    told = propose(store, "incidents", file, "\n".join(lines))
    assert 'lon = "经度"' in told
    assert 'lat = "纬度"' in told
    outcome = bring(store, "incidents", file, told)
    assert (outcome.inserted, outcome.refused) == (8, 2), outcome.reasons


def test_a_column_that_only_bears_the_name_is_not_proposed(store: Connection, tmp_path: Path) -> None:
    lines = [HEAD, *(row(n, lon="东街", lat="西街") for n in range(5)), row(5)]
    told = propose(store, "incidents", tmp_path / "f.csv", "\n".join(lines))
    assert "经度" not in told.partition("[incidents]")[2]


def test_an_english_file_is_taken_by_its_headings(store: Connection, tmp_path: Path) -> None:
    file = tmp_path / "cams.csv"
    text = "OBJECTID,DIRECTION,LOCATION,LON,LAT\n1,N/B,12th St,113.005,27.045\n2,NE/B,U St,113.006,27.045\n"
    told = propose(store, "cameras", file, text)
    assert '"N/B" = "0"' in told
    assert '# "NE/B" = ' in told
    outcome = bring(store, "cameras", file, told)
    assert (outcome.inserted, outcome.refused) == (1, 1)


@pytest.mark.parametrize(
    "word", ["镇", "乡镇街道", "街道办事处", "民族乡", "居委会", "1级", "二级", "市辖区", "专属网格"]
)
def test_levels_are_read_in_the_words_of_offices(word: str) -> None:
    assert word in mapping.load("zh-spreadsheet", "grids").values["level"]


def test_times_are_found_by_what_stands_below_their_heading(store: Connection, tmp_path: Path) -> None:
    file = tmp_path / "hub.csv"
    head = "RowID,CrimeDateTime,UpdateNote,category,source,lon,lat,colour,state"
    rows = [
        f"{at},2025/03/05 01:{at:02d}:00+00,date unknown,01,hotline,113.005,27.045,blue,closed"
        for at in range(5)
    ]
    told = propose(store, "incidents", file, "\n".join([head, *rows]))
    assert 'occurred_at = "CrimeDateTime"' in told
    assert bring(store, "incidents", file, told + 'datum = "wgs84"\n').inserted == 5


def test_of_several_columns_of_times_none_is_chosen(store: Connection, tmp_path: Path) -> None:
    file = tmp_path / "two.csv"
    rows = [f"{at},2025-03-05 01:00,2025-03-05 02:00,113.005,27.045" for at in range(3)]
    told = propose(store, "incidents", file, "\n".join(["RowID,FirstDateTime,NextDateTime,lon,lat", *rows]))
    assert "occurred_at =" not in told.replace('occurred_at = ""', "")
    assert "FirstDateTime, NextDateTime" in told


@pytest.mark.parametrize("written", ["1/27/2025 9:39 PM", "27-Jan-2025 21:39", "27-JAN-25 09.39.00 PM"])
def test_a_format_is_proposed_for_what_reads_in_one_way(
    store: Connection, tmp_path: Path, written: str
) -> None:
    rows = [f"{at},{written},113.005,27.045" for at in range(3)]
    told = propose(
        store, "incidents", tmp_path / "f.csv", "\n".join(["origin_id,occurred_at,lon,lat", *rows])
    )
    assert "\nformats = [" in told


def test_the_code_of_a_grid_is_the_column_in_which_each_row_has_its_own(
    store: Connection, tmp_path: Path
) -> None:
    rows = [f'{at % 2},B{at},"POLYGON ((0 0, 1 0, 1 1, 0 0))"' for at in range(4)]
    told = propose(store, "grids", tmp_path / "f.csv", "\n".join(["DISTRICT,BEAT_NO,wkt", *rows]))
    assert '\ncode = "BEAT_NO"' in told


def test_coordinates_with_commas_are_proposed_with_their_sign(store: Connection, tmp_path: Path) -> None:
    rows = [f'{at};01;热线;2025-05-03 10:00;"113,00{at}";"27,04{at}";一般;已办结' for at in range(1, 6)]
    file = tmp_path / "f.csv"
    head = "编号;类别;来源;发生时间;LON;LAT;等级;状态"
    told = propose(store, "incidents", file, "\n".join([head, *rows]))
    assert '\ndecimal = ","' in told
    outcome = bring(store, "incidents", file, told)
    assert (outcome.inserted, outcome.refused) == (5, 0), outcome.reasons


@pytest.mark.parametrize("heading", ["DATA_OCORRENCIA", "Fecha", "発生日時", "Uhrzeit"])
def test_times_are_found_in_other_languages(store: Connection, tmp_path: Path, heading: str) -> None:
    rows = [f"{at},2025-03-0{at} 01:00,113.005,27.045" for at in range(1, 4)]
    told = propose(store, "incidents", tmp_path / "f.csv", "\n".join([f"NUM,{heading},lon,lat", *rows]))
    assert f'occurred_at = "{heading}"' in told
