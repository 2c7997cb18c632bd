"""How the cells of a row become our fields: times, words, coordinates, shapes, each with its right answer."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
import sqlalchemy as sa
from pyproj import Transformer
from sqlalchemy.engine import Connection

from gis import crs, schema
from gis.errors import BadInput
from gis.importing import coordinates, drafting, mapping, spoken
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.kinds import KINDS
from gis.importing.mapping import Mapping
from gis.importing.parsing import Parsed, Rules, category, identifier, integer, number, safely
from gis.importing.run import run
from gis.importing.times import COUNTED, day, in_order, known_format, moment
from tests import town

SPAN = (datetime(1950, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
LON, LAT = town.at(0.5, 0.5)


KINDS_OF = {name: {field.name: field.parse for field in kind.fields} for name, kind in KINDS.items()}


def rules_of(*categories: str) -> Rules:
    return Rules("Asia/Shanghai", (), *SPAN, {code: code for code in categories})


def rules(zone: str = "Asia/Shanghai", *formats: str, **more: Any) -> Rules:
    return Rules(zone, formats, *SPAN, {}, **more)


def one(parse: Any, value: Any, of: Rules | None = None) -> Parsed:
    return safely(parse, value if isinstance(value, pa.Array) else pa.array([value]), of or rules())


def why(parsed: Parsed) -> str:
    return parsed.reason if isinstance(parsed.reason, str) else parsed.reason(0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"ROBBERY": "yellow", "*": "blue"}, ["yellow", "blue", None, "blue"]),
        ({"ROBBERY": "yellow"}, ["yellow", "THEFT", None, "*"]),
        ({"*": "blue"}, ["blue", "blue", None, "blue"]),
    ],
)
def test_a_star_stands_for_every_value_that_is_not_named(words: dict[str, Any], expected: list[str]) -> None:
    """Empty cells are none of them; they take the default."""
    given = pa.array(["ROBBERY", "THEFT", None, "*"])
    assert drafting.translated(given, words).to_pylist() == expected


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2025-03-05 14:30:00+00", "14:30"),
        ("2025-03-05 14:30:00+08", "06:30"),
        ("2025-03-05T14:30:00Z", "14:30"),
        ("2025-03-05 14:30 UTC", "14:30"),
        ("2025-03-05 14:30:00 GMT", "14:30"),
        ("2025-03-05 14:30 GMT+8", "06:30"),
        ("2025-03-05T14:30:00.250-0330", "18:00"),
        ("２０２５－０３－０５　１４：３０", "06:30"),
        ("2025年3月5日14时30分", "06:30"),
        ("20250305143000", "06:30"),
        ("2025-03-05 00:00:00 14:30:00", "06:30"),
        ("2025-03-05 1899-12-31 14:30:00", "06:30"),
    ],
)
def test_a_time_with_a_zone_of_any_form_and_one_without(written: str, utc: str) -> None:
    for mixed in ([written], ["2025-03-05 10:00", written, "nonsense"]):
        parsed = one(moment, pa.array(mixed))
        at = mixed.index(written)
        assert not parsed.bad[at]
        assert f"{parsed[0][at].as_py():%Y-%m-%d %H:%M}" == f"2025-03-05 {utc}"


@pytest.mark.parametrize(
    "written",
    [
        "2025", "2025-03", "2025年3月", "2025-03-05T14", "2025-03-05 14时", "14:30", "2025-02-30",
        "2025-13-01",
        "2025-03-05 24:00", "2025-03-05 14:60", "2025-03-05 14:30+99", "2025-03-05 14:30+08:75", "0000-01-01",
        "0001-01-01 00:00+14", "9999-12-31 23:59-14:00", "1900-01-01", "1949-12-31 23:59", "1e308", "\x00",
        "昨天",
    ],
)  # fmt: skip
def test_parts_of_times_and_times_that_are_none_are_refused(written: str) -> None:
    assert one(moment, written).bad.tolist() == [True]
    good = one(moment, pa.array(["2025-03-05 10:00", written]))
    assert good.bad.tolist() == [False, True]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2025-03-05T14:30:00-05:00[America/New_York]", r"\[America/New_York\] behind it is not read"),
        ("2025-03-05T14:30[Asia/Shanghai]", r"\[Asia/Shanghai\] behind it is not read"),
        ("2025-03-05T14:30:00Z[!u-ca=gregory]", r"\[u-ca=gregory\] behind it is not read"),
        ("2025-03-05 14:30 EST", "EST behind it may be several zones"),
        ("2025-03-05 14:30:00 (EDT)", "EDT behind it may be several zones"),
        ("3/5/2025 14:30 IST", "IST behind it may be several zones"),
        ("2025-05-25 05:02-06:02", "span of hours"),
        ("2025-05-25 08:00 - 10:00", "span of hours"),
        ("2025年5月25日 9:30-11:30", "span of hours"),
        ("2025/5/25 9:00–12", "span of hours"),
    ],
)
def test_zones_by_name_are_refused_with_what_to_write(written: str, told: str) -> None:
    assert re.search(told, why(one(moment, written)))


def test_a_part_of_a_time_is_named_as_such() -> None:
    assert "no time of day" in why(one(moment, "2025-03"))
    for written, form in (("45721.604", "excel"), ("1741185000", "unix"), ("1741185000000", "unix_ms")):
        assert f'formats = ["{form}"]' in why(one(moment, written))
        assert f'formats = ["{form}"]' in why(one(moment, pa.array([float(written)])))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Chicago"])
def test_counts_are_read_by_the_mapping_only(zone: str) -> None:
    wanted = datetime(2025, 3, 5, 14, 30, tzinfo=UTC)
    for form, count in (("unix", wanted.timestamp()), ("unix_ms", wanted.timestamp() * 1000)):
        for value in (f"{count:.0f}", count, int(count)):
            assert one(moment, value, rules(zone, form))[0][0].as_py() == wanted
    serial = (datetime(2025, 3, 5, 14, 30) - datetime(1899, 12, 30)) / timedelta(days=1)  # noqa: DTZ001
    local = one(moment, repr(serial), rules(zone, "excel"))[0][0].as_py().astimezone(ZoneInfo(zone))
    assert f"{local:%Y-%m-%d %H:%M:%S}" == "2025-03-05 14:30:00"
    assert one(moment, "45721", rules(zone, "excel")).dated.tolist() == [True]
    assert set(COUNTED) == {"excel", "excel_1904", "unix", "unix_ms"}


@pytest.mark.parametrize(
    ("form", "written", "told"),
    [
        ("%d-%m-%Y", "05-03-2025", date(2025, 3, 5)),
        ("%d/%m/%Y", "05/03/2025", date(2025, 3, 5)),
        ("%m/%d/%Y", "05/03/2025", date(2025, 5, 3)),
        ("%d.%m.%Y %H:%M", "05.03.2025 14:30", date(2025, 3, 5)),
        ("%Y-%d-%m", "2025-05-03", date(2025, 3, 5)),
        ("%d%m%Y", "05032025", date(2025, 3, 5)),
    ],
)
def test_formats_of_the_mapping_go_before_our_own(form: str, written: str, told: date) -> None:
    for parse in (moment, day):
        parsed = one(parse, written, rules("UTC", form))
        assert not parsed.bad[0]
        assert str(parsed[0][0])[:10] == told.isoformat()


@pytest.mark.parametrize("form", ["%Y", "%H:%M", "%Y-%m", "%d-%m", "%Y-%m-%d %H", "%Y-%m-%d %Q", "epoch", ""])
def test_formats_that_tell_no_day_or_half_a_time_are_refused(form: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        known_format(form)


def brute(text: str, zone: str) -> set[datetime]:
    """Every moment at which the clocks of a zone show a time, found by walking over minutes."""
    clock = datetime.fromisoformat(text)
    start = clock.replace(tzinfo=UTC) - timedelta(hours=26)
    walk = (start + timedelta(minutes=minute) for minute in range(52 * 60))
    return {at for at in walk if at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == clock}


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("America/Chicago", "2025-03-09 02:50"), ("America/Chicago", "2025-11-02 01:30"),
        ("Australia/Lord_Howe", "2025-10-05 02:10"), ("Australia/Lord_Howe", "2025-04-06 01:45"),
        ("Europe/London", "2025-03-30 01:30"), ("Asia/Shanghai", "1986-05-04 02:30"),
        ("Asia/Shanghai", "1988-09-11 01:30"), ("Pacific/Apia", "2011-12-30 12:00"),
        ("America/St_Johns", "2025-11-02 01:10"), ("Asia/Kathmandu", "2025-01-01 00:00"),
    ],
)  # fmt: skip
def test_local_times_are_those_of_a_walk_over_all_minutes(zone: str, text: str) -> None:
    parsed, wanted = one(moment, text, rules(zone)), brute(text, zone)
    got = {value for value in (parsed[0][0].as_py(), parsed.other[0].as_py()) if value is not None}
    if wanted:
        assert got == wanted
        assert parsed[0][0].as_py() == min(wanted)
    else:
        local = ZoneInfo(zone)
        naive = datetime.fromisoformat(text)
        assert got == {naive.replace(tzinfo=local, fold=fold).astimezone(UTC) for fold in (0, 1)}
        assert parsed[0][0].as_py() == max(got)


@pytest.mark.parametrize(
    ("zone", "life"),
    [
        ("America/Chicago", ["2025-03-09 02:50", "2025-03-09 03:10"]),
        ("America/Chicago", ["2025-11-02 01:50", "2025-11-02 01:10"]),
        ("America/Chicago", ["2025-11-02 01:50", "2025-11-02 01:10", "2025-11-02 01:20", "2025-11-02 02:00"]),
        ("Australia/Lord_Howe", ["2025-10-05 02:20", "2025-10-05 02:35"]),
        ("Europe/London", ["2025-10-26 01:59", "2025-10-26 01:00"]),
        ("Asia/Shanghai", ["1986-05-04 02:40", "1986-05-04 03:05"]),
    ],
)
def test_the_order_of_a_row_decides_what_the_clocks_leave_open(zone: str, life: list[str]) -> None:
    parsed = [one(moment, text, rules(zone)) for text in life]
    names = [f"t{n}" for n in range(len(life))]
    columns = in_order(
        dict(zip(names, [p[0] for p in parsed], strict=True)),
        dict(zip(names, [p.other for p in parsed], strict=True)), names, {}
    )  # fmt: skip
    times = [columns[name][0].as_py() for name in names]
    assert times == sorted(times)
    for text, at, p in zip(life, times, parsed, strict=True):
        assert at in {p[0][0].as_py(), p.other[0].as_py()}, text


def test_clocks_a_little_ahead_are_taken_as_now_and_told() -> None:
    now = datetime.now(UTC)
    bound = Rules("UTC", (), SPAN[0], now + timedelta(seconds=300), {}, now)
    ahead = [(now + timedelta(seconds=s)).isoformat() for s in (-5, 5, 299, 301, 72_000)]
    parsed = moment(pa.array(ahead), bound)
    assert parsed.bad.tolist() == [False, False, False, True, True]
    assert parsed.clamped.tolist() == [False, True, True, False, False]
    assert parsed[0][2].as_py() == now


SAID = {
    "离线": "offline", "在线": "online", "OFF": "offline", "offline": "offline", "ON": "online",
    "Online ": "online",
    "ｏｆｆ": "offline", "故障": "fault", "Out-Of-Service": "offline", "正常": "online",
    "kaputt": None, "1": None,
}  # fmt: skip


@pytest.mark.parametrize(("word", "ours"), SAID.items())
def test_states_of_cameras_in_the_words_of_people(word: str, ours: str | None) -> None:
    parse = next(field.parse for field in KINDS["cameras"].fields if field.name == "state")
    parsed = one(parse, word)
    assert parsed.bad[0] == (ours is None)
    assert parsed[0][0].as_py() == ours
    if ours is None:
        assert "is none of online, offline, fault" in why(parsed)


@pytest.mark.parametrize(
    ("kind", "name", "table"),
    [
        ("incidents", "state", spoken.STATES), ("incidents", "colour", spoken.COLOURS),
        ("incidents", "source", spoken.SOURCES), ("responders", "status", spoken.STATUSES),
        ("incidents", "datum", spoken.DATUMS), ("cameras", "state", spoken.CAMERA_STATES),
    ],
)  # fmt: skip
def test_every_spoken_word_means_one_of_ours_in_any_case(kind: str, name: str, table: spoken.Spoken) -> None:
    parse = next(field.parse for field in KINDS[kind].fields if field.name == name)
    for ours, said in table.items():
        for word in (ours, *said, *(each.upper() for each in said), *(f" {each} " for each in said)):
            assert one(parse, word)[0][0].as_py() == ours, word


@pytest.mark.parametrize("word", spoken.EMPTY)
def test_what_sources_write_for_nothing_is_nothing(store: Connection, word: str) -> None:
    bring(store, [{"origin_id": "1", "address": word, "accuracy_m": word}])
    got = store.execute(sa.select(schema.incidents.c.address, schema.incidents.c.accuracy_m)).one()
    assert tuple(got) == (None, None)


def test_numbers_keep_all_their_digits_or_are_refused() -> None:
    big = integer(-(2**53 - 1), 2**53 - 1)
    for value in (
        "9007199254740993",
        2.0**53,
        4.3020200001320002e19,
        "12345678901234567",
        "7.5",
        "1e3x",
        True,
    ):
        assert one(big, value).bad[0], value
    for value, kept in (
        ("9007199254740991", 2**53 - 1),
        ("7.0", 7),
        (7.0, 7),
        ("+7", 7),
        ("７", 7),
        ("-7.", -7),
    ):
        assert one(big, value)[0][0].as_py() == kept
    metres = number(0, 1e6, "metres")
    for value in ("1e308", "1e999", "nan", "inf", "-1", "1e-320", "1,5", "0x10", "1_000"):
        assert one(metres, value).bad[0], value
    assert one(metres, "1,5", rules(decimal=","))[0][0].as_py() == 1.5
    assert one(metres, "1.234,5", rules(decimal=",")).bad[0]


def test_ids_are_alike_with_and_without_a_decimal() -> None:
    parse = next(field.parse for field in KINDS["incidents"].fields if field.name == "origin_id")
    got = one(parse, pa.array(["7", "7.0", "0.0", "007.0", "7.50", "1.0.0"]))[0].to_pylist()
    assert got == ["7", "7", "0", "007.0", "7.50", "1.0.0"]


@pytest.mark.parametrize(
    ("written", "axis", "degrees"),
    [
        ("113°10'46.75\"E", "lon", 113 + 10 / 60 + 46.75 / 3600),
        ("N27°50.375'", "lat", 27 + 50.375 / 60),
        ("东经113度10分46秒", "lon", 113 + 10 / 60 + 46 / 3600),
        ("27.84°S", "lat", -27.84),
        ("W 76 36 54", "lon", -(76 + 36 / 60 + 54 / 3600)),
        ("-33:30:00", "lat", -33.5),
        ("113°70'", "lon", None), ("27.84N", "lon", None), ("-113W", "lon", None), ("113.5°30'", "lon", None),
        ("113°10'61\"", "lon", None), ("N27S", "lat", None),
    ],
)  # fmt: skip
def test_degrees_with_letters_and_minutes(written: str, axis: str, degrees: float | None) -> None:
    found, bad = coordinates.degrees(pa.array([written]), axis)
    assert bad[0] == (degrees is None)
    assert degrees is None or found[0] == pytest.approx(degrees, abs=1e-12)


@pytest.mark.parametrize(
    ("written", "order"),
    [
        ("{lon},{lat}", "lonlat"), ("{lon}，{lat}", "lonlat"), ("({lat}, {lon})", "latlon"),
        ("2411 N Charles St\nBaltimore, MD\n({lat}, {lon})", "latlon"), ("{lon} {lat}", "lonlat"),
        ("POINT ({lon} {lat})", "latlon"), ("SRID=4326;POINT({lon} {lat})", "lonlat"),
        ("[{lon};{lat}]", "lonlat"),
    ],
)  # fmt: skip
def test_one_column_of_both_coordinates(store: Connection, written: str, order: str) -> None:
    cell = written.format(lon=LON, lat=LAT)
    for bad in ("113.18", "a,b", "", "1,2,3"):
        chosen = plain().model_copy(update={order: "place", "lon": None, "lat": None})
        data = rows([{"origin_id": "1", "place": cell}, {"origin_id": "2", "place": bad}], lon=None, lat=None)
        outcome = bring_frame(store, data, chosen)
        assert (outcome.accepted, outcome.refused) == (1, 1)
        assert set(outcome.reasons) <= {key for key in outcome.reasons if key[0] == "lon/lat"}
    x, y = store.execute(sa.text("SELECT ST_X(geom), ST_Y(geom) FROM incidents")).one()
    assert (x, y) == (LON, LAT)


@pytest.fixture
def store(conn: Connection) -> Connection:
    """The town with its grids and categories."""
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def plain(kind: str = "incidents", **changes: Any) -> Mapping:
    return mapping.plain(kind, "test").model_copy(update=changes)


def rows(given: list[dict[str, Any]], **instead: Any) -> pd.DataFrame:
    usual = {
        "category": "01",
        "source": "citizen",
        "colour": "blue",
        "state": "closed",
        "lon": LON,
        "lat": LAT,
    }
    usual |= {"occurred_at": "2024-05-06 10:00"} | instead
    return pd.DataFrame([{k: v for k, v in (usual | row).items() if v is not None} for row in given])


def bring(
    conn: Connection, given: list[dict[str, Any]], chosen: Mapping | None = None, **options: Any
) -> Outcome:
    return bring_frame(conn, rows(given), chosen, **options)


def bring_frame(
    conn: Connection,
    frame: pd.DataFrame,
    chosen: Mapping | None = None,
    kind: str = "incidents",
    **options: Any,
) -> Outcome:
    return run(
        conn, kind, from_frame(frame, "f"), Options(mapping=chosen or plain(kind), datum="wgs84", **options)
    )


def test_a_join_of_a_day_and_a_time_is_a_time(store: Connection) -> None:
    chosen = plain(join={"occurred_at": ["day", "clock"]})
    given = [
        {"origin_id": "1", "day": "2025-03-05", "clock": "14:30:00"},
        {"origin_id": "2", "day": "2025-03-05 00:00:00", "clock": "1899-12-30 14:30:00"},
        {"origin_id": "3", "day": "2025-03-05", "clock": ""},
        {"origin_id": "4", "day": "", "clock": "14:30"},
    ]
    outcome = bring_frame(store, rows(given, occurred_at=None), chosen)
    assert (outcome.accepted, outcome.refused) == (3, 1)
    i = schema.incidents.c
    got = store.execute(sa.select(i.occurred_at, i.occurred_precision).order_by(i.origin_id)).all()
    at = datetime(2025, 3, 5, 6, 30, tzinfo=UTC)
    midnight = datetime(2025, 3, 4, 16, tzinfo=UTC)
    assert [tuple(row) for row in got] == [(at, "second"), (at, "second"), (midnight, "day")]


def test_a_day_without_a_time_is_in_order_with_anything_on_that_day(store: Connection) -> None:
    given = [
        {"origin_id": "1", "occurred_at": "2025-03-05 14:30", "reported_at": "2025-03-05"},
        {"origin_id": "2", "occurred_at": "2025-03-05 14:30", "reported_at": "2025-03-04"},
    ]
    outcome = bring(store, given)
    assert (outcome.accepted, outcome.refused) == (1, 1)


def test_a_span_that_ends_on_a_day_ends_with_it_or_with_the_report(store: Connection) -> None:
    given = [
        {"origin_id": "1", "occurred_at": "2025-03-05 14:30", "occurred_until": "2025-03-07 08:00"},
        {"origin_id": "2", "occurred_at": "2025-03-05", "occurred_until": "2025-03-07"},
        {"origin_id": "3", "occurred_at": "2025-03-05", "occurred_until": "2025-03-07"}
        | {"reported_at": "2025-03-07 09:00"},
        {"origin_id": "4", "occurred_at": "2025-03-05", "occurred_until": "2025-03-07"}
        | {"reported_at": "2025-03-07"},
        {"origin_id": "5", "occurred_at": "2025-03-05 14:30", "occurred_until": "2025-03-05 14:00"},
        {"origin_id": "6", "occurred_at": "2025-03-05", "occurred_until": "2025-03-07"}
        | {"reported_at": "2025-03-06 09:00"},
        {"origin_id": "7"},
    ]
    outcome = bring(store, given)
    assert {key[0]: number for key, number in outcome.reasons.items()} == {
        "occurred_until": 1,
        "reported_at": 1,
    }
    i = schema.incidents.c
    got = store.execute(sa.select(i.occurred_until, i.reported_at).order_by(i.origin_id)).all()
    until = [datetime(2025, 3, 7, 0, tzinfo=UTC), datetime(2025, 3, 7, 15, 59, 59, tzinfo=UTC)]
    until += [datetime(2025, 3, 7, 1, tzinfo=UTC), until[1]]
    assert [row.occurred_until for row in got] == [*until, None]
    assert [row.reported_at for row in got][:4] == until, "without a report it is known when the span ends"


def test_a_position_is_as_old_as_its_source_says(store: Connection) -> None:
    given = {"origin_id": "1", "name": "甲", "kind": "patrol", "status": "空闲", "lon": LON, "lat": LAT}
    at = schema.responders.c.position_at
    bring_frame(store, pd.DataFrame([given | {"position_at": "2024-01-01"}]), kind="responders")
    old = datetime(2023, 12, 31, 16, tzinfo=UTC)
    assert store.execute(sa.select(at)).scalar_one() == old
    again = bring_frame(store, pd.DataFrame([given | {"position_at": None}]), kind="responders")
    assert (again.unchanged, store.execute(sa.select(at)).scalar_one()) == (1, old)
    new = bring_frame(store, pd.DataFrame([given | {"origin_id": "2", "position_at": ""}]), kind="responders")
    assert new.inserted == 1
    assert mapping.ready()["zh-spreadsheet"]["responders"].found("position_at", ["定位时间"]) == "定位时间"


BOW = shapely.Polygon([(LON, LAT), (LON + 1e-3, LAT + 1e-3), (LON + 1e-3, LAT), (LON, LAT + 1e-3)])


def test_invalid_shapes_are_repaired_when_asked_and_told(store: Connection) -> None:
    frame = gpd.GeoDataFrame({"origin_id": ["1"]}, geometry=[BOW], crs=4326)
    assert bring_frame(store, frame, kind="buildings").refused == 1
    outcome = bring_frame(store, frame, kind="buildings", repair=True)
    assert (outcome.inserted, outcome.refused) == (1, 0)
    assert any(note.startswith("1 shapes were repaired") for note in outcome.notes)
    reading = (
        store.execute(sa.select(schema.batches.c.reading).order_by(schema.batches.c.id.desc()))
        .scalars()
        .first()
    )
    listed = reading["repaired"]["listed"]
    half = 0.5 * (1e-3 * 111_320) ** 2 * 0.8899
    assert listed[0]["row"] == 1
    assert listed[0]["after_m2"] == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize("epsg", [4610, 4214, 2383, 4258, 4555])
def test_datums_of_unknown_accuracy_are_refused_unless_accepted(store: Connection, epsg: int) -> None:
    house = shapely.box(LON, LAT, LON + 1e-4, LAT + 1e-4)
    frame = gpd.GeoDataFrame({"origin_id": ["1"]}, geometry=[house], crs=4326).to_crs(epsg)
    with pytest.raises(BadInput, match="accept-ballpark"):
        bring_frame(store, frame, kind="buildings")
    outcome = bring_frame(store, frame, kind="buildings", accept_ballpark=True)
    assert outcome.inserted == 1
    assert any("unknown, accepted by --accept-ballpark" in note for note in outcome.notes)
    reading = (
        store.execute(sa.select(schema.batches.c.reading).order_by(schema.batches.c.id.desc()))
        .scalars()
        .first()
    )
    assert reading["transformation"]["accuracy_m"] is None


@pytest.mark.parametrize("epsg", [4490, 4480, 4547, 32649, 3857])
def test_datums_of_known_accuracy_are_told(store: Connection, epsg: int) -> None:
    house = shapely.box(LON, LAT, LON + 1e-4, LAT + 1e-4)
    frame = gpd.GeoDataFrame({"origin_id": ["1"]}, geometry=[house], crs=4326).to_crs(epsg)
    outcome = bring_frame(store, frame, kind="buildings")
    assert outcome.inserted == 1
    assert any(note.startswith("coordinates were transformed by") for note in outcome.notes)


@pytest.mark.parametrize("epsg", [3857, 4547, 32649, 2263, 27700])
def test_degrees_that_claim_to_be_metres_are_refused(store: Connection, epsg: int) -> None:
    frame = gpd.GeoDataFrame({"origin_id": ["1"]}, geometry=[BOW.convex_hull], crs=epsg)
    with pytest.raises(BadInput, match="look like degrees"):
        bring_frame(store, frame, kind="buildings", accept_ballpark=True)


def test_an_unknown_coordinate_system_is_refused() -> None:
    shapes = gpd.points_from_xy([1.0], [2.0])
    for system in ("EPSG:999999", 'LOCAL_CS["site"]', "EPSG:5773", "\x00"):
        with pytest.raises(BadInput):
            crs.to_degrees(shapes, system)


def test_an_unknown_category_names_the_value(store: Connection) -> None:
    assert one(category, "外星人").bad.tolist() == [True]
    assert bring(store, [{"origin_id": "1", "category": "外星人"}, {"origin_id": "2"}]).refused == 1


def points(epsg: int, how: str) -> list[dict[str, Any]]:
    """Two places of the town in a coordinate system, by PROJ's own words, as columns of numbers."""
    xs, ys = Transformer.from_crs(4326, epsg, always_xy=True).transform(
        [LON, LON + 0.001], [LAT, LAT + 0.001]
    )
    pairs = list(zip(xs, ys, strict=True))
    if how == "columns":
        return [{"origin_id": str(at), "lon": x, "lat": y} for at, (x, y) in enumerate(pairs)]
    return [{"origin_id": str(at), "place": f"{x:.9f}, {y:.9f}"} for at, (x, y) in enumerate(pairs)]


