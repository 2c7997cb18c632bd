"""A region that an address names decides between streets of one name, and is held against the place."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from shapely import LineString
from sqlalchemy.engine import Connection

from gis.addresses.match import find
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.schema import city, grids, incidents
from tests import town

STREETS = [("Hauptstraße", 1), ("Hauptstraße", 4.5), ("Theta Street", 1.5), ("解放路", 1), ("解放路", 4.5)]


def bring(conn: Connection, data: pd.DataFrame, kind: str, folder: Path) -> Outcome:
    options = Options(mapping=mapping.plain(kind, "t"), refused=folder / "r.csv")
    return run(conn, kind, from_frame(data, "f"), options)


@pytest.fixture
def store(conn: Connection, tmp_path: Path) -> Connection:
    """The town's two quarters as Westdorf and Ostdorf, with streets of one name in each."""
    town.add_grids(conn)
    town.add_city(conn)
    for code, name in (("T1", "Westdorf"), ("T2", "Ostdorf"), ("T1a", "东门社区"), ("T2e", "西门社区")):
        conn.execute(sa.update(grids).where(grids.c.code == code).values(name=name))
    lines = [
        LineString([town.at(x, y), town.at(x + 0.3, y)]) for (_, x), y in zip(STREETS, ROWS, strict=True)
    ]
    names = [name for name, _ in STREETS]
    numbers = {"left_from": 1, "left_to": 99, "right_from": 2, "right_to": 100, "class": "street"}
    ids = [str(n) for n in range(len(names))]
    bring(
        conn,
        gpd.GeoDataFrame({"origin_id": ids, "name": names} | numbers, geometry=lines, crs=4326),
        "roads",
        tmp_path,
    )
    garden = [shapely.box(x, y, x + 1e-4, y + 1e-4) for x, y in (town.at(1.2, 0.5), town.at(4.6, 4.2))]
    houses = gpd.GeoDataFrame({"origin_id": ["w", "e"], "address": "Gartenweg 5"}, geometry=garden, crs=4326)
    bring(conn, houses, "buildings", tmp_path)
    return conn


ROWS = (0.5, 4.5, 0.7, 0.3, 4.3)


@pytest.mark.parametrize(
    ("written", "grid"),
    [
        ("Hauptstraße 10", None), ("Hauptstraße 10, Westdorf", "T1"), ("Hauptstr. 10, Ostdorf", "T2"),
        ("Hauptstraße 10, 12345 Ostdorf", "T2"), ("Theta Street 10", "T1"), ("10 Theta Street", "T1"),
        ("10 Theta Street, Westdorf", "T1"), ("10 Theta Street, Ostdorf", None), ("Gartenweg 5", None),
        ("Gartenweg 5, Ostdorf", "T2"), ("Gartenweg 5, Westdorf, Town", "T1"), ("解放路10号", None),
        ("西门社区解放路10号", "T2"), ("10 Theta Street, T1", "T1"), ("10 Theta Street, T2", None),
        ("10 Theta Street, t2e", None), ("10 Theta Street, T9", "T1"), ("Hauptstraße 10, T2", "T2"),
        ("Hauptstraße 10, t1, Town", "T1"), ("Gartenweg 5, T2", "T2"), ("Gartenweg 5, T1", "T1"),
        ("Westdorf, Hauptstraße 10", "T1"), ("Ostdorf, Hauptstr. 10", "T2"), ("Town, 10 Theta Street", "T1"),
        ("Ostdorf, 10 Theta Street", None), ("12345 Ostdorf, Hauptstraße 10", "T2"),
        ("Town, Ostdorf, Gartenweg 5", "T2"), ("Hauptstraße, 10, Ostdorf", "T2"),
        ("T2, Hauptstraße 10", "T2"),
        ("Westdorf, Town", None), ("Town, Hauptstraße, 10, Ostdorf", "T2"),
        ("Hauptstraße 10 (Ostdorf)", "T2"),
        ("解放路１０號（西门社区）", "T2"), ("Nordstadt, Hauptstraße 10", None),
        ("小镇，西门社区，解放路10号", "T2"),
        ("10 Theta Street, 430202", None), ("10 Theta Street, 430203", "T1"),
        ("10 Theta Street, 1234", None), ("10 Theta Street, 3011 Westdorf", "T1"),
        ("10 Theta Street, 3011 Ostdorf", None), ("10 Theta Street, Westdorf SW1A 2AA", "T1"),
        ("10 Theta Street, SW1A 2AA", "T1"), ("10 Theta Street, 110 00 Ostdorf", None),
        ("10 Theta Street, D-10115 Westdorf", "T1"), ("10 Theta Street, 1012 AB Westdorf", "T1"),
        ("10 Theta Street, 00-950 Town", "T1"), ("10 Theta Street, D02 X285", "T1"),
        ("10 Theta Street, 3011 Nordstadt", None), ("10 Theta Street, Westdorf 3", None),
        ("10 Theta Street, 7", None), ("10 Theta Street, 8", "T1"), ("10 Theta Street, Apt 7", "T1"),
    ],
)  # fmt: skip
def test_an_import_places_it_there_or_nowhere(
    store: Connection, tmp_path: Path, written: str, grid: str | None
) -> None:
    # A grid in the east that is called as a room or a postcode may be.
    last = written.rpartition(", ")[2]
    store.execute(
        sa.update(grids).where(grids.c.code == "T2d").values(name=last if last in {"1234", "430202"} else "7")
    )
    bring(store, happened(address=written), "incidents", tmp_path)
    placed = store.execute(sa.select(incidents.c.grid_code)).scalars().all()
    assert [code[:2] for code in placed] == ([grid] if grid else [])


