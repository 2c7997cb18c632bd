"""Ground that nobody owns stays with the grid above it, whatever is drawn beside it."""

from collections.abc import Callable

import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage
from gis.errors import BadInput
from gis.plan_diff import Version, applied, diff, version_of
from gis.plan_faults import _errors, new_errors
from gis.plan_merge import merge
from gis.redraw import apply
from gis.settle import NOBODY, Coverage, Grid, is_grid, spare_of
from gis.spare import cover, spare_keys


def box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """A rectangle by hundredths of a degree from 113 E, 27 N."""
    return shapely.box(113 + west / 100, 27 + south / 100, 113 + east / 100, 27 + north / 100)


def line(*places: tuple[float, float]) -> dict[str, object]:
    return {"type": "LineString", "coordinates": [(113 + x / 100, 27 + y / 100) for x, y in places]}


SHAPES = {
    "C": box(0, 0, 8, 2), "P": box(0, 0, 3, 2), "Q": box(3, 0, 6, 2),
    "P1": box(0, 0, 1, 2), "P2": box(1, 0, 2, 2), "Q1": box(4, 0, 5, 2), "Q2": box(5, 0, 6, 2),
}  # fmt: skip
PARENTS = {"C": None, "P": "C", "Q": "C", "P1": "P", "P2": "P", "Q1": "Q", "Q2": "Q"}


def county(**otherwise: BaseGeometry) -> Coverage:
    """C holds P (P1, P2, spare 2-3) and Q (spare 3-4, Q1, Q2), and 6-8 itself that is nobody's."""
    level = {"C": 1, "P": 2, "Q": 2}
    rows = [Grid(code, level.get(code, 3), parent) for code, parent in PARENTS.items()]
    return cover(rows, SHAPES | otherwise)


def area(cov: Coverage, code: str) -> float:
    """The area of a grid by shapely, in square hundredths of a degree."""
    return round(cov.geometry(code).area * 1e4, 9)


def areas(cov: Coverage) -> dict[str, float]:
    return {code: area(cov, code) for code in sorted(cov.grids)}


def test_spare_ground_lies_under_the_lowest_grid_above_it() -> None:
    cov = county()
    assert {cov.parent(key): round(cov.shapes[key].area / 1e10, 9) for key in spare_keys(cov)} == {
        "P": 2, "Q": 2, "C": 4}  # fmt: skip
    assert areas(cov) == {code: round(shape.area * 1e4, 9) for code, shape in sorted(SHAPES.items())}


STEPS: list[tuple[str, dict[str, object], dict[str, float]]] = [
    ("split beside it", {"op": "split", "code": "P2", "line": line((1, 1), (3, 1)), "into": ["P3"]}, {}),
    ("split away from it", {"op": "split", "code": "P1", "line": line((-1, 1), (1, 1)), "into": ["P3"]}, {}),
    ("merge", {"op": "merge", "codes": ["P1", "P2"]}, {}),
    ("assign", {"op": "assign", "to": "P2", "area": box(0.5, 0.5, 1.5, 1)}, {}),
    ("merge uppers", {"op": "merge", "codes": ["P", "Q"]}, {"P": 12}),
    ("transfer", {"op": "transfer", "code": "Q1", "parent": "P"}, {"P": 8, "Q": 4}),
    ("take in", {"op": "take_in", "at": [113.025, 27.01], "to": "P2"}, {}),
    ("take in by another", {"op": "take_in", "at": [113.025, 27.01], "to": "Q1"}, {"P": 4, "Q": 8}),
    (
        "split an upper grid through it",
        {"op": "split", "code": "C", "line": line((3, -1), (3, 1), (7, 1), (7, 3)), "into": ["D"]},
        {},
    ),
    (
        "reshape uppers",
        {"op": "reshape", "codes": ["P", "Q"], "line": line((3, 0), (2.5, 1), (3, 2))},
        {"P": 5.5, "Q": 6.5},
    ),
    (
        "reshape uppers back",
        {"op": "reshape", "codes": ["Q", "P"], "line": line((3, 0), (3.5, 1), (3, 2))},
        {"P": 6.5, "Q": 5.5},
    ),
]


@pytest.mark.parametrize(("step", "expected"), [pytest.param(s, e, id=name) for name, s, e in STEPS])
def test_what_a_step_does_not_name_keeps_its_area(
    step: dict[str, object], expected: dict[str, float]
) -> None:
    before = county()
    if step["op"] == "split" and step["code"] == "C":
        step = {**step, "line": line((3, -1), (3, 3))}
    after = apply(before, step)
    if step.get("code") == "C":
        assert area(after, "C") + area(after, "D") == 16
        assert {area(after, "C"), area(after, "D")} == {10, 6}
        expected = {"C": area(after, "C")}
    uppers = [code for code in ("C", "P", "Q") if code in after.grids]
    assert {c: area(after, c) for c in uppers} == {c: expected.get(c, areas(before)[c]) for c in uppers}
    assert round(after.outline().area / 1e10, 9) == 16