def bring_points(store: Connection, epsg: int, how: str, **options: Any) -> Outcome:
    places = {"lonlat": "place"} if how == "pair" else {"lon": "lon", "lat": "lat"}
    said = Mapping(origin="s", columns={"origin_id": "origin_id"}, **places)
    source = replace(from_frame(pd.DataFrame(points(epsg, how)), "f"), crs=f"EPSG:{epsg}")
    return run(store, "cameras", source, Options(mapping=said, **options))


@pytest.mark.parametrize("how", ["columns", "pair"])
@pytest.mark.parametrize("epsg", [4547, 32649, 3857, 4490])
def test_a_coordinate_system_that_is_said_holds_for_columns_of_numbers(
    store: Connection, epsg: int, how: str
) -> None:
    outcome = bring_points(store, epsg, how)
    assert (outcome.inserted, outcome.refused) == (2, 0)
    assert any(note.startswith("coordinates were transformed by") for note in outcome.notes)
    kept = store.execute(
        sa.text("SELECT ST_X(geom), ST_Y(geom) FROM cameras WHERE origin = 's' ORDER BY origin_id")
    ).all()
    assert np.array(kept) == pytest.approx(np.array([(LON, LAT), (LON + 0.001, LAT + 0.001)]), abs=2e-7)


@pytest.mark.parametrize("how", ["columns", "pair"])
@pytest.mark.parametrize("epsg", [4610, 4214])
def test_columns_of_a_datum_of_unknown_accuracy_are_refused(store: Connection, epsg: int, how: str) -> None:
    with pytest.raises(BadInput, match="accept-ballpark"):
        bring_points(store, epsg, how)


