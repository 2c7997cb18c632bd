"""A house number is held against what is registered of it, whatever is left out of the address or added."""

from datetime import date

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.match import find
from gis.importing.gazetteer import Gazetteer
from gis.network.ranges import Found
from gis.network.street_cores import core, may_be_one
from gis.network.street_names import street_key
from tests import town
from tests.addressed import HERE, THERE, add_street, prepare, questions


@pytest.fixture
def store(conn: Connection) -> Connection:
    return prepare(conn)


@pytest.mark.parametrize(
    ("registered", "plain"),
    [(f"Långa Gatan {{n}} {tail}", "Långa Gatan {n}") for tail in (
        "lgh 1101", "ö.g.", "nb", "B lgh 1203", "A 5", "as. 3", "C 23 b", "st. th", "1.th.", "4. sal tv",
        "Planta Baja", "PB", "entre X e Y", "esq. Hidalgo", "Despacho 301", "Of. 12", '7mo. "C"', "R/C",
        "I. em. 3.", "Núm. Int. 2", "e/ Callao y Uruguay",
    )]
    + [(form, "{n} High Road") for form in (
        "{n} bis High Road", "{n} B High Road", "Unit 3/{n} High Road", "U3 {n} High Road",
        "Villa 3/{n} High Road", "{n} High Road Rear", "{n}/3 High Road", "No. {n}, 2nd Floor, High Road",
        "H.No. {n} High Road", "Door No. {n}, High Road", "{n} High Road Bât. B",
        "{n} High Road 3e étage gauche", "{n}-1-5 High Road", "{n}/34/5 High Road", "{n} & 242 High Road",
        "{n}, 241 & 242 High Road", "{n}-1-5B High Road",
    )],
)  # fmt: skip
def test_a_number_is_held_against_whatever_stands_beside_it(
    store: Connection, registered: str, plain: str
) -> None:
    batch = add_street(store, "Långa Gatan" if "Gatan" in plain else "High Road")
    town.add_building(store, batch, registered.format(n=38), THERE)
    texts = [registered.format(n=38), plain.format(n=38), plain.format(n=39)]
    found = Gazetteer(store).find(texts, date(2024, 5, 1))
    assert "is registered" in str(found[texts[0]])
    assert "is registered" in str(found[texts[1]])
    assert isinstance(found[texts[2]], Found), "another number of the street has its place"
    offered = [one.address for one in find(store, texts[1], 5).matches]
    assert texts[0] in offered


@pytest.mark.parametrize(
    "registered",
    ["House 12, Street 40", "House No. 12, Street 40", "House 12 Street 40", "H 12, Street 40, F-8"],
)
def test_a_number_is_held_on_a_street_whose_name_ends_in_one(store: Connection, registered: str) -> None:
    batch = add_street(store, "Street 40")
    town.add_building(store, batch, registered, THERE)
    texts = ["12 Street 40", "Street 40 12", "12, Street 40", registered, "14 Street 40"]
    found = Gazetteer(store).find(texts, date(2024, 5, 1))
    assert [isinstance(found[text], Found) for text in texts] == [False] * 4 + [True], found


@pytest.mark.parametrize(
    ("one", "other"),
    [("Avenida Juárez 12", "Av. Juárez 12"), ("Av. Juárez 12", "Avda. Juárez 12"),
     ("Prolongación Hidalgo 12", "Prol. Hidalgo 12"), ("Privada Luna 12", "Priv. Luna 12"),
     ("Gran Avenida 12", "Gran Avenida 12"), ("Avinguda Diagonal 12", "Av. Diagonal 12"),
     ("Avenue Foch 12", "12 av. Foch")],
)  # fmt: skip
def test_short_forms_of_streets_are_held_and_found(store: Connection, one: str, other: str) -> None:
    name = one.rsplit(" ", 1)[0]
    batch = add_street(store, name)
    found = Gazetteer(store).find([one, other], date(2024, 5, 1))
    assert [isinstance(found[text], Found) for text in (one, other)] == [True, True]
    town.add_building(store, batch, other, THERE)
    found = Gazetteer(store).find([one, other], date(2024, 5, 1))
    assert ["is registered" in str(found[text]) for text in (one, other)] == [True, True]


