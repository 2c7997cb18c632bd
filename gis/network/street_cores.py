"""What people leave out of a street's name or add to it: types, directions, articles; the rest names it."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from gis.network.street_names import DIRECTIONS, TYPES, street_key

_IN_FRONT = (
    "calle=c=cl=carrer carrera=cra=kra=cr avenida=avenue=av calzada=calz=czda camino=cno=chemin=ch=che "
    "paseo=pso=passeig=pg pasaje=pje=passatge=passage plaza=praca=pc=piazza=pza=place=placa=plac=pl plazuela "
    "ronda=rda travesia=trv=travessa=tv callejon=cjon carretera=ctra diagonal=dg transversal jiron=jr "
    "prolongacion privada cerrada circuito=cto andador=and glorieta=gta rambla "
    "alameda=al=aleja=aleje=allee=all=aleea rua=r=rue largo estrada=estr=strada rodovia=rod "
    "beco ladeira via=v viale corso=cours piazzale=ple "
    "vicolo=vic lungomare contrada boulevard=bd=boul=бульвар=бул bulevardul=bd=bulevard "
    "soseaua=sos calea piata=pta splaiul=spl intrarea=intr "
    "impasse=imp quai route sentier ruelle "
    "faubourg=fg ulica=ul=ulice=улица=ул=вулиця=вул osiedle=os rondo namesti=nam trida=tr nabrezi=nab "
    "проспект=пр=просп переулок=пер=провулок=пров площадь=площа=пл набережная=наб шоссе=ш проезд "
    "jalan=jln=jl lorong=lrg persiaran lebuh lebuhraya gang=gg duong pho ngo hem soi thanon=th trg "
    "οδος=οδ λεωφορος=λεωφ=λ πλατεια=πλ"
)
"""Types in front of the name, `=` between the spellings and sisters of one."""
_BEHIND = (
    "strasse=straat weg=way=vej=vei=veien=vag=vagen gasse=g allee=al platz=plass=plads=plein ring damm ufer "
    "laan gracht kade dijk steeg singel gata=gatan=gade=gate torg=torget=torv katu tie sokak=sokagi=sok=sk "
    "cadde=caddesi=cad=cd bulvar=bulvari=blv mahallesi=mah "
    "gatve=g prospektas=pr aikste=a plentas=pl skersgatvis=skg aleja=al ulica=ul cesta trg "
    "avenija=av put row walk close mews rise grove vale "
    "улица=ул проспект=пр=просп переулок=пер площадь=пл бульвар=бул набережная=наб шоссе=ш проезд"
)
"""Types behind the name, beside those that keys abbreviate."""
_DIRECTIONS = (
    "norte=nte=nord=noord sur=sul=sud=zuid este=leste=est=oriente=ote=ost oeste=ouest=ovest=poniente=pte"
)
_ARTICLES = frozenset(
    re.findall(
        r"\w+",
        "THE OF DE DEL DELS DELA LA EL LOS LAS LO LES DES DU DI DELLA DELLO DELLE DEI DEGLI DELL DALLA "
        "DA DO DAS DOS DER DIE DEM DEN ZUR ZUM AM IM VAN VON HET",
    )
)


def _classes(groups: str) -> dict[str, str]:
    """Return each spelling, as keys have it, with the first of those that are one word."""
    one_word = [[street_key(one) for one in of.split("=")] for of in groups.split()]
    return {spelt: of[0] for of in reversed(one_word) for spelt in of}


def _kinds(*groups: str) -> dict[str, frozenset[str]]:
    """Return each spelling with every one of its group: `g` is Gasse, gata and gatvė."""
    every = [frozenset(street_key(one) for one in of.split("=")) for group in groups for of in group.split()]
    spelt = {one for of in every for one in of} | set(TYPES)
    return {one: frozenset({one}).union(*(of for of in every if one in of)) for one in spelt}


_KINDS = _kinds(_IN_FRONT, _BEHIND)
_FRONT_TYPE = _classes(_IN_FRONT)
_LAST_TYPE = {
    word: _FRONT_TYPE.get(word, of)
    for word, of in ({kind: kind for kind in TYPES} | _classes(_BEHIND)).items()
}
_WAY = _classes(_DIRECTIONS) | {way: way for way in DIRECTIONS}
_EITHER = {**_FRONT_TYPE, **_LAST_TYPE}


class Core(NamedTuple):
    """A street's name without what may be left out, and what that was."""

    name: tuple[str, ...]
    types: frozenset[str]
    ways: frozenset[str]

    def may_be(self, other: "Core") -> bool:
        """Tell whether two names may be one street's: either says all that the other does."""
        return self.name == other.name and _within(self.types, other.types) and _within(self.ways, other.ways)


