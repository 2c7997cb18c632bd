"""Houses that nobody registered: placed along their street by the numbers that its centre lines have."""

from collections.abc import Sequence

import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.network.ranges import ONE_CROSSING_M, Found, Road, Streets, metres_apart
from gis.network.street_names import House
from gis.schema import roads

MOST_PIECES = 5_000
"""Centre lines of one street that are looked through, at most."""


def houses(conn: Connection, house: House, names: Sequence[str]) -> list[Found]:
    """Return where a house may stand on the streets of these names, the likeliest first, each place once."""
    found = load(conn, roads.c.name.in_(names), MOST_PIECES).houses(house)
    kept: list[Found] = []
    for one in found:
        if all(metres_apart(one, other) > ONE_CROSSING_M for other in kept):
            kept.append(one)
    return kept


def ewkb(place: Found) -> str:
    """Return a place as hexadecimal EWKB."""
    point = shapely.set_srid(shapely.Point(place.lon, place.lat), 4326)
    return shapely.to_wkb(point, hex=True, include_srid=True)


def load(conn: Connection, which: sa.ColumnElement[bool], most: int | None = None) -> Streets:
    """Return named centre lines of the store with their nodes and house numbers."""
    r = roads.c
    wkb = sa.func.ST_AsBinary(r.geom).label("wkb")
    asked = sa.select(roads, wkb).where(r.name.is_not(None), which).order_by(r.id).limit(most)
    rows = conn.execute(asked).all()
    lines = shapely.from_wkb([bytes(row.wkb) for row in rows])
    return Streets(
        [
            Road(
                row.name, line, row.u, row.v,
                _numbers(row.left_from, row.left_to, row.left_parity),
                _numbers(row.right_from, row.right_to, row.right_parity), row.name_key,
            )
            for row, line in zip(rows, lines, strict=True)
        ]
    )  # fmt: skip


def _numbers(first: int | None, last: int | None, parity: str | None) -> tuple[int, int, str] | None:
    return None if first is None or last is None else (first, last, parity or "both")
