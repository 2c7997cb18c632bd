"""Addresses as people write them: which building, place, road, crossing, grid or post is meant."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import city, grids
from gis.addresses import along, regions, registered, written
from gis.addresses.matches import Found, Match, best
from gis.addresses.parse import ELSEWHERE, Reading, Variant, read, turned
from gis.addresses.targets import BEGINS, EXACT, MIDDLE, MOST, PARTLY, Target, parameters
from gis.db import Record
from gis.errors import NotFound
from gis.grids import Asked, Wish
from gis.network import signs
from gis.network.ranges import ONE_STRETCH_M, metres_apart
from gis.network.ranges import Found as Place
from gis.network.street_cores import core, may_be_one
from gis.network.street_names import IS_HAN, House, are_apart, readings, street_key

_PER_REGION = 0.01
"""What a match loses for each region that the text names and the thing found does not."""
_ASIDE, _INSIDE = 0.05, 0.25
"""What it loses where regions had to be left out, and where the text stands in the middle of a name."""
_ANOTHERS = 0.3
"""What it loses where the thing found names another region in place of the one asked for."""
_OTHER_SIGNS = 0.25
"""What it loses where its signs make it another word than the one asked for."""
_LIKE_IT = 0.1
"""What it loses where its street has one word more, less or in short."""
_HOUSE_ON_STREET = 0.85
"""How well a house fits that is known only by the numbers of its street."""
_NOW = Wish()


class _Fit(NamedTuple):
    """How well a row fits a text: what it loses, why, and which regions it must lie in for that."""

    loss: float
    note: str
    regions: tuple[str, ...]
    within: frozenset[str] = frozenset()
    """The grids behind the text's commas: it fits worse elsewhere."""


def find(conn: Connection, text: str, limit: int, wish: Wish = _NOW) -> Found:
    """Return what a text may mean, best first, `limit` at most; equally good ones stay side by side.

    Grids and posts are those of the record wished for. What merely begins so is looked for only where nothing
    fits as a whole, what holds the text only where not enough begins so. Raises BadInput for a revision that
    is still to come.
    """
    asked = _record(conn, wish)
    moved = regions.behind(conn, [text], asked)[0]
    wanted = read(conn, moved, asked, as_stored=text)
    if wanted is None:
        return Found([], more=False)
    found, more = _ask(conn, EXACT, wanted, asked)
    found += _at_coordinate(conn, wanted, asked)
    unread: list[Match] = []
    if not any(one.kind in _REGISTERED for one in found):
        same, unread = _same_house(conn, text, asked)
        found += same
    found += _further_houses(found, _houses(conn, moved, wanted, asked))
    found += [] if any(one.kind in _REGISTERED for one in found) else unread
    if not found:
        found, more = _partly(conn, wanted, asked, limit)
    every = best([*_by_signs(found, text)])
    return Found(every[:limit], more=more or len(every) > limit)


def _by_signs(found: list[Match], text: str) -> Iterator[Match]:
    for match, is_outdone in zip(found, signs.outdone(text, [one.address for one in found]), strict=True):
        if is_outdone or signs.contradict(text, match.address):
            why = f"{match.matched_by}, with other signs"
            yield replace(match, score=round(match.score - _OTHER_SIGNS, 3), matched_by=why)
        else:
            yield match


def _same_house(conn: Connection, text: str, asked: Asked | None) -> tuple[list[Match], list[Match]]:
    """Return registered addresses that are the same house, worse elsewhere, and others of its number."""
    read = written.read(conn, [text], asked)[text]
    streets = _AsWritten(frozenset(house.street for house in read.houses))
    rows = registered.by_house(conn, [read], asked, streets)[text]
    rows = [one for one in rows if not are_apart(text, one.row.text)]
    named = [regions.grids_in(one.unexplained, read.known) for one in rows]
    held = regions.around(
        conn, [one.row.place for one in rows], {name for of in named for name in of}, asked, regions.NEAR
    )
    found = [
        (one, _match_of_house(one, read, inside=all((n, name) in held for name in of)))
        for n, (one, of) in enumerate(zip(rows, named, strict=True))
    ]
    others = [(match, _fits_street(one, read)) for one, match in found if not one.same]
    offered = [
        replace(match, score=round(match.score - loss, 3)) for match, loss in others if loss is not None
    ]
    return [match for one, match in found if one.same], offered


