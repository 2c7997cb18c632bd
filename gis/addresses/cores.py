"""What registered addresses are but for regions, postcodes and units, which stand anywhere around them."""

import re
from collections.abc import Sequence

from sqlalchemy.engine import Connection

from gis.addresses import regions
from gis.addresses.normalise import fold
from gis.grids import Asked
from gis.network.street_names import by_commas

MARK = re.compile("[,，;；(（–—-]")
"""Without one of these an address is nothing but itself, or known by its end."""
_BEHIND = re.compile(r"\s*(?:[;；(（]|\s[-–—]\s).*$")
"""What stands behind an address in brackets, or behind a semicolon or a dash."""


def cores(conn: Connection, registered: Sequence[str], asked: Asked | None) -> list[set[str]]:
    """Return the folded readings of each address: before its commas, without what else stands behind it."""
    cut = []
    for text in regions.behind(conn, registered, asked):
        shorter = _BEHIND.sub("", text)
        cut.append([by_commas(text)[0], shorter, by_commas(shorter)[0]])
    keys = iter(fold(conn, *(one for of in cut for one in of)))
    return [{next(keys) for _ in of} for of in cut]
