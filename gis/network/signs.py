"""What the signs of two names say that are otherwise the same: `Hàng Bạc`, `Hàng Bác`, `Hang Bac`."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from gis.network.street_names import COMPOUND

_WORD = re.compile(r"(?:[^\W\d_][\u0300-\u036f]*)+")
_STROKES = str.maketrans(dict(zip("ĐđŁłØøı", (f"{bare}\u0335" for bare in "DDLLOOI"), strict=True)))
"""Letters that Unicode does not take apart, as a letter and a sign."""
_TONES = "\u0300\u0301\u0303\u0304\u0309\u030c\u0323"
_TELLS = re.compile(
    r"[\u031b\u0309\u0323]|[\u0302\u0306][\u0300\u0301\u0303]|[uU]\u0308[\u0300\u0301\u0304\u030c]"
)
"""Signs of languages in which another sign is another word, as in Vietnamese: horn, hook, dot below, two."""
Signs = dict[str, set[tuple[str, ...]]]
"""By a word's bare letters, the signs on each letter in every spelling of it, and last its tones: those stand
on one or the other of two vowels, `Hoà` or `Hòa`."""


def same(one: str, other: str) -> bool:
    """Tell whether the words that two names share, if any, have the same signs."""
    mine, its = _signs(one), _signs(other)
    return all(mine[word] & its[word] for word in mine.keys() & its.keys())


def contradict(one: str, other: str) -> bool:
    """Tell whether two names are different words by their signs, where signs tell words apart.

    A name without any sign is one that was written without them, and may be each.
    """
    return tell(f"{one} {other}") and _has_signs(one) and _has_signs(other) and not same(one, other)


def tell(text: str) -> bool:
    """Tell whether the signs of a text are those of a language in which another sign is another word."""
    return bool(_TELLS.search(unicodedata.normalize("NFKD", text)))


def outdone(text: str, names: Sequence[str]) -> list[bool]:
    """Tell of each name whether a sign sets it off from a text, where another of the same letters has all."""
    exact = {_bare(name) for name in names if share_a_word(text, name) and same(text, name)}
    return [_bare(name) in exact and not same(text, name) for name in names]


def _bare(text: str) -> frozenset[str]:
    return frozenset(_signs(text))


def share_a_word(one: str, other: str) -> bool:
    """Tell whether two names have a word in common, signs aside."""
    return not _signs(one).keys().isdisjoint(_signs(other))


def _has_signs(text: str) -> bool:
    return any(any(signs) for of in _signs(text).values() for signs in of)


def _signs(text: str) -> Signs:
    found: Signs = {}
    for word in _words(text):
        bare, signs, tones = "", list[str](), ""
        for sign in word:
            if sign in _TONES:
                tones += sign
            elif unicodedata.combining(sign):
                signs[-1] += sign
            else:
                bare += sign
                signs.append("")
        bare = COMPOUND.sub("STR", bare)
        found.setdefault(bare, set()).add((*signs[: len(bare)], "".join(sorted(tones))))
    return found


def _words(text: str) -> Iterator[str]:
    apart = unicodedata.normalize("NFKD", text.translate(_STROKES).upper())
    yield from (found[0] for found in _WORD.finditer(apart))
