"""What a text that is looked for may mean: shorter readings, regions in front, streets, a coordinate."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from sqlalchemy.engine import Connection

from gis.addresses import regions
from gis.addresses.normalise import fold, visible
from gis.addresses.regions import Regions
from gis.grids import Asked
from gis.importing import coordinates
from gis.network.street_names import by_commas

_ROOM = re.compile(
    r"(?:第?[0-9a-z]+单元|第?[0-9]+[层楼]|[0-9a-z-]+[室房户]|(?<=[栋楼号])[0-9]+(?:-[0-9]+)*|(?<=单元)[0-9]+)$"
)
"""A unit, floor or room at the end of a folded Chinese address."""
_UNIT = re.compile(
    r"[\s,]+(?:(?:apt|apartment|unit|suite|ste|room|rm|floor|fl)\b\.?|#)\s*[\w-]+\s*$", re.IGNORECASE
)
"""A unit at the end of an English address."""
_UNIT_BEFORE = re.compile(
    r"^(?:(?:(?:apt|apartment|unit|suite|ste|room|rm|flat|floor|fl)\b\.?|#)\s*[\w-]+(?:\s*[-,/–—]\s*|\s+)"
    r"|[a-z]?[0-9]{1,5}[a-z]?\s*[-–—/]\s*)(?=[0-9])",
    re.IGNORECASE,
)
"""A unit in front of the number: `Unit 5 - 874 Sherbourne St`, `5-874 Sherbourne St`, `Flat 2/12 High St`."""
_DASHED_BEFORE = re.compile(r"^[a-z]?[0-9]+[a-z]?\s*[-–—/]\s*[0-9]", re.IGNORECASE)
_COMMA_BEHIND = re.compile(r"^([0-9]+[a-z]?),\s*(?=[a-z])", re.IGNORECASE)
"""`12, King St W`."""
_DASHED = re.compile(r"(.*[^0-9-])([0-9]+)-([0-9]+)((?:-[0-9]+)*)")
_IN_WORDS = re.compile(r"(.*[^0-9])([0-9]+)号(?:([0-9]+)栋|附([0-9]+)号)")
"""秋实路1-4 may be 1号4栋 or 1号附4号, and either may be stored as the other."""
_HOUSE_LAST = re.compile(r"(.*[^0-9-][0-9]+)号")
"""芙蓉名邸8# is read as 8号 and may be 8栋."""
_CROSSING = re.compile(r"\s*(?:&|/|@|\band\b|\bat\b|与|和|、)\s*", re.IGNORECASE)
_AT_CROSSING = re.compile(r"(?:的)?(?:交叉路?口|交汇[处口]|交界[处口]|十字路口|路口)$")
_NUMBERS = re.compile(r"[-+0-9\s.,;:、°º˚度'′’‘分\"″”“秒NSEWnsewdegm东西南北经纬()\[\]【】]+")
"""Signs that coordinates are written with."""
_POINT = re.compile(
    r"(?:SRID=4326;\s*)?POINT(?:\s*Z)?\s*\(\s*([-+]?[0-9.]+)\s+([-+]?[0-9.]+)(?:\s+[-+]?[0-9.]+)?\s*\)",
    re.IGNORECASE,
)
"""`POINT (116.4 39.9)`: longitude, latitude."""
_NUMBER, _PAIR = re.compile("[0-9]+"), 2
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*$")
"""A code at the end of a text."""
_CODE_SAID = re.compile(r"^(?:网格)?(?:编号|编码|代码|code|no)\s*[.:#]?\s*", re.IGNORECASE)
_QUOTES = " ()[]{}<>【】「」《》'\"`“”‘’"
"""What stands around a code: brackets, the quotes of a spreadsheet."""
_SPACED = re.compile(r"[0-9]+(?:[ -][0-9]+)+")
_SPACED_DIGITS = 6
"""Digits of a code that may be written in groups, at least: 1-4 is a house, 430202-005 a code."""
_BRACKETED = re.compile(r"(.*[^\s(])\s*\(([^()]+)\)\s*")
"""What stands in brackets at the end of a text."""
_DIRECTIONS = ("n", "s", "e", "w", "ne", "nw", "se", "sw")
_NUMBERED = re.compile(r"([0-9]+(?:-[0-9]+)?|)((?:(?:n|s|e|w|ne|nw|se|sw) )?)([a-z].*)")
_BEHIND, _ASIDE = ", what stands behind it left out", ", regions aside"
_UNITS = ", what may be a unit left out"
_SHORTER, _RESTS = 6, 24
"""Readings that leave something out at the end, and those that leave regions out in front, at most."""
_ZEROS = re.compile(r"(?<![0-9])0*([0-9]{1,4})(?![0-9])")
_WIDEST = 3
"""Digits to which a number in a name is filled up with zeros: `District 001`."""
_ZEROED = 0.01
"""What a name loses whose number is written with other zeros, so that the one with the same wins."""
_LEFT_OUT, _REREAD, ELSEWHERE, _DOUBTFUL = 0.05, 0.02, 0.4, 0.25
"""What a reading loses for a thing left out, for a dash read as words, for a region that is none of ours, for
the first of two numbers taken for a unit."""


