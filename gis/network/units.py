"""Words for where in a house something is: flats, floors, stairs, doors, in the languages of addresses."""

import re
import unicodedata

_NUMBERED = {
    "en": "apt apartment unit suite ste room rm flat bldg building lot plot",
    "es": "puerta pta escalera esc portal bloque blq local nave oficina ofic departamento depto dpto "
    "interior parcela",
    "it": "scala sc interno int appartamento",
    "fr": "appartement appt escalier batiment bât porte",
    "pt": "apto apartamento sala bloco loja fração lote",
    "de": "wohnung whg stiege top tür hinterhaus vorderhaus",
    "pl": "m lok lokal mieszkanie klatka",
    "nl": "bus",
    "tr": "daire blok",
    "ru": "кв квартира подъезд офис",
    "no": "leilighet leil bolig",
    "da": "lejlighed lejl",
    "sv": "lgh lägenhet",
    "fi": "huoneisto",
    "cs": "byt",
    "hu": "ajtó lépcsőház",
    "ro": "apartament ap scara bloc bl et",
    "lt": "butas bt",
    "hr": "stan",
    "el": "διαμέρισμα",
    "vi": "phòng căn",
}
"""What a number or letter stands behind, beside storeys."""
_STOREYS = {
    "en": "floor fl flr level", "es": "piso planta", "it": "piano", "fr": "étage", "pt": "andar",
    "de": "stock etage obergeschoss untergeschoss og ug", "pl": "piętro", "nl": "verdieping", "tr": "kat",
    "ru": "этаж", "no": "etasje etg", "da": "sal", "sv": "våning vån trappor tr", "fi": "kerros krs",
    "cs": "patro poschodí np", "hu": "emelet", "ro": "etaj", "el": "όροφος", "ms": "tingkat aras",
    "vi": "tầng", "id": "lantai",
}  # fmt: skip
"""What a number stands before or behind."""
_SHORT = {"no": "et", "pl": "p", "hu": "em", "fr": "ét", "el": "όρ"}
"""What is a storey behind an ordinal alone: `2. et`."""
_IN_WORDS = {
    "en": "ground first second third fourth fifth sixth seventh eighth ninth tenth top",
    "de": "erster zweiter dritter vierter", "es": "primer segundo tercer cuarto quinto",
    "fr": "premier deuxième troisième", "it": "primo secondo terzo quarto", "pt": "primeiro terceiro",
}  # fmt: skip
_ALONE = {
    "en": "rear front basement bsmt upper lower lobby garage yard penthouse ph ground",
    "es": "bajo bajos bj ático entresuelo entlo principal pral izquierda izq derecha dcha dcho centro",
    "it": "rialzato seminterrato",
    "fr": "rdc",
    "pt": "rc esq dto frente cave",
    "de": "eg og ug dg erdgeschoss",
    "hr": "prizemlje",
}
"""What says it alone."""


def _any_of(words: dict[str, str]) -> str:
    every = {word for of in words.values() for word in of.split()}
    plain = {unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode() for word in every}
    return "|".join(sorted({*every, *plain} - {""}, key=len, reverse=True))


_STOREY = _any_of(_STOREYS)
_CODE = r"(?:\w*\d[\w-]*°?|[^\W\d]{1,2})"
_ORDINAL = r"\d{1,3}(?:\.?°|er|e|[eè]me|st|nd|rd|th|-?й|[dmtvnr][oa]\.?|\.)(?!\w)"
_WORD = rf"(?:(?:{_any_of(_NUMBERED)}|{_STOREY})\b\.?\s*{_CODE}(?!\w)|(?:{_any_of(_ALONE)})\b\.?|#\s*[\w-]+)"
_FLOOR = (
    rf"(?:(?:{_ORDINAL}|\d{{1,3}}|[IVX]+\.?|{_any_of(_IN_WORDS)})\s*(?:{_STOREY})\b\.?|\d{{1,3}}/F\b"
    rf"|{_ORDINAL}(?:\s*(?:{_any_of(_NUMBERED)}|{_any_of(_SHORT)})\b\.?)?)"
)
_ITEM = rf"(?:{_FLOOR}|{_WORD})"
WORDED = rf"{_ITEM}(?:[\s,./-]+(?:{_ITEM}|{_CODE}(?!\w)))*"
"""A unit by its words or as a floor: `3º B`, `esc. 2, 1º A`, `Apt 3B`, `2nd floor`."""
_WORDED = re.compile(WORDED, re.IGNORECASE)
_BARE = re.compile(r"[a-z]?[0-9]+[a-z]?|[a-z]", re.IGNORECASE)


_LOT = re.compile(
    r"(?P<word>lot|lote|plot|parcela)\b\.?\s*(?:n[or]\b\.?°?)?\s*(?P<number>\d+)"
    r"\s*(?P<suffix>[a-z]?)",
    re.IGNORECASE,
)


def lot(part: str) -> tuple[int, str] | None:
    """Return the number of a lot, which is none of its street, and its word with the letter behind it."""
    found = _LOT.fullmatch(part.strip())
    return (int(found["number"]), f"{found['word']} {found['suffix']}".strip().upper()) if found else None


def is_worded(part: str) -> bool:
    """Tell whether a part of an address says by a word or an ordinal that it is a unit."""
    return _WORDED.fullmatch(part.strip()) is not None


def is_unit(part: str) -> bool:
    """Tell whether a part of an address may be a unit: by its words, or a short number or letter alone."""
    return is_worded(part) or _BARE.fullmatch(part.strip()) is not None
