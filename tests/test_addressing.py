"""Incidents without coordinates are placed by their address, or refused with the reason."""

from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from shapely import LineString
from sqlalchemy.engine import Connection

from gis import schema
from gis.addresses.match import find as search
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.network.ranges import METRES, Found, Road, Streets, one_of
from gis.network.street_names import Address, Block, Crossing, House, parse, street_key
from gis.schema import city, grids, incidents
from tests import town

NORTH = LineString([town.at(1, 2), town.at(1, 1)])
"""A street of a block's length that runs north: its left side lies in the west."""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2411 north charles street", House(2411, "N CHARLES ST")),
        ("2411 N. Charles St., Baltimore, MD 21218", House(2411, "N CHARLES ST")),
        ("219 Monsignor O'Brien Hwy", House(219, "MONSIGNOR OBRIEN HWY")),
        ("12A Elm Street Apt 5", House(12, "ELM ST")),
        ("12-14 Elm St #3", House(12, "ELM ST")),
        ("Unit 5 - 874 Sherbourne St", House(874, "SHERBOURNE ST")),
        ("Apt 5, 12 King St W, Toronto", House(12, "KING ST W")),
        ("#5 - 12 King St W", House(12, "KING ST W")),
        ("5 - 874 Sherbourne St", House(874, "SHERBOURNE ST")),
        ("Flat 2 12 High St", House(12, "HIGH ST")),
        ("12, King St W", House(12, "KING ST W")),
        ("Unit 12 High St", None),
        ("37 1/2 First Street", House(37, "1ST ST")),
        ("012XX N STATE ST", Block(1200, 1299, "N STATE ST")),
        ("0000X W TERMINAL ST".replace("0000X", "000XX"), Block(0, 99, "W TERMINAL ST")),
        ("1200 BLOCK OF Hanover St SW", Block(1200, 1299, "HANOVER ST SW")),
        ("1300 - 1399 BLOCK OF 5TH STREET NE", Block(1300, 1399, "5TH ST NE")),
        ("N Charles St & W North Ave", Crossing(("N CHARLES ST", "W NORTH AVE"))),
        ("Charles Street at North Avenue", Crossing(("CHARLES ST", "NORTH AVE"))),
        ("CHARLES ST / NORTH AVE", Crossing(("CHARLES ST", "NORTH AVE"))),
        ("秋实路２号", House(2, "秋实路")),
        ("秋实路2号附3号", House(2, "秋实路")),
        ("秋实路2号1单元501室", House(2, "秋实路")),
        ("秋实路2号501", House(2, "秋实路")),
        ("秋实路2号3栋", None),
        ("秋实路2号旁", None),
        ("秋实路2号对面", None),
        ("秋实路2号门口", None),
        ("秋实路2号3号楼501", None),
        ("秋实路2号至6号", House(6, "秋实路2号至")),
        ("秋实路2号御苑3栋1单元", None),
        ("秋实路2", House(2, "秋实路")),
        ("国道320", None),
        ("红旗路与人民路交叉口", Crossing(("红旗路", "人民路"))),
        ("红旗路人民路交叉口", Crossing(("红旗路", "人民路"))),
        ("太和路、和平大道交界处", Crossing(("太和路", "和平大道"))),
        ("太和路和和平大道的十字路口", Crossing(("太和路", "和平大道"))),
        ("秋实路和人民路丁字路口", Crossing(("秋实路", "人民路"))),
        ("somewhere", None),
        ("12/5 High Street", House(5, "HIGH ST")),
        ("3/12 High St", House(12, "HIGH ST")),
        ("1X MAIN ST", None),
        ("12X Main St", None),
        ("12 X St", House(12, "X ST")),
        ("Bahnhofstr. 12", House(12, "BAHNHOFSTR", as_written=True)),
        ("Lange Straße 5a", House(5, "LANGE ST", as_written=True)),
        ("Via Roma 12, 20121 Milano", House(12, "VIA ROMA", as_written=True)),
        ("Rua XV de Novembro, 123", House(123, "RUA XV DE NOVEMBRO", as_written=True)),
        ("ul. 3 Maja 12", House(12, "UL 3 MAJA", as_written=True)),
        ("Via Roma n. 12", House(12, "VIA ROMA", as_written=True)),
        ("Rua Augusta, nº 12", House(12, "RUA AUGUSTA", as_written=True)),
        ("Bahnhofstr. 12-14", House(12, "BAHNHOFSTR", as_written=True)),
        ("10-123 Main St", None),
        ("37-10 Main St", None),
        ("12-13 Elm St", None),
        ("1O Main St", None),
        ("Bahnhofstr. 12-3", None),
        ("Bahnhofstr. 12X", None),
        ("Bahnhofstr. 1X", None),
        ("Via Roma, 1X", None),
        ("Main St 5", None),
        ("Highway 12", None),
        ("County Road 9", None),
        ("Main St, 5", None),
    ],
)
def test_addresses_are_read_as_people_write_them(text: str, meant: Any) -> None:
    assert parse(text) == meant


