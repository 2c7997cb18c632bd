"""Looking for places: every stored name by itself in any spelling, more or less than stored, by codes."""

from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from gis import grids, schema
from gis.addresses import match
from gis.addresses.matches import Match, best
from gis.errors import NotFound
from tests import town

WITHIN = ["中国", "湖南省", "Chicago", "IL", "Baltimore"]
BUILDINGS = [
    "株洲市荷塘区金山街道秋实路2号1栋",
    "株洲市荷塘区月塘街道秋实路2号1栋", "株洲市荷塘区金山街道秋实路2号2栋",
    "株洲市荷塘区红旗路１２号", "株洲市天元区泰山路9号3栋",
    "1060 West Addison Street", "2411 North Charles Street",
    "12 St. Paul Street", "7 North First Avenue", "3-5 O'Brien Court", "龍泉花園3幢",
]  # fmt: skip
PLACES = [
    ("株洲市第一中学（东校区）", "株洲市荷塘区新华路８号"), ("Ⅱ号仓库", None), ("113.18,27.84", None),
    ("Peña & Bénédict Market", "100 N Howard St"), ("！！！", None), ("Mt. Vernon Place", None),
]  # fmt: skip


def _road(conn: Connection, batch: int, name: str, u: int, v: int, line: list[tuple[float, float]]) -> None:
    conn.execute(
        schema.roads.insert().values(
            origin="t", origin_id=f"{name}{u}{v}", batch_id=batch, name=name, length_m=100, u=u, v=v,
            geom=f"SRID=4326;{shapely.LineString(line).wkt}", **{"class": "residential"},
        )
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        conn.execute(sa.update(schema.city).values(name_zh="株洲市", name_en="Zhuzhou", within=WITHIN))
        town.add_keeper(conn, batch, "T1a")
        town.add_incidents(conn, batch, [town.at(1, 1)])
        for n, address in enumerate(BUILDINGS):
            town.add_building(conn, batch, address, town.at(0.2 + n / 10, 0.5))
        for n, (name, address) in enumerate(PLACES):
            x, y = town.at(0.2 + n / 10, 1.5)
            values = {"name": name, "address": address, "origin_id": str(n), "batch_id": batch}
            point = f"SRID=4326;POINT({x} {y})"
            conn.execute(
                schema.places.insert().values(origin="t", kind="k", geom=point, point=point, **values)
            )
        middle = town.at(1, 1)
        _road(conn, batch, "North Charles Street", 1, 2, [town.at(1, 0), middle])
        _road(conn, batch, "North Charles Street", 2, 3, [middle, town.at(1, 2)])
        _road(conn, batch, "West North Avenue", 4, 2, [town.at(0, 1), middle])
        _road(conn, batch, "秋实路", 7, 8, [town.at(3, 3), town.at(4, 3)])
        _road(conn, batch, "红旗路", 8, 9, [town.at(4, 3), town.at(4, 4)])
        conn.execute(sa.text("ANALYZE"))


def _found(client: TestClient, q: str) -> list[dict[str, Any]]:
    answer = client.get("/grids/search", params={"q": q})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["matches"]
    assert found == sorted(found, key=lambda one: -one["score"])
    return found


@pytest.mark.parametrize("name", [*BUILDINGS, *(name for name, _ in PLACES)])
def test_every_stored_name_is_found_by_itself(client: TestClient, name: str) -> None:
    for spelt in (name, f"  {name} ", name.lower(), name.upper(), name.replace(" ", "  ")):
        first = _found(client, spelt)[0]
        assert (first["address"], first["score"]) == (name, 1.0), spelt


ADDISON, CHARLES, AUTUMN = "1060 West Addison Street", "2411 North Charles Street", BUILDINGS[0]


@pytest.mark.parametrize(
    ("q", "address"),
    [
        ("株洲市第一中学(东校区)", PLACES[0][0]),
        ("株洲市第一中學東校區", PLACES[0][0]), ("ii号仓库", "Ⅱ号仓库"),
        ("第一中学东校区", PLACES[0][0]),
        ("株洲市荷塘区红旗路12号", BUILDINGS[3]), ("红旗路 12 號", BUILDINGS[3]),
        ("龙泉花园3幢", "龍泉花園3幢"), ("湖南省" + AUTUMN, AUTUMN), (AUTUMN + "3单元502室", AUTUMN),
        (AUTUMN.replace("市", "市 ").replace("路", "路 "), AUTUMN), (AUTUMN + "502", AUTUMN),
        ("荷塘区金山街道秋实路2号1栋", AUTUMN), ("湖南省" + AUTUMN + "2单元3楼301室", AUTUMN),
        ("泰山路9号3栋", BUILDINGS[4]), ("天元区泰山路9号3栋", BUILDINGS[4]),
        ("新华路8号", PLACES[0][0]), ("1060 w addison st", ADDISON),
        ("1060 W. ADDISON ST., Apt 3B", ADDISON), ("Unit 5 - 1060 W Addison St", ADDISON),
        ("Apt 5, 1060 W Addison St", ADDISON), ("#5 - 1060 W Addison St", ADDISON),
        ("5-1060 W Addison St", ADDISON), ("Flat B2 / 1060 W Addison St", ADDISON),
        ("1060, W Addison St, Chicago", ADDISON),
        ("1060 West Addison Street, Chicago, IL 60613", ADDISON), ("1060 Addison St", ADDISON),
        ("2411 n charles st", CHARLES),
        ("2411 N Charles St", CHARLES), ("2411 north charles street", CHARLES),
        ("12 Saint Paul St", BUILDINGS[7]), ("7 n 1st ave", BUILDINGS[8]), ("3-5 obrien ct.", BUILDINGS[9]),
        ("pena and benedict market", PLACES[3][0]), ("100 North Howard Street", PLACES[3][0]),
        ("Mount Vernon Pl", PLACES[5][0]), ("north charles st", "North Charles Street"),
        ("W NORTH AVE", "West North Avenue"),
    ],
)  # fmt: skip
def test_other_spellings_and_more_or_less_than_is_stored(client: TestClient, q: str, address: str) -> None:
    found = _found(client, q)
    assert found, q
    best = [one["address"] for one in found if one["score"] == found[0]["score"]]
    named = [place for place, where in PLACES if where and where == best[0]]
    assert address in (*best, *named), found


STORED_WITH_ZEROS = "团结路007号002栋"


@pytest.mark.parametrize(
    ("q", "address"),
    [
        ("泰山路09号03栋", BUILDINGS[4]), ("泰山路009号3栋", BUILDINGS[4]), ("泰山路9#3#", BUILDINGS[4]),
        ("泰山路9号3#", BUILDINGS[4]), ("泰山路9＃03＃楼", BUILDINGS[4]), ("泰山路9号第3栋", BUILDINGS[4]),
        ("泰山路第9号第三栋", BUILDINGS[4]), ("天元区泰山路09号第03幢2单元502", BUILDINGS[4]),
        ("龙泉花园3#", BUILDINGS[10]), ("龙泉花园第3栋", BUILDINGS[10]), ("龙泉花园03号楼", BUILDINGS[10]),
        ("龍泉花園第三座", BUILDINGS[10]), ("红旗路012号", BUILDINGS[3]), ("红旗路第12号", BUILDINGS[3]),
        ("红旗路12#", BUILDINGS[3]), ("团结路7号2栋", STORED_WITH_ZEROS), ("团结路7#2#", STORED_WITH_ZEROS),
        ("团结路第七号第二栋", STORED_WITH_ZEROS), (STORED_WITH_ZEROS, STORED_WITH_ZEROS),
    ],
)  # fmt: skip
def test_numbers_of_houses_and_buildings_are_found_however_they_are_written(
    client: TestClient, engine: Engine, q: str, address: str
) -> None:
    """With zeros in front, with 第, with # for either, on the stored side as well."""
    with engine.begin() as conn:
        stored = schema.buildings.c.address == STORED_WITH_ZEROS
        if not conn.execute(sa.select(schema.buildings.c.id).where(stored)).all():
            town.add_building(conn, 1, STORED_WITH_ZEROS, town.at(2.2, 0.5))
    first = _found(client, q)[0]
    assert (first["address"], first["kind"]) == (address, "building")
    assert first["score"] >= (0.85 if "单元" in q else 0.93)


@pytest.mark.parametrize(
    "q", ["泰山路90号3栋", "泰山路9号30栋", "泰山路9号3号4栋", "团结路70号2栋", "红旗路102号"]
)
def test_zeros_within_and_behind_a_number_count(client: TestClient, q: str) -> None:
    assert not [one for one in _found(client, q) if one["score"] >= 0.9]


@pytest.mark.parametrize(
    ("q", "code"),
    [
        ("片区 101", "T1"), ("101片区", "T1"), ("Quarter 101", "T1"), ("101 quarter", "T1"),
        ("QUARTER　１０１", "T1"), ("town 101", None), ("quarter 102", None), ("Grid North End", "T1a"),
        ("north end grid", "T1a"), ("网格 North End", "T1a"), ("quarter north end", None), ("101", "T1"),
    ],
)  # fmt: skip
def test_a_grid_is_found_by_the_title_of_its_level_beside_its_name(
    client: TestClient, engine: Engine, q: str, code: str | None
) -> None:
    names = schema.grids.update()
    with engine.begin() as conn:
        conn.execute(names.where(schema.grids.c.code == "T1").values(name="101"))
        conn.execute(names.where(schema.grids.c.code == "T1a").values(name="North End"))
    try:
        found = [one for one in _found(client, q) if one["score"] >= 0.9]
    finally:
        with engine.begin() as conn:
            for name in ("T1", "T1a"):
                conn.execute(names.where(schema.grids.c.code == name).values(name=f"网格{name}"))
    assert [one["code"] for one in found[:1]] == ([code] if code else [])


@pytest.mark.parametrize(
    ("q", "codes"), [("网格T1", ["T1", "T"]), ("T1a", ["T1a", "T1", "T"]), ("网格T", ["T"])]
)
def test_a_grid_is_answered_with_its_own_level_first(client: TestClient, q: str, codes: list[str]) -> None:
    """Not with the grids that own the point in its middle."""
    assert [link["code"] for link in _found(client, q)[0]["chain"]] == codes


def test_what_fits_several_alike_is_told_of_all(client: TestClient) -> None:
    for q in ("秋实路2号1栋", "株洲市荷塘区秋实路2号1栋", "秋实路2号1栋502室"):
        answer = client.get("/grids/search", params={"q": q}).json()
        assert answer["tied"] == 2
        assert {one["address"] for one in answer["matches"]} == set(BUILDINGS[:2])
    begun = client.get("/grids/search", params={"q": "秋实路2号"}).json()
    assert {one["address"] for one in begun["matches"] if one["kind"] == "building"} == set(BUILDINGS[:3])
    few = client.get("/grids/search", params={"q": "秋实路2号1栋", "limit": 1}).json()
    assert (len(few["matches"]), few["more"]) == (1, True)


def test_another_region_is_another_building(client: TestClient) -> None:
    assert _found(client, "天元区秋实路2号1栋") == []
    assert _found(client, "株洲市芦淞区泰山路9号3栋") == []
    assert [one["address"] for one in _found(client, "月塘街道秋实路2号1栋")] == [BUILDINGS[1]]


@pytest.mark.parametrize(
    "q", ["N Charles St & W North Ave", "charles street and north avenue", "W North Ave/N Charles St",
          "North Charles Street @ West North Avenue", "W NORTH AVE at N CHARLES ST, Baltimore"],
)  # fmt: skip
def test_crossings_are_found(client: TestClient, q: str) -> None:
    found = _found(client, q)[0]
    assert (found["kind"], found["address"]) == ("crossing", "North Charles Street & West North Avenue")
    assert found["geometry"]["coordinates"] == pytest.approx(town.at(1, 1), abs=1e-7)


@pytest.mark.parametrize(
    "q", ["秋实路与红旗路交叉口", "红旗路和秋实路路口", "秋实路、紅旗路交汇处", "秋实路与红旗路"]
)
def test_chinese_crossings_are_found(client: TestClient, q: str) -> None:
    found = _found(client, q)[0]
    assert found["kind"] == "crossing"
    assert found["geometry"]["coordinates"] == pytest.approx(town.at(4, 3), abs=1e-7)


@pytest.mark.parametrize("q", ["秋实路与秋实路交叉口", "North Charles Street & N Charles St"])
def test_a_road_does_not_cross_itself(client: TestClient, q: str) -> None:
    assert [one for one in _found(client, q) if one["kind"] == "crossing"] == []


BEHIND_REGIONS = ("网格T1网格T1a", "网格T网格T1网格T1a")


@pytest.mark.parametrize(
    ("q", "kind"),
    [
        ("T1a", "grid"), ("网格T1a", "grid"), ("网格T1网格T1a", "grid"), ("网格T网格T1网格T1a", "grid"),
        ("网格 T1a", "grid"), ("甲", "post"),
        ("网格T1a网格长", "post"), ("E0", "incident"), ("e0", "incident"),
    ],
)  # fmt: skip
def test_grids_posts_and_codes_are_found(client: TestClient, q: str, kind: str) -> None:
    found = _found(client, q)[0]
    assert (found["kind"], found["score"]) == (kind, 0.95 if q in BEHIND_REGIONS else 1.0)
    assert kind == "incident" or found["chain"][0]["code"] == "T1a"


def test_a_places_name_wins_over_a_coordinate(client: TestClient) -> None:
    found = _found(client, "113.18,27.84")
    assert [(one["kind"], one["address"]) for one in found[:2]] == [
        ("place", "113.18,27.84"), ("coordinate", "113.18, 27.84")
    ]  # fmt: skip


@pytest.mark.parametrize("q", ["{0},{1}", "{0} {1}", "（{0}，{1}）", "{1},{0}", " {0} ; {1} ", "({1}, {0})"])
def test_coordinates_are_found_in_either_order(client: TestClient, q: str) -> None:
    lon, lat = town.at(0.5, 0.5)
    found = _found(client, q.format(lon, lat))[0]
    assert (found["kind"], found["geometry"]["coordinates"]) == ("coordinate", [lon, lat])
    assert found["chain"][0]["code"] == "T1a"


def sixtieths(degrees: float) -> str:
    minutes, seconds = divmod(round(degrees * 3600, 3), 60)
    return f"{int(minutes // 60)}°{int(minutes % 60)}'{seconds:.3f}\""


@pytest.mark.parametrize("form", ["{1}N {0}E", "{0}E,{1}N", "东经{0} 北纬{1}", "\u200e{1}N\u200b {0}E\ufeff"])
def test_degrees_are_read_as_imports_read_them(client: TestClient, form: str) -> None:
    place = town.at(0.5, 0.5)
    found = _found(client, form.format(*map(sixtieths, place)))[0]
    assert found["kind"] == "coordinate"
    assert found["geometry"]["coordinates"] == pytest.approx(place, abs=1e-6)


def test_an_address_in_another_city_says_so_and_fits_badly(client: TestClient) -> None:
    for tail in ("Boston, MA 02101", "Springfield, IL 62701", "Somewhere"):
        found = _found(client, f"1060 West Addison Street, {tail}")
        assert [one["address"] for one in found if one["score"] >= 0.9] == []
        assert all("is no region that is known here" in one["matched_by"] for one in found)


def test_a_word_within_a_name_is_found(client: TestClient) -> None:
    for word in ("Bénédict", "market", "vernon"):
        assert {one["address"] for one in _found(client, word)} & {name for name, _ in PLACES}
    assert _found(client, "enedict") == []  # a word is found from its beginning


def test_chains_of_many_places_are_those_of_each(engine: Engine) -> None:
    places = [town.at(x / 4, y / 4) for x in range(-1, 26) for y in range(-1, 22)]
    with engine.connect() as conn:
        several = grids.links_at(conn, places, grids.Wish())
        for place, links in zip(places, several, strict=True):
            try:
                alone = grids.chain(conn, *place, grids.Wish()).links
            except NotFound:
                alone = []
            assert links == alone
    assert {len(links) for links in several} == {0, 3}


def test_the_public_finds_no_staff_and_no_incidents(service_engine: Engine) -> None:
    with service_engine.connect() as conn:
        for q in ("甲", "网格T1a网格长", "E0"):
            assert not match.find(conn, q, 10).matches
        assert match.find(conn, "T1a", 10).matches


def test_what_is_no_text_finds_nothing(client: TestClient) -> None:
    for q in ("%", "_", "\\", "'; --", "\u200b", "不存在的路1号", " "):
        assert _found(client, q) == []


@pytest.mark.parametrize("q", ["37-1060 W Addison St", "37-1060 W Addison St Apt 3"])
def test_the_first_of_two_numbers_is_no_sure_unit(client: TestClient, q: str) -> None:
    """It may be a house's, as houses are numbered in Queens."""
    assert 0 < _found(client, q)[0]["score"] < 0.8
    assert _found(client, "Unit 37 - 1060 W Addison St")[0]["score"] > 0.9


@pytest.mark.parametrize("form", ["School {}", "第{}中学", "秋实路{}号", "{} Lake Road"])
def test_what_fits_alike_is_in_the_order_of_its_numbers(form: str) -> None:
    numbers = [1, 2, 3, 10, 11, 12, 100]
    found = [Match("place", n, form.format(n), "", 1.0, "name", 0.1 * n, 0.2) for n in reversed(numbers)]
    better = Match("place", 999, form.format(999), "", 2.0, "name", 0.3, 0.2)
    assert [match.id for match in best([*found, better])] == [999, *numbers]
