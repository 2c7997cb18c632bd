"""Words for where in a house something is: flats, floors, stairs, doors, in the languages of addresses."""

import re
import unicodedata

_NUMBERED = {
    "en": "apt apartment unit suite ste room rm floor fl flat bldg building lot",
    "es": "piso planta puerta pta escalera esc portal bloque blq local nave oficina ofic departamento depto "
    "dpto interior",
    "it": "scala sc piano interno int appartamento",
    "fr": "appartement appt étage escalier batiment bât porte",
    "pt": "andar apto apartamento sala bloco loja fração",
    "de": "wohnung whg stock stiege top tür etage hinterhaus vorderhaus",
    "pl": "m lok lokal mieszkanie klatka piętro",
    "nl": "bus verdieping",
    "tr": "daire kat blok",
    "ru": "кв квартира этаж подъезд офис",
}
"""What a number or letter stands behind."""
_ALONE = {
    "en": "rear front basement bsmt upper lower lobby garage yard penthouse ph ground",
    "es": "bajo bajos bj ático entresuelo entlo principal pral izquierda izq derecha dcha dcho centro",
    "it": "rialzato seminterrato",
    "fr": "rdc",
    "pt": "rc esq dto frente cave",
    "de": "eg og ug dg erdgeschoss",
}
"""What says it alone."""


def _any_of(words: dict[str, str]) -> str:
    every = {word for of in words.values() for word in of.split()}
    plain = {unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode() for word in every}
    return "|".join(sorted({*every, *plain} - {""}, key=len, reverse=True))


_CODE = r"(?:\w*\d[\w-]*|[^\W\d]{1,2})"
_ORDINAL = r"\d{1,3}(?:\.?°|er|e|[eè]me|st|nd|rd|th|\.)(?!\w)"
_WORD = rf"(?:(?:{_any_of(_NUMBERED)})\b\.?\s*{_CODE}(?!\w)|(?:{_any_of(_ALONE)})\b\.?|#\s*[\w-]+)"
_FLOOR = rf"(?:{_ORDINAL}(?:\s*(?:{_any_of(_NUMBERED)})\b\.?)?)"
_ITEM = rf"(?:{_WORD}|{_FLOOR})"
WORDED = rf"{_ITEM}(?:[\s,./-]+(?:{_ITEM}|{_CODE}(?!\w)))*"
"""A unit by its words or as a floor: `3º B`, `esc. 2, 1º A`, `Apt 3B`, `2nd floor`."""
_WORDED = re.compile(WORDED, re.IGNORECASE)
_BARE = re.compile(r"[a-z]?[0-9]+[a-z]?|[a-z]", re.IGNORECASE)


def is_worded(part: str) -> bool:
    """Tell whether a part of an address says by a word or an ordinal that it is a unit."""
    return _WORDED.fullmatch(part.strip()) is not None


def is_unit(part: str) -> bool:
    """Tell whether a part of an address may be a unit: by its words, or a short number or letter alone."""
    return is_worded(part) or _BARE.fullmatch(part.strip()) is not None
