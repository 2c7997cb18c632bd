"""Addresses as people write them: which building, place, road, crossing, grid or post is meant."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import city, grids
from gis.addresses.parse import Reading, disagrees, read
from gis.addresses.targets import BEGINS, EXACT, Target, parameters
from gis.db import Record
from gis.errors import NotFound
from gis.grids import Asked, Wish

_PER_SHORTER = 0.05
"""What a match loses for each thing at the end of a text that had to be left out."""
_MOST = 100
"""Rows of one way of matching that are looked at, at most."""
_NOW = Wish()


@dataclass(frozen=True)
class Match:
    """What a text may mean and how well it fits; `lon`, `lat` in WGS-84 degrees."""

    kind: str
    id: int | None
    address: str
    score: float
    matched_by: str
    lon: float
    lat: float


@dataclass(frozen=True)
class Found:
    """Matches, best first, and whether there are more of them than were looked at or are given."""

    matches: list[Match]
    more: bool

    @property
    def tied(self) -> int:
        """How many of the matches are equally good, none better."""
        return sum(match.score == self.matches[0].score for match in self.matches)


def find(conn: Connection, text: str, limit: int, wish: Wish = _NOW) -> Found:
    """Return what a text may mean, best first, `limit` at most; equally good ones stay side by side.

    Grids and posts are those of the record wished for. What merely begins so is looked for only where nothing
    fits as a whole. Raises BadInput for a revision that is still to come.
    """
    asked = _record(conn, wish)
    wanted = read(conn, text)
    if not wanted.keys:
        return Found([], more=False)
    found, more = _ask(conn, EXACT, wanted, asked)
    found += _at_coordinate(conn, wanted, asked)
    if not found:
        found, more = _ask(conn, BEGINS, wanted, asked)
    best = _best(found)
    return Found(best[:limit], more=more or len(best) > limit)


def complete(conn: Connection, text: str, limit: int) -> list[str]:
    """Return names and addresses that a text, as far as it is typed, may become."""
    asked, wanted = _record(conn, _NOW), read(conn, text)
    if not wanted.keys:
        return []
    found = [*_ask(conn, EXACT, wanted, asked)[0], *_ask(conn, BEGINS, wanted, asked)[0]]
    return list(dict.fromkeys(match.address for match in _best(found)))[:limit]


def _record(conn: Connection, wish: Wish) -> Asked | None:
    try:
        return grids.resolve(conn, wish)
    except NotFound:
        if wish.scheme is not None:
            raise
        return None  # no grids are loaded; places are found all the same


def _statement(ways: Iterable[Target]) -> sa.CompoundSelect[Any]:
    """Return one statement for several ways, each bounded on its own."""
    return sa.union_all(
        *(
            sa.select(sa.literal(n).label("way"), way.rows.limit(_MOST + 1).subquery(f"way_{n}"))
            for n, way in enumerate(ways)
        )
    )


_STATEMENTS = {ways: _statement(ways) for ways in (EXACT, BEGINS)}


def _ask(
    conn: Connection, ways: tuple[Target, ...], wanted: Reading, asked: Asked | None
) -> tuple[list[Match], bool]:
    """Return what fits in any of the given ways, and whether one of them had more than are looked at."""
    rows = conn.execute(_STATEMENTS[ways], parameters(wanted, asked)).all()
    most = max(Counter(row.way for row in rows).values(), default=0)
    return [match for row in rows if (match := _match(ways[row.way], row, wanted))], most > _MOST


def _match(way: Target, row: Record, wanted: Reading) -> Match | None:
    """Return what a row stands for; None for an incident without a place, or an address in another region."""
    if row.lon is None or disagrees(wanted.regions, row.key):
        return None
    left_out = _left_out(row.key, wanted)
    score = round(way.score - _PER_SHORTER * left_out, 3)
    return Match(way.kind, row.id, row.text, score, way.name + _NOTES[min(left_out, 1)], row.lon, row.lat)


_NOTES = ("", ", what stands behind it left out")


def _left_out(key: str, wanted: Reading) -> int:
    """Return how many things at its end a text lost before it fitted."""
    if key in wanted.keys:
        return wanted.keys.index(key)
    return next((n for n, local in enumerate(wanted.local) if key.endswith(local)), 0)


def _best(found: list[Match]) -> list[Match]:
    """Return each thing once, as it fits best; best first, then by its text."""
    kept: dict[tuple[str, int | None], Match] = {}
    for match in sorted(found, key=lambda match: (-match.score, match.address, match.id or 0)):
        kept.setdefault((match.kind, match.id), match)
    return list(kept.values())


def _at_coordinate(conn: Connection, wanted: Reading, asked: Asked | None) -> list[Match]:
    """Return the place of two numbers: lon, lat, or where only that lies in the city, lat, lon."""
    if wanted.pair is None:
        return []
    turned = (wanted.pair[1], wanted.pair[0])
    possible = [(at, how) for at, how in ((wanted.pair, "lon, lat"), (turned, "lat, lon")) if _is_place(*at)]
    if not possible:
        return []
    inside = [one for one in possible if asked and _is_in(city.extent(conn, asked.scheme), *one[0])]
    (lon, lat), how = (inside or possible)[0]
    return [Match("coordinate", None, f"{lon}, {lat}", 0.97, f"coordinate as {how}", lon, lat)]


def _is_place(lon: float, lat: float) -> bool:
    return abs(lon) <= 180 and abs(lat) <= 90


def _is_in(box: list[float], lon: float, lat: float) -> bool:
    west, south, east, north = box
    return west <= lon <= east and south <= lat <= north