@pytest.mark.parametrize(
    ("written", "grid"),
    [
        ("Hauptstraße 20", None), ("Hauptstr. 20", None), ("Hauptstraße 20, Westdorf", "T1"),
        ("Hauptstraße 20, T1", "T1"), ("Hauptstraße 20, Ostdorf", "T2"), ("解放路20号", None),
        ("西门社区解放路20号", "T2"), ("解放路20", None), ("10 Theta Street", "T1"),
        ("小镇解放路20号", None), ("湖南省小镇解放路20号", None), ("Town, Hauptstraße 20", None),
        ("小镇，解放路20号", None), ("Westdorf, Hauptstraße 20", "T1"),
        ("东门社区解放路20号", "T1"), ("30 Theta Street", None), ("30 Theta Street, Westdorf", "T1"),
    ],
)  # fmt: skip
def test_a_registered_house_is_not_taken_for_one_of_another_street_of_its_name(
    store: Connection, tmp_path: Path, written: str, grid: str | None
) -> None:
    # The last one stands where no line of its street has its number.
    known = ["Hauptstraße 20", "解放路20号", "10 Theta Street", "30 Theta Street"]
    places = [town.at(1.1, 0.5), town.at(1.1, 0.3), town.at(1.6, 0.7), town.at(4.5, 4.5)]
    at = [shapely.box(x, y, x + 1e-4, y + 1e-4) for x, y in places]
    ids = {"origin_id": list("abcd"), "address": known}
    bring(store, gpd.GeoDataFrame(ids, geometry=at, crs=4326), "buildings", tmp_path)
    bring(store, happened(address=written), "incidents", tmp_path)
    placed = store.execute(sa.select(incidents.c.grid_code)).scalars().all()
    assert [code[:2] for code in placed] == ([grid] if grid else [])


@pytest.mark.parametrize(
    "behind",
    [
        ", 00-950 Town", ", Town", ", Ostdorf", ", 3011 Town, Country", ", Apt 4", "，Town", " - 50100 Town",
        " (T2)", "; Town",
    ],
)  # fmt: skip
@pytest.mark.parametrize("written", ["Theta Street 35", "35 Theta Street", "Theta Street 35, Town"])
@pytest.mark.parametrize("far", [True, False])
def test_what_stands_behind_a_registered_address_is_none_of_it(
    store: Connection, tmp_path: Path, behind: str, written: str, *, far: bool
) -> None:
    where = (*town.at(4.5, 4.5), *town.at(4.51, 4.49)) if far else (*town.at(1.6, 0.7), *town.at(1.61, 0.71))
    registered = written.partition(",")[0] + behind
    there = gpd.GeoDataFrame(
        {"origin_id": ["a", "b"], "address": [registered, "Theta Street 350, Town"]},
        geometry=[shapely.box(*where), shapely.box(*town.at(0.1, 0.1), *town.at(0.11, 0.09))], crs=4326,
    )  # fmt: skip
    bring(store, there, "buildings", tmp_path)
    outcome = bring(store, happened(address=written), "incidents", tmp_path)
    assert outcome.inserted == (not far)
    assert not far or "from where THETA ST has that number" in next(iter(outcome.reasons))[1]
    for question in (written, f"Town, {written}", f"{written}, Town"):
        first = find(store, question, 5).matches[0]
        assert (first.kind, first.address) == ("building", registered), question


