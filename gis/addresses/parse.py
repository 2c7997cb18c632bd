"""What a text that is looked for may mean: shorter readings, the regions it names, streets, a coordinate."""

import re
import unicodedata
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.normalise import fold, local_part

_ROOM = re.compile(
    r"(?:第?[0-9a-z]+单元|第?[0-9]+[层楼]|[0-9a-z-]+[室房户]|(?<=[栋幢座楼号])[0-9]+(?:-[0-9]+)*|(?<=单元)[0-9]+)$"
)
"""A unit, floor or room at the end of a folded Chinese address."""
_UNIT = re.compile(
    r"[\s,]+(?:(?:apt|apartment|unit|suite|ste|room|rm|floor|fl)\b\.?|#)\s*[\w-]+\s*$", re.IGNORECASE
)
"""A unit at the end of an English address."""
_REGION = re.compile(r".+?(省|自治[区州县]|特别行政区|市|县|社区|区|街道|镇|乡|村)")
_RANKS = {"县": 3, "区": 3, "街道": 4, "镇": 4, "乡": 4, "社区": 5, "村": 5}
"""Regions of one rank exclude each other; a 市 may be a prefecture or a county."""
_CROSSING = re.compile(r"\s*(?:&|/|@|\band\b|\bat\b|与|和|、)\s*", re.IGNORECASE)
_AT_CROSSING = re.compile(r"(?:的)?(?:交叉路?口|交汇[处口]|交界[处口]|十字路口|路口)$")
_PAIR = re.compile(r"\s*([-+]?\d{1,3}(?:\.\d+)?)\s*[,;\s]\s*([-+]?\d{1,3}(?:\.\d+)?)\s*")
_DIRECTIONS = ("n", "s", "e", "w", "ne", "nw", "se", "sw")
_NUMBERED = re.compile(r"([0-9]+(?:-[0-9]+)?|)((?:(?:n|s|e|w|ne|nw|se|sw) )?)([a-z].*)")
_SHORTER = 6
"""Readings that leave something out at the end, at most."""


@dataclass(frozen=True)
class Reading:
    """A text as it may be meant; everything but `text` and `pair` is folded."""

    text: str
    keys: tuple[str, ...]
    """The whole, then without what stands behind an address: rooms, units, towns after a comma."""
    local: tuple[str, ...]
    """The same without the regions in front."""
    regions: tuple[str, ...]
    """Those that were in front."""
    turned: tuple[str, ...]
    """The keys with a direction (`n`, `sw`) added, or without the one that they have."""
    streets: tuple[tuple[str, ...], tuple[str, ...]] | None
    """Two streets that cross, each as it is and with every direction."""
    pair: tuple[float, float] | None
    """Two numbers, in their order."""


def read(conn: Connection, text: str) -> Reading:
    """Return how a text may be meant."""
    plain = unicodedata.normalize("NFKC", text).strip()
    raw = _without_units(plain)
    streets = _streets(plain)
    folded = fold(conn, *raw, *streets)
    keys = tuple(dict.fromkeys(short for key in folded[: len(raw)] for short in _without_rooms(key)))[
        :_SHORTER
    ]
    local = _local(conn, keys)
    front = keys[0].removesuffix(local[0]) if keys else ""
    crossing = folded[len(raw) :]
    return Reading(
        text, keys, local, tuple(found[0] for found in _REGION.finditer(front)),
        tuple(turned for key in keys for turned in _turned(key)),
        (_any_way(crossing[0]), _any_way(crossing[1])) if crossing else None, _pair(plain),
    )  # fmt: skip


def _without_units(text: str) -> list[str]:
    """Return a text, and what is left without its unit, and without each of its last parts by commas."""
    found = [text]
    while text != (text := _UNIT.sub("", text)) or "," in text:
        text = text if text != found[-1] else text.rpartition(",")[0].strip()
        found.append(text)
    return [one for one in found if one][:_SHORTER]


def _without_rooms(key: str) -> list[str]:
    """Return a folded address, and what is left without its room, its floor and its unit."""
    found = [key]
    while (text := _ROOM.sub("", found[-1])) not in {found[-1], ""}:
        found.append(text)
    return found


def _local(conn: Connection, keys: tuple[str, ...]) -> tuple[str, ...]:
    given = sa.func.unnest(sa.cast(list(keys), sa.ARRAY(sa.Text)))
    values = given.table_valued("key", with_ordinality="n").render_derived()
    return tuple(conn.execute(sa.select(local_part(values.c.key)).order_by(values.c.n)).scalars())


def _streets(text: str) -> list[str]:
    """Return the two streets of a crossing, nothing for any other text."""
    parts = _CROSSING.split(_AT_CROSSING.sub("", text.partition(",")[0]))
    return parts if len(parts) == 2 and all(parts) else []


def _turned(key: str) -> list[str]:
    found = _NUMBERED.fullmatch(key)
    if found is None:
        return []
    number, direction, street = found.groups()
    other = [number + street] if direction else []
    return other + [f"{number}{one} {direction}{street}" for one in _DIRECTIONS]


def _any_way(street: str) -> tuple[str, ...]:
    return (street, *_turned(street))


def _pair(text: str) -> tuple[float, float] | None:
    found = _PAIR.fullmatch(text.strip("()[]（）"))
    return (float(found[1]), float(found[2])) if found else None


def disagrees(regions: tuple[str, ...], key: str) -> bool:
    """Say whether a folded address names a region of the same rank as one of `regions`, but another."""
    ranks = {_RANKS.get(found[1]) for found in _REGION.finditer(key)} - {None}
    return any(one not in key and _rank(one) in ranks for one in regions)


def _rank(region: str) -> int | None:
    found = _REGION.fullmatch(region)
    return _RANKS.get(found[1]) if found else None
