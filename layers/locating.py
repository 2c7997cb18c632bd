"""Locators of grids, kept from one question to the next: making one of a whole city takes a second."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection

from gis import locate
from gis import schema as t
from gis.grids import Asked, current
from gis.locate import Locator

MOST_BYTES = 96 << 20
"""Of all that are kept: those of the five levels of a city of 7,000 grids and 2.8 million vertices fit."""
BINS = 1 << 20


class Kept:
    """Locators by what they were made of; when they are too much, those that were longest unused go."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._kept = OrderedDict[str, Locator]()
        self._lock = threading.Lock()

    def of(self, key: str, make: Callable[[], Locator]) -> Locator:
        """Return the locator of a key, made where it is not there; one is made at a time, for its memory."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and self.nbytes > self.most_bytes:
                self._kept.popitem(last=False)
            return self._kept[key]

    @property
    def nbytes(self) -> int:
        """Memory of all that are kept."""
        return sum(one.nbytes for one in self._kept.values())


_KEPT = Kept(MOST_BYTES)


def locator(conn: Connection, asked: Asked, codes: Sequence[str]) -> Locator:
    """Return who owns a place among some grids of a record; it answers by the place among `codes`.

    It is known by the codes and the shapes themselves, so that no change of either is missed.
    """
    g = t.grids.c
    wkb = sa.func.ST_AsBinary(g.geom)
    some = (current(asked), g.code == sa.any_(sa.cast(list(codes), ARRAY(sa.Text))))

    def make() -> Locator:
        by_code = {
            row.code: bytes(row.wkb) for row in conn.execute(sa.select(g.code, wkb.label("wkb")).where(*some))
        }
        made = locate.build(shapely.from_wkb([by_code[code] for code in codes]), codes, BINS)
        # Prepared shapes hold as much again, and are not for several threads at once.
        shapely.destroy_prepared(made.polygons)
        return made

    shapes = {
        row.code: row.md5
        for row in conn.execute(sa.select(g.code, sa.func.md5(wkb).label("md5")).where(*some))
    }
    pairs = repr([(code, shapes[code]) for code in codes])
    return _KEPT.of(hashlib.sha256(pairs.encode()).hexdigest(), make)
