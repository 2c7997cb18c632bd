"""What the store knows of addresses: registered ones, and streets with their house numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import grids
from gis.addresses import along, regions
from gis.addresses.cores import MARK, cores
from gis.addresses.normalise import fold
from gis.addresses.parse import without_rooms
from gis.errors import NotFound
from gis.grids import Asked, Wish
from gis.network.ranges import METRES, ONE_STRETCH_M, Found, Streets, one_of
from gis.network.street_names import IS_HAN, Address, Crossing, House, are_apart, by_commas, readings

ONE_PLACE_M = 60.0
"""Registered addresses alike that lie within this of their middle are one place: a building's parts."""
_EXACT_M = 15.0
_REGISTERED = """
SELECT q.n - 1 AS n, b.key, b.text, ST_X(b.point) AS lon, ST_Y(b.point) AS lat, b.point::text AS place
FROM unnest(CAST(:rests AS text[])) WITH ORDINALITY AS q (rest, n), LATERAL (
  SELECT {name}_key AS key, {name} AS text, point FROM {table}
  WHERE reverse({name}_key) ~>=~ reverse(q.rest)
    AND reverse({name}_key) ~<~ (reverse(q.rest) || U&'\\+10FFFF')
) b
"""
# Whatever ends with what is left of an address without the regions before it.
_ENDING = " UNION ALL ".join(
    _REGISTERED.format(table=table, name=name)
    for table, name in (("buildings", "address"), ("places", "address"), ("places", "name"))
)


_BEGUN = """
SELECT q.n - 1 AS n, b.text, ST_X(b.point) AS lon, ST_Y(b.point) AS lat, b.point::text AS place
FROM unnest(CAST(:rests AS text[])) WITH ORDINALITY AS q (rest, n), LATERAL (
  SELECT address AS text, point FROM {table}
  WHERE address_key ~>=~ q.rest AND address_key ~<~ (q.rest || U&'\\+10FFFF') AND address ~ '[,，;；(（–—-]'
) b
"""
# Whatever begins with what is left of an address: behind a comma there may be postcode and city, or a unit.
_BEGINNING = " UNION ALL ".join(_BEGUN.format(table=table) for table in ("buildings", "places"))
_SHORTEST = 4
"""Signs of an address that is looked for before a comma, at least."""


class Written(NamedTuple):
    """A text, the address in it without regions in front, and the grids that it says it lies in."""

    text: str
    street: str
    regions: frozenset[str]