@pytest.mark.parametrize(
    "registered",
    [
        "Theta Street, 35, 50100 Town", "Theta Street, 35, Town", "Theta Street, n. 35, 50100 Town (TO)",
        "50100 Town, Theta Street 35", "T2, Theta Street 35", "Town, Ostdorf, Theta Street 35",
    ],
)  # fmt: skip
@pytest.mark.parametrize("written", ["Theta Street 35", "Theta Street, 35"])
def test_numbers_and_regions_stand_anywhere_in_a_registered_address(
    store: Connection, tmp_path: Path, registered: str, written: str
) -> None:
    box = shapely.box(*town.at(4.5, 4.5), *town.at(4.51, 4.49))
    there = gpd.GeoDataFrame({"origin_id": ["a"], "address": [registered]}, geometry=[box], crs=4326)
    bring(store, there, "buildings", tmp_path)
    outcome = bring(store, happened(address=written), "incidents", tmp_path)
    assert "from where THETA ST has that number" in next(iter(outcome.reasons))[1]


@pytest.mark.parametrize(("code", "placed"), [("Q4", False), ("430209", False), ("Q5", True), ("9", False)])
def test_the_code_of_a_grid_of_another_day_is_no_room(
    store: Connection, tmp_path: Path, code: str, *, placed: bool
) -> None:
    if code != "Q5":
        store.execute(
            sa.text("INSERT INTO grid_codes (scheme, code) VALUES ('safety', :code)"), {"code": code}
        )
    outcome = bring(store, happened(address=f"10 Theta Street, {code}"), "incidents", tmp_path)
    assert outcome.inserted == placed
    assert placed or "is no region of the city on that day" in next(iter(outcome.reasons))[1]


@pytest.mark.parametrize("written", ["Via Roma 35", "Via Roma n. 35", "Via Roma nº 35", "VIA ROMA NO 35"])
@pytest.mark.parametrize("known", ["Via Roma 35", "Via Roma n. 35", "Via Roma nº 35", "Via Roma No: 35"])
def test_signs_of_numbers_are_none_of_an_address(
    store: Connection, tmp_path: Path, known: str, written: str
) -> None:
    store.execute(sa.text("UPDATE roads SET name = 'Via Roma' WHERE name = 'Theta Street'"))
    box = shapely.box(*town.at(4.5, 4.5), *town.at(4.51, 4.49))
    there = gpd.GeoDataFrame({"origin_id": ["a"], "address": [known]}, geometry=[box], crs=4326)
    bring(store, there, "buildings", tmp_path)
    outcome = bring(store, happened(address=written), "incidents", tmp_path)
    assert "from where VIA ROMA has that number" in next(iter(outcome.reasons))[1]


@pytest.mark.parametrize(
    ("written", "grid"),
    [
        ("建设路与蒸湘路交叉口", None), ("东门社区建设路与蒸湘路交叉口", "T1"),
        ("西门社区建设路蒸湘路路口", "T2"),
        ("Elm St & Oak St", None), ("Elm St & Oak St, Westdorf", "T1"), ("Oak St and Elm St, T2", "T2"),
        ("Elm St & Oak St, Town", None), ("Elm St & Pine St", "T1"), ("Elm St & Pine St, Ostdorf", None),
    ],
)  # fmt: skip
def test_a_region_decides_between_crossings_of_the_same_names(
    store: Connection, tmp_path: Path, written: str, grid: str | None
) -> None:
    def cross(x: float, y: float) -> list[LineString]:
        middle = town.at(x, y)
        return [LineString([middle, town.at(x + 0.2, y)]), LineString([middle, town.at(x, y + 0.2)])]

    names = ["Elm St", "Oak St"] * 2 + ["建设路", "蒸湘路"] * 2 + ["Elm St", "Pine St"]
    lines = [*cross(0.5, 0.5), *cross(4.5, 4.5), *cross(0.4, 0.2), *cross(4.6, 4.2), *cross(1.3, 0.2)]
    rows = {"origin_id": [f"x{n}" for n in range(len(names))], "name": names, "class": "street"}
    bring(store, gpd.GeoDataFrame(rows, geometry=lines, crs=4326), "roads", tmp_path)
    bring(store, happened(address=written), "incidents", tmp_path)
    placed = store.execute(sa.select(incidents.c.grid_code)).scalars().all()
    assert [code[:2] for code in placed] == ([grid] if grid else [])


def happened(**row: str | None) -> pd.DataFrame:
    fixed = {"category": "0101", "source": "hotline", "colour": "blue", "state": "closed"}
    return pd.DataFrame([{"origin_id": "1", "occurred_at": "2024-05-01T12:00:00+08:00"} | fixed | row])


