"""Addresses as people write them: which building or place is meant, best first."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.normalise import fold
from gis.db import Query
from gis.schema import buildings, places


@dataclass(frozen=True)
class Match:
    """A known address and how well it fits; `lon`, `lat` in WGS-84 degrees."""

    address: str
    score: float
    matched_by: str
    lon: float
    lat: float


@dataclass(frozen=True)
class Matcher:
    """One way to read a text; `select` yields text, lon and lat of what fits."""

    name: str
    score: float
    select: Callable[[str], Query]


def _at(name: sa.Column[str], point: sa.Column[object]) -> Query:
    return sa.select(name.label("text"), sa.func.ST_X(point).label("lon"), sa.func.ST_Y(point).label("lat"))


def _building_is(text: str) -> Query:
    return _at(buildings.c.address, buildings.c.point).where(buildings.c.address_key == text)


def _place_is(text: str) -> Query:
    return _at(places.c.name, places.c.point).where(places.c.name_key == text)


def _building_begins(text: str) -> Query:
    return _at(buildings.c.address, buildings.c.point).where(
        buildings.c.address_key.startswith(text, autoescape=True)
    )


def _place_begins(text: str) -> Query:
    return _at(places.c.name, places.c.point).where(places.c.name_key.startswith(text, autoescape=True))


MATCHERS: tuple[Matcher, ...] = (
    Matcher("building address", 1.0, _building_is),
    Matcher("place name", 1.0, _place_is),
    Matcher("place name, beginning", 0.8, _place_begins),
    Matcher("building address, beginning", 0.7, _building_begins),
)
"""Tried in this order until enough is found."""


def find(conn: Connection, text: str, limit: int) -> list[Match]:
    """Return up to `limit` known addresses that a text may mean, best first; none when nothing fits."""
    wanted, found = fold(conn, text)[0], dict[tuple[str, float, float], Match]()
    for matcher in MATCHERS:
        if len(found) >= limit or not wanted:
            break
        rows = conn.execute(matcher.select(wanted).order_by("text").limit(limit))
        for row in rows:
            match = Match(row.text, matcher.score, matcher.name, row.lon, row.lat)
            found.setdefault((row.text, row.lon, row.lat), match)
    return list(found.values())[:limit]
