"""What an address says by its parts: house, regions, postcode, unit; registered ones are read alike."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sqlalchemy.engine import Connection

from gis.addresses import regions, unread
from gis.addresses.normalise import fold
from gis.addresses.regions import Regions
from gis.grids import Asked
from gis.network.marks import clean
from gis.network.street_names import (
    IS_HAN,
    Address,
    House,
    number_behind,
    parts_of,
    readings,
    street_key,
    with_number,
)
from gis.network.units import is_unit, is_worded, lot

_AFTER_NUMBER = re.compile(r"(?<=\d)(?:\s?/?[A-Z])?\s+(?=\S)", re.IGNORECASE)


class Group(NamedTuple):
    """What an address may say behind the folded regions in `front` of it."""

    front: tuple[str, ...]
    addresses: tuple[Address, ...]


@dataclass(frozen=True)
class Written:
    """An address by its parts; regions, units and strangers are folded.

    `core`: the house or name itself, as it stands. `parts`: regions and strangers behind or before it,
    without postcodes. `houses`: every house that it may be, for comparing alone; `beside`: those of them that
    another part says than the core; `lots`: those whose number is no number along the
    street. `pieces`: the text between its commas, whole.
    """

    text: str
    key: str
    core: str
    core_key: str
    groups: tuple[Group, ...]
    houses: tuple[House, ...]
    beside: frozenset[House]
    lots: frozenset[House]
    pieces: tuple[str, ...]
    parts: tuple[str, ...]
    strangers: frozenset[str]
    named: str
    """The strangers as they stand."""
    grids: frozenset[str]
    postcode: str
    unit: str
    known: Regions

    @cached_property
    def numbers(self) -> frozenset[House]:
        """Every house that may be meant where something stands by its number that nobody can read."""
        return frozenset((*self.houses, *unread.houses(self.pieces)))

    def own(self) -> set[str]:
        """Return every region or other thing that it names beside the house."""
        return {*self.parts, *(one for group in self.groups for one in group.front)}


def read(conn: Connection, texts: Sequence[str], asked: Asked | None) -> dict[str, Written]:
    """Return what addresses say; which regions there are is the record's of a day."""
    split = {text: _with_tails(parts_of(text)) for text in dict.fromkeys(texts)}
    spelt = {one for of in split.values() for part in _each(of) for one in regions.spellings(part)}
    keys = _folded(conn, {*split, *spelt})
    known = regions.load(conn, keys.values(), asked)
    sorted_out = {text: _Parts(of, keys, known) for text, of in split.items()}
    keys |= _folded(conn, {one for of in sorted_out.values() for one in (of.core, *of.cores, of.unit)})
    return {text: _written(text, of, keys, known) for text, of in sorted_out.items()}


def _folded(conn: Connection, texts: set[str]) -> dict[str, str]:
    return dict(zip(texts, fold(conn, *texts), strict=True))


class _Part(NamedTuple):
    """A part of an address, and each way to end it behind a number with what stands there."""

    text: str
    tails: tuple[tuple[str, str], ...]


def _with_tails(parts: Iterable[str]) -> list[_Part]:
    return [_Part(part, tuple(_tails(part))) for part in parts]


def _tails(part: str) -> Iterator[tuple[str, str]]:
    for found in _AFTER_NUMBER.finditer(part):
        yield part[: found.end()].strip(), part[found.end() :].strip()


def _each(parts: Sequence[_Part]) -> Iterator[str]:
    for part in parts:
        yield part.text
        yield from (tail for _, tail in part.tails)


