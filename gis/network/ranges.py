"""House numbers, blocks and crossings to places, by the numbers that centre lines have on either side."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points, substring

from gis.network import signs
from gis.network.street_cores import Core, core, other_ends
from gis.network.street_names import IS_HAN, Address, Block, Crossing, House, may_mean, parts, street_key

Lines = npt.NDArray[np.object_]
METRES = 111_320.0
"""Of a degree of latitude; to 0.3 % at any latitude, and less than that counts over a street's width."""
SETBACK_M = 14.0
"""How far beside the centre line a house is placed: set once, not searched over; judged on Cambridge."""
CORNER_M = 9.0
"""How far from a segment's ends, where the other street is."""
ONE_CROSSING_M = 80.0
"""Nodes of two streets that lie this near each other are one crossing, of streets with two carriageways."""


ONE_STRETCH_M = 300.0
"""Places of one number this near each other are one, known to that many metres: ranges overlap where segments
meet. Farther apart are two streets of one name, or a number that is published twice."""


COMMON = 10
"""Streets in whose names a word stands that tells them apart no more."""


class Side(NamedTuple):
    """One side of one centre line: its numbers from the line's start to its end, and which parity."""

    row: int
    left: bool
    first: int
    last: int
    parity: str

    @property
    def low(self) -> int:
        """The lowest number."""
        return min(self.first, self.last)

    @property
    def high(self) -> int:
        """The highest number."""
        return max(self.first, self.last)

    def holds(self, number: int) -> bool:
        """Tell whether a number stands on this side."""
        fits = self.parity == "both" or (self.parity == "odd") == (number % 2 == 1)
        return fits and self.low <= number <= self.high

    def share(self, number: float) -> float:
        """Return how far along the line a number stands, from 0 to 1."""
        return 0.5 if self.first == self.last else (number - self.first) / (self.last - self.first)


class Road(NamedTuple):
    """A centre line: WGS-84 degrees, its nodes, and (from, to, parity) of its left and right side, if any."""

    name: str
    line: shapely.LineString
    u: int
    v: int
    left: tuple[int, int, str] | None
    right: tuple[int, int, str] | None
    folded: str = ""
    """Its name as texts are compared: 51路 for 五一路."""


class Found(NamedTuple):
    """Where an address lies (WGS-84 degrees), to how many metres, and by what it was found."""

    lon: float
    lat: float
    accuracy_m: float
    by: str


