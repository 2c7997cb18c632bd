"""Codes, texts and numbers in bodies: codes as seen, texts without odd signs, numbers that are numbers."""

from typing import Annotated

from pydantic import AfterValidator, Strict, StringConstraints

from gis.importing import codes, spoken
from gis.importing.parsing import LONGEST_ID


def _line(given: str) -> str:
    """Return a line of text. Raises ValueError for one with a sign that none has."""
    if sign := codes.strange(given):
        raise ValueError(f"has the sign {sign}; take it out")
    return given


def _prose(given: str) -> str:
    """Return a text of several lines. Raises ValueError for one with a sign that none has."""
    if sign := codes.strange(given, prose=True):
        raise ValueError(f"has the sign {sign}; take it out")
    return given


Real = Annotated[float, Strict()]
"""A number of a body, no text or truth value that could be read as one."""
Whole = Annotated[int, Strict()]
"""A whole number of a body, likewise."""
Flag = Annotated[bool, Strict()]
"""True or false in a body, no word or number for it."""
Line = Annotated[str, AfterValidator(_line)]
"""A text of one line: a name, an address, a title."""
Prose = Annotated[str, AfterValidator(_prose)]
"""A text that may have several lines."""


def _seen(given: str) -> str:
    """Return a code as the importer keeps it. Raises ValueError when nothing of it can be seen."""
    shown = codes.identified(_line(given))
    if not shown:
        raise ValueError("holds nothing that can be seen")
    if shown in spoken.EMPTY:
        raise ValueError(f"{shown!r} is a word for nothing; write a code, or leave the field out")
    return shown


Code = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID), AfterValidator(_seen)]
"""The code of a grid, a category or an incident, or its id in another system."""
