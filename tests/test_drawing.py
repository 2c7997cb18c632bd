"""New areas drawn from streets and buildings: in range, in one piece, along streets, across no barrier."""

import numpy as np
import pytest
import shapely

from gis import coverage, drawing
from gis.case import HouseholdRange, Surroundings
from gis.drawing import Houses, new_area
from gis.errors import BadInput
from gis.faults import check
from gis.redraw import apply
from gis.settle import Grid
from gis.spare import cover

LON, LAT, PITCH = 113.1, 27.8, 0.002
COLUMNS, ROWS = 8, 6
STREETS = [
    shapely.LineString([(LON + i * PITCH, LAT - 1e-4), (LON + (i + 0.1) * PITCH, LAT + ROWS * PITCH + 1e-4)])
    for i in range(COLUMNS + 1)
] + [
    shapely.LineString(
        [(LON - 1e-4, LAT + j * PITCH), (LON + (COLUMNS + 1) * PITCH, LAT + (j + 0.2) * PITCH)]
    )
    for j in range(ROWS + 1)
]
RIVER = shapely.LineString(
    [
        (LON - PITCH, LAT + 3.3 * PITCH),
        (LON + 4 * PITCH, LAT + 3.7 * PITCH),
        (LON + 10 * PITCH, LAT + 2.4 * PITCH),
    ]
)
AREA = shapely.box(LON + 0.1 * PITCH, LAT + 0.1 * PITCH, LON + 7.8 * PITCH, LAT + 5.9 * PITCH)


def houses(seed: int, count: int = 700) -> Houses:
    rng = np.random.default_rng(seed)
    low, high = np.array(AREA.bounds).reshape(2, 2)
    xy = rng.uniform(low, high, (count, 2)).round(7)
    return Houses(xy[:, 0], xy[:, 1], rng.integers(4, 40, count).astype(float))


@pytest.mark.parametrize("seed", range(3))
def test_units_in_range_whole_along_streets_and_on_one_side_of_the_river(seed: int) -> None:
    built = houses(seed)
    drawn = new_area(AREA, STREETS, built, [RIVER])
    assert drawn.households.sum() == built.households.sum()
    assert len(drawn.unresolved) <= 1
    in_range = np.delete(drawn.households, drawn.unresolved)
    assert in_range.min() >= 300
    assert in_range.max() <= 500
    assert {shape.geom_type for shape in drawn.shapes} == {"Polygon"}
    grids = {f"{i:02d}": shape for i, shape in enumerate(drawn.shapes)}
    assert check(grids, None, Surroundings(barriers=[RIVER])) == []
    units = coverage.to_units(np.array(drawn.shapes, dtype=object))
    assert shapely.union_all(units).area == pytest.approx(coverage.to_units(AREA).area, rel=1e-9)
    borders = shapely.union_all(shapely.boundary(units))
    lines = shapely.union_all([coverage.to_units(line) for line in [*STREETS, RIVER, AREA.boundary]])
    assert borders.intersection(lines.buffer(5)).length > 0.75 * borders.length


def test_the_same_input_gives_the_same_units() -> None:
    one, other = (new_area(AREA, STREETS, houses(4), [RIVER], seed=7) for _ in range(2))
    assert [shape.wkb for shape in one.shapes] == [shape.wkb for shape in other.shapes]


def test_a_range_of_one_s_own_and_too_few_households() -> None:
    few = new_area(AREA, STREETS, houses(1, 8), [], HouseholdRange(1000, 2000))
    assert len(few.shapes) == 1
    assert few.unresolved.tolist() == [0]
    many = new_area(AREA, STREETS, houses(1), [], HouseholdRange(1000, 2000))
    assert ((many.households >= 1000) & (many.households <= 2000)).all()
    with pytest.raises(BadInput, match="area"):
        new_area(shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), STREETS, houses(1))


def test_units_become_a_step_of_a_draft() -> None:
    beside = shapely.box(AREA.bounds[2], AREA.bounds[1], AREA.bounds[2] + PITCH, AREA.bounds[3])
    rows = [Grid("A00", 5, "A"), Grid("A01", 5, "A"), Grid("A", 4)]
    shapes = dict(zip(["A00", "A01"], coverage.snap([AREA, beside])[0], strict=True))
    cov = cover(rows, shapes)
    drawn = new_area(cov.geometry("A00"), STREETS, houses(2), [RIVER])
    step, codes = drawing.as_step(cov, "A00", drawn)
    there = apply(cov, step)
    assert len(there.shapes) == len(drawn.shapes) + 1
    assert all(there.geometry(c).equals(shape) for c, shape in zip(codes, drawn.shapes, strict=True))
    assert codes[int(np.argmax([shape.area for shape in drawn.shapes]))] == "A00"
    assert {grid.parent for grid in there.grids.values() if grid.level == 5} == {"A"}
    assert cov.outline().symmetric_difference(there.outline()).area < 1e-9 * cov.outline().area