def test_columns_of_degrees_that_claim_to_be_metres_are_refused(store: Connection) -> None:
    source = replace(from_frame(pd.DataFrame(points(4326, "columns")), "f"), crs="EPSG:4547")
    with pytest.raises(BadInput, match="look like degrees"):
        run(store, "cameras", source, Options(mapping=mapping.plain("cameras")))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_arrow_in_any_unit_are_read_in_the_zone(unit: str) -> None:
    written = pa.array([1_741_176_060, None]).cast(pa.timestamp("s"))  # 2025-03-05 12:01 on its own clock
    for kind, hour in ((pa.timestamp(unit), 4), (pa.timestamp(unit, "UTC"), 12)):
        parsed = one(moment, written.cast(kind))
        assert parsed[0].to_pylist() == [datetime(2025, 3, 5, hour, 1, tzinfo=UTC), None]
        assert not parsed.bad.any()


def test_every_time_that_nanoseconds_hold_is_read() -> None:
    edges = pa.array([-(2**63) + 1, -1, 0, 2**62, 2**63 - 1], pa.timestamp("ns"))
    days = [date(1677, 9, 21), date(1969, 12, 31), date(1970, 1, 1), date(2116, 2, 20), date(2262, 4, 11)]
    assert one(day, edges)[0].to_pylist() == days


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u00ad", "\u2060", "\u200e", "\ufe0f", "\u3164"])
def test_what_cannot_be_seen_is_no_part_of_a_code(sign: str) -> None:
    written = [f"A{sign}1", f"{sign}A1", f"A1{sign}", "Ａ１", sign, "A1"]
    assert one(identifier, pa.array(written))[0].to_pylist() == ["A1", "A1", "A1", "A1", None, "A1"]
    assert not one(category, pa.array([f"no{sign}ise"]), rules_of("noise")).bad.any()
    assert one(KINDS_OF["cameras"]["gb28181"], f"４３{sign}" + "0" * 18)[0].to_pylist() == ["43" + "0" * 18]