@pytest.mark.parametrize(
    ("written", "day", "grid"),
    [
        ("Hauptstraße 10, Ostdorf", "2024-05-31", "T1"), ("Hauptstraße 10, Ostdorf", "2024-06-01", "T2"),
        ("Hauptstraße 10, Neudorf", "2024-06-01", None), ("Hauptstraße 10, Altdorf", "2024-06-01", None),
        ("Hauptstraße 10, Altdorf", "2024-05-31", "T2"), ("Gartenweg 5, Ostdorf", "2024-05-31", "T1"),
        ("Gartenweg 5, Altdorf", "2020-01-01", "T2"), ("Gartenweg 5, Westdorf", "2024-05-31", None),
        ("西门社区解放路10号", "2024-06-01", "T2"), ("西门社区解放路10号", "2024-05-31", None),
        ("旧门社区解放路10号", "2024-05-31", "T2"), ("10 Theta Street, T1", "2024-05-31", "T1"),
        ("10 Theta Street, T1", "2024-06-01", "T1"), ("10 Theta Street, T2", "2024-05-31", None),
    ],
)  # fmt: skip
def test_regions_are_meant_as_they_were_on_the_day(
    store: Connection, tmp_path: Path, written: str, day: str, grid: str | None
) -> None:
    before = {"T1": "Ostdorf", "T2": "Altdorf", "T2e": "旧门社区"}
    copied = [c.name for c in grids.c if c.computed is None and c.identity is None]
    rows = store.execute(sa.select(grids).where(grids.c.code.in_(before))).mappings().all()
    store.execute(
        sa.update(grids).where(grids.c.code.in_(before)).values(valid=sa.text("'[2024-06-01,)'::daterange"))
    )
    for row in rows:
        old = {"name": before[row["code"]], "valid": sa.text("'(,2024-06-01)'::daterange")}
        store.execute(grids.insert().values({one: row[one] for one in copied} | old))
    bring(store, happened(address=written, occurred_at=f"{day}T12:00"), "incidents", tmp_path)
    placed = store.execute(sa.select(incidents.c.grid_code)).scalars().all()
    assert [code[:2] for code in placed] == ([grid] if grid else [])


@pytest.mark.parametrize(
    ("recorded", "placed"),
    [("T1a", True), ("T1", True), ("T2", False), ("T2e", False), ("T9", True), (None, True)],
)
@pytest.mark.parametrize("written", ["10 Theta Street", "Lindenhof"])
def test_a_place_by_address_lies_in_its_recorded_grid(
    store: Connection, tmp_path: Path, written: str, recorded: str | None, *, placed: bool
) -> None:
    box = shapely.box(*town.at(1.4, 0.6), *town.at(1.5, 0.7))
    bring(store, gpd.GeoDataFrame({"origin_id": ["l"], "address": "Lindenhof"}, geometry=[box], crs=4326),
          "buildings", tmp_path)  # fmt: skip
    outcome = bring(store, happened(address=written, recorded_grid=recorded), "incidents", tmp_path)
    assert outcome.inserted == placed
    assert placed or "m from its recorded_grid" in next(iter(outcome.reasons))[1]


@pytest.mark.parametrize(
    ("written", "east"),
    [
        ("Hauptstraße 10, Ostdorf", [True, False]), ("Hauptstraße 10, Westdorf", [False, True]),
        ("Ostdorf, Hauptstraße 10", [True, False]), ("Town, Westdorf, Hauptstraße 10", [False, True]),
        ("Gartenweg 5, Ostdorf", [True, False]), ("Gartenweg 5, Westdorf", [False, True]),
        ("西门社区解放路10号", [True, False]),
    ],
)  # fmt: skip
def test_the_search_finds_the_one_in_the_region_first(
    store: Connection, written: str, east: list[bool]
) -> None:
    found = find(store, written, 5).matches
    assert [one.lon > town.at(3, 0)[0] for one in found] == east
    assert all(one.score <= found[0].score - 0.25 for one in found[1:])


def test_the_search_says_that_a_house_lies_elsewhere(store: Connection) -> None:
    (found,) = find(store, "10 Theta Street, Ostdorf", 5).matches
    assert found.score <= 0.55
    assert "of another region" in found.matched_by


