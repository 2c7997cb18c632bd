"""Houses that nobody registered are found by the numbers of their street, and never past a registered one."""

import re

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.match import find
from gis.network import street_names
from gis.schema import roads
from tests import town

NUMBERS = {"left_from": 1, "left_to": 99, "left_parity": "odd", "right_from": 2, "right_to": 98}
"""Of Hampshire St, which runs east: odd numbers north of it, even ones south."""


@pytest.fixture
def street(conn: Connection) -> Connection:
    """The town with Hampshire St from its west end to the middle, and a second one far off."""
    town.add_grids(conn)
    batch = town.add_city(conn)
    for number, (row, reach, first) in enumerate([(2.5, (0.5, 3), 0), (4.5, (3.2, 5.7), 400)]):
        (west, lat), (east, _) = (town.at(at, row) for at in reach)
        numbers = {name: n + first if isinstance(n, int) else n for name, n in NUMBERS.items()}
        line = f"SRID=4326;LINESTRING({west} {lat}, {east} {lat})"
        known = {"origin": "test", "origin_id": str(number), "batch_id": batch, "class": "street"} | {
            "length_m": 100.0
        }
        ends = {"u": 2 * number, "v": 2 * number + 1, "oneway": False, "right_parity": "even"}
        conn.execute(roads.insert().values(**known, **ends, **numbers, name="Hampshire St", geom=line))
    return conn


@pytest.mark.parametrize(
    "text",
    [
        "51 Hampshire St",
        "51 hampshire street",
        "51 Hampshire",
        "51 Hampshire St Apt 3",
        "51 Hampshire St, 3rd floor",
    ],
)
def test_a_number_stands_on_its_side_as_far_along_as_its_range_says(street: Connection, text: str) -> None:
    found = find(street, text, 5).matches
    assert [match.kind for match in found] == ["house"]
    west, east = town.at(0.5, 2.5)[0], town.at(3, 2.5)[0]
    assert found[0].lon == pytest.approx(west + (east - west) * 50 / 98, abs=2e-4)
    assert 0 < found[0].lat - town.at(1, 2.5)[1] < 3e-4
    assert found[0].score <= 0.85
    assert found[0].matched_by.startswith("house number along its street, to ")


def test_the_other_side_and_the_other_stretch(street: Connection) -> None:
    (even,) = find(street, "52 Hampshire St", 5).matches
    assert even.lat < town.at(1, 2.5)[1]
    (far,) = find(street, "451 Hampshire St", 5).matches
    assert far.lat == pytest.approx(town.at(1, 4.5)[1], abs=3e-4)


def test_a_number_in_no_range_is_not_found(street: Connection) -> None:
    assert not [match for match in find(street, "200 Hampshire St", 5).matches if match.kind == "house"]
    assert not find(street, "51 Windsor St", 5).matches


def test_a_registered_house_comes_alone(street: Connection) -> None:
    batch = street.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    town.add_building(street, batch, "51 Hampshire St", town.at(1, 1))
    assert [match.kind for match in find(street, "51 Hampshire St", 5).matches] == ["building"]


@pytest.mark.parametrize(
    ("written", "street"),
    [
        ("1200 S CHARLES ST", "S CHARLES ST"), ("99 E NORTH AVE", "E NORTH AVE"),
        ("12-14 W Oak St", "W OAK ST"),
        ("100 B ST SE", "B ST SE"), ("1200 D Street", "D ST"), ("5 W St NW", "W ST NW"),
        ("3 I ST NW", "I ST NW"),
        ("12 B Main St", "MAIN ST"), ("401A OAK ST", "OAK ST"), ("401 1/2 OAK ST", "OAK ST"),
        ("12-A Oak St", "OAK ST"), ("37-39 Main St", "MAIN ST"),
    ],
)  # fmt: skip
def test_a_letter_behind_the_number_is_no_direction_and_no_street(written: str, street: str) -> None:
    found = street_names.parse(written)
    assert isinstance(found, street_names.House)
    assert (found.street, found.number) == (street, int(re.match(r"\d+", written)[0]))  # type: ignore[index]


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("1200 BLK N CHARLES ST", 1200), ("1200-BLK N CHARLES ST", 1200), ("12 XX N CHARLES ST", 1200),
        ("1200 Blk. of North Charles Street", 1200), ("12 hundred block of N Charles St", 1200),
        ("12XX BLK N CHARLES ST", 1200), ("XX N CHARLES ST", 0),
    ],
)  # fmt: skip
def test_blocks_as_police_files_write_them(written: str, first: int) -> None:
    assert street_names.parse(written) == street_names.Block(first, first + 99, "N CHARLES ST")


def test_the_corner_of_two_streets() -> None:
    for written in ("CORNER OF OAK ST AND ELM ST", "Intersection of Oak St & Elm St"):
        assert street_names.parse(written) == street_names.Crossing(("OAK ST", "ELM ST"))


