"""Curved shapes of WKT (ISO 19125, SQL/MM) as straight ones: arcs become chords of a few degrees."""

import re
from collections.abc import Iterator
from typing import cast

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

STEP = np.pi / 64
"""The angle of a chord, as PostGIS has it: it leaves its arc by 0.03 % of the radius."""
_TOKEN = re.compile(r"\s*([A-Za-z]+|[(),]|[^\s(),]+)")
_CURVED = re.compile(r"CIRCULARSTRING|COMPOUNDCURVE|CURVEPOLYGON|MULTICURVE|MULTISURFACE", re.IGNORECASE)
_DEEPEST = 8

Vertices = list[tuple[float, float]]


def is_curved(wkt: str) -> bool:
    """Tell whether a text names a curved type."""
    return bool(_CURVED.search(wkt))


class _Tokens:
    """The words, numbers and signs of a text, one after another; "" behind the last."""

    def __init__(self, wkt: str) -> None:
        self._all = [one for one in _TOKEN.findall(wkt.upper()) if one not in {"Z", "M", "ZM"}]
        self._at = 0

    def peek(self) -> str:
        return self._all[self._at] if self._at < len(self._all) else ""

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise ValueError(f"no {token}")


def straightened(wkt: str) -> BaseGeometry:
    """Return a curved shape of WKT with its arcs as chords. Raises ValueError for what is no such text."""
    tokens = _Tokens(wkt)
    shape = _shape(tokens.take(), tokens, 0)
    if tokens.peek():
        raise ValueError("text behind the shape")
    return shape


def _shape(kind: str, tokens: _Tokens, depth: int) -> BaseGeometry:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if kind in {"CIRCULARSTRING", "LINESTRING", "COMPOUNDCURVE"}:
        return shapely.LineString(_curve(kind, tokens, depth))
    if kind in {"CURVEPOLYGON", "POLYGON"}:
        shell, *holes = [_curve(one, tokens, depth + 1) for one in _members(tokens, "LINESTRING")]
        return shapely.Polygon(shell, holes)
    if kind in {"MULTICURVE", "MULTISURFACE"}:
        usual = "LINESTRING" if kind == "MULTICURVE" else "POLYGON"
        parts = np.array([_shape(one, tokens, depth + 1) for one in _members(tokens, usual)], dtype=object)
        collect = shapely.multilinestrings if kind == "MULTICURVE" else shapely.multipolygons
        return cast("BaseGeometry", collect(parts))
    raise ValueError(f"{kind} is not read")


def _members(tokens: _Tokens, usual: str) -> Iterator[str]:
    """Give the type of each member of a list in brackets, `usual` where none is named; each is read then."""
    tokens.expect("(")
    while True:
        yield usual if tokens.peek() == "(" else tokens.take()
        if tokens.peek() != ",":
            break
        tokens.take()
    tokens.expect(")")


def _curve(kind: str, tokens: _Tokens, depth: int) -> Vertices:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if kind == "LINESTRING":
        return _vertices(tokens)
    if kind == "CIRCULARSTRING":
        return _arcs(_vertices(tokens))
    if kind != "COMPOUNDCURVE":
        raise ValueError(f"{kind} is no curve")
    joined: Vertices = []
    for one in _members(tokens, "LINESTRING"):
        piece = _curve(one, tokens, depth + 1)
        joined += piece[1:] if joined and joined[-1] == piece[0] else piece
    return joined


def _vertices(tokens: _Tokens) -> Vertices:
    """Read a list of places in brackets; heights and measures are left out."""
    tokens.expect("(")
    found, numbers = Vertices(), list[float]()
    while (sign := tokens.take()) not in {")", ""}:
        if sign == ",":
            found.append((numbers[0], numbers[1]))
            numbers = []
        else:
            numbers.append(float(sign))
    if sign != ")" or len(numbers) < 2:
        raise ValueError("no closing bracket, or a place without two numbers")
    return [*found, (numbers[0], numbers[1])]


def _arcs(places: Vertices) -> Vertices:
    """Return the chords of arcs through a start, a place on the way and an end, one after another."""
    if len(places) < 3 or len(places) % 2 == 0:
        raise ValueError("an arc has three places")
    line = [places[0]]
    for at in range(0, len(places) - 2, 2):
        line += _arc(*places[at : at + 3])
    return line


def _arc(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> Vertices:
    """Return the places behind `a` on the way over `b` to `c`; equal ends mean a whole circle."""
    start, way, end = (complex(*place) for place in (a, b, c))
    middle = (start + way) / 2 if start == end else _centre(start, way, end)
    if middle is None:
        return [b, c]
    first = np.angle(start - middle)
    turn = 2 * np.pi if start == end else (np.angle(end - middle) - first) % (2 * np.pi)
    over = (np.angle(way - middle) - first) % (2 * np.pi)
    sweep = turn if over <= turn else turn - 2 * np.pi
    count = max(2, int(np.ceil(abs(sweep) / STEP)))
    angles = first + sweep * np.arange(1, count) / count
    on_it = middle + abs(start - middle) * np.exp(1j * angles)
    return [*zip(on_it.real.tolist(), on_it.imag.tolist(), strict=True), c]


def _centre(a: complex, b: complex, c: complex) -> complex | None:
    """Return the centre of the circle through three places, None when they lie on one line."""
    u, v = b - a, c - a
    cross = 2 * (u.real * v.imag - u.imag * v.real)
    if abs(cross) <= 1e-12 * abs(u) * abs(v):
        return None
    square_u, square_v = abs(u) ** 2, abs(v) ** 2
    return a + complex(
        (v.imag * square_u - u.imag * square_v) / cross, (u.real * square_v - v.real * square_u) / cross
    )
