"""Times in bodies: RFC 3339 texts with a day and a time of day, and nothing that merely looks like one."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
"""RFC 3339, 5.6. The zone may be left out, which then is the city's, and the seconds, which then are 0:
browsers leave out both (`<input type=datetime-local>`)."""


def _read(given: object) -> datetime:
    """Read a time. Raises ValueError for numbers, bare days and other notations: they would be guessed at."""
    if not isinstance(given, str) or not _RFC3339.fullmatch(given):
        raise ValueError(
            f"{_shown(given)} is no RFC 3339 time with day, hour and minute, as 2024-03-05T14:30:00+08:00 is"
        )
    try:
        return datetime.fromisoformat(given.upper())
    except ValueError as error:
        why = "its zone is more than a day from UTC" if "timedelta" in str(error) else str(error)
        raise ValueError(f"{_shown(given)} is no time: {why}") from error


_SHOWN = 40
"""So many characters of a value are shown in what is said of it."""


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


Time = Annotated[datetime, BeforeValidator(_read)]
"""A time of a body; one without a zone is naive and in the city's."""