def test_streets_are_one_in_any_of_their_spellings() -> None:
    spellings = ["North Charles Street", "N. CHARLES ST.", "n charles st", "Ｎorth  Charles  Street"]
    assert {street_key(one) for one in spellings} == {"N CHARLES ST"}


def street(**sides: Any) -> Streets:
    numbers = {"left": (101, 199, "odd"), "right": (100, 198, "even")} | sides
    return Streets([Road("N Charles St", NORTH, 1, 2, numbers["left"], numbers["right"])])


def find(streets: Streets, address: Address) -> Found | str:
    """Return where an address lies that names no region, or why that is not known."""
    places = streets.places(address)
    return places if isinstance(places, str) else one_of(address, places)


@pytest.mark.parametrize(("number", "share", "west"), [(101, 0, True), (151, 0.51, True), (198, 1, False)])
def test_a_house_stands_on_its_side_and_where_its_number_falls(number: int, share: float, west: bool) -> None:
    found = find(street(), House(number, "N CHARLES ST"))
    assert not isinstance(found, str)
    lon, south = NORTH.coords[0]
    assert (found.lon < lon) is west
    length = NORTH.length
    assert (found.lat - south) / length == pytest.approx(share, abs=0.02)
    beside = abs(found.lon - lon) * METRES * 0.89
    assert 10 < beside < 20
    assert found.by == "range"


@pytest.mark.parametrize("written", ["101/2 N Charles St", "11/2 N Charles St", "12/3 N Charles St"])
def test_what_may_be_a_unit_or_a_fraction_is_not_placed(written: str) -> None:
    meant = parse(written)
    assert meant is not None
    assert isinstance(find(street(left=(1, 199, "odd"), right=(2, 198, "even")), meant), str)


def test_a_number_behind_the_street_wants_its_whole_name() -> None:
    lines = Streets([Road(name, NORTH, 1, 2, (1, 99, "odd"), None) for name in ("Via Roma", "Mill Rd")])
    for written, there in (("Via Roma 11", True), ("Mill 11", False), ("Roma 11", False)):
        meant = parse(written)
        assert meant is not None
        assert isinstance(find(lines, meant), str) is not there


def test_a_street_that_ends_in_a_number_is_no_house_of_another() -> None:
    names = ("Jalan Mawar", "Jalan Mawar 3")
    lines = Streets([Road(name, NORTH, 1, 2, (1, 99, "odd"), None) for name in names])
    meant = parse("Jalan Mawar 3")
    assert meant is not None
    assert "is a street" in str(find(lines, meant))
    meant = parse("Jalan Mawar 5")
    assert meant is not None
    assert not isinstance(find(lines, meant), str)


def test_the_end_of_a_range_is_not_the_whole_of_it() -> None:
    """Number 100 stands in the last house of a range up to it: the block of 100 begins there."""
    found = find(street(left=(1, 99, "odd"), right=(2, 100, "even")), Block(100, 199, "N CHARLES ST"))
    assert not isinstance(found, str)
    assert found.lat == pytest.approx(NORTH.coords[-1][1], abs=1e-4)


def test_a_street_without_its_direction_is_found_where_only_one_can_be_meant() -> None:
    assert not isinstance(find(street(), House(120, "CHARLES ST")), str)
    both = Streets([*street().roads, Road("S Charles St", NORTH, 3, 4, None, (100, 198, "even"))])
    assert find(both, House(120, "CHARLES ST")) == "CHARLES ST is no street of the store"


def test_the_narrower_of_two_ranges_that_hold_a_number_is_taken() -> None:
    (lon, south), (_, north) = NORTH.coords
    beside = LineString([(lon + 1e-3, south), (lon + 1e-3, north)])
    wide = Road("N Charles St", beside, 5, 6, (101, 251, "odd"), None)
    found = find(Streets([wide, *street().roads]), House(151, "N CHARLES ST"))
    assert not isinstance(found, str)
    assert found.lon == pytest.approx(lon, abs=3e-4)


FAR = LineString([town.at(3, 2), town.at(3, 1)])


