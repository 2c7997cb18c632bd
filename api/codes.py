"""Codes in requests: as they are seen, so that width and signs that show nothing make no other code."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from gis.importing import codes, spoken
from gis.importing.parsing import LONGEST_ID


def _seen(given: str) -> str:
    """Return a code as the importer keeps it. Raises ValueError when nothing of it can be seen."""
    shown = codes.identified(given)
    if not shown:
        raise ValueError("holds nothing that can be seen")
    if shown in spoken.EMPTY:
        raise ValueError(f"{shown!r} is a word for nothing; write a code, or leave the field out")
    return shown


Code = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID), AfterValidator(_seen)]
"""The code of a grid, a category or an incident, or its id in another system."""
