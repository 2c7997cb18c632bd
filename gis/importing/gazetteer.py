"""What the store knows of addresses: registered ones, and streets with their house numbers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import grids
from gis.addresses import along, regions, registered, written
from gis.addresses.registered import Candidate
from gis.addresses.written import Written
from gis.errors import NotFound
from gis.grids import Asked, Wish
from gis.network import signs
from gis.network.ranges import METRES, ONE_STRETCH_M, Found, Streets, metres_apart, one_of
from gis.network.street_names import Address, Crossing, House

ONE_PLACE_M = 60.0
"""Registered addresses alike that lie within this of their middle are one place: a building's parts."""
NEAR_RANGE_M = 100.0
"""A registered address this near where a range has its number agrees with the range."""
_EXACT_M = 15.0


class Try(NamedTuple):
    """One thing that a text may say, every place of it along its street, or why there is none."""

    address: Address
    places: list[Found] | str
    within: frozenset[str]
    """The grids that the text names with it."""


class Closeness(NamedTuple):
    """How close a registered address is to one that is named, beside being that house."""

    text: bool
    """It is the same text."""
    postcode: bool
    unit: bool
    signs: bool
    """Its letters have the same signs."""


@dataclass
class Question:
    """A text with what it may be: registered addresses, and places along streets."""

    read: Written
    rows: list[Candidate]
    tries: list[Try]


