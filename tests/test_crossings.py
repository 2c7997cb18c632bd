"""Streets cross where they meet on the ground, whatever numbers their nodes have."""

from datetime import date

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema
from gis.addresses.match import find
from gis.importing.gazetteer import Gazetteer
from gis.network.ranges import Found
from tests import town
from tests.addressed import metres, place, prepare
from tests.test_centrelines import bring, frame

HERE, FAR = town.at(0.5, 0.5), town.at(2.5, 2.5)
EAST, NORTH = np.subtract(town.at(0.6, 0.5), HERE), np.subtract(town.at(0.5, 0.6), HERE)


def line(begin: tuple[float, float], across: object) -> shapely.LineString:
    return shapely.LineString([begin, np.add(begin, across)])


def roads_at(conn: Connection, second: tuple[float, float], *more: tuple[str, tuple[float, float]]) -> None:
    """Lay Alpha St from HERE, its first node 2, and Beta St and more with the same node elsewhere."""
    batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    placed = [("Alpha St", HERE, EAST), ("Beta St", second, NORTH)]
    placed += [(name, begin, NORTH) for name, begin in more]
    for number, (name, begin, across) in enumerate(placed):
        conn.execute(
            schema.roads.insert().values(
                origin="t", origin_id=str(number), batch_id=batch, name=name, length_m=100, u=2,
                v=100 + number, geom=f"SRID=4326;{line(begin, across).wkt}", **{"class": "residential"},
            )
        )  # fmt: skip


@pytest.fixture
def store(conn: Connection) -> Connection:
    return prepare(conn)


TEXTS = ["Alpha St & Beta St", "Beta St & Alpha St"]


def test_one_node_at_two_places_is_no_crossing(store: Connection) -> None:
    roads_at(store, FAR)
    for text, found in Gazetteer(store).find(TEXTS, date(2024, 5, 1)).items():
        assert isinstance(found, str), text
        assert "do not meet" in found
        assert [one for one in find(store, text, 5).matches if one.kind == "crossing"] == []


@pytest.mark.parametrize("apart", [0.0, 20 / 111_195])
def test_what_lies_together_crosses_there_in_either_order(store: Connection, apart: float) -> None:
    """A third street far off with the same node changes nothing, nor does a carriageway beside."""
    roads_at(store, (HERE[0], HERE[1] + apart), ("Gamma St", FAR), ("Beta St", town.at(2.5, 0.5)))
    found = Gazetteer(store).find(TEXTS, date(2024, 5, 1))
    for text in TEXTS:
        assert isinstance(found[text], Found)
        there = place(found[text])
        assert there
        assert metres(there, HERE) < 25
        crossings = [one for one in find(store, text, 5).matches if one.kind == "crossing"]
        assert [metres((one.lon, one.lat), HERE) < 25 for one in crossings] == [True]


def test_an_import_says_which_nodes_stand_at_several_places(store: Connection) -> None:
    shapes = [line(HERE, EAST), line(FAR, NORTH), line(town.at(1, 1), EAST), line(town.at(1, 1), NORTH)]
    notes = bring(store, frame(shapes, u=[2, 2, 5, 5], v=[3, 4, 6, 7])).notes
    away = metres(HERE, FAR)
    (note,) = [note for note in notes if "several places" in note]
    assert note.startswith("1 nodes of the roads stand at several places")
    assert abs(float(note.split("2 by ")[1].split(" m")[0]) - away) < 0.01 * away
    assert not any("several places" in note for note in bring(store, frame(shapes, u=[None] * 4)).notes)
