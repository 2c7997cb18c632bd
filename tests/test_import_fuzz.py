"""Rows of every kind with mutated values: no exception, each bad row refused with its field, good rows in."""

from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.importing import mapping
from gis.importing.job import Options, Outcome
from gis.importing.kinds import KINDS, Kind
from gis.importing.run import run
from gis.importing.source import Source, numbered
from tests import town

LON, LAT = town.at(0.5, 0.5)
GOOD: dict[str, dict[str, str]] = {
    "staff": {"name": "甲", "grid_code": "T1a", "post": "网格长", "valid_from": "2024-01-01"},
    "categories": {"code": "c", "name_zh": "名", "name_en": "n"},
    "buildings": {"name": "楼", "floors": "3", "households": "12"},
    "cameras": {"gb28181": "43020200001320002001", "state": "在线", "headings": "90|180", "fov": "60"},
    "incidents": {
        "category": "01", "source": "citizen", "colour": "blue", "state": "closed",
        "occurred_at": "2024-05-06 10:00", "reported_at": "2024-05-06 10:05",
    },
    "responders": {"name": "甲", "kind": "patrol", "status": "空闲", "skills": "急救|消防"},
    "places": {"name": "学校", "kind": "school"},
    "areas": {"kind": "water"},
    "roads": {"class": "primary", "u": "1", "v": "2", "oneway": "是"},
}  # fmt: skip
SHAPES = {
    "polygon": shapely.box(LON, LAT, LON + 1e-4, LAT + 1e-4).wkt,
    "line": shapely.LineString([(LON, LAT), (LON + 1e-4, LAT)]).wkt,
    "any": f"POINT ({LON} {LAT})",
}
EVIL = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\n",
    "\x7f",
    "　",
    "\ufeff",
    "\u202e",
    "\ufffd",
    "\ue000",
    "a" * 100_000,
    "漢" * 3000,
    "1e308",
    "-1e308",
    "1e999",
    "1e-320",
    "5e-324",
    "nan",
    "inf",
    "-inf",
    "0x1F",
    "1_000",
    "１２３",
    "٣",
    "−5",
    "-0",
    "0.0",
    "7.0",
    "9007199254740993",
    "12345678901234567",
    "99999999999999999999",
    "4.3020200001320002E+19",
    "2147483648",
    "32768",
    "359.99999999",
    "360",
    "-0.0001",
    "1,5",
    "1.234,5",
    "=1+1",
    "@x",
    "+cmd|' /C calc'!A0",
    "#N/A",
    "#REF!",
    "NULL",
    "None",
    "-",
    "--",
    "无",
    "true",
    "是",
    "2025",
    "2025-03",
    "2025-03-05T14",
    "2025-03-05 14:30:00+00",
    "2025-03-05 14:30:00+08",
    "2025-03-05 14:30+99",
    "2025-02-30",
    "0000-00-00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31",
    "1900-01-00",
    "12/31/2024",
    "2025-03-09 02:50",
    "24:00",
    "45721.5",
    "1741185000",
    "1741185000000",
    "2094-01-01",
    "T1a",
    "01",
    "blue|red",
    "{}",
    "{1,2}",
    '"',
    "\\",
    "\\N",
    "'; DROP TABLE incidents; --",
    "%s",
    "$1",
    "[1,2]",
    '{"a":1}',
    "113°10'",
    "N27",
    "POINT EMPTY",
    "POINT (nan nan)",
    "POINT (1e308 1e308)",
    "POINT Z (1 2 3)",
    "POLYGON EMPTY",
    "POLYGON ((113 27, 113 27, 113 27, 113 27))",
    "POLYGON ((113 27, 113.1 27.1, 113.1 27, 113 27.1, 113 27))",
    "POLYGON ((1e308 0, 1e308 1e308, 0 1e308, 1e308 0))",
    "LINESTRING (113 27, 113 27)",
    "LINESTRING (113 27)",
    "MULTIPOINT (113 27, 114 28)",
    "GEOMETRYCOLLECTION EMPTY",
    "CIRCULARSTRING (0 0, 1 1)",
    "TIN EMPTY",
    "CURVEPOLYGON (CIRCULARSTRING (113 27, 113.001 27.001, 113.002 27, 113.001 26.999, 113 27))",
    "POLYGON ((113 27, 113.00000001 27, 113.00000001 27.00000001, 113 27))",
    "SRID=3857;POINT (1 2)",
    "POINT (1 2",
    "0101000000",
    "ffffffffff",
    "𝒳",
    "\u0301" * 50,
    "Ⅱ",
    "A\u00a0B",
    "\t7\t",
    "7 ",
    "+7",
    ".5",
    "5.",
    "1e3",
]
NATIVE: list[pa.Array] = [
    pa.array([2**63 - 1, None, -(2**63)]),
    pa.array([2**64 - 1, 0, None], pa.uint64()),
    pa.array([1e308, np.nan, -0.0]),
    pa.array([4.3e19, 2.0**53, 7.0]),
    pa.array([True, None, False]),
    pa.array([b"\xff\xfe", b"ok", None]),
    pa.array([["a", None], [], None]),
    pa.array([[1.5], [2.0], [3.0]]),
    pa.array([{"a": 1}, None, {"a": 2}]),
    pa.array([2**31 - 1, -(2**31), 0], pa.int32()).cast(pa.date32()),
    pa.array([2**62, -(2**62), 0], pa.timestamp("s")),
    pa.array([2**62, 0, None], pa.timestamp("ns", "UTC")),
    pa.array([2**62, 0, None], pa.timestamp("us", "America/Chicago")),
    pa.array([1, 2, 86_399], pa.time32("s")),
    pa.array(["a", "a", None]).dictionary_encode(),
    pa.array([1, 2, None], pa.duration("s")),
    pa.array([None, None, None]),
    pa.array([1, 2, 3], pa.decimal128(20, 0)),
    pa.array([1.5, 2, 3], pa.float16()),
]


