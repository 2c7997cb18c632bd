"""Street names and addresses as people write them, brought into one form so that they can be compared.

Abbreviations: USPS Publication 28, appendix C1 (street suffixes) and 233 (directionals), the common ones.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

_TYPES = {
    "ALLEY": "ALY", "AVENUE": "AVE", "AV": "AVE", "BOULEVARD": "BLVD", "BRIDGE": "BRG", "CENTER": "CTR",
    "CENTRE": "CTR", "CIRCLE": "CIR", "COURT": "CT", "CRESCENT": "CRES", "DRIVE": "DR", "EXPRESSWAY": "EXPY",
    "FREEWAY": "FWY", "GARDEN": "GDN", "GARDENS": "GDNS", "GREEN": "GRN", "HEIGHTS": "HTS",
    "HIGHWAY": "HWY", "LANE": "LN", "MOUNT": "MT", "PARKWAY": "PKWY", "PKY": "PKWY", "PARK": "PK",
    "PLACE": "PL", "PLAZA": "PLZ", "POINT": "PT", "ROAD": "RD", "ROUTE": "RTE", "SAINT": "ST",
    "SQUARE": "SQ", "STREET": "ST", "STR": "ST", "TERRACE": "TER", "TERR": "TER", "TRAIL": "TRL",
    "TURNPIKE": "TPKE",
}  # fmt: skip
_DIRECTIONS = {
    "NORTH": "N", "SOUTH": "S", "EAST": "E", "WEST": "W", "NORTHEAST": "NE", "NORTHWEST": "NW",
    "SOUTHEAST": "SE", "SOUTHWEST": "SW",
}  # fmt: skip
_ORDINALS = dict(
    zip(
        ["FIRST", "SECOND", "THIRD", "FOURTH", "FIFTH", "SIXTH", "SEVENTH", "EIGHTH", "NINTH", "TENTH"],
        ["1ST", "2ND", "3RD", "4TH", "5TH", "6TH", "7TH", "8TH", "9TH", "10TH"],
        strict=True,
    )
)
_SHORT = _TYPES | _DIRECTIONS | _ORDINALS
_LESS_TELLING = {*_TYPES.values(), *_DIRECTIONS.values(), "WAY", "ROW", "WALK"}


@dataclass(frozen=True)
class House:
    """A house number on a street."""

    number: int
    street: str


@dataclass(frozen=True)
class Block:
    """The house numbers from `first` to `last` of a street."""

    first: int
    last: int
    street: str


@dataclass(frozen=True)
class Crossing:
    """Where two streets meet."""

    streets: tuple[str, str]


Address = House | Block | Crossing


def street_key(name: str) -> str:
    """Return a street's name as names are compared: `North Charles Street` is `N CHARLES ST`."""
    folded = unicodedata.normalize("NFKD", name).upper()
    letters = "".join(sign for sign in folded if not unicodedata.combining(sign))
    words = re.sub(r"[^\w\s]+", " ", re.sub(r"['’.]", "", letters)).split()
    return " ".join(_SHORT.get(word, word.lstrip("0") or word) for word in words)


def core(key: str) -> str:
    """Return what is left of a street's key without its type and direction, or the key if nothing is."""
    return " ".join(word for word in key.split() if word not in _LESS_TELLING) or key


def directions(key: str) -> set[str]:
    """Return the directions of a street's key: in front of its name, and behind its type (`M ST SE`)."""
    words = key.split()
    types = {*_TYPES.values()}
    there = [words[0]] + [after for one, after in pairwise(words) if one in types]
    return {*there} & {*_DIRECTIONS.values()} if len(words) > 1 else set()


