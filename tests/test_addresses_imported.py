"""Incidents on long streets, where a house is registered far along its own street from its range."""

from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.match import find
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from tests import town
from tests.addressed import prepare

OTHER_FORMS = [
    ("Avenida Santander", "Santander 10", "Avenida Santander 10"),
    ("Via Verdi", "Verdi 10", "Via Verdi 10"),
    ("Rue Haute", "Haute 10", "Rue Haute 10"),
    ("Rua Augusta", "Augusta 10", "Rua Augusta 10"),
    ("Moi Avenue", "Moi 10", "10 Moi Avenue"),
    ("ulica Długa", "ul. Długa 10", "ulica Długa 10"),
    ("Jalan Melati", "Jl. Melati 10", "Jalan Melati 10"),
    ("Mabini Street", "10 Mabini St.", "10A Mabini Street"),
    ("Luna Street", "10 Luna St., 2nd Floor", "10-A Luna Street"),
    ("San Jose Drive", "2/F 10 San Jose Dr.", "10 San Jose Drive"),
]
"""A street, a form of its number 10 that is registered, and one that is looked for."""


@pytest.fixture
def store(conn: Connection) -> Connection:
    return prepare(conn)


def bring(conn: Connection, kind: str, data: pd.DataFrame) -> Outcome:
    return run(conn, kind, from_frame(data, "f"), Options(mapping=mapping.plain(kind, "t")))


def build_streets(conn: Connection, names: list[str]) -> None:
    """Import streets side by side, each a single line of 1 km with the numbers 1 to 100."""
    rows = [{"origin_id": name, "class": "local", "name": name, "left_from": 1, "left_to": 99,
             "right_from": 2, "right_to": 100} for name in names]  # fmt: skip
    lines = [shapely.LineString([town.at(0.2, _row(n)), town.at(1.2, _row(n))]) for n in range(len(names))]
    assert bring(conn, "roads", gpd.GeoDataFrame(rows, geometry=lines, crs=4326)).refused == 0


def _row(n: int) -> float:
    return 0.2 + 0.05 * n


def register(conn: Connection, kind: str, addresses: list[tuple[str, tuple[float, float]]]) -> None:
    """Import addresses of places, or of buildings of some 10 m."""
    rows: list[dict[str, Any]] = [{"origin_id": text, "address": text, "name": "a"} for text, _ in addresses]
    if kind == "places":
        data = pd.DataFrame(
            [
                {**row, "kind": "house", "lon": x, "lat": y}
                for row, (_, (x, y)) in zip(rows, addresses, strict=True)
            ]
        )
    else:
        shapes = [shapely.Point(at).buffer(5e-5) for _, at in addresses]
        data = gpd.GeoDataFrame(rows, geometry=shapes, crs=4326)
    assert bring(conn, kind, data).refused == 0


def placed(conn: Connection, addresses: list[str]) -> dict[str, str | None]:
    """Import an incident at each address and return by what it was placed; None for a refusal."""
    rows = [
        {"origin_id": text, "category": "0101", "source": "hotline", "colour": "blue", "state": "closed",
         "occurred_at": "2024-05-01T12:00:00+08:00", "address": text}
        for text in addresses
    ]  # fmt: skip
    bring(conn, "incidents", pd.DataFrame(rows))
    stored = conn.execute(sa.text("SELECT origin_id, placed_by FROM incidents")).all()
    by = {row.origin_id: str(row.placed_by) for row in stored}
    return {text: by.get(text) for text in addresses}


@pytest.mark.parametrize("kind", ["places", "buildings"])
def test_a_house_registered_far_along_its_own_street_holds_the_range(store: Connection, kind: str) -> None:
    build_streets(store, [street for street, *_ in OTHER_FORMS])
    far = [(form, town.at(0.9, _row(n) + 0.02)) for n, (_, form, _) in enumerate(OTHER_FORMS)]
    near = [
        (form.replace("10", "60"), town.at(0.8, _row(n) + 0.02)) for n, (_, form, _) in enumerate(OTHER_FORMS)
    ]
    register(store, kind, [*far, *near])
    texts = [text for *_, text in OTHER_FORMS]
    held = placed(store, texts)
    assert "range" not in held.values(), held
    alike = placed(store, [text.replace("10", "60") for text in texts])
    other = placed(store, [text.replace("10", "30") for text in texts])
    assert None not in alike.values(), alike
    assert set(other.values()) == {"range"}, other
    for _, form, text in OTHER_FORMS:
        assert form in [match.address for match in find(store, text, 5).matches], text


