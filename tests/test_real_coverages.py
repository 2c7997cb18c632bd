"""Real coverages with known defects: each over 1 m² is found with its kind and place, and none is invented.

The judge is shapely on the degrees as published: the union of the repaired polygons nearby, and its holes.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from api import mending
from gis import coverage, faults
from gis.case import Fault

pytestmark = pytest.mark.realdata
MATCHED_M = 0.023
"""What is narrower vanishes when vertices within two units of a border are put into it."""
CLOSED = 1e-9
"""Degrees: ground is enclosed where its mouth is narrower than a tenth of a millimetre. The lists count only
rings that close exactly; TopoJSON's integers, scaled, leave mouths of a nanometre."""


@dataclass(frozen=True)
class Published:
    """A file of the collection, the column with its codes, and its place in the lists."""

    file: str
    code: str
    key: str


FILES = {
    "korea": Published("coverages/kr_submunicipalities_2018.topojson", "code", ""),
    "precincts": Published("coverages/kr_assembly_precincts_20_2016-geo.json", "precinct_no", ""),
    "chicago": Published("coverages/chicago_precincts_2012.zip", "full_text", ""),
    "cambridge": Published(
        "cambridge/ASSESSING_ParcelsFY2014.topojson", "ML", "../cambridge/ASSESSING_ParcelsFY2014.topojson"
    ),
}


class Judge:
    """The polygons as published, in degrees."""

    def __init__(self, file: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = gpd.read_file(file)
        self.crs = table.crs if table.crs is not None and not table.crs.is_geographic else None
        given = table.geometry.to_numpy() if self.crs is None else table.to_crs(4326).geometry.to_numpy()
        self.shapes = shapely.make_valid(given[~(shapely.is_missing(given) | shapely.is_empty(given))])
        self.tree = shapely.STRtree(self.shapes)

    def around(self, shape: BaseGeometry) -> BaseGeometry:
        """The union of the polygons that lie against a shape."""
        return shapely.union_all(self.shapes[self.tree.query(shape, predicate="dwithin", distance=1e-5)])

    def is_enclosed(self, piece: BaseGeometry) -> bool:
        """Whether ground is nobody's and closed in."""
        union, inner = self.around(piece), piece.point_on_surface()
        rings = shapely.get_rings(shapely.get_parts(shapely.buffer(union, CLOSED, join_style="mitre")))
        return not union.contains(inner) and any(shapely.Polygon(ring).contains(inner) for ring in rings)

    def width_m(self, place: BaseGeometry) -> float:
        """The mean width of the hole at a place."""
        holes = [shapely.Polygon(r) for part in shapely.get_parts(self.around(place)) for r in part.interiors]
        hole = min(holes, key=lambda one: float(one.distance(place)))
        return float(2 * coverage.areas_m2(hole)[0] / (hole.length * coverage.METRES_PER_DEGREE))

    def has_owner(self, place: BaseGeometry) -> bool:
        """Whether a place of the lists, given to a millionth of a degree, is some grid's."""
        return bool(len(self.tree.query(place, predicate="within")))

    def common_m2(self, piece: BaseGeometry) -> float:
        """How much of a piece of ground at least two polygons hold."""
        near = self.shapes[self.tree.query(piece, predicate="intersects")]
        parts = shapely.intersection(near, piece)
        return float(coverage.areas_m2(parts).sum() - coverage.areas_m2(shapely.union_all(parts))[0])


def _base(code: str) -> str:
    """A code as published; those that occur again are told by their row."""
    return code.partition(" (row")[0]


def _read(one: Published, realdata: Path) -> tuple[dict[str, BaseGeometry], dict[str, list[object]]]:
    found = mending._read(realdata / one.file, one.code, None)
    frame, codes = found.frame, found.codes
    lists = json.loads((realdata / "coverages/truth_lists.json").read_text())
    return dict(zip(codes, frame.geometry, strict=True)), lists[one.key or Path(one.file).name]


LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("korea", "precincts")]


@pytest.mark.filterwarnings("ignore:Best transformation is not available")
@pytest.mark.parametrize("name", [*LARGE, "chicago", "cambridge"])
def test_every_defect_of_the_lists_is_found_and_none_invented(name: str, realdata: Path) -> None:
    one = FILES[name]
    shapes, truth = _read(one, realdata)
    judge = Judge(realdata / one.file)
    found = faults.check(shapes, advice=False)
    gaps = [fault for fault in found if fault.kind in {"gap", "hole", "unmatched_vertices"}]
    _gaps([fault for fault in gaps if fault.area_m2 >= 1], truth["gaps_gt_1m2"], judge)
    _overlaps([f for f in found if f.kind in {"overlap", "duplicate"}], truth["overlaps_gt_1m2"], judge)
    broken = {_base(code) for code, shape in shapes.items() if not shape.is_valid}
    told = {code for fault in found if fault.kind == "bow_tie" for code in fault.codes}
    assert {_base(code) for code in told} == broken
    lost = set(map(str, truth["invalid_ids"])) - broken
    # Rings of fewer than three places ("too few points") are dropped, and told, on reading.
    assert all(shapes[code].is_valid for code in lost)
    assert len(lost) <= 14


def _gaps(found: list[Fault], truth: list[object], judge: Judge) -> None:
    places = [shapely.Point(x, y) for _, x, y in truth]  # type: ignore[misc]
    tree = shapely.STRtree([fault.geometry for fault in found])
    missed = [p for p in places if not len(tree.query(p, predicate="dwithin", distance=2e-6))]
    # A list's place may lie on an island in the gap, which it counts as gap.
    assert [p.wkt for p in missed if not judge.has_owner(p) and judge.width_m(p) > MATCHED_M] == []
    listed = set(tree.query(places, predicate="dwithin", distance=2e-6)[1].tolist()) if places else set()
    extra = [fault for i, fault in enumerate(found) if i not in listed]
    assert [(f.codes, f.area_m2) for f in extra if not judge.is_enclosed(f.geometry)] == []


def _overlaps(found: list[Fault], truth: list[object], judge: Judge) -> None:
    pairs: dict[tuple[str, ...], float] = {}
    for fault in found:
        pair = tuple(sorted(_base(code) for code in fault.codes))
        pairs[pair] = pairs.get(pair, 0.0) + fault.area_m2
    listed = {tuple(sorted((str(a), str(b)))): m2 for m2, a, b in truth}  # type: ignore[misc]
    assert set(listed) <= set(pairs)
    for pair, m2 in listed.items():
        assert pairs[pair] >= m2 * 0.95 - 0.6, pair
    extra = [f for f in found if f.area_m2 >= 1 and tuple(sorted(map(_base, f.codes))) not in listed]
    assert [(f.codes, f.area_m2) for f in extra if judge.common_m2(f.geometry) < 0.9 * f.area_m2] == []