@dataclass(frozen=True)
class Variant:
    """One reading of a text, folded; `loss`: how much worse it is than the text as it stands; `note`: why.

    `within`: the grids that stand behind its commas.
    """

    key: str
    loss: float = 0.0
    note: str = ""
    within: frozenset[str] = frozenset()

    def but(self, key: str, loss: float, note: str) -> "Variant":
        """Return a further reading that is worse by `loss`."""
        told = note if note in self.note else self.note + note
        return Variant(key, round(self.loss + loss, 3), told, self.within)


@dataclass(frozen=True)
class Reading:
    """A text as it may be meant."""

    regions: Regions
    whole: tuple[Variant, ...]
    """As it stands, then without what stands behind an address: rooms, units, towns after a comma."""
    turned: tuple[Variant, ...]
    """The same with a direction (`n`, `sw`) added, or without the one that they have."""
    codes: tuple[tuple[str, str], ...]
    """Codes that it may be or end with, each after what stands before it, folded."""
    code: str
    """The text as a code."""
    streets: tuple[str, str] | None
    """Two streets that cross, folded."""
    strangers: tuple[str, ...]
    """What stands behind its commas and is no region that is known, nor a unit."""
    crossing: Variant | None
    """The first of them, with what the regions behind a comma cost it."""
    places: tuple[tuple[float, float, str], ...]
    """Longitude, latitude and in which order they stand."""

    def rests(self) -> list[str]:
        """Return the readings without what may be regions in front, longest first."""
        found = [rest for one in self.whole for rest in self.without_regions(one.key)]
        return sorted(dict.fromkeys(found), key=len, reverse=True)[:_RESTS]

    @property
    def numbered(self) -> tuple[Variant, ...]:
        """The readings with each way to write a number in a name: `District 1`, `District 01`, `第01区`."""
        found: dict[str, Variant] = {}
        for one in self.whole:
            for key in [one.key, *_with_zeros(one.key)]:
                found.setdefault(key, one if key == one.key else one.but(key, _ZEROED, ""))
        return tuple(found.values())

    def names(self) -> list[str]:
        """Return the readings as names with numbers, without what may be regions in front."""
        found = [key for rest in self.rests() for key in (rest, *_with_zeros(rest))]
        return list(dict.fromkeys(found))

    def without_regions(self, key: str) -> list[str]:
        """Return a folded text, and what is left without one and more regions before it."""
        return [rest for at in regions.cuts(key, self.regions.names, by_form=True) if (rest := key[at:])]

    def beginnings(self) -> dict[str, tuple[str, ...]]:
        """Return the text as far as it is typed, also without this city's regions, and those regions."""
        key = self.whole[0].key
        found = regions.cuts(key, self.regions.names)
        return {rest: left for at, left in found.items() if (rest := key[at:])}


def _with_zeros(key: str) -> Iterator[str]:
    """Yield a folded name with its numbers of other zeros in front, and without 第 before them."""
    for bare in dict.fromkeys((key, re.sub(r"第(?=[0-9])", "", key))):
        for width in range(1, _WIDEST + 1) if _ZEROS.search(bare) else ():
            pieces = _ZEROS.split(bare)  # the numbers stand at odd places
            yield "".join(str(int(of)).zfill(width) if at % 2 else of for at, of in enumerate(pieces))