class _Parts:
    """The parts of one address, each as what it is."""

    def __init__(self, parts: Sequence[_Part], keys: dict[str, str], known: Regions) -> None:
        self._keys, self._known = keys, known
        texts = [part.text for part in parts]
        at, merged = self._core_of(texts)
        # `Platz 5, 7` may be number 7 of Platz 5, and unit 7 at number 5 of Platz.
        both = bool(merged) and bool(re.search(r"\d", texts[at])) and texts[at + 1][:1].isdigit()
        self.core = merged if merged and not both else texts[at]
        taken = {at, at + 1} if merged and not both else {at}
        self.rest = [text for n, text in enumerate(texts) if n not in taken]
        tails = [] if merged else [one for one in parts[at].tails if self._is_behind(one[1])]
        self.cores = [self.core, *([merged] if merged and both else [])]
        self.cores += [head for head, _ in tails if readings(head)]
        self.cores += [self.core.replace("#", " ")] if "#" in self.core else []
        self.rest += [tail for head, tail in tails if readings(head)]
        self.others = [text for text in self.rest if _is_readable(text) and not self._is_aside(text)]
        self.unit = " ".join(text for text in self.rest if self._is_unit(text))

    def _core_of(self, texts: list[str]) -> tuple[int, str | None]:
        """Return which part is the house or, where there is none, the name; a number may stand behind it."""
        own = [n for n, text in enumerate(texts) if not self._is_region(text)]
        for n in own:
            if self._is_unit(texts[n]) and len(own) > 1:
                continue
            merged = with_number(texts[n], texts[n + 1]) if n + 1 < len(texts) else None
            if merged or _is_readable(texts[n]):
                return n, merged
        return next((n for n in own if not self._is_unit(texts[n])), own[0] if own else 0), None

    def _is_aside(self, text: str) -> bool:
        return self._is_region(text) or self._is_unit(text)

    def _is_behind(self, tail: str) -> bool:
        return is_worded(tail) or self._is_region(tail)

    def _is_region(self, text: str) -> bool:
        """Tell whether a part is regions, their codes or a postcode, and nothing else."""
        found = self.region(text)
        return found is None or found in self._known.codes or regions.is_whole(found, self._known.names)

    def _is_unit(self, text: str) -> bool:
        return is_unit(text) and not self._is_code(self._keys[text])

    def _is_code(self, key: str) -> bool:
        known = self._known
        return key in known.codes or key in known.former or regions.is_whole(key, known.names)

    def region(self, text: str) -> str | None:
        """Return a folded part without its postcode; None where it is nothing else."""
        return regions.settled([text], self._keys, self._known).get(text) or None

    def postcode(self) -> str:
        found = (
            (text, self.region(text), self._keys[text.strip()]) for text in self.rest if not is_worded(text)
        )
        codes = (regions.postcode(text) for text, region, whole in found if region != whole)
        return next(filter(None, codes), "")

    def behind(self) -> dict[str, str]:
        """Return what is neither unit nor postcode, as it stands, with its folded form."""
        found = {text: self.region(text) for text in self.rest if not self._is_unit(text)}
        return {text: key for text, key in found.items() if key}


def _is_readable(text: str) -> bool:
    return bool(readings(text) or number_behind(text))


def _written(text: str, of: _Parts, keys: dict[str, str], known: Regions) -> Written:
    behind = of.behind()
    groups = tuple(_groups(of.cores, keys, known))
    houses = [one for group in groups for one in group.addresses if isinstance(one, House)]
    houses += [house for core in of.cores if (house := number_behind(core))]
    beside = [house for core in of.others if (house := number_behind(core))]
    beside += [one for core in of.others for one in readings(core) if isinstance(one, House)]
    lots, pieces = [*_lots(of)], tuple(clean(text).split(","))
    if lots and lot(pieces[0]) and not of.core[:1].isdigit():
        houses, beside = [], [*houses, *beside]  # `Plot 8, Phase 70` is a plot, and no number 70
    (beside if houses else houses).extend(lots)
    strangers = regions.strangers([*behind.values()], known) if known.city else []
    return Written(
        text, keys[text], of.core, keys[of.core], groups, tuple(dict.fromkeys([*houses, *beside])),
        frozenset(beside).difference(houses), frozenset(lots), pieces,
        tuple(behind.values()), frozenset(strangers),
        ", ".join(part for part, key in behind.items() if key in strangers),
        regions.grids_in(behind.values(), known), of.postcode(), keys[of.unit], known,
    )  # fmt: skip


def _lots(of: _Parts) -> Iterator[House]:
    """Yield the lots that stand beside a street: for comparing, since lots follow no order along it."""
    for number, word in filter(None, map(lot, of.rest)):
        yield House(number, street_key(of.core), as_written=True, suffix=word, written=of.core)


def _groups(cores: Sequence[str], keys: dict[str, str], known: Regions) -> Iterator[Group]:
    """Yield what a house may be as it stands, and behind Chinese regions, the fewest of them first."""
    plain = [one for core in cores for one in readings(core)]
    key = keys[cores[0]]
    if IS_HAN.search(key):
        plain += readings(key)
    yield Group((), tuple(dict.fromkeys(plain)))
    fronts = regions.cuts(key, known.names, by_form=True) | regions.cuts(key, known.names)
    for at, front in sorted(fronts.items()):
        if at and IS_HAN.search(key[at:]) and (found := readings(key[at:])):
            yield Group(front, tuple(found))
