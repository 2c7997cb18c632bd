"""Suggestions on a draft: nothing torn or faulty, submittable, one step to undo, reasons for the rest."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection, Engine

from gis import coverage, db, plan_faults, plan_store, plan_suggest, plans
from gis.access import COMMAND, Principal, enter
from gis.atoms import atoms
from gis.errors import BadInput
from gis.plan_suggest import Suggested
from gis.schema import buildings, roads
from gis.settle import Coverage, is_grid
from gis.tolerances import BEND_UNITS
from tests import town

PLANNER = Principal("planner", name="planner", full_role="planner")
Where = tuple[float, float, float, float]
"""Columns and rows of the drawing: west, north, east, south."""


@pytest.fixture(scope="module")
def batch(engine: Engine) -> int:
    with engine.begin() as conn:
        town.add_grids(conn)
        return town.add_city(conn)


@pytest.fixture
def asking(conn: Connection, batch: int) -> Connection:  # noqa: ARG001
    enter(conn, COMMAND)
    return conn


def people(conn: Connection, batch: int, homes: dict[str, tuple[Where, int]]) -> None:
    """Scatter houses of twelve households in parts of the town, as the admin does."""
    conn.exec_driver_sql("RESET ROLE")
    rng = np.random.default_rng(7)
    for name, ((west, north, east, south), count) in homes.items():
        for n in range(count):
            place = town.at(rng.uniform(west, east), rng.uniform(north, south))
            town.add_building(conn, batch, f"{name}{n}", place)
    enter(conn, COMMAND)


def suggested(conn: Connection, scope: str, low: float, high: float, **how: Any) -> tuple[int, Suggested]:
    plan = plans.create(conn, PLANNER, scope, "t", None, None).id
    return plan, plan_suggest.rebalance(conn, PLANNER, plan, None, low, high, **how)


def households(conn: Connection, cov: Coverage) -> dict[str, int]:
    """The households of each lowest grid, counted by shapely on the polygons."""
    rows = conn.execute(buildings.select().with_only_columns(buildings.c.point, buildings.c.households))
    found = dict.fromkeys(cov.shapes, 0)
    for wkb, count in rows:
        point = shapely.from_wkb(bytes(wkb.data))
        home = [code for code in cov.shapes if is_grid(code) and cov.geometry(code).contains(point)]
        if home:
            found[home[0]] += count
    return found


def whole(before: Coverage, after: Coverage) -> None:
    """No grid in more parts than before, no ground lost or doubled, by shapely alone."""
    for code, shape in after.shapes.items():
        if is_grid(code):
            was = shapely.get_num_geometries(before.shapes[code]) if code in before.shapes else 1
            assert shapely.get_num_geometries(shape) <= was, code
            assert shape.is_valid
    shapes = list(after.shapes.values())
    assert shapely.union_all(shapes).area == sum(shape.area for shape in shapes)
    assert shapely.union_all(shapes).area == pytest.approx(before.outline().area, rel=1e-6)  # bent borders


def test_a_suggestion_evens_out_in_one_step_that_is_undone_at_once(asking: Connection, batch: int) -> None:
    people(asking, batch, {"d": ((0.2, 3.2, 2.8, 4.8), 20), "e": ((3.3, 3.2, 5.8, 4.8), 6)})
    plan, done = suggested(asking, "T2", 100, 210)
    base, here = plans.draft(asking, plan, at=0).cov, plans.draft(asking, plan).cov
    whole(base, here)
    assert done.unresolved == []
    assert all(100 <= count <= 210 for code, count in households(asking, here).items() if is_grid(code))
    assert plan_faults.new_errors(base, here) == []
    (step,) = done.steps
    assert plan_store.step(asking, plan, step).op == plans.GROUP
    assert plans.submit(asking, plan).state == "submitted"
    plans.reopen(asking, plan)
    plans.undo(asking, plan)
    assert plan_store.grids_of(asking, plan) == {}
    again = plans.redo(asking, plan).draft.cov
    assert {c: s.wkb for c, s in again.shapes.items()} == {c: s.wkb for c, s in here.shapes.items()}


def test_a_grid_far_above_the_range_is_split(asking: Connection, batch: int) -> None:
    people(asking, batch, {"d": ((0.2, 3.2, 2.8, 4.8), 40), "e": ((3.3, 3.2, 5.8, 4.8), 20)})
    plan, done = suggested(asking, "T2", 200, 300)
    assert "split" in {step["op"] for step in done.taken}
    here = plans.draft(asking, plan).cov
    whole(plans.draft(asking, plan, at=0).cov, here)
    assert sum(map(is_grid, here.shapes)) == 3
    assert done.unresolved == []
    assert done.grids == (2, 3)


def test_a_grid_far_below_the_range_is_merged(asking: Connection, batch: int) -> None:
    people(asking, batch, {"d": ((0.2, 3.2, 2.8, 4.8), 18), "e": ((3.3, 3.2, 5.8, 4.8), 2)})
    _, done = suggested(asking, "T2", 200, 300)
    assert [step["op"] for step in done.taken] == ["merge"]
    assert (done.grids, done.in_range) == ((2, 1), (1, 1))


@pytest.mark.parametrize("keep", [["T1a"], ["T1b"], ["T1c"], ["T1a", "T1c"]])
def test_grids_that_are_kept_stay_to_the_byte(asking: Connection, batch: int, keep: list[str]) -> None:
    """A suggestion is made around them: of three neighbours in a row each would give, take or be merged."""
    people(asking, batch, {"a": ((0.2, 0.2, 1.8, 2.8), 40), "b": ((2.2, 0.2, 3.8, 1.8), 3),
                           "c": ((4.2, 0.2, 5.8, 2.8), 25)})  # fmt: skip
    plan, free = suggested(asking, "T1", 120, 250)
    moved = plan_store.changes_of(asking, free.steps[0])
    assert {"T1a", "T1b"} <= moved.keys()
    plan, done = suggested(asking, "T1", 120, 250, keep=keep)
    base, here = plans.draft(asking, plan, at=0).cov, plans.draft(asking, plan).cov
    whole(base, here)
    assert all(here.geometry(code).equals(base.geometry(code)) for code in keep)
    assert done.grids[0] == 3 - len(keep)
    assert not {one.code for one in done.unresolved} & set(keep)
    assert bool(done.steps) == (len(keep) == 1), "what is left still finds its balance"


def test_where_all_are_kept_nothing_is_suggested(asking: Connection, batch: int) -> None:
    people(asking, batch, {"d": ((0.2, 3.2, 2.8, 4.8), 20)})
    with pytest.raises(BadInput, match="keep: every grid there stays"):
        suggested(asking, "T2", 100, 210, keep=["T2d", "T2e"])


def test_of_two_alike_the_grid_that_has_a_code_stays(asking: Connection, batch: int) -> None:
    """Its half, made in the draft, sorts behind it: the grid's own code was lost."""
    people(asking, batch, {"d": ((0.2, 3.2, 1.2, 4.8), 3), "half": ((1.8, 3.2, 2.8, 4.8), 3)})
    plan = plans.create(asking, PLANNER, "T2", "t", None, None).id
    line = shapely.geometry.mapping(shapely.LineString([town.at(1.5, 2.5), town.at(1.5, 5.5)]))
    plans.take(asking, PLANNER, plan, {"op": "split", "code": "T2d", "line": line})
    done = plan_suggest.rebalance(asking, PLANNER, plan, None, 60, 80)
    (step,) = done.taken
    assert (step["op"], step["into"], step["codes"]) == ("merge", "T2d", ["T2d", "~1"])
    assert set(plans.draft(asking, plan).cov.leaves("T2")) == {"T2d", "T2e"}