@dataclass
class Streets:
    """The centre lines of a city by their streets."""

    roads: Sequence[Road]
    rows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    cores: dict[tuple[str, ...], dict[str, Core]] = field(default_factory=lambda: defaultdict(dict))
    spelt: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    words: Counter[str] = field(default_factory=Counter)
    """In how many streets' names a word stands."""

    def __post_init__(self) -> None:
        """List the lines of each street."""
        for row, road in enumerate(self.roads):
            key = street_key(road.name)
            if key not in self.rows:
                self.words.update(set(key.split()))
                for end in other_ends(key):
                    self.spelt[end].add(key)
            self.rows[key].append(row)
            self.names[parts(key).name].add(key)
            of = core(key)
            self.cores[of.name][key] = of
            if IS_HAN.search(road.folded) and (folded := street_key(road.folded)) != key:
                self.rows[folded].append(row)

    def street(self, key: str) -> list[int]:
        """Return the lines of a street; one written without type or direction where only one can be meant."""
        if rows := self._spelt(key):
            return rows
        meant = [one for one in self.names.get(parts(key).name, ()) if may_mean(key, one)]
        return self.rows[meant[0]] if len(meant) == 1 else []

    def _spelt(self, key: str) -> list[int]:
        """Return the lines of a street whose name is written in full, its type in any spelling."""
        if key in self.rows:
            return self.rows[key]
        meant = {street for end in other_ends(key) for street in self.spelt.get(end, ())}
        return self.rows[meant.pop()] if len(meant) == 1 else []

    def is_common(self, word: str) -> bool:
        """Tell whether a word stands in many streets' names, so that it hardly names one."""
        return self.words[street_key(word)] >= COMMON

    def knows(self, address: Address) -> bool:
        """Tell whether the streets of an address are here."""
        if isinstance(address, Crossing):
            return all(self.street(key) for key in address.streets)
        if isinstance(address, House):
            return bool(self.lines(address))
        return bool(self.street(address.street))

    def called(self, house: House) -> str:
        """Return the key that the street of a house has here, or as it is written where it is not here.

        "" where the whole is a street's name itself: `Calle 45`.
        """
        if f"{house.street} {house.number}" in self.rows:
            return ""
        rows = self.lines(house)
        return street_key(self.roads[rows[0]].name) if rows else house.street

    def alike(self, key: str) -> list[str]:
        """Return the streets that a name may be with a type, direction or article left out or added."""
        one = core(key)
        return [other for other, of in self.cores.get(one.name, {}).items() if one.may_be(of)]

    def lines(self, house: House) -> list[int]:
        """Return the lines on which a house may stand: those called as it is written, else those that may be.

        Streets that differ by a sign alone have one key: `Rue Mâle` and `Rue Male`.
        """
        rows = self._spelt(house.street) if house.as_written else self.street(house.street)
        may_be = [row for row in rows if not signs.contradict(house.written, self.roads[row].name)]
        exact = [row for row in may_be if signs.same(house.written, self.roads[row].name)]
        return exact or may_be

    def called_exactly(self, house: House) -> frozenset[str]:
        """Return the streets that are called exactly as a house's is written, with every sign."""
        names = {self.roads[row].name for row in self.lines(house)}
        return frozenset(name for name in names if signs.same(house.written, name))

    def sides(self, rows: Sequence[int]) -> Iterator[Side]:
        """Yield the sides of lines that have numbers."""
        for row in rows:
            for left in (True, False):
                if numbers := self.roads[row].left if left else self.roads[row].right:
                    yield Side(row, left, *numbers)

    def places(self, address: Address) -> list[Found] | str:
        """Return every place that an address may be, the likeliest first, or why none is known."""
        if isinstance(address, Crossing):
            return self._crossing(address)
        exact = isinstance(address, House) and address.as_written
        if isinstance(address, House) and exact and f"{address.street} {address.number}" in self.rows:
            return f"{address.street} {address.number} is a street, and may be a number of {address.street}"
        if not self.knows(address):
            return f"{_written(address)} is no street of the store"
        if isinstance(address, House):
            none = f"{_written(address)} has no range that holds number {address.number}"
            return self.houses(address) or none
        none = f"{address.street} has no range that meets the block {address.first}–{address.last}"
        return self._blocks(address) or none

    def houses(self, house: House) -> list[Found]:
        """Return every place where a house may stand, the likeliest first."""
        sides = [side for side in self.sides(self.lines(house)) if side.holds(house.number)]
        # Where ranges overlap the narrowest says most.
        sides.sort(key=lambda side: (side.high - side.low, side.row))
        return [self._beside(side, house.number) for side in sides]

    def _beside(self, side: Side, number: int) -> Found:
        line, scale = _flat(self.roads[side.row].line)
        spare = min(CORNER_M, line.length / 3)
        along = spare + side.share(number) * (line.length - 2 * spare)
        x, y = _offset(line, along, SETBACK_M if side.left else -SETBACK_M)
        numbers = max((side.high - side.low) / 2, 1)
        # A quarter of the stretch that the range covers, and never less than a lot's frontage.
        return Found(
            x / scale, y / METRES, round(max(15.0, line.length / 4, line.length / numbers), 1), "range"
        )

    def _blocks(self, block: Block) -> list[Found]:
        """Return the middle of each stretch on which a block's numbers stand."""
        pieces = [
            piece for side in self.sides(self.street(block.street)) if (piece := self._covered(side, block))
        ]
        if not pieces:
            return []
        lat = float(shapely.get_coordinates(pieces)[:, 1].mean())
        scale = np.array([METRES * np.cos(np.radians(lat)), METRES])
        flat = shapely.transform(pieces, lambda xy: xy * scale)
        stretches = shapely.get_parts(shapely.union_all(flat).buffer(ONE_CROSSING_M / 2, quad_segs=2))
        return [_in_middle(flat[shapely.intersects(flat, one)], scale) for one in stretches]

    def _covered(self, side: Side, block: Block) -> BaseGeometry | None:
        """Return the stretch of a line on which a block's numbers stand."""
        low, high = max(side.low, block.first), min(side.high, block.last)
        if low > high:
            return None
        line = self.roads[side.row].line
        start, end = sorted((side.share(low), side.share(high)))
        if side.first == side.last:
            start, end = 0.0, 1.0
        return substring(line, start, end, normalized=True)

    def _crossing(self, crossing: Crossing) -> list[Found] | str:
        one, other = (self._ends(key) for key in crossing.streets)
        for key, ends in zip(crossing.streets, (one, other), strict=True):
            if not ends:
                return f"{key} is no street of the store"
        common = [
            (np.array([mine, its]), metres_apart(Found(*mine, 0, ""), Found(*its, 0, "")))
            for node in sorted(one.keys() & other.keys())
            for mine in one[node]
            for its in other[node]
        ]
        names = " and ".join(crossing.streets)
        if not common:
            return f"{names} do not meet"
        # A node that stands at several places is a mistake of the file: it joins what lies together alone.
        near = [places.mean(axis=0) for places, away in common if away <= ONE_CROSSING_M]
        if not near:
            away = min(away for _, away in common)
            return f"{names} share a node and yet lie {away:.0f} m apart there, so they do not meet"
        return _crossings(np.array(near))

    def _ends(self, key: str) -> dict[int, list[tuple[float, float]]]:
        """Return the places at which a street has each of its nodes."""
        ends: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for row in self.street(key):
            road = self.roads[row]
            (west, south), (east, north) = road.line.coords[0], road.line.coords[-1]
            ends[road.u].append((west, south))
            ends[road.v].append((east, north))
        return ends