@dataclass
class Gazetteer:
    """What the store knows of addresses: registered ones, and the streets with their numbers."""

    conn: Connection
    streets: Streets | None = None
    asked: Asked | None = None
    """The grids of the day that is being looked at."""

    def find(self, texts: Sequence[str], on: date) -> dict[str, Found | str]:
        """Return where each address lies, or why it is not known; regions are those of a day."""
        self.asked = _record(self.conn, on)
        read = dict(zip(texts, regions.behind(self.conn, texts, self.asked), strict=True))
        found = self._find(list(dict.fromkeys(read.values())))
        return {text: found[as_read] for text, as_read in read.items()}

    def _find(self, texts: Sequence[str]) -> dict[str, Found | str]:
        """Return where each address lies, or why it is not known; regions stand behind their commas."""
        found = self._registered({text: text for text in texts}, {})
        elsewhere = self._elsewhere([text for text in texts if text not in found])
        behind = self._behind_commas(texts)
        left = [text for text in texts if text not in {**found, **elsewhere}]
        bare = {text: by_commas(text)[0] for text in left if "," in text or "，" in text}
        found |= self._registered(bare, behind)
        found |= self._on_several_streets(self._readings(list(found), behind), found)
        found |= elsewhere
        left = [text for text in left if text not in found]
        found |= self._on_streets([Written(text, text, behind[text]) for text in left])
        unknown = [text for text in left if isinstance(found[text], str)]
        again = self._on_streets(self._behind_regions(unknown, behind))
        return found | {text: one for text, one in again.items() if isinstance(one, Found)}

    def _behind_commas(self, texts: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the grids that texts name behind their commas."""
        behind, known = self._behind(texts)
        return {text: regions.grids_in(parts.values(), known) for text, parts in behind.items()}

    def _elsewhere(self, texts: Sequence[str]) -> dict[str, Found | str]:
        """Return why addresses are none of this city's: behind their commas is no region of it."""
        behind, known = self._behind(texts)
        if not known.city:
            return {}
        strange = {
            text: regions.strangers(
                [
                    key
                    for part, key in parts.items()
                    if not _UNIT.fullmatch(part.strip()) or key in known.former
                ],
                known,
            )
            for text, parts in behind.items()
        }
        why = "is no region of the city on that day (safetymap city set --within names them)"
        return {
            text: f"{_region_in_front(text) or _named(behind[text], some)} {why}"
            for text, some in strange.items()
            if some
        }

    def _behind(self, texts: Sequence[str]) -> tuple[dict[str, dict[str, str]], regions.Regions]:
        """Return what stands behind the commas of texts with its folded form, and the regions it may name."""
        parts = {text: by_commas(text)[1] for text in texts}
        every = sorted({one for of in parts.values() for part in of for one in regions.spellings(part)})
        keys = dict(zip(every, fold(self.conn, *every), strict=True))
        known = regions.load(self.conn, keys.values(), self.asked)
        return {text: regions.settled(of, keys, known) for text, of in parts.items()}, known

    def _registered(
        self, written: dict[str, str], needed: dict[str, frozenset[str]]
    ) -> dict[str, Found | str]:
        """Return what is known of registered addresses that are these but for rooms and regions.

        `written`: what of each text is looked up; `needed`: the grids that it must lie in.
        """
        keys = fold(self.conn, *written.values())
        readings = dict(zip(written, map(without_rooms, keys), strict=True))
        found: dict[str, Found | str] = {}
        for left_out in range(max(map(len, readings.values()), default=0)):
            waiting = {
                text: keys[left_out]
                for text, keys in readings.items()
                if text not in found and left_out < len(keys)
            }
            found |= self._ending(waiting, written, needed)
        return found

    def _ending(
        self, keys: dict[str, str], written: dict[str, str], needed: dict[str, frozenset[str]]
    ) -> dict[str, Found | str]:
        """Return what is known of registered addresses that are these but for the regions before either."""
        known = regions.load(self.conn, keys.values(), self.asked)
        rests = [
            (text, key[at:], front)
            for text, key in keys.items()
            for at, front in regions.cuts(key, known.names, by_form=True).items()
            if key[at:] and not (at and regions.is_number(key[at:]))
        ]
        rows = self.conn.execute(sa.text(_ENDING), {"rests": [rest for _, rest, _ in rests]}).all()
        fitting, others = [], []
        for row in rows:
            text, rest, front = rests[row.n]
            if aligned := regions.align(keys[text], row.key, known.names):
                fitting.append((text, row, needed.get(text, frozenset()) | {*aligned.extra} - known.city))
            elif MARK.search(row.text):
                others.append((text, rest, front, row))
        begun = [one for one in rests if len(one[1]) >= _SHORTEST and _DIGIT.search(one[1])]
        rows = self.conn.execute(sa.text(_BEGINNING), {"rests": [rest for _, rest, _ in begun]}).all()
        others += [(*begun[row.n], row) for row in rows]
        known_as = cores(self.conn, [row.text for *_, row in others], self.asked)
        fitting += [
            (text, row, needed.get(text, frozenset()) | {*front} - known.city)
            for (text, rest, front, row), core in zip(others, known_as, strict=True)
            if rest in core
        ]
        fitting = [one for one in fitting if not are_apart(written[one[0]], one[1].text)]
        named = {name for *_, names in fitting for name in names}
        held = regions.around(self.conn, [row.place for _, row, _ in fitting], named, self.asked)
        places: dict[str, set[tuple[float, float]]] = {}
        for at, (text, row, names) in enumerate(fitting):
            if all((at, name) in held for name in names):
                places.setdefault(text, set()).add((row.lon, row.lat))
        return {text: _one_place(sorted(of)) for text, of in places.items()}

    def _on_streets(self, written: Sequence[Written]) -> dict[str, Found | str]:
        """Return where addresses stand along their streets, in the grids that they name; else why not."""
        found: dict[str, Found | str] = {one.text: "is no address that is known" for one in written}
        for one, address, places in self._possible(written):
            if not isinstance(found[one.text], Found):
                found[one.text] = places if isinstance(places, str) else one_of(address, places)
        return found

    def _on_several_streets(
        self, written: Sequence[Written], known: dict[str, Found | str]
    ) -> dict[str, Found | str]:
        """Return of registered addresses which are house numbers on other streets of their name as well."""
        doubts: dict[str, Found | str] = {}
        for one, address, places in self._possible(written):
            at = known[one.text]
            if isinstance(places, str) or isinstance(at, str):
                continue
            if isinstance(several := one_of(address, places), str):
                doubts[one.text] = several
            elif isinstance(address, House) and (away := self._metres_beside(at, address)) > ONE_STRETCH_M:
                doubts[one.text] = (
                    f"it is registered {away:.0f} m from where {address.street} has that number"
                )
        return doubts

    def _metres_beside(self, place: Found, house: House) -> float:
        """Return how far a place lies from the nearest line that has a house's number."""
        assert self.streets is not None
        lines = [
            self.streets.roads[side.row].line
            for side in self.streets.sides(house.street)
            if side.holds(house.number)
        ]
        scale = METRES * np.array([np.cos(np.radians(place.lat)), 1])
        flat = shapely.transform(np.array(lines, dtype=object), lambda xy: xy * scale)
        return float(shapely.distance(flat, shapely.Point(np.array(place[:2]) * scale)).min())

    def _possible(self, written: Sequence[Written]) -> list[tuple[Written, Address, list[Found] | str]]:
        """Return every place of addresses along their streets in the grids that they name, or why none."""
        read = [(one, *read) for one in written if (read := self._read(one.street))]
        at = [(n, place) for n, (_, _, of) in enumerate(read) if not isinstance(of, str) for place in of]
        named = {name for one in written for name in one.regions}
        held = regions.around(
            self.conn, [along.ewkb(place) for _, place in at], named, self.asked, regions.NEAR
        )
        inside: dict[int, list[Found]] = {}
        for number, (n, place) in enumerate(at):
            if all((number, name) in held for name in read[n][0].regions):
                inside.setdefault(n, []).append(place)
        return [
            (one, address, of if isinstance(of, str) else inside.get(n) or _outside(one))
            for n, (one, address, of) in enumerate(read)
        ]

    def _read(self, text: str) -> tuple[Address, list[Found] | str] | None:
        """Return what an address says, on streets that are known where it may say several things."""
        if not (possible := readings(text)):
            return None
        if self.streets is None:
            self.streets = load_streets(self.conn)
        known = [one for one in possible if self.streets.knows(one)] or possible[:1]
        if len(known) > 1:
            return known[0], f"may be on {' or on '.join(map(_street_of, known))}"
        return known[0], self.streets.places(known[0])

    def _readings(self, texts: Sequence[str], behind: dict[str, frozenset[str]]) -> list[Written]:
        """Return texts as they are, behind Chinese regions, and behind the comma of a region in front."""
        plain = {text: text.replace("，", ",") for text in texts}
        halves = {text: one.partition(",") for text, one in plain.items() if "," in one}
        keys = dict(zip(halves, fold(self.conn, *(half[0] for half in halves.values())), strict=True))
        known = regions.load(self.conn, keys.values(), self.asked)
        later = [
            Written(text, halves[text][2].strip(), regions.grids_in([key], known))
            for text, key in keys.items()
            if not regions.strangers([key], known)
        ]
        whole = [Written(text, text, behind[text]) for text in texts]
        return [*whole, *later, *self._behind_regions(texts, behind)]

    def _behind_regions(self, texts: Sequence[str], behind: dict[str, frozenset[str]]) -> list[Written]:
        """Return the readings of texts whose street stands behind Chinese regions, the most of them last."""
        keys = dict(zip(texts, fold(self.conn, *texts), strict=True))
        known = regions.load(self.conn, keys.values(), self.asked)
        cut = [
            (text, at, front)
            for text, key in keys.items()
            for at, front in sorted(regions.cuts(key, known.names).items())
            if at
        ]
        rests = self._as_written([(text, keys[text][:at]) for text, at, _ in cut])
        return [
            Written(text, rest, behind[text] | regions.grids_in(front, known))
            for (text, at, front), as_written in zip(cut, rests, strict=True)
            for rest in dict.fromkeys((as_written, keys[text][at:]))
            if IS_HAN.match(rest)
        ]

    def _as_written(self, cut: Sequence[tuple[str, str]]) -> list[str]:
        """Return what stands in texts behind a folded front: 五一路, which would fold to 51路, as it is."""
        ends = [
            (number, end)
            for number, (text, front) in enumerate(cut)
            for end in range(max(1, len(front) - _FOLDED_LONGER), len(front) + _FOLDED_SHORTER)
            if end <= len(text)
        ]
        folded = fold(self.conn, *(cut[number][0][:end] for number, end in ends))
        found = {
            number: end for (number, end), key in zip(ends, folded, strict=True) if key == cut[number][1]
        }
        return [text[found[number] :] if number in found else "" for number, (text, _) in enumerate(cut)]


_FOLDED_LONGER, _FOLDED_SHORTER = 4, 8
"""Signs by which regions in front may be longer when folded (十 is 10), or shorter: spaces, commas."""


def _named(parts: dict[str, str], some: Sequence[str]) -> str:
    return ", ".join(part.strip() for part, key in parts.items() if key in some)


def _region_in_front(text: str) -> str:
    """Return what must be a region in front of a comma, as the house stands behind it; nothing else."""
    first, *rest = by_commas(text)
    return "" if _DIGIT.search(first) or not any(map(_DIGIT.search, rest[0])) else first.strip()


def _street_of(address: Address) -> str:
    return " and ".join(address.streets) if isinstance(address, Crossing) else address.street


def _outside(one: Written) -> str:
    return f"lies outside of {', '.join(sorted(one.regions))}"


_DIGIT = re.compile("[0-9]")
_UNIT = re.compile(
    r"(?:(?:apt|apartment|unit|suite|ste|room|rm|floor|fl|flat|bldg|building|lot|no)\b\.?|#)\s*[\w-]+"
    r"|[a-z]?[0-9]+[a-z]?|[0-9]+(?:st|nd|rd|th)?\s+(?:floor|fl)"
    r"|rear|front|basement|bsmt|upper|lower|lobby|garage|yard|penthouse|ph",
    re.IGNORECASE,
)
"""What says where in or at a house, behind a comma, unless it is a grid's code: `N3`."""


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


def load_streets(conn: Connection) -> Streets:
    """Return the named centre lines of the store with their nodes and house numbers."""
    return along.load(conn, sa.true())
