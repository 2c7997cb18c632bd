"""A house is one place however it is registered and however it is written, or it is refused."""

import random
from dataclasses import dataclass
from datetime import date

import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema
from gis.addresses.match import find
from gis.importing.gazetteer import Gazetteer
from tests import town
from tests.addressed import HERE, ONE_HOUSE_M, THERE, metres, place, prepare, questions

STREETS = [
    "Calle Colón", "Calle de la Paz", "Calle 9 de Octubre", "Camino Real", "Paseo Marítimo", "Via Po",
    "Viale Giuseppe Verdi", "Hauptstraße", "Lange Gasse", "Łódzka", "ulica Długa", "Rua Augusta", "203 Sokak",
    "Rue de l'Église", "Calle 45", "Улица Чайковского", "Avinguda del Mar",
]  # fmt: skip
REGISTERED = [
    "{s} {n}", "{s}, {n}", "{s} {n}, {p} Town", "{p} Town, {s} {n}", "{s} {n}; {p} Town", "{s} {n} - Town",
    "{s} {n} [Town]", "{s} {n} ({g})", "{s} n.º {n}, Town", "{s} 0{n}", "{s} {n}, 1º, {p} Town",
    "{s} {n}, 3º B, {p} Town", "Land, Town, {g}, {s} {n}, 2º", "{s}, núm. {n}", "{s} {n}, bajo",
    "{s}: {n}", "{s} {n}.", "{p} Town ({g}), {s} {n}", "{s} {n} Town", "{n} {s}", "{s} n. {n}, {p}",
]  # fmt: skip
PLAIN = [
    "{s} {n}", "{s} {n}.", "{s} #{n}", "{s} {n} –", "{s} 0{n}", "00{n} {s}", "{n} {s}", "{s} número {n}",
    "{s}, número {n}", "{s}: {n}", "{s} - {n}", "{s} '{n}'", "{s} {n}!", "{s} {n};", "{s} {n} Town",
    "{s} {n}; Town", "{s} {n} - Town", "{s} {n} [Town]", "{s} {n} (Town)", "{s}, {n}", "{s} n.º {n}",
    "Town, {s} {n}", "Land, Town; {s} {n}", "{s} {n}, Town, Land", "  {s}   {n} ", "{S} {n}", "{s} № {n}",
    "{s} {w}", "{s} {a}", "{s} {n}, Town - Land", "“{s} {n}”", "{s}\u200b {n}", "{s} {n}\u00a0",
]  # fmt: skip
WITH_UNIT = [
    "{s} {n}, 7º B", "{s} {n}, piso 3", "{s} {n} Apt 2", "{s} {n}, Apt 2", "{s} {n} #2", "Unit 2, {n} {s}",
    "2/{n} {s}", "{s} {n}, bajo", "{s} {n}, esc. 2", "{s} {n} - piso 3", "{s} {n} 3º B", "{s} {n}, m. 4",
]  # fmt: skip
OTHER_HOUSES = [
    "{s} {n}B", "{s} {n} bis", "{s} {n}-{m}", "{s} {n}½", "{s} {n}/A", "{s} {n}ª", "{s} {n}/4", "{n}B {s}"
]  # fmt: skip
ODD = [
    "{s} *{n}*", "{s} km {n}", "{s} {n} ({s})", "{s} {n}, Nowhere", "Nowhere, {s} {n}", "{s} {n} & {s}",
    "{s} {n} frente a Mercado", "{s} {n}, 99999", "{s} {n}, {s}", "{s} {n}, 99999 Town", "{s}{n}", "{s}",
]  # fmt: skip
HAN_STREETS = ["解放路", "五一路", "建设一路", "二七北路", "第一大道", "三十六巷", "瓷城大道", "中山五路"]
HAN_REGISTERED = [
    "{s}{n}号", "小镇{s}{n}号", "湖南省小镇{s}{n}号", "{s}0{n}号", "{s}{n}号（小镇）", "{s}{n}号，小镇",
    "{s}第{n}号", "小镇东区{s}{n}号",
]  # fmt: skip
HAN_PLAIN = [
    "{s}{n}号", "{s}{n}號", "{s} {n} 号", "小镇{s}{n}号", "湖南省小镇{s}{n}号", "{s}第{n}号", "{s}0{n}号",
    "{s}{n}#", "{s}{n}", "{s}{w}号", "小镇，{s}{n}号", "{s}{n}号。", "（小镇）{s}{n}号", "{s}{n}号（小镇）",
    "{s}{n}号501室", "{s}{n}号2单元501", "{s}{n}号3楼", "小鎮{s}{n}號", "{s}{n}号；小镇",
]  # fmt: skip
HAN_ODD = [
    "{s}{n}号旁", "{s}{n}号对面", "天元区{s}{n}号", "{s}{n}号至{m}号", "{s}{n}号门口", "{s}口{n}",
    "长沙市{s}{n}号",
]  # fmt: skip
UNREAD = [
    "{s} {n}/3/5", "{s} {n}/Stg. 2/4. Stock/Tür 17", "{s} {n}/EG", "{s} {n} Objekt 3", "{s} ONr. {n}",
    "{s} Nr. {n}/1. OG", "{s} {n} Hof", "{s} {n}-hs", "{s} {n} II", "{s} {n}A-1", "{s} {n} zwart",
    "{s} {n} t/m 200", "{s} {n} a-b", "{s} {n} 3-hoog", "{s} {n} & 182", "Nebengasse 500 / {s} {n}",
    "{s} {n} 1234 AB", "{s} {n}, zwart", "{s} {n} hinten links", "{s} {n}-2", "{s} {n} ?", "{s} {n}+{m}",
]  # fmt: skip
"""Registered with something behind the number that no reading knows."""
NEAR_M = 300.0