def _crossings(nodes: npt.NDArray[np.float64]) -> list[Found]:
    """Return the crossings of two streets by the nodes that they share: what lies together is one."""
    scale = np.array([METRES * np.cos(np.radians(nodes[:, 1].mean())), METRES])
    flat = shapely.points(nodes * scale)
    together = shapely.get_parts(shapely.union_all(shapely.buffer(flat, ONE_CROSSING_M / 2, quad_segs=2)))
    found = []
    for one in together:
        of = nodes[shapely.intersects(one, flat)]
        lon, lat = of.mean(axis=0)
        spread = float(np.hypot(*((of - (lon, lat)) * scale).T).max())
        found.append(Found(float(lon), float(lat), round(max(15.0, spread), 1), "intersection"))
    return found


def _written(address: House | Block) -> str:
    """Return a street by its key; as it is written where its signs tell it from another of that key."""
    of = address.written if isinstance(address, House) else ""
    return of if signs.tell(of) else address.street


def one_of(address: Address, places: Sequence[Found]) -> Found | str:
    """Return the first of the places that an address may be, or that they are several."""
    away = max(metres_apart(places[0], other) for other in places)
    if away > (ONE_CROSSING_M if isinstance(address, Crossing) else ONE_STRETCH_M):
        named = address.streets if isinstance(address, Crossing) else [address.street]
        return f"it stands at several places of {' and '.join(named)}, up to {away:.0f} m apart"
    lon, lat, accuracy_m, by = places[0]
    return Found(lon, lat, max(accuracy_m, round(away, 1)), by)


def _in_middle(pieces: Lines, scale: npt.NDArray[np.float64]) -> Found:
    """Return the middle of lines in metres, of which degrees have as many as `scale` says."""
    whole = shapely.union_all(pieces)
    middle = _middle(whole)
    reach = shapely.hausdorff_distance(middle, whole)
    return Found(middle.x / scale[0], middle.y / scale[1], round(max(15.0, float(reach)), 1), "block")


def metres_apart(one: Found, other: Found) -> float:
    """Return how far two places lie from each other."""
    east = (one.lon - other.lon) * np.cos(np.radians(one.lat))
    return float(np.hypot(east, one.lat - other.lat) * METRES)


def _flat(line: shapely.LineString) -> tuple[shapely.LineString, float]:
    """Return a line in metres, and how many metres a degree of longitude has there."""
    scale = METRES * float(np.cos(np.radians(line.centroid.y)))
    return shapely.transform(line, lambda xy: xy * (scale, METRES)), scale


def _offset(line: shapely.LineString, along: float, beside: float) -> tuple[float, float]:
    """Return the place `along` a line and `beside` it to the left, both in its units."""
    reach = min(1.0, line.length / 4)
    before, here, after = (line.interpolate(max(0.0, along + step)) for step in (-reach, 0.0, reach))
    dx, dy = after.x - before.x, after.y - before.y
    length = float(np.hypot(dx, dy)) or 1.0
    return here.x - dy / length * beside, here.y + dx / length * beside


def _middle(shape: BaseGeometry) -> shapely.Point:
    """Return the place on lines that is nearest to the middle of them all."""
    nearest, _ = nearest_points(shape, shape.centroid)
    return shapely.Point(nearest)