@pytest.mark.parametrize("numbers", [(101, 199, "odd"), (1, 999, "odd"), (151, 153, "odd")])
def test_a_number_on_two_streets_of_one_name_is_not_placed_on_one_of_them(numbers: Any) -> None:
    both = Streets([*street().roads, Road("North Charles Street", FAR, 5, 6, numbers, None)])
    for text in ("151 N Charles St", "151 Charles St"):
        meant = parse(text)
        assert meant is not None
        assert "at several places of" in str(find(both, meant))
    assert not isinstance(find(both, House(150, "N CHARLES ST")), str)
    assert "at several places" in str(find(both, Block(100, 199, "N CHARLES ST")))


def test_a_block_of_several_segments_that_meet_is_one_place() -> None:
    (lon, south), (_, north) = NORTH.coords
    halves = [
        LineString([(lon, south), (lon, south + 5e-3)]),
        LineString([(lon, south + 5e-3), (lon, north)]),
    ]
    ranges = [((101, 149, "odd"), None), ((151, 199, "odd"), None)]
    lines = [Road("N Charles St", line, 1, 2, *of) for line, of in zip(halves, ranges, strict=True)]
    assert not isinstance(find(Streets(lines), Block(100, 199, "N CHARLES ST")), str)


def test_a_block_lies_in_the_middle_of_its_numbers() -> None:
    found = find(street(), Block(100, 199, "N CHARLES ST"))
    assert not isinstance(found, str)
    assert (found.lon, found.lat) == pytest.approx(
        NORTH.interpolate(0.5, normalized=True).coords[0], abs=2e-4
    )
    assert found.accuracy_m == pytest.approx(NORTH.length * METRES / 2, rel=0.05)


def roads(conn: Connection) -> None:
    west = LineString([town.at(0, 1), town.at(1, 1)])
    data = gpd.GeoDataFrame(
        {
            "origin_id": ["a", "b", "c"], "class": "local", "name": ["N Charles St", "W North Ave", "秋实路"],
            "left_from": [101, None, 1], "left_to": [199, None, 9], "right_from": [100, None, 2],
            "right_to": [198, None, 10],
        },
        geometry=[NORTH, west, LineString([town.at(4, 4), town.at(5, 4)])], crs=4326,
    )  # fmt: skip
    bring(conn, data, "roads")


def bring(conn: Connection, data: pd.DataFrame, kind: str = "incidents", **options: Any) -> Outcome:
    return run(conn, kind, from_frame(data, "f"), Options(mapping=mapping.plain(kind, "t"), **options))


def happened(addresses: list[str | None], **more: Any) -> pd.DataFrame:
    fixed = {"category": "0101", "source": "hotline", "colour": "blue", "state": "closed"}
    ids = [str(at) for at in range(len(addresses))]
    when = {"occurred_at": "2024-05-01T12:00:00+08:00"}
    return pd.DataFrame({"origin_id": ids, "address": addresses} | fixed | when | more)


@pytest.fixture
def store(conn: Connection) -> Connection:
    """The town with three streets and two houses."""
    town.add_grids(conn)
    batch = town.add_city(conn)
    roads(conn)
    town.add_building(conn, batch, "小镇市东区人民路7号", town.at(5, 4.5))
    town.add_building(conn, batch, "Mill House", town.at(0.5, 0.5))
    return conn


ADDRESSES = [
    "151 North Charles Street", "001XX N CHARLES ST", "N Charles St & W North Ave", "人民路7号", "mill house",
    "秋实路3号", "999 N Charles St", "1 Nowhere Ln", "N Charles St & Nowhere Ln", None,
]  # fmt: skip


def stored(conn: Connection) -> dict[str, Any]:
    place = (sa.func.ST_X(incidents.c.geom).label("lon"), sa.func.ST_Y(incidents.c.geom).label("lat"))
    return {row.origin_id: row for row in conn.execute(sa.select(incidents, *place))}


@pytest.mark.parametrize("with_columns", [False, True])
def test_incidents_without_coordinates_are_placed_or_refused(
    store: Connection, with_columns: bool, tmp_path: Any
) -> None:
    more = {"lon": [None] * len(ADDRESSES), "lat": [None] * len(ADDRESSES)} if with_columns else {}
    outcome = bring(store, happened(ADDRESSES, **more), refused=tmp_path / "r.csv")
    assert (outcome.rows, outcome.inserted, outcome.refused) == (10, 6, 4)
    rows = stored(store)
    by = {key: row.placed_by for key, row in rows.items()}
    assert by == {
        "0": "range",
        "1": "block",
        "2": "intersection",
        "3": "address",
        "4": "address",
        "5": "range",
    }
    assert all(row.accuracy_m >= 15 and row.datum == "wgs84" and row.grid_code for row in rows.values())
    assert (rows["2"].lon, rows["2"].lat) == pytest.approx(town.at(1, 1))
    told = (tmp_path / "r.csv").read_text("utf-8-sig")
    for reason in ("no range that holds number 999", "NOWHERE LN is no street of the store"):
        assert reason in told
    again = bring(store, happened(ADDRESSES, **more), refused=tmp_path / "r.csv")
    assert (again.unchanged, again.refused) == (6, 4)


