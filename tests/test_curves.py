"""Arcs become chords that leave them by a centimetre at most, the same from either side, of WKT as of WKB."""

import struct
from itertools import pairwise
from math import cos, sin

import numpy as np
import pytest
import shapely

from gis.importing import curves

CENTRE = 113.0, 27.5
METRE = 1 / 111_320
"""Degrees, near enough."""


def arc(radius: float, sweep: float, centre: tuple[float, float] = CENTRE) -> list[tuple[float, float]]:
    """Return start, middle and end of an arc that begins in the east."""
    turns = (0, sweep / 2, sweep)
    return [(centre[0] + radius * cos(turn), centre[1] + radius * sin(turn)) for turn in turns]


def text(places: list[tuple[float, float]]) -> str:
    return f"CIRCULARSTRING({', '.join(f'{x!r} {y!r}' for x, y in places)})"


def leaves(line: shapely.LineString, radius: float, centre: tuple[float, float]) -> float:
    """Return how far the middles of chords lie from a circle."""
    middles = [(np.array(a) + np.array(b)) / 2 for a, b in pairwise(line.coords)]
    return max(abs(np.hypot(*(middle - centre)) - radius) for middle in middles)


@pytest.mark.parametrize("metres", [1, 30, 5_000, 22_000, 1_000_000])
@pytest.mark.parametrize("sweep", [0.01, 0.4, 3, 6.2, -2.5])
def test_chords_leave_their_arc_by_a_centimetre(metres: float, sweep: float) -> None:
    radius = metres * METRE
    line = curves.straightened(text(arc(radius, sweep)))
    assert leaves(line, radius, CENTRE) <= 1.001e-7
    assert line.length == pytest.approx(radius * abs(sweep), rel=1e-3)
    grid = 500_000.0, 3_000_000.0
    assert leaves(curves.straightened(text(arc(metres, sweep, grid))), metres, grid) <= 0.01001


@pytest.mark.parametrize("seed", range(20))
def test_an_arc_and_its_reverse_have_the_same_places(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = [tuple(map(float, place)) for place in rng.uniform([113, 27], [113.2, 27.2], (3, 2))]
    there, back = (curves.straightened(text(of)) for of in (places, places[::-1]))
    assert list(there.coords) == list(back.coords)[::-1]
    assert there.coords[0] == places[0]
    assert there.coords[-1] == places[-1]
    on_it = there.distance(shapely.Point(places[1]))
    assert on_it <= 1e-7


def test_a_place_between_an_arc_and_coarse_chords_is_where_the_arc_has_it() -> None:
    """22 km with a bulge of 2 km: chords of 2.8 degrees of turn left it by 16 m."""
    south, bulge, north = (113.1, 27.85), (113.12, 27.95), (113.1, 28.05)
    string = text([south, bulge, north])
    west = curves.straightened(f"CURVEPOLYGON(COMPOUNDCURVE({string}, (113.1 28.05, 113 28, 113.1 27.85)))")
    centre = curves._centre(*(complex(*place) for place in (south, bulge, north)))
    assert centre is not None
    radius = abs(complex(*south) - centre)
    turns = np.linspace(-0.3, 0.3, 401)
    for inside in (True, False):
        places = centre + (radius + (-2e-7 if inside else 2e-7)) * np.exp(1j * turns)
        points = shapely.points(places.real, places.imag)
        assert (shapely.contains(west, points) == inside).all()


def _wkb(order: str, kind: int, *inner: bytes) -> bytes:
    return struct.pack(f"{order}BII", order == "<", kind, len(inner)) + b"".join(inner)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("more", "numbers"), [(0, 2), (1000, 3), (2000, 3), (3000, 4), (0x80000000, 3)])
def test_wkb_of_any_order_and_dimension_is_read(order: str, more: int, numbers: int) -> None:
    def places(kind: int, *of: tuple[float, float]) -> bytes:
        flat = b"".join(struct.pack(f"{order}{numbers}d", *xy, *[float("nan")] * (numbers - 2)) for xy in of)
        return struct.pack(f"{order}BII", order == "<", kind + more, len(of)) + flat

    ring = places(8, (0, 0), (1, 1), (2, 0)), places(2, (2, 0), (0, 0))
    wkb = _wkb(order, 12 + more, _wkb(order, 10 + more, _wkb(order, 9 + more, *ring)))
    assert curves.is_curved_wkb(wkb)
    plain = "MULTISURFACE(CURVEPOLYGON(COMPOUNDCURVE(CIRCULARSTRING(0 0, 1 1, 2 0), (2 0, 0 0))))"
    assert curves.straightened(curves.wkt_of(wkb)).equals_exact(curves.straightened(plain))
    for cut in range(5, len(wkb)):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong, it is no shape
            curves.straightened(curves.wkt_of(wkb[:cut]))
    with pytest.raises(ValueError, match="behind"):
        curves.wkt_of(wkb + b"x")


def test_an_arc_beyond_all_bounds_is_no_shape() -> None:
    with pytest.raises(ValueError, match="longer than the earth"):
        curves.straightened("CIRCULARSTRING(0 0, 1e12 1e12, 2e12 0)")


def test_curves_become_chords_close_to_them() -> None:
    ring = "-76.615 39.30,-76.614 39.301,-76.613 39.30,-76.614 39.299,-76.615 39.30"
    circle = f"CURVEPOLYGON(CIRCULARSTRING({ring}))"
    made = curves.straightened(circle)
    assert made.is_valid
    assert (
        shapely.hausdorff_distance(made.exterior, shapely.Point(-76.614, 39.3).buffer(1e-3, 720).exterior)
        < 1e-6
    )
    straight = curves.straightened("COMPOUNDCURVE((0 0,1 0),CIRCULARSTRING(1 0,2 1,1 2),(1 2,0 2))")
    assert straight.length == pytest.approx(2 + 3.14159265, rel=1e-3)
    assert curves.straightened("CIRCULARSTRING(0 0,1 0,2 0)").equals(shapely.LineString([(0, 0), (2, 0)]))
    whole = curves.straightened("CURVEPOLYGON(CIRCULARSTRING(0 0,2 0,0 0))")
    assert whole.area == pytest.approx(3.14159265, rel=1e-3)
    surface = curves.straightened("MULTISURFACE(((0 0,1 0,1 1,0 0)),CURVEPOLYGON((5 5,6 5,6 6,5 5)))")
    assert surface.area == 1
    for broken in (
        "CIRCULARSTRING(0 0,1 1)",
        "CURVEPOLYGON EMPTY",
        "CIRCULARSTRING(0 0,1 1,2",
        "COMPOUNDCURVE(X",
    ):
        with pytest.raises((ValueError, shapely.GEOSException)):
            curves.straightened(broken)
