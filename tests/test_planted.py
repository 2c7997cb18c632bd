"""The demo city's own truth: its planted clusters are found, and its quiet months stay quiet as a whole."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import city, db, grids
from gis.grids import Asked
from layers import planted
from layers.situation import situation
from layers.view import View


@pytest.fixture(scope="module")
def store(demo: str) -> Iterator[Connection]:
    engine = db.make_engine(demo)
    with engine.connect() as conn:
        yield conn
    engine.dispose()


@pytest.fixture(scope="module")
def asked(store: Connection) -> Asked:
    return grids.resolve(store, grids.Wish())


@pytest.mark.parametrize("res", [8, 9])
def test_each_planted_cluster_is_found_in_its_own_category_and_days(
    store: Connection, asked: Asked, res: int
) -> None:
    found = planted.score(planted.as_known(store, asked, res))
    assert found.found == found.planted == len(planted.planted(store)) > 0
    assert found.true >= 0.9 * found.hot


def test_the_whole_city_departs_in_no_month_that_can_be_tested(store: Connection, asked: Asked) -> None:
    zone, tested = ZoneInfo(city.the_city(store).timezone), 0
    year = store.execute(sa.text("SELECT max(occurred_at) FROM incidents")).scalar_one().year
    for month in range(1, 13):
        start = datetime(year, month, 1, tzinfo=zone)
        after = date(year, month, 1) + timedelta(days=32)
        end = datetime(after.year, after.month, 1, tzinfo=zone)
        view = View(asked.scheme, asked.on, asked.known, start=start, end=end)
        found = situation(store, view)
        if found.departure is not None:
            whole = (found.grids.levels[found.row_grid] == 1) & (found.row_category == 0)
            assert found.categories[0] == "", "all together"
            assert found.departure.departs[whole].tolist() == [0], month
            tested += 1
    assert tested >= 5, "months with six periods of their length before them"
