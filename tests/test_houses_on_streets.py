"""Houses that nobody registered are found by the numbers of their street, and never past a registered one."""

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.match import find
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
