"""The marks in addresses: what parts them, whichever sign somebody wrote, and signs that say nothing."""

import re
import unicodedata

_FRACTIONS = str.maketrans(
    {sign: f" {unicodedata.normalize('NFKC', sign)} ".replace("⁄", "/") for sign in "½¼¾⅓⅔"}
)
"""Signs that would else run into the number before them."""
_BEFORE = _FRACTIONS | str.maketrans({"º": "°", "ª": "°"})
_SIGNS = str.maketrans(
    dict.fromkeys("‐‑‒–—―−", "-") | dict.fromkeys(";|[]{}()【】「」〔〕", ", ") | {":": " ", "號": "号"}
)
_QUOTES = re.compile(r"(?<!\w)['\"`´“”„‘’«»*_~]+|['\"`´“”„‘’«»*_~]+(?!\w)|[\"“”„«»*_~]")
"""Quotes around words; the apostrophe within `O'Brien` stays."""
_CALLE = re.compile(r"\bC/\s*(?=[^\W\d])", re.IGNORECASE)
_UNIT_BEFORE = re.compile(
    r"^\s*(?:(?:(?:APT|APARTMENT|UNIT|SUITE|STE|RM|ROOM|FLAT|FL|FLOOR)\b\.?|#)\s*[\w-]+(?:\s*[,-]\s*|\s+)"
    r"|[A-Z]?\d+[A-Z]?\s+-\s+|[A-Z]?\d+[A-Z]?\s*/\s*(?![2348]\s))(?=\d+\s+(?!(?:BLOCK|BLK)\b))",
    re.IGNORECASE,
)
"""A unit in front of the number: `Unit 5 - 874 Sherbourne St`, `3/12 High St`; `11/2` may be 1½."""
_COMMA_BEHIND = re.compile(r"^\s*(\d+[A-Z]?),\s*(?=[^\W\d])", re.IGNORECASE)
"""`12, King St W`."""
_SIGN_BEFORE = re.compile(
    r"^\s*(?:(?:n\.?o|nr|nro|n[uú]m(?:ero)?|số|so)\b[.°]*|n[.°]+|#)\s*(?=\d+[A-Z]?(?:\s+|\s*,\s*)\D)",
    re.IGNORECASE,
)
"""`No. 35 Main Street`, `No. 35, Jalan 17/1`."""
_DASH = re.compile(r"\s+-+\s+|\s*-{2,}\s*")
_OF_A_SPAN = re.compile(r"\d{1,3}[A-Z]?\s*(?:,|$)", re.IGNORECASE)
_BLOCK = re.compile(r"(?:BLOCK|BLK)\b", re.IGNORECASE)
_AROUND = " .,:!?-'。！？·&/"


def clean(text: str) -> str:
    """Return a text in one width, with plain digits and dashes, commas for brackets, and no quotes."""
    folded = unicodedata.normalize("NFKC", text.translate(_BEFORE)).translate(_SIGNS)
    seen = "".join(_plain(sign) for sign in folded if unicodedata.category(sign) != "Cf")
    return _CALLE.sub("Calle ", _QUOTES.sub(" ", " ".join(seen.split())))


def _plain(sign: str) -> str:
    return str(unicodedata.decimal(sign)) if sign.isdecimal() else sign


def split(text: str) -> list[str]:
    """Return the parts of an address by its marks, without a unit or a sign in front of the number."""
    plain = _SIGN_BEFORE.sub("", _UNIT_BEFORE.sub("", clean(text)))
    parts = _by_dashes(_COMMA_BEHIND.sub(r"\1 ", plain)).split(",")
    return [_number_sign(one) for part in parts if (one := " ".join(part.split()).strip(_AROUND))]


def _by_dashes(text: str) -> str:
    """Return a text with commas for its dashes between words, but not between the numbers of a span."""

    def mark(found: re.Match[str]) -> str:
        left, right = text[: found.start()], text[found.end() :]
        in_front = left[-1:].isdigit() and right[:1].isdigit() and not re.search(r"[^\W\d]", left)
        span = left[-1:].isdigit() and _OF_A_SPAN.match(right)
        block = left[-2:].upper() == "XX" or _BLOCK.match(right)
        return found[0] if in_front or span or block else ", "

    return _DASH.sub(mark, text)


def _number_sign(part: str) -> str:
    """Return a part with the sign of its number left out; behind a number it is a unit's: `5 Elm St #2`."""
    before, sign, number = part.partition("#")
    fits = sign and before.strip() and not re.search(r"\d", before) and number.strip()[:1].isdigit()
    return f"{before.strip()} {number.strip()}" if fits else part
