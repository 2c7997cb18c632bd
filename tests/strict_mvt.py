"""A strict reader of vector tiles, written from the specification alone, that names every fault it finds.

Mapbox Vector Tile specification 2.1, https://github.com/mapbox/vector-tile-spec/tree/master/2.1; numbers of
sections in the comments are its own. A fatal fault makes the tile unreadable; of any other only the feature
or the layer that has it is left out, and `faults` says so.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
UNKNOWN, POINT, LINE, POLYGON = 0, 1, 2, 3
MOVE_TO, LINE_TO, CLOSE_PATH = 1, 2, 7
Pair = tuple[int, int]


class TileError(Exception):
    """The tile breaks the specification so that reading must stop."""


class FeatureError(Exception):
    """One feature breaks the specification; the rest can still be read."""


@dataclass
class Feature:
    """A feature as encoded: its id, tags (key, value), type and parts, in tile units."""

    id: int | None
    properties: dict[str, Any]
    type: int
    parts: list[list[Pair]]


@dataclass
class Layer:
    """A layer with those of its features that could be read."""

    name: str
    version: int
    extent: int
    features: list[Feature] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


@dataclass
class Read:
    """What a tile holds, and what was left out."""

    layers: dict[str, Layer]
    faults: list[str]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned varint at a place, and the place after it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise TileError("a varint runs over the end")
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value & (1 << 64) - 1, at


def fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and content of each field of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            content, at = varint(data, at)
        else:
            size, at = varint(data, at) if wire == BYTES else ({FIXED64: 8, FIXED32: 4}.get(wire, -1), at)
            if size < 0 or at + size > len(data):
                raise TileError(f"field {number} of wire type {wire} runs over the end")
            content, at = data[at : at + size], at + size
        yield number, wire, content


def expect(what: str, wire: int, wanted: int) -> None:
    """Raise TileError unless a field is encoded as the specification's protobuf says."""
    if wire != wanted:
        raise TileError(f"{what} has wire type {wire}, not {wanted}")


def packed(data: bytes) -> list[int]:
    """Return the unsigned 32-bit numbers of a packed field."""
    at, numbers = 0, []
    while at < len(data):
        number, at = varint(data, at)
        numbers.append(number & 0xFFFFFFFF)
    return numbers


def pairs(numbers: list[int]) -> list[Pair]:
    """Return numbers by twos."""
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def zigzag(number: int) -> int:
    """Return the signed number of a parameter (4.3.2)."""
    return (number >> 1) ^ -(number & 1)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


READERS: dict[int, tuple[int, Any]] = {
    1: (BYTES, lambda raw: raw.decode("utf-8")),
    2: (FIXED32, lambda raw: struct.unpack("<f", raw)[0]),
    3: (FIXED64, lambda raw: struct.unpack("<d", raw)[0]),
    4: (VARINT, _signed),
    5: (VARINT, int),
    6: (VARINT, zigzag),
    7: (VARINT, bool),
}
"""Field number of a value → its wire type and what reads it (4.1)."""


def value(data: bytes) -> Any:
    """Return a value; exactly one of the seven kinds must be there (4.1)."""
    found = list(fields(data))
    if len(found) != 1 or found[0][0] not in READERS:
        raise TileError("a value is not exactly one of the seven kinds")
    number, wire, content = found[0]
    expect("a value", wire, READERS[number][0])
    return READERS[number][1](content)


def commands(stream: list[int]) -> Iterator[tuple[int, list[Pair]]]:
    """Yield each command with its parameters; nothing is made for those that are not there (4.3.1)."""
    at = 0
    while at < len(stream):
        command, count = stream[at] & 7, stream[at] >> 3
        if command not in {MOVE_TO, LINE_TO, CLOSE_PATH}:
            raise TileError(f"{command} is no command")
        size = 0 if command == CLOSE_PATH else 2 * count
        if command == CLOSE_PATH and count != 1:
            raise TileError("ClosePath has a count of 1")
        if at + 1 + size > len(stream):
            raise TileError(f"a command promises {count} points that are not there")
        yield command, [(zigzag(x), zigzag(y)) for x, y in pairs(stream[at + 1 : at + 1 + size])]
        at += 1 + size


def parts(kind: int, stream: list[int]) -> list[list[Pair]]:
    """Return a geometry's points, lines or rings (closed), in tile units (4.3.4)."""
    x = y = 0
    made: list[list[Pair]] = []
    before = CLOSE_PATH
    for command, steps in commands(stream):
        _check_command(kind, before, command, len(steps))
        if command == MOVE_TO:
            made.append([])
        for dx, dy in steps:
            x, y = x + dx, y + dy
            made[-1].append((x, y))
        if command == LINE_TO and (0, 0) in steps:
            raise FeatureError("a segment has no length")
        if command == CLOSE_PATH:
            made[-1].append(made[-1][0])
        before = command
    if before not in LAST[kind] or not stream:
        raise TileError(f"a geometry of type {kind} ends with command {before}")
    _check_sizes(kind, made)
    return made