ONE_WORD = [
    ("Kilima Juja", "Juja 10", "Kilima Juja 10"),
    ("Njoro", "Njoro Kilima 10", "Njoro 10"),
    ("Barabara Uhuru", "Bar. Uhuru 10", "Barabara Uhuru 10"),
    ("Kossuth Lajos utca", "Kossuth Lajos u. 10", "Kossuth Lajos utca 10"),
    ("General Luna Street", "10 Gen. Luna Street", "10 General Luna Street"),
    ("Baker Street", "10 Old Baker Street", "10 Baker Street"),
]
"""Words that stand in no list, or in none as they are here."""


@pytest.mark.parametrize("kind", ["places", "buildings"])
def test_one_word_more_or_less_or_short_may_be_the_same_street(store: Connection, kind: str) -> None:
    build_streets(store, [street for street, *_ in ONE_WORD])
    register(store, kind, [(form, town.at(0.9, _row(n))) for n, (_, form, _) in enumerate(ONE_WORD)])
    texts = [text for *_, text in ONE_WORD]
    assert placed(store, texts) == dict.fromkeys(texts)
    others = [text.replace("10", "30") for text in texts]
    assert placed(store, others) == dict.fromkeys(others, "range")
    for _, form, text in ONE_WORD:
        assert form in [match.address for match in find(store, text, 5).matches], text


def test_another_street_of_the_store_holds_nothing(store: Connection) -> None:
    names = ["Main Street", "Old Main Street", "Via Roma", "Viale Roma", "Długa", "Nowa Długa"]
    build_streets(store, names)
    forms = ("10 Old Main Street", "Viale Roma 10", "Nowa Długa 10")
    register(store, "places", [(form, town.at(1.1, 1.1)) for form in forms])
    texts = ["10 Main Street", "Via Roma 10", "Długa 10"]
    assert placed(store, texts) == dict.fromkeys(texts, "range")


SHORT_TYPES = [
    ("Strada Horea", "Str. Horea nr. 5"), ("Aleea Crinului", "Al. Crinului 5, bl. A3, et. 3, ap. 7"),
    ("Bulevardul Unirii", "Bd. Unirii 5"), ("Șoseaua Nordului", "Șos. Nordului nr. 5, ap. 7"),
    ("Vytauto gatvė", "Vytauto g. 5"), ("Gedimino prospektas", "Gedimino pr. 5, bt. 5"),
    ("Rotušės aikštė", "Rotušės a. 5, butas 5"), ("Šilo skersgatvis", "Šilo skg. 5"),
    ("Ulica Lipa", "Ul. Lipa 5, stan 4"), ("Savska ulica", "Savska ul. kbr. 5, prizemlje"),
    ("Ilica", "Ilica br. 5"),
    ("Λεωφόρος Συγγρού", "Λεωφ. Συγγρού 5"), ("Πλατεία Κάνιγγος", "Πλ. Κάνιγγος 5"),
    ("Calle Larga", "Cl. Larga 5"), ("Carrera Sol", "Cra. Sol 5"), ("Diagonal Sur", "Dg. Sur 5"),
]  # fmt: skip


def test_short_types_are_placed_where_the_full_ones_are(store: Connection) -> None:
    build_streets(store, [street for street, _ in SHORT_TYPES])
    texts = [short for _, short in SHORT_TYPES]
    assert placed(store, texts) == dict.fromkeys(texts, "range")


def test_a_short_type_of_two_streets_is_refused(store: Connection) -> None:
    build_streets(store, ["Avenida Sol", "Calle Luna", "Carrer Luna", "Camino Rey"])
    texts = ["C. Luna 5", "C. Rey 5", "Cl. Sol 5"]
    assert placed(store, texts) == dict.fromkeys(texts)