def test_widths_of_a_code_are_one_and_other_signs_stay_apart() -> None:
    written = ["７.０", "７", "7.0", "①", "1", "网格－１", "０１", None]
    assert one(identifier, pa.array(written))[0].to_pylist() == [
        "7",
        "7",
        "7",
        "①",
        "1",
        "网格-1",
        "01",
        None,
    ]


def test_a_row_whose_id_shows_nothing_has_none(store: Connection) -> None:
    rows = [{"origin_id": "A\u200b1"}, {"origin_id": "\u200b"}, {"origin_id": "１２"}]
    assert (outcome := bring(store, rows)).refused == 1
    assert outcome.inserted == 2
    kept = store.execute(sa.select(schema.incidents.c.origin_id)).scalars()
    assert {"A1", "12"} <= set(kept)


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("2025年7月1日 下午3点05分", "15:05"), ("2025-07-01 03:05 PM", "15:05"),
        ("2025-07-01 下午12:30", "12:30"),
        ("2025-07-01 晚上8:00", "20:00"), ("2025-07-01 凌晨2:00", "02:00"),
        ("2025-07-01 12:00 上午", "00:00"),
        ("2025-07-01 12:30 AM", "00:30"), ("2025-07-01 12:30 p.m.", "12:30"),
        ("2025/7/1 上午 12:05:00", "00:05"),
        ("2025年7月1日下午3点半", "15:30"), ("2025年7月1日下午3点整", "15:00"),
        ("2025-07-01 15:05 PM", "15:05"),
        ("2025-07-01 ３:０５ＰＭ", "15:05"), ("2025-07-01 中午12:10", "12:10"),
        ("2025-07-01 中午1:10", "13:10"),
        ("2025-07-01 早上7:05", "07:05"), ("2025-07-01 上午11:59", "11:59"), ("2025-07-01 21点05分", "21:05"),
        ("2025-07-01 00:00:00 下午3:05", "15:05"), ("2025-07-01 09:05 PM GMT+8", "21:05"),
        ("2025-07-01 凌晨12:30", "00:30"), ("2025-07-01 傍晚6:30", "18:30"), ("2025-07-01 11:05 am", "11:05"),
    ],
)  # fmt: skip
def test_words_of_the_day_say_which_hour_is_meant(written: str, hour: str) -> None:
    parsed = one(moment, written)
    assert not parsed.bad[0], why(parsed)
    assert parsed[0][0].as_py().astimezone(ZoneInfo("Asia/Shanghai")).strftime("%H:%M") == hour
    assert not parsed.dated[0]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2025-07-01 晚上12:00", "from 0 to 23"), ("2025-07-01 深夜1:30", "from 0 to 23"),
        ("2025-07-01 15:05 AM", "from 0 to 23"), ("2025-07-01 00:05 PM", "from 0 to 23"),
        ("2025-07-01 凌晨9:00", "from 0 to 23"), ("2025-07-01 中午4:00", "from 0 to 23"),
        ("2025-07-01 25:00 PM", "from 0 to 23"), ("2025年7月1日下午3点", "no time of day"),
        ("2025-07-01 下午3", "no time of day"), ("2025-07-01 3时", "no time of day"),
    ],
)  # fmt: skip
def test_an_hour_that_its_word_leaves_open_is_refused(written: str, told: str) -> None:
    parsed = one(moment, written)
    assert parsed.bad[0]
    assert told in why(parsed)


