"""Upper grids in conflict are shown by the polygons that stand in the store, or would be written."""

from collections.abc import Iterator

import pytest
import shapely
from shapely.geometry import shape as as_shape
from sqlalchemy.engine import Connection, Engine

from gis import coverage, plans, publishing
from tests import recorded
from tests.test_plan_mend_borders import CHIEF, PLANNER
from tests.test_publishing_proof import MAPS
from tests.test_upper_grids_shown import APART, RESHAPE, STEP

SCHEME = "conflicts"


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    yield from recorded.with_scheme(engine, SCHEME, 3)


@pytest.mark.parametrize(
    ("name", "step"), [*((name, STEP) for name in APART), *((name, RESHAPE) for name in APART[:2])]
)
def test_both_versions_of_an_upper_grid_are_as_written(
    conn: Connection, name: str, step: dict[str, object]
) -> None:
    recorded.lay(conn, SCHEME, MAPS[name])
    mine, other = (plans.create(conn, PLANNER, "C", "t", None, SCHEME).id for _ in range(2))
    plans.take(conn, PLANNER, mine, step)
    codes = [code for code, _, _ in MAPS[name] if code in {"P", "Q"}]
    drawn = plans.versions(plans.draft(conn, mine), codes)
    for plan, called in ((mine, "mine"), (other, "theirs")):
        for code in codes:
            plans.take(conn, PLANNER, plan, {"op": "rename", "code": code, "name": called})
    publishing.submit(conn, other)
    publishing.approve(conn, CHIEF, other)
    publishing.publish(conn, other)
    there = recorded.polygons(conn, SCHEME)
    found = publishing.told(conn, SCHEME, publishing.conflicts(conn, mine), "wgs84")
    sides = {one["code"]: one for one in found}
    assert set(codes) <= set(sides)
    for code in codes:
        expected = {"mine": coverage.to_degrees(drawn[code].shape), "theirs": there[code]}
        for side, polygon in expected.items():
            shown = as_shape(sides[code][side]["geometry"])
            assert coverage.areas_m2(shapely.symmetric_difference(shown, polygon))[0] < 1, (code, side)