_CROSSING = re.compile(
    r"^(?:(?:CORNER|INTERSECTION|JUNCTION)\s+OF\s+)?(?P<a>.+?)\s*(?:&|/|@|\band\b|\bat\b|与|和|交)\s*"
    r"(?P<b>.+?)(?:交叉口|交叉路口|交汇处|路口|交口|口)?$",
    re.IGNORECASE,
)
_BLOCK = r"(?:BLOCK|BLK)\b\.?"
_BLOCK_X = re.compile(
    rf"^0*(?P<hundred>\d+)?\s?XX[\s-]+(?:{_BLOCK}(?:\s+OF)?\s+)?(?P<street>\D.*|\d+\D.*)$", re.IGNORECASE
)
_BLOCK_OF = re.compile(
    rf"^(?P<first>\d+)(?:\s*-\s*(?P<last>\d+))?(?P<hundred>\s+HUNDRED)?[\s-]+{_BLOCK}(?:\s+OF)?\s+(?P<street>.+)$",
    re.IGNORECASE,
)
# A letter apart from its number may be a direction (`1200 S Charles St`) or a street's name (`100 B St`).
_APART = rf"\s+(?![NSEW]\b)[A-Z]\b(?!\s+(?:{'|'.join({*_TYPES, *_TYPES.values()})})\b)"
_HOUSE = re.compile(
    rf"^(?P<number>\d+)(?:[A-Z]\b|{_APART}|\s*-\s*(?:\d+[A-Z]?|[A-Z])|\s+\d/\d)?"
    r"\s+(?P<street>(?=.*[^\W\d]).+)$",
    re.IGNORECASE,
)
_HOUSE_ZH = re.compile(r"^(?P<street>.*?\D)(?P<number>\d+)(?:-\d+)?号")
_UNIT = re.compile(r"\s+(?:APT|UNIT|SUITE|STE|RM|ROOM|FL|FLOOR)\b.*$|\s*#.*$", re.IGNORECASE)


_UNIT_BEFORE = re.compile(
    r"^\s*(?:(?:(?:APT|APARTMENT|UNIT|SUITE|STE|RM|ROOM|FLAT|FL|FLOOR)\b\.?|#)\s*[\w-]+(?:\s*[,-]\s*|\s+)"
    r"|[A-Z]?\d+[A-Z]?\s+-\s+)(?=\d+\s+(?!(?:BLOCK|BLK)\b))",
    re.IGNORECASE,
)
"""A unit in front of the number: `Unit 5 - 874 Sherbourne St`."""
_COMMA_BEHIND = re.compile(r"^\s*(\d+[A-Z]?),\s*(?=[A-Z])", re.IGNORECASE)
"""`12, King St W`."""


def parse(text: str) -> Address | None:
    """Return what an address says: a house, a block or a crossing of streets; None for anything else.

    What follows a comma behind the street, and a unit or room, is left out.
    """
    given = _UNIT_BEFORE.sub("", unicodedata.normalize("NFKC", text))
    plain = " ".join(_UNIT.sub("", _COMMA_BEHIND.sub(r"\1 ", given).split(",")[0]).split())
    return next((found for reader in _READERS if (found := reader(plain)) is not None), None)


def without_number(text: str) -> str:
    """Return an address without the number of its house, so that its street can be looked for."""
    plain = unicodedata.normalize("NFKC", text).strip()
    found = _HOUSE.match(plain) or _HOUSE_ZH.match(plain)
    return found["street"] if found else plain


def _block_of(text: str) -> Block | None:
    if not (found := _BLOCK_OF.match(text)):
        return None
    first = int(found["first"]) * (100 if found["hundred"] else 1)
    return Block(first, int(found["last"] or _last_of(first)), street_key(found["street"]))


def _last_of(first: int) -> int:
    """Return the last number of the block that begins at `first`."""
    return first - first % 100 + 99


def _block_x(text: str) -> Block | None:
    if not (found := _BLOCK_X.match(text)):
        return None
    first = int(found["hundred"] or 0) * 100
    return Block(first, first + 99, street_key(found["street"]))


def _house(text: str) -> House | None:
    found = _HOUSE.match(text) or _HOUSE_ZH.match(text)
    return House(int(found["number"]), street_key(found["street"])) if found else None


def _crossing(text: str) -> Crossing | None:
    found = _CROSSING.match(text)
    return Crossing((street_key(found["a"]), street_key(found["b"]))) if found else None


_READERS = (_block_of, _block_x, _house, _crossing)
