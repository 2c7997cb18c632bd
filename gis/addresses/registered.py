"""Registered addresses that an address may be: found by an index of words, compared as both are read."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses import regions, written
from gis.addresses.normalise import fold
from gis.addresses.parse import without_rooms
from gis.addresses.written import Written
from gis.grids import Asked
from gis.network import signs
from gis.network.street_cores import may_be_one, named_words
from gis.network.street_names import IS_HAN, House, are_apart, spelt_alike

_LETTERS = 4
"""First letters of a word that the index has."""
_WORDS = re.compile(r"[^0-9\s\u4e00-\u9fff-]+")
_DOTTED = re.compile(r"\b[^\W\d_]\.[^\W\d_]+")
"""`V.le` has no letters of `Viale` but the first."""
_SHORTEST = 3
_HAN_LAST = re.compile(r"[\u4e00-\u9fff]{1,2}$")

_BY_WORDS = """
SELECT q.n - 1 AS n, b.*
FROM unnest(CAST(:asked AS text[])) WITH ORDINALITY AS q (words, n), LATERAL (
  SELECT '{table}' AS kind, id, {name} AS text, {name}_key AS key, ST_X(point) AS lon, ST_Y(point) AS lat,
    point::text AS place
  FROM {table}
  WHERE address_words(address_key) @> string_to_array(q.words, ' ')
) b
"""
_BY_END = """
SELECT q.n - 1 AS n, b.*
FROM unnest(CAST(:asked AS text[])) WITH ORDINALITY AS q (rest, n), LATERAL (
  SELECT '{table}' AS kind, id, {name} AS text, {name}_key AS key, ST_X(point) AS lon, ST_Y(point) AS lat,
    point::text AS place
  FROM {table}
  WHERE reverse({name}_key) ~>=~ reverse(q.rest)
    AND reverse({name}_key) ~<~ (reverse(q.rest) || U&'\\+10FFFF')
) b
"""
"""Whatever ends with what is left of an address without the regions before it."""
_TEXTS = (("buildings", "address"), ("places", "address"), ("places", "name"))


def _all(statement: str, texts: Iterable[tuple[str, str]]) -> sa.TextClause:
    return sa.text(" UNION ALL ".join(statement.format(table=table, name=name) for table, name in texts))


_WORDED, _ENDING = _all(_BY_WORDS, _TEXTS[:2]), _all(_BY_END, _TEXTS)


class Row(NamedTuple):
    """A registered address or name; its place in WGS-84 degrees and as EWKB."""

    kind: str
    id: int
    text: str
    key: str
    lon: float
    lat: float
    place: str


class Candidate(NamedTuple):
    """A registered address that may be the one looked for, as it is read itself.

    `named`: folded regions and other things that were named beside the house and that must fit. `same`: it is
    that house, with its letter or fraction; else another of its number. `by_text`: found by its text.
    """

    row: Row
    read: Written
    named: frozenset[str]
    same: bool = True
    by_text: bool = False

    @property
    def unexplained(self) -> frozenset[str]:
        """What was named and it does not name itself."""
        return self.named - self.read.own()

    def is_of_other_postcode(self, one: Written) -> bool:
        """Tell whether two postcodes differ; the longer of two that begin alike says more."""
        mine, its = one.postcode, self.read.postcode
        return bool(mine and its) and not (mine.startswith(its) or its.startswith(mine))

    def is_strange(self, one: Written) -> bool:
        """Tell whether something is named that is no region of the city and none of its own parts."""
        fronts = self.unexplained - {*one.parts} - one.known.names - one.known.codes
        return bool(fronts) or not self.unexplained.isdisjoint(one.strangers)


class Streets(Protocol):
    """What is known of streets."""

    def called(self, house: House, /) -> str:
        """Return what a house's street is called in the store; "" for no street."""

    def knows(self, house: House, /) -> bool:
        """Tell whether it is a street of the store."""

    def is_common(self, word: str, /) -> bool:
        """Tell whether a word stands in many streets' names."""

    def called_exactly(self, house: House, /) -> frozenset[str]:
        """Return the streets that are called exactly as a house's is written, with every sign."""