def test_ground_of_a_grid_is_not_given_where_nobody_could_own_it() -> None:
    with pytest.raises(BadInput, match="without touching the other side"):
        apply(county(), {"op": "reshape", "codes": ["P", "Q"], "line": line((3, 0), (1.5, 1), (3, 2))})


def test_a_map_drawn_elsewhere_leaves_its_ground_to_the_parent() -> None:
    smaller = shapely.geometry.mapping(box(1, 0, 1.5, 2))
    row = {"code": "P2", "parent": "P", "name": "", "shape": smaller}
    step = {"op": "adopt", "grids": [row], "gone": []}
    before = county()
    after = apply(before, step)
    assert areas(after) == areas(before) | {"P2": 1}
    assert round(after.shapes[spare_of("P")].area / 1e10, 9) == 3


@pytest.mark.parametrize(
    ("shape", "code", "unfit"),
    [
        (box(4.9, 0, 6, 2), "Q2", set()),  # overlaps Q1
        (box(5, 0, 6, 2.2), "Q2", {"Q", "C"}),  # strays out of its parent, and of what is above it
        (box(3, 0, 6, 2.2), "Q", {"C"}),  # strays out of the scope
    ],
)
def test_children_that_do_not_fit_are_never_the_parent(
    shape: BaseGeometry, code: str, unfit: set[str]
) -> None:
    cov = county(**{code: shape})
    assert {cov.parent(key) for key in spare_keys(cov)} == {"C", "P", "Q"}, "what nobody has, fit or not"
    assert set(cov.outlines) == unfit
    for upper, kept in cov.outlines.items():
        assert coverage.to_degrees(kept).equals((SHAPES | {code: shape})[upper])
    assert shapely.is_valid(np.array(list(cov.shapes.values()), dtype=object)).all()


def test_a_parent_that_lacks_a_vertex_of_its_children_keeps_its_spare_ground() -> None:
    bent = shapely.Polygon(
        [(113.02, 27), (113.01, 27), (113.01, 27.02), (113.0150003, 27.0200001), (113.02, 27.02)]
    )
    cov = county(P2=bent)
    assert "P" not in cov.outlines or spare_of("P") in cov.shapes
    assert round(cov.shapes[spare_of("P")].area / 1e10, 3) == 2


def _legacy(of: Coverage, key: str = NOBODY) -> Version:
    """All spare ground under one key, as drafts were stored before."""
    one = shapely.union_all([of.shapes[spare] for spare in spare_keys(of)])
    return Version(Grid(key, 0), shapely.normalize(one), leaf=True)


def test_a_draft_stored_before_is_read_by_parent() -> None:
    base = county()
    step = {"op": "take_in", "at": [113.065, 27.01], "to": "Q2"}
    there = apply(base, step)
    delta = {code: after for code, (_, after) in diff(base, there).items() if is_grid(code)}
    assert areas(applied(base, {**delta, NOBODY: _legacy(there)})) | {"P": 6, "Q": 10} == areas(there)


def test_a_delta_by_parent_is_applied_as_it_is() -> None:
    base: Coverage = county()
    judge: Callable[[Coverage], dict[str, bytes]] = lambda cov: {k: s.wkb for k, s in cov.shapes.items()}  # noqa: E731
    for name, step, _ in STEPS:
        if name != "split an upper grid through it":
            there = apply(base, step)
            delta = {code: after for code, (_, after) in diff(base, there).items()}
            assert judge(applied(base, delta)) == judge(there), name
            assert all(version_of(there, code) == after for code, after in delta.items())


def test_a_gap_whose_border_a_step_bends_is_no_new_error() -> None:
    """A line that ends on the border of spare ground puts a vertex into it, a unit beside."""
    before = county()
    sloped = line((1, 0.3), (2.000003, 1.7000041))
    after = apply(before, {"op": "split", "code": "P2", "line": sloped, "into": ["P3"]})
    assert after.shapes[spare_of("P")].wkb != before.shapes[spare_of("P")].wkb
    assert new_errors(before, after) == []


def test_a_gap_that_a_step_makes_is_a_new_error() -> None:
    before = county()
    row = {"code": "Q1", "parent": "Q", "name": "", "shape": shapely.geometry.mapping(box(4.5, 0, 5, 2))}
    after = apply(before, {"op": "adopt", "grids": [row], "gone": []})
    assert [fault.kind for fault in new_errors(before, after)] == ["orphan"]


def test_a_child_that_strays_is_told_as_a_fault_of_the_draft() -> None:
    strayed = county(Q2=box(5, 0, 6, 2.2))
    assert any(f.kind == "outside_parent" and f.codes == ("Q2",) for f in _errors(strayed))
    assert new_errors(county(), strayed)