@dataclass(frozen=True)
class House:
    """A house by what is true of it: `at` is where it is, None where the store contradicts itself."""

    street: str
    number: int
    registered: str | None
    at: tuple[float, float] | None

    def write(self, form: str) -> str:
        """Return its address in a form."""
        n = str(self.number)
        wide = "".join(chr(ord(sign) + 0xFEE0) for sign in n)
        arabic = "".join(chr(ord(sign) - ord("0") + 0x660) for sign in n)
        more = {"S": self.street.upper(), "m": self.number + 2, "w": wide, "a": arabic}
        return form.format(s=self.street, n=n, p="12001", g="Westdorf", **more)


@pytest.fixture
def store(conn: Connection) -> Connection:
    return prepare(conn)


def build(
    conn: Connection, seed: int, streets: list[str] = STREETS, registered: list[str] = REGISTERED
) -> list[House]:
    """Fill a store and return the houses in it: near and far from their numbers, on streets without any."""
    rng = random.Random(seed)
    batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    houses = []
    for row, street in enumerate(streets):
        y = 0.2 + row * 0.05
        start, end = town.at(0.3, y), town.at(0.6, y)
        ranged = rng.random() < 0.8
        if ranged:
            conn.execute(
                schema.roads.insert().values(
                    origin="t", origin_id=str(row), batch_id=batch, name=street, length_m=100, u=2 * row,
                    v=2 * row + 1, geom=f"SRID=4326;{shapely.LineString([start, end]).wkt}",
                    left_from=1, left_to=99, left_parity="odd", right_from=2, right_to=98,
                    right_parity="even",
                    **{"class": "residential"},
                )
            )  # fmt: skip
        for number in rng.sample(range(1, 99), 6):
            share = (number - 1) / 98
            along = (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
            far = town.at(rng.uniform(1.5, 1.9), rng.uniform(1.5, 1.9))
            kind = rng.choice(["near", "far", "none", "far"])
            at = far if kind == "far" else along
            text = None
            if kind != "none":
                house = House(street, number, None, at)
                text = house.write(rng.choice(registered))
                town.add_building(conn, batch, text, at)
            true = None if (ranged and kind == "far") or (not ranged and kind == "none") else at
            houses.append(House(street, number, text, true))
    return houses


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("han", [False, True])
def test_every_spelling_is_the_same_place_or_refused(store: Connection, seed: int, *, han: bool) -> None:
    houses = build(store, seed, *((HAN_STREETS, HAN_REGISTERED) if han else ()))
    plain = HAN_PLAIN if han else PLAIN
    forms = [*plain, *(HAN_ODD if han else (*WITH_UNIT, *OTHER_HOUSES, *ODD))]
    written = {(house, form): house.write(form) for house in houses for form in forms}
    found = Gazetteer(store).find(sorted(set(written.values())), date(2024, 5, 1))
    wrong, refused, placed = [], [], 0
    for (house, form), text in written.items():
        at = place(found[text])
        if at is not None:
            placed += 1
            if house.at is None or metres(at, house.at) > NEAR_M:
                wrong.append((house, text, found[text]))
        elif form in plain and house.at is not None:
            refused.append((house.registered, text, found[text]))
    assert wrong == []
    assert refused == []
    assert placed > len(houses) * (5 if han else 15)


@pytest.mark.parametrize("seed", range(4))
def test_what_stands_behind_a_registered_number_hides_it_from_nobody(store: Connection, seed: int) -> None:
    houses = build(store, seed, registered=UNREAD)
    texts = {(house, form): house.write(form) for house in houses for form in (*PLAIN, *WITH_UNIT)}
    texts |= {(house, "itself"): house.registered for house in houses if house.registered}
    found = Gazetteer(store).find(sorted(set(texts.values())), date(2024, 5, 1))
    places = {key: at for key, text in texts.items() if (at := place(found[text]))}
    wrong = [
        (house.registered, texts[house, form])
        for (house, form), at in places.items()
        if house.at is None or metres(at, house.at) > NEAR_M
    ]
    assert wrong == []
    assert len(places) > len(houses) * 10


@pytest.mark.parametrize("seed", [7, 8])
def test_a_registered_address_finds_itself_and_its_house_finds_it(store: Connection, seed: int) -> None:
    missed = []
    for house in [one for one in build(store, seed) if one.registered]:
        assert house.registered is not None
        first = find(store, house.registered, 5)
        if house.registered not in [one.address for one in first.matches[: first.tied]]:
            missed.append(("itself", house.registered, first.matches[:2]))
        for form in ("{s} {n}", "{s} 0{n}", "{s} n.º {n}", "{s} {n}; Town", "Town, {s} {n}"):
            found = find(store, house.write(form), 10).matches
            if house.registered not in [one.address for one in found if one.kind == "building"]:
                missed.append((house.write(form), house.registered, found[:2]))
    assert missed == []


def test_a_postcode_decides_and_contradicts(store: Connection) -> None:
    known = [("Calle Doble 5, 12001 Town", HERE), ("Calle Doble 5, 12002 Town", THERE)]
    texts = ["{}", "{}, 12001", "{} (12001)", "{}, 12001 Town, Land", "{}, Town 12001", "12001 Town, {}",
             "{}; 12001", "{} - 12001 Town", "{}, 12003", "{}, 12003 Town", "{}, 12002 Town, Westdorf",
             "{} 12001 Town", "{}, 2º, 12001"]  # fmt: skip
    found = questions(store, known, [text.format("Calle Doble 5") for text in texts])
    assert found == [None, *[True] * 7, None, None, False, True, True]


def test_units_of_one_house_are_told_apart(store: Connection) -> None:
    known = [("Camí Vell 8, Nave 1", HERE), ("Camí Vell 8, Nave 2", THERE)]
    texts = ["Camí Vell 8", "Camí Vell 8, Nave 1", "Camí Vell 8 - nave 1", "Camí Vell 8 Nave 1",
             "Camí Vell 8, 3º", "Nave 1, Camí Vell 8", "Camí Vell 8, Nave 2"]  # fmt: skip
    assert questions(store, known, texts) == [None, True, True, True, None, True, False]


@pytest.mark.parametrize(
    "unit",
    [
        "3º B", "1º A", "bajo", "esc. 2", "piso 3", "Nave 9", "esc. 1, 2º C", "local 4", "izq.", "scala B",
        "int. 4", "2e étage", "apto 12", "Whg. 3", "EG", "m. 5", "daire 7", "кв. 12", "Apt 3B", "2nd floor",
        "rear",
    ],
)  # fmt: skip
def test_units_are_read_in_the_languages_of_addresses(store: Connection, unit: str) -> None:
    texts = [f"Calle Mayor 46{mark}{unit}" for mark in (", ", " - ", "; ")] + [f"Calle Mayor 46 ({unit})"]
    assert questions(store, [("Calle Mayor 46", HERE)], texts) == [True] * 4


@pytest.mark.parametrize("behind", ["Bajo Aragón", "Portal de la Reina", "Room Blue", "Nowhere 3º", "Piso"])
def test_what_only_begins_as_a_unit_is_none(store: Connection, behind: str) -> None:
    assert questions(store, [("Calle Mayor 46", HERE)], [f"Calle Mayor 46, {behind}"]) == [None]


def test_what_a_registered_address_names_itself_is_no_stranger(store: Connection) -> None:
    known = [("Calle Olmo 3, Barrio Alto", HERE), ("Calle Olmo 3, Barrio Bajo", THERE)]
    texts = ["Calle Olmo 3", "Calle Olmo 3 (Barrio Alto)", "Barrio Alto, Calle Olmo 03",
             "Calle Olmo 3; Barrio Bajo", "Calle Olmo 3, Barrio Medio"]  # fmt: skip
    assert questions(store, known, texts) == [None, True, True, False, None]


@pytest.mark.parametrize(
    ("one", "other"),
    [("Viale Roma 5", "V.le Roma 5"), ("Corso Italia 5", "C.so Italia 5"), ("Calle Luna 5", "C/ Luna 5"),
     ("Via Roma 13A", "Via Roma 13/A"), ("Garden Street 5", "5 Garden St"), ("Main St 5", "5 Main Street"),
     ("五一路3号", "五一路03号"), ("小镇中山五路3号", "中山五路3#"), ("12 Gardens Row", "12 Gdns Row")],
)  # fmt: skip
def test_two_spellings_are_one_house(store: Connection, one: str, other: str) -> None:
    assert questions(store, [(one, HERE)], [other]) == [True]
    assert find(store, other, 3).matches[0].address == one


@pytest.mark.parametrize(
    "front", ["Westdorf, {}", "Town, Westdorf, {}", "{}; Westdorf", "{} - Westdorf", "{} [T1]"]
)
def test_regions_stand_anywhere_around_a_crossing(store: Connection, front: str) -> None:
    batch = store.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    for n, (x, y) in enumerate([(0.5, 0.5), (4.5, 4.5)]):
        middle = town.at(x, y)
        for name, end, u in (("Calle Cruz", (x + 0.1, y), 1), ("Calle Luna", (x, y + 0.1), 2)):
            store.execute(
                schema.roads.insert().values(
                    origin="t", origin_id=f"{n}{name}", batch_id=batch, name=name, length_m=100, u=10 * n,
                    v=10 * n + u, geom=f"SRID=4326;{shapely.LineString([middle, town.at(*end)]).wkt}",
                    **{"class": "residential"},
                )
            )  # fmt: skip
    texts = ["Calle Cruz & Calle Luna", front.format("Calle Cruz & Calle Luna")]
    found = Gazetteer(store).find(texts, date(2024, 5, 1))
    bare, here = (place(found[text]) for text in texts)
    assert bare is None
    assert here is not None
    assert metres(here, town.at(0.5, 0.5)) < ONE_HOUSE_M


@pytest.mark.parametrize(
    ("registered", "others"),
    [
        ("House No. 4, Sector 30",
         ["House No. 5, Sector 30", "Sector 30", "30 Sector", "Sector 30, House No. 5"]),
        ("No. 22, SS 2/24", ["No. 24, SS 2/24", "No. 25, SS 2/24", "SS 2/24"]),
        ("No. 116, Jalan 5/3", ["No. 12, Jalan 5/3", "No. 5, Jalan 5/3"]),
        ("Villa 7, Street 50", ["Villa 8, Street 50", "Street 50"]),
        ("Plot 8, Phase 70", ["Plot 9, Phase 70", "Phase 70"]),
        ("Gate 2, Terminal 80", ["Gate 3, Terminal 80", "Terminal 80"]),
        ("Warehouse 5, Zone 95", ["Warehouse 6, Zone 95", "Zone 95"]),
        ("Block 3, Street 40, House 4",
         ["Block 4, Street 40, House 4", "Sector 12, House No. 4", "Street 40",
          "Block 3, Street 41, House 4"]),
    ],
)  # fmt: skip
def test_a_house_is_no_unit_of_a_numbered_region(
    store: Connection, registered: str, others: list[str]
) -> None:
    assert questions(store, [(registered, HERE)], [registered, *others]) == [True, *[None] * len(others)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("Tower 1, 20 Farm Road", "Tower 2, 20 Farm Road"),
     ("Block A 12, Lake Road 3", "Block B 12, Lake Road 3"),
     ("High Street 9, Centro", "High Street 9, Nord")],
)  # fmt: skip
def test_each_of_two_parts_is_found_letter_by_letter(store: Connection, one: str, other: str) -> None:
    assert questions(store, [(one, HERE), (other, THERE)], [one, other]) == [True, False]


@pytest.mark.parametrize(
    "form", ["{}, {} Veldhaven", "{} {}, Veldhaven", "{1} Veldhaven, {0}", "{} ({})", "{}; {}"]
)
def test_the_letters_of_a_postcode_count(store: Connection, form: str) -> None:
    store.execute(sa.update(schema.city).values(name_en="Veldhaven"))
    codes = ["1012 AB", "1012AB", "NL-1012 AB", "1012", "1012 ZZ", "1012ZZ", "1013"]
    texts = [form.format("Hoofdstraat 70", code) for code in codes]
    found = questions(store, [("Hoofdstraat 70, 1012 AB Veldhaven", HERE)], texts)
    assert found == [True] * 4 + [None] * 3


@pytest.mark.parametrize("said", ["CP {}", "C.P. {}", "{}", "PLZ {}", "CAP {}", "NPA: {}"])
def test_a_postcode_may_say_that_it_is_one(store: Connection, said: str) -> None:
    known = [("Calle Doble 5, CP 85000 Town", HERE), ("Calle Doble 5, 85001 Town", THERE)]
    texts = [f"Calle Doble 5, {said.format(code)}{town}" for code in (85000, 85001) for town in ("", " Town")]
    assert questions(store, known, texts) == [True, True, False, False]