@pytest.mark.parametrize("street", ["Jalan 17/1", "Jalan Bukit 2", "Đường số 12", "SS 2/24"])
def test_a_number_that_says_so_stands_before_a_street_with_numbers(store: Connection, street: str) -> None:
    add_street(store, street)
    add_street(store, "Jalan Bukit")
    texts = [form.format(street) for form in ("No. 5, {}", "Số 5 {}", "No. 5 {}", "5, {}", "5 {}")]
    found = Gazetteer(store).find([*texts, "No. 2, Jalan Bukit 3"], date(2024, 5, 1))
    assert [isinstance(found[text], Found) for text in texts] == [True] * 5, found
    assert isinstance(found["No. 2, Jalan Bukit 3"], str)


ONE_STREET = [
    ("Avenida Providencia", "Providencia"), ("Calle Mayor", "Mayor"), ("Calle de la Paz", "Calle Paz"),
    ("Rue de Rivoli", "Rivoli"), ("Via Po", "Po"), ("Rua Augusta", "R. Augusta"), ("ulica Długa", "Długa"),
    ("Jalan Merdeka", "Merdeka"), ("Main Street", "Main"), ("Atatürk Caddesi", "Atatürk Cad."),
    ("Улица Чайковского", "Чайковского"), ("Avenida Brasil Norte", "Avenida Brasil"),
    ("North High Street", "High Street"), ("Hauptstraße", "Westdorf Hauptstraße"),
    ("Hauptstraße Westdorf", "Hauptstraße"), ("The Strand", "Strand"), ("Calle Norte", "Norte"),
]  # fmt: skip
"""What is one street with something left out that names nothing."""
OTHER_STREETS = [
    ("Main Street", "Old Main Street"), ("Rua Nova", "Travessa Nova"), ("Calle Mayor", "Plaza Mayor"),
    ("Calle Mayor", "Calle Mayor Nueva"), ("Rue de Rivoli", "Rue du Petit Rivoli"),
    ("Via Roma", "Viale Roma"),
    ("Jalan Bukit", "Jalan Bukit Timah"), ("North High Street", "South High Street"), ("Długa", "Nowa Długa"),
    ("High Street", "Upper High Street"), ("Hauptstraße", "Neue Hauptstraße"), ("Calle 45", "Carrera 45"),
    ("E Street", "East Street"), ("East 300 South", "South 300 East"), ("Calle Real", "Camino Real"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [*ONE_STREET, *[(b, a) for a, b in ONE_STREET]])
def test_a_number_is_held_whatever_is_left_out_of_its_street(store: Connection, one: str, other: str) -> None:
    batch = add_street(store, one)
    town.add_building(store, batch, f"{other} 58", THERE)
    town.add_building(store, batch, f"{other} 88", HERE)
    far, near, third = (f"{one} {number}" for number in (58, 88, 68))
    found = Gazetteer(store).find([far, near, third], date(2024, 5, 1))
    assert "is registered" in str(found[far])
    assert [isinstance(found[text], Found) for text in (near, third)] == [True, True]
    assert f"{other} 58" in [match.address for match in find(store, far, 5).matches]


@pytest.mark.parametrize(("one", "other"), [*OTHER_STREETS, *[(b, a) for a, b in OTHER_STREETS]])
@pytest.mark.parametrize("form", ["{} {}", "{} {} (Rear)", "{} {}, 2. etasje"])
def test_a_word_that_names_makes_another_street(store: Connection, one: str, other: str, form: str) -> None:
    batch = add_street(store, one)
    town.add_building(store, batch, form.format(other, 58), THERE)
    text = f"{one} 58"
    if may_be_one(street_key(one), street_key(other)):
        assert "is registered" in str(Gazetteer(store).find([text], date(2024, 5, 1))[text])
        add_street(store, other)
    assert isinstance(Gazetteer(store).find([text], date(2024, 5, 1))[text], Found)
    assert not core(street_key(one)).may_be(core(street_key(other)))


def test_what_lies_where_another_street_of_its_name_has_it_holds_nothing(store: Connection) -> None:
    """`Mayor 58` beside number 58 of Calle Mayor is no doubt of Plaza Mayor 58."""
    batch = add_street(store, "Calle Mayor")
    add_street(store, "Plaza Mayor")
    store.execute(
        sa.text(
            "UPDATE roads SET geom = ST_Translate(geom, :x, :y), u = 11, v = 12 WHERE name = 'Plaza Mayor'"
        ),
        {"x": THERE[0] - HERE[0], "y": THERE[1] - HERE[1]},
    )
    town.add_building(store, batch, "Mayor 58", HERE)
    texts = ["Plaza Mayor 58", "Calle Mayor 58"]
    found = Gazetteer(store).find(texts, date(2024, 5, 1))
    assert [isinstance(found[text], Found) for text in texts] == [True, True]


FLOORS = [
    "2. etasje", "2. etg.", "etasje 2", "1 etasje", "3. sal", "3 sal", "3. sal tv", "4º andar", "4 andar",
    "2º andar, sala 3", "2nd floor", "2 floor", "2nd flr", "first floor", "ground floor", "Level 3", "5/F",
    "1. Stock", "1. OG", "erster Stock", "piso 3", "3er piso", "2do piso", "7mo piso", "primer piso",
    "planta 2ª", "2ª planta", "1er étage", "2 tr.", "vån 2", "5. kerros", "2. emelet", "3. patro",
    "III piętro", "2 piętro", "3. kat", "3 kat", "12e verdieping",
    "2 этаж", "2-й этаж",
    "tầng 3", "tingkat 2", "lantai 2", "2. όροφος",
]  # fmt: skip


@pytest.mark.parametrize("floor", FLOORS)
def test_floors_are_units_as_people_write_them(store: Connection, floor: str) -> None:
    batch = add_street(store, "Storgata")
    town.add_building(store, batch, "Storgata 5", HERE)
    texts = [
        form.format(floor)
        for form in ("Storgata 5, {}", "Storgata 5 {}", "Storgata 5 - {}", "Storgata 7, {}")
    ]
    found = Gazetteer(store).find(texts, date(2024, 5, 1))
    by = [of.by if isinstance(of, Found) else of for of in found.values()]
    assert by == ["address", "address", "address", "range"]
    assert find(store, texts[1], 3).matches[0].address == "Storgata 5"


@pytest.mark.parametrize("behind", ["Etasje", "2. Storhaug", "Sal da Rei 3", "Stock Road", "Level Best"])
def test_what_only_sounds_like_a_floor_is_none(store: Connection, behind: str) -> None:
    assert questions(store, [("Storgata 5", HERE)], [f"Storgata 5, {behind}"]) == [None]


@pytest.mark.parametrize(
    ("word", "street"), [("Lot", "Jalan Merdeka"), ("Lote", "Rua Augusta"), ("Plot", "High Road")]
)
def test_a_lot_is_found_and_is_no_number_along_its_street(store: Connection, word: str, street: str) -> None:
    batch = add_street(store, street)
    registered = f"{word} 73, {street}, 46000 Town"
    town.add_building(store, batch, registered, THERE)
    texts = [registered, f"{word} 73, {street}", f"{word} No. 73, {street}, Town", f"{street}, {word} 73",
             f"{word} 74, {street}", f"{street} 73", f"{word} 73, {street}, 46001 Town"]  # fmt: skip
    found = Gazetteer(store).find(texts, date(2024, 5, 1))
    placed = [found[text].by if isinstance(found[text], Found) else None for text in texts]  # type: ignore[union-attr]
    assert placed == [*["address"] * 4, None, None, None]
    assert [find(store, text, 3).matches[0].address for text in texts[:4]] == [registered] * 4


MARKED = [
    ("ถนนป้า", "ถนนป่า"), ("ถนนดี", "ถนนดู"), ("ばし通り", "はし通り"), ("মিলন সড়ক", "মালন সড়ক"),
    ("கலை சாலை", "கல சாலை"), ("ကို လမ်း", "ကု လမ်း"), ("कला मार्ग", "किला मार्ग"),
]  # fmt: skip
"""Streets whose names differ by a vowel or a tone alone."""


@pytest.mark.parametrize(("street", "other"), MARKED)
def test_vowels_and_tones_are_letters(store: Connection, street: str, other: str) -> None:
    add_street(store, street)
    texts = [f"15 {street}", f"{street} 15", f"15 {other}", f"{other} 15"]
    found = Gazetteer(store).find(texts, date(2024, 5, 1))
    assert [isinstance(found[text], Found) for text in texts] == [True, True, False, False], found
    add_street(store, other)
    both = Gazetteer(store).find(texts, date(2024, 5, 1))
    assert street_key(street) != street_key(other)
    assert "several" not in str(both[texts[0]])


@pytest.mark.parametrize(("one", "other"), [("Škoda", "Skoda"), ("مُحَمَّد", "محمد"), ("Đường Lê", "Duong Le")])
def test_accents_and_points_may_be_left_out(one: str, other: str) -> None:
    assert street_key(one) == street_key(other)
