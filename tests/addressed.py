"""A town whose addresses are compared: streets, registered houses, and where they are found."""

from datetime import date

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema
from gis.importing.gazetteer import Gazetteer
from gis.network.ranges import Found
from tests import town

ONE_HOUSE_M = 30.0
HERE, THERE = town.at(0.5, 0.5), town.at(1.8, 1.8)


def prepare(conn: Connection) -> Connection:
    """Fill a store with a city, the regions that it lies in, and its grids."""
    town.add_grids(conn)
    town.add_city(conn)
    conn.execute(sa.update(schema.city).values(name_en="Town", within=["Land", "湖南省"]))
    for code, name in (("T1", "Westdorf"), ("T2", "Ostdorf")):
        conn.execute(sa.update(schema.grids).where(schema.grids.c.code == code).values(name=name))
    return conn


def metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return how far two places in degrees lie apart."""
    east = (one[0] - other[0]) * np.cos(np.radians(one[1]))
    return float(np.hypot(east, one[1] - other[1]) * 111_195)


def place(found: Found | str) -> tuple[float, float] | None:
    """Return where an answer places an address; None for a refusal."""
    return None if isinstance(found, str) else (found.lon, found.lat)


def questions(
    conn: Connection, known: list[tuple[str, tuple[float, float]]], texts: list[str]
) -> list[bool | None]:
    """Register addresses and return of each text whether it is placed at the first of them; None: refused."""
    batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    for text, at in known:
        town.add_building(conn, batch, text, at)
    found = Gazetteer(conn).find(texts, date(2024, 5, 1))
    places = [place(found[text]) for text in texts]
    return [None if at is None else metres(at, known[0][1]) < ONE_HOUSE_M for at in places]


def add_street(conn: Connection, name: str, begin: tuple[float, float] = HERE) -> int:
    """Put a street with the numbers 1 to 99 into the store, by itself far from THERE; return a batch."""
    batch = conn.execute(sa.text("SELECT min(id) FROM batches")).scalar_one()
    across = np.subtract(town.at(0.6, 0.5), HERE)
    line = shapely.LineString([begin, np.add(begin, across)])
    conn.execute(
        schema.roads.insert().values(
            origin="t", origin_id=name, batch_id=batch, name=name, length_m=100, u=1, v=2,
            geom=f"SRID=4326;{line.wkt}", left_from=1, left_to=99, left_parity="odd", right_from=2,
            right_to=98, right_parity="even", **{"class": "residential"},
        )
    )  # fmt: skip
    return int(batch)