def camera(**more: Any) -> pd.DataFrame:
    return pd.DataFrame({"origin_id": ["1"], "lon": [LON], "lat": [LAT]} | more)


@pytest.mark.parametrize(
    "word", ["NA", "N.A.", "n.a.", "nil", "暂无", "（空）", "NaN.", "NaN", "无数据", "空"]
)
def test_words_for_nothing_are_nothing(store: Connection, tmp_path: Any, word: str) -> None:
    options = Options(mapping=mapping.plain("cameras", "t"), refused=tmp_path / "r.csv")
    run(store, "cameras", from_frame(camera(address=[word], name=["未知"]), "f"), options)
    assert store.execute(sa.select(schema.cameras.c.address, schema.cameras.c.name)).one() == (None, "未知")


@pytest.mark.parametrize("given", [[-1, 30], [-1.0, 30.0], ["-1", "30"]])
def test_a_number_may_stand_for_nothing(store: Connection, tmp_path: Any, given: list[Any]) -> None:
    (tmp_path / "m.toml").write_text('[cameras]\norigin = "x"\nnulls = ["-1"]\n')
    chosen = mapping.load(str(tmp_path / "m.toml"), "cameras")
    two = pd.concat([camera(), camera(origin_id=["2"])]).assign(range_m=given)
    told = run(store, "cameras", from_frame(two, "f"), Options(mapping=chosen, refused=tmp_path / "r.csv"))
    assert told.accepted == 2
    c = schema.cameras.c
    assert store.execute(sa.select(c.range_m).order_by(c.origin_id)).scalars().all() == [None, 30]