def good_row(kind: Kind, number: int) -> dict[str, str | None]:
    row: dict[str, str | None] = {field.name: None for field in kind.fields} | GOOD[kind.name]
    row["code" if kind.name == "categories" else "origin_id"] = f"g{number}"
    if kind.shape in ("point", None):
        return row | ({"lon": str(LON), "lat": str(LAT)} if kind.shape else {})
    return row | {"geometry": SHAPES[kind.shape]}


def mutated(row: dict[str, str | None], random: Random) -> dict[str, str | None]:
    """One to three cells of a row replaced: by an evil value, or by letters of their own put in a mess."""
    result = dict(row)
    for name in random.sample(sorted(row), random.choice((1, 1, 1, 2, 3))):
        old = result[name] or "x"
        at = random.randrange(len(old))
        result[name] = random.choice([
            random.choice(EVIL), random.choice(EVIL),
            old[:at] + chr(random.randrange(0xD7FF)) + old[at + 1 :],
            old * random.choice((2, 40)), old[:at], old + random.choice(EVIL)[:40],
        ])  # fmt: skip
    return result


def source_of(table: pa.Table) -> Source:
    columns = tuple(table.column_names)
    return Source("fuzz", "0", columns, lambda: numbered(iter([(table, None)])), total=table.num_rows)


def brought(conn: Connection, kind: Kind, table: pa.Table, refused: Path) -> Outcome:
    with conn.begin_nested() as savepoint:
        options = Options(mapping=mapping.plain(kind.name, "fuzz"), datum="wgs84", refused=refused)
        outcome = run(conn, kind.name, source_of(table), options)
        savepoint.rollback()
    return outcome


def check(outcome: Outcome, rows: int, good: int) -> None:
    fields = {field.name for field in KINDS[outcome.kind].fields} | {
        "lon",
        "lat",
        "lon/lat",
        "geometry",
        "row",
    }
    assert outcome.rows == rows
    assert outcome.accepted + outcome.refused == rows
    assert outcome.accepted >= good
    assert outcome.inserted + outcome.updated + outcome.unchanged == outcome.accepted
    assert sum(outcome.reasons.values()) == outcome.refused
    assert {field for field, _ in outcome.reasons} <= fields


