"""Lines as people draw them: a reshape is trimmed to its crossings, and a pointer finds what it means."""

import numpy as np
import pytest
import shapely
from pyproj import Geod

from gis.errors import BadInput
from gis.plan_snap import _of_grids
from gis.redraw import apply, trimmed
from gis.settle import Coverage, Grid
from gis.spare import cover
from gis.tolerances import metres_per_unit


def block(lat: float = 27.0) -> Coverage:
    west = {c: shapely.box(113 + i / 100, lat, 113 + (i + 1) / 100, lat + 0.01) for i, c in enumerate("AB")}
    return cover([Grid(c, 5) for c in west], west)


def line(*places: tuple[float, float]) -> shapely.LineString:
    return shapely.LineString([(113 + x / 100, 27 + y / 100) for x, y in places])


FREE = [
    line((0.5, 0.2), (1.3, 0.2), (1.3, 0.8), (0.5, 0.8)),
    line((0.5, 0.1), (1.2, 0.3), (0.8, 0.5), (1.4, 0.9)),  # from inside one to inside the other
    line((1.5, 0.9), (0.7, 0.6), (1.2, 0.4), (0.2, 0.1)),
    line((-3, 0.2), (1.3, 0.2), (1.3, 0.8), (-3, 0.8)),  # from beyond
    line((1, 0), (1.2, 0.5), (1, 1)),  # as it was always drawn
    line((1.5, -1), (1.5, 0.3), (0.6, 0.3), (0.6, 0.8), (1.5, 0.8), (1.5, 2)),
]


@pytest.mark.parametrize("drawn", FREE)
def test_a_free_line_counts_between_its_first_and_last_crossing(drawn: shapely.LineString) -> None:
    cov = block()
    stretch = trimmed(cov, ["A", "B"], drawn)
    assert stretch is not None
    assert all(abs(x - 113.01) < 1e-7 for x, _ in (stretch.coords[0], stretch.coords[-1]))
    after = apply(cov, {"op": "reshape", "codes": ["A", "B"], "line": stretch})
    assert after.shapes["A"].wkb != cov.shapes["A"].wkb
    as_drawn = apply(cov, {"op": "reshape", "codes": ["A", "B"], "line": drawn})
    assert as_drawn.geometry("A").equals(after.geometry("A"))
    outside = after.geometry("A").boundary.difference(cov.geometry("A").boundary.buffer(1e-9))
    assert outside.difference(drawn.buffer(2e-7)).length < 1e-6


def test_a_line_that_crosses_once_is_refused() -> None:
    with pytest.raises(BadInput, match="border between the two grids once"):
        apply(block(), {"op": "reshape", "codes": ["A", "B"], "line": line((0.5, 0.5), (1.5, 0.5))})


@pytest.mark.parametrize("lat", [0.0, 27.0, 60.0, 78.0])
def test_a_pointer_finds_the_nearest_vertex_and_border_in_metres(lat: float) -> None:
    """At 78° N a unit east-west is a fifth of one north-south; distances are by pyproj's geodesics."""
    cov = block(lat)
    east, north = metres_per_unit(lat)
    at = np.array([1_130_100_000 + 4 / east, round(lat * 1e7) + 3 / north])
    box = shapely.box(*(at - 1000), *(at + 1000))
    vertex, border = _of_grids(cov, at, box, np.array([east, north]))
    assert (vertex.lon, vertex.lat) == (113.01, lat)
    geod = Geod(ellps="WGS84")
    for one in (vertex, border):
        _, _, metres = geod.inv(*(at / 1e7), one.lon, one.lat)
        assert one.distance_m == pytest.approx(metres, abs=0.02)
    assert vertex.distance_m == pytest.approx(5, abs=0.02)
    assert border.distance_m == pytest.approx(3, abs=0.02)


def test_lines_of_thousands_of_vertices_are_laid() -> None:
    """The bound is on meetings with borders; 5,000 vertices of a line were told "too close to a border"."""
    cov = block()
    xs, ys = np.linspace(112.99, 113.03, 5003), 27.005 + np.random.default_rng(0).normal(0, 3e-6, 5003)
    across = shapely.LineString(np.column_stack([xs, ys]))
    halved = apply(cov, {"op": "split", "code": "A", "line": across})
    assert sorted(halved.shapes) == ["A", "A-1", "B"]
    turn = np.linspace(0, 2 * np.pi, 5201)[:-1]
    circle = shapely.Polygon(np.column_stack([113.01 + 0.004 * np.cos(turn), 27.005 + 0.004 * np.sin(turn)]))
    after = apply(cov, {"op": "assign", "to": "B", "area": circle})
    assert after.geometry("B").area - cov.geometry("B").area == pytest.approx(circle.area / 2, rel=1e-4)