def read(conn: Connection, text: str, asked: Asked | None, as_stored: str = "") -> Reading | None:
    """Return how a text may be meant, regions checked against the record of grids; None for an empty one.

    `as_stored`: the text with its regions where they stand, as it may be stored itself.
    """
    plain = visible(text)
    raw, streets = _without_ends(_COMMA_BEHIND.sub(r"\1 ", plain)), _streets(plain)
    code = _CODE.search(plain)
    before = plain[: code.start()] if code else ""
    behind = _parts_behind(plain)
    crossing = _Short(streets[0], behind=behind) if streets else None
    parts = [spelling for one in (*behind, *_all_behind(raw)) for spelling in regions.spellings(one)]
    texts = [*(one.text for one in raw), *parts, *streets, before, as_stored]
    keys = dict(zip(texts, fold(conn, *texts), strict=True))
    if not raw or not keys[raw[0].text]:
        return None
    known = regions.load(conn, keys.values(), asked)
    stored = [Variant(keys[as_stored])] if as_stored else []
    whole = tuple(_readings([*(_shortened(one, keys, known) for one in raw), *stored]))
    return Reading(
        known, whole, tuple(again for one in whole for again in turned(one)),
        tuple(_codes(plain, keys[before], code)), plain,
        (keys[streets[0]], keys[streets[1]]) if streets else None,
        tuple(one for one in regions.strangers([*regions.settled(behind, keys, known).values()], known)
              if not one[0].isdigit()),
        _shortened(crossing, keys, known) if crossing else None, _places(visible(as_stored or text)),
    )  # fmt: skip


@dataclass(frozen=True)
class _Short:
    """A text without so many units and without the parts `behind` a comma."""

    text: str
    units: int = 0
    behind: tuple[str, ...] = ()
    dashed: bool = False
    """Without what may be a unit before a dash, or the first of two numbers of a house: `37-10 Main St`."""


def _without_ends(text: str) -> list[_Short]:
    """Return a text, and what is left without its units, and without each last part by commas or brackets."""
    found = [_Short(text)]
    while (last := found[-1]).text:
        bracketed = _BRACKETED.fullmatch(last.text)
        shorter, dashed = _UNIT.sub("", last.text).strip(), last.dashed
        if shorter == last.text:  # one at a time: without its room `37-10 Main St` may be a house
            shorter = _UNIT_BEFORE.sub("", last.text).strip()
            dashed = dashed or bool(shorter != last.text and _DASHED_BEFORE.match(last.text))
        if not bracketed and "," not in last.text and shorter == last.text:
            break
        if bracketed:
            found.append(replace(last, text=bracketed[1], behind=(bracketed[2], *last.behind)))
            continue
        if shorter != last.text:
            found.append(replace(last, text=shorter, units=last.units + 1, dashed=dashed))
        else:
            shorter, _, part = last.text.rpartition(",")
            found.append(replace(last, text=shorter.strip(), behind=(part, *last.behind)))
    return [one for one in found if one.text][:_SHORTER]


def _all_behind(raw: list[_Short]) -> Iterator[str]:
    yield from (part for one in raw for part in one.behind)


def _shortened(one: _Short, keys: dict[str, str], known: Regions) -> Variant:
    """Return a text without its ends, and how much it loses: much, where one is no region of ours."""
    units = Variant(keys[one.text], _LEFT_OUT * one.units, _UNITS if one.units else "")
    if one.dashed:
        units = units.but(units.key, _DOUBTFUL, "")
    parts = [*regions.settled(one.behind, keys, known).values()]
    if not parts:
        return units
    strangers = regions.strangers(parts, known)
    told = f", {', '.join(strangers)} is no region that is known here" if strangers else _ASIDE
    left = units.but(units.key, ELSEWHERE if strangers else _LEFT_OUT, told)
    return replace(left, within=regions.grids_in(parts, known))


def _readings(shortened: list[Variant]) -> Iterator[Variant]:
    """Return readings, each but once, the least changed first."""
    rooms = [reading for one in shortened for reading in _without_rooms(one)]
    found: dict[str, Variant] = {}
    for one in sorted(rooms + [again for one in rooms for again in _reread(one)], key=lambda one: one.loss):
        found.setdefault(one.key, one)
    yield from list(found.values())[: 2 * _SHORTER]