def test_a_room_behind_a_registered_building_is_cut_off(store: Connection, tmp_path: Any) -> None:
    batch = store.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    town.add_building(store, batch, "秋实路3号御苑5栋", town.at(0.5, 5))
    town.add_building(store, batch, "秋实路3号御苑5栋2单元", town.at(0.5, 5.5))
    written = [
        "秋实路3号御苑5栋1单元302室",
        "秋实路3号御苑5栋2单元302",
        "秋实路3号御苑6栋1单元302室",
        "秋实路3号302室",
        "秋实路2号至6号",
        "秋实路2号、6号",
    ]
    bring(store, happened(written), refused=tmp_path / "r.csv")
    found = {key: (row.placed_by, (row.lon, row.lat)) for key, row in stored(store).items()}
    assert {key: by for key, (by, _) in found.items()} == {"0": "address", "1": "address", "3": "range"}
    assert found["0"][1] == pytest.approx(town.at(0.5, 5), abs=2e-3)
    assert found["1"][1] == pytest.approx(town.at(0.5, 5.5), abs=2e-3)
    assert "秋实路3号御苑6栋1单元302室" in (tmp_path / "r.csv").read_text("utf-8-sig")


def test_a_street_behind_a_region_is_placed_where_the_region_is(store: Connection, tmp_path: Any) -> None:
    for code, name in (("T1", "来龙门街道"), ("T2", "阳三石街道"), ("T2e", "东门社区"), ("T2d", "西门社区")):
        store.execute(sa.update(grids).where(grids.c.code == code).values(name=name))
    written = [
        "来龙门街道秋实路3号", "阳三石街道秋实路3号", "小镇东门社区秋实路3号", "天元区秋实路3号",
        "西门社区秋实路3号",        "阳三石街道秋实路99号", "湖南省小镇阳三石街道秋实路3号302室",
    ]  # fmt: skip
    bring(store, happened(written), refused=tmp_path / "r.csv")
    rows = stored(store)
    assert {key: row.placed_by for key, row in rows.items()} == {"1": "range", "2": "range", "6": "range"}
    assert all(row.grid_code == "T2e" for row in rows.values())


@pytest.mark.parametrize(
    "name",
    [
        "五一路",
        "建设一路",
        "中山五路",
        "二七北路",
        "第一大道",
        "四川路",
        "三十六巷",
        "零陵路",
        "一百五十巷",
        "万达路",
    ],
)
def test_a_street_with_a_numeral_in_its_name_is_found_behind_regions(
    store: Connection, tmp_path: Any, name: str
) -> None:
    store.execute(sa.update(grids).where(grids.c.code == "T2").values(name="阳三石街道"))
    store.execute(sa.update(schema.roads).where(schema.roads.c.name == "秋实路").values(name=name))
    fronts = ["", "小镇", "阳三石街道", "湖南省小镇 阳三石街道 ", "小鎮陽三石街道"]
    bring(store, happened([f"{front}{name}3号" for front in fronts]), refused=tmp_path / "r.csv")
    assert [row.placed_by for row in stored(store).values()] == ["range"] * len(fronts)


@pytest.mark.parametrize(
    ("street", "written", "placed"),
    [
        ("203 Sokak", "203 Sokak 7", True), ("12 Eylül Caddesi", "12 Eylul Caddesi 7", True),
        ("1425 Sokak", "1425 Sokak No: 7", True), ("Calle 45", "Calle 45 7", True),
        ("Calle 45", "7 Calle 45", True), ("Platz 5", "Platz 5, 7", True), ("C-16", "C-16 7", True),
        ("Rue du 8 Mai 1945", "Rue du 8 Mai 1945 7A", True), ("203 Sokak", "7 203 Sokak", True),
        ("203 Sokak", "204 Sokak 7", False), ("Calle 45", "Calle 46 7", False),
    ],
)  # fmt: skip
def test_a_number_behind_a_street_whose_name_holds_numbers(
    store: Connection, tmp_path: Any, street: str, written: str, placed: bool
) -> None:
    store.execute(sa.update(schema.roads).where(schema.roads.c.name == "秋实路").values(name=street))
    bring(store, happened([written]), refused=tmp_path / "r.csv")
    assert len(stored(store)) == placed
    if "," not in written:  # else the street itself is found
        houses = [one for one in search(store, written, 5).matches if one.kind == "house"]
        assert bool(houses) is placed