def by_house(
    conn: Connection, asked: Sequence[Written], record: Asked | None, streets: Streets
) -> dict[str, list[Candidate]]:
    """Return the registered addresses with a number on the streets that each of the texts may mean."""
    wanted = list(_words(conn, asked, streets))
    found = conn.execute(_WORDED, {"asked": [words for _, words in wanted]}).all()
    rows = {(wanted[row.n][0].text, row.kind, row.id): Row(*row[1:]) for row in found}
    read = written.read(conn, [row.text for row in rows.values()], record)
    texts = {one.text: one for one in asked}
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for (text, *_), row in rows.items():
        candidates[text] += _candidates(texts[text], row, read[row.text], streets)
    return candidates


def _candidates(one: Written, row: Row, other: Written, streets: Streets) -> Iterator[Candidate]:
    if are_other_words(one, other, streets):
        return
    numbers = {(streets.called(house), house.number) for house in other.houses}
    shared = [house for house in one.houses if (of := _number(house, streets))[0] and of in numbers]
    same = [house for house in shared if _is_same(house, one, other, streets)]
    if shared and not _contradict(one, other, streets):
        front = _front_of((same or shared)[0], one)
        yield Candidate(row, other, frozenset((*front, *one.parts)), same=bool(same))
    elif _may_mean(one, other, streets):
        yield Candidate(row, other, frozenset(one.parts), same=False)


def are_other_words(one: Written, other: Written, streets: Streets) -> bool:
    """Tell whether the signs of two addresses' streets tell them apart, however they are read.

    They do where signs make another word, and where each is called exactly as a street that the other is not.
    """
    pairs = [(mine, its) for mine in one.houses for its in other.houses]
    pairs = [pair for pair in pairs if signs.share_a_word(pair[0].written, pair[1].written)]
    return bool(pairs) and all(
        signs.contradict(mine.written, its.written)
        or _are_two(streets.called_exactly(mine), streets.called_exactly(its))
        for mine, its in pairs
    )


def _are_two(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one and other) and one.isdisjoint(other)


def _number(house: House, streets: Streets) -> tuple[str, int]:
    return streets.called(house), house.number


def _is_same(house: House, one: Written, other: Written, streets: Streets) -> bool:
    """Tell whether two addresses share a house by its letter too, as their core or on a street that is known.

    What only stands beside the core of one may be a region: `House No. 4, Sector 30`.
    """
    of = (*_number(house, streets), house.suffix)
    alike = [its for its in other.houses if (*_number(its, streets), its.suffix) == of]
    beside = house in one.beside or all(its in other.beside for its in alike)
    return bool(alike) and (not beside or streets.knows(house))


def _contradict(one: Written, other: Written, streets: Streets) -> bool:
    """Tell whether two addresses give one thing different numbers: `Tower 1` and `Tower 2` of a street."""
    mine, its = (
        {street: {of.number for of in each.houses if streets.called(of) == street} for street in called}
        for each in (one, other)
        for called in [{streets.called(of) for of in each.houses} - {""}]
    )
    return any(mine[street].isdisjoint(its[street]) for street in mine.keys() & its)


def _may_mean(one: Written, other: Written, streets: Streets) -> bool:
    """Tell whether a registered address that is on no other known street may hold the number of one.

    Its street may lack a type, direction, article, region or another word that the other names, or have one
    more, or say one in short. One that lacks its type is on no street for sure, though a single one of those
    that end in a type is called so: `Santander 10` may be on Avenida Santander beside Santander Street.
    """
    known = [house for house in one.houses if streets.knows(house)]
    streets_of = {streets.called(house) for house in known}
    exact = [replace(house, as_written=True) for house in other.houses]
    if any(streets.knows(house) and streets.called(house) not in streets_of for house in exact):
        return False
    mine, its = _meant(known, one, streets), _meant(other.numbers, other, streets)
    return any(may_be_one(a, b) for number in mine.keys() & its for a in mine[number] for b in its[number])


