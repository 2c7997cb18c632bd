"""Street names and addresses as people write them, brought into one form so that they can be compared.

Abbreviations: USPS Publication 28, appendix C1 (street suffixes) and 233 (directionals), the common ones.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from gis.network.marks import split

_TYPES = {
    "ALLEY": "ALY", "AVENUE": "AVE", "AV": "AVE", "AVDA": "AVE", "AVENIDA": "AVE", "AVINGUDA": "AVE",
     "BOULEVARD": "BLVD", "BRIDGE": "BRG", "CENTER": "CTR",
    "CENTRE": "CTR", "CIRCLE": "CIR",
    "CIRC": "CIR", "CRCL": "CIR", "COURT": "CT", "CRT": "CT", "CRESCENT": "CRES",
    "DRIVE": "DR", "EXPRESSWAY": "EXPY",
    "FREEWAY": "FWY", "GARDEN": "GDN", "GARDENS": "GDNS", "GREEN": "GRN", "HEIGHTS": "HTS",
    "HIGHWAY": "HWY", "LANE": "LN", "PARKWAY": "PKWY", "PKY": "PKWY", "PARK": "PK",
    "PLACE": "PL", "PLAZA": "PLZ", "POINT": "PT", "ROAD": "RD", "ROUTE": "RTE",
    "SQUARE": "SQ", "STREET": "ST", "STR": "ST", "STRASSE": "ST", "STRADA": "ST",
    "TERRACE": "TER", "TERR": "TER", "TRAIL": "TRL", "TURNPIKE": "TPKE",
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
_NAMED = {"MOUNT": "MT", "SAINT": "ST", "FORT": "FT", "DOCTOR": "DR"}
"""Words of names, which are never left out."""
_ROMANCE = {
    "VLE": "VIALE", "CSO": "CORSO", "PZZA": "PIAZZA", "LGO": "LARGO", "PROL": "PROLONGACION",
    "PRIV": "PRIVADA", "CDA": "CERRADA"}  # fmt: skip
_SHORT = _TYPES | _DIRECTIONS | _ORDINALS | _NAMED | _ROMANCE
_KINDS = TYPES = {*_TYPES.values(), "WAY", "ROW", "WALK"}
_WAYS = DIRECTIONS = {*_DIRECTIONS, *_DIRECTIONS.values()}

_WORDS, _OF_KIND = "|".join(sorted(_DIRECTIONS)), "|".join(sorted({*_TYPES} | _KINDS))
SPELLED_OUT = rf"^\s*(({_WORDS})\s+({_OF_KIND})|({_OF_KIND})\s+({_WORDS}))\W*$"
"""Names that are a direction in full, `East Street`: abbreviated it is another's, `E Street`; any case."""


class Street(NamedTuple):
    """A street's key by its parts: direction in front, name, type, direction behind; "" where there is none.

    A direction is one only beside a name: that of `East St` is EAST, that of `E St` is E, which is another.
    """

    before: str
    name: str
    kind: str
    behind: str

    @property
    def ways(self) -> list[str]:
        """The directions."""
        return [way for way in (self.before, self.behind) if way]


IS_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class House:
    """A house number on a street; `as_written`: the street is called exactly so, nothing is left out.

    `suffix`: a letter, a fraction or the end of a span behind the number; `written`: the street as it stands.
    """

    number: int
    street: str
    as_written: bool = False
    suffix: str = field(default="", compare=False)
    written: str = field(default="", compare=False)

    def on(self, name: str) -> str:
        """Return the address on a street of that name, in the order in which the street's language has it."""
        if IS_HAN.match(name[-1:]):
            return f"{name}{self.number}号"
        return f"{name} {self.number}" if self.as_written else f"{self.number} {name}"

    def may_stand_on(self, key: str) -> bool:
        """Tell whether a street's key may be that of the house's street."""
        return self.street == key if self.as_written else may_mean(self.street, key)


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
    folded = unicodedata.normalize("NFKD", name).upper().translate(_STROKES)
    letters = unicodedata.normalize("NFC", _ACCENTS.sub("", folded))
    words = "".join(sign if sign.isalnum() or _is_mark(sign) else " " for sign in letters).split()
    short = [COMPOUND.sub("STR", _SHORT.get(word, word.lstrip("0") or word)) for word in words]
    if (at := _direction_as_name(short)) is not None:
        short[at] = words[at]
    return " ".join(_as_ordinal(one, after) for one, after in pairwise([*short, ""]))