@pytest.mark.parametrize(
    "text", ["51 S Hampshire St", "51 N Hampshire St", "51 Hampshire St SE", "51 West Hampshire St"]
)
def test_a_direction_that_the_street_has_not_is_not_dropped(street: Connection, text: str) -> None:
    assert not [one for one in find(street, text, 5).matches if one.kind == "house" or "51" in one.address]


@pytest.mark.parametrize(
    ("written", "street", "may"),
    [
        ("Charles", "N Charles St", True), ("Charles St N", "N Charles St", True), ("300 S", "E 300 S", True),
        ("Saint Charles", "Saint Charles Ave", True), ("NW E St", "E St NW", True),
        ("42 St", "W 42nd St", True),
        ("Saint Charles St", "Saint Charles Ave", False), ("S 300 E", "E 300 S", False),
        ("300 E", "E 300 S", False), ("County Road 12", "County Road 12A", False),
        ("Oak St", "Oak Street Extension", False), ("Lake St", "Lake St Upper", False),
        ("N St", "S St", False), ("W Elm St", "Elm St", False), ("8th St NW", "SW 8th St", False),
        ("Elm Ave", "Elm St", False),
        ("East St", "E St", False), ("North Street", "N St", False), ("S Ave", "South Avenue", False),
        ("Avenue East", "Avenue E", False), ("S St", "South St", False), ("E St", "E St NW", True),
        ("North Ave", "W North Ave", True), ("Park Ave S", "Park Avenue South", True),
        ("North End Ave", "N End Ave", True),
        ("Vernon St", "Mt Vernon Street", False), ("Mary's Lane", "Saint Mary's Lane", False),
        ("Martin St", "Dr Martin Street", False), ("rue Martin", "Rue Saint-Martin", False),
        ("St Denis", "Boulevard Saint-Denis", False), ("Mount Vernon", "Mt Vernon Street", True),
        ("Fort Hill Rd", "Ft Hill Road", True), ("Park Pl", "Park Place Ave", False),
        ("St", "Saint Court", False), ("Park", "Park St", False),
        ("Bahnhofstr.", "Bahnhofstraße", True), ("Bahnhof St", "Bahnhofstraße", False),
    ],
)  # fmt: skip
def test_which_street_a_written_one_may_mean(written: str, street: str, *, may: bool) -> None:
    keys = (street_names.street_key(one) for one in (written, street))
    assert street_names.may_mean(*keys) is may


def test_letters_and_directions_are_streets_of_their_own(street: Connection) -> None:
    """Boston has an E Street and an East Street, Washington an N Street."""
    numbers = NUMBERS | {"oneway": False, "right_parity": "even", "class": "street", "length_m": 100.0}
    batch = street.execute(sa.select(sa.func.min(roads.c.batch_id))).scalar_one()
    for number, name in enumerate(
        ["E Street", "East Street", "N Street", "Park Avenue", "Park Avenue South"]
    ):
        (west, lat), (east, _) = (town.at(at, 0.3 + number / 2) for at in (0.5, 3))
        line = f"SRID=4326;LINESTRING({west} {lat}, {east} {lat})"
        known = {"origin": "letters", "origin_id": name, "batch_id": batch, "name": name, "geom": line}
        street.execute(roads.insert().values(**known, **numbers, u=50 + 2 * number, v=51 + 2 * number))
    for written, meant in (
        ("51 East St", {"51 East Street"}), ("51 E St", {"51 E Street"}), ("51 North Street", set()),
        ("51 N St", {"51 N Street"}), ("51 Park Ave #S", {"51 Park Avenue"}),
        ("51 Park Ave S", {"51 Park Avenue South"}), ("East St", {"East Street"}), ("North St", set()),
    ):  # fmt: skip
        found = {one.address for one in find(street, written, 5).matches if one.score > 0.5}
        assert found == meant, written


@pytest.mark.parametrize(
    ("written", "street"),
    [
        ("100 8th St, NW", "8TH ST NW"),
        ("1600 Pennsylvania Avenue, N.W., Washington", "PENNSYLVANIA AVE NW"),
        ("100N Elm St", "N ELM ST"), ("100-S Elm St", "S ELM ST"), ("100½ Elm St", "ELM ST"),
        ("100-1/2 Elm St", "ELM ST"), ("100 SW 8 St", "SW 8TH ST"), ("100 W 42 St", "W 42ND ST"),
    ],
)  # fmt: skip
def test_directions_behind_a_comma_and_glued_to_the_number(written: str, street: str) -> None:
    assert street_names.parse(written) == street_names.House(1600 if "1600" in written else 100, street)


def test_an_address_is_told_in_the_order_of_its_language() -> None:
    for written, name, told in (
        ("88 Elm St", "Elm Street", "88 Elm Street"), ("Via Roma 12", "Via Roma", "Via Roma 12"),
        ("国瓷路88号", "国瓷路", "国瓷路88号"),
    ):  # fmt: skip
        house = street_names.parse(written)
        assert isinstance(house, street_names.House)
        assert house.on(name) == told