def _within(one: frozenset[str], other: frozenset[str]) -> bool:
    return one <= other or other <= one


def other_ends(key: str) -> list[tuple[str, str]]:
    """Return a street's key as what stays and a type in front or behind, in each of the type's spellings."""
    words = key.split()
    if len(words) < 2:
        return []
    ends = [(words[0], "> " + " ".join(words[1:])), (words[-1], " ".join(words[:-1]) + " <")]
    return [(rest, kind) for word, rest in ends for kind in sorted(_KINDS.get(word, ()))]


def may_be_one(one: str, other: str) -> bool:
    """Tell whether the streets of two keys may be one though no list has their words.

    Beside what cores may leave out: one more word at either end, or a word that is short for the other's.
    """
    if core(one).may_be(core(other)):
        return True
    mine, its = (tuple(word for word in key.split() if word not in _ARTICLES) for key in (one, other))
    if len(mine) == len(its):
        unlike = [pair for pair in zip(mine, its, strict=True) if pair[0] != pair[1]]
        return len(mine) > 1 and len(unlike) == 1 and _is_short_for(*sorted(unlike[0], key=len))
    short, long = sorted((mine, its), key=len)
    ends = ((long[0], long[1:]), (long[-1], long[:-1]))
    return any(
        rest == short and word.isalpha() and len(word) <= _MOST_LETTERS and not _EITHER.keys() >= {*rest}
        for word, rest in ends
    )


_MOST_LETTERS = 12
"""A longer word is hardly a type or a title that is left out, but what the street is called."""


def _is_short_for(short: str, long: str) -> bool:
    """Tell whether a word may be short for one: `Jl` for Jalan. `Via` is none for Viale, nor E for East."""
    letters = iter(long)
    fits = short[0] == long[0] and short.isalpha() and all(letter in letters for letter in short)
    types = len(short) > 2 and {short, long} <= _EITHER.keys() and _KINDS[short].isdisjoint(_KINDS[long])
    return fits and not types and not {short, long} <= _WAY.keys()


def named_words(words: Sequence[str]) -> Sequence[str]:
    """Return those of a street's words that name it: no types and articles, directions where they do."""
    bare = [word for word in words if street_key(word) not in _EITHER and street_key(word) not in _ARTICLES]
    return [word for word in bare if street_key(word) not in _WAY] or bare or words


@lru_cache(maxsize=100_000)
def core(key: str) -> Core:
    """Return what a street's key says: `CALLE DE LA PAZ` is PAZ with a type.

    What would leave nothing is the name itself: `Calle Norte`. Where the name is a number the place of a
    direction counts: `E 300 S`.
    """
    words = key.split()
    types, ways = set[str](), set[tuple[int, str]]()
    while len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    while (at := _what_may_go(words)) is not None:
        word = words.pop(at)
        if kind := (_LAST_TYPE if at else _FRONT_TYPE).get(word):
            types.add(kind)
        else:
            ways.add((at, _WAY[word]))
    name = tuple(word for word in words if word not in _ARTICLES) or tuple(words)
    placed = any(word[:1].isdigit() for word in name)
    return Core(name, frozenset(types), frozenset(f"{at}{way}" if placed else way for at, way in ways))


def _what_may_go(words: list[str]) -> int | None:
    """Return the last or first of the words where it is no name and leaves one."""
    for at, types in ((-1, _LAST_TYPE), (0, _FRONT_TYPE)):
        rest = [word for word in (words[:-1] if at else words[1:]) if word not in _ARTICLES]
        is_name = len(rest) == 1 and rest[0] in _EITHER
        if rest and (words[at] in types or (words[at] in _WAY and not is_name)):
            return at
    return None