_ACCENTS = re.compile(r"[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u064b-\u065f\u0670'’.]")
"""Marks often left out: of Latin, Greek, Cyrillic, Hebrew, Arabic. Those of Thai or kana are letters."""


def _is_mark(sign: str) -> bool:
    """Tell whether a sign is a vowel or tone of the letter before it, or joins words."""
    return sign == "_" or unicodedata.category(sign).startswith("M")


_STROKES = str.maketrans(
    {"Ł": "L", "Đ": "D", "Ð": "D", "Ø": "O", "Ħ": "H", "Ŧ": "T", "Æ": "AE", "Œ": "OE", "Þ": "TH", "ẞ": "SS"}
)
"""Letters that have no accent which Unicode takes away."""
COMPOUND = re.compile(r"(?<=\w{3})STR(?:ASSE|AAT)$")
"""`Bahnhofstraße`, `Kalverstraat`, which are also written `…str.`."""


def spelt_alike(word: str) -> list[str]:
    """Return the spellings of a word that street names have as one: `garden` and `gdn`, lower case."""
    short = _SHORT.get(word.upper(), word.upper())
    return [one.lower() for one in {short, *(long for long, of in _SHORT.items() if of == short)}]


def _direction_as_name(words: list[str]) -> int | None:
    """Return which word is a direction and yet the name: only directions and a type stand beside it."""
    kinds = [at for at, word in enumerate(words) if word in _KINDS]
    if len(kinds) > 1 or any(word not in _KINDS and word not in _WAYS for word in words):
        return None  # `Park Ave S` is called Park
    ways = [at for at, word in enumerate(words) if word in _WAYS]
    return max((at for at in ways if kinds and at < kinds[-1]), default=max(ways, default=None))


def _as_ordinal(word: str, after: str) -> str:
    """Return a number in front of a street's type as people say it: `W 42 St` is `W 42ND ST`."""
    if not word.isdigit() or after not in _KINDS:
        return word
    teen = word[-2:] in {"11", "12", "13"}
    return word + ("TH" if teen else {"1": "ST", "2": "ND", "3": "RD"}.get(word[-1], "TH"))


def parts(key: str) -> Street:
    """Return the parts of a street's key."""
    words = key.split()
    named = _direction_as_name(words)
    before, behind, kind = "", "", ""
    if len(words) > 1 and words[0] in _WAYS and named != 0:
        before = words.pop(0)
        named = None if named is None else named - 1
    if len(words) > 1 and words[-1] in _WAYS and named != len(words) - 1:
        behind = words.pop()
    if len(words) > 1 and words[-1] in _KINDS:
        kind = words.pop()
    return Street(before, " ".join(words), kind, behind)


def may_mean(written: str, key: str) -> bool:
    """Tell whether a street's key, as somebody wrote it, may mean the street of a key.

    Their names are the same. It may lack the type and a direction, and have its direction behind in place of
    in front. A direction or type that is written must be the street's, and where the name is a number
    (`E 300 S`) so must the direction's place.
    """
    one, other = parts(written), parts(key)
    if one.name != other.name or one.kind not in ("", other.kind):
        return False
    if one.name in _KINDS and not one.kind:
        return written == key  # `St` alone is no `Saint Court`
    if one.name.isdigit():
        return one.before in ("", other.before) and one.behind in ("", other.behind)
    return Counter(one.ways) <= Counter(other.ways)


def are_apart(text: str, other: str) -> bool:
    """Tell whether two texts that are folded alike name different streets.

    `E St` is no `East St`, and `Park Ave #S`, a unit, is not on `Park Ave South`.
    """
    if not _HAS_WAY.search(text):
        return False
    pairs = zip(_names(text), _names(other), strict=False)
    units = (_UNIT_WAY.search(one) is None for one in (text, other))
    return len({*units}) > 1 or any(one != two and {one, two} <= _WAYS for one, two in pairs)