SLANTED = 113.015007, 27.002003
"""A place on the southern border of the two grids, which slopes: a vertex put into it bends it."""


NEEDLE = [(530, -562), (0, 0), (1, 1), (0, 1), (-541, 694)]
"""A needle a unit wide as on the border of Chicago's beat 0133: matching folds it away; in units."""


def sloping(*middle: tuple[float, float], needle: bool = False) -> Coverage:
    """Two parents of one grid each, of which the western strays out of the city's recorded polygon.

    Its southern border has the vertex between the two, or not; its eastern one a needle, or not.
    """
    north, west = [(113.03, 27.02), (113.015, 27.02), (113.0, 27.02)], (113.0, 27.0)
    east = [(113.030014, 27.004006), *((113.03 + x * 1e-7, 27.01 + y * 1e-7) for x, y in NEEDLE if needle)]
    shapes = {
        "A": shapely.Polygon([west, SLANTED, *north[1:]]),
        "B": shapely.Polygon([SLANTED, *east, *north[:2]]),
        "C": shapely.Polygon([west, *middle, *east, *north[:2], (113.015, 27.019), (113, 27.019)]),
    }
    rows = [Grid("C", 1), Grid("A", 2, "C"), Grid("B", 2, "C"), Grid("a", 3, "A"), Grid("b", 3, "B")]
    return cover(rows, shapes | {"a": shapes["A"], "b": shapes["B"]})


def sliced(cov: Coverage, *wests: float) -> Coverage:
    """Splits of the western grid by lines across its whole height, at so many hundredths from 113 E."""
    for x in wests:
        whose = next(c for c in cov.grids if c in cov.shapes and coverage.to_degrees(cov.shapes[c]).covers(
            shapely.Point(113 + x / 100, 27.015)))  # fmt: skip
        cov = apply(cov, {"op": "split", "code": whose, "line": line((x, -1), (x + 0.0123, 3))})
    return cov


@pytest.mark.parametrize("needle", [False, True], ids=["", "needle"])
@pytest.mark.parametrize("middle", [(SLANTED,), ()], ids=["alike", "without a vertex of its children"])
@pytest.mark.parametrize("wests", [(0.4001,), (0.3501, 1.2003, 0.8003, 0.6007, 0.4007, 0.5003)])
def test_a_border_that_a_recorded_outline_shares_bends_for_it_too(
    wests: tuple[float, ...], middle: tuple[tuple[float, float], ...], *, needle: bool
) -> None:
    before = sloping(*middle, needle=needle)
    assert list(before.outlines) == ["C"]
    after = sliced(before, *wests)
    assert len(coverage.to_degrees(after.outline()).exterior.coords) > len(before.outline().exterior.coords)
    assert new_errors(before, after) == []
    delta = {code: version for code, (_, version) in diff(before, after).items()}
    assert new_errors(before, applied(before, delta)) == [], "as it is read again from the store"


def test_ground_that_leaves_a_recorded_outline_is_a_new_error_however_narrow() -> None:
    before = sloping(SLANTED)
    low = np.array(SLANTED) - (0, 3e-7)
    shapes = {code: coverage.to_degrees(before.shapes[code]) for code in ("a", "b")}

    def lowered(xy: np.ndarray) -> np.ndarray:
        return np.where(np.isclose(xy, SLANTED, rtol=0, atol=1e-8).all(axis=1)[:, None], low, xy)

    moved = {code: shapely.transform(shape, lowered) for code, shape in shapes.items()}
    uppers = {"A": moved["a"], "B": moved["b"], "C": coverage.to_degrees(before.outlines["C"])}
    after = cover(list(before.grids.values()), moved | uppers)
    assert new_errors(before, after)


@pytest.mark.parametrize("key", ["spare", "contested"])
def test_a_sliver_given_is_no_bend_and_is_published(key: str) -> None:
    """Ground narrower than bends are: brought onto the map as it is now, it was left out, a hole."""
    side = 1 if key == "spare" else -1
    wavy = [(1, 2), (1, 0), (2, 0), (2, 2)]
    places = [(113 + x / 100, 27 + y / 100) for x, y in wavy]
    base = county(P2=shapely.Polygon([places[0], (113.01 + side * 8e-7, 27.01), *places[1:]]))
    sliver = next(
        part for key in spare_keys(base) for part in shapely.get_parts(base.shapes[key]) if part.area < 1e9
    )
    area_of = shapely.geometry.mapping(coverage.to_degrees(sliver))
    for to in ("P1", "P2"):
        draft = apply(base, {"op": "give", "to": to, "area": area_of})
        elsewhere = {"op": "split", "code": "Q1", "line": line((4, 1), (5.5, 1.1)), "into": ["Q3"]}
        for now in (base, apply(base, elsewhere)):
            merged = merge(base, draft, now)
            assert not merged.conflicts
            assert merged.cov.shape(to).equals(draft.shape(to))
            assert new_errors(now, merged.cov) == []