def _fits_street(one: registered.Candidate, read: written.Written) -> float | None:
    """Return what a registered address loses whose street is not the one of a text; None where it is another.

    What holds a number in some reading alone is offered as well, but not Oak Court for `12b Oak St`: they
    have a word in common, and contradict each other.
    """
    pairs = [
        (mine.street, its.street)
        for mine, its in product(read.houses, one.read.houses)
        if mine.number == its.number and not {*mine.street.split()}.isdisjoint(its.street.split())
    ]
    if not pairs or any(core(mine).may_be(core(its)) for mine, its in pairs):
        return 0.0
    return _LIKE_IT if any(may_be_one(*pair) or _holds(*pair) for pair in pairs) else None


def _holds(one: str, other: str) -> bool:
    """Tell whether a street's words stand in what is read as another: `High Road Rear`."""
    return f" {one} " in f" {other} "


def _match_of_house(one: registered.Candidate, read: written.Written, *, inside: bool) -> Match:
    other = one.is_of_other_postcode(read)
    strange = one.is_strange(read)
    fits = _MORE_BEHIND if one.same else _HOUSE_ON_STREET
    score = fits - ELSEWHERE * strange - _ANOTHERS * (other or not inside)
    more = ", with more behind it" if one.same else ", a house of that number"
    why = ", another postcode" if other else ", of another region" if not inside else more
    kind, row = one.row.kind.removesuffix("s"), one.row
    told = f", {read.named} is no region that is known here" if strange else why
    return Match(kind, row.id, row.text, None, round(score, 3), f"{kind} address{told}", row.lon, row.lat)


@dataclass(frozen=True)
class _AsWritten:
    """Streets by their names alone: known are those that the text itself may mean."""

    meant: frozenset[str]

    def called(self, house: House) -> str:
        return house.street

    def knows(self, house: House) -> bool:
        return house.street in self.meant

    def is_common(self, _: str) -> bool:
        return False

    def called_exactly(self, _: House) -> frozenset[str]:
        return frozenset()


_REGISTERED = ("building", "place")
_MORE_BEHIND = 0.95
"""How well a registered address fits that has its postcode, its city or a unit behind it."""


def _further_houses(found: list[Match], houses: list[Match]) -> list[Match]:
    """Return the houses that are none of what was found: all where that is nothing.

    A registered house comes alone, unless it lies in another region than the text names, or streets of one
    name have its number at several places.
    """
    if not found or not houses:
        return houses
    elsewhere = max(match.score for match in found) <= 1 - _ANOTHERS
    several = any(_apart(houses[0], other) > ONE_STRETCH_M for other in houses)
    if not (elsewhere or several):
        return []
    return [one for one in houses if all(_apart(one, other) > ONE_STRETCH_M for other in found)]


def _apart(one: Match, other: Match) -> float:
    return metres_apart(Place(one.lon, one.lat, 0, ""), Place(other.lon, other.lat, 0, ""))


def _houses(conn: Connection, text: str, wanted: Reading, asked: Asked | None) -> list[Match]:
    """Return where a house may stand that is not registered, by the numbers along its street."""
    behind = frozenset(name for one in wanted.whole for name in one.within)
    key, known = wanted.whole[0].key, wanted.regions
    fronts = [
        (key[at:], behind | regions.grids_in(front, known))
        for at, front in regions.cuts(key, known.names).items()
    ]
    readings = [(text, behind), *((rest, within) for rest, within in fronts[1:] if IS_HAN.match(rest))]
    tried = (_along(conn, one, within, asked) for one, within in readings)
    found = next(filter(None, tried), [])
    if not wanted.strangers:
        return found
    note = f", {', '.join(wanted.strangers)} is no region that is known here"
    return [
        replace(one, score=round(one.score - ELSEWHERE, 3), matched_by=one.matched_by + note) for one in found
    ]


def _along(conn: Connection, text: str, within: frozenset[str], asked: Asked | None) -> list[Match]:
    """Return where the house of an address may stand, worse outside of the grids that the text names."""
    houses = [one for one in readings(text) if isinstance(one, House)]
    tried = (_of_house(conn, house, within, asked) for house in houses)
    return next(filter(None, tried), [])