_HAS_WAY = re.compile(rf"\b(?:{'|'.join(_WAYS)})\b", re.IGNORECASE)
_UNIT_WAY = re.compile(rf"#\s*(?:{'|'.join(_WAYS)})\s*(?:,|$)", re.IGNORECASE)


def _names(text: str) -> list[str]:
    found = parse(text)
    if isinstance(found, Crossing):
        return [parts(key).name for key in found.streets]
    return [parts(found.street if found else street_key(by_commas(text)[0])).name]


_IS_DIRECTION = re.compile(rf"^(?:{'|'.join(_WAYS)})$")


_CROSSING = re.compile(
    r"^(?:(?:CORNER|INTERSECTION|JUNCTION)\s+OF\s+)?(?P<a>.+?)\s*(?:&|/|@|\band\b|\bat\b|与|和|交)\s*"
    r"(?P<b>.+?)(?:交叉口|交叉路口|交汇处|路口|交口|口)?$",
    re.IGNORECASE,
)
_CROSSING_ZH = re.compile(
    r"^(?P<a>.+?[路街道巷弄线])\s*(?:[与和及同交、/&-]\s*)?(?P<b>.+?[路街道巷弄线])"
    r"的?(?:(?:丁字|十字|三岔)?路口|交叉路?口|交汇处|交界处|交口|口)$"
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
_APART = rf"\s+(?![NSEWXO]\b)[A-Z]\b(?!\s+(?:{'|'.join({*_TYPES, *_TYPES.values()})})\b)"
# An X stands for a digit that is kept secret, an O for a zero. A fraction has a blank or dash in front.
_HOUSE = re.compile(
    rf"^(?P<number>\d+)"
    rf"(?P<suffix>(?![NSEWXO]\b)[A-Z]\b|/[A-Z]\b|{_APART}|\s*-\s*(?:(?P<to>\d+)[A-Z]?|(?![NSEWXO]\b)[A-Z])"
    r"|(?:\s*-\s*|\s+)\d/\d\b|\s+(?:bis|ter|quater)\b)?"
    r"(?:\s+|\s*-?(?=[NSEW]\b))(?P<street>(?=.*[^\W\d]).+)$",
    re.IGNORECASE,
)
_HOUSE_ZH = re.compile(
    r"^(?P<street>.*?\D)(?P<number>\d+)(?P<suffix>-\d+)?号"
    r"(?:附\d+号?)?(?:第?\d+单元)?(?:第?\d+[层楼])?(?:[A-Z]?\d+[室房户]?)?$",
    re.IGNORECASE,
)
"""Behind the number a room may stand; a building of an estate, 旁 or 对面 are elsewhere."""
_BARE_ZH = re.compile(r"^(?P<street>.+(?:路|街|巷|弄|(?<![国省县乡])道))(?P<number>\d+)(?P<suffix>)$")
"""A number without 号; 国道320 is a road."""
_SIGN = (
    r"(?:(?:n\.?o|n|(?:[oh]|haus|huis)?nr|k?br|nro|n[uú]m(?:ero)?|(?:haus|huis)?nummer|number|numer)\b"
    r"[.°]*\s*)?"
)
_SUFFIX = (
    r"(?P<suffix>\s?/?\s?[A-NP-WYZ]|\s?-\s?(?P<to>\d+)|\s?/\s?\d+(?:\s?[A-Z])?|\s+\d/\d"
    r"|\s+(?:bis|ter|quater))?$"
)
_MARKS = "".join(chr(at) for at in range(0x300, 0x3100) if unicodedata.category(chr(at)).startswith("M"))
"""Vowels and tones behind the letter that they belong to, which no pattern takes for letters."""
_NUMBER_BEHIND = re.compile(
    rf"^(?P<street>[^\W\d].*?[^\W\d][{_MARKS}]*\.?),?\s+{_SIGN}(?P<number>\d+){_SUFFIX}", re.IGNORECASE
)
_NUMBER_LAST = re.compile(
    rf"^(?P<street>(?=.*[^\W\d])\D*\d(?:.*?\S)??),?\s+{_SIGN}(?P<number>\d+){_SUFFIX}", re.IGNORECASE
)
_UNIT = re.compile(r"\s+(?:APT|UNIT|SUITE|STE|RM|ROOM|FL|FLOOR)\b.*$|\s*#.*$", re.IGNORECASE)


_IS_NUMBER = re.compile(rf"\s*{_SIGN}\d{{1,4}}\s?[a-z]?\s*", re.IGNORECASE)


def parts_of(text: str) -> list[str]:
    """Return the parts of an address by its commas, brackets and dashes, without a unit in front.

    A direction there is the street's: `A St, NE`.
    """
    found: list[str] = []
    for part in split(text):
        if found and _IS_DIRECTION.match(re.sub(r"[\s.]", "", part).upper()):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return found or [""]


def with_number(first: str, behind: str) -> str | None:
    """Return a street with its number, which stands behind a comma: `Rua Augusta, 12`; None for all else."""
    # Five digits are a postcode.
    return f"{first} {behind.strip()}" if _IS_NUMBER.fullmatch(behind) else None


def by_commas(text: str) -> tuple[str, list[str]]:
    """Return an address without a unit in front, and the parts behind its commas.

    A direction there is the street's (`A St, NE`), and so is a number where there is none in front.
    """
    first, *rest = parts_of(text)
    if rest and not first[:1].isdigit() and (numbered := with_number(first, rest[0])):
        first, rest = numbered, rest[1:]
    return first, rest


def parse(text: str) -> Address | None:
    """Return what an address says: a house, a block or a crossing of streets; None for anything else.

    What follows a comma behind the street, and a unit or room, is left out.
    """
    plain = " ".join(_UNIT.sub("", by_commas(text)[0]).split())
    return next((found for reader in _READERS if (found := reader(plain)) is not None), None)


def readings(text: str) -> list[Address]:
    """Return all that an address may say, the likeliest first: `203 Sokak 7` may be number 7 of 203 Sokak."""
    plain = " ".join(_UNIT.sub("", by_commas(text)[0]).split())
    return list(dict.fromkeys(found for reader in (*_READERS, _house_last) if (found := reader(plain))))


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
    found = _HOUSE.match(text)
    if found and not _is_span(found):
        return None
    found = found or _HOUSE_ZH.match(text) or _BARE_ZH.match(text)
    return _made(found) if found else None


def _made(found: re.Match[str], *, as_written: bool = False) -> House:
    suffix = re.sub(r"^[/-](?=[A-Z])", "", re.sub(r"\s+", "", found["suffix"] or "").upper())
    return House(
        int(found["number"]), street_key(found["street"]), as_written, suffix, found["street"].strip()
    )


def _is_span(found: re.Match[str]) -> bool:
    """Tell whether two numbers with a dash are the ends of one house: `12-14`; in `10-123` 10 is a unit."""
    if found["to"] is None:
        return True
    apart = int(found["to"]) - int(found["number"])
    return 0 <= apart <= _WIDEST_HOUSE and apart % 2 == 0


_WIDEST_HOUSE = 20
"""Numbers that one house spans, at most."""


def _house_behind(text: str) -> House | None:
    """Return a house whose number stands behind its street (`Via Roma 12`), which has no English type."""
    house = number_behind(text)
    if house is None or not house.written:
        return None
    last = house.written.upper().split()[-1]
    english = parts(house.street).kind and not last.startswith(("STR", "AVENIDA"))
    return None if english or house.street in _KINDS else house


def number_behind(text: str) -> House | None:
    """Return a house whose number stands behind its street, of whatever type."""
    found = _NUMBER_BEHIND.match(text)
    return _made(found, as_written=True) if found and _is_span(found) else None


def _house_last(text: str) -> House | None:
    """Return a house whose number stands behind a street whose name holds numbers: `203 Sokak 7`."""
    found = _NUMBER_LAST.match(text)
    return _made(found, as_written=True) if found and _is_span(found) else None


def _crossing(text: str) -> Crossing | None:
    found = _CROSSING_ZH.match(text) or _CROSSING.match(text)
    return Crossing((street_key(found["a"]), street_key(found["b"]))) if found else None


_READERS = (_block_of, _block_x, _house, _crossing, _house_behind)
