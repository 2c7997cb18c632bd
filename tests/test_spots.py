"""A hot place keeps its name at every resolution: the grid that owns most of its incidents."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy.engine import Connection, Engine

from layers.hotspots import hotspots
from layers.spots import spots
from layers.view import View
from tests import town

FIRST = datetime(2025, 1, 1, tzinfo=town.ZONE)
APRIL = (datetime(2025, 4, 1, tzinfo=town.ZONE), datetime(2025, 4, 29, tzinfo=town.ZONE))
VIEW = View("safety", date(2025, 6, 1), 1, start=APRIL[0], end=APRIL[1])
HOT = (1.4, 3.6)
"""In grid d of quarter 2, near the border of quarter 1, into which its hexagons reach."""
SPLIT = (3.0, 4.5)
"""On the border of d and e: neither owns most of it."""


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Eight a day anywhere; in April also a crowd in d, and one on the border of d and e."""
    rng = np.random.default_rng(8)
    anywhere = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (8 * 120, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, anywhere, first=FIRST, apart=timedelta(hours=3))
        for (x, y), number in ((HOT, 60), (SPLIT, 60)):
            side = np.where(np.arange(number) % 2, 1, -1)
            spread = np.column_stack([side * rng.uniform(0.01, 0.06, number), rng.normal(0, 0.03, number)])
            crowd = [town.at(x + dx, y + dy) for dx, dy in spread.tolist()]
            town.add_incidents(conn, batch, crowd, "02", first=APRIL[0], apart=timedelta(hours=11))


@pytest.mark.parametrize("res", [8, 9, 10])
def test_a_place_is_the_grid_that_holds_most_of_it_at_every_resolution(conn: Connection, res: int) -> None:
    found = hotspots(conn, VIEW, res)
    named = [(one.grid, one.name, one.level) for one in spots(conn, VIEW, res, found)]
    assert ("T2d", "网格T2d", 3) in named
    alone = [one for one in spots(conn, VIEW, res, found) if one.grid == "T2"]
    assert all(one.level == 2 and one.within == ["网格T"] for one in alone)
    if res > 8:
        assert alone, "what lies on the border of two grids is known by the one above both"


@pytest.mark.parametrize("res", [8, 9, 10])
def test_spots_are_all_hot_cells_each_once(conn: Connection, res: int) -> None:
    found = hotspots(conn, VIEW, res)
    told = spots(conn, VIEW, res, found)
    cells = np.concatenate([one.cells for one in told])
    assert sorted(cells.tolist()) == found.cells[found.tested.significant].tolist()
    assert sum(one.count for one in told) == found.count[found.tested.significant].sum()


def test_where_nothing_is_hot_there_are_none(conn: Connection) -> None:
    march = View("safety", date(2025, 6, 1), 1, start=datetime(2025, 3, 1, tzinfo=town.ZONE), end=APRIL[0])
    assert spots(conn, march, 8, hotspots(conn, march, 8)) == []