def _of_house(conn: Connection, house: House, within: frozenset[str], asked: Asked | None) -> list[Match]:
    """Return where a house stands on the streets whose name may be written so."""
    if (street := read(conn, house.written, asked)) is None:
        return []
    named = next(filter(None, (_roads(conn, ways, street, asked) for ways in (EXACT, BEGINS))), [])
    scores = {match.address: match.score for match in reversed(best(named))}
    places = [
        (name, score, place)
        for name, score in scores.items()
        if house.may_stand_on(street_key(name)) and not signs.contradict(house.written, name)
        for place in along.houses(conn, replace(house, street=street_key(name)), [name])
    ]
    held = regions.around(conn, [along.ewkb(place) for *_, place in places], within, asked, regions.NEAR)
    return [
        _house(house, name, score - _ANOTHERS * (not inside), place, "" if inside else ", of another region")
        for n, (name, score, place) in enumerate(places)
        for inside in [all((n, one) in held for one in within)]
    ]


def _house(house: House, name: str, score: float, place: Place, note: str) -> Match:
    told = f"house number along its street, to {place.accuracy_m:.0f} m{note}"
    fits = round(_HOUSE_ON_STREET - (1 - score), 3)
    return Match("house", None, house.on(name), None, fits, told, place.lon, place.lat)


def _roads(conn: Connection, ways: tuple[Target, ...], street: Reading, asked: Asked | None) -> list[Match]:
    return [match for match in _ask(conn, ways, street, asked)[0] if match.kind == "road"]


def complete(conn: Connection, text: str, limit: int) -> list[str]:
    """Return names and addresses that a text, as far as it is typed, may become."""
    asked = _record(conn, _NOW)
    wanted = read(conn, text, asked)
    if wanted is None:
        return []
    found = [*_ask(conn, EXACT, wanted, asked)[0], *_partly(conn, wanted, asked, limit)[0]]
    return list(dict.fromkeys(match.address for match in best(found)))[:limit]


def _record(conn: Connection, wish: Wish) -> Asked | None:
    try:
        return grids.resolve(conn, wish)
    except NotFound:
        if wish.scheme is not None:
            raise
        return None  # no grids are loaded; places are found all the same


def _statement(ways: Iterable[Target], most: int) -> sa.CompoundSelect[Any]:
    """Return one statement for several ways, each bounded on its own."""
    return sa.union_all(
        *(
            sa.select(sa.literal(n).label("way"), way.rows.limit(most + 1).subquery(f"way_{n}"))
            for n, way in enumerate(ways)
        )
    )


_BOUNDS = {EXACT: MOST, BEGINS: PARTLY, MIDDLE: PARTLY}
_STATEMENTS = {ways: _statement(ways, most) for ways, most in _BOUNDS.items()}


def _partly(conn: Connection, wanted: Reading, asked: Asked | None, limit: int) -> tuple[list[Match], bool]:
    """Return what begins with a text and, where that is not enough, what holds it; whether there are more."""
    found, more = _ask(conn, BEGINS, wanted, asked)
    if len(best(found)) < limit:
        further, more = _ask(conn, MIDDLE, wanted, asked)
        found += further
    return found, more


def _ask(
    conn: Connection, ways: tuple[Target, ...], wanted: Reading, asked: Asked | None
) -> tuple[list[Match], bool]:
    """Return what fits in any of the given ways, and whether one of them had more than are looked at."""
    rows = conn.execute(_STATEMENTS[ways], parameters(wanted, asked)).all()
    most = max(Counter(row.way for row in rows).values(), default=0)
    fitting = [
        (row, fit)
        for row in rows
        if row.lon is not None and (fit := _fit(ways[row.way], row, wanted)) and not _is_other(row, wanted)
    ]
    inside = _inside(conn, fitting, wanted, asked)
    return [_match(ways[row.way], row, fit) for row, fit in inside], most > _BOUNDS[ways]


def _is_other(row: Record, wanted: Reading) -> bool:
    return row.text is not None and are_apart(wanted.code, row.text)