def without_rooms(key: str) -> list[str]:
    """Return a folded address, and what is left without its room, its floor and its unit."""
    found = [key]
    while (shorter := _ROOM.sub("", found[-1])) not in {found[-1], ""}:
        found.append(shorter)
    return found


def _without_rooms(one: Variant) -> list[Variant]:
    found = [one]
    for key in without_rooms(one.key)[1:]:
        found.append(found[-1].but(key, _LEFT_OUT, _BEHIND))
    return found


def _reread(one: Variant) -> Iterator[Variant]:
    """Return readings of numbers that a dash joins as a house and a building, and of those as a dash."""
    if dashed := _DASHED.fullmatch(one.key):
        street, house, building, behind = dashed.groups()
        loss, note = (_REREAD + _LEFT_OUT, _BEHIND) if behind else (_REREAD, "")
        for key in (f"{street}{house}号{building}栋", f"{street}{house}号附{building}号"):
            yield one.but(key, loss, note)
    if words := _IN_WORDS.fullmatch(one.key):
        yield one.but(f"{words[1]}{words[2]}-{words[3] or words[4]}", _REREAD, "")
    if estate := _HOUSE_LAST.fullmatch(one.key):
        yield one.but(f"{estate[1]}栋", _REREAD, "")


def _codes(plain: str, front: str, code: re.Match[str] | None) -> Iterator[tuple[str, str]]:
    possible = [("", one) for one in _as_code(plain)]
    if code and code.start():
        possible.append((front, code[0]))
    for before, text in possible:
        yield from dict.fromkeys(((before, text), (before, text.upper()), (before, text.lower())))


def _as_code(plain: str) -> list[str]:
    """Return a text as the code that it may be: as it stands, without what is around it, in one group."""
    bare = _CODE_SAID.sub("", plain.strip(_QUOTES)).strip(_QUOTES)
    whole = re.sub(r"(?<=[0-9])\.0+$", "", bare)
    found = [plain, bare, whole]
    if _SPACED.fullmatch(whole) and sum(map(str.isdigit, whole)) >= _SPACED_DIGITS:
        found.append(re.sub("[ -]", "", whole))
    return list(dict.fromkeys(one for one in found if one))


def _streets(text: str) -> list[str]:
    """Return the two streets of a crossing, nothing for any other text."""
    parts = _CROSSING.split(_AT_CROSSING.sub("", text.partition(",")[0]))
    return parts if len(parts) == 2 and all(parts) else []


def _parts_behind(text: str) -> tuple[str, ...]:
    """Return what may be regions or their codes behind the commas of a house or crossing."""
    parts = [part.strip() for part in by_commas(text)[1]]
    return tuple(
        part for part in parts if part and part.lower() not in _DIRECTIONS and not _UNIT.search(f", {part}")
    )


def turned(one: Variant) -> list[Variant]:
    """Return a folded English address or street that has no direction with each; without one that it has.

    A direction that is written and that the thing found has not makes it another one, as a rule.
    """
    found = _NUMBERED.fullmatch(one.key)
    if found is None:
        return []
    number, direction, street = found.groups()
    if direction and " " in street:
        return [one.but(number + street, ELSEWHERE, ", its direction left out")]
    # North Ave is called so; it may be the one in the west.
    return [replace(one, key=f"{number}{way} {direction}{street}") for way in _DIRECTIONS]


def _places(text: str) -> tuple[tuple[float, float, str], ...]:
    """Return a pair of coordinates in every order in which it can be meant, as imports read them."""
    if point := _POINT.fullmatch(text):
        text = f"{point[1]}, {point[2]}"
    if not _NUMBERS.fullmatch(text) or len(_NUMBER.findall(text)) < _PAIR:
        return ()
    cell = pa.array([text.strip("()[]【】 ")])
    orders = (("lonlat", "lon, lat"), ("latlon", "lat, lon"))[: 1 if point else 2]
    found = [
        (float(pair.lon[0]), float(pair.lat[0]), how)
        for order, how in orders
        if not (pair := coordinates.pairs(cell, order)).bad[0]
    ]
    return tuple(one for one in found if _is_place(*one[:2]))


def _is_place(lon: float, lat: float) -> bool:
    return bool(np.isfinite([lon, lat]).all()) and abs(lon) <= 180 and abs(lat) <= 90
