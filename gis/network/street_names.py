"""Street names and addresses as people write them, brought into one form so that they can be compared.

Abbreviations: USPS Publication 28, appendix C1 (street suffixes) and 233 (directionals), the common ones.
"""

import re
import unicodedata
from collections import Counter
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
    short = [_SHORT.get(word, word.lstrip("0") or word) for word in words]
    return " ".join(_as_ordinal(one, after) for one, after in pairwise([*short, ""]))


def _as_ordinal(word: str, after: str) -> str:
    """Return a number in front of a street's type as people say it: `W 42 St` is `W 42ND ST`."""
    if not word.isdigit() or after not in _TYPES.values():
        return word
    teen = word[-2:] in {"11", "12", "13"}
    return word + ("TH" if teen else {"1": "ST", "2": "ND", "3": "RD"}.get(word[-1], "TH"))


def core(key: str) -> str:
    """Return what is left of a street's key without its type and direction, or the key if nothing is."""
    return " ".join(word for word in key.split() if word not in _LESS_TELLING) or key


def may_mean(written: str, key: str) -> bool:
    """Tell whether a street's key, as somebody wrote it, may mean the street of a key.

    It may lack the type and a direction, and have its direction behind in place of in front. A direction or
    type that is written must be the street's, and where the name is a number (`E 300 S`) so must their order.
    """
    if core(key).isdigit():
        left, other = written.split(), key.split()
        return _is_within(left, other) and not any(one.isdigit() for one in _more(left, other))
    (names, ways), (others, theirs) = (_apart(one) for one in (written, key))
    return _is_within(names, others) and not _more(names, others) - _LESS_TELLING and ways <= theirs


def _apart(key: str) -> tuple[list[str], Counter[str]]:
    """Return the words of a key without its directions, and these."""
    ways = {*_DIRECTIONS.values()}
    return [one for one in key.split() if one not in ways], Counter(one for one in key.split() if one in ways)


def _is_within(few: list[str], many: list[str]) -> bool:
    rest = iter(many)
    return all(one in rest for one in few)


def _more(few: list[str], many: list[str]) -> set[str]:
    return {*(Counter(many) - Counter(few))}


_IS_DIRECTION = re.compile(rf"^(?:{'|'.join({*_DIRECTIONS, *_DIRECTIONS.values()})})$")


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
    rf"^(?P<number>\d+)"
    rf"(?:(?![NSEW]\b)[A-Z]\b|{_APART}|\s*-\s*(?:\d+[A-Z]?|(?![NSEW]\b)[A-Z])|\s*-?\s*\d/\d)?"
    r"(?:\s+|\s*-?(?=[NSEW]\b))(?P<street>(?=.*[^\W\d]).+)$",
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


_FRACTIONS = str.maketrans(
    {sign: f" {unicodedata.normalize('NFKC', sign)} ".replace("⁄", "/") for sign in "½¼¾⅓⅔"}
)
"""Signs that would else run into the number before them."""


def by_commas(text: str) -> tuple[str, list[str]]:
    """Return an address without a unit in front, and the parts behind its commas.

    A direction there is the street's: `A St, NE`.
    """
    folded = _UNIT_BEFORE.sub("", unicodedata.normalize("NFKC", text.translate(_FRACTIONS)))
    first, *rest = _COMMA_BEHIND.sub(r"\1 ", folded).split(",")
    if rest and _IS_DIRECTION.match(re.sub(r"[\s.]", "", rest[0]).upper()):
        first, rest = f"{first} {rest[0].strip()}", rest[1:]
    return first, rest


def parse(text: str) -> Address | None:
    """Return what an address says: a house, a block or a crossing of streets; None for anything else.

    What follows a comma behind the street, and a unit or room, is left out.
    """
    plain = " ".join(_UNIT.sub("", by_commas(text)[0]).split())
    return next((found for reader in _READERS if (found := reader(plain)) is not None), None)


def without_number(text: str) -> str:
    """Return an address without the number of its house, so that its street can be looked for."""
    plain = unicodedata.normalize("NFKC", text.translate(_FRACTIONS)).strip()
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