def _fit(way: Target, row: Record, wanted: Reading) -> _Fit | None:
    """Return how a row fits the text, at its best; None where only something else is alike."""
    if way.by == "begun":
        return _fit_in_part(row.key, wanted)
    if way.by == "turned":
        return next((_Fit(one.loss, one.note, ()) for one in wanted.turned if one.key == row.key), None)
    names = wanted.regions.names
    fits = [
        _fit_as_whole(one, aligned)
        for one in _variants(way, wanted)
        if (aligned := regions.align(one.key, row.key, names)) is not None
    ]
    return min(fits, default=None)


def _variants(way: Target, wanted: Reading) -> Iterable[Variant]:
    """Return the readings that the key of a row is compared with."""
    if way.by == "codes":
        return [Variant(front + code) for front, code in wanted.codes]
    if way.by == "streets" and wanted.crossing:
        return [wanted.crossing, *turned(wanted.crossing)]
    return wanted.numbered if way.by == "numbered" else wanted.whole


def _fit_as_whole(one: Variant, aligned: regions.Aligned) -> _Fit:
    if aligned.whole:
        return _Fit(one.loss, one.note, (), one.within)
    loss = _ASIDE + _PER_REGION * len(aligned.extra) + _ANOTHERS * aligned.apart
    aside = one.but(one.key, loss, ", of another region" if aligned.apart else ", regions aside")
    return _Fit(aside.loss, aside.note, aligned.extra, one.within)


def _fit_in_part(key: str, wanted: Reading) -> _Fit | None:
    """Return how a name fits that begins with the text or holds it."""
    return min(_fits_in_part(key, wanted), default=None)


def _fits_in_part(key: str, wanted: Reading) -> Iterator[_Fit]:
    code = wanted.code
    for rest, left in wanted.beginnings().items() if not key.startswith(code) else [(code, ())]:
        at = regions.find(rest, key)
        loss = _PER_REGION * len(left) + (_ASIDE if left else 0)
        if at == 0:
            yield _Fit(loss, ", beginning", left)
        elif at > 0:
            behind = at in regions.cuts(key, wanted.regions.names, by_form=True)
            where = (_ASIDE, ", regions aside, beginning") if behind else (_INSIDE, ", in the middle")
            yield _Fit(loss + where[0], where[1], left)


def _inside(
    conn: Connection, fitting: list[tuple[Record, _Fit]], wanted: Reading, asked: Asked | None
) -> list[tuple[Record, _Fit]]:
    """Return the rows that lie in the grids that the text names before them; worse ones outside of others."""
    named = {name for _, fit in fitting for name in fit.regions} & wanted.regions.grids
    named -= wanted.regions.city
    behind = {name for _, fit in fitting for name in fit.within}
    held = regions.around(conn, [row.place for row, _ in fitting], named | behind, asked)
    return [
        (row, fit if all((n, name) in held for name in fit.within) else _elsewhere(fit))
        for n, (row, fit) in enumerate(fitting)
        if all((n, name) in held for name in fit.regions if name in named)
    ]


def _elsewhere(fit: _Fit) -> _Fit:
    return _Fit(fit.loss + _ANOTHERS, f"{fit.note}, of another region", fit.regions, fit.within)


def _match(way: Target, row: Record, fit: _Fit) -> Match:
    score = round(way.score - fit.loss, 3)
    return Match(way.kind, row.id, row.text, row.code, score, way.name + fit.note, row.lon, row.lat)


def _at_coordinate(conn: Connection, wanted: Reading, asked: Asked | None) -> list[Match]:
    """Return the place of two coordinates: lon, lat, or where only that lies in the city, lat, lon."""
    if not wanted.places:
        return []
    inside = [one for one in wanted.places if asked and _is_in(city.extent(conn, asked.scheme), *one[:2])]
    lon, lat, how = (inside or wanted.places)[0]
    text = f"{round(lon, grids.DECIMALS)}, {round(lat, grids.DECIMALS)}"
    return [Match("coordinate", None, text, None, 0.97, f"coordinate as {how}", lon, lat)]


def _is_in(box: list[float], lon: float, lat: float) -> bool:
    west, south, east, north = box
    return west <= lon <= east and south <= lat <= north