def fuzz(conn: Connection, kind: Kind, seed: int, rows: int, refused: Path) -> Outcome:
    """Import good rows with as many mutated ones between them; all good ones must go in."""
    random = Random(f"{kind.name} {seed}")
    good = [good_row(kind, number) for number in range(rows // 2)]
    # Ids of evil rows must not take those of good ones: they come behind.
    evil = [mutated(good_row(kind, rows + number), random) for number in range(rows - len(good))]
    table = pa.Table.from_pandas(pd.DataFrame([*good, *evil], dtype=object), preserve_index=False)
    table = pa.table({name: table[name].cast(pa.string()) for name in table.column_names})
    outcome = brought(conn, kind, table, refused)
    check(outcome, rows, len(good))
    return outcome


@pytest.fixture
def store(conn: Connection) -> Connection:
    """The town with its grids and categories."""
    town.add_grids(conn)
    town.add_city(conn)
    return conn


ROWWISE = [kind for kind in KINDS.values() if kind.name in GOOD]


@pytest.mark.parametrize("kind", ROWWISE, ids=lambda kind: kind.name)
def test_mutated_rows_are_refused_by_name_and_good_ones_go_in(
    store: Connection, kind: Kind, tmp_path: Path
) -> None:
    outcome = fuzz(store, kind, seed=1, rows=300, refused=tmp_path / "r.csv")
    assert outcome.refused > 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROWWISE, ids=lambda kind: kind.name)
def test_twenty_thousand_mutated_rows(store: Connection, kind: Kind, tmp_path: Path) -> None:
    for seed in range(2, 6):
        fuzz(store, kind, seed, rows=700, refused=tmp_path / f"{seed}.csv")


@pytest.mark.parametrize("kind", ROWWISE, ids=lambda kind: kind.name)
def test_every_evil_value_in_every_field(store: Connection, kind: Kind, tmp_path: Path) -> None:
    """Each value alone: a row that fails cannot hide behind another."""
    names = sorted(good_row(kind, 0))
    rows = []
    for name in names:
        for value in EVIL:
            rows.append(good_row(kind, len(rows)) | {name: value})
    frame = pd.DataFrame([*rows, good_row(kind, len(rows))], dtype=object)
    table = pa.table({name: pa.array(frame[name].tolist(), pa.string()) for name in frame})
    check(brought(store, kind, table, tmp_path / "r.csv"), len(rows) + 1, 1)


def with_column(kind: Kind, name: str, column: pa.Array) -> pa.Table:
    """Good rows with one column of another type than text."""
    rows = [good_row(kind, number) for number in range(len(column))]
    table = pa.table({key: pa.array([row[key] for row in rows], pa.string()) for key in rows[0]})
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize("kind", ROWWISE, ids=lambda kind: kind.name)
def test_a_column_of_another_type_in_every_field(store: Connection, kind: Kind, tmp_path: Path) -> None:
    random = Random(kind.name)
    for name in sorted(good_row(kind, 0)):
        table = with_column(kind, name, random.choice(NATIVE))
        check(brought(store, kind, table, tmp_path / "r.csv"), table.num_rows, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROWWISE, ids=lambda kind: kind.name)
def test_columns_of_every_type_in_every_field(store: Connection, kind: Kind, tmp_path: Path) -> None:
    for name in sorted(good_row(kind, 0)):
        for column in NATIVE:
            table = with_column(kind, name, column)
            check(brought(store, kind, table, tmp_path / "r.csv"), table.num_rows, 0)


def test_bytes_that_are_no_text_cost_their_row_only(store: Connection, tmp_path: Path) -> None:
    kind = KINDS["incidents"]
    rows = [good_row(kind, number) for number in range(3)]
    table = pa.table({key: pa.array([row[key] for row in rows], pa.string()) for key in rows[0]})
    raw = pa.array([b"fine", b"\xb0\xa1\xff", None], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    table = table.set_column(table.column_names.index("address"), "address", broken)
    check(brought(store, kind, table, tmp_path / "r.csv"), 3, 2)
    assert store.execute(sa.text("SELECT count(*) FROM incidents")).scalar_one() == 0
