"""Workbooks: what is seen of a cell is what is kept; what was lost, merged or summed up is told."""

import time
import zipfile
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from sqlalchemy.engine import Connection

from gis import schema
from gis.errors import BadInput
from gis.importing import mapping, number_formats, reading, sandbox
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.importing.source import ReadOptions
from tests import town

NAIVE = datetime.fromisoformat("2024-11-08T06:00")
HEAD = ("origin_id", "category", "source", "colour", "state", "occurred_at", "lon", "lat")


@pytest.fixture
def ready(conn: Connection) -> Connection:
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def incident(values: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    lon, lat = town.at(0.5, 0.5)
    usual = ("1", "0101", "citizen", "blue", "reported", "2025-03-05 14:30", lon, lat)
    return dict(zip(HEAD, usual, strict=True)) | (values or {}) | more


def book(path: Path, rows: list[dict[str, Any]], *merged: str, since_1904: bool = False) -> Path:
    """Write rows as a sheet; a value `(number, format)` is a number shown in a format."""
    made = openpyxl.Workbook()
    made.epoch = CALENDAR_MAC_1904 if since_1904 else made.epoch
    sheet = made.worksheets[0]
    names = list(dict.fromkeys(name for row in rows for name in row))
    sheet.append(names)
    for at, row in enumerate(rows, start=2):
        for column, name in enumerate(names, start=1):
            value = row.get(name)
            number, form = value if isinstance(value, tuple) else (value, None)
            cell = sheet.cell(at, column, number)
            cell.number_format = form or cell.number_format
    for one in merged:
        sheet.merge_cells(one)
    made.save(path)
    return path


def bring(conn: Connection, path: Path, kind: str = "incidents", **settings: Any) -> Outcome:
    chosen = mapping.plain(kind).model_copy(update=settings) if settings else None
    return run(conn, kind, reading.read(path), Options(mapping=chosen, refused=path.with_suffix(".refused")))


def ids(conn: Connection, column: str = "origin_id") -> list[str]:
    i = schema.incidents.c
    return list(conn.execute(sa.select(i[column]).order_by(i.id)).scalars())


SEEN = [
    (17, "000", "017"), (402, '"PL-"00000', "PL-00402"), (1209, "00-00", "12-09"), (9, "0000", "0009"),
    (5550199, "[<=9999999]000-0000;(000) 000-0000", "555-0199"), (3, "第0组", "第3组"), (88, "\\Z0", "Z88"),
    (86, "[Blue]0000", "0086"), (21390001, "00000-0000", "02139-0001"), (7, 'General"号"', "7号"),
    (1234567, "#,##0", "1234567"), (7, "0.00", "7"), (13900139000, "0.00E+00", "13900139000"),
    (7, "0_ ", "7"), (12, "[$-804]0", "12"), (5, "@", "5"), (-4, "000", "-004"),
    (0, "0000", "0000"), (4, "#-##", "-4"),
]  # fmt: skip
UNSEEN = [
    (7, "0%"), (7, "# ?/?"), (42, "0,000"), (42, ";;;"), (21000, "0,"), (21_000_000, "0,,"),
    (21000, "#,##0,"), (3_000_021_000, '0.0,"k"'), (21000, '0" thousand",'), (21000, "0,.0"),
]  # fmt: skip
"""The last six are shown in thousands, or in millions."""


def test_what_is_seen_of_a_number_is_its_code(ready: Connection, tmp_path: Path) -> None:
    """Beside plain numbers and texts, in ids and in texts; a number that is meant stays one."""
    lon, lat = town.at(0.5, 0.5)
    place = {"lon": (lon, '"E "0.0'), "lat": (lat, "0")}
    given = [
        incident(origin_id=shown, address=shown, recorded_grid=shown, accuracy_m=(at, '00" m"'), **place)
        for at, shown in enumerate((number, form) for number, form, _ in SEEN)
    ]  # fmt: skip
    for at, row in enumerate(given):
        row["origin"] = f"system {at}"
    told = bring(
        ready, book(tmp_path / "f.xlsx", [*given, incident(origin_id=990), incident(origin_id="x-1")])
    )
    assert (told.refused, ids(ready)) == (0, [*(text for _, _, text in SEEN), "990", "x-1"])
    i = schema.incidents.c
    rows = ready.execute(sa.select(i.address, i.recorded_grid, i.accuracy_m).order_by(i.id)).all()
    assert [tuple(row) for row in rows[:-2]] == [(text, text, at) for at, (_, _, text) in enumerate(SEEN)]
    assert set(ready.execute(sa.text("SELECT ST_X(geom), ST_Y(geom) FROM incidents")).all()) == {(lon, lat)}


def test_a_number_shown_in_a_way_that_we_cannot_tell_is_no_code(ready: Connection, tmp_path: Path) -> None:
    given = [incident(origin_id=shown) for shown in UNSEEN]
    told = bring(ready, book(tmp_path / "f.xlsx", [*given, incident()]))
    assert (told.refused, ids(ready)) == (len(UNSEEN), ["1"])
    ((field, why),) = told.reasons
    assert field == "origin_id"
    assert "shows something else than its digits; format the column as text" in why


LOST = [date(2025, 3, 1), NAIVE, clock(3, 4), timedelta(hours=30), True, False]


@pytest.mark.parametrize("column", ["origin_id", "recorded_grid", "code", "address"])
def test_dates_and_booleans_are_no_codes(ready: Connection, tmp_path: Path, column: str) -> None:
    given = [incident({column: value}, origin_id=f"{at}") for at, value in enumerate(LOST)]
    if column == "origin_id":
        given = [incident(origin_id=value) for value in LOST]
    told = bring(ready, book(tmp_path / "f.xlsx", [*given, incident(origin_id="a", address="b")]))
    if column == "address":
        assert ids(ready, "address") == ["TRUE", "FALSE", "b"]
    else:
        assert ids(ready) == ["a"]
    assert told.refused == len(LOST) + 1 - told.accepted
    assert {field for field, _ in told.reasons} == {column}
    assert all("format the column as text" in why for _, why in told.reasons)


TYPED = [
    pa.array([True, False]), pa.array([date(2025, 3, 1), date(2025, 3, 2)]), pa.array([clock(3, 4)] * 2),
    pa.array([NAIVE] * 2), pa.array([timedelta(1), timedelta(2)]),
    pa.array([datetime(2025, 3, 1, tzinfo=UTC)] * 2),
]  # fmt: skip


@pytest.mark.parametrize("column", ["origin_id", "recorded_grid"])
def test_typed_columns_of_other_things_are_no_codes(ready: Connection, tmp_path: Path, column: str) -> None:
    rows = [incident(), incident(origin_id="2")]
    for values in TYPED:
        table = pa.Table.from_pylist([{n: v for n, v in row.items() if n != column} for row in rows])
        pq.write_table(table.append_column(column, values), tmp_path / "f.parquet")
        told = bring(ready, tmp_path / "f.parquet")
        assert (told.refused, told.accepted) == (2, 0)
        ((field, why),) = told.reasons
        assert (field, "format the column as text" in why) == (column, True)


def test_a_column_of_text_keeps_its_gaps_beside_them(ready: Connection, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([incident(), incident(origin_id="2")])
    table = table.append_column("recorded_grid", pa.array([date(2025, 3, 1), None]))
    pq.write_table(table, tmp_path / "f.parquet")
    told = bring(ready, tmp_path / "f.parquet")
    assert (told.refused, ids(ready)) == (1, ["2"])


@pytest.mark.parametrize("value", ['{"no": 7}', "[7, 8]", "true", "[]"])
def test_objects_lists_and_flags_of_geojson_are_no_ids(ready: Connection, tmp_path: Path, value: str) -> None:
    lon, lat = town.at(0.5, 0.5)
    features = []
    for one in (value, '"plain"', '{"other": [1]}'):
        rest = {name: of for name, of in incident().items() if name not in ("origin_id", "lon", "lat")}
        told = ", ".join(f'"{name}": "{of}"' for name, of in rest.items())
        features.append(
            f'{{"type": "Feature", "geometry": {{"type": "Point", "coordinates": [{lon}, {lat}]}},'
            f' "properties": {{"origin_id": {one}, {told}}}}}'
        )
    (tmp_path / "f.geojson").write_text(
        f'{{"type": "FeatureCollection", "features": [{",".join(features)}]}}'
    )
    told = bring(ready, tmp_path / "f.geojson")
    assert (told.refused, ids(ready)) == (2, ["plain"])
    assert {field for field, _ in told.reasons} == {"origin_id"}


def test_merged_cells_give_their_value_to_every_row(ready: Connection, tmp_path: Path) -> None:
    given = [incident(origin_id=str(at), address=None, description=None) for at in range(6)]
    given[1] |= {"category": "0102", "address": "12 Elm St", "recorded_grid": (7, "000")}
    for row in given[2:4]:
        row["category"] = None
    path = book(tmp_path / "f.xlsx", given, "B3:B5", "I3:I4", "K3:K5")
    told = bring(ready, path, defaults={"category": "0101"})
    assert told.refused == 0
    i = schema.incidents.c
    got = ready.execute(sa.select(i.category, i.address, i.recorded_grid).order_by(i.id)).all()
    usual, merged = ("0101", None, None), ("0102", "12 Elm St", "007")
    assert [tuple(row) for row in got] == [usual, merged, merged, ("0102", None, "007"), usual, usual]
    assert "3 areas of merged cells: each gives its value to every row that it spans" in told.notes


def test_merged_cells_over_columns_and_blank_rows_make_no_rows(ready: Connection, tmp_path: Path) -> None:
    given = [incident(origin_id="1"), {}, incident(origin_id="3"), {"origin_id": "North district"}]
    told = bring(ready, book(tmp_path / "f.xlsx", given, "C2:C4", "A5:H5"))
    assert (told.rows, told.refused, ids(ready)) == (3, 1, ["1", "3"])
    assert any("1 areas of merged cells span several columns" in note for note in told.notes)


@pytest.mark.parametrize("since_1904", [False, True])
def test_numbers_of_days_are_counted_from_the_workbooks_own_day(
    ready: Connection, tmp_path: Path, *, since_1904: bool
) -> None:
    day = (date(2024, 11, 9) - (date(1904, 1, 1) if since_1904 else date(1899, 12, 30))).days
    given = [
        incident(origin_id="number", occurred_at=day + 0.25), incident(origin_id="whole", occurred_at=day),
        incident(origin_id="date", occurred_at=NAIVE + timedelta(1)),
    ]  # fmt: skip
    path = book(tmp_path / "f.xlsx", given, since_1904=since_1904)
    told = bring(ready, path, formats=["excel"])
    i = schema.incidents.c
    got = ready.execute(sa.select(i.occurred_at, i.occurred_precision).order_by(i.id)).all()
    at = datetime(2024, 11, 8, 22, tzinfo=UTC)
    assert told.refused == 0
    assert [tuple(row) for row in got] == [(at, "second"), (at - timedelta(hours=6), "day"), (at, "second")]
    ((_, why),) = bring(ready, book(tmp_path / "g.xlsx", given[:1], since_1904=since_1904)).reasons
    assert "a day number of Excel, 2024-11-09 06:00" in why


def test_the_reading_process_tells_what_is_seen(tmp_path: Path) -> None:
    path = book(tmp_path / "f.xlsx", [{"a": (7, "000"), "b": True}, {"a": 8, "b": "x"}], since_1904=True)
    source = sandbox.read(path)
    (chunk,) = source.chunks()
    assert source.since_1904
    assert {name: of.to_pylist() for name, of in chunk.seen.items()} == {"a": ["007", None]}
    assert {name: of.to_pylist() for name, of in chunk.natures.items()} == {"b": ["boolean", None]}
    assert chunk.table.column_names == ["a", "b"]


def test_formats_of_dates_and_money_cost_nothing() -> None:
    plain = ["", "General", "0", "@", "#,##0.00", "yyyy-mm-dd h:mm", "[$-409]d-mmm-yy;@", "[h]:mm:ss",
             "0_);(0)", "#,##0_);[Red](#,##0)", '"Year "yyyy', "0.00E+00"]  # fmt: skip
    assert [form for form in plain if number_formats.changes(form)] == []


def test_a_large_sheet_of_shown_numbers_is_read_in_seconds(tmp_path: Path) -> None:
    made = openpyxl.Workbook(write_only=True)
    sheet = made.create_sheet()
    sheet.append([f"c{at}" for at in range(5)])
    for at in range(20_000):
        cell = openpyxl.cell.WriteOnlyCell(sheet, at)
        cell.number_format = "000000"
        sheet.append([cell, *range(4)])
    made.save(tmp_path / "f.xlsx")
    start = time.process_time()
    got = np.concatenate([chunk.seen["c0"] for chunk in reading.read(tmp_path / "f.xlsx").chunks()])
    assert list(got) == [f"{at:06d}" if at < 100_000 else None for at in range(20_000)]
    assert time.process_time() - start < 10


def _without_size(path: Path) -> None:
    """Give a workbook's rows and columns of 99.5 points none, which openpyxl does not write."""
    with zipfile.ZipFile(path) as before:
        contents = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in contents.items():
            made.writestr(name, content.replace(b'="99.5"', b'="0"'))


def test_hidden_rows_are_told(ready: Connection, tmp_path: Path) -> None:
    path = book(tmp_path / "f.xlsx", [incident(origin_id=str(at)) for at in range(9)])
    opened = openpyxl.load_workbook(path)
    for row in (3, 4, 20):  # the last one is empty
        opened.worksheets[0].row_dimensions[row].hidden = True
    opened.worksheets[0].row_dimensions[9].height = 99.5
    opened.save(path)
    _without_size(path)
    told = bring(ready, path)
    assert (told.rows, told.refused) == (9, 0)
    assert any(note.startswith("3 hidden rows are read like the others") for note in told.notes)


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_hidden_sheets_are_told_and_read_where_they_are_named(
    ready: Connection, tmp_path: Path, state: str
) -> None:
    path = book(tmp_path / "f.xlsx", [incident(origin_id="seen")])
    opened = openpyxl.load_workbook(path)
    sheet = opened.create_sheet("Lager")
    for row in ([*HEAD], [*incident(origin_id="unseen").values()]):
        sheet.append(row)
    sheet.sheet_state = state
    opened.create_sheet("Leer")
    opened.save(path)
    told = bring(ready, path)
    assert ids(ready) == ["seen"]
    assert "hidden sheets are not read: Lager; --layer names one that is meant" in told.notes
    named = sandbox.read(path, ReadOptions(layer="Lager"))
    assert [chunk.table["origin_id"].to_pylist() for chunk in named.chunks()] == [["unseen"]]
    assert named.notes == ()


def test_a_workbook_of_hidden_sheets_alone_asks_for_one(tmp_path: Path) -> None:
    path = book(tmp_path / "f.xlsx", [incident()])
    opened = openpyxl.load_workbook(path)
    opened.create_sheet("Leer")
    opened.worksheets[0].sheet_state = "hidden"
    opened.active = 1
    opened.save(path)
    with pytest.raises(
        BadInput, match=f"hidden sheets alone; choose one with --layer: {opened.sheetnames[0]}"
    ):
        sandbox.read(path)


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.xls", OLE, "old workbook"),
        ("a.xlsx", OLE, "with a password; save it as xlsx"),
        ("a.ods", None, "OpenDocument .*save it as xlsx"),
        ("a.xlsx", None, "OpenDocument .*save it as xlsx"),
        ("a.xlsx", b"", "is empty"),
        ("a.csv", b"", "is empty"),
    ],
)
def test_workbooks_of_other_kinds_say_what_to_do(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    path = tmp_path / name
    if content is None:
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
            made.writestr("content.xml", "<a/>")
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=why):
        sandbox.read(path)


def test_hidden_columns_are_told_by_name(ready: Connection, tmp_path: Path) -> None:
    path = book(tmp_path / "f.xlsx", [incident(origin_id="1")])
    opened = openpyxl.load_workbook(path)
    sheet = opened.worksheets[0]
    names = [cell.value for cell in sheet[1]]
    sheet.column_dimensions["B"].hidden = True
    sheet.column_dimensions["D"].width = 99.5
    sheet.column_dimensions["C"].width = 10.5
    sheet.column_dimensions["ZZ"].hidden = True  # nothing stands there
    opened.save(path)
    _without_size(path)
    told = bring(ready, path)
    assert f"hidden columns are read like the others: {names[1]}, {names[3]}" in told.notes