def test_a_split_into_more_than_two_is_dropped(asking: Connection, batch: int) -> None:
    """Of township 430223002 one line made three pieces, and the suggestion ended in a ValueError."""
    people(asking, batch, {"d": ((0.2, 3.2, 2.8, 4.8), 9)})
    plan = plans.create(asking, PLANNER, "T2", "t", None, None).id
    here, codes = plans.draft(asking, plan), ["T2d", "T2e"]
    site = plan_suggest.site_of(asking, here.cov, codes)
    work = plan_suggest.Work(asking, here, codes, site, np.arange(2))
    before = work.here.cov
    thrice = shapely.LineString([town.at(1, 2.5), town.at(1, 5.5), town.at(2, 5.5), town.at(2, 2.5)])
    step = {"op": "split", "code": "T2d", "line": shapely.geometry.mapping(thrice)}
    assert work.take(step, {"T2d"}) == "3 pieces"
    assert work.here.cov is before
    assert work.steps == []
    assert work.skipped == ["split T2d: 3 pieces"]


def test_ground_passes_between_communities_only_when_asked(asking: Connection, batch: int) -> None:
    people(asking, batch, {"b": ((2.2, 0.2, 3.8, 1.8), 20), "c": ((4.2, 0.2, 5.8, 2.8), 20),
                           "a": ((0.2, 0.2, 1.8, 2.8), 20), "d": ((0.2, 3.2, 2.8, 4.8), 10),
                           "e": ((3.3, 3.2, 5.8, 4.8), 15)})  # fmt: skip
    _, done = suggested(asking, "T", 180, 290)
    assert {one.code: one.reason for one in done.unresolved} == {"T2d": "community"}
    assert done.steps == []
    plan, done = suggested(asking, "T", 180, 290, across=True)
    whole(plans.draft(asking, plan, at=0).cov, plans.draft(asking, plan).cov)
    assert done.unresolved == []


