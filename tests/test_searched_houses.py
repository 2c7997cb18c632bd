"""Houses that a search suggests stand on the street that is written, in whatever way it is written."""

import pytest
from sqlalchemy.engine import Connection

from gis.addresses.match import find
from tests import town
from tests.addressed import add_street, prepare

REGISTERED = [
    "12 Oak St", "12 Oak Ct", "12 Oak Blvd", "20 S Main St", "20 N Main St", "20 Main St W", "20 E Main St",
    "Poststraße 8", "Alte Poststraße 8", "Neue Poststr. 8", "2 Phố Hàng Bác", "3 Phố Hàng Bạc",
    "3 Phố Hàng Bác", "Schönbergstraße 14", "Schonbergstraße 14",
    "Calle Olmo 5", "Avenida Olmo 5", "5 rue Haute", "5 avenue Haute",
]  # fmt: skip
STREETS = sorted({" ".join(word for word in one.split() if not word.isdigit()) for one in REGISTERED})


@pytest.fixture
def store(conn: Connection) -> Connection:
    """Each address in a place of its own, far from the others; its street's line elsewhere."""
    prepare(conn)
    for n, street in enumerate(STREETS):
        add_street(conn, street, town.at(0.1 + n % 5, 0.1 + n // 5))
    batch = add_street(conn, "Weg", town.at(0.3, 3.9))
    for n, address in enumerate(REGISTERED):
        town.add_building(conn, batch, address, town.at(0.2 + 0.18 * n, 0.3))
    return conn


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("12b Oak St", "12 Oak St"),
        ("12 b Oak Street", "12 Oak St"),
        ("12b Oak Court", "12 Oak Ct"),
        ("12 1/2 Oak Boulevard", "12 Oak Blvd"),
        ("20b S Main St", "20 S Main St"),
        ("20A North Main Street", "20 N Main St"),
        ("Poststraße 8b", "Poststraße 8"),
        ("Poststr. 8 B", "Poststraße 8"),
        ("Alte Poststr. 8c", "Alte Poststraße 8"),
        ("Calle Olmo 5B", "Calle Olmo 5"),
        ("5 bis rue Haute", "5 rue Haute"),
    ],
)
def test_a_letter_that_is_not_registered_leads_to_the_house_without_it(
    store: Connection, text: str, only: str
) -> None:
    matches = find(store, text, 10).matches
    assert matches
    best = [one.address for one in matches if one.score == matches[0].score]
    registered = [one for one in matches if one.kind == "building"]
    assert [one.address for one in registered if one.score > 0.75] in ([only], []), matches
    assert best[0] == only or matches[0].kind == "house", matches


@pytest.mark.parametrize("text", ["2 Phố Hàng Bài", "2 Phố Hàng", "12 Oak Sq", "8 Poststeig"])
def test_a_house_on_another_street_is_no_answer(store: Connection, text: str) -> None:
    assert [one for one in find(store, text, 10).matches if one.score >= 0.8] == []


@pytest.mark.parametrize(
    ("text", "first", "other"),
    [
        ("Schönbergstr. 14", "Schönbergstraße 14", "Schonbergstraße 14"),
        ("Schonbergstr. 14", "Schonbergstraße 14", "Schönbergstraße 14"),
        ("Ｓｃｈöｎｂｅｒｇｓｔｒａßｅ 14", "Schönbergstraße 14", "Schonbergstraße 14"),
        ("３ Ｐｈố Ｈàｎｇ Ｂạｃ", "3 Phố Hàng Bạc", "3 Phố Hàng Bác"),
    ],
)
def test_the_sign_that_is_written_decides_in_any_width_and_short(
    store: Connection, text: str, first: str, other: str
) -> None:
    found = {one.address: one.score for one in find(store, text, 10).matches}
    assert found[first] > found.get(other, 0), found
