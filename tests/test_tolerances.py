"""What is near is near by metres at every latitude: at 78 N a degree east-west is a fifth as long."""

import numpy as np
import pytest
import shapely
from pyproj import Geod
from shapely.geometry.base import BaseGeometry

from gis import coverage, faults
from gis.errors import BadInput, NotFound
from gis.redraw import apply
from gis.settle import Coverage, Grid
from gis.spare import cover
from gis.tolerances import metres_per_unit

GEOD = Geod(ellps="WGS84")
LATITUDES = pytest.mark.parametrize("lat", [0.001, 27.8, -60, 78])


def place(lat: float, east: float, north: float) -> list[float]:
    """The place so many metres from a corner at 15 E."""
    scale = np.array(metres_per_unit(lat), dtype=float) * 1e7
    return [round(15 + east / scale[0], 7), round(lat + north / scale[1], 7)]


def block(lat: float, west: float, south: float, east: float, north: float) -> BaseGeometry:
    return shapely.box(*place(lat, west, south), *place(lat, east, north))


def pair(lat: float) -> Coverage:
    """Two blocks of a kilometre side by side."""
    shapes = {"A": block(lat, 0, 0, 1000, 1000), "B": block(lat, 1000, 0, 2000, 1000)}
    return cover([Grid("A", 2), Grid("B", 2)], shapes)


@LATITUDES
def test_a_unit_is_as_long_as_geodesics_say(lat: float) -> None:
    east, north = (float(one) for one in metres_per_unit(lat))
    assert GEOD.inv(15, lat, 15.01, lat)[2] / 1e5 == pytest.approx(east, rel=1e-5)
    assert GEOD.inv(15, lat - 0.005, 15, lat + 0.005)[2] / 1e5 == pytest.approx(north, rel=1e-5)


@LATITUDES
@pytest.mark.parametrize("way", [(1, 0), (0, 1), (0.6, 0.8)])
def test_a_vertex_is_meant_within_five_metres(lat: float, way: tuple[float, float]) -> None:
    cov = pair(lat)
    to = place(lat, 1004, 1003)
    for far, there in ((4.8, True), (5.2, False)):
        at = place(lat, 1000 + far * way[0], 1000 + far * way[1])
        step = {"op": "move_vertex", "at": at, "to": to}
        with pytest.raises(BadInput if there else NotFound, match="outer border" if there else "within 5 m"):
            apply(cov, step)


@LATITUDES
@pytest.mark.parametrize("along", [True, False])
def test_a_line_is_led_to_a_border_within_five_metres(lat: float, along: bool) -> None:
    cov = pair(lat)
    for short, there in ((4.8, True), (5.5, False)):
        ends = [(-10, 500), (1000 - short, 500)] if along else [(500, -10), (500, 1000 - short)]
        line = shapely.LineString([place(lat, *end) for end in ends])
        step = {"op": "split", "code": "A", "line": line, "into": ["C"]}
        if there:
            assert sorted(apply(cov, step).grids) == ["A", "B", "C"]
        else:
            with pytest.raises(BadInput, match="does not divide"):
                apply(cov, step)


@LATITUDES
@pytest.mark.parametrize("along", [True, False])
@pytest.mark.parametrize(
    ("width", "kinds"), [(0.04, {"overlap": True}), (0.9, {"overlap": True}), (1.1, {"overlap": False})]
)
def test_a_sliver_is_one_by_metres(lat: float, along: bool, width: float, kinds: dict[str, bool]) -> None:
    """The same faults at every latitude, and the same words about their width."""
    low = block(lat, 0, 0, 1000, 1000)
    other = block(lat, 1000 - width, 0, 2000, 1000) if along else block(lat, 0, 1000 - width, 1000, 2000)
    shapes, _ = coverage.snap([low, other])
    found = faults.check({"A": shapes[0], "B": shapes[1]}, advice=False)
    assert {f.kind: "less than 1 m wide" in f.message_en for f in found} == kinds
    assert found[0].width_m == pytest.approx(width, rel=0.3)


@LATITUDES
@pytest.mark.parametrize("along", [True, False])
@pytest.mark.parametrize(("short", "news"), [(0.45, 0), (0.55, 1)])
def test_a_crossing_goes_through_a_vertex_within_half_a_metre(
    lat: float, along: bool, short: float, news: int
) -> None:
    cov = pair(lat)
    over = (1000 - short, 1000) if along else (1000, 1000 - short)
    line = shapely.LineString([place(lat, *end) for end in ((500, -10), (500, 500), over)])
    after = apply(cov, {"op": "split", "code": "A", "line": line, "into": ["C"]})
    corner = np.array(place(lat, 1000, 1000))
    scale = np.array(metres_per_unit(lat), dtype=float) * 1e7
    vertices = np.unique(shapely.get_coordinates([after.geometry(code) for code in "ABC"]), axis=0)
    far = np.hypot(*((vertices - corner) * scale).T)
    assert ((far > 0.05) & (far < 1)).sum() == news


@LATITUDES
@pytest.mark.parametrize("along", [True, False])
def test_the_strip_that_joins_a_building_is_three_metres_wide(lat: float, along: bool) -> None:
    """A house of 20 m with a metre around it, and 489 m of strip, by pyproj's geodesic area."""
    other = block(lat, 1000, 0, 2000, 1000) if along else block(lat, 0, 1000, 1000, 2000)
    cov = cover([Grid("A", 2), Grid("B", 2)], {"A": block(lat, 0, 0, 1000, 1000), "B": other})
    house = block(lat, 490, 490, 510, 510)
    after = apply(cov, {"op": "assign", "to": "B", "buildings": [house]})
    gained = GEOD.geometry_area_perimeter(shapely.difference(after.geometry("B"), cov.geometry("B")))[0]
    assert abs(gained) == pytest.approx(22 * 22 + 489 * 3, rel=0.02)