def _check_command(kind: int, before: int, command: int, count: int) -> None:
    if (kind, before, command) not in ALLOWED:
        raise TileError(f"command {command} cannot follow {before} in a geometry of type {kind}")
    if kind != POINT and command == MOVE_TO and count != 1:
        raise TileError("a line or ring begins with one point")


ALLOWED = {
    (POINT, CLOSE_PATH, MOVE_TO),
    (LINE, CLOSE_PATH, MOVE_TO),
    (LINE, MOVE_TO, LINE_TO),
    (LINE, LINE_TO, MOVE_TO),
    (POLYGON, CLOSE_PATH, MOVE_TO),
    (POLYGON, MOVE_TO, LINE_TO),
    (POLYGON, LINE_TO, CLOSE_PATH),
}
"""Which command may follow which; a geometry begins as if a path had been closed."""
LAST = {POINT: {MOVE_TO}, LINE: {LINE_TO}, POLYGON: {CLOSE_PATH}}


def doubled_area(ring: list[Pair]) -> int:
    """Return twice the area by the surveyor's formula; positive outside, negative inside (4.3.4.4)."""
    return sum(a * d - c * b for (a, b), (c, d) in pairwise(ring))


def _check_sizes(kind: int, made: list[list[Pair]]) -> None:
    if kind == POINT and not all(made):
        raise TileError("a point feature has at least one point")
    if kind == POLYGON:
        areas = [doubled_area(ring) for ring in made]
        if any(len(ring) < 4 for ring in made) or 0 in areas:
            raise FeatureError("a ring has no area")
        if areas[0] < 0:
            raise FeatureError("the first ring is an inner one")


def feature(data: bytes, layer: Layer) -> Feature:
    """Return a feature (4.2). Raises FeatureError for faults that end with it, TileError for the others."""
    wires = {1: VARINT, 2: BYTES, 3: VARINT, 4: BYTES}
    found: dict[int, Any] = {}
    for number, wire, content in fields(data):
        if number not in wires:
            raise TileError(f"a feature has no field {number}")
        expect(f"field {number} of a feature", wire, wires[number])
        if number in found:
            raise FeatureError(f"field {number} comes twice in a feature")
        found[number] = content
    kind = found.get(3, -1)
    if kind not in {UNKNOWN, POINT, LINE, POLYGON}:
        raise FeatureError("a feature's type is missing or none of those there are")
    if 4 not in found:
        raise FeatureError("a feature has no geometry")
    properties = tagged(packed(found.get(2, b"")), layer)
    stream = packed(found[4])
    return Feature(found.get(1), properties, kind, [] if kind == UNKNOWN else parts(kind, stream))


def tagged(tags: list[int], layer: Layer) -> dict[str, Any]:
    """Return a feature's properties; no key may come twice (4.4)."""
    if len(tags) % 2:
        raise FeatureError("tags do not come in pairs")
    if any(k >= len(layer.keys) or v >= len(layer.values) for k, v in pairs(tags)):
        raise TileError("a tag points beyond the layer's keys or values")
    if len(set(tags[::2])) < len(tags) // 2:
        raise FeatureError("a feature has a key twice")
    return {layer.keys[k]: layer.values[v] for k, v in pairs(tags)}


def layer(data: bytes, faults: list[str]) -> Layer:
    """Return a layer (4.1), noting the features that had to be left out."""
    wires = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 15: VARINT}
    found: dict[int, list[Any]] = {number: [] for number in wires}
    for number, wire, content in fields(data):
        if number not in wires:
            raise TileError(f"a layer has no field {number}")
        expect(f"field {number} of a layer", wire, wires[number])
        found[number].append(content)
    if len(found[15]) != 1 or found[15][0] not in {1, 2}:
        raise TileError("a layer's version must be told, and be 1 or 2")
    if len(found[1]) != 1 or not found[1][0]:
        raise TileError("a layer has a name")
    made = Layer(found[1][0].decode("utf-8"), found[15][0], (found[5] or [4096])[-1])
    made.keys = [key.decode("utf-8") for key in found[3]]
    made.values = [value(one) for one in found[4]]
    for one in found[2]:
        try:
            made.features.append(feature(one, made))
        except FeatureError as fault:
            faults.append(f"{made.name}: {fault}")
    return made


def read(data: bytes) -> Read:
    """Read a tile. Raises TileError for fatal faults; `faults` has the others."""
    made = Read({}, [])
    for number, wire, content in fields(data):
        if number != 3:
            raise TileError(f"a tile has no field {number}")
        expect("a layer", wire, BYTES)
        one = layer(content, made.faults)
        if one.name in made.layers:
            made.faults.append(f"two layers are called {one.name}")
        else:
            made.layers[one.name] = one
    return made