def test_a_county_is_the_sum_of_its_townships(
    asking: Connection, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counties with more buildings than a suggestion looked at were refused, or took minutes."""
    people(asking, batch, {"a": ((0.2, 0.2, 1.8, 2.8), 24), "b": ((2.2, 0.2, 3.8, 1.8), 8),
                           "c": ((4.2, 0.2, 5.8, 2.8), 30), "d": ((0.2, 3.2, 2.8, 4.8), 20),
                           "e": ((3.3, 3.2, 5.8, 4.8), 6)})  # fmt: skip
    alone = [suggested(asking, scope, 100, 210) for scope in ("T1", "T2")]
    monkeypatch.setattr(plan_suggest, "MOST_BUILDINGS", 70)
    plan, done = suggested(asking, "T", 100, 210)
    cov = plans.draft(asking, plan).cov
    whole(plans.draft(asking, plan, at=0).cov, cov)
    assert done.in_range == tuple(sum(one.in_range[i] for _, one in alone) for i in (0, 1))
    assert done.grids == tuple(sum(one.grids[i] for _, one in alone) for i in (0, 1))
    assert len(done.taken) == sum(len(one.taken) for _, one in alone) > 3
    parts = [plans.draft(asking, one).cov for one, _ in alone]
    shapes = [shape for part in parts for code, shape in part.shapes.items() if is_grid(code)]
    for shape in (shape for code, shape in cov.shapes.items() if is_grid(code)):
        apart = min(shape.symmetric_difference(one).area for one in shapes)
        assert apart <= BEND_UNITS * shape.length  # what a neighbour's step bends
    assert len(done.steps) == 1
    assert changed_nothing(plans.undo(asking, plan).draft)
    with pytest.raises(BadInput, match="88 of them where ground may pass"):
        suggested(asking, "T", 100, 210, across=True)


def changed_nothing(draft: plans.Draft) -> bool:
    return plans.changed(draft) == {}


def test_a_river_keeps_neighbours_apart_and_is_named(asking: Connection, batch: int) -> None:
    people(asking, batch, {"d": ((0.2, 3.2, 2.8, 4.8), 24), "e": ((3.3, 3.2, 5.8, 4.8), 10)})
    asking.exec_driver_sql("RESET ROLE")
    river = shapely.LineString([town.at(3, 2), town.at(3, 6)])
    values = {"origin": "t", "origin_id": "r", "batch_id": batch, "name": "河", "class": "river"}
    values |= {"length_m": 1.0, "u": 1, "v": 2}
    asking.execute(roads.insert().values(values | {"geom": f"SRID=4326;{river.wkt}"}))
    enter(asking, COMMAND)
    _, done = suggested(asking, "T2", 150, 280)
    assert {one.code: one.reason for one in done.unresolved} == {"T2d": "barrier", "T2e": "barrier"}


def test_a_grid_without_buildings_keeps_its_ground_and_is_told(asking: Connection, batch: int) -> None:
    people(asking, batch, {"a": ((0.2, 0.2, 1.8, 2.8), 24), "b": ((2.2, 0.2, 3.8, 1.8), 12)})
    plan, done = suggested(asking, "T1", 150, 280)
    base, here = plans.draft(asking, plan, at=0).cov, plans.draft(asking, plan).cov
    assert [(one.code, one.households, one.reason) for one in done.unresolved] == [("T1c", 0, "no_buildings")]
    assert here.shapes["T1c"].difference(base.shapes["T1c"]).area == 0
    assert base.shapes["T1c"].area == here.shapes["T1c"].area
    whole(base, here)


def test_one_house_or_none_is_no_error(asking: Connection, batch: int) -> None:
    _, none = suggested(asking, "T2", 150, 280)
    assert {one.reason for one in none.unresolved} == {"no_buildings"}
    people(asking, batch, {"d": ((0.2, 3.2, 2.8, 4.8), 1)})
    _, one = suggested(asking, "T2", 150, 280)
    assert {u.code: u.reason for u in one.unresolved} == {"T2d": "no_spare", "T2e": "no_buildings"}
    plan = plans.create(asking, PLANNER, "T2", "t", None, None).id
    with pytest.raises(BadInput, match="range"):
        plan_suggest.rebalance(asking, PLANNER, plan, None, 300, 200)


def boxes(*spans: tuple[int, int, int, int]) -> list[BaseGeometry]:
    return [shapely.box(*(1_130_000_000 + 1000 * x if i % 2 == 0 else 270_000_000 + 1000 * x
                          for i, x in enumerate(span))) for span in spans]  # fmt: skip


def spots(*places: tuple[float, float]) -> np.ndarray:
    xy = np.array(places) * 1000 + [1_130_000_000, 270_000_000]
    return np.asarray(shapely.points(np.round(xy)), dtype=object)


def test_atoms_divide_the_grids_exactly_and_are_connected() -> None:
    grids = boxes((0, 0, 40, 40), (40, 0, 80, 40))
    places = spots((5, 5), (30, 8), (35, 35), (44, 20), (70, 30), (75, 5))
    houses = shapely.buffer(places, 1500, cap_style="square")
    made = atoms(grids, places, houses, np.arange(1.0, 7.0))
    assert made.households.sum() == 21
    for n, grid in enumerate(grids):
        mine = [a for a in range(len(made.grid)) if made.grid[a] == n]
        assert made.shape(mine).equals(grid)
        assert sum(made.shape([a]).area for a in mine) == grid.area
        assert all(made.shape([a]).geom_type == "Polygon" for a in mine)
    cut = [h for h in houses if shapely.length(shapely.intersection(h, shapely.union_all(
        [made.shape([a]).boundary for a in range(len(made.grid))]))) > 0]  # fmt: skip
    assert cut == []


def test_atoms_that_touch_in_a_corner_are_no_neighbours() -> None:
    grids = boxes((0, 0, 10, 10), (10, 10, 20, 20), (10, 0, 20, 10), (0, 10, 10, 20))
    places = spots((5, 5), (15, 15), (15, 5), (5, 15))
    made = atoms(grids, places, places, np.ones(4))
    beside = {tuple(sorted(made.grid[pair].tolist())) for pair in made.pairs}
    assert beside == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_islands_are_atoms_of_their_own() -> None:
    island = shapely.union(*boxes((0, 0, 10, 10), (20, 0, 30, 10)))
    made = atoms([island], spots((5, 5), (25, 5), (8, 8)), spots((5, 5), (25, 5), (8, 8)), np.ones(3))
    assert len(made.pairs) == 1
    assert sorted(made.households.tolist()) == [1, 1, 1]


@pytest.fixture
def city(demo: str) -> Iterator[Connection]:
    made = db.make_engine(demo)
    with made.connect() as conn:
        enter(conn, COMMAND)
        yield conn
        conn.rollback()
    made.dispose()


def balanced(conn: Connection, scope: str) -> Suggested:
    plan, done = suggested(conn, scope, 300, 500)
    base, here = plans.draft(conn, plan, at=0).cov, plans.draft(conn, plan).cov
    whole(base, here)
    assert plan_faults.new_errors(base, here) == []
    if done.steps:
        assert plans.submit(conn, plan).state == "submitted"
    left = {one.code for one in done.unresolved}
    assert done.in_range[1] == done.grids[1] - len(left)
    assert done.in_range[1] >= done.in_range[0]
    return done


def test_the_demo_city_is_balanced_whole(city: Connection) -> None:
    """M3: one untouched township of the small demo city."""
    done = balanced(city, "430202002")
    assert done.in_range[1] > 2 * done.in_range[0]


@pytest.mark.slow
@pytest.mark.parametrize("scope", [f"43020200{n}" for n in range(1, 7)])
def test_every_township_of_the_demo_city_is_balanced_whole(city: Connection, scope: str) -> None:
    balanced(city, scope)


def test_the_ground_of_atoms_is_on_whole_units() -> None:
    made = atoms(boxes((0, 0, 40, 40)), spots((5, 5), (30, 8)), spots((5, 5), (30, 8)), np.ones(2))
    xy = shapely.get_coordinates(made.faces)
    assert np.array_equal(xy, np.round(xy))
    assert coverage.doubled_areas(made.faces).sum() == 2 * 40_000**2
