"""Every kind of defect, seeded into several maps, is found where it lies, and a sound map raises no alarm."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from gis import coverage, faults, plan_faults
from gis.case import KINDS, Surroundings
from gis.errors import BadInput
from gis.settle import Coverage, Grid
from gis.spare import cover
from tests.towns import Grids, archipelago, chicago, outline, town, zhuzhou


class Seeded(NamedTuple):
    """A map with one defect: what it is called and where it lies (units)."""

    grids: Grids
    kind: str
    where: BaseGeometry
    around: Surroundings = Surroundings()


def _neighbours(grids: Grids, least: float) -> tuple[str, str, shapely.LineString]:
    """Two grids and the longest edge between them, at least so many units long."""
    edges = coverage.polygon_edges(np.array(list(grids.values()), dtype=object))
    owner = {
        (*a, *b): o for a, b, o in zip(edges.start.tolist(), edges.end.tolist(), edges.owner, strict=True)
    }
    shared = [e for e in owner if (*e[2:], *e[:2]) in owner]
    length = [np.hypot(e[2] - e[0], e[3] - e[1]) for e in shared]
    edge = shared[int(np.argmax(length))]
    assert max(length) >= least
    codes = list(grids)
    return codes[owner[edge]], codes[owner[*edge[2:], *edge[:2]]], shapely.LineString([edge[:2], edge[2:]])


def _outer_edge(grids: Grids) -> tuple[str, np.ndarray, np.ndarray]:
    """The longest edge of the outline and whose it is; the inside lies on its left."""
    edges = coverage.polygon_edges(np.array(list(grids.values()), dtype=object))
    ends = set(map(tuple, np.hstack([edges.end, edges.start]).tolist()))
    lone = [i for i, e in enumerate(np.hstack([edges.start, edges.end]).tolist()) if tuple(e) not in ends]
    i = max(lone, key=lambda k: np.hypot(*(edges.end[k] - edges.start[k])))
    return list(grids)[edges.owner[i]], edges.start[i], edges.end[i]


def _triangle(a: np.ndarray, b: np.ndarray, height: float) -> BaseGeometry:
    """A triangle of whole units on an edge, to its right for a positive height."""
    run = (b - a) / np.hypot(*(b - a))
    return shapely.Polygon([a, np.round((a + b) / 2 + height * np.array([run[1], -run[0]])), b])


def _big(grids: Grids, rank: int = 0) -> str:
    whole = [code for code, g in grids.items() if shapely.get_num_geometries(g) == 1]
    return sorted(
        whole, key=lambda code: shapely.maximum_inscribed_circle(grids[code], tolerance=100).length
    )[-1 - rank]


def _patch(grid: BaseGeometry) -> BaseGeometry:
    circle = shapely.maximum_inscribed_circle(grid, tolerance=100)
    middle, half = np.round(circle.coords[0]), max(int(circle.length) // 8, 20)
    return shapely.box(*(middle - half), *(middle + half))


def gap(grids: Grids) -> Seeded:
    a, _, edge = _neighbours(grids, 100)
    lost = _triangle(*np.array(edge.coords), -edge.length / 4)
    return Seeded(grids | {a: grids[a].difference(lost)}, "gap", lost)


def overlap(grids: Grids) -> Seeded:
    a, _, edge = _neighbours(grids, 100)
    doubled = _triangle(*np.array(edge.coords), edge.length / 4)
    return Seeded(grids | {a: grids[a].union(doubled)}, "overlap", doubled)


def thin_gap(grids: Grids) -> Seeded:
    a, _, edge = _neighbours(grids, 2000)
    lost = _triangle(*np.array(edge.coords), -40)
    return Seeded(grids | {a: grids[a].difference(lost)}, "gap", lost)


def thin_overlap(grids: Grids) -> Seeded:
    a, _, edge = _neighbours(grids, 2000)
    doubled = _triangle(*np.array(edge.coords), 40)
    return Seeded(grids | {a: grids[a].union(doubled)}, "overlap", doubled)


def loose_piece(grids: Grids) -> Seeded:
    """A strip half a metre wide in the middle of another grid."""
    giver = _big(grids)
    taker = next(code for code in sorted(grids) if code != giver and not grids[code].intersects(grids[giver]))
    west, south, east, _ = _patch(grids[giver]).bounds
    strip = shapely.box(west, south, east, south + 40)
    changed = {giver: grids[giver].difference(strip), taker: grids[taker].union(strip)}
    return Seeded(grids | changed, "loose_piece", shapely.union(strip, grids[taker]))


def neck(grids: Grids) -> Seeded:
    """Two rooms in the middle of another grid, with a corridor 1.2 m wide between them."""
    giver = _big(grids)
    taker = next(code for code in sorted(grids) if code != giver and not grids[code].intersects(grids[giver]))
    west, south, east, north = _patch(grids[giver]).bounds
    room = (east - west) // 5
    rooms = [shapely.box(west, south, west + room, north), shapely.box(east - room, south, east, north)]
    corridor = shapely.box(west + room, south + 20, east - room, south + 128)
    both = shapely.union_all([*rooms, corridor])
    changed = {giver: grids[giver].difference(both), taker: grids[taker].union(both)}
    return Seeded(grids | changed, "neck", shapely.union(both, grids[taker]))


def hole(grids: Grids) -> Seeded:
    a = _big(grids)
    return Seeded(grids | {a: grids[a].difference(_patch(grids[a]))}, "hole", _patch(grids[a]))


def orphan(grids: Grids) -> Seeded:
    a, start, end = _outer_edge(grids)
    lost = _triangle(start, end, -np.hypot(*(end - start)) / 4)
    return Seeded(grids | {a: grids[a].difference(lost)}, "orphan", lost)


def outside_parent(grids: Grids) -> Seeded:
    a, start, end = _outer_edge(grids)
    more = _triangle(start, end, np.hypot(*(end - start)) / 4)
    return Seeded(grids | {a: grids[a].union(more)}, "outside_parent", more)


def bow_tie(grids: Grids) -> Seeded:
    a, start, end = _outer_edge(grids)
    ring = list(shapely.get_geometry(grids[a], 0).exterior.coords[:-1])
    i = next(k for k, p in enumerate(ring) if p in {tuple(map(float, start)), tuple(map(float, end))})
    run = (end - start) / 8
    there = ring[i]
    out = np.array([run[1], -run[0]])
    loop = [tuple(np.round(there + v)) for v in (out + run, out - run)]
    crossed = shapely.Polygon([*ring[: i + 1], *loop, *ring[i:]])
    return Seeded(grids | {a: crossed}, "bow_tie", shapely.MultiPoint([there, *loop]).convex_hull)


def duplicate(grids: Grids) -> Seeded:
    a = _big(grids)
    return Seeded(grids | {"copy": grids[a]}, "duplicate", grids[a])


def unmatched_vertices(grids: Grids) -> Seeded:
    a, _, edge = _neighbours(grids, 100)
    (x0, y0), (x1, y1) = edge.coords
    middle = (round((x0 + x1) / 2), round((y0 + y1) / 2))
    ends = np.array(sorted([(int(x0), int(y0)), (int(x1), int(y1))]))
    changed = coverage.insert_vertices(
        np.array([grids[a]], dtype=object), ends[:1], ends[1:], np.array([middle])
    )
    return Seeded(grids | {a: changed[0]}, "unmatched_vertices", edge)


def not_contiguous(grids: Grids) -> Seeded:
    a, c = _big(grids), _big(grids, 1)
    patch = _patch(grids[c])
    moved = {a: shapely.MultiPolygon([*shapely.get_parts(grids[a]), patch]), c: grids[c].difference(patch)}
    return Seeded(grids | moved, "not_contiguous", shapely.union(grids[a], patch))


def building_split(grids: Grids) -> Seeded:
    _, _, edge = _neighbours(grids, 100)
    house = edge.interpolate(0.5, normalized=True).buffer(edge.length / 10)
    return Seeded(
        grids,
        "building_split",
        house,
        Surroundings(buildings=list(coverage.to_degrees(np.array([house, _patch(grids[_big(grids)])])))),
    )


def size(grids: Grids) -> Seeded:
    houses = [g.point_on_surface().buffer(2) for g in grids.values()]
    households = [400] * len(grids)
    households[3] = 501
    seen = Surroundings(buildings=list(coverage.to_degrees(np.array(houses))), households=households)
    return Seeded(grids, "size", list(grids.values())[3], seen)


def compactness(grids: Grids) -> Seeded:
    a = _big(grids)
    box = np.array(_patch(grids[a]).bounds)
    comb = shapely.union_all(
        [
            shapely.box(*box[:2], box[2], box[1] + 2),
            *(
                shapely.box(x, box[1], x + (box[2] - box[0]) // 40, box[3])
                for x in np.linspace(box[0], box[2], 11).round()[:-1]
            ),
        ]
    )
    return Seeded(grids | {a: grids[a].difference(comb), "comb": comb}, "compactness", comb.union(grids[a]))


def barrier_crossed(grids: Grids) -> Seeded:
    a = _big(grids)
    _, south, _, north = grids[a].bounds
    x = grids[a].point_on_surface().x
    river = shapely.LineString([(x, south - 5), (x, north + 5)])
    short = shapely.LineString([(x, south - 5), grids[a].point_on_surface().coords[0]])
    seen = Surroundings(barriers=list(coverage.to_degrees(np.array([river, short]))))
    return Seeded(grids, "barrier_crossed", grids[a], seen)


DEFECTS: list[Callable[[Grids], Seeded]] = [
    gap,
    overlap,
    thin_gap,
    thin_overlap,
    loose_piece,
    hole,
    orphan,
    outside_parent,
    bow_tie,
    duplicate,
    unmatched_vertices,
    not_contiguous,
    neck,
    building_split,
    size,
    compactness,
    barrier_crossed,
]


def _found(grids: Grids, parent: BaseGeometry, around: Surroundings | None = None) -> list[faults.Fault]:
    degrees = {code: coverage.to_degrees(g) for code, g in grids.items()}
    return faults.check(degrees, coverage.to_degrees(parent), around)


def _hold(sound: Grids) -> None:
    parent = outline(sound)
    usual = {(f.kind, f.codes, f.geometry.wkb) for f in _found(sound, parent)}
    assert {f[0] for f in usual} <= {"not_contiguous", "compactness", "neck"}
    for seed in DEFECTS:
        seeded = seed(sound)
        fresh = [
            f
            for f in _found(seeded.grids, parent, seeded.around)
            if (f.kind, f.codes, f.geometry.wkb) not in usual
        ]
        near = coverage.to_degrees(seeded.where.buffer(5))
        told = [(f.kind, f.codes, f.area_m2) for f in fresh]
        assert seeded.kind in {f.kind for f in fresh}, (seed.__name__, told)
        assert all(f.geometry.intersects(near) for f in fresh), (seed.__name__, told)
        allowed = ALSO.get(seeded.kind, set()) | {seeded.kind}
        assert {f.kind for f in fresh} <= allowed, (seed.__name__, told)


ALSO = {
    "bow_tie": {"outside_parent", "orphan", "overlap", "gap", "not_contiguous", "hole"},
    "not_contiguous": {"compactness"},
    "hole": {"compactness"},
    "loose_piece": {"not_contiguous", "compactness", "neck"},
    "neck": {"not_contiguous", "compactness"},
    "compactness": {"neck"},
}
"""What a defect also is: a bow-tie has ground of its own, a split grid is ragged."""


@pytest.mark.parametrize("lat", [0, 40, 78])
def test_a_neck_is_measured_in_metres_at_every_latitude(lat: float) -> None:
    """A corridor of 1.2 m by 1 km is told, with its area; one of 3 m, and sharp corners, are not."""
    plane = pyproj.CRS(f"+proj=laea +lat_0={lat} +lon_0=113")
    back = pyproj.Transformer.from_crs(plane, 4326, always_xy=True).transform
    rooms = [shapely.box(-600, -100, -500, 100), shapely.box(500, -100, 600, 100)]
    for width, turn, told in ((1.2, 0, 1), (1.2, 30, 1), (1.2, 90, 1), (3, 0, 0), (3, 60, 0)):
        shape = shapely.union_all([*rooms, shapely.box(-501, 0, 501, width)])
        placed = shapely.transform(affinity.rotate(shape, turn, origin=(0, 0)), back, interleaved=False)
        found = [one for one in faults.check({"A": placed}) if one.kind == "neck"]
        assert len(found) == told
        assert all(one.area_m2 == pytest.approx(1000 * width, rel=0.03) for one in found)
    sharp = shapely.Polygon([(0, 0), (600, 0), (600, 200)])  # a corner of 18 degrees
    placed = shapely.transform(sharp, back, interleaved=False)
    assert [one.kind for one in faults.check({"A": placed}) if one.kind == "neck"] == []


def test_a_kind_for_every_check_and_a_check_for_every_kind() -> None:
    told_of_drafts = {"upper_changed"}  # gis/plan_faults.py compares two maps
    assert {one.__name__ for one in faults.CHECKS} == set(KINDS) - told_of_drafts
    assert {seed.__name__.removeprefix("thin_") for seed in DEFECTS} | {"no_parent"} == set(
        KINDS
    ) - told_of_drafts


def test_levels_are_checked_within_their_parents() -> None:
    grids = town(4, 0)
    west, east = ({k: g for k, g in grids.items() if (k[:2] < "02") == left} for left in (True, False))
    rows = [
        ("W", None, outline(west)),
        ("E", None, outline(east)),
        *((k, "W" if k in west else "E", g) for k, g in grids.items()),
    ]
    frame = gpd.GeoDataFrame(
        {"code": [r[0] for r in rows], "parent_code": [r[1] for r in rows]},
        geometry=list(coverage.to_degrees(np.array([r[2] for r in rows]))),
        crs=4326,
    )
    assert faults.check(frame) == []
    frame.loc[frame["code"] == "0202", "parent_code"] = "W"
    assert {(f.kind, f.codes) for f in faults.check(frame)} == {
        ("outside_parent", ("0202",)),
        ("orphan", ("0201", "0203", "0301", "0302", "0303")),
    }
    frame.loc[frame["code"] == "0202", "parent_code"] = "X"
    assert {f.kind for f in faults.check(frame)} == {"no_parent", "orphan"}


def test_a_stray_vertex_of_two_units_is_told_as_unmatched_ground() -> None:
    grids = {"A": shapely.box(0, 0, 1000, 1000), "B": shapely.box(1000, 0, 2000, 1000)}
    grids["B"] = shapely.Polygon([(1000, 0), (2000, 0), (2001, 500), (2000, 1000), (1000, 1000)])
    found = _found(grids, shapely.box(0, 0, 2000, 1000))
    assert ("unmatched_vertices", "error", ("B",)) in {(f.kind, f.severity, f.codes) for f in found}
    assert {f.kind for f in found} == {"unmatched_vertices"}


def test_a_lake_is_advice_where_no_parent_says_otherwise() -> None:
    grids = archipelago(5, 0)
    found = faults.check({code: coverage.to_degrees(g) for code, g in grids.items()})
    assert {(f.kind, f.severity) for f in found} == {("gap", "advice")}


def test_faults_as_geojson() -> None:
    found = faults.check({"A": shapely.box(113, 27, 113.1, 27.1)}, shapely.box(113, 27, 113.1, 27.2))
    (feature,) = faults.to_geojson(found)["features"]
    assert feature["properties"]["kind"] == "orphan"
    assert feature["properties"]["codes"] == ["A"]
    assert shapely.geometry.shape(feature["geometry"]).equals(shapely.box(113, 27.1, 113.1, 27.2))
    assert feature["properties"]["area_m2"] == pytest.approx(9843.7e0 * 11078, rel=2e-2)


def test_a_line_is_no_grid() -> None:
    with pytest.raises(BadInput, match="row 1 is LineString"):
        faults.check({"A": shapely.LineString([(0, 0), (1, 1)])})


@pytest.mark.parametrize("seed", range(2))
def test_defects_in_towns(seed: int) -> None:
    _hold(town(5, seed))


@pytest.mark.parametrize("seed", range(2))
def test_defects_in_a_coverage_with_lake_enclave_and_island(seed: int) -> None:
    _hold(archipelago(6, seed))


@pytest.mark.realdata
def test_defects_in_beats_of_chicago(realdata: Path) -> None:
    _hold(chicago(realdata, "beat", "2012-12-19"))


@pytest.mark.realdata
def test_defects_in_counties_of_zhuzhou(realdata: Path) -> None:
    _hold(zhuzhou(realdata))


def test_gap_overlap_and_loose_piece_under_a_metre_are_three_kinds() -> None:
    """M9: strips some 60 cm wide; each says so, and a narrow gap is an error without a parent, too."""
    grids = {
        "A": shapely.box(0, 0, 20_000, 20_000),
        "B": shapely.box(19_940, 0, 40_000, 20_000),
        "C": shapely.union(shapely.box(0, 20_000, 40_000, 40_000), shapely.box(50_000, 0, 50_060, 20_000)),
        "R": shapely.box(0, 50_000, 40_000, 90_000).difference(shapely.box(10_000, 60_000, 20_000, 70_000)),
        "P": shapely.box(10_000, 60_000, 19_940, 70_000),
    }
    found = faults.check({code: coverage.to_degrees(g) for code, g in grids.items()})
    wrong = [f for f in found if f.severity == "error"]
    assert {(f.kind, f.codes) for f in wrong} == {
        ("overlap", ("A", "B")),
        ("loose_piece", ("C",)),
        ("gap", ("P", "R")),
    }
    for fault in wrong:
        assert 0.5 < fault.width_m < 1
        assert "less than 1 m wide" in fault.message_en
        assert "不足 1 米" in fault.message_zh


def test_a_narrow_grid_far_from_its_parent_is_a_narrow_piece_of_it() -> None:
    """Found by interleaving plans: whole as a lowest grid, it is a piece of the community that it joined."""

    def town(parent: str) -> Coverage:
        rows = [Grid("T", 3, None), Grid("T1", 4, "T"), Grid("T2", 4, "T")]
        rows += [Grid("a", 5, "T1"), Grid("b", 5, "T2"), Grid("c", 5, "T2"), Grid("thin", 5, parent)]
        edges = [113.0, 113.01, 113.02, 113.020005, 113.03]  # the third is half a metre wide
        strips = [shapely.box(west, 27.0, east, 27.01) for west, east in pairwise(edges)]
        return cover(rows, dict(zip(["a", "b", "thin", "c"], strips, strict=True)))

    (found,) = plan_faults.new_errors(town("T2"), town("T1"))
    assert (found.kind, found.codes) == ("loose_piece", ("T1",))
    assert not plan_faults.new_errors(town("T2"), town("T2"))
