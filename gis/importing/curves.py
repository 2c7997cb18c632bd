"""Curved shapes of WKT and WKB (ISO 13249-3, SQL/MM) as straight ones: arcs become chords, 1 cm off."""

import re
import struct
from collections.abc import Iterator
from typing import cast

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

LEAVES = 1e-7, 0.01
"""How far a chord may leave its arc: in degrees, the store's precision, and in other units, for metres."""
_WIDEST = np.pi / 64
"""The angle of a chord at most: small circles stay round."""
_MOST = 200_000
"""Chords of an arc: a circle round the earth has half as many."""
_TOKEN = re.compile(r"\s*([A-Za-z]+|[(),]|[^\s(),]+)")
_CURVED = re.compile(r"CIRCULARSTRING|COMPOUNDCURVE|CURVEPOLYGON|MULTICURVE|MULTISURFACE", re.IGNORECASE)
_DEEPEST = 8

Vertices = list[tuple[float, float]]


def is_curved(wkt: str) -> bool:
    """Tell whether a text names a curved type."""
    return bool(_CURVED.search(wkt))


_NAMES = {
    1: "POINT", 2: "LINESTRING", 3: "POLYGON", 8: "CIRCULARSTRING", 9: "COMPOUNDCURVE", 10: "CURVEPOLYGON",
    11: "MULTICURVE", 12: "MULTISURFACE",
}  # fmt: skip
"""Types of WKB that curved shapes consist of."""
_ARCS = frozenset(range(8, 13))


def is_curved_wkb(wkb: bytes) -> bool:
    """Tell whether WKB or EWKB is of a curved type."""
    return len(wkb) > 4 and _type(wkb, 0)[0] in _ARCS


def wkt_of(wkb: bytes) -> str:
    """Return a curved shape's WKT, without heights and measures.

    Raises ValueError for what is no such WKB, or EWKB of another coordinate system than degrees.
    """
    try:
        text, end = _text(wkb, 0, 0)
        order, flags = ("<", wkb[4]) if wkb[0] == 1 else (">", wkb[1])
        if flags & 0x20 and struct.unpack_from(f"{order}I", wkb, 5)[0] not in {0, 4326, 4490}:
            raise ValueError("of another system")
    except (struct.error, IndexError) as error:
        raise ValueError("cut short") from error
    if end != len(wkb):
        raise ValueError("bytes behind the shape")
    return text


def _type(wkb: bytes, at: int) -> tuple[int, int, str, int]:
    """Return a shape's type, its numbers per place, its byte order, and where its content begins."""
    order = "<" if wkb[at] == 1 else ">"
    (given,) = struct.unpack_from(f"{order}I", wkb, at + 1)
    flags, plain = given >> 29, given & 0x1FFFFFFF  # of EWKB: Z, M, a system's number
    more = (flags >> 2 & 1) + (flags >> 1 & 1) + (0, 1, 1, 2)[plain // 1000 % 4]
    return plain % 1000, 2 + more, order, at + (9 if flags & 1 else 5)


def _text(wkb: bytes, at: int, depth: int) -> tuple[str, int]:
    """Return the WKT of the shape at a place, and the place behind it."""
    kind, numbers, order, at = _type(wkb, at)
    if kind not in _NAMES or depth > _DEEPEST:
        raise ValueError(f"type {kind} is not read")
    if kind in (2, 8):
        body, at = _places(wkb, at, order, numbers)
        return f"{_NAMES[kind]} {body}", at
    (count,) = struct.unpack_from(f"{order}I", wkb, at)
    at, members = at + 4, list[str]()
    for _ in range(count):
        one, at = _places(wkb, at, order, numbers) if kind == 3 else _text(wkb, at, depth + 1)
        members.append(one)
    return f"{_NAMES[kind]} ({', '.join(members)})", at


def _places(wkb: bytes, at: int, order: str, numbers: int) -> tuple[str, int]:
    (count,) = struct.unpack_from(f"{order}I", wkb, at)
    size = 8 * numbers
    if at + 4 + count * size > len(wkb):
        raise ValueError("cut short")
    pairs = (struct.unpack_from(f"{order}2d", wkb, at + 4 + one * size) for one in range(count))
    return f"({', '.join(f'{x!r} {y!r}' for x, y in pairs)})", at + 4 + count * size


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
    """Return the places behind `a` on the way over `b` to `c`; equal ends mean a whole circle.

    An arc and its reverse have the same places, so that neighbours share them.
    """
    if a > c:
        return [*reversed(_arc(c, b, a)[:-1]), c]
    start, way, end = (complex(*place) for place in (a, b, c))
    middle = (start + way) / 2 if start == end else _centre(start, way, end)
    if middle is None:
        return [b, c]
    first = np.angle(start - middle)
    turn = 2 * np.pi if start == end else (np.angle(end - middle) - first) % (2 * np.pi)
    over = (np.angle(way - middle) - first) % (2 * np.pi)
    sweep = turn if over <= turn else turn - 2 * np.pi
    count = _count(abs(sweep), abs(start - middle), [a, b, c])
    angles = first + sweep * np.arange(1, count) / count
    on_it = middle + abs(start - middle) * np.exp(1j * angles)
    return [*zip(on_it.real.tolist(), on_it.imag.tolist(), strict=True), c]


def _count(sweep: float, radius: float, places: Vertices) -> int:
    """Return how many chords an arc needs to leave it by no more than allowed (the height of a segment)."""
    in_degrees = all(abs(x) <= 360 and abs(y) <= 90 for x, y in places)
    chord = min(_WIDEST, float(np.sqrt(8 * LEAVES[not in_degrees] / radius)) if radius else _WIDEST)
    count = max(2, int(np.ceil(sweep / chord)))
    if count > _MOST:
        raise ValueError("an arc is longer than the earth is round")
    return count


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
