"""Hotspots over the store: where expectation comes from, and what is said of change."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from scipy import stats
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.schema import batches
from layers.hotspots import hotspots, trends
from layers.public import release_months
from layers.view import View
from tests import town

START = datetime(2025, 3, 1, tzinfo=town.ZONE)
MONTH = View("safety", date(2025, 6, 1), 1, start=START, end=START + timedelta(days=28))


@pytest.fixture
def settled(conn: Connection) -> Connection:
    """The town with 56 quiet days, four incidents a day anywhere."""
    town.add_grids(conn)
    batch = town.add_city(conn)
    rng = np.random.default_rng(11)
    quiet = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (224, 2))]
    town.add_incidents(conn, batch, quiet, first=START - timedelta(days=56), apart=timedelta(hours=6))
    return conn


def _month(conn: Connection, extra: int) -> None:
    batch = conn.execute(sa.select(sa.func.max(batches.c.id))).scalar_one()
    rng = np.random.default_rng(12)
    usual = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (112, 2))]
    corner = [town.at(*place) for place in rng.uniform((4.4, 0.4), (4.6, 0.6), (extra, 2))]
    town.add_incidents(conn, batch, [*usual, *corner], first=START, apart=timedelta(hours=4))


def test_a_month_like_the_last_is_quiet(settled: Connection) -> None:
    _month(settled, 0)
    found = hotspots(settled, MONTH, 9)
    assert found.method == "poisson-disc-bh/history"
    assert found.incidents == found.count.sum() == 112
    assert not found.tested.significant.any()


def test_a_new_cluster_is_told(settled: Connection) -> None:
    _month(settled, 30)
    found = hotspots(settled, MONTH, 9)
    assert found.count.sum() == 142
    assert found.detectable
    assert 1 < found.detectable.ratio < 20
    assert found.detectable.n > found.detectable.n_expected
    fullest = int(found.count.argmax())
    assert found.count[fullest] >= 10
    assert found.tested.significant[fullest]
    assert found.trend[fullest] == "rising"


def test_without_a_past_area_is_what_is_left(settled: Connection) -> None:
    whole = View("safety", date(2025, 6, 1), 1)
    found = hotspots(settled, whole, 8)
    assert found.method == "poisson-disc-bh/area"
    assert found.housed == 0, "no building is known"
    assert found.expected.sum() == pytest.approx(found.incidents)
    assert set(found.trend) == {None}, "there is no period before to compare with"


def test_what_the_public_may_know_is_counted_but_not_tested(settled: Connection) -> None:
    _month(settled, 30)
    batch = settled.execute(sa.select(sa.func.max(batches.c.id))).scalar_one()
    for number in range(8):
        town.add_building(settled, batch, str(number), town.at(4.5, 0.5))
    release_months(settled)
    found = hotspots(settled, replace(MONTH, suppressed=True), 7)
    assert found.method == "counts-only"
    assert (found.count >= 3).all()
    march = View("safety", date(2025, 6, 1), 1, start=START, end=START + timedelta(days=31))
    assert found.count.sum() == hotspots(settled, march, 7).incidents, "whole months"
    assert not found.tested.significant.any()
    assert np.isnan(found.expected).all()


def test_nothing_loaded_is_no_error(conn: Connection) -> None:
    town.add_grids(conn)
    town.add_city(conn)
    found = hotspots(conn, MONTH, 9)
    assert (found.incidents, len(found.cells)) == (0, 0)


@pytest.mark.parametrize(
    ("start", "end"), [(START + timedelta(days=999), None), (None, START.replace(year=1990))]
)
def test_a_period_that_lies_beyond_the_data_is_refused(
    settled: Connection, start: datetime | None, end: datetime | None
) -> None:
    with pytest.raises(BadInput, match=r"records (begin|end) on 2025"):
        hotspots(settled, replace(MONTH, start=start, end=end), 8)


@pytest.mark.parametrize(("now", "before"), [(9, 1), (8, 2), (5, 5), (1, 9), (0, 5), (0, 6), (0, 0), (40, 9)])
def test_trends_equal_the_binomial_test(now: int, before: int) -> None:
    told = trends(np.array([float(now)]), np.array([float(before)]))[0]
    p = stats.binomtest(now, now + before).pvalue if now + before else 1.0
    assert (told == "steady") == (p > 0.05)
    assert told in {"steady", "rising" if now > before else "falling"}