@pytest.mark.parametrize(
    ("srid", "accepted"), [(0, 1), (4326, 1), (4490, 1), (4267, 0), (4610, 0), (2263, 0)]
)
@pytest.mark.parametrize("form", ["hex", "bytes"])
def test_a_shape_that_names_another_system_is_not_taken_for_degrees(
    store: Connection, tmp_path: Any, srid: int, accepted: int, form: str
) -> None:
    """EWKB, as PostGIS copies a geometry column: stored unshifted, NAD27 was 36 m off."""
    given = shapely.to_wkb(
        shapely.set_srid(shapely.Point(LON, LAT), srid), include_srid=True, hex=form == "hex"
    )
    data = pd.DataFrame({"origin_id": ["1"], "geometry": [given]})
    told = run(store, "cameras", from_frame(data, "f"), Options(refused=tmp_path / "r.csv"))
    assert (told.accepted, told.refused) == (accepted, 1 - accepted)
    assert accepted or "SRID" in str(told.reasons)


ONLY = {
    "zone": 'zone = "America/Chicago"', "formats": 'formats = ["excel"]', "nulls": 'nulls = ["?"]',
    "constants": 'constants = { state = "online" }', "one column": 'columns = { name = "title" }',
}  # fmt: skip


@pytest.mark.parametrize("said", ONLY)
def test_a_mapping_that_names_no_column_takes_those_that_bear_our_names(
    store: Connection, tmp_path: Any, said: str
) -> None:
    path = tmp_path / "m.toml"
    path.write_text(f'[cameras]\norigin = "x"\n{ONLY[said]}\n')
    options = Options(mapping=mapping.load(str(path), "cameras"), refused=tmp_path / "r.csv")
    told = run(
        store, "cameras", from_frame(camera(name=["a"], title=["b"], headings=["10|20"]), "f"), options
    )
    assert (told.accepted, told.refused) == (1, 0)
    c = schema.cameras.c
    row = store.execute(sa.select(c.origin, c.name, c.headings, c.state)).one()
    bare = said != "one column"
    assert row == (
        "x",
        "a" if bare else "b",
        [10, 20] if bare else None,
        "online" if said == "constants" else None,
    )


def test_decimal_commas_alone_in_a_mapping(store: Connection, tmp_path: Any) -> None:
    (tmp_path / "m.toml").write_text('[cameras]\norigin = "x"\ndecimal = ","\n')
    data = camera().assign(lon=f"{LON}".replace(".", ","), lat=f"{LAT}".replace(".", ","))
    chosen = mapping.load(str(tmp_path / "m.toml"), "cameras")
    told = run(store, "cameras", from_frame(data, "f"), Options(mapping=chosen, refused=tmp_path / "r.csv"))
    assert told.accepted == 1


def test_a_refused_time_is_shown_as_it_was_written(store: Connection, tmp_path: Any) -> None:
    row = {
        "origin_id": ["1"], "category": "0101", "source": "citizen", "colour": "blue", "state": "closed",
        "occurred_at": "2016-08-10 09:00:00", "reported_at": "2016-08-10T00:00:00", "lon": LON, "lat": LAT,
    }  # fmt: skip
    told = run(store, "incidents", from_frame(pd.DataFrame(row), "f"), Options(refused=tmp_path / "r.csv"))
    assert [dict(one) for one in vars(told)["values"].values()] == [{"2016-08-10T00:00:00": 1}]
