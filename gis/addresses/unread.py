"""Houses that an address may mean though nobody can read what stands by the number: `Gasse 12/3/5`."""

import re
from collections.abc import Iterator, Sequence
from itertools import permutations

from gis.network.street_names import IS_HAN, House, number_behind, readings

_NUMBER = re.compile(r"\d+")
_JOINED = re.compile(r"\s+[/&+]\s*|\s*[/&+]\s+")
"""Between two addresses of one house: `Platz 5 / Gasse 7`."""
_OF_NUMBER = re.compile(r"(?:[\d,&-]*[^\W\d]?|bis|ter|quater)", re.IGNORECASE)
_LEADING = re.compile(r"^[\d\W]+")
_MOST_BEHIND = 3
"""Words behind a street that stands behind its number: `60 rue Haute 3e étage gauche`."""


def houses(parts: Sequence[str]) -> Iterator[House]:
    """Yield each house that the parts of an address may name, whatever else stands in them.

    For comparing alone, on streets that are known: most of what comes is on none. Of Chinese texts nothing
    comes: their units and estates are read.
    """
    every = [part for part in parts if not IS_HAN.search(part)]
    pieces = [piece.strip() for part in every for piece in _JOINED.split(part)]
    for piece in pieces:
        for number in _NUMBER.finditer(piece):
            yield from _of(piece[: number.end()])
            yield from _in_front(number[0], piece[number.end() :])
    for name, beside in permutations(pieces, 2):
        for number in _NUMBER.findall(beside):
            yield from _of(f"{name} {number}")
            yield from _of(f"{number} {_LEADING.sub('', name)}")


def _of(text: str) -> Iterator[House]:
    found = [number_behind(text), *readings(text)]
    yield from (one for one in found if isinstance(one, House))


def _in_front(number: str, behind: str) -> Iterator[House]:
    """Yield the houses whose number stands in front of the street and what belongs to either."""
    words = re.split(r"[\s/]+", behind.strip(" ,.-/"))
    yield from _cut(number, words)
    while words and _OF_NUMBER.fullmatch(words[0]):
        words = words[1:]
        yield from _cut(number, words)


def _cut(number: str, words: Sequence[str]) -> Iterator[House]:
    for cut in range(min(_MOST_BEHIND + 1, len(words))):
        yield from _of(" ".join((number, *words[: len(words) - cut])))