@dataclass
class Gazetteer:
    """What the store knows of addresses: registered ones, and the streets with their numbers."""

    conn: Connection
    loaded: Streets | None = None
    asked: Asked | None = None
    """The grids of the day that is being looked at."""
    held: set[tuple[str, str]] = field(default_factory=set)
    """Places (EWKB) and the grids that hold them, of those that the texts name."""

    @property
    def streets(self) -> Streets:
        """The named centre lines of the store with their nodes and house numbers."""
        if self.loaded is None:
            self.loaded = along.load(self.conn, sa.true())
        return self.loaded

    def find(self, texts: Sequence[str], on: date) -> dict[str, Found | str]:
        """Return where each address lies, or why it is not known; regions are those of a day."""
        self.asked = _record(self.conn, on)
        read = list(written.read(self.conn, texts, self.asked).values())
        on_street = registered.by_house(self.conn, read, self.asked, self.streets)
        by_text = registered.by_text(self.conn, read, self.asked)
        questions = [
            Question(one, [*on_street[one.text], *self._registered_as(one, by_text)], list(self._tries(one)))
            for one in read
        ]
        self._hold(questions)
        return {one.read.text: self._answer(one) for one in questions}

    def _registered_as(self, one: Written, by_text: dict[str, list[Candidate]]) -> list[Candidate]:
        """Return what is registered under a text, signs aside, unless they say that it is another street."""
        rows = by_text[one.text]
        return [row for row in rows if not registered.are_other_words(one, row.read, self.streets)]

    def _answer(self, one: Question) -> Found | str:
        """Return the place on which all agree that is known of a text."""
        fitting = [row for row in one.rows if row.same and self._fits(row, one.read)]
        if fitting:
            best = max(_closeness(row, one.read) for row in fitting)
            closest = [row for row in fitting if _closeness(row, one.read) == best]
            place = _one_place(sorted({(row.row.lon, row.row.lat) for row in closest}))
            return place if isinstance(place, str) else self._doubt(one, closest, place, best) or place
        if one.read.strangers:
            why = "is no region of the city on that day (safetymap city set --within names them)"
            return f"{one.read.named} {why}"
        place = self._along(one.tries)
        return place if isinstance(place, str) else self._doubt_of_range(one) or place

    def _fits(self, row: Candidate, one: Written) -> bool:
        """Tell whether a registered address may be one: all that is named beside the house is true of it."""
        return not row.is_of_other_postcode(one) and not row.is_strange(one) and self._is_in_grids(row, one)

    def _is_in_grids(self, row: Candidate, one: Written) -> bool:
        named = regions.grids_in(row.unexplained, one.known)
        return all((row.row.place, name) in self.held for name in named)

    def _doubt(self, one: Question, rows: Sequence[Candidate], place: Found, best: Closeness) -> str | None:
        """Return why a registered address is not where its street has its number."""
        tries = one.tries or [again for row in rows for again in self._tries(row.read)]
        several = (one_of(again.address, of) for again in tries if (of := self._inside(again)))
        if not best.postcode and (doubt := next((of for of in several if isinstance(of, str)), None)):
            return doubt
        texts = [one.read, *(row.read for row in rows)]
        if one.read.lots.issuperset(one.read.houses) and one.read.lots:
            return None
        sure = {house for read in texts for house in read.houses}
        houses = {house for read in texts for house in read.numbers}
        away = sorted((self._metres_beside(place, each), each not in sure, each.street) for each in houses)
        if away and ONE_STRETCH_M < away[0][0] < np.inf:
            return f"it is registered {away[0][0]:.0f} m from where {away[0][2]} has that number"
        return None

    def _doubt_of_range(self, one: Question) -> str | None:
        """Return why a number is not where its street has it: one of that number is registered elsewhere."""
        for row in one.rows:
            if row.is_strange(one.read):
                continue
            in_grids = self._is_in_grids(row, one.read)
            if row.is_of_other_postcode(one.read) and row.same and in_grids:
                return f"it is registered with the postcode {row.read.postcode}"
            if not in_grids and row.read.postcode and row.read.postcode == one.read.postcode:
                return f"it is registered outside of {', '.join(sorted(one.read.grids))}"
            if in_grids and (away := self._metres_from_range(row, one.read)):
                return f"{row.row.text} is registered {away:.0f} m from where its street has that number"
        return None

    def _metres_from_range(self, row: Candidate, one: Written) -> float | None:
        """Return how far a registered address lies from where a range has its number; None for no doubt.

        No doubt is what lies near that place, or along another street that it may be on. Along the street
        itself is not enough: a line is as long as it is.
        """
        place = Found(row.row.lon, row.row.lat, 0.0, "address")
        ours = {line for house in one.houses for line in self.streets.street(self.streets.called(house))}
        its = [(self.streets.called(house), house.number) for house in row.read.houses]
        meant = {(key, number) for called, number in its for key in self.streets.alike(called)}
        meant |= {(self.streets.called(house), house.number) for house in (*row.read.numbers, *one.houses)}
        same = {each for each in meant if not ours.isdisjoint(self.streets.street(each[0]))}
        others = min((self._metres_along(place, *each) for each in meant - same), default=np.inf)
        if others <= ONE_STRETCH_M:
            return None
        ranged = [at for key, number in same for at in self.streets.houses(House(number, key))]
        away = min((metres_apart(place, at) for at in ranged), default=others)
        return away if NEAR_RANGE_M < away < np.inf else None

    def _metres_beside(self, place: Found, house: House) -> float:
        return self._metres_along(place, self.streets.called(house), house.number)

    def _metres_along(self, place: Found, key: str, number: int) -> float:
        """Return how far a place lies from the nearest line of a street with a number; inf where none has."""
        lines = [
            self.streets.roads[side.row].line
            for side in self.streets.sides(self.streets.street(key))
            if side.holds(number)
        ]
        if not lines:
            return float("inf")
        scale = METRES * np.array([np.cos(np.radians(place.lat)), 1])
        flat = shapely.transform(np.array(lines, dtype=object), lambda xy: xy * scale)
        return float(shapely.distance(flat, shapely.Point(np.array(place[:2]) * scale)).min())

    def _along(self, tries: Iterable[Try]) -> Found | str:
        """Return where an address stands along its street, in the grids that it names; else why not."""
        found: Found | str = "is no address that is known"
        for one in tries:
            if isinstance(found, str):
                inside = self._inside(one)
                outside = f"lies outside of {', '.join(sorted(one.within))}"
                why = one.places if isinstance(one.places, str) else outside
                found = one_of(one.address, inside) if inside else why
        return found

    def _inside(self, one: Try) -> list[Found]:
        """Return the places that lie in the grids that are named with them."""
        return [
            place
            for place in ([] if isinstance(one.places, str) else one.places)
            if all((along.ewkb(place), name) in self.held for name in one.within)
        ]

    def _tries(self, one: Written) -> Iterator[Try]:
        """Yield what an address may say along streets that are known, behind regions that are known."""
        for group in one.groups:
            if group.addresses and one.known.names.issuperset(group.front):
                meant: dict[object, Address] = {}
                for of in filter(self.streets.knows, group.addresses):
                    meant.setdefault(self._meant(of), of)
                known = [*meant.values()] or [*group.addresses[:1]]
                within = one.grids | regions.grids_in(group.front, one.known)
                several = f"may be on {' or on '.join(map(_street_of, known))}"
                yield Try(known[0], several if len(known) > 1 else self.streets.places(known[0]), within)

    def _meant(self, address: Address) -> object:
        return (self.streets.called(address), address.number) if isinstance(address, House) else address

    def _hold(self, questions: Sequence[Question]) -> None:
        """Find out which grids that texts name hold which places; a range's may lie beside a border."""
        rows: dict[str, frozenset[str]] = {}
        beside: dict[str, frozenset[str]] = {}
        for one in questions:
            for row in one.rows:
                named = regions.grids_in(row.unexplained, one.read.known)
                rows[row.row.place] = rows.get(row.row.place, frozenset()) | named
            for again in one.tries:
                for place in () if isinstance(again.places, str) else again.places:
                    at = along.ewkb(place)
                    beside[at] = beside.get(at, frozenset()) | again.within
        for places, reach in ((rows, 0.0), (beside, regions.NEAR)):
            every = [place for place, names in places.items() if names]
            names = {name for of in places.values() for name in of}
            held = regions.around(self.conn, every, names, self.asked, reach)
            self.held |= {(every[number], name) for number, name in held}


def _closeness(row: Candidate, one: Written) -> Closeness:
    postcode = bool(one.postcode) and bool(row.read.postcode)
    unit = bool(one.unit) and row.read.unit == one.unit
    return Closeness(row.read.key == one.key, postcode, unit, signs.same(one.core, row.read.core))


def _street_of(address: Address) -> str:
    return " and ".join(address.streets) if isinstance(address, Crossing) else address.street


def _record(conn: Connection, on: date) -> Asked | None:
    """Return the record of a day's grids as known now; None where none are loaded."""
    try:
        return grids.resolve(conn, Wish(on=on))
    except NotFound:
        return None


def _one_place(places: list[tuple[float, float]]) -> Found | str:
    xy = np.array(places)
    lon, lat = xy.mean(axis=0)
    scale = np.array([METRES * np.cos(np.radians(lat)), METRES])
    spread = float(np.hypot(*((xy - (lon, lat)) * scale).T).max())
    if spread > ONE_PLACE_M:
        return f"is the address of {len(places)} places up to {spread:.0f} m from their middle"
    return Found(float(lon), float(lat), round(max(_EXACT_M, spread), 1), "address")