@pytest.mark.parametrize(
    ("behind", "strange"),
    [
        ("", False), (", Town", False), (", Westdorf", False), (", Apt 3", False), (", 12345", False),
        (", #2", False), (", Zürich", True), (", Paris, France", True), (", Town, Elsewhere", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("house", ["10 Theta Street", "Theta Street 10"])
def test_the_search_says_that_a_region_behind_a_house_is_unknown(
    store: Connection, house: str, behind: str, *, strange: bool
) -> None:
    store.execute(sa.update(city).values(within=["Canton"]))
    found = [one for one in find(store, house + behind, 5).matches if one.kind == "house"]
    assert found
    assert all(("no region that is known" in one.matched_by) is strange for one in found)
    assert all((one.score < 0.5) is strange for one in found)


@pytest.mark.parametrize(("code", "inside"), [("T1", True), ("T2", False)])
def test_the_search_holds_codes_behind_commas_as_it_holds_names(
    store: Connection, code: str, *, inside: bool
) -> None:
    (found,) = find(store, f"10 Theta Street, {code}", 5).matches
    assert (found.score >= 0.75, "of another region" in found.matched_by) == (inside, not inside)


@pytest.mark.parametrize(
    ("written", "kinds", "east"),
    [
        ("Hauptstraße 20", ["building", "house"], [False, True]),
        ("Hauptstraße 20, Westdorf", ["building", "house"], [False, True]),
        ("Hauptstraße 20, Ostdorf", ["house", "building"], [True, False]),
        ("Hauptstraße 20, T2", ["house", "building"], [True, False]),
        ("解放路20号", ["building", "house"], [False, True]), ("10 Theta Street", ["building"], [False]),
    ],
)  # fmt: skip
def test_the_search_offers_the_number_on_each_street_of_the_name(
    store: Connection, tmp_path: Path, written: str, kinds: list[str], east: list[bool]
) -> None:
    known = ["Hauptstraße 20", "解放路20号", "10 Theta Street"]
    places = [town.at(1.1, 0.5), town.at(1.1, 0.3), town.at(1.6, 0.7)]
    at = [shapely.box(x, y, x + 1e-4, y + 1e-4) for x, y in places]
    ids = {"origin_id": ["a", "b", "c"], "address": known}
    bring(store, gpd.GeoDataFrame(ids, geometry=at, crs=4326), "buildings", tmp_path)
    found = find(store, written, 5).matches
    assert ([one.kind for one in found], [one.lon > town.at(3, 0)[0] for one in found]) == (kinds, east)


@pytest.mark.parametrize(
    ("behind", "east", "scores"),
    [
        ("", None, [1, 1]), (", Westdorf", False, [0.95, 0.65]), (", T2", True, [0.95, 0.65]),
        (", Ostdorf, Town", True, [0.95, 0.65]), (", Potsdam", None, [0.6, 0.6]),
        (", 430407002", True, [0.95, 0.65]),
    ],
)  # fmt: skip
def test_the_search_holds_crossings_against_the_regions_behind(
    store: Connection, tmp_path: Path, behind: str, east: bool | None, scores: list[float]
) -> None:
    lines = []
    for x, y in ((0.5, 0.5), (4.5, 4.5)):
        middle = town.at(x, y)
        lines += [LineString([middle, town.at(x + 0.2, y)]), LineString([middle, town.at(x, y + 0.2)])]
    store.execute(sa.update(grids).where(grids.c.code == "T2d").values(name="430407002"))
    store.execute(sa.update(grids).where(grids.c.code == "T2e").values(name="430407002"))
    rows = {"origin_id": list("abcd"), "name": ["Elm St", "Oak St"] * 2, "class": "street"}
    bring(store, gpd.GeoDataFrame(rows, geometry=lines, crs=4326), "roads", tmp_path)
    found = [one for one in find(store, f"Elm St & Oak St{behind}", 5).matches if one.kind == "crossing"]
    assert [one.score for one in found] == pytest.approx(scores, abs=0.02)
    assert east is None or (found[0].lon > town.at(3, 0)[0]) is east


LONG = {
    "ward": "Kelurahan Karanganyar Gunung Timur Laut",
    "hyphens": "Saint-Germain-des-Prés-Ouest-et-Quartier-du-Luxembourg",
    "han": "株洲市天元区武广新城片区马家河街道办事处第十七社区居民委员会第三网格西门社区",
    "longest": " ".join(["Northern Riverside Heights"] * 5),
}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("form", ["Hauptstraße 10, {}", "{}, Hauptstraße 10", "Hauptstraße 10, {}, Town"])
def test_a_name_of_any_length_is_known_in_an_address(
    store: Connection, tmp_path: Path, kind: str, form: str
) -> None:
    store.execute(sa.update(grids).where(grids.c.code == "T2").values(name=LONG[kind]))
    bring(store, happened(address=form.format(LONG[kind])), "incidents", tmp_path)
    bring(store, happened(origin_id="2", address=form.format(f"{LONG[kind]}q")), "incidents", tmp_path)
    placed = store.execute(sa.select(incidents.c.grid_code)).scalars().all()
    assert [code[:2] for code in placed] == ["T2"]