def _meant(houses: Iterable[House], of: Written, streets: Streets) -> dict[int, set[str]]:
    """Return what the streets of houses may be called, by their numbers, with and without regions."""
    meant: dict[int, set[str]] = defaultdict(set)
    for house in houses:
        key = streets.called(house)
        bare = [] if IS_HAN.search(key) else regions.without(key.lower(), of.known.names)
        meant[house.number] |= {key, house.street, *(rest.upper() for rest in bare)}
    return meant


def _front_of(house: House, of: Written) -> tuple[str, ...]:
    return next((group.front for group in of.groups if house in group.addresses), ())


def _words(conn: Connection, asked: Sequence[Written], streets: Streets) -> Iterator[tuple[Written, str]]:
    """Yield the words by which the houses of texts are looked for: those of the street, and the number."""
    houses = [(one, house) for one in asked for house in one.houses]
    keys = fold(conn, *(_DOTTED.sub(" ", house.written) or house.written for _, house in houses))
    for (one, house), key in zip(houses, keys, strict=True):
        if han := _HAN_LAST.search(key):
            yield one, f"{han[0]}{house.number}"
            continue
        numbers = {str(int(number)) for number in re.findall(r"\d+", key)}
        for words in (
            of for rest in (key, *regions.without(key, one.known.names)) for of in _of_street(rest, streets)
        ):
            yield one, " ".join(sorted({*words, *numbers, str(house.number)}))


def _of_street(key: str, streets: Streets) -> list[set[str]]:
    """Return the first letters of a street's words, without what may be left out of its name.

    Any one word may be left out or said in short, where one that is rare stays. Each spelling of the longest,
    where all that is left have several.
    """
    words = named_words(_WORDS.findall(key))
    spelt = {word: spelt_alike(word) for word in words}
    sure = {word for word, of in spelt.items() if len(of) == 1 and len(word) >= _SHORTEST}
    rests = [sure - {word} for word in sorted(sure)]
    fewer = [rest for rest in rests if not all(streets.is_common(word) for word in rest)]
    longest = max(spelt, key=len, default="")
    found = (fewer or [sure]) if sure else [{one} for one in spelt.get(longest, ())] or [set()]
    return [{word[:_LETTERS] for word in of} for of in found]


def by_text(conn: Connection, asked: Sequence[Written], record: Asked | None) -> dict[str, list[Candidate]]:
    """Return what is registered under each text, or its name, but for rooms and for regions before either.

    What is found without leaving a room out comes alone.
    """
    tried = [(one, n, key, whole) for one in asked for n, (key, whole) in enumerate(_texts(one))]
    rests = [
        (*of, key[at:])
        for of in tried
        for key in [of[2]]
        for at in regions.cuts(key, of[0].known.names, by_form=True)
        if key[at:] and not (at and regions.is_number(key[at:]))
    ]
    found = conn.execute(_ENDING, {"asked": [rest for *_, rest in rests]}).all()
    first: dict[str, int] = {}
    fitting: list[tuple[Written, int, Row, frozenset[str]]] = []
    for number, *columns in found:
        one, n, key, whole, _ = rests[number]
        row = Row(*columns)
        aligned = regions.align(key, row.key, one.known.names)
        if aligned is None or are_apart(one.text, row.text) or signs.contradict(one.core, row.text):
            continue
        first[one.text] = min(n, first.get(one.text, n))
        fitting.append((one, n, row, frozenset(aligned.extra) | frozenset(() if whole else one.parts)))
    kept = [of for of in fitting if of[1] == first[of[0].text]]
    read = written.read(conn, [row.text for *_, row, _ in kept], record)
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for one, _, row, named in dict.fromkeys(kept):
        candidates[one.text].append(Candidate(row, read[row.text], named, by_text=True))
    return candidates


def _texts(one: Written) -> Iterator[tuple[str, bool]]:
    """Yield the folded texts that may be registered, and whether all that is named stands in them."""
    yield from ((key, True) for key in without_rooms(one.key))
    if one.core_key != one.key:
        yield from ((key, False) for key in without_rooms(one.core_key))