def test_a_number_before_one_street_and_behind_another_is_refused(store: Connection, tmp_path: Any) -> None:
    for name, number in (("秋实路", "Sokak 7"), ("N Charles St", "203 Sokak")):
        store.execute(sa.update(schema.roads).where(schema.roads.c.name == name).values(name=number))
    assert bring(store, happened(["203 Sokak 7"]), refused=tmp_path / "r.csv").refused == 1
    assert "may be on SOKAK 7 or on 203 SOKAK" in (tmp_path / "r.csv").read_text("utf-8-sig")


def test_coordinates_go_before_the_address_and_keep_their_datum(store: Connection) -> None:
    lon, lat = town.at(2, 2)
    data = happened(["人民路7号"] * 2, lon=[lon, None], lat=[lat, None])
    bring(store, data, datum="gcj02")
    rows = stored(store)
    assert (rows["0"].placed_by, rows["0"].datum) == (None, "gcj02")
    assert shapely.distance(shapely.Point(rows["0"].lon, rows["0"].lat), shapely.Point(lon, lat)) > 1e-3
    assert (rows["1"].placed_by, rows["1"].datum) == ("address", "wgs84")
    assert (rows["1"].lon, rows["1"].lat) == pytest.approx(town.at(5, 4.5), abs=2e-3)


@pytest.mark.parametrize(
    ("behind", "placed"),
    [
        (", 10625 Drawn Town", True), (", Drawn Town", True), (", 10625", True), (", Drawn Town 10625", True),
        (", 10625, Drawn Town", True), (", Apt 3", True), (", 10625 Potsdam", False),
    ],
)  # fmt: skip
def test_a_registered_address_is_found_before_its_postcode_and_city(
    store: Connection, tmp_path: Any, behind: str, *, placed: bool
) -> None:
    store.execute(sa.update(city).values(name_en="Drawn Town", within=["Germany"]))
    batch = store.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    town.add_building(store, batch, "Schillerstr. 21", town.at(1, 1))
    outcome = bring(store, happened([f"Schillerstr. 21{behind}"]), refused=tmp_path / "r.csv")
    assert (outcome.refused == 0) is placed, outcome.reasons


def test_an_address_of_two_places_is_refused(store: Connection, tmp_path: Any) -> None:
    batch = store.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    town.add_building(store, batch, "小镇市西区人民路7号", town.at(1, 1))
    outcome = bring(store, happened(["人民路7号", "西区人民路7号"]), refused=tmp_path / "r.csv")
    assert (outcome.inserted, outcome.refused) == (1, 1)
    assert "is the address of 2 places" in (tmp_path / "r.csv").read_text("utf-8-sig")


@pytest.mark.parametrize(
    ("behind", "within", "placed"),
    [
        ("Drawn Town", "MD,USA", True), ("Drawn Town, MD 21201", "MD,USA", True), ("MD", "MD,USA", True),
        ("Drawn Town MD 21201-1234", "MD,USA", True), ("3rd floor", "MD,USA", True), ("Rear", "MD,USA", True),
        ("Alexandria VA", "MD,USA", False), ("Chicago, IL", "MD,USA", False),
        ("Annapolis, MD", "MD,USA", False), ("Alexandria VA 22314 USA", "MD,USA", False),
        ("Apt 5", "MD,USA", True), ("#3", "MD,USA", True), ("Bldg N", "MD,USA", True), ("5B", "MD,USA", True),
        ("Route 66 Mall", "MD,USA", False),
        ("Drawn Town, MD", "", True), ("Drawn Town MD", "", True), ("Alexandria VA", "", False),
    ],
)  # fmt: skip
def test_an_address_of_another_city_is_not_placed_in_ours(
    store: Connection, tmp_path: Any, behind: str, within: str, *, placed: bool
) -> None:
    words = [one for one in within.split(",") if one]
    store.execute(sa.update(city).values(name_en="Drawn Town", within=words))
    outcome = bring(store, happened([f"151 N Charles St, {behind}"]), refused=tmp_path / "r.csv")
    assert (outcome.refused == 0) is placed, outcome.reasons
    assert placed or "is no region of the city" in next(iter(outcome.reasons))[1]
